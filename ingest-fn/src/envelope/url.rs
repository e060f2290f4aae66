//! An HTTP request as a function URL or an API Gateway brings it, version 2.0 of the payload.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::{BASE64, EnvelopeError, whole};

/// A request.
#[derive(Debug)]
pub struct HttpEvent {
    /// `POST`
    pub method: String,
    /// Its path, without the stage that API Gateway may put before it.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; none if it is said to be base64 and is not.
    pub body: Option<Vec<u8>>,
    /// Who AWS says the caller is, if it asked.
    pub caller: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
    raw_path: Option<Cow<'a, str>>,
    #[serde(default)]
    headers: HashMap<Cow<'a, str>, Cow<'a, str>>,
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
    path: Cow<'a, str>,
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

pub(super) fn request(event: &str) -> Result<HttpEvent, EnvelopeError> {
    let event: Event<'_> = whole(event)?;
    let version = event.version.unwrap_or_default();
    let (Some(Http { method, path }), "2.0") = (event.request_context.http, version.as_ref())
    else {
        let found = format!("an HTTP request with payload version {version:.20?}");
        return Err(EnvelopeError::Unknown { found });
    };
    let path = event.raw_path.unwrap_or(path);
    let stage = event.request_context.stage.filter(|stage| stage != "$default");
    let below = stage.and_then(|stage| {
        path.strip_prefix('/')?.strip_prefix(stage.as_ref()).filter(|rest| rest.starts_with('/'))
    });
    let body = event.body.unwrap_or_default();
    Ok(HttpEvent {
        method: method.into_owned(),
        path: below.unwrap_or(&path).to_owned(),
        headers: headers(&event.headers),
        body: if event.is_base64_encoded {
            BASE64.decode(body.as_ref()).ok()
        } else {
            Some(body.as_bytes().to_vec())
        },
        caller: event.request_context.authorizer.and_then(caller),
    })
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
