//! Hosts that run machines, and what is claimed of them.

use super::{Json, OrNotFound, Row, Tx, args, host_kinds, nodes, placement};
use crate::clock::Timestamp;
use crate::cloud::flavor::Flavor;
use crate::cloud::placement::{Demand, HostKind, Inventory, Ratios, inventory};
use crate::cloud::server::State;
use crate::error::{Error, Kind, Result};
use crate::ids::{HostId, ProjectId, ServerId};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

/// A host as rows keep it, with what is claimed of it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostRow {
    pub id: HostId,
    /// What it is called by before it has a UUID in the API. Given once.
    pub number: i64,
    pub name: String,
    pub zone: String,
    /// What the host said of itself when last asked: the driver's `HostFacts`.
    pub facts: Value,
    pub total: Demand,
    pub inventory: Inventory,
    /// What may be claimed in all.
    pub capacity: Demand,
    pub claimed: Demand,
    pub enabled: bool,
    pub disabled_reason: Option<String>,
    pub forced_down: bool,
    pub last_seen_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Whether a host may be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    pub enabled: bool,
    pub forced_down: bool,
    pub last_seen_at: Option<Timestamp>,
}

/// A host that said nothing for so long counts as down: upstream's `service_down_time`.
const DOWN_AFTER_SECONDS: i64 = 150;

impl Health {
    pub fn is_up(&self, now: Timestamp) -> bool {
        !self.forced_down && self.last_seen_at.is_some_and(|seen| seen.plus_seconds(DOWN_AFTER_SECONDS) >= now)
    }
}

impl HostRow {
    pub const fn health(&self) -> Health {
        Health { enabled: self.enabled, forced_down: self.forced_down, last_seen_at: self.last_seen_at }
    }

    pub fn is_up(&self, now: Timestamp) -> bool {
        self.health().is_up(now)
    }

    /// What may still be claimed.
    pub fn free(&self) -> Demand {
        self.capacity.less(self.claimed)
    }
}

const COLUMNS: &str =
    "h.id, h.number, h.name, h.zone, COALESCE(k.facts, '{}'), COALESCE(k.features, ''), COALESCE(k.traits, ''), h.facts,
    h.total_vcpus, h.total_memory_mib, h.total_disk_gib, h.inventory, h.vcpus, h.memory_mib, h.disk_gib,
    h.claimed_vcpus, h.claimed_memory_mib, h.claimed_disk_gib,
    h.enabled, h.disabled_reason, h.forced_down, h.last_seen_at, h.created_at, h.updated_at";

const TABLES: &str = "hosts h LEFT JOIN host_kinds k ON k.digest = h.kind";

fn from_row(mut row: Row) -> Result<HostRow> {
    Ok(HostRow {
        id: row.next()?,
        number: row.next()?,
        name: row.next()?,
        zone: row.next()?,
        facts: {
            let kind = HostKind { facts: row.next::<Json<Value>>()?.0, features: row.next()?, traits: row.next()? };
            kind.with_own(row.next::<Json<Value>>()?.0)
        },
        total: Demand { vcpus: row.next()?, memory_mib: row.next()?, disk_gib: row.next()? },
        inventory: row.next::<Json<Inventory>>()?.0,
        capacity: Demand { vcpus: row.next()?, memory_mib: row.next()?, disk_gib: row.next()? },
        claimed: Demand { vcpus: row.next()?, memory_mib: row.next()?, disk_gib: row.next()? },
        enabled: row.next()?,
        disabled_reason: row.next()?,
        forced_down: row.next()?,
        last_seen_at: row.next()?,
        created_at: row.next()?,
        updated_at: row.next()?,
    })
}

/// Every host, by number.
pub fn list(tx: &mut Tx) -> Result<Vec<HostRow>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} ORDER BY h.number, h.id");
    tx.query(&sql, args![])?.into_iter().map(from_row).collect()
}

/// The one host of which a condition on `h` holds.
fn one(tx: &mut Tx, condition: &str, value: impl Into<super::Value>) -> Result<Option<HostRow>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE {condition}");
    tx.query_one(&sql, &[value.into()])?.map(from_row).transpose()
}

pub fn get(tx: &mut Tx, id: HostId) -> Result<HostRow> {
    one(tx, "h.id = ?1", id)?.or_not_found(Kind::Hypervisor, id)
}

