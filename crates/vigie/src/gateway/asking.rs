//! What a gateway's operator asks afterwards: why it was decided so, who read a person's data, a sample for an authority.
//!
//! The vault has one writer. If a gateway runs, it is asked at its `admin` address; if none runs, its vault and ledger are
//! opened here, and closed again.

use super::{
    arguments::{AnswerOptions, EraseOptions, ExplainOptions, ReportOptions},
    config_of, fault, private,
};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
    ledger::token_of,
    sample::{bytes_of, demand_of, file_of, head_of, must_be_new, seed_of, write_answer},
};
use serde_json::Value;
use std::{path::Path, time::Duration};
use url::Url;
use vigie_gateway::{
    GatewayError,
    accounting::report,
    admin::{self, Asked},
    config::Config,
    explain::{read_event_id, to_text},
    gateway::{Books, Secrets},
};
use vigie_ledger::sampling::{Demand, Seed};
use vigie_witness::source::LogSource;

/// How long a running gateway may take to answer: it proves every access of a report.
const PATIENCE: Duration = Duration::from_secs(600);
/// The largest answer of a running gateway, in bytes.
const MOST_BYTES: u64 = 4 << 30;

/// Who is asked.
enum Source {
    /// Vault and ledger, opened here.
    Books(Books),
    /// The gateway that has them open.
    Running(Running),
}

struct Running {
    address: Url,
    token: Option<String>,
    agent: ureq::Agent,
}

fn failed(why: String) -> Fault {
    Fault::Gateway { why, help: None }
}

fn source_of(config: &Config) -> Result<Source, Fault> {
    let secrets = Secrets::read(&config.secret).map_err(|error| fault(&error))?;
    if !config.ledger.vault.is_dir() {
        return Err(Fault::Gateway {
            why: format!("there is no vault in `{}`", config.ledger.vault.display()),
            help: Some("a gateway makes it when it runs for the first time".to_owned()),
        });
    }
    match Books::open(config, &secrets) {
        Ok(books) => Ok(Source::Books(books)),
        Err(GatewayError::Vault(vigie_vault::OpenError::Locked(_))) => Ok(Source::Running(running(config)?)),
        Err(error) => Err(fault(&error)),
    }
}

fn running(config: &Config) -> Result<Running, Fault> {
    let address = config.admin.filter(|address| address.port() != 0).ok_or_else(|| Fault::Gateway {
        why: "a running gateway has the vault open, and its configuration names no `admin` address to ask it at"
            .to_owned(),
        help: Some("add `admin = \"127.0.0.1:6433\"` to it and start the gateway again, or end it".to_owned()),
    })?;
    let address = Url::parse(&format!("http://{address}/")).map_err(|error| failed(error.to_string()))?;
    let token = config.admin_token.as_deref().map(token_of).transpose()?;
    let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
    Ok(Running { address, token: token.map(|token| token.trim().to_owned()), agent: agent.new_agent() })
}

impl Running {
    /// Asks; nothing if the gateway does not know what it is asked about.
    fn ask(&self, path: &[&str], body: Option<&[u8]>) -> Result<Option<Value>, Fault> {
        let mut url = self.address.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        let unanswered =
            |error: ureq::Error| failed(format!("the gateway at {} did not answer: {error}", self.address));
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let sent = match body {
            None => {
                let request = self.agent.get(url.as_str());
                match &bearer {
                    Some(bearer) => request.header("Authorization", bearer).call(),
                    None => request.call(),
                }
            }
            Some(body) => {
                let request = self.agent.post(url.as_str());
                match &bearer {
                    Some(bearer) => request.header("Authorization", bearer).send(body),
                    None => request.send(body),
                }
            }
        };
        let mut answer = sent.map_err(unanswered)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(MOST_BYTES).read_to_vec().map_err(unanswered)?;
        let said: Value = serde_json::from_slice(&text).map_err(|_| {
            failed(format!("what answers at {} is no gateway of this version (status {status})", self.address))
        })?;
        match (status, said["error"].as_str()) {
            (200, _) => Ok(Some(said)),
            (404, Some(_)) => Ok(None),
            (_, why) => {
                let why = why.unwrap_or("it gave no reason");
                Err(failed(format!("the gateway at {} refused: {why}", self.address)))
            }
        }
    }
}

