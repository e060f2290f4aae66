//! A compactor and an expirer, as small as they can be, since no program has them yet: files of a
//! date are merged into one, or all files of a date leave the table. What they read, put and win
//! or lose goes through the real seats.

use std::collections::BTreeSet;

use archive::log::Log;
use archive::sample::removing_commit;
use archive::{Archive, ArchiveError, CommitPut, Mode, Snapshot};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use common::Sha256Digest;
use common::date::EventDate;
use common::layout::data_key;
use common::manifest::FileEntry;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Files of one date that are in the table, with the log that says so.
pub(crate) struct Chosen {
    log: Log,
    pub(crate) files: Vec<FileEntry>,
}

/// Looks at the table and takes the files of the first date that has any, or the last.
pub(crate) async fn choose(archive: &Archive, first: bool) -> Result<Option<Chosen>, ArchiveError> {
    let snapshot: Snapshot = archive.reader().snapshot(Mode::Strict).await?;
    let dates: BTreeSet<EventDate> =
        snapshot.files.iter().map(|file| file.entry.event_date).collect();
    let date = if first { dates.first() } else { dates.last() };
    let Some(date) = date else { return Ok(None) };
    let files = snapshot.files.iter().filter(|file| file.entry.event_date == *date);
    let files = files.map(|file| file.entry.clone()).collect();
    Ok(Some(Chosen { log: snapshot.log.clone(), files }))
}

impl Chosen {
    /// Puts one file in the place of all.
    pub(crate) async fn compact(&self, archive: &Archive) -> Result<CommitPut, ArchiveError> {
        let mut batches = Vec::new();
        for file in &self.files {
            let bytes = archive.reader().store().get(&file.path).await?;
            batches.extend(decode(bytes.expect("a file of the table")));
        }
        let merged = encode(&batches);
        let sha256 = Sha256Digest::of(&merged);
        let first = &self.files[0];
        if data_key(first.event_date, sha256) == first.path {
            // It was merged before, and nothing came since.
            return Ok(CommitPut::Lost);
        }
        let entry = FileEntry {
            path: data_key(first.event_date, sha256),
            sha256,
            bytes: merged.len() as u64,
            rows: self.files.iter().map(|file| file.rows).sum(),
            event_time_micros_min: self.times(|file| file.event_time_micros_min).min().unwrap(),
            event_time_micros_max: self.times(|file| file.event_time_micros_max).max().unwrap(),
            stats: common::stats::FileStats::new(),
            version: None,
            ..first.clone()
        };
        let _ = archive.writer().put_file(&entry.path, merged).await?;
        self.commit(archive, &[entry]).await
    }

    /// Takes all of them out of the table.
    pub(crate) async fn expire(&self, archive: &Archive) -> Result<CommitPut, ArchiveError> {
        self.commit(archive, &[]).await
    }

    fn times(&self, of: impl Fn(&FileEntry) -> i64) -> impl Iterator<Item = i64> {
        self.files.iter().map(of)
    }

    async fn commit(
        &self,
        archive: &Archive,
        adds: &[FileEntry],
    ) -> Result<CommitPut, ArchiveError> {
        let removes: Vec<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        let bytes = removing_commit(&self.log, &removes, adds)?;
        archive.sealer().put_commit(self.log.next_version(), bytes).await
    }
}

fn decode(bytes: Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

fn encode(batches: &[RecordBatch]) -> Bytes {
    let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), None).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap().into()
}
