//! A PostgreSQL server of its own for tests: a new cluster on a free loopback port, ended with the process that started it.
//!
//! One server serves a whole test binary ([`PostgresServer::shared`]); each test makes a database of its own in it. The
//! server refuses to run as root, so there it runs as the system's user `postgres`.
//!
//! Durability is off unless asked for: what a test of durability kills is started with [`Settings::durable`].

use crate::certificates::Identity;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User},
};
use std::{
    fs, io,
    net::TcpListener,
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The name of the superuser of a test server; it needs no password on the loopback.
pub const SUPERUSER: &str = "postgres";

/// How the folders of test servers begin; the process that made one follows.
const PREFIX: &str = "vigie-postgres-";

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Syncs to disk, as a server in use does.
    pub durable: bool,
    /// More lines of `postgresql.conf`.
    pub configuration: Vec<String>,
    /// Lines of `pg_hba.conf` before the last one, which trusts the loopback.
    pub access: Vec<String>,
    /// Who the server is; with this it speaks TLS to whoever asks for it.
    pub identity: Option<Identity>,
}

/// Why no server runs.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL could not be started: {what}")]
pub struct PostgresError {
    what: String,
    #[source]
    source: Option<io::Error>,
}

/// A running server.
#[derive(Debug)]
pub struct PostgresServer {
    folder: TempDir,
    programs: PathBuf,
    owner: Option<User>,
    port: u16,
    child: Child,
}

fn failed(what: impl Into<String>, source: impl Into<Option<io::Error>>) -> PostgresError {
    PostgresError { what: what.into(), source: source.into() }
}

/// Finds the folder of the newest server's programs: that of `VIGIE_POSTGRES_BIN`, else Debian's, else the `PATH`.
fn programs() -> Result<PathBuf, PostgresError> {
    if let Some(named) = std::env::var_os("VIGIE_POSTGRES_BIN") {
        return Ok(named.into());
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .max();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    };
    newest
        .map(|(_, bin)| bin)
        .or_else(on_path)
        .ok_or_else(|| failed("no `initdb` was found; install the package `postgresql`", None))
}

impl PostgresServer {
    /// Starts a server with its defaults for tests.
    ///
    /// # Errors
    ///
    /// If the programs are missing, or the server does not come up within 30 s.
    pub fn start() -> Result<Self, PostgresError> {
        Self::start_with(&Settings::default())
    }

    /// Starts a server.
    ///
    /// # Errors
    ///
    /// As [`PostgresServer::start`].
    pub fn start_with(settings: &Settings) -> Result<Self, PostgresError> {
        let programs = programs()?;
        let owner = if Uid::effective().is_root() {
            let user = User::from_name(SUPERUSER).ok().flatten();
            Some(user.ok_or_else(|| failed("root may not run it, and there is no user `postgres`", None))?)
        } else {
            None
        };
        sweep();
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = TempDir::with_prefix(prefix).map_err(|error| failed("no folder", error))?;
        if let Some(owner) = &owner {
            nix::unistd::chown(folder.path(), Some(owner.uid), Some(owner.gid))
                .map_err(|error| failed("its folder could not be given away", io::Error::from(error)))?;
        }
        let data = folder.path().join("data");
        let made = command(&programs.join("initdb"), owner.as_ref())
            .args(["--no-sync", "--no-instructions", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--username", SUPERUSER, "--pgdata"])
            .arg(&data)
            .output()
            .map_err(|error| failed("`initdb` could not be run", error))?;
        if !made.status.success() {
            return Err(failed(format!("`initdb` said {}", String::from_utf8_lossy(&made.stderr)), None));
        }
        let port = free_port().map_err(|error| failed("no port is free", error))?;
        configure(&data, folder.path(), port, settings, owner.as_ref())
            .map_err(|error| failed("it could not be configured", error))?;
        let child = launch(&programs, owner.as_ref(), &data)?;
        let mut server = Self { folder, programs, owner, port, child };
        server.wait()?;
        Ok(server)
    }

    /// Returns the server that all tests of this process share, started when first asked for.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder in which its socket lies.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the folder of the cluster.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns where a program of the same installation is, such as `psql` or `pgbench`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Returns how drivers name a database of the server, as its superuser.
    pub fn address(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user={SUPERUSER} dbname={database}", self.port)
    }

    /// Makes an empty database with a name of its own, and returns the name.
    ///
    /// # Panics
    ///
    /// If the server does not.
    pub fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.run_sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs SQL as the superuser by `psql`, and returns what it printed, unaligned and without headings.
    ///
    /// # Panics
    ///
    /// If a statement fails.
    pub fn run_sql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.program("psql"));
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", SUPERUSER, "-f", "-"]);
        psql.args(["-p", &self.port.to_string(), "-d", database]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn().expect("psql is installed with the server");
        let mut input = child.stdin.take().expect("it is piped");
        let sql = sql.to_owned();
        let writer = std::thread::spawn(move || io::Write::write_all(&mut input, sql.as_bytes()));
        let output = child.wait_with_output().expect("psql ends");
        // psql may stop reading at the first error, which is then what counts.
        let _ = writer.join();
        assert!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the server speaks UTF-8")
    }

    /// Kills the server at once, as a loss of power would, and starts it again on the same port.
    ///
    /// # Errors
    ///
    /// As [`PostgresServer::start`].
    pub fn crash_and_restart(&mut self) -> Result<(), PostgresError> {
        self.end(Signal::SIGKILL);
        // The children notice that their parent is gone; until then the next one finds the memory in use.
        let _ = fs::remove_file(self.data_folder().join("postmaster.pid"));
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            self.child = launch(&self.programs, self.owner.as_ref(), &self.data_folder())?;
            match self.wait() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn wait(&mut self) -> Result<(), PostgresError> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let ready = self.programs.join("pg_isready");
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(self.data_folder().join("log")).unwrap_or_default();
                return Err(failed(format!("it ended with {status}: {log}"), None));
            }
            let mut asked = Command::new(&ready);
            asked.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if asked.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(failed("it did not accept connections within 30 s", None))
    }

