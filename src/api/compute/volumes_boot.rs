//! `os-volumes_boot`: another name of `servers`, until a version took it away.

use super::versions::NO_VOLUMES_BOOT;
use crate::api::Row;

/// Paths that have two names.
const ALIASES: &[(&str, &str)] = &[
    ("/servers", "/os-volumes_boot"),
    ("/servers/detail", "/os-volumes_boot/detail"),
    ("/servers/{server_id}", "/os-volumes_boot/{server_id}"),
    ("/servers/{server_id}/action", "/os-volumes_boot/{server_id}/action"),
];

/// The rows of servers once more, for as long as the other name lives. Documents say them once, under their own name.
pub fn rows(of_servers: &[Row]) -> Vec<Row> {
    let alias = |row: &Row| {
        let (_, path) = ALIASES.iter().find(|(path, _)| *path == row.path)?;
        let mut row = Row { path, ..row.clone() };
        row.lifetime.until = Some(row.lifetime.until.map_or(NO_VOLUMES_BOOT.0, |until| until.min(NO_VOLUMES_BOOT.0)));
        Some(row.unbuilt())
    };
    of_servers.iter().filter_map(alias).collect()
}
