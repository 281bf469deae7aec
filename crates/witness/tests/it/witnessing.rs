//! A witness over HTTP, as the specification has it, and what it keeps when everything goes wrong around it.

use crate::log::{PlainLog, key, numbered};
use crate::serve;
use std::path::Path;
use std::sync::Arc;
use vigie_ledger::key::Algorithm;
use vigie_ledger::note::Signature;
use vigie_ledger::witness::Answer;
use vigie_ledger::{Hash, SignedCheckpoint, SignerKey, VerifierKey};
use vigie_witness::server;
use vigie_witness::state::{Reply, Witness, WitnessError};

const TIME: u64 = 1_795_385_705;

fn init(folder: &Path) -> Vec<VerifierKey> {
    let key = |algorithm| SignerKey::from_seed("witness.example".parse().expect("a name"), algorithm, [3; 32]);
    Witness::init(folder, &[key(Algorithm::CosignatureEd25519), key(Algorithm::CosignatureMlDsa44)]).expect("made");
    Witness::watch(folder, key_of_log()).expect("told");
    Witness::verifier_keys(folder).expect("readable")
}

fn key_of_log() -> &'static VerifierKey {
    static KEY: std::sync::OnceLock<VerifierKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| key().verifier().clone())
}

struct Said {
    status: u16,
    kind: String,
    body: String,
}

fn send(method: &str, address: &str, body: &str) -> Said {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut answer = match method {
        "POST" => agent.post(address).send(body),
        _ => agent.get(address).call(),
    }
    .expect("the server answers");
    let kind = answer.headers().get("content-type").map_or("", |kind| kind.to_str().expect("text")).to_owned();
    Said { status: answer.status().as_u16(), kind, body: answer.body_mut().read_to_string().expect("text") }
}

#[test]
fn a_witness_speaks_the_protocol_over_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = init(folder.path());
    let witness = Arc::new(Witness::open(folder.path()).expect("opened"));
    let prefix = format!("http://{}", serve(server::router(witness, || TIME)));
    let submit = |body: &str| send("POST", &format!("{prefix}/add-checkpoint"), body);
    let monitor = format!("{prefix}/{}/checkpoint", Hash::of(b"operator.example/accesses").to_hex());

    let mut log = PlainLog::new(numbered(0, 300));
    assert_eq!(send("GET", &monitor, "").status, 404);
    let said = submit(&log.request(0).to_body());
    assert_eq!((said.status, said.body.lines().count()), (200, 2), "{}", said.body);
    let mut note = log.request(0).note;
    said.body.lines().for_each(|line| note.add(Signature::parse(line).expect("a line")));
    let signed = note.verify(&keys).expect("both hold");
    assert!(signed.iter().all(|signed| signed.time == Some(TIME)));

    let said = submit(&log.request(0).to_body());
    assert_eq!((said.status, said.kind.as_str(), said.body.as_str()), (409, "text/x.tlog.size", "300\n"));
    log.extend(numbered(300, 1000));
    assert_eq!(submit(&log.request(300).to_body()).status, 200);
    assert_eq!(submit(&log.request(1000).to_body()).status, 200, "the same head again");
    let fork = PlainLog::new(numbered(1, 1002));
    let mut forked = fork.request(1000);
    assert_eq!(submit(&forked.to_body()).status, 422);
    forked.old = 1002;
    assert_eq!(submit(&forked.to_body()).status, 400);
    assert_eq!(submit("old 1\n").status, 400);
    assert_eq!(submit(&"x".repeat(400_000)).status, 413);
    let unsigned = log.request(1000).to_body().replace(" /+nn0", " AAAAA");
    let stranger = log.request(1000).to_body().replace("operator.example", "stranger.example");
    assert_eq!(submit(&stranger).status, 404);
    let broken = unsigned.replacen("accesses ", "others ", 1);
    assert!(matches!(submit(&broken).status, 403 | 404));

    let said = send("GET", &monitor, "");
    let head = SignedCheckpoint::open(said.body.as_bytes(), key_of_log()).expect("the log's");
    assert_eq!((said.status, head.checkpoint().size()), (200, 1000));
    assert_eq!(head.cosigners(&keys).expect("hold").len(), 2);
}

