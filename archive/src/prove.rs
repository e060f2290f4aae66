//! Makes proofs of events, of files, and of a ledger's growth (`docs/format.md` 21).
//!
//! A proof is made from the commits and the file, never from tiles: what a prover is shown wrong
//! it would show on. Each is checked as its reader will check it before it is handed out.
//! Deliberately not here: whom to trust, which is the reader's business.

mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use common::commit::Commit;
use common::layout::{self, CHECKPOINT_KEY, Place};
use common::ledger::{Entry, SegmentLeaf, lines};
use common::limits::COMMIT_BYTES_MAX;
use common::manifest::FileEntry;
use common::proof::{self, ConsistencyProof, EventProof, FileProof, ProofError};
use common::{FormatError, SegmentId, Sha256Digest};
use thiserror::Error;
use tlog::note::Note;
use tlog::proof::{PROOF_BYTES_MAX, Proof};
use tlog::tile::Whole;
use tlog::{Checkpoint, Hash, TlogError};

use crate::error::ArchiveError;
use crate::log::{Log, SealedCommit};
use crate::seats::Reader;

/// Why there is no proof.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The archive failed, or contradicts itself.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nothing is signed.
    #[error("{url} has no signed checkpoint: begin a ledger with `meshledger init --ledger`, seal")]
    NoLedger {
        /// The archive.
        url: String,
    },
    /// What is asked for is not in what is signed.
    #[error("{what} is not among the {size} commits that the ledger covers; {hint}")]
    NotThere {
        /// What is asked for.
        what: String,
        /// How many commits the checkpoint covers.
        size: u64,
        /// What to do.
        hint: &'static str,
    },
    /// The ledger is not what it was when the older checkpoint was signed.
    #[error(
        "the ledger does not continue the checkpoint of size {size}: expected root {expected}, \
         found {found} by the commits; keep that checkpoint, it is evidence"
    )]
    Forked {
        /// Size of the checkpoint.
        size: u64,
        /// Its root.
        expected: String,
        /// The root by the commits; or how many there are.
        found: String,
    },
    /// A proof would be longer than a proof may be.
    #[error(
        "the proof has {bytes} bytes: expected at most {PROOF_BYTES_MAX}; the event is too long"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// What was made does not hold: the archive contradicts itself.
    #[error("the proof does not hold: {0}; run `meshledger verify`")]
    Unsound(#[from] ProofError),
}

impl From<TlogError> for ProveError {
    fn from(error: TlogError) -> Self {
        Self::Unsound(error.into())
    }
}

impl From<FormatError> for ProveError {
    fn from(error: FormatError) -> Self {
        Self::Unsound(error.into())
    }
}

/// Makes proofs that lead to one checkpoint.
#[derive(Debug, Clone)]
pub struct Prover {
    reader: Reader,
    /// The commits that the checkpoint covers.
    log: Log,
    tree: Whole,
    /// The checkpoint, with every signature that is kept of it.
    note: Note,
    head: Checkpoint,
    /// Which commit added each segment, and as which of its files; once somebody asked.
    places: OnceLock<HashMap<SegmentId, (usize, usize)>>,
}

/// What proves events of one segment.
pub struct SegmentProofs<'a> {
    prover: &'a Prover,
    commit: Arc<SealedCommit>,
    index: usize,
    sealed: rows::SealedRows,
}

impl SegmentProofs<'_> {
    /// The proof of one of the events that were asked for.
    ///
    /// # Errors
    /// If it was not, or the proof would be too long.
    pub fn proof(&self, row: u64) -> Result<String, ProveError> {
        let event = event_proof(&self.commit, self.index, &self.sealed, row)?;
        self.prover.outer(&self.commit.entry, event.to_text())
    }
}

/// One row of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    /// The segment.
    pub segment: SegmentId,
    /// The row's `segment_row`.
    pub row: u64,
}

impl Prover {
    /// A prover up to the checkpoint that is published.
    ///
    /// # Errors
    /// If there is none, or the commits do not give its root.
    pub async fn open(reader: &Reader) -> Result<Self, ProveError> {
        // The checkpoint first: a log that is read after it has all that it covers.
        let store = reader.store();
        let Some(bytes) = store.get_note(CHECKPOINT_KEY).await? else {
            return Err(ProveError::NoLedger { url: store.url().to_owned() });
        };
        let mut note = Note::parse(&bytes)?;
        let head = Checkpoint::parse(&note.text)?;
        let log = Log::load(store, &Log::default()).await?;
        let tree = log.tree();
        let root = tree.root_at(head.size);
        if root != Some(head.root) {
            let found = root.map_or_else(|| format!("{} commits", tree.size()), |r| r.to_string());
            return Err(ProveError::Archive(ArchiveError::Ledger {
                object: store.object_url(CHECKPOINT_KEY),
                expected: format!("root {} of the first {} commits", head.root, head.size),
                found,
            }));
        }
        for kept in kept(reader, &head).await?.into_iter().flat_map(|note| note.signatures) {
            if !note.signatures.contains(&kept) {
                note.signatures.push(kept);
            }
        }
        let log = log.prefix(head.size);
        Ok(Self { reader: reader.clone(), log, tree, note, head, places: OnceLock::new() })
    }

