//! Which names stand before a credential.

use super::Rules;

/// Default names before `=`.
///
/// `key` is not here: see `Names::LONG_KEY`. Nor is `code`: it is redacted beside `state`.
pub(super) const PARAMETERS: &[&str] = &[
    "auth",
    "authorization",
    "jwt",
    "session",
    "sid",
    "phpsessid",
    "jsessionid",
    "sig",
    "signature",
    "x-amz-signature",
    "x-amz-credential",
    "secret_id",
];

/// Default JSON keys and headers.
pub(super) const FIELDS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "credential",
    "credentials",
    "secret_id",
];

/// Default endings of names: `api_key` and `x-api-key`, `token` and `x-vault-token`.
pub(super) const ENDINGS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "pass",
    "passphrase",
    "api_key",
    "access_key",
    "secret_key",
    "private_key",
    "account_key",
    "signing_key",
    "encryption_key",
    "unseal_key",
];

/// Names that end like credentials and are none.
pub(super) const SPARED: &[&str] = &[
    "page_token",
    "next_page_token",
    "next_token",
    "continue_token",
    "continuation_token",
    "sync_token",
    "bypass",
    "compass",
];

/// Default beginnings of tokens: GitHub, GitLab, Slack, Vault.
pub(super) const PREFIXES: &[&str] = &["ghp_", "github_pat_", "glpat-", "xoxb-", "hvs."];

/// Names too common in prose to be followed there: `invalid token: expired`.
const NOT_IN_PROSE: &[&str] = &["token", "secret", "jwt", "credential", "credentials", "pass"];

/// Words that are looked for besides names: schemes, PEM, kinds, keys with base64 behind them.
const SHAPES: &[&str] = &["bearer", "basic", "eyJ", "begin"];
const SECRETS: &[&str] = &["secret", "envvar", "filesystem"];
const BASE64: &[&str] = &["data", "input"];

/// Longest name that is compared, without separators.
const NAME_MAX: usize = 64;

/// What the rules say, ready to compare.
#[derive(Debug)]
pub(super) struct Names {
    parameters: Vec<Vec<u8>>,
    fields: Vec<Vec<u8>>,
    endings: Vec<Vec<u8>>,
    spared: Vec<Vec<u8>>,
    not_in_prose: Vec<Vec<u8>>,
    needles: Vec<Vec<u8>>,
    /// The last words of all names, by the low five bits of their last letter.
    tails: [Vec<Vec<u8>>; 32],
    pub(super) prefixes: Vec<Vec<u8>>,
    pub(super) shapes: bool,
    pub(super) secrets: bool,
}

impl Names {
    /// The parameter that is redacted only if its value is long and mixed: `key` is the name of
    /// Google's API keys, and of half of all other things.
    pub(super) const LONG_KEY: &'static [u8] = b"key";

    pub(super) fn new(rules: &Rules) -> Self {
        let normal = |all: &[&[String]]| -> Vec<Vec<u8>> {
            let mut names: Vec<Vec<u8>> = all
                .iter()
                .copied()
                .flatten()
                .filter_map(|name| Some(Name::whole(name.as_bytes())?.bytes().to_vec()))
                .collect();
            names.sort();
            names
        };
        let not_in_prose = NOT_IN_PROSE.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listed = [&rules.fields, &rules.endings, &rules.more, &rules.prefixes];
        let mut needles: Vec<Vec<u8>> =
            listed.into_iter().flatten().map(|name| name.to_ascii_lowercase().into()).collect();
        let mut built_in =
            |all: &[&str]| needles.extend(all.iter().map(|word| word.to_ascii_lowercase().into()));
        built_in(BASE64);
        if rules.shapes {
            built_in(SHAPES);
        }
        if rules.secrets {
            built_in(SECRETS);
        }
        let mut tails: [Vec<Vec<u8>>; 32] = Default::default();
        let named = [&rules.parameters, &rules.fields, &rules.endings, &rules.more];
        let named = named.into_iter().flatten().map(String::as_str);
        for name in named.chain(["key", "code", "state"]) {
            let tail = name.rsplit(['-', '_', '.']).find(|tail| !tail.is_empty());
            let tail = tail.unwrap_or_default().to_ascii_lowercase().into_bytes();
            let Some(&last) = tail.last() else { continue };
            let known = &mut tails[usize::from(last & 31)];
            if !known.contains(&tail) {
                known.push(tail);
            }
        }
        Self {
            tails,
            parameters: normal(&[&rules.parameters, &rules.more]),
            fields: normal(&[&rules.fields, &rules.more]),
            endings: normal(&[&rules.endings]),
            spared: normal(&[&rules.spared]),
            not_in_prose,
            needles,
            prefixes: rules.prefixes.iter().map(|prefix| prefix.clone().into_bytes()).collect(),
            shapes: rules.shapes,
            secrets: rules.secrets,
        }
    }

    /// What a record with a credential has in it, in lower case, unless it has `=` or `@`.
    pub(super) fn needles(&self) -> Vec<Vec<u8>> {
        self.needles.clone()
    }

    /// Whether some name could end as this word does; cheap, and mostly says no.
    #[inline]
    pub(super) fn may_be(&self, word: &[u8]) -> bool {
        let Some(&last) = word.last() else { return false };
        self.tails[usize::from(last & 31)].iter().any(|tail| {
            let end = word.len().checked_sub(tail.len()).and_then(|start| word.get(start..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(tail))
        })
    }

    /// Whether the value behind `name=` is redacted.
    pub(super) fn is_parameter(&self, name: &Name) -> bool {
        (has(&self.parameters, name) || self.ends(name)) && !has(&self.spared, name)
    }

    /// Whether the value of a key is redacted.
    pub(super) fn is_field(&self, name: &Name) -> bool {
        (has(&self.fields, name) || self.ends(name)) && !has(&self.spared, name)
    }

    /// Whether a field is meant even where text has a colon behind its name.
    pub(super) fn is_header(&self, name: &Name) -> bool {
        !self.not_in_prose.iter().any(|other| other == name.bytes())
    }

    fn ends(&self, name: &Name) -> bool {
        let last = name.bytes().last();
        self.endings.iter().any(|ending| ending.last() == last && name.bytes().ends_with(ending))
    }
}

fn has(names: &[Vec<u8>], name: &Name) -> bool {
    names.binary_search_by(|other| other.as_slice().cmp(name.bytes())).is_ok()
}

/// A name in lower case and without separators.
#[derive(Debug)]
pub(super) struct Name {
    bytes: [u8; NAME_MAX],
    length: usize,
}

impl Name {
    /// The last part of a dotted name; `None` if nothing is left or it is too long.
    pub(super) fn new(word: &[u8]) -> Option<Self> {
        Self::whole(word.rsplit(|&byte| byte == b'.').next().unwrap_or(word))
    }

    fn whole(word: &[u8]) -> Option<Self> {
        let mut name = Self { bytes: [0; NAME_MAX], length: 0 };
        for byte in word.iter().filter(|byte| !matches!(byte, b'-' | b'_' | b'.')) {
            *name.bytes.get_mut(name.length)? = byte.to_ascii_lowercase();
            name.length += 1;
        }
        (name.length > 0).then_some(name)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
