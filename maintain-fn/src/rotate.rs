//! Rotation: another key signs a ledger from now on.
//!
//! Both keys sign a statement of it, and the checkpoint that both of them sign is published. The
//! statement comes first: whoever stops after it leaves a ledger that the old key still signs, and
//! a statement that counts for nothing until the new key has signed. Run again, it goes on.

use archive::{ArchiveError, Sealer, Stamped, Swap};
use bytes::Bytes;
use common::layout::CHECKPOINT_KEY;
use common::rotation::Rotation;
use tlog::Checkpoint;
use tlog::note::Note;

use crate::error::SealError;
use crate::publish::{Known, publish};
use crate::sign::{Signer, confirmed};

/// Rounds until other sealers, who publish in between, are given up on.
const ROUNDS_MAX: usize = 16;

/// What a rotation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The statement.
    pub rotation: Rotation,
    /// Whether this call did anything; not if it had been done.
    pub is_new: bool,
}

/// Lets a key follow another. What is committed is signed by the old key first.
///
/// # Errors
/// If the old key does not sign this ledger, a key's holder or the archive fails. What was done
/// stays, and the next call goes on from there.
pub async fn rotate(
    sealer: &Sealer,
    old: &dyn Signer,
    new: &dyn Signer,
) -> Result<Rotated, SealError> {
    if old.public() == new.public() || old.public().name() != new.public().name() {
        return Err(SealError::OtherKey {
            object: sealer.reader().store().object_url(CHECKPOINT_KEY),
            expected: format!("another key called {}", old.public().name()),
            found: new.public().to_string(),
            hint: "nothing was signed; name the key that shall follow",
        });
    }
    for _ in 0..ROUNDS_MAX {
        let (_, head, note) = current(sealer).await?;
        let is_done = note.signed_by(new.public())?.is_some();
        if !is_done {
            publish(sealer, old, &mut Known::default()).await?;
        }
        let rotations = sealer.rotations().await?;
        let mut made = rotations
            .into_iter()
            .map(|(_, rotation)| rotation)
            .filter(|one| one.old == *old.public() && one.new == *new.public());
        if is_done {
            let largest = made.max_by_key(|one| one.size);
            return finish(sealer, (old, new), &head, &note, largest).await;
        }
        // What was just published.
        let (there, head, note) = current(sealer).await?;
        let (old_key, new_key) = (old.public().clone(), new.public().clone());
        let rotation = Rotation { old: old_key, new: new_key, size: head.size, root: head.root };
        // Stopped before this: nothing. After: a statement that waits for the new key's signature.
        if !made.any(|one| one == rotation) {
            state(sealer, (old, new), &rotation).await?;
        }
        let signature = new.sign(&note.text).await?;
        let own = Note { text: note.text.clone(), signatures: vec![signature.clone()] };
        confirmed(&own, new.public())?;
        let mut both = note;
        both.signatures.push(signature);
        // From here on the old key is refused.
        match sealer.publish(Some(&there), Bytes::from(both.to_text())).await? {
            Swap::Changed => continue,
            Swap::Swapped => {}
        }
        let own = Bytes::from(own.to_text());
        sealer.put_signature(head.size, new.public().key_id(), own).await?;
        return Ok(Rotated { rotation, is_new: true });
    }
    Err(SealError::Contended { rounds: ROUNDS_MAX })
}

/// What an earlier call left to be done: the new key's kept signature, and a further statement if
/// the old key signed something meanwhile.
async fn finish(
    sealer: &Sealer,
    (old, new): (&dyn Signer, &dyn Signer),
    head: &Checkpoint,
    note: &Note,
    stated: Option<Rotation>,
) -> Result<Rotated, SealError> {
    let Some(rotation) = stated else {
        return Err(SealError::from(ArchiveError::Ledger {
            object: sealer.reader().store().object_url(CHECKPOINT_KEY),
            expected: format!("a statement that {} follows", new.public()),
            found: "its signature without one".to_owned(),
        }));
    };
    if rotation.size == head.size
        && let Some(signature) = note.signatures.iter().find(|one| new.public().is_of(one))
    {
        let own = Note { text: note.text.clone(), signatures: vec![signature.clone()] };
        let own = Bytes::from(own.to_text());
        sealer.put_signature(head.size, new.public().key_id(), own).await?;
    }
    let late = sealer.signed_after(old.public(), rotation.size).await?;
    if late.is_empty() {
        return Ok(Rotated { rotation, is_new: false });
    }
    // A sealer that still had the old key signed beside the rotation: both keys say so.
    let rotation = Rotation { size: head.size, root: head.root, ..rotation };
    state(sealer, (old, new), &rotation).await?;
    Ok(Rotated { rotation, is_new: true })
}

/// Signs a statement with both keys and stores it.
async fn state(
    sealer: &Sealer,
    (old, new): (&dyn Signer, &dyn Signer),
    rotation: &Rotation,
) -> Result<(), SealError> {
    let text = rotation.to_text();
    let signatures = vec![old.sign(&text).await?, new.sign(&text).await?];
    let note = Note { text, signatures };
    for signer in [old, new] {
        confirmed(&note, signer.public())?;
    }
    sealer.put_statement(Bytes::from(note.to_text())).await?;
    Ok(())
}

/// The checkpoint that is published.
async fn current(sealer: &Sealer) -> Result<(Stamped, Checkpoint, Note), SealError> {
    let object = sealer.reader().store().object_url(CHECKPOINT_KEY);
    let there = sealer.checkpoint().await?.ok_or_else(|| ArchiveError::Missing {
        object,
        expected: "the checkpoint of a ledger that has begun".to_owned(),
    })?;
    let note = Note::parse(&there.bytes)?;
    let head = Checkpoint::parse(&note.text)?;
    Ok((there, head, note))
}

#[cfg(test)]
mod tests;
