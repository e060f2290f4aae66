//! The policy as its file has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use super::mask::{Key, Mask};

/// Who may see what. An engine that has one answers only whom a rule names.
#[derive(Debug, Clone)]
pub struct AccessPolicy {
    pub(super) rules: Vec<Rule>,
    pub(super) key: Option<Key>,
}

/// What some callers may see.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) who: Vec<String>,
    /// None: everything, and how it was read.
    pub(super) tables: Option<BTreeMap<String, TableRule>>,
}

/// What of a table.
#[derive(Debug, Clone)]
pub(super) struct TableRule {
    /// A condition in SQL.
    pub(super) rows: String,
    pub(super) masks: BTreeMap<String, Mask>,
    /// Columns that would be masked with others, and are not.
    pub(super) keep: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    roles: BTreeMap<String, Vec<String>>,
    hash_key: Option<String>,
    rules: Vec<FileRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    name: String,
    who: Vec<String>,
    #[serde(default)]
    everything: bool,
    #[serde(default)]
    tables: BTreeMap<String, FileTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTable {
    rows: String,
    #[serde(default)]
    mask: BTreeMap<String, String>,
    #[serde(default)]
    keep: BTreeSet<String>,
}

/// Longest text of a policy, in bytes: some thousand rules.
const POLICY_BYTES_MAX: usize = 1024 * 1024;

/// Fewest bytes of a key: what is masked is often guessed, so the key must not be.
const KEY_BYTES_MIN: usize = 16;

impl AccessPolicy {
    /// Reads the text of a policy. A key for hashes is named there as `env:NAME`, and `secret`
    /// finds it: a policy is for many eyes, the key is not.
    ///
    /// # Errors
    /// Says what is wrong, and in which rule.
    pub fn parse(text: &str, secret: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(format!("an access policy of at most {POLICY_BYTES_MAX} bytes"));
        }
        let file: File = serde_json::from_str(text)
            .map_err(|e| format!("an access policy as docs/access.md shows one; {e}"))?;
        let key = file.hash_key.map(|name| key(&name, secret)).transpose()?;
        let mut rules = Vec::new();
        for rule in file.rules {
            let name = rule.name.clone();
            let rule = rule_of(rule, &file.roles).map_err(|e| format!("rule {name:?}: {e}"))?;
            let tables = rule.tables.iter().flat_map(BTreeMap::values);
            let mut masks = tables.flat_map(|table| table.masks.values());
            if key.is_none() && masks.any(|mask| *mask == Mask::Hash) {
                return Err(format!(
                    "rule {name:?}: mask hash needs \"hash_key\": \"env:NAME\" in the policy"
                ));
            }
            rules.push(rule);
        }
        Ok(Self { rules, key })
    }
}

fn key(name: &str, secret: &dyn Fn(&str) -> Option<String>) -> Result<Key, String> {
    let variable = name
        .strip_prefix("env:")
        .ok_or("hash_key: expected env:NAME, the variable that has the key")?;
    match secret(variable) {
        Some(key) if key.len() >= KEY_BYTES_MIN => Ok(Key::new(key.into_bytes())),
        Some(key) => Err(format!(
            "hash_key: expected at least {KEY_BYTES_MIN} bytes in {variable}, found {}",
            key.len()
        )),
        None => Err(format!("hash_key: the variable {variable} is not set")),
    }
}

fn rule_of(rule: FileRule, roles: &BTreeMap<String, Vec<String>>) -> Result<Rule, String> {
    let mut who = Vec::new();
    for one in rule.who {
        match one.strip_prefix("role:") {
            Some(role) => {
                let members = roles.get(role).ok_or(format!("there is no role {role:?}"))?;
                who.extend(members.iter().cloned());
            }
            None => who.push(one),
        }
    }
    if rule.everything != rule.tables.is_empty() {
        return Err("expected either \"everything\": true or tables".to_owned());
    }
    let mut tables = BTreeMap::new();
    for (name, table) in rule.tables {
        let mut masks = BTreeMap::new();
        for (column, mask) in table.mask {
            let mask = mask.parse().map_err(|e| format!("{name}.{column}: {e}"))?;
            masks.insert(column, mask);
        }
        tables.insert(name, TableRule { rows: table.rows, masks, keep: table.keep });
    }
    Ok(Rule { name: rule.name, who, tables: (!rule.everything).then_some(tables) })
}

impl Rule {
    /// Whether a caller is one it names.
    pub(super) fn names(&self, caller: &str) -> bool {
        self.who.iter().any(|pattern| matches(pattern, caller))
    }
}

/// Whether a text is of a pattern in which `*` stands for any characters, or none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {:?}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, expected) in [
            ("local", "local", true),
            ("local", "locals", false),
            ("*", "", true),
            ("*", "anybody", true),
            ("arn:aws:iam::1:user/*", "arn:aws:iam::1:user/a/b", true),
            ("arn:aws:iam::1:user/*", "arn:aws:iam::11:user/a", false),
            ("jwt:*:alice", "jwt:https://a:alice", true),
            ("jwt:*:alice", "jwt:https://a:alice2", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-c-b-c", true),
            ("a*b*c", "acb", false),
            ("aa*aa", "aaa", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused_by_name() {
        let secret = |name: &str| match name {
            "LONG" => Some("0123456789abcdef".to_owned()),
            "SHORT" => Some("123".to_owned()),
            _ => None,
        };
        let table = r#""tables": {"mesh_events": {"rows": "true"}}"#;
        for (text, expected) in [
            ("{}".to_owned(), "missing field `rules`"),
            (r#"{"rules": [], "more": 1}"#.to_owned(), "unknown field"),
            (r#"{"rules": [{"name": "a", "who": ["x"]}]}"#.to_owned(), "everything"),
            (
                format!(
                    r#"{{"rules": [{{"name": "a", "who": ["x"], "everything": true, {table}}}]}}"#
                ),
                "rule \"a\": expected either",
            ),
            (
                format!(r#"{{"rules": [{{"name": "a", "who": ["role:b"], {table}}}]}}"#),
                "rule \"a\": there is no role \"b\"",
            ),
            (
                r#"{"rules": [{"name": "a", "who": [], "tables": {"mesh_events": {}}}]}"#
                    .to_owned(),
                "missing field `rows`",
            ),
            (
                r#"{"rules": [{"name": "a", "who": [], "tables": {"mesh_events":
                    {"rows": "true", "mask": {"principal": "blur"}}}}]}"#
                    .to_owned(),
                "mesh_events.principal: expected null, hash or prefix:N",
            ),
            (
                r#"{"rules": [{"name": "a", "who": [], "tables": {"mesh_events":
                    {"rows": "true", "mask": {"principal": "hash"}}}}]}"#
                    .to_owned(),
                "needs \"hash_key\"",
            ),
            (r#"{"hash_key": "0123", "rules": []}"#.to_owned(), "expected env:NAME"),
            (r#"{"hash_key": "env:NONE", "rules": []}"#.to_owned(), "NONE is not set"),
            (r#"{"hash_key": "env:SHORT", "rules": []}"#.to_owned(), "at least 16 bytes"),
        ] {
            let error = AccessPolicy::parse(&text, &secret).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let good = r#"{"hash_key": "env:LONG", "roles": {"r": ["a", "b*"]},
            "rules": [{"name": "n", "who": ["role:r", "c"], "everything": true}]}"#;
        let policy = AccessPolicy::parse(good, &secret).unwrap();
        assert_eq!(policy.rules[0].who, ["a", "b*", "c"]);
        assert!(!format!("{policy:?}").contains("0123456789abcdef"));
    }
}
