//! The doors to what differs from run to run: the clock, the environment, randomness. Nothing
//! else in the workspace opens them; everybody else is given a value.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use archive::StoreOptions;
use common::row::RowSeed;

use crate::error::HostError;

/// Microseconds since 1970 UTC.
///
/// # Errors
/// If the clock stands before 1970, which no archive can hold.
pub fn now_micros() -> Result<i64, HostError> {
    #[expect(clippy::disallowed_methods, reason = "this is the door to the clock")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).map_err(|_| clock_is_wrong())?;
    i64::try_from(since.as_micros()).map_err(|_| clock_is_wrong())
}

const fn clock_is_wrong() -> HostError {
    HostError::Clock
}

/// How S3 is reached, from the variables that the AWS tools use.
pub fn store_options() -> StoreOptions {
    options_of(&variable)
}

/// How the place of locks is reached: from the same variables, with `MESHLEDGER_LOCKS_` before
/// each that is another there.
pub fn lock_options() -> StoreOptions {
    options_of(&|name| lock_variable(name, &variable))
}

/// A variable for the place of locks. What belongs together is taken from one side as a whole: a
/// key of one account and a token of another open nothing.
fn lock_variable(name: &str, variable: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let own = |name: &str| variable(&format!("{LOCKS_PREFIX}{name}"));
    let group = TOGETHER.iter().find(|names| names.contains(&name)).copied().unwrap_or_default();
    if group.iter().any(|name| own(name).is_some()) {
        return own(name);
    }
    own(name).or_else(|| variable(name))
}

/// How a variable begins that is for the place of locks alone.
const LOCKS_PREFIX: &str = "MESHLEDGER_LOCKS_";

/// What belongs together.
const TOGETHER: [&[&str]; 3] = [
    &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
    &["AWS_REGION", "AWS_DEFAULT_REGION"],
    &[
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
    ],
];

fn options_of(variable: &impl Fn(&str) -> Option<String>) -> StoreOptions {
    StoreOptions {
        endpoint: variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL")),
        region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
        access_key_id: variable("AWS_ACCESS_KEY_ID"),
        secret_access_key: variable("AWS_SECRET_ACCESS_KEY"),
        session_token: variable("AWS_SESSION_TOKEN"),
        allow_http: variable("AWS_ALLOW_HTTP").is_some_and(|text| is_true(&text)),
        extra: ROLE_VARIABLES
            .iter()
            .filter_map(|name| Some((name.to_ascii_lowercase(), variable(name)?)))
            .collect(),
        ..StoreOptions::default()
    }
}

/// How containers and Kubernetes service accounts are given a role; the object store knows these
/// settings by the same names in lower case.
const ROLE_VARIABLES: [&str; 6] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
];

/// The archive to use when none is named.
pub fn default_archive() -> Option<String> {
    variable("MESHLEDGER_ARCHIVE")
}

/// The place of locks to use when none is named.
pub fn default_locks() -> Option<String> {
    variable("MESHLEDGER_LOCKS")
}

/// Who holds the key that signs, when nobody is named.
pub fn key() -> Option<String> {
    variable("MESHLEDGER_KEY")
}

/// A setting of a function, by its variable.
pub fn setting(name: &str) -> Option<String> {
    variable(name)
}

/// Where metrics go and how often, in milliseconds: OpenTelemetry's variables.
pub fn metrics_endpoint() -> Option<(String, Option<u64>)> {
    let own = variable("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
    let of_all = || {
        let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT")?;
        Some(format!("{}/v1/metrics", base.trim_end_matches('/')))
    };
    let interval = variable("OTEL_METRIC_EXPORT_INTERVAL").and_then(|text| text.parse().ok());
    Some((own.or_else(of_all)?, interval))
}

/// A variable that the user named, such as one with a key's text.
pub fn secret(name: &str) -> Option<String> {
    // These are no names, and the system's call would not come back from them.
    variable(name).filter(|_| !name.contains(['=', '\0']))
}

/// Where AWS KMS is asked, if not at AWS.
pub fn kms_endpoint() -> Option<String> {
    variable("AWS_ENDPOINT_URL_KMS").or_else(|| variable("AWS_ENDPOINT_URL"))
}

/// Whether the user asked for no colours (<https://no-color.org>).
pub fn no_color() -> bool {
    variable("NO_COLOR").is_some()
}

/// Folder for what a user would miss a little, such as the shell's history.
pub fn state_dir() -> Option<PathBuf> {
    let base = match variable("XDG_STATE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(variable("HOME")?).join(".local").join("state"),
    };
    base.is_absolute().then(|| base.join("meshledger"))
}

/// A new table id: a random UUID, version 4.
///
/// # Errors
/// If the operating system gives no randomness.
pub fn new_table_id() -> Result<String, HostError> {
    let mut random = [0_u8; 16];
    fill(&mut random)?;
    Ok(uuid(random))
}

/// A seed, as of a new key: 32 random bytes.
///
/// # Errors
/// If the operating system gives no randomness.
pub fn random_seed() -> Result<[u8; 32], HostError> {
    let mut random = [0_u8; 32];
    fill(&mut random)?;
    Ok(random)
}

/// A name that nobody can guess, such as that of a long answer: 32 random bytes in hex.
///
/// # Errors
/// If the operating system gives no randomness.
pub fn new_name() -> Result<String, HostError> {
    Ok(random_seed()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What the salts of a delivery's rows are derived from: 32 random bytes.
///
/// # Errors
/// If the operating system gives no randomness.
pub fn row_seed() -> Result<RowSeed, HostError> {
    Ok(RowSeed::new(random_seed()?))
}

fn fill(random: &mut [u8]) -> Result<(), HostError> {
    getrandom::fill(random).map_err(|e| HostError::Randomness(e.to_string()))
}

fn uuid(random: [u8; 16]) -> String {
    let mut bytes = random;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the door to the environment")]
    let value = std::env::var(name).ok()?;
    // An empty variable is how a script says "not set".
    (!value.is_empty()).then_some(value)
}

fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_ids_are_random_uuids_of_version_4() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_ne!(new_table_id().unwrap(), new_table_id().unwrap());
    }

    #[test]
    fn the_place_of_locks_has_credentials_of_its_own_or_the_same_ones_but_no_mixture() {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let variable = move |name: &str| {
                set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone())
            };
            let options = options_of(&|name| lock_variable(name, &variable));
            (options.endpoint, options.access_key_id, options.session_token)
        };
        let some = |text: &str| Some(text.to_owned());
        let archive =
            [("AWS_ENDPOINT_URL_S3", "e"), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SESSION_TOKEN", "t")];
        assert_eq!(of(&archive), (some("e"), some("k"), some("t")));
        let own = [("MESHLEDGER_LOCKS_AWS_ACCESS_KEY_ID", "other")];
        assert_eq!(of(&[&archive[..], &own].concat()), (some("e"), some("other"), None));
        let own = [("MESHLEDGER_LOCKS_AWS_ENDPOINT_URL", "there")];
        assert_eq!(of(&[&archive[..], &own].concat()), (some("there"), some("k"), some("t")));
    }

    #[test]
    fn flags_in_the_environment_are_read_leniently() {
        for text in ["1", "true", "TRUE", "yes"] {
            assert!(is_true(text), "{text}");
        }
        for text in ["0", "false", "no", "maybe"] {
            assert!(!is_true(text), "{text}");
        }
    }
}
