//! Holds every object that is there against those that somebody names: both come in the order of
//! their keys, so that neither has to fit the memory. And checks the held index.

use std::collections::BTreeSet;

use common::held;
use common::layout::{
    self, DATA_PREFIX, INDEX_PREFIX, LEDGER_PREFIX, MANIFESTS_PREFIX, Place, QUARANTINE_PREFIX,
    REFUSED_PREFIX,
};
use common::limits::MANIFEST_BYTES_MAX;
use common::manifest::Manifest;
use common::{DeliveryId, Sha256Digest};
use futures::{StreamExt, TryStreamExt, stream};

use super::finding::{Code, Finding, Findings};
use super::inbox::Questions;
use super::known::{Key, NAMED_BYTES, Named, Said};
use super::units::Answers;
use super::walk::{Walked, is_there_now, twice};
use super::{Depth, Progress, Stage, commits, unreadable};
use crate::background;
use crate::error::ArchiveError;
use crate::seats::Reader;
use crate::sorted::{Merge, Sorted};
use crate::store::{LIST_PAGE_COUNT, Listed, Store};

/// What a key that breaks a listing means: the page it is on is lost, and there is no next one.
pub(super) const REST_NOT_EXAMINED: &str = "the listing fails at this object, so others were not \
     examined; remove it and run verify again";

/// Unknown objects examined at once.
const READS_MAX: usize = 8;

/// Objects that nobody names which are remembered, to ask again whether somebody does by now;
/// those beyond are reported at once.
const LATE_MAX: usize = 10_000;

/// Where an archive has objects, the log aside; those of records first, in their order.
const PREFIXES: [&str; 5] =
    [DATA_PREFIX, QUARANTINE_PREFIX, MANIFESTS_PREFIX, INDEX_PREFIX, LEDGER_PREFIX];

/// What is there and nobody names.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// Files, and what is to be said of them.
    files: Vec<(Key, Finding)>,
    /// Manifests, with the numbers of the questions whether all their units are held.
    manifests: Vec<(DeliveryId, u64)>,
    /// Runs of the held index, which are judged when the units are known.
    runs: Vec<((u64, u64), Sha256Digest)>,
}

/// What a listing is held against.
pub(super) struct Listing<'a> {
    pub(super) reader: &'a Reader,
    pub(super) depth: Depth,
    pub(super) findings: &'a mut Findings,
    pub(super) progress: &'a (dyn Fn(Progress) + Sync),
}

impl Listing<'_> {
    /// Looks for what nobody names; `walked` takes the questions about units of such manifests.
    pub(super) async fn run(
        mut self,
        named: &mut Sorted<NAMED_BYTES>,
        walked: &mut Walked,
        questions: &Questions,
    ) -> Result<Strays, ArchiveError> {
        let mut strays = Strays::default();
        let mut names = Names::new(named.read()?);
        let mut asked = u64::try_from(questions.len()).unwrap_or(u64::MAX);
        let mut done = 0;
        for prefix in PREFIXES {
            let mut after: Option<String> = None;
            let mut is_last = false;
            while !is_last {
                let page = self.page(prefix, after.as_deref()).await?;
                is_last = page.len() < LIST_PAGE_COUNT;
                after = page.last().map(|object| object.key.clone());
                done += u64::try_from(page.len()).unwrap_or(u64::MAX);
                let (bytes_done, bytes_total) = (0, 0);
                let stage = Stage::Strays;
                (self.progress)(Progress { stage, done, total: done, bytes_done, bytes_total });
                let mut unnamed = Vec::new();
                for object in page {
                    if !names.have(&object.key, self.reader.store(), self.findings)? {
                        unnamed.push(object);
                    }
                }
                self.examine(unnamed, &mut strays, walked, &mut asked).await?;
            }
        }
        names.finish(self.reader.store(), self.findings)?;
        Ok(strays)
    }

    async fn page(
        &mut self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<Listed>, ArchiveError> {
        let store = self.reader.store();
        match store.list_page(prefix, after).await {
            Err(ArchiveError::Key { key, .. }) => {
                self.findings.push(
                    Finding::new(Code::Stray, store.object_url(prefix))
                        .differs("objects of an archive only", key)
                        .detail(format!("below {prefix} {REST_NOT_EXAMINED}")),
                );
                Ok(Vec::new())
            }
            page => page,
        }
    }

    async fn examine(
        &mut self,
        objects: Vec<Listed>,
        strays: &mut Strays,
        walked: &mut Walked,
        asked: &mut u64,
    ) -> Result<(), ArchiveError> {
        let (reader, depth) = (self.reader, self.depth);
        let mut examined = stream::iter(objects)
            .map(|object| async move {
                let found = examine(reader, depth, &object.key).await?;
                Ok::<_, ArchiveError>((object.key, found))
            })
            .buffered(READS_MAX);
        while let Some((key, found)) = examined.try_next().await? {
            match found {
                Examined::Nothing => {}
                Examined::Wrong(finding) => self.findings.push(*finding),
                Examined::File(finding) => match Key::of_path(&key) {
                    Some(key) if strays.files.len() < LATE_MAX => {
                        strays.files.push((key, *finding));
                    }
                    _ => self.findings.push(*finding),
                },
                Examined::Manifest(manifest) => {
                    for unit in &manifest.units {
                        walked.known.unit(unit.id, Said::Asked(*asked))?;
                    }
                    strays.manifests.push((manifest.delivery, *asked));
                    *asked += 1;
                }
                Examined::Run(span, digest) => strays.runs.push((span, digest)),
            }
        }
        Ok(())
    }
}

