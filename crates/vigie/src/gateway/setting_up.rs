//! `vigie gateway init`, `check` and `verifier`: from nothing to a gateway that could run.

use super::{
    arguments::{ConfigOptions, InitOptions},
    config_of, private, serving,
};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
};
use serde_json::json;
use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Read as _},
    path::Path,
};
use vigie_gateway::{gateway, scram};
use vigie_ledger::hash::hex;

/// The port of PostgreSQL.
const DEFAULT_PORT: u16 = 5432;
/// The shortest password that a verifier is made of, in characters.
const SHORTEST: usize = 12;

fn failed(why: String, help: &str) -> Fault {
    Fault::Gateway { why, help: Some(help.to_owned()) }
}

/// Splits `host:port`; the folder of a socket has no port.
fn server_of(given: &str) -> Result<(String, u16), Fault> {
    let wrong = || failed(format!("`{given}` is no address of a server"), "write it as HOST or HOST:PORT");
    // Quotes would end the value in the file.
    if given.is_empty() || given.contains(['"', '\\', ' ']) || given.chars().any(char::is_control) {
        return Err(wrong());
    }
    if given.starts_with('/') {
        return Ok((given.to_owned(), DEFAULT_PORT));
    }
    let (host, port) = match given.rsplit_once(':') {
        // An address of IPv6 without brackets has no port.
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => (given, DEFAULT_PORT),
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (given, DEFAULT_PORT),
    };
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

fn configuration(options: &InitOptions, name: &str, host: &str, port: u16) -> String {
    let quoted = |text: &str| toml_string(text);
    let ca = match &options.server_ca {
        Some(path) => {
            format!("ca = {}", quoted(&std::path::absolute(path).unwrap_or(path.clone()).display().to_string()))
        }
        None => "# ca = \"authority.pem\"      # the authority of its certificate; needed unless it is on this machine"
            .to_owned(),
    };
    format!(
        "# A gateway of vigie. Paths are relative to this file; docs/gateway.md explains each line.
schema = \"gateway/1\"
listen = \"127.0.0.1:6432\"     # where clients connect; elsewhere than on the loopback only with [tls]
admin = \"127.0.0.1:6433\"      # health, metrics, explanations, for programs on this machine
# admin_token = \"admin.token\"  # asks for this token, which you need behind a proxy
secret = \"gateway.secret\"     # the same for all gateways of a deployment; whoever reads it can be any of them
# seal_keys = \"cells.keys\"     # of columns that the data map seals; `vigie gateway seal-key` makes it

[server]
host = {host}
port = {port}
database = {database}
control_role = {control}
{ca}

# [tls]
# certificate = \"gateway.pem\"
# key = \"gateway.key\"
# client_ca = \"staff.pem\"     # takes certificates of people and services

[policy]
map = \"policy/map.toml\"
zones = \"policy/zones.toml\"
cedar = \"policy/policies\"

[people]
file = \"people.toml\"
unknown_network = \"deny\"      # what an address in none of the networks below means: deny, or allow
# oidc = {{ issuer = \"https://idp.example\", audience = \"vigie\", keys_url = \"https://idp.example/keys\" }}
# [[people.network]]          # for each network that readers come from
# cidr = \"192.0.2.0/24\"
# country = \"IE\"              # who is on record elsewhere is refused

[ledger]
folder = \"accesses\"           # or url = \"http://127.0.0.1:8650\", of a `vigie ledger serve`
vault = \"vault\"               # one for each gateway
client_address = false        # whether the addresses of clients are recorded

# [limits] and [aggregates] have defaults.
",
        host = quoted(host),
        database = quoted(&options.database),
        control = quoted(&format!("vigie_{name}_control")),
    )
}

/// Writes a text as TOML does.
fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            other if other.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(other));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

const PEOPLE: &str = "# Who may ask, as the HR record says it: a file that HR writes, not the people in it.
schema = \"people/1\"

# [[person]]
# id = \"aoife@platform.example\"          # what is given as the user, at most 63 bytes
# name = \"Aoife Example\"
# entity = \"Platform Ireland Ltd\"        # the legal entity, as zones.toml has it
# country = \"IE\"
# groups = [\"fraud\"]
# training_until = \"2027-06-30\"          # the last day on which training is current
# scram = \"SCRAM-SHA-256$4096:…\"         # printed by `vigie gateway verifier`
";

