//! How a tree is stored, by C2SP tlog-tiles: its complete subtrees eight levels at a time, and its
//! entries in bundles.
//!
//! [`Edge`] writes: it keeps the tiles that are not full yet and gives out those that become so.
//! [`Tiles`] reads: what it is given is checked against the root before a hash of it is used.

mod bundle;
mod edge;
mod reader;
mod whole;

use std::fmt;

use crate::error::TlogError;

pub use bundle::{ENTRY_BYTES_MAX, entries, push_entry};
pub use edge::Edge;
pub use reader::Tiles;
pub use whole::Whole;

/// Levels of the tree in one tile.
pub const HEIGHT: u8 = 8;

/// Hashes in a full tile, and entries in a full bundle.
pub const WIDTH: u16 = 1 << HEIGHT;

/// Highest level of a tile: 256^8 leaves are more than can be counted.
const LEVEL_MAX: u8 = 7;

/// A tile of hashes, or a bundle of entries, and how much of it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// What it holds.
    pub of: Of,
    /// Place among those of its level.
    pub index: u64,
    /// How many hashes or entries it has, 1 to [`WIDTH`].
    pub width: u16,
}

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Of {
    /// Hashes of subtrees of 256^level leaves.
    Hashes(u8),
    /// Entries.
    Entries,
}

impl Tile {
    /// Whether it can grow no more.
    pub const fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// The most bytes it can have.
    pub const fn bytes_max(&self) -> u64 {
        let item_bytes = match self.of {
            // With its length before it.
            Of::Entries => ENTRY_BYTES_MAX as u64 + 2,
            Of::Hashes(_) => 32,
        };
        item_bytes * WIDTH as u64
    }

    /// Its place below the log's prefix.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Reads a place below the log's prefix; exactly what [`Self::path`] writes.
    ///
    /// # Errors
    /// If it is another's.
    pub fn parse(path: &str) -> Result<Self, TlogError> {
        let wrong = || TlogError::format("tile", "tile/<level>/<index>[.p/<width>]", path);
        let rest = path.strip_prefix("tile/").ok_or_else(wrong)?;
        let (level, rest) = rest.split_once('/').ok_or_else(wrong)?;
        let of = match level {
            "entries" => Of::Entries,
            level => Of::Hashes(level.parse().map_err(|_| wrong())?),
        };
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, WIDTH),
            Some((index, width)) => (index, width.parse().map_err(|_| wrong())?),
        };
        let mut number = 0u64;
        for piece in index.split('/') {
            let digits = piece.strip_prefix('x').unwrap_or(piece);
            let value: u64 = digits.parse().map_err(|_| wrong())?;
            number =
                number.checked_mul(1000).and_then(|n| n.checked_add(value)).ok_or_else(wrong)?;
        }
        let tile = Self { of, index: number, width };
        // Whatever is written in another way (zeros, signs, a missing x) is another path.
        if tile.is_possible() && tile.path() == path { Ok(tile) } else { Err(wrong()) }
    }

    fn is_possible(&self) -> bool {
        let level_fits = !matches!(self.of, Of::Hashes(level) if level > LEVEL_MAX);
        level_fits && (1..=WIDTH).contains(&self.width)
    }

    /// The tiles of one kind that a tree of `size` leaves has at its right edge and no smaller
    /// tree needs to have had: from the one in which the tree of `old` leaves ended, to its own.
    /// Full ones first to last, then the partial one if there is one.
    pub fn between(of: Of, old: u64, size: u64) -> impl Iterator<Item = Self> {
        let bits = match of {
            Of::Hashes(level) => u32::from(HEIGHT) * u32::from(level),
            Of::Entries => 0,
        };
        let in_level = |leaves: u64| leaves.checked_shr(bits).unwrap_or(0);
        let (before, now) = (in_level(old), in_level(size));
        let first = before / u64::from(WIDTH);
        (first..=now / u64::from(WIDTH)).filter_map(move |index| {
            let begin = index * u64::from(WIDTH);
            let width = now.saturating_sub(begin).min(u64::from(WIDTH));
            let had = before.saturating_sub(begin).min(u64::from(WIDTH));
            let width = u16::try_from(width).ok().filter(|&width| width > 0)?;
            (u64::from(width) > had).then_some(Self { of, index, width })
        })
    }

    /// Every tile of hashes and every bundle that a tree of `size` leaves is stored in, when the
    /// tree of `old` leaves is stored.
    pub fn all_between(old: u64, size: u64) -> impl Iterator<Item = Self> {
        let levels = (0..=LEVEL_MAX).map(Of::Hashes).chain([Of::Entries]);
        levels.flat_map(move |of| Self::between(of, old, size))
    }

    /// The partial tiles of hashes of a tree of `size` leaves, lowest level first. Together they
    /// hold its peaks.
    pub fn partial(size: u64) -> impl Iterator<Item = Self> {
        (0..=LEVEL_MAX).filter_map(move |level| {
            let count = size >> (HEIGHT * level);
            let width = u16::try_from(count % u64::from(WIDTH)).ok().filter(|&width| width > 0)?;
            Some(Self { of: Of::Hashes(level), index: count / u64::from(WIDTH), width })
        })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            Of::Hashes(level) => write!(f, "tile/{level}/")?,
            Of::Entries => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (left, group) in (0..groups.len()).rev().zip(groups.iter().rev()) {
            if left > 0 {
                write!(f, "x{group:03}/")?;
            } else {
                write!(f, "{group:03}")?;
            }
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

#[cfg(test)]
mod tests;
