//! What a project's images hold, counted now, against the limits that identity keeps for them.

use super::{Tx, args, limits};
use crate::cloud::limit::{self, Claim};
use crate::error::Result;
use crate::ids::ProjectId;

/// Images, in whatever state.
pub const COUNT: &str = "image_count_total";
/// MiB of stored images.
pub const SIZE: &str = "image_size_total";
/// Images whose bytes are on their way, or have come in part.
pub const UPLOADING: &str = "image_count_uploading";
/// MiB that wait for an import or are being imported, or for the rest of their upload.
pub const STAGED: &str = "image_stage_total";

pub const ALL: [&str; 4] = [SIZE, STAGED, COUNT, UPLOADING];

pub const MIB: u64 = 1024 * 1024;

/// What the project holds of a resource.
pub fn used(tx: &mut Tx, resource: &str, project: &ProjectId) -> Result<i64> {
    let sql = match resource {
        COUNT => "SELECT COUNT(*) FROM images WHERE owner = ?1 AND status <> 'killed'",
        SIZE => {
            "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) / 1048576 FROM images
              WHERE owner = ?1 AND status IN ('active', 'deactivated')"
        }
        STAGED => {
            "SELECT (CAST(COALESCE(SUM(size), 0) AS BIGINT)
                     + (SELECT CAST(COALESCE(SUM(u.received), 0) AS BIGINT)
                          FROM image_uploads u JOIN images i ON i.id = u.image_id WHERE i.owner = ?1)) / 1048576
               FROM images
              WHERE owner = ?1
                AND (status IN ('uploading', 'importing') OR EXISTS (
                        SELECT 1 FROM image_properties p
                         WHERE p.image_id = images.id AND p.name = 'os_glance_importing_to_stores' AND p.value <> ''))"
        }
        UPLOADING => {
            "SELECT COUNT(*) FROM images
              WHERE owner = ?1
                AND (status IN ('saving', 'uploading', 'importing')
                     OR EXISTS (SELECT 1 FROM image_uploads u WHERE u.image_id = images.id)
                     OR EXISTS (
                        SELECT 1 FROM image_properties p
                         WHERE p.image_id = images.id AND p.name = 'os_glance_importing_to_stores' AND p.value <> ''))"
        }
        _ => return Ok(0),
    };
    tx.query(sql, args![project])?.remove(0).next()
}

/// What the project may hold of it: what nobody registered, none, as Glance's use of oslo.limit has it.
pub fn allowed(tx: &mut Tx, region: &str, resource: &str, project: &ProjectId) -> Result<i64> {
    Ok(limits::effective(tx, "image", region, resource, project)?.unwrap_or(0))
}

/// How many bytes of a resource counted in MiB the project may add; `None`: no bound. Limits are in whole MiB, and what is less counts for nothing.
pub fn room(tx: &mut Tx, region: &str, resource: &str, project: &ProjectId) -> Result<Option<u64>> {
    let limit = allowed(tx, region, resource, project)?;
    let free = limit.saturating_sub(used(tx, resource, project)?);
    Ok(u64::try_from(limit).ok().map(|_| u64::try_from(free).unwrap_or(0).saturating_add(1).saturating_mul(MIB) - 1))
}

/// # Errors
/// `OverQuota` when the project would come to hold more than it may.
pub fn check(tx: &mut Tx, region: &str, resource: &str, project: &ProjectId, more: i64) -> Result<()> {
    let claim =
        Claim { resource, limit: allowed(tx, region, resource, project)?, used: used(tx, resource, project)?, more };
    limit::check(project, &[claim])
}
