//! Logs with witnesses: real ones, over HTTP.

use crate::new_home;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};
use vigie_ledger::{
    SignerKey,
    key::Algorithm,
    witness::{AddCheckpoint, Answer, Seen, answer},
};
use vigie_sequencer::{Log, Options, Stream};

/// A witness that runs as long as the test does.
struct Witness {
    key: SignerKey,
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    seen: Seen,
    logs: Vec<vigie_ledger::VerifierKey>,
    away: bool,
    /// Answers this, whatever the log sends.
    lie: Option<(u16, String)>,
    /// The head that it shows to whoever asks.
    shown: Option<String>,
    requests: usize,
}

impl Witness {
    fn start(name: &str) -> Self {
        let make =
            || SignerKey::from_seed(name.parse().unwrap(), Algorithm::CosignatureEd25519, [name.len() as u8; 32]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State { seen: Seen::NOTHING, logs: Vec::new(), away: false, lie: None, shown: None, requests: 0 };
        let state = Arc::new(Mutex::new(state));
        let (shared, key) = (state.clone(), make());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = BufReader::new(connection.unwrap());
                let (mut length, mut shows) = (0, false);
                loop {
                    let mut line = String::new();
                    if connection.read_line(&mut line).unwrap_or(0) <= 2 {
                        break;
                    }
                    shows |= line.starts_with("GET /") && line.contains("/checkpoint ");
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                let _ = connection.read_exact(&mut body);
                let shown = shared.lock().unwrap().shown.clone();
                let (status, text) = match (shows, shown) {
                    (true, Some(head)) => (200, head),
                    (true, None) => (404, String::new()),
                    (false, _) => reply(&mut shared.lock().unwrap(), &key, &body),
                };
                let head =
                    format!("HTTP/1.1 {status} .\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
                let _ = connection.get_mut().write_all((head + &text).as_bytes());
            }
        });
        Self { key: make(), url, state }
    }

    fn line(&self, name: &str) -> String {
        format!("witness {name} {} {}\n", self.key.verifier(), self.url)
    }

    fn trusts(&self, log: &Log) {
        self.state.lock().unwrap().logs = vec![log.key().verifier().clone()];
    }
}

fn reply(state: &mut State, key: &SignerKey, body: &[u8]) -> (u16, String) {
    state.requests += 1;
    if state.away {
        return (500, String::new());
    }
    if let Some(lie) = &state.lie {
        return lie.clone();
    }
    let request = AddCheckpoint::parse(body).unwrap();
    match answer(&request, &state.logs, state.seen) {
        Answer::Cosign(signed) => {
            let head = signed.checkpoint();
            state.seen = Seen { size: head.size(), root: head.root() };
            state.shown = Some(signed.note().to_string());
            (200, format!("{}\n", key.cosign(head, 1_700_000_000)))
        }
        Answer::UnknownLog => (404, String::new()),
        Answer::NotSigned => (403, String::new()),
        Answer::Malformed(why) => (400, why.to_owned()),
        Answer::Conflict(size) => (409, format!("{size}\n")),
        Answer::NotConsistent => (422, String::new()),
    }
}

fn options() -> Options {
    Options { publish_every: Duration::from_millis(1), ..Options::default() }
}

