//! Keys in AWS KMS: Ed25519 or P-256, which sign there and never leave it.
//!
//! Two calls by its JSON protocol: `GetPublicKey` once, `Sign` for each checkpoint. A call that
//! got no answer is made again: signing twice does no harm, since both signatures say the same.

use std::time::Duration;

use archive::web::{Answer, Aws, WebError};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;
use tlog::TlogError;
use tlog::note::{Algorithm, Note, Signature, VerifierKey};

use super::{SignError, Signer};

/// Calls made until one is given up; with the pauses between them and the time a request may take
/// about 41 seconds at the very most.
const ATTEMPTS_MAX: u32 = 4;

/// Pause after the first failed call; doubles each time.
const PAUSE: Duration = Duration::from_millis(200);

/// Longest message that KMS signs as it is (RAW), in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// How the DER form of an Ed25519 public key begins (RFC 8410); 32 bytes follow.
const ED25519_SPKI_START: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key in KMS.
#[derive(Debug)]
pub struct KmsSigner {
    aws: Aws,
    key: String,
    public: VerifierKey,
}

/// KMS did not do what was asked.
#[derive(Debug, Error)]
#[error("KMS {operation}, key {key} at {url}: expected {expected}, found {found}; {hint}")]
pub struct KmsError {
    operation: &'static str,
    key: Box<str>,
    url: Box<str>,
    expected: Box<str>,
    found: Box<str>,
    hint: &'static str,
    is_passing: bool,
}

/// A public key as KMS gives it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKey {
    public_key: String,
    key_spec: Option<String>,
    key_usage: Option<String>,
    #[serde(default)]
    signing_algorithms: Vec<String>,
}

/// A signature as KMS gives it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    signature: String,
}

/// What KMS says of what it refuses.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl KmsSigner {
    /// A key by its id, alias or ARN, to sign for a ledger of this origin. Asks KMS for the public
    /// key.
    ///
    /// # Errors
    /// If KMS does not give it, or it is no key that signs like this.
    pub async fn connect(
        aws: Aws,
        key: &str,
        algorithm: Algorithm,
        origin: &str,
    ) -> Result<Self, KmsError> {
        let asked = Asked { aws: &aws, key, operation: "GetPublicKey" };
        let answer = asked.call("TrentService.GetPublicKey", &json!({ "KeyId": key })).await?;
        let public = asked.public_key(&answer, algorithm, origin)?;
        Ok(Self { public, key: key.to_owned(), aws })
    }

    async fn signature(&self, text: &str) -> Result<Signature, KmsError> {
        let asked = Asked { aws: &self.aws, key: &self.key, operation: "Sign" };
        if text.len() > MESSAGE_BYTES_MAX {
            let expected = format!("a text of at most {MESSAGE_BYTES_MAX} bytes");
            return Err(asked.wrong(expected, text.len().to_string(), "this is a defect"));
        }
        let message = json!({
            "KeyId": self.key,
            "Message": STANDARD.encode(text),
            "MessageType": "RAW",
            "SigningAlgorithm": names(self.public.algorithm()).1,
        });
        let answer = asked.call("TrentService.Sign", &message).await?;
        let signed: Signed = asked.parse(&answer)?;
        let bytes = STANDARD.decode(&signed.signature);
        let bytes = bytes.map_err(|e| asked.nonsense(format!("no base64: {e}")))?;
        let (name, key_id) = (self.public.name().to_owned(), self.public.key_id());
        let signature = Signature { name, key_id, bytes };
        // What comes from elsewhere is used only if it is a signature.
        let note = Note { text: text.to_owned(), signatures: vec![signature.clone()] };
        match note.signed_by(&self.public) {
            Ok(Some(_)) => Ok(signature),
            Ok(None) | Err(_) => Err(asked.wrong(
                format!("a signature of {}", self.public),
                "one that this key does not confirm",
                "nothing was published; find out who answers at this address",
            )),
        }
    }
}

#[async_trait]
impl Signer for KmsSigner {
    fn public(&self) -> &VerifierKey {
        &self.public
    }

    async fn sign(&self, text: &str) -> Result<Signature, SignError> {
        self.signature(text)
            .await
            .map_err(|source| SignError { key: self.public.to_string(), source: Box::new(source) })
    }
}

/// What KMS calls keys of this kind, and how they are to sign. Its other way with Ed25519 signs
/// a digest, which no note has.
const fn names(algorithm: Algorithm) -> (&'static str, &'static str) {
    match algorithm {
        Algorithm::EcdsaP256 => ("ECC_NIST_P256", "ECDSA_SHA_256"),
        Algorithm::Ed25519 | Algorithm::CosignatureV1 => {
            ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512")
        }
    }
}

