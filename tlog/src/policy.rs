//! Whom to trust, C2SP tlog-policy: logs, witnesses, and how many of these must have cosigned.
//!
//! A policy comes from outside the archive it judges; that is its user's duty and the command
//! line's.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::Checkpoint;
use crate::error::TlogError;
use crate::note::{Algorithm, Note, VerifierKey};

/// Most lines that define something; C2SP recommends at least 32 logs, witnesses and groups each.
const DEFINITIONS_MAX: usize = 1_000;

/// Longest policy, in bytes.
const POLICY_BYTES_MAX: usize = 1024 * 1024;

/// A trust policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Known>,
    witnesses: Vec<Known>,
    /// Witnesses and groups, each behind those it is made of.
    members: Vec<Member>,
    /// Which of the members is needed; nobody if none is.
    quorum: Option<usize>,
}

/// A log or a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its key.
    pub key: VerifierKey,
    /// Where to reach it, if the policy says so.
    pub url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Member {
    /// By its place among the witnesses.
    Witness(usize),
    /// So many of these members.
    Group { needed: usize, members: Vec<usize> },
}

/// A checkpoint that a policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The tree head.
    pub checkpoint: Checkpoint,
    /// The key of the log that signed it.
    pub log: VerifierKey,
    /// Who cosigned, and when by their own word, in seconds since 1970.
    pub witnesses: Vec<(VerifierKey, u64)>,
}

impl Policy {
    /// A policy that trusts one log's key alone, without witnesses.
    pub fn of_log(key: VerifierKey) -> Self {
        let logs = vec![Known { key, url: None }];
        Self { logs, witnesses: Vec::new(), members: Vec::new(), quorum: None }
    }

    /// The logs it knows.
    pub fn logs(&self) -> &[Known] {
        &self.logs
    }

    /// The witnesses it knows.
    pub fn witnesses(&self) -> &[Known] {
        &self.witnesses
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// Names the line and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TlogError> {
        if text.len() > POLICY_BYTES_MAX {
            let expected = format!("at most {POLICY_BYTES_MAX} bytes");
            return Err(TlogError::format("policy", expected, format!("{}", text.len())));
        }
        let mut reading = Reading::default();
        for (number, line) in (1..).zip(text.split('\n')) {
            reading.line(line).map_err(|(expected, found)| {
                TlogError::format(format!("policy line {number}"), expected, found)
            })?;
        }
        let quorum = reading.quorum.ok_or_else(|| {
            TlogError::format(
                "policy",
                "one quorum line",
                "none; `quorum none` asks for no witness",
            )
        })?;
        let Reading { logs, witnesses, members, .. } = reading;
        Ok(Self { logs, witnesses, members, quorum })
    }

    /// Whether a known log whose name is the origin signed a checkpoint: half of
    /// [`Self::accept`], for one that is older than those witnesses saw.
    ///
    /// # Errors
    /// If it is no checkpoint, a signature of a known log is wrong, or there is none.
    pub fn signed(&self, note: &Note) -> Result<(Checkpoint, VerifierKey), TlogError> {
        let checkpoint = Checkpoint::parse(&note.text)?;
        let mut log = None;
        for known in &self.logs {
            if note.signed_by(&known.key)?.is_some() && known.key.name() == checkpoint.origin {
                log = Some(known.key.clone());
            }
        }
        let log = log.ok_or_else(|| self.no_log(note, &checkpoint))?;
        Ok((checkpoint, log))
    }

    /// Judges a signed checkpoint: a known log whose name is the origin must have signed it, and
    /// the quorum of witnesses must have cosigned it.
    ///
    /// # Errors
    /// If it is no checkpoint, a signature of a known key is wrong, or one is missing.
    pub fn accept(&self, note: &Note) -> Result<Accepted, TlogError> {
        let (checkpoint, log) = self.signed(note)?;
        let (mut cosigned, mut witnesses) = (BTreeSet::new(), Vec::new());
        for (place, known) in self.witnesses.iter().enumerate() {
            if let Some(signed) = note.signed_by(&known.key)? {
                cosigned.insert(place);
                witnesses.push((known.key.clone(), signed.time_seconds.unwrap_or_default()));
            }
        }
        if let Some(quorum) = self.quorum
            && !self.has(quorum, &cosigned)
        {
            return Err(TlogError::Signature {
                expected: "cosignatures of the policy's quorum".to_owned(),
                found: format!("those of {} known witnesses", cosigned.len()),
            });
        }
        Ok(Accepted { checkpoint, log, witnesses })
    }

