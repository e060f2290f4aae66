//! hoop.dev's security audit log and sessions, by the cases written from its source.

use std::fmt::Write as _;

use super::call::Call;

const PEOPLE: [(&str, &str, &str); 6] = [
    ("auth0|5f3a11c2", "alice@example.com", "Alice Doe"),
    ("auth0|6b1c22d3", "bob@example.com", "Bob Roe"),
    ("auth0|7c2d33e4", "carol@example.com", "Carol Poe"),
    ("auth0|8d3e44f5", "dave@example.com", "Dave Low"),
    ("auth0|9e4f5506", "erin@example.com", "Erin May"),
    ("auth0|af506617", "frank@example.com", "Frank Hay"),
];

/// Type, method, path, and what was sent.
const CHANGES: [(&str, &str, &str, &str, &str); 5] = [
    (
        "guardrails",
        "create",
        "POST",
        "/api/guardrails",
        "{\"name\":\"no-drop\",\"input\":{\"rules\":[{\"type\":\"deny_words_list\",\"words\":[\"DROP TABLE\"]}]},\"description\":\"\"}",
    ),
    (
        "connections",
        "update",
        "PUT",
        "/api/connections/orders-db",
        "{\"command\":[\"psql\"],\"secret\":\"[REDACTED]\"}",
    ),
    ("users", "update", "PATCH", "/api/users/", "{\"status\":\"active\"}"),
    ("data_masking", "delete", "DELETE", "/api/datamasking-rules/", "null"),
    ("user_groups", "create", "POST", "/api/users/groups", "{\"name\":\"dba\"}"),
];

/// One row of the audit log: 456 to 533 bytes in the cases.
pub(super) fn audit(out: &mut String, call: &Call<'_>) {
    let (subject, email, name) = call.one(&PEOPLE);
    let (resource, action, method, path, payload) = call.one(&CHANGES);
    let id = if path.ends_with('/') { call.uuid() } else { String::new() };
    let (status, is_ok, error) = match call.below(20) {
        0 => (403, false, "access denied"),
        1 => (422, false, "name is required"),
        _ => (if method == "POST" { 201 } else { 200 }, true, ""),
    };
    let _ = write!(
        out,
        "{{\"id\":\"{}\",\"org_id\":\"0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d\",\"actor_subject\":\"{subject}\",\
         \"actor_email\":\"{email}\",\"actor_name\":\"{name}\",\"created_at\":\"{}Z\",\
         \"resource_type\":\"{resource}\",\"action\":\"{action}\",\"http_method\":\"{method}\",\
         \"http_status\":{status},\"http_path\":\"{path}{id}\",\"client_ip\":\"{}\",\
         \"request_payload_redacted\":{payload},\"outcome\":{is_ok},\"error_message\":\"{error}\"}}",
        call.uuid(),
        call.time(3),
        call.caller().split(':').next().unwrap_or_default(),
    );
}

/// One session: 545 bytes in the cases, 650 with a review and 800 where guardrails blocked it.
pub(super) fn session(out: &mut String, call: &Call<'_>) {
    let (subject, email, name) = call.one(&PEOPLE);
    let connection = call.one(&["orders-db", "users-db", "payments-db", "search-db"]);
    let (mut review, mut blocked, mut code) = ("null".to_owned(), "[]", 0);
    match call.below(12) {
        0 => {
            blocked = "[{\"rule_name\":\"no-drop\",\"rule\":{\"type\":\"deny_words_list\",\"words\":[\"DROP TABLE\"]},\
                       \"direction\":\"input\",\"matched_words\":[\"DROP TABLE\"]}]";
            code = 254;
        }
        1..4 => {
            review = format!(
                "{{\"id\":\"{}\",\"type\":\"onetime\",\"status\":\"APPROVED\",\
                 \"review_groups_data\":[{{\"group\":\"dba\",\"status\":\"APPROVED\"}}]}}",
                call.uuid()
            );
        }
        _ => {}
    }
    let time = call.time(3);
    let _ = write!(
        out,
        "{{\"id\":\"{}\",\"user\":\"{email}\",\"user_id\":\"{subject}\",\"user_name\":\"{name}\",\
         \"identity_type\":\"user\",\"machine_identity_id\":null,\"type\":\"database\",\
         \"connection_subtype\":\"postgres\",\"connection\":\"{connection}\",\"resource_name\":\"{connection}\",\
         \"verb\":\"{}\",\"status\":\"done\",\"exit_code\":{code},\"start_date\":\"{time}Z\",\
         \"end_date\":\"{}Z\",\"correlation_id\":null,\"session_batch_id\":null,\"labels\":{{}},\
         \"metadata\":null,\"metrics\":{{\"data_masking\":{{\"total\":{}}}}},\"review\":{review},\
         \"guardrails_info\":{blocked},\"ai_analysis\":null}}",
        call.uuid(),
        call.one(&["exec", "connect"]),
        Call::later(&time, 200 + call.below(50_000)),
        call.below(3),
    );
}
