//! Credentials: secrets that users keep with us, sealed. Which rows a caller may see is decided on each row, by the rule
//! of the operation.

use super::users::{all, json_map};
use super::{Json, OrConflict, Row, Tx, args};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{ProjectId, UserId};
use serde_json::{Map, Value};

/// A credential as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    pub id: String,
    pub user_id: UserId,
    pub project_id: Option<ProjectId>,
    pub kind: String,
    /// The key of the ring that it is sealed with.
    pub key_id: String,
    pub sealed: String,
    pub extra: Map<String, Value>,
    /// The last 30 seconds a passcode of which was taken.
    pub totp_window: i64,
}

const COLUMNS: &str = "id, user_id, project_id, type, key_id, sealed, extra, totp_window";

fn from_row(mut row: Row) -> Result<Credential> {
    Ok(Credential {
        id: row.next()?,
        user_id: UserId(row.next()?),
        project_id: row.next::<Option<String>>()?.map(ProjectId),
        kind: row.next()?,
        key_id: row.next()?,
        sealed: row.next()?,
        extra: json_map(&mut row)?,
        totp_window: row.next()?,
    })
}

pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Credential>> {
    tx.query_one(&format!("SELECT {COLUMNS} FROM credentials WHERE id = ?1"), args![id])?.map(from_row).transpose()
}

/// Credentials of a user, of a type, of everyone.
pub fn list(tx: &mut Tx, user: Option<&UserId>, kind: Option<&str>) -> Result<Vec<Credential>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM credentials WHERE (user_id = ?1 OR ?1 IS NULL) AND (type = ?2 OR ?2 IS NULL)
          ORDER BY created_at, id"
    );
    all(tx.query(&sql, args![user.map(UserId::as_str), kind])?, from_row)
}

/// # Errors
/// `Conflict` when the id, which an EC2 credential has from its access key, is taken.
pub fn insert(tx: &mut Tx, credential: &Credential, now: Timestamp) -> Result<()> {
    tx.execute(
        &format!("INSERT INTO credentials ({COLUMNS}, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"),
        args![
            &credential.id,
            credential.user_id.as_str(),
            credential.project_id.as_ref().map(ProjectId::as_str),
            &credential.kind,
            &credential.key_id,
            &credential.sealed,
            Json(&credential.extra),
            credential.totp_window,
            now
        ],
    )
    .or_conflict(|| {
        format!("Conflict occurred attempting to store credential - Duplicate entry found with ID {}.", credential.id)
    })
    .map(drop)
}

/// Puts another blob in place of the one it had; answers whether it was still that one.
pub fn replace(tx: &mut Tx, credential: &Credential, key_id: &str, sealed: &str) -> Result<bool> {
    let sql = "UPDATE credentials SET key_id = ?3, sealed = ?4 WHERE id = ?1 AND sealed = ?2";
    Ok(tx.execute(sql, args![&credential.id, &credential.sealed, key_id, sealed])? == 1)
}

/// Notes that a passcode of this window was taken; answers whether none of it or a later one had been.
pub fn take_totp_window(tx: &mut Tx, id: &str, window: i64) -> Result<bool> {
    let sql = "UPDATE credentials SET totp_window = ?2 WHERE id = ?1 AND totp_window < ?2";
    Ok(tx.execute(sql, args![id, window])? == 1)
}

pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    tx.execute("DELETE FROM credentials WHERE id = ?1", args![id]).map(drop)
}

/// Some credentials that are sealed with another key than this one.
pub fn not_sealed_with(tx: &mut Tx, key_id: &str, most: i64) -> Result<Vec<Credential>> {
    let sql = format!("SELECT {COLUMNS} FROM credentials WHERE key_id <> ?1 ORDER BY id LIMIT ?2");
    all(tx.query(&sql, args![key_id, most])?, from_row)
}

/// The keys that credentials are sealed with.
pub fn keys_in_use(tx: &mut Tx) -> Result<Vec<String>> {
    super::users::column(tx.query("SELECT DISTINCT key_id FROM credentials ORDER BY key_id", args![])?)
}