    /// The checkpoint that its proofs lead to.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.head
    }

    /// The commits that the checkpoint covers.
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// The root that the ledger had when it covered so many commits; none if it never did.
    pub fn root_of(&self, size: u64) -> Option<Hash> {
        self.tree.root_at(size).filter(|_| size <= self.head.size)
    }

    /// The file of a proof, after it was checked as a reader would.
    fn checked(text: String) -> Result<String, ProveError> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(ProveError::TooLong { bytes: text.len() });
        }
        let _ = proof::check(text.as_bytes(), None)?;
        Ok(text)
    }

    fn outer(&self, entry: &Entry, extra: String) -> Result<String, ProveError> {
        let hashes = self.tree.prove_inclusion(entry.version, self.head.size)?;
        let (index, checkpoint) = (entry.version, self.note.clone());
        let proof = Proof { extra: Some(extra.into_bytes()), index, hashes, checkpoint };
        Self::checked(proof.to_text())
    }

    /// Proofs of events, in their order. Each file that holds one is read once, and whole.
    ///
    /// # Errors
    /// If one is in no sealed segment, or a file is not what was sealed.
    pub async fn events(&self, wanted: &[RowId]) -> Result<Vec<String>, ProveError> {
        let mut by_segment: BTreeMap<SegmentId, Vec<(usize, u64)>> = BTreeMap::new();
        for (place, id) in wanted.iter().enumerate() {
            by_segment.entry(id.segment).or_default().push((place, id.row));
        }
        let mut proofs = vec![String::new(); wanted.len()];
        for (segment, rows) in by_segment {
            let events = self.segment(segment, rows.iter().map(|(_, row)| *row).collect()).await?;
            for (place, row) in rows {
                if let Some(slot) = proofs.get_mut(place) {
                    *slot = events.proof(row)?;
                }
            }
        }
        Ok(proofs)
    }

    /// What proves these events of a segment, each when it is asked for. The segment's file is
    /// read once, and whole.
    ///
    /// # Errors
    /// If no sealed commit has the segment, it has fewer rows, or the file is not what was sealed.
    pub async fn segment(
        &self,
        segment: SegmentId,
        rows: BTreeSet<u64>,
    ) -> Result<SegmentProofs<'_>, ProveError> {
        let (commit, index) = self.place(segment)?;
        let file = &commit.commit.adds[index];
        if let Some(row) = rows.last().filter(|row| **row >= file.rows) {
            return Err(ProveError::NotThere {
                what: format!("row {row} of segment {segment}, which has {} rows", file.rows),
                size: self.head.size,
                hint: "rows are counted from 0",
            });
        }
        let sealed = rows::read(self.reader.store(), file, rows).await?;
        Ok(SegmentProofs { prover: self, commit, index, sealed })
    }

    /// The commit that added a segment, and which of its files it is.
    fn place(&self, segment: SegmentId) -> Result<(Arc<SealedCommit>, usize), ProveError> {
        let places = self.places.get_or_init(|| {
            let commits = self.log.commits().iter().enumerate();
            let files = commits.flat_map(|(place, sealed)| {
                let adds = sealed.commit.adds.iter().enumerate();
                adds.map(move |(index, file)| (file.segment, (place, index)))
            });
            // The first one counts, as everywhere.
            files.fold(HashMap::new(), |mut places, (segment, place)| {
                let _ = places.entry(segment).or_insert(place);
                places
            })
        });
        let found = places
            .get(&segment)
            .and_then(|(place, index)| Some((self.log.commits().get(*place)?.clone(), *index)));
        found.ok_or_else(|| ProveError::NotThere {
            what: format!("segment {segment}"),
            size: self.head.size,
            hint: "what waits is proven once it is sealed and signed",
        })
    }

    fn find(&self, is_it: impl Fn(&FileEntry) -> bool) -> Option<(Arc<SealedCommit>, usize)> {
        self.log.commits().iter().find_map(|commit| {
            let index = commit.commit.adds.iter().position(&is_it)?;
            Some((commit.clone(), index))
        })
    }

    /// A proof of an event file, named by its key or its SHA-256.
    ///
    /// # Errors
    /// If no sealed commit adds it.
    pub async fn file(&self, name: &str) -> Result<String, ProveError> {
        let sha256: Option<Sha256Digest> = name.parse().ok();
        let found = self.find(|file| file.path == name || Some(file.sha256) == sha256);
        let (commit, index) = found.ok_or_else(|| ProveError::NotThere {
            what: format!("event file {name}"),
            size: self.head.size,
            hint: "name it by its key, data/event_date=…/….parquet, or by its SHA-256",
        })?;
        let bytes = self.commit_bytes(&commit).await?;
        let all: Vec<&[u8]> = lines(&bytes).collect();
        let tree = Whole::new(all.iter().map(|line| Hash::of_leaf(line)).collect());
        // The first line is `commitInfo`, and each other one of a sealing commit an add.
        let at = index + 1;
        let line = all.get(at).and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        let place = u64::try_from(at).unwrap_or(u64::MAX);
        let path = tree.prove_inclusion(place, tree.size())?;
        let proof = FileProof::new(commit.entry, (place, path), line)?;
        self.outer(&commit.entry, proof.to_text())
    }

    async fn commit_bytes(&self, commit: &SealedCommit) -> Result<bytes::Bytes, ProveError> {
        let (store, key) = (self.reader.store(), layout::commit_key(commit.commit.note.version));
        let bytes = store.get_bounded(&key, COMMIT_BYTES_MAX).await?.unwrap_or_default();
        if Sha256Digest::of(&bytes) == commit.sha256 {
            return Ok(bytes);
        }
        let (object, expected) = (store.object_url(&key), format!("SHA-256 {}", commit.sha256));
        let found = "another since the log was read".to_owned();
        Err(ArchiveError::Ledger { object, expected, found }.into())
    }

    /// The checkpoint that was published for a size, with every signature that is kept of it.
    ///
    /// # Errors
    /// If none is kept, or one that is kept is over another root.
    pub async fn kept_checkpoint(&self, size: u64) -> Result<Note, ProveError> {
        if size == self.head.size {
            return Ok(self.note.clone());
        }
        let root = self.root_at(size)?;
        let head = Checkpoint { origin: self.head.origin.clone(), size, root };
        let mut notes = kept(&self.reader, &head).await?.into_iter();
        let mut note = notes.next().ok_or_else(|| ProveError::NotThere {
            what: format!("a checkpoint of size {size}"),
            size: self.head.size,
            hint: "sizes that were signed are the names in _ledger/checkpoints/",
        })?;
        note.signatures.extend(notes.flat_map(|note| note.signatures));
        Ok(note)
    }

    fn root_at(&self, size: u64) -> Result<Hash, ProveError> {
        self.root_of(size).ok_or_else(|| ProveError::NotThere {
            what: format!("a checkpoint of size {size}"),
            size: self.head.size,
            hint: "a proof leads from a smaller checkpoint to a larger one",
        })
    }

    /// The proof that the ledger only grew from one checkpoint to another, in either order.
    ///
    /// # Errors
    /// If it did not: that is a fork, and worth an alarm.
    pub fn consistency(&self, one: Note, other: Note) -> Result<String, ProveError> {
        let (mut old, mut new) = (Checkpoint::parse(&one.text)?, Checkpoint::parse(&other.text)?);
        let (mut old_note, mut new_note) = (one, other);
        if old.size > new.size {
            std::mem::swap(&mut old, &mut new);
            std::mem::swap(&mut old_note, &mut new_note);
        }
        for head in [&old, &new] {
            let found = self.tree.root_at(head.size);
            if found != Some(head.root) || head.origin != self.head.origin {
                let commits = || format!("{} commits", self.tree.size());
                return Err(ProveError::Forked {
                    size: head.size,
                    expected: format!("{} of {}", head.root, head.origin),
                    found: found.map_or_else(commits, |root| root.to_string()),
                });
            }
        }
        let hashes = self.tree.prove_consistency(old.size, new.size)?;
        Self::checked(ConsistencyProof { old: old_note, hashes, new: new_note }.to_text())
    }
}

