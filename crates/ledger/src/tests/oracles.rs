//! What other people's code makes of ours: the crates `signed_note` and `tlog_tiles`, ports of Go's `note` and `tlog`.

use super::{MemoryLog, log_key};
use crate::proof::{consistency_proof, inclusion_proof};
use crate::reader::Tiles;
use crate::tree::root_of;
use crate::{Hash, Note, VerifierKey};
use proptest::prelude::*;
use tlog_tiles::tlog;

/// The key and the note of the specification (C2SP signed-note 1.0.0).
const SPEC_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SPEC_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_note_of_gos_documentation_verifies() {
    let key: VerifierKey = SPEC_KEY.parse().expect("a key");
    assert_eq!(key.to_string(), SPEC_KEY);
    let note = Note::parse(SPEC_NOTE.as_bytes()).expect("a note");
    assert_eq!(note.to_string(), SPEC_NOTE);
    assert_eq!(note.verify([&key]).expect("signed").len(), 1);
}

#[test]
fn the_port_of_gos_note_verifies_what_we_sign() {
    let key = log_key();
    let mut note =
        Note::new("operator.example/accesses\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n").expect("a text");
    note.add(key.sign(note.text()));
    let verifier = signed_note::StandardVerifier::new(&key.verifier().to_string()).expect("a key");
    let theirs = signed_note::Note::from_bytes(note.to_string().as_bytes()).expect("a note");
    let (signed, unknown) = theirs.verify(&signed_note::VerifierList::new(vec![Box::new(verifier)])).expect("signed");
    assert_eq!((signed.len(), unknown.len()), (1, 0));
}

fn theirs(hash: Hash) -> tlog::Hash {
    tlog::Hash(hash.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_port_of_gos_tlog_accepts_our_proofs_and_refuses_wrong_ones(size in 1_u64..1200, at: prop::sample::Index, other: prop::sample::Index) {
        let log = MemoryLog::numbered(size);
        let (index, from) = (at.index(size as usize) as u64, other.index(size as usize) as u64 + 1);
        let leaf = |index: u64| Hash::leaf(&log.entries[index as usize]);
        let mut tiles = Tiles::new(&log, size, 100);
        let root = log.head().root();
        let proof = inclusion_proof(&mut tiles, index, size).expect("a proof");
        let proof: Vec<_> = proof.into_iter().map(theirs).collect();
        prop_assert!(tlog::check_record(&proof, size, theirs(root), index, theirs(leaf(index))).is_ok());
        prop_assert!(tlog::check_record(&proof, size, theirs(root), index, theirs(Hash::EMPTY)).is_err());

        let old = root_of((0..from).map(leaf));
        let proof = consistency_proof(&mut tiles, from, size).expect("a proof");
        let proof: Vec<_> = proof.into_iter().map(theirs).collect();
        prop_assert!(tlog::check_tree(&proof, size, theirs(root), from, theirs(old)).is_ok());
        if from < size {
            prop_assert!(tlog::check_tree(&proof, size, theirs(root), from, theirs(Hash::EMPTY)).is_err());
        }
    }
}
