//! Order, number, form and size of lines.

use std::collections::HashMap;

use serde_json::Value;

use super::{FORMATS, bytes, records, small, text};
use crate::{CLUSTERS_MAX, Config, EVENTS_MIN, Format, Generator, SERVICES_MAX, TrafficError};

const DEFAULT_KEYS: &str = "authority,bytes_received,bytes_sent,connection_termination_details,\
downstream_local_address,downstream_remote_address,duration,method,path,protocol,request_id,\
requested_server_name,response_code,response_code_details,response_flags,route_name,start_time,\
upstream_cluster,upstream_host,upstream_local_address,upstream_service_time,\
upstream_transport_failure_reason,user_agent,x_forwarded_for";

/// The keys of `captured/envoy-1.40.0/out_ext.log`.
const CAPTURED_KEYS: &str = "access_log_type,bytes_received,connection_id,connection_termination_details,\
downstream_local_uri_san,downstream_peer_cert_v_end,downstream_peer_fingerprint_256,downstream_peer_serial,\
downstream_peer_subject,downstream_peer_uri_san,downstream_tls_cipher,downstream_tls_version,\
downstream_transport_failure_reason,duration,filter_chain,grpc_status,jwt_payload,jwt_sub,kind,listener,\
method,net_rbac_meta,node,path_nq,protocol,rbac_meta,requested_server_name,response_code,\
response_code_details,response_flags,response_flags_long,start_us,stream_id,trace_id,traceparent,\
upstream_peer_uri_san,upstream_tls_version,upstream_transport_failure_reason,xfcc";

fn extended_keys() -> Vec<&'static str> {
    let mut keys: Vec<&str> = DEFAULT_KEYS.split(',').chain(CAPTURED_KEYS.split(',')).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Top-level keys in the order of the text, which a parsed map would not keep.
fn keys_in_order(line: &str) -> Vec<String> {
    let (mut keys, mut depth, mut rest) = (Vec::new(), 0, line);
    while let Some(byte) = rest.bytes().next() {
        let mut taken = 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let string = values.next().unwrap().unwrap();
                taken = values.byte_offset();
                if depth == 1 && rest[taken..].starts_with(':') {
                    keys.push(string);
                }
            }
            _ => {}
        }
        rest = &rest[taken..];
    }
    keys
}

#[test]
fn same_seed_gives_the_same_bytes_and_another_seed_others() {
    for format in FORMATS {
        let once = bytes(small(format));
        assert!(once == bytes(small(format)), "{format:?}");
        assert!(once != bytes(Config { seed: 43, ..small(format) }), "{format:?}");
    }
}

#[test]
fn lines_are_as_many_as_asked_for() {
    let shapes = [
        Config::default(),
        Config { events: EVENTS_MIN, ..Config::default() },
        Config { events: EVENTS_MIN + 1, days: 400, clusters: CLUSTERS_MAX, ..Config::default() },
        Config {
            events: 12_345,
            days: 30,
            clusters: CLUSTERS_MAX,
            services: SERVICES_MAX,
            namespaces: 64,
            ..Config::default()
        },
        Config { events: 5_000, clusters: 1, services: 16, namespaces: 3, ..Config::default() },
    ];
    for shape in shapes {
        for format in FORMATS {
            let config = Config { format, ..shape.clone() };
            let mut generator = Generator::new(config.clone()).unwrap();
            let (mut out, mut lines) = (Vec::new(), 0);
            while generator.next_line(&mut out).is_some() {
                lines += 1;
                out.clear();
            }
            assert_eq!(lines, config.events, "{config:?}");
            assert_eq!(generator.next_line(&mut out), None);
            assert!(out.is_empty());
        }
    }
}

