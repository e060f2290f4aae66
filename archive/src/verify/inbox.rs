//! What waits for a seal. It is looked at before the log, so that what is sealed in between is
//! known from the log; and again after it, when it is known what is held.

use std::collections::BTreeMap;

use common::DeliveryId;
use common::layout::{self, INBOX_PREFIX};
use futures::{StreamExt, TryStreamExt, stream};

use super::Unreachable;
use super::files::Pool;
use super::finding::{Code, Finding, Findings};
use super::history::files_of;
use super::known::{Key, Known, Named, Said, WAITING};
use super::units::Answers;
use crate::error::ArchiveError;
use crate::seats::Reader;
use crate::snapshot::{Waiting, read_waiting};
use crate::store::LIST_PAGE_COUNT;

/// Manifests read at once.
const READS_MAX: usize = 16;

/// Deliveries that waited before the log was read, with the number of the question whether all
/// their units are held.
pub(super) type Questions = BTreeMap<DeliveryId, u64>;

/// Looks at what waits: names its files and asks whether its units are held.
pub(super) async fn look(reader: &Reader, known: &mut Known) -> Result<Questions, ArchiveError> {
    let mut questions = Questions::new();
    each(reader, async |key, waiting| {
        let Some(delivery) = layout::parse_inbox(&key) else { return Ok(()) };
        let question = u64::try_from(questions.len()).unwrap_or(u64::MAX);
        questions.insert(delivery, question);
        let Waiting::Manifest(manifest) = waiting else { return Ok(()) };
        for unit in &manifest.units {
            known.unit(unit.id, Said::Asked(question))?;
        }
        for (path, expected) in files_of(&manifest, None, false) {
            if let Some(key) = Key::of_path(&path) {
                let times = expected.times();
                known.name(Named { key, version: WAITING, counts: false, times })?;
            }
        }
        Ok(())
    })
    .await?;
    Ok(questions)
}

/// Reports what waits, and checks its files. Returns how many manifests wait, and the names of
/// files that came since [`look`].
pub(super) async fn check(
    reader: &Reader,
    questions: &Questions,
    answers: &Answers,
    pool: &mut Pool,
    findings: &mut Findings,
    unreachable: &mut Unreachable,
) -> Result<(u64, Vec<Key>), ArchiveError> {
    let (mut count, mut late) = (0, Vec::new());
    each(reader, async |key, waiting| {
        let object = reader.work().object_url(&key);
        let manifest = match waiting {
            Waiting::Vanished => return Ok(()),
            Waiting::Unreadable(wrong) => {
                findings.push(
                    Finding::incomplete(Code::ManifestFormat, object)
                        .differs("a waiting manifest", wrong)
                        .detail("it is not sealed; the next seal refuses it"),
                );
                return Ok(());
            }
            Waiting::Manifest(manifest) => manifest,
        };
        count += 1;
        let question = questions.get(&manifest.delivery);
        let all_held = question.is_some_and(|question| answers.all_held(*question));
        let detail = if all_held { "all of it is sealed already" } else { "run `meshledger seal`" };
        findings.push(
            Finding::incomplete(Code::Unsealed, object)
                .differs("a commit that seals it", format!("{} rows waiting", manifest.rows()))
                .detail(detail),
        );
        for (path, expected) in files_of(&manifest, None, !all_held) {
            if question.is_none() {
                late.extend(Key::of_path(&path));
            }
            pool.add(path, expected, findings, unreachable).await?;
        }
        Ok(())
    })
    .await?;
    Ok((count, late))
}

/// Reads everything in the inbox, a page at a time.
async fn each(
    reader: &Reader,
    mut take: impl AsyncFnMut(String, Waiting) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let work = reader.work();
    let mut after: Option<String> = None;
    loop {
        let page = work.list_page(INBOX_PREFIX, after.as_deref()).await?;
        let is_last = page.len() < LIST_PAGE_COUNT;
        after = page.last().map(|object| object.key.clone());
        let mut read = stream::iter(page)
            .map(|object| async move {
                let read = read_waiting(work, &object.key).await?;
                Ok::<_, ArchiveError>((object.key, read))
            })
            .buffered(READS_MAX);
        while let Some((key, waiting)) = read.try_next().await? {
            take(key, waiting).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}