/// One operation, for the words of its errors.
struct Asked<'a> {
    aws: &'a Aws,
    key: &'a str,
    operation: &'static str,
}

impl Asked<'_> {
    /// Calls until there is an answer that will not become another by itself.
    async fn call(
        &self,
        target: &'static str,
        message: &serde_json::Value,
    ) -> Result<Answer, KmsError> {
        let (mut pause, mut attempts) = (PAUSE, 1);
        loop {
            let error = match self.aws.call(target, message.to_string()).await {
                Ok(answer) if answer.status == 200 => return Ok(answer),
                Ok(answer) => self.refused(&answer),
                Err(error) => self.silent(&error),
            };
            if !error.is_passing || attempts >= ATTEMPTS_MAX {
                return Err(error);
            }
            tracing::warn!(attempts, %error, "KMS is asked again");
            tokio::time::sleep(pause).await;
            (pause, attempts) = (pause * 2, attempts + 1);
        }
    }

    fn wrong(
        &self,
        expected: impl Into<String>,
        found: impl Into<String>,
        hint: &'static str,
    ) -> KmsError {
        KmsError {
            operation: self.operation,
            key: self.key.into(),
            url: self.aws.url().into(),
            expected: expected.into().into(),
            found: found.into().into(),
            hint,
            is_passing: false,
        }
    }

    fn nonsense(&self, found: impl Into<String>) -> KmsError {
        self.wrong("an answer of KMS", found, "check the endpoint, and who answers there")
    }

    fn silent(&self, error: &WebError) -> KmsError {
        let is_passing = matches!(error, WebError::Silence { .. });
        let hint = match error {
            WebError::Credentials { .. } => "check the credentials, or the role of this machine",
            WebError::Url { .. } => "correct AWS_ENDPOINT_URL_KMS or the region",
            _ => "check the network and AWS_ENDPOINT_URL_KMS, then try again",
        };
        KmsError { is_passing, ..self.wrong("an answer", error.to_string(), hint) }
    }

    fn refused(&self, answer: &Answer) -> KmsError {
        let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
        // With or without the name of its model before it.
        let kind = refusal.kind.rsplit('#').next().unwrap_or_default();
        let passing = [
            "ThrottlingException",
            "KMSInternalException",
            "DependencyTimeoutException",
            "KeyUnavailableException",
        ];
        let is_passing = answer.status >= 500 || answer.status == 429 || passing.contains(&kind);
        let hint = match kind {
            "NotFoundException" => "check the key's id, and its region and account",
            "AccessDeniedException" => "the role needs kms:GetPublicKey and kms:Sign on this key",
            "DisabledException" | "KMSInvalidStateException" => "enable the key",
            "InvalidKeyUsageException" | "UnsupportedOperationException" => {
                "awskms: takes a key of spec ECC_NIST_EDWARDS25519, awskms-p256: ECC_NIST_P256"
            }
            _ if is_passing => "try again later",
            _ => "its own words are above",
        };
        let message: String = refusal.message.chars().take(300).collect();
        let found = format!("status {} {kind} {message}", answer.status);
        KmsError { is_passing, ..self.wrong("status 200", found.trim_end(), hint) }
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, answer: &Answer) -> Result<T, KmsError> {
        serde_json::from_slice(&answer.body).map_err(|e| self.nonsense(e.to_string()))
    }

    fn public_key(
        &self,
        answer: &Answer,
        algorithm: Algorithm,
        origin: &str,
    ) -> Result<VerifierKey, KmsError> {
        let given: PublicKey = self.parse(answer)?;
        let (spec, signing) = names(algorithm);
        let usage = given.key_usage.as_deref().unwrap_or_default();
        let found = given.key_spec.as_deref().unwrap_or_default();
        if found != spec
            || usage != "SIGN_VERIFY"
            || !given.signing_algorithms.iter().any(|one| one == signing)
        {
            return Err(self.wrong(
                format!("a key of spec {spec} and usage SIGN_VERIFY, which signs by {signing}"),
                format!("spec {found}, usage {usage}"),
                "awskms: takes a key of spec ECC_NIST_EDWARDS25519, awskms-p256: ECC_NIST_P256",
            ));
        }
        let der = STANDARD.decode(&given.public_key);
        let der = der.map_err(|e| self.nonsense(format!("no base64: {e}")))?;
        let key = match algorithm {
            Algorithm::EcdsaP256 => Some(&der[..]),
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => der.strip_prefix(&ED25519_SPKI_START),
        };
        let key = key.ok_or_else(|| self.nonsense("no DER form of an Ed25519 public key"))?;
        VerifierKey::new(origin, algorithm, key)
            .map_err(|e: TlogError| self.nonsense(e.to_string()))
    }
}
