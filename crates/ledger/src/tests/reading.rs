//! Following a log, and everything that can be wrong with one.

use super::{MemoryLog, log_key};
use crate::Hash;
use crate::policy::TrustPolicy;
use crate::proof::ProofError;
use crate::reader::{Follower, ReadError, Source, Tiles, check, fetch_entry, frontier_at};
use crate::tile::Resource;
use proptest::prelude::*;

fn follower() -> Follower {
    Follower::new(TrustPolicy::of_log(log_key().verifier().clone()))
}

#[test]
fn a_log_is_followed_from_any_size_to_any_other() {
    let mut log = MemoryLog::numbered(0);
    let mut follower = follower();
    let mut seen = Vec::new();
    for more in [0, 1, 254, 1, 1, 255, 256, 0, 700] {
        let from = log.entries.len();
        log.extend((from..from + more).map(|number| format!("entry {number}").into_bytes()));
        let head = follower.head(&log).expect("signed").checkpoint.checkpoint().clone();
        follower.advance(&log, &head, |index, entry| seen.push((index, entry.to_vec()))).expect("continues");
        assert_eq!(follower.frontier().size(), log.entries.len() as u64);
    }
    assert!(seen.iter().map(|(_, entry)| entry).eq(&log.entries));
    assert!(seen.iter().enumerate().all(|(at, (index, _))| at as u64 == *index));
}

#[test]
fn partial_files_may_go_once_the_full_ones_are_there() {
    let mut log = MemoryLog::numbered(300);
    let head = log.head();
    log.extend((300..600).map(|number| format!("entry {number}").into_bytes()));
    log.files.retain(|path, _| !path.contains(".p/") || path.starts_with("tile/1/") || path.contains("/002.p/"));
    follower().advance(&log, &head, |_, _| ()).expect("cut from the full files");
    check(&log, &head, |_| ()).expect("cut from the full files");
}

#[test]
fn a_rewritten_entry_is_found_whatever_the_tiles_say() {
    let honest = MemoryLog::numbered(700);
    let mut follower = follower();
    let head = honest.head();
    let mut rewritten = honest.clone();
    rewritten.entries[300] = b"something else".to_vec();
    let forged = MemoryLog::new(rewritten.entries.clone());

    // The entry alone was changed.
    rewritten.publish(&[]);
    assert!(matches!(follower.advance(&rewritten, &head, |_, _| ()), Err(ReadError::Changed { from: 0, to: 700 })));
    assert!(matches!(check(&rewritten, &head, |_| ()), Err(ReadError::Entry(300))));
    // All tiles were made anew around it: only the signed root contradicts.
    assert!(matches!(check(&forged, &head, |_| ()), Err(ReadError::Changed { .. })));
    // And the root was signed anew: whoever saw the first head knows.
    follower.advance(&honest, &head, |_, _| ()).expect("honest");
    assert!(matches!(follower.advance(&forged, &forged.head(), |_, _| ()), Err(ReadError::Forked { size: 700 })));
    let mut longer = forged.clone();
    longer.extend([b"more".to_vec()]);
    assert!(matches!(
        follower.advance(&longer, &longer.head(), |_, _| ()),
        Err(ReadError::Changed { from: 700, to: 701 })
    ));
    let shorter = MemoryLog::numbered(699);
    assert!(matches!(
        follower.advance(&shorter, &shorter.head(), |_, _| ()),
        Err(ReadError::RolledBack { before: 700, now: 699 })
    ));
    assert_eq!(follower.frontier().clone().root(), head.root());
}

