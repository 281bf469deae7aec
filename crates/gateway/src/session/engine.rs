//! The state of one session, without its sockets: messages in, messages out, and what must be logged before they leave.
//!
//! Out of scope: reading statements and deciding on them (`treat`), waiting for anything (`session`).
//!
//! The server stays the only one that knows where the session stands. What is refused is not answered on the spot: a
//! message that must fail takes its place, so that transactions abort and pipelines are skipped exactly as they would be
//! for any other error, and the server's complaint is replaced by ours.
//!
//! The surprise: rows are written to [`Engine::to_client`] before they are logged. They leave when whoever drives the
//! engine has logged every [`Guard`] before them, and never otherwise.

use crate::{
    copy::CopyFormat,
    metrics::Metrics,
    scrub::{self, Stage},
    shape::{Expected, Mismatch, Shape},
    stop::Stopped,
    subject::{Canonical, Format},
    view::View,
    wire::{
        self, Backend, Frame, Malformed, Named, Notice, Replaced, Report, RowDescription, Severity, TransactionStatus,
    },
};
use bytes::BytesMut;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use vigie_statement::edit::Edit;

/// Rows of one entry at most; a longer result is logged in parts.
pub const CHUNK_ROWS: usize = 16_384;
/// Bytes of results of one entry at most, about.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// Relations of people that one statement may name.
pub const MOST_RELATIONS: usize = 24;

/// What the server is sent in the place of what is refused: it cannot be parsed, so it fails wherever it stands.
const FAILS: &str = "refused by the gateway";

/// What is logged of a statement, besides whose rows left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The statement's fingerprint: a hash of its text without literals.
    pub fingerprint: [u8; 32],
    /// The relations that it reads or writes, by their names in the data map.
    pub relations: Vec<String>,
    /// What kind of answer it gets.
    pub kind: SaidKind,
}

/// What kind of answer a statement gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaidKind {
    /// Rows of people.
    Record,
    /// Figures about many.
    Aggregate,
    /// Something is changed.
    Write,
}

/// Why a statement is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The SQLSTATE: `42501` for a decision, others for what cannot be read.
    pub code: &'static str,
    /// What was refused, in one sentence.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
    /// Why, for the record: names of policies and of what was missing.
    pub reasons: Vec<String>,
    /// What was asked.
    pub said: Arc<Said>,
}

/// What is done to the rows of a statement.
#[derive(Debug, Clone)]
pub struct Output {
    /// What they are expected to be.
    pub expected: Arc<Expected>,
    /// Makes cells of figures safe.
    pub cells: Option<Arc<dyn Cells>>,
    /// How they are written, if not as rows.
    pub copy: Option<CopyOut>,
    /// What is logged of the statement; `None` for what is about nobody.
    pub said: Option<Arc<Said>>,
}

/// Makes the figures of an aggregate safe before they leave.
pub trait Cells: std::fmt::Debug + Send + Sync {
    /// Writes the columns as the client sees them.
    ///
    /// # Errors
    ///
    /// If the server's columns are not those that were asked for.
    fn describe(&self, attested: &RowDescription<'_>, formats: &[i16], out: &mut BytesMut) -> Result<(), String>;

    /// Returns what asking costs of a reader's budget.
    fn cost(&self) -> u32;

    /// Returns the same for these values of the parameters, as the client sent them.
    fn bound(&self, parameters: Vec<Option<Vec<u8>>>) -> Arc<dyn Cells>;

    /// Makes the server's rows, in text, into those that leave: written in these formats; returns how many they are.
    ///
    /// # Errors
    ///
    /// If they are not what was asked for.
    fn write(&self, rows: &[CellRow], formats: &[i16], out: &mut BytesMut) -> Result<u64, String>;
}

/// A row of figures as the server sent it, in text.
pub type CellRow = Vec<Option<Vec<u8>>>;

/// Rows that leave as `COPY … TO STDOUT` would write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOut {
    /// How.
    pub format: CopyFormat,
    /// Whether the first line names the columns.
    pub header: bool,
}

/// What a statement changes in the session, once it has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The purpose, ticket or reason becomes this.
    Ask(Vec<(AskedFor, Option<String>)>),
    /// Everything is as it was at the beginning.
    Discard,
}

/// What a session says of itself by `SET vigie.…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFor {
    /// `vigie.purpose`.
    Purpose,
    /// `vigie.ticket`.
    Ticket,
    /// `vigie.reason`.
    Reason,
    /// `vigie.figures`.
    Figures,
}

/// A statement on its way to the server.
#[derive(Debug, Clone)]
pub struct Forward {
    /// As it is sent.
    pub sql: String,
    /// What was changed of the client's text to get there; empty where the text was made anew.
    pub edits: Vec<Edit>,
    /// What is done to its rows.
    pub output: Output,
    /// What it changes here.
    pub effect: Effect,
    /// Names that it gives, or takes.
    pub naming: Naming,
    /// What it runs by a name that may mean something else by then.
    pub relies: Option<Relies>,
    /// A value of a setting that it asks for, which may be reported to the client.
    pub asked_value: Option<String>,
}

/// What a statement does with the names of cursors and prepared statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// Nothing.
    None,
    /// Gives a cursor this name.
    Declare(String),
    /// Gives a prepared statement this name.
    Prepare(String),
    /// Takes the name of one cursor, or of all.
    Close(Option<String>),
    /// Takes the name of one prepared statement, or of all.
    Deallocate(Option<String>),
}

/// What a statement runs by its name: the cursor of a `FETCH`, the statement of an `EXECUTE`.
#[derive(Debug, Clone)]
pub struct Relies {
    name: String,
    on: Meant,
}

#[derive(Debug, Clone)]
enum Meant {
    Cursor(Arc<Output>),
    Portal(Arc<Portal>),
    Prepared(Arc<Prepared>),
}

/// What is done with a statement.
#[derive(Debug, Clone)]
pub enum Treatment {
    /// It goes to the server.
    Forward(Box<Forward>),
    /// It asks for figures, and is planned anew.
    Figures(Arc<Said>),
    /// It does not.
    Refuse(Box<Refusal>),
}

/// A prepared statement of the client.
#[derive(Debug)]
pub struct Prepared {
    output: Output,
    effect: Effect,
    naming: Naming,
    /// What is named, if something is.
    named: Option<Output>,
    relies: Option<Relies>,
    /// Prepared by `PREPARE`, so that the server did not describe it.
    by_sql: bool,
    /// Set when the server has described it.
    shape: std::sync::OnceLock<Arc<Shape>>,
    refusal: Option<Box<Refusal>>,
}

#[derive(Debug)]
struct Portal {
    prepared: Arc<Prepared>,
    /// Of the statement, with its parameters where those matter.
    output: Output,
    /// As the server writes them.
    formats: Arc<[i16]>,
}

/// What names mean.
///
/// PostgreSQL tells neither cursors from portals nor statements of `PREPARE` from those of `Parse`.
#[derive(Debug, Clone, Default)]
struct Meanings {
    prepared: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Arc<Portal>>,
    cursors: HashMap<String, Arc<Output>>,
}

