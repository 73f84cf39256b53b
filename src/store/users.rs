//! Users and their passwords. Which rows a caller may see is decided on each row, by the rule of the operation.

use super::{FromValue, Json, OrConflict, Row, Tx, Value, application_credentials, args, epoch};
use crate::clock::Timestamp;
use crate::cloud::identity::{DomainRef, User, name_key};
use crate::error::Result;
use crate::ids::{DomainId, GroupId, ProjectId, UserId};
use serde_json::{Map, Value as JsonValue};

const COLUMNS: &str = "u.id, u.domain_id, u.name, u.enabled, u.default_project_id, u.description, u.email, u.options, \
     u.extra, (SELECT p.expires_at FROM passwords p WHERE p.user_id = u.id ORDER BY p.created_at DESC, p.id LIMIT 1)";

fn from_row(mut row: Row) -> Result<User> {
    Ok(User {
        id: UserId(row.next()?),
        domain_id: DomainId(row.next()?),
        name: row.next()?,
        enabled: row.next()?,
        default_project_id: row.next::<Option<String>>()?.map(ProjectId),
        description: row.next()?,
        email: row.next()?,
        options: json_map(&mut row)?,
        extra: json_map(&mut row)?,
        password_expires_at: row.next()?,
    })
}

/// Reads a column that holds a JSON object.
pub(super) fn json_map(row: &mut Row) -> Result<Map<String, JsonValue>> {
    let Json(map) = row.next::<Json<Map<String, JsonValue>>>()?;
    Ok(map)
}

/// Reads every row of an answer.
pub(super) fn all<T>(rows: Vec<Row>, read: impl Fn(Row) -> Result<T>) -> Result<Vec<T>> {
    rows.into_iter().map(read).collect()
}

/// Reads the only column of an answer's rows.
pub(super) fn column<T: FromValue>(rows: Vec<Row>) -> Result<Vec<T>> {
    all(rows, |mut row| row.next())
}

pub fn get(tx: &mut Tx, id: &UserId) -> Result<Option<User>> {
    one(tx, "u.id = ?1", args![id.as_str()])
}

pub fn by_name(tx: &mut Tx, domain: &DomainId, name: &str) -> Result<Option<User>> {
    one(tx, "u.domain_id = ?1 AND u.name_key = ?2", args![domain.as_str(), name_key(name)])
}

fn one(tx: &mut Tx, condition: &str, args: &[Value]) -> Result<Option<User>> {
    tx.query_one(&format!("SELECT {COLUMNS} FROM users u WHERE {condition}"), args)?.map(from_row).transpose()
}

/// A user as tokens name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub name: String,
    pub domain: DomainRef,
    /// Both the user and their domain.
    pub is_enabled: bool,
    pub password_expires_at: Option<Timestamp>,
}

/// What a token says of its user, in one query: it is asked for each token after each change of identity.
pub fn holder(tx: &mut Tx, id: &UserId) -> Result<Option<Holder>> {
    let row = tx.query_one(
        "SELECT u.name, d.id, d.name, u.enabled, d.enabled,
                (SELECT p.expires_at FROM passwords p WHERE p.user_id = u.id ORDER BY p.created_at DESC, p.id LIMIT 1)
           FROM users u JOIN projects d ON d.id = u.domain_id AND d.is_domain = 1
          WHERE u.id = ?1",
        args![id.as_str()],
    )?;
    let holder = |mut row: Row| {
        let name = row.next()?;
        let domain = DomainRef { id: DomainId(row.next()?), name: row.next()? };
        let (user_enabled, domain_enabled) = (row.next::<bool>()?, row.next::<bool>()?);
        Ok(Holder { name, domain, is_enabled: user_enabled && domain_enabled, password_expires_at: row.next()? })
    };
    row.map(holder).transpose()
}

/// A user's options alone: they are asked for at each login.
pub fn options(tx: &mut Tx, id: &UserId) -> Result<Map<String, JsonValue>> {
    let row = tx.query_one("SELECT options FROM users WHERE id = ?1", args![id.as_str()])?;
    Ok(row.map(|mut row| json_map(&mut row)).transpose()?.unwrap_or_default())
}

