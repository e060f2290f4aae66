//! Objects that others put somewhere for us to read: never the archive's own. They are read by
//! version, since another object may have the same key by the time its notification comes.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
#[cfg(any(test, feature = "fault"))]
use object_store::ObjectStoreExt;
#[cfg(any(test, feature = "fault"))]
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange};

use super::Objects;
use super::s3::landing_bucket;
use crate::error::ArchiveError;
use crate::options::StoreOptions;

/// The places objects may be read from; whoever sends notifications chooses among them alone.
pub struct Landing {
    places: Vec<Place>,
    options: StoreOptions,
    /// Buckets that were asked before.
    buckets: Mutex<HashMap<String, Objects>>,
    /// Entity tags go out in quotes, as HTTP has them; a store in memory has them without.
    quotes: &'static str,
}

/// Everything in a bucket whose key begins so.
#[derive(Debug, Clone)]
struct Place {
    bucket: String,
    prefix: String,
}

/// Objects in memory that land, for tests.
#[cfg(any(test, feature = "fault"))]
#[derive(Debug, Default)]
pub struct Shelf(Arc<InMemory>);

#[cfg(any(test, feature = "fault"))]
impl Shelf {
    /// Puts an object; returns its entity tag.
    ///
    /// # Errors
    /// If the key is none.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<String, ArchiveError> {
        let landed = Landed { bucket: "memory", key, version: None, e_tag: None };
        let put = self.0.put(&path(landed)?, bytes.into()).await;
        put.map(|put| put.e_tag.unwrap_or_default()).map_err(|e| error(landed, e))
    }
}

/// Which object, and which of those that had its key.
#[derive(Debug, Clone, Copy)]
pub struct Landed<'a> {
    /// Its bucket.
    pub bucket: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Its version, if the bucket keeps them.
    pub version: Option<&'a str>,
    /// Its entity tag, without quotes; looked at if there is no version.
    pub e_tag: Option<&'a str>,
}

/// Bytes read at once; larger objects are read piece by piece.
pub const LANDING_READ_BYTES: u64 = 8 * 1024 * 1024;

impl fmt::Debug for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Landing").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Landing {
    /// Places, each `s3://bucket` or `s3://bucket/prefix`, comma between them.
    ///
    /// # Errors
    /// If one is no such place.
    pub fn new(places: &str, options: &StoreOptions) -> Result<Self, ArchiveError> {
        let places = places.split(',').map(str::trim).filter(|place| !place.is_empty());
        let places = places.map(|url| {
            let wrong = || ArchiveError::Location {
                url: url.to_owned(),
                expected: "s3://bucket or s3://bucket/prefix, comma between several".to_owned(),
            };
            let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(wrong());
            }
            Ok(Place { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        });
        let places = places.collect::<Result<_, ArchiveError>>()?;
        Ok(Self { places, options: options.clone(), buckets: Mutex::default(), quotes: "\"" })
    }

    /// A landing place in memory: everything in one bucket.
    #[cfg(any(test, feature = "fault"))]
    pub fn over(bucket: &str, shelf: &Shelf) -> Self {
        let objects: Objects = Arc::<InMemory>::clone(&shelf.0);
        let place = Place { bucket: bucket.to_owned(), prefix: String::new() };
        let buckets = Mutex::new(HashMap::from([(bucket.to_owned(), objects)]));
        Self { places: vec![place], options: StoreOptions::default(), buckets, quotes: "" }
    }

    /// Whether an object lies in one of the places.
    pub fn has(&self, bucket: &str, key: &str) -> bool {
        self.places.iter().any(|place| place.bucket == bucket && key.starts_with(&place.prefix))
    }

    /// The begin of an object, all of it if it is not longer than [`LANDING_READ_BYTES`], and its
    /// length.
    ///
    /// # Errors
    /// If it is not there, is another by now, or can not be read.
    pub async fn begin(&self, object: Landed<'_>) -> Result<(Bytes, u64), ArchiveError> {
        let objects = self.bucket(object)?;
        let path = path(object)?;
        let whole = objects.get_opts(&path, self.asked(object)).await;
        let whole = whole.map_err(|e| error(object, e))?;
        let length = whole.meta.size;
        if length <= LANDING_READ_BYTES {
            let bytes = whole.bytes().await.map_err(|e| error(object, e))?;
            return Ok((bytes, length));
        }
        drop(whole);
        Ok((self.range(object, 0..LANDING_READ_BYTES).await?, length))
    }

    /// A part of an object.
    ///
    /// # Errors
    /// As [`Self::begin`], or if the object ends before the part does.
    pub async fn range(
        &self,
        object: Landed<'_>,
        range: Range<u64>,
    ) -> Result<Bytes, ArchiveError> {
        let objects = self.bucket(object)?;
        let expected = range.end - range.start;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..self.asked(object) };
        let read = objects.get_opts(&path(object)?, options).await;
        let bytes = read.map_err(|e| error(object, e))?.bytes().await;
        let bytes = bytes.map_err(|e| error(object, e))?;
        let found = super::length(&bytes);
        if found == expected {
            return Ok(bytes);
        }
        Err(ArchiveError::Length { object: url(object), expected, found })
    }

    fn asked(&self, object: Landed<'_>) -> GetOptions {
        let quoted = |tag: &str| format!("{0}{tag}{0}", self.quotes);
        GetOptions {
            version: object.version.map(str::to_owned),
            if_match: object.e_tag.filter(|_| object.version.is_none()).map(quoted),
            ..GetOptions::default()
        }
    }

    fn bucket(&self, object: Landed<'_>) -> Result<Objects, ArchiveError> {
        let Landed { bucket, key, .. } = object;
        if !self.has(bucket, key) {
            return Err(ArchiveError::Refused {
                operation: "get",
                object: url(object),
                hint: "the function was not told to read there; name the place in \
                       MESHLEDGER_LANDING",
                source: "a notification of an object in another place".into(),
            });
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(objects) = buckets.get(bucket) {
            return Ok(Arc::clone(objects));
        }
        let objects = landing_bucket(bucket, &self.options).map_err(|e| error(object, e))?;
        buckets.insert(bucket.to_owned(), Arc::clone(&objects));
        Ok(objects)
    }
}

fn url(object: Landed<'_>) -> String {
    format!("s3://{}/{}", object.bucket, object.key)
}

fn path(object: Landed<'_>) -> Result<Path, ArchiveError> {
    Path::parse(object.key).map_err(|_| ArchiveError::Key {
        key: object.key.chars().take(200).collect(),
        expected: "a key without empty parts, `.` or `..` between its slashes",
    })
}

fn error(object: Landed<'_>, source: Error) -> ArchiveError {
    let operation = "get";
    let hint = match &source {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            "the function may not read this object; check its role"
        }
        Error::NotFound { .. } => {
            let expected = "the object that a notification names; it was deleted since".to_owned();
            return ArchiveError::Missing { object: url(object), expected };
        }
        Error::Precondition { .. } | Error::NotModified { .. } => {
            let expected = "the object that a notification names; it was overwritten since, and \
                            the bucket keeps no versions: switch versioning on"
                .to_owned();
            return ArchiveError::Missing { object: url(object), expected };
        }
        _ => {
            return ArchiveError::Store {
                operation,
                object: url(object),
                source: Box::new(source),
            };
        }
    };
    ArchiveError::Refused { operation, object: url(object), hint, source: Box::new(source) }
}
