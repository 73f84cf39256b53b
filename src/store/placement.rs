//! What a decision about a place reads, in as many questions however many hosts there are.

use super::{Json, Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::aggregate::ZONE;
use crate::cloud::placement::{Candidate, Condition, Demand, Metadata, Request, Rules};
use crate::error::Result;
use crate::ids::HostId;
use crate::store::hosts::Health;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Every host, by number. What hosts said of themselves is read only if the request asks about it.
pub fn candidates(tx: &mut Tx, request: &Request, rules: &Rules, now: Timestamp) -> Result<Vec<Candidate>> {
    let plugged = if request.physical_networks.is_empty() { "'[]'" } else { "h.physical_networks" };
    let facts = if request.asks_for_facts(rules) { "h.facts" } else { "'null'" };
    let traits = if request.asks_for_traits() { "h.traits" } else { "''" };
    let sql = format!(
        "SELECT h.id, h.name, h.zone, h.enabled, h.forced_down, h.last_seen_at,
                h.total_vcpus, h.total_memory_mib, h.total_disk_gib, h.vcpus, h.memory_mib, h.disk_gib,
                COALESCE(c.vcpus, 0), COALESCE(c.memory_mib, 0), COALESCE(c.disk_gib, 0), COALESCE(c.servers, 0),
                h.failed_builds, h.hypervisor_version, {traits}, {facts}, {plugged}
           FROM hosts h
           LEFT JOIN (SELECT host_id, CAST(SUM(vcpus) AS BIGINT) AS vcpus, CAST(SUM(memory_mib) AS BIGINT) AS memory_mib,
                             CAST(SUM(disk_gib) AS BIGINT) AS disk_gib, COUNT(*) AS servers
                        FROM claims GROUP BY host_id) c ON c.host_id = h.id
          ORDER BY h.number, h.id"
    );
    let busy = io_operations(tx)?;
    let said = said_by_aggregates(tx)?;
    let candidate = |mut row: Row| {
        let id = row.next()?;
        let (name, zone) = (row.next()?, row.next()?);
        let health = Health { enabled: row.next()?, forced_down: row.next()?, last_seen_at: row.next()? };
        let condition = match (health.enabled, health.is_up(now)) {
            (false, _) => Condition::Disabled,
            (true, false) => Condition::Down,
            (true, true) => Condition::Up,
        };
        Ok(Candidate {
            id,
            name,
            zone,
            condition,
            total: demand(&mut row)?,
            capacity: demand(&mut row)?,
            claimed: demand(&mut row)?,
            servers: row.next()?,
            io_operations: busy.get(&id).copied().unwrap_or(0),
            failed_builds: row.next()?,
            hypervisor_version: row.next()?,
            traits: row.next()?,
            facts: row.next::<Json<Value>>()?.0,
            physical_networks: row.next::<Json<BTreeSet<String>>>()?.0,
            aggregates: said.get(&id).cloned(),
        })
    };
    tx.query(&sql, args![])?.into_iter().map(candidate).collect()
}

fn demand(row: &mut Row) -> Result<Demand> {
    Ok(Demand { vcpus: row.next()?, memory_mib: row.next()?, disk_gib: row.next()? })
}

/// Servers on each host that are being built, copied or moved: what upstream counts as its load of I/O.
fn io_operations(tx: &mut Tx) -> Result<HashMap<HostId, u64>> {
    let sql = "SELECT host_id, COUNT(*) FROM servers
                WHERE task IS NOT NULL AND deleted_at IS NULL AND host_id IS NOT NULL
                  AND (state = 'building' OR task IN ('resize_prep', 'resize_migrating', 'rebuilding', 'image_snapshot_pending',
                                                      'image_uploading', 'image_backup', 'rescuing', 'unshelving'))
                GROUP BY host_id";
    tx.query(sql, args![])?.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
}

/// Every name that any aggregate says something under, but for zones, which hosts' rows know.
pub fn aggregate_names(tx: &mut Tx) -> Result<BTreeSet<String>> {
    let rows = tx.query("SELECT DISTINCT name FROM aggregate_metadata WHERE name <> ?1", args![ZONE])?;
    rows.into_iter().map(|mut row| row.next()).collect()
}

/// What each host's aggregates say, all together. Hosts that are in the same ones share it.
fn said_by_aggregates(tx: &mut Tx) -> Result<HashMap<HostId, Arc<Metadata>>> {
    let mut texts: HashMap<i64, Vec<(String, String)>> = HashMap::new();
    for mut row in tx.query("SELECT aggregate_id, name, value FROM aggregate_metadata WHERE name <> ?1", args![ZONE])? {
        texts.entry(row.next()?).or_default().push((row.next()?, row.next()?));
    }
    if texts.is_empty() {
        return Ok(HashMap::new());
    }
    let mut of_host: HashMap<HostId, Vec<i64>> = HashMap::new();
    for mut row in tx.query("SELECT host_id, aggregate_id FROM aggregate_hosts ORDER BY aggregate_id", args![])? {
        let (host, aggregate) = (row.next()?, row.next()?);
        if texts.contains_key(&aggregate) {
            of_host.entry(host).or_default().push(aggregate);
        }
    }
    let mut together: HashMap<Vec<i64>, Arc<Metadata>> = HashMap::new();
    let said = |(host, aggregates): (HostId, Vec<i64>)| {
        let metadata = together.entry(aggregates).or_insert_with_key(|aggregates| {
            Arc::new(metadata(aggregates.iter().filter_map(|id| texts.get(id)).flatten()))
        });
        (host, metadata.clone())
    };
    Ok(of_host.into_iter().map(said).collect())
}

/// Values that stand between commas count each for itself.
pub fn metadata<'t>(texts: impl Iterator<Item = &'t (String, String)>) -> Metadata {
    let mut metadata = Metadata::new();
    for (name, value) in texts {
        metadata.entry(name.clone()).or_default().extend(value.split(',').map(|part| part.trim().to_owned()));
    }
    metadata
}

/// Notes that a boot on a host failed, or that one succeeded.
pub fn note_build(tx: &mut Tx, host: HostId, succeeded: bool) -> Result<()> {
    let sql = if succeeded {
        "UPDATE hosts SET failed_builds = 0 WHERE id = ?1 AND failed_builds > 0"
    } else {
        "UPDATE hosts SET failed_builds = failed_builds + 1 WHERE id = ?1"
    };
    tx.execute(sql, args![host])?;
    Ok(())
}
