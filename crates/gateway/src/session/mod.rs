//! A client's session: carries messages both ways, and lets nothing leave that is not logged.
//!
//! Out of scope: what messages do to the session's state ([`engine`]), what is done with statements (`treat`), who the
//! client is (`startup`).
//!
//! One task drives a session, and within it one place waits for everything at once (`Wires::wait`): bytes of the client,
//! bytes of the server, room to write to either, and the ledger. So nobody can block one direction by not serving the
//! other, and an entry becomes durable while the next rows are read.

pub mod engine;

use crate::{
    accounting::{Heading, NotLogged, Receipted},
    gateway::{Gateway, Ticketed},
    identity::Principal,
    login::ServerConnection,
    readings::{Known, skeleton_of},
    shape::Shape,
    standing::{Standing, Wish},
    startup::{Asked as AskedAtStart, Client, ClientStream},
    treat::{Asked, treat, unreadable},
    wire::{self, Frame, FrameError, Frontend, Malformed, Report, Severity, TransactionStatus},
};
use bytes::{Buf as _, BytesMut};
use engine::{
    AskedFor, Effect, Engine, Fatal, Forward, Guard, Naming, Output, Record, Refusal, Said, SaidKind, Stops, Treatment,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use vigie_statement::{
    Statement, Unreadable,
    edit::{Edit, apply},
    skeleton::{Skeleton, carry},
};

/// Bytes for a client that may wait, logged or not, before the server is no longer read.
const MOST_WAITING: usize = 4 * 1024 * 1024;
/// Bytes for a server that may wait before the client is no longer read.
const MOST_UNSENT: usize = 1024 * 1024;
/// Bytes that are read of the server at once, once an answer is long.
const MOST_READ: usize = 128 * 1024;
/// Treated statements that a session remembers.
const MOST_TREATED: usize = 256;
/// How many rows are logged on the session's own task.
const FEW_ROWS: usize = 64;
/// Headings that a session remembers.
const MOST_HEADINGS: usize = 16;
/// Up to how many bytes of what needs no entry wait for the rows behind it.
const FEW_BYTES: usize = 4096;

/// Why a session ended otherwise than by the client's will.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// A connection failed.
    #[error("the client's connection failed")]
    Client(#[source] io::Error),
    /// The server's connection failed.
    #[error("the server's connection failed")]
    Server(#[source] io::Error),
    /// A message cannot be cut out of the bytes.
    #[error("bytes are no messages")]
    Frame(#[from] FrameError),
    /// A message cannot be read.
    #[error("a message cannot be read")]
    Malformed(#[from] Malformed),
    /// The state of the session does not allow to go on.
    #[error("the session cannot go on")]
    Fatal(#[from] Fatal),
    /// Something could not be logged, so it did not leave.
    #[error("the access could not be logged")]
    NotLogged(#[from] NotLogged),
    /// A connection to the server could not be had.
    #[error("no connection to the database could be had")]
    Login(#[from] crate::login::LoginError),
    /// What the control connection should know could not be asked.
    #[error("tickets could not be looked up")]
    Control(#[source] Arc<crate::control::ControlError>),
    /// A limit was reached.
    #[error("{0}")]
    Limit(&'static str),
    /// The gateway is going down.
    #[error("the gateway is ending")]
    Draining,
}

impl Ended {
    /// Returns what the client is told: a code, words, a hint. Nothing if there is nobody to tell.
    fn told(&self) -> Option<(&'static str, String, Option<&'static str>)> {
        let told = |code, words: &str, hint| Some((code, words.to_owned(), hint));
        match self {
            Self::Client(_) => None,
            Self::Server(_) | Self::Login(_) => told(
                "57P03",
                "the database cannot be reached",
                Some("try again; nothing was returned that was not logged"),
            ),
            Self::Frame(_) | Self::Malformed(_) | Self::Fatal(Fatal::Client(_)) => {
                told("08P01", "the client sent what the protocol does not allow", None)
            }
            Self::Fatal(Fatal::Mismatch(_)) => told(
                "42501",
                "denied: the server attests another result than the statement was read to have",
                Some("write the statement more plainly"),
            ),
            Self::Fatal(Fatal::Stale) | Self::Control(_) => told(
                "57P03",
                "denied: it is not known who has refused in the meantime, so nothing may leave",
                Some("try again in a moment"),
            ),
            Self::Fatal(error @ Fatal::TooManyRows(_)) => {
                Some(("54000", error.to_string(), Some("narrow the statement down, or ask for a transfer")))
            }
            Self::Fatal(Fatal::Meaning) => told(
                "42501",
                "denied: a name means something else than it did when it was used",
                Some("wait for answers before names are used again"),
            ),
            Self::Fatal(Fatal::Server(_)) => told("57P01", "the session was ended by the database", None),
            Self::NotLogged(_) => told(
                "58030",
                "denied: the access could not be logged, so nothing may leave",
                Some("try again in a moment, or tell the operator"),
            ),
            Self::Limit(words) => told("57P05", words, None),
            Self::Draining => told("57P01", "the gateway is ending; connect again", None),
        }
    }
}

type Logging = Pin<Box<dyn Future<Output = Result<Receipted, NotLogged>> + Send>>;

/// Bytes for the client, and what must be logged before they leave.
struct Segment {
    bytes: BytesMut,
    logging: Option<Logging>,
    logged: Option<Receipted>,
    refusal: Option<Box<Refusal>>,
    since: Instant,
}

/// The two connections, and what waits to be sent.
struct Wires<S> {
    client: ClientStream<S>,
    from_client: BytesMut,
    to_client: BytesMut,
    server: ServerConnection,
    to_server: BytesMut,
    outbox: VecDeque<Segment>,
    waiting: usize,
}

/// What happened.
#[derive(Debug, Default)]
struct Happened {
    client_gone: bool,
    server_gone: bool,
    ticked: bool,
}

struct Session<S> {
    gateway: Arc<Gateway>,
    principal: Principal,
    peer: IpAddr,
    wish: Wish,
    at_start: Wish,
    settings: Vec<(&'static str, String)>,
    standing: Standing,
    engine: Engine,
    wires: Wires<S>,
    treated: HashMap<Vec<u8>, Remembered>,
    /// Of what was logged last, by what was asked and what came out.
    headings: VecDeque<(Arc<Said>, Option<Arc<Shape>>, Arc<Heading>)>,
    tick: tokio::time::Interval,
    transaction_since: Option<Instant>,
    heard_at: Instant,
    process: u32,
    /// Whether the client said that it ends.
    leaving: bool,
    /// Whether nothing more comes from the client.
    closed: bool,
    hold: bool,
}

/// A statement that was treated before.
struct Remembered {
    skeleton: Skeleton,
    edits: Vec<Edit>,
    output: Output,
    naming: Naming,
}

/// Runs the session of a client that has proved who it is, to its end.
///
/// # Errors
///
/// [`Ended`]; the client was told as much as it may know.
pub async fn run<S>(gateway: Arc<Gateway>, client: Client<S>) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Client { stream, buffer, asked, principal, version, peer, .. } = client;
    let mut stream = stream;
    match begin(&gateway, &principal, &asked, peer).await {
        Ok((standing, server)) => {
            let ticket = gateway.sessions.enter(&principal.id, server.cancel_key.clone(), version);
            let Ok(entered) = ticket else {
                return tell(&mut stream, Ended::Limit("too many sessions; end some, or wait")).await;
            };
            let mut session =
                Session::new(gateway.clone(), stream, buffer, principal, peer, asked, standing, server, &entered);
            let ended = session.serve().await;
            let Err(ended) = ended else { return Ok(()) };
            session.wires.flush_covered().await;
            if matches!(ended, Ended::Fatal(Fatal::Mismatch(_))) {
                session.log_mismatch(&ended).await;
            }
            // What was covered before may still leave; what was not is dropped with the session.
            tell(&mut session.wires.client, ended).await
        }
        Err(ended) => tell(&mut stream, ended).await,
    }
}

/// Decides where the client stands, and gets it a connection.
async fn begin(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    asked: &AskedAtStart,
    peer: IpAddr,
) -> Result<(Standing, ServerConnection), Ended> {
    if asked.database != gateway.database {
        return Err(Ended::Limit("this gateway serves another database"));
    }
    let wish = Wish {
        purpose: asked.purpose.clone(),
        ticket: asked.ticket.clone(),
        reason: asked.reason.clone(),
        figures: false,
    };
    let standing = gateway.stand(principal, &wish, peer).await.map_err(Ended::Control)?;
    let server = gateway.pool.take(&standing.view.role, &gateway.metrics).await?;
    Ok((standing, server))
}

async fn tell<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut ClientStream<S>, ended: Ended) -> Result<(), Ended> {
    if let Some((code, words, hint)) = ended.told() {
        let mut out = BytesMut::new();
        let report = Report { severity: Severity::Fatal, code, message: &words, detail: None, hint };
        wire::put_report(&report, &mut out);
        let telling = async {
            stream.write_all(&out).await?;
            stream.shutdown().await
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), telling).await;
    }
    Err(ended)
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    #[expect(clippy::too_many_arguments, reason = "each is a part that was made apart, and is only put in its place")]
    fn new(
        gateway: Arc<Gateway>,
        stream: ClientStream<S>,
        buffer: BytesMut,
        principal: Principal,
        peer: IpAddr,
        asked: AskedAtStart,
        standing: Standing,
        server: ServerConnection,
        entered: &Ticketed,
    ) -> Self {
        let wish = Wish { purpose: asked.purpose, ticket: asked.ticket, reason: asked.reason, figures: false };
        let mut engine = Engine::new(standing.view.clone());
        let mut to_client = BytesMut::with_capacity(8 * 1024);
        for (name, value) in &server.parameters {
            if crate::scrub::passes_parameter(name, value, &[]) || name == "TimeZone" {
                wire::put_parameter_status(name, value, &mut to_client);
            }
        }
        wire::put_parameter_status("application_name", asked.application_name.as_deref().unwrap_or(""), &mut to_client);
        wire::put_backend_key_data(entered.process, &entered.key, &mut to_client);
        let mut session_settings = asked.settings;
        session_settings.retain(|(name, _)| *name != "standard_conforming_strings");
        set_up(&mut engine, &session_settings, &wish, gateway.limits.statement_seconds);
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let wires = Wires {
            client: stream,
            from_client: buffer,
            to_client,
            server,
            to_server: BytesMut::new(),
            outbox: VecDeque::new(),
            waiting: 0,
        };
        // The first thing that the client hears after its key.
        engine.greet();
        Self {
            gateway,
            principal,
            peer,
            at_start: wish.clone(),
            wish,
            settings: session_settings,
            standing,
            engine,
            wires,
            treated: HashMap::new(),
            headings: VecDeque::new(),
            tick,
            transaction_since: None,
            heard_at: Instant::now(),
            process: entered.process,
            leaving: false,
            closed: false,
            hold: false,
        }
    }

    async fn serve(&mut self) -> Result<(), Ended> {
        loop {
            self.stand_again().await?;
            self.hear_client().await?;
            self.send().await?;
            if self.closed && !self.hold {
                let rest = wire::frame(&self.wires.from_client, self.gateway.limits.max_message_bytes);
                self.leaving |= !matches!(rest, Ok(Some(_)));
            }
            self.hear_server()?;
            if self.after_effects().await? {
                continue;
            }
            if self.leaving && self.engine.is_idle() && self.wires.outbox.is_empty() && self.wires.to_client.is_empty()
            {
                return Ok(());
            }
            let read_client = !self.hold && !self.leaving && !self.closed && self.wires.to_server.len() < MOST_UNSENT;
            let read_server = self.wires.waiting < MOST_WAITING;
            let happened = self.wires.wait(&mut self.tick, read_client, read_server, &self.gateway).await?;
            if happened.client_gone {
                // It may still read: what it asked before is answered first.
                self.closed = true;
            }
            if happened.server_gone {
                self.hear_server()?;
                return Err(Ended::Server(io::ErrorKind::UnexpectedEof.into()));
            }
            if happened.ticked {
                self.look_at_the_clock()?;
            }
        }
    }

    fn look_at_the_clock(&mut self) -> Result<(), Ended> {
        let limits = &self.gateway.limits;
        let idle = self.engine.is_idle();
        let longest = Duration::from_secs(limits.transaction_seconds.into());
        if self.transaction_since.is_some_and(|since| since.elapsed() > longest) {
            return Err(Ended::Limit("the transaction lasted longer than it may"));
        }
        let in_transaction = self.engine.status() != TransactionStatus::Idle;
        let quiet = Duration::from_secs(limits.idle_in_transaction_seconds.into());
        if in_transaction && idle && self.heard_at.elapsed() > quiet {
            return Err(Ended::Limit("nothing was heard within a transaction for longer than may be"));
        }
        if self.gateway.is_draining() && idle && !in_transaction {
            return Err(Ended::Draining);
        }
        Ok(())
    }

    /// Decides anew where that may have changed: between transactions only.
    async fn stand_again(&mut self) -> Result<(), Ended> {
        if self.engine.status() != TransactionStatus::Idle
            || !self.engine.is_idle()
            || self.wires.from_client.is_empty()
        {
            return Ok(());
        }
        let over = self.standing.until.is_some_and(|until| SystemTime::now() >= until);
        if over || !Arc::ptr_eq(&self.standing.epoch, &self.gateway.epoch()) {
            self.stand().await?;
        }
        Ok(())
    }

    async fn stand(&mut self) -> Result<(), Ended> {
        let standing = self.gateway.stand(&self.principal, &self.wish, self.peer).await.map_err(Ended::Control)?;
        self.treated.clear();
        self.headings.clear();
        // What was prepared under one ticket may be of tables that another is not for.
        let ticket = |standing: &Standing| standing.ticket.as_ref().map(|ticket| ticket.id);
        let same = Arc::ptr_eq(&standing.view, &self.standing.view) && ticket(&standing) == ticket(&self.standing);
        self.standing = standing;
        if same {
            return Ok(());
        }
        let role = &self.standing.view.role;
        let server = self.gateway.pool.take(role, &self.gateway.metrics).await?;
        self.gateway.sessions.moved(self.process, server.cancel_key.clone());
        let mut old = std::mem::replace(&mut self.wires.server, server);
        let mut bye = BytesMut::new();
        wire::put_terminate(&mut bye);
        // It ends anyway when it is dropped.
        let _ = tokio::time::timeout(Duration::from_millis(100), old.stream.write_all(&bye)).await;
        self.engine.change_view(self.standing.view.clone());
        set_up(&mut self.engine, &self.settings, &self.wish, self.gateway.limits.statement_seconds);
        Ok(())
    }

    /// Takes what the client has sent.
    async fn hear_client(&mut self) -> Result<(), Ended> {
        if self.hold || self.leaving {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.wires.from_client);
        let most = self.gateway.limits.max_message_bytes;
        self.engine.note_stops(self.gateway.stops.seq());
        let mut taken = 0;
        let mut outcome = Ok(());
        while !self.hold && !self.leaving && self.engine.to_server.len() < MOST_UNSENT {
            match wire::frame(&buffer[taken..], most) {
                Ok(Some(frame)) => {
                    let length = frame.len();
                    outcome = self.message(&frame).await;
                    taken += length;
                    if outcome.is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    outcome = Err(error.into());
                    break;
                }
            }
        }
        if taken > 0 {
            self.heard_at = Instant::now();
        }
        buffer.advance(taken);
        self.wires.from_client = buffer;
        outcome
    }

    async fn message(&mut self, frame: &Frame<'_>) -> Result<(), Ended> {
        match Frontend::parse(frame)? {
            Frontend::Query(sql) => {
                let mut treatments = self.treat(sql).await;
                for treatment in &mut treatments {
                    let Treatment::Forward(forward) = &*treatment else { continue };
                    let (Some(cells), Some(said)) = (&forward.output.cells, &forward.output.said) else { continue };
                    if let Err(refusal) = self.spend(cells.cost(), said).await {
                        *treatment = Treatment::Refuse(refusal);
                    }
                }
                self.note_wish(&treatments);
                self.engine.query(treatments);
            }
            Frontend::Parse(parse) => {
                let mut treatments = self.treat(parse.sql).await;
                let treatment = match treatments.len() {
                    0 => Treatment::Forward(Box::new(Forward::plain(parse.sql))),
                    1 => treatments.remove(0),
                    _ => Treatment::Refuse(Box::new(Refusal {
                        code: "42601",
                        message: "cannot insert multiple commands into a prepared statement".to_owned(),
                        hint: None,
                        reasons: Vec::new(),
                        said: Arc::new(Said { fingerprint: [0; 32], relations: Vec::new(), kind: SaidKind::Record }),
                    })),
                };
                self.note_wish(std::slice::from_ref(&treatment));
                self.engine.parse(&parse, treatment);
            }
            Frontend::Bind(bind) => {
                if let Some((cost, said)) = self.engine.cost(bind.statement)
                    && let Err(refusal) = self.spend(cost, &said).await
                {
                    self.engine.refuse_next(refusal);
                    return Ok(());
                }
                self.engine.bind(&bind, frame.bytes);
            }
            Frontend::Describe(what) => self.engine.describe(what, frame.bytes),
            Frontend::Execute { portal, .. } => self.engine.execute(portal, frame.bytes),
            Frontend::Close(what) => self.engine.close(what, frame.bytes),
            Frontend::Flush => self.engine.flush(),
            Frontend::Sync => {
                self.engine.sync();
                // What follows a change of purpose waits until it is made.
                self.hold |= self.engine.changes_wish();
            }
            Frontend::Terminate => self.leaving = true,
            Frontend::FunctionCall(_) => self.engine.refuse(Box::new(Refusal {
                code: "42501",
                message: "denied: functions are called by statements, which say what they touch".to_owned(),
                hint: Some("use SELECT".to_owned()),
                reasons: vec!["FunctionCall".to_owned()],
                said: Arc::new(Said { fingerprint: [0; 32], relations: Vec::new(), kind: SaidKind::Record }),
            })),
            // Late bytes of a COPY that failed are passed over, as the server does.
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail(_) => {}
            Frontend::Secret(_) => return Err(Ended::Fatal(Fatal::Server("a password out of turn".to_owned()))),
        }
        if frame.tag == b'Q' {
            self.hold |= self.engine.changes_wish();
        }
        Ok(())
    }

    /// A value that the client asks for may be reported back to it.
    fn note_wish(&mut self, treatments: &[Treatment]) {
        for treatment in treatments {
            if let Treatment::Forward(forward) = treatment
                && let Some(value) = &forward.asked_value
            {
                self.engine.note_asked(value);
            }
        }
    }

    async fn treat(&mut self, sql: &str) -> Vec<Treatment> {
        let skeleton = skeleton_of(sql);
        if let Some(remembered) = self.treated.get(&skeleton.key)
            && let Some(edits) = carry(&remembered.edits, &remembered.skeleton, &skeleton)
            && let Some(sql) = apply(sql, &edits)
        {
            let (output, naming) = (remembered.output.clone(), remembered.naming.clone());
            return vec![Treatment::Forward(Box::new(Forward { output, naming, ..Forward::plain(sql) }))];
        }
        let fingerprint: [u8; 32] = Sha256::digest(&skeleton.key).into();
        let known = match self.gateway.readings.read(sql, &skeleton).await {
            Ok(known) => known,
            Err(error) => return vec![Treatment::Refuse(Box::new(unreadable(&error, fingerprint)))],
        };
        let reading = &known.reading;
        if reading.statements.len() > 1 {
            let mut treatments = Vec::new();
            // Read one by one, so that places in a text are places in the text that is sent.
            for span in &reading.spans {
                let part = sql.get(span.start as usize..span.end as usize).unwrap_or_default();
                let mut inner = Box::pin(self.treat(part)).await;
                let own =
                    inner.iter().any(|it| matches!(it, Treatment::Forward(forward) if forward.effect != Effect::None));
                if own {
                    inner = vec![Treatment::Refuse(Box::new(Refusal {
                        code: "25001",
                        message: "what changes the session is sent alone".to_owned(),
                        hint: Some("send SET vigie.… and DISCARD as statements of their own".to_owned()),
                        reasons: Vec::new(),
                        said: Arc::new(Said { fingerprint, relations: Vec::new(), kind: SaidKind::Record }),
                    }))];
                }
                treatments.append(&mut inner);
            }
            return treatments;
        }
        let Some(statement) = reading.statements.first() else { return Vec::new() };
        // The reading may be that of another text with the same skeleton: what is changed in that one is changed here.
        let mut treatment = self.treat_one(&known.text, statement, fingerprint);
        if let Treatment::Figures(said) = &treatment
            && matches!(statement, Statement::Read(_))
        {
            return vec![self.plan_figures(sql, said.clone()).await];
        }
        self.remember(&known, statement, &treatment);
        if let Treatment::Forward(forward) = &mut treatment
            && known.text != sql
        {
            let is_rewritten = forward.sql != known.text && forward.edits.is_empty();
            let carried = carry(&forward.edits, &known.skeleton, &skeleton).and_then(|edits| apply(sql, &edits));
            match carried {
                Some(carried) if !is_rewritten => forward.sql = carried,
                _ => return vec![Treatment::Refuse(Box::new(unreadable(&Unreadable::Crashed, fingerprint)))],
            }
        }
        vec![treatment]
    }

    async fn plan_figures(&mut self, sql: &str, said: Arc<Said>) -> Treatment {
        let asked = self.gateway.readings.read_figures(sql).await;
        match crate::figures::plan(asked, &self.standing.view, said, self.gateway.cell_keys()) {
            Ok(question) => Treatment::Forward(question.forward),
            Err(refusal) => Treatment::Refuse(refusal),
        }
    }

    /// Takes what a question costs from the reader's budget of today; the refusal if there is not enough.
    async fn spend(&mut self, cost: u32, said: &Arc<Said>) -> Result<(), Box<Refusal>> {
        let limit = i64::from(self.gateway.config().aggregates.queries_a_day);
        let spent = self.gateway.control.spend(&self.principal.id, &self.gateway.database, cost.into(), limit).await;
        let refuse = |code, message: String, hint: &str| {
            let (hint, reasons) = (Some(hint.to_owned()), vec![message.clone()]);
            Err(Box::new(Refusal { code, message, hint, reasons, said: said.clone() }))
        };
        match spent {
            Ok(true) => Ok(()),
            Ok(false) => refuse(
                "42501",
                format!("denied: the budget of {limit} figures a day is used up"),
                "ask again tomorrow; budgets keep noise from being averaged away",
            ),
            Err(_) => refuse("57P03", "denied: the budget could not be asked".to_owned(), "try again in a moment"),
        }
    }

    fn treat_one(&self, sql: &str, statement: &Statement, fingerprint: [u8; 32]) -> Treatment {
        let tables = self.standing.ticket.as_ref().map(|ticket| (ticket.tables.as_slice(), ticket.id));
        let denied = self.standing.denied.as_ref().map(|(reasons, help)| (reasons.as_slice(), help.as_str()));
        let asked = Asked {
            engine: &self.engine,
            view: &self.standing.view,
            denied,
            tables,
            max_statement_ms: u64::from(self.gateway.limits.statement_seconds) * 1000,
        };
        treat(sql, statement, fingerprint, &asked)
    }

    fn remember(&mut self, known: &Known, statement: &Statement, treatment: &Treatment) {
        let Treatment::Forward(forward) = treatment else { return };
        if !matches!(statement, Statement::Read(_)) || statement.is_literal_dependent() {
            return;
        }
        if self.treated.len() >= MOST_TREATED {
            self.treated.clear();
        }
        let remembered = Remembered {
            skeleton: known.skeleton.clone(),
            edits: forward.edits.clone(),
            output: forward.output.clone(),
            naming: forward.naming.clone(),
        };
        self.treated.insert(known.skeleton.key.clone(), remembered);
    }

    /// Hands over what is for the server; what changes something is logged first.
    async fn send(&mut self) -> Result<(), Ended> {
        for said in self.engine.take_intents() {
            let facts = self.standing.answered(&said, None);
            self.gateway.account.start(&facts)?.finish().await?;
        }
        if self.wires.to_server.is_empty() {
            std::mem::swap(&mut self.wires.to_server, &mut self.engine.to_server);
        } else {
            self.wires.to_server.extend_from_slice(&self.engine.to_server);
            self.engine.to_server.clear();
        }
        Ok(())
    }

    /// Takes what the server has sent.
    fn hear_server(&mut self) -> Result<(), Ended> {
        let mut buffer = std::mem::take(&mut self.wires.server.buffer);
        let outcome = self.take_server(&mut buffer);
        self.wires.server.buffer = buffer;
        let outcome = outcome.map_err(Ended::from);
        // What was covered before the end may leave.
        self.cover()?;
        outcome
    }

    fn take_server(&mut self, buffer: &mut BytesMut) -> Result<(), Fatal> {
        let gateway = self.gateway.clone();
        let mut taken = 0;
        let mut outcome = Ok(());
        {
            let fresh = gateway.stops.is_fresh();
            let stopped = gateway.stops.read();
            let stops = Stops { stopped: &stopped, fresh };
            loop {
                match wire::frame(&buffer[taken..], wire::MAX_SERVER_BYTES) {
                    Ok(Some(frame)) => {
                        let length = frame.len();
                        outcome = self.engine.server_said(&frame, &stops, &gateway.metrics);
                        taken += length;
                        if outcome.is_err() {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        outcome = Err(Fatal::Server(error.to_string()));
                        break;
                    }
                }
            }
        }
        buffer.advance(taken);
        let in_transaction = self.engine.status() != TransactionStatus::Idle;
        if in_transaction && self.transaction_since.is_none() {
            self.transaction_since = Some(Instant::now());
        } else if !in_transaction {
            self.transaction_since = None;
        }
        outcome
    }

    /// Makes segments of what the engine has written, each with what must be logged before it leaves.
    fn cover(&mut self) -> Result<(), Ended> {
        let guards = self.engine.take_guards();
        let mut bytes = self.engine.take_covered();
        if guards.is_empty() && bytes.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let mut gone = 0;
        let mut next = Segment { bytes: BytesMut::new(), logging: None, logged: None, refusal: None, since: now };
        for Guard { at, record } in guards {
            next.bytes.unsplit(bytes.split_to(at - gone));
            gone = at;
            let mut begun = self.begin_logging(record, now)?;
            if next.logging.is_none() && begun.refusal.is_none() && next.bytes.len() <= FEW_BYTES {
                // Nobody is woken for the beginning of an answer whose rows follow at once.
                begun.bytes = next.bytes;
            } else {
                self.push(next);
            }
            next = begun;
        }
        next.bytes.unsplit(bytes);
        self.push(next);
        Ok(())
    }

    fn push(&mut self, segment: Segment) {
        if segment.bytes.is_empty() && segment.logging.is_none() {
            return;
        }
        self.wires.waiting += segment.bytes.len();
        if segment.logging.is_none() && self.wires.outbox.is_empty() {
            self.wires.waiting -= segment.bytes.len();
            if self.wires.to_client.is_empty() {
                self.wires.to_client = segment.bytes;
            } else {
                self.wires.to_client.extend_from_slice(&segment.bytes);
            }
            return;
        }
        self.wires.outbox.push_back(segment);
    }

    /// Returns what a statement says of itself.
    fn heading(&mut self, said: &Arc<Said>, shape: Option<&Arc<Shape>>) -> Result<Arc<Heading>, NotLogged> {
        let known = self.headings.iter().find(|(known, with, _)| {
            Arc::ptr_eq(known, said)
                && match (with, shape) {
                    (Some(with), Some(shape)) => Arc::ptr_eq(with, shape),
                    (with, shape) => with.is_none() && shape.is_none(),
                }
        });
        if let Some((_, _, heading)) = known {
            return Ok(heading.clone());
        }
        let heading = Arc::new(Heading::new(&self.standing.answered(said, shape.map(|shape| &**shape)))?);
        if self.headings.len() >= MOST_HEADINGS {
            self.headings.pop_front();
        }
        self.headings.push_back((said.clone(), shape.cloned(), heading.clone()));
        Ok(heading)
    }

    fn begin_logging(&mut self, record: Record, now: Instant) -> Result<Segment, Ended> {
        let (logging, refusal): (Logging, _) = match record {
            Record::Answered { said, shape, subjects } => {
                let heading = self.heading(&said, shape.as_ref())?;
                let mut builder = self.gateway.account.begin(heading);
                for (relation, subject) in subjects.iter() {
                    builder.row(relation, subject).map_err(NotLogged::from)?;
                }
                let few = subjects.len() <= FEW_ROWS;
                let logging = async move { builder.finish().await };
                if few {
                    (Box::pin(logging), None)
                } else {
                    let task = tokio::spawn(logging);
                    (Box::pin(async move { task.await.unwrap_or(Err(NotLogged::Ending)) }), None)
                }
            }
            Record::Refused(refusal) => {
                let facts = self.standing.refused(&refusal.said, &refusal.reasons);
                let account = self.gateway.account.clone();
                (Box::pin(async move { account.denied(&facts).await }), Some(refusal))
            }
        };
        Ok(Segment { bytes: BytesMut::new(), logging: Some(logging), logged: None, refusal, since: now })
    }

    /// What the server attested otherwise than it was read is a denial like any other, though nobody can say of what.
    async fn log_mismatch(&mut self, ended: &Ended) {
        let said = Said { fingerprint: [0; 32], relations: Vec::new(), kind: SaidKind::Record };
        let facts = self.standing.refused(&said, &[crate::in_full(ended)]);
        self.gateway.metrics.denied.one();
        if self.gateway.account.denied(&facts).await.is_err() {
            self.gateway.metrics.not_logged.one();
        }
    }

    /// Does what succeeded statements change; tells whether anything was done.
    async fn after_effects(&mut self) -> Result<bool, Ended> {
        if !self.engine.is_idle() {
            return Ok(false);
        }
        let effects = self.engine.take_effects();
        let held = std::mem::take(&mut self.hold);
        if effects.is_empty() {
            return Ok(held);
        }
        for effect in effects {
            match effect {
                Effect::None => {}
                Effect::Discard => self.wish = self.at_start.clone(),
                Effect::Ask(wishes) => {
                    for (what, value) in wishes {
                        let value = value.filter(|value| !value.is_empty());
                        match what {
                            AskedFor::Purpose => self.wish.purpose = value.or_else(|| self.at_start.purpose.clone()),
                            AskedFor::Ticket => self.wish.ticket = value,
                            AskedFor::Reason => self.wish.reason = value,
                            AskedFor::Figures => {
                                self.wish.figures =
                                    value.is_some_and(|value| ["on", "true", "1"].contains(&value.as_str()));
                            }
                        }
                    }
                }
            }
        }
        self.stand().await?;
        Ok(true)
    }
}

/// Makes a fresh connection what the client asked for.
fn set_up(engine: &mut Engine, settings: &[(&'static str, String)], wish: &Wish, statement_seconds: u32) {
    let mut statements = vec![format!("SET statement_timeout = {}", u64::from(statement_seconds) * 1000)];
    let mut set = |name: &str, value: &str| {
        statements.push(format!("SET {name} = {}", vigie_policy::sql::quote_literal(value)));
    };
    for (name, value) in settings {
        if !["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"].contains(name) {
            set(name, value);
        }
        engine.note_asked(value);
    }
    let wishes = [("vigie.purpose", &wish.purpose), ("vigie.ticket", &wish.ticket), ("vigie.reason", &wish.reason)];
    for (name, value) in wishes {
        if let Some(value) = value {
            set(name, value);
        }
    }
    engine.own_query(&statements);
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wires<S> {
    /// Waits until something can be done, and does what needs no thought: reading, writing, logging.
    async fn wait(
        &mut self,
        tick: &mut tokio::time::Interval,
        read_client: bool,
        read_server: bool,
        gateway: &Gateway,
    ) -> Result<Happened, Ended> {
        std::future::poll_fn(|context| self.poll(context, tick, read_client, read_server, gateway)).await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        tick: &mut tokio::time::Interval,
        read_client: bool,
        read_server: bool,
        gateway: &Gateway,
    ) -> Poll<Result<Happened, Ended>> {
        let mut happened = Happened::default();
        let mut progress = false;
        progress |= self.poll_logging(context, gateway)?;
        if !self.to_server.is_empty() {
            progress |= flush(&mut self.server.stream, &mut self.to_server, context).map_err(Ended::Server)?;
        }
        if !self.to_client.is_empty() {
            progress |= flush(&mut self.client, &mut self.to_client, context).map_err(Ended::Client)?;
        }
        if read_server {
            let Self { server: ServerConnection { stream, buffer, .. }, .. } = self;
            if buffer.len() == buffer.capacity() {
                buffer.reserve(MOST_READ);
            }
            if let Poll::Ready(read) = pin!(stream.read_buf(buffer)).poll(context) {
                progress = true;
                happened.server_gone = read.map_err(Ended::Server)? == 0;
            }
        }
        if read_client && let Poll::Ready(read) = pin!(self.client.read_buf(&mut self.from_client)).poll(context) {
            progress = true;
            happened.client_gone = read.map_err(Ended::Client)? == 0;
        }
        if tick.poll_tick(context).is_ready() {
            progress = true;
            happened.ticked = true;
        }
        if progress { Poll::Ready(Ok(happened)) } else { Poll::Pending }
    }

    /// Sends what may leave, so that nobody hears of the end in the middle of a message.
    async fn flush_covered(&mut self) {
        let writing = self.client.write_all_buf(&mut self.to_client);
        let _ = tokio::time::timeout(Duration::from_secs(5), writing).await;
    }

    /// Goes on with everything that is being logged, and lets leave what is.
    fn poll_logging(&mut self, context: &mut Context<'_>, gateway: &Gateway) -> Result<bool, Ended> {
        for segment in &mut self.outbox {
            if let Some(logging) = &mut segment.logging
                && let Poll::Ready(logged) = logging.as_mut().poll(context)
            {
                let logged = logged.inspect_err(|_| gateway.metrics.not_logged.one())?;
                segment.logged = Some(logged);
                segment.logging = None;
                gateway.metrics.logging.add(segment.since.elapsed());
            }
        }
        let mut progress = false;
        while self.outbox.front().is_some_and(|segment| segment.logging.is_none()) {
            let segment = self.outbox.pop_front().expect("it was just seen");
            progress = true;
            self.waiting -= segment.bytes.len();
            if let Some(refusal) = segment.refusal {
                let detail = segment.logged.map(|logged| format!("decision {}", logged.event_id));
                let report = Report {
                    severity: Severity::Error,
                    code: refusal.code,
                    message: &refusal.message,
                    detail: detail.as_deref(),
                    hint: refusal.hint.as_deref(),
                };
                wire::put_report(&report, &mut self.to_client);
            }
            if self.to_client.is_empty() {
                self.to_client = segment.bytes;
            } else {
                self.to_client.extend_from_slice(&segment.bytes);
            }
        }
        Ok(progress)
    }
}

/// Writes as much as the other side takes; tells whether anything was written.
fn flush(
    stream: &mut (impl AsyncWrite + Unpin),
    bytes: &mut BytesMut,
    context: &mut Context<'_>,
) -> Result<bool, io::Error> {
    let mut progress = false;
    while !bytes.is_empty() {
        match Pin::new(&mut *stream).poll_write(context, bytes) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => {
                bytes.advance(written);
                progress = true;
            }
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    if progress && let Poll::Ready(Err(error)) = Pin::new(stream).poll_flush(context) {
        return Err(error);
    }
    Ok(progress)
}
