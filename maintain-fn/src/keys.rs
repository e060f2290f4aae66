//! Which key signs a ledger: the one that began it, or the one that followed by a statement.

use archive::{ArchiveError, Sealer, Stamped};
use common::layout::{self, BEGUN_KEY, CHECKPOINT_KEY};
use common::ledger::is_of_table;
use common::rotation::Rotation;
use tlog::note::{Note, VerifierKey};
use tlog::{Checkpoint, Hash, TlogError};

use crate::error::SealError;

/// The tree head that is published, if this key signed it and it is its turn to sign what comes
/// after; that of the empty tree if none is, and no other key began the ledger.
///
/// # Errors
/// If it is another key's turn, the checkpoint is none or not signed by it, and if the archive can
/// not be read.
pub(crate) async fn head(
    sealer: &Sealer,
    key: &VerifierKey,
    there: Option<&Stamped>,
) -> Result<Checkpoint, SealError> {
    let table_id = sealer.table_id().await?;
    if !is_of_table(key.name(), table_id) {
        return Err(SealError::OtherKey {
            object: sealer.reader().store().object_url(&layout::commit_key(0)),
            expected: format!("named <archive>/{table_id}"),
            found: key.to_string(),
            hint: "it is the key of another archive; name this one's",
        });
    }
    let Some(there) = there else {
        begin(sealer, key).await?;
        let (origin, root) = (key.name().to_owned(), Hash::of_no_leaves());
        return Ok(Checkpoint { origin, size: 0, root });
    };
    let wrong = |expected: String, found: String| {
        let object = sealer.reader().store().object_url(CHECKPOINT_KEY);
        SealError::from(ArchiveError::Ledger { object, expected, found })
    };
    let none = |e: TlogError| wrong("a signed checkpoint".to_owned(), e.to_string());
    let note = Note::parse(&there.bytes).map_err(none)?;
    is_its_turn(sealer, key, &note).await?;
    let is_signed = note.signed_by(key).map_err(none)?.is_some();
    let head = Checkpoint::parse(&note.text).map_err(none)?;
    if is_signed && head.origin == key.name() {
        return Ok(head);
    }
    let found = format!("origin {}, not signed by it", head.origin);
    Err(wrong(format!("a checkpoint signed by {key}"), found))
}

/// Whether a key may sign what comes after a checkpoint: one that signed it, unless another took
/// over.
async fn is_its_turn(sealer: &Sealer, key: &VerifierKey, note: &Note) -> Result<(), SealError> {
    let is_own = note.signatures.iter().any(|signature| key.is_of(signature));
    let is_alone = note.signatures.iter().all(|signature| key.is_of(signature));
    if is_own && is_alone {
        return Ok(());
    }
    // Only while one key takes over from another, or after it did, is there anything to look up.
    let rotations = sealer.rotations().await?;
    if let Some((object, successor)) = successor(&rotations, key, note) {
        return Err(SealError::OtherKey {
            object,
            expected: successor.to_string(),
            found: key.to_string(),
            hint: "the key was changed, and nothing was signed with the old one: seal with the \
                   new one",
        });
    }
    if is_own {
        return Ok(());
    }
    if rotations.is_empty()
        && let Some(first) = sealer.begun().await?.filter(|first| first != key)
        && sealer.signed_after(key, 0).await?.is_empty()
    {
        return Err(begun_by(sealer, &first, key));
    }
    let lines: String = note.signatures.iter().map(|one| one.to_line()).collect();
    Err(SealError::from(ArchiveError::Ledger {
        object: sealer.reader().store().object_url(CHECKPOINT_KEY),
        expected: format!("a signature of {key} (another key follows by meshledger key rotate)"),
        found: lines.trim_end().to_owned(),
    }))
}

/// The key that took over from this one, by statements, and signed the checkpoint; with the URL
/// of the first of them.
fn successor<'a>(
    rotations: &'a [(String, Rotation)],
    key: &VerifierKey,
    note: &Note,
) -> Option<(String, &'a VerifierKey)> {
    let (mut reached, mut first) = (vec![key], None);
    // Each round goes one statement on; more rounds than statements would go in a circle.
    for _ in 0..rotations.len() {
        let next =
            rotations.iter().find(|(_, r)| reached.contains(&&r.old) && !reached.contains(&&r.new));
        let Some((url, rotation)) = next else { break };
        reached.push(&rotation.new);
        let first = first.get_or_insert_with(|| url.clone());
        if note.signatures.iter().any(|signature| rotation.new.is_of(signature)) {
            return Some((first.clone(), &rotation.new));
        }
    }
    None
}

/// Elects the key of a ledger that has no checkpoint yet. Whoever loses has signed nothing, so
/// that nothing of the loser's is in the archive.
async fn begin(sealer: &Sealer, key: &VerifierKey) -> Result<(), SealError> {
    let first = sealer.begin(key).await?;
    if first == *key { Ok(()) } else { Err(begun_by(sealer, &first, key)) }
}

fn begun_by(sealer: &Sealer, first: &VerifierKey, key: &VerifierKey) -> SealError {
    SealError::OtherKey {
        object: sealer.reader().locks().object_url(BEGUN_KEY),
        expected: first.to_string(),
        found: key.to_string(),
        hint: "the ledger was begun with that key, and nothing was signed with this one: seal with \
               the other (another key follows by meshledger key rotate)",
    }
}
