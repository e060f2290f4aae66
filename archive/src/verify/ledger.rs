//! Checks the ledger: its checkpoint and signatures, and every tile, computed again from the
//! commits. Nothing of the ledger is trusted to check another part of it.

use std::collections::BTreeSet;

use bytes::Bytes;
use common::Sha256Digest;
use common::layout::{self, CHECKPOINT_KEY, LEDGER_PREFIX, LOCK_PREFIX, Place};
use common::ledger::{Entry, is_of_table, lock_text};
use serde::Serialize;
use tlog::note::{NOTE_BYTES_MAX, Note};
use tlog::policy::Policy;
use tlog::tile::{Of, Tile, WIDTH, Whole, entries, push_entry};
use tlog::{Checkpoint, Hash, TlogError};

use super::finding::{Code, Finding, Findings};
use super::history::{History, unreadable};
use crate::error::ArchiveError;
use crate::seats::Reader;
use crate::store::{Listed, Store};

/// What the ledger says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerState {
    /// The log's identity.
    pub origin: String,
    /// Commits the checkpoint covers.
    pub size: u64,
    /// Root of the tree, in base64.
    pub root: String,
    /// The key whose signature the policy accepted; none if no policy was given or none was
    /// accepted.
    pub signed_by: Option<String>,
    /// Witnesses of the policy that cosigned.
    pub witnesses: Vec<String>,
}

/// The ledger's objects, as they were before the log was read: a sealer commits first and signs
/// later, so a log that is read afterwards has all that these speak of.
pub(super) struct Seen {
    /// The checkpoint; inside, what is wrong with it.
    checkpoint: Result<Option<Note>, String>,
    listed: Vec<Listed>,
    locks: Vec<Listed>,
}

/// Looks at the ledger before the log is read.
pub(super) async fn see(reader: &Reader) -> Result<Seen, ArchiveError> {
    let (store, work) = (reader.store(), reader.work());
    // A name that breaks a listing is reported where strays are looked for.
    let listed = async |store: &Store, prefix: &str| match store.list(prefix, None).await {
        Err(ArchiveError::Key { .. }) => Ok(Vec::new()),
        listed => listed,
    };
    Ok(Seen {
        checkpoint: read_note(store, CHECKPOINT_KEY).await?,
        listed: listed(store, LEDGER_PREFIX).await?,
        locks: listed(work, LOCK_PREFIX).await?,
    })
}

/// Reads a note. Inside: what is wrong with it.
async fn read_note(store: &Store, key: &str) -> Result<Result<Option<Note>, String>, ArchiveError> {
    let limit = u64::try_from(NOTE_BYTES_MAX).unwrap_or(u64::MAX);
    match store.get_bounded(key, limit).await {
        Ok(None) => Ok(Ok(None)),
        Ok(Some(bytes)) => Ok(Note::parse(&bytes).map(Some).map_err(|e| e.to_string())),
        Err(e) => unreadable(e).map(Err),
    }
}

/// What is looked at, and what it is held against.
struct Judge<'a> {
    store: &'a Store,
    work: &'a Store,
    history: &'a History,
    policy: Option<&'a Policy>,
    /// The tree of the commits that are there without a gap.
    whole: Whole,
}

