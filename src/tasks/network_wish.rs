//! What a host is told of a network: the whole of it, made from rows.
//!
//! Two boots may carry a network to the same host at once. Each reads the rows, which have grown by the other's port or
//! not yet; the wish carries the network's own epoch, so the host refuses the older picture, and whoever sent it looks
//! again. So the host ends with the newest picture, whoever comes last.

use super::{Cx, Host};
use crate::error::{Error, Result};
use crate::fabric::{HostRoute, NetworkWish, PortWish, SubnetWish};
use crate::hypervisor::Epoch;
use crate::ids::NetworkId;
use crate::store::networks::Network;
use crate::store::ports::Port;
use crate::store::subnets::Subnet;
use crate::store::{Db, Tx, networks, ports, server_ports, subnets};

/// The network as rows say it is now.
pub fn wish(tx: &mut Tx, id: NetworkId) -> Result<NetworkWish> {
    let network = networks::of_id(tx, id)?;
    let subnets = subnets::of_network(tx, id)?;
    let ports = ports::of_network(tx, id)?;
    Ok(NetworkWish {
        id,
        epoch: epoch(&network),
        mtu: network.mtu,
        subnets: subnets.into_iter().map(subnet_wish).collect(),
        ports: ports.iter().map(port_wish).collect(),
        routed_to_host: network.shared,
        nat: true,
    })
}

fn epoch(network: &Network) -> Epoch {
    Epoch(network.epoch)
}

fn subnet_wish(subnet: Subnet) -> SubnetWish {
    let routes = subnet.host_routes.into_iter();
    SubnetWish {
        id: subnet.id,
        cidr: subnet.cidr,
        gateway: subnet.gateway,
        enable_dhcp: subnet.enable_dhcp,
        dns_servers: subnet.dns_servers,
        host_routes: routes
            .map(|route| HostRoute { destination: route.destination, next_hop: route.next_hop })
            .collect(),
    }
}

fn port_wish(port: &Port) -> PortWish {
    let first = port.fixed_ips.first().map(|fixed| fixed.ip_address.to_string().replace(['.', ':'], "-"));
    PortWish {
        id: port.id,
        mac: port.mac_address.clone(),
        addresses: port.fixed_ips.iter().map(|fixed| (fixed.subnet_id, fixed.ip_address)).collect(),
        hostname: first.map_or_else(|| format!("port-{}", port.id), |address| format!("host-{address}")),
    }
}

/// Makes the network on a host as rows say it is. Answers the bridge that taps join.
pub async fn ensure(cx: &Cx, host: &Host, id: NetworkId) -> Result<String> {
    ensure_on(&cx.db, host, id).await
}

/// The same, outside of a task.
pub async fn ensure_on(db: &Db, host: &Host, id: NetworkId) -> Result<String> {
    loop {
        let wish = db.read(move |tx| wish(tx, id)).await?;
        match host.fabric.ensure(&wish).await {
            Err(Error::Conflict(_)) if is_outdated(db, &wish).await? => {}
            outcome => return outcome,
        }
    }
}

/// Has the network changed since the wish was made?
async fn is_outdated(db: &Db, wish: &NetworkWish) -> Result<bool> {
    let (id, epoch) = (wish.id, wish.epoch);
    let now = db.read(move |tx| networks::of_id(tx, id)).await?;
    Ok(Epoch(now.epoch) > epoch)
}

/// After a server's ports went away: the network leaves the host with its last port there, and else is brought up to date.
/// A network that is gone itself is left to the task that deletes it.
pub async fn settle(cx: &Cx, host: &Host, id: NetworkId) -> Result<()> {
    settle_on(&cx.db, host, id).await
}

/// The same, outside of a task.
pub async fn settle_on(db: &Db, host: &Host, id: NetworkId) -> Result<()> {
    let Some((_, stays)) = need(db, host, id).await? else { return Ok(()) };
    if stays {
        ensure_on(db, host, id).await?;
    }
    // Looked at again: its last port may have gone meanwhile, and whoever saw to that may have been here before us.
    let Some((network, false)) = need(db, host, id).await? else { return Ok(()) };
    match host.fabric.remove(id, epoch(&network)).await {
        // A newer picture has come meanwhile, so somebody else needs the network here.
        Err(Error::Conflict(_)) => Ok(()),
        outcome => outcome,
    }
}

/// The network, and whether a port of it is on the host or may come there; `None`: it is gone.
async fn need(db: &Db, host: &Host, id: NetworkId) -> Result<Option<(Network, bool)>> {
    let on = host.id;
    let found = db.read(move |tx| Ok((networks::of_id(tx, id)?, server_ports::may_come_to(tx, id, on)?))).await;
    match found {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}
