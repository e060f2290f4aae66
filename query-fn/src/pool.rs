//! The memory of queries, charged with what operators take and not with what they count.

use std::fmt;
use std::num::NonZeroUsize;

use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// First come, first served; for each byte that an operator counts, some are taken.
#[derive(Debug)]
pub(crate) struct ChargedPool {
    pool: GreedyMemoryPool,
    charge: NonZeroUsize,
}

impl ChargedPool {
    /// A pool of so many bytes, of which `charge` are taken for each that is counted.
    pub(crate) fn new(bytes: usize, charge: NonZeroUsize) -> Self {
        Self { pool: GreedyMemoryPool::new(bytes), charge }
    }

    /// What that many bytes take; half of all addresses at most, as the pool adds to it.
    fn taken(&self, counted: usize) -> usize {
        counted.saturating_mul(self.charge.get()).min(usize::MAX / 2)
    }
}

impl fmt::Display for ChargedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

impl MemoryPool for ChargedPool {
    fn name(&self) -> &str {
        self.pool.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, self.taken(additional));
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, self.taken(shrink));
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.pool.try_grow(reservation, self.taken(additional))
    }

    fn reserved(&self) -> usize {
        self.pool.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn each_byte_counted_takes_its_charge_until_it_is_given_back() {
        let pool: Arc<dyn MemoryPool> =
            Arc::new(ChargedPool::new(100, NonZeroUsize::new(4).unwrap()));
        let counted = MemoryConsumer::new("operator").register(&pool);
        counted.try_grow(20).unwrap();
        assert_eq!((counted.size(), pool.reserved()), (20, 80));
        counted.try_grow(6).unwrap_err();
        counted.try_grow(5).unwrap();
        counted.shrink(24);
        assert_eq!((counted.size(), pool.reserved()), (1, 4));
        counted.try_grow(usize::MAX / 2).unwrap_err();
        drop(counted);
        assert_eq!(pool.reserved(), 0);
    }
}
