//! Checkpoints, C2SP tlog-checkpoint: the text of a signed tree head.

use crate::error::TlogError;
use crate::hash::Hash;

/// A tree head: whose log, how many leaves, which root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root of that many leaves.
    pub root: Hash,
}

impl Checkpoint {
    /// The text of the note, which is what is signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Reads a note's text: three lines. Extension lines are refused: our logs write none, and no
    /// monitor can check what they say.
    ///
    /// # Errors
    /// Names what is not as it should be.
    pub fn parse(text: &str) -> Result<Self, TlogError> {
        let wrong = |expected: &str, found: &str| TlogError::format("checkpoint", expected, found);
        let lines: Vec<&str> = text.split('\n').take(5).collect();
        let [origin, size, root, ""] = lines[..] else {
            return Err(wrong("three lines: origin, size, root", text));
        };
        if origin.is_empty() {
            return Err(wrong("an origin", "an empty line"));
        }
        let is_number = size.bytes().all(|b| b.is_ascii_digit());
        let has_zeros = size.len() > 1 && size.starts_with('0');
        let number = size.parse().ok().filter(|_| is_number && !has_zeros);
        let size = number.ok_or_else(|| wrong("a decimal size without leading zeros", size))?;
        let root = Hash::from_base64("checkpoint root", root)?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let text = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
        let checkpoint = Checkpoint::parse(&text).unwrap();
        assert_eq!(
            (checkpoint.size, &*checkpoint.origin),
            (20_852_163, "example.com/behind-the-sofa")
        );
        assert_eq!(checkpoint.to_text(), text);
    }

    #[test]
    fn whatever_is_written_otherwise_is_refused() {
        let root_of_31 = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==";
        for text in [
            String::new(),
            format!("o\n1\n{ROOT}"),
            format!("o\n1\n{ROOT}\nextension\n"),
            format!("o\n1\n{ROOT}\n\n"),
            format!("\n1\n{ROOT}\n"),
            format!("o\n01\n{ROOT}\n"),
            format!("o\n+1\n{ROOT}\n"),
            format!("o\n\n{ROOT}\n"),
            format!("o\n-1\n{ROOT}\n"),
            format!("o\n18446744073709551616\n{ROOT}\n"),
            format!("o\n1\n{}\n", &ROOT[..43]),
            format!("o\n1\n{root_of_31}\n"),
            format!("o\n1 \n{ROOT}\n"),
            format!("o\n1\n {ROOT}\n"),
        ] {
            assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
        }
    }
}
