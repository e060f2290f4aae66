//! Values of control-plane logs: what counts as absent, numbers in quotes, addresses, ids.
//!
//! The rules are those of `tests/data/kubernetes/README.md`, 4 and 5: a text is absent if it is
//! missing, `null`, empty, `-` or no text; a whole number may stand in quotes.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use common::event::{Decision, DecisionSource, EventKind};

use crate::parse::event::{Event, Row};
use crate::parse::fields as f;
use crate::parse::json::{Kind, Scanner, Seen, Slot};
use crate::parse::time;
use crate::parse::ztunnel::values::is_ipv4;
use crate::reject::{Reason, Reject};

pub(in crate::parse) use crate::parse::json::keys;

/// What `parse_error` says of a key that stands twice.
pub(in crate::parse) const REPEATED: &[u8] = b"a key stands twice; the last value was read";

/// One object that was scanned, with its text.
#[derive(Debug, Clone, Copy)]
pub(in crate::parse) struct Object<'s, 'a> {
    pub(in crate::parse) scanner: &'s Scanner,
    pub(in crate::parse) text: &'a [u8],
}

impl<'s, 'a> Object<'s, 'a> {
    /// Scans a text that is one object.
    pub(in crate::parse) fn scan(
        scanner: &'s mut Scanner,
        text: &'a [u8],
        seen: Seen<'_>,
    ) -> Result<Self, Reject> {
        scanner.scan(text, seen)?;
        Ok(Self { scanner, text })
    }

    /// Scans an object inside another one. Where there is none it has no keys.
    pub(in crate::parse) fn nested(
        scanner: &'s mut Scanner,
        text: Option<&'a [u8]>,
        seen: Seen<'_>,
    ) -> Result<Self, Reject> {
        Self::scan(scanner, text.unwrap_or(b"{}"), seen)
    }

    pub(in crate::parse) fn slot(&self, key: usize) -> Slot {
        self.scanner.slot(key)
    }

    /// Whether the object has a key, whatever its value.
    pub(in crate::parse) fn has(&self, key: usize) -> bool {
        self.slot(key).kind != Kind::Missing
    }

    /// Whether a key this object is read by stands in it twice.
    pub(in crate::parse) fn repeated(&self) -> bool {
        self.scanner.repeated()
    }

    /// A text that is not absent.
    pub(in crate::parse) fn text(&self, key: usize) -> Option<Cow<'a, [u8]>> {
        self.slot(key).text(self.text).filter(|text| !is_absent(text))
    }

    /// A whole number, quoted or not.
    pub(in crate::parse) fn whole(&self, key: usize) -> Option<i64> {
        let slot = self.slot(key);
        match slot.kind {
            Kind::Number | Kind::Text => {
                let digits = slot.bytes(self.text);
                let begins = digits.first().is_some_and(|&b| b == b'-' || b.is_ascii_digit());
                begins.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
            }
            _ => None,
        }
    }

    /// `true` or `false`.
    pub(in crate::parse) fn boolean(&self, key: usize) -> Option<bool> {
        let slot = self.slot(key);
        (slot.kind == Kind::Bool).then(|| slot.bytes(self.text) == b"true")
    }

    /// The text of an object.
    pub(in crate::parse) fn object(&self, key: usize) -> Option<&'a [u8]> {
        self.beginning(key, b'{')
    }

    /// The text of an array.
    pub(in crate::parse) fn array(&self, key: usize) -> Option<&'a [u8]> {
        self.beginning(key, b'[')
    }

    fn beginning(&self, key: usize, first: u8) -> Option<&'a [u8]> {
        let slot = self.slot(key);
        let text = slot.bytes(self.text);
        (slot.kind == Kind::Nested && text.first() == Some(&first)).then_some(text)
    }

    /// A time in RFC 3339, in microseconds.
    pub(in crate::parse) fn time(&self, key: usize) -> Option<i64> {
        time::parse_rfc3339(&self.text(key)?)
    }
}

/// The spellings of "absent" that are text.
pub(in crate::parse) fn is_absent(text: &[u8]) -> bool {
    matches!(text, b"" | b"-")
}

/// Sets a text column, if there is a text.
pub(in crate::parse) fn put(event: &mut Event, column: usize, text: Option<&[u8]>) {
    if let Some(text) = text {
        event.text(column, text);
    }
}

/// Sets path and query of a request target: before and after its first `?`, not decoded.
pub(in crate::parse) fn put_target(event: &mut Event, target: &[u8]) {
    let (path, query) = split_target(target);
    event.text(f::URL_PATH, path);
    put(event, f::URL_QUERY, query);
}

/// Path and query of a request target.
pub(in crate::parse) fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}

/// Sets what happened, as this product and OCSF call it.
pub(in crate::parse) fn put_class(event: &mut Event, kind: EventKind, class: i32, activity: i32) {
    event.text(f::EVENT_KIND, kind.as_str().as_bytes());
    event.int32(f::OCSF_CLASS_UID, class);
    event.int32(f::OCSF_ACTIVITY_ID, activity);
}

