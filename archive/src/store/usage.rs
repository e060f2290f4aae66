//! Counters of what was asked of a store.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Requests by kind, and bytes. Requests an object store library repeats on its own after an
/// error are counted once; listings are counted by pages of [`super::LIST_PAGE_COUNT`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Reads of objects or parts of objects.
    pub gets: u64,
    /// Questions for an object's length.
    pub heads: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Writes, tried again ones included.
    pub puts: u64,
    /// Removals.
    pub deletes: u64,
    /// Bytes of object bodies read.
    pub bytes_read: u64,
    /// Bytes of object bodies stored.
    pub bytes_written: u64,
}

impl Usage {
    /// All requests.
    pub const fn requests(&self) -> u64 {
        self.gets + self.heads + self.lists + self.puts + self.deletes
    }

    /// What happened since `earlier`, a reading of the same counters.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            gets: self.gets.saturating_sub(earlier.gets),
            heads: self.heads.saturating_sub(earlier.heads),
            lists: self.lists.saturating_sub(earlier.lists),
            puts: self.puts.saturating_sub(earlier.puts),
            deletes: self.deletes.saturating_sub(earlier.deletes),
            bytes_read: self.bytes_read.saturating_sub(earlier.bytes_read),
            bytes_written: self.bytes_written.saturating_sub(earlier.bytes_written),
        }
    }
}

/// The living counters behind [`Usage`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    gets: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    puts: AtomicU64,
    deletes: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
}

// Relaxed: each counter stands for itself, nothing is ordered by them.
impl Counters {
    pub(crate) fn get(&self) {
        self.gets.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn head(&self) {
        self.heads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn list(&self) {
        self.lists.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn put(&self) {
        self.puts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn delete(&self) {
        self.deletes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read_bytes(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn wrote_bytes(&self, bytes: u64) {
        self.bytes_written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Usage {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            gets: load(&self.gets),
            heads: load(&self.heads),
            lists: load(&self.lists),
            puts: load(&self.puts),
            deletes: load(&self.deletes),
            bytes_read: load(&self.bytes_read),
            bytes_written: load(&self.bytes_written),
        }
    }
}
