//! A store in an S3 bucket, below a prefix.

mod asker;
mod upload;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::Sha256Digest;
use common::digest::Hasher;
use futures::TryStreamExt;
use http::Method;
use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider, Checksum, S3ConditionalPut,
};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, GetResult, ObjectStore,
    ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion,
};

use self::asker::Asker;
use super::{Backend, Digested, Listed, Objects, PutOnce, Shared, Stamped, Upload};
use crate::error::ArchiveError;
use crate::options::StoreOptions;

/// An S3 prefix.
#[derive(Debug, Clone)]
pub(super) struct S3Store {
    url: String,
    objects: Objects,
    /// The same place for conditional writes, without repetition: object_store repeats them after
    /// a 5xx or a lost answer, then meets its own object and reports it as another's.
    puts: Objects,
    /// Asks for what the store computed of an object when it came, which object_store does not.
    asker: Arc<Asker>,
    /// Signs URLs; knows the bucket and not the prefix.
    signer: Arc<AmazonS3>,
    prefix: Path,
    /// The version of each object that is read; the newest, if none.
    version: Option<String>,
}

/// Times a request is repeated after 5xx or a lost connection, where that can do no harm.
const REQUEST_RETRIES_MAX: usize = 4;

/// Time after which a request is not repeated again.
const REQUEST_RETRY_TIME_MAX: Duration = Duration::from_secs(60);

/// Longest time for one request: 1 GiB at 4 MB/s.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(270);

impl S3Store {
    pub(super) fn new(
        url: &str,
        bucket: &str,
        prefix: &str,
        options: &StoreOptions,
    ) -> Result<Self, ArchiveError> {
        let refused = |source: Error| ArchiveError::Refused {
            operation: "set up",
            object: url.to_owned(),
            hint: "correct the S3 settings",
            source: Box::new(source),
        };
        let below = Path::parse(prefix).map_err(|e| refused(e.into()))?;
        let connect = |retries_max: usize| -> Result<Arc<AmazonS3>, ArchiveError> {
            let s3 = builder(bucket, retries_max, options).map_err(refused)?;
            Ok(Arc::new(s3.build().map_err(refused)?))
        };
        let within = |s3: &Arc<AmazonS3>| -> Objects {
            if prefix.is_empty() {
                return Arc::clone(s3) as Objects;
            }
            Arc::new(PrefixStore::new(Arc::clone(s3), below.clone()))
        };
        let (signer, puts) = (connect(REQUEST_RETRIES_MAX)?, connect(0)?);
        let (objects, puts) = (within(&signer), within(&puts));
        let asker = Arc::new(Asker::new(bucket, prefix, options));
        Ok(Self {
            url: url.to_owned(),
            objects,
            puts,
            asker,
            signer,
            prefix: below.clone(),
            version: None,
        })
    }

    fn error(&self, operation: &'static str, key: &str, source: Error) -> ArchiveError {
        let object = format!("{}/{key}", self.url);
        let hint = match &source {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                "check the credentials and what they permit"
            }
            Error::NotFound { .. } => "check that the bucket exists",
            Error::InvalidPath { source } => {
                let expected = "no object below the archive's URL whose key is no path";
                return ArchiveError::Key { key: source.to_string(), expected };
            }
            Error::NotSupported { .. } | Error::NotImplemented { .. } => {
                "the store lacks a feature that archives need (conditional writes)"
            }
            Error::UnknownConfigurationKey { .. } => "correct the S3 settings",
            _ => return ArchiveError::Store { operation, object, source: Box::new(source) },
        };
        ArchiveError::Refused { operation, object, hint, source: Box::new(source) }
    }

    async fn request(
        &self,
        key: &str,
        mut options: GetOptions,
    ) -> Result<Option<GetResult>, ArchiveError> {
        options.version.clone_from(&self.version);
        match self.objects.get_opts(&path(key)?, options).await {
            Ok(result) => Ok(Some(result)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.error("get", key, e)),
        }
    }
}

