//! A whole deployment from the command line: a database with its choices and its policy, a gateway that is read through, and
//! what its operator asks. Every document that `--json` prints is held against its schema; what cannot be done is said in one
//! sentence, with exit code 2.

use crate::{World, as_described, trial};
use libtest_mimic::Trial;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};
use vigie_testkit::{
    platform_database::PlatformDatabase,
    postgres::{PostgresServer, Settings},
};

const PASSWORD: &str = "correct horse battery staple";
const READER: &str = "jeanne@pixelle.example";
const RECIPIENT: &str = "statistics@pixelle.example";

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    let named =
        |name: &str, check: fn(&World) -> Result<(), String>| trial(world, format!("deployment::{name}"), check);
    vec![
        named("every_document_of_a_deployment_is_as_its_schema_says", documents),
        named("what_cannot_be_done_with_policy_choices_series_and_seals_is_said_in_one_sentence", refused),
    ]
}

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

struct Deployment<'world> {
    world: &'world World,
    server: PostgresServer,
    database: String,
    folder: tempfile::TempDir,
}

impl Deployment<'_> {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.vigie(arguments);
        command.env("VIGIE_DATABASE", self.server.address(&self.database));
        command.env("VIGIE_GATEWAY_CONFIG", self.path("gw/gateway.toml"));
        command
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<Output, String> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        child.stdin.take().expect("piped").write_all(input.as_bytes()).map_err(failed)?;
        child.wait_with_output().map_err(failed)
    }

    /// Runs a command with `--json`, which ends with this code, and holds what it prints against its schema.
    fn document(&self, schema: &str, code: i32, arguments: &[&str], input: &str) -> Result<Value, String> {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.run(&arguments, input)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(code) {
            return Err(format!("{arguments:?} ended with {}, expected {code}: {said}", output.status));
        }
        let document =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("{arguments:?}: {error}: {said}"))?;
        as_described(&format!("{schema}.json"), std::slice::from_ref(&document))
            .map_err(|error| format!("{arguments:?}: {error}"))?;
        Ok(document)
    }
}

/// A database of the sample platform, and the files of a gateway to it; nothing is installed or applied yet.
fn deployment(world: &World) -> Result<Deployment<'_>, String> {
    let access = ["host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"];
    let settings = Settings { access: access.map(str::to_owned).to_vec(), ..Settings::default() };
    let server = PostgresServer::start_with(&settings).map_err(failed)?;
    let database = PlatformDatabase::create(&server, 300);
    let here = Deployment { world, server, database, folder: tempfile::tempdir().map_err(failed)? };
    let address = format!("127.0.0.1:{}", here.server.port());
    let init =
        ["gateway", "init", &here.path("gw"), "--database", &here.database, "--server", &address, "--name", "pixelle"];
    here.document("gateway-init-1", 0, &init, "")?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/policy");
    let policy = here.folder.path().join("gw/policy");
    fs::create_dir_all(policy.join("policies")).map_err(failed)?;
    for folder in ["", "policies"] {
        for entry in fs::read_dir(fixtures.join(folder)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.path().is_file() {
                fs::copy(entry.path(), policy.join(folder).join(entry.file_name())).map_err(failed)?;
            }
        }
    }
    let map = fs::read_to_string(policy.join("map.toml")).map_err(failed)?;
    let sealed = map.replace("name = \"display_name\"\n", "name = \"display_name\"\nsealed = true\n");
    fs::write(policy.join("map.toml"), sealed).map_err(failed)?;
    here.document("seal-key-1", 0, &["gateway", "seal-key", &here.path("gw/cells.keys")], "")?;
    let config = fs::read_to_string(here.path("gw/gateway.toml")).map_err(failed)?;
    let config = config
        .replace("# seal_keys", "seal_keys")
        .replace("127.0.0.1:6432", "127.0.0.1:0")
        .replace("127.0.0.1:6433", "127.0.0.1:0")
        .replace("unknown_network = \"deny\"", "unknown_network = \"allow\"");
    fs::write(here.path("gw/gateway.toml"), config).map_err(failed)?;
    let verifier = here.document("verifier-1", 0, &["gateway", "verifier"], PASSWORD)?;
    let people = format!(
        "schema = \"people/1\"\n[[person]]\nid = \"{READER}\"\nname = \"Jeanne\"\nentity = \"Pixelle France SAS\"\n\
         country = \"FR\"\ntraining_until = \"2099-01-01\"\nscram = {}\n\
         [[service]]\nid = \"{RECIPIENT}\"\nname = \"Statistics\"\nentity = \"Pixelle Technology (Beijing) Co Ltd\"\n\
         country = \"CN\"\ngroups = [\"engineering\"]\ntraining_until = \"2099-01-01\"\n",
        verifier["scram"]
    );
    fs::write(here.path("gw/people.toml"), people).map_err(failed)?;
    Ok(here)
}

