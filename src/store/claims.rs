//! What servers take of hosts: a claim for each host that a server is on, or is on its way to or from.
//!
//! Whoever makes one has picked the host in the same transaction. Each change raises the generations by which Placement's clients
//! tell that something changed.

use super::{Tx, Value, args, hosts, leftovers};
use crate::clock::Timestamp;
use crate::cloud::placement::Demand;
use crate::error::{Error, Result};
use crate::ids::{HostId, ProjectId, ServerId};

/// Stores what a server takes of a host. Asked in the transaction that picked the host.
pub fn claim(tx: &mut Tx, server: ServerId, host: HostId, demand: Demand, now: Timestamp) -> Result<()> {
    let stored = tx.execute(
        "INSERT INTO claims (server_id, host_id, vcpus, memory_mib, disk_gib, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        args![server, host, demand.vcpus, demand.memory_mib, demand.disk_gib, now],
    )?;
    if stored == 1 { is_changed(tx, server, Some(host)) } else { Ok(()) }
}

/// Counts a change of what a server holds of one host, or of each it holds something of.
fn is_changed(tx: &mut Tx, server: ServerId, host: Option<HostId>) -> Result<()> {
    match host {
        Some(host) => tx.execute("UPDATE hosts SET generation = generation + 1 WHERE id = ?1", args![host])?,
        None => {
            let sql = "UPDATE hosts SET generation = generation + 1
                        WHERE id IN (SELECT host_id FROM claims WHERE server_id = ?1)";
            tx.execute(sql, args![server])?
        }
    };
    tx.execute("UPDATE servers SET claim_generation = claim_generation + 1 WHERE id = ?1", args![server])?;
    Ok(())
}

/// What a server takes of a host changes; asking twice is asking once.
pub fn set(tx: &mut Tx, server: ServerId, host: HostId, demand: Demand, now: Timestamp) -> Result<()> {
    let sql = "UPDATE claims SET vcpus = ?3, memory_mib = ?4, disk_gib = ?5, created_at = ?6
                WHERE server_id = ?1 AND host_id = ?2";
    tx.execute(sql, args![server, host, demand.vcpus, demand.memory_mib, demand.disk_gib, now])?;
    is_changed(tx, server, Some(host))
}

/// The server holds this of one host and nothing of any other, where what it left is to be cleared away. Answers those.
pub fn hold_only(tx: &mut Tx, server: ServerId, host: HostId, demand: Demand, now: Timestamp) -> Result<Vec<HostId>> {
    let sql = "DELETE FROM claims WHERE server_id = ?1 AND host_id <> ?2 RETURNING host_id";
    let others = tx.query(sql, args![server, host])?.into_iter();
    let others: Vec<HostId> = others.map(|mut row| row.next()).collect::<Result<_>>()?;
    for other in &others {
        leftovers::note(tx, server, *other, now)?;
        is_changed(tx, server, Some(*other))?;
    }
    set(tx, server, host, demand, now)?;
    Ok(others)
}

/// As [`set`], if the host has room for what it is more. `alone` is what the server will take by itself, which its host
/// must really have; what it holds until the change is confirmed comes on top.
///
/// # Errors
/// `BadRequest` in Nova's words when it hasn't.
pub fn enlarge(
    tx: &mut Tx,
    server: ServerId,
    host: HostId,
    demand: Demand,
    alone: Demand,
    now: Timestamp,
) -> Result<()> {
    let sql = "SELECT vcpus, memory_mib, disk_gib FROM claims WHERE server_id = ?1 AND host_id = ?2";
    let held = match tx.query_one(sql, args![server, host])? {
        Some(mut row) => Demand { vcpus: row.next()?, memory_mib: row.next()?, disk_gib: row.next()? },
        None => Demand { vcpus: 0, memory_mib: 0, disk_gib: 0 },
    };
    let host = hosts::get(tx, host)?;
    let free = host.free();
    let fits = |wanted: u64, held: u64, free: u64| wanted <= held.saturating_add(free);
    let has_room = alone.fits(host.total)
        && fits(demand.vcpus, held.vcpus, free.vcpus)
        && fits(demand.memory_mib, held.memory_mib, free.memory_mib)
        && fits(demand.disk_gib, held.disk_gib, free.disk_gib);
    if !has_room {
        return Err(Error::bad_request("No valid host was found. There are not enough hosts available."));
    }
    set(tx, server, host.id, demand, now)
}

/// A host that a server has a claim on: the only one, unless it moves.
pub fn claimed_by(tx: &mut Tx, server: ServerId) -> Result<Option<HostId>> {
    let row = tx.query_one("SELECT host_id FROM claims WHERE server_id = ?1", args![server])?;
    row.map(|mut row| row.next()).transpose()
}

/// Has a server a claim on this host?
pub fn has(tx: &mut Tx, server: ServerId, host: HostId) -> Result<bool> {
    let sql = "SELECT 1 FROM claims WHERE server_id = ?1 AND host_id = ?2";
    Ok(tx.query_one(sql, args![server, host])?.is_some())
}

/// Every host that has, or may have, something of a server: it has a claim there, or left something behind.
pub fn with_traces_of(tx: &mut Tx, server: ServerId) -> Result<Vec<HostId>> {
    let sql = "SELECT host_id FROM claims WHERE server_id = ?1
                UNION SELECT host_id FROM leftovers WHERE server_id = ?1 ORDER BY host_id";
    tx.query(sql, args![server])?.into_iter().map(|mut row| row.next()).collect()
}

/// The hosts on which these servers of a project have claims.
pub fn claimed_by_own(tx: &mut Tx, project: &ProjectId, servers: &[ServerId]) -> Result<Vec<HostId>> {
    let mut found = Vec::new();
    // Engines bound the number of parameters.
    for some in servers.chunks(500) {
        let numbers: Vec<String> = (0..some.len()).map(|n| format!("?{}", n + 2)).collect();
        let sql = format!(
            "SELECT DISTINCT c.host_id FROM claims c JOIN servers s ON s.id = c.server_id
              WHERE s.project_id = ?1 AND c.server_id IN ({})",
            numbers.join(", ")
        );
        let mut arguments = args![project].to_vec();
        arguments.extend(some.iter().map(Value::from));
        for mut row in tx.query(&sql, &arguments)? {
            found.push(row.next()?);
        }
    }
    Ok(found)
}

/// Gives back everything a server had claimed. Nothing claimed is done.
pub fn release(tx: &mut Tx, server: ServerId) -> Result<()> {
    is_changed(tx, server, None)?;
    tx.execute("DELETE FROM claims WHERE server_id = ?1", args![server])?;
    Ok(())
}

/// Gives back what a server had claimed of one host. Nothing claimed is done.
pub fn release_from(tx: &mut Tx, server: ServerId, host: HostId) -> Result<()> {
    match tx.execute("DELETE FROM claims WHERE server_id = ?1 AND host_id = ?2", args![server, host])? {
        0 => Ok(()),
        _ => is_changed(tx, server, Some(host)),
    }
}
