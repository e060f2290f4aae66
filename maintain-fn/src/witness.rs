//! Witnesses: others who keep in mind what they have seen of a ledger and cosign what continues
//! it, C2SP tlog-witness.
//!
//! A witness that is silent or refuses never keeps anybody from sealing. Stopped anywhere in here,
//! a cosignature is missing, and the next call asks again: a witness signs what it has seen as
//! often as it is asked.

use archive::log::Log;
use archive::web::{Answer, Web, WebError};
use archive::{ArchiveError, Sealer};
use bytes::Bytes;
use common::layout::{self, CHECKPOINT_KEY};
use futures::future::join_all;
use serde::Serialize;
use tlog::note::{Note, VerifierKey};
use tlog::policy::{Known, Policy};
use tlog::{Checkpoint, Hash};

use crate::error::SealError;

/// Requests to one witness for one checkpoint: the first may learn what it has seen, the second
/// proves from there, and it may have seen more in between.
const REQUESTS_MAX: usize = 4;

/// Longest piece of a witness's own words that is repeated, in characters.
const WORDS_CHARS_MAX: usize = 200;

/// What a witness was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Name of the witness.
    pub witness: String,
    /// Where it was asked.
    pub url: String,
    /// Size of the checkpoint.
    pub size: u64,
    /// What came of it.
    pub outcome: Cosigning,
    /// Why there is no cosignature; empty if there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What came of asking a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cosigning {
    /// It cosigned, and the cosignature is kept.
    Cosigned,
    /// Its cosignature was there already.
    Kept,
    /// It gave none; the next seal asks again.
    Failed,
    /// It has seen another history of this ledger, or a longer one.
    Refused,
}

/// Why there is no cosignature.
enum Why {
    Failed(String),
    Refused(String),
}

impl Asked {
    /// Whether there is a cosignature now.
    pub const fn is_cosigned(&self) -> bool {
        matches!(self.outcome, Cosigning::Cosigned | Cosigning::Kept)
    }
}

/// Asks the witnesses that a policy names with a URL, as is done after a seal. What they do keeps
/// nobody from sealing, so whatever goes wrong is told and is no error of the seal.
///
/// # Errors
/// A sentence that says why nobody could be asked.
pub async fn ask(sealer: &Sealer, policy: &Policy) -> Result<Vec<Asked>, String> {
    let witnesses = policy.witnesses();
    if witnesses.iter().all(|known| known.url.is_none()) {
        return Ok(Vec::new());
    }
    let web = Web::new().map_err(|e| e.to_string())?;
    push(sealer, &web, witnesses).await.map_err(|e| e.to_string())
}

/// Sends the published checkpoint to each witness that has a URL and keeps what they sign. Nobody
/// is asked if no checkpoint is published.
///
/// # Errors
/// If the archive can not be read or written, or its checkpoint is none. What witnesses do is in
/// the answer.
pub async fn push(
    sealer: &Sealer,
    web: &Web,
    witnesses: &[Known],
) -> Result<Vec<Asked>, SealError> {
    if witnesses.iter().all(|known| known.url.is_none()) {
        return Ok(Vec::new());
    }
    let Some(there) = sealer.checkpoint().await? else { return Ok(Vec::new()) };
    let note = Note::parse(&there.bytes)?;
    let head = Checkpoint::parse(&note.text)?;
    let sent = Sent { sealer, web, note: &note, head: &head };
    let asked = witnesses.iter().filter_map(|known| Some((known, known.url.as_deref()?)));
    let answers = join_all(asked.map(|(known, url)| sent.to(&known.key, url))).await;
    answers.into_iter().collect()
}

/// A checkpoint on its way.
struct Sent<'a> {
    sealer: &'a Sealer,
    web: &'a Web,
    note: &'a Note,
    head: &'a Checkpoint,
}