/// What a message does to the meanings of names, once the server has done what it says.
#[derive(Debug)]
enum Change {
    Prepared(String, Arc<Prepared>),
    Portal(String, Arc<Portal>),
    Cursor(String, Arc<Output>),
    /// One statement is gone, or all of them.
    NoPrepared(Option<String>),
    NoPortal(String),
    /// One cursor or portal is gone, or all of them.
    NoCursor(Option<String>),
    Nothing,
}

impl Meanings {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Prepared(name, prepared) => drop(self.prepared.insert(name.clone(), prepared.clone())),
            Change::Portal(name, portal) => {
                self.cursors.remove(name);
                self.portals.insert(name.clone(), portal.clone());
            }
            Change::Cursor(name, output) => {
                // Had there been a portal of this name, the server would have refused: it is long gone.
                self.portals.remove(name);
                self.cursors.insert(name.clone(), output.clone());
            }
            Change::NoPrepared(Some(name)) => drop(self.prepared.remove(name)),
            Change::NoPrepared(None) => self.prepared.clear(),
            Change::NoPortal(name) | Change::NoCursor(Some(name)) => {
                self.portals.remove(name);
                self.cursors.remove(name);
            }
            Change::NoCursor(None) => self.end_transaction(),
            Change::Nothing => *self = Self::default(),
        }
    }

    /// Portals and cursors do not outlive their transaction.
    fn end_transaction(&mut self) {
        self.portals.clear();
        self.cursors.clear();
    }

    fn still(&self, relies: &Relies) -> bool {
        match &relies.on {
            Meant::Cursor(meant) => self.cursors.get(&relies.name).is_some_and(|now| Arc::ptr_eq(now, meant)),
            Meant::Portal(meant) => self.is_portal(&relies.name, meant),
            Meant::Prepared(meant) => self.is_prepared(&relies.name, meant),
        }
    }

    fn is_portal(&self, name: &str, meant: &Arc<Portal>) -> bool {
        self.portals.get(name).is_some_and(|now| Arc::ptr_eq(now, meant))
    }

    fn is_prepared(&self, name: &str, meant: &Arc<Prepared>) -> bool {
        self.prepared.get(name).is_some_and(|now| Arc::ptr_eq(now, meant))
    }
}

/// What must be logged before what follows may leave.
#[derive(Debug)]
pub struct Guard {
    /// How many bytes of [`Engine::to_client`] come before: they may leave.
    pub at: usize,
    /// What is logged.
    pub record: Record,
}

/// What is logged.
#[derive(Debug)]
pub enum Record {
    /// Rows left, or a question about many was answered.
    Answered {
        /// The statement.
        said: Arc<Said>,
        /// The columns that were disclosed.
        shape: Option<Arc<Shape>>,
        /// Whose rows, each once for each row.
        subjects: Subjects,
    },
    /// A statement was refused. Its error stands at the guard, once the entry has a name.
    Refused(Box<Refusal>),
}

/// Ids of people, one after the other: the number of the relation, a length (`u16`, little-endian), the id in text form.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Subjects {
    bytes: Vec<u8>,
    count: usize,
}

impl Subjects {
    /// Adds one.
    #[inline]
    pub fn push(&mut self, relation: u8, subject: &[u8]) {
        self.bytes.push(relation);
        self.bytes.extend_from_slice(&(subject.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(subject);
        self.count += 1;
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns each, with the number of its relation.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (relation, after) = rest.split_first()?;
            let (length, after) = after.split_first_chunk::<2>()?;
            let (subject, after) = after.split_at(usize::from(u16::from_le_bytes(*length)));
            rest = after;
            Some((*relation, subject))
        })
    }
}

/// The stop set, for the rows of one batch.
#[derive(Debug)]
pub struct Stops<'set> {
    /// Who is stopped.
    pub stopped: &'set Stopped,
    /// Whether the database was heard of recently enough to believe it.
    pub fresh: bool,
}

/// Why a session must end.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The client does not speak the protocol.
    #[error("the client sent what the protocol does not allow")]
    Client(#[source] Malformed),
    /// The server does not.
    #[error("the server sent what the protocol does not allow here: {0}")]
    Server(String),
    /// The server attests another shape.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A statement returned more rows than one may.
    #[error("the statement returns more than {0} rows, which is the most allowed")]
    TooManyRows(u64),
    /// A name means something else at the server than when it was used, since messages in between were skipped.
    #[error("a name means something else at the server than the client was taken to mean")]
    Meaning,
    /// The stop set was not heard of for too long.
    #[error("the stop set is not fresh, so that nothing may leave")]
    Stale,
}

#[derive(Debug)]
struct Run {
    output: Output,
    effect: Effect,
    shape: Option<Arc<Shape>>,
    formats: Arc<[i16]>,
    subjects: Subjects,
    /// Relations, as bits, that rows show one person in at once.
    together: Vec<u32>,
    cells: Vec<CellRow>,
    /// Rows that left.
    rows: u64,
    /// Whether the server has begun to answer.
    running: bool,
    refusal: Option<Box<Refusal>>,
    /// Where in `to_client` this part's rows begin.
    at: usize,
    /// The last change of the stop set when the statement was sent.
    since: i64,
    /// What it does to names.
    change: Option<Change>,
    relies: Option<Relies>,
    /// Whether what was meant when it was sent is what the server runs.
    verified: bool,
}

#[derive(Debug)]
enum Expect {
    /// A statement of the simple protocol.
    Simple(Box<Run>),
    /// The end of a `Query`, or of a sequence that `Sync` ends.
    Ready {
        sync: bool,
        own: bool,
    },
    /// A statement that the gateway sent for itself.
    Own,
    Parse {
        change: Change,
        refusal: Option<Box<Refusal>>,
    },
    Bind {
        change: Change,
        statement: String,
        prepared: Arc<Prepared>,
    },
    Describe {
        name: String,
        prepared: Arc<Prepared>,
        /// The portal, if it is one.
        portal: Option<Arc<Portal>>,
        own: bool,
    },
    Execute {
        run: Box<Run>,
        name: String,
        portal: Arc<Portal>,
    },
    Close(Change),
    /// Something that fails, and whose error is replaced.
    Refused(Box<Refusal>),
}

impl Expect {
    fn change(&self) -> Option<&Change> {
        match self {
            Self::Simple(run) | Self::Execute { run, .. } => run.change.as_ref(),
            Self::Parse { change, .. } | Self::Bind { change, .. } | Self::Close(change) => Some(change),
            Self::Ready { .. } | Self::Own | Self::Describe { .. } | Self::Refused(_) => None,
        }
    }
}

