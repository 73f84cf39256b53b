//! Users and their passwords. Which rows a caller may see is decided on each row, by the rule of the operation.

use super::listing::{self, Attribute, Conditions};
use super::{FromColumn, Json, OrConflict, Row, Tx, Value, application_credentials, args, epoch, identity_changes};
use crate::clock::Timestamp;
use crate::cloud::identity::{DomainRef, User, name_key};
use crate::cloud::listing::{Listing, Page};
use crate::error::Result;
use crate::ids::{DomainId, GroupId, ProjectId, UserId};
use serde_json::{Map, Value as JsonValue};

const COLUMNS: &str = "u.id, u.domain_id, u.name, u.enabled, u.default_project_id, u.description, u.email, u.options, \
     u.extra, (SELECT p.expires_at FROM passwords p WHERE p.user_id = u.id ORDER BY p.created_at DESC LIMIT 1), \
     COALESCE(u.last_active_at, u.created_at)";

/// What lists of users may be asked for. A password that expires is the one that logs in.
const ATTRIBUTES: &[Attribute] = &[
    Attribute::name("u.name", "u.name_key"),
    Attribute::exact("domain_id", "u.domain_id"),
    Attribute::exact("enabled", "u.enabled"),
    Attribute::exact(
        "password_expires_at",
        "(SELECT p.expires_at FROM passwords p WHERE p.user_id = u.id ORDER BY p.created_at DESC LIMIT 1)",
    ),
];

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
        active_at: row.next()?,
    })
}

/// Reads a column that holds a JSON object.
pub(super) fn json_map(row: &mut Row) -> Result<Map<String, JsonValue>> {
    let Json(map) = row.next::<Json<Map<String, JsonValue>>>()?;
    Ok(map)
}

/// Reads every row of an answer.
pub(super) fn all<T>(rows: Vec<Row<'static>>, read: impl Fn(Row) -> Result<T>) -> Result<Vec<T>> {
    rows.into_iter().map(read).collect()
}

/// Reads the only column of an answer's rows.
pub(super) fn column<T: FromColumn>(rows: Vec<Row<'static>>) -> Result<Vec<T>> {
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

/// A page of the users that a listing asks for.
///
/// # Errors
/// `NotFound` for a marker that is nobody's id.
pub fn page(tx: &mut Tx, listing: &Listing) -> Result<Page<User>> {
    let mut conditions = Conditions::new();
    conditions.tests(listing, ATTRIBUTES)?;
    listing::page(tx, COLUMNS, ("users u", "u.id"), conditions, listing, from_row)
}

/// A page of a group's members.
///
/// # Errors
/// `NotFound` for a marker that is nobody's id.
pub fn page_of_group(tx: &mut Tx, group: &GroupId, listing: &Listing) -> Result<Page<User>> {
    let mut conditions = Conditions::new();
    let group = conditions.bind(group.as_str());
    conditions.and(&format!("EXISTS (SELECT 1 FROM group_members m WHERE m.group_id = {group} AND m.user_id = u.id)"));
    conditions.tests(listing, ATTRIBUTES)?;
    listing::page(tx, COLUMNS, ("users u", "u.id"), conditions, listing, from_row)
}

/// Name and domain of each of these users that is there.
pub fn names(tx: &mut Tx, ids: &[&str]) -> Result<Vec<(String, (String, String))>> {
    listing::by_ids(
        tx,
        ids,
        |places| format!("SELECT id, name, domain_id FROM users WHERE id IN ({places})"),
        |mut row| Ok((row.next()?, (row.next()?, row.next()?))),
    )
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
        identity_changes::of_user(tx, &user.id)?;
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
    identity_changes::of_user(tx, id)?;
    tx.execute("DELETE FROM users WHERE id = ?1", args![id.as_str()]).map(drop)
}

/// The password that logs a user in.
#[derive(Debug, Clone)]
pub struct Password {
    pub id: String,
    /// A PHC string.
    pub hash: String,
    pub expires_at: Option<Timestamp>,
    /// Did the user choose it themselves?
    pub is_self_service: bool,
    pub made_at: Timestamp,
}

pub fn password(tx: &mut Tx, user: &UserId) -> Result<Option<Password>> {
    let row = tx.query_one(
        "SELECT id, hash, expires_at, self_service, created_at FROM passwords
          WHERE user_id = ?1 ORDER BY created_at DESC LIMIT 1",
        args![user.as_str()],
    )?;
    let newest = row.map(|mut row| {
        Ok(Password {
            id: row.next()?,
            hash: row.next()?,
            expires_at: row.next()?,
            is_self_service: row.next()?,
            made_at: row.next()?,
        })
    });
    Ok(newest.transpose()?.filter(|password| !password.hash.is_empty()))
}

/// The hashes of a user's last passwords, the newest first.
pub fn last_passwords(tx: &mut Tx, user: &UserId, count: usize) -> Result<Vec<String>> {
    let sql = "SELECT hash FROM passwords WHERE user_id = ?1 AND hash <> '' ORDER BY created_at DESC LIMIT ?2";
    column(tx.query(sql, args![user.as_str(), i64::try_from(count).unwrap_or(i64::MAX)])?)
}

/// A password about to be kept.
#[derive(Debug, Clone, Default)]
pub struct NewPassword {
    /// A PHC string; `None` takes the password away.
    pub hash: Option<String>,
    pub is_self_service: bool,
    pub expires_at: Option<Timestamp>,
    /// How many passwords are remembered, this one among them; at least one.
    pub kept: usize,
}

/// Gives a user a new password, or takes it away; older ones are forgotten.
pub fn set_password(
    tx: &mut Tx,
    user: &UserId,
    hash: Option<&str>,
    is_self_service: bool,
    now: Timestamp,
) -> Result<()> {
    let new = NewPassword { hash: hash.map(str::to_owned), is_self_service, ..NewPassword::default() };
    replace_password(tx, user, &new, now)
}

/// Gives a user a new password, or takes it away, and remembers as many older ones as are asked for. A password taken away
/// leaves an empty hash, which nothing fits, so that those before it are still older than the next.
pub fn replace_password(tx: &mut Tx, user: &UserId, new: &NewPassword, now: Timestamp) -> Result<()> {
    epoch::bump(tx)?;
    let newest = tx.query_one(
        "SELECT created_at FROM passwords WHERE user_id = ?1 ORDER BY created_at DESC LIMIT 1",
        args![user.as_str()],
    )?;
    // The newest is the one that logs in: no two are of one time.
    let made_at = match newest {
        Some(mut row) => now.max(Timestamp(row.next::<i64>()? + 1)),
        None => now,
    };
    let id = uuid::Uuid::new_v4().simple().to_string();
    tx.execute(
        "INSERT INTO passwords (id, user_id, hash, self_service, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        args![id, user.as_str(), new.hash.as_deref().unwrap_or_default(), new.is_self_service, made_at, new.expires_at],
    )?;
    tx.execute(
        "DELETE FROM passwords WHERE user_id = ?1 AND id NOT IN (
             SELECT p.id FROM passwords p WHERE p.user_id = ?1 ORDER BY p.created_at DESC LIMIT ?2)",
        args![user.as_str(), i64::try_from(new.kept.max(1)).unwrap_or(i64::MAX)],
    )
    .map(drop)
}

/// Keeps the same password under today's parameters, unless it was changed meanwhile.
pub fn rehash(tx: &mut Tx, password: &Password, hash: &str) -> Result<()> {
    tx.execute("UPDATE passwords SET hash = ?3 WHERE id = ?1 AND hash = ?2", args![&password.id, &password.hash, hash])
        .map(drop)
}
