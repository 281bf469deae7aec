//! A sample from demand to answer: an honest operator, one who erased, and several who cheat.

use super::{MemoryLog, log_key, witness_key};
use crate::answer::{Answer, AnswerError, Failure};
use crate::commitment::{Place, SubjectKey, commit, rows_root};
use crate::entry::{Entry, EventId, Kind};
use crate::hash::Hash;
use crate::key::Algorithm;
use crate::opening::{NotShown, Part, Seen, Shown, erased_leaf};
use crate::policy::TrustPolicy;
use crate::proof::{Nodes, inclusion_proof};
use crate::reader::Tiles;
use crate::receipt::Receipt;
use crate::sampling::{Demand, Round, Seed, Unit};
use crate::tree::{perfect_root, root_of};
use std::collections::BTreeSet;
use std::convert::Infallible;

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = Infallible;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Infallible> {
        let run = 1_usize << height;
        Ok(perfect_root(&self.0[index as usize * run..][..run]))
    }
}

fn prove(leaves: Vec<Hash>, index: u64) -> Vec<Hash> {
    let size = leaves.len() as u64;
    let Ok(proof) = inclusion_proof(&mut Leaves(leaves), index, size);
    proof
}

/// An operator: events of a few rows each, one person a row, the first persons erased.
struct Operator {
    log: MemoryLog,
    entries: Vec<Entry>,
    erased: BTreeSet<u64>,
    erasure_at: u64,
}

const ROWS: u64 = 7;
const EVENTS: u64 = 60;

fn key_of(row: u64) -> SubjectKey {
    SubjectKey::new(Hash::of(&row.to_be_bytes()).0)
}

fn row_bytes(row: u64) -> Vec<u8> {
    format!("row {row}").into_bytes()
}

impl Operator {
    fn new(erased: impl IntoIterator<Item = u64>, erasure_at: u64) -> Self {
        let erased: BTreeSet<u64> = erased.into_iter().collect();
        let mut entries = Vec::new();
        let mut base = 0;
        for event in 0..EVENTS {
            if entries.len() as u64 == erasure_at {
                let list = root_of(erased.iter().map(|row| erased_leaf(*row)));
                // The rows of an erasure are a list of their own and no rows of the population: its `row_count` is 0.
                entries.push(Entry {
                    row_base: base,
                    peer_ref: list,
                    ..Entry::new(Kind::Erasure, 1_700_000_000, EventId([0xee; 16]), Hash::EMPTY)
                });
            }
            let event_id = EventId(u128::from(event + 1).to_be_bytes());
            let commitments = (0..ROWS).map(|row| Self::commitment(event_id, base + row, row));
            entries.push(Entry {
                row_base: base,
                row_count: ROWS,
                rows_root: rows_root(commitments),
                ..Entry::new(Kind::Access, 1_700_000_000, event_id, Hash::EMPTY)
            });
            base += ROWS;
        }
        let mut log = MemoryLog::new(entries.iter().map(|entry| entry.to_bytes().to_vec()));
        log.publish(&[(&witness_key(1, Algorithm::CosignatureEd25519), 1_700_000_100)]);
        Self { log, entries, erased, erasure_at }
    }

    fn commitment(event_id: EventId, row: u64, place: u64) -> Hash {
        let place = Place::Row(place);
        commit(&key_of(row).salt(event_id, place), event_id, place, &row_bytes(row))
    }

    fn demand(&self) -> Demand {
        let rows = self.entries.iter().map(|entry| entry.row_base + entry.row_count).max().expect("entries");
        Demand {
            head: self.log.head(),
            unit: Unit::Row,
            from: 0,
            to: rows,
            count: 100,
            deadline: 1_800_000_000,
            round: Round::after(1_700_000_100),
            nonce_commit: Hash::of(b"r"),
        }
    }

    fn receipt(&self, at: u64, extra: Vec<u8>) -> Receipt {
        let head = self.log.head();
        let leaf = Hash::leaf(&self.entries[at as usize].to_bytes());
        let proof = Tiles::new(&self.log, head.size(), 10).prove_inclusion(at, leaf, head.root()).expect("logged");
        Receipt { extra: Some(extra), index: at, proof, checkpoint: self.log.files["checkpoint"].clone() }
    }

