//! Checks the ledger: its checkpoint and signatures, and every tile, computed again from the
//! commits. Nothing of the ledger is trusted to check another part of it.

use std::collections::BTreeSet;

use bytes::Bytes;
use common::layout::{self, BEGUN_KEY, CHECKPOINT_KEY, LEDGER_PREFIX, LOCK_PREFIX, Place};
use common::ledger::{Entry, is_of_table, lock_text};
use serde::Serialize;
use tlog::note::Note;
use tlog::tile::{Of, Tile, WIDTH, Whole, entries};
use tlog::{Checkpoint, Hash};

use super::commits;
use super::finding::{Code, Finding, Findings};
use super::keys::Keys;
use super::walk::{Walked, is_there_now};
use super::{Progress, Stage, VerifyOptions, unreadable};
use crate::error::ArchiveError;
use crate::seats::Reader;
use crate::store::{LIST_PAGE_COUNT, Listed, Store};

/// What the ledger says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerState {
    /// The log's identity.
    pub origin: String,
    /// Commits the checkpoint covers.
    pub size: u64,
    /// Root of the tree, in base64.
    pub root: String,
    /// The signed checkpoint, to be kept and given to a later verification.
    pub checkpoint: String,
    /// The key whose signature the policy accepted; none if no policy was given or none was
    /// accepted.
    pub signed_by: Option<String>,
    /// Witnesses of the policy that cosigned.
    pub witnesses: Vec<String>,
}

/// The checkpoint, as it was before the log was read: a sealer commits first and signs later, so
/// a log that is read afterwards has all that it speaks of.
pub(super) struct Seen {
    /// The checkpoint; inside, what is wrong with it.
    checkpoint: Result<Option<Note>, String>,
}

impl Seen {
    /// How many commits it covers, by its own words.
    pub(super) fn size(&self) -> u64 {
        let note = self.checkpoint.as_ref().ok().and_then(Option::as_ref);
        note.and_then(|note| Checkpoint::parse(&note.text).ok()).map_or(0, |head| head.size)
    }
}

/// Looks at the ledger before the log is read.
pub(super) async fn see(reader: &Reader) -> Result<Seen, ArchiveError> {
    Ok(Seen { checkpoint: read_note(reader.store(), CHECKPOINT_KEY).await? })
}

/// Reads a note. Inside: what is wrong with it.
async fn read_note(store: &Store, key: &str) -> Result<Result<Option<Note>, String>, ArchiveError> {
    match store.get_note(key).await {
        Ok(None) => Ok(Ok(None)),
        Ok(Some(bytes)) => Ok(Note::parse(&bytes).map(Some).map_err(|e| e.to_string())),
        Err(e) => unreadable(e).map(Err),
    }
}

/// What is looked at, and what it is held against.
struct Judge<'a> {
    store: &'a Store,
    /// Where locks are.
    locked: &'a Store,
    table_id: String,
    /// The tree of the commits that are there without a gap.
    whole: Whole,
    /// Whether one of them is there that the store did not give.
    is_cut: bool,
    progress: &'a (dyn Fn(Progress) + Sync),
}