/// The state of one session.
///
/// What a name means is kept twice. `sent` is what it will mean once the server has done all that was sent: messages are
/// read by it, in the hope that nothing fails. `done` is what it means after the answers so far. When an answer comes, the
/// two must agree on what was run: the server skips messages after an error, so `sent` may have been wrong, and then
/// nothing may leave.
#[derive(Debug)]
pub struct Engine {
    view: Arc<View>,
    expected: VecDeque<Expect>,
    sent: Meanings,
    done: Meanings,
    status: TransactionStatus,
    /// What the client itself asked for as a value of a parameter.
    asked_values: Vec<String>,
    /// The last change of the stop set that was known before the transaction began, and its snapshot with it.
    since: i64,
    effects: Vec<Effect>,
    described: Described,
    canonical: Vec<Canonical>,
    scratch: Vec<u8>,
    guards: Vec<Guard>,
    intents: Vec<Arc<Said>>,
    /// For the server, once every intent is logged.
    pub to_server: BytesMut,
    /// For the client, as far as guards allow.
    pub to_client: BytesMut,
}

/// The last result that the server described, so that the same again need not be held against what was read again.
#[derive(Debug, Default)]
struct Described(Option<(Arc<Expected>, Vec<u8>, Arc<Shape>)>);

impl Described {
    /// Returns the shape of a result, of the view that this session has.
    fn shape(
        &mut self,
        attested: &RowDescription<'_>,
        expected: &Arc<Expected>,
        view: &View,
    ) -> Result<Arc<Shape>, Mismatch> {
        if let Some((known, bytes, shape)) = &self.0
            && Arc::ptr_eq(known, expected)
            && shape.total == attested.len()
            && bytes == attested.as_bytes()
        {
            return Ok(shape.clone());
        }
        let shape = Arc::new(Shape::of(attested, expected, &view.origins)?);
        self.0 = Some((expected.clone(), attested.as_bytes().to_vec(), shape.clone()));
        Ok(shape)
    }
}

impl Output {
    /// Returns the output of a statement that is about nobody.
    pub fn nobody() -> Self {
        Self { expected: Arc::new(Expected::Nobody), cells: None, copy: None, said: None }
    }
}

impl Forward {
    /// Returns a statement that is sent as it is and returns nothing of people.
    pub fn plain(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            edits: Vec::new(),
            output: Output::nobody(),
            effect: Effect::None,
            naming: Naming::None,
            relies: None,
            asked_value: None,
        }
    }
}

impl Run {
    /// Begins the answer of an `Execute`: what the client was told by `Describe` need not be said again.
    fn begin(&mut self, out: &mut BytesMut) {
        self.running = true;
        self.at = out.len();
        if let (Some(copy), Some(shape)) = (&self.output.copy, &self.shape) {
            begin_copy(shape, copy, out);
        }
    }

    /// Returns the number of what a row discloses of a person: of one relation, or of several together.
    fn number(&mut self, relations: u32, n_relations: usize) -> Result<u8, Fatal> {
        if relations.is_power_of_two() {
            return Ok(relations.trailing_zeros() as u8);
        }
        let known = self.together.iter().position(|it| *it == relations);
        let at = known.unwrap_or_else(|| {
            self.together.push(relations);
            self.together.len() - 1
        });
        u8::try_from(n_relations + at).map_err(|_| Fatal::Server("people in too many relations at once".to_owned()))
    }

    /// Ends a part of a result: it is logged, then it leaves. `end` is where its bytes end.
    fn part(&mut self, end: usize, guards: &mut Vec<Guard>, metrics: &Metrics) {
        let subjects = std::mem::take(&mut self.subjects);
        metrics.rows.add(subjects.len() as u64);
        if let Some(said) = &self.output.said {
            let shape = match &self.shape {
                Some(shape) if !self.together.is_empty() => Some(Arc::new(shape.with_together(&self.together))),
                shape => shape.clone(),
            };
            let record = Record::Answered { said: said.clone(), shape, subjects };
            guards.push(Guard { at: self.at, record });
        }
        self.at = end;
    }
}

impl Engine {
    /// Makes a session that has just logged in to the server.
    pub fn new(view: Arc<View>) -> Self {
        Self {
            view,
            expected: VecDeque::new(),
            sent: Meanings::default(),
            done: Meanings::default(),
            status: TransactionStatus::Idle,
            asked_values: Vec::new(),
            since: 0,
            effects: Vec::new(),
            described: Described::default(),
            canonical: Vec::new(),
            scratch: Vec::new(),
            guards: Vec::new(),
            intents: Vec::new(),
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
        }
    }

    /// Returns where the session stands, as the server said last.
    pub fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Tells whether the server owes no answer.
    pub fn is_idle(&self) -> bool {
        self.expected.is_empty()
    }

    /// Goes on with another view, on another connection: what was prepared is gone.
    ///
    /// # Panics
    ///
    /// If the server still owes an answer.
    pub fn change_view(&mut self, view: Arc<View>) {
        assert!(self.is_idle(), "the connection is changed between statements");
        self.view = view;
        self.described = Described::default();
        self.sent = Meanings::default();
        self.done = Meanings::default();
        self.status = TransactionStatus::Idle;
    }

    /// Notes a value that the client asked a parameter to have, which may therefore be reported to it.
    pub fn note_asked(&mut self, value: &str) {
        if self.asked_values.len() < 16 {
            self.asked_values.push(value.to_owned());
        }
    }

    /// Notes the last change of the stop set, before statements are handed in.
    ///
    /// Within a transaction the one before it counts: cursors, portals and `REPEATABLE READ` return what was so then.
    pub fn note_stops(&mut self, seq: i64) {
        if self.is_idle() && self.status == TransactionStatus::Idle {
            self.since = seq;
        }
    }

    /// Takes what succeeded statements change.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Takes what must be logged before bytes leave, in the order of their places.
    pub fn take_guards(&mut self) -> Vec<Guard> {
        std::mem::take(&mut self.guards)
    }

    /// Takes what is about to be changed: it is logged before [`Engine::to_server`] is sent.
    pub fn take_intents(&mut self) -> Vec<Arc<Said>> {
        std::mem::take(&mut self.intents)
    }

    /// Takes the bytes for the client that guards cover, and leaves rows whose guard is still to come.
    pub fn take_covered(&mut self) -> BytesMut {
        match self.expected.front_mut() {
            Some(Expect::Simple(run) | Expect::Execute { run, .. }) if run.running => {
                let covered = self.to_client.split_to(run.at);
                run.at = 0;
                covered
            }
            _ => self.to_client.split(),
        }
    }

    /// Returns what a cursor or portal of this name returns, and what to rely on if it is fetched from.
    pub fn cursor(&self, name: &str) -> Option<(Output, Relies)> {
        let relies = |on| Relies { name: name.to_owned(), on };
        if let Some(output) = self.sent.cursors.get(name) {
            return Some((Output::clone(output), relies(Meant::Cursor(output.clone()))));
        }
        let portal = self.sent.portals.get(name)?;
        Some((portal.output.clone(), relies(Meant::Portal(portal.clone()))))
    }

