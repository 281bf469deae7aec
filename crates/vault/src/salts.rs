//! The salts of an event's rows: one seed for all of them, from which single ones can be cut out for good.
//!
//! A tree of four children a node (Goldreich, Goldwasser and Micali): a child is a hash of its parent, the leaves are the
//! salts. Whoever has a node has all salts under it and learns nothing of others. To erase a salt, the nodes on the way
//! to it are replaced by their other children: three seeds a level, 21 seeds for 16,384 rows; then nothing leads to it
//! any more, and every other salt is what it was.
//!
//! Four children and not two: a salt costs 1 1/3 hashes instead of 2, and an erasure 3/2 as many seeds, which are rare.
//!
//! # Source
//!
//! Goldreich, Goldwasser, Micali, "How to Construct Random Functions" (J. ACM 33, 1986); as a puncturable function,
//! Boneh and Waters 2013. The hash of a child, one block of SHA-256, is ours: `docs/vault.md`.

use crate::hashing::child;
use std::fmt;

/// Children of a node.
const WIDTH: u32 = 4;

/// What is kept of a tree of salts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Salts {
    count: u32,
    depth: u8,
    // INVARIANT (nodes are apart): sorted by the first row under them; no two have a row in common.
    nodes: Vec<Node>,
}

#[derive(Clone, PartialEq, Eq)]
struct Node {
    /// 0 is the root, `depth` are the salts.
    level: u8,
    index: u32,
    seed: [u8; 32],
}

/// Bytes of a node as it is written.
const NODE_BYTES: usize = 1 + 4 + 32;

fn depth_for(count: u32) -> u8 {
    (0..=16).find(|depth| WIDTH.checked_pow(*depth).is_none_or(|leaves| leaves >= count)).expect("4^16 is 2^32") as u8
}

impl Salts {
    pub(crate) fn new(count: u32, seed: [u8; 32]) -> Self {
        Self { count, depth: depth_for(count), nodes: vec![Node { level: 0, index: 0, seed }] }
    }

    /// Returns the seed that all salts follow from; `None` once one was cut out.
    pub(crate) fn whole(&self) -> Option<[u8; 32]> {
        match self.nodes.as_slice() {
            [Node { level: 0, seed, .. }] => Some(*seed),
            _ => None,
        }
    }

    /// How many rows lie under a node of a level.
    fn span(&self, level: u8) -> u64 {
        u64::from(WIDTH).pow(u32::from(self.depth - level))
    }

    fn first_row(&self, node: &Node) -> u64 {
        u64::from(node.index) * self.span(node.level)
    }

    /// Where in `nodes` the one over a row is.
    fn over(&self, row: u32) -> Option<usize> {
        let at = self.nodes.partition_point(|node| self.first_row(node) <= u64::from(row)).checked_sub(1)?;
        let node = &self.nodes[at];
        (u64::from(row) < self.first_row(node) + self.span(node.level)).then_some(at)
    }

    /// Returns the salt of a row; `None` if it was cut out, or never was.
    pub(crate) fn salt(&self, row: u32) -> Option<[u8; 32]> {
        let node = &self.nodes[self.over(row).filter(|_| row < self.count)?];
        let below = (node.level + 1)..=self.depth;
        Some(below.fold(node.seed, |seed, level| child(&seed, self.step(row, level))))
    }

    /// Tells whether a row has a salt, without deriving it.
    pub(crate) fn over_row(&self, row: u32) -> bool {
        row < self.count && self.over(row).is_some()
    }

    /// Which child of its parent the node over `row` at `level` is.
    fn step(&self, row: u32, level: u8) -> u8 {
        ((u64::from(row) / self.span(level)) % u64::from(WIDTH)) as u8
    }

    /// Calls `each` with the salts of the rows from `from` to `to`, the end excluded, in order; those cut out are left out.
    pub(crate) fn each(&self, from: u32, to: u32, mut each: impl FnMut(u32, &[u8; 32])) {
        let to = to.min(self.count);
        for node in &self.nodes {
            self.descend(node.level, self.first_row(node), &node.seed, (u64::from(from), u64::from(to)), &mut each);
        }
    }

    fn descend(
        &self,
        level: u8,
        first: u64,
        seed: &[u8; 32],
        range: (u64, u64),
        each: &mut impl FnMut(u32, &[u8; 32]),
    ) {
        if first >= range.1 || first + self.span(level) <= range.0 {
            return;
        }
        if level == self.depth {
            each(first as u32, seed);
            return;
        }
        let span = self.span(level + 1);
        for which in 0..WIDTH as u8 {
            let first = first + u64::from(which) * span;
            if first < range.1 && first + span > range.0 {
                self.descend(level + 1, first, &child(seed, which), range, each);
            }
        }
    }