    fn end(&mut self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
        let _ = self.child.wait();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.end(Signal::SIGQUIT);
    }
}

fn free_port() -> io::Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}

fn configure(data: &Path, sockets: &Path, port: u16, settings: &Settings, owner: Option<&User>) -> io::Result<()> {
    let mut lines = vec![
        format!("port = {port}"),
        "listen_addresses = '127.0.0.1'".to_owned(),
        format!("unix_socket_directories = '{}'", sockets.display()),
        "max_connections = 200".to_owned(),
        "shared_buffers = 128MB".to_owned(),
        "logging_collector = off".to_owned(),
    ];
    if !settings.durable {
        lines.extend(["fsync = off", "synchronous_commit = off", "full_page_writes = off"].map(str::to_owned));
    }
    if let Some(identity) = &settings.identity {
        lines.push("ssl = on".to_owned());
        write_for(owner, &data.join("server.crt"), &identity.certificate)?;
        write_for(owner, &data.join("server.key"), &identity.key)?;
    }
    lines.extend(settings.configuration.iter().cloned());
    let path = data.join("postgresql.conf");
    let mut text = fs::read_to_string(&path)?;
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    fs::write(&path, text)?;
    let mut access = settings.access.join("\n");
    access.push_str("\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n");
    fs::write(data.join("pg_hba.conf"), access)
}

/// Writes a file that only the owner of the cluster reads, as the server demands of keys.
fn write_for(owner: Option<&User>, path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    io::Write::write_all(&mut options.create_new(true).write(true).mode(0o600).open(path)?, text.as_bytes())?;
    nix::unistd::chown(path, owner.map(|owner| owner.uid), owner.map(|owner| owner.gid)).map_err(io::Error::from)
}

fn launch(programs: &Path, owner: Option<&User>, data: &Path) -> Result<Child, PostgresError> {
    let log = fs::File::create(data.join("log")).map_err(|error| failed("its log could not be made", error))?;
    let errors = log.try_clone().map_err(|error| failed("its log could not be shared", error))?;
    let mut server = command(&programs.join("postgres"), owner);
    server.arg("-D").arg(data).stdin(Stdio::null()).stdout(log).stderr(errors);
    spawn_by_keeper(server).map_err(|error| failed("`postgres` could not be run", error))
}

/// Starts a program from a thread that lasts as long as the process: the signal of the parent's death is that of the
/// parent's *thread*, and a test's thread ends with the test.
fn spawn_by_keeper(command: Command) -> io::Result<Child> {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static KEEPER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in requests {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (sender, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts servers has ended");
    keeper.send((command, sender)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// Removes the folders of processes that are gone: a server that is shared by a process is never dropped.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<i32>().ok());
        if owner.is_some_and(|owner| kill(Pid::from_raw(owner), None).is_err()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A program that runs as the owner of the cluster, and is told to end when this process does.
fn command(program: &Path, owner: Option<&User>) -> Command {
    // `setpriv` (util-linux) sets the signal of the parent's death after the change of user, which would clear it.
    let mut command = Command::new("setpriv");
    if let Some(owner) = owner {
        command.args(["--reuid", &owner.uid.to_string(), "--regid", &owner.gid.to_string(), "--clear-groups"]);
    }
    command.args(["--pdeathsig", "INT", "--"]).arg(program);
    command.env("LC_ALL", "C.UTF-8").current_dir("/").process_group(0);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_outlives_the_thread_that_asked_for_it_and_a_crash() {
        let mut server = std::thread::spawn(|| PostgresServer::start().expect("it starts")).join().expect("no panic");
        let database = server.new_database();
        assert_eq!(server.run_sql(&database, "SELECT 41 + 1"), "42\n");
        server.run_sql(&database, "CREATE TABLE t AS SELECT 7 AS x; CHECKPOINT");
        server.crash_and_restart().expect("it comes back");
        assert_eq!(server.run_sql(&database, "SELECT x FROM t"), "7\n");
    }
}
