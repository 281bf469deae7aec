//! What is done when somebody chooses, and when choices are read.
//!
//! The order of a change, and what holds if we stop after each step:
//!
//! 1. Everything is checked; nothing is done.
//! 2. The vault keeps what will open the entries; nothing is done.
//! 3. What takes away is in force, and noted as not logged; a task here logs it later.
//! 4. The ledger promises the entries; what gives is not in force.
//! 5. What gives is in force, in one transaction with the answer for whoever asks again.
//!
//! The surprise: a change is carried out by a task of its own, so that somebody who hangs up does not end it half-way.

use crate::{
    account::{self, Account, NotLogged, Said},
    banner,
    callers::{Callers, digest},
    config::{self, Config, ConfigError},
    pool::{Lent, Pool},
    rates::Rates,
    wire::{self, Asked, MOST_CHOICES, Problem},
};
use axum::http::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use vigie_choices::{
    Choices, ChoicesError, Evidence, State, Subject,
    jsonld::{self, Controller, hex},
};
use vigie_database::{DatabaseError, TlsRoots, parse_address};
use vigie_ledger::Entry;
use vigie_sequencer::{
    Home, Log, Options,
    journal::{Journal, RemoteLedger},
};
use vigie_vault::{KeyEncryptionKey, Record, Vault};

/// How often what is not logged is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Bases on which a person cannot refuse.
const FIXED: [&str; 3] = ["contract", "legal-obligation", "vital-interest"];

/// Most of a history in one answer.
pub(crate) const MOST_HISTORY: i32 = 1000;

/// Everything behind the API.
#[derive(Debug)]
pub struct Service {
    pub(crate) config: Config,
    pub(crate) callers: Callers,
    pub(crate) subject_rates: Rates,
    pub(crate) operator_rates: Rates,
    pub(crate) address_rates: Rates,
    pub(crate) banner: Option<banner::Script>,
    choices: Choices,
    pool: Arc<Pool>,
    account: Account,
    report: fn(&str),
}

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What is in it.
    #[error(transparent)]
    Choices(#[from] ChoicesError),
    /// The ledger cannot be opened.
    #[error("the ledger cannot be opened")]
    Ledger(#[source] Box<vigie_sequencer::OpenError>),
    /// The vault cannot be opened.
    #[error("the vault cannot be opened")]
    Vault(#[from] vigie_vault::OpenError),
    /// The keys of tokens.
    #[error("tokens cannot be verified")]
    Keys(#[from] vigie_token::KeysError),
    /// TLS.
    #[error("TLS is not ready: {0}")]
    Tls(String),
}

impl OpenError {
    /// Returns the way out, where there is one to tell.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Database(error) => error.help(),
            Self::Choices(error) => error.help(),
            _ => None,
        }
    }
}

/// The hashes of caller with key, and of the request.
pub(crate) type Repeatable = ([u8; 32], [u8; 32]);

/// A change that was asked for, checked.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub subject: Subject,
    pub asked: Vec<(Asked, State)>,
    pub evidence: wire::Evidence,
    /// By what it is known again if it comes twice.
    pub key: Option<Repeatable>,
}

/// What [`Service::withdrawable`] looks for.
type Given = Vec<(Asked, State)>;

impl Service {
    /// Opens the database, the ledger and the vault.
    ///
    /// `report` is told, in a sentence, what goes wrong while nobody waits for an answer.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing is held open then.
    pub async fn open(config: Config, report: fn(&str)) -> Result<Arc<Self>, OpenError> {
        let secret = config::read(&config.secret)?;
        let secret = config::fingerprint(&secret).ok_or_else(|| ConfigError::Wrong {
            path: config.secret.clone(),
            why: "it does not hold 32 bytes in hexadecimal".to_owned(),
        })?;
        let password = config.database.password.as_deref().map(config::read).transpose()?;
        let address = parse_address(&config.database.url, password.as_deref().map(str::trim))?;
        let roots = config.database.ca.as_deref().map(TlsRoots::read).transpose()?.unwrap_or_default();
        let client = vigie_database::connect(&address, &roots).await?;
        let choices = Choices::open(&client).await?;
        drop(client);
        let pool = Pool::new(address, roots, config.database.connections);
        let callers = Callers::new(&config, choices.subject_type())?;
        let journal = journal_of(&config)?;
        let vault = Vault::open(&config.ledger.vault, KeyEncryptionKey::new(secret), vigie_vault::Options::default())?;
        let limits = &config.limits;
        let service = Arc::new(Self {
            callers,
            subject_rates: Rates::new(limits.subject_per_minute),
            operator_rates: Rates::new(limits.operator_per_minute),
            address_rates: Rates::new(limits.address_per_minute),
            banner: config.banner.as_ref().map(|settings| banner::Script::new(settings, &config.controller.name)),
            choices,
            pool,
            account: Account::new(Arc::new(vault), journal),
            report,
            config,
        });
        tokio::spawn(log_what_is_not(Arc::downgrade(&service)));
        Ok(service)
    }

