//! Application credentials: ways to log in as a user, on one project, without the password.

use super::users::all;
use super::{Json, OrConflict, Row, Tx, args, epoch};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::ids::{ProjectId, RoleId, UserId};

/// An application credential; what it may do never exceeds what its user may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationCredential {
    pub id: String,
    pub user_id: UserId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: Option<String>,
    /// A PHC string.
    pub secret_hash: String,
    pub role_ids: Vec<RoleId>,
    pub unrestricted: bool,
    pub expires_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, user_id, project_id, name, description, secret_hash, role_ids, unrestricted, expires_at";

fn from_row(mut row: Row) -> Result<ApplicationCredential> {
    Ok(ApplicationCredential {
        id: row.next()?,
        user_id: UserId(row.next()?),
        project_id: ProjectId(row.next()?),
        name: row.next()?,
        description: row.next()?,
        secret_hash: row.next()?,
        role_ids: row.next::<Json<Vec<RoleId>>>()?.0,
        unrestricted: row.next()?,
        expires_at: row.next()?,
    })
}

pub fn get(tx: &mut Tx, user: &UserId, id: &str) -> Result<Option<ApplicationCredential>> {
    let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE user_id = ?1 AND id = ?2");
    tx.query_one(&sql, args![user.as_str(), id])?.map(from_row).transpose()
}

/// By its id alone: logins need not say whose it is.
pub fn by_id(tx: &mut Tx, id: &str) -> Result<Option<ApplicationCredential>> {
    let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE id = ?1");
    tx.query_one(&sql, args![id])?.map(from_row).transpose()
}

pub fn by_name(tx: &mut Tx, user: &UserId, name: &str) -> Result<Option<ApplicationCredential>> {
    let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE user_id = ?1 AND name = ?2");
    tx.query_one(&sql, args![user.as_str(), name])?.map(from_row).transpose()
}

pub fn list(tx: &mut Tx, user: &UserId) -> Result<Vec<ApplicationCredential>> {
    let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE user_id = ?1 ORDER BY name, id");
    all(tx.query(&sql, args![user.as_str()])?, from_row)
}

/// # Errors
/// `Conflict` when the user has one of that name.
pub fn insert(tx: &mut Tx, credential: &ApplicationCredential, now: Timestamp) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        &format!(
            "INSERT INTO application_credentials ({COLUMNS}, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        ),
        args![
            &credential.id,
            credential.user_id.as_str(),
            credential.project_id.as_str(),
            &credential.name,
            credential.description.as_deref(),
            &credential.secret_hash,
            Json(&credential.role_ids),
            credential.unrestricted,
            credential.expires_at,
            now
        ],
    )
    .or_conflict(|| {
        format!(
            "Conflict occurred attempting to store application_credential - Duplicate entry found with name {}.",
            credential.name
        )
    })
    .map(drop)
}

pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM application_credentials WHERE id = ?1", args![id]).map(drop)
}
