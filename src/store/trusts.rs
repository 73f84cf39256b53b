//! Trusts: what one user lets another do in their place.

use super::users::{all, json_map};
use super::{Json, OrConflict, Row, Tx, args, epoch};
use crate::clock::Timestamp;
use crate::cloud::identity::Trust;
use crate::error::Result;
use crate::ids::{ProjectId, RoleId, UserId};

const COLUMNS: &str =
    "id, trustor_user_id, trustee_user_id, project_id, impersonation, role_ids, expires_at, remaining_uses, extra";

/// How long the row of a trust that was taken back is kept, in seconds.
const KEPT: i64 = 30 * 86_400;

fn from_row(mut row: Row) -> Result<Trust> {
    Ok(Trust {
        id: row.next()?,
        trustor_user_id: UserId(row.next()?),
        trustee_user_id: UserId(row.next()?),
        project_id: row.next::<Option<String>>()?.map(ProjectId),
        impersonation: row.next()?,
        role_ids: row.next::<Json<Vec<RoleId>>>()?.0,
        expires_at: row.next()?,
        remaining_uses: row.next()?,
        extra: json_map(&mut row)?,
    })
}

/// A trust that was not taken back and has not run out. Its uses may be used up: tokens got with them are still good.
pub fn alive(tx: &mut Tx, id: &str, now: Timestamp) -> Result<Option<Trust>> {
    let sql = format!("SELECT {COLUMNS} FROM trusts WHERE id = ?1 AND deleted_at IS NULL");
    let trust = tx.query_one(&sql, args![id])?.map(from_row).transpose()?;
    Ok(trust.filter(|trust| trust.expires_at.is_none_or(|expires_at| expires_at > now)))
}

/// A trust that a token can still be got with: what upstream shows, and lets a login ask for.
pub fn usable(tx: &mut Tx, id: &str, now: Timestamp) -> Result<Option<Trust>> {
    Ok(alive(tx, id, now)?.filter(|trust| trust.remaining_uses != Some(0)))
}

/// Trusts that were not taken back, the run-out ones too, as upstream lists them.
pub fn list(tx: &mut Tx, trustor: Option<&UserId>, trustee: Option<&UserId>) -> Result<Vec<Trust>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM trusts
          WHERE (trustor_user_id = ?1 OR ?1 IS NULL) AND (trustee_user_id = ?2 OR ?2 IS NULL) AND deleted_at IS NULL
          ORDER BY created_at, id"
    );
    all(tx.query(&sql, args![trustor.map(UserId::as_str), trustee.map(UserId::as_str)])?, from_row)
}

/// # Errors
/// `Conflict` when there is one between the same two, for the same project, that runs out at the same moment.
pub fn insert(tx: &mut Tx, trust: &Trust, now: Timestamp) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM trusts WHERE deleted_at < ?1", args![now.plus_seconds(-KEPT)])?;
    tx.execute(
        &format!("INSERT INTO trusts ({COLUMNS}, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"),
        args![
            &trust.id,
            trust.trustor_user_id.as_str(),
            trust.trustee_user_id.as_str(),
            trust.project_id.as_ref().map(ProjectId::as_str),
            trust.impersonation,
            Json(&trust.role_ids),
            trust.expires_at,
            trust.remaining_uses,
            Json(&trust.extra),
            now
        ],
    )
    .or_conflict(|| "Conflict occurred attempting to store trust - Duplicate entry found.".to_owned())
    .map(drop)
}

/// Takes one use, if there is one left: no two logins get the same one. Where uses aren't counted there always is.
pub fn consume(tx: &mut Tx, id: &str) -> Result<bool> {
    let used = tx.execute(
        "UPDATE trusts SET remaining_uses = remaining_uses - 1
          WHERE id = ?1 AND deleted_at IS NULL AND (remaining_uses IS NULL OR remaining_uses > 0)",
        args![id],
    )?;
    Ok(used == 1)
}

pub fn delete(tx: &mut Tx, id: &str, now: Timestamp) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("UPDATE trusts SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL", args![id, now]).map(drop)
}