    /// Ends the ledger and the vault, when nothing is served any more.
    ///
    /// # Errors
    ///
    /// If one had stopped before.
    pub fn close(&self) -> Result<(), NotLogged> {
        self.account.close()
    }

    async fn lend(&self) -> Result<Lent, Problem> {
        self.pool.lend().await.map_err(|error| self.unavailable("the database does not answer", &error))
    }

    /// Tells the operator why, and the caller that.
    fn unavailable(&self, what: &str, error: &dyn std::error::Error) -> Problem {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        (self.report)(&format!("{what}: {why}"));
        Problem::unavailable(what)
    }

    fn failed(&self, error: ChoicesError) -> Problem {
        match error {
            ChoicesError::Refused { message, hint } => Problem { help: hint, ..Problem::unprocessable(&message) },
            // A value of the wrong form, such as an id out of range, is the caller's mistake.
            ChoicesError::Database { ref source, .. }
                if source.as_db_error().is_some_and(|error| error.code().code().starts_with("22")) =>
            {
                Problem::unprocessable("a value has a form that the database does not take")
            }
            other => self.unavailable("the database does not answer", &other),
        }
    }

    /// Returns whether the database answers.
    pub(crate) async fn is_well(&self) -> Result<(), Problem> {
        let client = self.lend().await?;
        let answered = tokio::time::timeout(Duration::from_secs(2), client.query_one("SELECT 1", &[])).await;
        match answered {
            Ok(Ok(_)) => {
                client.give_back();
                Ok(())
            }
            _ => Err(Problem::unavailable("the database does not answer")),
        }
    }

    /// Returns the purposes that can be chosen.
    pub(crate) async fn purposes(&self) -> Result<Value, Problem> {
        let client = self.lend().await?;
        let sql = "SELECT name, term, basis FROM vigie.purpose WHERE NOT retired ORDER BY bit";
        let rows = client.query(sql, &[]).await;
        let rows = rows.map_err(|error| self.unavailable("the database does not answer", &error))?;
        client.give_back();
        let shown: Vec<Value> = rows
            .iter()
            .map(|row| {
                let [name, term, basis]: [&str; 3] = std::array::from_fn(|column| row.get(column));
                json!({ "name": name, "term": term, "basis": basis })
            })
            .collect();
        Ok(json!({ "schema": "choices-purposes/1", "purposes": shown }))
    }

    /// Returns what holds for a person.
    pub(crate) async fn choices(&self, subject: &Subject) -> Result<Value, Problem> {
        let client = self.lend().await?;
        let found = self.choices.choices_of(&*client, subject).await.map_err(|error| self.failed(error))?;
        client.give_back();
        Ok(wire::choices(&found))
    }

    /// Returns a part of a person's history.
    pub(crate) async fn history(&self, subject: &Subject, after: i64, limit: i32) -> Result<Value, Problem> {
        let client = self.lend().await?;
        let found = self.choices.history_of(&*client, subject, after, limit).await;
        let found = found.map_err(|error| self.failed(error))?;
        client.give_back();
        Ok(wire::history(&found, found.len() == limit as usize))
    }

    /// Returns a person's record as JSON-LD.
    pub(crate) async fn record(&self, subject: &Subject) -> Result<Value, Problem> {
        let client = self.lend().await?;
        let controller =
            Controller { name: self.config.controller.name.clone(), contact: self.config.controller.contact.clone() };
        let record = record_of(&client, &self.choices, subject, &controller).await;
        let record = record.map_err(|error| self.failed(error))?;
        client.give_back();
        Ok(record)
    }