/// The names in their order, beside a listing.
struct Names<'a> {
    read: Merge<'a, NAMED_BYTES>,
    /// Those not passed yet.
    next: Option<Named>,
    /// The last one that counts.
    counted: Option<Named>,
}

impl<'a> Names<'a> {
    fn new(read: Merge<'a, NAMED_BYTES>) -> Self {
        Self { read, next: None, counted: None }
    }

    /// Whether somebody names an object; the listing must come in order.
    fn have(
        &mut self,
        path: &str,
        store: &Store,
        findings: &mut Findings,
    ) -> Result<bool, ArchiveError> {
        let Some(key) = Key::of_path(path) else { return Ok(false) };
        let mut is_named = false;
        loop {
            if self.next.is_none() {
                self.next = self.read.next()?.map(|record| Named::of_record(&record));
            }
            match self.next {
                Some(named) if named.key <= key => {
                    is_named |= named.key == key;
                    self.pass(named, store, findings);
                    self.next = None;
                }
                // Left for the next object, which may be the same once more.
                _ => return Ok(is_named || self.counted.is_some_and(|named| named.key == key)),
            }
        }
    }

    fn finish(&mut self, store: &Store, findings: &mut Findings) -> Result<(), ArchiveError> {
        if let Some(named) = self.next.take() {
            self.pass(named, store, findings);
        }
        while let Some(record) = self.read.next()? {
            self.pass(Named::of_record(&record), store, findings);
        }
        Ok(())
    }

    /// Reports what two commits count; a quarantine file of the same rejects may be theirs both.
    fn pass(&mut self, named: Named, store: &Store, findings: &mut Findings) {
        if !named.counts {
            return;
        }
        let again = self.counted.is_some_and(|before| before.key == named.key);
        self.counted = Some(named);
        if !again || named.key.is_quarantine() {
            return;
        }
        let finding = Finding::new(Code::UnitTwice, store.object_url(&named.key.path()));
        findings.push(match named.key.delivery() {
            Some(_) => {
                finding.version(Some(named.version)).differs("one commit that seals it", "two")
            }
            None => twice(finding, named.version, named.times),
        });
    }
}

/// What an object is that no commit and nobody in the inbox names.
enum Examined {
    Nothing,
    /// Something that is no part of an archive.
    Wrong(Box<Finding>),
    /// A file with the bytes of its name.
    File(Box<Finding>),
    Manifest(Box<Manifest>),
    Run((u64, u64), Sha256Digest),
}

