//! Numbers of the OCSF classes that several sources share.

/// The activity of an HTTP method, class 4002 (HTTP Activity); 99 for any other.
pub(super) fn http_activity(method: Option<&[u8]>) -> i32 {
    match method {
        Some(b"CONNECT") => 1,
        Some(b"DELETE") => 2,
        Some(b"GET") => 3,
        Some(b"HEAD") => 4,
        Some(b"OPTIONS") => 5,
        Some(b"POST") => 6,
        Some(b"PUT") => 7,
        Some(b"TRACE") => 8,
        Some(b"PATCH") => 9,
        _ => 99,
    }
}
