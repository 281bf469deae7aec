//! A campaign that many machines share, by a real NATS server and a shelf: whoever is killed, nothing is lost and
//! nothing counts twice.

use crate::{Dice, Ended, check_complete, child, hash, hurried, list_of, made_up};
use libtest_mimic::{Failed, Trial};
use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use vigie_campaign::{
    Campaign, Difference, Done, Job, Reading,
    queue::{Queue, Timing, Worker, coordinate, work},
    runner::Unwatched,
    shelf::Shelf,
};

const SITES: usize = 120;
const WORKERS: usize = 3;
const TIMING: Timing = Timing { patience: Duration::from_secs(1), look: Duration::from_secs(2) };

pub fn trials() -> Vec<Trial> {
    let missing = |program: &str| {
        let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if !there {
            eprintln!("not run without `{program}`, which `scripts/setup.sh` installs");
        }
        !there
    };
    let without_nats = missing("nats-server");
    let without_s3 = without_nats || !moto().exists();
    vec![
        Trial::test("workers_and_their_coordinator_are_killed_and_every_site_is_kept_once", killed)
            .with_ignored_flag(without_nats),
        Trial::test("a_stopped_worker_gives_its_jobs_back", stopped).with_ignored_flag(without_nats),
        Trial::test("bundles_and_large_documents_go_by_an_s3_store", by_s3).with_ignored_flag(without_s3),
        Trial::test("a_queue_that_is_not_there_is_said_in_one_sentence", absent),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads can be started")
}

fn some(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("more than none")
}

/// Runs a campaign by way of a queue to its end.
pub fn play_coordinator(queue: &str, shelf: &str, folder: &str) {
    let (campaign, _) =
        Campaign::open(Path::new(folder), Some(&list_of(SITES)), &hurried(), Difference::Refuse).unwrap();
    let shelf = Shelf::open(shelf).unwrap();
    let ran = runtime().block_on(async {
        let queue = Queue::connect_with(queue, TIMING).await.unwrap();
        coordinate(&campaign, &queue, Some(&shelf), some(12), &Unwatched, std::future::pending()).await
    });
    assert!(ran.unwrap().complete);
}

/// Serves a queue until killed.
pub fn play_worker(queue: &str, shelf: &str, name: &str) {
    let shelf = Shelf::open(shelf).unwrap();
    runtime().block_on(async {
        let queue = Queue::connect_with(queue, TIMING).await.unwrap();
        let worker = Worker { name: name.to_owned(), jobs: some(2), idle: None };
        work(&queue, &worker, Some(&shelf), inspect, std::future::pending()).await.unwrap();
    });
}

/// A made-up inspection that leaves a bundle.
async fn inspect(job: Job) -> Result<Done, String> {
    tokio::time::sleep(Duration::from_millis(5 + hash(&job.domain) % 40)).await;
    let done = made_up(&job)?;
    Ok(done.with_files(bundle(&job)))
}

/// Returns a file that stands for a bundle; what the system forgets when it starts anew.
fn bundle(job: &Job) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("vigie-campaign-{}", std::process::id()));
    let file = folder.join(format!("{}-{}.wacz", job.domain, job.attempt));
    fs::create_dir_all(&folder).and_then(|()| fs::write(&file, &job.domain)).expect("there is room");
    file
}

fn killed() -> Result<(), Failed> {
    let start = Instant::now();
    let (server, folder, shelf) = (NatsServer::start(), tempfile::tempdir()?, tempfile::tempdir()?);
    let shelf_address = format!("file://{}", shelf.path().display());
    let path = folder.path().to_str().ok_or("the folder's name is text")?;
    let begin = |number: usize| {
        let name = format!("worker-{number}");
        let role = if number == WORKERS {
            ["coordinator", &server.url, &shelf_address, path]
        } else {
            ["worker", &server.url, &shelf_address, &name]
        };
        child(&role)
    };
    let mut machines: Vec<Ended> = (0..=WORKERS).map(begin).collect();
    let mut bundles = Vec::new();
    let mut dice = Dice(11);
    let mut kills = 0;
    while machines[WORKERS].0.try_wait()?.is_none() {
        assert!(start.elapsed() < Duration::from_secs(100), "it does not come to an end");
        // Killed at any time; workers more often than the coordinator.
        std::thread::sleep(Duration::from_millis(60 + dice.below(200)));
        if kills < 15 && machines[WORKERS].0.try_wait()?.is_none() {
            let number = dice.below(7) as usize % (WORKERS + 1);
            machines[number].0.kill()?;
            machines[number].0.wait()?;
            bundles.push(machines[number].0.id());
            machines[number] = begin(number);
            kills += 1;
        }
    }
    assert!(machines[WORKERS].0.wait()?.success());
    for worker in &mut machines[..WORKERS] {
        worker.0.kill()?;
        worker.0.wait()?;
        bundles.push(worker.0.id());
    }
    for process in bundles {
        let _ = fs::remove_dir_all(std::env::temp_dir().join(format!("vigie-campaign-{process}")));
    }
    assert_eq!(check_complete(folder.path()), SITES);
    // Every result that names a bundle names one that is there, and it is that site's.
    let database = rusqlite::Connection::open(folder.path().join("campaign.db"))?;
    let mut select = database.prepare("SELECT domain, bundle FROM results JOIN sites USING (site)")?;
    for row in select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))? {
        let (domain, bundle) = row?;
        assert_eq!(fs::read_to_string(bundle.strip_prefix("file://").ok_or("an address")?)?, domain);
    }
    eprintln!("{kills} kills; all in {:.1?}", start.elapsed());
    Ok(())
}