#[test]
fn a_changed_tile_is_told_from_a_changed_entry() {
    for (path, expected) in
        [("tile/0/001", "tile/0/001"), ("tile/0/002.p/188", "tile/0/002.p/188"), ("tile/1/000.p/2", "tile/1/000.p/2")]
    {
        let mut log = MemoryLog::numbered(700);
        log.files.get_mut(path).expect(path)[40] ^= 1;
        match check(&log, &log.head(), |_| ()) {
            Err(ReadError::Tile(named)) => assert_eq!(named, expected),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    for path in ["checkpoint", "tile/0/001", "tile/entries/001", "tile/1/000.p/2"] {
        let mut log = MemoryLog::numbered(700);
        let head = log.head();
        log.files.remove(path);
        let result = follower().head(&log).and_then(|_| check(&log, &head, |_| ()));
        match result {
            Err(ReadError::Missing(named)) => assert_eq!(named, path),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn proofs_come_from_tiles_as_the_tree_grows() {
    let mut log = MemoryLog::numbered(300);
    let old = log.head();
    let before = log.clone();
    log.extend((300..70_000).map(|number| format!("entry {number}").into_bytes()));
    let mut tiles = Tiles::new(&before, 300, 10);
    tiles.prove_inclusion(299, Hash::leaf(b"entry 299"), old.root()).expect("in the old tree");
    let mut tiles = Tiles::new(&log, 70_000, 10);
    for index in [0, 255, 256, 299, 65_535, 65_536, 69_999] {
        let leaf = Hash::leaf(&fetch_entry(&log, index, 70_000).expect("there"));
        tiles.prove_inclusion(index, leaf, log.head().root()).expect("in the tree");
        assert!(matches!(
            tiles.prove_inclusion(index, Hash::EMPTY, log.head().root()),
            Err(ReadError::Proof(ProofError::NotIncluded { .. }))
        ));
    }
    tiles.prove_consistency(300, old.root(), log.head().root()).expect("continues");
    assert!(tiles.prove_consistency(300, Hash::EMPTY, log.head().root()).is_err());
    assert!(tiles.prove_consistency(70_001, old.root(), log.head().root()).is_err());
    assert!(tiles.prove_inclusion(70_000, Hash::EMPTY, log.head().root()).is_err());
}

/// Counts what is asked for.
struct Counted<'log>(&'log MemoryLog, std::cell::Cell<usize>);

impl Source for &Counted<'_> {
    type Error = std::convert::Infallible;

    fn fetch(&self, resource: Resource) -> Result<Option<Vec<u8>>, Self::Error> {
        self.1.set(self.1.get() + 1);
        self.0.fetch(resource)
    }
}

#[test]
fn a_second_proof_under_the_same_head_asks_for_no_tile_again() {
    let log = MemoryLog::numbered(700);
    let counted = Counted(&log, std::cell::Cell::new(0));
    let mut tiles = Tiles::new(&counted, 700, 10);
    let root = log.head().root();
    tiles.prove_inclusion(699, Hash::leaf(b"entry 699"), root).expect("in the tree");
    let fetched = counted.1.get();
    assert!(fetched > 0);
    tiles.grow(700);
    tiles.prove_inclusion(699, Hash::leaf(b"entry 699"), root).expect("in the tree");
    assert_eq!(counted.1.get(), fetched);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn any_two_published_heads_are_consistent(from in 0_u64..1500, more in 0_u64..1500) {
        let mut log = MemoryLog::numbered(from);
        let old = log.head();
        log.extend((from..from + more).map(|number| format!("entry {number}").into_bytes()));
        prop_assert_eq!(frontier_at(&log, from, from + more).expect("tiles").root(), old.root());
        let mut tiles = Tiles::new(&log, from + more, 100);
        prop_assert!(tiles.prove_consistency(from, old.root(), log.head().root()).is_ok());
    }

    #[test]
    fn a_flipped_bit_in_any_file_is_noticed(size in 1_u64..600, file: prop::sample::Index, at: prop::sample::Index, bit in 0_u8..8) {
        let mut log = MemoryLog::numbered(size);
        let head = log.head();
        let mut paths: Vec<_> = log.files.keys().filter(|path| *path != "checkpoint").cloned().collect();
        paths.sort();
        let path = &paths[file.index(paths.len())];
        let bytes = log.files.get_mut(path).expect("listed");
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Partials that a full file has replaced belong to older heads.
        let stale = path.contains(".p/") && log.files.contains_key(path.split(".p/").next().expect("a path"));
        prop_assert!(stale || check(&log, &head, |_| ()).is_err(), "{}", path);
    }
}
