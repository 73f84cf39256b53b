//! Groups and who is in them. Which rows a caller may see is decided on each row, by the rule of the operation.

use super::users::{all, json_map};
use super::{Json, OrConflict, Row, Tx, args, epoch};
use crate::clock::Timestamp;
use crate::cloud::identity::{Group, name_key};
use crate::error::Result;
use crate::ids::{DomainId, GroupId, UserId};

const COLUMNS: &str = "g.id, g.domain_id, g.name, g.description, g.extra";

fn from_row(mut row: Row) -> Result<Group> {
    Ok(Group {
        id: GroupId(row.next()?),
        domain_id: DomainId(row.next()?),
        name: row.next()?,
        description: row.next()?,
        extra: json_map(&mut row)?,
    })
}

pub fn get(tx: &mut Tx, id: &GroupId) -> Result<Option<Group>> {
    let sql = format!("SELECT {COLUMNS} FROM groups g WHERE g.id = ?1");
    tx.query_one(&sql, args![id.as_str()])?.map(from_row).transpose()
}

/// Groups of a domain, or of all, by name.
pub fn list(tx: &mut Tx, domain: Option<&DomainId>) -> Result<Vec<Group>> {
    let sql = format!("SELECT {COLUMNS} FROM groups g WHERE (g.domain_id = ?1 OR ?1 IS NULL) ORDER BY g.name, g.id");
    all(tx.query(&sql, args![domain.map(DomainId::as_str)])?, from_row)
}

pub fn of_user(tx: &mut Tx, user: &UserId) -> Result<Vec<Group>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM groups g JOIN group_members m ON m.group_id = g.id
          WHERE m.user_id = ?1 ORDER BY g.name, g.id"
    );
    all(tx.query(&sql, args![user.as_str()])?, from_row)
}

/// # Errors
/// `Conflict` when the domain has a group of that name.
pub fn insert(tx: &mut Tx, group: &Group, now: Timestamp) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "INSERT INTO groups (id, domain_id, name, name_key, description, extra, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        args![
            group.id.as_str(),
            group.domain_id.as_str(),
            &group.name,
            name_key(&group.name),
            &group.description,
            Json(&group.extra),
            now
        ],
    )
    .or_conflict(|| taken(group))
    .map(drop)
}

/// # Errors
/// `Conflict` when the domain has another group of that name.
pub fn update(tx: &mut Tx, group: &Group) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "UPDATE groups SET name = ?2, name_key = ?3, description = ?4, extra = ?5 WHERE id = ?1",
        args![group.id.as_str(), &group.name, name_key(&group.name), &group.description, Json(&group.extra)],
    )
    .or_conflict(|| taken(group))
    .map(drop)
}

fn taken(group: &Group) -> String {
    let Group { name, domain_id, .. } = group;
    format!(
        "Conflict occurred attempting to store group - Duplicate entry found with name {name} at domain ID {domain_id}."
    )
}

pub fn delete(tx: &mut Tx, id: &GroupId) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM groups WHERE id = ?1", args![id.as_str()]).map(drop)
}

/// Adding twice is adding once.
pub fn add_member(tx: &mut Tx, group: &GroupId, user: &UserId) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "INSERT INTO group_members (group_id, user_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        args![group.as_str(), user.as_str()],
    )
    .map(drop)
}

pub fn has_member(tx: &mut Tx, group: &GroupId, user: &UserId) -> Result<bool> {
    let sql = "SELECT 1 FROM group_members WHERE group_id = ?1 AND user_id = ?2";
    Ok(tx.query_one(sql, args![group.as_str(), user.as_str()])?.is_some())
}

/// Answers whether the user was in the group.
pub fn remove_member(tx: &mut Tx, group: &GroupId, user: &UserId) -> Result<bool> {
    epoch::bump(tx)?;
    let sql = "DELETE FROM group_members WHERE group_id = ?1 AND user_id = ?2";
    Ok(tx.execute(sql, args![group.as_str(), user.as_str()])? > 0)
}

/// Everybody's memberships: group, user.
pub fn memberships(tx: &mut Tx) -> Result<Vec<(GroupId, UserId)>> {
    let rows = tx.query("SELECT group_id, user_id FROM group_members ORDER BY group_id, user_id", args![])?;
    all(rows, |mut row| Ok((GroupId(row.next()?), UserId(row.next()?))))
}