fn stopped() -> Result<(), Failed> {
    let server = NatsServer::start();
    let folder = tempfile::tempdir()?;
    let (campaign, _) = Campaign::open(folder.path(), Some(&list_of(4)), &hurried(), Difference::Refuse)?;
    runtime().block_on(async {
        // A patience that outlasts the test: only giving back can help.
        let timing = Timing { patience: Duration::from_secs(600), look: Duration::from_secs(600) };
        let queue = Queue::connect_with(&server.url, timing).await?;
        let first = Worker { name: "first".to_owned(), jobs: some(4), idle: None };
        let (began, has_begun) = tokio::sync::mpsc::unbounded_channel();
        let never = move |_: Job| {
            let _ = began.send(());
            std::future::pending()
        };
        let mut has_begun = has_begun;
        let one_began = async move {
            let _ = has_begun.recv().await;
        };
        let other = Worker { name: "other".to_owned(), jobs: some(4), idle: None };
        let made_up = |job: Job| async move { made_up(&job) };
        let workers = async {
            let worked = work(&queue, &first, None, never, one_began).await?;
            assert_eq!(worked.answered, 0);
            work(&queue, &other, None, made_up, std::future::pending()).await
        };
        let ran = tokio::select! {
            ran = coordinate(&campaign, &queue, None, some(4), &Unwatched, std::future::pending()) => ran?,
            worked = workers => return Err(Failed::from(format!("a worker ended: {worked:?}"))),
            () = tokio::time::sleep(Duration::from_secs(60)) => return Err("nobody took the jobs".into()),
        };
        assert!(ran.complete);
        Ok(())
    })
}

/// Where `scripts/setup.sh --judges` puts an S3-compatible server.
fn moto() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/bin/moto_server")
}

fn by_s3() -> Result<(), Failed> {
    let server = NatsServer::start();
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut store = Command::new(moto());
    let store = store.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let _store = Ended(store.spawn()?);
    wait_for(|| std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let output = child_with(port, &server.url)?;
    assert!(output.success());
    Ok(())
}

/// The environment names the store, and may be changed in another process only.
fn child_with(port: u16, queue: &str) -> std::io::Result<std::process::ExitStatus> {
    Command::new(std::env::current_exe()?)
        .args(["play", "s3", queue])
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "eu-west-3")
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ENDPOINT", format!("http://127.0.0.1:{port}"))
        .status()
}

/// Runs a campaign whose documents are too large for a message, with an S3 store that the environment names.
pub fn play_s3(queue: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (campaign, _) = Campaign::open(folder.path(), Some(&list_of(6)), &hurried(), Difference::Refuse).unwrap();
    let endpoint = std::env::var("AWS_ENDPOINT").unwrap();
    // Making a bucket is not the shelf's business; the server takes a bare request for it.
    let made = Command::new("curl").args(["-sf", "-X", "PUT", &format!("{endpoint}/bundles")]).status().unwrap();
    assert!(made.success());
    let shelf = Shelf::open("s3://bundles/2026").unwrap();
    let ran = runtime().block_on(async {
        let queue = Queue::connect_with(queue, TIMING).await.unwrap();
        let worker = Worker { name: "one".to_owned(), jobs: some(2), idle: None };
        let large = |job: Job| async move {
            let mut done = inspect(job).await?;
            done.document.insert_str(1, &format!("\"padding\": \"{}\",", "x".repeat(2_000_000)));
            Ok(done)
        };
        tokio::select! {
            ran = coordinate(&campaign, &queue, Some(&shelf), some(4), &Unwatched, std::future::pending()) => ran.unwrap(),
            worked = work(&queue, &worker, Some(&shelf), large, std::future::pending()) => panic!("{worked:?}"),
        }
    });
    let _ = fs::remove_dir_all(std::env::temp_dir().join(format!("vigie-campaign-{}", std::process::id())));
    assert!(ran.complete);
    assert_eq!(check_complete(folder.path()), 6);
    let sites = Reading::open(folder.path()).unwrap().answers().unwrap().sites;
    assert!(sites.iter().any(|site| site.clicks[0] == Some(1)), "the large documents were read");
    let database = rusqlite::Connection::open(folder.path().join("campaign.db")).unwrap();
    let (bundle, domain): (String, String) = database
        .query_row("SELECT bundle, domain FROM results JOIN sites USING (site) LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    // Read by the store's own client: what is there is the bundle of that site.
    use object_store::ObjectStoreExt;
    let at = bundle.strip_prefix("s3://bundles/").unwrap_or_else(|| panic!("{bundle} is on the shelf"));
    let store = object_store::aws::AmazonS3Builder::from_env().with_bucket_name("bundles").build().unwrap();
    let got = runtime().block_on(async { store.get(&at.into()).await.unwrap().bytes().await.unwrap() });
    assert_eq!(got, domain.as_bytes());
}

fn absent() -> Result<(), Failed> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let error = runtime().block_on(Queue::connect(&format!("nats://me:secret@127.0.0.1:{port}"))).unwrap_err();
    let expected = format!("the queue at `nats://127.0.0.1:{port}` cannot be reached: ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    Ok(())
}

/// A NATS server of our own, on a port that is free, with its own folder; ended with its owner.
struct NatsServer {
    url: String,
    _process: Ended,
    _folder: tempfile::TempDir,
}

impl NatsServer {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let process = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"])
            .arg(folder.path().join("store"))
            .arg("--ports_file_dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server can be started");
        let ports = folder.path().join(format!("nats-server_{}.ports", process.id()));
        let url = wait_for(|| {
            let ports: serde_json::Value = serde_json::from_str(&fs::read_to_string(&ports).ok()?).ok()?;
            ports["nats"][0].as_str().map(str::to_owned)
        });
        Self { url, _process: Ended(process), _folder: folder }
    }
}

/// Asks again and again, for half a minute at most: a server says in no other way that it is ready.
fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the server does not answer")
}
