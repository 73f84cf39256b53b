//! Groups and who is in them. Which rows a caller may see is decided on each row, by the rule of the operation.

use super::listing::{self, Attribute, Conditions};
use super::users::{all, json_map};
use super::{Json, OrConflict, Row, Tx, args, epoch, identity_changes};
use crate::clock::Timestamp;
use crate::cloud::identity::{Group, name_key};
use crate::cloud::listing::{Listing, Page};
use crate::error::Result;
use crate::ids::{DomainId, GroupId, UserId};

const COLUMNS: &str = "g.id, g.domain_id, g.name, g.description, g.extra";

/// What lists of groups may be asked for.
const ATTRIBUTES: &[Attribute] =
    &[Attribute::name("g.name", "g.name_key"), Attribute::exact("domain_id", "g.domain_id")];

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

/// A page of the groups that a listing asks for.
///
/// # Errors
/// `NotFound` for a marker that is no group's id.
pub fn page(tx: &mut Tx, listing: &Listing) -> Result<Page<Group>> {
    let mut conditions = Conditions::new();
    conditions.tests(listing, ATTRIBUTES)?;
    listing::page(tx, COLUMNS, ("groups g", "g.id"), conditions, listing, from_row)
}

/// Name and domain of each of these groups that is there.
pub fn names(tx: &mut Tx, ids: &[&str]) -> Result<Vec<(String, (String, String))>> {
    listing::by_ids(
        tx,
        ids,
        |places| format!("SELECT id, name, domain_id FROM groups WHERE id IN ({places})"),
        |mut row| Ok((row.next()?, (row.next()?, row.next()?))),
    )
}

/// The groups a user is in, by name.
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
    identity_changes::of_members(tx, id)?;
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
    identity_changes::of_user(tx, user)?;
    let sql = "DELETE FROM group_members WHERE group_id = ?1 AND user_id = ?2";
    Ok(tx.execute(sql, args![group.as_str(), user.as_str()])? > 0)
}

/// Who is in each of these groups: group, user.
pub fn memberships(tx: &mut Tx, groups: &[&str]) -> Result<Vec<(GroupId, UserId)>> {
    listing::by_ids(
        tx,
        groups,
        |places| format!("SELECT group_id, user_id FROM group_members WHERE group_id IN ({places}) ORDER BY 1, 2"),
        listing::pair,
    )
}