#[test]
fn what_was_cosigned_is_known_again_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    init(folder.path());
    let mut log = PlainLog::new(numbered(0, 5));
    let witness = Witness::open(folder.path()).expect("opened");
    assert!(matches!(Witness::open(folder.path()), Err(WitnessError::Running(_))));
    assert!(matches!(witness.add_checkpoint(&log.request(0), TIME), Reply::Cosigned(_)));
    drop(witness);
    let witness = Witness::open(folder.path()).expect("opened again");
    assert_eq!(witness.add_checkpoint(&log.request(0), TIME), Reply::Refused(Answer::Conflict(5)));
    log.extend(numbered(5, 9));
    assert!(matches!(witness.add_checkpoint(&log.request(5), TIME), Reply::Cosigned(_)));
}

#[test]
fn a_damaged_head_stops_the_witness_rather_than_being_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    init(folder.path());
    let log = PlainLog::new(numbered(0, 5));
    Witness::open(folder.path()).expect("opened").add_checkpoint(&log.request(0), TIME);
    let head = std::fs::read_dir(folder.path().join("heads"))
        .expect("a folder")
        .next()
        .expect("a head")
        .expect("readable")
        .path();
    let bytes = std::fs::read(&head).expect("a file");
    for (at, byte) in [(0, b'O'), (27, b'7'), (40, b'!')] {
        let mut changed = bytes.clone();
        changed[at] = byte;
        std::fs::write(&head, changed).expect("writable");
        assert!(matches!(Witness::open(folder.path()), Err(WitnessError::Head(_))), "byte {at}");
    }
    std::fs::write(&head, &bytes[..bytes.len() / 2]).expect("writable");
    assert!(matches!(Witness::open(folder.path()), Err(WitnessError::Head(_))));
}

#[test]
fn what_cannot_be_stored_is_not_cosigned() {
    let folder = tempfile::tempdir().expect("a folder");
    init(folder.path());
    let log = PlainLog::new(numbered(0, 5));
    let witness = Witness::open(folder.path()).expect("opened");
    // Where the heads go is no folder any more: as with a full disk, nothing can be written.
    std::fs::remove_dir(folder.path().join("heads")).expect("empty");
    assert_eq!(witness.add_checkpoint(&log.request(0), TIME), Reply::NotStored);
    std::fs::create_dir(folder.path().join("heads")).expect("writable");
    assert!(matches!(witness.add_checkpoint(&log.request(0), TIME), Reply::Cosigned(_)), "as if never asked");
}

#[test]
fn requests_at_once_never_roll_a_log_back() {
    let folder = tempfile::tempdir().expect("a folder");
    init(folder.path());
    let witness = Witness::open(folder.path()).expect("opened");
    let log = PlainLog::new(numbered(0, 10));
    assert!(matches!(witness.add_checkpoint(&log.request(0), TIME), Reply::Cosigned(_)));
    let requests: Vec<_> = (11..27).map(|size| PlainLog::new(numbered(0, size)).request(10)).collect();
    let cosigned: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            requests.iter().map(|request| scope.spawn(|| witness.add_checkpoint(request, TIME))).collect();
        asked
            .into_iter()
            .map(|asked| asked.join().expect("no panic"))
            .filter(|reply| matches!(reply, Reply::Cosigned(_)))
            .collect()
    });
    assert_eq!(cosigned.len(), 1, "all continue the same head; after the first, the others are stale");
}

#[test]
fn a_folder_that_is_no_witness_is_told_from_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let message = |result: Result<Witness, WitnessError>| {
        result.expect_err("no witness").to_string().replace(&folder.path().display().to_string(), "DIR")
    };
    assert_eq!(message(Witness::open(folder.path())), "`DIR` holds no witness");
    init(folder.path());
    let again = Witness::init(folder.path(), &[]).expect_err("there is one").to_string();
    assert!(again.ends_with("holds a witness already"), "{again}");
    std::fs::write(folder.path().join("logs"), "# comment\n\nnonsense\n").expect("writable");
    assert_eq!(message(Witness::open(folder.path())), "line 3 of `DIR/logs` cannot be used");
}