const SERIES: &str = r#"
schema = "series/1"
name = "accounts-by-country"
dataset = "accounts"
recipient = "statistics@pixelle.example"
purpose = "analytics"
period = "P1M"
table = "public.users"
subject = "id"
subject_type = "bigint"
cells_per_person = 1
rho = "0.5"
total_rho = "0.9"
delta = 1e-9
[[dimension]]
name = "country"
expression = "country"
values = ["FR", "DE", "RO"]
[measure]
kind = "persons"
"#;

fn documents(world: &World) -> Result<(), String> {
    let here = deployment(world)?;
    let (gw, policy, secret) = (here.path("gw"), here.path("gw/policy"), here.path("gw/gateway.secret"));
    here.document("policy-draft-1", 0, &["policy", "init", "pixelle"], "")?;
    here.document("choices-install-1", 0, &["choices", "install", &policy], "")?;
    let agree = "SELECT count(vigie.record(id, 'analytics', '', 'given', now(), 'banner', 'notice-1', NULL, 'en')) FROM users \
                 WHERE id <= 200";
    here.server.run_sql(&here.database, agree);
    here.document("choices-record-1", 0, &["choices", "record", "7", "analytics", "refused"], "")?;
    let why = ["--ordered-by", "an authority", "--reference", "file 1", "--reason", "a test"];
    let order = here.document("choices-stop-1", 0, &[&["choices", "stop", "--subject", "9"], &why[..]].concat(), "")?;
    here.document("choices-lift-1", 0, &["choices", "lift", &order["order"].to_string(), "--lifted-by", "them"], "")?;
    here.document("choices-lift-1", 1, &["choices", "lift", "999999", "--lifted-by", "them"], "")?;
    here.document("choices-rebuild-1", 0, &["choices", "rebuild"], "")?;
    here.document("choices-work-off-1", 0, &["choices", "work-off"], "")?;
    here.document("choices-check-1", 0, &["choices", "check"], "")?;
    here.server.run_sql(&here.database, "ALTER TABLE users DISABLE TRIGGER USER; UPDATE users SET pmask = 0 WHERE id = 250; ALTER TABLE users ENABLE TRIGGER USER");
    here.document("choices-check-1", 1, &["choices", "check", "--people"], "")?;
    here.document("choices-rebuild-1", 0, &["choices", "rebuild"], "")?;
    here.document("choices-work-off-1", 0, &["choices", "work-off"], "")?;
    here.document("choices-check-1", 0, &["choices", "check"], "")?;

    // The map has a warning that its author knows of, or none.
    let checked = here.run(&["policy", "check", &policy, "--json"], "")?;
    here.document("policy-check-1", checked.status.code().unwrap_or(2), &["policy", "check", &policy], "")?;
    here.document("policy-table-1", 0, &["policy", "table", &policy], "")?;
    here.document("policy-diff-1", 0, &["policy", "diff", &policy, &policy], "")?;
    let asked = ["policy", "decide", &policy, "--entity", "Pixelle France SAS", "--country", "FR"];
    here.document("policy-decision-1", 1, &asked, "")?;
    let asked = [&asked[..], &["--purpose", "service-provision", "--training"]].concat();
    here.document("policy-decision-1", 0, &asked, "")?;
    here.document("policy-apply-1", 0, &["policy", "apply", &policy, "--dry-run"], "")?;
    here.document("policy-drift-1", 1, &["policy", "drift", &policy], "")?;
    here.document("policy-apply-1", 0, &["policy", "apply", &policy, "--secret-file", &secret], "")?;
    here.document("policy-drift-1", 0, &["policy", "drift", &policy], "")?;
    let linted = here.run(&["policy", "lint", &policy, "--json"], "")?;
    here.document("policy-lint-1", linted.status.code().unwrap_or(2), &["policy", "lint", &policy], "")?;

    here.document("gateway-check-1", 1, &["gateway", "check"], "")?;
    let made = here.run(&["ledger", "init", &here.path("gw/accesses"), "--origin", "pixelle.example/accesses"], "")?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    here.document("gateway-check-1", 0, &["gateway", "check"], "")?;

    let column = "public.users.display_name";
    let held = here.document("seal-1", 1, &["gateway", "seal", column, "--dry-run"], "")?;
    let sealed = here.document("seal-1", 0, &["gateway", "seal", column], "")?;
    if (&held["clear"], &sealed["sealed_now"], &sealed["clear"]) != (&300.into(), &300.into(), &0.into()) {
        return Err(format!("{held} {sealed}"));
    }
    let cell = here.document("sealed-value-1", 0, &["gateway", "seal", column, "--subject", "12"], "Twelve\n")?;
    let set = format!("UPDATE users SET display_name = '{}' WHERE id = 12", cell["cell"].as_str().unwrap_or_default());
    here.server.run_sql(&here.database, &set);

    let request =
        ["gateway", "ticket", "request", "--who", READER, "--purpose", "service-provision", "--table", "public.users"];
    let request = [&request[..], &["--reason", "somebody writes to us"]].concat();
    let ticket = here.document("ticket-1", 0, &request, "")?["ticket"].to_string();
    here.document("ticket-1", 0, &["gateway", "ticket", "approve", &ticket, "--by", "chief@pixelle.example"], "")?;
    here.document("tickets-1", 0, &["gateway", "ticket", "list", "--all"], "")?;

    read_through(&here)?;
    let report = here.document("access-report-1", 0, &["access-report", "12"], "")?;
    let decision = report["accesses"][0]["event"].as_str().ok_or("nobody read about 12")?.to_owned();
    here.document("explanation-1", 0, &["gateway", "explain", &decision], "")?;

    released(&here, &gw)?;
    here.document("erasure-1", 0, &["gateway", "erase", "12"], "")?;
    Ok(())
}

