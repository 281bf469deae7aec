//! Hand-overs and samples from the command line, from the register to what an authority reads: a real database, two
//! ledgers, an order, a demand, an answer, a refusal, silence.

use crate::{World, trial};
use libtest_mimic::Trial;
use serde_json::Value;
use std::{path::Path, process::Output, sync::Arc};
use vigie_testkit::postgres::PostgresServer;

/// Round 1000 of drand quicknet.
const BEACON: &str = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";

const MAP: &str = r#"
schema = "data-map/1"
name = "pixelle"
subject_type = "bigint"
[[purpose]]
name = "advertising"
term = "dpv:PersonalisedAdvertising"
bit = 0
basis = "consent"
[[table]]
name = "public.users"
owner = "accounts@pixelle.example"
subject = "id"
mask = "pmask"
residency = "EU"
retention = "P3Y"
[[table.column]]
name = "id"
class = "pseudonymous"
[[table.column]]
name = "country"
class = "personal"
"#;

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    vec![trial(world, "transfers::from_the_register_to_what_an_authority_reads".to_owned(), whole)]
}

struct Desk<'w> {
    world: &'w World,
    folder: &'w Path,
    database: String,
}

impl Desk<'_> {
    fn run(&self, line: &str) -> Output {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut command = self.world.vigie(&arguments);
        command.current_dir(self.folder).env("VIGIE_DATABASE", &self.database);
        command
            .env("VIGIE_FLOWS", "flows.toml")
            .env("VIGIE_MAP", "map.toml")
            .output()
            .expect("the program can be started")
    }

    /// Runs a command that ends with this code, and returns what it said.
    fn says(&self, code: i32, line: &str) -> Result<String, String> {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.code() == Some(code) { Ok(said) } else { Err(format!("{line}: {:?}\n{said}", output.status)) }
    }

    fn read(&self, name: &str) -> Result<String, String> {
        std::fs::read_to_string(self.folder.join(name)).map_err(|error| format!("{name}: {error}"))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.join(name), text).map_err(|error| format!("{name}: {error}"))
    }
}

fn has(said: &str, expected: &str) -> Result<(), String> {
    if said.contains(expected) { Ok(()) } else { Err(format!("`{expected}` is not in:\n{said}")) }
}

