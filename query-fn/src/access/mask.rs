//! What a masked column shows instead of its values.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::DataType;
use common::Sha256Digest;
use common::schema::{EVENTS_TABLE, QUARANTINE_TABLE};
use datafusion::error::{DataFusionError, Result};

/// How a column is masked. NULL stays NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    /// Always NULL.
    Null,
    /// HMAC-SHA-256 of the value under the policy's key, as hex: equal values stay equal.
    Hash,
    /// The first characters.
    Prefix(usize),
}

/// The key of hashes.
#[derive(Clone)]
pub(super) struct Key(Arc<[u8]>);

impl Key {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(not shown)")
    }
}

impl FromStr for Mask {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "null" => Ok(Self::Null),
            "hash" => Ok(Self::Hash),
            _ => text
                .strip_prefix("prefix:")
                .and_then(|count| count.parse().ok())
                .map(Self::Prefix)
                .ok_or_else(|| format!("expected null, hash or prefix:N, found {text:?}")),
        }
    }
}

impl Mask {
    /// Whether it can be applied to a column of a type.
    pub(super) fn fits(self, kind: &DataType) -> bool {
        self == Self::Null || matches!(kind, DataType::Utf8View)
    }

    /// The one of two that shows less.
    pub(super) fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => Self::Null,
            (Self::Hash, _) | (_, Self::Hash) => Self::Hash,
            (Self::Prefix(one), Self::Prefix(other)) => Self::Prefix(one.min(other)),
        }
    }

    /// The masked values of a column.
    ///
    /// # Errors
    /// If it does not fit the column, or there is no key.
    pub(super) fn apply(self, column: &ArrayRef, key: Option<&Key>) -> Result<ArrayRef> {
        let texts = || {
            column.as_string_view_opt().ok_or_else(|| {
                DataFusionError::Internal("a mask of texts on another column".to_owned())
            })
        };
        match self {
            Self::Null => Ok(arrow::array::new_null_array(column.data_type(), column.len())),
            Self::Prefix(count) => {
                let first = texts()?.iter().map(|text| {
                    text.map(|text| match text.char_indices().nth(count) {
                        Some((end, _)) => &text[..end],
                        None => text,
                    })
                });
                Ok(Arc::new(first.collect::<StringViewArray>()))
            }
            Self::Hash => {
                let key = key
                    .ok_or_else(|| DataFusionError::Internal("a hash without a key".to_owned()))?;
                let hashes = texts()?
                    .iter()
                    .map(|text| text.map(|text| hmac(&key.0, text.as_bytes()).to_string()));
                Ok(Arc::new(hashes.collect::<StringViewArray>()))
            }
        }
    }
}

/// HMAC-SHA-256, by RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> Sha256Digest {
    let mut block = [0u8; BLOCK_BYTES];
    let digest = Sha256Digest::of(key);
    let key = if key.len() > BLOCK_BYTES { digest.as_bytes().as_slice() } else { key };
    block[..key.len()].copy_from_slice(key);
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256Digest::of(&[&padded(0x36), message].concat());
    Sha256Digest::of(&[padded(0x5c).as_slice(), inner.as_bytes()].concat())
}

/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// Columns that may hold what another column holds: they are masked with it, the same way.
const COPIES: &[(&str, &[&str])] = &[
    (
        "principal",
        &[
            "user_name",
            "user_email",
            "user_uid",
            "impersonated_user",
            "jwt_subject",
            "credential_id",
            "session_id",
            "src_identity",
            "src_ip",
        ],
    ),
    ("user_name", &["principal"]),
    ("user_email", &["principal"]),
    ("user_uid", &["principal"]),
    ("impersonated_user", &["principal"]),
    ("jwt_subject", &["principal"]),
    ("credential_id", &["principal"]),
    ("session_id", &["principal"]),
    ("src_identity", &["principal"]),
    ("src_ip", &["principal", "x_forwarded_for"]),
    ("x_forwarded_for", &["src_ip"]),
    ("dst_ip", &["upstream_host", "downstream_local_address"]),
    ("upstream_host", &["dst_ip"]),
    ("downstream_local_address", &["dst_ip"]),
];

/// Columns of events that hold the record or parts of it as text: NULL if anything is masked.
const RECORDS: &[&str] = &["attributes", "raw"];

/// Columns of rejects that hold the record or quote it: nobody has looked at what is in them.
const REJECTED: &[&str] = &["record", "detail"];

/// What is masked without being named, given what is.
pub(super) fn implied(table: &str, named: &[(&str, Mask)]) -> Vec<(&'static str, Mask)> {
    let mut implied = Vec::new();
    match table {
        EVENTS_TABLE if !named.is_empty() => {
            for (column, mask) in named {
                let copies = COPIES.iter().find(|(of, _)| of == column);
                let copies = copies.map(|(_, copies)| *copies).unwrap_or_default();
                implied.extend(copies.iter().map(|copy| (*copy, *mask)));
            }
            implied.extend(RECORDS.iter().map(|column| (*column, Mask::Null)));
        }
        QUARANTINE_TABLE => implied.extend(REJECTED.iter().map(|column| (*column, Mask::Null))),
        _ => {}
    }
    implied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_the_standard() {
        // RFC 4231, test cases 1, 2, 6 and 7: short keys, and one longer than a block.
        let long = [0xaa; 131];
        for (key, message, expected) in [
            (
                [0x0b; 20].as_slice(),
                "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &long,
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hmac(key, message.as_bytes()).to_string(), expected);
        }
    }

    #[test]
    fn masks_keep_null_and_whole_characters() {
        let texts = [Some("äöü"), None, Some(""), Some("ab")];
        let column: ArrayRef = Arc::new(texts.into_iter().collect::<StringViewArray>());
        let shown = |mask: Mask| {
            let key = Key::new(b"0123456789abcdef".to_vec());
            let masked = mask.apply(&column, Some(&key)).unwrap();
            let masked = masked.as_string_view().iter().map(|text| text.map(str::to_owned));
            masked.collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(shown(Mask::Prefix(2)), [some("äö"), None, some(""), some("ab")]);
        assert_eq!(shown(Mask::Prefix(0)), [some(""), None, some(""), some("")]);
        assert_eq!(shown(Mask::Null), [None, None, None, None]);
        let hashes = shown(Mask::Hash);
        assert!(hashes[1].is_none() && hashes[0].as_ref().unwrap().len() == 64);
        assert!(Mask::Hash.apply(&column, None).is_err());
        for (text, mask) in
            [("null", Mask::Null), ("hash", Mask::Hash), ("prefix:12", Mask::Prefix(12))]
        {
            assert_eq!(text.parse(), Ok(mask));
        }
        for wrong in ["", "NULL", "prefix", "prefix:", "prefix:-1", "prefix:x"] {
            assert!(wrong.parse::<Mask>().is_err(), "{wrong}");
        }
    }
}