/// The host of a number.
pub fn numbered(tx: &mut Tx, number: i64) -> Result<Option<HostRow>> {
    one(tx, "h.number = ?1", number)
}

/// How each host is, without what it has and carries.
pub fn health(tx: &mut Tx) -> Result<HashMap<HostId, Health>> {
    let rows = tx.query("SELECT id, enabled, forced_down, last_seen_at FROM hosts", args![])?;
    let health = |mut row: Row| {
        Ok((row.next()?, Health { enabled: row.next()?, forced_down: row.next()?, last_seen_at: row.next()? }))
    };
    rows.into_iter().map(health).collect()
}

/// The zones of hosts, and whether a host of each takes new servers.
pub fn zones(tx: &mut Tx) -> Result<BTreeMap<String, bool>> {
    let rows = tx.query("SELECT zone, MAX(enabled) FROM hosts GROUP BY zone", args![])?;
    rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
}

/// The zone of the host of a name.
pub fn zone_of(tx: &mut Tx, name: &str) -> Result<Option<String>> {
    let row = tx.query_one("SELECT zone FROM hosts WHERE name = ?1", args![name])?;
    row.map(|mut row| row.next()).transpose()
}

/// Makes the hosts known that are not, and numbers them in this order.
pub fn ensure_all(tx: &mut Tx, hosts: &[(HostId, String)], zone: &str, now: Timestamp) -> Result<()> {
    let known: HashSet<HostId> =
        tx.query("SELECT id FROM hosts", args![])?.into_iter().map(|mut row| row.next()).collect::<Result<_>>()?;
    for (id, name) in hosts.iter().filter(|(id, _)| !known.contains(id)) {
        ensure(tx, *id, name, zone, now)?;
    }
    Ok(())
}

/// Makes the host known, unless it is.
pub fn ensure(tx: &mut Tx, id: HostId, name: &str, zone: &str, now: Timestamp) -> Result<()> {
    let sql = "SELECT 1 FROM hosts WHERE id = ?1 OR name = ?2";
    if tx.query_one(sql, args![id, name])?.is_some() {
        return Ok(());
    }
    let row = tx.query_one("UPDATE host_numbers SET last = last + 1 WHERE id = 1 RETURNING last", args![])?;
    let number: i64 = row.or_not_found(Kind::Part, "The counter of hosts is gone.").and_then(|mut row| row.next())?;
    tx.execute(
        "INSERT INTO hosts (id, number, name, zone, own_zone, facts, vcpus, memory_mib, disk_gib, enabled, forced_down,
                            created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?4, '{}', 0, 0, 0, 1, 0, ?5, ?5)",
        args![id, number, name, zone, now],
    )?;
    Ok(())
}

/// What a host said of itself, and what the operator lets be promised of it.
pub struct Heard<'h> {
    pub facts: &'h Value,
    pub hypervisor_version: u64,
    pub total: Demand,
    pub reserved: Demand,
    pub ratios: Ratios,
}

/// Notes what a host said of itself, and that it was heard. Ratios that its aggregates set go before the operator's.
pub fn heard(tx: &mut Tx, id: HostId, heard: &Heard<'_>, now: Timestamp) -> Result<()> {
    let sql =
        "SELECT m.name, m.value FROM aggregate_hosts a JOIN aggregate_metadata m ON m.aggregate_id = a.aggregate_id
                WHERE a.host_id = ?1 AND m.name IN (?2, ?3, ?4)";
    let [cpu, memory, disk] = inventory::NAMES;
    let rows = tx.query(sql, args![id, cpu, memory, disk])?;
    let said = rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect::<Result<Vec<_>>>()?;
    let ratios = heard.ratios.within(&placement::metadata(said.iter()));
    let inventory = Inventory { reserved: heard.reserved, own: heard.ratios, ratios };
    let (total, capacity) = (heard.total, inventory.capacity(heard.total));
    let (kind, own) = HostKind::take_apart(heard.facts);
    let is_another_kind = host_kinds::set(tx, id, &kind)?;
    tx.execute(
        "UPDATE hosts SET facts = ?2, hypervisor_version = ?3, total_vcpus = ?4, total_memory_mib = ?5, total_disk_gib = ?6,
                          inventory = ?7, vcpus = ?8, memory_mib = ?9, disk_gib = ?10, last_seen_at = ?11, updated_at = ?11,
                          generation = generation + CASE WHEN total_vcpus <> ?4 OR total_memory_mib <> ?5 OR total_disk_gib <> ?6
                                                           OR inventory <> ?7 OR ?12 = 1 THEN 1 ELSE 0 END
          WHERE id = ?1",
        args![
            id,
            Json(&own),
            heard.hypervisor_version,
            total.vcpus,
            total.memory_mib,
            total.disk_gib,
            Json(&inventory),
            capacity.vcpus,
            capacity.memory_mib,
            capacity.disk_gib,
            now,
            is_another_kind
        ],
    )?;
    Ok(())
}

