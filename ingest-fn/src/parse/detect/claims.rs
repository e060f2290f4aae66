//! Which formats a JSON object can have, told from the names of its fields alone.
//!
//! Every detector of a JSON format asks for at least one field by its name, and a document of
//! several lines is told by the names of its fields. So one scan, whichever parser's it is, rules
//! out all formats none of whose fields are there; only the others need be asked.

use super::parsers::Parser;
use crate::parse::json::Scanner;

/// A set of formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Claims(u8);

impl Claims {
    /// Documents of several lines, and fields that a shipper adds to a record of any format.
    const ENVELOPE: Self = Self(1);
    const KUBERNETES: Self = Self(1 << 1);
    const CONSUL: Self = Self(1 << 2);
    const ZTUNNEL: Self = Self(1 << 3);
    const LINKERD: Self = Self(1 << 4);
    const HOOP: Self = Self(1 << 5);
    const ENVOY: Self = Self(1 << 6);
    const QUERY: Self = Self(1 << 7);

    /// Nothing is ruled out.
    pub(super) const ALL: Self = Self(u8::MAX);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The formats that ask for a field of this name.
    fn of_name(name: &[u8]) -> Self {
        match name {
            b"resourceLogs" | b"awslogs" | b"records" | b"kubernetes" | b"date" => Self::ENVELOPE,
            b"logEvents" => Self::ENVELOPE.and(Self::KUBERNETES),
            b"apiVersion" | b"auditID" | b"category" | b"protoPayload" => Self::KUBERNETES,
            b"payload" => Self::CONSUL,
            b"scope" => Self::ZTUNNEL,
            b"client.addr" | b"fields" => Self::LINKERD,
            b"session_id" | b"event_type" | b"actor_subject" | b"start_date" | b"data" => {
                Self::HOOP
            }
            b"response_flags" => Self::ENVOY,
            b"meshledger_query" => Self::QUERY,
            _ => Self::default(),
        }
    }

    /// The format of a parser; text has none.
    const fn of_parser(parser: Parser) -> Self {
        match parser {
            Parser::Kubernetes => Self::KUBERNETES,
            Parser::Consul => Self::CONSUL,
            Parser::Ztunnel => Self::ZTUNNEL,
            Parser::Linkerd => Self::LINKERD,
            Parser::Hoop => Self::HOOP,
            Parser::EnvoyJson => Self::ENVOY,
            Parser::Query => Self::QUERY,
            Parser::EnvoyText => Self(0),
        }
    }

    /// Whether a parser may have the record.
    pub(super) const fn may_be(self, parser: Parser) -> bool {
        self.0 & Self::of_parser(parser).0 != 0
    }

    /// Whether a parser may have the record, and nothing that is asked before it may.
    pub(super) const fn is_first(self, parser: Parser) -> bool {
        let own = Self::of_parser(parser).0;
        // The bits stand in the order in which formats are asked.
        self.may_be(parser) && self.0 & own.wrapping_sub(1) == 0
    }
}

/// The claims of the names that one scanner knows.
#[derive(Debug)]
pub(super) struct Names {
    claims: Vec<Claims>,
    /// Keys that claim something.
    some: u64,
}

impl Names {
    pub(super) fn of(scanner: &Scanner) -> Self {
        let name = |key: usize| Claims::of_name(scanner.name(key).as_bytes());
        let claims: Vec<Claims> = (0..scanner.len()).map(name).collect();
        let some = claims.iter().enumerate().filter(|(_, claims)| **claims != Claims::default());
        let some = some.fold(0, |mask, (key, _)| mask | 1 << key);
        Self { claims, some }
    }

    /// What the record claims that the scanner has scanned last.
    pub(super) fn read(&self, scanner: &Scanner, record: &[u8]) -> Claims {
        let mut all = Claims::default();
        let mut known = scanner.present() & self.some;
        while known != 0 {
            let key = known.trailing_zeros() as usize;
            all = all.and(self.claims.get(key).copied().unwrap_or(Claims::ALL));
            known &= known - 1;
        }
        for (name, _) in scanner.extras(record) {
            // With its quotes. What a name with an escape says is not worth finding out.
            let inside = name.get(1..name.len().saturating_sub(1)).unwrap_or_default();
            let claims = if memchr::memchr(b'\\', inside).is_some() {
                Claims::ALL
            } else {
                Claims::of_name(inside)
            };
            all = all.and(claims);
        }
        all
    }
}
