//! Does a project's quota leave room for more? Asked in the transaction that takes it.

use crate::cloud::flavor::Flavor;
use crate::cloud::quota::{self, Usage};
use crate::error::Result;
use crate::ids::ProjectId;
use crate::store::{Tx, quotas};

/// What so many servers of a flavor hold.
pub fn of_flavor(instances: i64, flavor: &Flavor) -> Usage {
    Usage { instances, cores: flavor.vcpus.into(), ram: i64::try_from(flavor.ram_mib).unwrap_or(i64::MAX) }
}

/// # Errors
/// `OverQuota`, in the words of whoever keeps the limits: compute itself, or identity's in `region`.
pub fn allowance(tx: &mut Tx, region: Option<&str>, project: &ProjectId, more: Usage) -> Result<()> {
    let limits = quotas::limits_in(tx, region, project)?;
    let used = quotas::usage(tx, project)?;
    match region {
        None => quota::admit(&limits, used, more, 1, 1)?,
        Some(_) => quota::admit_unified(project, &limits, used, more, 1, 1)?,
    };
    Ok(())
}
