//! Records to ingest, written out where a test needs to know exactly what it gave.

/// A well-formed Istio record. `id` becomes its `request_id`, by which a test finds it again.
pub fn good(id: &str) -> String {
    at(id, "2026-11-02T10:15:30.123Z")
}

/// A well-formed Istio record of a given start.
pub fn at(id: &str, start_time: &str) -> String {
    format!(
        r#"{{"authority":"reviews:9080","bytes_received":0,"bytes_sent":358,"connection_termination_details":null,"downstream_local_address":"10.1.2.3:9080","downstream_remote_address":"10.1.7.9:43612","duration":15,"method":"GET","path":"/reviews/7?lang=en","protocol":"HTTP/1.1","request_id":"{id}","requested_server_name":"outbound_.9080_._.reviews.shop.svc.cluster.local","response_code":200,"response_code_details":"via_upstream","response_flags":"-","route_name":"default","start_time":"{start_time}","upstream_cluster":"inbound|9080||","upstream_host":"10.1.2.3:9080","upstream_local_address":"127.0.0.6:37685","upstream_service_time":"14","upstream_transport_failure_reason":null,"user_agent":"curl/8.5.0","x_forwarded_for":null}}"#
    )
}

/// `count` well-formed records, one a line, with ids `<prefix>-0` and so on.
pub fn lines(prefix: &str, count: usize) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..count {
        text.push_str(&good(&format!("{prefix}-{number}")));
        text.push('\n');
    }
    text.into_bytes()
}
