//! An answer as a file or an object, whole or not at all, in bounded memory; with proofs of its
//! events beside it, if they are wanted.

mod proofs;
pub(crate) mod tar;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use archive::StoreOptions;
use common::Sha256Digest;
use common::digest::Hasher;
use query_fn::Answer;
use query_fn::rows::{Destination, Format, RowWriter};

use crate::args::ExportPlace;
use crate::exit::Failure;
use crate::whole::WholeFile;

pub(crate) use proofs::{Events, write_proofs};

/// Bytes that are gathered before they are written out.
const GATHERED_BYTES: usize = 1024 * 1024;

/// A file or an object on its way. It is there when [`Target::finish`] says so, and not before.
pub(crate) struct Target {
    place: Under,
    hasher: Hasher,
    bytes: u64,
}

enum Under {
    File(WholeFile),
    Object(Box<archive::Export>),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Its length.
    pub(crate) bytes: u64,
    /// Its digest.
    pub(crate) sha256: Sha256Digest,
}

impl Target {
    /// Begins a file, or an object; what is there stays until it is complete, and an object for
    /// ever.
    ///
    /// # Errors
    /// If something is there that is not to be replaced, or the place can not be written.
    pub(crate) async fn begin(
        place: &ExportPlace,
        replaces: bool,
        options: &StoreOptions,
    ) -> Result<Self, Failure> {
        let place = match place {
            ExportPlace::File(path) => Under::File(WholeFile::begin(path, replaces)?),
            ExportPlace::Object(url) => {
                Under::Object(Box::new(archive::Export::begin(url, options).await?))
            }
        };
        Ok(Self { place, hasher: Hasher::new(), bytes: 0 })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// If they can not be written; then the target should be given up.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.hasher.update(bytes);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        match &mut self.place {
            Under::File(file) => file.write(bytes),
            Under::Object(object) => Ok(object.write(bytes).await?),
        }
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// If it can not be brought there.
    pub(crate) async fn finish(self) -> Result<Written, Failure> {
        match self.place {
            Under::File(file) => file.finish()?,
            Under::Object(object) => {
                let _ = object.finish().await?;
            }
        }
        Ok(Written { bytes: self.bytes, sha256: self.hasher.finish() })
    }

    /// Removes what was written, as far as the store can be told.
    pub(crate) async fn abort(self) {
        match self.place {
            Under::File(file) => drop(file),
            Under::Object(object) => object.abort().await,
        }
    }
}

/// Bytes that were written and not taken away yet.
#[derive(Clone, Default)]
struct Gathered(Arc<Mutex<Vec<u8>>>);

impl Gathered {
    /// Takes what there is, if it is enough.
    fn take(&self, least: usize) -> Vec<u8> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() < least { Vec::new() } else { std::mem::take(&mut bytes) }
    }
}

impl Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all rows of an answer to a target, and notes which events they are of.
///
/// # Errors
/// If the query fails or passes a limit, or the target can not be written.
pub(crate) async fn write_rows(
    answer: &mut Answer,
    format: Format,
    target: &mut Target,
    mut events: Option<&mut Events>,
) -> Result<(), Failure> {
    let gathered = Gathered::default();
    let mut writer =
        RowWriter::new(format, &answer.schema(), Destination::Program, gathered.clone())?;
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        if let Some(events) = &mut events {
            events.add(&batch)?;
        }
        writer.write(&batch)?;
        target.write(&gathered.take(GATHERED_BYTES)).await?;
    }
    writer.finish()?;
    target.write(&gathered.take(0)).await
}
