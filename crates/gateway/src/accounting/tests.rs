//! Accounts kept, proved, erased, sampled, and broken.

use super::*;
use crate::accounting::answer::Missing;
use crate::accounting::header::read_row;
use crate::accounting::report::{to_json, to_text};
use std::path::Path;
use std::time::Duration;
use vigie_ledger::commitment::Place;
use vigie_ledger::opening::{Seen, Shown};
use vigie_ledger::sampling::{Demand, Round, Seed, Unit};
use vigie_ledger::{Checkpoint, Entry, EventId, Hash, Kind, Note, Receipt, TrustPolicy};
use vigie_sequencer::{Home, Log, Options, Stream, publish_source};
use vigie_vault::KeyEncryptionKey;

fn facts(who: &str) -> StatementFacts {
    StatementFacts {
        who: who.to_owned(),
        entity: "Platform Ireland Ltd".to_owned(),
        country: "IE".to_owned(),
        zone: "eu-fraud".to_owned(),
        purpose: Some("fraud-prevention".to_owned()),
        action: Action::ReadRecord,
        outcome: Outcome::Permitted,
        decision: "01JB6".to_owned(),
        ticket: None,
        statement: Hash::of(b"SELECT"),
        policy: Hash::of(b"policy"),
        database: "platform".to_owned(),
        client: None,
        columns: vec![
            Columns { relation: "public.users".to_owned(), names: vec!["email".to_owned(), "phone".to_owned()] },
            Columns { relation: "public.events".to_owned(), names: vec!["kind".to_owned()] },
        ],
    }
}

fn open_vault(folder: &Path) -> Arc<Vault> {
    let options = vigie_vault::Options { segment_bytes: 8192, ..vigie_vault::Options::default() };
    Arc::new(Vault::open(&folder.join("vault"), KeyEncryptionKey::new([5; 32]), options).unwrap())
}

fn open_log(folder: &Path) -> Arc<Log> {
    let home = Home::new(folder.join("log"));
    if !folder.join("log").exists() {
        home.init(&"operator.example/accesses".parse().unwrap(), Stream::Events, None).unwrap();
    }
    let options = Options { publish_every: Duration::ZERO, segment_bytes: 64 * 1024, ..Options::default() };
    Arc::new(Log::open(&home, options).unwrap())
}

struct Room {
    _folder: tempfile::TempDir,
    log: Arc<Log>,
    account: Arc<Account>,
}

fn room() -> Room {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(folder.path());
    let account = Account::new(open_vault(folder.path()), Journal::Local(log.clone()));
    Room { _folder: folder, log, account }
}

impl Room {
    async fn access(&self, who: &str, people: impl IntoIterator<Item = u64>) -> Receipted {
        let mut builder = self.account.start(&facts(who)).unwrap();
        for person in people {
            builder.row((person % 2) as u8, person.to_string().as_bytes()).unwrap();
        }
        builder.finish().await.unwrap()
    }

    fn policy(&self) -> TrustPolicy {
        TrustPolicy::of_log(self.log.key().verifier().clone())
    }

    /// The published head and its note.
    async fn head(&self) -> (Checkpoint, Vec<u8>) {
        self.log.publish_now();
        let last = self.log.statistics().durable - 1;
        let note = self.log.published(last).await.unwrap().checkpoint.to_vec();
        (Checkpoint::parse(Note::parse(&note).unwrap().text()).unwrap(), note)
    }

    async fn demand(&self, unit: Unit, count: Option<u64>) -> (Demand, Vec<u8>) {
        let (head, note) = self.head().await;
        let source = publish_source(Arc::new(vigie_sequencer::files::SystemFiles), self.log.home());
        let last = vigie_ledger::reader::fetch_entry(&source, head.size() - 1, head.size()).unwrap();
        let last = Entry::parse(&last).unwrap();
        let to = if unit == Unit::Row { last.row_base + last.row_count } else { head.size() };
        let demand = Demand {
            head,
            unit,
            from: 0,
            to,
            count: count.unwrap_or(to),
            deadline: 2_000_000_000,
            round: Round(1000),
            nonce_commit: Hash::of(b"a number"),
        };
        (demand.validated().unwrap(), note)
    }

    async fn answer(&self, demand: &Demand, note: &[u8], seed: &Seed) -> answer::Answered {
        let source = publish_source(Arc::new(vigie_sequencer::files::SystemFiles), self.log.home());
        self.account.answer_demand(demand, seed, note, source).await.unwrap()
    }
}

