//! Who holds which role on what.

use super::users::all;
use super::{Row, Tx, Value, application_credentials, args, epoch, roles};
use crate::cloud::identity::{Actor, Assignment, Target};
use crate::error::{Error, Result};
use crate::ids::{DomainId, GroupId, ProjectId, RoleId, UserId};

const COLUMNS: &str = "role_id, user_id, group_id, project_id, domain_id, inherited";

fn from_row(mut row: Row) -> Result<Assignment> {
    let role_id = RoleId(row.next()?);
    let (user, group) = (row.next::<Option<String>>()?, row.next::<Option<String>>()?);
    let (project, domain) = (row.next::<Option<String>>()?, row.next::<Option<String>>()?);
    let actor = match (user, group) {
        (Some(user), None) => Actor::User(UserId(user)),
        (None, Some(group)) => Actor::Group(GroupId(group)),
        _ => return Err(Error::internal("an assignment could not be read", "it has not one actor")),
    };
    let target = match (project, domain) {
        (Some(project), _) => Target::Project(ProjectId(project)),
        (None, Some(domain)) => Target::Domain(DomainId(domain)),
        (None, None) => Target::System,
    };
    Ok(Assignment { role_id, actor, target, inherited: row.next()? })
}

/// The assignment as columns: user, group, project, domain, system.
fn columns(actor: &Actor, target: &Target) -> (Vec<Value>, bool) {
    let (user, group) = match actor {
        Actor::User(id) => (Some(id.as_str()), None),
        Actor::Group(id) => (None, Some(id.as_str())),
    };
    let (project, domain, is_system) = match target {
        Target::Project(id) => (Some(id.as_str()), None, false),
        Target::Domain(id) => (None, Some(id.as_str()), false),
        Target::System => (None, None, true),
    };
    ([user, group, project, domain].into_iter().map(Value::from).collect(), is_system)
}

/// Grants a role; granting twice is granting once.
pub fn insert(tx: &mut Tx, assignment: &Assignment) -> Result<()> {
    epoch::bump(tx)?;
    let (mut values, is_system) = columns(&assignment.actor, &assignment.target);
    values.extend([assignment.role_id.as_str().into(), is_system.into(), assignment.inherited.into()]);
    tx.execute(
        "INSERT INTO assignments (user_id, group_id, project_id, domain_id, role_id, is_system, inherited)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        &values,
    )
    .map(drop)
}

/// Takes a role back; answers whether it was held. The user's application credentials that were made with it go too,
/// unless the role is held there some other way.
pub fn delete(tx: &mut Tx, assignment: &Assignment) -> Result<bool> {
    epoch::bump(tx)?;
    let (mut values, is_system) = columns(&assignment.actor, &assignment.target);
    values.extend([assignment.role_id.as_str().into(), is_system.into(), assignment.inherited.into()]);
    let sql = format!("DELETE FROM assignments WHERE {EXACTLY} AND role_id = ?5 AND is_system = ?6 AND inherited = ?7");
    let was_held = tx.execute(&sql, &values)? > 0;
    if let (Actor::User(user), Target::Project(project)) = (&assignment.actor, &assignment.target)
        && was_held
        && !assignment.inherited
        && !roles::effective(tx, user, &assignment.target)?.iter().any(|role| role.id == assignment.role_id)
    {
        application_credentials::delete_with_role(tx, user, project, &assignment.role_id)?;
    }
    Ok(was_held)
}

/// NULLs are never equal to one another, so absent parts are compared as empty text.
const EXACTLY: &str = "COALESCE(user_id, '') = COALESCE(?1, '') AND COALESCE(group_id, '') = COALESCE(?2, '')
     AND COALESCE(project_id, '') = COALESCE(?3, '') AND COALESCE(domain_id, '') = COALESCE(?4, '')";

/// What an actor holds on a target, directly.
pub fn of(tx: &mut Tx, actor: &Actor, target: &Target, inherited: bool) -> Result<Vec<RoleId>> {
    // Named as they are, and not as EXACTLY does: the index on who holds what is on the columns themselves.
    let (who, id) = match actor {
        Actor::User(id) => ("user_id", id.as_str()),
        Actor::Group(id) => ("group_id", id.as_str()),
    };
    let (on, place) = match target {
        Target::Project(id) => ("project_id = ?2 AND domain_id IS NULL", id.as_str()),
        Target::Domain(id) => ("project_id IS NULL AND domain_id = ?2", id.as_str()),
        Target::System => ("project_id IS NULL AND domain_id IS NULL AND is_system = 1 AND ?2 = ''", ""),
    };
    let sql = format!("SELECT role_id FROM assignments WHERE {who} = ?1 AND {on} AND inherited = ?3 ORDER BY role_id");
    all(tx.query(&sql, args![id, place, inherited])?, |mut row| Ok(RoleId(row.next()?)))
}

/// Every assignment.
pub fn list(tx: &mut Tx) -> Result<Vec<Assignment>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM assignments
          ORDER BY COALESCE(project_id, ''), COALESCE(domain_id, ''), COALESCE(user_id, ''), COALESCE(group_id, ''), role_id"
    );
    all(tx.query(&sql, args![])?, from_row)
}
