//! What connects machines: one bridge a network, addresses by DHCP, a way out by NAT.
//!
//! A wish is a whole network as one host shall carry it (its subnets and every port that lives there); the fabric makes
//! it so, whatever was there before. Equal ranges in two networks never meet: a network's gateway, DHCP and NAT live in a
//! namespace of its own. Bridges, namespaces and firewall tables of other programs are never touched: ours have names
//! that begin with our prefix, and carry the owning cloud in an alias.
//!
//! [`simulated`] remembers wishes; [`linux`] fulfils them on a real host (start reading there).

pub mod linux;
pub mod simulated;

use crate::error::{Error, Result};
use crate::hypervisor::Epoch;
use crate::ids::{NetworkId, PortId, SubnetId};
use async_trait::async_trait;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
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

/// What connects the machines of one host.
#[async_trait]
pub trait Fabric: Send + Sync {
    /// Makes the network as wished. Answers the bridge that taps join.
    async fn ensure(&self, wish: &NetworkWish) -> Result<String>;

    /// Takes the network away: bridge, namespace, DHCP, routes, rules. Already gone is done.
    async fn remove(&self, id: NetworkId, epoch: Epoch) -> Result<()>;

    /// Networks of ours that this host carries.
    async fn list(&self) -> Result<Vec<NetworkId>>;
}

/// The host's name for a bridge: 15 bytes at most, ours by its prefix.
pub fn bridge_name(network: NetworkId) -> String {
    format!("gbr{}", &network.0.simple().to_string()[..11])
}

/// The host's name for a port's tap device; known before the machine starts, so that rules can wait for it.
pub fn tap_name(port: PortId) -> String {
    format!("tap{}", &port.0.simple().to_string()[..11])
}

/// A host carries out no order about a network that is older than the newest it has seen.
fn refuse_older(newest: Option<Epoch>, network: NetworkId, epoch: Epoch) -> Result<()> {
    match newest {
        Some(seen) if epoch < seen => Err(Error::conflict(format!(
            "An order about network {network} is older ({}) than one already carried out ({})",
            epoch.0, seen.0
        ))),
        _ => Ok(()),
    }
}
