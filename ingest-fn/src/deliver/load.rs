//! A landed object, read piece by piece, decompressed and cut into parts.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archive::store::LANDING_READ_BYTES;
use archive::{ArchiveError, Landed, Landing};
use bytes::{Buf, Bytes};
use common::{Sha256Digest, UnitId};
use tokio::runtime::Handle;
use tokio::task::{JoinError, spawn_blocking};

use super::{Loaded, unread};
use crate::bounded::Bounded;
use crate::decompress;
use crate::envelope::ObjectRef;
use crate::error::IngestError;
use crate::parse::SourceFormat;
use crate::parts::{Part, PartReader};
use crate::payload::UNIT_DECODED_BYTES_MAX;
use crate::reject::{Reason, Reject};

/// Longest object, in bytes as it lies there: what a function archives within its 15 minutes.
const OBJECT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Most bytes of an object once it is decompressed.
const OBJECT_DECODED_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Longest object that is kept as it is when it can not be decompressed to its end.
const UNREAD_BYTES_MAX: u64 = UNIT_DECODED_BYTES_MAX as u64;

const TOO_LONG: &str = "it is longer once decompressed than an object may be";

type Parts = PartReader<Box<dyn Read + Send>>;

/// An object that is being read.
pub(super) struct Object {
    landing: Arc<Landing>,
    object: ObjectRef,
    length: u64,
    parts_max: usize,
    /// Away while a thread reads; gone at the end.
    parts: Option<Parts>,
    /// Its parts go into deliveries of their own, since there are more than one takes.
    is_large: bool,
    /// Whether the store, and not the object, is why reading failed.
    store_failed: Arc<AtomicBool>,
}

impl Object {
    /// Begins to read an object.
    pub(super) async fn open(
        landing: &Arc<Landing>,
        object: &ObjectRef,
        parts_max: usize,
    ) -> Result<Self, IngestError> {
        let (begin, length) = landing.begin(landed(object)).await?;
        if length > OBJECT_BYTES_MAX {
            let object = object.url();
            let bytes_max = OBJECT_BYTES_MAX;
            return Err(ArchiveError::TooLong { object, bytes: length, bytes_max }.into());
        }
        let store_failed = Arc::new(AtomicBool::new(false));
        let read = Pieces {
            landing: Arc::clone(landing),
            object: object.clone(),
            runtime: Handle::current(),
            at: u64::try_from(begin.len()).unwrap_or(u64::MAX),
            length,
            piece: begin,
            failed: Arc::clone(&store_failed),
        };
        let id = object.id();
        let opened = spawn_blocking(move || -> io::Result<Parts> {
            let (_, decoded) = decompress::open(read)?;
            let bounded: Box<dyn Read + Send> =
                Box::new(Bounded::new(decoded, OBJECT_DECODED_BYTES_MAX, TOO_LONG));
            Ok(PartReader::new(bounded).following(id).at_most(parts_max))
        });
        let parts = opened.await.map_err(died)?;
        let parts = parts.map_err(|source| IngestError::Input { offset_bytes: 0, source })?;
        Ok(Self {
            landing: Arc::clone(landing),
            object: object.clone(),
            length,
            parts_max,
            parts: Some(parts),
            is_large: false,
            store_failed,
        })
    }

