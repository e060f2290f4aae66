//! Keys of signed notes, in the text form that C2SP and Go's `sumdb/note` share.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
};

use super::{Signature, Signed, is_key_name};
use crate::error::TlogError;

/// How a key signs: the types of signed-note and tlog-cosignature that are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 0x01: Ed25519 over the text.
    Ed25519,
    /// 0x02: ECDSA over P-256 with SHA-256, in DER.
    EcdsaP256,
    /// 0x04: a witness's Ed25519 over its time and the text.
    CosignatureV1,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Ed25519, Self::EcdsaP256, Self::CosignatureV1];

    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::EcdsaP256 => 0x02,
            Self::CosignatureV1 => 0x04,
        }
    }
}

/// How the DER form of a P-256 public key begins (RFC 5480): the algorithm, the curve, and a bit
/// string of 65 bytes, the uncompressed point, which follows.
const P256_SPKI_START: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Bytes of an uncompressed point of P-256.
const P256_POINT_BYTES: usize = 65;

/// Bytes of an Ed25519 public key, and of the seed of a private one.
const ED25519_KEY_BYTES: usize = 32;

/// A public key with its name: `<name>+<key id, 8 hex digits>+<base64 of type and key>`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_id: [u8; 4],
    algorithm: Algorithm,
    /// 32 bytes of Ed25519, or the DER form of a P-256 key.
    key: Vec<u8>,
}

impl VerifierKey {
    /// A key from its parts; P-256 keys in DER.
    ///
    /// # Errors
    /// If the name can not be a key's, or the bytes are no key.
    pub fn new(name: &str, algorithm: Algorithm, key: &[u8]) -> Result<Self, TlogError> {
        if !is_key_name(name) {
            return Err(TlogError::format("key name", "text without spaces and plus", name));
        }
        let fits = match algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => key.len() == ED25519_KEY_BYTES,
            Algorithm::EcdsaP256 => key
                .strip_prefix(&P256_SPKI_START)
                .is_some_and(|point| point.len() == P256_POINT_BYTES && point[0] == 4),
        };
        if !fits {
            let found = format!("{} bytes {}", key.len(), hex::encode(&key[..key.len().min(8)]));
            return Err(TlogError::format("public key", format!("{algorithm:?}"), found));
        }
        let mut context = Context::new(&SHA256);
        if algorithm != Algorithm::EcdsaP256 {
            context.update(name.as_bytes());
            context.update(&[b'\n', algorithm.byte()]);
        }
        context.update(key);
        let mut key_id = [0; 4];
        key_id.copy_from_slice(&context.finish().as_ref()[..4]);
        Ok(Self { name: name.to_owned(), key_id, algorithm, key: key.to_vec() })
    }

    /// Its name; of a log's key, the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its short identifier.
    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// How it signs.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether it is the same key as another, whatever they are called.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Whether a signature says it is of this key.
    pub fn is_of(&self, signature: &Signature) -> bool {
        signature.name == self.name && signature.key_id == self.key_id
    }

    /// Checks a signature that says it is of this key.
    pub(super) fn check(&self, text: &str, signature: &Signature) -> Result<Signed, TlogError> {
        let wrong = || TlogError::Signature {
            expected: format!("a signature of {self}"),
            found: "one that does not fit the text".to_owned(),
        };
        let bytes = &signature.bytes[..];
        let (is_right, time_seconds) = match self.algorithm {
            Algorithm::Ed25519 => {
                let key = UnparsedPublicKey::new(&ED25519, &self.key);
                (key.verify(text.as_bytes(), bytes).is_ok(), None)
            }
            Algorithm::EcdsaP256 => {
                let point = &self.key[P256_SPKI_START.len()..];
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
                (key.verify(text.as_bytes(), bytes).is_ok(), None)
            }
            Algorithm::CosignatureV1 => {
                let (time, bytes) = bytes.split_first_chunk().ok_or_else(wrong)?;
                let time = u64::from_be_bytes(*time);
                let key = UnparsedPublicKey::new(&ED25519, &self.key);
                let is_right = time <= i64::MAX.unsigned_abs()
                    && key.verify(cosigned(time, text).as_bytes(), bytes).is_ok();
                (is_right, Some(time))
            }
        };
        if is_right { Ok(Signed { time_seconds }) } else { Err(wrong()) }
    }
}

