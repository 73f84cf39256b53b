//! The schema, as a list of steps that only go forward.
//!
//! Each file is one step, applied once, in a transaction together with the note that it was. A database that knows a step
//! this program does not is newer than the program; running on it would mean guessing, so it is refused.

use super::{Db, Tx, args};
use crate::clock::Clock;
use crate::error::{Error, Result};

/// A step: its name and its statements.
pub(super) type Migration = (&'static str, &'static str);

pub(super) const ALL: &[Migration] = &[
    ("0001_identity", include_str!("../schema/0001_identity.sql")),
    ("0002_images", include_str!("../schema/0002_images.sql")),
    ("0003_compute", include_str!("../schema/0003_compute.sql")),
    ("0004_network", include_str!("../schema/0004_network.sql")),
    ("0005_cloud", include_str!("../schema/0005_cloud.sql")),
    ("0006_tasks", include_str!("../schema/0006_tasks.sql")),
    ("0007_task_reasons", include_str!("../schema/0007_task_reasons.sql")),
    ("0010_access_rules", include_str!("../schema/0010_access_rules.sql")),
    ("0011_trusts", include_str!("../schema/0011_trusts.sql")),
    ("0012_credentials", include_str!("../schema/0012_credentials.sql")),
    ("0020_limits", include_str!("../schema/0020_limits.sql")),
    ("0021_policies", include_str!("../schema/0021_policies.sql")),
    ("0022_endpoint_filter", include_str!("../schema/0022_endpoint_filter.sql")),
    ("0023_domain_config", include_str!("../schema/0023_domain_config.sql")),
    ("0024_identity_changes", include_str!("../schema/0024_identity_changes.sql")),
    ("0030_identity_lists", include_str!("../schema/0030_identity_lists.sql")),
    ("0031_logins", include_str!("../schema/0031_logins.sql")),
    ("0040_identity_indexes", include_str!("../schema/0040_identity_indexes.sql")),
    ("0050_image_copies", include_str!("../schema/0050_image_copies.sql")),
    ("0051_image_tasks", include_str!("../schema/0051_image_tasks.sql")),
    ("0052_metadefs", include_str!("../schema/0052_metadefs.sql")),
    ("0054_image_shares", include_str!("../schema/0054_image_shares.sql")),
    ("0055_image_uploads", include_str!("../schema/0055_image_uploads.sql")),
    ("0057_image_working", include_str!("../schema/0057_image_working.sql")),
    ("0060_server_groups", include_str!("../schema/0060_server_groups.sql")),
    ("0061_aggregates", include_str!("../schema/0061_aggregates.sql")),
    ("0062_quota_classes", include_str!("../schema/0062_quota_classes.sql")),
    ("0065_server_aside", include_str!("../schema/0065_server_aside.sql")),
    ("0066_server_moves", include_str!("../schema/0066_server_moves.sql")),
    ("0070_trusted_certificates", include_str!("../schema/0070_trusted_certificates.sql")),
    ("0075_image_upload_leftovers", include_str!("../schema/0075_image_upload_leftovers.sql")),
    ("0076_server_blank_disks", include_str!("../schema/0076_server_blank_disks.sql")),
    ("0080_task_turns", include_str!("../schema/0080_task_turns.sql")),
    ("0084_host_numbers", include_str!("../schema/0084_host_numbers.sql")),
    ("0085_inventories", include_str!("../schema/0085_inventories.sql")),
    ("0088_nodes", include_str!("../schema/0088_nodes.sql")),
    ("0092_moves_while_running", include_str!("../schema/0092_moves_while_running.sql")),
    ("0096_move_totals", include_str!("../schema/0096_move_totals.sql")),
    ("0100_server_root_tag", include_str!("../schema/0100_server_root_tag.sql")),
    ("0101_network_segments", include_str!("../schema/0101_network_segments.sql")),
    ("0102_provider_networks", include_str!("../schema/0102_provider_networks.sql")),
    ("0108_generations", include_str!("../schema/0108_generations.sql")),
    ("0111_images_of_a_kind", include_str!("../schema/0111_images_of_a_kind.sql")),
    ("0112_kinds_of_hosts", include_str!("../schema/0112_kinds_of_hosts.sql")),
    ("0114_node_versions", include_str!("../schema/0114_node_versions.sql")),
];

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS schema_versions (name TEXT PRIMARY KEY, applied_at BIGINT NOT NULL)";

pub(super) async fn apply(db: &Db, known: &'static [Migration]) -> Result<Vec<String>> {
    // Two processes that make the table at once are an error for one of them on PostgreSQL; then it is there.
    let applied = match db.write(applied).await {
        Err(_) => db.write(applied).await?,
        Ok(applied) => applied,
    };
    refuse_newer(&applied, known)?;
    let mut fresh = Vec::new();
    for &migration in known {
        if applied.iter().any(|name| name == migration.0) {
            continue;
        }
        if db.write(move |tx| step(tx, migration)).await? {
            fresh.push(migration.0.to_owned());
        }
    }
    Ok(fresh)
}

fn applied(tx: &mut Tx) -> Result<Vec<String>> {
    tx.batch(LEDGER)?;
    let rows = tx.query("SELECT name FROM schema_versions ORDER BY name", args![])?;
    rows.into_iter().map(|mut row| row.next()).collect()
}

/// False when another process was faster.
fn step(tx: &mut Tx, (name, statements): Migration) -> Result<bool> {
    let noted = tx.execute(
        "INSERT INTO schema_versions (name, applied_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        args![name, Clock::System.now()],
    )?;
    if noted == 1 {
        tx.batch(statements)?;
    }
    Ok(noted == 1)
}

fn refuse_newer(applied: &[String], known: &[Migration]) -> Result<()> {
    match applied.iter().find(|name| known.iter().all(|(known, _)| name != known)) {
        None => Ok(()),
        Some(name) => Err(Error::internal(
            "the database was migrated by a newer version of Gapura: run that version, or restore a backup",
            format!("this version does not know the migration {name}"),
        )),
    }
}

#[cfg(test)]
mod tests;
