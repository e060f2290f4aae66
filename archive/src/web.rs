//! Requests to services beside the bucket: AWS's by their JSON protocol, others by a plain POST.
//!
//! They go through the HTTP client and the credentials of the object store, so that no second
//! client is linked. Every request is bounded in time, every answer in length. Nothing is repeated
//! here: whether that does harm only the caller knows.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, ReqwestConnector};
use thiserror::Error;
use url::Url;

use crate::error::Cause;
use crate::options::StoreOptions;
use crate::store::aws_credentials;

/// Longest time for one request: a key or a witness answers in milliseconds.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest time until a connection stands.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Longest answer, in bytes; a signature, a public key or a few lines have less than 2 kB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status of HTTP.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

/// A service gave no answer that could be used.
#[derive(Debug, Error)]
pub enum WebError {
    /// What names the service is no URL that may be asked.
    #[error("{url:?}: expected {expected}")]
    Url {
        /// As it was given.
        url: String,
        /// What would be understood.
        expected: &'static str,
    },
    /// No answer came, or not a whole one.
    #[error("no answer of {url}: {source}")]
    Silence {
        /// Whom was asked.
        url: String,
        /// The client's words.
        source: Cause,
    },
    /// The answer is longer than any that is right.
    #[error("{url}: expected an answer of at most {ANSWER_BYTES_MAX} bytes, found a longer one")]
    TooLong {
        /// Whom was asked.
        url: String,
    },
    /// There is nothing to sign a request with.
    #[error("no AWS credentials for {url}: {source}")]
    Credentials {
        /// Who was to be asked.
        url: String,
        /// Why.
        source: Cause,
    },
}

/// A client for other services.
#[derive(Debug, Clone)]
pub struct Web {
    client: HttpClient,
}

impl Web {
    /// A client. No request is made.
    ///
    /// # Errors
    /// If the machine's TLS can not be set up.
    pub fn new() -> Result<Self, WebError> {
        let options = ClientOptions::new()
            // What may be asked without TLS is for the caller to say, who knows what is at stake.
            .with_allow_http(true)
            .with_timeout(REQUEST_TIME_MAX)
            .with_connect_timeout(CONNECT_TIME_MAX);
        let connected = ReqwestConnector::default().connect(&options);
        let client = connected.map_err(|e| WebError::Silence {
            url: "any service".to_owned(),
            source: Box::new(e),
        })?;
        Ok(Self { client })
    }

    /// Posts a body.
    ///
    /// # Errors
    /// If the URL is none, or no whole answer of bounded length comes. Any status is an answer.
    pub async fn post(&self, url: &str, body: impl Into<Bytes> + Send) -> Result<Answer, WebError> {
        let request = request(url, body.into())?;
        self.execute(url, request).await
    }

    /// Posts a body of JSON.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn post_json(&self, url: &str, json: String) -> Result<Answer, WebError> {
        let mut request = request(url, json.into())?;
        let kind = http_value("application/json", url)?;
        request.headers_mut().insert("content-type", kind);
        self.execute(url, request).await
    }

    async fn execute(&self, url: &str, request: HttpRequest) -> Result<Answer, WebError> {
        let silence = |source: Cause| WebError::Silence { url: url.to_owned(), source };
        let answer = self.client.execute(request).await.map_err(|e| silence(e.into()))?;
        let status = answer.status().as_u16();
        let mut stream = answer.into_body().bytes_stream();
        let mut body = Vec::new();
        while let Some(chunk) = stream.try_next().await.map_err(|e| silence(e.into()))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(WebError::TooLong { url: url.to_owned() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body: body.into() })
    }
}

/// A header's value.
fn http_value<T: std::str::FromStr>(text: &'static str, url: &str) -> Result<T, WebError> {
    let source = || Cause::from(text);
    text.parse().map_err(|_| WebError::Silence { url: url.to_owned(), source: source() })
}

