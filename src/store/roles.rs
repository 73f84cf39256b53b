//! Roles, the roles they imply, and which of them a user holds where.

use super::listing::{self, Attribute, Conditions};
use super::users::{all, column, json_map};
use super::{Json, OrConflict, Row, Tx, Value, application_credentials, args, epoch, identity_changes, projects};
use crate::clock::Timestamp;
use crate::cloud::identity::{Role, RoleRef, Target, name_key};
use crate::cloud::listing::{Listing, Page, Test};
use crate::error::Result;
use crate::ids::{DomainId, ProjectId, RoleId, UserId};
use std::collections::HashMap;

const COLUMNS: &str = "id, domain_id, name, description, options, extra";

/// What lists of roles may be asked for.
const ATTRIBUTES: &[Attribute] = &[Attribute::name("name", "name_key"), Attribute::exact("domain_id", "domain_id")];

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

/// A page of the roles that a listing asks for: those for every domain, unless it asks for a domain's own.
///
/// # Errors
/// `NotFound` for a marker that is no role's id.
pub fn page(tx: &mut Tx, listing: &Listing) -> Result<Page<Role>> {
    let mut conditions = Conditions::new();
    if !listing.tests.iter().any(|(attribute, test)| *attribute == "domain_id" && matches!(test, Test::Is(_))) {
        conditions.and("domain_id IS NULL");
    }
    conditions.tests(listing, ATTRIBUTES)?;
    listing::page(tx, COLUMNS, ("roles", "id"), conditions, listing, from_row)
}

/// Every role there is, of whichever domain, by its id.
pub fn everywhere(tx: &mut Tx) -> Result<HashMap<RoleId, Role>> {
    let roles = all(tx.query(&format!("SELECT {COLUMNS} FROM roles"), args![])?, from_row)?;
    Ok(roles.into_iter().map(|role| (role.id.clone(), role)).collect())
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
    identity_changes::of_role(tx, &role.id)?;
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
    let at = role.domain_id.as_ref().map(|id| format!(" at domain ID {id}")).unwrap_or_default();
    format!("Conflict occurred attempting to store role - Duplicate entry found with name {}{at}.", role.name)
}

pub fn delete(tx: &mut Tx, id: &RoleId) -> Result<()> {
    epoch::bump(tx)?;
    application_credentials::delete_all_with_role(tx, id)?;
    identity_changes::of_role(tx, id)?;
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
    identity_changes::of_role(tx, prior)?;
    let sql = "DELETE FROM implied_roles WHERE prior_role_id = ?1 AND implied_role_id = ?2";
    Ok(tx.execute(sql, args![prior.as_str(), implied.as_str()])? > 0)
}

/// These roles and all that they imply.
pub fn with_implied(tx: &mut Tx, roles: &[RoleId]) -> Result<Vec<RoleId>> {
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let implications = implications(tx)?;
    let mut found = roles.to_vec();
    let mut at = 0;
    while let Some(prior) = found.get(at).cloned() {
        for (_, implied) in implications.iter().filter(|(first, _)| *first == prior) {
            if !found.contains(implied) {
                found.push(implied.clone());
            }
        }
        at += 1;
    }
    Ok(found)
}

/// The roles a user holds on something now: assigned to them or a group of theirs, there or inherited from above, and
/// all that those imply. A domain's own roles count only by what they imply.
///
/// Asked for every login, and for every token after each change of identity. One recursive query could answer it all, and
/// on SQLite took three times as long as these few: what such a query collects on its way are temporary tables, each with a
/// page cache of its own.
pub fn effective(tx: &mut Tx, user: &UserId, target: &Target) -> Result<Vec<RoleRef>> {
    let granted = granted(tx, user, target)?;
    let held = with_implied(tx, &granted)?;
    named(tx, &held)
}

/// The same on a project, with the domains' own roles: what a trust may hand on.
pub fn held_on_project(tx: &mut Tx, user: &UserId, project: &ProjectId) -> Result<Vec<RoleId>> {
    let granted = granted(tx, user, &Target::Project(project.clone()))?;
    with_implied(tx, &granted)
}

/// The roles that are assigned, each of them once.
fn granted(tx: &mut Tx, user: &UserId, target: &Target) -> Result<Vec<RoleId>> {
    let mut args = args![user.as_str()].to_vec();
    let mut ways = Vec::new();
    match target {
        Target::System => ways.push("a.project_id IS NULL AND a.domain_id IS NULL AND a.is_system = 1".to_owned()),
        Target::Domain(id) => {
            args.push(id.as_str().into());
            ways.push("a.project_id IS NULL AND a.domain_id = ?2 AND a.inherited = 0".to_owned());
        }
        Target::Project(id) => {
            args.push(id.as_str().into());
            ways.push("a.project_id = ?2 AND a.inherited = 0".to_owned());
            ways.push(
                "a.project_id IS NULL AND a.inherited = 1
                 AND a.domain_id = (SELECT p.domain_id FROM projects p WHERE p.id = ?2)"
                    .to_owned(),
            );
            for above in projects::above(tx, id)? {
                args.push(above.as_str().into());
                ways.push(format!("a.project_id = ?{} AND a.inherited = 1", args.len()));
            }
        }
    }
    // Each way is a query of its own, by the user and by their groups: either engine finds the index for each of them, and
    // for none of an OR over all. CROSS puts groups first; SQLite would be free to begin with everybody's assignments.
    let queries: Vec<String> = ways
        .iter()
        .flat_map(|way| {
            let by_user = format!("SELECT a.role_id FROM assignments a WHERE a.user_id = ?1 AND {way}");
            let by_group = format!(
                "SELECT a.role_id FROM group_members m CROSS JOIN assignments a
                  WHERE m.user_id = ?1 AND a.group_id = m.group_id AND {way}"
            );
            [by_user, by_group]
        })
        .collect();
    let mut roles: Vec<RoleId> = column(tx.query(&queries.join(" UNION ALL "), &args)?)?;
    roles.sort();
    roles.dedup();
    Ok(roles)
}

/// Those of them that hold in every domain, by name.
fn named(tx: &mut Tx, roles: &[RoleId]) -> Result<Vec<RoleRef>> {
    if roles.is_empty() {
        return Ok(Vec::new());
    }
    let one = |at: usize| format!("SELECT id, name FROM roles WHERE id = ?{} AND domain_id IS NULL", at + 1);
    let sql = (0..roles.len()).map(one).collect::<Vec<_>>().join(" UNION ALL ");
    let args: Vec<Value> = roles.iter().map(|role| role.as_str().into()).collect();
    let mut named = all(tx.query(&sql, &args)?, |mut row| Ok(RoleRef { id: RoleId(row.next()?), name: row.next()? }))?;
    named.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(named)
}
