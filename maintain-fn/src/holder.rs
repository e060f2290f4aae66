//! Who holds the key that signs, by the one text that options and settings give; and how a key is
//! had that lies in a variable or in AWS KMS.
//!
//! Deliberately not here: keys in files, which only a machine with an owner has, and the
//! environment itself: variables are looked up by whoever asks.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use archive::web::{Aws, WebError};
use archive::{ArchiveError, Sealer, StoreOptions};
use thiserror::Error;
use tlog::note::{Algorithm, Note, SeedSigner};
use tlog::{Checkpoint, TlogError};

use crate::sign::{KmsError, KmsSigner};

/// Who holds a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A file, or a folder of them, one an archive.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// AWS KMS: the key's id, alias or ARN, and how it signs.
    Kms(String, Algorithm),
}

impl FromStr for Holder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected a file, file:PATH, env:NAME, awskms:KEY or awskms-p256:KEY";
        let holder = match text.split_once(':') {
            _ if text.is_empty() => return Err(expected.to_owned()),
            Some((_, "")) => return Err(expected.to_owned()),
            Some(("file", path)) => Self::File(path.into()),
            Some(("env", name)) => Self::Variable(name.to_owned()),
            Some(("awskms", key)) => Self::Kms(key.to_owned(), Algorithm::Ed25519),
            Some(("awskms-p256", key)) => Self::Kms(key.to_owned(), Algorithm::EcdsaP256),
            Some((scheme, _)) if !scheme.contains('/') => {
                return Err(format!("{expected}; a path with a colon: file:{text}"));
            }
            _ => Self::File(text.into()),
        };
        if let Self::Kms(key, _) = &holder
            && key.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err("expected the id, alias or ARN of a KMS key".to_owned());
        }
        Ok(holder)
    }
}

impl fmt::Display for Holder {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::Kms(key, Algorithm::EcdsaP256) => write!(f, "awskms-p256:{key}"),
            Self::Kms(key, _) => write!(f, "awskms:{key}"),
        }
    }
}

/// A key could not be had.
#[derive(Debug, Error)]
pub enum HolderError {
    /// The variable has nothing.
    #[error("the key env:{}: expected PRIVATE+KEY+…, the variable is unset", name.escape_debug())]
    Unset {
        /// The variable.
        name: String,
    },
    /// The variable has something else.
    #[error("the key env:{} can not be used: {source}", name.escape_debug())]
    Text {
        /// The variable.
        name: String,
        /// What is wrong with it.
        source: TlogError,
    },
    /// Nothing says where KMS is.
    #[error("no region is set for KMS: set AWS_REGION, or name the key by its ARN")]
    NoRegion,
    /// KMS would be asked in the clear.
    #[error(
        "the KMS endpoint {} has no TLS; use https://, or set AWS_ALLOW_HTTP=true for a server on \
         this machine", url.escape_debug()
    )]
    NoTls {
        /// The endpoint.
        url: String,
    },
    /// KMS can not be asked.
    #[error(transparent)]
    Web(#[from] WebError),
    /// KMS did not do what was asked.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// What should say how the ledger is called says nothing.
    #[error("the archive's checkpoint is none: {0}; verify it")]
    Checkpoint(TlogError),
    /// The archive can not be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// A key whose text a variable has, as a function is given a secret.
///
/// # Errors
/// If it has none.
pub fn in_variable(name: &str, value: Option<&str>) -> Result<SeedSigner, HolderError> {
    let text = value.ok_or_else(|| HolderError::Unset { name: name.to_owned() })?;
    SeedSigner::from_private_text(text.trim())
        .map_err(|source| HolderError::Text { name: name.to_owned(), source })
}

/// A key in KMS. It signs as `origin`: KMS knows no names, and a ledger's key is called as the
/// ledger is. Credentials and region are those of the store, if the key's ARN names no other.
///
/// # Errors
/// If KMS can not be asked, or has no such key.
pub async fn in_kms(
    key: &str,
    algorithm: Algorithm,
    origin: &str,
    mut options: StoreOptions,
    endpoint: Option<&str>,
) -> Result<KmsSigner, HolderError> {
    // arn:aws:kms:<region>:…; anything else lies in the region that is set.
    let of_arn = key.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
    let region = of_arn.map(str::to_owned).or_else(|| options.region.clone());
    let region = region.ok_or(HolderError::NoRegion)?;
    if let Some(url) = endpoint.filter(|url| !url.starts_with("https://"))
        && !options.allow_http
    {
        return Err(HolderError::NoTls { url: url.to_owned() });
    }
    options.endpoint = None;
    let aws = Aws::new("kms", &region, endpoint, &options)?;
    Ok(KmsSigner::connect(aws, key, algorithm, origin).await?)
}

/// The name of an archive's ledger, by its own word: what a key signs contains it. None if no
/// ledger was begun.
///
/// # Errors
/// If it can not be read.
pub async fn origin(sealer: &Sealer) -> Result<Option<String>, HolderError> {
    if let Some(there) = sealer.checkpoint().await? {
        let head = Note::parse(&there.bytes).and_then(|note| Checkpoint::parse(&note.text));
        return head.map(|head| Some(head.origin)).map_err(HolderError::Checkpoint);
    }
    Ok(sealer.begun().await?.map(|key| key.name().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_names_every_holder() {
        let read = |text: &str| text.parse::<Holder>();
        assert_eq!(read("a/b.key"), Ok(Holder::File("a/b.key".into())));
        assert_eq!(read("file:a:b"), Ok(Holder::File("a:b".into())));
        assert_eq!(read("./a:b"), Ok(Holder::File("./a:b".into())));
        assert_eq!(read("env:KEY"), Ok(Holder::Variable("KEY".to_owned())));
        let arn = "arn:aws:kms:eu-central-1:123456789012:key/1-2";
        for (text, algorithm) in [
            (format!("awskms:{arn}"), Algorithm::Ed25519),
            (format!("awskms-p256:{arn}"), Algorithm::EcdsaP256),
        ] {
            assert_eq!(read(&text), Ok(Holder::Kms(arn.to_owned(), algorithm)));
            assert_eq!(read(&text).unwrap().to_string(), text);
        }
        for wrong in ["", "file:", "env:", "awskms:", "gcpkms:x", "awskms:a b", "c:key"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
