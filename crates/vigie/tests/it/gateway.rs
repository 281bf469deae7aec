//! The gateway from the command line, as far as it needs no database: setting it up, and what is said when it cannot run.
//! What it does with a database is tried in `crates/gateway`.

use crate::{World, trial};
use libtest_mimic::Trial;
use std::{
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Output, Stdio},
    sync::Arc,
};
use vigie_gateway::{config::Config, gateway::Secrets, scram};

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    let named = |name: &str, check: fn(&World) -> Result<(), String>| trial(world, format!("gateway::{name}"), check);
    vec![
        named("what_init_writes_can_be_read_and_the_secret_only_by_its_owner", set_up),
        named("a_verifier_is_made_of_a_password_from_standard_input", verified),
        named("what_cannot_be_done_with_a_gateway_is_said_in_one_sentence", refused),
    ]
}

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn set_up(world: &World) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(failed)?;
    let gateway = folder.path().join("gw");
    let at = gateway.display().to_string();
    let output = world.run(&["gateway", "init", &at, "--database", "app", "--server", "127.0.0.1:1"]);
    if !output.status.success() {
        return Err(told(&output));
    }
    let config = Config::read(&gateway.join("gateway.toml")).map_err(failed)?;
    Secrets::read(&config.secret).map_err(failed)?;
    let mode = std::fs::metadata(&config.secret).map_err(failed)?.permissions().mode() & 0o777;
    if (mode, config.server.port, config.server.control_role.as_str()) != (0o600, 1, "vigie_app_control") {
        return Err(format!("{mode:o} {:?}", config.server));
    }
    // Nothing else is there, and each missing thing is named, with exit code 1: that is the answer.
    let output = world.run(&["gateway", "check", "--config", &format!("{at}/gateway.toml"), "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(failed)?;
    let troubles = said["needs"].as_array().into_iter().flatten().filter(|need| !need["trouble"].is_null());
    let mut missing: Vec<&str> = troubles.filter_map(|need| need["what"].as_str()).collect();
    missing.sort_unstable();
    if output.status.code() != Some(1) || missing != ["database", "ledger", "policy"] {
        return Err(format!("{:?}: {missing:?}", output.status));
    }
    Ok(())
}

fn verified(world: &World) -> Result<(), String> {
    let make = |password: &str| -> Result<Output, String> {
        let mut command = world.vigie(&["gateway", "verifier"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        child.stdin.take().expect("piped").write_all(password.as_bytes()).map_err(failed)?;
        child.wait_with_output().map_err(failed)
    };
    let output = make("correct horse battery staple\n")?;
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let verifier: scram::Verifier = line.parse().map_err(|error: scram::VerifierError| format!("`{line}`: {error}"))?;
    if verifier.to_string() != line || make("correct horse battery staple\n")?.stdout == output.stdout {
        return Err("each verifier has a salt of its own".to_owned());
    }
    let short = make("short\n")?;
    if short.status.code() != Some(2) || !told(&short).contains("fewer than 12") {
        return Err(told(&short));
    }
    Ok(())
}

fn refused(world: &World) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(failed)?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (gateway, none) = (at("gw"), at("none"));
    world.run(&["gateway", "init", &gateway, "--database", "app", "--server", "127.0.0.1:1"]);
    let config = format!("{gateway}/gateway.toml");
    let nobody_knows = "0".repeat(32);
    let cases: [(&[&str], &str); 8] = [
        (&["gateway", "init", &gateway, "--database", "app", "--server", "127.0.0.1"], "is there already"),
        (&["gateway", "init", &none, "--database", "app", "--server", "db.example"], "is not this machine"),
        (&["gateway", "init", &none, "--database", "app", "--server", "a b"], "is no address of a server"),
        (&["gateway", "--config", &none], "cannot be read"),
        (&["gateway", "serve", "--config", &config], "policy/map.toml` cannot be read"),
        (&["gateway", "explain", "abc", "--config", &config], "is not the name of a decision"),
        (&["gateway", "explain", &nobody_knows, "--config", &config], "there is no vault"),
        (&["access-report", "1", "--config", &config], "there is no vault"),
    ];
    for (arguments, words) in cases {
        let output = world.run(arguments);
        let said = told(&output);
        let sentence = said.lines().next().unwrap_or_default();
        if output.status.code() != Some(2) || !said.contains(words) || sentence.ends_with('.') {
            return Err(format!("{arguments:?} ended with {}: {said}", output.status));
        }
    }
    Ok(())
}
