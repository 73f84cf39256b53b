//! Subnets: ranges of addresses within a network.

use super::{Json, OrNotFound, Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::address::{self, Pool};
use crate::cloud::policy::Reach;
use crate::error::{Error, Kind, Result};
use crate::ids::{NetworkId, ProjectId, SubnetId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A route that DHCP tells guests of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: IpNet,
    pub next_hop: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    pub id: SubnetId,
    pub network_id: NetworkId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    pub cidr: IpNet,
    pub gateway: Option<IpAddr>,
    pub enable_dhcp: bool,
    pub pools: Vec<Pool>,
    /// Empty: the network's own resolver.
    pub dns_servers: Vec<IpAddr>,
    pub host_routes: Vec<Route>,
    pub tags: Vec<String>,
    pub revision: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const SUBNET: &str =
    "s.id, s.network_id, s.project_id, s.name, s.description, s.cidr, s.gateway_ip, s.enable_dhcp, s.allocation_pools,
                      s.dns_nameservers, s.host_routes, s.tags, s.revision, s.created_at, s.updated_at";

/// Who may see a subnet: whoever may see its network.
const VISIBLE: &str = "(s.project_id = ?1 OR ?1 IS NULL OR n.project_id = ?1 OR n.shared = 1)";

impl Subnet {
    fn from_row(mut row: Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            network_id: row.next()?,
            project_id: row.next()?,
            name: row.next()?,
            description: row.next()?,
            cidr: kept(row.next::<String>()?)?,
            gateway: row.next::<Option<String>>()?.map(kept).transpose()?,
            enable_dhcp: row.next()?,
            pools: row.next::<Json<_>>()?.0,
            dns_servers: row.next::<Json<_>>()?.0,
            host_routes: row.next::<Json<_>>()?.0,
            tags: row.next::<Json<_>>()?.0,
            revision: row.next()?,
            created_at: row.next()?,
            updated_at: row.next()?,
        })
    }
}

/// Reads back what was written as an address or range.
pub(super) fn kept<T: std::str::FromStr>(text: String) -> Result<T> {
    text.parse().map_err(|_| Error::internal("an address in the database can't be read", text))
}

/// What a client says of a new subnet, checked already.
#[derive(Debug, Clone)]
pub struct NewSubnet {
    pub network_id: NetworkId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    pub cidr: IpNet,
    pub gateway: Option<IpAddr>,
    pub enable_dhcp: bool,
    pub pools: Vec<Pool>,
    pub dns_servers: Vec<IpAddr>,
    pub host_routes: Vec<Route>,
}

/// Adds a subnet whose range meets no other's of its network. What all projects share is one address space, since hosts
/// route it; what projects keep to themselves may overlap with anything of others.
pub fn insert(tx: &mut Tx, new: &NewSubnet, now: Timestamp) -> Result<Subnet> {
    let network = super::networks::touch(tx, new.network_id)?;
    refuse_overlap(tx, new.network_id, new.cidr, network.shared)?;
    let id = SubnetId::random();
    tx.execute(
        "INSERT INTO subnets (id, network_id, project_id, name, description, ip_version, cidr, gateway_ip, enable_dhcp,
                              allocation_pools, dns_nameservers, host_routes, tags, revision, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, '[]', 0, ?13, ?13)",
        args![
            id,
            new.network_id,
            &new.project_id,
            &new.name,
            &new.description,
            if new.cidr.addr().is_ipv4() { 4 } else { 6 },
            new.cidr.to_string(),
            new.gateway.map(|gateway| gateway.to_string()),
            new.enable_dhcp,
            Json(&new.pools),
            Json(&new.dns_servers),
            Json(&new.host_routes),
            now
        ],
    )?;
    of_id(tx, id)
}

fn refuse_overlap(tx: &mut Tx, network: NetworkId, cidr: IpNet, is_shared: bool) -> Result<()> {
    let rows = tx.query(
        "SELECT s.id, s.network_id, s.cidr FROM subnets s JOIN networks n ON n.id = s.network_id
          WHERE s.network_id = ?1 OR (n.shared = 1 AND ?2 = 1)",
        args![network, is_shared],
    )?;
    for mut row in rows {
        let (id, of, other): (SubnetId, NetworkId, String) = (row.next()?, row.next()?, row.next()?);
        let other: IpNet = kept(other)?;
        if !address::overlap(cidr, other) {
            continue;
        }
        let why = if of == network {
            format!("Requested subnet with cidr: {cidr} for network: {network} overlaps with another subnet")
        } else {
            format!("cidr {cidr} overlaps with subnet {id} of another shared network")
        };
        // Upstream answers 400 here, not 409.
        return Err(Error::bad_request(format!("Invalid input for operation: {why}.")));
    }
    Ok(())
}