/// The notes that are kept of a checkpoint, each with what one key signed.
async fn kept(reader: &Reader, head: &Checkpoint) -> Result<Vec<Note>, ArchiveError> {
    let store = reader.store();
    let text = head.to_text();
    let mut notes = Vec::new();
    for object in store.list(&layout::signatures_prefix(head.size), None).await? {
        if !matches!(layout::parse(&object.key), Place::Signature(..)) {
            continue;
        }
        let bytes = store.get_note(&object.key).await?.unwrap_or_default();
        match Note::parse(&bytes) {
            Ok(note) if note.text == text => notes.push(note),
            // Who signed another root is for `verify` to tell; a proof must not carry it.
            Ok(note) => {
                return Err(ArchiveError::Ledger {
                    object: store.object_url(&object.key),
                    expected: text.trim_end().replace('\n', " "),
                    found: note.text.trim_end().replace('\n', " "),
                });
            }
            Err(e) => {
                let object = store.object_url(&object.key);
                let expected = "a signed checkpoint".to_owned();
                return Err(ArchiveError::Ledger { object, expected, found: e.to_string() });
            }
        }
    }
    Ok(notes)
}

fn event_proof(
    sealed: &SealedCommit,
    index: usize,
    rows: &rows::SealedRows,
    row: u64,
) -> Result<EventProof, ProveError> {
    let Commit { adds, .. } = &sealed.commit;
    let tree = Whole::new(adds.iter().map(|file| SegmentLeaf::of_file(file).leaf()).collect());
    let segment_index = u64::try_from(index).unwrap_or(u64::MAX);
    let (salt, canonical) = rows.row(row)?;
    Ok(EventProof {
        entry: sealed.entry,
        segment_index,
        segment_path: tree.prove_inclusion(segment_index, tree.size())?,
        segment: SegmentLeaf::of_file(&adds[index]),
        row,
        row_path: rows.tree.prove_inclusion(row, rows.tree.size())?,
        salt,
        shared: canonical.shared,
        own: canonical.own,
    })
}
