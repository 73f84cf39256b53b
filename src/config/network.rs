//! How networks are made on a host, and how a host's part of them is joined to others'.

use crate::cloud::segment::Mtus;
use crate::error::{Error, Result};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// What packing a frame for another host takes of a packet: VXLAN over UDP over IPv4, or over IPv6.
const OVERHEAD: u16 = 50;
const OVERHEAD_IPV6: u16 = 70;
/// Every host must take whole packets of this size.
pub const SMALLEST_MTU: u16 = 576;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// `linux` (bridges and namespaces, needs root) or `simulated`; empty: as the hypervisor is.
    pub fabric: String,
    /// The range of the shared network that `init` makes.
    pub private_range: Ipv4Net,
    /// What goes in one packet between hosts.
    pub mtu: u16,
    /// Where other hosts reach this one, with what they have for networks that both carry; empty: networks end here.
    pub tunnel_address: String,
    /// Bridges of the operator's that lead to networks of theirs, by the names of these networks.
    pub bridges: BTreeMap<String, String>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            fabric: String::new(),
            private_range: Ipv4Net::new_assert(Ipv4Addr::new(10, 20, 0, 0), 24),
            mtu: 1500,
            tunnel_address: String::new(),
            bridges: BTreeMap::new(),
        }
    }
}

impl Network {
    /// # Errors
    /// `BadRequest` for what is no address of a host.
    pub fn tunnel_address(&self) -> Result<Option<IpAddr>> {
        if self.tunnel_address.is_empty() {
            return Ok(None);
        }
        let address: Option<IpAddr> = self.tunnel_address.parse().ok();
        let of_a_host = address.filter(|ip| !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast()));
        of_a_host.map(Some).ok_or_else(|| {
            Error::bad_request(format!(
                "network.tunnel_address = {:?} is no IP address by which other hosts reach this one",
                self.tunnel_address
            ))
        })
    }

    /// What packets of guests may have at most.
    pub fn mtus(&self) -> Mtus {
        Mtus { tunnel: self.guests_mtu(), flat: self.mtu }
    }

    /// What a guest's packet may have at most, so that it reaches a guest on another host whole. Networks are made with it
    /// before there is a second host: a guest's MTU can't be lowered while it runs.
    pub fn guests_mtu(&self) -> u16 {
        let is_ipv6 = self.tunnel_address().is_ok_and(|address| address.is_some_and(|ip| ip.is_ipv6()));
        self.mtu.saturating_sub(if is_ipv6 { OVERHEAD_IPV6 } else { OVERHEAD })
    }

    /// # Errors
    /// `BadRequest` for a setting that can't be understood, or leaves guests too little.
    pub fn check(&self) -> Result<()> {
        self.tunnel_address()?;
        let is_link =
            |name: &str| (1..=15).contains(&name.len()) && !name.contains(|c: char| c.is_whitespace() || c == '/');
        if let Some((name, bridge)) = self.bridges.iter().find(|(name, bridge)| name.is_empty() || !is_link(bridge)) {
            return Err(Error::bad_request(format!("network.bridges: {name} = {bridge:?} names no bridge")));
        }
        if self.guests_mtu() < SMALLEST_MTU {
            return Err(Error::bad_request(format!(
                "network.mtu = {} leaves guests less than {SMALLEST_MTU}",
                self.mtu
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tunnel_address: &str, mtu: u16) -> Network {
        Network { tunnel_address: tunnel_address.to_owned(), mtu, ..Network::default() }
    }

    #[test]
    fn guests_get_what_is_left_of_a_packet_between_hosts() {
        assert_eq!(at("", 1500).guests_mtu(), 1450);
        assert_eq!(at("192.0.2.1", 9000).guests_mtu(), 8950);
        assert_eq!(at("2001:db8::1", 1500).guests_mtu(), 1430);
    }

    #[test]
    fn what_no_other_host_could_reach_is_no_tunnel_address() {
        for wrong in ["host-a", "0.0.0.0", "127.0.0.1", "::1", "224.0.0.1", "192.0.2.1:4789"] {
            assert!(at(wrong, 1500).check().is_err(), "{wrong}");
        }
        assert!(at("", 1500).check().is_ok() && at("192.0.2.1", 1500).check().is_ok());
        assert!(at("", 600).check().is_err());
        let plugged = |bridge: &str| Network {
            bridges: BTreeMap::from([("physnet1".to_owned(), bridge.to_owned())]),
            ..Network::default()
        };
        assert!(plugged("br0").check().is_ok());
        for wrong in ["", "br 0", "../br0", "a-name-that-is-too-long"] {
            assert!(plugged(wrong).check().is_err(), "{wrong}");
        }
    }
}
