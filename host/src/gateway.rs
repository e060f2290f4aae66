//! An HTTP request as a function URL or an API Gateway brings it: version 2.0 of the payload.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use thiserror::Error;

/// A request.
#[derive(Debug)]
pub struct GatewayRequest {
    /// `POST`
    pub method: String,
    /// Its path, without the stage that API Gateway may put before it.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; why there is none, if it is said to be base64 and is not.
    pub body: Result<Vec<u8>, String>,
    /// Who AWS says the caller is, if it asked: the ARN of a user or role, without the name of
    /// the role's session, or `jwt:<issuer>:<subject>`.
    pub caller: Option<String>,
}

/// No such request.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// It has another form.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// It is in another version of the payload.
    #[error("an HTTP request with payload version {0}; set it to 2.0")]
    Version(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
    raw_path: Option<Cow<'a, str>>,
    headers: Option<HashMap<Cow<'a, str>, Cow<'a, str>>>,
    request_context: Context<'a>,
    body: Option<Cow<'a, str>>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    http: Option<Http<'a>>,
    authorizer: Option<Authorizer<'a>>,
    stage: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Http<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    path: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Authorizer<'a> {
    #[serde(borrow)]
    iam: Option<Iam<'a>>,
    jwt: Option<Jwt<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Iam<'a> {
    #[serde(borrow)]
    user_arn: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Jwt<'a> {
    #[serde(borrow, default)]
    claims: HashMap<Cow<'a, str>, Cow<'a, str>>,
}

impl GatewayRequest {
    /// Reads an event.
    ///
    /// # Errors
    /// If it is none of this version.
    pub fn read(event: &[u8]) -> Result<Self, GatewayError> {
        let event: Event<'_> = serde_json::from_slice(event)?;
        let version = event.version.unwrap_or(Cow::Borrowed("none"));
        let (Some(Http { method, path }), "2.0") = (event.request_context.http, version.as_ref())
        else {
            return Err(GatewayError::Version(version.chars().take(20).collect()));
        };
        let path = event.raw_path.or(path).unwrap_or_default();
        let body = event.body.unwrap_or_default();
        Ok(Self {
            method: method.into_owned(),
            path: below_stage(&path, event.request_context.stage.as_deref()).to_owned(),
            headers: headers(&event.headers.unwrap_or_default()),
            body: if event.is_base64_encoded {
                BASE64.decode(body.as_ref()).map_err(|e| e.to_string())
            } else {
                Ok(body.into_owned().into_bytes())
            },
            caller: event.request_context.authorizer.and_then(caller),
        })
    }

    /// A header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// API Gateway puts the name of a stage before the path, unless it is the default one.
fn below_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    let below = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    match below {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

fn headers(all: &HashMap<Cow<'_, str>, Cow<'_, str>>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(all.len());
    for (name, value) in all {
        // One that is no header was none to the gateway's HTTP either.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn caller(authorizer: Authorizer<'_>) -> Option<String> {
    let iam = authorizer.iam.and_then(|iam| iam.user_arn);
    let subject = authorizer.jwt.and_then(|mut jwt| {
        let issuer = jwt.claims.remove("iss").unwrap_or_default();
        Some(format!("jwt:{issuer}:{}", jwt.claims.remove("sub")?))
    });
    iam.map(|arn| without_session(&arn)).filter(|arn| !arn.is_empty()).or(subject)
}

/// A role's name without that of its session, which is another each time.
fn without_session(arn: &str) -> String {
    match arn.rsplit_once('/') {
        Some((role, _)) if role.contains(":assumed-role/") => role.to_owned(),
        _ => arn.to_owned(),
    }
}

/// Base64 as events have it. Padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, stage: &str) -> GatewayRequest {
        let event = serde_json::json!({
            "version": "2.0",
            "rawPath": path,
            "headers": {"Content-Type": "application/json", "no header": "x"},
            "requestContext": {
                "http": {"method": "POST", "path": path},
                "stage": stage,
                "authorizer": {"iam": {
                    "userArn": "arn:aws:sts::111122223333:assumed-role/analyst/session-7",
                }},
            },
            "body": "e30",
            "isBase64Encoded": true,
        });
        GatewayRequest::read(event.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_read_without_its_stage_and_session() {
        let request = at("/prod/v1/query", "prod");
        assert_eq!(request.path, "/v1/query");
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.headers.len(), 1);
        assert_eq!(request.body.as_deref(), Ok(b"{}".as_slice()));
        let role = "arn:aws:sts::111122223333:assumed-role/analyst";
        assert_eq!(request.caller.as_deref(), Some(role));
        for (path, stage, below) in
            [("/prod", "prod", "/"), ("/product", "prod", "/product"), ("/x", "$default", "/x")]
        {
            assert_eq!(at(path, stage).path, below);
        }
    }

    #[test]
    fn what_is_no_request_of_version_2_says_what_it_is() {
        let error = |event: &str| GatewayRequest::read(event.as_bytes()).unwrap_err().to_string();
        let old = error(r#"{"version": "1.0", "requestContext": {}}"#);
        assert!(old.contains("payload version 1.0; set it to 2.0"), "{old}");
        let none = error(r#"{"requestContext": {"http": {"method": "GET"}}}"#);
        assert!(none.contains("payload version none"), "{none}");
        assert!(error("{}").contains("requestContext"));
    }
}
