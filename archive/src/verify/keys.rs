//! Whose signatures there are: that each is of a key whose turn it was, that keys follow each
//! other by statements which both signed, and what the policy says of them all.

use std::collections::{BTreeMap, BTreeSet};

use common::Sha256Digest;
use common::layout::{self, BEGUN_KEY, Place, STATEMENTS_PREFIX};
use common::rotation::Rotation;
use tlog::note::{Note, Signature, VerifierKey};
use tlog::policy::{Accepted, Policy};
use tlog::{Checkpoint, Hash, TlogError};

use super::finding::{Code, Finding, Findings};
use super::unreadable;
use crate::error::ArchiveError;
use crate::store::Store;

/// Statements that are read; a key is changed now and then.
const STATEMENTS_MAX: usize = 10_000;

/// Longest verifier key that is read.
const KEY_BYTES_MAX: u64 = 4096;

/// The least and the greatest size a key signed, and where that was seen.
#[derive(Debug, Clone)]
struct Span {
    first: (u64, String),
    last: (u64, String),
}

/// The keys of a ledger, while its signatures are looked at.
pub(super) struct Keys<'a> {
    policy: Option<&'a Policy>,
    head: Checkpoint,
    rotations: Vec<(String, Rotation)>,
    /// Keys that the policy, or without one the archive, vouches for.
    known: Vec<VerifierKey>,
    /// Key ids of the log that signed.
    signed: BTreeMap<[u8; 4], Span>,
    /// Signatures over the size that is being looked at.
    group: Option<(u64, Note)>,
    /// The greatest size whose signatures the policy accepts.
    accepted: Option<u64>,
    /// Kept cosignatures over the checkpoint's size.
    of_head: Vec<Signature>,
}

