//! What the sealer may do on the ledger: put tiles, locks and signatures, and replace the
//! checkpoint. It can change or delete nothing of what it has signed.

mod end;

use bytes::Bytes;
use common::Sha256Digest;
use common::layout::{
    self, BEGUN_KEY, CHECKPOINT_KEY, CHECKPOINTS_PREFIX, LOCK_PREFIX, Place, STATEMENTS_PREFIX,
};
use common::ledger::lock_text;
use common::rotation::Rotation;
use tlog::note::{Note, VerifierKey};
use tlog::tile::Tile;
use tlog::{Checkpoint, Hash};

pub use end::SignedEnd;

use super::Sealer;
use crate::error::ArchiveError;
use crate::store::{Put, Stamped, Store, Swap};

/// Longest lock: a root in hex and a newline.
const LOCK_BYTES_MAX: u64 = 65;

/// Longest verifier key; a P-256 key has about 150 bytes and its name.
const KEY_BYTES_MAX: u64 = 4096;

impl Sealer {
    fn archive(&self) -> &Store {
        self.reader().store()
    }

    /// Where locks are.
    fn locks(&self) -> &Store {
        self.reader().locks()
    }

    /// The checkpoint that is published; none if the ledger has not begun.
    ///
    /// # Errors
    /// If it can not be read, or is longer than a note may be.
    pub async fn checkpoint(&self) -> Result<Option<Stamped>, ArchiveError> {
        self.archive().get_stamped_note(CHECKPOINT_KEY).await
    }

    /// Publishes a checkpoint in the place of the one that was read.
    ///
    /// # Errors
    /// If the store refuses or the outcome could not be learnt.
    pub async fn publish(
        &self,
        expected: Option<&Stamped>,
        note: Bytes,
    ) -> Result<Swap, ArchiveError> {
        self.archive().swap(CHECKPOINT_KEY, expected, note).await
    }

