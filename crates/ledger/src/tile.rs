//! Tiles and bundles of entries: what they are called, how wide they are, and what their bytes hold.
//!
//! A log is a set of static files. A tile holds up to 256 hashes of one level of the tree; a bundle holds the entries
//! below a tile of level 0. Only the last tile of a level may be partial.
//!
//! # Source
//!
//! C2SP tlog-tiles 0.1.0.

use crate::hash::Hash;
use std::fmt;

/// Hashes of a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree that a tile spans.
pub const TILE_HEIGHT: u32 = 8;
/// Largest entry a log accepts, in bytes: bundles prefix each with a `u16` length.
pub const MAX_ENTRY_BYTES: usize = 65_535;
/// Highest level a tile may have. Trees have fewer than 2^64 leaves, so that nothing is ever above level 7; the
/// specification lets numbers up to 63 be written.
const MAX_LEVEL: u8 = 63;

/// A tile by level, index and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    level: u8,
    index: u64,
    // INVARIANT (a tile has a width): 1 to 256.
    width: u16,
}

/// A file of a log, by its path below the log's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `checkpoint`: the signed head.
    Checkpoint,
    /// `tile/L/N[.p/W]`: hashes.
    Tile(TileId),
    /// `tile/entries/N[.p/W]`: entries; the level is 0.
    Entries(TileId),
}

impl TileId {
    /// Returns the full tile at an index of a level.
    pub const fn full(level: u8, index: u64) -> Self {
        Self { level, index, width: TILE_WIDTH as u16 }
    }

    /// Returns the tile that holds the hash at `index` of `level` in a tree of `size` entries; `None` if the tree has no
    /// such hash.
    pub fn containing(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = hashes_at(level, size);
        if index >= hashes {
            return None;
        }
        let tile = index / TILE_WIDTH;
        let width = (hashes - tile * TILE_WIDTH).min(TILE_WIDTH) as u16;
        Some(Self { level, index: tile, width })
    }

    /// Lists the partial tiles of a tree of `size` entries, lowest level first. Levels whose last tile is full, or that
    /// have none, are absent.
    ///
    /// # Source
    ///
    /// C2SP tlog-tiles: the width at a level is floor(size / 256^level) mod 256.
    pub fn partials(size: u64) -> impl Iterator<Item = Self> {
        (0..=7_u8).filter_map(move |level| {
            let hashes = hashes_at(level, size);
            let width = (hashes % TILE_WIDTH) as u16;
            (width > 0).then_some(Self { level, index: hashes / TILE_WIDTH, width })
        })
    }

    /// Returns the level: 0 holds hashes of entries.
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Returns which tile of its level it is, from 0.
    pub const fn index(self) -> u64 {
        self.index
    }

    /// Returns how many hashes it holds: 1 to 256.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Tells whether it holds 256 hashes.
    pub const fn is_full(self) -> bool {
        self.width as u64 == TILE_WIDTH
    }

    /// Returns the full tile at the same place. Partial tiles may be gone once it exists.
    #[must_use]
    pub const fn filled(self) -> Self {
        Self { width: TILE_WIDTH as u16, ..self }
    }

    /// Returns the index of the first entry, where the level is 0.
    pub const fn first(self) -> u64 {
        self.index * TILE_WIDTH
    }
}

/// Returns how many hashes a level has in a tree of `size` entries: upper ones exist only over full tiles.
fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * TILE_HEIGHT).unwrap_or(0)
}

impl fmt::Display for Resource {
    /// Writes the path: `tile/0/x001/x234/067.p/9`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = match self {
            Self::Checkpoint => return formatter.write_str("checkpoint"),
            Self::Tile(id) => {
                write!(formatter, "tile/{}/", id.level)?;
                id
            }
            Self::Entries(id) => {
                formatter.write_str("tile/entries/")?;
                id
            }
        };
        let digits = id.index.to_string();
        let digits = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
        for at in (0..digits.len()).step_by(3) {
            let last = at + 3 == digits.len();
            write!(formatter, "{}{}{}", if last { "" } else { "x" }, &digits[at..at + 3], if last { "" } else { "/" })?;
        }
        if !id.is_full() {
            write!(formatter, ".p/{}", id.width)?;
        }
        Ok(())
    }
}

/// A path that names no file of a log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no path of a log; expected `checkpoint`, `tile/L/N[.p/W]` or `tile/entries/N[.p/W]`")]
pub struct NotAPath(String);

impl std::str::FromStr for Resource {
    type Err = NotAPath;

    /// Reads a path. Each file has exactly one: what is not written canonically is refused.
    fn from_str(path: &str) -> Result<Self, NotAPath> {
        let read = || {
            if path == "checkpoint" {
                return Some(Self::Checkpoint);
            }
            let (kind, place) = path.strip_prefix("tile/")?.split_once('/')?;
            let (number, width) = match place.split_once(".p/") {
                Some((number, width)) => (number, width.parse().ok().filter(|width| (1..256).contains(width))?),
                None => (place, TILE_WIDTH as u16),
            };
            let mut index = 0_u64;
            for group in number.split('/') {
                let digits = group.strip_prefix('x').unwrap_or(group);
                if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
            }
            if kind == "entries" {
                return Some(Self::Entries(TileId { level: 0, index, width }));
            }
            let level = kind.parse().ok().filter(|level| *level <= MAX_LEVEL)?;
            Some(Self::Tile(TileId { level, index, width }))
        };
        read().filter(|resource| resource.to_string() == path).ok_or_else(|| NotAPath(path.to_owned()))
    }
}

