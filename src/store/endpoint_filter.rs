//! Which endpoints a project's catalogue is narrowed to.

use super::users::{all, json_map};
use super::{Json, Row, Tx, args, epoch};
use crate::cloud::identity::EndpointGroup;
use crate::error::Result;
use crate::ids::ProjectId;

fn group(mut row: Row) -> Result<EndpointGroup> {
    let (id, name, description) = (row.next()?, row.next()?, row.next()?);
    Ok(EndpointGroup { id, name, description, filters: json_map(&mut row)? })
}

pub fn groups(tx: &mut Tx) -> Result<Vec<EndpointGroup>> {
    all(tx.query("SELECT id, name, description, filters FROM endpoint_groups ORDER BY name, id", args![])?, group)
}

pub fn get_group(tx: &mut Tx, id: &str) -> Result<Option<EndpointGroup>> {
    let sql = "SELECT id, name, description, filters FROM endpoint_groups WHERE id = ?1";
    tx.query_one(sql, args![id])?.map(group).transpose()
}

pub fn insert_group(tx: &mut Tx, group: &EndpointGroup) -> Result<()> {
    tx.execute(
        "INSERT INTO endpoint_groups (id, name, description, filters) VALUES (?1, ?2, ?3, ?4)",
        args![&group.id, &group.name, group.description.as_deref(), Json(&group.filters)],
    )
    .map(drop)
}

pub fn update_group(tx: &mut Tx, group: &EndpointGroup) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "UPDATE endpoint_groups SET name = ?2, description = ?3, filters = ?4 WHERE id = ?1",
        args![&group.id, &group.name, group.description.as_deref(), Json(&group.filters)],
    )
    .map(drop)
}

/// Deletes a group with its associations.
pub fn delete_group(tx: &mut Tx, id: &str) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM endpoint_groups WHERE id = ?1", args![id]).map(drop)
}

/// # Errors
/// `Conflict` when the project has the endpoint already.
pub fn add_endpoint(tx: &mut Tx, project: &ProjectId, endpoint: &str) -> Result<()> {
    epoch::bump(tx)?;
    let sql = "INSERT INTO project_endpoints (project_id, endpoint_id) VALUES (?1, ?2)";
    tx.execute(sql, args![project, endpoint]).map(drop)
}

/// `false`: there was no such association.
pub fn remove_endpoint(tx: &mut Tx, project: &ProjectId, endpoint: &str) -> Result<bool> {
    epoch::bump(tx)?;
    let sql = "DELETE FROM project_endpoints WHERE project_id = ?1 AND endpoint_id = ?2";
    Ok(tx.execute(sql, args![project, endpoint])? > 0)
}

pub fn has_endpoint(tx: &mut Tx, project: &ProjectId, endpoint: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM project_endpoints WHERE project_id = ?1 AND endpoint_id = ?2";
    Ok(tx.query_one(sql, args![project, endpoint])?.is_some())
}

/// # Errors
/// `Conflict` when the project has the group already.
pub fn add_group(tx: &mut Tx, project: &ProjectId, group: &str) -> Result<()> {
    epoch::bump(tx)?;
    let sql = "INSERT INTO project_endpoint_groups (endpoint_group_id, project_id) VALUES (?1, ?2)";
    tx.execute(sql, args![group, project]).map(drop)
}

/// `false`: there was no such association.
pub fn remove_group(tx: &mut Tx, project: &ProjectId, group: &str) -> Result<bool> {
    epoch::bump(tx)?;
    let sql = "DELETE FROM project_endpoint_groups WHERE endpoint_group_id = ?1 AND project_id = ?2";
    Ok(tx.execute(sql, args![group, project])? > 0)
}

pub fn has_group(tx: &mut Tx, project: &ProjectId, group: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM project_endpoint_groups WHERE endpoint_group_id = ?1 AND project_id = ?2";
    Ok(tx.query_one(sql, args![group, project])?.is_some())
}

/// The ids of the endpoints that the project has by name.
pub fn endpoints_of_project(tx: &mut Tx, project: &ProjectId) -> Result<Vec<String>> {
    let sql = "SELECT endpoint_id FROM project_endpoints WHERE project_id = ?1 ORDER BY endpoint_id";
    all(tx.query(sql, args![project])?, |mut row| row.next())
}

pub fn groups_of_project(tx: &mut Tx, project: &ProjectId) -> Result<Vec<EndpointGroup>> {
    let sql = "SELECT g.id, g.name, g.description, g.filters
                 FROM endpoint_groups g JOIN project_endpoint_groups m ON m.endpoint_group_id = g.id
                WHERE m.project_id = ?1 ORDER BY g.name, g.id";
    all(tx.query(sql, args![project])?, group)
}
