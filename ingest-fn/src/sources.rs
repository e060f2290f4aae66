//! What is said of sources where the function is set up: which cluster, which format. Almost no
//! record names its cluster, and no transport does.

use std::str::FromStr;

use serde::Deserialize;

use crate::envelope::Carries;
use crate::parse::SourceFormat;

/// Rules, of which the first that fits a source counts.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Rule>);

/// One rule, as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// A source: an ARN, a log group, `s3://bucket/key`, a path of HTTP. `*` is any text.
    source: String,
    cluster: Option<String>,
    #[serde(default)]
    format: String,
    /// Of a queue: `objects` or `records`; else it is found out message by message.
    #[serde(default)]
    carries: String,
    #[serde(skip)]
    parsed: SourceFormat,
}

/// What is said of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The cluster its records come from.
    pub cluster: Option<String>,
    /// The format of its records.
    pub format: SourceFormat,
}

impl FromStr for Sources {
    type Err = String;

    /// Reads a JSON list of rules.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "a JSON list of {\"source\", \"cluster\", \"format\", \"carries\"}";
        let mut rules: Vec<Rule> =
            serde_json::from_str(text).map_err(|e| format!("{expected}: {e}"))?;
        for rule in &mut rules {
            if !rule.format.is_empty() {
                rule.parsed = rule.format.parse().map_err(|e| format!("{expected}: {e}"))?;
            }
            if !matches!(rule.carries.as_str(), "" | "objects" | "records") {
                return Err(format!("{expected}, where carries is objects or records"));
            }
        }
        Ok(Self(rules))
    }
}

impl Sources {
    /// What is said of a source.
    pub fn of(&self, source: &str) -> Source {
        let rule = self.rule(source);
        Source {
            cluster: rule.and_then(|rule| rule.cluster.clone()),
            format: rule.map(|rule| rule.parsed).unwrap_or_default(),
        }
    }

    /// What the messages of a queue are. Where no object can be read, they are all records.
    pub fn carries(&self, queue: &str, has_landing: bool) -> Carries {
        let records = self.rule(queue).is_some_and(|rule| rule.carries == "records");
        if records || !has_landing { Carries::Records } else { Carries::Either }
    }

    fn rule(&self, source: &str) -> Option<&Rule> {
        self.0.iter().find(|rule| fits(rule.source.as_bytes(), source.as_bytes()))
    }
}

/// Whether a text is as a pattern says, in which `*` stands for any text. It takes at most as many
/// steps as both lengths multiplied.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last star stands, and from where the text behind it was tried.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(byte) if text.get(at) == Some(byte) => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((place, from)) = star else { return false };
                star = Some((place, from + 1));
                at = from + 1;
                in_pattern = place + 1;
            }
        }
    }
    pattern.get(in_pattern..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_counts() {
        let sources: Sources = r#"[
            {"source": "arn:aws:kinesis:*:stream/east-*", "cluster": "east"},
            {"source": "s3://landing/west/*", "cluster": "west", "format": "otlp_protobuf"},
            {"source": "arn:aws:sqs:*:plain", "carries": "records"},
            {"source": "*", "cluster": "other"}
        ]"#
        .parse()
        .unwrap();
        let cluster = |source| sources.of(source).cluster.unwrap();
        assert_eq!(cluster("arn:aws:kinesis:eu-1:1:stream/east-2"), "east");
        assert_eq!(cluster("arn:aws:kinesis:eu-1:1:stream/west-2"), "other");
        assert_eq!(sources.of("s3://landing/west/a").format, SourceFormat::OtlpProtobuf);
        let queue = "arn:aws:sqs:eu-1:1:plain";
        assert_eq!(sources.carries(queue, true), Carries::Records);
        assert_eq!(sources.carries("arn:aws:sqs:eu-1:1:notices", true), Carries::Either);
        assert_eq!(sources.carries("arn:aws:sqs:eu-1:1:notices", false), Carries::Records);
        assert_eq!(Sources::default().of("x"), Source::default());
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("a*c", "abbc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("*b*", "abc", true),
            ("**", "", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("*aab", "aaaab", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        assert!(!fits("*a".repeat(50).as_bytes(), "b".repeat(10_000).as_bytes()));
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for wrong in [
            "",
            "{}",
            r#"[{"cluster":"x"}]"#,
            r#"[{"source":"*","format":"xml"}]"#,
            r#"[{"source":"*","carries":"all"}]"#,
            r#"[{"source":"*","clusters":"x"}]"#,
        ] {
            assert!(wrong.parse::<Sources>().is_err(), "{wrong}");
        }
    }
}
