//! Who signs checkpoints: a key that may lie elsewhere, so that signing can take time and fail.
//!
//! A seed in memory, whether a file or the environment held it, or a key in AWS KMS.

mod kms;

use async_trait::async_trait;
use thiserror::Error;
use tlog::TlogError;
use tlog::note::{Note, SeedSigner, Signature, VerifierKey};

pub use kms::{KmsError, KmsSigner};

/// A key that signs for the archive's ledger.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The public key; its name is the ledger's origin.
    fn public(&self) -> &VerifierKey;

    /// Signs a checkpoint's text.
    ///
    /// # Errors
    /// If whoever holds the key does not sign.
    async fn sign(&self, text: &str) -> Result<Signature, SignError>;
}

/// A signature that its own key does not confirm is never stored.
pub(crate) fn confirmed(note: &Note, key: &VerifierKey) -> Result<(), TlogError> {
    match note.signed_by(key)? {
        Some(_) => Ok(()),
        None => Err(TlogError::Signature {
            expected: format!("a signature of {key}"),
            found: "one of another key".to_owned(),
        }),
    }
}

/// The holder of a key did not sign.
#[derive(Debug, Error)]
#[error("key {key}: no signature: {source}; what was committed is safe, the next seal signs it")]
pub struct SignError {
    /// The public key.
    pub key: String,
    /// The holder's own words.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

#[async_trait]
impl Signer for SeedSigner {
    fn public(&self) -> &VerifierKey {
        Self::public(self)
    }

    async fn sign(&self, text: &str) -> Result<Signature, SignError> {
        // A log's signature has no time of its own.
        Ok(Self::sign(self, text, 0))
    }
}
