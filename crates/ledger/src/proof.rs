//! Proofs that an entry is in a tree, and that one tree continues another: made from subtrees, checked against roots.
//!
//! A proof is a list of hashes, from the bottom up. Checking one never trusts its length: too short, too long and wrong
//! are all refused, each in its own words.
//!
//! # Source
//!
//! RFC 6962, §2.1.1 and §2.1.2 for making; RFC 9162, §2.1.3.2 and §2.1.4.2 for checking.

use crate::hash::Hash;

/// Most hashes a proof can have: a tree of fewer than 2^64 leaves is 64 high, and one more for consistency.
pub const MAX_PROOF_HASHES: usize = 65;

/// Where hashes of perfect subtrees come from.
pub trait Nodes {
    /// Why one could not be had.
    type Error;

    /// Returns the hash over the leaves from `index · 2^height` to `(index + 1) · 2^height`, the end excluded.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProofError {
    /// The entry cannot be in such a tree.
    #[error("entry {index} is not in a tree of {size} entries")]
    Outside {
        /// Index of the entry.
        index: u64,
        /// Entries in the tree.
        size: u64,
    },
    /// The trees are the wrong way round.
    #[error("a tree of {to} entries cannot continue one of {from}")]
    Backwards {
        /// Entries of the tree said to be older.
        from: u64,
        /// Entries of the tree said to be newer.
        to: u64,
    },
    /// An inclusion proof has the wrong number of hashes.
    #[error("inclusion proof for entry {index} has {found} hashes, a tree of {size} entries needs {expected}")]
    InclusionLength {
        /// Index of the entry.
        index: u64,
        /// Entries in the tree.
        size: u64,
        /// Hashes found.
        found: usize,
        /// Hashes needed.
        expected: usize,
    },
    /// A consistency proof has the wrong number of hashes.
    #[error("consistency proof has {found} hashes, from {from} to {to} entries it needs {expected}")]
    ConsistencyLength {
        /// Entries of the older tree.
        from: u64,
        /// Entries of the newer tree.
        to: u64,
        /// Hashes found.
        found: usize,
        /// Hashes needed.
        expected: usize,
    },
    /// An inclusion proof leads to another root.
    #[error("inclusion proof leads entry {index} to another root than that of the tree of {size} entries")]
    NotIncluded {
        /// Index of the entry.
        index: u64,
        /// Entries in the tree.
        size: u64,
    },
    /// A consistency proof leads to another root.
    #[error("the tree of {to} entries does not continue the one of {from}: the proof leads to another root")]
    NotConsistent {
        /// Entries of the older tree.
        from: u64,
        /// Entries of the newer tree.
        to: u64,
    },
}

/// Returns how many hashes prove that entry `index` is in a tree of `size` entries.
///
/// # Panics
///
/// If `index` is not below `size`.
pub fn inclusion_length(index: u64, size: u64) -> usize {
    assert!(index < size, "entry {index} is not in a tree of {size} entries");
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    (inner + index.checked_shr(inner).unwrap_or(0).count_ones()) as usize
}

/// Returns how many hashes prove that a tree of `to` entries continues one of `from`.
///
/// # Panics
///
/// If `from` is more than `to`.
pub fn consistency_length(from: u64, to: u64) -> usize {
    assert!(from <= to, "a tree of {to} entries cannot continue one of {from}");
    if from == 0 || from == to {
        return 0;
    }
    // The older tree's last perfect subtree is where the proof begins; above it, it is a proof of inclusion. Where that
    // subtree is the whole older tree, its hash is known and left out.
    let height = from.trailing_zeros();
    let top = inclusion_length((from - 1) >> height, ((to - 1) >> height) + 1);
    top + usize::from(!from.is_power_of_two())
}

