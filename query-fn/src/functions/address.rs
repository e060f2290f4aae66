//! Addresses and networks. An IPv4 address that is written as IPv6, `::ffff:10.0.0.1`, is the IPv4
//! address, whichever way the other side is written.

use std::net::{IpAddr, Ipv6Addr};

use super::scalar::{Body, Definition, Kind, Takes};

const ADDRESS: Takes = Takes::Exactly(&[("address", Kind::Text)]);

/// Functions of this file.
pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "cidr_contains",
        takes: Takes::Exactly(&[("cidr", Kind::Text), ("address", Kind::Text)]),
        body: Body::Boolean(|row| {
            let network = Network::parse(row.text(0)?)?;
            Some(network.contains(address(row.text(1)?)?))
        }),
        says: "Whether a network in CIDR notation contains an address, IPv4 or IPv6",
        rewrite: None,
    },
    Definition {
        name: "ip_family",
        takes: ADDRESS,
        body: Body::Integer(|row| Some(if address(row.text(0)?)?.is_ipv4() { 4 } else { 6 })),
        says: "4 or 6: the version of IP that an address is of",
        rewrite: None,
    },
    Definition {
        name: "ip_is_private",
        takes: ADDRESS,
        body: Body::Boolean(|row| Some(is_private(address(row.text(0)?)?))),
        says: "Whether an address is for private use, by RFC 1918 or RFC 4193",
        rewrite: None,
    },
];

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// A network; what an address has behind the prefix is not looked at.
#[derive(Debug, Clone, Copy)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// `ADDRESS/PREFIX`; an address alone is a network of one.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { u32::BITS } else { u128::BITS };
        let prefix = match prefix {
            // `parse` would take a sign too.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            Some(_) => return None,
            None => width,
        };
        if prefix > width {
            return None;
        }
        Some(match (address, prefix.checked_sub(MAPPED_PREFIX)) {
            (IpAddr::V6(v6), Some(rest)) => match v6.to_ipv4_mapped() {
                Some(v4) => Self { address: v4.into(), prefix: rest },
                None => Self { address, prefix },
            },
            _ => Self { address, prefix },
        })
    }

    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(network), IpAddr::V4(other)) => {
                let differs = network.to_bits() ^ other.to_bits();
                differs.leading_zeros() >= self.prefix
            }
            (IpAddr::V6(network), IpAddr::V6(other)) => {
                let bits = |address: Ipv6Addr| address.to_bits();
                (bits(network) ^ bits(other)).leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

/// Bits before the IPv4 address in an IPv6 address that is mapped from it.
const MAPPED_PREFIX: u32 = 96;