/// Checks checkpoint, signatures, tiles, bundles and locks.
pub(super) async fn check(
    reader: &Reader,
    seen: Seen,
    walked: &mut Walked,
    options: &VerifyOptions,
    findings: &mut Findings,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Option<LedgerState>, ArchiveError> {
    let (store, locked) = (reader.store(), reader.locks());
    let judge = Judge {
        store,
        locked,
        table_id: walked.table_id.clone().unwrap_or_default(),
        whole: Whole::new(std::mem::take(&mut walked.leaves)),
        is_cut: walked.is_cut,
        progress,
    };
    let (locks_count, is_begun) = judge.locks(findings).await?;
    let object = store.object_url(CHECKPOINT_KEY);
    let note = match seen.checkpoint {
        Ok(Some(note)) => note,
        Ok(None) => {
            let listed = judge.page(None).await?;
            let is_wanted = options.policy.is_some() || options.since.is_some();
            if is_wanted || !judge.is_only_begun(&listed, locks_count) {
                let finding = Finding::new(Code::Note, object);
                findings.push(finding.differs("a signed checkpoint", "none"));
            } else if !listed.is_empty() || locks_count > 0 || is_begun {
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
    let (head, mut state) = match judge.checkpoint(&note) {
        Ok(both) => both,
        Err(finding) => {
            findings.push(*finding);
            return Ok(None);
        }
    };
    if let Some(finding) = judge.origin(&object, &head.origin) {
        findings.push(finding);
    }
    let root_at = |size| judge.whole.root_at(size);
    let policy = options.policy.as_ref();
    let mut keys = Keys::read((store, locked), &head, policy, root_at, findings).await?;
    if let Some(since) = &options.since {
        findings.extend(judge.continues(since, &head, &keys, &object));
    }
    if judge.covered(&head, &object, findings).await? {
        judge.objects(&head, &mut keys, findings).await?;
    }
    if let Some(accepted) = keys.finish(&note, &object, findings) {
        state.signed_by = Some(accepted.log.to_string());
        let names = accepted.witnesses.iter().map(|(key, _)| key.name().to_owned());
        state.witnesses = names.collect();
    }
    Ok(Some(state))
}

impl Judge<'_> {
    /// Whether these are what a first publication leaves that stopped before its checkpoint: the
    /// objects of one size.
    fn is_only_begun(&self, listed: &[Listed], locks: u64) -> bool {
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
        let state = LedgerState {
            origin: head.origin.clone(),
            size: head.size,
            root: head.root.to_string(),
            checkpoint: note.to_text(),
            signed_by: None,
            witnesses: Vec::new(),
        };
        Ok((head, state))
    }

    fn origin(&self, object: &str, origin: &str) -> Option<Finding> {
        let table_id = &self.table_id;
        (!is_of_table(origin, table_id)).then(|| {
            Finding::new(Code::Origin, object)
                .differs(format!("an origin that ends in /{table_id}"), origin)
                .detail("the ledger of another table proves nothing about this one")
        })
    }

    /// Whether this history continues the one that somebody saw.
    fn continues(
        &self,
        since: &Note,
        head: &Checkpoint,
        keys: &Keys<'_>,
        object: &str,
    ) -> Option<Finding> {
        let finding = |code| Finding::new(code, object);
        let seen = match Checkpoint::parse(&since.text) {
            Ok(seen) => seen,
            Err(e) => return Some(finding(Code::Note).differs("a checkpoint that was seen", e)),
        };
        if seen.origin != head.origin {
            return Some(
                finding(Code::Origin)
                    .differs(format!("the origin that was seen, {}", seen.origin), &head.origin)
                    .detail("the checkpoint that was seen is another ledger's"),
            );
        }
        if let Err(e) = keys.signed(since) {
            return Some(
                finding(Code::Signature)
                    .differs("a seen checkpoint that the policy accepts", e)
                    .detail("the file given to compare with proves nothing"),
            );
        }
        if seen.size > head.size {
            return Some(
                finding(Code::Rollback)
                    .version(Some(head.size))
                    .differs(format!("at least size {}, which was seen", seen.size), head.size)
                    .detail("what was sealed after this checkpoint was taken away"),
            );
        }
        let root = self.whole.root_at(seen.size);
        (root.is_some() && root != Some(seen.root)).then(|| {
            let found = root.map_or_else(String::new, |root| root.to_string());
            finding(Code::Fork)
                .differs(format!("root {} at size {}, which was seen", seen.root, seen.size), found)
                .detail("another history than this one was signed")
        })
    }

    /// Whether the commits give the root that is published.
    async fn covered(
        &self,
        head: &Checkpoint,
        object: &str,
        findings: &mut Findings,
    ) -> Result<bool, ArchiveError> {
        let there = self.whole.size();
        if head.size > there && self.is_cut {
            // Reported where it could not be read.
            return Ok(false);
        }
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
            Some((version, expected)) => self.changed(version, expected).await?,
            None => Finding::new(Code::Leaf, object)
                .differs(format!("root {root} by the commits"), head.root)
                .detail("the bundles do not tell which commit was changed"),
        };
        findings.push(finding);
        Ok(false)
    }

    /// What is said of a commit that a bundle speaks of otherwise.
    async fn changed(&self, version: u64, expected: Entry) -> Result<Finding, ArchiveError> {
        let finding = Finding::new(Code::Leaf, self.store.object_url(&layout::commit_key(version)))
            .version(Some(version))
            .detail("this commit was changed after it was signed");
        let expected = format!("SHA-256 {}", expected.commit_sha256);
        let Some(read) = commits::read(self.store, version).await? else {
            return Ok(finding.differs(expected, "nothing"));
        };
        let commit = read.parsed.ok();
        Ok(finding
            .differs(expected, read.entry.commit_sha256)
            .times(commit.as_ref().and_then(commits::event_times))
            .events(commit.as_ref().map(commits::event_rows)))
    }

    /// The first commit of which a bundle says something else, and what it says.
    async fn first_difference(&self, size: u64) -> Result<Option<(u64, Entry)>, ArchiveError> {
        for tile in Tile::between(Of::Entries, 0, size) {
            let Some(bytes) = self.tile(tile).await? else { continue };
            if let Some((version, entry)) = self.differs(tile, &bytes)
                && let Some(entry) = std::str::from_utf8(&entry).ok().map(Entry::parse)
                && let Ok(entry) = entry
            {
                return Ok(Some((version, entry)));
            }
        }
        Ok(None)
    }

    /// The leaves of a bundle's commits; none if there are fewer commits.
    fn leaves(&self, bundle: Tile) -> Option<Vec<Hash>> {
        let bytes = self.whole.tile(Tile { of: Of::Hashes(0), ..bundle })?;
        let (hashes, _) = bytes.as_chunks::<{ Hash::BYTES }>();
        Some(hashes.iter().map(|bytes| Hash::from_bytes(*bytes)).collect())
    }

    /// The first entry of a bundle that is not its commit's; nothing if it is none at all.
    fn differs(&self, bundle: Tile, bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
        let leaves = self.leaves(bundle)?;
        let entries = entries(bytes, bundle.width).ok()?;
        let first = bundle.index * u64::from(WIDTH);
        let wrong = (first..).zip(entries).zip(leaves);
        let mut wrong = wrong.filter(|((_, entry), leaf)| Hash::of_leaf(entry) != *leaf);
        wrong.next().map(|((version, entry), _)| (version, entry.to_vec()))
    }

    async fn tile(&self, tile: Tile) -> Result<Option<Bytes>, ArchiveError> {
        match self.store.get_tile(tile).await {
            Ok(bytes) => Ok(bytes),
            // Told where its digest is compared.
            Err(e) => unreadable(e).map(|_| None),
        }
    }

    /// One page of the ledger's objects; a name that breaks a listing is reported where strays are
    /// looked for.
    async fn page(&self, after: Option<&str>) -> Result<Vec<Listed>, ArchiveError> {
        page(self.store, LEDGER_PREFIX, after).await
    }

    /// Every object of the ledger but the checkpoint.
    async fn objects(
        &self,
        head: &Checkpoint,
        keys: &mut Keys<'_>,
        findings: &mut Findings,
    ) -> Result<(), ArchiveError> {
        let mut wanted: BTreeSet<Tile> = Tile::all_between(0, head.size).collect();
        let mut after: Option<String> = None;
        let mut done = 0;
        loop {
            let page = self.page(after.as_deref()).await?;
            let is_last = page.len() < LIST_PAGE_COUNT;
            after = page.last().map(|object| object.key.clone());
            for object in page {
                done += 1;
                let (stage, bytes_done, bytes_total) = (Stage::Ledger, 0, 0);
                (self.progress)(Progress { stage, done, total: done, bytes_done, bytes_total });
                match layout::parse(&object.key) {
                    Place::Tile(tile) => {
                        let is_wanted = wanted.remove(&tile);
                        self.check_tile(&object.key, tile, is_wanted, findings).await?;
                    }
                    Place::Signature(size, key_id) => {
                        let of = (size, key_id);
                        self.check_signature(&object.key, of, (head, &mut *keys), findings).await?;
                    }
                    _ => {}
                }
            }
            if is_last {
                break;
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

    /// Whether an object that needs so many commits is of some that were stored while this
    /// verification ran.
    async fn is_late(&self, size: u64) -> Result<bool, ArchiveError> {
        match size.checked_sub(1) {
            Some(version) if size > self.whole.size() => is_there_now(self.store, version).await,
            _ => Ok(false),
        }
    }

    async fn check_tile(
        &self,
        key: &str,
        tile: Tile,
        is_wanted: bool,
        findings: &mut Findings,
    ) -> Result<(), ArchiveError> {
        let url = self.store.object_url(key);
        let of_hashes = match tile.of {
            Of::Hashes(_) => tile,
            Of::Entries => Tile { of: Of::Hashes(0), ..tile },
        };
        let Some(expected) = self.whole.tile(of_hashes) else {
            if self.is_cut || self.is_late(leaves_below(tile)).await? {
                return Ok(());
            }
            let finding = Finding::new(Code::Stray, url);
            findings.push(finding.differs("tiles of the commits there are", "one of more"));
            return Ok(());
        };
        let found = match self.store.get_tile(tile).await {
            Ok(Some(found)) => found,
            // Gone since it was listed: the next run sees it.
            Ok(None) if !is_wanted => return Ok(()),
            Ok(None) => Bytes::new(),
            Err(e) => {
                let finding = Finding::new(Code::Tile, url);
                findings.push(finding.differs("a tile of the ledger", unreadable(e)?));
                return Ok(());
            }
        };
        let (expected, found) = if tile.of == Of::Entries {
            let first = tile.index * u64::from(WIDTH);
            let expected = format!("the entries of {} versions from {first} on", tile.width);
            let found = match (entries(&found, tile.width), self.differs(tile, &found)) {
                (Ok(_), None) => return Ok(()),
                (Ok(_), Some((version, _))) => format!("another for version {version}"),
                (Err(e), _) => e.to_string(),
            };
            (expected, found)
        } else if found == expected {
            return Ok(());
        } else {
            let hashes = |bytes: &[u8]| format!("SHA-256 {}", common::Sha256Digest::of(bytes));
            (hashes(&expected), hashes(&found))
        };
        findings.push(
            Finding::new(Code::Tile, url)
                .differs(expected, found)
                .detail("it can be computed again from the commits"),
        );
        Ok(())
    }

    /// A kept signature is over this log's root at its size.
    async fn check_signature(
        &self,
        key: &str,
        (size, key_id): (u64, [u8; 4]),
        (head, keys): (&Checkpoint, &mut Keys<'_>),
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
        // One signature an object, of the key it is named after: the log's or a witness's.
        let is_of_key = matches!(&note.signatures[..], [one] if one.key_id == key_id);
        let signed = match Checkpoint::parse(&note.text) {
            Ok(signed) if is_of_key => signed,
            Ok(_) => {
                let expected = "one signature of a key with this id";
                findings.push(Finding::new(Code::Note, url).differs(expected, "another"));
                return Ok(());
            }
            Err(e) => {
                findings.push(Finding::new(Code::Note, url).differs("a checkpoint", e));
                return Ok(());
            }
        };
        let text = |head: &Checkpoint| head.to_text().trim_end().replace('\n', " ");
        if self.is_cut || self.is_late(size).await? {
            return Ok(());
        }
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
            return Ok(());
        }
        keys.see(&note, size, &url, findings);
        Ok(())
    }

    /// What was locked to be signed is the root of these commits. Returns how many locks there
    /// are, and whether somebody began the ledger.
    async fn locks(&self, findings: &mut Findings) -> Result<(u64, bool), ArchiveError> {
        let (mut after, mut count): (Option<String>, u64) = (None, 0);
        let mut is_begun = false;
        loop {
            let page = page(self.locked, LOCK_PREFIX, after.as_deref()).await?;
            let is_last = page.len() < LIST_PAGE_COUNT;
            after = page.last().map(|object| object.key.clone());
            for object in page {
                if object.key == BEGUN_KEY {
                    // Looked at with the keys.
                    is_begun = true;
                    continue;
                }
                count += 1;
                self.lock(&object.key, findings).await?;
            }
            if is_last {
                return Ok((count, is_begun));
            }
        }
    }

    async fn lock(&self, key: &str, findings: &mut Findings) -> Result<(), ArchiveError> {
        let url = self.locked.object_url(key);
        let Some(size) = layout::parse_lock(key) else {
            let finding = Finding::new(Code::Stray, url);
            findings.push(finding.differs("locks of sizes", "another name"));
            return Ok(());
        };
        if size > self.whole.size() && (self.is_cut || self.is_late(size).await?) {
            return Ok(());
        }
        let root = self.whole.root_at(size);
        let expected = root.map_or_else(|| format!("at least {size} commits"), lock_text);
        let found = match self.locked.get_bounded(key, LOCK_BYTES_MAX).await {
            Ok(Some(bytes)) if root.is_some() && bytes == expected.as_bytes() => return Ok(()),
            Ok(None) => return Ok(()),
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) => unreadable(e)?,
        };
        findings.push(
            Finding::new(Code::Fork, url)
                .differs(expected.trim_end(), found.trim_end())
                .detail("another history than this one was about to be signed"),
        );
        Ok(())
    }
}

/// Longest lock that is read: one is 65 bytes.
const LOCK_BYTES_MAX: u64 = 128;

/// Leaves a tree needs to have this tile.
fn leaves_below(tile: Tile) -> u64 {
    let level = match tile.of {
        Of::Hashes(level) => u32::from(level),
        Of::Entries => 0,
    };
    let hashes = tile.index.saturating_mul(u64::from(WIDTH)).saturating_add(tile.width.into());
    hashes.saturating_mul(u64::from(WIDTH).saturating_pow(level))
}

async fn page(
    store: &Store,
    prefix: &str,
    after: Option<&str>,
) -> Result<Vec<Listed>, ArchiveError> {
    match store.list_page(prefix, after).await {
        Err(ArchiveError::Key { .. }) => Ok(Vec::new()),
        page => page,
    }
}
