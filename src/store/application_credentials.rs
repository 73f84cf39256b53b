//! Application credentials: ways to log in as a user, on one project, without the password.

use super::users::all;
use super::{Json, OrConflict, Row, Tx, access_rules, args, epoch};
use crate::clock::Timestamp;
use crate::cloud::access_rules::AccessRule;
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
    /// The requests it is good for; when there are none, every request.
    pub access_rules: Vec<AccessRule>,
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
        access_rules: Vec::new(),
    })
}

fn with_rules(tx: &mut Tx, row: Option<Row>) -> Result<Option<ApplicationCredential>> {
    let Some(mut credential) = row.map(from_row).transpose()? else { return Ok(None) };
    credential.access_rules = access_rules::of_credential(tx, &credential.id)?;
    Ok(Some(credential))
}

pub fn get(tx: &mut Tx, user: &UserId, id: &str) -> Result<Option<ApplicationCredential>> {
    let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE user_id = ?1 AND id = ?2");
    let row = tx.query_one(&sql, args![user.as_str(), id])?;
    with_rules(tx, row)
}

/// By its id alone: logins need not say whose it is.
pub fn by_id(tx: &mut Tx, id: &str) -> Result<Option<ApplicationCredential>> {
    let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE id = ?1");
    let row = tx.query_one(&sql, args![id])?;
    with_rules(tx, row)
}

pub fn by_name(tx: &mut Tx, user: &UserId, name: &str) -> Result<Option<ApplicationCredential>> {
    let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE user_id = ?1 AND name = ?2");
    let row = tx.query_one(&sql, args![user.as_str(), name])?;
    with_rules(tx, row)
}

pub fn list(tx: &mut Tx, user: &UserId) -> Result<Vec<ApplicationCredential>> {
    let sql = format!("SELECT {COLUMNS} FROM application_credentials WHERE user_id = ?1 ORDER BY name, id");
    let mut found = all(tx.query(&sql, args![user.as_str()])?, from_row)?;
    let mut rules = access_rules::by_credential(tx, user)?;
    for credential in &mut found {
        credential.access_rules = rules.remove(&credential.id).unwrap_or_default();
    }
    Ok(found)
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
    })?;
    access_rules::attach(tx, &credential.id, &credential.access_rules)
}

pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM application_credentials WHERE id = ?1", args![id]).map(drop)
}

/// Deletes those of a user on a project that were made with a role which the user lost there.
pub fn delete_with_role(tx: &mut Tx, user: &UserId, project: &ProjectId, role: &RoleId) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "DELETE FROM application_credentials WHERE user_id = ?1 AND project_id = ?2 AND role_ids LIKE ?3",
        args![user.as_str(), project.as_str(), naming(role)],
    )
    .map(drop)
}

/// Deletes those of everybody that were made with a role: it is about to go.
pub fn delete_all_with_role(tx: &mut Tx, role: &RoleId) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM application_credentials WHERE role_ids LIKE ?1", args![naming(role)]).map(drop)
}

/// Deletes all of a user's, with their rules.
pub fn delete_of_user(tx: &mut Tx, user: &UserId) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM application_credentials WHERE user_id = ?1", args![user.as_str()])?;
    tx.execute("DELETE FROM access_rules WHERE user_id = ?1", args![user.as_str()]).map(drop)
}

/// What a list of role ids is like that names this one. Role ids are ours, and hold none of LIKE's marks.
fn naming(role: &RoleId) -> String {
    format!("%\"{role}\"%")
}
