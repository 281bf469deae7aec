//! A copy of a log over HTTP: whole, checked, and never further than what was checked.

use crate::log::{PlainLog, numbered, policy};
use crate::serve;
use vigie_ledger::reader::{ReadError, check};
use vigie_witness::files::{self, About};
use vigie_witness::mirror::{Mirror, MirrorError};
use vigie_witness::source::LogSource;

fn served(log: &PlainLog) -> LogSource {
    let address = serve(files::router(log.path().to_owned(), About { policy: policy() }));
    LogSource::of(&format!("http://{address}")).expect("an address")
}

#[test]
fn a_mirror_follows_over_http_and_can_be_mirrored_in_turn() {
    let mut log = PlainLog::new(numbered(0, 0));
    let source = served(&log);
    let folder = tempfile::tempdir().expect("a folder");
    let mut seen = Vec::new();
    for size in [0, 3, 255, 256, 257, 700, 700, 1500] {
        log.extend(numbered(log.entries.len() as u64, size));
        // Opened anew each time, as after a restart.
        let mut mirror = Mirror::open(folder.path(), policy()).expect("opened");
        let head = mirror.update(&source, |_, entry| seen.push(entry.to_vec())).expect("copied");
        assert_eq!((head.checkpoint.checkpoint().size(), mirror.size()), (size, size));
        mirror.check_copy(|_| ()).expect("whole");
    }
    assert_eq!(seen, log.entries);
    let copy = LogSource::of(folder.path().to_str().expect("a path")).expect("a folder");
    check(&copy, &log.head(), |_| ()).expect("the copy is the log");
    let second = tempfile::tempdir().expect("a folder");
    Mirror::open(second.path(), policy()).expect("opened").update(&copy, |_, _| ()).expect("copied again");
}

#[test]
fn a_log_that_forks_or_rolls_back_changes_nothing_in_the_copy() {
    let log = PlainLog::new(numbered(0, 600));
    let folder = tempfile::tempdir().expect("a folder");
    let mut mirror = Mirror::open(folder.path(), policy()).expect("opened");
    mirror.update(&log.source(), |_, _| ()).expect("copied");
    let fork = PlainLog::new(numbered(0, 599).chain(numbered(9000, 9300)));
    let result = mirror.update(&fork.source(), |_, _| ());
    assert!(matches!(result, Err(MirrorError::Log(ReadError::Changed { from: 600, to: 899 }))), "{result:?}");
    let shorter = PlainLog::new(numbered(0, 10));
    let result = mirror.update(&shorter.source(), |_, _| ());
    assert!(matches!(result, Err(MirrorError::Log(ReadError::RolledBack { before: 600, now: 10 }))), "{result:?}");
    mirror.check_copy(|_| ()).expect("as before");
    drop(mirror);
    let mut mirror = Mirror::open(folder.path(), policy()).expect("opened");
    assert_eq!(mirror.size(), 600);
    let mut longer = PlainLog::new(numbered(0, 600));
    longer.extend(numbered(600, 2000));
    mirror.update(&longer.source(), |_, _| ()).expect("the honest log goes on");
    mirror.check_copy(|_| ()).expect("nothing of the fork is left in it");
}

#[test]
fn a_copy_that_was_changed_is_not_taken_for_one() {
    for (file, opens) in [
        ("tile/0/001", true),
        ("tile/entries/000", true),
        ("tile/0/002.p/188", false),
        ("tile/entries/002.p/188", false),
        ("checkpoint", false),
    ] {
        let log = PlainLog::new(numbered(0, 700));
        let folder = tempfile::tempdir().expect("a folder");
        Mirror::open(folder.path(), policy()).expect("opened").update(&log.source(), |_, _| ()).expect("copied");
        let path = folder.path().join(file);
        let mut bytes = std::fs::read(&path).expect("a file");
        bytes[30] ^= 1;
        std::fs::write(&path, bytes).expect("writable");
        match Mirror::open(folder.path(), policy()) {
            Ok(mirror) => {
                assert!(opens, "{file} was opened");
                mirror.check_copy(|_| ()).expect_err("checked whole, it is found");
            }
            Err(error) => assert!(!opens && matches!(error, MirrorError::Copy { .. }), "{file}: {error}"),
        }
    }
}

#[test]
fn only_one_process_keeps_a_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = Mirror::open(folder.path(), policy()).expect("opened");
    assert!(matches!(Mirror::open(folder.path(), policy()), Err(MirrorError::Running(_))));
}

#[test]
fn no_path_leads_out_of_the_log() {
    let log = PlainLog::new(numbered(0, 3));
    std::fs::write(log.path().join("secret"), "secret").expect("writable");
    let address = serve(files::router(log.path().join("tile"), About { policy: policy() }));
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    for path in ["../secret", "%2e%2e/secret", "tile/../../secret", "tile/0/..%2f..%2fsecret", "secret", "lock"] {
        let answer = agent.get(format!("http://{address}/{path}")).call().expect("answers");
        assert_eq!(answer.status(), 404, "{path}");
    }
}

#[test]
fn a_server_that_sends_too_much_or_nothing_is_not_waited_for() {
    let router = axum::Router::new()
        .route("/checkpoint", axum::routing::get(|| async { "x".repeat(10_000_000) }))
        .route("/broken/checkpoint", axum::routing::get(|| async { axum::http::StatusCode::BAD_GATEWAY }));
    let address = serve(router);
    let folder = tempfile::tempdir().expect("a folder");
    let mut mirror = Mirror::open(folder.path(), policy()).expect("opened");
    let mut message = |path: &str| {
        let source = LogSource::of(&format!("http://{address}{path}")).expect("an address");
        let error = mirror.update(&source, |_, _| ()).expect_err("no log");
        format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default())
    };
    assert_eq!(
        message(""),
        "`checkpoint` could not be fetched: the file is larger than 262144 bytes, the most that such files have"
    );
    assert_eq!(
        message("/broken/"),
        "`checkpoint` could not be fetched: the server answered with status 502, expected 200 or 404"
    );
    assert_eq!(message("/none/"), "`checkpoint` is missing from the log: ");
}
