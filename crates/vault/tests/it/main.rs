//! Vaults that are filled, broken, and opened again.

mod broken;
mod erased;
mod killed;
mod records;

use std::path::Path;
use vigie_ledger::checkpoint::Checkpoint;
use vigie_ledger::commitment::{Place, Salt, commit};
use vigie_ledger::opening::{Part, Seen, Shown};
use vigie_ledger::{Entry, EventId, Hash, Kind};
use vigie_vault::{KeyEncryptionKey, Options, Record, RowList, Vault};

const TEMPLATES: [&str; 2] = ["vigie/access-row/v1\ncolumns 0\nsubject ", "vigie/access-row/v1\ncolumns 1\nsubject "];

fn key() -> KeyEncryptionKey {
    KeyEncryptionKey::new([5; 32])
}

fn open(folder: &Path) -> Vault {
    Vault::open(folder, key(), small()).unwrap()
}

/// Segments of a few records.
fn small() -> Options {
    Options { segment_bytes: 4096, ..Options::default() }
}

fn event(number: u64) -> EventId {
    EventId(Hash::of(&number.to_be_bytes()).0[..16].try_into().unwrap())
}

/// The record of an event of a number: the same number gives the same record. Its rows are about these people.
fn record(number: u64, people: impl IntoIterator<Item = u64>) -> Record {
    let mut rows = RowList::new(TEMPLATES.map(|template| template.as_bytes().to_vec()).to_vec()).unwrap();
    for person in people {
        rows.push((person % 2) as u8, person.to_string().as_bytes()).unwrap();
    }
    let event_id = event(number);
    let rows = rows.with_seed(Hash::of(&(number + 1_000_000).to_be_bytes()).0);
    let header_salt = Salt(Hash::of(&(number + 2_000_000).to_be_bytes()).0);
    let header = format!("vigie/access/v1\nwho reader {number}\n").into_bytes();
    let commitment = commit(&header_salt, event_id, Place::Header, &header);
    let mut entry = Entry::new(Kind::Access, 1_700_000_000 + number, event_id, commitment);
    entry.row_count = rows.count().into();
    entry.rows_root = rows.root(event_id);
    Record { entry, time_ms: (1_700_000_000 + number) * 1000, header_salt, header, rows }
}

/// Opens a row as a stranger checks it: against the entry alone.
fn opened(record: &Record, row: u64) -> Vec<u8> {
    let shown = Shown { entry: record.entry.to_bytes(), part: record.row_part(row).unwrap() };
    let head = Checkpoint::new("operator.example/accesses".parse().unwrap(), 1, Hash::EMPTY);
    match Shown::parse(&shown.to_bytes()).unwrap().check_row(row, &head).unwrap() {
        Seen::Opened(bytes) => bytes,
        Seen::Erased => panic!("row {row} is shown as erased"),
    }
}

fn header_opens(record: &Record) -> bool {
    let part = record.header_part();
    assert!(matches!(part, Part::Header { .. }));
    Shown { entry: record.entry.to_bytes(), part }.check_header().is_ok_and(|header| header == record.header)
}

/// All bytes of all files of a vault.
fn on_disk(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        all.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    all
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // What gets another name meanwhile is as if it had not arrived.
        match std::fs::copy(entry.path(), to.join(entry.file_name())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => assert!(copied.is_ok(), "{copied:?}"),
        }
    }
}

#[test]
fn what_was_promised_is_found_by_event_and_by_person_also_when_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let look = |vault: &Vault| {
        for number in 0..40 {
            let found = vault.find(event(number)).unwrap().expect("it was promised");
            assert_eq!(found, record(number, number..number + 5));
            assert!(header_opens(&found));
            assert_eq!(opened(&found, 2), format!("{}{}", TEMPLATES[(number % 2) as usize], number + 2).into_bytes());
        }
        assert!(vault.find(event(40)).unwrap().is_none());
        // Person 20 is in the events 16 to 20, each time one row earlier.
        let about: Vec<_> =
            vault.about(b"20").unwrap().into_iter().map(|found| (found.record.event_id(), found.rows)).collect();
        assert_eq!(about, (16..=20).map(|number| (event(number), vec![(20 - number) as u32])).collect::<Vec<_>>());
        assert!(vault.about(b"2").unwrap().len() == 3 && vault.about(b"44").unwrap().is_empty());
        assert_eq!(vault.check().len(), 0);
    };
    let vault = open(folder.path());
    for number in 0..40 {
        vault.append(record(number, number..number + 5)).unwrap().wait().unwrap();
    }
    look(&vault);
    vault.close().unwrap();
    drop(vault);
    let names =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.filter(|name| name.ends_with(".segment")).count() > 3, "several segments");
    look(&open(folder.path()));
    // Indexes are only a convenience.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "index") {
            std::fs::remove_file(path).unwrap();
        }
    }
    look(&open(folder.path()));
}

#[test]
fn nothing_on_disk_tells_of_people() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    let mut rows = RowList::new(vec![b"row ".to_vec()]).unwrap();
    rows.push(0, b"jeanne@example.org").unwrap();
    let mut secret = record(0, []);
    secret.rows = rows.with_seed([9; 32]);
    secret.header = b"who alice@platform.example".to_vec();
    secret.entry.row_count = 1;
    vault.append(secret).unwrap().wait().unwrap();
    vault.close().unwrap();
    let bytes = on_disk(folder.path());
    for word in [b"jeanne".as_slice(), b"alice", &[9; 32]] {
        assert!(!bytes.windows(word.len()).any(|window| window == word));
    }
}

#[test]
fn a_vault_has_one_writer_and_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    let error = Vault::open(folder.path(), key(), small()).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("another program writes the vault in `{}`; a vault has one writer", folder.path().display())
    );
    drop(vault);
    let error = Vault::open(folder.path(), KeyEncryptionKey::new([6; 32]), small()).unwrap_err().to_string();
    let path = folder.path().join("0000000000.segment");
    assert_eq!(error, format!("`{}` was sealed under another key than the one given", path.display()));
    open(folder.path());
}