/// Runs the gateway, and reads through it as somebody would.
fn read_through(here: &Deployment<'_>) -> Result<(), String> {
    let mut serve = here.command(&["gateway", "serve", "--json"]);
    let mut gateway = serve.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().map_err(failed)?;
    let mut line = String::new();
    BufReader::new(gateway.stdout.take().expect("piped")).read_line(&mut line).map_err(failed)?;
    let outcome = (|| {
        let serving: Value = serde_json::from_str(&line).map_err(failed)?;
        as_described("gateway-serving-1.json", std::slice::from_ref(&serving))?;
        let listening = serving["listening"].as_str().unwrap_or_default();
        let port = listening.rsplit(':').next().unwrap_or_default();
        let words = format!(
            "host=127.0.0.1 port={port} dbname={} user={READER} options='-c vigie.purpose=service-provision'",
            here.database
        );
        let mut psql = Command::new(here.server.program("psql"));
        psql.args(["-XqAt", &words, "-c", "SELECT id, display_name FROM users WHERE id = 12"])
            .env("PGPASSWORD", PASSWORD);
        let read = psql.output().map_err(failed)?;
        let rows = String::from_utf8_lossy(&read.stdout).into_owned();
        if rows == "12|Twelve\n" { Ok(()) } else { Err(format!("{rows}{}", String::from_utf8_lossy(&read.stderr))) }
    })();
    let process = nix::unistd::Pid::from_raw(gateway.id().cast_signed());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM).map_err(failed)?;
    let ended = gateway.wait().map_err(failed)?;
    outcome.and_then(|()| if ended.success() { Ok(()) } else { Err(format!("the gateway ended with {ended}")) })
}