    /// Returns the receipt of a person's choice.
    pub(crate) async fn receipt(&self, subject: &Subject, event: [u8; 16]) -> Result<Vec<u8>, Problem> {
        let client = self.lend().await?;
        let history = self.choices.whole_history_of(&*client, subject).await.map_err(|error| self.failed(error))?;
        client.give_back();
        if !history.iter().any(|said| said.event == Some(event)) {
            return Err(Problem::not_found("no choice of this person has this event"));
        }
        match self.account.receipt(event).await {
            Ok(receipt) => Ok(receipt.to_bytes()),
            Err(NotLogged::Unknown(_)) => Err(Problem::not_found("what opens this event is not here any more")),
            Err(error) => Err(self.unavailable("the ledger does not give the receipt", &error)),
        }
    }

    /// Lists what a person gave, or what was named of it, to be withdrawn. What was named and not given is refused.
    pub(crate) async fn withdrawable(&self, subject: &Subject, named: Option<&[String]>) -> Result<Given, Problem> {
        let client = self.lend().await?;
        let found = self.choices.choices_of(&*client, subject).await.map_err(|error| self.failed(error))?;
        client.give_back();
        let named: Option<BTreeSet<&str>> = named.map(|names| names.iter().map(String::as_str).collect());
        if let Some(unknown) = named.iter().flatten().find(|name| !found.iter().any(|choice| choice.purpose == **name))
        {
            let unknown: String = unknown.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(Problem::unprocessable(&format!("purpose `{unknown}` is not in the data map")));
        }
        let withdrawn = found.into_iter().filter(|choice| {
            if let Some(named) = &named {
                return named.contains(choice.purpose.as_str());
            }
            // What cannot be refused cannot be withdrawn either, and must not keep the rest from being.
            let fixed = FIXED.contains(&choice.basis.as_str()) && choice.recipient.is_empty();
            !fixed && choice.said.as_ref().is_some_and(|said| said.state == State::Given)
        });
        let asked = |purpose: String, recipient: String| Asked { purpose, recipient, state: "withdrawn".to_owned() };
        Ok(withdrawn.map(|choice| (asked(choice.purpose, choice.recipient), State::Withdrawn)).collect())
    }

    /// Carries out a change, to its end even if the caller hangs up.
    pub(crate) async fn change(self: &Arc<Self>, change: Change) -> Result<String, Problem> {
        let service = self.clone();
        let carried = tokio::spawn(async move { service.carry_out(change).await });
        carried.await.map_err(|_| Problem::unavailable("the program is ending"))?
    }

    async fn carry_out(&self, change: Change) -> Result<String, Problem> {
        change.evidence.check()?;
        if change.asked.len() > MOST_CHOICES {
            return Err(Problem::unprocessable(&format!("a request has at most {MOST_CHOICES} choices")));
        }
        let places: BTreeSet<_> = change.asked.iter().map(|(asked, _)| (&asked.purpose, &asked.recipient)).collect();
        if places.len() < change.asked.len() {
            return Err(Problem::unprocessable("a purpose and recipient are named twice"));
        }
        let mut client = self.lend().await?;
        let Some((key, request)) = change.key else {
            // A transaction that was given up is rolled back before whatever comes next on the connection.
            let answer = self.steps(&mut client, &change).await;
            client.give_back();
            return answer;
        };
        // Held by the session: if this task fails, the connection is not given back, and the lock ends with it.
        let lock = i64::from_be_bytes(key[..8].try_into().expect("8 bytes"));
        let locked = client.query_one("SELECT pg_try_advisory_lock($1)", &[&lock]).await;
        let locked = locked.map_err(|error| self.unavailable("the database does not answer", &error))?;
        if !locked.get::<_, bool>(0) {
            client.give_back();
            let busy = Problem::new(StatusCode::CONFLICT, "a request with this key is being carried out");
            return Err(Problem { wait_seconds: Some(1), ..busy });
        }
        let before = self.choices.answer_before(&*client, &key, &request).await;
        let answer = match before.map_err(|error| self.failed(error))? {
            Some((true, answer)) => Ok(answer),
            Some((false, _)) => Err(Problem::unprocessable("this key was used for another request")),
            None => self.steps(&mut client, &change).await,
        };
        let unlocked = client.query_one("SELECT pg_advisory_unlock($1)", &[&lock]).await;
        if unlocked.is_ok() {
            client.give_back();
        }
        answer
    }