/// Checks checkpoint, signatures, tiles, bundles and locks.
pub(super) async fn check(
    reader: &Reader,
    seen: Seen,
    history: &History,
    policy: Option<&Policy>,
    findings: &mut Findings,
) -> Result<Option<LedgerState>, ArchiveError> {
    let contiguous = (0..).zip(&history.logged).take_while(|(n, logged)| logged.version == *n);
    let leaves = contiguous.map(|(_, logged)| logged.entry.leaf()).collect();
    let (store, work) = (reader.store(), reader.work());
    let judge = Judge { store, work, history, policy, whole: Whole::new(leaves) };
    let Seen { checkpoint, listed, locks } = seen;
    let locks_count = locks.len();
    judge.locks(locks, findings).await?;
    let object = store.object_url(CHECKPOINT_KEY);
    let note = match checkpoint {
        Ok(Some(note)) => note,
        Ok(None) => {
            if policy.is_some() || !judge.is_only_begun(&listed, locks_count) {
                let finding = Finding::new(Code::Note, object);
                findings.push(finding.differs("a signed checkpoint", "none"));
            } else if !listed.is_empty() || locks_count > 0 {
                findings.push(
                    Finding::incomplete(Code::Note, object)
                        .differs("a signed checkpoint", "none")
                        .detail("the ledger was begun and not published; seal with its key"),
                );
            }
            return Ok(None);
        }
        Err(found) => {
            let finding = Finding::new(Code::Note, object);
            findings.push(finding.differs("a signed checkpoint", found));
            return Ok(None);
        }
    };
    let (head, state) = match judge.checkpoint(&note) {
        Ok(both) => both,
        Err(finding) => {
            findings.push(*finding);
            return Ok(None);
        }
    };
    if let Some(finding) = judge.origin(&object, &head.origin) {
        findings.push(finding);
    }
    if let Err(finding) = judge.trusted(&note, &object) {
        findings.push(*finding);
    }
    if judge.covered(&head, &object, findings).await? {
        judge.objects(&head, listed, findings).await?;
    }
    Ok(Some(state))
}

