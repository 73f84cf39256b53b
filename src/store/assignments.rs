//! Who holds which role on what.

use super::listing::Conditions;
use super::users::all;
use super::{Row, Tx, Value, application_credentials, args, epoch, identity_changes, roles};
use crate::cloud::identity::{Actor, Assignment, Target};
use crate::error::{Error, Result};
use crate::ids::{DomainId, GroupId, ProjectId, RoleId, UserId};

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
    match &assignment.actor {
        Actor::User(id) => identity_changes::of_user(tx, id)?,
        Actor::Group(id) => identity_changes::of_members(tx, id)?,
    }
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

/// Does a group hold anything anywhere?
pub fn are_any_of_group(tx: &mut Tx, group: &GroupId) -> Result<bool> {
    let sql = "SELECT 1 FROM assignments WHERE group_id = ?1 LIMIT 1";
    Ok(tx.query_one(sql, args![group.as_str()])?.is_some())
}

/// Which assignments are looked for; what is not said is not looked at.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub role_id: Option<RoleId>,
    pub user_id: Option<UserId>,
    pub group_id: Option<GroupId>,
    /// With `user_id`: also what the groups of the user hold.
    pub by_groups: bool,
    pub on: On,
    pub inherited: Option<bool>,
}

/// What assignments are looked for on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum On {
    #[default]
    Everything,
    /// Projects and domains, but not the system.
    ProjectsAndDomains,
    System,
    Domain(DomainId),
    /// A project and, if asked for, all below it.
    Project {
        id: ProjectId,
        with_subtree: bool,
    },
    /// Whatever comes to roles on a project or, if asked for, anywhere below it: what is held there, and what is inherited
    /// from the project's domain and from above, or begins below.
    Reaching {
        id: ProjectId,
        with_subtree: bool,
    },
}

/// The assignments looked for.
pub fn list(tx: &mut Tx, wanted: &Wanted) -> Result<Vec<Assignment>> {
    let mut conditions = Conditions::new();
    if let Some(role) = &wanted.role_id {
        let role = conditions.bind(role.as_str());
        conditions.and(&format!("a.role_id = {role}"));
    }
    if let Some(user) = &wanted.user_id {
        let user = conditions.bind(user.as_str());
        conditions.and(&match wanted.by_groups {
            false => format!("a.user_id = {user}"),
            true => format!(
                "(a.user_id = {user}
                  OR a.group_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = {user}))"
            ),
        });
    }
    if let Some(group) = &wanted.group_id {
        let group = conditions.bind(group.as_str());
        conditions.and(&format!("a.group_id = {group}"));
    }
    if let Some(inherited) = wanted.inherited {
        let inherited = conditions.bind(inherited);
        conditions.and(&format!("a.inherited = {inherited}"));
    }
    on(&mut conditions, &wanted.on);
    let sql = format!(
        "SELECT a.role_id, a.user_id, a.group_id, a.project_id, a.domain_id, a.inherited FROM assignments a
          WHERE {}
          ORDER BY COALESCE(a.project_id, ''), COALESCE(a.domain_id, ''), COALESCE(a.user_id, ''),
                   COALESCE(a.group_id, ''), a.role_id, a.inherited",
        conditions.sql()
    );
    all(tx.query(&sql, &conditions.args)?, from_row)
}

fn on(conditions: &mut Conditions, on: &On) {
    // A project with all below it, and a project with all above it.
    let down = |place: &str| {
        format!(
            "(WITH RECURSIVE down (id) AS (
                  SELECT p.id FROM projects p WHERE p.id = {place}
                  UNION SELECT c.id FROM projects c JOIN down ON c.parent_id = down.id
              ) SELECT down.id FROM down)"
        )
    };
    let up = |place: &str| {
        format!(
            "(WITH RECURSIVE up (id, parent_id) AS (
                  SELECT p.id, p.parent_id FROM projects p WHERE p.id = {place}
                  UNION SELECT p.id, p.parent_id FROM projects p JOIN up ON p.id = up.parent_id
              ) SELECT up.id FROM up WHERE up.id <> {place})"
        )
    };
    match on {
        On::Everything => {}
        On::ProjectsAndDomains => conditions.and("a.is_system = 0"),
        On::System => conditions.and("a.is_system = 1"),
        On::Domain(id) => {
            let id = conditions.bind(id.as_str());
            conditions.and(&format!("a.domain_id = {id}"));
        }
        On::Project { id, with_subtree } => {
            let id = conditions.bind(id.as_str());
            conditions.and(&match with_subtree {
                false => format!("a.project_id = {id}"),
                true => format!("a.project_id IN {}", down(&id)),
            });
        }
        On::Reaching { id, with_subtree } => {
            let id = conditions.bind(id.as_str());
            let held = match with_subtree {
                false => format!("a.inherited = 0 AND a.project_id = {id}"),
                true => format!("a.project_id IN {}", down(&id)),
            };
            conditions.and(&format!(
                "(({held}) OR (a.inherited = 1 AND (
                      a.domain_id = (SELECT p.domain_id FROM projects p WHERE p.id = {id}) OR a.project_id IN {})))",
                up(&id)
            ));
        }
    }
}