/// Lets the ratios that aggregates set be in force. Asked after every change of aggregates.
pub fn settle_ratios(tx: &mut Tx) -> Result<()> {
    let [cpu, memory, disk] = inventory::NAMES;
    let mut said: HashMap<HostId, Vec<(String, String)>> = HashMap::new();
    let sql = "SELECT a.host_id, m.name, m.value
                 FROM aggregate_hosts a JOIN aggregate_metadata m ON m.aggregate_id = a.aggregate_id
                WHERE m.name IN (?1, ?2, ?3)";
    for mut row in tx.query(sql, args![cpu, memory, disk])? {
        said.entry(row.next()?).or_default().push((row.next()?, row.next()?));
    }
    let sql = "SELECT id, total_vcpus, total_memory_mib, total_disk_gib, inventory FROM hosts";
    for mut row in tx.query(sql, args![])? {
        let id: HostId = row.next()?;
        let total = Demand { vcpus: row.next()?, memory_mib: row.next()?, disk_gib: row.next()? };
        let inventory = row.next::<Json<Inventory>>()?.0;
        let texts = said.get(&id).map(Vec::as_slice).unwrap_or_default();
        let ratios = inventory.own.within(&placement::metadata(texts.iter()));
        if ratios == inventory.ratios {
            continue;
        }
        let inventory = Inventory { ratios, ..inventory };
        let capacity = inventory.capacity(total);
        tx.execute(
            "UPDATE hosts SET inventory = ?2, vcpus = ?3, memory_mib = ?4, disk_gib = ?5, generation = generation + 1
              WHERE id = ?1",
            args![id, Json(&inventory), capacity.vcpus, capacity.memory_mib, capacity.disk_gib],
        )?;
    }
    Ok(())
}

/// Lets new servers onto a host, or keeps them away; `forced_down` says that an operator knows it dead.
pub fn set_service(
    tx: &mut Tx,
    id: HostId,
    enabled: Option<bool>,
    reason: Option<&str>,
    forced_down: Option<bool>,
    now: Timestamp,
) -> Result<()> {
    if let Some(enabled) = enabled {
        // Among the traits of a host is that it is disabled.
        let sql = "UPDATE hosts SET generation = generation + CASE WHEN enabled <> ?2 THEN 1 ELSE 0 END,
                                    enabled = ?2, disabled_reason = ?3, updated_at = ?4
                    WHERE id = ?1";
        tx.execute(sql, args![id, enabled, reason, now])?;
    }
    if let Some(forced_down) = forced_down {
        let sql = "UPDATE hosts SET forced_down = ?2, updated_at = ?3 WHERE id = ?1";
        tx.execute(sql, args![id, forced_down, now])?;
    }
    Ok(())
}

/// Servers on a host that are not deleted.
pub fn servers_on(tx: &mut Tx, host: HostId) -> Result<Vec<(ServerId, String)>> {
    let sql = "SELECT id, name FROM servers WHERE host_id = ?1 AND deleted_at IS NULL ORDER BY created_at, id";
    tx.query(sql, args![host])?.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
}

/// The host of a name.
pub fn named(tx: &mut Tx, name: &str) -> Result<HostRow> {
    let missing = || Error::not_found(Kind::Part, format!("Compute host {name} could not be found."));
    one(tx, "h.name = ?1", name)?.ok_or_else(missing)
}

/// A server as its host's lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    pub id: ServerId,
    pub name: String,
    pub project_id: ProjectId,
    pub has_failed: bool,
    /// Is work on it under way?
    pub is_busy: bool,
    pub size: Demand,
}

const OCCUPANT: &str = "s.host_id, s.id, s.name, s.project_id, s.state, s.task, s.flavor FROM servers s";

