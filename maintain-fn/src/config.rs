//! The settings of the maintain function, read and checked at its start.

use std::time::Duration;

use archive::Archive;
use archive::verify::Depth;
use host::settings::{location, policy, read, store_options, wrong};
use host::{HostError, doors};
use meshledger_maintain_fn::handler::{Asks, Key, Settings};
use meshledger_maintain_fn::{Holder, SealOptions, holder};

/// Who signs.
const KEY: &str = "MESHLEDGER_KEY";

/// Reads the settings.
///
/// # Errors
/// If one is missing or makes no sense; the error names the variable.
pub(crate) fn read_settings() -> Result<Settings, HostError> {
    let location = location()?;
    let options = store_options(&location)?;
    let archive = Archive::connect(&location, &options)
        .map_err(|e| wrong("MESHLEDGER_ARCHIVE", e, location.archive_url()))?;
    let usual = SealOptions::default();
    let heartbeat: Option<u64> = read("MESHLEDGER_HEARTBEAT_MINUTES")?;
    let seal = SealOptions {
        delta_checkpoint_every: read("MESHLEDGER_DELTA_CHECKPOINT_EVERY")?
            .unwrap_or(usual.delta_checkpoint_every),
        heartbeat_after: heartbeat.map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
        ..usual
    };
    Ok(Settings { archive, key: key(options)?, policy: policy()?, seal, scheduled: scheduled()? })
}

fn key(options: archive::StoreOptions) -> Result<Key, HostError> {
    let Some(text) = doors::key() else { return Ok(Key::None) };
    if text.contains("PRIVATE+KEY") {
        // A secret is not repeated in a log.
        return Err(wrong(KEY, "env:NAME of the variable with the key's text", "that text itself"));
    }
    let holder: Holder = text.parse().map_err(|e: String| wrong(KEY, e, &text))?;
    Ok(match holder {
        Holder::File(_) => {
            let expected = "env:NAME, awskms:KEY or awskms-p256:KEY: a function has no files";
            return Err(wrong(KEY, expected, &text));
        }
        Holder::Variable(name) => {
            let seed = holder::in_variable(&name, doors::secret(&name).as_deref());
            Key::Seed(Box::new(seed.map_err(|e| wrong(KEY, e, &text))?))
        }
        Holder::Kms(key, algorithm) => {
            Key::Kms { key, algorithm, options: Box::new(options), endpoint: doors::kms_endpoint() }
        }
    })
}

fn scheduled() -> Result<Asks, HostError> {
    let name = "MESHLEDGER_SCHEDULED";
    match doors::setting(name).as_deref() {
        None | Some("seal") => Ok(Asks::Seal),
        Some("verify") => Ok(Asks::Verify(Depth::Quick)),
        Some(other) => Err(wrong(name, "seal or verify", other)),
    }
}
