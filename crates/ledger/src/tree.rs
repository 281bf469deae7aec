//! The tree as it grows: what must be kept in memory to append, and the root at any moment.
//!
//! A [`Frontier`] holds the perfect subtrees that make up the tree (at most 64 hashes) and the hashes of the partial tile
//! of each level (at most 255 each, about 41 kB for 2^40 leaves). Appending costs one leaf hash and, on average, one
//! node hash; nothing of the finished tree is ever read again.
//!
//! Out of scope: where tiles are kept (`sequencer`), and reading a tree that somebody else wrote ([`crate::reader`]).

use crate::hash::Hash;
use crate::tile::{TILE_HEIGHT, TILE_WIDTH, TileId};

/// What is kept of a tree to append to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    // INVARIANT (stack covers the tree): one hash for each bit set in `size`, largest subtree first.
    stack: Vec<Hash>,
    // INVARIANT (edges are the partial tiles): `edges[l]` has `floor(size / 256^l) mod 256` hashes.
    edges: Vec<Vec<Hash>>,
    hashed: u64,
}

/// A tile that has become full, with its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// Which tile it is; its width is 256.
    pub id: TileId,
    /// Its 256 hashes.
    pub hashes: Vec<Hash>,
}

/// Why a frontier cannot be made of the tiles at hand.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the partial tile at level {level} of a tree of {size} entries has {found} hashes, expected {expected}")]
pub struct WrongEdge {
    /// The level of the tile.
    pub level: u8,
    /// Entries in the tree.
    pub size: u64,
    /// Hashes handed over.
    pub found: usize,
    /// Hashes such a tree has there.
    pub expected: u64,
}

impl Frontier {
    /// Returns the frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a frontier of a tree of `size` entries from the hashes of its partial tiles.
    ///
    /// `edge` is asked for each level that has a partial tile, lowest first, and returns its hashes.
    /// The caller compares [`root`](Self::root) with the signed one: here, only widths are checked.
    ///
    /// # Errors
    ///
    /// [`WrongEdge`] if a tile has another width than a tree of this size has there; whatever `edge` fails with.
    pub fn from_edges<E: From<WrongEdge>>(
        size: u64,
        mut edge: impl FnMut(TileId) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, E> {
        let mut edges = Vec::new();
        for id in TileId::partials(size) {
            let hashes = edge(id)?;
            if hashes.len() != usize::from(id.width()) {
                return Err(
                    WrongEdge { level: id.level(), size, found: hashes.len(), expected: id.width().into() }.into()
                );
            }
            edges.resize_with(usize::from(id.level()) + 1, Vec::new);
            edges[usize::from(id.level())] = hashes;
        }
        let mut frontier = Self { size, stack: Vec::new(), edges, hashed: 0 };
        let mut stack = Vec::new();
        for level in (0..frontier.edges.len()).rev() {
            let edge = frontier.edges[level].clone();
            let mut at = 0;
            for bit in (0..TILE_HEIGHT).rev() {
                let run = 1 << bit;
                if edge.len() & run != 0 {
                    stack.push(frontier.fold(&edge[at..at + run]));
                    at += run;
                }
            }
        }
        frontier.stack = stack;
        Ok(frontier)
    }

    /// Returns how many entries the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns how many times SHA-256 has run since the frontier was made. What appending costs is counted, not timed.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }

    /// Returns the hashes of the partial tile at `level`; empty if there is none.
    pub fn edge(&self, level: u8) -> &[Hash] {
        self.edges.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// Appends an entry; `filled` takes each tile that it completes, lowest level first.
    ///
    /// # Returns
    ///
    /// The hash of the leaf.
    pub fn append(&mut self, entry: &[u8], filled: impl FnMut(FullTile)) -> Hash {
        let leaf = Hash::leaf(entry);
        self.hashed += 1;
        self.append_leaf(leaf, filled);
        leaf
    }

    /// Appends a leaf whose hash is known.
    ///
    /// # Panics
    ///
    /// After 2^64 - 1 leaves.
    pub fn append_leaf(&mut self, leaf: Hash, mut filled: impl FnMut(FullTile)) {
        let index = self.size;
        self.push_edge(0, index, leaf, &mut filled);
        // Each trailing one of the index is a perfect subtree as large as the one just completed: the two become one.
        let mut hash = leaf;
        for height in 1..=index.trailing_ones() {
            let left = self.stack.pop().expect("stack covers the tree: one hash for each bit set");
            hash = Hash::node(&left, &hash);
            self.hashed += 1;
            if height % TILE_HEIGHT == 0 {
                self.push_edge((height / TILE_HEIGHT) as u8, index >> height, hash, &mut filled);
            }
        }
        self.stack.push(hash);
        self.size = self.size.checked_add(1).expect("a tree has fewer than 2^64 entries");
    }

    fn push_edge(&mut self, level: u8, index: u64, hash: Hash, filled: &mut impl FnMut(FullTile)) {
        let at = usize::from(level);
        if self.edges.len() <= at {
            self.edges.resize_with(at + 1, Vec::new);
        }
        let edge = &mut self.edges[at];
        if edge.capacity() == 0 {
            edge.reserve_exact(TILE_WIDTH as usize);
        }
        edge.push(hash);
        if edge.len() == TILE_WIDTH as usize {
            let hashes = std::mem::take(edge);
            filled(FullTile { id: TileId::full(level, index / TILE_WIDTH), hashes });
        }
    }

    /// Returns the root of the tree.
    ///
    /// # Source
    ///
    /// RFC 6962, §2.1: the perfect subtrees are folded from the right.
    pub fn root(&mut self) -> Hash {
        let Some((last, rest)) = self.stack.split_last() else { return Hash::EMPTY };
        self.hashed += rest.len() as u64;
        rest.iter().rev().fold(*last, |right, left| Hash::node(left, &right))
    }

    fn fold(&mut self, hashes: &[Hash]) -> Hash {
        self.hashed += hashes.len() as u64 - 1;
        perfect_root(hashes)
    }
}

/// Returns the root over a power of two of hashes.
///
/// # Panics
///
/// If there is none, or their number is no power of two.
pub(crate) fn perfect_root(hashes: &[Hash]) -> Hash {
    assert!(hashes.len().is_power_of_two(), "a perfect subtree has a power of two of leaves");
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| Hash::node(&pair[0], &pair[1])).collect();
    }
    row[0]
}

