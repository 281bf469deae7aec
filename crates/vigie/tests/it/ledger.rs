//! Ledgers from the command line: made, written, served, witnessed, mirrored and checked by processes of their own; and
//! judged by Go's packages for transparent logs, which nobody here wrote.

use crate::{World, trial};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    let named = |name: &str, check: fn(&World) -> Result<(), String>| trial(world, format!("ledger::{name}"), check);
    vec![
        named("an_inspection_is_logged_witnessed_and_verified_offline", logged),
        named("go_accepts_a_log_its_witness_and_its_receipts", judged_by_go),
        named("what_was_changed_in_a_ledger_is_named", changed),
        named("a_person_sees_an_entry_proved_in_a_browser", seen_in_a_browser),
        named("what_cannot_be_done_with_a_ledger_is_said_in_one_sentence", refused),
    ]
}

/// A process that serves until it is told to end.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(world: &World, arguments: &[&str]) -> Result<Self, String> {
        let mut command = world.vigie(arguments);
        command.args(["--listen", "127.0.0.1:0", "--json"]).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).map_err(|error| error.to_string())?;
        let said: Value =
            serde_json::from_str(&line).map_err(|error| format!("{arguments:?} said `{line}`: {error}"))?;
        let address = said["listening"].as_str().ok_or("it says where it listens")?.trim_end_matches('/').to_owned();
        Ok(Self { child, address })
    }

    /// Ends it as Ctrl-C does.
    fn end(mut self) -> Result<(), String> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT).map_err(|error| error.to_string())?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A ledger with a witness, both served.
struct Setting {
    folder: tempfile::TempDir,
    key: String,
    witness_key: String,
    witness: Served,
}

