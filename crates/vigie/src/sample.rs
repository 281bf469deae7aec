//! `vigie sample`: an authority demands, an operator answers or refuses, anybody checks.
//!
//! The authority signs what it demands over a cosigned head, with a number that it keeps until the beacon's round is out;
//! demand, answer, refusal and silence are entries, each dated by the ledger that has it. What a sample of accesses needs
//! beyond that is in `gateway`, which shares what is here.
//!
//! The surprise: `check` needs no network, and no word of the operator's but its ledger's key.

use crate::{
    arguments::Common,
    fault::Fault,
    gateway::private,
    inspect::{json_of, print_line},
    keep::in_full,
    ledger::{LedgerTarget, TrustArguments, in_words, open as open_ledger, policy_of, random},
    transfer::{self, RegisterArguments},
};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use vigie_ledger::{
    Checkpoint, Entry, EventId, Hash, KeyName, Kind, Note, SignerKey, TrustPolicy, VerifierKey,
    answer::Answer,
    commitment::{Place, Salt, commit},
    entry::Flags,
    hash::hex,
    key::Algorithm,
    opening::Seen,
    reader::{Source as _, fetch_entry},
    sampling::{Demand, Round, Seed, Unit, sample_size, upper_bound},
    tile::Resource,
};
use vigie_transfers::field::read_row;

/// How long after the head's last cosignature the beacon's round is, in seconds.
///
/// Ours: nobody may know the round when the head is fixed, also not if clocks differ by some minutes.
const MARGIN_SECONDS: u64 = 300;

/// `vigie sample`.
#[derive(Debug, Args)]
pub struct SampleOptions {
    /// What is to be done with samples.
    #[command(subcommand)]
    pub command: SampleCommand,
}

/// What can be done with samples.
#[derive(Debug, Subcommand)]
pub enum SampleCommand {
    /// Make the key by which an authority signs its demands and orders
    Key(KeyOptions),
    /// Demand a sample of a ledger's rows (the authority's side)
    Demand(DemandOptions),
    /// Open exactly the rows that were drawn, or refuse and say why (the operator's side)
    Answer(AnswerOptions),
    /// Check an answer offline, and say what the sample shows
    Check(CheckOptions),
    /// Put on record that a demand was not answered in time (the authority's side)
    Silence(SilenceOptions),
}

/// `vigie sample key`.
#[derive(Debug, Args)]
pub struct KeyOptions {
    /// The name of the key, for instance cnil.example/demands
    #[arg(value_name = "NAME")]
    pub name: KeyName,
    /// The file of the secret key; it must not exist
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// What is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnitArgument {
    /// Entries: what was done, whole
    Entry,
    /// Rows: what was handed over or read, record by record
    Row,
}

