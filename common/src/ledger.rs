//! The ledger's words: what its log says of one commit, and the identity it says it under.
//!
//! Entry N is commit N: one number line. An entry is text, so that nobody has to agree on how JSON
//! is written, and short, so that it fits an entry bundle however long the commit is.

use serde::Deserialize;
use tlog::Hash;
use tlog::tree::Tree;

use crate::commit::DeltaCheckpointRef;
use crate::digest::Sha256Digest;
use crate::error::FormatError;
use crate::ids::SegmentId;
use crate::manifest::FileEntry;

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
    /// Number of lines of the commit.
    pub lines: u64,
    /// RFC 6962 root over the commit's lines, each without its newline: it proves one file
    /// without showing the others.
    pub lines_root: Hash,
    /// Number of files it adds.
    pub segments: u64,
    /// RFC 6962 root over the segments of the files it adds: it proves one segment without
    /// showing a file's statistics, which quote other events than the one in question.
    pub segments_root: Hash,
    /// The Delta checkpoint that the commit vouches for: its version and the SHA-256 of its file.
    pub delta_checkpoint: Option<(u64, Sha256Digest)>,
}

impl Entry {
    /// The entry of a commit as it is stored, with the files that it adds.
    pub fn of_commit(version: u64, commit: &[u8], adds: &[FileEntry]) -> Self {
        let (lines, lines_root) = tree(lines(commit).map(Hash::of_leaf));
        let segments = adds.iter().map(|file| SegmentLeaf::of_file(file).leaf());
        let (segments, segments_root) = tree(segments);
        Self {
            version,
            commit_sha256: Sha256Digest::of(commit),
            commit_bytes: u64::try_from(commit.len()).unwrap_or(u64::MAX),
            lines,
            lines_root,
            segments,
            segments_root,
            delta_checkpoint: delta_checkpoint(commit),
        }
    }

    /// The entry's text, whose bytes are the log's entry.
    pub fn to_text(&self) -> String {
        let hex = |root: Hash| Sha256Digest::from_bytes(*root.as_bytes());
        let mut text = format!(
            "{ENTRY_KIND}\nversion {}\ncommit-sha256 {}\ncommit-bytes {}\nlines {}\n\
             lines-root {}\nsegments {}\nsegments-root {}\n",
            self.version,
            self.commit_sha256,
            self.commit_bytes,
            self.lines,
            hex(self.lines_root),
            self.segments,
            hex(self.segments_root),
        );
        if let Some((version, sha256)) = self.delta_checkpoint {
            text.push_str(&format!("delta-checkpoint {version} {sha256}\n"));
        }
        text
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
        let root = |text: &str| Ok(Hash::from_bytes(*text.parse::<Sha256Digest>()?.as_bytes()));
        let entry = Self {
            version: number(field("version")?)?,
            commit_sha256: field("commit-sha256")?.parse()?,
            commit_bytes: number(field("commit-bytes")?)?,
            lines: number(field("lines")?)?,
            lines_root: root(field("lines-root")?)?,
            segments: number(field("segments")?)?,
            segments_root: root(field("segments-root")?)?,
            delta_checkpoint: match all.next().unwrap_or_default() {
                "" => None,
                line => Some(parse_delta_checkpoint(line)?),
            },
        };
        if entry.to_text() == text {
            Ok(entry)
        } else {
            Err(FormatError::new("ledger entry", "eight or nine lines and nothing else", text))
        }
    }
}

/// What the log says of one segment: a leaf under an entry's segments root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentLeaf {
    /// The segment.
    pub segment: SegmentId,
    /// Rows in its file.
    pub rows: u64,
    /// Root over them, encoding [`crate::row::ENCODING`].
    pub row_root: Sha256Digest,
}

impl SegmentLeaf {
    /// The segment of a file that a commit adds.
    pub fn of_file(file: &FileEntry) -> Self {
        Self { segment: file.segment, rows: file.rows, row_root: file.row_root }
    }

    /// The leaf's text.
    pub fn to_text(&self) -> String {
        format!("segment {}\nrows {}\nrow-root {}\n", self.segment, self.rows, self.row_root)
    }

    /// The leaf's hash.
    pub fn leaf(&self) -> Hash {
        Hash::of_leaf(self.to_text().as_bytes())
    }
}

/// How many leaves, and their root.
fn tree(leaves: impl Iterator<Item = Hash>) -> (u64, Hash) {
    let (mut count, mut tree) = (0, Tree::default());
    for leaf in leaves {
        count += 1;
        tree.push(leaf);
    }
    (count, tree.root())
}

fn parse_delta_checkpoint(line: &str) -> Result<(u64, Sha256Digest), FormatError> {
    let wrong = || FormatError::new("ledger entry", "delta-checkpoint <version> <sha256>", line);
    let (version, sha256) = line
        .strip_prefix("delta-checkpoint ")
        .and_then(|rest| rest.split_once(' '))
        .ok_or_else(wrong)?;
    Ok((version.parse().map_err(|_| wrong())?, sha256.parse()?))
}

