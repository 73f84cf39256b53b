//! What a host is told of a network: the whole of it, made from rows, and who else carries it.
//!
//! A host that begins to carry a network, or has ceased to, is told to the others that do: at once by whoever brought it there,
//! so that a machine that is moved there is heard by all when it goes on, and by a task that outlives a crash and hosts that are
//! away ([`network_change::hosts_changed`]).
//!
//! Two boots may carry a network to the same host at once. Each reads the rows, which have grown by the other's port or
//! not yet; the wish carries the network's own epoch, so the host refuses the older picture, and whoever sent it looks
//! again. So the host ends with the newest picture, whoever comes last.

use super::{Cx, Host, network_change};
use crate::clock::Timestamp;
use crate::cloud::segment::Segment;
use crate::error::{Error, Result, with_causes};
use crate::fabric::{HostRoute, NetworkWish, PortWish, SubnetWish, TunnelWish};
use crate::hypervisor::Epoch;
use crate::ids::{HostId, NetworkId};
use crate::store::networks::Network;
use crate::store::ports::Port;
use crate::store::subnets::Subnet;
use crate::store::{Db, Tx, network_hosts, networks, ports, server_ports, subnets};

/// The network as rows say it is now, for one host.
pub fn wish(tx: &mut Tx, id: NetworkId, host: HostId) -> Result<NetworkWish> {
    let network = networks::of_id(tx, id)?;
    let subnets = subnets::of_network(tx, id)?;
    let ports = ports::of_network(tx, id)?;
    let tunnel = match network.segment {
        Segment::Tunnel(vni) => Some(TunnelWish { vni, peers: network_hosts::peers(tx, id, host)? }),
        Segment::Flat(_) | Segment::Local => None,
    };
    let physical_network = network.segment.physical_network().map(str::to_owned);
    // The way out of the operator's network is the operator's.
    let has_gateway = physical_network.is_none();
    Ok(NetworkWish {
        id,
        epoch: epoch(&network),
        mtu: network.mtu,
        subnets: subnets.into_iter().map(subnet_wish).collect(),
        ports: ports.iter().map(port_wish).collect(),
        routed_to_host: network.shared && has_gateway,
        nat: has_gateway,
        tunnel,
        physical_network,
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

/// Makes the network on a host as rows say it is. Answers the bridge that taps join. Other hosts that carry it know by then
/// that this one does, but for those that are away.
pub async fn ensure(cx: &Cx, host: &Host, id: NetworkId) -> Result<String> {
    let others = join(&cx.db, host, id, cx.clock.now()).await?;
    let bridge = tell(&cx.db, host, id).await?;
    let connected = others.iter().filter_map(|other| cx.hosts.get(*other).ok());
    futures::future::join_all(connected.map(|other| async move {
        if let Err(error) = refresh(&cx.db, other, id, cx.clock.now()).await {
            let error = with_causes(&error);
            tracing::warn!(network = %id, host = other.name, error, "a host hears later who carries a network");
        }
    }))
    .await;
    Ok(bridge)
}

/// The host is written down as one that carries the network. Answers the others if that is new.
async fn join(db: &Db, host: &Host, id: NetworkId, now: Timestamp) -> Result<Vec<HostId>> {
    let on = host.id;
    if db.read(move |tx| network_hosts::carries(tx, id, on)).await? {
        return Ok(Vec::new());
    }
    db.write(move |tx| {
        let is_new = network_hosts::join(tx, id, on)?;
        let others = network_hosts::others(tx, id, on)?;
        if !is_new || others.is_empty() {
            return Ok(Vec::new());
        }
        network_change::hosts_changed(tx, id, now)?;
        Ok(others)
    })
    .await
}

/// Gives the host the newest picture there is.
async fn tell(db: &Db, host: &Host, id: NetworkId) -> Result<String> {
    let on = host.id;
    loop {
        let wish = db.read(move |tx| wish(tx, id, on)).await?;
        match host.fabric.ensure(&wish).await {
            Err(Error::Conflict(_)) if is_outdated(db, &wish).await? => {}
            outcome => return outcome,
        }
    }
}

/// A host that carries the network hears what it is now; one that shall carry it no more lets it go.
pub async fn refresh(db: &Db, host: &Host, id: NetworkId, now: Timestamp) -> Result<()> {
    let on = host.id;
    loop {
        let found = db.read(move |tx| Ok((wish(tx, id, on)?, network_hosts::carries(tx, id, on)?))).await?;
        let (wish, true) = found else { return settle_on(db, host, id, now).await };
        match host.fabric.ensure(&wish).await {
            Err(Error::Conflict(_)) if is_outdated(db, &wish).await? => {}
            outcome => return outcome.map(drop),
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
    settle_on(&cx.db, host, id, cx.clock.now()).await
}

/// The same, outside of a task.
pub async fn settle_on(db: &Db, host: &Host, id: NetworkId, now: Timestamp) -> Result<()> {
    let Some((_, stays)) = need(db, host, id).await? else { return Ok(()) };
    if stays {
        join(db, host, id, now).await?;
        tell(db, host, id).await?;
    }
    // Looked at again: its last port may have gone meanwhile, and whoever saw to that may have been here before us.
    let Some((network, false)) = need(db, host, id).await? else { return Ok(()) };
    let Some(network) = leave(db, host, network, now).await? else { return Ok(()) };
    match host.fabric.remove(id, epoch(&network)).await {
        // A newer picture has come meanwhile, so somebody else needs the network here.
        Err(Error::Conflict(_)) => Ok(()),
        outcome => outcome,
    }
}

/// The host is no longer one of those that carry the network; `None` when a port came meanwhile. What is sent there from now on
/// is for nobody.
async fn leave(db: &Db, host: &Host, network: Network, now: Timestamp) -> Result<Option<Network>> {
    let (id, on) = (network.id, host.id);
    if !db.read(move |tx| network_hosts::carries(tx, id, on)).await? {
        return Ok(Some(network));
    }
    let left = db.write(move |tx| {
        if server_ports::may_come_to(tx, id, on)? {
            return Ok(None);
        }
        if network_hosts::leave(tx, id, on)? && !network_hosts::others(tx, id, on)?.is_empty() {
            network_change::hosts_changed(tx, id, now)?;
        }
        networks::of_id(tx, id).map(Some)
    });
    match left.await {
        Err(error) if error.is_not_found() => Ok(None),
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
