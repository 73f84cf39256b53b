//! Limits of projects, and what counts against them.

use super::servers::Aside;
use super::{Json, Tx, Value, args};
use crate::cloud::flavor::Flavor;
use crate::cloud::quota::{self, Limits, UNIFIED, Usage};
use crate::error::Result;
use crate::ids::{ProjectId, UserId};
use std::collections::BTreeMap;

/// The class whose limits are everybody's.
pub const DEFAULT_CLASS: &str = "default";

fn pairs(tx: &mut Tx, sql: &str, args: &[Value]) -> Result<Vec<(String, i64)>> {
    tx.query(sql, args)?.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
}

/// What a class says, where it says anything.
pub fn of_class(tx: &mut Tx, class: &str) -> Result<Vec<(String, i64)>> {
    pairs(tx, "SELECT resource, maximum FROM quota_classes WHERE class = ?1", args![class])
}

pub fn set_class(tx: &mut Tx, class: &str, resource: &str, maximum: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO quota_classes (class, resource, maximum) VALUES (?1, ?2, ?3)
         ON CONFLICT (class, resource) DO UPDATE SET maximum = ?3",
        args![class, resource, maximum],
    )?;
    Ok(())
}

/// What a project may hold that was given no limits of its own.
pub fn defaults(tx: &mut Tx) -> Result<Limits> {
    Ok(Limits::with(of_class(tx, DEFAULT_CLASS)?))
}

/// What a project may hold: the defaults and what an operator set.
pub fn limits(tx: &mut Tx, project: &ProjectId) -> Result<Limits> {
    let class = of_class(tx, DEFAULT_CLASS)?;
    let own = pairs(tx, "SELECT resource, maximum FROM quotas WHERE project_id = ?1", args![project])?;
    Ok(Limits::with(class.into_iter().chain(own)))
}

/// What a user may hold within a project, where an operator said.
pub fn of_user(tx: &mut Tx, project: &ProjectId, user: &UserId) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT resource, maximum FROM user_quotas WHERE project_id = ?1 AND user_id = ?2";
    pairs(tx, sql, args![project, user])
}

/// What all users of a project were given of each resource, together.
pub fn given_to_users(tx: &mut Tx, project: &ProjectId) -> Result<BTreeMap<String, i64>> {
    let sql = "SELECT resource, CAST(SUM(maximum) AS BIGINT) FROM user_quotas WHERE project_id = ?1 AND maximum >= 0
                GROUP BY resource";
    Ok(pairs(tx, sql, args![project])?.into_iter().collect())
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

pub fn set_user(tx: &mut Tx, project: &ProjectId, user: &UserId, resource: &str, maximum: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO user_quotas (project_id, user_id, resource, maximum) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (project_id, user_id, resource) DO UPDATE SET maximum = ?4",
        args![project, user, resource, maximum],
    )?;
    Ok(())
}

/// Back to the defaults, the users of the project too.
pub fn reset(tx: &mut Tx, project: &ProjectId) -> Result<()> {
    tx.execute("DELETE FROM quotas WHERE project_id = ?1", args![project])?;
    tx.execute("DELETE FROM user_quotas WHERE project_id = ?1", args![project])?;
    Ok(())
}

/// Back to what the project may hold.
pub fn reset_user(tx: &mut Tx, project: &ProjectId, user: &UserId) -> Result<()> {
    tx.execute("DELETE FROM user_quotas WHERE project_id = ?1 AND user_id = ?2", args![project, user])?;
    Ok(())
}

/// What the servers of a project hold, counted now. Where limits of identity hold in a `region`, what is on no host holds
/// no cores and no memory.
pub fn usage(tx: &mut Tx, region: Option<&str>, project: &ProjectId) -> Result<Usage> {
    // What is deleted but not yet for good holds nothing, unless it is on its way back.
    let sql = "SELECT flavor, aside, state, task FROM servers
                WHERE project_id = ?1 AND deleted_at IS NULL AND (state <> 'soft-delete' OR task = 'restoring')";
    summed(tx, sql, args![project], region.is_some())
}

/// What those of one user hold of it.
pub fn usage_of_user(tx: &mut Tx, project: &ProjectId, user: &UserId) -> Result<Usage> {
    let sql = "SELECT flavor, aside, state, task FROM servers
                WHERE project_id = ?1 AND user_id = ?2 AND deleted_at IS NULL
                  AND (state <> 'soft-delete' OR task = 'restoring')";
    summed(tx, sql, args![project, user], false)
}

fn summed(tx: &mut Tx, sql: &str, args: &[Value], only_on_hosts: bool) -> Result<Usage> {
    let mut usage = Usage::default();
    for mut row in tx.query(sql, args)? {
        let Json(flavor): Json<Flavor> = row.next()?;
        let aside: Option<Json<Aside>> = row.next()?;
        let wished = aside.and_then(|Json(aside)| aside.resized).and_then(|resized| resized.wished);
        let (held, wished) = (Usage::of(1, &flavor), Usage::of(1, wished.as_ref().unwrap_or(&flavor)));
        usage.instances += 1;
        let (state, task): (String, Option<String>) = (row.next()?, row.next()?);
        if only_on_hosts && state == "shelved_offloaded" && !matches!(task.as_deref(), Some("unshelving" | "spawning"))
        {
            continue;
        }
        // While a server is on its way from one flavor to another, whichever it ends with must have room.
        usage.cores += held.cores.max(wished.cores);
        usage.ram += held.ram.max(wished.ram);
    }
    Ok(usage)
}

/// How many servers like this one, from `min` to `max`, may be added: as many as the project's limits and the user's own
/// within it leave room for. Asked in the transaction that adds them.
///
/// # Errors
/// `OverQuota` when not even `min`, naming what is in the way.
pub fn room(tx: &mut Tx, wanted: &Wanted<'_>) -> Result<i64> {
    let Wanted { region, project, user, each, min, max } = *wanted;
    let limits = limits_in(tx, region, project)?;
    let used = usage(tx, region, project)?;
    if region.is_some() {
        return quota::admit_unified(project, &limits, used, each, min, max);
    }
    let count = quota::admit(&limits, used, each, min, max)?;
    let own = of_user(tx, project, user)?;
    if own.is_empty() {
        return Ok(count);
    }
    // What nobody limited for this user is the project's to limit, which has been asked.
    let own = Limits(own.into_iter().collect());
    let used = usage_of_user(tx, project, user)?;
    quota::admit(&own, used, each, min, count)
}

/// Servers that somebody wants to add.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// The region whose limits of identity hold in place of quotas.
    pub region: Option<&'w str>,
    pub project: &'w ProjectId,
    pub user: &'w UserId,
    /// What one of them takes.
    pub each: Usage,
    pub min: i64,
    pub max: i64,
}

/// Is there such a project? Quota sets of unknown ones are refused.
pub fn project_exists(tx: &mut Tx, project: &ProjectId) -> Result<bool> {
    Ok(tx.query_one("SELECT 1 FROM projects WHERE id = ?1", args![project])?.is_some())
}
