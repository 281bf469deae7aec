//! Reading in processes of their own: the grammar is C, and statements come from strangers.
//!
//! A [`Pool`] keeps some processes, each of which answers one question at a time over its standard input and output. One
//! that dies, or takes longer than [`MAX_DURATION`], is ended and replaced; the statement it had is
//! [`Unreadable::Crashed`], and nobody else notices.
//!
//! A process begins with an empty environment, bounds its own memory and writes no core dump, so that neither secrets of
//! the gateway nor statements of others can be had from one that was taken over. It ends when its parent does.
//!
//! On the wire, both ways: the length in bytes as a big-endian `u32`, then JSON.

use std::{
    io::{self, BufReader, BufWriter, Read as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    aggregate::{self, AggregateQuery, NotAggregate},
    read,
    reading::{MAX_STATEMENT_BYTES, Reading, Unreadable},
};

/// Longest time that a process may take for one statement.
pub const MAX_DURATION: Duration = Duration::from_secs(2);

/// How many statements may wait for a process; those beyond are [`Unreadable::Busy`].
pub const MAX_WAITING: usize = 1024;

/// Memory of a process, address space in bytes.
pub const MAX_MEMORY_BYTES: u64 = 1 << 30;

/// Stack on which statements are read, in bytes.
const STACK_BYTES: usize = 64 << 20;

/// Longest message that is accepted from either side, in bytes; readings are larger than what they were read from.
const MAX_MESSAGE_BYTES: u32 = 16 << 20;

#[derive(Serialize, Deserialize)]
enum Question {
    Read(String),
    Aggregate(String),
}

/// What a process does: answers questions until there are no more.
pub struct Worker;

impl Worker {
    /// Answers what comes in on `stdin` until it ends, after binding this process to its bounds.
    ///
    /// # Errors
    ///
    /// If the bounds cannot be set, or either stream fails; the process should then end.
    pub fn serve(stdin: impl io::Read + Send, stdout: impl io::Write + Send) -> io::Result<()> {
        bounds()?;
        thread::scope(|scope| {
            let thread =
                thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || answer_all(stdin, stdout))?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("reading a statement failed")))
        })
    }
}

fn answer_all(stdin: impl io::Read, stdout: impl io::Write) -> io::Result<()> {
    let (mut stdin, mut stdout) = (BufReader::new(stdin), BufWriter::new(stdout));
    while let Some(question) = receive(&mut stdin)? {
        match question {
            Question::Read(sql) => send(&mut stdout, &read(&sql))?,
            Question::Aggregate(sql) => send(&mut stdout, &aggregate::read(&sql))?,
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn bounds() -> io::Result<()> {
    use nix::sys::{
        prctl::set_pdeathsig,
        resource::{Resource, setrlimit},
        signal::Signal,
    };
    set_pdeathsig(Signal::SIGKILL)?;
    setrlimit(Resource::RLIMIT_AS, MAX_MEMORY_BYTES, MAX_MEMORY_BYTES)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn bounds() -> io::Result<()> {
    use nix::sys::resource::{Resource, setrlimit};
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
    Ok(())
}

fn send(to: &mut impl io::Write, message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|it| *it <= MAX_MESSAGE_BYTES);
    to.write_all(&length.ok_or_else(|| io::Error::other("a message is too long"))?.to_be_bytes())?;
    to.write_all(&body)?;
    to.flush()
}

/// Returns the next message, or `None` where the stream ends before one.
fn receive<T: DeserializeOwned>(from: &mut impl io::Read) -> io::Result<Option<T>> {
    receive_bytes(from)?.map(|body| serde_json::from_slice(&body).map_err(io::Error::from)).transpose()
}

fn receive_bytes(from: &mut impl io::Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_be_bytes(length);
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::other("a message is too long"));
    }
    let mut body = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut body)?;
    if body.len() != length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(body))
}

/// Processes that read statements. Dropping it ends them.
pub struct Pool {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    watch: Arc<Watch>,
}

/// A question, and what is done with the bytes of its answer.
struct Job {
    question: Question,
    done: Done,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Pool({} processes)", self.threads.len().saturating_sub(1))
    }
}