/// Users of a domain, or of all, by name.
pub fn list(tx: &mut Tx, domain: Option<&DomainId>) -> Result<Vec<User>> {
    // Two texts, since neither engine finds the index for a condition that may be none.
    let (condition, args) = match domain {
        Some(domain) => ("WHERE u.domain_id = ?1", args![domain.as_str()].to_vec()),
        None => ("", Vec::new()),
    };
    let sql = format!("SELECT {COLUMNS} FROM users u {condition} ORDER BY u.domain_id, u.name, u.id");
    all(tx.query(&sql, &args)?, from_row)
}

pub fn of_group(tx: &mut Tx, group: &GroupId) -> Result<Vec<User>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM users u JOIN group_members m ON m.user_id = u.id
          WHERE m.group_id = ?1 ORDER BY u.name, u.id"
    );
    all(tx.query(&sql, args![group.as_str()])?, from_row)
}

/// # Errors
/// `Conflict` when the domain has a user of that name.
pub fn insert(tx: &mut Tx, user: &User, now: Timestamp) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "INSERT INTO users (id, domain_id, name, name_key, enabled, default_project_id, description, email, options,
                            extra, failed_logins, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11)",
        args![
            user.id.as_str(),
            user.domain_id.as_str(),
            &user.name,
            name_key(&user.name),
            user.enabled,
            user.default_project_id.as_ref().map(ProjectId::as_str),
            user.description.as_deref(),
            user.email.as_deref(),
            Json(&user.options),
            Json(&user.extra),
            now
        ],
    )
    .or_conflict(|| taken(user))
    .map(drop)
}

/// # Errors
/// `Conflict` when the domain has another user of that name.
pub fn update(tx: &mut Tx, user: &User) -> Result<()> {
    epoch::bump(tx)?;
    if !user.enabled {
        // As upstream: whoever enables the user again does not bring their robots back.
        application_credentials::delete_of_user(tx, &user.id)?;
    }
    tx.execute(
        "UPDATE users SET name = ?2, name_key = ?3, enabled = ?4, default_project_id = ?5, description = ?6, email = ?7,
                          options = ?8, extra = ?9
          WHERE id = ?1",
        args![
            user.id.as_str(),
            &user.name,
            name_key(&user.name),
            user.enabled,
            user.default_project_id.as_ref().map(ProjectId::as_str),
            user.description.as_deref(),
            user.email.as_deref(),
            Json(&user.options),
            Json(&user.extra)
        ],
    )
    .or_conflict(|| taken(user))
    .map(drop)
}

fn taken(user: &User) -> String {
    format!(
        "Conflict occurred attempting to store user - Duplicate entry found with name {} at domain ID {}.",
        user.name, user.domain_id
    )
}

pub fn delete(tx: &mut Tx, id: &UserId) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM users WHERE id = ?1", args![id.as_str()]).map(drop)
}

/// The password that logs a user in.
#[derive(Debug, Clone)]
pub struct Password {
    pub id: String,
    /// A PHC string.
    pub hash: String,
    pub expires_at: Option<Timestamp>,
}

pub fn password(tx: &mut Tx, user: &UserId) -> Result<Option<Password>> {
    let row = tx.query_one(
        "SELECT id, hash, expires_at FROM passwords WHERE user_id = ?1 ORDER BY created_at DESC, id LIMIT 1",
        args![user.as_str()],
    )?;
    row.map(|mut row| Ok(Password { id: row.next()?, hash: row.next()?, expires_at: row.next()? })).transpose()
}

/// Gives a user a new password, or takes it away; older ones are forgotten.
pub fn set_password(
    tx: &mut Tx,
    user: &UserId,
    hash: Option<&str>,
    is_self_service: bool,
    now: Timestamp,
) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM passwords WHERE user_id = ?1", args![user.as_str()])?;
    let Some(hash) = hash else { return Ok(()) };
    tx.execute(
        "INSERT INTO passwords (id, user_id, hash, self_service, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        args![uuid::Uuid::new_v4().simple().to_string(), user.as_str(), hash, is_self_service, now],
    )
    .map(drop)
}

/// Keeps the same password under today's parameters, unless it was changed meanwhile.
pub fn rehash(tx: &mut Tx, password: &Password, hash: &str) -> Result<()> {
    tx.execute("UPDATE passwords SET hash = ?3 WHERE id = ?1 AND hash = ?2", args![&password.id, &password.hash, hash])
        .map(drop)
}