#[test]
fn every_line_has_the_keys_of_its_format_in_envoys_order() {
    let extended = extended_keys();
    assert_eq!(extended.len(), 53);
    let default: Vec<&str> = DEFAULT_KEYS.split(',').collect();
    for format in FORMATS {
        let mut extended_count = 0;
        for line in String::from_utf8(bytes(small(format))).unwrap().lines() {
            let keys = keys_in_order(line);
            let is_extended = keys.len() == extended.len();
            extended_count += usize::from(is_extended);
            assert!(keys == if is_extended { &extended[..] } else { &default[..] }, "{line}");
        }
        match format {
            Format::IstioDefault => assert_eq!(extended_count, 0),
            Format::Extended => assert_eq!(extended_count, 20_000),
            Format::Mixed => assert!((8_000..12_000).contains(&extended_count), "{extended_count}"),
        }
    }
}

#[test]
fn values_have_envoys_types() {
    let numbers = ["bytes_received", "bytes_sent", "duration", "response_code"];
    for (_, record) in records(small(Format::Extended)) {
        assert!(numbers.iter().all(|key| record[*key].is_u64()), "{record}");
        assert!(record["connection_id"].is_u64(), "{record}");
        let time = &record["upstream_service_time"];
        assert!(
            time.is_null() || text(&record, "upstream_service_time").parse::<u64>().is_ok(),
            "{record}"
        );
        assert!(record["rbac_meta"].is_null() || record["rbac_meta"].is_object());
        assert!(
            record["jwt_payload"].is_null() || record["jwt_payload"]["sub"] == record["jwt_sub"]
        );
        assert_eq!(text(&record, "start_time").len(), 24);
        assert_eq!(record["start_us"].as_str().unwrap().len(), 17);
        let tcp = record["method"].is_null() && record["access_log_type"] == "TcpConnectionEnd";
        assert!(
            !tcp || (record["response_code"] == 0
                && record["path"].is_null()
                && record["protocol"].is_null())
        );
    }
}

#[test]
fn default_records_have_the_size_of_real_ones() {
    let mean =
        |format| bytes(Config { events: 100_000, format, ..Config::default() }).len() / 100_000;
    let default = mean(Format::IstioDefault);
    assert!((850..=950).contains(&default), "{default}");
    let extended = mean(Format::Extended);
    assert!((1_700..=2_200).contains(&extended), "{extended}");
}

#[test]
fn times_stay_within_the_days_and_nearly_in_order() {
    let config = Config { days: 2, ..small(Format::IstioDefault) };
    let mut latest_end = 0;
    for (_, record) in records(config) {
        let start = text(&record, "start_time");
        assert!(("2026-11-02T00:00:00.000Z".."2026-11-04").contains(&start), "{start}");
        let end = millis(start) + record["duration"].as_u64().unwrap();
        assert!(end + 402 > latest_end, "{record}");
        latest_end = latest_end.max(end);
    }
}

/// Milliseconds since the first of the month.
fn millis(time: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| time[range].parse::<u64>().unwrap();
    ((number(8..10) * 24 + number(11..13)) * 60 + number(14..16)) * 60_000
        + number(17..19) * 1_000
        + number(20..23)
}

#[test]
fn load_follows_the_hours() {
    let mut hours = HashMap::<String, u32>::new();
    for (_, record) in records(Config { clusters: 1, ..small(Format::IstioDefault) }) {
        *hours.entry(text(&record, "start_time")[11..13].to_owned()).or_default() += 1;
    }
    assert!(hours["18"] > 3 * hours["02"], "{hours:?}");
}

#[test]
fn calls_have_two_records_that_share_request_id_and_connection() {
    let records = records(small(Format::IstioDefault));
    let key = |record: &Value, address: &str| {
        (
            text(record, "request_id").to_owned(),
            text(record, address).to_owned(),
            text(record, "path").to_owned(),
        )
    };
    let mut clients = HashMap::new();
    for (_, record) in &records {
        if text(record, "upstream_cluster").starts_with("outbound")
            && !record["upstream_local_address"].is_null()
        {
            clients.insert(key(record, "upstream_local_address"), record);
        }
    }
    let (mut inner, mut paired, mut far) = (0, 0, 0);
    let forwarded = |record: &Value| !record["x_forwarded_for"].is_null();
    for (_, record) in &records {
        let server =
            text(record, "upstream_cluster").starts_with("inbound") && record["method"].is_string();
        if server && !forwarded(record) {
            inner += 1;
            paired += usize::from(clients.contains_key(&key(record, "downstream_remote_address")));
            far += usize::from(text(record, "downstream_remote_address").contains(".0.10:"));
        }
    }
    assert!(inner > 4_000 && far > 20, "{inner} {far}");
    // All but calls through an east-west gateway and those of the stolen identity.
    let stolen = crate::incidents(&small(Format::IstioDefault))[0].count("all").unwrap();
    assert_eq!(paired as u64, inner as u64 - far as u64 - stolen);
}