    /// Returns what a prepared statement of this name returns, and what to rely on if it is executed.
    ///
    /// Nothing for one that may be no read or write: those are executed by their own message only. The server ends a
    /// session in which `EXECUTE` runs a `ROLLBACK`.
    pub fn prepared(&self, name: &str) -> Option<(Output, Relies)> {
        let prepared = self.sent.prepared.get(name)?;
        let is_plain = (prepared.by_sql || prepared.output.said.is_some())
            && prepared.effect == Effect::None
            && prepared.naming == Naming::None
            && prepared.relies.is_none();
        let relies = Relies { name: name.to_owned(), on: Meant::Prepared(prepared.clone()) };
        is_plain.then(|| (prepared.output.clone(), relies))
    }

    fn run(&self, output: Output, effect: Effect, change: Option<Change>, relies: Option<Relies>) -> Box<Run> {
        let change = if effect == Effect::Discard { Some(Change::Nothing) } else { change };
        Box::new(Run {
            output,
            effect,
            shape: None,
            formats: Arc::new([]),
            subjects: Subjects::default(),
            together: Vec::new(),
            cells: Vec::new(),
            rows: 0,
            running: false,
            refusal: None,
            at: 0,
            since: self.since,
            change,
            relies,
            verified: false,
        })
    }

    /// Returns what naming does to the meanings of names.
    fn change(naming: &Naming, output: &Output) -> Option<Change> {
        match naming {
            Naming::None => None,
            Naming::Declare(name) => Some(Change::Cursor(name.clone(), Arc::new(output.clone()))),
            Naming::Prepare(name) => {
                let prepared = Prepared {
                    output: output.clone(),
                    effect: Effect::None,
                    naming: Naming::None,
                    named: None,
                    relies: None,
                    by_sql: true,
                    shape: std::sync::OnceLock::new(),
                    refusal: None,
                };
                Some(Change::Prepared(name.clone(), Arc::new(prepared)))
            }
            Naming::Close(name) => Some(Change::NoCursor(name.clone())),
            Naming::Deallocate(name) => Some(Change::NoPrepared(name.clone())),
        }
    }

    fn make_prepared(forward: Forward) -> Prepared {
        // What DECLARE and PREPARE name is logged when it is fetched.
        let silent = matches!(forward.naming, Naming::Declare(_) | Naming::Prepare(_));
        let (output, named) = if silent { (Output::nobody(), Some(forward.output)) } else { (forward.output, None) };
        Prepared {
            output,
            effect: forward.effect,
            naming: forward.naming,
            named,
            relies: forward.relies,
            by_sql: false,
            shape: std::sync::OnceLock::new(),
            refusal: None,
        }
    }

    fn expect(&mut self, expect: Expect) {
        if let Some(change) = expect.change() {
            self.sent.apply(change);
        }
        self.expected.push_back(expect);
    }

    /// Takes a `Query`, with what is done with each of its statements. One that is refused has all of them refused.
    pub fn query(&mut self, treatments: Vec<Treatment>) {
        let refused = treatments.iter().find_map(|treatment| match treatment {
            Treatment::Refuse(refusal) => Some(refusal.clone()),
            Treatment::Figures(said) => Some(Self::unplanned(said)),
            Treatment::Forward(_) => None,
        });
        if let Some(refusal) = refused {
            wire::put_query(FAILS, &mut self.to_server);
            self.expected.push_back(Expect::Refused(refusal));
            self.expected.push_back(Expect::Ready { sync: false, own: false });
            return;
        }
        let mut sql = String::new();
        for treatment in treatments {
            let Treatment::Forward(forward) = treatment else { continue };
            if !sql.is_empty() {
                sql.push(';');
            }
            sql.push_str(&forward.sql);
            let prepared = Self::make_prepared(*forward);
            let change = Self::change(&prepared.naming, prepared.named.as_ref().unwrap_or(&prepared.output));
            self.intend(&prepared.output);
            let run = self.run(prepared.output, prepared.effect, change, prepared.relies);
            self.expect(Expect::Simple(run));
        }
        wire::put_query(&sql, &mut self.to_server);
        if sql.is_empty() {
            let run = self.run(Output::nobody(), Effect::None, None, None);
            self.expect(Expect::Simple(run));
        }
        self.expected.push_back(Expect::Ready { sync: false, own: false });
    }

    fn intend(&mut self, output: &Output) {
        if let Some(said) = output.said.as_ref().filter(|said| said.kind == SaidKind::Write) {
            self.intents.push(said.clone());
        }
    }

    /// Takes a `Parse`.
    pub fn parse(&mut self, message: &wire::Parse<'_>, treatment: Treatment) {
        let name = message.statement.to_owned();
        let refused = |refusal| {
            (Prepared { refusal: Some(refusal), ..Self::make_prepared(Forward::plain("")) }, FAILS.to_owned())
        };
        let (prepared, sql) = match treatment {
            Treatment::Forward(mut forward) => {
                let sql = std::mem::take(&mut forward.sql);
                (Self::make_prepared(*forward), sql)
            }
            Treatment::Figures(said) => refused(Self::unplanned(&said)),
            Treatment::Refuse(refusal) => refused(refusal),
        };
        wire::put_parse(&name, &sql, message.types.iter(), &mut self.to_server);
        let (refusal, prepared) = (prepared.refusal.clone(), Arc::new(prepared));
        let is_refused = refusal.is_some();
        self.expect(Expect::Parse { change: Change::Prepared(name.clone(), prepared.clone()), refusal });
        if !is_refused {
            wire::put_describe(Named::Statement(&name), &mut self.to_server);
            self.expect(Expect::Describe { name, prepared, portal: None, own: true });
        }
    }

    /// Sends what fails in the place of a message of the extended protocol.
    fn refuse_extended(&mut self, refusal: Box<Refusal>) {
        wire::put_parse("", FAILS, std::iter::empty(), &mut self.to_server);
        self.expected.push_back(Expect::Refused(refusal));
    }

    /// A question that nobody planned is not asked.
    #[expect(clippy::unnecessary_box_returns, reason = "refusals travel in boxes everywhere")]
    fn unplanned(said: &Arc<Said>) -> Box<Refusal> {
        Box::new(Refusal {
            code: "42501",
            message: "denied: figures are asked for in statements of their own".to_owned(),
            hint: Some("send the statement alone, without PREPARE, DECLARE or COPY".to_owned()),
            reasons: vec!["figures within another statement".to_owned()],
            said: said.clone(),
        })
    }

    #[expect(clippy::unnecessary_box_returns, reason = "refusals travel in boxes everywhere")]
    fn unknown(kind: &str, name: &str, code: &'static str) -> Box<Refusal> {
        Box::new(Refusal {
            code,
            message: format!("{kind} \"{}\" does not exist", name.escape_default()),
            hint: Some("it may have gone with a change of purpose; prepare it again".to_owned()),
            reasons: Vec::new(),
            said: Arc::new(Said { fingerprint: [0; 32], relations: Vec::new(), kind: SaidKind::Record }),
        })
    }

    fn known(&self, name: &str) -> Option<Arc<Prepared>> {
        self.sent.prepared.get(name).cloned()
    }