/// `vigie sample demand`.
#[derive(Debug, Args)]
pub struct DemandOptions {
    /// The operator's ledger: a folder, or its address
    #[arg(value_name = "LEDGER")]
    pub ledger: String,
    /// Whom to believe about it.
    #[command(flatten)]
    pub trust: TrustArguments,
    /// The authority's secret key
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// What is sampled
    #[arg(long, value_name = "WHAT", default_value = "row")]
    pub unit: UnitArgument,
    /// First index of the population [default: 0]
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub from: u64,
    /// End of the population, excluded [default: all there is]
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// How many are drawn [default: as many as show a bad share of 1 % with 99 % confidence]
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// By when the answer is due, for instance 2026-12-07T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub deadline: jiff::Timestamp,
    /// The round of drand quicknet that decides [default: the first one five minutes from now]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub round: Option<u64>,
    /// The ledger in which the demand is logged: a folder, or an address
    #[arg(long, value_name = "LEDGER")]
    pub log: Option<String>,
    /// The token that ledger asks for
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The folder for demand, head and secret number; it must not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What draws a sample, once it is out.
#[derive(Debug, Args)]
pub struct DrawArguments {
    /// The random number that the authority revealed, in hexadecimal, or a file with it
    #[arg(long, value_name = "HEX|FILE")]
    pub nonce: Option<String>,
    /// The signature of the beacon's round, in hexadecimal, or a file with it
    #[arg(long, value_name = "HEX|FILE")]
    pub beacon: Option<String>,
}

/// `vigie sample answer`.
#[derive(Debug, Args)]
pub struct AnswerOptions {
    /// The demand, as the authority sent it
    #[arg(value_name = "DEMAND")]
    pub demand: PathBuf,
    /// Which flows.
    #[command(flatten)]
    pub register: RegisterArguments,
    /// What draws the sample.
    #[command(flatten)]
    pub draw: DrawArguments,
    /// The signed head that the demand names [default: the ledger's present one]
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Show nothing, and put on record why
    #[arg(long, value_name = "WHY", requires = "by", conflicts_with_all = ["nonce", "beacon"])]
    pub refuse: Option<String>,
    /// Who refuses
    #[arg(long, value_name = "NAME", requires = "refuse")]
    pub by: Option<String>,
    /// The folder of the answer; it must not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `vigie sample check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The demand
    #[arg(value_name = "DEMAND")]
    pub demand: PathBuf,
    /// The answer
    #[arg(value_name = "ANSWER")]
    pub answer: PathBuf,
    /// The key of the operator's ledger
    #[arg(long, value_name = "KEY", required_unless_present = "policy", conflicts_with = "policy")]
    pub key: Option<VerifierKey>,
    /// Which ledgers and witnesses are believed (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The key of the authority that demanded
    #[arg(long, value_name = "KEY")]
    pub authority: VerifierKey,
    /// What draws the sample.
    #[command(flatten)]
    pub draw: DrawArguments,
    /// Write what was opened, one JSON object a line: personal data
    #[arg(long, value_name = "FILE")]
    pub rows: Option<PathBuf>,
}

/// `vigie sample silence`.
#[derive(Debug, Args)]
pub struct SilenceOptions {
    /// The demand that was not answered
    #[arg(value_name = "DEMAND")]
    pub demand: PathBuf,
    /// The authority's secret key
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// The ledger in which that is logged: a folder, or an address
    #[arg(long, value_name = "LEDGER")]
    pub log: String,
    /// The token that ledger asks for
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where the signed statement is written; it must not exist
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

pub(crate) fn failed(why: impl Into<String>) -> Fault {
    Fault::Sample { why: why.into(), help: None }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Carries out `vigie sample …`.
pub async fn run(options: &SampleOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        SampleCommand::Key(options) => key(options, common),
        SampleCommand::Demand(options) => demand(options, common),
        SampleCommand::Answer(options) => answer(options, common).await,
        SampleCommand::Check(options) => check(options, common),
        SampleCommand::Silence(options) => silence(options, common),
    }
}

fn key(options: &KeyOptions, common: &Common) -> Result<u8, Fault> {
    let key = SignerKey::from_seed(options.name.clone(), Algorithm::Ed25519, random()?);
    private::file(&options.out, format!("{}\n", key.to_secret_text()).as_bytes())?;
    let public = key.verifier().to_string();
    print_line(&if common.json { json_of(&json!({ "key": public }))? } else { public });
    Ok(0)
}

/// Reads a secret key of an authority.
pub(crate) fn signer_of(path: &Path) -> Result<SignerKey, Fault> {
    let text = String::from_utf8_lossy(&file_of(path)?).into_owned();
    SignerKey::from_secret_text(text.trim())
        .map_err(|error| failed(format!("`{}` is no secret key: {error}", path.display())))
}

pub(crate) fn file_of(path: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(path).map_err(|error| failed(format!("`{}` cannot be read: {}", path.display(), in_full(&error))))
}

/// Makes sure that nothing is written over.
pub(crate) fn must_be_new(path: &Path) -> Result<(), Fault> {
    if path.exists() {
        return Err(Fault::Sample {
            why: format!("`{}` is there already", path.display()),
            help: Some("name one that does not exist with `--out`".to_owned()),
        });
    }
    Ok(())
}

pub(crate) fn bytes_of(digits: &str, what: &str) -> Result<Vec<u8>, Fault> {
    let digits = digits.trim();
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(failed(format!("{what} is not hexadecimal")));
    }
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|error| failed(error.to_string()));
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// Reads a demand, signed or not; whose signature counts is for who commands this to know.
pub(crate) fn demand_of(path: &Path) -> Result<Demand, Fault> {
    let bytes = file_of(path)?;
    let text = match Note::parse(&bytes) {
        Ok(note) => note.text().to_owned(),
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    Demand::parse(&text).map_err(|error| failed(format!("`{}` is no demand: {}", path.display(), in_full(&error))))
}

/// Reads a demand that one of these keys signed; its hash is that of the signed note's text.
fn signed_demand(path: &Path, keys: &[&VerifierKey]) -> Result<Demand, Fault> {
    let note = Note::parse(&file_of(path)?)
        .map_err(|error| failed(format!("`{}` is no signed demand: {}", path.display(), in_full(&error))))?;
    note.verify(keys.iter().copied()).map_err(|error| Fault::Sample {
        why: format!("`{}` is not signed by a known authority: {}", path.display(), in_full(&error)),
        help: Some("the key of an authority is what `vigie sample key` printed for it".to_owned()),
    })?;
    Demand::parse(note.text())
        .map_err(|error| failed(format!("`{}` is no demand: {}", path.display(), in_full(&error))))
}

/// Checks the beacon and the authority's number, and returns the seed.
pub(crate) fn seed_of(demand: &Demand, nonce: &[u8], beacon: &[u8]) -> Result<Seed, Fault> {
    vigie_ledger::beacon::verify(demand.round, beacon)
        .map_err(|error| failed(format!("the beacon's signature is wrong: {}", in_full(&error))))?;
    demand
        .seed(nonce, beacon)
        .ok_or_else(|| failed("the authority's number is not the one that its demand committed to"))
}

fn drawn(demand: &Demand, draw: &DrawArguments) -> Result<Seed, Fault> {
    let read = |given: &Option<String>, what: &str, option: &str| -> Result<Vec<u8>, Fault> {
        let given = given.as_ref().ok_or_else(|| failed(format!("{what} is needed: give it with `{option}`")))?;
        let path = Path::new(given);
        let text = if path.is_file() { String::from_utf8_lossy(&file_of(path)?).into_owned() } else { given.clone() };
        bytes_of(&text, what)
    };
    let nonce = read(&draw.nonce, "the authority's number", "--nonce")?;
    seed_of(demand, &nonce, &read(&draw.beacon, "the beacon's signature", "--beacon")?)
}

/// Makes sure that a signed head is the demand's.
pub(crate) fn head_of(bytes: Vec<u8>, demand: &Demand) -> Result<Vec<u8>, Fault> {
    let note = Note::parse(&bytes).map_err(|error| failed(in_full(&error)))?;
    let head = Checkpoint::parse(note.text()).map_err(|error| failed(in_full(&error)))?;
    if head == demand.head {
        return Ok(bytes);
    }
    Err(Fault::Sample {
        why: format!(
            "the demand is over a head of {} entries, the checkpoint given is of {}",
            demand.head.size(),
            head.size()
        ),
        help: Some("name the very checkpoint that the authority took with `--checkpoint FILE`".to_owned()),
    })
}

/// Logs a statement as an entry that refers to it: its hash is public, its text is who has it's.
fn log_statement(log: &LedgerTarget, kind: Kind, flags: Flags, text: &[u8]) -> Result<u64, Fault> {
    let (event_id, salt) = (EventId(random()?), Salt(random()?));
    let mut entry = Entry::new(kind, now(), event_id, commit(&salt, event_id, Place::Header, text));
    (entry.flags, entry.peer_ref) = (flags, Hash::of(text));
    log.append_entry(&entry.to_bytes())
}

/// `vigie sample demand`.
fn demand(options: &DemandOptions, common: &Common) -> Result<u8, Fault> {
    must_be_new(&options.out)?;
    let key = signer_of(&options.key_file)?;
    let opened = open_ledger(&options.ledger, &options.trust)?;
    let unread = |error: &dyn std::error::Error| failed(format!("the ledger cannot be read: {}", in_full(error)));
    let checkpoint = opened.source.fetch(Resource::Checkpoint).map_err(|error| unread(&error))?;
    let checkpoint = checkpoint.ok_or_else(|| failed("the ledger has published no head yet"))?;
    let attested = opened.policy.attest(&checkpoint).map_err(|error| unread(&error))?;
    let head = attested.checkpoint.checkpoint().clone();
    if head.size() == 0 {
        return Err(failed("the ledger is empty: there is nothing to draw from"));
    }
    let unit = match options.unit {
        UnitArgument::Entry => Unit::Entry,
        UnitArgument::Row => Unit::Row,
    };
    let population = match unit {
        Unit::Entry => head.size(),
        Unit::Row => {
            let last = fetch_entry(&opened.source, head.size() - 1, head.size()).map_err(|error| unread(&error))?;
            let last = Entry::parse(&last).map_err(|error| unread(&error))?;
            last.row_base + last.row_count
        }
    };
    let (from, to) = (options.from, options.to.unwrap_or(population));
    if from >= to || to > population {
        return Err(failed(format!(
            "the ledger has {population} {}; there is nothing from {from} to {to}, the end excluded",
            plural(unit)
        )));
    }
    let count = options.count.unwrap_or_else(|| sample_size(to - from, 0.01, 0.99));
    let after = attested.latest().unwrap_or(0).max(now()) + MARGIN_SECONDS;
    let round = options.round.map_or_else(|| Round::after(after), Round);
    let deadline = u64::try_from(options.deadline.as_second()).unwrap_or(0);
    if deadline <= round.time() {
        return Err(failed(format!(
            "the deadline is before the beacon's round {} is out, at {}",
            round.0,
            in_words(round.time())
        )));
    }
    let nonce: [u8; 32] = random()?;
    let demand = Demand { head, unit, from, to, count, deadline, round, nonce_commit: Hash::of(&nonce) };
    let demand = demand.validated().map_err(|error| failed(in_full(&error)))?;
    let mut note = Note::new(demand.to_string()).map_err(|error| failed(in_full(&error)))?;
    note.add(key.sign(note.text()));
    private::folder(&options.out)?;
    private::file(&options.out.join("nonce"), format!("{}\n", hex(&nonce)).as_bytes())?;
    private::file(&options.out.join("demand"), note.to_string().as_bytes())?;
    private::file(&options.out.join("checkpoint"), &checkpoint)?;
    let logged = match &options.log {
        None => None,
        Some(log) => {
            let log = LedgerTarget::open(log, options.token_file.as_deref())?;
            let index = log_statement(&log, Kind::Demand, Flags::NONE, note.text().as_bytes())?;
            log.close()?;
            Some(index)
        }
    };
    if common.json {
        let out = &options.out;
        let document = json!({ "schema": "vigie-demand/1", "unit": unit.name(), "from": from, "to": to, "count": count,
            "round": round.0, "round_time": round.time(), "deadline": deadline, "logged": logged, "folder": out });
        print_line(&json_of(&document)?);
        return Ok(0);
    }
    print_line(&format!(
        "Demanded {count} of {} {}, drawn by round {} of drand quicknet",
        to - from,
        plural(unit),
        round.0
    ));
    print_line(&format!("  send      {}", options.out.join("demand").display()));
    print_line(&format!(
        "  keep      {}, and reveal it after {}",
        options.out.join("nonce").display(),
        in_words(round.time())
    ));
    print_line(&format!("  deadline  {}", in_words(deadline)));
    if round.time() <= now() {
        print_line("  round     it is out already: this is no sample that nobody could know before");
    }
    match logged {
        Some(index) => print_line(&format!("  logged    entry {index}")),
        None => {
            print_line("  not logged: name a ledger with `--log LEDGER`, or nobody can show later when it was made");
        }
    }
    if to - from > 1000 {
        print_line(&format!("  a sample finds rates, not needles: {}", needle(to - from)));
    }
    Ok(0)
}

fn plural(unit: Unit) -> &'static str {
    match unit {
        Unit::Entry => "entries",
        Unit::Row => "rows",
    }
}

fn needle(population: u64) -> String {
    let bad = 10.0 / population as f64;
    format!("to find one of 10 bad ones with 99 % confidence takes {}", sample_size(population, bad, 0.99))
}

/// `vigie sample answer`.
async fn answer(options: &AnswerOptions, common: &Common) -> Result<u8, Fault> {
    must_be_new(&options.out)?;
    let register = options.register.read()?;
    let keys: Vec<&VerifierKey> = register.authorities.iter().map(|authority| &authority.key).collect();
    let demand = signed_demand(&options.demand, &keys)?;
    let books = transfer::Books::open(&register.operator)?;
    let outcome = match (&options.refuse, &options.by) {
        (Some(why), Some(by)) => refuse(options, common, &demand, &books, why, by).await,
        _ => show(options, common, &demand, &books).await,
    };
    let closed = books.close();
    let code = outcome?;
    closed.map(|()| code)
}

async fn show(options: &AnswerOptions, common: &Common, demand: &Demand, books: &transfer::Books) -> Result<u8, Fault> {
    let seed = drawn(demand, &options.draw)?;
    let source = books.source()?;
    let checkpoint = if let Some(path) = &options.checkpoint {
        file_of(path)?
    } else {
        let head = source.fetch(Resource::Checkpoint).map_err(|error| failed(in_full(&error)))?;
        head.ok_or_else(|| failed("the ledger has published no head yet"))?
    };
    let checkpoint = head_of(checkpoint, demand)?;
    let answered = books.accounts.answer_demand(demand, &seed, &checkpoint, source).await;
    let answered = answered.map_err(|error| failed(in_full(&error)))?;
    let bytes = answered.answer.to_bytes();
    let missing: Vec<(u64, String)> = answered.missing.iter().map(|(index, why)| (*index, why.to_string())).collect();
    // Logged before anybody has it: what is shown later cannot be another answer.
    let index = books.log(Kind::Answer, Flags::NONE, Hash::of(&bytes), statement(demand, "answered", &[])).await?;
    write_answer(&options.out, common, demand, &bytes, &missing, Some(index))
}

/// Writes a statement about a demand.
fn statement(demand: &Demand, what: &str, lines: &[(&str, &str)]) -> String {
    let hash = Hash::of(demand.to_string().as_bytes()).to_hex();
    let mut text = format!("vigie/sample-statement/v1\ndemand sha256:{hash}\n{what}\n");
    for (name, value) in lines {
        text.extend([*name, " ", &value.replace(['\n', '\r'], " "), "\n"]);
    }
    text
}

async fn refuse(
    options: &AnswerOptions,
    common: &Common,
    demand: &Demand,
    books: &transfer::Books,
    why: &str,
    by: &str,
) -> Result<u8, Fault> {
    let text = statement(demand, "refused", &[("by", by), ("why", why)]);
    let index = books.log(Kind::Answer, Flags::DENIED, Hash::of(text.as_bytes()), text.clone()).await?;
    private::folder(&options.out)?;
    private::file(&options.out.join("refusal"), text.as_bytes())?;
    if common.json {
        print_line(&json_of(&json!({ "schema": "vigie-answer/1", "refused": why, "by": by, "logged": index }))?);
    } else {
        print_line(&format!("Refused, and on record as entry {index}: {by} says: {why}"));
    }
    Ok(1)
}

/// Writes an answer, and what is not in it.
pub(crate) fn write_answer(
    out: &Path,
    common: &Common,
    demand: &Demand,
    answer: &[u8],
    missing: &[(u64, String)],
    logged: Option<u64>,
) -> Result<u8, Fault> {
    private::folder(out)?;
    private::file(&out.join("answer"), answer)?;
    let lines: Vec<String> = missing.iter().map(|(index, why)| format!("{index} {why}")).collect();
    let end = if lines.is_empty() { "" } else { "\n" };
    private::file(&out.join("missing.txt"), [&lines.join("\n"), end].concat().as_bytes())?;
    if common.json {
        let missing: Vec<_> = missing.iter().map(|(index, why)| json!({ "index": index, "why": why })).collect();
        let mut document = json!({ "schema": "vigie-answer/1", "asked": demand.count, "missing": missing });
        if let Some(logged) = logged {
            document["logged"] = logged.into();
        }
        print_line(&json_of(&document)?);
    } else {
        let shown = demand.count.saturating_sub(missing.len() as u64);
        let place = out.join("answer");
        print_line(&format!("{shown} of {} indexes are shown in {}", demand.count, place.display()));
        missing.iter().for_each(|(index, why)| print_line(&format!("  missing {index}: {why}")));
        if let Some(logged) = logged {
            print_line(&format!("  logged as entry {logged}"));
        }
    }
    Ok(u8::from(!missing.is_empty()))
}

/// `vigie sample check`.
fn check(options: &CheckOptions, common: &Common) -> Result<u8, Fault> {
    let demand = signed_demand(&options.demand, &[&options.authority])?;
    let seed = drawn(&demand, &options.draw)?;
    let policy = match (&options.policy, &options.key) {
        (Some(path), _) => policy_of(path)?,
        (None, Some(key)) => TrustPolicy::of_log(key.clone()),
        (None, None) => return Err(failed("whose ledger is believed was not said")),
    };
    let answer = Answer::parse(&file_of(&options.answer)?)
        .map_err(|error| failed(format!("`{}` is no answer: {}", options.answer.display(), in_full(&error))))?;
    let asked = Hash::of(demand.to_string().as_bytes());
    if answer.demand != asked {
        return Err(failed(format!(
            "the answer is to demand sha256:{}, not to this one, sha256:{}",
            answer.demand.to_hex(),
            asked.to_hex()
        )));
    }
    let outcome = answer.check(&demand, &seed, &policy);
    let tally = outcome.tally();
    let failures: Vec<(u64, String)> = outcome
        .shown
        .iter()
        .filter_map(|(index, seen)| seen.as_ref().err().map(|failure| (*index, in_full(failure))))
        .collect();
    if let Some(path) = &options.rows {
        let mut lines = String::new();
        for (index, seen) in &outcome.shown {
            if let Ok(Seen::Opened(bytes)) = seen {
                lines.push_str(&opened_to_json(*index, bytes).to_string());
                lines.push('\n');
            }
        }
        private::file(path, lines.as_bytes())?;
    }
    let (drawn, failed, erased) = (tally.drawn, tally.failed, tally.erased);
    let percent = |failures: u64| 100.0 * upper_bound(drawn, failures, 0.99);
    if common.json {
        let failures: Vec<_> = failures.iter().map(|(index, why)| json!({ "index": index, "why": why })).collect();
        let document = json!({ "schema": "vigie-sample-check/1", "unit": demand.unit.name(), "population": demand.to - demand.from,
            "drawn": drawn, "opened": tally.opened, "erased": erased, "failed": failed, "failures": failures,
            "unasked": outcome.unasked, "confidence": 0.99,
            "bound_erased_good_percent": percent(failed), "bound_erased_bad_percent": percent(failed + erased) });
        print_line(&json_of(&document)?);
        return Ok(u8::from(failed > 0));
    }
    let units = plural(demand.unit);
    print_line(&format!(
        "{failed} of {drawn} failed: at 99 % confidence fewer than {:.2} % of the {} {units} cannot be shown as they were logged",
        percent(failed),
        demand.to - demand.from
    ));
    if erased > 0 {
        print_line(&format!(
            "{erased} of {drawn} were erased before the demand, and are unknown: if all of them were bad, fewer than {:.2} %",
            percent(failed + erased)
        ));
    }
    failures.iter().for_each(|(index, why)| print_line(&format!("  {} {index}: {why}", demand.unit.name())));
    if !outcome.unasked.is_empty() {
        print_line(&format!("{} items were not asked for, and count for nothing", outcome.unasked.len()));
    }
    Ok(u8::from(failed > 0))
}

fn opened_to_json(index: u64, bytes: &[u8]) -> serde_json::Value {
    match read_row(bytes) {
        Some(row) => {
            let said: serde_json::Map<_, _> = row.said.into_iter().map(|(name, value)| (name, value.into())).collect();
            let fields: serde_json::Map<_, _> =
                row.fields.into_iter().map(|(name, value)| (name, value.into())).collect();
            json!({ "index": index, "said": said, "row": fields })
        }
        None => json!({ "index": index, "text": String::from_utf8_lossy(bytes) }),
    }
}

/// `vigie sample silence`.
fn silence(options: &SilenceOptions, common: &Common) -> Result<u8, Fault> {
    must_be_new(&options.out)?;
    let key = signer_of(&options.key_file)?;
    let demand = signed_demand(&options.demand, &[key.verifier()])?;
    let now = now();
    if now <= demand.deadline {
        return Err(failed(format!("the demand may be answered until {}", in_words(demand.deadline))));
    }
    let said = [("deadline", in_words(demand.deadline)), ("at", in_words(now))];
    let lines: Vec<(&str, &str)> = said.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let text = statement(&demand, "unanswered", &lines);
    let mut note = Note::new(text).map_err(|error| failed(in_full(&error)))?;
    note.add(key.sign(note.text()));
    let log = LedgerTarget::open(&options.log, options.token_file.as_deref())?;
    let index = log_statement(&log, Kind::Answer, Flags::DENIED, note.text().as_bytes())?;
    log.close()?;
    private::file(&options.out, note.to_string().as_bytes())?;
    if common.json {
        print_line(&json_of(&json!({ "schema": "vigie-silence/1", "deadline": demand.deadline, "logged": index }))?);
    } else {
        print_line(&format!("Not answered by {}; on record as entry {index}", in_words(demand.deadline)));
    }
    Ok(1)
}