/// Checks as a stranger does that entry and record of an access are there, and open each other.
fn check_access(account: &Account, log: &Log, receipted: &Receipted, who: &str, people: &[u64]) {
    let record = account.vault().find(receipted.event_id).unwrap().expect("the record was promised");
    assert!(record.is_sound());
    let entry = Entry { row_base: receipted.row_base, ..record.entry }.to_bytes();
    let policy = TrustPolicy::of_log(log.key().verifier().clone());
    let head = log.wait_published(receipted.index).unwrap();
    let head = Checkpoint::parse(Note::parse(&head.checkpoint).unwrap().text()).unwrap();
    log.receipt(receipted.index, None).unwrap().verify(&entry, &policy).expect("the entry was promised");
    let header = Shown { entry, part: record.header_part() }.check_header().unwrap();
    assert_eq!(AccessHeader::parse(&header).unwrap().get("who"), Some(who));
    for (row, person) in (0..).zip(people) {
        let shown = Shown { entry, part: record.row_part(row).unwrap() };
        let Seen::Opened(bytes) = shown.check_row(receipted.row_base + row, &head).unwrap() else {
            panic!("row {row} is shown as erased");
        };
        assert_eq!(read_row(&bytes), Some(((person % 2) as u8, person.to_string().as_bytes())));
    }
}