    /// Takes a `Bind`. `bytes` is the whole message.
    pub fn bind(&mut self, message: &wire::Bind<'_>, bytes: &[u8]) {
        let Some(prepared) = self.known(message.statement) else {
            return self.refuse_extended(Self::unknown("prepared statement", message.statement, "26000"));
        };
        let formats: Arc<[i16]> = message.result_formats.iter().collect();
        let n_appended = match &*prepared.output.expected {
            Expected::People { instances, appended: true } => instances.len(),
            _ => 0,
        };
        let as_text = prepared.output.cells.is_some() || prepared.output.copy.is_some();
        if as_text && !formats.is_empty() {
            // Figures are made safe as text, and written as the client asked for afterwards.
            let tail = formats.len() * 2 + 2;
            let mut text = bytes[..bytes.len() - tail].to_vec();
            text.extend([0, 0]);
            let length = (text.len() - 1) as u32;
            text[1..5].copy_from_slice(&length.to_be_bytes());
            self.to_server.extend_from_slice(&text);
        } else if formats.len() > 1 && n_appended > 0 {
            // One format a column: those that are appended have theirs, too.
            let mut widened = bytes.to_vec();
            let added = n_appended * 2;
            let at = widened.len() - formats.len() * 2 - 2;
            let count = (formats.len() + n_appended) as u16;
            widened[at..at + 2].copy_from_slice(&count.to_be_bytes());
            widened.extend(std::iter::repeat_n(0, added));
            let length = (widened.len() - 1) as u32;
            widened[1..5].copy_from_slice(&length.to_be_bytes());
            self.to_server.extend_from_slice(&widened);
        } else {
            self.to_server.extend_from_slice(bytes);
        }
        let mut output = prepared.output.clone();
        // What COPY writes is made of text, whatever format was asked for.
        let formats = if output.copy.is_some() { Arc::from([]) } else { formats };
        if let Some(cells) = &output.cells {
            let values = message.parameters.into_iter().map(|value| value.map(<[u8]>::to_vec)).collect();
            output.cells = Some(cells.bound(values));
        }
        // COPY is written from text, whatever the client asked for.
        let formats = if output.copy.is_some() { Arc::from([]) } else { formats };
        let portal = Arc::new(Portal { prepared: prepared.clone(), output, formats });
        let change = Change::Portal(message.portal.to_owned(), portal.clone());
        let is_described = !prepared.by_sql;
        self.expect(Expect::Bind { change, statement: message.statement.to_owned(), prepared: prepared.clone() });
        if !is_described {
            wire::put_describe(Named::Portal(message.portal), &mut self.to_server);
            let name = message.portal.to_owned();
            self.expect(Expect::Describe { name, prepared, portal: Some(portal), own: true });
        }
    }

    /// Takes a `Describe`. `bytes` is the whole message.
    pub fn describe(&mut self, what: Named<'_>, bytes: &[u8]) {
        let (name, prepared, portal) = match what {
            Named::Statement(name) => match self.known(name) {
                Some(prepared) => (name, prepared, None),
                None => return self.refuse_extended(Self::unknown("prepared statement", name, "26000")),
            },
            Named::Portal(name) => match self.sent.portals.get(name).cloned() {
                Some(portal) => (name, portal.prepared.clone(), Some(portal)),
                None => return self.refuse_extended(Self::unknown("portal", name, "34000")),
            },
        };
        self.to_server.extend_from_slice(bytes);
        self.expect(Expect::Describe { name: name.to_owned(), prepared, portal, own: false });
    }

    /// Takes an `Execute`. `bytes` is the whole message.
    pub fn execute(&mut self, name: &str, bytes: &[u8]) {
        let Some(portal) = self.sent.portals.get(name).cloned() else {
            return self.refuse_extended(Self::unknown("portal", name, "34000"));
        };
        let prepared = &portal.prepared;
        if let Some(relies) = prepared.relies.as_ref().filter(|relies| !self.sent.still(relies)) {
            return self.refuse_extended(Self::unknown("what was prepared of", &relies.name, "34000"));
        }
        let change = Self::change(&prepared.naming, prepared.named.as_ref().unwrap_or(&prepared.output));
        self.intend(&portal.output);
        let mut run = self.run(portal.output.clone(), prepared.effect.clone(), change, prepared.relies.clone());
        run.shape = prepared.shape.get().cloned();
        run.formats = portal.formats.clone();
        if run.output.copy.is_some() || run.output.cells.is_some() {
            // Neither COPY nor figures come in parts.
            wire::put_execute(name, 0, &mut self.to_server);
        } else {
            self.to_server.extend_from_slice(bytes);
        }
        self.expect(Expect::Execute { run, name: name.to_owned(), portal });
    }

    /// Takes a `Close`. `bytes` is the whole message.
    pub fn close(&mut self, what: Named<'_>, bytes: &[u8]) {
        let change = match what {
            Named::Statement(name) => Change::NoPrepared(Some(name.to_owned())),
            Named::Portal(name) => Change::NoPortal(name.to_owned()),
        };
        self.to_server.extend_from_slice(bytes);
        self.expect(Expect::Close(change));
    }

    /// Takes a `Flush`.
    pub fn flush(&mut self) {
        wire::put_flush(&mut self.to_server);
    }

    /// Takes a `Sync`.
    pub fn sync(&mut self) {
        wire::put_sync(&mut self.to_server);
        self.expected.push_back(Expect::Ready { sync: true, own: false });
    }

    /// Refuses what is a message of its own, such as a function call.
    pub fn refuse(&mut self, refusal: Box<Refusal>) {
        self.query(vec![Treatment::Refuse(refusal)]);
    }

    /// Sends statements of the gateway's own, whose answers the client does not see.
    pub fn own_query(&mut self, statements: &[String]) {
        wire::put_query(&statements.join(";"), &mut self.to_server);
        statements.iter().for_each(|_| self.expected.push_back(Expect::Own));
        self.expected.push_back(Expect::Ready { sync: false, own: true });
    }

    /// Lets the client hear of the next `ReadyForQuery`, though it is the answer to the gateway.
    pub fn greet(&mut self) {
        if let Some(Expect::Ready { own, .. }) = self.expected.back_mut() {
            *own = false;
        }
    }

    /// Returns what asking a prepared question once more costs; `None` if it is none.
    pub fn cost(&self, statement: &str) -> Option<(u32, Arc<Said>)> {
        let prepared = self.known(statement)?;
        Some((prepared.output.cells.as_ref()?.cost(), prepared.output.said.clone()?))
    }

    /// Refuses what would follow in the extended protocol, up to the next `Sync`.
    pub fn refuse_next(&mut self, refusal: Box<Refusal>) {
        self.refuse_extended(refusal);
    }

    /// Tells whether a statement on its way, or one that has succeeded, changes what the session asks for.
    pub fn changes_wish(&self) -> bool {
        let changes = |expect: &Expect| match expect {
            Expect::Simple(run) | Expect::Execute { run, .. } => run.effect != Effect::None,
            _ => false,
        };
        !self.effects.is_empty() || self.expected.iter().any(changes)
    }