/// What is wrong with the bytes of a tile or a bundle.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TileError {
    /// A tile of hashes has another length than its width says.
    #[error("tile has {found} bytes, expected {expected}")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes of a tile of this width.
        expected: usize,
    },
    /// A bundle ends within an entry.
    #[error("bundle ends within entry {entry} of {expected}")]
    Cut {
        /// The entry, counted from 0 within the bundle.
        entry: u16,
        /// Entries that a bundle of this width holds.
        expected: u16,
    },
    /// A bundle holds more than its entries.
    #[error("bundle has {left} bytes after its {expected} entries")]
    Beyond {
        /// Bytes left.
        left: usize,
        /// Entries that a bundle of this width holds.
        expected: u16,
    },
    /// An entry is longer than the format allows.
    #[error("entry has {found} bytes, more than the {MAX_ENTRY_BYTES} that fit")]
    TooLong {
        /// Bytes of the entry.
        found: usize,
    },
}

/// Reads the hashes of a tile of `width` hashes.
///
/// # Errors
///
/// [`TileError::Length`].
pub fn hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, TileError> {
    let expected = usize::from(width) * Hash::BYTES;
    if bytes.len() != expected {
        return Err(TileError::Length { found: bytes.len(), expected });
    }
    Ok(bytes.chunks_exact(Hash::BYTES).map(|chunk| Hash(chunk.try_into().expect("chunks have 32 bytes"))).collect())
}

/// Writes the bytes of a tile.
pub fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads the entries of a bundle of `width` entries. They borrow from `bytes`.
///
/// # Errors
///
/// [`TileError::Cut`] and [`TileError::Beyond`].
pub fn entries(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut rest = bytes;
    let mut entries = Vec::with_capacity(width.into());
    for entry in 0..width {
        let cut = TileError::Cut { entry, expected: width };
        let Some((length, after)) = rest.split_first_chunk::<2>() else { return Err(cut) };
        let Some((bytes, after)) = after.split_at_checked(u16::from_be_bytes(*length).into()) else { return Err(cut) };
        entries.push(bytes);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(TileError::Beyond { left: rest.len(), expected: width }) }
}

/// Appends an entry to the bytes of a bundle.
///
/// # Errors
///
/// [`TileError::TooLong`]; nothing is written then.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TileError> {
    let length = u16::try_from(entry.len()).map_err(|_| TileError::TooLong { found: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let path = |level, index, width| Resource::Tile(TileId { level, index, width }).to_string();
        assert_eq!(path(0, 0, 256), "tile/0/000");
        assert_eq!(path(3, 1_234_067, 256), "tile/3/x001/x234/067");
        assert_eq!(path(1, 1000, 17), "tile/1/x001/000.p/17");
        assert_eq!(
            Resource::Entries(TileId { level: 0, index: 273, width: 112 }).to_string(),
            "tile/entries/273.p/112"
        );
    }

    #[test]
    fn widths_are_those_of_the_specification() {
        let widths = |size| TileId::partials(size).map(|id| (id.level, id.index, id.width)).collect::<Vec<_>>();
        assert_eq!(widths(70_000), [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
        assert_eq!(widths(256), [(1, 0, 1)]);
        assert_eq!(widths(0), []);
        assert_eq!(widths(u64::MAX).len(), 8);
        assert_eq!(TileId::containing(0, 255, 256), Some(TileId::full(0, 0)));
        assert_eq!(TileId::containing(1, 0, 255), None);
        assert_eq!(TileId::containing(1, 272, 70_000).map(TileId::width), Some(17));
    }

    #[test]
    fn what_is_not_written_canonically_names_nothing() {
        for path in [
            "",
            "tile",
            "tile/0/",
            "tile/0/0",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/00/000",
            "tile/64/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/x001",
            "tile/0/001/x002",
            "tile/0/+01",
            "/tile/0/000",
            "tile/0/000/",
            "tile/entries/x18/446/744/073/709/551/616",
            "tile/-1/000",
            "checkpoint/",
            "tile/0/../000",
        ] {
            assert!(path.parse::<Resource>().is_err(), "{path}");
        }
    }

    #[test]
    fn a_bundle_holds_entries_of_every_length_and_nothing_else() {
        let long = vec![7; MAX_ENTRY_BYTES];
        let mut bundle = Vec::new();
        for entry in [&b""[..], b"one", &long] {
            push_entry(&mut bundle, entry).expect("they fit");
        }
        assert_eq!(entries(&bundle, 3).expect("whole"), [&b""[..], b"one", &long]);
        assert_eq!(entries(&bundle, 2), Err(TileError::Beyond { left: MAX_ENTRY_BYTES + 2, expected: 2 }));
        assert_eq!(entries(&bundle, 4), Err(TileError::Cut { entry: 3, expected: 4 }));
        bundle.pop();
        assert_eq!(entries(&bundle, 3), Err(TileError::Cut { entry: 2, expected: 3 }));
        assert_eq!(push_entry(&mut bundle, &vec![0; MAX_ENTRY_BYTES + 1]), Err(TileError::TooLong { found: 65_536 }));
    }

    proptest! {
        #[test]
        fn every_path_is_read_back(level in 0_u8..64, index: u64, width in 1_u16..=256) {
            let tile = Resource::Tile(TileId { level, index, width });
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
            let entries = Resource::Entries(TileId { level: 0, index, width });
            prop_assert_eq!(entries.to_string().parse(), Ok(entries));
        }

        #[test]
        fn no_text_is_read_as_another_path(path in "(checkpoint|tile)?/?[0-9a-z]{0,3}/[x0-9/.p]{0,20}") {
            if let Ok(resource) = path.parse::<Resource>() {
                prop_assert_eq!(resource.to_string(), path);
            }
        }
    }
}