#[test]
fn a_head_is_published_with_its_quorum_and_not_before() {
    let (one, two) = (Witness::start("one.example/w"), Witness::start("second.example/w"));
    let policy = format!("{}{}group both all a b\nquorum both\n", one.line("a"), two.line("b"));
    let (_folder, home) = new_home(Stream::Opaque, Some(&policy));
    two.state.lock().unwrap().away = true;
    let log = Log::open(&home, options()).unwrap();
    one.trusts(&log);
    two.trusts(&log);
    let first = log.append(b"first").unwrap().wait().unwrap();
    while two.state.lock().unwrap().requests < 3 {
        std::thread::yield_now();
    }
    assert_eq!(log.head().size, 0, "one witness is no quorum");
    assert!(log.receipt(0, None).is_err());
    two.state.lock().unwrap().away = false;
    let published = log.wait_published(first.index).unwrap();
    let attested = log.policy().attest(&published.checkpoint).unwrap();
    assert_eq!(attested.witnesses.len(), 2);
    log.receipt(0, Some(b"more".to_vec())).unwrap().verify(b"first", log.policy()).unwrap();
    log.close().unwrap();
    // Another start, that goes on where the witnesses are.
    let log = Log::open(&home, options()).unwrap();
    let second = log.append(b"second").unwrap().wait().unwrap();
    log.wait_published(second.index).unwrap();
    log.receipt(0, None).unwrap().verify(b"first", log.policy()).unwrap();
    log.close().unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_log_that_was_rolled_back_hears_it_from_its_witness_and_stops() {
    for more in [0, 5] {
        let witness = Witness::start("one.example/w");
        let (folder, home) = new_home(Stream::Opaque, Some(&format!("{}quorum a\n", witness.line("a"))));
        let log = Log::open(&home, options()).unwrap();
        witness.trusts(&log);
        log.append(b"one").unwrap().wait().unwrap();
        log.wait_published(0).unwrap();
        log.close().unwrap();
        let backup = folder.path().join("backup");
        copy(home.folder(), &backup);
        let log = Log::open(&home, options()).unwrap();
        log.append(b"two").unwrap().wait().unwrap();
        log.wait_published(1).unwrap();
        log.close().unwrap();
        std::fs::remove_dir_all(home.folder()).unwrap();
        copy(&backup, home.folder());
        // Grown past the witness, it is a fork; before, it is behind. While the witness is away nobody can know.
        witness.state.lock().unwrap().away = more > 0;
        let log = Log::open(&home, options()).unwrap();
        for number in 0..more {
            log.append(&[b'f', number]).unwrap().wait().unwrap();
        }
        if more > 0 {
            let asked = witness.state.lock().unwrap().requests;
            while log.statistics().signed < 6 || witness.state.lock().unwrap().requests < asked + 2 {
                std::thread::yield_now();
            }
            witness.state.lock().unwrap().away = false;
        }
        let stopped = log.wait_published(100).unwrap_err().to_string();
        let expected =
            if more > 0 { "does not continue the one of 2" } else { "has cosigned a head of 2 entries, the log has 1" };
        assert!(stopped.contains(expected), "{stopped}");
        assert!(log.append(b"more").is_err());
        assert!(log.close().is_err());
    }
}

/// A policy of two witnesses, one of which is enough.
fn either(one: &Witness, two: &Witness) -> String {
    format!("{}{}group either any a b\nquorum either\n", one.line("a"), two.line("b"))
}

#[test]
fn a_witness_that_lies_stops_no_log_that_has_another() {
    for (status, body, claim) in [
        (422, "", "holds that the head of 2 entries does not continue the one of 1 that it cosigned"),
        (409, "1000000\n", "has cosigned a head of 1000000 entries, the log has 2"),
    ] {
        for shows in [true, false] {
            let (honest, liar) = (Witness::start("one.example/w"), Witness::start("second.example/w"));
            let (_folder, home) = new_home(Stream::Opaque, Some(&either(&honest, &liar)));
            let log = Log::open(&home, options()).unwrap();
            honest.trusts(&log);
            liar.trusts(&log);
            log.append(b"one").unwrap().wait().unwrap();
            let both = log.wait_published(0).unwrap();
            {
                let mut state = liar.state.lock().unwrap();
                state.lie = Some((status, body.to_owned()));
                // What it can show is a head that this log has signed, and knows.
                state.shown = state.shown.take().filter(|_| shows);
            }
            log.append(b"two").unwrap().wait().unwrap();
            let published = log.wait_published(1).unwrap();
            assert_eq!(log.policy().attest(&both.checkpoint).unwrap().checkpoint.checkpoint().size(), 1);
            let attested = log.policy().attest(&published.checkpoint).unwrap();
            assert_eq!(attested.witnesses.len(), 1, "only the honest one");
            let trouble = log.statistics().trouble.unwrap();
            assert_eq!(trouble, format!("witness `second.example/w` {claim}, and shows nothing for that"));
            log.append(b"three").unwrap().wait().unwrap();
            log.wait_published(2).unwrap();
            log.close().unwrap();
        }
    }
}

#[test]
fn a_witness_that_shows_a_head_we_signed_and_lost_stops_the_log_whatever_the_others_say() {
    for forked in [true, false] {
        let (knows, other) = (Witness::start("one.example/w"), Witness::start("second.example/w"));
        let (folder, home) = new_home(Stream::Opaque, Some(&either(&knows, &other)));
        let log = Log::open(&home, options()).unwrap();
        knows.trusts(&log);
        log.append(b"one").unwrap().wait().unwrap();
        log.wait_published(0).unwrap();
        log.close().unwrap();
        let backup = folder.path().join("backup");
        copy(home.folder(), &backup);
        let log = Log::open(&home, options()).unwrap();
        log.append(b"two").unwrap().wait().unwrap();
        log.wait_published(1).unwrap();
        log.close().unwrap();
        std::fs::remove_dir_all(home.folder()).unwrap();
        copy(&backup, home.folder());
        knows.state.lock().unwrap().away = forked;
        let log = Log::open(&home, options()).unwrap();
        other.trusts(&log);
        if forked {
            // While the one that knows is away, the other cosigns as many as were lost, and others.
            log.append(b"another").unwrap().wait().unwrap();
            log.wait_published(1).unwrap();
            knows.state.lock().unwrap().away = false;
            log.append(b"and another").unwrap().wait().unwrap();
        }
        let stopped = log.wait_published(100).unwrap_err().to_string();
        assert!(stopped.contains("entries with the log's own signature: the log was rolled back"), "{stopped}");
        assert!(log.close().is_err());
    }
}