fn client_options(options: &StoreOptions) -> ClientOptions {
    ClientOptions::new().with_allow_http(options.allow_http).with_timeout(REQUEST_TIME_MAX)
}

/// The credentials that S3 would be asked with, for a service beside it.
pub(crate) fn aws_credentials(options: &StoreOptions) -> Result<AwsCredentialProvider, Error> {
    // No request goes to the bucket of this name.
    Ok(builder("none", 0, options)?.build()?.credentials().clone())
}

/// A bucket that is not the archive's, to read from.
pub(super) fn landing_bucket(bucket: &str, options: &StoreOptions) -> Result<Objects, Error> {
    Ok(Arc::new(builder(bucket, REQUEST_RETRIES_MAX, options)?.build()?))
}

fn builder(
    bucket: &str,
    retries_max: usize,
    options: &StoreOptions,
) -> Result<AmazonS3Builder, Error> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in &options.extra {
        builder = builder.with_config(name.parse::<AmazonS3ConfigKey>()?, value);
    }
    builder = builder
        .with_bucket_name(bucket)
        .with_region(options.region.as_deref().unwrap_or("us-east-1"))
        .with_allow_http(options.allow_http)
        .with_virtual_hosted_style_request(options.virtual_hosted)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // The store checks the bytes it received, and a later HEAD can prove them.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_client_options(client_options(options))
        .with_http_connector(options.clients.clone())
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: retries_max,
            retry_timeout: REQUEST_RETRY_TIME_MAX,
        });
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(id) = &options.access_key_id {
        builder = builder.with_access_key_id(id);
    }
    if let Some(secret) = &options.secret_access_key {
        builder = builder.with_secret_access_key(secret);
    }
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token);
    }
    Ok(builder)
}

impl S3Store {
    /// One conditional put.
    async fn put_if(&self, key: &str, path: &Path, mode: PutMode, bytes: Bytes) -> PutOnce {
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.puts.put_opts(path, bytes.into(), options).await {
            Ok(stored) => PutOnce::Created(known(stored.version)),
            // object_store reports both 412 and 409 as AlreadyExists, but only around a 412 (or
            // 304) it puts an error of its own.
            Err(Error::AlreadyExists { source, .. })
                if source.downcast_ref::<Error>().is_some() =>
            {
                PutOnce::AlreadyThere
            }
            Err(Error::Precondition { .. } | Error::NotModified { .. }) => PutOnce::AlreadyThere,
            Err(e) => match self.error("put", key, e) {
                refused @ ArchiveError::Refused { .. } => PutOnce::Failed(refused),
                unknown => PutOnce::Unknown(unknown),
            },
        }
    }
}