fn occupant(mut row: Row) -> Result<(HostId, Occupant)> {
    let host = row.next()?;
    let (id, name, project_id) = (row.next()?, row.next()?, row.next()?);
    let (state, task) = (row.next::<String>()?, row.next::<Option<String>>()?);
    let flavor = row.next::<Json<Flavor>>()?.0;
    let size = Demand::of(&flavor);
    let has_failed = state == State::Error.word();
    Ok((host, Occupant { id, name, project_id, has_failed, is_busy: task.is_some(), size }))
}

/// What is on each host and not deleted, in the order in which it was made.
pub fn occupants(tx: &mut Tx) -> Result<HashMap<HostId, Vec<Occupant>>> {
    let sql =
        format!("SELECT {OCCUPANT} WHERE s.host_id IS NOT NULL AND s.deleted_at IS NULL ORDER BY s.created_at, s.id");
    let mut found: HashMap<HostId, Vec<Occupant>> = HashMap::new();
    for row in tx.query(&sql, args![])? {
        let (host, occupant) = occupant(row)?;
        found.entry(host).or_default().push(occupant);
    }
    Ok(found)
}

/// The same, of one host.
pub fn occupants_of(tx: &mut Tx, host: HostId) -> Result<Vec<Occupant>> {
    let sql = format!("SELECT {OCCUPANT} WHERE s.host_id = ?1 AND s.deleted_at IS NULL ORDER BY s.created_at, s.id");
    tx.query(&sql, args![host])?.into_iter().map(|row| occupant(row).map(|(_, occupant)| occupant)).collect()
}

/// Servers that hold a place on a host and are elsewhere: on their way there or from there, or free to come back.
pub fn holders_elsewhere(tx: &mut Tx, host: HostId) -> Result<Vec<Occupant>> {
    let sql = format!(
        "SELECT {OCCUPANT} JOIN claims c ON c.server_id = s.id
          WHERE c.host_id = ?1 AND s.host_id <> ?1 AND s.deleted_at IS NULL ORDER BY s.created_at, s.id"
    );
    tx.query(&sql, args![host])?.into_iter().map(|row| occupant(row).map(|(_, occupant)| occupant)).collect()
}

/// By which others reach each host, as far as that is known: where a machine that joined takes orders, and else where what
/// is sent between hosts goes.
pub fn addresses(tx: &mut Tx) -> Result<HashMap<HostId, IpAddr>> {
    let sql = "SELECT h.id, n.address, h.tunnel_address FROM hosts h LEFT JOIN nodes n ON n.host_id = h.id
                WHERE n.address IS NOT NULL OR h.tunnel_address IS NOT NULL";
    let address = |mut row: Row| {
        let (host, joined, tunnel): (_, Option<String>, Option<String>) = (row.next()?, row.next()?, row.next()?);
        Ok((host, nodes::reached_at(&joined.or(tunnel).unwrap_or_default())?))
    };
    tx.query(sql, args![])?.into_iter().map(address).collect()
}

/// Servers on each host that are not deleted, counted.
pub fn populations(tx: &mut Tx) -> Result<BTreeMap<HostId, i64>> {
    let sql = "SELECT host_id, COUNT(*) FROM servers WHERE host_id IS NOT NULL AND deleted_at IS NULL GROUP BY host_id";
    tx.query(sql, args![])?.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
}

/// Forgets a host that runs nothing: its row, and the aggregates it is in.
pub fn delete(tx: &mut Tx, id: HostId) -> Result<()> {
    tx.execute("DELETE FROM aggregate_hosts WHERE host_id = ?1", args![id])?;
    tx.execute("DELETE FROM leftovers WHERE host_id = ?1", args![id])?;
    tx.execute("DELETE FROM network_hosts WHERE host_id = ?1", args![id])?;
    tx.execute("UPDATE servers SET host_id = NULL WHERE host_id = ?1 AND deleted_at IS NOT NULL", args![id])?;
    let kind = host_kinds::of_host(tx, id)?;
    tx.execute("DELETE FROM hosts WHERE id = ?1", args![id])?;
    host_kinds::forget_unused(tx, kind.as_deref())
}

/// Is anything on the host, or on its way there?
pub fn is_used(tx: &mut Tx, id: HostId) -> Result<bool> {
    let sql = "SELECT 1 FROM hosts h WHERE h.id = ?1
                  AND (EXISTS (SELECT 1 FROM servers s WHERE s.host_id = h.id AND s.deleted_at IS NULL)
                       OR EXISTS (SELECT 1 FROM claims c WHERE c.host_id = h.id))";
    Ok(tx.query_one(sql, args![id])?.is_some())
}