/// Releases a series abroad: within the budget, once for each period, for who agreed, and logged.
fn released(here: &Deployment<'_>, gw: &str) -> Result<(), String> {
    let (series, journal) = (format!("{gw}/series.toml"), format!("{gw}/budget.jsonl"));
    fs::write(&series, SERIES).map_err(failed)?;
    here.document("series-check-1", 0, &["series", "check", &series], "")?;
    let run = |period: &str, out: &str| -> Vec<String> {
        let words =
            ["series", "run", &series, "--period", period, "--journal", &journal, "--out", &format!("{gw}/{out}")];
        words.map(str::to_owned).to_vec()
    };
    let arguments = run("2026-11", "november.json");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = here.document("series-run-1", 0, &arguments, "")?;
    let release: Value =
        serde_json::from_str(&fs::read_to_string(format!("{gw}/november.json")).map_err(failed)?).map_err(failed)?;
    as_described("series-release-1.json", std::slice::from_ref(&release))?;
    let truth = "SELECT count(*) FROM users WHERE country = 'FR' AND id <= 200 AND id <> 7";
    let truth: i64 = here.server.run_sql(&here.database, truth).trim().parse().map_err(failed)?;
    let cell = release["cells"].as_array().into_iter().flatten().find(|cell| cell["key"][0] == "FR");
    let shown = cell.and_then(|cell| cell["value"].as_i64()).ok_or("no cell for FR")?;
    // Ten times the standard deviation, which is 1.
    if (shown - truth).abs() > 10 || release != said["release"] || said["left"] != "0.4" {
        return Err(format!("{shown} for {truth}: {said}"));
    }
    let explained =
        here.document("explanation-1", 0, &["gateway", "explain", said["decision"].as_str().unwrap_or_default()], "")?;
    if explained["access"]["who"] != RECIPIENT || explained["access"]["country"] != "CN" {
        return Err(explained.to_string());
    }
    let budget = here.document("series-budget-1", 0, &["series", "budget", &journal], "")?;
    if budget["budgets"][0]["spent"] != "0.5" {
        return Err(budget.to_string());
    }
    for (period, out, words) in [
        ("2026-11", "again.json", "already paid for"),
        ("2026-12", "december.json", "of 0.9 for"),
        ("2026-12", "november.json", "is there already"),
    ] {
        let arguments = run(period, out);
        let output = here.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(2) || !said.contains(words) {
            return Err(format!("{period} {out} ended with {}: {said}", output.status));
        }
    }
    // Fraud prevention is nobody's business there.
    fs::write(&series, SERIES.replace("purpose = \"analytics\"", "purpose = \"fraud-prevention\"")).map_err(failed)?;
    let arguments = run("2026-12", "fraud.json");
    let denied = here.document("series-run-1", 1, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
    let is_there = Path::new(&format!("{gw}/fraud.json")).exists();
    if denied["denied"] == true && !is_there { Ok(()) } else { Err(denied.to_string()) }
}

fn refused(world: &World) -> Result<(), String> {
    let here = deployment(world)?;
    let policy = here.path("gw/policy");
    let (none, series, broken) = (here.path("none"), here.path("series.toml"), here.path("broken.toml"));
    fs::write(&series, SERIES.replace("subject = \"id\"", "subject = \"country\"")).map_err(failed)?;
    fs::write(&broken, "schema = \"series/1\"\n").map_err(failed)?;
    let why = ["--ordered-by", "an authority", "--reference", "file 1", "--reason", "a test"];
    let answer = ["gateway", "answer", &broken, "--out", &none, "--nonce"];
    let run = ["--period", "2026-11", "--journal", &here.path("budget.jsonl"), "--out", &here.path("out.json")];
    let before: [(&[&str], &str); 15] = [
        (&["policy", "check", &none], "holds no policy that can be used"),
        (&["policy", "diff", &policy, &none], "holds no policy that can be used"),
        (&["policy", "lint", &policy, "--database", "host=127.0.0.1 port=1 user=a dbname=a"], "connect"),
        (&["policy", "apply", &policy, "--secret-file", &none], "secret of the gateways cannot be used"),
        (&["choices", "check"], "has no schema `vigie`"),
        (&["choices", "record", "7", "analytics", "given"], "has no schema `vigie`"),
        (&["gateway", "answer", &none, "--out", &none, "--nonce", "00", "--beacon", "00"], "cannot be read"),
        (&[&answer[..], &["zz", "--beacon", "00"]].concat(), ""),
        (&["gateway", "seal", "public.users.email"], "does not seal `public.users.email`"),
        (&["gateway", "seal", "email"], "expected SCHEMA.TABLE.COLUMN"),
        (&["gateway", "seal", "public.users.nothing"], "has no column"),
        (&["gateway", "seal-key", &broken], "cannot be written"),
        (&["series", "check", &broken], "cannot be read"),
        (&["series", "budget", &none], "there is no journal"),
        (&[&["series", "run", &series], &run[..]].concat(), "takes `country` for the person"),
    ];
    let said_so = |cases: &[(&[&str], &str)]| -> Result<(), String> {
        for (arguments, words) in cases {
            let output = here.run(arguments, "")?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let sentence = said.lines().next().unwrap_or_default();
            if output.status.code() != Some(2)
                || !said.contains(words)
                || sentence.is_empty()
                || sentence.ends_with('.')
            {
                return Err(format!("{arguments:?} ended with {}: {said}", output.status));
            }
        }
        Ok(())
    };
    said_so(&before)?;
    here.document("choices-install-1", 0, &["choices", "install", &policy], "")?;
    said_so(&[
        (&["choices", "record", "seven", "analytics", "given"], "not of type `bigint`"),
        (&["choices", "record", "7", "nothing", "given"], "nothing"),
        (&["choices", "record", "7", "analytics", "perhaps"], "perhaps"),
        (&[&["choices", "stop", "--subject", "seven"], &why[..]].concat(), "not of type `bigint`"),
        (&[&["choices", "stop"], &why[..]].concat(), ""),
        (&["choices", "rebuild", "--batch", "0"], ""),
    ])
}
