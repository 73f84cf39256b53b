//! Ports: a MAC address and IP addresses in a network, for one machine's interface.
//!
//! Whose interface a port is, its `server_id` says; clients can't write it. `device_id` and `device_owner`, which they can,
//! are shown and believed by nobody: a port that merely names somebody's server never becomes part of it.

use super::allocations::{self, Addresses};
use super::{Json, OrNotFound, Row, Tx, Value, args};
use crate::clock::Timestamp;
use crate::cloud::address;
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::ids::{HostId, NetworkId, PortId, ProjectId, ServerId, SubnetId};
use std::collections::HashMap;
use std::net::IpAddr;

/// An address of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedIp {
    pub subnet_id: SubnetId,
    pub ip_address: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub id: PortId,
    pub network_id: NetworkId,
    /// For `addresses` of a server, whose keys are networks' names.
    pub network_name: String,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    /// `fa:16:3e:…`, lower case.
    pub mac_address: String,
    /// `DOWN` until the interface is up on a host, then `ACTIVE`.
    pub status: String,
    pub device_id: String,
    pub device_owner: String,
    pub server_id: Option<ServerId>,
    /// Order among the server's interfaces, from 0.
    pub position: u32,
    /// Made for a server and deleted with it, or the client's own.
    pub made_for_server: bool,
    pub host_id: Option<HostId>,
    pub host_name: Option<String>,
    pub tags: Vec<String>,
    pub revision: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub fixed_ips: Vec<FixedIp>,
}

const PORT: &str = "p.id, p.network_id, n.name, p.project_id, p.name, p.description, p.mac_address, p.status, p.device_id, p.device_owner,
                    p.server_id, p.position, p.made_for_server, p.host_id, h.name, p.tags, p.revision, p.created_at, p.updated_at";

/// Who may see a port: its project, and the project whose network it is in.
const VISIBLE: &str = "(p.project_id = ?1 OR ?1 IS NULL OR n.project_id = ?1)";

impl Port {
    fn from_row(mut row: Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            network_id: row.next()?,
            network_name: row.next()?,
            project_id: row.next()?,
            name: row.next()?,
            description: row.next()?,
            mac_address: row.next()?,
            status: row.next()?,
            device_id: row.next()?,
            device_owner: row.next()?,
            server_id: row.next()?,
            position: row.next()?,
            made_for_server: row.next()?,
            host_id: row.next()?,
            host_name: row.next()?,
            tags: row.next::<Json<_>>()?.0,
            revision: row.next()?,
            created_at: row.next()?,
            updated_at: row.next()?,
            fixed_ips: Vec::new(),
        })
    }
}

/// What is said of a new port.
#[derive(Debug, Clone)]
pub struct NewPort {
    pub network_id: NetworkId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    /// In the form of [`address::parse_mac`]; `None`: one is made.
    pub mac_address: Option<String>,
    pub device_id: String,
    pub device_owner: String,
    pub server_id: Option<ServerId>,
    pub position: u32,
    pub made_for_server: bool,
    pub addresses: Addresses,
}

/// Adds a port with its addresses.
pub fn insert(tx: &mut Tx, new: &NewPort, now: Timestamp) -> Result<Port> {
    let network = super::networks::touch(tx, new.network_id)?;
    let mac_address = match &new.mac_address {
        Some(wanted) if mac_is_taken(tx, network.id, wanted)? => return Err(mac_in_use(network.id, wanted)),
        Some(wanted) => wanted.clone(),
        None => free_mac(tx, network.id)?,
    };
    let id = PortId::random();
    tx.execute(
        "INSERT INTO ports (id, network_id, project_id, name, description, mac_address, admin_state_up, status, device_id, device_owner,
                            server_id, position, made_for_server, host_id, tags, revision, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 'DOWN', ?7, ?8, ?9, ?10, ?11, NULL, '[]', 1, ?12, ?12)",
        args![
            id,
            network.id,
            &new.project_id,
            &new.name,
            &new.description,
            &mac_address,
            &new.device_id,
            &new.device_owner,
            new.server_id,
            new.position,
            new.made_for_server,
            now
        ],
    )?;
    allocations::allot(tx, network.id, id, &new.addresses)?;
    of_id(tx, id)
}

fn mac_in_use(network: NetworkId, mac: &str) -> Error {
    Error::conflict(format!("Unable to complete operation for network {network}. The mac address {mac} is in use."))
}

fn mac_is_taken(tx: &mut Tx, network: NetworkId, mac: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM ports WHERE network_id = ?1 AND mac_address = ?2";
    Ok(tx.query_one(sql, args![network, mac])?.is_some())
}

fn free_mac(tx: &mut Tx, network: NetworkId) -> Result<String> {
    for _ in 0..64 {
        let mac = address::mac_address(rand::random());
        if !mac_is_taken(tx, network, &mac)? {
            return Ok(mac);
        }
    }
    Err(Error::conflict(format!("Unable to generate unique mac on network {network}.")))
}