impl<'a> Keys<'a> {
    /// Reads every statement, and which key began.
    pub(super) async fn read(
        (store, locks): (&Store, &Store),
        head: &Checkpoint,
        policy: Option<&'a Policy>,
        root_at: impl Fn(u64) -> Option<Hash>,
        findings: &mut Findings,
    ) -> Result<Self, ArchiveError> {
        let mut rotations = Vec::new();
        let listed = match store.list_page(STATEMENTS_PREFIX, None).await {
            // Reported where strays are looked for.
            Err(ArchiveError::Key { .. }) => Vec::new(),
            listed => listed?,
        };
        for object in listed.into_iter().take(STATEMENTS_MAX) {
            let Place::Statement(digest) = layout::parse(&object.key) else { continue };
            let url = store.object_url(&object.key);
            let finding = Finding::new(Code::Rotation, &url);
            let bytes = match store.get_note(&object.key).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(e) => {
                    findings.push(finding.differs("a signed statement", unreadable(e)?));
                    continue;
                }
            };
            if Sha256Digest::of(&bytes) != digest {
                let found = Sha256Digest::of(&bytes);
                findings.push(finding.differs(format!("SHA-256 {digest}"), found));
                continue;
            }
            match Rotation::of_note(&bytes) {
                Ok(rotation) if rotation.old.name() != head.origin => {
                    findings.push(finding.differs(&head.origin, rotation.old.name()));
                }
                Ok(rotation) => match root_at(rotation.size) {
                    Some(root) if root == rotation.root => rotations.push((url, rotation)),
                    root => {
                        let root =
                            root.map_or_else(|| "no such size".to_owned(), |r| r.to_string());
                        let expected = format!("root {root} at size {}", rotation.size);
                        findings.push(finding.differs(expected, rotation.root));
                    }
                },
                Err(e) => findings.push(finding.differs("a statement signed by both keys", e)),
            }
        }
        let begun = begun(locks, head, findings).await?;
        let mut keys = Self {
            policy,
            head: head.clone(),
            rotations,
            known: Vec::new(),
            signed: BTreeMap::new(),
            group: None,
            accepted: None,
            of_head: Vec::new(),
        };
        keys.known = keys.tied(begun);
        Ok(keys)
    }

    /// The keys that count: those of the policy, and those that statements tie to them. Without a
    /// policy, the archive's own word.
    fn tied(&self, begun: Option<VerifierKey>) -> Vec<VerifierKey> {
        let mut keys: Vec<VerifierKey> = match self.policy {
            Some(policy) => policy.logs().iter().map(|known| known.key.clone()).collect(),
            None => begun.into_iter().collect(),
        };
        keys.retain(|key| key.name() == self.head.origin);
        let is_all = self.policy.is_none();
        // Each round adds a key or is the last one.
        loop {
            let ties = |(_, rotation): &&(String, Rotation)| {
                let (has_old, has_new) =
                    (keys.contains(&rotation.old), keys.contains(&rotation.new));
                if is_all { !(has_old && has_new) } else { has_old != has_new }
            };
            let Some((_, rotation)) = self.rotations.iter().find(ties) else { break };
            for key in [&rotation.old, &rotation.new] {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
        }
        keys
    }

    /// Whether a checkpoint that somebody kept is signed by a key that counts; anything is, if
    /// nobody said whom to trust.
    pub(super) fn signed(&self, note: &Note) -> Result<(), TlogError> {
        let Some(policy) = self.policy else { return Ok(()) };
        for key in &self.known {
            if note.signed_by(key)?.is_some() {
                return Ok(());
            }
        }
        policy.signed(note).map(|_| ())
    }

    /// Looks at a kept signature over this history's root of a size; sizes come in ascending
    /// order.
    pub(super) fn see(&mut self, note: &Note, size: u64, url: &str, findings: &mut Findings) {
        let Some(signature) = note.signatures.first() else { return };
        if signature.name == self.head.origin {
            self.check_log(note, signature, size, url, findings);
        } else {
            self.check_witness(note, signature, url, findings);
        }
        if self.policy.is_none() {
            return;
        }
        // The log's own signature of the checkpoint is in the checkpoint.
        if size == self.head.size && signature.name != self.head.origin {
            self.of_head.push(signature.clone());
        }
        match &mut self.group {
            Some((of, group)) if *of == size => group.signatures.push(signature.clone()),
            _ => {
                self.close_group();
                self.group = Some((size, note.clone()));
            }
        }
    }

    fn close_group(&mut self) {
        if let (Some((size, note)), Some(policy)) = (self.group.take(), self.policy)
            && policy.accept(&note).is_ok()
        {
            self.accepted = self.accepted.max(Some(size));
        }
    }

    /// A signature of the log, of a key that is known. Whether it was its turn is judged at the
    /// end, when all that signed are known.
    fn check_log(
        &mut self,
        note: &Note,
        signature: &Signature,
        size: u64,
        url: &str,
        findings: &mut Findings,
    ) {
        let at = || (size, url.to_owned());
        let span = self.signed.entry(signature.key_id);
        let span = span.or_insert_with(|| Span { first: at(), last: at() });
        if size < span.first.0 {
            span.first = at();
        }
        if size > span.last.0 {
            span.last = at();
        }
        match self.known.iter().find(|key| key.is_of(signature)) {
            Some(key) => {
                if let Err(error) = note.signed_by(key) {
                    let finding = Finding::new(Code::Signature, url);
                    findings.push(finding.differs("a signature of the log's key", error));
                }
            }
            None if self.policy.is_some() => {
                let found = format!("key {}", hex(signature.key_id));
                findings.push(
                    Finding::new(Code::Signature, url)
                        .differs("a signature of a key that the policy knows", found)
                        .detail("no statement ties this key to one that the policy trusts"),
                );
            }
            None => {}
        }
    }

    /// Each key signed in its turn alone. A statement counts once its new key has signed.
    fn check_turns(&self, findings: &mut Findings) {
        let counts: Vec<&Rotation> = self.rotations.iter().map(|(_, rotation)| rotation).collect();
        let counts = counts.into_iter().filter(|r| self.signed.contains_key(&r.new.key_id()));
        let counts: Vec<&Rotation> = counts.collect();
        for (id, span) in &self.signed {
            let from = counts.iter().filter(|r| r.new.key_id() == *id).map(|r| r.size).min();
            let to = counts.iter().filter(|r| r.old.key_id() == *id).map(|r| r.size).max();
            let early = from.filter(|&from| span.first.0 < from).map(|_| &span.first);
            let late = to.filter(|&to| span.last.0 > to).map(|_| &span.last);
            for (size, url) in early.into_iter().chain(late) {
                let last = to.map_or_else(|| "the newest".to_owned(), |to| to.to_string());
                let turn = format!("{} to {last}", from.unwrap_or(0));
                findings.push(
                    Finding::new(Code::Rotation, url)
                        .version(Some(*size))
                        .differs(
                            format!("sizes {turn}, which key {} signs", hex(*id)),
                            format!("size {size}"),
                        )
                        .detail(
                            "this key signed when it was not its turn; if a sealer still had it \
                             while the key was changed, `meshledger key rotate` again says so",
                        ),
                );
            }
        }
    }

    fn check_witness(
        &self,
        note: &Note,
        signature: &Signature,
        url: &str,
        findings: &mut Findings,
    ) {
        let Some(policy) = self.policy else { return };
        let known = policy.witnesses().iter().find(|known| known.key.is_of(signature));
        let Some(known) = known else {
            findings.push(
                Finding::incomplete(Code::Signature, url)
                    .differs("a witness that the policy knows", &signature.name)
                    .detail("its signature can not be checked; name its key in the policy"),
            );
            return;
        };
        if let Err(error) = note.signed_by(&known.key) {
            let finding = Finding::new(Code::Signature, url);
            findings.push(finding.differs("a cosignature of this witness", error));
        }
    }

    /// Judges the checkpoint itself, with what others signed of it, when all kept signatures were
    /// seen. Returns what the policy accepts of it.
    pub(super) fn finish(
        mut self,
        note: &Note,
        url: &str,
        findings: &mut Findings,
    ) -> Option<Accepted> {
        self.close_group();
        let (size, mut of_log) = (self.head.size, Findings::default());
        // Signatures of unknown keys count for nothing (19.7).
        let is_known = |one: &&Signature| self.known.iter().any(|key| key.is_of(one));
        let known: Vec<Signature> = note.signatures.iter().filter(is_known).cloned().collect();
        for signature in known {
            let one = Note { text: note.text.clone(), signatures: vec![signature.clone()] };
            self.check_log(&one, &signature, size, url, &mut of_log);
        }
        self.check_turns(findings);
        self.check_statements(findings);
        let policy = self.policy?;
        let mut whole = note.clone();
        whole.signatures.append(&mut self.of_head);
        let error = match policy.accept(&whole) {
            Ok(accepted) => {
                // Of a checkpoint that is refused, one sentence is enough.
                findings.extend(of_log.sorted());
                return Some(accepted);
            }
            Err(error) => error,
        };
        let finding = match (policy.signed(&whole), self.accepted) {
            (Ok(_), Some(newest)) => Finding::incomplete(Code::Witness, url)
                .version(Some(newest))
                .differs(format!("cosignatures of the quorum over size {size}"), found(&error))
                .detail(format!(
                    "the newest size that has them is {newest}; for what came later the log's key \
                     alone speaks; `meshledger witness push` asks the witnesses again"
                )),
            (Ok(_), None) => Finding::new(Code::Witness, url)
                .differs("cosignatures of the policy's quorum", found(&error))
                .detail("no kept checkpoint has them: witnesses never saw this history"),
            (Err(_), _) => {
                let finding = Finding::new(Code::Signature, url);
                let finding = match error {
                    TlogError::Signature { expected, found } => finding.differs(expected, found),
                    other => finding.differs("a checkpoint that the policy accepts", other),
                };
                finding.detail(self.successor())
            }
        };
        findings.push(finding);
        None
    }

    /// What statements say of a key that the policy trusts and that signs no more.
    fn successor(&self) -> String {
        let logs: Vec<&VerifierKey> =
            self.policy.into_iter().flat_map(Policy::logs).map(|known| &known.key).collect();
        let after = self.rotations.iter().find(|(_, rotation)| logs.contains(&&rotation.old));
        after.map_or_else(String::new, |(_, Rotation { new, size, .. })| {
            format!(
                "a statement that the policy's key signed names its successor from size {size} \
                 on, {new}: ask the archive's owner for a policy with it"
            )
        })
    }

    /// Keys that sign are tied to each other, no key has two successors, and each rotation that
    /// was begun was finished.
    fn check_statements(&self, findings: &mut Findings) {
        let mut successors: BTreeMap<[u8; 4], [u8; 4]> = BTreeMap::new();
        let mut tied: BTreeSet<[u8; 4]> = BTreeSet::new();
        for (url, rotation) in &self.rotations {
            let (old, new) = (rotation.old.key_id(), rotation.new.key_id());
            tied.extend([old, new]);
            if !self.signed.contains_key(&new) {
                // A beginning that another rotation of the same key came after is over.
                let is_over = self.rotations.iter().any(|(_, other)| {
                    other.old == rotation.old
                        && other.size >= rotation.size
                        && self.signed.contains_key(&other.new.key_id())
                });
                if is_over {
                    continue;
                }
                findings.push(
                    Finding::incomplete(Code::Rotation, url)
                        .differs(format!("a checkpoint signed by {}", rotation.new), "none")
                        .detail("a change of the key was begun; `meshledger key rotate` ends it"),
                );
            } else if *successors.entry(old).or_insert(new) != new {
                findings.push(
                    Finding::new(Code::Rotation, url)
                        .differs("one successor of a key", "two")
                        .detail("two histories of keys were signed"),
                );
            }
        }
        let strangers = self.signed.iter().filter(|(id, _)| !tied.contains(*id));
        if self.signed.len() > 1 {
            for (id, Span { first: (size, url), .. }) in strangers {
                findings.push(
                    Finding::new(Code::Rotation, url)
                        .version(Some(*size))
                        .differs("a statement that this key signs", "none")
                        .detail(format!("key {} signed, and nobody said that it may", hex(*id))),
                );
            }
        }
    }
}

/// What was found instead.
fn found(error: &TlogError) -> String {
    match error {
        TlogError::Signature { found, .. } => found.clone(),
        other => other.to_string(),
    }
}

/// A key's id, as it is shown.
fn hex(key_id: [u8; 4]) -> String {
    key_id.map(|byte| format!("{byte:02x}")).concat()
}

/// The key that began the ledger, as the place of locks says.
async fn begun(
    locks: &Store,
    head: &Checkpoint,
    findings: &mut Findings,
) -> Result<Option<VerifierKey>, ArchiveError> {
    let finding = || Finding::new(Code::Rotation, locks.object_url(BEGUN_KEY));
    let bytes = match locks.get_bounded(BEGUN_KEY, KEY_BYTES_MAX).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(e) => {
            findings.push(finding().differs("the key that began the ledger", unreadable(e)?));
            return Ok(None);
        }
    };
    let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    match text.and_then(|text| text.parse::<VerifierKey>().ok()) {
        Some(key) if key.name() == head.origin => Ok(Some(key)),
        other => {
            let found = other.map_or_else(|| "no key".to_owned(), |key| key.to_string());
            findings.push(finding().differs(format!("a key called {}", head.origin), found));
            Ok(None)
        }
    }
}
