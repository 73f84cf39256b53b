//! Ports as the interfaces of servers: made with a server, lent to one, taken away with it.

use super::allocations::{AddressWish, Addresses};
use super::ports::{NewPort, Port, insert, owned, select};
use super::{Tx, Value, args, network_quotas};
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::ids::{HostId, NetworkId, PortId, ProjectId, ServerId};
use std::net::IpAddr;

/// The server an interface is for, and which of its interfaces it is.
#[derive(Debug, Clone, Copy)]
pub struct Interface<'s> {
    pub server: ServerId,
    /// From 0, in the order the client named them.
    pub position: u32,
    /// The availability zone, which `device_owner` names: `compute:nova`.
    pub zone: &'s str,
}

/// The `device_owner` of a server's interfaces.
pub fn owner_of(zone: &str) -> String {
    format!("compute:{zone}")
}

/// Makes a port for a server, to be deleted with it. That the project may join the network, and that the caller may have
/// such a port, the caller has looked (`networks::visible`, `port_request::allow_interface`). Quota applies; `address` is one of the network's subnets', or the next free one is taken.
pub fn create_for_server(
    tx: &mut Tx,
    network: NetworkId,
    project: &ProjectId,
    interface: Interface<'_>,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Port> {
    network_quotas::check(tx, project, network_quotas::Resource::Port, 1)?;
    let addresses = match address {
        None => Addresses::Any,
        Some(ip) => Addresses::These(vec![AddressWish { subnet_id: None, ip_address: Some(ip) }]),
    };
    let new = NewPort {
        network_id: network,
        project_id: project.clone(),
        name: String::new(),
        description: String::new(),
        mac_address: None,
        device_id: interface.server.to_string(),
        device_owner: owner_of(interface.zone),
        server_id: Some(interface.server),
        position: interface.position,
        made_for_server: true,
        addresses,
    };
    insert(tx, &new, now)
}

/// Lends the client's own port to a server; it outlives it.
///
/// # Errors
/// `NotFound` for a port that is not the caller's, `Conflict` for one that is in use.
pub fn attach(tx: &mut Tx, reach: &Reach, port: PortId, interface: Interface<'_>, now: Timestamp) -> Result<Port> {
    let port = owned(tx, reach, port)?;
    if port.server_id.is_some() || !port.device_id.is_empty() {
        return Err(Error::conflict(format!("Port {} is still in use.", port.id)));
    }
    tx.execute(
        "UPDATE ports SET device_id = ?2, device_owner = ?3, server_id = ?2, position = ?4, made_for_server = 0,
                          revision = revision + 1, updated_at = ?5
          WHERE id = ?1",
        args![port.id, interface.server, owner_of(interface.zone), interface.position, now],
    )?;
    super::networks::touch(tx, port.network_id)?;
    super::ports::of_id(tx, port.id)
}

/// A server's ports in the order of its interfaces.
pub fn of_server(tx: &mut Tx, server: ServerId) -> Result<Vec<Port>> {
    of_servers(tx, &[server])
}

/// The ports of several servers, each server's in the order of its interfaces.
pub fn of_servers(tx: &mut Tx, servers: &[ServerId]) -> Result<Vec<Port>> {
    let mut found = Vec::new();
    // Engines bound the number of parameters.
    for some in servers.chunks(500) {
        let places: Vec<String> = (1..=some.len()).map(|n| format!("?{n}")).collect();
        let arguments: Vec<Value> = some.iter().map(Value::from).collect();
        found.extend(select(tx, &format!("p.server_id IN ({})", places.join(", ")), &arguments)?);
    }
    found.sort_by_key(|port| (port.server_id, port.position));
    Ok(found)
}

/// The server's interfaces are on this host now, and up.
pub fn set_active(tx: &mut Tx, server: ServerId, host: HostId, now: Timestamp) -> Result<()> {
    set(tx, server, Some(host), "ACTIVE", now)
}

/// The server's interfaces are down; `host` still carries them, or none does.
pub fn set_down(tx: &mut Tx, server: ServerId, host: Option<HostId>, now: Timestamp) -> Result<()> {
    set(tx, server, host, "DOWN", now)
}

fn set(tx: &mut Tx, server: ServerId, host: Option<HostId>, status: &str, now: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE ports SET host_id = ?2, status = ?3, revision = revision + 1, updated_at = ?4
          WHERE server_id = ?1 AND (status <> ?3 OR host_id <> ?2 OR host_id IS NULL OR ?2 IS NULL)",
        args![server, host, status, now],
    )?;
    Ok(())
}

/// Has a network an interface on this host, one that moves there, or one whose host is not chosen yet? What is shelved and on no host comes to
/// none until somebody asks for it; what asks touches its networks, so that an answer from before is known to be old.
pub fn may_come_to(tx: &mut Tx, network: NetworkId, host: HostId) -> Result<bool> {
    let sql = "SELECT 1 FROM ports p JOIN servers s ON s.id = p.server_id
                WHERE p.network_id = ?1
                  AND (p.host_id = ?2
                       OR EXISTS (SELECT 1 FROM server_moves m JOIN hosts h ON h.name = m.target
                                   WHERE m.server_id = s.id AND h.id = ?2
                                     AND m.status IN ('queued', 'preparing', 'running', 'pre-migrating'))
                       OR (p.host_id IS NULL
                           AND (s.state <> 'shelved_offloaded' OR COALESCE(s.task, '') IN ('unshelving', 'spawning'))))
                LIMIT 1";
    Ok(tx.query_one(sql, args![network, host])?.is_some())
}

/// A server's interfaces come to a host that is yet to be chosen.
pub fn touch_networks(tx: &mut Tx, server: ServerId) -> Result<()> {
    let mut networks: Vec<NetworkId> = of_server(tx, server)?.iter().map(|port| port.network_id).collect();
    networks.sort_unstable();
    networks.dedup();
    for network in networks {
        super::networks::touch(tx, network)?;
    }
    Ok(())
}

/// Takes one interface from its server: a port made for it is deleted, a lent one is its client's again.
pub fn detach(tx: &mut Tx, port: &Port, now: Timestamp) -> Result<()> {
    if port.made_for_server {
        return super::ports::delete(tx, port);
    }
    tx.execute(
        "UPDATE ports SET device_id = '', device_owner = '', server_id = NULL, position = 0, host_id = NULL, status = 'DOWN',
                          revision = revision + 1, updated_at = ?2
          WHERE id = ?1",
        args![port.id, now],
    )?;
    super::networks::touch(tx, port.network_id)?;
    Ok(())
}

/// Takes all interfaces from a server that goes away. Answers the networks they were in, whose hosts must hear of it.
pub fn delete_of_server(tx: &mut Tx, server: ServerId, now: Timestamp) -> Result<Vec<NetworkId>> {
    let ports = of_server(tx, server)?;
    for port in &ports {
        detach(tx, port, now)?;
    }
    let mut networks: Vec<NetworkId> = ports.iter().map(|port| port.network_id).collect();
    networks.sort_unstable();
    networks.dedup();
    Ok(networks)
}
