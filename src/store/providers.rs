//! Hosts as providers of resources, and servers as what holds them: what the placement API shows.

use super::{Json, Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::placement::resources::{Stock, stocks};
use crate::cloud::placement::traits::DISABLED;
use crate::cloud::placement::{Demand, Inventory};
use crate::cloud::policy::Reach;
use crate::error::Result;
use crate::ids::{HostId, ProjectId, ServerId, UserId};
use std::collections::{BTreeSet, HashMap};

/// A host as placement's clients see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    pub id: HostId,
    pub name: String,
    /// Counts its changes.
    pub generation: i64,
    pub stocks: Vec<Stock>,
    /// In their order.
    pub traits: Vec<String>,
    pub updated_at: Timestamp,
}

impl Provider {
    pub fn has_trait(&self, name: &str) -> bool {
        self.traits.iter().any(|own| own == name)
    }

    pub fn stock(&self, class: &str) -> Option<&Stock> {
        self.stocks.iter().find(|stock| stock.class == class)
    }
}

const SELECT: &str = "SELECT h.id, h.name, h.generation, COALESCE(k.traits, ''), h.enabled, h.updated_at,
                             h.total_vcpus, h.total_memory_mib, h.total_disk_gib, h.vcpus, h.memory_mib, h.disk_gib,
                             h.claimed_vcpus, h.claimed_memory_mib, h.claimed_disk_gib, h.inventory
                        FROM hosts h LEFT JOIN host_kinds k ON k.digest = h.kind";

fn provider(mut row: Row) -> Result<Provider> {
    let (id, name, generation) = (row.next()?, row.next()?, row.next()?);
    let (traits, enabled, updated_at) = (row.next::<String>()?, row.next::<bool>()?, row.next()?);
    let mut traits: Vec<String> = traits.split_whitespace().map(str::to_owned).collect();
    if !enabled {
        let at = traits.partition_point(|name| name.as_str() < DISABLED);
        traits.insert(at, DISABLED.to_owned());
    }
    let (total, capacity, used) = (demand(&mut row)?, demand(&mut row)?, demand(&mut row)?);
    let inventory = row.next::<Json<Inventory>>()?.0;
    Ok(Provider { id, name, generation, stocks: stocks(total, capacity, used, &inventory), traits, updated_at })
}

fn demand(row: &mut Row) -> Result<Demand> {
    Ok(Demand { vcpus: row.next()?, memory_mib: row.next()?, disk_gib: row.next()? })
}

/// Every host, in the order in which they came.
pub fn list(tx: &mut Tx) -> Result<Vec<Provider>> {
    let sql = format!("{SELECT} ORDER BY h.number, h.id");
    tx.query(&sql, args![])?.into_iter().map(provider).collect()
}

pub fn get(tx: &mut Tx, id: HostId) -> Result<Option<Provider>> {
    let sql = format!("{SELECT} WHERE h.id = ?1");
    tx.query_one(&sql, args![id])?.map(provider).transpose()
}

/// The UUIDs of the aggregates that each host is in, in their order.
pub fn aggregates(tx: &mut Tx) -> Result<HashMap<HostId, Vec<String>>> {
    let sql =
        "SELECT m.host_id, a.uuid FROM aggregate_hosts m JOIN aggregates a ON a.id = m.aggregate_id ORDER BY a.uuid";
    let mut found: HashMap<HostId, Vec<String>> = HashMap::new();
    for mut row in tx.query(sql, args![])? {
        found.entry(row.next()?).or_default().push(row.next()?);
    }
    Ok(found)
}

/// What a server holds of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    pub server: ServerId,
    /// Counts the changes of what it holds, wherever.
    pub server_generation: i64,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub host: HostId,
    pub host_generation: i64,
    pub held: Demand,
    pub since: Timestamp,
}

const HOLDING: &str = "SELECT c.server_id, s.claim_generation, s.project_id, s.user_id, c.host_id, h.generation,
                              c.vcpus, c.memory_mib, c.disk_gib, c.created_at
                         FROM claims c JOIN servers s ON s.id = c.server_id JOIN hosts h ON h.id = c.host_id";

fn holding(mut row: Row) -> Result<Holding> {
    Ok(Holding {
        server: row.next()?,
        server_generation: row.next()?,
        project_id: row.next()?,
        user_id: row.next()?,
        host: row.next()?,
        host_generation: row.next()?,
        held: demand(&mut row)?,
        since: row.next()?,
    })
}

/// Who holds something of a host.
pub fn held_of(tx: &mut Tx, host: HostId) -> Result<Vec<Holding>> {
    let sql = format!("{HOLDING} WHERE c.host_id = ?1 ORDER BY c.created_at, c.server_id");
    tx.query(&sql, args![host])?.into_iter().map(holding).collect()
}

/// What a server holds: of two hosts while it moves.
pub fn held_by(tx: &mut Tx, server: ServerId) -> Result<Vec<Holding>> {
    let sql = format!("{HOLDING} WHERE c.server_id = ?1 ORDER BY c.created_at, c.host_id");
    tx.query(&sql, args![server])?.into_iter().map(holding).collect()
}

/// What the servers of a project, or of one of its users, hold together, and how many they are.
pub fn held_in_project(tx: &mut Tx, reach: &Reach, project: &str, user: Option<&str>) -> Result<(u64, Demand)> {
    let sql = "SELECT COUNT(DISTINCT c.server_id), CAST(COALESCE(SUM(c.vcpus), 0) AS BIGINT),
                      CAST(COALESCE(SUM(c.memory_mib), 0) AS BIGINT), CAST(COALESCE(SUM(c.disk_gib), 0) AS BIGINT)
                 FROM claims c JOIN servers s ON s.id = c.server_id
                WHERE s.project_id = ?1 AND (s.project_id = ?2 OR ?2 IS NULL) AND (s.user_id = ?3 OR ?3 IS NULL)";
    let row = tx.query_one(sql, args![project, reach.project()?, user])?;
    row.map_or_else(|| Ok((0, Demand::default())), |mut row| Ok((row.next()?, demand(&mut row)?)))
}

/// The names of traits that some host has, in their order.
pub fn traits_in_use(tx: &mut Tx) -> Result<Vec<String>> {
    let providers = list(tx)?;
    let names: BTreeSet<&String> = providers.iter().flat_map(|provider| &provider.traits).collect();
    Ok(names.into_iter().cloned().collect())
}