impl Sent<'_> {
    async fn to(&self, key: &VerifierKey, url: &str) -> Result<Asked, SealError> {
        let size = self.head.size;
        let asked = |outcome, reason| Asked {
            witness: key.name().to_owned(),
            url: url.to_owned(),
            size,
            outcome,
            reason,
        };
        let kept = layout::signature_key(size, key.key_id());
        if self.sealer.reader().store().head(&kept).await?.is_some() {
            return Ok(asked(Cosigning::Kept, String::new()));
        }
        match self.cosignature(key, url).await {
            Ok(note) => {
                let note = Bytes::from(note.to_text());
                self.sealer.put_signature(size, key.key_id(), note).await?;
                Ok(asked(Cosigning::Cosigned, String::new()))
            }
            Err(Why::Failed(reason)) => {
                tracing::warn!(witness = key.name(), url, reason, "no cosignature");
                Ok(asked(Cosigning::Failed, reason))
            }
            Err(Why::Refused(reason)) => {
                tracing::error!(witness = key.name(), url, reason, "the checkpoint was refused");
                Ok(asked(Cosigning::Refused, reason))
            }
        }
    }

    /// The checkpoint with the witness's cosignature alone.
    async fn cosignature(&self, key: &VerifierKey, url: &str) -> Result<Note, Why> {
        let url = format!("{}/add-checkpoint", url.trim_end_matches('/'));
        // What it has seen is asked of it, and not kept: it knows better.
        let mut seen = 0;
        for _ in 0..REQUESTS_MAX {
            let answer = self.web.post(&url, self.request(seen).await?).await;
            let answer = answer.map_err(|e: WebError| Why::Failed(e.to_string()))?;
            match answer.status {
                200 => return self.checked(key, &answer),
                409 => seen = self.seen(&answer, seen)?,
                422 => {
                    return Err(Why::Refused(format!(
                        "it has cosigned another history of this ledger at size {seen}: {}",
                        words(&answer)
                    )));
                }
                403 => {
                    let (id, words) = (self.ids(), words(&answer));
                    let reason = format!("it does not trust the key of this ledger, {id}: {words}");
                    return Err(Why::Failed(reason));
                }
                404 => {
                    let (origin, words) = (&self.head.origin, words(&answer));
                    return Err(Why::Failed(format!(
                        "it does not know the ledger {origin}, or the URL is wrong; have its \
                         operator add the ledger's key: {words}"
                    )));
                }
                status => {
                    let words = words(&answer);
                    return Err(Why::Failed(format!(
                        "expected status 200, found {status}: {words}"
                    )));
                }
            }
        }
        Err(Why::Failed(format!("expected an answer in {REQUESTS_MAX} requests, found none")))
    }

    /// The body of a request: what the witness has seen, the proof from there, the checkpoint.
    async fn request(&self, seen: u64) -> Result<String, Why> {
        let failed = |e: SealError| Why::Failed(e.to_string());
        let proof = self.consistency(seen).await.map_err(failed)?;
        let lines: String = proof.iter().map(|hash| format!("{hash}\n")).collect();
        Ok(format!("old {seen}\n{lines}\n{}", self.note.to_text()))
    }

    /// The proof that the tree of `seen` leaves is the beginning of this one.
    async fn consistency(&self, seen: u64) -> Result<Vec<Hash>, SealError> {
        let Self { sealer, head, .. } = *self;
        let damage = match sealer.consistency(seen, head).await? {
            Ok(proof) => return Ok(proof),
            Err(damage) => damage,
        };
        tracing::error!(damage, "the ledger's tiles can not be used, so every commit is read");
        let tree = sealer.log_before(&Log::default(), head.size).await?.tree();
        if tree.root_at(head.size) != Some(head.root) {
            return Err(SealError::from(ArchiveError::Ledger {
                object: sealer.reader().store().object_url(CHECKPOINT_KEY),
                expected: "the root that the commits give".to_owned(),
                found: format!("root {}", head.root),
            }));
        }
        Ok(tree.prove_consistency(seen, head.size)?)
    }

    /// The size that the witness has seen, by its answer to one that named another.
    fn seen(&self, answer: &Answer, named: u64) -> Result<u64, Why> {
        let text = std::str::from_utf8(&answer.body).unwrap_or_default();
        let seen = text.trim_end_matches('\n').parse::<u64>().ok();
        let size = self.head.size;
        match seen {
            None => Err(Why::Failed(format!(
                "expected the size it has seen, found status 409: {}",
                words(answer)
            ))),
            Some(seen) if seen > size => Err(Why::Refused(format!(
                "it has seen size {seen} of this ledger, and this archive is at {size}: the archive \
                 was taken back, or another was shown to the witness"
            ))),
            Some(seen) if seen == named => Err(Why::Refused(format!(
                "it has cosigned another root at size {seen} than this ledger's: another history \
                 was shown to the witness"
            ))),
            Some(seen) => Ok(seen),
        }
    }

    /// The witness's cosignature among what it answered.
    fn checked(&self, key: &VerifierKey, answer: &Answer) -> Result<Note, Why> {
        let failed =
            |found: String| Why::Failed(format!("expected a cosignature of {key}, found {found}"));
        let text = &self.note.text;
        let whole = [text.as_bytes(), b"\n", &answer.body].concat();
        let note = Note::parse(&whole).map_err(|e| failed(e.to_string()))?;
        if note.text != *text {
            return Err(failed("another text".to_owned()));
        }
        let own = note.signatures.into_iter().find(|signature| key.is_of(signature));
        let own = own.ok_or_else(|| failed("others' only".to_owned()))?;
        let note = Note { text: text.clone(), signatures: vec![own] };
        match note.signed_by(key) {
            Ok(Some(_)) => Ok(note),
            Ok(None) => Err(failed("none".to_owned())),
            Err(e) => Err(failed(e.to_string())),
        }
    }

    fn ids(&self) -> String {
        let names = self.note.signatures.iter().map(|one| one.to_line().trim_end().to_owned());
        names.collect::<Vec<_>>().join(", ")
    }
}

/// What a witness says, cut to a readable length.
fn words(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    text.trim().chars().take(WORDS_CHARS_MAX).flat_map(char::escape_debug).collect()
}
