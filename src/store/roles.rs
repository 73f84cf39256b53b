//! Roles, the roles they imply, and which of them a user holds where.

use super::users::{all, json_map};
use super::{Json, OrConflict, Row, Tx, Value, args, epoch};
use crate::clock::Timestamp;
use crate::cloud::identity::{Role, RoleRef, Target, name_key};
use crate::error::Result;
use crate::ids::{DomainId, RoleId, UserId};

const COLUMNS: &str = "id, domain_id, name, description, options, extra";

fn from_row(mut row: Row) -> Result<Role> {
    Ok(Role {
        id: RoleId(row.next()?),
        domain_id: row.next::<Option<String>>()?.map(DomainId),
        name: row.next()?,
        description: row.next()?,
        options: json_map(&mut row)?,
        extra: json_map(&mut row)?,
    })
}

pub fn get(tx: &mut Tx, id: &RoleId) -> Result<Option<Role>> {
    tx.query_one(&format!("SELECT {COLUMNS} FROM roles WHERE id = ?1"), args![id.as_str()])?.map(from_row).transpose()
}

/// A role for every domain, by name.
pub fn by_name(tx: &mut Tx, name: &str) -> Result<Option<Role>> {
    let sql = format!("SELECT {COLUMNS} FROM roles WHERE domain_id IS NULL AND name_key = ?1");
    tx.query_one(&sql, args![name_key(name)])?.map(from_row).transpose()
}

/// Roles of a domain, or those for every domain, by name.
pub fn list(tx: &mut Tx, domain: Option<&DomainId>) -> Result<Vec<Role>> {
    let sql =
        format!("SELECT {COLUMNS} FROM roles WHERE domain_id = ?1 OR (domain_id IS NULL AND ?2 = 1) ORDER BY name, id");
    all(tx.query(&sql, args![domain.map(DomainId::as_str), domain.is_none()])?, from_row)
}

/// # Errors
/// `Conflict` when the name is another's.
pub fn insert(tx: &mut Tx, role: &Role, now: Timestamp) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "INSERT INTO roles (id, domain_id, name, name_key, description, options, extra, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        args![
            role.id.as_str(),
            role.domain_id.as_ref().map(DomainId::as_str),
            &role.name,
            name_key(&role.name),
            role.description.as_deref(),
            Json(&role.options),
            Json(&role.extra),
            now
        ],
    )
    .or_conflict(|| taken(role))
    .map(drop)
}

/// # Errors
/// `Conflict` when the name is another's.
pub fn update(tx: &mut Tx, role: &Role) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "UPDATE roles SET name = ?2, name_key = ?3, description = ?4, options = ?5, extra = ?6 WHERE id = ?1",
        args![
            role.id.as_str(),
            &role.name,
            name_key(&role.name),
            role.description.as_deref(),
            Json(&role.options),
            Json(&role.extra)
        ],
    )
    .or_conflict(|| taken(role))
    .map(drop)
}

fn taken(role: &Role) -> String {
    format!("Conflict occurred attempting to store role - Duplicate entry found with name {}.", role.name)
}

pub fn delete(tx: &mut Tx, id: &RoleId) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute("DELETE FROM roles WHERE id = ?1", args![id.as_str()]).map(drop)
}

/// Every pair of a role and one it implies directly.
pub fn implications(tx: &mut Tx) -> Result<Vec<(RoleId, RoleId)>> {
    let rows = tx.query("SELECT prior_role_id, implied_role_id FROM implied_roles ORDER BY 1, 2", args![])?;
    all(rows, |mut row| Ok((RoleId(row.next()?), RoleId(row.next()?))))
}

/// Makes a role imply another; saying it twice is saying it once.
pub fn imply(tx: &mut Tx, prior: &RoleId, implied: &RoleId) -> Result<()> {
    epoch::bump(tx)?;
    tx.execute(
        "INSERT INTO implied_roles (prior_role_id, implied_role_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        args![prior.as_str(), implied.as_str()],
    )
    .map(drop)
}

/// Answers whether there was such an implication.
pub fn stop_implying(tx: &mut Tx, prior: &RoleId, implied: &RoleId) -> Result<bool> {
    epoch::bump(tx)?;
    let sql = "DELETE FROM implied_roles WHERE prior_role_id = ?1 AND implied_role_id = ?2";
    Ok(tx.execute(sql, args![prior.as_str(), implied.as_str()])? > 0)
}

/// The roles a user holds on something now: assigned to them or a group of theirs, there or inherited from above, and
/// all that those imply. A domain's own roles count only by what they imply.
pub fn effective(tx: &mut Tx, user: &UserId, target: &Target) -> Result<Vec<RoleRef>> {
    match target {
        Target::System => held(tx, "a.is_system = 1 AND ?2 = ''", args![user.as_str(), ""]),
        Target::Domain(id) => held(tx, "a.domain_id = ?2 AND a.inherited = 0", args![user.as_str(), id.as_str()]),
        Target::Project(id) => held(
            tx,
            "(a.project_id = ?2 AND a.inherited = 0) OR (a.inherited = 1 AND (
                 a.project_id IN (SELECT up.id FROM up WHERE up.id <> ?2)
                 OR a.domain_id IN (SELECT p.domain_id FROM projects p WHERE p.id = ?2)))",
            args![user.as_str(), id.as_str()],
        ),
    }
}

fn held(tx: &mut Tx, on_target: &str, args: &[Value]) -> Result<Vec<RoleRef>> {
    let sql = format!(
        "WITH RECURSIVE up (id, parent_id) AS (
             SELECT p.id, p.parent_id FROM projects p WHERE p.id = ?2
             UNION SELECT p.id, p.parent_id FROM projects p JOIN up ON p.id = up.parent_id
         ), held (role_id) AS (
             SELECT a.role_id FROM assignments a
              WHERE (a.user_id = ?1 OR a.group_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = ?1))
                AND ({on_target})
             UNION SELECT i.implied_role_id FROM implied_roles i JOIN held ON held.role_id = i.prior_role_id
         )
         SELECT r.id, r.name FROM roles r JOIN held ON held.role_id = r.id WHERE r.domain_id IS NULL
          ORDER BY r.name, r.id"
    );
    all(tx.query(&sql, args)?, |mut row| Ok(RoleRef { id: RoleId(row.next()?), name: row.next()? }))
}
