//! What a host is told of a network: plain data, whole, that can travel.

use crate::hypervisor::Epoch;
use crate::ids::{NetworkId, PortId, SubnetId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A network, whole, as one host shall carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkWish {
    pub id: NetworkId,
    pub epoch: Epoch,
    pub mtu: u16,
    pub subnets: Vec<SubnetWish>,
    /// Every port of the network on this host, and those whose addresses DHCP must know.
    pub ports: Vec<PortWish>,
    /// The host itself reaches the network's addresses (the shared network; never a tenant's own).
    pub routed_to_host: bool,
    /// Guests reach the outside through the host's address.
    pub nat: bool,
    /// How it is one network with what other hosts carry of it; `None`: it is this host's alone.
    #[serde(default)]
    pub tunnel: Option<TunnelWish>,
    /// The operator's own network that this one is, by the name that hosts' settings give it. It has its gateway itself.
    #[serde(default)]
    pub physical_network: Option<String>,
}

/// Frames for the network's ports on other hosts go there packed into packets between the hosts (VXLAN). A host without a
/// tunnel address of its own carries its part alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelWish {
    /// Tells the network's frames from others': no other network of the cloud has it.
    pub vni: u32,
    /// Tunnel addresses of the other hosts that carry the network, in order.
    pub peers: Vec<IpAddr>,
}

/// What a host says of its place among networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FabricFacts {
    /// Where other hosts send what they have for networks here; `None`: nowhere.
    #[serde(default)]
    pub tunnel_address: Option<IpAddr>,
    /// The operator's networks that the host is plugged into, by name.
    #[serde(default)]
    pub physical_networks: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetWish {
    pub id: SubnetId,
    pub cidr: IpNet,
    pub gateway: Option<IpAddr>,
    pub enable_dhcp: bool,
    /// Empty: the network's own resolver, which forwards to the host's.
    pub dns_servers: Vec<IpAddr>,
    pub host_routes: Vec<HostRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoute {
    pub destination: IpNet,
    pub next_hop: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortWish {
    pub id: PortId,
    /// `fa:16:3e:…`, lower case.
    pub mac: String,
    pub addresses: Vec<(SubnetId, IpAddr)>,
    /// What DHCP and the resolver call it: `host-10-0-0-5` by default.
    pub hostname: String,
}
