//! The SHA-256 that S3 computed of an object when it came: a HEAD with `x-amz-checksum-mode`,
//! which object_store can not send, signed by its own signer with its own credentials.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Sha256Digest;
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap};
use object_store::Error;
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{
    HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector,
};
use object_store::path::Path;
use object_store::signer::Signer;

use super::{builder, client_options};
use crate::options::StoreOptions;

/// For how long the signed URL would hold of which only the place is used.
const URL_TIME: Duration = Duration::from_secs(60);

/// Asks about objects of a bucket.
#[derive(Debug)]
pub(super) struct Asker {
    s3: AmazonS3,
    client: HttpClient,
    region: String,
    prefix: String,
}

impl Asker {
    pub(super) fn new(bucket: &str, prefix: &str, options: &StoreOptions) -> Result<Self, Error> {
        let client = ReqwestConnector::default().connect(&client_options(options))?;
        Ok(Self {
            s3: builder(bucket, 0, options)?.build()?,
            client,
            region: options.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            prefix: prefix.to_owned(),
        })
    }

    /// Length and SHA-256 of an object; `None` if the store did not say so, for whatever reason:
    /// a plain HEAD then tells what is the matter.
    pub(super) async fn ask(&self, key: &str) -> Option<(u64, Option<Sha256Digest>)> {
        let path =
            if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        let path = Path::parse(path).ok()?;
        let mut url = self.s3.signed_url(Method::HEAD, &path, URL_TIME).await.ok()?;
        url.set_query(None);
        let credential = self.s3.credentials().get_credential().await.ok()?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = url.as_str().parse().ok()?;
        request.headers_mut().insert("x-amz-checksum-mode", "ENABLED".parse().ok()?);
        AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        let response = self.client.execute(request).await.ok()?;
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