    /// Cuts the salt of a row out; does nothing if that was done.
    pub(crate) fn cut(&mut self, row: u32) {
        let Some(at) = self.over(row) else { return };
        let Node { level, index, seed } = self.nodes.remove(at);
        let mut kept = Vec::new();
        let (mut index, mut seed) = (index, seed);
        for level in (level + 1)..=self.depth {
            let step = self.step(row, level);
            for which in (0..WIDTH as u8).filter(|which| *which != step) {
                let node = Node { level, index: index * WIDTH + u32::from(which), seed: child(&seed, which) };
                // Beyond the last row there is nothing to keep.
                if self.first_row(&node) < u64::from(self.count) {
                    kept.push(node);
                }
            }
            seed = child(&seed, step);
            index = index * WIDTH + u32::from(step);
        }
        kept.sort_by_key(|node| self.first_row(node));
        self.nodes.splice(at..at, kept);
    }

    /// Writes how many nodes there are, and the nodes.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend((self.nodes.len() as u32).to_be_bytes());
        for node in &self.nodes {
            bytes.push(node.level);
            bytes.extend(node.index.to_be_bytes());
            bytes.extend(node.seed);
        }
    }

    /// Reads what [`Salts::write`] writes, for `count` rows; `None` if it is not that.
    pub(crate) fn read(count: u32, bytes: &mut &[u8]) -> Option<Self> {
        let (n_nodes, rest) = bytes.split_first_chunk::<4>()?;
        let (nodes, rest) = rest.split_at_checked((u32::from_be_bytes(*n_nodes) as usize).checked_mul(NODE_BYTES)?)?;
        *bytes = rest;
        let mut salts = Self { count, depth: depth_for(count), nodes: Vec::with_capacity(nodes.len() / NODE_BYTES) };
        let mut next = 0;
        for node in nodes.chunks_exact(NODE_BYTES) {
            let (level, index) = (node[0], u32::from_be_bytes(node[1..5].try_into().expect("four bytes")));
            if level > salts.depth {
                return None;
            }
            let node = Node { level, index, seed: node[5..].try_into().expect("32 bytes") };
            let first = salts.first_row(&node);
            if first < next || first >= u64::from(count.max(1)) {
                return None;
            }
            next = first + salts.span(level);
            salts.nodes.push(node);
        }
        Some(salts)
    }
}

impl fmt::Debug for Salts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Salts(of {} rows, {} seeds)", self.count, self.nodes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn cutting_one_salt_leaves_every_other_as_it_was(count in 1_u32..700, cut in proptest::collection::vec(any::<u32>(), 0..12), seed: [u8; 32]) {
            let whole = Salts::new(count, seed);
            let mut salts = whole.clone();
            let cut: BTreeSet<u32> = cut.into_iter().map(|row| row % count).collect();
            for row in &cut {
                salts.cut(*row);
                salts.cut(*row);
            }
            for row in 0..count {
                prop_assert_eq!(salts.salt(row), whole.salt(row).filter(|_| !cut.contains(&row)), "row {}", row);
            }
            prop_assert_eq!(salts.salt(count), None);
            let mut listed = Vec::new();
            salts.each(count / 3, count, |row, salt| listed.push((row, *salt)));
            let expected: Vec<_> = (count / 3..count).filter_map(|row| Some((row, salts.salt(row)?))).collect();
            prop_assert_eq!(listed, expected);
            // No seed that is kept leads to a salt that was cut out.
            for node in &salts.nodes {
                let rows = salts.first_row(node)..salts.first_row(node) + salts.span(node.level);
                prop_assert!(cut.iter().all(|row| !rows.contains(&u64::from(*row))));
            }
            let mut bytes = Vec::new();
            salts.write(&mut bytes);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(Salts::read(count, &mut rest), Some(salts));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn an_erasure_costs_three_seeds_a_level() {
        let mut salts = Salts::new(16_384, [1; 32]);
        salts.cut(12_345);
        assert_eq!(salts.nodes.len(), 21);
        assert_eq!(format!("{salts:?}"), "Salts(of 16384 rows, 21 seeds)");
    }

    #[test]
    fn all_salts_differ() {
        let salts = Salts::new(5000, [1; 32]);
        let mut all = BTreeSet::new();
        salts.each(0, 5000, |_, salt| {
            all.insert(*salt);
        });
        assert_eq!(all.len(), 5000);
    }
}
