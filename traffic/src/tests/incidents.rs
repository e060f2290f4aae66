//! What is said to be hidden is what a scan of the JSON finds.

use std::collections::HashSet;

use serde_json::Value;

use super::{FORMATS, records, text};
use crate::{Config, Format, Generator, Incident, IncidentKind, incidents};

fn shapes() -> Vec<Config> {
    let mut shapes = Vec::new();
    for format in FORMATS {
        shapes.push(Config { events: 20_000, format, ..Config::default() });
        shapes.push(Config { events: 1_000, format, seed: 7, ..Config::default() });
        shapes.push(Config { events: 10_000, format, days: 7, clusters: 3, ..Config::default() });
        shapes.push(Config {
            events: 5_000,
            format,
            clusters: 1,
            services: 16,
            namespaces: 3,
            ..Config::default()
        });
    }
    shapes
}

fn find(incidents: &[Incident], kind: IncidentKind) -> &Incident {
    incidents.iter().find(|incident| incident.kind == kind).unwrap()
}

fn time(micros: i64) -> String {
    let mut out = Vec::new();
    crate::write::time(&mut out, micros);
    String::from_utf8(out).unwrap()
}

/// Counts records, each of which must lie in the incident's window.
fn counted(incident: &Incident, records: &[(usize, Value)], want: impl Fn(&Value) -> bool) -> u64 {
    let window = time(incident.start_micros)..time(incident.end_micros);
    let found = records.iter().map(|(_, record)| record).filter(|record| want(record));
    found
        .inspect(|r| assert!(window.contains(&text(r, "start_time").to_owned()), "{window:?} {r}"))
        .count() as u64
}

fn check(incident: &Incident, name: &str, found: u64) {
    assert_eq!(incident.count(name), Some(found), "{name} of {incident:?}");
}

#[test]
fn a_scan_finds_the_stolen_identity() {
    for config in shapes() {
        let (incidents, records) = (incidents(&config), records(config));
        let incident = find(&incidents, IncidentKind::StolenIdentity);
        let from = |r: &Value| {
            let address = text(r, "downstream_remote_address").split(':').next().unwrap();
            incident.source_addresses.iter().any(|source| source == address)
        };
        let details = |r: &Value| text(r, "response_code_details").to_owned();
        let policy = format!("rbac_access_denied_matched_policy[{}]", incident.policies[0]);
        let allowed =
            |r: &Value| from(r) && details(r) == "via_upstream" && r["response_code"] == 200;
        let count = |want: &dyn Fn(&Value) -> bool| counted(incident, &records, want);
        check(incident, "all", count(&from));
        check(
            incident,
            "denied",
            count(&|r| from(r) && details(r).starts_with("rbac_access_denied")),
        );
        check(incident, "denied_payments", count(&|r| details(r) == policy));
        check(incident, "denied_users", count(&|r| from(r) && details(r).ends_with("[none]")));
        check(incident, "allowed", count(&allowed));
        check(
            incident,
            "allowed_payments",
            count(&|r| allowed(r) && text(r, "path").starts_with("/admin/export?")),
        );
        check(
            incident,
            "allowed_users",
            count(&|r| allowed(r) && text(r, "path").ends_with("/cards")),
        );
        assert_eq!(incident.source_addresses.len(), incident.clusters.len());
        assert_eq!(incident.request_ids.len() as u64, incident.count("all").unwrap());
        assert!(
            records
                .iter()
                .filter(|(_, r)| from(r))
                .all(|(_, r)| incident.request_ids.contains(&text(r, "request_id").to_owned()))
        );
    }
}

#[test]
fn the_stolen_identity_shows_only_where_the_thief_used_it() {
    for format in [Format::Extended, Format::Mixed] {
        let config = Config { events: 20_000, format, ..Config::default() };
        let (incidents, records) = (incidents(&config), records(config));
        let incident = find(&incidents, IncidentKind::StolenIdentity);
        let principal = &incident.principals[0];
        assert_eq!(principal, "spiffe://prod-eu-1.example/ns/shop/sa/recommendations");
        let called = |r: &Value, service: &str| text(r, "node").starts_with(&format!("{service}-"));
        let found = counted(incident, &records, |r| {
            text(r, "downstream_peer_uri_san") == principal
                && (called(r, "payments") || called(r, "users"))
        });
        check(incident, "all", found);
        let own = records.iter().filter(|(_, r)| {
            text(r, "downstream_peer_uri_san") == principal && called(r, "catalog")
        });
        assert!(own.count() > 20);
    }
}