impl Setting {
    fn new(world: &World, options: &[&str]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let say = |arguments: &[&str]| -> Result<String, String> {
            let output = world.run(arguments);
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if output.status.success() {
                Ok(said)
            } else {
                Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
            }
        };
        let witness_key = say(&["witness", "init", &at("witness"), "--name", "witness.example/1", "-q"])?;
        // The witness must listen before its address can be in the policy, and know the ledger before it listens: the
        // ledger is made first, with a policy that is filled in when the address is known.
        std::fs::write(at("policy"), "quorum none\n").map_err(|error| error.to_string())?;
        let ledger = at("ledger");
        let mut arguments = vec!["ledger", "init", &ledger, "--origin", "authority.example/captures", "-q"];
        arguments.extend(options);
        say(&arguments)?;
        let key = say(&["ledger", "key", &ledger])?;
        say(&["witness", "watch", &at("witness"), &key])?;
        let witness = Served::start(world, &["witness", "serve", &at("witness")])?;
        let asked = format!("witness one {witness_key} {}\nquorum one\n", witness.address);
        std::fs::write(Path::new(&ledger).join("policy"), &asked).map_err(|error| error.to_string())?;
        std::fs::write(at("trust"), format!("log {key}\n{asked}")).map_err(|error| error.to_string())?;
        Ok(Self { folder, key, witness_key, witness })
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// Runs the program; returns its exit code and what it said on standard output and on standard error.
fn said(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = world.run(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn expect(what: &str, found: &(Option<i32>, String, String), code: i32, words: &str) -> Result<(), String> {
    let (status, out, error) = found;
    if *status == Some(code) && (out.contains(words) || error.contains(words)) {
        return Ok(());
    }
    Err(format!("{what}: expected exit code {code} and `{words}`, found {status:?}: {out}{error}"))
}

fn logged(world: &World) -> Result<(), String> {
    let setting = Setting::new(world, &[])?;
    let ledger = Served::start(world, &["ledger", "serve", &setting.at("ledger"), "--heartbeat", "1"])?;
    let out = setting.at("out");
    let url = "https://accept-twice.test/".to_owned();
    let mut command = world.vigie(&[
        "inspect",
        &url,
        "--no-report",
        "--scenarios",
        "S0",
        "--out",
        &out,
        "--ignore-certificate-errors",
    ]);
    command.args(["--ledger", &ledger.address]);
    for argument in world.server.chromium_args() {
        command.arg(format!("--chromium-arg={argument}"));
    }
    let output = command.output().map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if !told.contains("Receipt  ") {
        return Err(format!("no receipt is named: {told}{}", String::from_utf8_lossy(&output.stderr)));
    }
    let found = |ending: &str| -> Result<String, String> {
        let files = std::fs::read_dir(&out).map_err(|error| error.to_string())?.flatten();
        let mut paths = files.map(|file| file.path().display().to_string()).filter(|path| path.ends_with(ending));
        paths.next().ok_or_else(|| format!("no {ending} was left"))
    };
    let (bundle, receipt) = (found(".wacz")?, found(".tlog-proof")?);
    let trust = setting.at("trust");
    let verified = said(world, &["verify", &bundle, "--policy", &trust]);
    expect("the bundle", &verified, 0, "of authority.example/captures, under its checkpoint of")?;
    expect("the bundle", &verified, 0, "witness    witness.example/1, 20")?;
    expect(
        "the receipt",
        &said(world, &["verify", &receipt, "--policy", &trust]),
        0,
        "proves that its entry is in the ledger",
    )?;
    expect("without a policy", &said(world, &["verify", &receipt]), 2, "whose word counts was not said")?;

    // Another witness is asked for than the one that has seen it.
    let stranger = said(world, &["witness", "init", &setting.at("stranger"), "--name", "other.example", "-q"]).1;
    let strict = setting.at("strict");
    std::fs::write(&strict, format!("log {}\nwitness w {}\nquorum w\n", setting.key, stranger.trim()))
        .map_err(|e| e.to_string())?;
    expect("another witness", &said(world, &["verify", &bundle, "--policy", &strict]), 1, "which is not the quorum")?;

    // A receipt for another bundle proves nothing of this one.
    let other = Path::new(&out).join("other.wacz").display().to_string();
    let second = world.run(&[
        "inspect",
        "http://127.0.0.1:9/",
        "--no-report",
        "--scenarios",
        "S0",
        "--out",
        &setting.at("second"),
    ]);
    drop(second);
    let unreachable =
        std::fs::read_dir(setting.at("second")).map_err(|e| e.to_string())?.flatten().map(|file| file.path());
    let unreachable = unreachable.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "wacz"));
    std::fs::copy(unreachable.ok_or("an unreachable site leaves a bundle too")?, &other).map_err(|e| e.to_string())?;
    std::fs::copy(&receipt, format!("{other}.tlog-proof")).map_err(|e| e.to_string())?;
    expect(
        "another bundle",
        &said(world, &["verify", &other, "--policy", &trust]),
        1,
        "the receipt is for another bundle",
    )?;

    let copy = setting.at("copy");
    expect(
        "a mirror",
        &said(world, &["ledger", "mirror", &ledger.address, &copy, "--policy", &trust, "--every", "0"]),
        0,
        "checked and copied",
    )?;
    expect("the copy", &said(world, &["ledger", "check", &copy, "--policy", &trust]), 0, "is sound")?;
    expect("the tail", &said(world, &["ledger", "tail", &ledger.address, "--policy", &trust]), 0, "capture")?;
    ledger.end()?;
    setting.witness.end()
}

fn judged_by_go(world: &World) -> Result<(), String> {
    let setting = Setting::new(world, &["--opaque"])?;
    let ledger = setting.at("ledger");
    let mut files = Vec::new();
    for number in 0..700 {
        let path = setting.at(&format!("entry-{number}"));
        std::fs::write(&path, format!("entry {number}")).map_err(|error| error.to_string())?;
        files.push(path);
    }
    let add = |files: &[String], receipt: bool| {
        let mut arguments = vec!["ledger", "add", &ledger, "-q"];
        arguments.extend(files.iter().map(String::as_str));
        if receipt {
            arguments.push("--receipt");
        }
        expect("adding", &said(world, &arguments), 0, "")
    };
    add(&files[..3], true)?;
    add(&files[3..], false)?;
    let judge = PathBuf::from(setting.at("judge"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/go/log.go");
    // Debian keeps the sources of Go's packages where nothing needs to be fetched.
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&judge)
        .arg(&source)
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOFLAGS", "")
        .env("GOCACHE", setting.at("go-cache"))
        .output()
        .map_err(|error| format!("Go cannot be started; `make judges` installs it: {error}"))?;
    if !built.status.success() {
        return Err(String::from_utf8_lossy(&built.stderr).into_owned());
    }
    let judged = |folder: &str| -> Result<String, String> {
        let mut command = Command::new(&judge);
        command.arg(folder).args([&setting.key, &setting.witness_key]);
        let output = command
            .args(files[..3].iter().map(|file| format!("{file}.tlog-proof")))
            .output()
            .map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    let public = format!("{ledger}/public");
    let verdict = judged(&public)?;
    if verdict.trim() != "700 entries, 4 tiles, 3 receipts" {
        return Err(format!("the judge said `{}`", verdict.trim()));
    }
    // A judge that cannot say no is none.
    let entries = format!("{public}/tile/entries/001");
    let mut bytes = std::fs::read(&entries).map_err(|error| error.to_string())?;
    bytes[9] ^= 1;
    std::fs::write(&entries, bytes).map_err(|error| error.to_string())?;
    match judged(&public) {
        Ok(verdict) => Err(format!("a changed entry was accepted: {verdict}")),
        Err(_) => setting.witness.end(),
    }
}

fn changed(world: &World) -> Result<(), String> {
    let setting = Setting::new(world, &["--opaque"])?;
    let (ledger, entry) = (setting.at("ledger"), setting.at("entry"));
    for number in 0..3 {
        std::fs::write(&entry, format!("entry {number}")).map_err(|error| error.to_string())?;
        expect("adding", &said(world, &["ledger", "add", &ledger, &entry]), 0, &format!("{number}  "))?;
    }
    expect("as written", &said(world, &["ledger", "check", &ledger]), 0, "is sound: 3 entries")?;
    let bundle = format!("{ledger}/public/tile/entries/000.p/3");
    let bytes = std::fs::read(&bundle).map_err(|error| error.to_string())?;
    std::fs::write(&bundle, String::from_utf8_lossy(&bytes).replace("entry 1", "entry X"))
        .map_err(|e| e.to_string())?;
    let found = said(world, &["ledger", "check", &ledger]);
    expect("an entry changed", &found, 1, "entry 1 is not the one that was logged")?;
    std::fs::write(&bundle, bytes).map_err(|error| error.to_string())?;
    let tile = format!("{ledger}/public/tile/0/000.p/3");
    let mut hashes = std::fs::read(&tile).map_err(|error| error.to_string())?;
    hashes[0] ^= 1;
    std::fs::write(&tile, hashes).map_err(|error| error.to_string())?;
    expect("a tile changed", &said(world, &["ledger", "check", &ledger]), 1, "`tile/0/000.p/3` does not agree")?;
    expect("and not written to", &said(world, &["ledger", "add", &ledger, &entry]), 2, "")
}

fn seen_in_a_browser(world: &World) -> Result<(), String> {
    let setting = Setting::new(world, &[])?;
    let ledger = Served::start(world, &["ledger", "serve", &setting.at("ledger"), "--heartbeat", "1"])?;
    let trust = setting.at("trust");
    // Ends when there is an entry: the heartbeat of the first second.
    let mut seen = (None, String::new(), String::new());
    for _ in 0..200 {
        seen = said(world, &["ledger", "check", &ledger.address, "--policy", &trust]);
        if seen.1.contains("is sound: ") && !seen.1.contains("is sound: 0 entries") {
            break;
        }
    }
    expect("a heartbeat", &seen, 0, "is sound: ")?;
    let program = std::env::var_os("CHROMIUM").filter(|path| !path.is_empty()).unwrap_or_else(|| "chromium".into());
    let output = Command::new(program)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", setting.at("profile")))
        .arg(format!("{}/?index=0", ledger.address))
        .stderr(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in [
        "Signed by the ledger, and seen by 1 of its witnesses.",
        "Entry 0 is in the ledger:",
        "heartbeat: nothing happened",
    ] {
        if !page.contains(words) {
            return Err(format!("the page does not say `{words}`: {page}"));
        }
    }
    ledger.end()
}

fn refused(world: &World) -> Result<(), String> {
    let setting = Setting::new(world, &[])?;
    let (ledger, none) = (setting.at("ledger"), setting.at("none"));
    let nonsense = setting.at("nonsense");
    std::fs::write(&nonsense, "nonsense\n").map_err(|error| error.to_string())?;
    let cases: [(&[&str], &str); 9] = [
        (&["ledger", "init", &ledger, "--origin", "a.example"], "is there already"),
        (&["ledger", "init", &none, "--origin", "a b"], "is empty, or contains a space or a plus sign"),
        (&["ledger", "check", &none], "is no folder, and no address"),
        (&["ledger", "check", "http://127.0.0.1:9/"], "whose word counts for `http://127.0.0.1:9/` was not said"),
        (&["ledger", "check", "http://127.0.0.1:9/", "--key", &setting.key], "the server did not answer"),
        (&["ledger", "add", &ledger, &nonsense], "9 bytes, expected 148"),
        (&["ledger", "serve", &ledger, "--listen", "0.0.0.0:0"], "anybody could append"),
        (&["verify", &nonsense, "--policy", &none], "nonsense"),
        (&["witness", "serve", &none], "holds no witness"),
    ];
    for (arguments, words) in cases {
        let found = said(world, arguments);
        expect(&format!("{arguments:?}"), &found, if arguments[0] == "verify" { 1 } else { 2 }, words)?;
        let sentence = found.2.lines().next().unwrap_or_default();
        if found.2.contains("panicked") || sentence.ends_with('.') {
            return Err(format!("{arguments:?}: `{sentence}` is no sentence as ours are"));
        }
    }
    setting.witness.end()
}