type Done = Box<dyn FnOnce(Result<Vec<u8>, Unreadable>) + Send>;

impl Pool {
    /// Starts `n` processes, at least one, by a command that ends in [`Worker::serve`]. Its environment is cleared.
    ///
    /// # Errors
    ///
    /// If the command cannot be started; none of them is left.
    pub fn new(mut command: Command, n: usize) -> io::Result<Pool> {
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let n = n.max(1);
        let command = Arc::new(Mutex::new(command));
        let watch =
            Arc::new(Watch { slots: Mutex::new(Slots { slots: vec![], stopped: false }), changed: Condvar::new() });
        let (jobs, waiting) = sync_channel(MAX_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut pool = Pool { jobs: Some(jobs), threads: Vec::new(), watch };
        for number in 0..n {
            locked(&pool.watch.slots).slots.push(Slot(None));
            let mut seat = Seat { number, command: command.clone(), watch: pool.watch.clone(), process: None };
            // A process is told to end with the thread that started it, so each thread starts its own.
            let (started, is_started) = channel();
            let waiting = waiting.clone();
            let run = move || {
                let result = seat.start();
                let is_ok = result.is_ok();
                if started.send(result).is_ok() && is_ok {
                    seat.run(&waiting);
                }
            };
            pool.threads.push(thread::Builder::new().name("statement-reader".to_owned()).spawn(run)?);
            is_started.recv().map_err(|_| io::Error::other("the thread of a reader ended"))??;
        }
        let watch = pool.watch.clone();
        pool.threads.push(thread::Builder::new().name("statement-watch".to_owned()).spawn(move || watch.run())?);
        Ok(pool)
    }

    /// Reads a text, and waits for it.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], whatever the reason.
    pub fn read(&self, sql: &str) -> Result<Reading, Unreadable> {
        let (sender, answer) = channel();
        self.read_then(sql, move |it| drop(sender.send(it)));
        answer.recv().unwrap_or(Err(Unreadable::Crashed))
    }

    /// Reads a text without waiting: `then` is called once with the answer, on a thread of the pool, and must be quick.
    pub fn read_then(&self, sql: &str, then: impl FnOnce(Result<Reading, Unreadable>) + Send + 'static) {
        if let Err(error) = bounded(sql) {
            return then(Err(error));
        }
        let done = move |answer| then(parsed::<Result<Reading, Unreadable>>(answer).and_then(|it| it));
        self.ask(Question::Read(sql.to_owned()), Box::new(done));
    }

    /// Reads a text as a question of statistics, and waits for it.
    ///
    /// # Errors
    ///
    /// [`NotAggregate`] if it is not one, or cannot be read.
    pub fn read_aggregate(&self, sql: &str) -> Result<AggregateQuery, NotAggregate> {
        let (sender, answer) = channel();
        self.read_aggregate_then(sql, move |it| drop(sender.send(it)));
        answer.recv().unwrap_or(Err(Unreadable::Crashed.into()))
    }

    /// As [`Pool::read_aggregate`], without waiting.
    pub fn read_aggregate_then(
        &self,
        sql: &str,
        then: impl FnOnce(Result<AggregateQuery, NotAggregate>) + Send + 'static,
    ) {
        if let Err(error) = bounded(sql) {
            return then(Err(error.into()));
        }
        let done = move |answer| {
            let answer = parsed::<Result<AggregateQuery, NotAggregate>>(answer);
            then(answer.unwrap_or_else(|error| Err(error.into())));
        };
        self.ask(Question::Aggregate(sql.to_owned()), Box::new(done));
    }

    fn ask(&self, question: Question, done: Done) {
        let jobs = self.jobs.as_ref().expect("it is taken only when the pool is dropped");
        match jobs.try_send(Job { question, done }) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => (job.done)(Err(Unreadable::Busy)),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        locked(&self.watch.slots).stopped = true;
        self.watch.changed.notify_all();
        // Those that wait for a job see that there will be none; those that have one are ended with it by the watch.
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

fn bounded(sql: &str) -> Result<(), Unreadable> {
    if sql.len() > MAX_STATEMENT_BYTES { Err(Unreadable::TooLong { n_bytes: sql.len() as u64 }) } else { Ok(()) }
}

/// An answer that makes no sense came from a process that is not to be believed: it counts as none.
fn parsed<T: DeserializeOwned>(answer: Result<Vec<u8>, Unreadable>) -> Result<T, Unreadable> {
    serde_json::from_slice(&answer?).map_err(|_| Unreadable::Crashed)
}

/// A thread with its process.
struct Seat {
    number: usize,
    command: Arc<Mutex<Command>>,
    watch: Arc<Watch>,
    process: Option<Process>,
}

struct Process {
    child: Arc<Mutex<Child>>,
    stdin: BufWriter<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Seat {
    fn start(&mut self) -> io::Result<()> {
        let mut child = locked(&self.command).spawn()?;
        let stdin = child.stdin.take().ok_or_else(|| io::Error::other("a reader has no input"))?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("a reader has no output"))?;
        let child = Arc::new(Mutex::new(child));
        self.process = Some(Process { child, stdin: BufWriter::new(stdin), stdout: BufReader::new(stdout) });
        Ok(())
    }

    fn run(&mut self, jobs: &Mutex<Receiver<Job>>) {
        loop {
            // Whoever holds the lock waits for the next job, the others for the lock.
            let job = locked(jobs).recv();
            let Ok(Job { question, done }) = job else { return };
            let answer = self.answer(&question);
            done(answer.ok_or(Unreadable::Crashed));
        }
    }

    /// Returns the answer of the process, or `None` and no process any more.
    fn answer(&mut self, question: &Question) -> Option<Vec<u8>> {
        if self.process.is_none() {
            self.start().ok()?;
        }
        let process = self.process.as_mut()?;
        if !self.watch.begin(self.number, &process.child) {
            return None;
        }
        let answer = send(&mut process.stdin, question).and_then(|()| receive_bytes(&mut process.stdout));
        let in_time = self.watch.finish(self.number);
        if in_time && let Ok(Some(answer)) = answer {
            return Some(answer);
        }
        self.process = None;
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = locked(&self.child);
        // It may have ended by itself; either way it is waited for.
        let _gone = child.kill();
        let _gone = child.wait();
    }
}

/// Ends processes that take too long, on a thread of its own.
struct Watch {
    slots: Mutex<Slots>,
    changed: Condvar,
}

struct Slots {
    /// One per seat.
    slots: Vec<Slot>,
    stopped: bool,
}

/// The process that works, and until when it may. It is not waited for while it is here, so that its id is its own.
struct Slot(Option<(Instant, Arc<Mutex<Child>>)>);

impl Watch {
    /// Returns whether work may begin.
    fn begin(&self, number: usize, child: &Arc<Mutex<Child>>) -> bool {
        let mut slots = locked(&self.slots);
        let is_first = slots.slots.iter().all(|it| it.0.is_none());
        slots.slots[number].0 = Some((Instant::now() + MAX_DURATION, child.clone()));
        // With others at work the watch looks up before this one's time is over.
        if is_first {
            self.changed.notify_all();
        }
        !slots.stopped
    }

    /// Returns whether work ended in time.
    fn finish(&self, number: usize) -> bool {
        locked(&self.slots).slots[number].0.take().is_some()
    }

    fn run(&self) {
        let mut slots = locked(&self.slots);
        loop {
            let now = Instant::now();
            let stopped = slots.stopped;
            let mut next = None;
            for slot in &mut slots.slots {
                let Some((deadline, child)) = &slot.0 else { continue };
                if stopped || *deadline <= now {
                    let _gone = locked(child).kill();
                    slot.0 = None;
                } else {
                    next = Some(next.map_or(*deadline, |it: Instant| it.min(*deadline)));
                }
            }
            if stopped {
                return;
            }
            slots = match next {
                Some(deadline) => {
                    let waited = self.changed.wait_timeout(slots, deadline.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(slots).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
