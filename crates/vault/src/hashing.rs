//! SHA-256 over the few short messages that every row costs, block by block and without copies.
//!
//! The results are those of `vigie_ledger::commitment` and `vigie_ledger::Hash`, which say what is computed; tests hold
//! the two against each other. Here the padding is laid out by hand, because the lengths are known.

use sha2::compress256;
use sha2::digest::consts::U64;
use sha2::digest::generic_array::GenericArray;
use vigie_ledger::commitment::{Place, Salt, commit};
use vigie_ledger::{EventId, Hash};

type Block = GenericArray<u8, U64>;

const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

const BLOCK: usize = 64;
/// Label, event, place and length before a row's bytes.
const ROW_PREFIX: usize = 13 + 16 + 8 + 4;
/// A row of at most so many bytes fills two blocks behind its prefix.
const SHORT_ROW: usize = 2 * BLOCK - 9 - ROW_PREFIX;

const CHILD_LABEL: &[u8; 14] = b"vigie/salts/v1";

fn bytes_of(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, word) in bytes.chunks_exact_mut(4).zip(state) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// Writes the end of a message of `length` bytes into its last block.
fn pad(blocks: &mut [Block], length: usize) {
    let within = length % BLOCK;
    let last = blocks.len() - 1;
    blocks[length / BLOCK][within] = 0x80;
    blocks[last][BLOCK - 8..].copy_from_slice(&(length as u64 * 8).to_be_bytes());
}

/// Returns SHA-256(seed ‖ "vigie/salts/v1" ‖ which): a child in a tree of salts.
pub(crate) fn child(seed: &[u8; 32], which: u8) -> [u8; 32] {
    let mut block = [Block::default()];
    block[0][..32].copy_from_slice(seed);
    block[0][32..46].copy_from_slice(CHILD_LABEL);
    block[0][46] = which;
    pad(&mut block, 47);
    let mut state = START;
    compress256(&mut state, &block);
    bytes_of(state)
}

/// Returns the hash of the leaf that holds a commitment.
pub(crate) fn leaf(commitment: &[u8; 32]) -> Hash {
    let mut block = [Block::default()];
    block[0][1..33].copy_from_slice(commitment);
    pad(&mut block, 33);
    let mut state = START;
    compress256(&mut state, &block);
    Hash(bytes_of(state))
}

/// Returns the hash of a node over two children.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut blocks = [Block::default(), Block::default()];
    blocks[0][0] = 1;
    blocks[0][1..33].copy_from_slice(&left.0);
    blocks[0][33..].copy_from_slice(&right.0[..31]);
    blocks[1][0] = right.0[31];
    pad(&mut blocks, 65);
    let mut state = START;
    compress256(&mut state, &blocks);
    Hash(bytes_of(state))
}

/// Commits to a row, given in two parts.
pub(crate) fn commit_row(salt: &[u8; 32], event_id: EventId, row: u64, first: &[u8], second: &[u8]) -> [u8; 32] {
    let length = first.len() + second.len();
    if length > SHORT_ROW {
        return commit(&Salt(*salt), event_id, Place::Row(row), &[first, second].concat()).0;
    }
    // HMAC by its definition (RFC 2104): the key fills a block of its own, inside and outside.
    let mut inside = [0x36_u8; 3 * BLOCK];
    let mut outside = [Block::default(), Block::default()];
    outside[0].fill(0x5c);
    for (at, byte) in salt.iter().enumerate() {
        inside[at] ^= byte;
        outside[0][at] ^= byte;
    }
    let message = &mut inside[BLOCK..];
    message.fill(0);
    message[..13].copy_from_slice(b"vigie/row/v1\0");
    message[13..29].copy_from_slice(&event_id.0);
    message[29..37].copy_from_slice(&row.to_be_bytes());
    message[37..ROW_PREFIX].copy_from_slice(&(length as u32).to_be_bytes());
    message[ROW_PREFIX..ROW_PREFIX + first.len()].copy_from_slice(first);
    message[ROW_PREFIX + first.len()..ROW_PREFIX + length].copy_from_slice(second);
    let end = ROW_PREFIX + length;
    message[end] = 0x80;
    let blocks = (end + 9).div_ceil(BLOCK);
    message[blocks * BLOCK - 8..blocks * BLOCK].copy_from_slice(&((BLOCK + end) as u64 * 8).to_be_bytes());
    let mut state = START;
    compress256(&mut state, &[0, 1, 2].map(|at| *Block::from_slice(&inside[at * BLOCK..][..BLOCK]))[..=blocks]);
    outside[1][..32].copy_from_slice(&bytes_of(state));
    outside[1][32] = 0x80;
    outside[1][BLOCK - 8..].copy_from_slice(&((BLOCK + 32) as u64 * 8).to_be_bytes());
    let mut state = START;
    compress256(&mut state, &outside);
    bytes_of(state)
}

/// Returns the root over leaves, in place of them.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    if leaves.is_empty() {
        return Hash::EMPTY;
    }
    let mut row: Vec<Hash> = leaves.to_vec();
    while row.len() > 1 {
        let pairs = row.len() / 2;
        for at in 0..pairs {
            row[at] = node(&row[2 * at], &row[2 * at + 1]);
        }
        // Where RFC 6962 splits a tree, a node without a sibling rises as it is.
        if row.len() % 2 == 1 {
            row[pairs] = row[row.len() - 1];
            row.truncate(pairs + 1);
        } else {
            row.truncate(pairs);
        }
    }
    row[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vigie_ledger::commitment::rows_root;
    use vigie_ledger::tree::root_of;

    proptest! {
        #[test]
        fn commitments_are_those_of_the_ledger(salt: [u8; 32], event: [u8; 16], row: u64, first in proptest::collection::vec(any::<u8>(), 0..90), second in proptest::collection::vec(any::<u8>(), 0..90)) {
            let whole = [first.as_slice(), &second].concat();
            let expected = commit(&Salt(salt), EventId(event), Place::Row(row), &whole);
            prop_assert_eq!(commit_row(&salt, EventId(event), row, &first, &second), expected.0);
            prop_assert_eq!(leaf(&expected.0), Hash::leaf(&expected.0));
            prop_assert_eq!(node(&Hash(salt), &expected), Hash::node(&Hash(salt), &expected));
            let mut bytes = salt.to_vec();
            bytes.extend(b"vigie/salts/v1\x03");
            prop_assert_eq!(child(&salt, 3), Hash::of(&bytes).0);
        }
    }

    #[test]
    fn every_length_around_the_blocks_is_padded_right() {
        for length in 0..=200 {
            let row = vec![7; length];
            let expected = commit(&Salt([1; 32]), EventId([2; 16]), Place::Row(3), &row);
            assert_eq!(commit_row(&[1; 32], EventId([2; 16]), 3, &row[..length / 2], &row[length / 2..]), expected.0);
        }
    }

    #[test]
    fn roots_are_those_of_the_ledger() {
        for count in (0..300).chain([16_383, 16_384]) {
            let commitments: Vec<_> = (0..count).map(|at: u32| Hash::of(&at.to_be_bytes())).collect();
            let leaves: Vec<_> = commitments.iter().map(|commitment| leaf(&commitment.0)).collect();
            assert_eq!(root(&leaves), rows_root(commitments), "{count} rows");
            assert_eq!(root(&leaves), root_of(leaves.clone()));
        }
    }
}