/// What a witness signs, tlog-cosignature.
fn cosigned(time_seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time_seconds}\n{text}")
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.algorithm.byte()], &self.key[..]].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.key_id), STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for VerifierKey {
    type Err = TlogError;

    fn from_str(text: &str) -> Result<Self, TlogError> {
        let wrong = || TlogError::format("verifier key", "<name>+<key id>+<base64>", text);
        let (name, rest) = text.split_once('+').ok_or_else(wrong)?;
        let (key_id, encoded) = rest.split_once('+').ok_or_else(wrong)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong())?;
        let (byte, key) = bytes.split_first().ok_or_else(wrong)?;
        let algorithm = Algorithm::ALL.into_iter().find(|known| known.byte() == *byte);
        let algorithm = algorithm.ok_or_else(|| {
            TlogError::format("verifier key", "type 1, 2 or 4", format!("type {byte}"))
        })?;
        let key = Self::new(name, algorithm, key)?;
        let expected = hex::encode(key.key_id);
        if expected == key_id {
            Ok(key)
        } else {
            Err(TlogError::format(format!("verifier key {name}"), expected, key_id))
        }
    }
}

/// A private Ed25519 key in memory: `PRIVATE+KEY+<name>+<key id>+<base64 of type and seed>`.
pub struct SeedSigner {
    public: VerifierKey,
    seed: [u8; ED25519_KEY_BYTES],
    pair: Ed25519KeyPair,
}

/// How the text of a private key begins.
const PRIVATE_START: &str = "PRIVATE+KEY+";

impl SeedSigner {
    /// A key from 32 random bytes, which signs as a log or, by
    /// [`Algorithm::CosignatureV1`], as a witness.
    ///
    /// # Errors
    /// If the name can not be a key's, or the algorithm is not Ed25519's.
    pub fn new(
        name: &str,
        algorithm: Algorithm,
        seed: [u8; ED25519_KEY_BYTES],
    ) -> Result<Self, TlogError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|e| TlogError::format("seed", "32 bytes", e.to_string()))?;
        let public = VerifierKey::new(name, algorithm, pair.public_key().as_ref())?;
        Ok(Self { public, seed, pair })
    }

    /// The public key.
    pub const fn public(&self) -> &VerifierKey {
        &self.public
    }

    /// The private key's text, to be kept.
    pub fn to_private_text(&self) -> String {
        let bytes = [&[self.public.algorithm.byte()], &self.seed[..]].concat();
        let key_id = hex::encode(self.public.key_id);
        format!("{PRIVATE_START}{}+{key_id}+{}", self.public.name, STANDARD.encode(bytes))
    }

    /// Reads a private key's text.
    ///
    /// # Errors
    /// If it is none. The error does not repeat it.
    pub fn from_private_text(text: &str) -> Result<Self, TlogError> {
        let wrong = |found: &str| {
            TlogError::format("private key", "PRIVATE+KEY+<name>+<key id>+<base64>", found)
        };
        let rest = text.strip_prefix(PRIVATE_START).ok_or_else(|| wrong("another begin"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(key_id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong("fewer parts"));
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| wrong("no base64 at its end"))?;
        let seed = bytes.strip_prefix(&[Algorithm::Ed25519.byte()]);
        let seed = seed.and_then(|seed| seed.try_into().ok());
        let seed = seed.ok_or_else(|| wrong("another type or length"))?;
        let signer = Self::new(name, Algorithm::Ed25519, seed)?;
        if hex::encode(signer.public.key_id) == key_id {
            Ok(signer)
        } else {
            Err(wrong("a key id of another key"))
        }
    }

    /// Signs a note's text. A witness says when, in seconds since 1970; a log does not.
    pub fn sign(&self, text: &str, time_seconds: u64) -> Signature {
        let bytes = match self.public.algorithm {
            Algorithm::CosignatureV1 => {
                let signature = self.pair.sign(cosigned(time_seconds, text).as_bytes());
                [&time_seconds.to_be_bytes(), signature.as_ref()].concat()
            }
            Algorithm::Ed25519 | Algorithm::EcdsaP256 => {
                self.pair.sign(text.as_bytes()).as_ref().to_vec()
            }
        };
        Signature { name: self.public.name.clone(), key_id: self.public.key_id, bytes }
    }
}

impl fmt::Debug for SeedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeedSigner({}, private part not shown)", self.public)
    }
}
