//! The ways in and out: HTTP, a copy elsewhere, entries of all sizes, backpressure, counted hashes.

use crate::{event, new_home};
use object_store::{ObjectStoreExt as _, local::LocalFileSystem, memory::InMemory};
use std::{io, path::Path, sync::Arc, time::Duration};
use vigie_ledger::{
    Receipt, TrustPolicy,
    reader::{Follower, check},
};
use vigie_sequencer::{
    Batch, Log, Options, Stream,
    files::{Access, Files, OpenFile, SystemFiles, Watched},
    http::{Writers, router, serve},
    publish_source,
};

fn quick() -> Options {
    Options { publish_every: Duration::ZERO, ..Options::default() }
}

#[test]
fn logs_of_sizes_around_powers_of_two_are_whole_and_grow_on() {
    let (_folder, home) = new_home(Stream::Opaque, None);
    let mut size = 0;
    for target in [0_u64, 1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537] {
        let log = Log::open(&home, quick()).unwrap();
        let mut batch = Batch::new();
        (size..target).for_each(|number| batch.push(&number.to_be_bytes()).unwrap());
        let before = log.statistics().hashes;
        let answers = log.append_many(batch).unwrap().wait().unwrap();
        assert_eq!(answers.len() as u64, target - size);
        if target > 0 {
            log.wait_published(target - 1).unwrap();
            for index in [0, target / 2, target - 1] {
                let receipt = log.receipt(index, None).unwrap();
                receipt.verify(&index.to_be_bytes(), log.policy()).unwrap();
            }
        }
        let (added, levels) = (target - size, u64::from(64 - target.leading_zeros()).div_ceil(8));
        let hashes = log.statistics().hashes - before;
        assert!(hashes <= 2 * added + 256 * levels, "{hashes} hashes for {added} entries");
        log.close().unwrap();
        size = target;
    }
    let source = publish_source(Arc::new(SystemFiles), &home);
    let head = Follower::new(TrustPolicy::of_log(home.key().unwrap().verifier().clone())).head(&source).unwrap();
    assert_eq!(head.checkpoint.checkpoint().size(), 65_537);
    check(&source, head.checkpoint.checkpoint(), |_| ()).unwrap();
}

#[test]
fn the_shortest_and_the_longest_entry_are_taken_and_no_longer_one() {
    let (_folder, home) = new_home(Stream::Opaque, None);
    let log = Log::open(&home, Options { segment_bytes: 4096, ..quick() }).unwrap();
    for entry in [vec![], vec![9; 65_535], vec![]] {
        let appended = log.append(&entry).unwrap().wait().unwrap();
        log.wait_published(appended.index).unwrap();
        log.receipt(appended.index, None).unwrap().verify(&entry, log.policy()).unwrap();
    }
    let error = log.append(&vec![0; 65_536]).unwrap_err().to_string();
    assert_eq!(error, "entry has 65536 bytes, more than the 65535 that a log takes");
    log.close().unwrap();
    Log::open(&home, quick()).unwrap().close().unwrap();
}

#[test]
fn a_copy_in_a_store_can_be_followed_and_goes_on_after_a_restart() {
    let (_folder, home) = new_home(Stream::Events, None);
    let store = Arc::new(InMemory::new());
    let elsewhere = tempfile::tempdir().unwrap();
    let mut at = 0;
    for more in [3_u64, 300, 1] {
        let options = Options { copy_to: Some((store.clone(), "logs/a".to_owned())), ..quick() };
        let log = Log::open(&home, options).unwrap();
        let events: Vec<_> = (at..at + more).map(event).collect();
        log.append_many(Batch::try_from(events.as_slice()).unwrap()).unwrap().wait().unwrap();
        at += more;
        log.close().unwrap();
    }
    let folder = Arc::new(LocalFileSystem::new_with_prefix(elsewhere.path()).unwrap());
    let log = Log::open(&home, Options { copy_to: Some((folder, "b".to_owned())), ..quick() }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = |path: &str| runtime.block_on(async { store.get(&path.into()).await.unwrap().bytes().await.unwrap() });
    assert_eq!(*read("logs/a/checkpoint"), *log.head().checkpoint);
    let bundle = read("logs/a/tile/entries/001.p/48");
    assert_eq!(*bundle, *std::fs::read(home.public().join("tile/entries/001.p/48")).unwrap());
    log.close().unwrap();
    let source = vigie_sequencer::FolderSource::new(Arc::new(SystemFiles), elsewhere.path().join("b"));
    let head = Follower::new(TrustPolicy::of_log(home.key().unwrap().verifier().clone())).head(&source).unwrap();
    check(&source, head.checkpoint.checkpoint(), |_| ()).unwrap();
    assert_eq!(head.checkpoint.checkpoint().size(), at);
}

#[test]
fn entries_come_and_receipts_go_over_http() {
    let (_folder, home) = new_home(Stream::Events, None);
    let log = Arc::new(Log::open(&home, quick()).unwrap());
    let policy = log.policy().clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let server = runtime.spawn(serve(listener, router(log.clone(), Writers::with_token("secret\n")), async {
        let _ = stopping.await;
    }));
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let post = |path: &str, token: &str, body: &[u8]| {
        let request = agent.post(format!("{url}{path}")).header("Authorization", format!("Bearer {token}"));
        let mut response = request.send(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    };
    let (status, body) = post("/add", "secret", &event(1));
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with("{\"index\":0,\"leaf\":\""), "{body}");
    assert_eq!(post("/add", "guess", &event(2)).0, 401);
    assert_eq!(post("/add", "secret", &event(1)).1, body, "a repeat is the first again");
    assert_eq!(post("/add", "secret", b"no entry").0, 422);
    assert_eq!(post("/add", "secret", &vec![0; 70_000]).0, 413);
    assert_eq!(post("/add?wait=long", "secret", &event(2)).0, 400);
    let mut other = event(1);
    other[140] ^= 1;
    assert_eq!(post("/add", "secret", &other).0, 409);

    let (status, receipt) = post("/add?wait=published", "secret", &event(2));
    assert_eq!(status, 200);
    let mut logged = event(2);
    logged[27] = 1;
    Receipt::parse(receipt.as_bytes()).unwrap().verify(&logged, &policy).unwrap();

    let batch = Batch::try_from([event(2), other, event(3)].as_slice()).unwrap();
    let (status, lines) = post("/add-batch", "secret", batch.as_bytes());
    assert_eq!((status, lines.lines().count()), (200, 3));
    assert!(lines.lines().nth(1).unwrap().contains("with other content"), "{lines}");
    assert_eq!(post("/add-batch", "secret", &[0, 9, 1]).0, 400);

    log.wait_published(2).unwrap();
    let get = |path: &str| {
        let mut response = agent.get(format!("{url}{path}")).call().unwrap();
        let cache = response.headers().get("cache-control").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), cache.unwrap_or_default(), response.body_mut().read_to_vec().unwrap())
    };
    assert_eq!(get("/checkpoint"), (200, "public, max-age=1".to_owned(), log.head().checkpoint.to_vec()));
    let (status, cache, tile) = get("/tile/0/000.p/3");
    assert_eq!((status, tile.len()), (200, 96));
    assert!(cache.ends_with("immutable"));
    for path in ["/key", "/tile/0/../../../key", "/tile/0/000", "/head", "/tile/0/0", "/wal"] {
        assert_eq!(get(path).0, 404, "{path}");
    }
    assert!(String::from_utf8(get("/metrics").2).unwrap().contains("\nvigie_ledger_durable_entries 3\n"));
    stop.send(()).unwrap();
    runtime.block_on(server).unwrap().unwrap();
    Arc::into_inner(log).unwrap().close().unwrap();
}