/// What the first line of a commit says of a Delta checkpoint. A commit that is none, or says
/// something else, vouches for nothing.
fn delta_checkpoint(commit: &[u8]) -> Option<(u64, Sha256Digest)> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(rename = "commitInfo")]
        info: Info,
    }
    #[derive(Deserialize)]
    struct Info {
        meshledger: Note,
    }
    #[derive(Deserialize)]
    struct Note {
        delta_checkpoint: Option<DeltaCheckpointRef>,
    }
    let line: Line = serde_json::from_slice(lines(commit).next()?).ok()?;
    line.info.meshledger.delta_checkpoint.map(|named| (named.version, named.sha256))
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
    use crate::date::EventDate;

    #[test]
    fn an_entry_is_the_text_the_format_page_shows_and_comes_back() {
        let entry = Entry::of_commit(42, b"{\"a\":1}\n{\"b\":2}\n", &[]);
        // Made with Python's hashlib.
        let expected = "mesh-archive-commit/v1\nversion 42\n\
            commit-sha256 3881dc2ee848fe04d776737c86afbc783e482e7c5be6431d3aab36fa8fa2c928\n\
            commit-bytes 16\n\
            lines 2\n\
            lines-root 6e69587a0b570d8c5d0114c51a9d6775ad2650718b1b98198de75131437a4c06\n\
            segments 0\n\
            segments-root e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
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
    fn a_segments_leaf_is_the_format_pages_and_its_root_goes_into_the_entry() {
        let root = "b4de662a89891a6cc256acbc1875fb4621b9028535f39eccdda586d2a2500d62";
        let leaf = SegmentLeaf {
            segment: "60bbe41e8d9779d7b1a80133cb9fcf3f".parse().unwrap(),
            rows: 1,
            row_root: root.parse().unwrap(),
        };
        // Made with Python's hashlib.
        let hash = "85020fe83109b7bb3be7b915174a24ab13fc36d24a4386c7a4dd7e0350fdb45c";
        assert_eq!(Sha256Digest::from_bytes(*leaf.leaf().as_bytes()).to_hex(), hash);
        let event_date = EventDate::of_micros(0);
        let file = FileEntry {
            path: String::new(),
            sha256: Sha256Digest::of(b""),
            bytes: 0,
            rows: leaf.rows,
            segment: leaf.segment,
            event_date,
            event_time_micros_min: 0,
            event_time_micros_max: 0,
            row_root: leaf.row_root,
            stats: crate::stats::FileStats::new(),
            version: None,
        };
        let other = FileEntry { rows: 2, ..file.clone() };
        let root = |adds: &[FileEntry]| Entry::of_commit(1, b"", adds).segments_root;
        assert_eq!(root(std::slice::from_ref(&file)), leaf.leaf());
        let both = Hash::of_children(leaf.leaf(), SegmentLeaf::of_file(&other).leaf());
        assert_eq!(root(&[file, other]), both);
    }

    #[test]
    fn an_entry_repeats_what_its_commit_says_of_a_delta_checkpoint() {
        let sha256 = "3881dc2ee848fe04d776737c86afbc783e482e7c5be6431d3aab36fa8fa2c928";
        let named = format!("{{\"version\":7,\"bytes\":9,\"sha256\":\"{sha256}\"}}");
        let commit = format!(
            "{{\"commitInfo\":{{\"meshledger\":{{\"delta_checkpoint\":{named}}}}}}}\n{{}}\n"
        );
        let entry = Entry::of_commit(9, commit.as_bytes(), &[]);
        let text = entry.to_text();
        assert!(text.ends_with(&format!("\ndelta-checkpoint 7 {sha256}\n")), "{text}");
        assert_eq!(Entry::parse(&text), Ok(entry));
        for wrong in [
            text.replace("checkpoint 7", "checkpoint 07"),
            text.replace("checkpoint 7", "checkpoint  7"),
            text.replace("delta-checkpoint", "checkpoint"),
            format!("{text}delta-checkpoint 7 {sha256}\n"),
            text.trim_end().to_owned(),
        ] {
            assert!(Entry::parse(&wrong).is_err(), "{wrong:?}");
        }
        // Not in the first line, not of this form: it says nothing.
        for other in [format!("{{}}\n{commit}"), commit.replace("\"bytes\":9,", "")] {
            assert_eq!(
                Entry::of_commit(9, other.as_bytes(), &[]).delta_checkpoint,
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn any_other_bytes_are_another_entry() {
        let of = |bytes: &[u8]| Entry::of_commit(1, bytes, &[]);
        let entry = of(b"a\nb\n");
        for other in [&b"a\nb"[..], b"a\nb\n\n", b"ab\n", b"b\na\n", b"a\n\nb\n", b""] {
            assert_ne!(of(other).leaf(), entry.leaf(), "{other:?}");
        }
        assert_ne!(Entry::of_commit(2, b"a\nb\n", &[]).leaf(), entry.leaf());
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
