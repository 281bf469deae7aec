//! Records as bytes: read as written, and never more.

use crate::{event, open, opened, record};
use proptest::prelude::*;
use vigie_ledger::commitment::{Place, Salt, commit, rows_root};
use vigie_ledger::{Entry, Kind};
use vigie_vault::{NotOpened, Record, RowList, RowRefused};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_is_read_as_written_and_its_root_is_the_ledgers(number in 0_u64..1000, people in proptest::collection::vec(0_u64..50, 0..80)) {
        let record = record(number, people.clone());
        prop_assert_eq!(Record::parse(&record.to_bytes()), Ok(record.clone()));
        prop_assert!(record.is_sound());
        let openings = (0..people.len() as u64).map(|row| {
            let (salt, bytes) = record.rows.open(row).unwrap();
            vigie_ledger::commitment::commit(&salt, event(number), vigie_ledger::commitment::Place::Row(row), &bytes)
        });
        prop_assert_eq!(rows_root(openings), record.entry.rows_root);
        for row in 0..people.len() as u64 {
            opened(&record, row);
        }
    }

    #[test]
    fn bytes_that_were_changed_are_refused_or_read_back_as_they_are(number in 0_u64..10, rows in 0_u64..20, at: prop::sample::Index, flip in 1_u8.., cut: prop::sample::Index) {
        let bytes = record(number, 0..rows).to_bytes();
        let mut changed = bytes.clone();
        let at = at.index(changed.len());
        changed[at] ^= flip;
        if let Ok(read) = Record::parse(&changed) {
            prop_assert_eq!(read.to_bytes(), changed);
            let whole = record(number, 0..rows);
            // The time, and templates of which no row is, are not bound by the entry; all else shows.
            if read.is_sound() && read.entry == whole.entry {
                prop_assert_eq!(&read.header, &whole.header);
                for row in 0..rows {
                    prop_assert_eq!(read.rows.open(row), whole.rows.open(row));
                }
            }
        }
        let cut = cut.index(bytes.len());
        prop_assert!(Record::parse(&bytes[..cut]).is_err());
        prop_assert!(Record::parse(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes: Vec<u8>, rows in 0_u64..4) {
        prop_assert!(Record::parse(&bytes).is_err());
        // Behind a good beginning.
        let good = record(1, 0..rows).to_bytes();
        for keep in [149, 189, 230] {
            let mixed = [&good[..keep.min(good.len())], bytes.as_slice()].concat();
            if let Ok(read) = Record::parse(&mixed) {
                prop_assert_eq!(read.to_bytes(), mixed);
            }
        }
    }
}

#[test]
fn rows_that_cannot_be_accounted_for_are_refused() {
    let mut rows = RowList::new(vec![Vec::new()]).unwrap();
    assert_eq!(rows.push(0, b""), Err(RowRefused::Subject(0)));
    assert_eq!(rows.push(0, &[7; 256]), Err(RowRefused::Subject(256)));
    assert_eq!(rows.push(1, b"1"), Err(RowRefused::Template(1, 1)));
    assert_eq!(rows.count(), 0);
    rows.push(0, &[7; 255]).unwrap();
    assert_eq!(RowList::new(vec![Vec::new(); 257]), Err(RowRefused::Templates));
    let rows = rows.with_seed([1; 32]);
    assert_eq!(rows.open(1), Err(NotOpened::Beyond { row: 1, count: 1 }));
    assert_eq!(format!("{rows:?}"), "Rows(1, 0 of them erased)");
}

#[test]
fn many_rows_hashed_on_two_threads_have_the_same_root() {
    let record = record(3, 0..5000);
    let commitments = (0..5000).map(|row| {
        let (salt, bytes) = record.rows.open(row).unwrap();
        vigie_ledger::commitment::commit(&salt, event(3), vigie_ledger::commitment::Place::Row(row), &bytes)
    });
    assert_eq!(rows_root(commitments), record.entry.rows_root);
    opened(&record, 4999);
    opened(&record, 0);
}

#[test]
fn rows_with_a_content_open_to_it_are_found_by_person_and_erased_whole() {
    let mut list = RowList::with_content(vec![b"template\n".to_vec()]).expect("one template");
    for (subject, content) in [("jeanne", "fr|jeanne@example.org"), ("karl", "de|karl@example.org"), ("jeanne", "")] {
        list.push_content(0, subject.as_bytes(), content.as_bytes()).expect("it can be kept");
    }
    let rows = list.with_seed([7; 32]);
    assert_eq!(rows.seed(), Some([7; 32]));
    assert_eq!(rows.about(b"jeanne"), [0, 2]);
    assert_eq!(rows.open(1).expect("it is there").1, b"template\nde|karl@example.org");
    let header_salt = Salt([1; 32]);
    let mut entry =
        Entry::new(Kind::TransferOut, 0, event(1), commit(&header_salt, event(1), Place::Header, b"header"));
    (entry.row_count, entry.rows_root) = (3, rows.root(event(1)));
    let record = Record { entry, time_ms: 0, header_salt, header: b"header".to_vec(), rows };
    assert!(record.is_sound());
    let folder = tempfile::tempdir().expect("there is room");
    let vault = open(folder.path());
    vault.append(record.clone()).expect("it is taken").wait().expect("it is kept");
    assert_eq!(vault.find(event(1)).expect("it can be read"), Some(record));
    assert_eq!(vault.erase(b"jeanne", event(9)).expect("it can be erased").rows, [(event(1), 0), (event(1), 2)]);
    let left = vault.find(event(1)).expect("it can be read").expect("it is there");
    assert!(left.is_sound(), "what was erased keeps its leaf");
    assert!(left.rows.open(0).is_err() && left.rows.open(2).is_err());
    assert_eq!(left.rows.open(1).expect("it stays").1, b"template\nde|karl@example.org");
    assert_eq!(left.rows.seed(), None, "the seed would give the erased salts back");
    assert!(!left.to_bytes().windows(6).any(|window| window == b"jeanne"));
    let mut torn = left.to_bytes();
    torn.pop();
    assert!(Record::parse(&torn).is_err());
}