    async fn steps(&self, client: &mut Lent, change: &Change) -> Result<String, Problem> {
        self.check_purposes(client, change).await?;
        let decided = change.evidence.decided_at.unwrap_or_else(jiff::Timestamp::now);
        let wording = match &change.evidence.wording {
            None => None,
            Some(words) => Some(self.choices.keep_wording(&**client, words).await.map_err(|error| self.failed(error))?),
        };
        let evidence = |recipient: &str| Evidence {
            recipient: recipient.to_owned(),
            decided_at: SystemTime::from(decided),
            method: change.evidence.method.clone(),
            notice: change.evidence.notice.clone(),
            wording_hash: wording,
            language: change.evidence.language.clone(),
        };
        let mut drafts: Vec<Record> = Vec::new();
        for (asked, state) in &change.asked {
            let said = Said {
                purpose: &asked.purpose,
                recipient: &asked.recipient,
                state: state.as_str(),
                decided: &decided.to_string(),
                method: &change.evidence.method,
                notice: &change.evidence.notice,
                wording: wording.as_ref().map(|hash| hex(hash)),
                language: &change.evidence.language,
            };
            let draft = account::draft(&self.config.controller.name, &said, change.subject.as_str());
            drafts.push(draft.map_err(|error| self.unavailable("the change cannot be logged", &error))?);
        }
        let kept = self.account.keep(&drafts).await;
        let mut in_force = vec![false; drafts.len()];
        let event = |at: usize| drafts[at].event_id().0;

        // Takes away first, whatever the vault and the ledger do.
        let takes_away: Vec<usize> = (0..drafts.len()).filter(|at| change.asked[*at].1.takes_away()).collect();
        if !takes_away.is_empty() {
            let transaction = client.transaction().await;
            let transaction = transaction.map_err(|error| self.unavailable("the database does not answer", &error))?;
            for at in &takes_away {
                let (asked, state) = &change.asked[*at];
                let logged_as = kept.is_ok().then(|| event(*at));
                let recorded = self
                    .choices
                    .record_as(
                        &transaction,
                        &change.subject,
                        &asked.purpose,
                        *state,
                        &evidence(&asked.recipient),
                        logged_as,
                    )
                    .await;
                in_force[*at] = recorded.map_err(|error| self.failed(error))?;
                if let Some(event) = logged_as {
                    let noted = self.choices.note_unlogged(&transaction, &event).await;
                    noted.map_err(|error| self.failed(error))?;
                }
            }
            let committed = transaction.commit().await;
            committed.map_err(|error| self.unavailable("the database does not answer", &error))?;
        }
        let logged = match kept {
            Ok(()) => {
                let entries: Vec<Entry> = drafts.iter().map(|record| record.entry).collect();
                self.account.log(&entries).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = logged {
            let problem = self.unavailable("the ledger does not answer", &error);
            let detail = if takes_away.is_empty() {
                "the ledger does not answer; nothing was recorded"
            } else if takes_away.len() == drafts.len() {
                "the ledger does not answer; what was refused or withdrawn is in force, and not logged yet"
            } else {
                "the ledger does not answer; what was refused or withdrawn is in force, what was given is not recorded"
            };
            return Err(Problem { detail: detail.to_owned(), ..problem });
        }

        let transaction = client.transaction().await;
        let transaction = transaction.map_err(|error| self.unavailable("the database does not answer", &error))?;
        for (at, (asked, state)) in change.asked.iter().enumerate() {
            if state.takes_away() {
                let noted = self.choices.note_logged(&transaction, &event(at)).await;
                noted.map_err(|error| self.failed(error))?;
            } else {
                let evidence = evidence(&asked.recipient);
                let recorded = self
                    .choices
                    .record_as(&transaction, &change.subject, &asked.purpose, *state, &evidence, Some(event(at)))
                    .await;
                in_force[at] = recorded.map_err(|error| self.failed(error))?;
            }
        }
        let now = self.choices.choices_of(&transaction, &change.subject).await;
        let now = wire::choices(&now.map_err(|error| self.failed(error))?);
        let recorded: Vec<Value> = change
            .asked
            .iter()
            .enumerate()
            .map(|(at, (asked, state))| {
                json!({
                    "purpose": asked.purpose, "recipient": asked.recipient, "state": state.as_str(),
                    "in_force": in_force[at], "decided_at": decided.to_string(), "event": hex(&event(at)),
                })
            })
            .collect();
        let answer = json!({ "schema": "choices-recorded/1", "recorded": recorded, "choices": now["choices"] });
        let answer = answer.to_string();
        if let Some((key, request)) = &change.key {
            let kept = self.choices.keep_answer(&transaction, key, request, &answer).await;
            kept.map_err(|error| self.failed(error))?;
        }
        // Logged and not committed: the ledger tells of a yes that is not in force, and the caller is told to ask again.
        let committed = transaction.commit().await;
        committed.map_err(|error| self.unavailable("the database does not answer", &error))?;
        Ok(answer)
    }

    /// Checks that the purposes are there and can be refused, so that nothing of a request is done if one cannot.
    async fn check_purposes(&self, client: &Lent, change: &Change) -> Result<(), Problem> {
        let sql = "SELECT name, basis FROM vigie.purpose WHERE NOT retired";
        let rows = client.query(sql, &[]).await;
        let rows = rows.map_err(|error| self.unavailable("the database does not answer", &error))?;
        let known: BTreeMap<&str, &str> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        for (asked, state) in &change.asked {
            let Some(basis) = known.get(asked.purpose.as_str()) else {
                let detail = format!("purpose `{}` is not in the data map", asked.purpose);
                return Err(Problem::unprocessable(&detail));
            };
            let fixed = FIXED.contains(basis);
            if fixed && asked.recipient.is_empty() && *state != State::Given {
                let detail = format!("purpose `{}` rests on {basis}, which a person cannot refuse", asked.purpose);
                return Err(Problem::unprocessable(&detail));
            }
        }
        Ok(())
    }

    /// Logs what is in force and was not logged, because the ledger did not answer or we stopped.
    async fn log_pending(&self) -> Result<(), Problem> {
        let client = self.lend().await?;
        let pending = self.choices.unlogged(&*client, 100).await.map_err(|error| self.failed(error))?;
        for event in pending {
            match self.account.log_event(event).await {
                Ok(()) => {
                    let noted = self.choices.note_logged(&*client, &event).await;
                    noted.map_err(|error| self.failed(error))?;
                }
                Err(error) => return Err(self.unavailable("a change in force cannot be logged", &error)),
            }
        }
        client.give_back();
        Ok(())
    }
}

async fn log_what_is_not(service: std::sync::Weak<Service>) {
    while let Some(held) = service.upgrade() {
        // What goes wrong was reported.
        let _ = held.log_pending().await;
        drop(held);
        tokio::time::sleep(LOOK).await;
    }
}

fn journal_of(config: &Config) -> Result<Journal, OpenError> {
    if let Some(url) = &config.ledger.url {
        let token = config.ledger.token.as_deref().map(config::read).transpose()?.map(|token| token.trim().to_owned());
        return Ok(Journal::Remote(RemoteLedger::new(url, token)));
    }
    let folder = config.ledger.folder.as_deref().unwrap_or_else(|| Path::new("ledger"));
    let log = Log::open(&Home::new(folder), Options::default()).map_err(|error| OpenError::Ledger(Box::new(error)))?;
    Ok(Journal::Local(Arc::new(log)))
}

/// Reads a person's whole record and shows it as JSON-LD.
///
/// # Errors
///
/// What the database says.
pub async fn record_of(
    client: &tokio_postgres::Client,
    choices: &Choices,
    subject: &Subject,
    controller: &Controller,
) -> Result<Value, ChoicesError> {
    let now = choices.choices_of(client, subject).await?;
    let history = choices.whole_history_of(client, subject).await?;
    let mut wordings = BTreeMap::new();
    for hash in history.iter().filter_map(|said| said.wording_hash.as_deref()) {
        if !wordings.contains_key(&hex(hash))
            && let Some(words) = choices.wording_of(client, hash).await?
        {
            wordings.insert(hex(hash), words);
        }
    }
    let made_at = jiff::Timestamp::now().to_string();
    Ok(jsonld::record(subject.as_str(), controller, &now, &history, &wordings, &made_at))
}

/// Returns the hashes by which a request with an idempotency key is known again.
pub(crate) fn idempotency(caller: [u8; 32], key: &str, path: &str, body: &[u8]) -> Repeatable {
    let key = Sha256::new().chain_update(caller).chain_update(digest("key", key)).finalize().into();
    let request = Sha256::new().chain_update(digest("path", path)).chain_update(body).finalize().into();
    (key, request)
}
