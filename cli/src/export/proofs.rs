//! Proofs of the events of an answer, in one tar file.

use std::collections::BTreeSet;

use archive::Reader;
use archive::prove::Prover;
use archive::sorted::Sorter;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use common::SegmentId;

use super::{Target, tar};
use crate::exit::{Exit, Failure};

/// A segment's id and a row's number: events in the order of both.
type Event = [u8; 24];

/// The events of an answer, kept in little memory however many there are.
#[derive(Debug)]
pub(crate) struct Events {
    segment: usize,
    row: usize,
    sorter: Sorter<24>,
}

impl Events {
    /// Of an answer with these columns.
    ///
    /// # Errors
    /// If they do not say which events the rows are of.
    pub(crate) fn of(schema: &Schema) -> Result<Self, Failure> {
        match (schema.index_of("segment"), schema.index_of("segment_row")) {
            (Ok(segment), Ok(row)) => Ok(Self { segment, row, sorter: Sorter::default() }),
            _ => Err(Failure::usage(
                "--proofs: expected the columns segment and segment_row in the answer, which say \
                 which events its rows are of",
            )),
        }
    }

    /// Notes the events of these rows. A row without one, as an outer join gives, has no proof.
    ///
    /// # Errors
    /// If the columns are not those of events.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let wrong = |found: &dyn std::fmt::Display| {
            Failure::new(
                Exit::Query,
                format!(
                    "--proofs: expected segment and segment_row as mesh_events has them, found \
                     {found}"
                ),
            )
        };
        let segments = cast(batch.column(self.segment), &DataType::Utf8).map_err(|e| wrong(&e))?;
        let rows = cast(batch.column(self.row), &DataType::Int64).map_err(|e| wrong(&e))?;
        let (segments, rows) = (segments.as_string::<i32>(), rows.as_primitive::<Int64Type>());
        for (segment, row) in segments.iter().zip(rows.iter()) {
            let (Some(segment), Some(row)) = (segment, row) else { continue };
            let segment: SegmentId = segment.parse().map_err(|e| wrong(&e))?;
            let row = u64::try_from(row).map_err(|e| wrong(&e))?;
            let mut event: Event = [0; 24];
            event[..16].copy_from_slice(segment.as_bytes());
            event[16..].copy_from_slice(&row.to_be_bytes());
            self.sorter.push(event)?;
        }
        Ok(())
    }
}

/// Writes a proof of each event, and says how many there are. One segment is in memory at a time.
///
/// # Errors
/// If an event can not be proven, or the target not be written.
pub(crate) async fn write_proofs(
    events: Events,
    reader: &Reader,
    target: &mut Target,
) -> Result<u64, Failure> {
    let prover = Prover::open(reader).await?;
    let mut sorted = events.sorter.sorted();
    let mut sorted = sorted.read()?;
    let mut count = 0;
    let mut next = sorted.next()?;
    while let Some(first) = next {
        let (segment, row) = parts(first);
        let mut rows = BTreeSet::from([row]);
        next = sorted.next()?;
        while let Some(event) = next {
            let (of, row) = parts(event);
            if of != segment {
                break;
            }
            let _ = rows.insert(row);
            next = sorted.next()?;
        }
        let proofs = prover.segment(segment, rows.clone()).await?;
        for row in rows {
            let name = format!("{segment}-{row}.tlog-proof");
            target.write(&tar::entry(&name, proofs.proof(row)?.as_bytes())).await?;
            count += 1;
        }
    }
    target.write(&tar::END).await?;
    Ok(count)
}

fn parts(event: Event) -> (SegmentId, u64) {
    let (mut segment, mut row) = ([0; 16], [0; 8]);
    segment.copy_from_slice(&event[..16]);
    row.copy_from_slice(&event[16..]);
    (SegmentId::from_bytes(segment), u64::from_be_bytes(row))
}