impl Judge<'_> {
    /// Whether these are what a first publication leaves that stopped before its checkpoint: the
    /// objects of one size.
    fn is_only_begun(&self, listed: &[Listed], locks: usize) -> bool {
        let mut sizes = BTreeSet::new();
        let mut tiles = BTreeSet::new();
        for object in listed {
            match layout::parse(&object.key) {
                Place::Signature(size, _) => drop(sizes.insert(size)),
                Place::Tile(tile) => drop(tiles.insert(tile)),
                _ => return false,
            }
        }
        let all = self.whole.size();
        let size = sizes.first().copied().unwrap_or(all);
        let possible: BTreeSet<Tile> = Tile::all_between(0, size.min(all)).collect();
        sizes.len() <= 1 && locks <= 1 && tiles.is_subset(&possible)
    }

    fn checkpoint(&self, note: &Note) -> Result<(Checkpoint, LedgerState), Box<Finding>> {
        let object = self.store.object_url(CHECKPOINT_KEY);
        let head = Checkpoint::parse(&note.text)
            .map_err(|e| Box::new(Finding::new(Code::Note, object).differs("a checkpoint", e)))?;
        let accepted = self.policy.and_then(|policy| policy.accept(note).ok());
        let state = LedgerState {
            origin: head.origin.clone(),
            size: head.size,
            root: head.root.to_string(),
            signed_by: accepted.as_ref().map(|accepted| accepted.log.to_string()),
            witnesses: accepted.map_or_else(Vec::new, |accepted| {
                accepted.witnesses.iter().map(|(key, _)| key.name().to_owned()).collect()
            }),
        };
        Ok((head, state))
    }

    fn origin(&self, object: &str, origin: &str) -> Option<Finding> {
        let table_id = self.history.table_id.as_deref().unwrap_or_default();
        (!is_of_table(origin, table_id)).then(|| {
            Finding::new(Code::Origin, object)
                .differs(format!("an origin that ends in /{table_id}"), origin)
                .detail("the ledger of another table proves nothing about this one")
        })
    }

    fn trusted(&self, note: &Note, object: &str) -> Result<(), Box<Finding>> {
        let Some(policy) = self.policy else { return Ok(()) };
        let wrong = |error: TlogError| {
            let finding = Finding::new(Code::Signature, object);
            Box::new(match error {
                TlogError::Signature { expected, found } => finding.differs(expected, found),
                other => finding.differs("a checkpoint that the policy accepts", other),
            })
        };
        policy.accept(note).map(|_| ()).map_err(wrong)
    }

    /// Whether the commits give the root that is published.
    async fn covered(
        &self,
        head: &Checkpoint,
        object: &str,
        findings: &mut Findings,
    ) -> Result<bool, ArchiveError> {
        let there = self.whole.size();
        if head.size > there {
            let last = head.size - 1;
            findings.push(
                Finding::new(Code::Gap, self.store.object_url(&layout::commit_key(there)))
                    .version(Some(there))
                    .differs(format!("versions {there} to {last}"), "not all of them")
                    .detail("the checkpoint covers versions that are gone"),
            );
            return Ok(false);
        }
        if there > head.size {
            let count = there - head.size;
            let first = self.store.object_url(&layout::commit_key(head.size));
            findings.push(
                Finding::incomplete(Code::Unsealed, first)
                    .version(Some(head.size))
                    .differs(format!("a checkpoint of size {there}"), format!("size {}", head.size))
                    .detail(format!("{count} of the commits are not signed; seal to sign them")),
            );
        }
        let root = self.whole.root_at(head.size).unwrap_or_else(Hash::of_no_leaves);
        if root == head.root {
            return Ok(true);
        }
        let finding = match self.first_difference(head.size).await? {
            Some((version, expected, found)) => {
                let times = usize::try_from(version).ok();
                let times = times.and_then(|index| self.history.logged.get(index));
                Finding::new(Code::Leaf, self.store.object_url(&layout::commit_key(version)))
                    .version(Some(version))
                    .times(times.and_then(|logged| logged.times))
                    .differs(format!("SHA-256 {expected}"), found)
                    .detail("this commit was changed after it was signed")
            }
            None => Finding::new(Code::Leaf, object)
                .differs(format!("root {root} by the commits"), head.root)
                .detail("the bundles do not tell which commit was changed"),
        };
        findings.push(finding);
        Ok(false)
    }

    /// The first commit of which a bundle says something else: its version, the digest the bundle
    /// has, and its own.
    async fn first_difference(
        &self,
        size: u64,
    ) -> Result<Option<(u64, Sha256Digest, Sha256Digest)>, ArchiveError> {
        for tile in Tile::between(Of::Entries, 0, size) {
            let Some(bytes) = self.tile(tile).await? else { continue };
            let Ok(entries) = entries(&bytes, tile.width) else { continue };
            let first = tile.index * u64::from(WIDTH);
            for (version, entry) in (first..).zip(entries) {
                let said = std::str::from_utf8(entry).ok().and_then(|text| Entry::parse(text).ok());
                let logged = usize::try_from(version).ok();
                let logged = logged.and_then(|index| self.history.logged.get(index));
                if let (Some(said), Some(logged)) = (said, logged)
                    && said != logged.entry
                {
                    let (expected, found) = (said.commit_sha256, logged.entry.commit_sha256);
                    return Ok(Some((version, expected, found)));
                }
            }
        }
        Ok(None)
    }

    async fn tile(&self, tile: Tile) -> Result<Option<Bytes>, ArchiveError> {
        let limit = u64::from(WIDTH) * (u64::from(u16::MAX) + 2);
        match self.store.get_bounded(&layout::tile_key(tile), limit).await {
            Ok(bytes) => Ok(bytes),
            // Told where its digest is compared.
            Err(e) => unreadable(e).map(|_| None),
        }
    }

    /// What a tile or a bundle must be, by the commits; none if they are too few for it.
    fn expected(&self, tile: Tile) -> Option<Vec<u8>> {
        if tile.of != Of::Entries {
            return self.whole.tile(tile);
        }
        let begin = usize::try_from(tile.index.checked_mul(u64::from(WIDTH))?).ok()?;
        let end = begin.checked_add(usize::from(tile.width))?;
        let logged = self.history.logged.get(begin..end)?;
        let mut bundle = Vec::new();
        for one in logged {
            push_entry(&mut bundle, one.entry.to_text().as_bytes()).ok()?;
        }
        Some(bundle)
    }

    /// Every object of the ledger but the checkpoint.
    async fn objects(
        &self,
        head: &Checkpoint,
        listed: Vec<Listed>,
        findings: &mut Findings,
    ) -> Result<(), ArchiveError> {
        let mut wanted: BTreeSet<Tile> = Tile::all_between(0, head.size).collect();
        for object in listed {
            match layout::parse(&object.key) {
                Place::Tile(tile) => {
                    let is_wanted = wanted.remove(&tile);
                    self.check_tile(&object.key, tile, is_wanted, findings).await?;
                }
                Place::Signature(size, key_id) => {
                    self.check_signature(&object.key, (size, key_id), head, findings).await?;
                }
                _ => {}
            }
        }
        for tile in wanted {
            findings.push(
                Finding::new(Code::Tile, self.store.object_url(&layout::tile_key(tile)))
                    .differs("a tile of the ledger", "nothing")
                    .detail("it can be computed again from the commits"),
            );
        }
        Ok(())
    }

    async fn check_tile(
        &self,
        key: &str,
        tile: Tile,
        is_wanted: bool,
        findings: &mut Findings,
    ) -> Result<(), ArchiveError> {
        let url = self.store.object_url(key);
        let Some(expected) = self.expected(tile) else {
            let finding = Finding::new(Code::Stray, url);
            findings.push(finding.differs("tiles of the commits there are", "one of more"));
            return Ok(());
        };
        let found = match self.store.digest(key).await {
            Ok(Some(found)) if found.sha256 == Sha256Digest::of(&expected) => return Ok(()),
            Ok(Some(found)) => format!("SHA-256 {}", found.sha256),
            // Gone since it was listed: the next run sees it.
            Ok(None) if !is_wanted => return Ok(()),
            Ok(None) => "nothing".to_owned(),
            Err(e) => unreadable(e)?,
        };
        findings.push(
            Finding::new(Code::Tile, url)
                .differs(format!("SHA-256 {}", Sha256Digest::of(&expected)), found)
                .detail("it can be computed again from the commits"),
        );
        Ok(())
    }

    /// A kept signature is over this log's root at its size.
    async fn check_signature(
        &self,
        key: &str,
        (size, key_id): (u64, [u8; 4]),
        head: &Checkpoint,
        findings: &mut Findings,
    ) -> Result<(), ArchiveError> {
        let url = self.store.object_url(key);
        let note = match read_note(self.store, key).await? {
            Ok(Some(note)) => note,
            Ok(None) => return Ok(()),
            Err(found) => {
                let finding = Finding::new(Code::Note, url);
                findings.push(finding.differs("a signed checkpoint", found));
                return Ok(());
            }
        };
        // One signature an object, of the key it is named after; a log's key has its origin's name.
        let is_of_key = matches!(
            &note.signatures[..],
            [one] if one.key_id == key_id && one.name == head.origin
        );
        let signed = match Checkpoint::parse(&note.text) {
            Ok(signed) if is_of_key => signed,
            Ok(_) => {
                let expected = format!("one signature of {} with this id", head.origin);
                findings.push(Finding::new(Code::Note, url).differs(expected, "another"));
                return Ok(());
            }
            Err(e) => {
                findings.push(Finding::new(Code::Note, url).differs("a checkpoint", e));
                return Ok(());
            }
        };
        let text = |head: &Checkpoint| head.to_text().trim_end().replace('\n', " ");
        let expected = self.whole.root_at(size);
        let expected = expected.map(|root| Checkpoint { origin: head.origin.clone(), size, root });
        if expected.as_ref() != Some(&signed) {
            let expected =
                expected.map_or_else(|| format!("at least {size} commits"), |head| text(&head));
            findings.push(
                Finding::new(Code::Fork, &url)
                    .differs(expected, text(&signed))
                    .detail("another history than this one was signed"),
            );
        }
        for known in self.policy.into_iter().flat_map(Policy::logs) {
            if let Err(error) = note.signed_by(&known.key) {
                let finding = Finding::new(Code::Signature, &url);
                findings.push(finding.differs("a signature of the log's key", error));
            }
        }
        Ok(())
    }

    /// What was locked to be signed is the root of these commits.
    async fn locks(
        &self,
        listed: Vec<Listed>,
        findings: &mut Findings,
    ) -> Result<(), ArchiveError> {
        for object in listed {
            let url = self.work.object_url(&object.key);
            let Some(size) = layout::parse_lock(&object.key) else {
                let finding = Finding::new(Code::Stray, url);
                findings.push(finding.differs("locks of sizes", "another name"));
                continue;
            };
            let root = self.whole.root_at(size);
            let expected = root.map_or_else(|| format!("at least {size} commits"), lock_text);
            let found = match self.work.get_bounded(&object.key, 128).await {
                Ok(Some(bytes)) if root.is_some() && bytes == expected.as_bytes() => continue,
                Ok(None) => continue,
                Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(e) => unreadable(e)?,
            };
            findings.push(
                Finding::new(Code::Fork, url)
                    .differs(expected.trim_end(), found.trim_end())
                    .detail("another history than this one was about to be signed"),
            );
        }
        Ok(())
    }
}