#[test]
fn nothing_is_published_while_nothing_is_appended() {
    let (_folder, home) = new_home(Stream::Opaque, None);
    let log = Log::open(&home, quick()).unwrap();
    log.append(b"one").unwrap().wait().unwrap();
    let published = log.wait_published(0).unwrap();
    log.publish_now();
    log.close().unwrap();
    let log = Log::open(&home, quick()).unwrap();
    assert_eq!(log.head(), published);
    log.close().unwrap();
}

/// The file system of the machine, whose syncs wait until they may go on.
#[derive(Debug, Default)]
struct Gate {
    shut: std::sync::Mutex<bool>,
    opened: std::sync::Condvar,
}

#[derive(Debug)]
struct Gated(Arc<Gate>, Box<dyn OpenFile>);

impl OpenFile for Gated {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.1.write_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.read_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        drop(self.0.opened.wait_while(self.0.shut.lock().unwrap(), |shut| *shut).unwrap());
        self.1.sync()
    }
}

#[derive(Debug, Clone)]
struct GatedFiles(Arc<Gate>);

impl Files for GatedFiles {
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(Gated(self.0.clone(), SystemFiles.create(path, access)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        SystemFiles.open(path)
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        SystemFiles.read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemFiles.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        SystemFiles.remove_folder(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        SystemFiles.create_folder(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        SystemFiles.list(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        SystemFiles.sync_folder(folder)
    }

    fn watch(&self, folder: &Path) -> io::Result<Box<dyn Watched>> {
        SystemFiles.watch(folder)
    }
}

#[test]
fn too_much_at_once_is_told_to_come_again_and_nothing_of_it_is_in_the_log() {
    let (_folder, home) = new_home(Stream::Events, None);
    let gate = Arc::new(Gate::default());
    let files = Arc::new(GatedFiles(gate.clone()));
    let options = Options { max_waiting_bytes: 150, files, ..quick() };
    let log = Arc::new(Log::open(&home, options).unwrap());
    log.append(&event(0)).unwrap().wait().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/add", listener.local_addr().unwrap());
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let server =
        runtime.spawn(serve(listener, router(log.clone(), Writers::Anybody), async { stopping.await.unwrap_or(()) }));
    let post = |number: u64| {
        let url = url.clone();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let response = agent.post(url).send(&event(number)[..]).unwrap();
        let again = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (number, response.status().as_u16(), again)
    };
    *gate.shut.lock().unwrap() = true;
    let (answers, answered) = std::sync::mpsc::channel();
    let (mut taken, mut refused) = (0, Vec::new());
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let (answers, post) = (answers.clone(), &post);
            scope.spawn(move || answers.send(post(number)).unwrap());
        }
        // One is written, one has its place, one waits: nobody else is taken in while the gate is shut.
        for count in 1..=8 {
            let (number, status, again) = answered.recv().unwrap();
            match status {
                200 => taken += 1,
                503 => {
                    assert_eq!(again.as_deref(), Some("1"));
                    refused.push(number);
                }
                other => panic!("{other}"),
            }
            if count == 5 {
                assert_eq!(refused.len(), 5, "nothing is durable yet");
                *gate.shut.lock().unwrap() = false;
                gate.opened.notify_all();
            }
        }
    });
    assert!(refused.len() >= 5);
    assert_eq!(log.statistics().durable, 1 + taken, "what was told to come again is not there");
    for number in refused {
        assert_eq!(post(number).1, 200);
    }
    assert_eq!(log.statistics().durable, 9);
    stop.send(()).unwrap();
    runtime.block_on(server).unwrap().unwrap();
    Arc::into_inner(log).unwrap().close().unwrap();
}