async fn examine(reader: &Reader, depth: Depth, key: &str) -> Result<Examined, ArchiveError> {
    Ok(match layout::parse(key) {
        Place::Data(_, digest) | Place::Quarantine(digest) => {
            examine_file(reader, depth, key, digest).await?
        }
        Place::Manifest(delivery) => examine_manifest(reader, delivery).await?,
        Place::Held(first, last, digest) => Examined::Run((first, last), digest),
        // Looked at with the ledger.
        Place::Checkpoint | Place::Signature(..) | Place::Statement(_) | Place::Tile(_) => {
            Examined::Nothing
        }
        Place::Commit(_) | Place::DeltaCheckpoint(_) | Place::LastCheckpoint | Place::Unknown => {
            let url = reader.store().object_url(key);
            let finding = Finding::new(Code::Stray, url);
            let finding = finding.differs("objects of an archive only", "an object nobody names");
            Examined::Wrong(Box::new(finding))
        }
    })
}

async fn examine_file(
    reader: &Reader,
    depth: Depth,
    key: &str,
    named: Sha256Digest,
) -> Result<Examined, ArchiveError> {
    let url = reader.store().object_url(key);
    let read = match depth {
        Depth::Quick => reader.store().head_digest(key).await,
        Depth::Full | Depth::Deep => {
            let digested = reader.store().digest(key).await;
            digested.map(|found| found.map(|found| (found.bytes, Some(found.sha256))))
        }
    };
    let found = match read {
        Ok(Some((_, found))) => found.unwrap_or(named).to_string(),
        Ok(None) => return Ok(Examined::Nothing),
        Err(e) => unreadable(e)?,
    };
    Ok(if found == named.to_string() {
        let finding = Finding::incomplete(Code::Orphan, url)
            .differs("a manifest that names it", "none")
            .detail("an interrupted ingest or a repeated delivery left it; no query reads it");
        Examined::File(Box::new(finding))
    } else {
        let finding = Finding::new(Code::Stray, url).differs(format!("SHA-256 {named}"), found);
        Examined::Wrong(Box::new(finding))
    })
}

async fn examine_manifest(reader: &Reader, delivery: DeliveryId) -> Result<Examined, ArchiveError> {
    let key = layout::manifest_key(delivery);
    let url = reader.store().object_url(&key);
    let wrong = |finding: Finding| Ok(Examined::Wrong(Box::new(finding)));
    let finding = || Finding::new(Code::Stray, url.clone());
    let bytes = match reader.store().get_bounded(&key, MANIFEST_BYTES_MAX).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Examined::Nothing),
        Err(e) => return wrong(finding().differs("a manifest", unreadable(e)?)),
    };
    let name = key.clone();
    let parsed = background::run(&url, move || Manifest::from_bytes(&name, &bytes)).await;
    match parsed {
        Ok(Ok(manifest)) if manifest.delivery == delivery => {
            Ok(Examined::Manifest(Box::new(manifest)))
        }
        Ok(Ok(other)) => wrong(finding().differs(format!("delivery {delivery}"), other.delivery)),
        Ok(Err(error)) => wrong(finding().format(&error)),
        Err(e) => wrong(finding().differs("a manifest", e)),
    }
}

impl Strays {
    /// Reports what is left when all is known; `late` are names that came meanwhile.
    pub(super) async fn judge(
        self,
        reader: &Reader,
        walked: &Walked,
        questions: &Questions,
        answers: &Answers,
        late: Vec<Key>,
        findings: &mut Findings,
    ) -> Result<(), ArchiveError> {
        self.check_runs(reader.store(), walked, answers, findings).await?;
        if self.files.is_empty() && self.manifests.is_empty() {
            return Ok(());
        }
        let mut late: BTreeSet<Key> = late.into_iter().collect();
        late.extend(committed_since(reader.store(), walked.last).await?);
        let files = self.files.into_iter().filter(|(key, _)| !late.contains(key));
        findings.extend(files.map(|(_, finding)| finding));
        for (delivery, question) in self.manifests {
            if late.contains(&Key::manifest(delivery)) {
                continue;
            }
            // With a commit missing or unreadable, which is reported, that one may be its own.
            let is_explained = !walked.is_complete()
                || questions.contains_key(&delivery)
                || answers.all_held(question)
                || was_refused(reader, delivery).await?;
            let url = reader.store().object_url(&layout::manifest_key(delivery));
            findings.push(unnamed_manifest(url, walked, is_explained));
        }
        Ok(())
    }

