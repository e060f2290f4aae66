//! Addresses of an Envoy record: who connected to whom, seen from which side.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::consul;
use super::fill::Fill;
use super::keys as k;
use crate::parse::event::Row;
use crate::parse::fields as f;
use crate::parse::istio::{self, Direction};
use crate::parse::json::Kind;

/// What later steps need of the addresses.
pub(super) struct Network {
    pub(super) direction: Option<Direction>,
    /// The record names things in Istio's way.
    pub(super) is_istio: bool,
    /// The record names things in Consul's way. This goes before Istio's.
    pub(super) is_consul: bool,
}

/// An `ip:port` text.
pub(super) struct Address<'a> {
    /// The address in canonical text.
    pub(super) ip: Cow<'a, [u8]>,
    pub(super) port: u16,
    /// `ip` and `port` print as the text they were read from.
    pub(super) exact: bool,
}

/// Splits `ip:port`; `None` for anything else, as `unix://…`.
pub(super) fn split_address(text: &[u8]) -> Option<Address<'_>> {
    let colon = text.iter().rposition(|&byte| byte == b':')?;
    let (host, port) = (&text[..colon], &text[colon + 1..]);
    let canonical_port = port == b"0" || !port.starts_with(b"0");
    let port = port_number(port)?;
    let bracketed = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    if let Some(inside) = bracketed {
        let ip = std::str::from_utf8(inside).ok()?.parse::<Ipv6Addr>().ok()?.to_string();
        let exact = canonical_port && ip.as_bytes() == inside;
        return Some(Address { ip: Cow::Owned(ip.into_bytes()), port, exact });
    }
    if !is_ipv4(host) {
        return None;
    }
    Some(Address { ip: Cow::Borrowed(host), port, exact: canonical_port })
}

/// A port's number.
fn port_number(digits: &[u8]) -> Option<u16> {
    let first = digits.first().filter(|byte| byte.is_ascii_digit())?;
    digits[1..].iter().try_fold(u16::from(first - b'0'), |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether a text is an IPv4 address in its only form: four numbers below 256 without leading
/// zeros.
fn is_ipv4(text: &[u8]) -> bool {
    let (mut dots, mut digits, mut number) = (0, 0, 0u16);
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                if digits > 0 && number == 0 {
                    return false;
                }
                number = number * 10 + u16::from(byte - b'0');
                digits += 1;
                if number > 255 {
                    return false;
                }
            }
            b'.' if digits > 0 && dots < 3 => (dots, digits, number) = (dots + 1, 0, 0),
            _ => return false,
        }
    }
    dots == 3 && digits > 0
}