/// May the network be shared with all projects, as far as its ranges go?
pub fn refuse_overlap_when_shared(tx: &mut Tx, network: NetworkId) -> Result<()> {
    for subnet in of_network(tx, network)? {
        let rows = tx.query(
            "SELECT s.cidr FROM subnets s JOIN networks n ON n.id = s.network_id WHERE n.shared = 1 AND n.id <> ?1",
            args![network],
        )?;
        for mut row in rows {
            let other: IpNet = kept(row.next::<String>()?)?;
            if address::overlap(subnet.cidr, other) {
                return Err(Error::conflict(format!(
                    "Subnet {} overlaps with {other} of another shared network.",
                    subnet.cidr
                )));
            }
        }
    }
    Ok(())
}

/// A subnet of the caller's own, or any for the whole cloud: what may be changed.
pub fn owned(tx: &mut Tx, reach: &Reach, id: SubnetId) -> Result<Subnet> {
    let sql = format!("SELECT {SUBNET} FROM subnets s WHERE s.id = ?2 AND (s.project_id = ?1 OR ?1 IS NULL)");
    tx.query_one(&sql, args![reach.project()?, id])?.or_not_found(Kind::Subnet, id).and_then(Subnet::from_row)
}

/// A subnet that the caller may see.
pub fn visible(tx: &mut Tx, reach: &Reach, id: SubnetId) -> Result<Subnet> {
    let sql =
        format!("SELECT {SUBNET} FROM subnets s JOIN networks n ON n.id = s.network_id WHERE {VISIBLE} AND s.id = ?2");
    tx.query_one(&sql, args![reach.project()?, id])?.or_not_found(Kind::Subnet, id).and_then(Subnet::from_row)
}

/// Every subnet that the caller may see, oldest first.
pub fn list_visible(tx: &mut Tx, reach: &Reach) -> Result<Vec<Subnet>> {
    let sql = format!(
        "SELECT {SUBNET} FROM subnets s JOIN networks n ON n.id = s.network_id WHERE {VISIBLE} ORDER BY s.created_at, s.id"
    );
    tx.query(&sql, args![reach.project()?])?.into_iter().map(Subnet::from_row).collect()
}

pub fn of_id(tx: &mut Tx, id: SubnetId) -> Result<Subnet> {
    let sql = format!("SELECT {SUBNET} FROM subnets s WHERE s.id = ?1");
    tx.query_one(&sql, args![id])?.or_not_found(Kind::Subnet, id).and_then(Subnet::from_row)
}

/// The subnets of a network, oldest first.
pub fn of_network(tx: &mut Tx, network: NetworkId) -> Result<Vec<Subnet>> {
    let sql = format!("SELECT {SUBNET} FROM subnets s WHERE s.network_id = ?1 ORDER BY s.created_at, s.id");
    tx.query(&sql, args![network])?.into_iter().map(Subnet::from_row).collect()
}

/// Keeps everything but the range and the network.
pub fn update(tx: &mut Tx, subnet: &Subnet, now: Timestamp) -> Result<Subnet> {
    super::networks::touch(tx, subnet.network_id)?;
    tx.execute(
        "UPDATE subnets SET name = ?2, description = ?3, gateway_ip = ?4, enable_dhcp = ?5, allocation_pools = ?6,
                            dns_nameservers = ?7, host_routes = ?8, tags = ?9, revision = revision + 1, updated_at = ?10
          WHERE id = ?1",
        args![
            subnet.id,
            &subnet.name,
            &subnet.description,
            subnet.gateway.map(|gateway| gateway.to_string()),
            subnet.enable_dhcp,
            Json(&subnet.pools),
            Json(&subnet.dns_servers),
            Json(&subnet.host_routes),
            Json(&subnet.tags),
            now
        ],
    )?;
    of_id(tx, subnet.id)
}

/// Deletes the subnet. One that a port has an address of is in use.
pub fn delete(tx: &mut Tx, subnet: &Subnet) -> Result<()> {
    let id = subnet.id;
    if tx.query_one("SELECT 1 FROM allocations WHERE subnet_id = ?1 LIMIT 1", args![id])?.is_some() {
        return Err(Error::conflict(format!(
            "Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet."
        )));
    }
    super::networks::touch(tx, subnet.network_id)?;
    tx.execute("DELETE FROM subnets WHERE id = ?1", args![id])?;
    Ok(())
}

pub fn count(tx: &mut Tx, project: &ProjectId) -> Result<i64> {
    let row = tx.query_one("SELECT COUNT(*) FROM subnets WHERE project_id = ?1", args![project])?;
    row.map_or(Ok(0), |mut row| row.next())
}