#[test]
fn outcomes_are_mostly_good_with_every_kind_of_trouble() {
    let records = records(Config { events: 100_000, ..small(Format::Extended) });
    let share = |want: &dyn Fn(&Value) -> bool| records.iter().filter(|(_, r)| want(r)).count();
    let details = |prefix: &'static str| {
        share(&move |r| text(r, "response_code_details").starts_with(prefix))
    };
    let ok = share(&|r| r["response_code"].as_u64().is_some_and(|code| (200..400).contains(&code)));
    assert!((85_000..98_000).contains(&ok), "{ok}");
    for prefix in [
        "jwt_authn_access_denied{Jwt_is_expired}",
        "rbac_access_denied_matched_policy[none]",
        "rbac_access_denied_matched_policy[ns[",
        "local_rate_limited",
        "filter_chain_not_found",
        "no_healthy_upstream",
        "response_timeout",
        "downstream_remote_disconnect",
        "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error",
        "upstream_reset_before_response_started{connection_termination}",
    ] {
        assert!((1..3_000).contains(&details(prefix)), "{prefix}: {}", details(prefix));
    }
    // A gRPC denial answers 200; a TCP denial has no status.
    assert!(share(&|r| r["grpc_status"] == "PermissionDenied" && r["response_code"] == 200) > 0);
    assert!(
        share(&|r| text(r, "connection_termination_details").starts_with("rbac_access_denied")) > 0
    );
}

#[test]
fn nonsense_is_refused_with_the_field_and_its_limits() {
    let check = |config: Config, expected: &str| {
        assert_eq!(
            Generator::new(config.clone()).err().map(|error| error.to_string()).as_deref(),
            Some(expected)
        );
        assert!(crate::incidents(&config).is_empty());
    };
    let config = Config::default;
    check(Config { events: 10, ..config() }, "events is 10, must be 1000 to 100000000000");
    check(Config { days: 0, ..config() }, "days is 0, must be 1 to 3660");
    check(Config { clusters: 0, ..config() }, "clusters is 0, must be 1 to 15");
    check(Config { services: 401, ..config() }, "services is 401, must be 16 to 400");
    check(Config { namespaces: 2, ..config() }, "namespaces is 2, must be 3 to 24");
    let start_micros = config().start_micros + 1;
    check(
        Config { start_micros, ..config() },
        "start_micros is 1793577600000001, must be a midnight UTC between 1970 and 2100",
    );
    assert_eq!(
        Generator::new(Config { start_micros: -1, ..config() }).err(),
        Some(TrafficError::Start { start_micros: -1 })
    );
}

#[test]
fn the_mesh_has_as_many_parts_as_asked_for() {
    let config =
        Config { events: 60_000, clusters: 3, services: 120, namespaces: 20, ..Config::default() };
    let generator = Generator::new(config.clone()).unwrap();
    assert_eq!(generator.clusters(), ["prod-eu-1", "prod-us-1", "prod-ap-1"]);
    let (mut services, mut clusters) = (HashMap::<String, u32>::new(), [0; 3]);
    for (cluster, record) in records(config) {
        clusters[cluster] += 1;
        if let Some(host) = text(&record, "upstream_cluster").strip_prefix("outbound|") {
            *services.entry(host.to_owned()).or_default() += 1;
        }
    }
    assert!(clusters.iter().all(|&count| count > 6_000), "{clusters:?}");
    let mut namespaces: Vec<&str> =
        services.keys().filter_map(|host| host.split('.').nth(1)).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    assert_eq!(namespaces.len(), 20, "{namespaces:?}");
    assert!(services.len() >= 110, "{}", services.len());
}