    fn has(&self, member: usize, cosigned: &BTreeSet<usize>) -> bool {
        // Members stand behind those they are made of, so one pass over the list suffices.
        let mut has = Vec::with_capacity(member + 1);
        for one in self.members.iter().take(member + 1) {
            has.push(match one {
                Member::Witness(place) => cosigned.contains(place),
                Member::Group { needed, members } => {
                    let count =
                        members.iter().filter(|&&m| has.get(m).copied().unwrap_or(false)).count();
                    count >= *needed
                }
            });
        }
        has.last().copied().unwrap_or(false)
    }

    fn no_log(&self, note: &Note, checkpoint: &Checkpoint) -> TlogError {
        let keys: Vec<String> = self.logs.iter().map(|known| known.key.to_string()).collect();
        let names: Vec<&str> = note.signatures.iter().map(|s| &*s.name).take(8).collect();
        TlogError::Signature {
            expected: format!("one of a log the policy knows ({})", keys.join(", ")),
            found: crate::error::shown(&format!(
                "origin {}, signed by {}",
                checkpoint.origin,
                names.join(", ")
            )),
        }
    }
}

/// A policy on its way.
#[derive(Debug, Default)]
struct Reading {
    logs: Vec<Known>,
    witnesses: Vec<Known>,
    members: Vec<Member>,
    names: BTreeMap<String, usize>,
    /// Members that are part of a group already.
    used: BTreeSet<usize>,
    quorum: Option<Option<usize>>,
}

/// What was expected, and what was found.
type Wrong = (String, String);

fn wrong<T>(expected: &str, found: &str) -> Result<T, Wrong> {
    Err((expected.to_owned(), found.to_owned()))
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), Wrong> {
        if let Some(control) = line.chars().find(|&c| (c < ' ' && c != '\t') || c == '\u{7f}') {
            return wrong("no control characters but tabs", &format!("{control:?}"));
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        if self.logs.len() + self.members.len() > DEFINITIONS_MAX {
            return wrong(&format!("at most {DEFINITIONS_MAX} definitions"), "more");
        }
        match words[..] {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] => self.log(key, None),
            ["log", key, url] => self.log(key, Some(url)),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, needed, ref members @ ..] => self.group(name, needed, members),
            ["quorum", name] => self.quorum(name),
            _ => wrong("log, witness, group or quorum with its words", line),
        }
    }

    fn log(&mut self, key: &str, url: Option<&str>) -> Result<(), Wrong> {
        let known = known(key, url, |algorithm| algorithm != Algorithm::CosignatureV1)?;
        add(&mut self.logs, known)
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), Wrong> {
        let known = known(key, url, |algorithm| algorithm == Algorithm::CosignatureV1)?;
        let place = self.witnesses.len();
        add(&mut self.witnesses, known)?;
        self.define(name, Member::Witness(place))
    }

    fn group(&mut self, name: &str, needed: &str, words: &[&str]) -> Result<(), Wrong> {
        let mut members = Vec::new();
        for word in words {
            let member = self.member(word)?;
            if !self.used.insert(member) {
                return wrong("each name in one group at most, and once", word);
            }
            members.push(member);
        }
        let number = match needed {
            "any" => Some(1),
            "all" => Some(members.len()),
            digits => digits.parse().ok().filter(|number: &usize| number.to_string() == digits),
        };
        let needed = number.filter(|number| (1..=members.len()).contains(number));
        let Some(needed) = needed else {
            let expected = format!("all, any, or 1 to {} members", members.len());
            return wrong(&expected, &words.join(" "));
        };
        self.define(name, Member::Group { needed, members })
    }

    fn quorum(&mut self, name: &str) -> Result<(), Wrong> {
        if self.quorum.is_some() {
            return wrong("one quorum line", "another");
        }
        self.quorum = Some(if name == "none" { None } else { Some(self.member(name)?) });
        Ok(())
    }

    fn member(&self, name: &str) -> Result<usize, Wrong> {
        match self.names.get(name) {
            Some(&member) => Ok(member),
            None => wrong("a witness or group of a line above", name),
        }
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), Wrong> {
        let place = self.members.len();
        if name == "none" || self.names.insert(name.to_owned(), place).is_some() {
            return wrong("a name that is not taken", name);
        }
        self.members.push(member);
        Ok(())
    }
}

fn known(key: &str, url: Option<&str>, may_be: impl Fn(Algorithm) -> bool) -> Result<Known, Wrong> {
    let parsed: VerifierKey =
        key.parse().map_err(|e: TlogError| ("a verifier key".to_owned(), e.to_string()))?;
    if !may_be(parsed.algorithm()) {
        return wrong("a log's key of type 1 or 2, a witness's of type 4", key);
    }
    Ok(Known { key: parsed, url: url.map(str::to_owned) })
}

fn add(all: &mut Vec<Known>, known: Known) -> Result<(), Wrong> {
    if all.iter().any(|other| other.key.is_same_key(&known.key)) {
        return wrong("each key once", &known.key.to_string());
    }
    all.push(known);
    Ok(())
}

#[cfg(test)]
mod tests;
