//! Server groups and who is in them.

use super::{OrNotFound, Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::cloud::server_group::{Affinity, Policy, ServerGroup};
use crate::error::{Error, Kind, Result};
use crate::ids::{HostId, ProjectId, ServerGroupId, ServerId, UserId};
use std::collections::HashMap;

const COLUMNS: &str = "g.id, g.project_id, g.user_id, g.name, g.policy, g.max_per_host";

fn from_row(mut row: Row) -> Result<ServerGroup> {
    let (id, project_id, user_id, name) = (row.next()?, row.next()?, row.next()?, row.next()?);
    let word: String = row.next()?;
    let policy = Policy::parse(&word)
        .ok_or_else(|| Error::internal("a server group's row holds a word of another program", word))?;
    Ok(ServerGroup { id, project_id, user_id, name, policy, max_per_host: row.next()?, members: Vec::new() })
}

/// Those of a reach, oldest first, `limit` of them after the first `offset`.
pub fn list(tx: &mut Tx, reach: &Reach, offset: usize, limit: usize) -> Result<Vec<ServerGroup>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM server_groups g WHERE (g.project_id = ?1 OR ?1 IS NULL)
          ORDER BY g.created_at, g.id LIMIT ?2 OFFSET ?3"
    );
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let rows = tx.query(&sql, args![reach.project()?, number(limit), number(offset)])?;
    let mut groups = rows.into_iter().map(from_row).collect::<Result<Vec<_>>>()?;
    let mut members = members_of_all(tx, reach)?;
    for group in &mut groups {
        group.members = members.remove(&group.id).unwrap_or_default();
    }
    Ok(groups)
}

fn members_of_all(tx: &mut Tx, reach: &Reach) -> Result<HashMap<ServerGroupId, Vec<ServerId>>> {
    let sql = "SELECT m.group_id, m.server_id FROM server_groups g JOIN server_group_members m ON m.group_id = g.id
                 JOIN servers s ON s.id = m.server_id
                WHERE (g.project_id = ?1 OR ?1 IS NULL) AND s.deleted_at IS NULL ORDER BY s.created_at, s.id";
    let mut members: HashMap<ServerGroupId, Vec<ServerId>> = HashMap::new();
    for mut row in tx.query(sql, args![reach.project()?])? {
        members.entry(row.next()?).or_default().push(row.next()?);
    }
    Ok(members)
}

/// One group with its members.
///
/// # Errors
/// `NotFound` also for what is beyond the reach.
pub fn get(tx: &mut Tx, reach: &Reach, id: ServerGroupId) -> Result<ServerGroup> {
    let sql = format!("SELECT {COLUMNS} FROM server_groups g WHERE g.id = ?1 AND (g.project_id = ?2 OR ?2 IS NULL)");
    let row = tx.query_one(&sql, args![id, reach.project()?])?;
    let mut group = row.or_not_found(Kind::ServerGroup, id).and_then(from_row)?;
    group.members = members(tx, id)?;
    Ok(group)
}

/// Its servers that are not deleted.
pub fn members(tx: &mut Tx, id: ServerGroupId) -> Result<Vec<ServerId>> {
    let sql = "SELECT s.id FROM server_group_members m JOIN servers s ON s.id = m.server_id
                WHERE m.group_id = ?1 AND s.deleted_at IS NULL ORDER BY s.created_at, s.id";
    tx.query(sql, args![id])?.into_iter().map(|mut row| row.next()).collect()
}

/// How many servers of one user are in it.
pub fn count_members(tx: &mut Tx, id: ServerGroupId, user: &UserId) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM server_group_members m JOIN servers s ON s.id = m.server_id
                WHERE m.group_id = ?1 AND s.user_id = ?2 AND s.deleted_at IS NULL";
    tx.query_one(sql, args![id, user])?.map_or(Ok(0), |mut row| row.next())
}

pub fn count(tx: &mut Tx, project: &ProjectId) -> Result<i64> {
    count_of(tx, project, None)
}

/// As [`count`], of one user's.
pub fn count_of(tx: &mut Tx, project: &ProjectId, user: Option<&UserId>) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM server_groups WHERE project_id = ?1 AND (user_id = ?2 OR ?2 IS NULL)";
    tx.query_one(sql, args![project, user])?.map_or(Ok(0), |mut row| row.next())
}

pub fn insert(tx: &mut Tx, group: &ServerGroup, now: Timestamp) -> Result<()> {
    tx.execute(
        "INSERT INTO server_groups (id, project_id, user_id, name, policy, max_per_host, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        args![group.id, &group.project_id, &group.user_id, &group.name, group.policy.word(), group.max_per_host, now],
    )?;
    Ok(())
}

/// Its servers stay, and go their own ways from then on.
pub fn delete(tx: &mut Tx, reach: &Reach, id: ServerGroupId) -> Result<()> {
    let sql = "DELETE FROM server_groups WHERE id = ?1 AND (project_id = ?2 OR ?2 IS NULL)";
    match tx.execute(sql, args![id, reach.project()?])? {
        0 => Err(Error::not_found(Kind::ServerGroup, id)),
        _ => Ok(()),
    }
}

pub fn join(tx: &mut Tx, group: ServerGroupId, server: ServerId) -> Result<()> {
    let sql = "INSERT INTO server_group_members (server_id, group_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    tx.execute(sql, args![server, group])?;
    Ok(())
}

/// The group a server is in.
pub fn of_server(tx: &mut Tx, server: ServerId) -> Result<Option<ServerGroupId>> {
    let row = tx.query_one("SELECT group_id FROM server_group_members WHERE server_id = ?1", args![server])?;
    row.map(|mut row| row.next()).transpose()
}

/// What a server's group asks of its place: the policy, and where the other members are. What counts is what they have
/// claimed, so that two which are being placed at once see each other.
pub fn affinity(tx: &mut Tx, server: ServerId) -> Result<Option<Affinity>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM server_groups g JOIN server_group_members m ON m.group_id = g.id WHERE m.server_id = ?1"
    );
    let Some(row) = tx.query_one(&sql, args![server])? else { return Ok(None) };
    let group = from_row(row)?;
    affinity_to_others(tx, &group, Some(server)).map(Some)
}

/// The same of a server that would be in a project's group; `None`: there is no such group.
pub fn affinity_in(tx: &mut Tx, project: &ProjectId, id: ServerGroupId) -> Result<Option<Affinity>> {
    let sql = format!("SELECT {COLUMNS} FROM server_groups g WHERE g.id = ?1 AND g.project_id = ?2");
    let Some(row) = tx.query_one(&sql, args![id, project])? else { return Ok(None) };
    let group = from_row(row)?;
    affinity_to_others(tx, &group, None).map(Some)
}

fn affinity_to_others(tx: &mut Tx, group: &ServerGroup, server: Option<ServerId>) -> Result<Affinity> {
    let sql = "SELECT c.host_id FROM server_group_members m JOIN claims c ON c.server_id = m.server_id
                WHERE m.group_id = ?1 AND (m.server_id <> ?2 OR ?2 IS NULL)";
    let rows = tx.query(sql, args![group.id, server])?;
    let hosts = rows.into_iter().map(|mut row| row.next()).collect::<Result<Vec<HostId>>>()?;
    Ok(Affinity { policy: group.policy, max_per_host: group.max_per_host, hosts })
}