/// Closes what was opened here, also after a failure.
fn closed<T>(books: &Books, outcome: Result<T, Fault>) -> Result<T, Fault> {
    let closing = books.close().map_err(|error| fault(&error));
    let answer = outcome?;
    closing.map(|()| answer)
}

/// `vigie gateway explain`.
pub async fn explain(options: &ExplainOptions, common: &Common) -> Result<u8, Fault> {
    let config = config_of(&options.gateway)?;
    let id = read_event_id(&options.id).ok_or_else(|| Fault::Gateway {
        why: format!("`{}` is not the name of a decision", options.id),
        help: Some("it has 32 hexadecimal digits, as in DETAIL of a denial".to_owned()),
    })?;
    let explained = match source_of(&config)? {
        Source::Running(running) => tokio::task::block_in_place(|| running.ask(&["explain", &id.to_string()], None))?,
        Source::Books(books) => {
            let explained = books.account.explain(id).await.map_err(|error| failed(in_full(&error)));
            closed(&books, explained)?.map(|explained| explained.to_json())
        }
    };
    let Some(explained) = explained else {
        return Err(Fault::Gateway {
            why: format!("this gateway's vault has no record of decision `{id}`"),
            help: Some("ask the gateway that took it: each has a vault of its own".to_owned()),
        });
    };
    print_line(if common.json { json_of(&explained)? } else { to_text(&explained) }.trim_end());
    Ok(u8::from(explained["denied"].as_bool().unwrap_or(true)))
}

