//! Tokens taken back before they expire.
//!
//! Roles, and whether users, projects and domains are enabled, are looked up at each use, so they need no row here: a row
//! says what looking up can't, such as that a token was revoked, or a password changed since it was issued.

use super::{Tx, args, epoch};
use crate::clock::Timestamp;
use crate::cloud::token::Claims;
use crate::error::Result;
use crate::ids::{GroupId, ProjectId, UserId};
use std::sync::LazyLock;

/// Which tokens are taken back.
#[derive(Debug, Clone)]
pub enum Revoked {
    /// The one token with this audit id.
    Audit(String),
    /// Every token issued to the user until now.
    User(UserId),
    /// Every token scoped to the project and issued until now.
    Project(ProjectId),
    /// Every token that a token with this audit id stands at the beginning of.
    Chain(String),
}

/// Takes tokens back. `longest_life` is what a token may live at most, in seconds: the row may go after that.
pub fn insert(tx: &mut Tx, revoked: &Revoked, now: Timestamp, longest_life: i64) -> Result<()> {
    let (mut audit, mut chain, mut user, mut project) = (None, None, None, None);
    match revoked {
        Revoked::Audit(id) => audit = Some(id),
        Revoked::Chain(id) => chain = Some(id),
        Revoked::User(id) => user = Some(&id.0),
        Revoked::Project(id) => project = Some(&id.0),
    }
    tx.execute("DELETE FROM revocations WHERE expires_at < ?1", args![now])?;
    tx.execute(
        "INSERT INTO revocations (id, audit_id, chain_id, user_id, project_id, issued_before, revoked_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)",
        args![
            uuid::Uuid::new_v4().simple().to_string(),
            audit,
            chain,
            user,
            project,
            now,
            now.plus_seconds(longest_life)
        ],
    )?;
    epoch::bump(tx)
}

/// Takes back every token issued until now to the members of a group.
pub fn insert_for_members(tx: &mut Tx, group: &GroupId, now: Timestamp, longest_life: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO revocations (id, user_id, issued_before, revoked_at, expires_at)
         SELECT ?1 || m.user_id, m.user_id, ?3, ?3, ?4 FROM group_members m WHERE m.group_id = ?2",
        args![uuid::Uuid::new_v4().simple().to_string(), group.as_str(), now, now.plus_seconds(longest_life)],
    )?;
    epoch::bump(tx)
}

/// What a row may name, and the claim that it is compared with. Rows of which one column fits are found by its index; the
/// other columns must fit too, as far as they name anything.
const CRITERIA: [(&str, &str); 5] =
    [("audit_id", "?1"), ("chain_id", "?2"), ("user_id", "?3"), ("project_id", "?4"), ("domain_id", "?5")];

/// The question of [`covers`]: asked for each token, so written once.
static COVERING: LazyLock<String> = LazyLock::new(|| {
    let found = CRITERIA.map(|(by, claim)| {
        let others = CRITERIA.iter().filter(|(other, _)| *other != by);
        let rest: String =
            others.map(|(other, claim)| format!(" AND (r.{other} = {claim} OR r.{other} IS NULL)")).collect();
        format!("SELECT 1 FROM revocations r WHERE r.{by} = {claim} AND r.issued_before >= ?6{rest}")
    });
    format!("SELECT 1 WHERE EXISTS ({})", found.join(") OR EXISTS ("))
});

/// Is a token with these claims taken back?
pub fn covers(tx: &mut Tx, claims: &Claims) -> Result<bool> {
    let row = tx.query_one(
        &COVERING,
        args![
            claims.audit_ids.first(),
            claims.chain_id(),
            claims.sub.as_str(),
            claims.project_id.as_ref().map_or("", |id| id.as_str()),
            claims.domain_id.as_ref().map_or("", |id| id.as_str()),
            claims.issued_at
        ],
    )?;
    Ok(row.is_some())
}

/// A row as other services hear of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub audit_id: Option<String>,
    pub chain_id: Option<String>,
    pub user_id: Option<String>,
    pub project_id: Option<String>,
    pub issued_before: Timestamp,
    pub revoked_at: Timestamp,
}

/// What was taken back since, the oldest first.
pub fn events(tx: &mut Tx, since: Timestamp) -> Result<Vec<Event>> {
    let rows = tx.query(
        "SELECT audit_id, chain_id, user_id, project_id, issued_before, revoked_at FROM revocations
          WHERE revoked_at >= ?1 ORDER BY revoked_at, id",
        args![since],
    )?;
    super::users::all(rows, |mut row| {
        Ok(Event {
            audit_id: row.next()?,
            chain_id: row.next()?,
            user_id: row.next()?,
            project_id: row.next()?,
            issued_before: row.next()?,
            revoked_at: row.next()?,
        })
    })
}