fn whole(world: &World) -> Result<(), String> {
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    let postgres = PostgresServer::shared();
    let database = postgres.new_database();
    postgres.run_sql(
        &database,
        "CREATE TABLE users (id bigint PRIMARY KEY, country text, pmask bigint NOT NULL DEFAULT 0)",
    );
    postgres.run_sql(&database, "INSERT INTO users SELECT id, 'FR' FROM generate_series(1, 1000) id");
    let desk = Desk { world, folder: temporary.path(), database: postgres.address(&database) };
    desk.write("map.toml", MAP)?;
    desk.write("secret", &"07".repeat(32))?;
    desk.says(0, "choices install map.toml")?;
    let choose = "INSERT INTO vigie.choice (subject, purpose, recipient, state, decided_at, method)
                  SELECT id, 0, 'parent.example', CASE WHEN id % 10 < 3 THEN 'refused' ELSE 'given' END, now(), 'test' FROM users";
    postgres.run_sql(&database, choose);
    let operator = desk.says(0, "ledger init ledger --origin operator.example/transfers-out --json")?;
    let operator: Value = serde_json::from_str(&operator).map_err(|error| error.to_string())?;
    let key = operator["key"].as_str().unwrap_or_default();
    let authority = desk.says(0, "sample key cnil.example/demands --out cnil.key")?;
    let authority = authority.trim();
    let register = |purpose: &str| {
        format!(
            "schema = \"flows/1\"\ncontroller = \"Pixelle Ireland Ltd\"\n[operator]\nledger = \"ledger\"\nvault = \"vault\"\n\
             secret = \"secret\"\nstate = \"state\"\norders = \"orders\"\n[[authority]]\nname = \"CNIL\"\nkey = \"{authority}\"\n\
             [[flow]]\nname = \"ads\"\nrecipient = \"parent.example\"\nrole = \"controller\"\npurpose = \"{purpose}\"\n\
             basis = \"consent\"\nschedule = \"P1D\"\nresidency = \"US\"\nsubject = \"id\"\nbatch_records = 300\n\
             [flow.source]\nformat = \"postgres\"\nquery = \"SELECT * FROM users\"\nkey = \"id\"\n\
             [flow.destination]\nformat = \"csv\"\nto = \"out\"\n\
             [[flow.field]]\nname = \"id\"\ntype = \"integer\"\ntreatment = \"pseudonym\"\n[[flow.field]]\nname = \"country\"\n"
        )
    };
    desk.write("flows.toml", &register("advertisement"))?;
    has(
        &desk.says(1, "transfer check")?,
        "error: flows.toml:16: the data map has no purpose `advertisement`\n  help: did you mean `advertising`?",
    )?;
    has(&desk.says(2, "transfer run ads")?, "see all 1 with `vigie transfer check`")?;
    desk.write("flows.toml", &register("advertising"))?;
    has(
        &desk.says(0, "transfer check")?,
        "ads: id, country to parent.example (controller, US) for advertising on consent, P1D",
    )?;
    has(
        &desk.says(0, "transfer run ads")?,
        "700 of 1000 records left for parent.example in 4 batches; stayed: 300 refused",
    )?;

    desk.says(0, "ledger init ledger-in --origin parent.example/transfers-in")?;
    desk.write("secret-in", &"09".repeat(32))?;
    let receive = format!("transfer receive out --key {key} --ledger ledger-in --vault vault-in --secret secret-in");
    has(&desk.says(0, &receive)?, "700 records in 4 batches received; 0 refused")?;

    desk.says(0, "ledger init ledger-cnil --origin cnil.example/log")?;
    let demand = "sample demand ledger --key-file cnil.key --deadline 2099-01-01T00:00:00Z --round 1000 --log ledger-cnil --out demand";
    has(&desk.says(0, demand)?, "Demanded 336 of 700 rows, drawn by round 1000 of drand quicknet")?;
    let draw = format!("--nonce demand/nonce --beacon {BEACON}");
    has(&desk.says(0, &format!("sample answer demand/demand {draw} --out answer"))?, "336 of 336 indexes are shown")?;
    let check = format!("sample check demand/demand answer/answer --key {key} --authority {authority} {draw}");
    let said = desk.says(0, &format!("{check} --rows rows.ndjson"))?;
    has(&said, "0 of 336 failed: at 99 % confidence fewer than 1.")?;
    let rows = desk.read("rows.ndjson")?;
    has(&rows, "\"country\":\"FR\"")?;
    has(&rows, "\"purpose\":\"advertising\"")?;
    // Cut in the middle, and answered to another demand.
    let answer = desk.read("answer/answer")?;
    desk.write("answer-cut", &answer[..answer.len() / 2])?;
    has(&desk.says(2, &check.replace("answer/answer", "answer-cut"))?, "ends within the item")?;
    let (first, rest) = answer.split_at(answer.rfind("item ").unwrap_or_default());
    desk.write("answer-less", first)?;
    has(&desk.says(1, &check.replace("answer/answer", "answer-less"))?, "1 of 336 failed")?;
    has(rest, "item ")?;
    let stranger = desk.says(0, "sample key stranger.example/demands --out stranger.key")?;
    let wrong = check.replace(authority, stranger.trim());
    has(&desk.says(2, &wrong)?, "is not signed by a known authority")?;

    let refuse = "sample answer demand/demand --refuse subject-to-US-law-only --by General-Counsel --out refusal";
    has(&desk.says(1, refuse)?, "General-Counsel says: subject-to-US-law-only")?;
    has(
        &desk.says(2, "sample silence demand/demand --key-file cnil.key --log ledger-cnil --out silence")?,
        "may be answered until 2099",
    )?;
    let late = demand.replace("2099", "2024").replace("--out demand", "--out late");
    desk.says(0, &late)?;
    has(
        &desk.says(1, "sample silence late/demand --key-file cnil.key --log ledger-cnil --out silence")?,
        "Not answered by 2024-01-01T00:00:00Z; on record as entry 2",
    )?;

    let order =
        "transfer order --authority CNIL --key-file cnil.key --reference MED-2017-075 --purpose advertising --out stop";
    desk.says(0, order)?;
    std::fs::create_dir(desk.folder.join("orders")).map_err(|error| error.to_string())?;
    std::fs::copy(desk.folder.join("stop"), desk.folder.join("orders/stop")).map_err(|error| error.to_string())?;
    has(&desk.says(0, "transfer orders")?, "in force: MED-2017-075 of CNIL")?;
    has(&desk.says(0, "transfer run ads")?, "0 of 1000 records left")?;
    desk.says(
        0,
        "transfer order --authority CNIL --key-file cnil.key --reference closed --lift stop --out orders/lift",
    )?;
    has(&desk.says(0, "transfer orders")?, "lifted ")?;
    has(&desk.says(0, "transfer run ads")?, "700 of 1000 records left")?;
    has(&desk.says(0, "transfer erase 4")?, "erased 2 rows from the vault")
}