#[async_trait]
impl Backend for S3Store {
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Bytes>, ArchiveError> {
        let Some(result) = self.request(key, GetOptions::default()).await? else { return Ok(None) };
        if result.meta.size > bytes_max {
            let object = format!("{}/{key}", self.url);
            return Err(ArchiveError::TooLong { object, bytes: result.meta.size, bytes_max });
        }
        result.bytes().await.map(Some).map_err(|e| self.error("get", key, e))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, ArchiveError> {
        if range.is_empty() {
            return Ok(self.head(key).await?.map(|_| Bytes::new()));
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let Some(result) = self.request(key, options).await? else { return Ok(None) };
        result.bytes().await.map(Some).map_err(|e| self.error("get", key, e))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        Ok(self.request(key, options).await?.map(|result| result.meta.size))
    }

    async fn head_digest(
        &self,
        key: &str,
    ) -> Result<Option<(u64, Option<Sha256Digest>)>, ArchiveError> {
        if let Some(asked) = self.asker.ask(key, self.version.as_deref()).await {
            return Ok(Some(asked));
        }
        Ok(self.head(key).await?.map(|bytes| (bytes, None)))
    }

    async fn version(&self, key: &str) -> Result<Option<String>, ArchiveError> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        Ok(self.request(key, options).await?.and_then(|result| known(result.meta.version)))
    }

    fn at_version(&self, version: &str) -> Option<Arc<dyn Backend>> {
        Some(Arc::new(Self { version: Some(version.to_owned()), ..self.clone() }))
    }

    async fn digest(&self, key: &str) -> Result<Option<Digested>, ArchiveError> {
        let Some(result) = self.request(key, GetOptions::default()).await? else { return Ok(None) };
        let mut stream = result.into_stream();
        let (mut hasher, mut bytes) = (Hasher::new(), 0);
        while let Some(chunk) = stream.try_next().await.map_err(|e| self.error("get", key, e))? {
            hasher.update(&chunk);
            bytes += super::length(&chunk);
        }
        Ok(Some(Digested { bytes, sha256: hasher.finish() }))
    }

    async fn put_once(&self, key: &str, bytes: Bytes) -> PutOnce {
        let path = match path(key) {
            Ok(path) => path,
            Err(e) => return PutOnce::Failed(e),
        };
        self.put_if(key, &path, PutMode::Create, bytes).await
    }

    async fn get_stamped(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<Stamped>, ArchiveError> {
        let Some(result) = self.request(key, GetOptions::default()).await? else { return Ok(None) };
        let object = format!("{}/{key}", self.url);
        if result.meta.size > bytes_max {
            return Err(ArchiveError::TooLong { object, bytes: result.meta.size, bytes_max });
        }
        let Some(stamp) = result.meta.e_tag.clone() else {
            return Err(ArchiveError::Refused {
                operation: "replace",
                object,
                hint: "the store must give entity tags and honour If-Match, as S3 does",
                source: "the answer has no ETag".into(),
            });
        };
        let bytes = result.bytes().await.map_err(|e| self.error("get", key, e))?;
        Ok(Some(Stamped { bytes, stamp }))
    }

    async fn swap_once(&self, key: &str, stamp: &str, bytes: Bytes) -> PutOnce {
        let path = match path(key) {
            Ok(path) => path,
            Err(e) => return PutOnce::Failed(e),
        };
        let version = UpdateVersion { e_tag: Some(stamp.to_owned()), version: None };
        self.put_if(key, &path, PutMode::Update(version), bytes).await
    }

    async fn list_page(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<Listed>, ArchiveError> {
        let folder = path(prefix.trim_end_matches('/'))?;
        let mut stream = match start_after {
            Some(key) => self.objects.list_with_offset(Some(&folder), &path(key)?),
            None => self.objects.list(Some(&folder)),
        };
        let mut page = Vec::new();
        while page.len() < count_max {
            let next = stream.try_next().await.map_err(|e| self.error("list", prefix, e))?;
            let Some(meta) = next else { break };
            let key = meta.location.to_string();
            // A folder marker, as some tools create, comes back without its slash.
            if key.starts_with(prefix) {
                page.push(Listed { key, bytes: meta.size, stamp: meta.e_tag });
            }
        }
        Ok(page)
    }

    async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        match self.objects.delete(&path(key)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.error("delete", key, e)),
        }
    }

    fn objects(&self) -> Result<Objects, ArchiveError> {
        Ok(Arc::clone(&self.objects))
    }

    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>, ArchiveError> {
        let begun = self.objects.put_multipart(&path(key)?).await;
        let parts = begun.map_err(|e| self.error("put", key, e))?;
        Ok(Box::new(upload::S3Upload::new(self.clone(), key, parts)))
    }

    async fn shared_url(&self, key: &str, lasts: Duration) -> Result<Shared, ArchiveError> {
        let below = path(key)?;
        let path: Path = self.prefix.parts().chain(below.parts()).collect();
        let signed = self.signer.signed_url(Method::GET, &path, lasts).await;
        let url = signed.map_err(|e| self.error("sign a URL of", key, e))?.into();
        Ok(Shared { url, ends: true })
    }
}

fn path(key: &str) -> Result<Path, ArchiveError> {
    Path::parse(key).map_err(|_| ArchiveError::Key {
        key: key.to_owned(),
        expected: "a key an object store accepts",
    })
}

/// A version, unless it is that of objects from before the bucket kept any.
fn known(version: Option<String>) -> Option<String> {
    version.filter(|version| !version.is_empty() && version != "null")
}
