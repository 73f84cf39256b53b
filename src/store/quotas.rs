//! Limits of projects, and what counts against them.

use super::{Json, Tx, args};
use crate::cloud::flavor::Flavor;
use crate::cloud::quota::{Limits, UNIFIED, Usage};
use crate::error::Result;
use crate::ids::ProjectId;
use std::collections::BTreeMap;

/// What a project may hold: the defaults and what an operator set.
pub fn limits(tx: &mut Tx, project: &ProjectId) -> Result<Limits> {
    let rows = tx.query("SELECT resource, maximum FROM quotas WHERE project_id = ?1", args![project])?;
    let overrides = rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect::<Result<Vec<_>>>()?;
    Ok(Limits::with(overrides))
}

/// What a project may hold where `region` names the region whose registered limits of identity hold, and what
/// [`limits`] says where none does.
pub fn limits_in(tx: &mut Tx, region: Option<&str>, project: &ProjectId) -> Result<Limits> {
    let Some(region) = region else { return limits(tx, project) };
    let mut found = BTreeMap::new();
    for (name, _) in UNIFIED {
        if let Some(limit) = super::limits::effective(tx, "compute", region, name, project)? {
            found.insert(*name, limit);
        }
    }
    Ok(Limits::unified(|name| found.get(name).copied()))
}

pub fn set(tx: &mut Tx, project: &ProjectId, resource: &str, maximum: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO quotas (project_id, resource, maximum) VALUES (?1, ?2, ?3)
         ON CONFLICT (project_id, resource) DO UPDATE SET maximum = ?3",
        args![project, resource, maximum],
    )?;
    Ok(())
}

/// Back to the defaults.
pub fn reset(tx: &mut Tx, project: &ProjectId) -> Result<()> {
    tx.execute("DELETE FROM quotas WHERE project_id = ?1", args![project])?;
    Ok(())
}

/// What the servers of a project hold, counted now.
pub fn usage(tx: &mut Tx, project: &ProjectId) -> Result<Usage> {
    // What is deleted but not yet for good holds nothing; to restore it asks again.
    let sql = "SELECT flavor FROM servers WHERE project_id = ?1 AND deleted_at IS NULL AND state <> 'soft-delete'";
    let mut usage = Usage::default();
    for mut row in tx.query(sql, args![project])? {
        let Json(flavor): Json<Flavor> = row.next()?;
        usage.instances += 1;
        usage.cores += i64::from(flavor.vcpus);
        usage.ram += i64::try_from(flavor.ram_mib).unwrap_or(i64::MAX);
    }
    Ok(usage)
}

/// Is there such a project? Quota sets of unknown ones are refused.
pub fn project_exists(tx: &mut Tx, project: &ProjectId) -> Result<bool> {
    Ok(tx.query_one("SELECT 1 FROM projects WHERE id = ?1", args![project])?.is_some())
}
