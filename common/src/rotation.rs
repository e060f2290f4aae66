//! The statement that another key signs a ledger from now on: a note of its own text, signed by
//! both keys.

use tlog::Hash;
use tlog::note::{Note, VerifierKey};

use crate::digest::Sha256Digest;
use crate::error::FormatError;

/// First line of a statement. No checkpoint has it: the second line of one is a number.
const KIND: &str = "mesh-archive-key-rotation/v1";

/// For errors.
const WHAT: &str = "key rotation";

/// One key after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The key that signed until now; its name is the ledger's origin.
    pub old: VerifierKey,
    /// The key that signs from now on; its name is the same.
    pub new: VerifierKey,
    /// The last size the old key signs, and the first that the new one does.
    pub size: u64,
    /// The root at that size.
    pub root: Hash,
}

impl Rotation {
    /// The statement's text.
    pub fn to_text(&self) -> String {
        format!(
            "{KIND}\norigin {}\nold-key {}\nnew-key {}\nsize {}\nroot {}\n",
            self.old.name(),
            self.old,
            self.new,
            self.size,
            Sha256Digest::from_bytes(*self.root.as_bytes()),
        )
    }

    /// Reads a statement's text: exactly what [`Self::to_text`] writes.
    ///
    /// # Errors
    /// Names what is not as it should be.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let wrong = |expected: &str, found: &str| FormatError::new(WHAT, expected, found);
        let mut lines = text.split('\n');
        let first = lines.next().unwrap_or_default();
        if first != KIND {
            return Err(wrong(KIND, first));
        }
        let mut field = |name: &str| {
            let line = lines.next().unwrap_or_default();
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
            value.ok_or_else(|| wrong(&format!("{name} …"), line))
        };
        let key = |text: &str| {
            text.parse::<VerifierKey>().map_err(|e| wrong("a verifier key", &e.to_string()))
        };
        let origin = field("origin")?;
        let (old, new) = (key(field("old-key")?)?, key(field("new-key")?)?);
        let size = field("size")?;
        let size = size.parse().map_err(|_| wrong("a size", size))?;
        let root = Hash::from_bytes(*field("root")?.parse::<Sha256Digest>()?.as_bytes());
        if old.name() != origin || new.name() != origin || old == new {
            return Err(wrong("two keys that are called like the origin", text));
        }
        let rotation = Self { old, new, size, root };
        if rotation.to_text() == text {
            Ok(rotation)
        } else {
            Err(wrong("six lines and nothing else", text))
        }
    }

    /// Reads a signed statement.
    ///
    /// # Errors
    /// If it is none, or one of the two keys has not signed it.
    pub fn of_note(bytes: &[u8]) -> Result<Self, FormatError> {
        let wrong = |found: String| FormatError::new(WHAT, "a note signed by both keys", found);
        let note = Note::parse(bytes).map_err(|e| wrong(e.to_string()))?;
        let rotation = Self::parse(&note.text)?;
        for key in [&rotation.old, &rotation.new] {
            match note.signed_by(key) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(wrong(format!("no signature of {key}"))),
                Err(e) => return Err(wrong(e.to_string())),
            }
        }
        // A third signature would be checked by nobody.
        if note.signatures.len() != 2 || note.to_text().as_bytes() != bytes {
            return Err(wrong(format!("{} signatures", note.signatures.len())));
        }
        Ok(rotation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::note::{Algorithm, SeedSigner};

    fn key(seed: u8) -> SeedSigner {
        SeedSigner::new("archive.example/7f", Algorithm::Ed25519, [seed; 32]).unwrap()
    }

    fn rotation() -> Rotation {
        let (old, new) = (key(1).public().clone(), key(2).public().clone());
        Rotation { old, new, size: 42, root: Hash::of_leaf(b"x") }
    }

    fn note(rotation: &Rotation, signers: &[SeedSigner]) -> Vec<u8> {
        let text = rotation.to_text();
        let signatures = signers.iter().map(|signer| signer.sign(&text, 0)).collect();
        Note { text, signatures }.to_text().into_bytes()
    }

    #[test]
    fn a_statement_is_what_both_keys_signed_and_nothing_else() {
        let good = note(&rotation(), &[key(1), key(2)]);
        assert_eq!(Rotation::of_note(&good), Ok(rotation()));
        let text = rotation().to_text();
        assert_eq!(Rotation::parse(&text), Ok(rotation()));
        assert!(text.starts_with("mesh-archive-key-rotation/v1\norigin archive.example/7f\n"));
        for signers in [vec![key(1)], vec![key(2)], vec![key(1), key(3)], vec![key(1), key(1)]] {
            assert!(Rotation::of_note(&note(&rotation(), &signers)).is_err());
        }
        assert!(Rotation::of_note(&note(&rotation(), &[key(1), key(2), key(3)])).is_err());
        let same = Rotation { new: key(1).public().clone(), ..rotation() };
        assert!(Rotation::of_note(&note(&same, &[key(1), key(1)])).is_err());
        let all = String::from_utf8(good).unwrap();
        for (from, to) in [("size 42", "size 43"), ("size 42", "size 042"), ("v1", "v2")] {
            assert!(Rotation::of_note(all.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
        for wrong in ["", &text[1..], &text[..text.len() - 1], &text.replace("root", "rot")] {
            assert!(Rotation::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
