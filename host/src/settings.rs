//! Settings of a function, read from the environment once, at its start. What makes no sense is
//! an error there and then, which names the variable.

use std::fmt::Display;
use std::str::FromStr;

use archive::{ArchiveError, Location, StoreOptions};
use tlog::policy::Policy;

use crate::doors;
use crate::error::HostError;

/// The value of a variable; none if it is unset or empty.
///
/// # Errors
/// If the value is none of its kind.
pub fn read<T>(name: &str) -> Result<Option<T>, HostError>
where
    T: FromStr,
    T::Err: Display,
{
    let Some(text) = doors::setting(name) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|e: T::Err| wrong(name, e, &text))
}

/// A setting that makes no sense.
pub fn wrong(name: &str, expected: impl Display, found: &str) -> HostError {
    /// Enough to recognise what was set; it may be long.
    const SHOWN_CHARS_MAX: usize = 100;
    let found = found.chars().take(SHOWN_CHARS_MAX).collect::<String>().escape_debug().to_string();
    HostError::Setting { name: name.to_owned(), expected: expected.to_string(), found }
}

/// A yes or no; no if it is unset.
///
/// # Errors
/// If it is neither.
pub fn is_on(name: &str) -> Result<bool, HostError> {
    let Some(text) = doors::setting(name) else { return Ok(false) };
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(wrong(name, "true or false", &text)),
    }
}

/// A text of several lines: the value itself, or, if it is `env:NAME`, that of another variable.
///
/// # Errors
/// If that one has none.
pub fn text(name: &str) -> Result<Option<String>, HostError> {
    let Some(text) = doors::setting(name) else { return Ok(None) };
    match text.strip_prefix("env:") {
        None => Ok(Some(text)),
        Some(other) => match doors::secret(other) {
            Some(text) => Ok(Some(text)),
            None => Err(wrong(name, "a variable that has the text", &text)),
        },
    }
}

/// Whom to trust, if `MESHLEDGER_POLICY` says so.
///
/// # Errors
/// If its text is no policy.
pub fn policy() -> Result<Option<Policy>, HostError> {
    let name = "MESHLEDGER_POLICY";
    let Some(text) = text(name)? else { return Ok(None) };
    Policy::parse(&text).map(Some).map_err(|e| wrong(name, e, &text))
}

/// Where the archive is: `MESHLEDGER_ARCHIVE`, `MESHLEDGER_WORK`, `MESHLEDGER_LOCKS`.
///
/// # Errors
/// If no archive is named, or what is named is no place for one.
pub fn location() -> Result<Location, HostError> {
    let name = "MESHLEDGER_ARCHIVE";
    let archive = doors::default_archive()
        .ok_or_else(|| wrong(name, "the archive's URL, such as s3://bucket/prefix", "nothing"))?;
    let not_a_place = |e: ArchiveError| wrong(name, e, &archive);
    let work = doors::setting("MESHLEDGER_WORK");
    let location = Location::parse(&archive, work.as_deref()).map_err(not_a_place)?;
    match doors::default_locks() {
        Some(locks) => location.with_locks(&locks).map_err(not_a_place),
        None => Ok(location),
    }
}

/// How the stores of an archive are reached.
///
/// # Errors
/// If the environment names an endpoint without TLS and does not say that this is meant.
pub fn store_options(location: &Location) -> Result<StoreOptions, HostError> {
    let mut options = doors::store_options();
    check_endpoint(location.archive_url(), &options)?;
    if location.locks_url() != location.work_url() {
        let clients = options.clients.clone();
        let locks = StoreOptions { clients, ..doors::lock_options() };
        check_endpoint(location.locks_url(), &locks)?;
        options.locks = Some(Box::new(locks));
    }
    Ok(options)
}

/// How an S3 URL is reached that is none of the archive's places.
///
/// # Errors
/// As [`store_options`].
pub fn options_for(url: &str) -> Result<StoreOptions, HostError> {
    let options = doors::store_options();
    check_endpoint(url, &options)?;
    Ok(options)
}

fn check_endpoint(place: &str, options: &StoreOptions) -> Result<(), HostError> {
    match &options.endpoint {
        Some(url)
            if place.starts_with("s3://") && url.starts_with("http://") && !options.allow_http =>
        {
            Err(HostError::NoTls { url: url.escape_debug().to_string() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_tls_must_be_meant() {
        let options = |allow_http| StoreOptions {
            endpoint: Some("http://127.0.0.1:8333".to_owned()),
            allow_http,
            ..StoreOptions::default()
        };
        let bucket = "s3://bucket/prefix";
        let error = check_endpoint(bucket, &options(false)).unwrap_err();
        assert!(error.to_string().contains("AWS_ALLOW_HTTP=true"), "{error}");
        assert!(check_endpoint(bucket, &options(true)).is_ok());
        assert!(check_endpoint("folder", &options(false)).is_ok());
    }
}
