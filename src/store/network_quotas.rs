//! How many networks, subnets and ports a project may have.

use super::{Tx, args};
use crate::error::{Error, Result};
use crate::ids::ProjectId;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Network,
    Subnet,
    Port,
}

impl Resource {
    pub const ALL: [Self; 3] = [Self::Network, Self::Subnet, Self::Port];

    /// Neutron's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Subnet => "subnet",
            Self::Port => "port",
        }
    }

    /// Upstream's default.
    pub const fn default_limit(self) -> i64 {
        match self {
            Self::Network | Self::Subnet => 100,
            Self::Port => 500,
        }
    }

    /// The row's name; compute's limits live in the same table.
    fn key(self) -> String {
        format!("network:{}", self.name())
    }
}

/// The project's limit; -1: none.
pub fn limit(tx: &mut Tx, project: &ProjectId, resource: Resource) -> Result<i64> {
    let sql = "SELECT maximum FROM quotas WHERE project_id = ?1 AND resource = ?2";
    let row = tx.query_one(sql, args![project, resource.key()])?;
    row.map_or(Ok(resource.default_limit()), |mut row| row.next())
}

/// How many the project has.
pub fn used(tx: &mut Tx, project: &ProjectId, resource: Resource) -> Result<i64> {
    match resource {
        Resource::Network => super::networks::count(tx, project),
        Resource::Subnet => super::subnets::count(tx, project),
        Resource::Port => super::ports::count(tx, project),
    }
}

/// Refuses when `more` would be too many.
///
/// # Errors
/// `OverQuota` in Neutron's words.
pub fn check(tx: &mut Tx, project: &ProjectId, resource: Resource, more: i64) -> Result<()> {
    let limit = limit(tx, project, resource)?;
    if limit >= 0 && used(tx, project, resource)? + more > limit {
        return Err(Error::OverQuota(format!("Quota exceeded for resources: ['{}'].", resource.name())));
    }
    Ok(())
}

/// Sets a limit for a project that exists.
pub fn set(tx: &mut Tx, project: &ProjectId, resource: Resource, maximum: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO quotas (project_id, resource, maximum) VALUES (?1, ?2, ?3)
         ON CONFLICT (project_id, resource) DO UPDATE SET maximum = ?3",
        args![project, resource.key(), maximum],
    )?;
    Ok(())
}

/// The project's limits are the defaults again. `false` when they were already.
pub fn reset(tx: &mut Tx, project: &ProjectId) -> Result<bool> {
    let mut any = false;
    for resource in Resource::ALL {
        let sql = "DELETE FROM quotas WHERE project_id = ?1 AND resource = ?2";
        any |= tx.execute(sql, args![project, resource.key()])? > 0;
    }
    Ok(any)
}

/// Projects with limits of their own.
pub fn projects(tx: &mut Tx) -> Result<Vec<ProjectId>> {
    let sql = "SELECT DISTINCT project_id FROM quotas WHERE resource LIKE 'network:%' ORDER BY project_id";
    tx.query(sql, args![])?.into_iter().map(|mut row| row.next()).collect()
}
