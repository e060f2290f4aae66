//! What the demo asks: questions of the collection about the incidents hidden in its traffic, and
//! counts whose answers are known beforehand.

use common::date::rfc3339;
use traffic::{Incident, IncidentKind};

/// A question of the collection, and the columns of its answer that fit a terminal.
pub(crate) struct Asked {
    /// Name of the question.
    pub(crate) name: &'static str,
    /// Its parameters.
    pub(crate) params: Vec<(String, String)>,
    /// Columns shown.
    pub(crate) columns: &'static [&'static str],
}

/// Something hidden, and the query that must count it.
pub(crate) struct Hidden {
    /// What it is.
    pub(crate) what: &'static str,
    /// One number.
    pub(crate) sql: String,
    /// The number that the generator knows.
    pub(crate) expected: u64,
}

/// The questions, in the order of the story; `request` is the one that is followed.
pub(crate) fn asked(incidents: &[Incident], request: &str) -> Vec<Asked> {
    let mut asked = vec![
        Asked {
            name: "denied_by_policy",
            params: params(&[("limit_rows", "6")]),
            columns: &["policy", "service", "denials", "callers", "most_denied_caller"],
        },
        Asked {
            name: "tls_failures_by_reason",
            params: params(&[("limit_rows", "6")]),
            columns: &["reason", "seen_by", "failures", "one_service", "first_seen", "last_seen"],
        },
    ];
    for incident in incidents {
        match incident.kind {
            IncidentKind::StolenIdentity => asked.extend(stolen_identity(incident)),
            IncidentKind::PolicyMistake => asked.push(policy_mistake(incident)),
            IncidentKind::CertificateExpiry => {}
        }
    }
    asked.push(Asked {
        name: "request_trail",
        params: params(&[("request_id", request)]),
        columns: &["after_ms", "cluster", "reporter", "caller", "service", "path", "status"],
    });
    asked
}

fn stolen_identity(incident: &Incident) -> Vec<Asked> {
    let since = rfc3339(incident.start_micros, 0);
    let principal = incident.principals.first().map_or("", String::as_str);
    vec![
        Asked {
            name: "path_access",
            params: params(&[("path", "/admin/export"), ("limit_rows", "6")]),
            columns: &["caller", "service", "decision", "requests", "addresses", "first_seen"],
        },
        Asked {
            name: "identity_activity",
            params: params(&[("principal", principal), ("since", &since), ("limit_rows", "8")]),
            columns: &[
                "target",
                "did",
                "decision",
                "events",
                "one_path",
                "one_address",
                "first_seen",
            ],
        },
    ]
}

fn policy_mistake(incident: &Incident) -> Asked {
    let at = rfc3339(incident.start_micros, 0);
    Asked {
        name: "changes_around",
        params: params(&[("at", &at), ("limit_rows", "6")]),
        columns: &["change", "subject", "service", "before_at", "after_at", "first_after"],
    }
}

/// Query for the id of the longest request, of ten minutes of the day, that passed two clusters.
pub(crate) fn far_request_sql(incidents: &[Incident]) -> String {
    const WINDOW_MICROS: i64 = 600_000_000;
    let from = incidents.first().map_or(0, |incident| incident.start_micros);
    format!(
        "SELECT request_id FROM mesh_events WHERE request_id IS NOT NULL \
         AND event_time >= TIMESTAMP '{}' AND event_time < TIMESTAMP '{}' \
         GROUP BY request_id HAVING count(DISTINCT k8s_cluster) > 1 \
         ORDER BY count(*) DESC, request_id LIMIT 1",
        rfc3339(from, 0),
        rfc3339(from + WINDOW_MICROS, 0)
    )
}

fn params(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What is hidden, as counts.
pub(crate) fn hidden(incidents: &[Incident]) -> Vec<Hidden> {
    incidents.iter().filter_map(hidden_in).collect()
}

fn hidden_in(incident: &Incident) -> Option<Hidden> {
    let quoted = |texts: &[String]| {
        let quoted: Vec<String> =
            texts.iter().map(|text| format!("'{}'", text.replace('\'', "''"))).collect();
        quoted.join(", ")
    };
    let (what, count, filter) = match incident.kind {
        IncidentKind::StolenIdentity => (
            "calls with a stolen identity",
            "all",
            format!(
                "reporter = 'destination' AND src_ip IN ({})",
                quoted(&incident.source_addresses)
            ),
        ),
        IncidentKind::PolicyMistake => (
            "requests denied by a policy mistake",
            "denied",
            format!("decision = 'deny' AND policy_rule IN ({})", quoted(&incident.policies)),
        ),
        IncidentKind::CertificateExpiry => (
            "calls that failed on an expired certificate",
            "failed",
            "tls_failure_reason = 'cert_expired' AND tls_failure_side = 'upstream'".to_owned(),
        ),
    };
    let sql = format!(
        "SELECT count(*) FROM mesh_events WHERE transport_ref LIKE 'generated/%' AND {filter}"
    );
    Some(Hidden { what, sql, expected: incident.count(count)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use traffic::Config;

    #[test]
    fn every_question_exists_and_takes_these_parameters() {
        let incidents = traffic::incidents(&Config::default());
        let asked = asked(&incidents, "5b0c3f3e-6c1b-4a7b-8b52-5b7fd6f0b1a1");
        assert!(asked.len() >= 6);
        for asked in asked {
            let question = crate::query::question(asked.name).unwrap();
            question.request(&asked.params, archive::Mode::Fresh).unwrap();
        }
        assert_eq!(hidden(&incidents).len(), 3);
    }
}
