//! Which hosts carry which networks: to each of them the others send what is for everybody in a network.
//!
//! A host is written down before it is told to carry a network, and forgotten before it is told to let it go, each time with
//! a new epoch: what the others are then told they take for newer than all they have heard.

use super::{Json, Row, Tx, args, networks};
use crate::error::{Error, Result};
use crate::ids::{HostId, NetworkId, ServerId};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// From now on the host carries the network. False when it did already, or one of the two is not there.
pub fn join(tx: &mut Tx, network: NetworkId, host: HostId) -> Result<bool> {
    let sql = "INSERT INTO network_hosts (network_id, host_id)
               SELECT n.id, h.id FROM networks n, hosts h WHERE n.id = ?1 AND h.id = ?2
               ON CONFLICT DO NOTHING";
    let is_new = tx.execute(sql, args![network, host])? > 0;
    if is_new {
        networks::touch(tx, network)?;
    }
    Ok(is_new)
}

/// From now on it doesn't. False when it didn't.
pub fn leave(tx: &mut Tx, network: NetworkId, host: HostId) -> Result<bool> {
    let left =
        tx.execute("DELETE FROM network_hosts WHERE network_id = ?1 AND host_id = ?2", args![network, host])? > 0;
    if left {
        networks::touch(tx, network)?;
    }
    Ok(left)
}

pub fn carries(tx: &mut Tx, network: NetworkId, host: HostId) -> Result<bool> {
    let sql = "SELECT 1 FROM network_hosts WHERE network_id = ?1 AND host_id = ?2";
    Ok(tx.query_one(sql, args![network, host])?.is_some())
}

/// The other hosts that carry the network.
pub fn others(tx: &mut Tx, network: NetworkId, host: HostId) -> Result<Vec<HostId>> {
    let sql = "SELECT host_id FROM network_hosts WHERE network_id = ?1 AND host_id <> ?2 ORDER BY host_id";
    tx.query(sql, args![network, host])?.into_iter().map(|mut row| row.next()).collect()
}

/// Where the other hosts that carry the network are sent what is for it, in order.
pub fn peers(tx: &mut Tx, network: NetworkId, host: HostId) -> Result<Vec<IpAddr>> {
    let sql = "SELECT h.tunnel_address FROM network_hosts c JOIN hosts h ON h.id = c.host_id
                WHERE c.network_id = ?1 AND c.host_id <> ?2 AND h.tunnel_address IS NOT NULL";
    let address = |mut row: Row| {
        let text: String = row.next()?;
        text.parse().map_err(|_| Error::internal("a host's tunnel address is damaged", text))
    };
    let mut peers: Vec<IpAddr> =
        tx.query(sql, args![network, host])?.into_iter().map(address).collect::<Result<_>>()?;
    peers.sort_unstable();
    // Two hosts that say the same are one place to send to.
    peers.dedup();
    Ok(peers)
}

/// Every network that the host carries.
pub fn of_host(tx: &mut Tx, host: HostId) -> Result<Vec<NetworkId>> {
    let sql = "SELECT network_id FROM network_hosts WHERE host_id = ?1 ORDER BY network_id";
    tx.query(sql, args![host])?.into_iter().map(|mut row| row.next()).collect()
}

/// Notes where the host is reached by others. Answers the networks whose other hosts must hear of it: those that it carries, if
/// it was elsewhere before.
pub fn is_at(tx: &mut Tx, host: HostId, address: Option<IpAddr>) -> Result<Vec<NetworkId>> {
    let text = address.map(|address| address.to_string());
    let sql = "UPDATE hosts SET tunnel_address = ?2
                WHERE id = ?1 AND (tunnel_address <> ?2 OR (tunnel_address IS NULL) <> (?2 IS NULL))";
    if tx.execute(sql, args![host, text])? == 0 {
        return Ok(Vec::new());
    }
    let networks = of_host(tx, host)?;
    for network in &networks {
        networks::touch(tx, *network)?;
    }
    Ok(networks)
}

/// Notes which of the operator's networks the host is plugged into.
pub fn is_plugged_into(tx: &mut Tx, host: HostId, names: &BTreeSet<String>) -> Result<()> {
    let sql = "UPDATE hosts SET physical_networks = ?2 WHERE id = ?1 AND physical_networks <> ?2";
    tx.execute(sql, args![host, Json(names)]).map(drop)
}

/// Is any host plugged into the operator's network of this name?
pub fn is_known(tx: &mut Tx, physical_network: &str) -> Result<bool> {
    let rows = tx.query("SELECT DISTINCT physical_networks FROM hosts", args![])?;
    let lists: Vec<Json<BTreeSet<String>>> = rows.into_iter().map(|mut row| row.next()).collect::<Result<_>>()?;
    Ok(lists.iter().any(|list| list.0.contains(physical_network)))
}

/// The operator's networks that a server's interfaces are in.
pub fn needed_by(tx: &mut Tx, server: ServerId) -> Result<BTreeSet<String>> {
    let sql = "SELECT n.physical_network FROM ports p JOIN networks n ON n.id = p.network_id
                WHERE p.server_id = ?1 AND n.physical_network IS NOT NULL";
    tx.query(sql, args![server])?.into_iter().map(|mut row| row.next()).collect()
}
