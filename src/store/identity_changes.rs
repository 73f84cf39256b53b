//! Changes by which somebody may do less than their token says, for verifiers that don't ask us.
//!
//! Here, roles and whether things are enabled are looked up each time a token is used. Who verifies tokens by themselves
//! goes by the roles the token names, and so must hear when these stop to hold. What takes something away calls one of
//! these functions in its own transaction, after it has moved the epoch; a token says at which epoch it was issued, so
//! "issued before" is exact, whatever clocks say. A change of the same thing takes the place of an older one, so the table
//! is never larger than what there is to change.

use super::users::all;
use super::{Tx, args};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{DomainId, GroupId, ProjectId, RoleId, UserId};

/// A change as the feed tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: String,
    pub subject: String,
    /// Tokens issued at an earlier epoch are concerned.
    pub epoch: i64,
    pub told_at: Option<Timestamp>,
}

const REPLACES: &str = "ON CONFLICT (kind, subject) DO UPDATE SET epoch = excluded.epoch, told_at = NULL";

fn note(tx: &mut Tx, kind: &str, subject: &str) -> Result<()> {
    let sql = format!(
        "INSERT INTO identity_changes (kind, subject, epoch) SELECT ?1, ?2, e.epoch FROM identity_epoch e WHERE e.id = 1
         {REPLACES}"
    );
    tx.execute(&sql, args![kind, subject]).map(drop)
}

pub fn of_user(tx: &mut Tx, id: &UserId) -> Result<()> {
    note(tx, "user", id.as_str())
}

/// Every member of the group now.
pub fn of_members(tx: &mut Tx, group: &GroupId) -> Result<()> {
    let sql = format!(
        "INSERT INTO identity_changes (kind, subject, epoch)
         SELECT 'user', m.user_id, e.epoch FROM group_members m JOIN identity_epoch e ON e.id = 1 WHERE m.group_id = ?1
         {REPLACES}"
    );
    tx.execute(&sql, args![group.as_str()]).map(drop)
}

pub fn of_project(tx: &mut Tx, id: &ProjectId) -> Result<()> {
    note(tx, "project", id.as_str())
}

/// With all that is in it.
pub fn of_domain(tx: &mut Tx, id: &DomainId) -> Result<()> {
    note(tx, "domain", id.as_str())
}

/// Whoever holds the role, under the name that it has now.
pub fn of_role(tx: &mut Tx, id: &RoleId) -> Result<()> {
    let sql = format!(
        "INSERT INTO identity_changes (kind, subject, epoch)
         SELECT 'role', r.name, e.epoch FROM roles r JOIN identity_epoch e ON e.id = 1 WHERE r.id = ?1 {REPLACES}"
    );
    tx.execute(&sql, args![id.as_str()]).map(drop)
}

pub fn list(tx: &mut Tx) -> Result<Vec<Change>> {
    let sql = "SELECT kind, subject, epoch, told_at FROM identity_changes ORDER BY epoch, kind, subject";
    all(tx.query(sql, args![])?, |mut row| {
        Ok(Change { kind: row.next()?, subject: row.next()?, epoch: row.next()?, told_at: row.next()? })
    })
}

/// Says that the feed was read now, and forgets what was in it so long ago that no token issued before is alive.
pub fn tell(tx: &mut Tx, now: Timestamp, longest_life: i64) -> Result<()> {
    tx.execute("DELETE FROM identity_changes WHERE told_at < ?1", args![now.plus_seconds(-longest_life)])?;
    tx.execute("UPDATE identity_changes SET told_at = ?1 WHERE told_at IS NULL", args![now]).map(drop)
}