    /// Takes a message of the server.
    ///
    /// # Errors
    ///
    /// [`Fatal`]; nothing more may leave then, not even what was written.
    pub fn server_said(&mut self, frame: &Frame<'_>, stops: &Stops<'_>, metrics: &Metrics) -> Result<(), Fatal> {
        if frame.tag == b'D' {
            return self.row(frame.body(), stops, metrics);
        }
        let message = Backend::parse(frame).map_err(|error| Fatal::Server(error.to_string()))?;
        match message {
            // A row can be put into each of these; `scrub` says how.
            Backend::NoticeResponse(_) | Backend::NotificationResponse { .. } => Ok(()),
            Backend::ParameterStatus { name, value } => {
                if scrub::passes_parameter(name, value, &self.asked_values) {
                    self.to_client.extend_from_slice(frame.bytes);
                }
                Ok(())
            }
            Backend::ErrorResponse(notice) => self.error(notice, metrics),
            Backend::ReadyForQuery(status) => self.ready(status),
            Backend::RowDescription(description) => self.description(description),
            Backend::CommandComplete(tag) => self.complete(tag, metrics),
            Backend::EmptyQueryResponse => {
                match self.expected.pop_front() {
                    Some(Expect::Simple(_) | Expect::Execute { .. }) => self.to_client.extend_from_slice(frame.bytes),
                    Some(Expect::Own) => {}
                    other => return Err(out_of_turn("EmptyQueryResponse", other.as_ref())),
                }
                Ok(())
            }
            Backend::PortalSuspended => {
                self.verify()?;
                let Some(Expect::Execute { mut run, .. }) = self.expected.pop_front() else {
                    return Err(out_of_turn("PortalSuspended", None));
                };
                if !run.running {
                    run.begin(&mut self.to_client);
                }
                self.end_part(&mut run, metrics);
                self.to_client.extend_from_slice(frame.bytes);
                Ok(())
            }
            Backend::ParseComplete => match self.expected.pop_front() {
                Some(Expect::Parse { change, .. }) => {
                    self.done.apply(&change);
                    self.to_client.extend_from_slice(frame.bytes);
                    Ok(())
                }
                other => Err(out_of_turn("ParseComplete", other.as_ref())),
            },
            Backend::BindComplete => match self.expected.pop_front() {
                Some(Expect::Bind { change, statement, prepared }) => {
                    if !self.done.is_prepared(&statement, &prepared) {
                        return Err(Fatal::Meaning);
                    }
                    self.done.apply(&change);
                    self.to_client.extend_from_slice(frame.bytes);
                    Ok(())
                }
                other => Err(out_of_turn("BindComplete", other.as_ref())),
            },
            Backend::CloseComplete => match self.expected.pop_front() {
                Some(Expect::Close(change)) => {
                    self.done.apply(&change);
                    self.to_client.extend_from_slice(frame.bytes);
                    Ok(())
                }
                other => Err(out_of_turn("CloseComplete", other.as_ref())),
            },
            Backend::ParameterDescription(_) => match self.expected.front() {
                Some(Expect::Describe { portal: None, own, .. }) => {
                    if !own {
                        self.to_client.extend_from_slice(frame.bytes);
                    }
                    Ok(())
                }
                other => Err(out_of_turn("ParameterDescription", other)),
            },
            Backend::NoData => match self.expected.pop_front() {
                Some(Expect::Describe { own, prepared, name, portal }) => {
                    self.verify_described(&name, &prepared, portal.as_ref())?;
                    let _ = prepared.shape.set(Arc::new(Shape::default()));
                    if !own {
                        self.to_client.extend_from_slice(frame.bytes);
                    }
                    Ok(())
                }
                other => Err(out_of_turn("NoData", other.as_ref())),
            },
            Backend::DataRow(_) => unreachable!("rows were handled before"),
            Backend::Authentication(_)
            | Backend::BackendKeyData { .. }
            | Backend::CopyInResponse(_)
            | Backend::CopyOutResponse(_)
            | Backend::CopyBothResponse(_)
            | Backend::CopyData(_)
            | Backend::CopyDone
            | Backend::FunctionCallResponse(_)
            | Backend::NegotiateProtocolVersion { .. } => {
                Err(Fatal::Server(format!("a message of type `{}`", frame.tag.escape_ascii())))
            }
        }
    }

    /// Makes sure that what the server runs is what was meant when it was sent.
    fn verify(&mut self) -> Result<(), Fatal> {
        let (run, portal) = match self.expected.front_mut() {
            Some(Expect::Simple(run)) => (run, None),
            Some(Expect::Execute { run, name, portal }) => (run, Some((name, portal))),
            _ => return Ok(()),
        };
        if run.verified {
            return Ok(());
        }
        if let (None, Some((_, portal))) = (&run.shape, &portal) {
            // It was sent in one flight with what had it described.
            run.shape = portal.prepared.shape.get().cloned();
        }
        let is_portal = portal.is_none_or(|(name, portal)| self.done.is_portal(name, portal));
        if !is_portal || run.relies.as_ref().is_some_and(|relies| !self.done.still(relies)) {
            return Err(Fatal::Meaning);
        }
        run.verified = true;
        Ok(())
    }

    fn verify_described(
        &self,
        name: &str,
        prepared: &Arc<Prepared>,
        portal: Option<&Arc<Portal>>,
    ) -> Result<(), Fatal> {
        let is_meant = match portal {
            Some(portal) => self.done.is_portal(name, portal),
            None => self.done.is_prepared(name, prepared),
        };
        if is_meant { Ok(()) } else { Err(Fatal::Meaning) }
    }

    fn description(&mut self, attested: RowDescription<'_>) -> Result<(), Fatal> {
        self.verify()?;
        match self.expected.front_mut() {
            Some(Expect::Own) => Ok(()),
            Some(Expect::Simple(run)) => {
                run.running = true;
                run.at = self.to_client.len();
                run.formats = attested.fields().map(|field| field.format).collect();
                let shape = self.described.shape(&attested, &run.output.expected, &self.view)?;
                if let Some(cells) = &run.output.cells {
                    cells.describe(&attested, &[], &mut self.to_client).map_err(Fatal::Server)?;
                } else if let Some(copy) = &run.output.copy {
                    begin_copy(&shape, copy, &mut self.to_client);
                } else {
                    attested.strip_last(shape.total - shape.visible).put(&mut self.to_client);
                }
                run.shape = Some(shape);
                Ok(())
            }
            Some(Expect::Describe { .. }) => {
                let Some(Expect::Describe { name, prepared, portal, own }) = self.expected.pop_front() else {
                    unreachable!("it was just seen")
                };
                self.verify_described(&name, &prepared, portal.as_ref())?;
                let formats = portal.map_or_else(|| Arc::from([]), |portal| portal.formats.clone());
                let shape = self.described.shape(&attested, &prepared.output.expected, &self.view)?;
                if !own {
                    match &prepared.output {
                        // COPY returns no rows.
                        Output { copy: Some(_), .. } => wire::put_empty(b'n', &mut self.to_client),
                        Output { cells: Some(cells), .. } => {
                            cells.describe(&attested, &formats, &mut self.to_client).map_err(Fatal::Server)?;
                        }
                        _ => attested.strip_last(shape.total - shape.visible).put(&mut self.to_client),
                    }
                }
                let _ = prepared.shape.set(shape);
                Ok(())
            }
            other => Err(out_of_turn("RowDescription", other.map(|it| &*it))),
        }
    }