    fn item(&self, row: u64) -> Option<Receipt> {
        let at =
            self.entries.iter().position(|entry| (entry.row_base..entry.row_base + entry.row_count).contains(&row))?;
        let entry = self.entries[at];
        let place = row - entry.row_base;
        let part = if self.erased.contains(&row) {
            let list: Vec<_> = self.erased.iter().map(|row| erased_leaf(*row)).collect();
            let position = self.erased.range(..row).count() as u64;
            let list_size = list.len() as u64;
            let erasure = self.entries[self.erasure_at as usize].to_bytes();
            let erasure_proof = self.receipt(self.erasure_at, Vec::new()).proof;
            Part::Erased {
                row: place,
                erasure,
                erasure_index: self.erasure_at,
                erasure_proof,
                position,
                list_size,
                list_proof: prove(list, position),
            }
        } else {
            let commitments =
                (0..ROWS).map(|row| Hash::leaf(&Self::commitment(entry.event_id, entry.row_base + row, row).0));
            Part::Row {
                row: place,
                salt: key_of(row).salt(entry.event_id, Place::Row(place)),
                proof: prove(commitments.collect(), place),
                bytes: row_bytes(row),
            }
        };
        Some(self.receipt(at as u64, Shown { entry: entry.to_bytes(), part }.to_bytes()))
    }

    fn answer(&self, demand: &Demand, seed: &Seed) -> Answer {
        let mut answer = Answer::to(demand);
        for index in demand.indexes(seed) {
            if let Some(receipt) = self.item(index) {
                answer.items.insert(index, receipt.to_bytes());
            }
        }
        answer
    }
}

fn policy() -> TrustPolicy {
    let witness = witness_key(1, Algorithm::CosignatureEd25519);
    TrustPolicy::parse(&format!("log {}\nwitness w {}\nquorum w", log_key().verifier(), witness.verifier()))
        .expect("a policy")
}

fn seed(demand: &Demand) -> Seed {
    demand.seed(b"r", b"the beacon's signature").expect("the number committed to")
}

#[test]
fn an_honest_answer_opens_every_row_demanded() {
    let operator = Operator::new([], EVENTS + 1);
    let demand = operator.demand();
    let seed = seed(&demand);
    let answer = Answer::parse(&operator.answer(&demand, &seed).to_bytes()).expect("as written");
    let outcome = answer.check(&demand, &seed, &policy());
    for (row, seen) in &outcome.shown {
        assert_eq!(*seen, Ok(Seen::Opened(row_bytes(*row))));
    }
    let tally = outcome.tally();
    assert_eq!((tally.drawn, tally.opened, tally.erased, tally.failed), (100, 100, 0, 0));
    assert!((0.029..0.0296).contains(&tally.bound_erased_bad), "{tally:?}");
}

#[test]
fn rows_erased_before_the_demand_are_told_from_rows_withheld() {
    let erased: Vec<u64> = (0..60).collect();
    let operator = Operator::new(erased, 30);
    let demand = operator.demand();
    let seed = seed(&demand);
    let mut answer = operator.answer(&demand, &seed);
    let outcome = answer.check(&demand, &seed, &policy());
    let tally = outcome.tally();
    assert!(tally.erased > 0);
    assert!(outcome.shown.iter().all(|(row, seen)| *row >= 60 || *seen == Ok(Seen::Erased)));
    assert!(tally.bound_erased_bad > tally.bound_erased_good);

    // A row that is merely not answered is a failure, and so is one that is called erased and was not.
    let failed = tally.failed;
    let first = outcome.shown.iter().find(|(_, seen)| matches!(seen, Ok(Seen::Opened(_)))).expect("some opened").0;
    answer.items.remove(&first);
    let outcome = answer.check(&demand, &seed, &policy());
    assert_eq!(outcome.tally().failed, failed + 1);
    assert!(outcome.shown.contains(&(first, Err(Failure::Missing))));
}

#[test]
fn an_erasure_logged_after_the_demand_does_not_count() {
    // The demand names a head from before the erasure; the operator shows the erasure all the same.
    let operator = Operator::new(0..60, 50);
    let mut before = operator.log.clone();
    before = MemoryLog::new(before.entries.drain(..40));
    before.publish(&[(&witness_key(1, Algorithm::CosignatureEd25519), 1_700_000_100)]);
    let shown =
        Shown::parse(operator.item(3).expect("an item").extra.as_deref().expect("an opening")).expect("readable");
    assert!(matches!(shown.check_row(3, &operator.log.head()), Ok(Seen::Erased)));
    assert!(matches!(shown.check_row(3, &before.head()), Err(NotShown::ErasureNotLogged(_))));
    // The erasure did not touch another row.
    let Part::Erased { row, erasure, erasure_index, erasure_proof, position, list_size, list_proof } =
        shown.part.clone()
    else {
        panic!()
    };
    let other = Shown {
        entry: operator.entries[20].to_bytes(),
        part: Part::Erased { row, erasure, erasure_index, erasure_proof, position, list_size, list_proof },
    };
    assert_eq!(other.check_row(143, &operator.log.head()), Err(NotShown::NotErased(143)));
}

