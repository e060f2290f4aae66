//! Records of one length, kept in little memory: sorted in parts that go to unnamed temporary
//! files, which vanish with the process. So a verification takes no more memory for an archive of
//! ten years than for one of a month, and the digest of an answer no more for a long one.
//!
//! Deliberately not here: what the records mean.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use crate::error::ArchiveError;

/// Bytes of records in memory before a part is written out.
const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes read from each part at once.
const READ_BYTES: usize = 64 * 1024;

/// Most parts: each is an open file, of which a process may have about a thousand. When there are
/// so many, they become one.
const PARTS_MAX: usize = 128;

/// Collects records to be read in order.
#[derive(Debug)]
pub struct Sorter<const N: usize> {
    waiting: Vec<[u8; N]>,
    waiting_max: usize,
    parts: Vec<File>,
}

impl<const N: usize> Default for Sorter<N> {
    fn default() -> Self {
        Self::with_memory(MEMORY_BYTES_MAX)
    }
}

impl<const N: usize> Sorter<N> {
    fn with_memory(bytes_max: usize) -> Self {
        let waiting_max = (bytes_max / N.max(1)).max(2);
        Self { waiting: Vec::new(), waiting_max, parts: Vec::new() }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// If a temporary file can not be written.
    pub fn push(&mut self, record: [u8; N]) -> Result<(), ArchiveError> {
        self.waiting.push(record);
        if self.waiting.len() >= self.waiting_max {
            self.waiting.sort_unstable();
            self.parts.push(write_part(&self.waiting).map_err(temporary)?);
            self.waiting.clear();
            if self.parts.len() >= PARTS_MAX {
                self.join_parts()?;
            }
        }
        Ok(())
    }

    fn join_parts(&mut self) -> Result<(), ArchiveError> {
        let parts = std::mem::take(&mut self.parts);
        let mut sorted = Sorted::<N> { memory: Vec::new(), parts };
        let mut joined = BufWriter::new(tempfile::tempfile().map_err(temporary)?);
        let mut records = sorted.read()?;
        while let Some(record) = records.next()? {
            joined.write_all(&record).map_err(temporary)?;
        }
        self.parts.push(joined.into_inner().map_err(|e| temporary(e.into_error()))?);
        Ok(())
    }

    /// All records, which can be read in order any number of times.
    pub fn sorted(mut self) -> Sorted<N> {
        self.waiting.sort_unstable();
        Sorted { memory: self.waiting, parts: self.parts }
    }
}

fn write_part<const N: usize>(records: &[[u8; N]]) -> std::io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(records.as_flattened())?;
    Ok(file)
}

/// Sorted records.
#[derive(Debug)]
pub struct Sorted<const N: usize> {
    memory: Vec<[u8; N]>,
    parts: Vec<File>,
}

impl<const N: usize> Sorted<N> {
    /// Reads them from the first on.
    ///
    /// # Errors
    /// If a temporary file can not be read.
    pub fn read(&mut self) -> Result<Merge<'_, N>, ArchiveError> {
        let mut merge =
            Merge { memory: self.memory.iter(), parts: Vec::new(), next: BinaryHeap::new() };
        for part in &mut self.parts {
            part.seek(SeekFrom::Start(0)).map_err(temporary)?;
            merge.parts.push(BufReader::with_capacity(READ_BYTES, part));
        }
        for source in 0..=merge.parts.len() {
            merge.refill(source)?;
        }
        Ok(merge)
    }
}

/// Records of several parts, merged.
#[derive(Debug)]
pub struct Merge<'a, const N: usize> {
    memory: std::slice::Iter<'a, [u8; N]>,
    parts: Vec<BufReader<&'a mut File>>,
    /// The first record of each source that is not used up; sources are the parts, then memory.
    next: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Merge<'_, N> {
    /// The next record in order, equal ones each by itself; `None` after the last.
    ///
    /// # Errors
    /// If a temporary file can not be read.
    #[allow(
        clippy::should_implement_trait,
        reason = "it can fail, and an iterator of results would be read past an error"
    )]
    pub fn next(&mut self) -> Result<Option<[u8; N]>, ArchiveError> {
        let Some(Reverse((record, source))) = self.next.pop() else { return Ok(None) };
        self.refill(source)?;
        Ok(Some(record))
    }

    fn refill(&mut self, source: usize) -> Result<(), ArchiveError> {
        let record = match self.parts.get_mut(source) {
            Some(part) => read_record(part).map_err(temporary)?,
            None => self.memory.next().copied(),
        };
        self.next.extend(record.map(|record| Reverse((record, source))));
        Ok(())
    }
}

fn read_record<const N: usize>(part: &mut impl Read) -> std::io::Result<Option<[u8; N]>> {
    let mut record = [0; N];
    match part.read_exact(&mut record) {
        Ok(()) => Ok(Some(record)),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(e),
    }
}

fn temporary(source: std::io::Error) -> ArchiveError {
    ArchiveError::Io {
        operation: "use a temporary file in",
        path: std::env::temp_dir().display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain generator, so that a failure is the same on every machine.
    fn numbers(count: u32) -> Vec<[u8; 4]> {
        let mut state = 7u32;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state % 1_000).to_be_bytes()
            })
            .collect()
    }

    #[test]
    fn records_come_back_sorted_however_many_parts_they_took() {
        // With 8 bytes of memory, parts of two: more parts than are kept.
        for count in [0, 1, 2, 7, 500, 5_000] {
            let mut expected = numbers(count);
            for memory_bytes in [8, 100, 1 << 20] {
                let mut sorter = Sorter::with_memory(memory_bytes);
                for record in numbers(count) {
                    sorter.push(record).unwrap();
                }
                let mut sorted = sorter.sorted();
                expected.sort_unstable();
                for _ in 0..2 {
                    let mut read = sorted.read().unwrap();
                    let mut found = Vec::new();
                    while let Some(record) = read.next().unwrap() {
                        found.push(record);
                    }
                    assert_eq!(found, expected, "{count} in {memory_bytes} bytes");
                }
            }
        }
    }
}
