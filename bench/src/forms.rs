//! Workloads of the formats beside Envoy JSON: the calls of `traffic`, as other proxies and
//! control planes would have written them.
//!
//! Who calls whom, when, by which path, how long it takes and how it ends are `traffic`'s; so are
//! addresses, identities and ids. Around them stands what each program writes, key by key, as in
//! the records that were captured (Envoy 1.40.0, ztunnel and linkerd2-proxy) or, where no program
//! could be run, as documented (`tests/data/<source>/cases.jsonl`). Nothing is padded: each
//! writer's comment says how long the records are that it follows.

mod call;
mod control;
mod hoop;
mod linkerd;
mod mesh;
mod ztunnel;

use std::error::Error;
use std::io::Write;

use traffic::{Config, Format, Generator};

use call::Call;

/// Appends a record, without its line feed, or nothing if the call leaves none.
type Writer = fn(&mut String, &Call<'_>);

/// Each format's name, and what writes a record of it.
const FORMS: [(&str, Writer); 15] = [
    ("envoy_text", mesh::envoy_text),
    ("otlp_json", mesh::otlp_json),
    ("cri_envoy_json", mesh::cri_envoy_json),
    ("fluentbit_envoy_json", mesh::fluentbit_envoy_json),
    ("ztunnel_json", ztunnel::json),
    ("ztunnel_text", ztunnel::text),
    ("linkerd_access_json", linkerd::access_json),
    ("linkerd_access_apache", linkerd::access_apache),
    ("linkerd_log_json", linkerd::log_json),
    ("linkerd_log_plain", linkerd::log_plain),
    ("consul_audit_v1", control::consul_audit),
    ("k8s_audit_v1", control::k8s_audit),
    ("hoop_audit", hoop::audit),
    ("hoop_session", hoop::session),
    ("cri_k8s_audit", control::cri_k8s_audit),
];

/// Calls generated for each record that is wanted: inbound proxies see half of them.
const CALLS_PER_RECORD: u64 = 3;

/// Whether [`generate`] knows the format.
pub(crate) fn has(format: &str) -> bool {
    FORMS.iter().any(|(name, _)| *name == format)
}

/// Names of all formats.
pub(crate) fn names() -> String {
    FORMS.map(|(name, _)| name).join("|")
}

/// Writes so many records of a format, one a line.
pub(crate) fn generate(
    events: u64,
    seed: u64,
    format: &str,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let (_, write) = FORMS.iter().find(|(name, _)| *name == format).ok_or("no such format")?;
    let calls = events.max(1_000) * CALLS_PER_RECORD;
    let config = Config { events: calls, seed, format: Format::Extended, ..Config::default() };
    let mut generator = Generator::new(config)?;
    let (mut line, mut record, mut written) = (Vec::new(), String::new(), 0);
    // An export of OpenTelemetry holds several records.
    let mut batch = mesh::Batch::new(seed);
    while written < events && generator.next_line(&mut line).is_some() {
        write(&mut record, &Call::new(std::str::from_utf8(&line)?, seed));
        line.clear();
        if record.is_empty() {
            continue;
        }
        written += 1;
        if format == "otlp_json" {
            batch.add(&record);
            if batch.is_full() || written == events {
                batch.write(out)?;
            }
        } else {
            writeln!(out, "{record}")?;
        }
        record.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ingest_fn::parse::SourceFormat;
    use ingest_fn::parse::detect::Dispatcher;
    use ingest_fn::parse::event::{Context, Events};
    use ingest_fn::parse::fields as f;
    use ingest_fn::rebuild::rebuild;

    use super::*;

    fn sorted(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes
    }

    /// Value by value is checked by the parsers' own tests; here the same bytes in any order will
    /// do, since a rebuilt record has its fields in another order.
    #[test]
    fn every_record_is_an_event_of_its_format_and_comes_back() {
        for (form, _) in FORMS {
            let expected = match form {
                "otlp_json" => "envoy_otlp",
                "cri_k8s_audit" => "k8s_audit_v1",
                _ => form.trim_start_matches("cri_").trim_start_matches("fluentbit_"),
            };
            let mut text = Vec::new();
            generate(2_000, 7, form, &mut text).unwrap();
            let mut again = Vec::new();
            generate(2_000, 7, form, &mut again).unwrap();
            assert!(text == again, "{form} is not deterministic");
            let (mut dispatcher, mut events, mut count) = (Dispatcher::new(), Events::default(), 0);
            for line in std::str::from_utf8(&text).unwrap().lines() {
                events.clear();
                let context = Context::default();
                let parsed =
                    dispatcher.parse(SourceFormat::Auto, line.as_bytes(), &context, &mut events);
                assert!(parsed.is_ok() && dispatcher.rejected().is_empty(), "{form}: {line}");
                count += events.all().len();
                for event in events.all() {
                    assert_eq!(event.text_of(f::SOURCE_FORMAT), Some(expected.as_bytes()));
                    let back = rebuild(event).unwrap();
                    let is_alike = back.is_raw || sorted(&back.record) == sorted(line);
                    assert!(is_alike, "{form}: {line}\n{}", back.record);
                }
            }
            assert_eq!(count, 2_000, "{form}");
        }
    }
}