#[test]
fn a_scan_finds_the_policy_mistake_and_nothing_of_the_pair_got_through() {
    for config in shapes() {
        let (incidents, records) = (incidents(&config), records(config));
        let incident = find(&incidents, IncidentKind::PolicyMistake);
        assert_eq!(incident.policies, ["ns[shop]-policy[frontend-allow]-rule[0]"]);
        let details = format!("rbac_access_denied_matched_policy[{}]", incident.policies[0]);
        let denied = counted(incident, &records, |r| {
            text(r, "response_code_details") == details
                && text(r, "upstream_cluster").starts_with("inbound|")
        });
        check(incident, "denied", denied);
        let refused = records.iter().filter(|(_, r)| text(r, "response_code_details") == details);
        let ids: HashSet<&str> = refused.map(|(_, r)| text(r, "request_id")).collect();
        assert!(incident.request_ids.iter().all(|id| ids.contains(id.as_str())));
        let catalog = "outbound|8080||catalog.shop.svc.cluster.local";
        let callers = counted(incident, &records, |r| {
            text(r, "upstream_cluster") == catalog
                && r["response_code"] == 403
                && text(r, "response_code_details") == "via_upstream"
                && ids.contains(text(r, "request_id"))
        });
        check(incident, "refused_callers", callers);
        assert!(denied >= 8);
    }
}

#[test]
fn a_scan_finds_the_expired_certificate_in_one_cluster() {
    for config in shapes() {
        let listeners = config.format != Format::IstioDefault;
        let (incidents, records) = (incidents(&config), records(config));
        let incident = find(&incidents, IncidentKind::CertificateExpiry);
        let reason = &incident.failure_reasons[0];
        let details =
            format!("upstream_reset_before_response_started{{remote_connection_failure|{reason}}}");
        let failed = counted(incident, &records, |r| {
            text(r, "upstream_transport_failure_reason") == reason
                && text(r, "response_code_details") == details
                && r["response_flags"] == "UF"
                && r["response_code"] == 503
        });
        check(incident, "failed", failed);
        let handshakes = counted(incident, &records, |r| {
            text(r, "downstream_transport_failure_reason")
                .contains("SSLV3_ALERT_CERTIFICATE_EXPIRED")
                && r["access_log_type"] == "NotSet"
                && r["response_code"] == 0
        });
        check(incident, "handshakes", handshakes);
        assert_eq!(handshakes > 0, listeners);
        assert_eq!(incident.failure_reasons.len(), 1 + usize::from(listeners));
        let expired =
            |r: &Value| text(r, "response_code_details").contains("certificate_has_expired");
        assert!(records.iter().all(|(cluster, r)| !expired(r) || *cluster == 0));
        assert_eq!(incident.clusters, ["prod-eu-1"]);
    }
}

#[test]
fn windows_hold_the_pairs_other_calls_too() {
    // Outside the window the pair's calls succeed; within it, none does.
    let config = Config { events: 100_000, ..Config::default() };
    let (incidents, records) = (incidents(&config), records(config));
    let incident = find(&incidents, IncidentKind::PolicyMistake);
    let (from, to) = (time(incident.start_micros), time(incident.end_micros - 10_000_000));
    let frontends: Vec<&str> = records
        .iter()
        .filter(|(_, r)| !r["x_forwarded_for"].is_null() && r["authority"] == "www.shop.example")
        .filter(|(_, r)| text(r, "upstream_cluster").starts_with("inbound"))
        .map(|(_, r)| text(r, "downstream_local_address").split(':').next().unwrap())
        .collect();
    let frontends: HashSet<&str> = frontends.into_iter().collect();
    let (mut inside, mut outside) = (0, 0);
    for (_, r) in &records {
        let caller = text(r, "downstream_remote_address").split(':').next().unwrap();
        let pair = text(r, "upstream_cluster").contains("outbound|8080||catalog.")
            && frontends.contains(caller);
        let start = text(r, "start_time");
        // A journey that began just before the window may reach the catalog within it.
        let settled = millis_after(&from, start) > 2_000 && start < to.as_str();
        if pair && settled {
            inside += 1;
            assert_eq!(r["response_code"], 403, "{r}");
        } else if pair && !(from.as_str()..time(incident.end_micros).as_str()).contains(&start) {
            outside += 1;
            assert_ne!(r["response_code"], 403, "{r}");
        }
    }
    assert!(inside > 8 && outside > 1_000, "{inside} {outside}");
}

/// Milliseconds from one time of a day to another, 0 if it is earlier.
fn millis_after(from: &str, time: &str) -> u64 {
    let of_day = |t: &str| {
        let number = |range: std::ops::Range<usize>| t[range].parse::<u64>().unwrap();
        (number(11..13) * 60 + number(14..16)) * 60_000 + number(17..19) * 1_000 + number(20..23)
    };
    of_day(time).saturating_sub(of_day(from))
}

#[test]
fn the_generator_tells_the_same_as_its_configuration() {
    for config in shapes() {
        assert_eq!(Generator::new(config.clone()).unwrap().incidents(), incidents(&config));
    }
}