/// Sets the decision, who decided, and the severity that follows from it unless it is set.
pub(in crate::parse) fn put_decision(
    event: &mut Event,
    decision: Decision,
    source: Option<DecisionSource>,
) {
    event.text(f::DECISION, decision.as_str().as_bytes());
    put(event, f::DECISION_SOURCE, source.map(|source| source.as_str().as_bytes()));
    let severity = match decision {
        Decision::Deny => 3,
        Decision::Error => 2,
        Decision::Allow | Decision::Unknown => 1,
    };
    event.int32(f::SEVERITY_ID, severity);
}

/// Marks an event whose record can be read in two ways.
pub(in crate::parse) fn put_ambiguous(event: &mut Event, why: &[u8]) {
    event.text(f::PARSE_STATUS, b"ambiguous");
    event.text(f::PARSE_ERROR, why);
}

/// A reject for want of a time; `expected` names the keys.
pub(in crate::parse) fn no_time(expected: &str, format: &'static str) -> Reject {
    let detail = format!("expected {expected} in RFC 3339, found none");
    Reject { format_guess: Some(format), ..Reject::new(Reason::NoEventTime, detail) }
}

/// A text in upper case.
pub(in crate::parse) fn upper(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if text.iter().any(u8::is_ascii_lowercase) {
        return Cow::Owned(text.to_ascii_uppercase());
    }
    text
}

/// A text in lower case.
pub(in crate::parse) fn lower(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if text.iter().any(u8::is_ascii_uppercase) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    text
}

/// Whether a text is a UUID in its usual form, of any case.
pub(in crate::parse) fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// An address a peer has.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::parse) struct Peer<'a> {
    /// Canonical text (RFC 5952); an IPv4-mapped address as IPv4.
    pub(in crate::parse) ip: Cow<'a, [u8]>,
    pub(in crate::parse) port: Option<u16>,
}

impl Peer<'_> {
    /// Sets the caller's address. Port 0 is no port.
    pub(in crate::parse) fn put_caller(&self, event: &mut Event) {
        event.text(f::SRC_IP, &self.ip);
        if let Some(port) = self.port.filter(|&port| port != 0) {
            event.int32(f::SRC_PORT, i32::from(port));
        }
    }
}

/// Reads `<ip>`, `[<ip>]`, `<IPv4>:<port>` or `[<IPv6>]:<port>`; `None` for anything else, as
/// addresses with a zone.
pub(in crate::parse) fn peer(text: &[u8]) -> Option<Peer<'_>> {
    if let Some((ip, port)) = crate::parse::ztunnel::values::host_port(text)
        && is_ipv4(ip)
    {
        return Some(Peer { ip: Cow::Borrowed(ip), port: Some(port) });
    }
    let text = std::str::from_utf8(text).ok().filter(|text| !text.contains('%'))?;
    let (ip, port) = match text.parse::<SocketAddr>() {
        Ok(address) => (address.ip(), Some(address.port())),
        Err(_) => {
            let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            (inside.unwrap_or(text).parse().ok()?, None)
        }
    };
    let ip = match ip {
        // Read only in its canonical form, so the text is that form.
        IpAddr::V4(_) if !text.starts_with('[') => {
            Cow::Borrowed(text.split(':').next().unwrap_or(text).as_bytes())
        }
        _ => Cow::Owned(ip.to_canonical().to_string().into_bytes()),
    };
    Some(Peer { ip, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_canonical() {
        let check = |text: &str, ip: &str, port: Option<u16>| {
            let found = peer(text.as_bytes()).unwrap();
            assert_eq!((std::str::from_utf8(&found.ip).unwrap(), found.port), (ip, port), "{text}");
        };
        check("10.1.7.20:64015", "10.1.7.20", Some(64015));
        check("10.1.7.20", "10.1.7.20", None);
        check("[2001:DB8::0:7]:64015", "2001:db8::7", Some(64015));
        check("2001:DB8::0:7", "2001:db8::7", None);
        check("[2001:DB8::0:7]", "2001:db8::7", None);
        check("[::ffff:10.0.0.1]:80", "10.0.0.1", Some(80));
        check("::ffff:10.0.0.1", "10.0.0.1", None);
        let odd = [
            "",
            "@",
            "a:1",
            "10.0.0.1:",
            "10.0.0.01:1",
            "10.0.0.1:70000",
            "::1:x",
            "[fe80::1%2]:3",
        ];
        for text in odd {
            assert_eq!(peer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn uuids_and_targets() {
        assert!(is_uuid(b"e9ebc19f-d481-42b1-4871-4D298D3ACD5C"));
        for text in
            ["", "e9ebc19f-d481-42b1-4871-4d298d3acd5", "e9ebc19fxd481-42b1-4871-4d298d3acd5c"]
        {
            assert!(!is_uuid(text.as_bytes()), "{text}");
        }
        assert_eq!(split_target(b"/a?b?c"), (&b"/a"[..], Some(&b"b?c"[..])));
        assert_eq!(split_target(b"/a?"), (&b"/a"[..], Some(&b""[..])));
        assert_eq!(split_target(b"/a"), (&b"/a"[..], None));
    }
}