#[test]
fn no_doctored_row_passes() {
    let operator = Operator::new([], EVENTS + 1);
    let demand = operator.demand();
    let seed = seed(&demand);
    let honest = operator.answer(&demand, &seed);
    let rows = demand.indexes(&seed);
    let (row, other) = (rows[0], rows[1]);
    let failure = |receipt: Receipt| {
        let mut answer = honest.clone();
        answer.items.insert(row, receipt.to_bytes());
        let outcome = answer.check(&demand, &seed, &policy());
        outcome.shown[0].1.as_ref().err().map(ToString::to_string)
    };
    let with = |change: &dyn Fn(&mut Shown)| {
        let mut receipt = operator.item(row).expect("an item");
        let mut shown = Shown::parse(receipt.extra.as_deref().expect("an opening")).expect("readable");
        change(&mut shown);
        receipt.extra = Some(shown.to_bytes());
        failure(receipt)
    };
    assert_eq!(with(&|_| ()), None);
    assert_eq!(
        with(&|shown| if let Part::Row { bytes, .. } = &mut shown.part {
            bytes[0] ^= 1;
        })
        .as_deref(),
        Some("the row shown is not one that the entry commits to")
    );
    assert!(
        with(&|shown| if let Part::Row { salt, .. } = &mut shown.part {
            salt.0[0] ^= 1;
        })
        .is_some()
    );
    assert!(
        with(&|shown| if let Part::Row { row, .. } = &mut shown.part {
            *row += 1;
        })
        .is_some()
    );
    assert!(with(&|shown| shown.entry[60] ^= 1).is_some());
    assert!(failure(operator.item(other).expect("an item")).is_some(), "another row's receipt");
    let mut bare = operator.item(row).expect("an item");
    bare.extra = None;
    assert_eq!(failure(bare).as_deref(), Some("the receipt carries no opening"));
}

#[test]
fn a_receipt_from_another_head_shows_nothing() {
    let operator = Operator::new([], EVENTS + 1);
    let demand = operator.demand();
    let seed = seed(&demand);
    let mut later = Operator::new([], EVENTS + 1);
    later.log.extend([b"one more".to_vec()]);
    later.log.publish(&[(&witness_key(1, Algorithm::CosignatureEd25519), 1_700_000_200)]);
    let outcome = later.answer(&demand, &seed).check(&demand, &seed, &policy());
    assert!(outcome.shown.iter().all(|(_, seen)| *seen == Err(Failure::AnotherHead { found: 61, expected: 60 })));
}

/// One of each thing that is written down: a demand, receipts with what they show, an answer, a checkpoint, an entry.
pub(super) fn written() -> Vec<Vec<u8>> {
    let operator = Operator::new(0..3, 1);
    let demand = operator.demand();
    let receipts: Vec<_> = [1, 5].into_iter().filter_map(|row| operator.item(row)).collect();
    let mut answer = Answer::to(&demand);
    answer.items.insert(5, receipts[1].to_bytes());
    let mut all = vec![demand.to_string().into_bytes(), answer.to_bytes(), operator.log.files["checkpoint"].clone()];
    for receipt in receipts {
        all.push(receipt.to_bytes());
        all.extend(receipt.extra);
    }
    all.push(operator.log.head().to_string().into_bytes());
    all
}

#[test]
fn answers_are_read_as_written() {
    let operator = Operator::new([], EVENTS + 1);
    let demand = operator.demand();
    let mut answer = Answer::to(&demand);
    answer.items.insert(3, b"x\n\ny".to_vec());
    answer.items.insert(9, Vec::new());
    let bytes = answer.to_bytes();
    assert_eq!(Answer::parse(&bytes).as_ref(), Ok(&answer));
    assert_eq!(Answer::parse(&bytes[..bytes.len() - 13]), Err(AnswerError::Cut(3)));
    assert_eq!(Answer::parse(&[&bytes[..], b"item 3 0\n"].concat()), Err(AnswerError::Twice(3)));
    assert_eq!(Answer::parse(&[&bytes[..], b"x"].concat()), Err(AnswerError::Item(2)));
    assert_eq!(Answer::parse(b""), Err(AnswerError::Header));
}

#[test]
fn without_the_key_nothing_opens_and_every_proof_still_holds() {
    let operator = Operator::new(0..7, 1);
    let entry = operator.entries[0];
    let receipt = operator.receipt(0, Vec::new());
    receipt.verify(&entry.to_bytes(), &policy()).expect("the proof does not need the key");
    // Whoever has lost the key has nothing better than another key, which opens nothing.
    for guess in 0..100 {
        let opening = key_of(1000 + guess).open(entry.event_id, Place::Row(0), row_bytes(0));
        assert_ne!(opening.commitment(), Operator::commitment(entry.event_id, 0, 0));
    }
}