/// Returns the root of the tree over these leaves; [`Hash::EMPTY`] without any.
///
/// # Source
///
/// RFC 6962, §2.1 (`MTH`).
pub fn root_of(leaves: impl IntoIterator<Item = Hash>) -> Hash {
    let mut stack: Vec<(u32, Hash)> = Vec::new();
    for leaf in leaves {
        let (mut height, mut hash) = (0, leaf);
        while let Some(&(top, left)) = stack.last()
            && top == height
        {
            hash = Hash::node(&left, &hash);
            height += 1;
            stack.pop();
        }
        stack.push((height, hash));
    }
    let mut folded = stack.into_iter().rev().map(|(_, hash)| hash);
    let Some(last) = folded.next() else { return Hash::EMPTY };
    folded.fold(last, |right, left| Hash::node(&left, &right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The eight leaves that every implementation of RFC 6962 is tried with, and their roots.
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    fn leaves(count: u64) -> impl Iterator<Item = Hash> {
        (0..count).map(|index| Hash::leaf(&index.to_be_bytes()))
    }

    #[test]
    fn roots_are_those_of_the_known_answers() {
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root(), Hash::EMPTY);
        for (leaf, root) in LEAVES.iter().zip(ROOTS) {
            frontier.append(&unhex(leaf), |_| ());
            assert_eq!(frontier.root().to_hex(), root);
        }
    }

    #[test]
    fn tiles_fill_lowest_first_and_upper_hashes_exist_only_over_full_tiles() {
        let mut frontier = Frontier::new();
        let mut filled = Vec::new();
        for leaf in leaves(65_536) {
            frontier.append_leaf(leaf, |tile| filled.push(tile));
        }
        assert_eq!(filled.len(), 257);
        assert_eq!(filled[255].id, TileId::full(0, 255));
        assert_eq!(filled[256].id, TileId::full(1, 0));
        assert_eq!(filled[256].hashes[3], perfect_root(&filled[3].hashes));
        assert_eq!(frontier.edge(0), []);
        assert_eq!(frontier.edge(2), [perfect_root(&filled[256].hashes)]);
    }

    #[test]
    fn a_batch_costs_at_most_two_hashes_an_entry_and_a_tile_a_level() {
        let mut frontier = Frontier::new();
        let mut leaf = leaves(200_000);
        for batch in [1, 2, 255, 256, 257, 1024, 4096, 65_536, 1, 100_000] {
            let before = frontier.hashed();
            for _ in 0..batch {
                // The hash of the leaf itself is counted by `append`; here it was made outside.
                frontier.append_leaf(leaf.next().expect("enough leaves"), |_| ());
            }
            frontier.root();
            let levels = u64::from(64 - frontier.size().leading_zeros()).div_ceil(8);
            assert!(frontier.hashed() - before + batch <= 2 * batch + 256 * levels, "batch of {batch}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn any_tree_grows_on_from_its_partial_tiles(size in 0_u64..70_000, more in 0_u64..600) {
            let mut whole = Frontier::new();
            for leaf in leaves(size) {
                whole.append_leaf(leaf, |_| ());
            }
            let mut resumed =
                Frontier::from_edges::<WrongEdge>(size, |id| Ok(whole.edge(id.level()).to_vec())).expect("right widths");
            prop_assert_eq!(resumed.root(), whole.root());
            for leaf in leaves(more) {
                whole.append_leaf(leaf, |_| ());
                resumed.append_leaf(leaf, |_| ());
            }
            prop_assert_eq!(resumed.root(), whole.root());
            prop_assert_eq!(resumed.root(), root_of(leaves(size).chain(leaves(more))));
        }
    }
}
