//! Proofs that others have published: those of transparency-dev/merkle, and its ways to spoil them.
//!
//! The surprise: a few of its refusals cannot be asked for here. A hash that is not of 32 bytes has no [`Hash`], so it is
//! refused when it is read; and that every tree continues the empty one is an error there and true here, as witnesses
//! need it (C2SP tlog-witness).

use crate::hash::Hash;
use crate::proof::{verify_consistency, verify_inclusion};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../fixtures/vectors/merkle.json")).unwrap()
}

fn hash(value: &Value) -> Hash {
    let text = value.as_str().unwrap();
    let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
    assert_eq!(text.len(), 64);
    Hash(bytes.try_into().unwrap())
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash).collect()
}

/// Adds hashes before and behind a proof, takes one away, flips a bit in each.
fn spoiled(proof: &[Hash], foreign: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for hash in foreign {
        all.push([proof, &[*hash]].concat());
        all.push([&[*hash], proof].concat());
    }
    for at in 0..proof.len() {
        let mut flipped = proof.to_vec();
        flipped[at].0[0] ^= 8;
        all.push(flipped);
        let mut replaced = proof.to_vec();
        replaced[at] = foreign[0];
        all.push(replaced);
    }
    if !proof.is_empty() {
        all.push(proof[..proof.len() - 1].to_vec());
        all.push(proof[1..].to_vec());
        all.push(Vec::new());
    }
    all
}

#[test]
fn published_proofs_of_inclusion_hold_and_spoiled_ones_do_not() {
    let some = Hash::of(b"some hash");
    let mut refused = 0;
    for case in vectors()["inclusion"].as_array().unwrap() {
        let (index, size) = (case["index"].as_u64().unwrap(), case["size"].as_u64().unwrap());
        let (root, leaf, proof) = (hash(&case["root"]), hash(&case["leaf"]), hashes(&case["proof"]));
        verify_inclusion(leaf, index, size, &proof, root).unwrap();
        let mut refuse = |leaf, index, size, proof: &[Hash], root| {
            assert!(verify_inclusion(leaf, index, size, proof, root).is_err(), "{case}: {index} of {size}");
            refused += 1;
        };
        for index in [index.wrapping_sub(1), index + 1, index ^ 2] {
            refuse(leaf, index, size, &proof, root);
        }
        refuse(leaf, index, size * 2, &proof, root);
        refuse(leaf, index, size / 2, &proof, root);
        for wrong in [some, Hash::EMPTY] {
            refuse(wrong, index, size, &proof, root);
            refuse(leaf, index, size, &proof, wrong);
        }
        for proof in spoiled(&proof, &[some, root, leaf]) {
            refuse(leaf, index, size, &proof, root);
        }
    }
    // Nothing is in the empty tree, and nothing is behind the end of one.
    for (index, size) in [(0, 0), (1, 0), (2, 1), (1, 1)] {
        for (leaf, root) in [(some, Hash::EMPTY), (Hash::EMPTY, Hash::EMPTY), (some, some)] {
            assert!(verify_inclusion(leaf, index, size, &[], root).is_err(), "{index} of {size}");
        }
    }
    assert_eq!(refused, 5 * (3 + 2 + 4) + 5 * 6 + 10 * 2 + 4 * 3, "each way to spoil each");
}

#[test]
fn published_proofs_of_consistency_hold_and_spoiled_ones_do_not() {
    let some = Hash::of(b"some hash");
    for case in vectors()["consistency"].as_array().unwrap() {
        let (from, to) = (case["size1"].as_u64().unwrap(), case["size2"].as_u64().unwrap());
        let (old, new, proof) = (hash(&case["root1"]), hash(&case["root2"]), hashes(&case["proof"]));
        verify_consistency(from, old, to, new, &proof).unwrap();
        let refuse = |from, old, to, new, proof: &[Hash]| {
            assert!(verify_consistency(from, old, to, new, proof).is_err(), "{case}: {from} to {to}");
        };
        for proof in spoiled(&proof, &[some, old, new]) {
            refuse(from, old, to, new, &proof);
        }
        refuse(from, some, to, new, &proof);
        refuse(from, old, to, some, &proof);
        if proof.is_empty() {
            continue;
        }
        for from in [from - 1, from + 1, from ^ 2] {
            refuse(from, old, to, new, &proof);
        }
        refuse(from, old, to * 2, new, &proof);
        refuse(from, old, to / 2, new, &proof);
        refuse(from, new, to, old, &proof);
    }
    let (one, two) = (Hash::of(b"one"), Hash::of(b"two"));
    verify_consistency(1, two, 1, two, &[]).unwrap();
    for (from, old, to, new, proof) in [
        (0, one, 0, two, vec![]),
        (1, one, 1, two, vec![]),
        (0, one, 0, one, vec![]),
        (0, one, 1, two, vec![]),
        (1, one, 0, two, vec![]),
        (2, one, 1, two, vec![]),
        (1, one, 2, two, vec![]),
        (0, Hash::EMPTY, 0, two, vec![]),
        (1, Hash::EMPTY, 1, two, vec![]),
        (0, Hash::EMPTY, 0, Hash::EMPTY, vec![Hash::EMPTY]),
        (1, Hash::EMPTY, 1, Hash::EMPTY, vec![Hash::EMPTY]),
        (0, Hash::EMPTY, 1, Hash::EMPTY, vec![Hash::EMPTY]),
    ] {
        assert!(verify_consistency(from, old, to, new, &proof).is_err(), "{from} to {to}, {} hashes", proof.len());
    }
}

#[test]
fn what_is_not_of_32_bytes_is_no_hash() {
    for wrong in ["", "V3JvbmdMZWFm", "V3JvbmdSb290", "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoA=="] {
        assert_eq!(Hash::from_base64(wrong), None, "{wrong}");
    }
}