impl<R: Row> Fill<'_, R> {
    /// Fills the callee's addresses, cluster, direction and the services they name.
    pub(super) fn network(&mut self) -> Network {
        let cluster_text = self.text(k::UPSTREAM_CLUSTER);
        let cluster = cluster_text.as_deref().and_then(istio::cluster);
        let direction = cluster
            .and_then(|cluster| cluster.direction)
            .or_else(|| cluster_text.as_deref().and_then(consul::direction));
        if let Some(direction) = direction {
            self.columns.text(f::DIRECTION, direction.as_str().as_bytes());
            self.columns.text(f::REPORTER, direction.reporter().as_bytes());
        }
        let sni = self.text(k::REQUESTED_SERVER_NAME);
        let sni_host = sni.as_deref().and_then(istio::sni_host);
        let authority = match direction {
            Some(Direction::Inbound) => self.text(k::AUTHORITY),
            _ => None,
        };
        let named = [cluster_text.as_deref(), sni.as_deref()];
        let is_consul = named[0].is_some_and(|name| consul::direction(name).is_some())
            || named[1].is_some_and(consul::is_name);
        let service = cluster
            .and_then(|cluster| cluster.host)
            .or(sni_host)
            .or_else(|| authority.as_deref().map(without_port));
        let in_consul =
            if is_consul { named.into_iter().flatten().find_map(consul::service) } else { None };
        if let Some(service) = in_consul {
            self.columns.text(f::DST_SERVICE, service.name);
            self.columns.text(f::DST_NAMESPACE, service.namespace);
            self.columns.text(f::DST_CLUSTER, service.datacenter);
        } else if let Some(service) = service.filter(|service| !service.is_empty()) {
            self.columns.text(f::DST_SERVICE, service);
            if let Some(namespace) = istio::service_namespace(service) {
                self.columns.text(f::DST_NAMESPACE, namespace);
            }
        }
        let is_istio =
            cluster.is_some() || sni.as_deref().is_some_and(|sni| sni.starts_with(b"outbound_."));
        self.direct(k::UPSTREAM_CLUSTER, f::UPSTREAM_CLUSTER);
        self.direct(k::UPSTREAM_HOST, f::UPSTREAM_HOST);
        self.direct(k::REQUESTED_SERVER_NAME, f::TLS_SNI);
        self.callee(direction);
        Network { direction, is_istio, is_consul }
    }

    /// Envoy's own end of the upstream connection, whose port differs from one to the next.
    pub(super) fn upstream_local(&mut self) {
        self.direct(k::UPSTREAM_LOCAL_ADDRESS, f::UPSTREAM_LOCAL_ADDRESS);
    }

    /// The caller's address. Port 0 means that it came from a header, and is NULL.
    pub(super) fn caller(&mut self) {
        let remote = self.text(k::DOWNSTREAM_REMOTE_ADDRESS);
        match remote.as_deref().and_then(split_address) {
            Some(address) => {
                self.columns.text(f::SRC_IP, &address.ip);
                if address.port != 0 {
                    self.columns.int32(f::SRC_PORT, i32::from(address.port));
                }
                if !address.exact {
                    self.attribute(k::DOWNSTREAM_REMOTE_ADDRESS);
                }
            }
            None => self.attribute_unless_null(k::DOWNSTREAM_REMOTE_ADDRESS),
        }
    }

    /// The callee's address: where the caller connected to, or for the caller's own proxy the
    /// endpoint it chose.
    fn callee(&mut self, direction: Option<Direction>) {
        let local = self.text(k::DOWNSTREAM_LOCAL_ADDRESS);
        let upstream = self.text(k::UPSTREAM_HOST);
        let upstream_first = direction == Some(Direction::Outbound) && upstream.is_some();
        let from_local = !upstream_first && local.is_some();
        let address = if from_local { &local } else { &upstream };
        let split = address.as_deref().and_then(split_address);
        if let Some(address) = &split {
            self.columns.text(f::DST_IP, &address.ip);
            self.columns.int32(f::DST_PORT, i32::from(address.port));
        }
        let exact = split.as_ref().is_some_and(|address| address.exact);
        match (&local, from_local && exact) {
            (Some(_), true) => {}
            (Some(text), false) => self.columns.text(f::DOWNSTREAM_LOCAL_ADDRESS, text),
            // Rebuilding would take dst_ip and dst_port for it.
            (None, _) if !upstream_first && split.is_some() => {
                self.attribute(k::DOWNSTREAM_LOCAL_ADDRESS);
            }
            (None, _) if self.slot(k::DOWNSTREAM_LOCAL_ADDRESS).kind != Kind::Null => {
                self.attribute(k::DOWNSTREAM_LOCAL_ADDRESS);
            }
            (None, _) => {}
        }
    }
}

/// The authority without its port. Text with several colons is no `host:port` and stays whole.
fn without_port(authority: &[u8]) -> &[u8] {
    let Some(colon) = memchr::memrchr(b':', authority) else { return authority };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    let is_port = port.iter().all(u8::is_ascii_digit);
    let bracketed = host.starts_with(b"[") && host.ends_with(b"]");
    if is_port && (bracketed || !host.contains(&b':')) { host } else { authority }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn ipv4_addresses_are_those_of_the_standard_library() {
        let bytes =
            ["", "0", "00", "1", "10", "25", "255", "256", "300", "01", "9999", "a", "-1", " 1"];
        for first in bytes {
            for second in bytes {
                for text in [
                    format!("{first}.{second}.1.1"),
                    format!("1.1.{first}.{second}"),
                    format!("{first}.{second}.1"),
                    format!("1.{first}.{second}.1.1"),
                    format!("{first}{second}"),
                    format!("1.1.1.{first}."),
                ] {
                    assert_eq!(
                        is_ipv4(text.as_bytes()),
                        text.parse::<Ipv4Addr>().is_ok(),
                        "{text}"
                    );
                }
            }
        }
    }
}
