//! Aggregates of hosts, and the availability zones that follow from them.

use super::{OrConflict, OrNotFound, Row, Tx, args, hosts};
use crate::clock::Timestamp;
use crate::cloud::aggregate::{Aggregate, ZONE};
use crate::error::{Kind, Result};
use crate::ids::HostId;
use uuid::Uuid;

const COLUMNS: &str = "a.id, a.uuid, a.name, a.created_at, a.updated_at";

fn from_row(mut row: Row) -> Result<Aggregate> {
    Ok(Aggregate {
        id: row.next()?,
        uuid: row.next()?,
        name: row.next()?,
        created_at: row.next()?,
        updated_at: row.next()?,
        hosts: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
    })
}

/// Every aggregate with its hosts and metadata, by number. There are few.
pub fn list(tx: &mut Tx) -> Result<Vec<Aggregate>> {
    let rows = tx.query(&format!("SELECT {COLUMNS} FROM aggregates a ORDER BY a.id"), args![])?;
    let mut all = rows.into_iter().map(from_row).collect::<Result<Vec<_>>>()?;
    for mut row in tx.query("SELECT aggregate_id, name, value FROM aggregate_metadata", args![])? {
        let (id, name, value) = (row.next::<i64>()?, row.next()?, row.next()?);
        if let Some(aggregate) = all.iter_mut().find(|aggregate| aggregate.id == id) {
            aggregate.metadata.insert(name, value);
        }
    }
    let sql =
        "SELECT m.aggregate_id, h.id, h.name FROM aggregate_hosts m JOIN hosts h ON h.id = m.host_id ORDER BY h.name";
    for mut row in tx.query(sql, args![])? {
        let (id, host, name) = (row.next::<i64>()?, row.next()?, row.next()?);
        if let Some(aggregate) = all.iter_mut().find(|aggregate| aggregate.id == id) {
            aggregate.hosts.push((host, name));
        }
    }
    Ok(all)
}

pub fn get(tx: &mut Tx, id: i64) -> Result<Aggregate> {
    list(tx)?.into_iter().find(|aggregate| aggregate.id == id).or_not_found(Kind::Aggregate, id)
}

/// Makes one and answers its number.
pub fn insert(tx: &mut Tx, name: &str, zone: Option<&str>, now: Timestamp) -> Result<i64> {
    let row = tx.query_one("UPDATE aggregate_numbers SET last = last + 1 WHERE id = 1 RETURNING last", args![])?;
    let id: i64 = row.or_not_found(Kind::Part, "The counter of aggregates is gone.").and_then(|mut row| row.next())?;
    tx.execute(
        "INSERT INTO aggregates (id, uuid, name, created_at) VALUES (?1, ?2, ?3, ?4)",
        args![id, Uuid::new_v4().to_string(), name, now],
    )
    .or_conflict(|| exists(name))?;
    if let Some(zone) = zone {
        set_metadata(tx, id, ZONE, Some(zone))?;
    }
    Ok(id)
}

fn exists(name: &str) -> String {
    format!("Aggregate {name} already exists.")
}

pub fn rename(tx: &mut Tx, id: i64, name: &str) -> Result<()> {
    tx.execute("UPDATE aggregates SET name = ?2 WHERE id = ?1", args![id, name]).or_conflict(|| exists(name))?;
    Ok(())
}

pub fn touch(tx: &mut Tx, id: i64, now: Timestamp) -> Result<()> {
    tx.execute("UPDATE aggregates SET updated_at = ?2 WHERE id = ?1", args![id, now])?;
    Ok(())
}

pub fn delete(tx: &mut Tx, id: i64) -> Result<()> {
    let sql = "UPDATE hosts SET generation = generation + 1
                WHERE id IN (SELECT host_id FROM aggregate_hosts WHERE aggregate_id = ?1)";
    tx.execute(sql, args![id])?;
    tx.execute("DELETE FROM aggregates WHERE id = ?1", args![id])?;
    Ok(())
}

/// Sets a value; `None` takes it away.
pub fn set_metadata(tx: &mut Tx, id: i64, name: &str, value: Option<&str>) -> Result<()> {
    match value {
        None => tx.execute("DELETE FROM aggregate_metadata WHERE aggregate_id = ?1 AND name = ?2", args![id, name])?,
        Some(value) => tx.execute(
            "INSERT INTO aggregate_metadata (aggregate_id, name, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (aggregate_id, name) DO UPDATE SET value = ?3",
            args![id, name, value],
        )?,
    };
    Ok(())
}

pub fn add_host(tx: &mut Tx, id: i64, host: HostId) -> Result<()> {
    let sql = "INSERT INTO aggregate_hosts (aggregate_id, host_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let changed = tx.execute(sql, args![id, host])?;
    count_changes(tx, host, changed)
}

/// Clients of placement see by a host's generation that its aggregates are others.
fn count_changes(tx: &mut Tx, host: HostId, changes: u64) -> Result<()> {
    if changes > 0 {
        tx.execute("UPDATE hosts SET generation = generation + 1 WHERE id = ?1", args![host])?;
    }
    Ok(())
}

pub fn remove_host(tx: &mut Tx, id: i64, host: HostId) -> Result<()> {
    let sql = "DELETE FROM aggregate_hosts WHERE aggregate_id = ?1 AND host_id = ?2";
    let changed = tx.execute(sql, args![id, host])?;
    count_changes(tx, host, changed)
}

/// Puts each host into the zone of its aggregates, or into its own, and lets it promise as much as they say. Asked after every
/// change that could move one.
pub fn settle_hosts(tx: &mut Tx) -> Result<()> {
    tx.execute(
        "UPDATE hosts SET zone = COALESCE(
            (SELECT MIN(m.value) FROM aggregate_hosts a JOIN aggregate_metadata m ON m.aggregate_id = a.aggregate_id
              WHERE a.host_id = hosts.id AND m.name = ?1), own_zone, zone)",
        args![ZONE],
    )?;
    hosts::settle_ratios(tx)
}