    /// Keeps a signature for ever. One of this key over this size that is there already stays:
    /// the same root was locked before it was signed.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn put_signature(
        &self,
        size: u64,
        key_id: [u8; 4],
        note: Bytes,
    ) -> Result<(), ArchiveError> {
        let _ = self.archive().put_new(&layout::signature_key(size, key_id), note).await?;
        Ok(())
    }

    /// Keeps a signed statement for ever.
    ///
    /// # Errors
    /// If the store refuses.
    pub async fn put_statement(&self, note: Bytes) -> Result<Sha256Digest, ArchiveError> {
        let digest = Sha256Digest::of(&note);
        let _ = self.archive().put_new(&layout::statement_key(digest), note).await?;
        Ok(digest)
    }

    /// Every statement that another key signs from now on, with its object's URL.
    ///
    /// # Errors
    /// If statements can not be listed or read, or one is none.
    pub async fn rotations(&self) -> Result<Vec<(String, Rotation)>, ArchiveError> {
        let store = self.archive();
        let mut all = Vec::new();
        for object in store.list(STATEMENTS_PREFIX, None).await? {
            let url = store.object_url(&object.key);
            let bytes = store.get_note(&object.key).await?;
            match Rotation::of_note(&bytes.unwrap_or_default()) {
                Ok(rotation) => all.push((url, rotation)),
                Err(e) => {
                    let expected = "a key rotation signed by both keys".to_owned();
                    let found = e.to_string();
                    return Err(ArchiveError::Ledger { object: url, expected, found });
                }
            }
        }
        Ok(all)
    }

    /// What this key has signed for sizes above this one and is kept, in ascending order, with the
    /// objects' URLs: it must never sign anything that contradicts them.
    ///
    /// # Errors
    /// If signatures can not be listed or read, or one of this key's is none.
    pub async fn signed_after(
        &self,
        key: &VerifierKey,
        size: u64,
    ) -> Result<Vec<(String, u64, Hash)>, ArchiveError> {
        let store = self.archive();
        let after = layout::signatures_end(size);
        let mut all = Vec::new();
        for object in store.list(CHECKPOINTS_PREFIX, Some(&after)).await? {
            let Place::Signature(size, key_id) = layout::parse(&object.key) else { continue };
            if key_id != key.key_id() {
                continue;
            }
            let url = store.object_url(&object.key);
            let bytes = store.get_note(&object.key).await?;
            let signed = Note::parse(&bytes.unwrap_or_default()).and_then(|note| {
                let signed = note.signed_by(key)?;
                Ok((signed.is_some(), Checkpoint::parse(&note.text)?))
            });
            match signed {
                Ok((true, head)) if head.size == size => all.push((url, size, head.root)),
                Ok(_) => {
                    let (expected, found) = (format!("a signature of {key}"), "another".to_owned());
                    return Err(ArchiveError::Ledger { object: url, expected, found });
                }
                Err(e) => {
                    let expected = format!("a checkpoint signed by {key}");
                    return Err(ArchiveError::Ledger {
                        object: url,
                        expected,
                        found: e.to_string(),
                    });
                }
            }
        }
        Ok(all)
    }

    /// Stores a tile or a bundle. One that is there must have the same bytes.
    ///
    /// # Errors
    /// If another is there, and if the store refuses.
    pub async fn put_tile(&self, tile: Tile, bytes: Bytes) -> Result<(), ArchiveError> {
        let (store, key) = (self.archive(), layout::tile_key(tile));
        if store.put_new(&key, bytes.clone()).await? == Put::Created {
            return Ok(());
        }
        let expected = Sha256Digest::of(&bytes);
        match store.digest(&key).await? {
            Some(there) if there.sha256 == expected => Ok(()),
            there => Err(ArchiveError::Ledger {
                object: store.object_url(&key),
                expected: format!("SHA-256 {expected}, by the log's commits"),
                found: there.map_or_else(|| "nothing".to_owned(), |there| there.sha256.to_hex()),
            }),
        }
    }

    /// Locks the root that is about to be signed for a size, for ever, and returns the root that
    /// is locked: this one, or another sealer's.
    ///
    /// # Errors
    /// If the store refuses, or what is locked is no root.
    pub async fn lock(&self, size: u64, root: Hash) -> Result<Hash, ArchiveError> {
        match self.locks().put_new(&layout::lock_key(size), lock_text(root).into()).await? {
            Put::Created => Ok(root),
            Put::AlreadyThere => self.locked(size).await,
        }
    }

    /// Begins a ledger with a key, for ever, and returns the key that begins it: this one, or the
    /// one of whoever was first. Two that begin at once must not both sign.
    ///
    /// # Errors
    /// If the store refuses, or what is there is no key.
    pub async fn begin(&self, key: &VerifierKey) -> Result<VerifierKey, ArchiveError> {
        match self.locks().put_new(BEGUN_KEY, format!("{key}\n").into()).await? {
            Put::Created => Ok(key.clone()),
            Put::AlreadyThere => self.begun().await.map(|there| there.unwrap_or(key.clone())),
        }
    }

    /// The key that began the ledger; none if nobody has.
    ///
    /// # Errors
    /// If it can not be read, or is none.
    pub async fn begun(&self) -> Result<Option<VerifierKey>, ArchiveError> {
        let store = self.locks();
        let Some(bytes) = store.get_bounded(BEGUN_KEY, KEY_BYTES_MAX).await? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
        match text.and_then(|text| text.parse().ok()) {
            Some(key) => Ok(Some(key)),
            None => Err(ArchiveError::Ledger {
                object: store.object_url(BEGUN_KEY),
                expected: "a verifier key and a newline".to_owned(),
                found: format!("{} bytes", bytes.len()),
            }),
        }
    }

    /// What was locked for this size and those above it, in ascending order, with the objects'
    /// URLs: a sealer signed it, or stopped just before.
    ///
    /// # Errors
    /// If locks can not be listed or read, or one holds no root.
    pub async fn locks_from(&self, size: u64) -> Result<Vec<(String, u64, Hash)>, ArchiveError> {
        let (store, after) = (self.locks(), size.checked_sub(1).map(layout::lock_key));
        let mut locks = Vec::new();
        for object in store.list(LOCK_PREFIX, after.as_deref()).await? {
            if let Some(size) = layout::parse_lock(&object.key) {
                locks.push((store.object_url(&object.key), size, self.locked(size).await?));
            }
        }
        Ok(locks)
    }

    /// URL of the lock of a size.
    pub fn lock_url(&self, size: u64) -> String {
        self.locks().object_url(&layout::lock_key(size))
    }

    async fn locked(&self, size: u64) -> Result<Hash, ArchiveError> {
        let (store, key) = (self.locks(), layout::lock_key(size));
        let bytes = store.get_bounded(&key, LOCK_BYTES_MAX).await?.unwrap_or_default();
        let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
        let root = text.and_then(|text| text.parse::<Sha256Digest>().ok());
        let root = root.ok_or_else(|| ArchiveError::Ledger {
            object: store.object_url(&key),
            expected: "a root: 64 hex digits and a newline".to_owned(),
            found: format!("{} bytes", bytes.len()),
        })?;
        Ok(Hash::from_bytes(*root.as_bytes()))
    }
}
