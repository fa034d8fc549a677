//! The addresses to which requests may be sent. An organization chooses the host, and so whoever may change its settings:
//! a request must not reach what only this function's network can reach.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use platform::config::{self, ConfigError};
use tokio::{net::lookup_host, time::timeout};

/// The port of all requests.
const PORT: u16 = 443;

/// The time in which a host's addresses must be known.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

/// The addresses of hosts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    /// Addresses for a local stack, instead of those of DNS.
    own: BTreeMap<String, SocketAddr>,
}

/// The way to a host, which was resolved once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Over TLS to one of these public addresses.
    Public(Vec<SocketAddr>),
    /// Without TLS, to a receiver of a local stack.
    Local(SocketAddr),
}

/// The reason why a host has no way to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWay {
    /// An address that no request may be sent to.
    #[error(transparent)]
    Refused(#[from] RefusedAddress),
    /// DNS has no address.
    #[error("the name of the host leads to no address")]
    Unknown,
}

/// An address that no request may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of the host leads to {0}, which is not an address of the public internet; nothing was sent")]
pub(crate) struct RefusedAddress(IpAddr);

impl Hosts {
    /// Reads `WEBHOOK_HOSTS`: pairs such as `hooks.example.com=127.0.0.1:8080`, separated by commas; none on AWS.
    ///
    /// # Errors
    /// When the variable is something else.
    pub(crate) fn from_env() -> Result<Self, ConfigError> {
        const NAME: &str = "WEBHOOK_HOSTS";
        let invalid = ConfigError::Invalid { name: NAME, expected: "pairs of a host and its address" };
        let Some(text) = config::optional(NAME) else { return Ok(Self::default()) };
        let pair = |pair: &str| {
            let (host, address) = pair.split_once('=')?;
            Some((host.to_owned(), address.parse().ok()?))
        };
        let own = text.split(',').map(pair).collect::<Option<_>>().ok_or(invalid)?;
        Ok(Self { own })
    }

    /// Resolves a host, once. If any of its addresses is not public, none is used: a name that leads to both is no
    /// accident.
    pub(super) async fn way_to(&self, host: &str) -> Result<Way, NoWay> {
        if let Some(address) = self.own.get(host) {
            if address.ip().is_loopback() {
                return Ok(Way::Local(*address));
            }
            check(address.ip())?;
            return Ok(Way::Public(vec![*address]));
        }
        let found = timeout(LOOKUP_TIMEOUT, lookup_host((host, PORT))).await;
        let addresses: Vec<SocketAddr> = found.map_err(|_| NoWay::Unknown)?.map_err(|_| NoWay::Unknown)?.collect();
        if addresses.is_empty() {
            return Err(NoWay::Unknown);
        }
        for address in &addresses {
            check(address.ip())?;
        }
        Ok(Way::Public(addresses))
    }
}

fn check(ip: IpAddr) -> Result<(), RefusedAddress> {
    let is_public = match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    };
    if is_public { Ok(()) } else { Err(RefusedAddress(ip)) }
}

/// Reports whether an address is of the public internet, by IANA's registry of special-purpose addresses. The same
/// function of the standard library is not stable.
const fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        // This network, private, shared (carrier-grade NAT), loopback, link-local with the metadata services.
        [0 | 10 | 127, ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..]
        // Protocol assignments, documentation, 6to4 relays, benchmarks, multicast, reserved and broadcast.
        | [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [224..=255, ..]
    )
}

/// Reports whether an address is global unicast, and no way to an address of version 4. So it is neither loopback,
/// link-local, unique local, multicast, mapped (`::ffff:0:0/96`), nor of NAT64 (`64:ff9b::/96`), which are outside of
/// `2000::/3`.
const fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    match first {
        // Protocol assignments with Teredo; documentation.
        0x2001 => second > 0x01ff && second != 0x0db8,
        // 6to4, and the second prefix of documentation.
        0x2002 => false,
        0x3fff => second > 0x0fff,
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_public(text: &str) -> bool {
        check(text.parse().unwrap()).is_ok()
    }

    #[test]
    fn only_addresses_of_the_public_internet_are_reached() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "3fff:1000::1",
        ] {
            assert!(is_public(public), "{public}");
        }
        for refused in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            // The metadata services of clouds, and the task and pod credentials of AWS.
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a9fe:a9fe",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:10::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(refused), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_local_stack_reaches_its_own_receiver_and_no_other_private_address() {
        let own = [
            ("hooks.example.com", "127.0.0.1:8080"),
            ("metadata.example.com", "169.254.169.254:80"),
            ("public.example.com", "1.1.1.1:443"),
        ];
        let own = own.map(|(host, address)| (host.to_owned(), address.parse().unwrap()));
        let hosts = Hosts { own: own.into() };
        assert_eq!(hosts.way_to("hooks.example.com").await.unwrap(), Way::Local("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(
            hosts.way_to("public.example.com").await.unwrap(),
            Way::Public(vec!["1.1.1.1:443".parse().unwrap()])
        );
        let refused = hosts.way_to("metadata.example.com").await.unwrap_err();
        assert!(matches!(refused, NoWay::Refused(_)) && refused.to_string().contains("169.254.169.254"), "{refused}");
        // As on AWS: what the system's resolver says is checked all the same.
        let refused = Hosts::default().way_to("localhost").await.unwrap_err();
        assert!(matches!(refused, NoWay::Refused(_)), "{refused}");
    }
}