/// What to narrow a list to, besides what the caller may see.
#[derive(Debug, Clone, Default)]
pub struct Only {
    pub id: Option<String>,
    pub network_id: Option<String>,
    pub device_id: Option<String>,
}

/// Ports that the caller may see, oldest first.
pub fn list_visible(tx: &mut Tx, reach: &Reach, only: &Only) -> Result<Vec<Port>> {
    select(
        tx,
        &format!(
            "{VISIBLE} AND (p.id = ?2 OR ?2 IS NULL) AND (p.network_id = ?3 OR ?3 IS NULL) AND (p.device_id = ?4 OR ?4 IS NULL)"
        ),
        args![reach.project()?, &only.id, &only.network_id, &only.device_id],
    )
}

/// A port that the caller may see.
pub fn visible(tx: &mut Tx, reach: &Reach, id: PortId) -> Result<Port> {
    one(select(tx, &format!("{VISIBLE} AND p.id = ?2"), args![reach.project()?, id])?, id)
}

/// A port of the caller's own, or any for the whole cloud: what may be changed.
pub fn owned(tx: &mut Tx, reach: &Reach, id: PortId) -> Result<Port> {
    one(select(tx, "(p.project_id = ?1 OR ?1 IS NULL) AND p.id = ?2", args![reach.project()?, id])?, id)
}

pub fn of_id(tx: &mut Tx, id: PortId) -> Result<Port> {
    one(select(tx, "p.id = ?1", args![id])?, id)
}

/// Every port of a network, oldest first.
pub fn of_network(tx: &mut Tx, network: NetworkId) -> Result<Vec<Port>> {
    select(tx, "p.network_id = ?1", args![network])
}

fn one(mut found: Vec<Port>, id: PortId) -> Result<Port> {
    found.pop().or_not_found(Kind::Port, id)
}

/// Ports under a condition on `p` (ports) and `n` (networks), with their addresses.
pub(super) fn select(tx: &mut Tx, condition: &str, arguments: &[Value]) -> Result<Vec<Port>> {
    const FROM: &str = "FROM ports p JOIN networks n ON n.id = p.network_id LEFT JOIN hosts h ON h.id = p.host_id";
    let sql = format!("SELECT {PORT} {FROM} WHERE {condition} ORDER BY p.created_at, p.position, p.id");
    let mut ports: Vec<Port> = tx.query(&sql, arguments)?.into_iter().map(Port::from_row).collect::<Result<_>>()?;
    if ports.is_empty() {
        return Ok(ports);
    }
    let sql = format!(
        "SELECT a.port_id, a.subnet_id, a.ip_address {FROM} JOIN allocations a ON a.port_id = p.id
          WHERE {condition} ORDER BY a.ip_address"
    );
    let mut addresses: HashMap<PortId, Vec<FixedIp>> = HashMap::new();
    for mut row in tx.query(&sql, arguments)? {
        let port = row.next()?;
        let fixed = FixedIp { subnet_id: row.next()?, ip_address: super::subnets::kept(row.next::<String>()?)? };
        addresses.entry(port).or_default().push(fixed);
    }
    for port in &mut ports {
        port.fixed_ips = addresses.remove(&port.id).unwrap_or_default();
    }
    Ok(ports)
}

/// Keeps name, description, MAC address, device and tags; addresses too when they are given.
pub fn update(tx: &mut Tx, port: &Port, addresses: Option<&Addresses>, now: Timestamp) -> Result<Port> {
    let before = of_id(tx, port.id)?;
    if before.mac_address != port.mac_address && mac_is_taken(tx, port.network_id, &port.mac_address)? {
        return Err(mac_in_use(port.network_id, &port.mac_address));
    }
    super::networks::touch(tx, port.network_id)?;
    tx.execute(
        "UPDATE ports SET name = ?2, description = ?3, mac_address = ?4, device_id = ?5, device_owner = ?6, tags = ?7,
                          revision = revision + 1, updated_at = ?8
          WHERE id = ?1",
        args![
            port.id,
            &port.name,
            &port.description,
            &port.mac_address,
            &port.device_id,
            &port.device_owner,
            Json(&port.tags),
            now
        ],
    )?;
    if let Some(addresses) = addresses {
        allocations::release(tx, port.id)?;
        allocations::allot(tx, port.network_id, port.id, addresses)?;
    }
    of_id(tx, port.id)
}

/// Deletes the port; its addresses are free again.
pub fn delete(tx: &mut Tx, port: &Port) -> Result<()> {
    super::networks::touch(tx, port.network_id)?;
    tx.execute("DELETE FROM ports WHERE id = ?1", args![port.id])?;
    Ok(())
}

pub fn count(tx: &mut Tx, project: &ProjectId) -> Result<i64> {
    let row = tx.query_one("SELECT COUNT(*) FROM ports WHERE project_id = ?1", args![project])?;
    row.map_or(Ok(0), |mut row| row.next())
}