#[test]
fn the_header_is_text_in_a_fixed_order_and_no_value_can_begin_a_line() {
    let facts = StatementFacts {
        who: "eve\nzone trusted\u{1}\\n".to_owned(),
        ticket: Some("T-17".to_owned()),
        client: Some("192.0.2.7".parse().unwrap()),
        outcome: Outcome::BreakGlass,
        ..facts("eve")
    };
    let text = facts.to_header();
    let (statement, policy) = (Hash::of(b"SELECT").to_hex(), Hash::of(b"policy").to_hex());
    assert_eq!(
        text,
        format!(
            "vigie/access/v1\nwho eve\\nzone trusted\\x01\\\\n\nentity Platform Ireland Ltd\ncountry IE\nzone eu-fraud\n\
             purpose fraud-prevention\naction read-record\noutcome break-glass\ndecision 01JB6\nticket T-17\n\
             statement sha256:{statement}\npolicy sha256:{policy}\ndatabase platform\nclient 192.0.2.7\n\
             columns 0 public.users email,phone\ncolumns 1 public.events kind\n"
        )
    );
    let read = AccessHeader::parse(text.as_bytes()).unwrap();
    assert_eq!(read.get("who"), Some(facts.who.as_str()));
    assert_eq!(read.get("zone"), Some("eu-fraud"));
    assert_eq!(read.columns(1), Some("public.events kind"));
    assert_eq!(read.columns(2), None);
    for broken in ["", "vigie/access/v2\n", "vigie/access/v1\nwho\n", "vigie/access/v1\nwho \\q\n", "vigie/access/v1"] {
        assert_eq!(AccessHeader::parse(broken.as_bytes()), None, "{broken:?}");
    }
    assert_eq!(read_row(b"vigie/access-row/v1\ncolumns 1\nsubject a\nb"), Some((1, b"a\nb".as_slice())));
    assert_eq!(read_row(b"vigie/access-row/v1\ncolumns 256\nsubject a"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_is_in_the_ledger_and_in_the_vault_and_the_two_open_each_other() {
    let room = room();
    let mut builder = room.account.start(&facts("alice")).unwrap();
    let mut chunks = Vec::new();
    for people in [(0..3).collect::<Vec<u64>>(), (0..5000).collect(), Vec::new(), (7..72).collect()] {
        for person in &people {
            builder.row((person % 2) as u8, person.to_string().as_bytes()).unwrap();
        }
        chunks.push((builder.finish().await.unwrap(), people));
    }
    let mut rows = 0;
    for (index, (receipted, people)) in (0..).zip(&chunks) {
        assert_eq!((receipted.index, receipted.row_base), (index, rows));
        rows += people.len() as u64;
        check_access(&room.account, &room.log, receipted, "alice", &people[..people.len().min(80)]);
        let record = room.account.vault().find(receipted.event_id).unwrap().unwrap();
        assert_eq!(AccessHeader::parse(&record.header).unwrap().get("chunk"), Some(index.to_string().as_str()));
    }
    let denied = room.account.denied(&facts("bob")).await.unwrap();
    let record = room.account.vault().find(denied.event_id).unwrap().unwrap();
    assert!(record.entry.flags.has(vigie_ledger::entry::Flags::DENIED) && record.entry.row_count == 0);
    assert_eq!(AccessHeader::parse(&record.header).unwrap().get("outcome"), Some("denied"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_at_once_each_get_their_own_place() {
    let room = Arc::new(room());
    let tasks: Vec<_> = (0..20_u64)
        .map(|session| {
            let room = room.clone();
            tokio::spawn(async move {
                let mut done = Vec::new();
                for at in 0..5 {
                    let people: Vec<u64> = (session * 100 + at..session * 100 + at + session * 7).collect();
                    done.push((room.access(&format!("reader {session}"), people.clone()).await, people));
                }
                (session, done)
            })
        })
        .collect();
    let mut indexes = std::collections::BTreeSet::new();
    for task in tasks {
        let (session, done) = task.await.unwrap();
        for (receipted, people) in done {
            assert!(indexes.insert(receipted.index));
            check_access(&room.account, &room.log, &receipted, &format!("reader {session}"), &people);
        }
    }
    assert_eq!(indexes.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_ledger_or_the_vault_has_stopped_no_row_leaves() {
    for n_rows in [1, 100] {
        let room = room();
        room.log.finish().unwrap();
        let mut builder = room.account.start(&facts("alice")).unwrap();
        (0..n_rows).for_each(|_| builder.row(0, b"1").unwrap());
        let error = builder.finish().await.unwrap_err();
        assert!(matches!(error, NotLogged::Journal(JournalError::Local(_))), "{error:?}");
        assert!(room.account.denied(&facts("alice")).await.is_err());
        let other = self::room();
        other.account.vault().close().unwrap();
        let mut builder = other.account.start(&facts("alice")).unwrap();
        (0..n_rows).for_each(|_| builder.row(0, b"1").unwrap());
        let error = builder.finish().await.unwrap_err();
        assert!(matches!(error, NotLogged::Vault(_) | NotLogged::VaultStopped(_)), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_accounted_for_is_refused() {
    let room = room();
    let mut builder = room.account.start(&facts("alice")).unwrap();
    assert!(builder.row(2, b"1").is_err(), "there are two lists of columns");
    assert!(builder.row(0, b"").is_err());
    assert!(builder.row(0, &[b'1'; 256]).is_err());
    assert_eq!(builder.count(), 0);
    let columns = vec![Columns { relation: "r".to_owned(), names: Vec::new() }; 257];
    let error = room.account.start(&StatementFacts { columns, ..facts("alice") }).unwrap_err();
    assert!(matches!(error, NotLogged::Row(_)));
    let long = StatementFacts { database: "x".repeat(1024 * 1024), ..facts("alice") };
    assert!(matches!(room.account.denied(&long).await, Err(NotLogged::Header(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_who_read_their_data_and_can_prove_it_offline() {
    let room = room();
    for number in 0..6 {
        room.access(&format!("reader {number}"), number..number + 3).await;
    }
    let lines = room.account.access_report(b"4").await.unwrap();
    let who: Vec<_> = lines.iter().map(|line| line.header.get("who").unwrap().to_owned()).collect();
    assert_eq!(who, ["reader 2", "reader 3", "reader 4"]);
    assert_eq!(lines[0].columns, "public.users email,phone");
    let (head, _) = room.head().await;
    let json = to_json(&lines);
    for (at, line) in lines.iter().enumerate() {
        let receipt = |name: &str| {
            let text = json["accesses"][at][name].as_str().unwrap().to_owned();
            let receipt = Receipt::parse(text.as_bytes()).unwrap();
            let shown = Shown::parse(receipt.extra.as_deref().unwrap()).unwrap();
            // Offline: the receipt, the log's key, nothing else.
            receipt.verify(&shown.entry, &room.policy()).unwrap();
            shown
        };
        let header = receipt("header_receipt").check_header().unwrap();
        assert_eq!(AccessHeader::parse(&header), Some(line.header.clone()));
        let Seen::Opened(row) = receipt("row_receipt").check_row(line.row, &head).unwrap() else { panic!("erased") };
        assert_eq!(read_row(&row), Some((0, b"4".as_slice())));
    }
    let text = to_text(&lines);
    assert!(text.starts_with(
        "reader 2 of Platform Ireland Ltd in IE (eu-fraud) for fraud-prevention: read-record of public.users email,phone\n"
    ));
    assert!(room.account.access_report(b"99").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_answered_in_full_and_erased_rows_are_shown_as_erased() {
    let room = room();
    for number in 0..24 {
        room.access("alice", number..number + number % 4 * 10).await;
        if number % 10 == 0 {
            room.account.denied(&facts("bob")).await.unwrap();
        }
    }
    let seed = Seed([3; 32]);
    let (before, note) = room.demand(Unit::Row, None).await;
    let answered = room.answer(&before, &note, &seed).await;
    assert_eq!(answered.missing, []);
    let tally = answered.answer.check(&before, &seed, &room.policy()).tally();
    assert_eq!((tally.opened, tally.erased, tally.failed), (before.count, 0, 0));

    let erased = room.account.erase(b"20").await.unwrap().expect("there were rows");
    assert!(erased.rows.len() > 5);
    assert!(room.account.vault().erasures().unwrap().is_empty(), "it is logged");
    // A demand over the old head: the erasure came later, and excuses nothing.
    let late = room.answer(&before, &note, &seed).await;
    assert_eq!(late.missing.len(), erased.rows.len());
    assert!(
        late.missing
            .iter()
            .all(|(row, why)| erased.rows.contains(row) && *why == Missing::ErasedLater(erased.event_id))
    );

    room.access("alice", 20..22).await;
    let (after, note) = room.demand(Unit::Row, None).await;
    let answered = room.answer(&after, &note, &seed).await;
    assert_eq!(answered.missing, []);
    let outcome = answered.answer.check(&after, &seed, &room.policy());
    for (row, seen) in &outcome.shown {
        assert_eq!(*seen == Ok(Seen::Erased), erased.rows.contains(row), "row {row}: {seen:?}");
    }
    let tally = outcome.tally();
    assert_eq!((tally.erased, tally.failed), (erased.rows.len() as u64, 0));
    let again = room.account.access_report(b"20").await.unwrap();
    assert_eq!(again.len(), 1, "only what was read after the erasure");
    assert_eq!(room.account.erase(b"no such person").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_sampled_and_what_the_vault_has_not_is_missing() {
    let room = room();
    for number in 0..5 {
        room.access("alice", 0..number).await;
    }
    let stray = Entry::new(Kind::Access, 1_700_000_000, EventId([9; 16]), Hash::of(b"unknown"));
    room.log.append(&stray.to_bytes()).unwrap().durable().await.unwrap();
    let (demand, note) = room.demand(Unit::Entry, None).await;
    let answered = room.answer(&demand, &note, &Seed([1; 32])).await;
    assert_eq!(answered.missing, [(5, Missing::NoRecord(EventId([9; 16])))]);
    let tally = answered.answer.check(&demand, &Seed([1; 32]), &room.policy()).tally();
    assert_eq!((tally.opened, tally.failed), (5, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_done_and_not_logged_is_logged_later_once() {
    let room = room();
    room.access("alice", 0..5).await;
    room.access("alice", 3..9).await;
    // As if the gateway had stopped right after the vault erased.
    let done = room.account.vault().erase(b"4", EventId([4; 16])).unwrap();
    assert_eq!(done.rows.len(), 2);
    let before = room.log.statistics().durable;
    let logged = room.account.log_erasures().await.unwrap();
    assert_eq!(logged.len(), 1);
    assert_eq!(logged[0].rows, [4, 6]);
    assert_eq!((logged[0].index, room.log.statistics().durable), (before, before + 1));
    assert!(room.account.log_erasures().await.unwrap().is_empty());
    // And as if it had stopped after the entry, before it was forgotten: a second erasure of the same name.
    let record = room.account.vault().find(EventId([4; 16])).unwrap().unwrap();
    assert_eq!(record.entry.kind, Kind::Erasure);
    let again = room.log.append(&record.entry.to_bytes()).unwrap().durable().await.unwrap();
    assert_eq!(again.index, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_behind_http_takes_entries_and_is_found_again_after_it_was_away() {
    let room = room();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |listener| {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let writers = vigie_sequencer::http::Writers::with_token("secret");
        let router = vigie_sequencer::http::router(room.log.clone(), writers);
        let served = vigie_sequencer::http::serve(listener, router, async move { drop(ended.await) });
        (end, tokio::spawn(served))
    };
    let (end, served) = serve(listener);
    let remote = |token: &str| {
        let journal = Journal::Remote(RemoteLedger::new(&format!("http://{address}/"), Some(token.to_owned())));
        Account::new(room.account.vault().clone(), journal)
    };
    let account = remote("secret");
    let mut builder = account.start(&facts("alice")).unwrap();
    for person in 0..100_u64 {
        builder.row((person % 2) as u8, person.to_string().as_bytes()).unwrap();
    }
    let receipted = builder.finish().await.unwrap();
    check_access(&account, &room.log, &receipted, "alice", &(0..100).collect::<Vec<_>>());
    let lines = account.access_report(b"7").await.unwrap();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].row_receipt.is_some());
    let error = remote("wrong").denied(&facts("alice")).await.unwrap_err();
    assert!(matches!(error, NotLogged::Journal(JournalError::Remote { .. })), "{error:?}");
    // Away: every chunk is refused. Back: the same handle finds it.
    end.send(()).unwrap();
    served.await.unwrap().unwrap();
    assert!(account.denied(&facts("alice")).await.is_err());
    let (end, served) = serve(tokio::net::TcpListener::bind(address).await.unwrap());
    account.denied(&facts("alice")).await.unwrap();
    end.send(()).unwrap();
    served.await.unwrap().unwrap();
}

const FOLDER: &str = "VIGIE_TEST_ACCOUNT";

/// Not a test by itself: what the child does. It tells each chunk that may leave, and ends when it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let account = Account::new(open_vault(folder), Journal::Local(open_log(folder)));
    let sessions: Vec<_> = (0..4_u64)
        .map(|session| {
            let account = account.clone();
            tokio::spawn(async move {
                let mut builder = account.start(&facts("alice")).unwrap();
                for first in (session * 1000..).step_by(7) {
                    let count = first % 150;
                    for person in first..first + count {
                        builder.row((person % 2) as u8, person.to_string().as_bytes()).unwrap();
                    }
                    let done = builder.finish().await.unwrap();
                    eprintln!("left {} {} {} {first} {count}", done.event_id, done.index, done.row_base);
                }
            })
        })
        .collect();
    for session in sessions {
        session.await.unwrap();
    }
}

#[test]
fn every_chunk_that_left_before_a_kill_has_its_entry_and_its_record() {
    use std::io::BufRead as _;
    let folder = tempfile::tempdir().unwrap();
    let read = |line: &str| {
        let mut words = line.strip_prefix("left ")?.split(' ');
        let id = words.next()?;
        let id: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect();
        let numbers: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
        let receipted =
            Receipted { event_id: EventId(id.try_into().unwrap()), index: numbers[0], row_base: numbers[1] };
        Some((receipted, (numbers[2]..numbers[2] + numbers[3]).collect::<Vec<u64>>()))
    };
    let mut all = Vec::new();
    for heard in [1, 9, 33, 70] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "accounting::tests::child", "--nocapture"])
            .env(FOLDER, folder.path())
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let before = all.len();
        while all.len() < before + heard {
            all.extend(read(&lines.next().expect("the child goes on").unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // The last line may be cut: what it says was not heard in full.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        all.extend(rest.iter().rev().skip(1).filter_map(|line| read(line)));
        let log = open_log(folder.path());
        let account = Account::new(open_vault(folder.path()), Journal::Local(log.clone()));
        assert_eq!(account.vault().check().len(), 0);
        for (receipted, people) in &all {
            check_access(&account, &log, receipted, "alice", people);
        }
        log.finish().unwrap();
        account.vault().close().unwrap();
    }
}

#[test]
fn commitments_are_the_ledgers_own() {
    let folder = tempfile::tempdir().unwrap();
    let account = Account::new(open_vault(folder.path()), Journal::Local(open_log(folder.path())));
    let mut rows = vigie_vault::RowList::new(facts("alice").templates()).unwrap();
    rows.push(1, b"42").unwrap();
    let draft = vigie_accounting::Draft {
        kind: Kind::Access,
        flags: Outcome::Permitted.flags(),
        peer_ref: Hash([0; 32]),
        header: b"header".to_vec(),
        rows,
        event_id: None,
    };
    let record = draft.into_record().unwrap();
    let (salt, bytes) = record.rows.open(0).unwrap();
    assert_eq!(bytes, b"vigie/access-row/v1\ncolumns 1\nsubject 42");
    let commitment = vigie_ledger::commitment::commit(&salt, record.event_id(), Place::Row(0), &bytes);
    assert_eq!(record.entry.rows_root, vigie_ledger::commitment::rows_root([commitment]));
    drop(account);
}
