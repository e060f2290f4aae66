//! Who may send to a URL: callers that AWS has asked for their name, or whoever has a secret.

use common::Sha256Digest;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::answer::{Reason, Refusal};

/// Whom a function behind a URL listens to.
#[derive(Debug, Clone, Default)]
pub struct Doorkeeper {
    secrets: Vec<Secret>,
    /// Whoever names nobody is this sender.
    anybody: Option<String>,
}

/// A secret, known by its digest: who reads the settings can not send by it.
#[derive(Debug, Clone)]
struct Secret {
    sender: String,
    sha256: Sha256Digest,
}

impl Doorkeeper {
    /// Reads `NAME=SHA-256 of the secret` (64 hex digits), comma between them.
    ///
    /// # Errors
    /// Says which is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let secrets = text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(|one| {
            let expected = "expected NAME=SHA256, the secret's digest as 64 lower-case hex digits";
            let (sender, digest) = one.split_once('=').ok_or(expected)?;
            let sha256 = digest.trim().parse().map_err(|_| expected)?;
            if sender.trim().is_empty() {
                return Err(expected.to_owned());
            }
            Ok(Secret { sender: sender.trim().to_owned(), sha256 })
        });
        Ok(Self { secrets: secrets.collect::<Result<_, String>>()?, anybody: None })
    }

    /// One that listens to everybody: where only its owner can reach it.
    pub fn open_to_all() -> Self {
        Self { secrets: Vec::new(), anybody: Some("local".to_owned()) }
    }

    /// The sender of a request: whom AWS names, or whose secret stands in `Authorization: Bearer`.
    ///
    /// # Errors
    /// If it is nobody.
    pub fn sender(&self, caller: Option<&str>, headers: &HeaderMap) -> Result<String, Refusal> {
        if let Some(caller) = caller {
            return Ok(caller.to_owned());
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| {
            let (scheme, secret) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
        });
        // Digests are compared: what time that takes says nothing of the secret.
        let given = given.map(|secret| Sha256Digest::of(secret.as_bytes()));
        let known = given.and_then(|given| self.secrets.iter().find(|one| one.sha256 == given));
        let known = known.map(|one| format!("secret:{}", one.sender));
        known.or_else(|| self.anybody.clone()).ok_or_else(|| {
            let message = "expected a caller that AWS knows (IAM), or Authorization: Bearer with a \
                           secret that this function was given the digest of";
            Refusal::new(Reason::Unauthenticated, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn bearer(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(text).unwrap());
        headers
    }

    #[test]
    fn only_who_is_known_is_listened_to() {
        // printf 's3cret' | sha256sum
        let digest = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0";
        let door = Doorkeeper::parse(&format!("east={digest}, west = {digest}")).unwrap();
        let sender = |caller, headers: &HeaderMap| door.sender(caller, headers).ok();
        assert_eq!(sender(None, &bearer("Bearer s3cret")).as_deref(), Some("secret:east"));
        assert_eq!(sender(None, &bearer("bearer  s3cret")).as_deref(), Some("secret:east"));
        let arn = "arn:aws:iam::1:user/a";
        assert_eq!(sender(Some(arn), &HeaderMap::new()).as_deref(), Some(arn));
        for wrong in
            ["Bearer s3cre", "Bearer", "s3cret", "Basic s3cret", &format!("Bearer {digest}")]
        {
            assert_eq!(sender(None, &bearer(wrong)), None, "{wrong}");
        }
        assert_eq!(sender(None, &HeaderMap::new()), None);
        let nobody = Doorkeeper::default();
        let refusal = nobody.sender(None, &bearer("Bearer ")).unwrap_err();
        assert_eq!(refusal.status().as_u16(), 401);
        assert_eq!(refusal.retry_seconds(), None);
    }

    #[test]
    fn settings_that_name_no_digest_are_refused() {
        for wrong in ["east", "east=secret", "=00", "east=1ec1"] {
            assert!(Doorkeeper::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Doorkeeper::parse("").unwrap().secrets.is_empty());
    }
}
