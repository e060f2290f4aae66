//! Windows hold rows until they know the values of all windows that those are in, which may be at
//! the end. The engine does not count them; these two nodes, before and behind, do.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, WindowExpr,
};
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use super::same_properties;
use super::through::{Inspect, Look, Plan, Through};

/// The node, counted if it is a window.
pub(super) fn guarded(node: Transformed<Plan>) -> Result<Transformed<Plan>> {
    let (copies, windows) = if let Some(whole) = node.data.downcast_ref::<WindowAggExec>() {
        (WHOLE_COPIES, whole.window_expr())
    } else if let Some(bounded) = node.data.downcast_ref::<BoundedWindowAggExec>() {
        (BOUNDED_COPIES, bounded.window_expr())
    } else {
        return Ok(node);
    };
    let lists = windows.iter().filter(|window| makes_lists(window.as_ref())).count();
    let held = Arc::new(Held { copies, lists, partitions: Mutex::default() });
    let children = node.data.children().into_iter().map(|child| {
        let held = Arc::clone(&held);
        Through::plan(child, Counted { held, side: Side::Before })
    });
    let children = children.collect();
    let input = node.data.replace_children(children, same_properties())?;
    Ok(Transformed::yes(Through::plan(&input, Counted { held, side: Side::Behind })))
}

/// Whether each row gets a list of the rows of its window.
fn makes_lists(window: &dyn WindowExpr) -> bool {
    let window = window.as_any();
    let plain = window.downcast_ref::<PlainAggregateWindowExpr>();
    let sliding = window.downcast_ref::<SlidingAggregateWindowExpr>();
    let aggregate = plain.map(PlainAggregateWindowExpr::get_aggregate_expr);
    let aggregate =
        aggregate.or_else(|| sliding.map(SlidingAggregateWindowExpr::get_aggregate_expr));
    aggregate.is_some_and(|aggregate| LISTS.contains(&aggregate.fun().name()))
}

/// What a window holds, by partition.
#[derive(Debug)]
struct Held {
    copies: usize,
    /// Windows that make a list for each row.
    lists: usize,
    partitions: Mutex<HashMap<usize, Count>>,
}

#[derive(Debug)]
struct Count {
    reservation: MemoryReservation,
    rows: usize,
    bytes: usize,
    rows_given: usize,
}

impl Held {
    fn begin(&self, partition: usize, context: &TaskContext) {
        let reservation = MemoryConsumer::new("Window").register(context.memory_pool());
        let count = Count { reservation, rows: 0, bytes: 0, rows_given: 0 };
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = partitions.insert(partition, count);
    }

    /// Counts rows that went in, or came out.
    fn count(&self, side: Side, partition: usize, batch: &RecordBatch) -> Result<()> {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = partitions.get_mut(&partition) else { return Ok(()) };
        match side {
            Side::Before => {
                count.rows = count.rows.saturating_add(batch.num_rows());
                count.bytes = count.bytes.saturating_add(batch.get_array_memory_size());
            }
            Side::Behind => {
                count.rows_given = count.rows_given.saturating_add(batch.num_rows());
            }
        }
        let left = count.rows.saturating_sub(count.rows_given);
        let row_bytes = count.bytes / count.rows.max(1);
        let held = left.saturating_mul(row_bytes).saturating_mul(self.copies);
        // Each row's list may have all rows, also those that were handed on.
        let lists = count.rows.saturating_mul(count.bytes).saturating_mul(self.lists);
        count.reservation.try_resize(held.saturating_add(lists))
    }

    fn end(&self, partition: usize) {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = partitions.remove(&partition);
    }
}

/// Gives back what is held of a partition, however its stream ends.
struct Ended(Arc<Held>, usize);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    Behind,
}

/// Counts the rows on one side of a window.
#[derive(Debug)]
struct Counted {
    held: Arc<Held>,
    side: Side,
}

impl Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowGuard: {:?}", self.side)
    }
}

impl Inspect for Counted {
    fn name(&self) -> &'static str {
        "WindowGuard"
    }

    fn begin(&self, partition: usize, context: &TaskContext) -> Look {
        // The node behind begins, since it is asked first.
        let ended = (self.side == Side::Behind).then(|| {
            self.held.begin(partition, context);
            Ended(Arc::clone(&self.held), partition)
        });
        let (held, side) = (Arc::clone(&self.held), self.side);
        Box::new(move |batch| {
            let _ = &ended;
            held.count(side, partition, batch)
        })
    }
}

/// Aggregates whose value is as long as all rows together.
const LISTS: &[&str] = &["array_agg", "string_agg"];

/// The rows as they came, all of them in one piece, and the values of the windows.
const WHOLE_COPIES: usize = 3;

/// The rows in one piece, and the values of the windows.
const BOUNDED_COPIES: usize = 2;
