//! Entries by way of a real NATS server, to a sequencer that is ended in between.

use crate::{event, new_home};
use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use vigie_sequencer::{
    Home, Log, Options, Stream,
    queue::{Queue, QueueError},
};

struct Server {
    url: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server of our own, on a port that is free; `None` where none is installed.
fn server() -> Option<Server> {
    let folder = tempfile::tempdir().unwrap();
    let started = Command::new("nats-server")
        .args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"])
        .arg(folder.path().join("store"))
        .arg("--ports_file_dir")
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(process) = started else {
        eprintln!("not run without `nats-server`, which `scripts/setup.sh --services` installs");
        return None;
    };
    let ports = folder.path().join(format!("nats-server_{}.ports", process.id()));
    for _ in 0..600 {
        let read = || -> Option<String> {
            let ports: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&ports).ok()?).ok()?;
            ports["nats"][0].as_str().map(str::to_owned)
        };
        if let Some(url) = read() {
            return Some(Server { url, process, _folder: folder });
        }
        // A server says in no other way that it is ready.
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the server does not answer")
}

fn open(home: &Home) -> Arc<Log> {
    Arc::new(Log::open(home, Options { publish_every: Duration::ZERO, ..Options::default() }).unwrap())
}

#[test]
fn gateways_get_the_ledgers_own_index_once_for_each_event_whoever_is_ended_in_between() {
    let Some(server) = server() else { return };
    let (_folder, home) = new_home(Stream::Events, None);
    let origin = home.key().unwrap().verifier().name().clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let gateway = Queue::connect(&server.url, &origin).await.unwrap();
        let mut promised = Vec::new();
        for round in 0..3_u64 {
            // Sent before anybody takes them, and half of them a second time by another gateway.
            let sends: Vec<_> = (0..60_u64)
                .map(|at| {
                    let (gateway, number) = (gateway.clone(), round * 40 + at % 40);
                    tokio::spawn(async move {
                        (number, gateway.append(&event(number), Duration::from_secs(5)).await.unwrap())
                    })
                })
                .collect();
            let log = open(&home);
            let queue = Queue::connect(&server.url, &origin).await.unwrap();
            let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
            let serving = {
                let log = log.clone();
                tokio::spawn(async move { queue.serve(log, async { drop(stopping.await) }).await })
            };
            for send in sends {
                promised.push(send.await.unwrap());
            }
            let refused = gateway.append(b"no entry", Duration::from_secs(5)).await.unwrap_err();
            assert!(matches!(refused, QueueError::Refused(_)), "{refused}");
            stop.send(()).unwrap();
            serving.await.unwrap().unwrap();
            assert_eq!(log.statistics().durable, (round + 1) * 40);
            tokio::task::spawn_blocking(move || Arc::into_inner(log).unwrap().close()).await.unwrap().unwrap();
        }
        let log = open(&home);
        for (number, promise) in promised {
            let ticket = log.try_append(&event(number)).unwrap();
            let appended = ticket.durable().await.unwrap();
            assert_eq!(
                (promise.index, promise.leaf, promise.row_base),
                (appended.index, appended.leaf, appended.row_base)
            );
        }
        assert_eq!(log.statistics().durable, 120);
        tokio::task::spawn_blocking(move || Arc::into_inner(log).unwrap().close()).await.unwrap().unwrap();
    });
}