/// A POST of a body.
fn request(url: &str, body: Bytes) -> Result<HttpRequest, WebError> {
    let wrong = || WebError::Url {
        url: url.chars().take(200).collect(),
        expected: "http:// or https:// and a host",
    };
    // The signer of requests parses the URL again, and takes it for right.
    let parsed = Url::parse(url).map_err(|_| wrong())?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
        return Err(wrong());
    }
    let mut request = HttpRequest::new(body.into());
    *request.method_mut() = "POST".parse().map_err(|_| wrong())?;
    *request.uri_mut() = parsed.as_str().parse().map_err(|_| wrong())?;
    Ok(request)
}

const JSON_1_0: &str = "application/x-amz-json-1.0";
const JSON_1_1: &str = "application/x-amz-json-1.1";

/// An AWS service that speaks JSON, such as KMS or SQS.
#[derive(Debug, Clone)]
pub struct Aws {
    web: Web,
    url: String,
    service: &'static str,
    region: String,
    credentials: AwsCredentialProvider,
}

impl Aws {
    /// A service in a region, reached with the credentials that the bucket is reached with. No
    /// request is made.
    ///
    /// # Errors
    /// If the settings are not understood.
    pub fn new(
        service: &'static str,
        region: &str,
        endpoint: Option<&str>,
        options: &StoreOptions,
    ) -> Result<Self, WebError> {
        let is_region = region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if region.is_empty() || !is_region {
            let expected = "a region such as eu-central-1";
            return Err(WebError::Url { url: region.to_owned(), expected });
        }
        // China's endpoints have another domain.
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = match endpoint {
            Some(endpoint) => endpoint.to_owned(),
            None => format!("https://{service}.{region}.{domain}/"),
        };
        let credentials = aws_credentials(options)
            .map_err(|e| WebError::Credentials { url: url.clone(), source: Box::new(e) })?;
        Ok(Self { web: Web::new()?, url, service, region: region.to_owned(), credentials })
    }

    /// Where it is asked.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes one call; `target` is the service's version and operation, such as
    /// `TrentService.Sign`.
    ///
    /// # Errors
    /// If no credentials are found, or no whole answer of bounded length comes.
    pub async fn call(&self, target: &'static str, json: String) -> Result<Answer, WebError> {
        let refused = |source: Cause| WebError::Credentials { url: self.url.clone(), source };
        let credential =
            self.credentials.get_credential().await.map_err(|e| refused(Box::new(e)))?;
        let mut request = request(&self.url, json.into())?;
        if let Some(token) = &credential.token {
            // The signer of requests takes it for one that fits a header.
            let token =
                token.parse().map_err(|_| refused("a session token of odd bytes".into()))?;
            request.headers_mut().insert("x-amz-security-token", token);
        }
        let header = |text: &'static str| text.parse().map_err(|_| refused(text.into()));
        // SQS speaks the older version alone, KMS the newer one.
        let kind = if self.service == "sqs" { JSON_1_0 } else { JSON_1_1 };
        let (kind, target) = (header(kind)?, header(target)?);
        request.headers_mut().insert("content-type", kind);
        request.headers_mut().insert("x-amz-target", target);
        AwsAuthorizer::new(&credential, self.service, &self.region).authorize(&mut request, None);
        self.web.execute(&self.url, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_or_region_is_refused_before_anybody_is_asked() {
        for url in ["", "nothing", "file:///etc/passwd", "http://", "ftp://host/", "https:host:x"] {
            assert!(request(url, Bytes::new()).is_err(), "{url:?}");
        }
        assert!(request("http://127.0.0.1:1/a?b", Bytes::new()).is_ok());
        let options = StoreOptions::default();
        for region in ["", "eu west", "eu/../", "a.evil.example"] {
            assert!(Aws::new("kms", region, None, &options).is_err(), "{region:?}");
        }
        let url = |region| Aws::new("kms", region, None, &options).unwrap().url().to_owned();
        assert_eq!(url("eu-central-1"), "https://kms.eu-central-1.amazonaws.com/");
        assert_eq!(url("cn-north-1"), "https://kms.cn-north-1.amazonaws.com.cn/");
    }
}
