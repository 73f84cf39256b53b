//! What servers take of hosts: a claim for each host that a server is on, or is on its way to or from.
//!
//! Whoever makes one has picked the host in the same transaction. Each change adds up anew what is claimed of the host, which its
//! row keeps so that who decides reads one row a host, and raises the generations by which Placement's clients tell that
//! something changed.

use super::{Tx, Value, args, hosts, leftovers};
use crate::clock::Timestamp;
use crate::cloud::placement::Demand;
use crate::error::Result;
use crate::ids::{HostId, ProjectId, ServerId};

/// Stores what a server takes of a host. Asked in the transaction that picked the host.
pub fn claim(tx: &mut Tx, server: ServerId, host: HostId, demand: Demand, now: Timestamp) -> Result<()> {
    let stored = tx.execute(
        "INSERT INTO claims (server_id, host_id, vcpus, memory_mib, disk_gib, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        args![server, host, demand.vcpus, demand.memory_mib, demand.disk_gib, now],
    )?;
    if stored == 1 { is_changed(tx, server, &[host]) } else { Ok(()) }
}

/// What a server holds of these hosts has changed: adds up what is claimed of each, and counts the change.
fn is_changed(tx: &mut Tx, server: ServerId, hosts: &[HostId]) -> Result<()> {
    let sql = "UPDATE hosts SET generation = generation + 1,
                                (claims, claimed_vcpus, claimed_memory_mib, claimed_disk_gib) =
                                (SELECT COUNT(*), CAST(COALESCE(SUM(c.vcpus), 0) AS BIGINT),
                                        CAST(COALESCE(SUM(c.memory_mib), 0) AS BIGINT),
                                        CAST(COALESCE(SUM(c.disk_gib), 0) AS BIGINT)
                                   FROM claims c WHERE c.host_id = ?1)
                WHERE id = ?1";
    for host in hosts {
        tx.execute(sql, args![host])?;
    }
    tx.execute("UPDATE servers SET claim_generation = claim_generation + 1 WHERE id = ?1", args![server])?;
    Ok(())
}

/// What a server takes of a host changes; asking twice is asking once.
pub fn set(tx: &mut Tx, server: ServerId, host: HostId, demand: Demand, now: Timestamp) -> Result<()> {
    let sql = "UPDATE claims SET vcpus = ?3, memory_mib = ?4, disk_gib = ?5, created_at = ?6
                WHERE server_id = ?1 AND host_id = ?2";
    tx.execute(sql, args![server, host, demand.vcpus, demand.memory_mib, demand.disk_gib, now])?;
    is_changed(tx, server, &[host])
}

/// The server holds this of one host and nothing of any other, where what it left is to be cleared away. Answers those.
pub fn hold_only(tx: &mut Tx, server: ServerId, host: HostId, demand: Demand, now: Timestamp) -> Result<Vec<HostId>> {
    let sql = "DELETE FROM claims WHERE server_id = ?1 AND host_id <> ?2 RETURNING host_id";
    let others = tx.query(sql, args![server, host])?.into_iter();
    let others: Vec<HostId> = others.map(|mut row| row.next()).collect::<Result<_>>()?;
    for other in &others {
        leftovers::note(tx, server, *other, now)?;
        is_changed(tx, server, &[*other])?;
    }
    set(tx, server, host, demand, now)?;
    Ok(others)
}

/// As [`set`], if the host has room for what it is more; false if it hasn't. `alone` is what the server will take by itself,
/// which its host must really have; what it holds until the change is confirmed comes on top.
pub fn enlarge(
    tx: &mut Tx,
    server: ServerId,
    host: HostId,
    demand: Demand,
    alone: Demand,
    now: Timestamp,
) -> Result<bool> {
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
    if has_room {
        set(tx, server, host.id, demand, now)?;
    }
    Ok(has_room)
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
    let freed = tx.query("DELETE FROM claims WHERE server_id = ?1 RETURNING host_id", args![server])?.into_iter();
    let freed: Vec<HostId> = freed.map(|mut row| row.next()).collect::<Result<_>>()?;
    is_changed(tx, server, &freed)
}

/// Gives back what a server had claimed of one host. Nothing claimed is done.
pub fn release_from(tx: &mut Tx, server: ServerId, host: HostId) -> Result<()> {
    match tx.execute("DELETE FROM claims WHERE server_id = ?1 AND host_id = ?2", args![server, host])? {
        0 => Ok(()),
        _ => is_changed(tx, server, &[host]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::store_test;

    const NOW: Timestamp = Timestamp(1);

    const fn demand(memory_mib: u64) -> Demand {
        Demand { vcpus: 1, memory_mib, disk_gib: 2 }
    }

    fn server(tx: &mut Tx) -> Result<ServerId> {
        let id = ServerId::random();
        tx.execute(
            "INSERT INTO servers (id, project_id, user_id, name, hostname, state, power, flavor, flavor_id, image_properties,
                                  metadata, config_drive, reservation_id, launch_index, scheduler_hints, access_ip_v4,
                                  access_ip_v6, disk_config, progress, created_at, updated_at)
             VALUES (?1, 'p', 'u', 'web', 'web', 'building', 'unknown', '{}', '1', '{}', '{}', 1, 'r-1', 0, '{}', '', '', 'MANUAL',
                     0, 1, 1)",
            args![id],
        )?;
        Ok(id)
    }

    fn host(tx: &mut Tx, name: &str) -> Result<HostId> {
        let id = HostId::random();
        hosts::ensure(tx, id, name, "nova", NOW)?;
        Ok(id)
    }

    /// What the rows of these hosts say is claimed of each: servers, memory, disk.
    fn sums(tx: &mut Tx, hosts: [HostId; 2]) -> Result<[(u64, u64, u64); 2]> {
        let mut sum = |host: HostId| {
            let held = hosts::get(tx, host)?.claimed;
            let mut row = tx.query("SELECT claims FROM hosts WHERE id = ?1", args![host])?.remove(0);
            assert_eq!(held.vcpus, row.next::<u64>()?, "one each");
            Ok((held.vcpus, held.memory_mib, held.disk_gib))
        };
        Ok([sum(hosts[0])?, sum(hosts[1])?])
    }

    store_test! {
        async fn a_hosts_row_knows_what_is_claimed_of_it_after_every_change(db: Db) {
            db.write(|tx| {
                let (one, two, a, b) = (server(tx)?, server(tx)?, host(tx, "a")?, host(tx, "b")?);
                claim(tx, one, a, demand(64), NOW)?;
                claim(tx, two, a, demand(32), NOW)?;
                claim(tx, two, a, demand(32), NOW)?;
                assert_eq!(sums(tx, [a, b])?, [(2, 96, 4), (0, 0, 0)], "claimed twice is claimed once");
                claim(tx, two, b, demand(32), NOW)?;
                set(tx, one, a, demand(128), NOW)?;
                assert_eq!(sums(tx, [a, b])?, [(2, 160, 4), (1, 32, 2)]);
                hold_only(tx, two, b, demand(16), NOW)?;
                assert_eq!(sums(tx, [a, b])?, [(1, 128, 2), (1, 16, 2)]);
                claim(tx, one, b, demand(1), NOW)?;
                release_from(tx, one, b)?;
                release_from(tx, one, b)?;
                assert_eq!(sums(tx, [a, b])?, [(1, 128, 2), (1, 16, 2)]);
                release(tx, one)?;
                release(tx, two)?;
                assert_eq!(sums(tx, [a, b])?, [(0, 0, 0), (0, 0, 0)]);
                Ok(())
            })
            .await
            .unwrap();
        }
    }
}
