//! Everything that is read, fed with what was written and then changed in a few places.
//!
//! The bodies are those of the fuzz targets. `PROPTEST_CASES` says how often each of them is run.

use super::{MemoryLog, log_key, samples, witness_key};
use crate::{
    Checkpoint, Entry, Note, Receipt, TrustPolicy,
    answer::Answer,
    key::Algorithm,
    opening::Shown,
    row::CanonicalRow,
    sampling::Demand,
    tile::{self, Resource},
    witness::AddCheckpoint,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::sync::LazyLock;

/// A seed for each kind of thing.
static WRITTEN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut all = samples::written();
    let log = MemoryLog::numbered(300);
    let note = Note::parse(&log.files["checkpoint"]).unwrap();
    let proof = vec![crate::Hash::EMPTY; 9];
    all.push(AddCheckpoint { old: 256, proof, note }.to_body().into_bytes());
    // A bundle behind its width, less one.
    all.push([&[43][..], &log.files["tile/entries/001.p/44"]].concat());
    let (one, two) = (witness_key(1, Algorithm::CosignatureEd25519), witness_key(2, Algorithm::CosignatureMlDsa44));
    all.push(
        format!(
            "log {} https://log.example/\nwitness a {} https://a.example/\nwitness b {}\ngroup both all a b\n\
             group any any both\nquorum any\n",
            log_key().verifier(),
            one.verifier(),
            two.verifier()
        )
        .into_bytes(),
    );
    for path in ["tile/entries/x001/x234/067.p/255", "tile/2/x001/000", "checkpoint", "tile/0/000.p/1"] {
        all.push(path.as_bytes().to_vec());
    }
    all.push([&[0, 2][..], &[7; 64]].concat());
    all
});

/// A change: what, where, and with what.
type Change = (u8, Index, u8, Index);

fn change(bytes: &mut Vec<u8>, (what, at, with, seed): &Change) {
    if bytes.is_empty() {
        return bytes.push(*with);
    }
    let from = at.index(bytes.len());
    let to = (from + usize::from(*with)).min(bytes.len());
    match what % 8 {
        0 => bytes[from] ^= 1 << (with % 8),
        1 => bytes[from] = *with,
        2 => bytes.insert(from, *with),
        3 => drop(bytes.drain(from..to)),
        4 => bytes.truncate(from),
        5 => {
            let part = bytes[from..to].to_vec();
            bytes.splice(to..to, part);
        }
        // What stands at a place is often a number, or a length.
        6 => bytes[from..to].fill(if with % 2 == 0 { 0xff } else { b'9' }),
        _ => {
            let other = &WRITTEN[seed.index(WRITTEN.len())];
            bytes.truncate(from);
            bytes.extend_from_slice(&other[other.len() * from / (from + 1).max(other.len())..]);
        }
    }
}

fn read(data: &[u8]) {
    if let Ok(note) = Note::parse(data) {
        assert_eq!(Note::parse(note.to_string().as_bytes()).unwrap(), note);
    }
    if let Ok(receipt) = Receipt::parse(data) {
        assert_eq!(receipt.to_bytes(), data);
    }
    if let Ok(shown) = Shown::parse(data) {
        assert_eq!(shown.to_bytes(), data);
        let _ = shown.check_header();
    }
    let _ = Answer::parse(data);
    let _ = CanonicalRow::parse(data);
    if let Ok(request) = AddCheckpoint::parse(data) {
        assert_eq!(AddCheckpoint::parse(request.to_body().as_bytes()).unwrap(), request);
    }
    if let Some((width, bytes)) = data.split_first()
        && let Ok(entries) = tile::entries(bytes, u16::from(*width) + 1)
    {
        let mut again = Vec::new();
        for entry in entries {
            let _ = Entry::parse(entry).map(|read| assert_eq!(read.to_bytes(), entry));
            tile::push_entry(&mut again, entry).unwrap();
        }
        assert_eq!(again, bytes);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text);
    }
    if let Ok(resource) = text.parse::<Resource>() {
        assert_eq!(resource.to_string(), text);
    }
    if let Ok(demand) = Demand::parse(text) {
        assert_eq!(demand.to_string(), text);
    }
    if let Ok(policy) = TrustPolicy::parse(text) {
        let all: Vec<_> = policy.witnesses().map(|party| &party.key).collect();
        assert!(!policy.is_quorum([]) || policy.is_quorum(all));
    }
}

#[test]
fn each_seed_is_read_by_something() {
    let is_read = |data: &Vec<u8>| {
        let text = std::str::from_utf8(data).unwrap_or_default();
        Note::parse(data).is_ok()
            || Receipt::parse(data).is_ok()
            || Shown::parse(data).is_ok()
            || Answer::parse(data).is_ok()
            || CanonicalRow::parse(data).is_ok()
            || AddCheckpoint::parse(data).is_ok()
            || data.split_first().is_some_and(|(width, rest)| tile::entries(rest, u16::from(*width) + 1).is_ok())
            || Checkpoint::parse(text).is_ok()
            || text.parse::<Resource>().is_ok()
            || Demand::parse(text).is_ok()
            || TrustPolicy::parse(text).is_ok()
    };
    for data in &*WRITTEN {
        assert!(is_read(data), "{}", String::from_utf8_lossy(data));
        read(data);
    }
}

proptest! {
    #[test]
    fn what_was_changed_is_refused_or_read_as_what_it_says(
        seed in any::<Index>(),
        changes in vec(any::<Change>(), 1..6),
    ) {
        let mut data = WRITTEN[seed.index(WRITTEN.len())].clone();
        for one in &changes {
            change(&mut data, one);
        }
        read(&data);
    }
}