/// Makes the proof that entry `index` is in the tree of `size` entries: the sibling of the leaf first.
///
/// # Errors
///
/// What `nodes` fails with.
///
/// # Panics
///
/// If `index` is not below `size`.
pub fn inclusion_proof<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::with_capacity(inclusion_length(index, size));
    let (mut from, mut to) = (0, size);
    // From the root down; turned round at the end.
    while to - from > 1 {
        let middle = from + largest_power_below(to - from);
        if index < middle {
            proof.push(range_root(nodes, middle, to)?);
            to = middle;
        } else {
            proof.push(range_root(nodes, from, middle)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Makes the proof that the tree of `to` entries continues the tree of `from`.
///
/// # Errors
///
/// What `nodes` fails with.
///
/// # Panics
///
/// If `from` is more than `to`.
pub fn consistency_proof<N: Nodes>(nodes: &mut N, from: u64, to: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::with_capacity(consistency_length(from, to));
    if from == 0 || from == to {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, to);
    while high != from {
        let middle = low + largest_power_below(high - low);
        if from <= middle {
            proof.push(range_root(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(range_root(nodes, low, middle)?);
            low = middle;
        }
    }
    if low > 0 {
        proof.push(range_root(nodes, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Returns the root over the leaves from `from` to `to`, the end excluded, where `from` is where RFC 6962 splits a tree.
fn range_root<N: Nodes>(nodes: &mut N, from: u64, to: u64) -> Result<Hash, N::Error> {
    // Perfect subtrees from the left, the largest first, folded from the right.
    let mut parts = Vec::new();
    let mut at = from;
    while at < to {
        let height = (to - at).ilog2();
        parts.push(nodes.node(height, at >> height)?);
        at += 1 << height;
    }
    let last = parts.pop().expect("a range has a leaf");
    Ok(parts.iter().rev().fold(last, |right, left| Hash::node(left, &right)))
}

/// Returns the root of the tree of `size` entries.
///
/// # Errors
///
/// What `nodes` fails with.
pub fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(Hash::EMPTY) } else { range_root(nodes, 0, size) }
}

fn largest_power_below(number: u64) -> u64 {
    1 << (number - 1).ilog2()
}

/// Where a check stands on its way up: at `node` of a level whose last node is `last`.
struct Climb {
    node: u64,
    last: u64,
}

/// On which side of the way up a sibling lies.
enum Side {
    Left,
    Right,
}

impl Climb {
    /// Goes up to the next level at which there is a sibling, and tells on which side it lies.
    fn step(&mut self) -> Side {
        let side = if self.node & 1 == 1 || self.node == self.last { Side::Left } else { Side::Right };
        if let Side::Left = side {
            // At the right edge, levels without a sibling are passed over.
            let skip = self.node.trailing_zeros().min(u64::BITS - 1);
            self.node >>= skip;
            self.last >>= skip;
        }
        self.node >>= 1;
        self.last >>= 1;
        side
    }
}

/// Checks that a leaf is at `index` of the tree of `size` entries that has this root.
///
/// # Errors
///
/// [`ProofError`].
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Outside { index, size });
    }
    let expected = inclusion_length(index, size);
    if proof.len() != expected {
        return Err(ProofError::InclusionLength { index, size, found: proof.len(), expected });
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let hash = proof.iter().fold(leaf, |hash, sibling| match climb.step() {
        Side::Left => Hash::node(sibling, &hash),
        Side::Right => Hash::node(&hash, sibling),
    });
    if hash == root { Ok(()) } else { Err(ProofError::NotIncluded { index, size }) }
}

/// Checks that the tree of `to` entries with root `to_root` continues the tree of `from` entries with root `from_root`.
///
/// Every tree continues the empty one, and then the proof is empty.
///
/// # Errors
///
/// [`ProofError`].
pub fn verify_consistency(
    from: u64,
    from_root: Hash,
    to: u64,
    to_root: Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if from > to {
        return Err(ProofError::Backwards { from, to });
    }
    let expected = consistency_length(from, to);
    if proof.len() != expected {
        return Err(ProofError::ConsistencyLength { from, to, found: proof.len(), expected });
    }
    let wrong = ProofError::NotConsistent { from, to };
    if from == to || from == 0 {
        let same = if from == to { from_root == to_root } else { from_root == Hash::EMPTY };
        let empty = to > 0 || to_root == Hash::EMPTY;
        return if same && empty { Ok(()) } else { Err(wrong) };
    }
    let shift = (from - 1).trailing_ones();
    let mut climb = Climb { node: (from - 1) >> shift, last: (to - 1) >> shift };
    let (first, rest) = if from.is_power_of_two() {
        (from_root, proof)
    } else {
        let (first, rest) = proof.split_first().expect("a proof that does not begin with a whole tree has a hash");
        (*first, rest)
    };
    let (mut old, mut new) = (first, first);
    for sibling in rest {
        match climb.step() {
            Side::Left => {
                old = Hash::node(sibling, &old);
                new = Hash::node(sibling, &new);
            }
            Side::Right => new = Hash::node(&new, sibling),
        }
    }
    if old == from_root && new == to_root { Ok(()) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{perfect_root, root_of};
    use proptest::prelude::*;
    use std::convert::Infallible;

    struct Leaves(Vec<Hash>);

    impl Leaves {
        fn new(size: u64) -> Self {
            Self((0..size).map(|index| Hash::leaf(&index.to_be_bytes())).collect())
        }

        fn root(&self, size: u64) -> Hash {
            root_of(self.0[..size as usize].iter().copied())
        }
    }

    impl Nodes for Leaves {
        type Error = Infallible;

        fn node(&mut self, height: u32, index: u64) -> Result<Hash, Infallible> {
            let run = 1_usize << height;
            let from = index as usize * run;
            Ok(perfect_root(&self.0[from..from + run]))
        }
    }

    #[test]
    fn every_entry_of_every_small_tree_is_proved_and_no_other_place_is() {
        let mut leaves = Leaves::new(70);
        for size in 1..=70 {
            let root = leaves.root(size);
            for index in 0..size {
                let Ok(proof) = inclusion_proof(&mut leaves, index, size);
                let leaf = leaves.0[index as usize];
                assert_eq!(verify_inclusion(leaf, index, size, &proof, root), Ok(()), "{index} of {size}");
                assert_eq!(proof.len(), inclusion_length(index, size));
                for other in (0..size + 2).filter(|other| *other != index) {
                    assert!(verify_inclusion(leaf, other, size, &proof, root).is_err(), "{index} as {other} of {size}");
                }
            }
        }
    }

    #[test]
    fn every_small_tree_continues_every_smaller_one() {
        let mut leaves = Leaves::new(70);
        for to in 0..=70 {
            for from in 0..=to {
                let Ok(proof) = consistency_proof(&mut leaves, from, to);
                let (old, new) = (leaves.root(from), leaves.root(to));
                assert_eq!(proof.len(), consistency_length(from, to), "{from} to {to}");
                assert_eq!(verify_consistency(from, old, to, new, &proof), Ok(()), "{from} to {to}");
                if from > 0 {
                    assert!(verify_consistency(from, Hash::EMPTY, to, new, &proof).is_err());
                }
                assert!(verify_consistency(from, old, to, Hash([7; 32]), &proof).is_err() || (from == 0 && to > 0));
            }
        }
    }

    #[test]
    fn a_proof_of_the_wrong_length_says_which_it_needs() {
        let message = verify_inclusion(Hash::EMPTY, 1_234_067, 2_000_000, &[Hash::EMPTY; 20], Hash::EMPTY);
        assert_eq!(
            message.expect_err("too short").to_string(),
            "inclusion proof for entry 1234067 has 20 hashes, a tree of 2000000 entries needs 21"
        );
    }

    #[test]
    fn lengths_at_the_far_end_do_not_overflow() {
        assert_eq!(inclusion_length(u64::MAX - 1, u64::MAX), 63);
        assert_eq!(inclusion_length(0, u64::MAX), 64);
        assert!(consistency_length(u64::MAX - 1, u64::MAX) <= MAX_PROOF_HASHES);
        assert!(consistency_length(1, u64::MAX) <= MAX_PROOF_HASHES);
        for index in [0, 1, 1 << 63, u64::MAX - 1] {
            let proof = vec![Hash::EMPTY; inclusion_length(index, u64::MAX)];
            assert!(verify_inclusion(Hash::EMPTY, index, u64::MAX, &proof, Hash::EMPTY).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_changed_proof_proves_nothing(size in 1_u64..3000, at: prop::sample::Index, which: prop::sample::Index, bit in 0_usize..256) {
            let index = at.index(size as usize) as u64;
            let mut leaves = Leaves::new(size);
            let root = leaves.root(size);
            let leaf = leaves.0[index as usize];
            let Ok(mut proof) = inclusion_proof(&mut leaves, index, size);
            prop_assert_eq!(verify_inclusion(leaf, index, size, &proof, root), Ok(()));
            if !proof.is_empty() {
                let which = which.index(proof.len());
                proof[which].0[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(verify_inclusion(leaf, index, size, &proof, root).is_err());
                proof.remove(which);
                prop_assert!(verify_inclusion(leaf, index, size, &proof, root).is_err());
            }
            let from = index;
            let Ok(mut proof) = consistency_proof(&mut leaves, from, size);
            let old = leaves.root(from);
            prop_assert_eq!(verify_consistency(from, old, size, root, &proof), Ok(()));
            if !proof.is_empty() {
                let which = which.index(proof.len());
                proof[which].0[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(verify_consistency(from, old, size, root, &proof).is_err());
            }
        }
    }
}
