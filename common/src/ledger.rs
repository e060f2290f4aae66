//! The ledger's words: what its log says of one commit, and the identity it says it under.
//!
//! Entry N is commit N: one number line. An entry is text, so that nobody has to agree on how JSON
//! is written, and short, so that it fits an entry bundle however long the commit is.

use tlog::Hash;
use tlog::tree::Tree;

use crate::digest::Sha256Digest;
use crate::error::FormatError;

/// First line of an entry.
const ENTRY_KIND: &str = "mesh-archive-commit/v1";

/// What the log says of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The commit's version, which is the entry's index.
    pub version: u64,
    /// SHA-256 of the commit's bytes.
    pub commit_sha256: Sha256Digest,
    /// Length of the commit, in bytes.
    pub commit_bytes: u64,
    /// RFC 6962 root over the commit's lines, each without its newline: it proves one file
    /// without showing the others.
    pub lines_root: Hash,
}

impl Entry {
    /// The entry of a commit as it is stored.
    pub fn of_commit(version: u64, commit: &[u8]) -> Self {
        Self {
            version,
            commit_sha256: Sha256Digest::of(commit),
            commit_bytes: u64::try_from(commit.len()).unwrap_or(u64::MAX),
            lines_root: lines(commit).map(Hash::of_leaf).collect::<Tree>().root(),
        }
    }

    /// The entry's text, whose bytes are the log's entry.
    pub fn to_text(&self) -> String {
        format!(
            "{ENTRY_KIND}\nversion {}\ncommit-sha256 {}\ncommit-bytes {}\nlines-root {}\n",
            self.version,
            self.commit_sha256,
            self.commit_bytes,
            Sha256Digest::from_bytes(*self.lines_root.as_bytes()),
        )
    }

    /// The leaf hash of the entry in the log's tree.
    pub fn leaf(&self) -> Hash {
        Hash::of_leaf(self.to_text().as_bytes())
    }

    /// Reads an entry: exactly what [`Self::to_text`] writes.
    ///
    /// # Errors
    /// Names what is not as it should be.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut all = text.split('\n');
        let first = all.next().unwrap_or_default();
        if first != ENTRY_KIND {
            return Err(FormatError::new("ledger entry", ENTRY_KIND, first));
        }
        let mut field = |name: &str| {
            let line = all.next().unwrap_or_default();
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
            value.ok_or_else(|| FormatError::new("ledger entry", format!("{name} …"), line))
        };
        let number = |text: &str| {
            text.parse().map_err(|_| FormatError::new("ledger entry", "a number", text))
        };
        let entry = Self {
            version: number(field("version")?)?,
            commit_sha256: field("commit-sha256")?.parse()?,
            commit_bytes: number(field("commit-bytes")?)?,
            lines_root: Hash::from_bytes(*field("lines-root")?.parse::<Sha256Digest>()?.as_bytes()),
        };
        if entry.to_text() == text {
            Ok(entry)
        } else {
            Err(FormatError::new("ledger entry", "five lines and nothing else", text))
        }
    }
}

/// The lines of a commit, as the lines root takes them: split at newlines, the last one's newline
/// ends it.
pub fn lines(commit: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = commit.strip_suffix(b"\n").unwrap_or(commit);
    whole.split(|&byte| byte == b'\n')
}

/// The origin of an archive's ledger: `<name>/<table id>`. The name is the owner's, a domain and
/// a path; the table id ties the log to one table, so that another table's can not stand in.
///
/// # Errors
/// If the name is empty or has what a key's name may not have.
pub fn origin(name: &str, table_id: &str) -> Result<String, FormatError> {
    let is_wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(is_wrong) || table_id.contains(is_wrong) {
        let expected = "a name such as archive.example.com/mesh, without spaces and plus";
        return Err(FormatError::new("ledger origin", expected, name));
    }
    Ok(format!("{name}/{table_id}"))
}

/// What a lock holds: the root in hex, and a newline.
pub fn lock_text(root: Hash) -> String {
    format!("{}\n", Sha256Digest::from_bytes(*root.as_bytes()))
}

/// Whether a ledger of this origin is of this table.
pub fn is_of_table(origin: &str, table_id: &str) -> bool {
    origin.strip_suffix(table_id).is_some_and(|name| name.len() > 1 && name.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_the_text_the_format_page_shows_and_comes_back() {
        let entry = Entry::of_commit(42, b"{\"a\":1}\n{\"b\":2}\n");
        // Made with Python's hashlib.
        let expected = "mesh-archive-commit/v1\nversion 42\n\
            commit-sha256 3881dc2ee848fe04d776737c86afbc783e482e7c5be6431d3aab36fa8fa2c928\n\
            commit-bytes 16\n\
            lines-root 6e69587a0b570d8c5d0114c51a9d6775ad2650718b1b98198de75131437a4c06\n";
        assert_eq!(entry.to_text(), expected);
        assert_eq!(Entry::parse(expected), Ok(entry));
        assert_eq!(entry.leaf(), Hash::of_leaf(expected.as_bytes()));
        for wrong in [
            "",
            &expected[..expected.len() - 1],
            &format!("{expected}\n"),
            &expected.replace("version 42", "version 042"),
            &expected.replace("version 42", "version +42"),
            &expected.replace("v1", "v2"),
            &expected.replace("commit-bytes 16\n", ""),
            &expected.replace("commit-bytes", "commit-length"),
            &expected.replace('\n', "\r\n"),
        ] {
            assert!(Entry::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn any_other_bytes_are_another_entry() {
        let of = |bytes: &[u8]| Entry::of_commit(1, bytes);
        let entry = of(b"a\nb\n");
        for other in [&b"a\nb"[..], b"a\nb\n\n", b"ab\n", b"b\na\n", b"a\n\nb\n", b""] {
            assert_ne!(of(other).leaf(), entry.leaf(), "{other:?}");
        }
        assert_ne!(Entry::of_commit(2, b"a\nb\n").leaf(), entry.leaf());
    }

    #[test]
    fn an_origin_belongs_to_one_table() {
        let origin = origin("archive.example.com/mesh", "7f").unwrap();
        assert_eq!(origin, "archive.example.com/mesh/7f");
        assert!(is_of_table(&origin, "7f"));
        for table_id in ["7e", "f", "mesh/7f/", ""] {
            assert!(!is_of_table(&origin, table_id), "{table_id}");
        }
        assert!(!is_of_table("/7f", "7f"));
        for name in ["", "a b", "a+b", "a\nb", "\u{a0}"] {
            assert!(super::origin(name, "7f").is_err(), "{name:?}");
        }
    }
}