/// `vigie access-report`.
pub async fn access_report(options: &ReportOptions, common: &Common) -> Result<u8, Fault> {
    let config = config_of(&options.gateway)?;
    if let Some(out) = &options.out {
        must_be_new(out)?;
    }
    let subject = &options.subject;
    let document = match source_of(&config)? {
        Source::Running(running) => tokio::task::block_in_place(|| running.ask(&["access-report", subject], None))?
            .ok_or_else(|| failed("the gateway knows no reports".to_owned()))?,
        Source::Books(books) => {
            let lines = books.account.access_report(subject.as_bytes()).await.map_err(|error| failed(in_full(&error)));
            report::to_json(&closed(&books, lines)?)
        }
    };
    let accesses: &[Value] = document["accesses"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(out) = &options.out {
        write_report(out, &document, accesses)?;
    }
    if common.json {
        print_line(&json_of(&document)?);
    } else {
        accesses.iter().for_each(|access| print_line(&in_words(access)));
        let receipts = options.out.as_ref().map(|out| format!("; receipts are in {}", out.display()));
        print_line(&format!("{} accesses{}", accesses.len(), receipts.unwrap_or_default()));
    }
    Ok(0)
}

/// Says an access in two lines.
fn in_words(access: &Value) -> String {
    let said = |name: &str| access["access"][name].as_str().unwrap_or("-");
    let time = access["time"].as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    format!(
        "{}  {} of {} in {} ({}) for {}: {} of {}\n  {}; decision {}, ledger entry {}, row {}",
        time.map_or_else(|| "-".to_owned(), |time| time.to_string()),
        said("who"),
        said("entity"),
        said("country"),
        said("zone"),
        said("purpose"),
        said("action"),
        access["columns"].as_str().unwrap_or("-"),
        said("decision"),
        access["event"].as_str().unwrap_or("-"),
        access["index"],
        access["row"],
    )
}

fn write_report(out: &Path, document: &Value, accesses: &[Value]) -> Result<(), Fault> {
    private::folder(out)?;
    private::file(&out.join("report.json"), document.to_string().as_bytes())?;
    let text: Vec<String> = accesses.iter().map(in_words).collect();
    private::file(&out.join("report.txt"), format!("{}\n", text.join("\n")).as_bytes())?;
    for (number, access) in accesses.iter().enumerate() {
        for part in ["header", "row"] {
            if let Some(receipt) = access[format!("{part}_receipt")].as_str() {
                private::file(&out.join(format!("{:06}-{part}.receipt", number + 1)), receipt.as_bytes())?;
            }
        }
    }
    Ok(())
}

/// `vigie gateway erase`.
pub async fn erase(options: &EraseOptions, common: &Common) -> Result<u8, Fault> {
    let config = config_of(&options.gateway)?;
    let subject = &options.subject;
    let erased = match source_of(&config)? {
        Source::Running(running) => tokio::task::block_in_place(|| running.ask(&["erase", subject], Some(&[])))?
            .ok_or_else(|| failed("the gateway knows no erasures".to_owned()))?,
        Source::Books(books) => {
            let erasing = async {
                // What was begun before and not logged goes first.
                books.account.log_erasures().await?;
                books.account.erase(subject.as_bytes()).await
            };
            let erased = erasing.await.map_err(|error| failed(in_full(&error)));
            admin::erased_to_json(closed(&books, erased)?.as_ref())
        }
    };
    if common.json {
        print_line(&json_of(&erased)?);
    } else {
        let rows = erased["rows"].as_array().map_or(0, Vec::len);
        print_line(&match erased["ledger_index"].as_u64() {
            Some(index) => format!("erased {rows} rows from the vault, logged as entry {index}"),
            None => "nothing to erase: no access to this person's data is recorded".to_owned(),
        });
    }
    Ok(0)
}

/// `vigie gateway answer`.
pub fn answer(options: &AnswerOptions, common: &Common) -> Result<u8, Fault> {
    let config = config_of(&options.gateway)?;
    must_be_new(&options.out)?;
    let demand = demand_of(&options.demand)?;
    let nonce = bytes_of(&options.nonce, "the authority's number")?;
    let beacon = bytes_of(&options.beacon, "the beacon's signature")?;
    let seed = seed_of(&demand, &nonce, &beacon)?;
    let checkpoint = checkpoint_of(options, &config, &demand)?;
    let (answer, missing) = match source_of(&config)? {
        Source::Running(running) => {
            let asked = Asked {
                demand: demand.to_string(),
                seed: base64(&seed),
                checkpoint: String::from_utf8_lossy(&checkpoint).into_owned(),
            };
            let body = json_of(&asked)?;
            let said = tokio::task::block_in_place(|| running.ask(&["answer"], Some(body.as_bytes())))?
                .ok_or_else(|| failed("the gateway answers no demands".to_owned()))?;
            read_answer(&said).ok_or_else(|| failed("the gateway's answer cannot be read".to_owned()))?
        }
        Source::Books(books) => {
            let outcome = tokio::task::block_in_place(|| {
                let source = log_source(&config)?;
                let answering = books.account.answer_demand(&demand, &seed, &checkpoint, source);
                let answered = tokio::runtime::Handle::current().block_on(answering);
                answered.map_err(|error| failed(in_full(&error)))
            });
            let answered = closed(&books, outcome)?;
            let missing = answered.missing.iter().map(|(index, why)| (*index, why.to_string())).collect();
            (answered.answer.to_bytes(), missing)
        }
    };
    write_answer(&options.out, common, &demand, &answer, &missing, None)
}

fn base64(seed: &Seed) -> String {
    vigie_ledger::Hash(seed.0).to_base64()
}

/// An answer, and the indexes that are missing from it with the reasons.
type AnswerRead = (Vec<u8>, Vec<(u64, String)>);

fn read_answer(said: &Value) -> Option<AnswerRead> {
    let answer = said["answer"].as_str()?.as_bytes().to_vec();
    let missing = said["missing"].as_array()?.iter();
    let missing = missing.map(|one| Some((one[0].as_u64()?, one[1].as_str()?.to_owned()))).collect::<Option<_>>()?;
    Some((answer, missing))
}

fn log_source(config: &Config) -> Result<LogSource, Fault> {
    match (&config.ledger.folder, &config.ledger.url) {
        (Some(folder), _) => Ok(LogSource::Folder(vigie_sequencer::Home::new(folder).public())),
        (None, Some(url)) => LogSource::of(url).map_err(|error| failed(in_full(&error))),
        (None, None) => Err(failed("the configuration names no ledger".to_owned())),
    }
}

/// Returns the signed head of a demand.
fn checkpoint_of(options: &AnswerOptions, config: &Config, demand: &Demand) -> Result<Vec<u8>, Fault> {
    use vigie_ledger::{reader::Source as _, tile::Resource};
    let bytes = match &options.checkpoint {
        Some(path) => file_of(path)?,
        None => log_source(config)?
            .fetch(Resource::Checkpoint)
            .map_err(|error| failed(in_full(&error)))?
            .ok_or_else(|| failed("the ledger has published no head yet".to_owned()))?,
    };
    head_of(bytes, demand)
}