    fn row(&mut self, body: &[u8], stops: &Stops<'_>, metrics: &Metrics) -> Result<(), Fatal> {
        let wrong = |error: Malformed| Fatal::Server(error.to_string());
        let row = wire::DataRow::parse(body).map_err(wrong)?;
        self.verify()?;
        let run = match self.expected.front_mut() {
            Some(Expect::Own) => return Ok(()),
            Some(Expect::Simple(run) | Expect::Execute { run, .. }) => run,
            other => return Err(out_of_turn("DataRow", other.map(|it| &*it))),
        };
        let shape = run.shape.clone().ok_or_else(|| Fatal::Server("a row that was not described".to_owned()))?;
        if row.len() != shape.total {
            return Err(Fatal::Server(format!("a row of {} columns, {} were described", row.len(), shape.total)));
        }
        if !run.running {
            run.begin(&mut self.to_client);
        }
        if self.view.max_rows > 0 && run.rows >= self.view.max_rows {
            return Err(Fatal::TooManyRows(self.view.max_rows));
        }
        if run.output.cells.is_none() {
            return self.row_of_people(&row, &shape, stops, metrics);
        }
        run.cells.push(row.columns().map(|value| value.map(<[u8]>::to_vec)).collect());
        Ok(())
    }

    fn row_of_people(
        &mut self,
        row: &wire::DataRow<'_>,
        shape: &Arc<Shape>,
        stops: &Stops<'_>,
        metrics: &Metrics,
    ) -> Result<(), Fatal> {
        let Some(Expect::Simple(run) | Expect::Execute { run, .. }) = self.expected.front_mut() else {
            unreachable!("whoever calls has seen it")
        };
        if let [at] = shape.subjects[..] {
            // The usual case, in which there is nobody else to compare with.
            if !stops.fresh {
                return Err(Fatal::Stale);
            }
            let bit = self.view.bit.ok_or_else(|| Fatal::Server("rows of people without a purpose".to_owned()))?;
            if self.canonical.is_empty() {
                self.canonical.push(Canonical::default());
            }
            if let Some(value) = row.column(at).expect("the row is as long as its shape") {
                let subject = self.canonical[0].read(self.view.subject_type, format_of(&run.formats, at)?, value);
                let subject = subject.ok_or_else(|| Fatal::Server("an id that is none".to_owned()))?;
                if stops.stopped.stops(subject, bit, run.since) {
                    metrics.stopped_rows.one();
                    return Ok(());
                }
                run.subjects.push(shape.alike[0], subject);
            }
        } else if !shape.subjects.is_empty() {
            if !stops.fresh {
                return Err(Fatal::Stale);
            }
            let bit = self.view.bit.ok_or_else(|| Fatal::Server("rows of people without a purpose".to_owned()))?;
            self.canonical.resize_with(shape.subjects.len().max(self.canonical.len()), Canonical::default);
            let kind = self.view.subject_type;
            let mut seen: [(&[u8], u32); MOST_RELATIONS] = [(&[], 0); MOST_RELATIONS];
            let mut n_seen = 0;
            let mut rooms = self.canonical.iter_mut();
            for (number, at) in shape.subjects.iter().enumerate() {
                let value = row.column(*at).expect("the row is as long as its shape");
                let (Some(value), Some(room)) = (value, rooms.next()) else { continue };
                let format = format_of(&run.formats, *at)?;
                let subject =
                    room.read(kind, format, value).ok_or_else(|| Fatal::Server("an id that is none".to_owned()))?;
                if stops.stopped.stops(subject, bit, run.since) {
                    metrics.stopped_rows.one();
                    return Ok(());
                }
                let relation = 1 << shape.alike[number];
                if let Some((_, relations)) = seen[..n_seen].iter_mut().find(|(known, _)| *known == subject) {
                    *relations |= relation;
                } else {
                    let room = seen.get_mut(n_seen);
                    *room.ok_or_else(|| Fatal::Server("a row of too many people".to_owned()))? = (subject, relation);
                    n_seen += 1;
                }
            }
            for (subject, relations) in &seen[..n_seen] {
                let number = run.number(*relations, shape.disclosed.len())?;
                run.subjects.push(number, subject);
            }
        }
        run.rows += 1;
        if let Some(copy) = &run.output.copy {
            self.scratch.clear();
            let pseudonyms = self.view.pseudonyms.as_ref();
            let mut written: Vec<Option<Vec<u8>>> = Vec::with_capacity(shape.pseudonyms.len());
            for at in &shape.pseudonyms {
                let value = row.column(*at).expect("the row is as long as its shape");
                written.push(value.zip(pseudonyms).map(|(value, pseudonyms)| {
                    let mut out = Vec::new();
                    pseudonyms.push(value, Format::Text, &mut out);
                    out
                }));
            }
            let columns: Vec<Option<&[u8]>> = row
                .columns()
                .take(shape.visible)
                .enumerate()
                .map(|(at, value)| match shape.pseudonyms.binary_search(&at) {
                    Ok(place) => written[place].as_deref(),
                    Err(_) => value,
                })
                .collect();
            copy.format.push_row(columns.into_iter(), &mut self.scratch);
            wire::put_copy_data(&self.scratch, &mut self.to_client);
        } else if shape.pseudonyms.is_empty() {
            row.put_without_last(shape.total - shape.visible, &mut self.to_client);
        } else {
            let kind = self.view.subject_type;
            let (formats, scratch) = (run.formats.clone(), &mut self.scratch);
            let pseudonyms = self.view.pseudonyms.as_ref();
            let mut failed = None;
            let mut canonical = Canonical::default();
            row.put_replaced(shape.visible, &mut self.to_client, |at, value, out| {
                if shape.pseudonyms.binary_search(&at).is_err() {
                    return Replaced::Kept;
                }
                let (Some(value), Some(pseudonyms)) = (value, pseudonyms) else { return Replaced::Null };
                let format = match format_of(&formats, at) {
                    Ok(format) => format,
                    Err(error) => {
                        failed = Some(error);
                        return Replaced::Null;
                    }
                };
                let Some(subject) = canonical.read(kind, format, value) else {
                    failed = Some(Fatal::Server("an id that is none".to_owned()));
                    return Replaced::Null;
                };
                scratch.clear();
                pseudonyms.push(subject, format, scratch);
                out.extend_from_slice(scratch);
                Replaced::Written
            });
            if let Some(failed) = failed {
                return Err(failed);
            }
        }
        if run.subjects.len() >= CHUNK_ROWS || self.to_client.len() - run.at >= CHUNK_BYTES {
            run.part(self.to_client.len(), &mut self.guards, metrics);
        }
        Ok(())
    }