    /// About as many bytes as the next parts will have.
    pub(super) fn length(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// Whether there is more than one delivery takes.
    pub(super) const fn is_large(&self) -> bool {
        self.is_large
    }

    /// The next parts; none at the end. What can not be read to its end is kept as it lies there,
    /// behind the parts that could be read.
    pub(super) async fn next(
        &mut self,
        item: usize,
        format: SourceFormat,
    ) -> Result<Vec<Loaded>, IngestError> {
        let Some(mut parts) = self.parts.take() else { return Ok(Vec::new()) };
        let id = self.object.id();
        let read = spawn_blocking(move || {
            let read = if format == SourceFormat::OtlpProtobuf {
                one(&mut parts, id, item)
            } else {
                some(&mut parts, item)
            };
            (parts, read)
        });
        let (parts, read) = read.await.map_err(died)?;
        match read {
            Ok(loaded) => {
                self.is_large |= !parts.is_at_end() || loaded.len() > self.parts_max;
                if !loaded.is_empty() && !parts.is_at_end() {
                    self.parts = Some(parts);
                }
                Ok(loaded)
            }
            Err(IngestError::Input { source, .. })
                if !self.store_failed.load(Ordering::Acquire) =>
            {
                let trouble = (item, &source);
                let object = as_it_is(&self.landing, &self.object, self.length, trouble);
                Ok(vec![object.await?])
            }
            Err(e) => Err(e),
        }
    }
}

/// An object as it lies there.
async fn as_it_is(
    landing: &Landing,
    object: &ObjectRef,
    length: u64,
    (item, error): (usize, &io::Error),
) -> Result<Loaded, IngestError> {
    if length > UNREAD_BYTES_MAX {
        let source = io::Error::new(error.kind(), format!("{}: {error}", object.url()));
        return Err(IngestError::Input { offset_bytes: 0, source });
    }
    let (begin, _) = landing.begin(landed(object)).await?;
    let mut bytes = begin.to_vec();
    let mut at = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    while at < length {
        let end = length.min(at + LANDING_READ_BYTES);
        bytes.extend_from_slice(&landing.range(landed(object), at..end).await?);
        at = end;
    }
    let is_bomb = error.kind() == io::ErrorKind::FileTooLarge;
    let reason = if is_bomb { Reason::DecodedTooLong } else { Reason::NotDecodable };
    let detail = format!("expected what can be decompressed to its end: {error}");
    // A part as any other, of which there is no other with these bytes.
    let id = UnitId::of_part(object.id(), Sha256Digest::of(&bytes));
    Ok(unread(item, id, bytes, Reject::new(reason, detail)))
}

fn died(e: JoinError) -> IngestError {
    let object = "a landed object".to_owned();
    ArchiveError::Task { object, source: Box::new(e) }.into()
}

fn some(parts: &mut Parts, item: usize) -> Result<Vec<Loaded>, IngestError> {
    let mut buffer = Vec::new();
    let cut = parts.next_parts(&mut buffer)?;
    // Many small objects wait at once, each with a buffer that was made for a large one.
    buffer.shrink_to_fit();
    let buffer = Bytes::from(buffer);
    let load = |part: Part| Loaded {
        item,
        id: part.id,
        sha256: part.sha256,
        sent_bytes: u64::try_from(part.range.len()).unwrap_or(u64::MAX),
        bytes: buffer.slice(part.range.clone()),
        offset_bytes: part.offset_bytes,
        continues_record: part.continues_record,
        cut_record: part.cut_record,
        unread: None,
    };
    Ok(cut.into_iter().map(load).collect())
}

/// A message of protobuf is never cut.
fn one(parts: &mut Parts, id: UnitId, item: usize) -> Result<Vec<Loaded>, IngestError> {
    let bytes = parts.read_whole(UNIT_DECODED_BYTES_MAX, TOO_LONG)?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let sha256 = Sha256Digest::of(&bytes);
    Ok(vec![Loaded {
        item,
        id: UnitId::of_part(id, sha256),
        sha256,
        sent_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        bytes: bytes.into(),
        offset_bytes: 0,
        continues_record: false,
        cut_record: false,
        unread: None,
    }])
}

fn landed(object: &ObjectRef) -> Landed<'_> {
    Landed {
        bucket: &object.bucket,
        key: &object.key,
        version: object.version.as_deref(),
        e_tag: object.e_tag.as_deref(),
    }
}

/// The bytes of an object, got some megabytes at a time by a thread that may wait for them.
struct Pieces {
    landing: Arc<Landing>,
    object: ObjectRef,
    runtime: Handle,
    at: u64,
    length: u64,
    piece: Bytes,
    failed: Arc<AtomicBool>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && self.at < self.length {
            let end = self.length.min(self.at + LANDING_READ_BYTES);
            let range = self.landing.range(landed(&self.object), self.at..end);
            self.piece = self.runtime.block_on(range).map_err(|e| {
                self.failed.store(true, Ordering::Release);
                io::Error::other(e)
            })?;
            self.at = end;
        }
        let read = self.piece.len().min(buffer.len());
        let (to, _) = buffer.split_at_mut(read);
        self.piece.copy_to_slice(to);
        Ok(read)
    }
}
