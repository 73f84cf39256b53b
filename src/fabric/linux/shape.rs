//! What a wish means for the kernel, apart from its ports: addresses, ranges, ways out. Pure.
//!
//! Ports and DNS servers change often and concern only the answers Gapura itself gives; they never touch the kernel. Two
//! wishes of one shape need no command at all.

use super::Settings;
use crate::error::{Error, Result};
use crate::fabric::{NetworkWish, SubnetWish};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr};

/// The metadata address. It stands in every network's namespace, so that a guest's question never reaches a metadata
/// service of the host's own surroundings, and serves where a subnet has no gateway.
pub(super) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub mtu: u16,
    /// The gateway of each subnet that has one, with its subnet's length.
    pub gateways: Vec<Ipv4Net>,
    /// Ranges without a gateway: reached on the link, from [`METADATA`].
    pub bare: Vec<Ipv4Net>,
    pub routed_to_host: bool,
    pub nat: bool,
    pub tunnel: Option<Tunnel>,
    /// The operator's bridge that the network's is plugged into.
    pub uplink: Option<String>,
}

/// The way to the network's bridges on other hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tunnel {
    pub vni: u32,
    pub local: IpAddr,
    pub peers: Vec<IpAddr>,
}

impl Shape {
    /// `NotImplemented` for IPv6, `BadRequest` for what no network can be, `Conflict` for a network that the host is not
    /// plugged into.
    pub fn of(wish: &NetworkWish, settings: &Settings) -> Result<Self> {
        let uplink = wish.physical_network.as_deref().map(|name| uplink(name, settings)).transpose()?;
        let (mut gateways, mut bare) = (vec![], vec![]);
        if wish.mtu < 576 {
            return Err(Error::bad_request(format!("An MTU of {} is too small for IPv4", wish.mtu)));
        }
        for subnet in &wish.subnets {
            let range = range(subnet)?;
            match gateway(subnet, range)? {
                // The operator's network has its gateway itself.
                Some(gateway) if uplink.is_none() => gateways.push(gateway),
                _ => bare.push(range),
            }
        }
        let tunnel = settings.tunnel_address.and_then(|local| tunnel(wish, local));
        let NetworkWish { mtu, routed_to_host, nat, .. } = *wish;
        Ok(Self { mtu, gateways, bare, routed_to_host, nat, tunnel, uplink })
    }

    /// Every range of the network.
    pub fn ranges(&self) -> Vec<Ipv4Net> {
        self.gateways.iter().map(Ipv4Net::trunc).chain(self.bare.iter().copied()).collect()
    }

    /// Where the network's own services answer.
    pub fn service_addresses(&self) -> Vec<Ipv4Addr> {
        let mut addresses: Vec<_> = self.gateways.iter().map(Ipv4Net::addr).collect();
        addresses.push(METADATA);
        addresses
    }

    pub fn leads_out(&self) -> bool {
        self.nat || self.routed_to_host
    }
}

fn uplink(name: &str, settings: &Settings) -> Result<String> {
    let bridge = settings.bridges.get(name).cloned();
    bridge.ok_or_else(|| Error::conflict(format!("The host is not plugged into {name}: no bridge of its settings is")))
}

/// A peer with an address of the other family can't be reached from this one.
fn tunnel(wish: &NetworkWish, local: IpAddr) -> Option<Tunnel> {
    let wished = wish.tunnel.as_ref()?;
    let peers = wished.peers.iter().copied().filter(|peer| peer.is_ipv4() == local.is_ipv4() && *peer != local);
    Some(Tunnel { vni: wished.vni, local, peers: peers.collect() })
}

fn range(subnet: &SubnetWish) -> Result<Ipv4Net> {
    let IpNet::V4(range) = subnet.cidr else {
        return Err(Error::NotImplemented(format!(
            "Subnet {} is IPv6 ({}), which the network fabric has not built yet",
            subnet.id, subnet.cidr
        )));
    };
    let range = range.trunc();
    let reserved: [(Ipv4Addr, u8); 4] = [
        (Ipv4Addr::UNSPECIFIED, 8),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(224, 0, 0, 0), 3),
    ];
    for (address, length) in reserved {
        let reserved = Ipv4Net::new_assert(address, length);
        if reserved.contains(&range) || range.contains(&reserved) {
            return Err(Error::bad_request(format!("Subnet {} overlaps {reserved}, which is reserved", subnet.cidr)));
        }
    }
    Ok(range)
}

fn gateway(subnet: &SubnetWish, range: Ipv4Net) -> Result<Option<Ipv4Net>> {
    match subnet.gateway {
        None => Ok(None),
        Some(IpAddr::V4(gateway)) if range.contains(&gateway) => {
            Ok(Some(Ipv4Net::new_assert(gateway, range.prefix_len())))
        }
        Some(gateway) => Err(Error::bad_request(format!("Gateway {gateway} is not in subnet {range}"))),
    }
}

/// The address that serves a subnet: its gateway if that is ours, or the metadata address.
pub(super) fn server_address(network: &NetworkWish, subnet: &SubnetWish) -> Ipv4Addr {
    match subnet.gateway {
        Some(IpAddr::V4(gateway)) if network.physical_network.is_none() => gateway,
        _ => METADATA,
    }
}
