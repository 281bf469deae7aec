//! People who are erased: no opening of their rows can be made any more, and all others still can.

use crate::{copy, event, key, on_disk, open, opened, record, small};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use vigie_ledger::EventId;
use vigie_vault::{NotOpened, Options, Vault};

const ERASURE: EventId = EventId([0xee; 16]);

/// Checks every row of these events: those about the erased cannot be opened, all others can.
fn check(vault: &Vault, events: &[Vec<u64>], erased: &BTreeSet<u64>) {
    for (number, people) in (0..).zip(events) {
        let whole = record(number, people.clone());
        let found = vault.find(event(number)).unwrap().expect("it was promised");
        assert_eq!(found.entry, whole.entry);
        assert!(found.is_sound(), "the root is what it was");
        for (row, person) in (0..).zip(people) {
            if erased.contains(person) {
                assert_eq!(found.rows.open(row), Err(NotOpened::Erased { row, erasure: ERASURE }));
                assert!(found.row_part(row).is_err());
                assert_eq!(found.rows.subject(row as u32), None);
            } else {
                assert_eq!(opened(&found, row), opened(&whole, row));
            }
        }
    }
    for person in erased {
        assert!(vault.about(person.to_string().as_bytes()).unwrap().is_empty());
    }
    assert_eq!(vault.check().len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn after_an_erasure_every_other_proof_verifies_and_none_of_the_erased_can_be_made(
        events in proptest::collection::vec(proptest::collection::vec(0_u64..12, 0..40), 1..12),
        erased in proptest::collection::btree_set(0_u64..14, 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(folder.path());
        for (number, people) in (0..).zip(&events) {
            vault.append(record(number, people.clone())).unwrap().wait().unwrap();
        }
        for person in &erased {
            let mut expected: Vec<_> = (0..)
                .zip(&events)
                .flat_map(|(number, people)| (0..).zip(people).filter(|(_, other)| *other == person).map(move |(row, _)| (event(number), row)))
                .collect();
            expected.sort_unstable();
            let done = vault.erase(person.to_string().as_bytes(), ERASURE).unwrap();
            prop_assert_eq!(&done.rows, &expected);
            prop_assert_eq!(vault.erasures().unwrap().len(), usize::from(!expected.is_empty()));
            vault.forget(ERASURE).unwrap();
        }
        check(&vault, &events, &erased);
        drop(vault);
        check(&open(folder.path()), &events, &erased);
    }
}

#[test]
fn wherever_the_power_is_lost_an_erasure_is_finished_and_not_forgotten() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let events: Vec<Vec<u64>> = (0..20).map(|number| (number..number + 6).collect()).collect();
    let vault = open(folder.path());
    for (number, people) in (0..).zip(&events) {
        vault.append(record(number, people.clone())).unwrap().wait().unwrap();
    }
    vault.close().unwrap();
    drop(vault);
    let taken: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
    let watch = {
        let (taken, from, to) = (taken.clone(), folder.path().to_owned(), copies.path().to_owned());
        move |_: &Path, _: &'static str| {
            let mut taken = taken.lock().unwrap();
            let to = to.join(taken.len().to_string());
            copy(&from, &to);
            taken.push(to);
            Ok(())
        }
    };
    let vault = Vault::open(folder.path(), key(), Options { watch: Some(Arc::new(watch)), ..small() }).unwrap();
    let erased = vault.erase(b"10", ERASURE).unwrap();
    assert_eq!(erased.rows.len(), 6);
    vault.close().unwrap();
    let taken = taken.lock().unwrap();
    assert!(taken.len() > 20, "{} steps", taken.len());
    let (mut before, mut after) = (0, 0);
    for folder in taken.iter() {
        let vault = open(folder);
        match vault.erasures().unwrap().as_slice() {
            [] => {
                // It was not noted yet: nothing is erased.
                before += 1;
                check(&vault, &events, &BTreeSet::new());
                assert_eq!(vault.erase(b"10", ERASURE).unwrap(), erased);
            }
            [noted] => {
                after += 1;
                assert_eq!(*noted, erased);
            }
            more => panic!("{more:?}"),
        }
        check(&vault, &events, &BTreeSet::from([10]));
    }
    assert!(before > 0 && after > 0);
}

#[test]
fn what_an_erasure_replaces_cannot_be_read_from_what_the_disk_may_still_hold() {
    let folder = tempfile::tempdir().unwrap();
    let vault = open(folder.path());
    vault.append(record(0, 0..5)).unwrap().wait().unwrap();
    let path = folder.path().join("0000000000.segment");
    let held = std::fs::File::open(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    vault.erase(b"3", ERASURE).unwrap();
    let after = std::fs::read(&path).unwrap();
    assert_ne!(before[..128], after[..128], "another key");
    // The file that was replaced has lost its key.
    let mut old = Vec::new();
    std::io::Read::read_to_end(&mut &held, &mut old).unwrap();
    assert_eq!(old[..128], [0; 128]);
    // Behind its last block it was cut.
    assert!(old.len() > 128 && before[128..].starts_with(&old[128..]));
    let wrapped = &before[32..104];
    assert!(!on_disk(folder.path()).windows(72).any(|window| window == wrapped));
}

#[test]
fn rows_promised_while_a_person_is_erased_are_still_there() {
    let folder = tempfile::tempdir().unwrap();
    let vault = Arc::new(open(folder.path()));
    for number in 0..30 {
        vault.append(record(number, 0..4)).unwrap().wait().unwrap();
    }
    let appending = {
        let vault = vault.clone();
        std::thread::spawn(move || {
            for number in 30..90 {
                vault.append(record(number, 4..8)).unwrap().wait().unwrap();
            }
        })
    };
    for person in 0..3 {
        assert_eq!(vault.erase(person.to_string().as_bytes(), ERASURE).unwrap().rows.len(), 30);
        vault.forget(ERASURE).unwrap();
    }
    appending.join().unwrap();
    let events: Vec<Vec<u64>> =
        (0..90).map(|number| if number < 30 { (0..4).collect() } else { (4..8).collect() }).collect();
    check(&vault, &events, &BTreeSet::from([0, 1, 2]));
}
