//! What concerns the key that signs, whom to trust, and witnesses.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Place;
use crate::key::Holder;

/// The key that signs the ledger.
#[derive(Debug, Clone, Args)]
pub(crate) struct Key {
    /// Who holds the key that signs: a file, file:PATH, env:NAME, awskms:KEY (Ed25519) or
    /// awskms-p256:KEY [default: $MESHLEDGER_KEY, else the archive's file in the folder keys of
    /// ~/.local/state/meshledger]
    #[arg(id = "key", long = "key", value_name = "KEY")]
    pub(crate) holder: Option<Holder>,
}

/// Whom to trust.
#[derive(Debug, Clone, Args)]
pub(crate) struct Policy {
    /// Whose signatures count, and which witnesses are asked: a file in C2SP tlog-policy form, kept
    /// outside the archive, or none [default: the file beside the archive's key, if it is there]
    #[arg(id = "policy", long = "policy", value_name = "FILE|none")]
    pub(crate) file: Option<PathBuf>,
}

/// `key`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  meshledger key show --archive ./audit
  meshledger key rotate --archive ./audit --to ./new.key
  meshledger key rotate --archive s3://acme-audit/mesh --key old.key --to awskms:alias/meshledger

docs/keys.md says how to make a key in AWS KMS, and what to do when a key is lost.")]
pub(crate) struct KeyCommand {
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

/// What to do with a key.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Print the public key, as a policy
    Show(KeyShow),
    /// Let another key sign from now on
    Rotate(KeyRotate),
}

/// `key show`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  meshledger key show --archive ./audit > trust.policy")]
pub(crate) struct KeyShow {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) key: Key,
}

/// `key rotate`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  meshledger key rotate --archive ./audit --key ./old.key --to ./new.key

Stop whatever seals first, and start it again with the new key: from then on the old one is refused.
A file that is not there yet gets a new key. Run again, it ends what was interrupted.")]
pub(crate) struct KeyRotate {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) key: Key,
    /// Who holds the key that signs from now on
    #[arg(long, value_name = "KEY")]
    pub(crate) to: Holder,
}

/// `witness`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  meshledger witness push --archive ./audit --policy ./trust.policy

Witnesses are those lines `witness NAME KEY URL` of the policy that have a URL. Each seal asks them
too.")]
pub(crate) struct Witness {
    #[command(subcommand)]
    pub(crate) action: WitnessAction,
}

/// What to do with witnesses.
#[derive(Debug, Subcommand)]
pub(crate) enum WitnessAction {
    /// Ask the policy's witnesses to cosign the checkpoint, and keep what they sign
    Push(WitnessPush),
}

/// `witness push`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  meshledger witness push --archive ./audit --policy ./trust.policy

Exits 1 if a witness refuses the checkpoint because it has seen another history.")]
pub(crate) struct WitnessPush {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) policy: Policy,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