    fn end_part(&mut self, run: &mut Run, metrics: &Metrics) {
        // An answer without rows says something, too: that there are none.
        if run.output.said.as_ref().is_some_and(|said| said.kind != SaidKind::Write) || !run.subjects.is_empty() {
            run.part(self.to_client.len(), &mut self.guards, metrics);
        }
    }

    fn complete(&mut self, tag: &str, metrics: &Metrics) -> Result<(), Fatal> {
        self.verify()?;
        let mut run = match self.expected.pop_front() {
            Some(Expect::Own) => return Ok(()),
            Some(Expect::Simple(run) | Expect::Execute { run, .. }) => run,
            other => return Err(out_of_turn("CommandComplete", other.as_ref())),
        };
        if !run.running {
            run.begin(&mut self.to_client);
        }
        if let Some(cells) = run.output.cells.clone() {
            run.rows = cells.write(&run.cells, &run.formats, &mut self.to_client).map_err(Fatal::Server)?;
        }
        self.end_part(&mut run, metrics);
        if let Some(change) = &run.change {
            self.done.apply(change);
        }
        metrics.permitted.one();
        if run.output.copy.is_some() {
            wire::put_copy_done(&mut self.to_client);
            wire::put_command_complete(&format!("COPY {}", run.rows), &mut self.to_client);
        } else if run.output.said.as_ref().is_some_and(|said| said.kind != SaidKind::Write) {
            // The server counts rows that were held back.
            let verb = tag.split(' ').next().unwrap_or("SELECT");
            wire::put_command_complete(&format!("{verb} {}", run.rows), &mut self.to_client);
        } else {
            wire::put_command_complete(tag, &mut self.to_client);
        }
        match run.effect {
            Effect::None => {}
            effect => self.effects.push(effect),
        }
        Ok(())
    }

    fn ready(&mut self, status: TransactionStatus) -> Result<(), Fatal> {
        let Some(Expect::Ready { own, .. }) = self.expected.pop_front() else {
            return Err(Fatal::Server("ReadyForQuery out of turn".to_owned()));
        };
        self.status = status;
        if status == TransactionStatus::Idle {
            self.done.end_transaction();
            if self.expected.is_empty() {
                self.sent.end_transaction();
            }
        }
        if !own {
            wire::put_ready(status, &mut self.to_client);
        }
        Ok(())
    }

    fn error(&mut self, notice: Notice<'_>, metrics: &Metrics) -> Result<(), Fatal> {
        let code = scrub::code(notice.field(b'C').unwrap_or_default()).to_owned();
        let front = self.expected.pop_front();
        let mut stage = Stage::Reading;
        let mut extended = true;
        let mut refusal = None;
        let mut own = false;
        match front {
            None => {
                // The server ends the connection of its own accord.
                return Err(Fatal::Server(format!("{code} ({})", scrub::words(&code, "", Stage::Running))));
            }
            Some(Expect::Refused(given)) => refusal = Some(given),
            Some(Expect::Simple(mut run)) => {
                extended = false;
                if run.running {
                    stage = Stage::Running;
                    self.end_part(&mut run, metrics);
                }
                refusal = run.refusal.take();
            }
            Some(Expect::Execute { mut run, .. }) => {
                stage = Stage::Running;
                if !run.running {
                    run.at = self.to_client.len();
                }
                self.end_part(&mut run, metrics);
            }
            Some(Expect::Parse { change, refusal: given }) => {
                refusal = given;
                // An unnamed statement is gone once another was tried.
                if let Change::Prepared(name, _) = change
                    && name.is_empty()
                {
                    self.done.apply(&Change::NoPrepared(Some(name)));
                }
            }
            // Values are bound here, and folded into plans.
            Some(Expect::Bind { .. }) => stage = Stage::Running,
            Some(Expect::Describe { .. } | Expect::Close(_)) => {}
            Some(Expect::Own) => own = true,
            Some(ready @ Expect::Ready { .. }) => {
                // A deferred constraint fails when the transaction ends.
                self.expected.push_front(ready);
                stage = Stage::Running;
            }
        }
        if matches!(self.expected.front(), Some(Expect::Ready { sync: false, .. })) {
            extended = false;
        }
        if own {
            let words =
                scrub::words(&code, &notice.field(b'M').map(String::from_utf8_lossy).unwrap_or_default(), stage);
            return Err(Fatal::Server(format!("the session could not be set up: {words}")));
        } else if let Some(refusal) = refusal {
            metrics.denied.one();
            self.guards.push(Guard { at: self.to_client.len(), record: Record::Refused(refusal) });
        } else {
            let said = notice.field(b'M').map(String::from_utf8_lossy).unwrap_or_default();
            let words = scrub::words(&code, &said, stage);
            if words != said {
                metrics.scrubbed.one();
            }
            let severity = if notice.field(b'V') == Some(b"FATAL") { Severity::Fatal } else { Severity::Error };
            let report = Report { severity, code: &code, message: &words, detail: None, hint: None };
            wire::put_report(&report, &mut self.to_client);
        }
        // The server passes over what was sent before the next Sync, or what is left of this Query.
        while let Some(next) = self.expected.front() {
            if matches!(next, Expect::Ready { sync, .. } if *sync == extended) {
                break;
            }
            self.expected.pop_front();
        }
        // Names mean what they meant, but for what is still to come.
        self.sent = self.done.clone();
        for change in self.expected.iter().filter_map(Expect::change) {
            self.sent.apply(change);
        }
        Ok(())
    }
}

fn format_of(formats: &[i16], at: usize) -> Result<Format, Fatal> {
    let code = match formats.len() {
        0 => 0,
        1 => formats[0],
        _ => formats.get(at).copied().unwrap_or(0),
    };
    Format::of_code(code).ok_or_else(|| Fatal::Server("a format that is neither text nor binary".to_owned()))
}

fn begin_copy(shape: &Shape, copy: &CopyOut, out: &mut BytesMut) {
    wire::put_copy_out_response(0, shape.visible as u16, out);
    if copy.header {
        let mut line = Vec::new();
        copy.format.push_row(shape.names.iter().take(shape.visible).map(|name| Some(name.as_slice())), &mut line);
        wire::put_copy_data(&line, out);
    }
}

fn out_of_turn(what: &str, instead: Option<&Expect>) -> Fatal {
    let expected = match instead {
        None => "nothing",
        Some(Expect::Simple(_)) => "the answer to a statement",
        Some(Expect::Ready { .. }) => "ReadyForQuery",
        Some(Expect::Own) => "the answer to the gateway",
        Some(Expect::Parse { .. }) => "ParseComplete",
        Some(Expect::Bind { .. }) => "BindComplete",
        Some(Expect::Describe { .. }) => "a description",
        Some(Expect::Execute { .. }) => "the answer to Execute",
        Some(Expect::Close(_)) => "CloseComplete",
        Some(Expect::Refused(_)) => "an error",
    };
    Fatal::Server(format!("{what} where {expected} was due"))
}
