//! What connects machines: one bridge a network on each host that has a part in it, tunnels between these bridges, addresses by
//! DHCP, a way out by NAT.
//!
//! A wish is a whole network as one host shall carry it (its subnets and every port that lives there); the fabric makes
//! it so, whatever was there before. Equal ranges in two networks never meet: a network's gateway, DHCP and NAT live in a
//! namespace of its own. Bridges, namespaces and firewall tables of other programs are never touched: ours have names
//! that begin with our prefix, and carry the owning cloud in an alias.
//!
//! [`simulated`] remembers wishes; [`linux`] fulfils them on a real host (start reading there).

pub mod linux;
pub mod simulated;
mod wish;

pub use wish::{FabricFacts, HostRoute, NetworkWish, PortWish, SubnetWish, TunnelWish};

use crate::error::{Error, Result};
use crate::hypervisor::Epoch;
use crate::ids::{NetworkId, PortId};
use async_trait::async_trait;

/// What connects the machines of one host.
#[async_trait]
pub trait Fabric: Send + Sync {
    /// Makes the network as wished. Answers the bridge that taps join.
    async fn ensure(&self, wish: &NetworkWish) -> Result<String>;

    /// Takes the network away: bridge, namespace, DHCP, routes, rules. Already gone is done.
    async fn remove(&self, id: NetworkId, epoch: Epoch) -> Result<()>;

    /// Networks of ours that this host carries.
    async fn list(&self) -> Result<Vec<NetworkId>>;

    /// How the host can be joined to others.
    async fn facts(&self) -> Result<FabricFacts>;
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
