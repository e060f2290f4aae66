//! The SHA-256 that S3 computed of an object when it came: a HEAD with `x-amz-checksum-mode`,
//! which object_store can not send, signed by its own signer with its own credentials.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Sha256Digest;
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap};
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::Signer;

use super::{builder, client_options};
use crate::options::StoreOptions;

/// For how long the signed URL would hold of which only the place is used.
const URL_TIME: Duration = Duration::from_secs(60);

/// Asks about objects of a bucket.
#[derive(Debug)]
pub(super) struct Asker {
    bucket: String,
    prefix: String,
    options: StoreOptions,
    /// Made when it is first used, which few commands do; none if it can not be made.
    clients: OnceLock<Option<Clients>>,
}

#[derive(Debug)]
struct Clients {
    s3: AmazonS3,
    http: HttpClient,
}

impl Asker {
    pub(super) fn new(bucket: &str, prefix: &str, options: &StoreOptions) -> Self {
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Self { bucket, prefix, options: options.clone(), clients: OnceLock::new() }
    }

    fn clients(&self) -> Option<&Clients> {
        let make = || {
            let http = self.options.clients.connect(&client_options(&self.options)).ok()?;
            let s3 = builder(&self.bucket, 0, &self.options).ok()?.build().ok()?;
            Some(Clients { s3, http })
        };
        self.clients.get_or_init(make).as_ref()
    }

    /// Length and SHA-256 of an object, of this version if one is named; `None` if the store did
    /// not say so, for whatever reason: a plain HEAD then tells what is the matter.
    pub(super) async fn ask(
        &self,
        key: &str,
        version: Option<&str>,
    ) -> Option<(u64, Option<Sha256Digest>)> {
        let Clients { s3, http } = self.clients()?;
        let path =
            if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        let path = Path::parse(path).ok()?;
        let mut url = s3.signed_url(Method::HEAD, &path, URL_TIME).await.ok()?;
        url.set_query(None);
        if let Some(version) = version {
            url.query_pairs_mut().append_pair("versionId", version);
        }
        let credential = s3.credentials().get_credential().await.ok()?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = url.as_str().parse().ok()?;
        request.headers_mut().insert("x-amz-checksum-mode", "ENABLED".parse().ok()?);
        let region = self.options.region.as_deref().unwrap_or("us-east-1");
        AwsAuthorizer::new(&credential, "s3", region).authorize(&mut request, None);
        let response = http.execute(request).await.ok()?;
        response.status().is_success().then(|| answer(response.headers())).flatten()
    }
}

/// Length and digest, as the headers have them. A digest of digests, as of an object that came in
/// parts, has a dash and is none.
fn answer(headers: &HeaderMap) -> Option<(u64, Option<Sha256Digest>)> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    let length = headers.get(CONTENT_LENGTH).and_then(text)?.parse().ok()?;
    let sha256 = headers.get("x-amz-checksum-sha256").and_then(text);
    let sha256 = sha256.and_then(|text| STANDARD.decode(text).ok()?.try_into().ok());
    Some((length, sha256.map(Sha256Digest::from_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_digest_of_the_whole_object_vouches_for_its_length_alone() {
        let mut headers = HeaderMap::new();
        assert_eq!(answer(&headers), None);
        headers.insert(CONTENT_LENGTH, "3".parse().unwrap());
        assert_eq!(answer(&headers), Some((3, None)));
        // SHA-256 of "abc" by FIPS 180.
        let digest = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        headers.insert("x-amz-checksum-sha256", digest.parse().unwrap());
        assert_eq!(answer(&headers), Some((3, Some(Sha256Digest::of(b"abc")))));
        headers.insert("x-amz-checksum-sha256", format!("{digest}-2").parse().unwrap());
        assert_eq!(answer(&headers), Some((3, None)));
    }
}
