//! What a decision about a place reads, in as many questions however many hosts there are.

use super::host_kinds::{self, Kinds};
use super::{Json, Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::aggregate::ZONE;
use crate::cloud::placement::{Candidate, Condition, Demand, HostKind, Metadata, Request, Rules};
use crate::error::Result;
use crate::ids::HostId;
use crate::store::hosts::Health;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Every host, by number: one row each, and of what many say alike one row for all of them, if the request asks about it.
pub fn candidates(tx: &mut Tx, request: &Request, rules: &Rules, now: Timestamp) -> Result<Vec<Candidate>> {
    let plugged = if request.physical_networks.is_empty() { "'[]'" } else { "physical_networks" };
    let asks_about_kinds = request.asks_about_kinds(rules);
    let kind = if asks_about_kinds { "kind" } else { "NULL" };
    let kinds = if asks_about_kinds { host_kinds::all(tx)? } else { Kinds::new() };
    let (unknown, busy, said) = (Arc::<HostKind>::default(), io_operations(tx)?, said_by_aggregates(tx)?);
    let candidate = |mut row: Row| {
        let (number, id, name, zone): (i64, HostId, _, _) = (row.next()?, row.next()?, row.next()?, row.next()?);
        let health = Health { enabled: row.next()?, forced_down: row.next()?, last_seen_at: row.next()? };
        let condition = match (health.enabled, health.is_up(now)) {
            (false, _) => Condition::Disabled,
            (true, false) => Condition::Down,
            (true, true) => Condition::Up,
        };
        let candidate = Candidate {
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
            kind: row.next::<Option<String>>()?.and_then(|kind| kinds.get(&kind)).unwrap_or(&unknown).clone(),
            physical_networks: row.next::<Json<BTreeSet<String>>>()?.0,
            aggregates: said.get(&id).cloned(),
        };
        Ok((number, candidate))
    };
    let sql = format!(
        "SELECT number, id, name, zone, enabled, forced_down, last_seen_at,
                total_vcpus, total_memory_mib, total_disk_gib, vcpus, memory_mib, disk_gib,
                claimed_vcpus, claimed_memory_mib, claimed_disk_gib, claims,
                failed_builds, hypervisor_version, {kind}, {plugged}
           FROM hosts"
    );
    let mut found = tx.query_map(&sql, args![], candidate)?;
    // Here rather than there: they come all but sorted, and an engine would copy every row to find that out.
    found.sort_by_key(|(number, host)| (*number, host.id));
    Ok(found.into_iter().map(|(_, host)| host).collect())
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
    let member = |mut row: Row| Ok((row.next()?, row.next()?));
    let members =
        tx.query_map("SELECT host_id, aggregate_id FROM aggregate_hosts ORDER BY aggregate_id", args![], member)?;
    let mut of_host: HashMap<HostId, Vec<i64>> = HashMap::new();
    for (host, aggregate) in members {
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