    async fn check_runs(
        &self,
        store: &Store,
        walked: &Walked,
        answers: &Answers,
        findings: &mut Findings,
    ) -> Result<(), ArchiveError> {
        let mut there = BTreeSet::new();
        for &(span, digest) in &self.runs {
            there.insert(span);
            findings.extend(check_run(store, walked, answers, span, digest).await?);
        }
        let end = walked.last_without_gap();
        let due = end.into_iter().flat_map(|end| (0..=end).flat_map(held::runs_due));
        for (first, last) in due.filter(|span| !there.contains(span)) {
            findings.push(
                Finding::incomplete(Code::HeldIndex, store.object_url(layout::HELD_PREFIX))
                    .differs(format!("a run over versions {first} to {last}"), "none")
                    .detail("the next seal writes it; without it, answers take longer"),
            );
        }
        Ok(())
    }
}

async fn was_refused(reader: &Reader, delivery: DeliveryId) -> Result<bool, ArchiveError> {
    let refused = format!("{REFUSED_PREFIX}{delivery}-");
    // Behind everything of a smaller id, at the first of this one.
    let before = format!("{REFUSED_PREFIX}{delivery}");
    let page = reader.work().list_page(REFUSED_PREFIX, Some(&before)).await?;
    Ok(page.first().is_some_and(|object| object.key.starts_with(&refused)))
}

/// A manifest under `manifests/` that no commit names. A sealer that crashed or lost a race
/// leaves one, but then it waits still, or was refused, or others hold its units.
fn unnamed_manifest(url: String, walked: &Walked, is_explained: bool) -> Finding {
    if is_explained {
        return Finding::incomplete(Code::Orphan, url)
            .differs("a commit that names it", "none")
            .detail("an interrupted seal left it; the next one finishes or forgets it");
    }
    Finding::new(Code::Gap, url)
        .version(walked.last.map(|last| last.saturating_add(1)))
        .differs("a commit that names it, or its manifest in the inbox", "neither")
        .detail("the end of the log was removed, or the inbox was emptied by hand")
}

/// What commits name that were stored while this verification ran.
async fn committed_since(store: &Store, last: Option<u64>) -> Result<Vec<Key>, ArchiveError> {
    let mut names = Vec::new();
    let mut version = last.map_or(0, |last| last.saturating_add(1));
    while let Some(read) = commits::read(store, version).await? {
        let Ok(commit) = read.parsed else { break };
        names.extend(commit.adds.iter().filter_map(|add| Key::of_path(&add.path)));
        for named in &commit.note.manifests {
            names.push(Key::manifest(named.delivery));
            names.extend(named.quarantine.iter().filter_map(|entry| Key::of_path(&entry.path)));
        }
        version += 1;
    }
    Ok(names)
}

async fn check_run(
    store: &Store,
    walked: &Walked,
    answers: &Answers,
    (first, last): (u64, u64),
    named: Sha256Digest,
) -> Result<Option<Finding>, ArchiveError> {
    let key = layout::held_key(first, last, named);
    let finding = || Finding::new(Code::HeldIndex, store.object_url(&key));
    let end = walked.last_without_gap();
    if end.is_none_or(|end| last > end) {
        if walked.last == end && is_there_now(store, last).await? {
            return Ok(None);
        }
        let found = end.map_or_else(|| "none".to_owned(), |end| end.to_string());
        return Ok(Some(
            finding()
                .version(end.map(|end| end.saturating_add(1)))
                .differs(format!("a log up to version {last}"), found)
                .detail("a run is written after its last version: the end of the log is gone"),
        ));
    }
    let Some((expected, units)) = answers.run((first, last)) else {
        let found = format!("{first} to {last}");
        return Ok(Some(finding().differs("a run over 16, 256, … versions", found)));
    };
    let found = match store.digest(&key).await {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(e) => return Ok(Some(finding().differs("a readable run", unreadable(e)?))),
    };
    if found.sha256 != named {
        return Ok(Some(finding().differs(format!("SHA-256 {named}"), found.sha256)));
    }
    // With a manifest unreadable, which is reported, the run can not be judged.
    if named == expected || !walked.knows(first, last) {
        return Ok(None);
    }
    Ok(Some(
        finding()
            .version(Some(first))
            .differs(
                format!("the {units} units of its manifests"),
                format!("{} ids, not those", found.bytes / 32),
            )
            .detail("delete the run: the next seal writes it anew; and find out who changed it"),
    ))
}