/// Writes a configuration to begin with.
pub fn init(options: &InitOptions, common: &Common) -> Result<u8, Fault> {
    let folder = &options.folder;
    if folder.exists() {
        return Err(failed(format!("`{}` is there already", folder.display()), "name a folder that does not exist"));
    }
    let (host, port) = server_of(&options.server)?;
    let is_here = host.starts_with('/') || ["localhost", "127.0.0.1", "::1"].contains(&host.as_str());
    if !is_here && options.server_ca.is_none() {
        return Err(failed(
            format!("`{host}` is not this machine, and nothing was named that would vouch for it"),
            "name the authority of its certificate with `--server-ca FILE`",
        ));
    }
    let named = options.name.as_ref().map(ToString::to_string);
    let name = match named {
        Some(name) => name,
        None => options
            .database
            .replace('_', "-")
            .parse::<vigie_policy::names::MapName>()
            .map(|name| name.to_string())
            .map_err(|error| {
                failed(
                    format!("no data map can be called `{}`: {}", options.database, in_full(&error)),
                    "give the name in the data map with `--name NAME`",
                )
            })?,
    };
    let secret: [u8; 32] = crate::ledger::random()?;
    private::folder(folder)?;
    private::file(&folder.join("gateway.toml"), configuration(options, &name, &host, port).as_bytes())?;
    private::file(&folder.join("gateway.secret"), format!("{}\n", hex(&secret)).as_bytes())?;
    private::file(&folder.join("people.toml"), PEOPLE.as_bytes())?;
    let steps = steps(folder, &options.database, &name, &host, port);
    if common.json {
        print_line(&json_of(&json!({ "schema": "vigie-gateway-init/1", "folder": folder, "next": steps }))?);
    } else if !common.quiet {
        print_line(&format!(
            "Made {}, with a secret of its own. Next, as the owner of the database:",
            folder.display()
        ));
        steps.iter().for_each(|step| print_line(&format!("  {step}")));
    }
    Ok(0)
}

fn steps(folder: &Path, database: &str, name: &str, host: &str, port: u16) -> Vec<String> {
    let folder = folder.display();
    vec![
        format!("export VIGIE_DATABASE=\"host={host} port={port} dbname={database} user=OWNER\""),
        format!(
            "mkdir -p {folder}/policy/policies && vigie policy init {name} > {folder}/policy/map.toml   # correct it"
        ),
        format!("$EDITOR {folder}/policy/zones.toml {folder}/policy/policies/*.cedar {folder}/people.toml"),
        format!("vigie choices install {folder}/policy && vigie choices work-off"),
        format!("vigie policy apply {folder}/policy --secret-file {folder}/gateway.secret"),
        format!("vigie ledger init {folder}/accesses --origin ORGANISATION.example/accesses"),
        format!("vigie gateway check --config {folder}/gateway.toml"),
        format!("vigie gateway --config {folder}/gateway.toml"),
    ]
}

/// Looks at everything that a gateway needs.
pub async fn check(options: &ConfigOptions, common: &Common) -> Result<u8, Fault> {
    let config = config_of(options)?;
    let needs = gateway::check(&config, serving::reader()?).await;
    let troubles = needs.iter().filter(|need| need.trouble.is_some()).count();
    if common.json {
        let rows: Vec<_> = needs
            .iter()
            .map(|need| {
                json!({
                    "what": need.what,
                    "trouble": need.trouble.as_ref().map(|trouble| vigie_gateway::in_full(trouble)),
                    "help": need.trouble.as_ref().and_then(gateway::GatewayError::help),
                })
            })
            .collect();
        print_line(&json_of(&json!({ "schema": "vigie-gateway-check/1", "ready": troubles == 0, "needs": rows }))?);
        return Ok(u8::from(troubles > 0));
    }
    for need in &needs {
        match &need.trouble {
            None => print_line(&format!("ok       {}", need.what)),
            Some(trouble) => {
                print_line(&format!("MISSING  {}: {}", need.what, vigie_gateway::in_full(trouble)));
                if let Some(help) = trouble.help() {
                    print_line(&format!("         help: {help}"));
                }
            }
        }
    }
    print_line(&match troubles {
        0 => format!("the gateway to `{}` could run", config.server.database),
        some => format!("the gateway could not run: {some} of {} things are missing", needs.len()),
    });
    Ok(u8::from(troubles > 0))
}

/// Makes what people.toml keeps of a password.
pub fn verifier(common: &Common) -> Result<u8, Fault> {
    if std::io::stdin().is_terminal() && !common.quiet {
        eprintln!("vigie: the password, then Enter and Ctrl-D (it shows; better pipe it in)");
    }
    let mut password = String::new();
    std::io::stdin()
        .take(4096)
        .read_to_string(&mut password)
        .map_err(|error| failed(format!("the password cannot be read: {}", in_full(&error)), "pipe it in, in UTF-8"))?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.chars().count() < SHORTEST {
        return Err(failed(
            format!("the password has {} characters, fewer than {SHORTEST}", password.chars().count()),
            "make one, for instance with `openssl rand -base64 18`, and pipe it in",
        ));
    }
    let salt: [u8; 16] = crate::ledger::random()?;
    // As many iterations as unknown names are answered with, so that known ones do not show.
    let verifier = scram::verifier(password, &salt, scram::ITERATIONS);
    if common.json {
        print_line(&json_of(&json!({ "schema": "vigie-verifier/1", "scram": verifier }))?);
    } else {
        print_line(&verifier);
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_or_without_its_port() {
        let check = |given: &str, host: &str, port: u16| {
            assert_eq!(server_of(given).unwrap_or_else(|error| panic!("{error}")), (host.to_owned(), port), "{given}");
        };
        check("127.0.0.1", "127.0.0.1", 5432);
        check("127.0.0.1:55432", "127.0.0.1", 55432);
        check("db.example:5433", "db.example", 5433);
        check("::1", "::1", 5432);
        check("[::1]:6000", "::1", 6000);
        check("/run/postgresql", "/run/postgresql", 5432);
        for wrong in ["", "host:port", "a b", "a\"b", "host:70000"] {
            assert!(server_of(wrong).is_err(), "{wrong}");
        }
    }
}
