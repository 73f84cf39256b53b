//! Grants: which user or group holds which role on a project, a domain or the system, and what is inherited below.
//!
//! Twelve families of paths, one question each: who, on what, which role, inherited or not. So the path is read into an
//! [`Asked`] and four handlers answer for all of them.

use crate::api::identity::answer::{done, listed};
use crate::api::identity::roles as role_rows;
use crate::api::identity::targets;
use crate::api::{Call, Row};
use crate::cloud::identity::{Actor, Assignment, Group, Project, Role, Target as On, User};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, put};
use crate::ids::{DomainId, GroupId, ProjectId, RoleId, UserId};
use crate::store::{Tx, assignments, groups, projects, roles, users};

/// Lists of grants, and the single grant below each.
const PATHS: [(&str, &str); 8] = [
    ("/v3/projects/{project_id}/users/{user_id}/roles", "/v3/projects/{project_id}/users/{user_id}/roles/{role_id}"),
    (
        "/v3/projects/{project_id}/groups/{group_id}/roles",
        "/v3/projects/{project_id}/groups/{group_id}/roles/{role_id}",
    ),
    ("/v3/domains/{domain_id}/users/{user_id}/roles", "/v3/domains/{domain_id}/users/{user_id}/roles/{role_id}"),
    ("/v3/domains/{domain_id}/groups/{group_id}/roles", "/v3/domains/{domain_id}/groups/{group_id}/roles/{role_id}"),
    (
        "/v3/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/inherited_to_projects",
        "/v3/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
    ),
    (
        "/v3/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/inherited_to_projects",
        "/v3/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
    ),
    (
        "/v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/inherited_to_projects",
        "/v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
    ),
    (
        "/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/inherited_to_projects",
        "/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
    ),
];

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        get("/v3/system/users/{user_id}/roles", list).rule("identity:list_system_grants_for_user"),
        get("/v3/system/users/{user_id}/roles/{role_id}", check).rule("identity:check_system_grant_for_user"),
        put("/v3/system/users/{user_id}/roles/{role_id}", grant).rule("identity:create_system_grant_for_user"),
        delete("/v3/system/users/{user_id}/roles/{role_id}", revoke).rule("identity:revoke_system_grant_for_user"),
        get("/v3/system/groups/{group_id}/roles", list).rule("identity:list_system_grants_for_group"),
        get("/v3/system/groups/{group_id}/roles/{role_id}", check).rule("identity:check_system_grant_for_group"),
        put("/v3/system/groups/{group_id}/roles/{role_id}", grant).rule("identity:create_system_grant_for_group"),
        delete("/v3/system/groups/{group_id}/roles/{role_id}", revoke).rule("identity:revoke_system_grant_for_group"),
    ];
    for (all, one) in PATHS {
        rows.extend([
            get(all, list).rule("identity:list_grants"),
            get(one, check).rule("identity:check_grant"),
            put(one, grant).rule("identity:create_grant"),
            delete(one, revoke).rule("identity:revoke_grant"),
        ]);
    }
    rows
}

/// What a path asks about.
#[derive(Debug, Clone)]
struct Asked {
    actor: Actor,
    on: On,
    role_id: Option<RoleId>,
    inherited: bool,
}

/// The things behind the ids, as far as they are there.
struct Found {
    user: Option<User>,
    group: Option<Group>,
    project: Option<Project>,
    role: Option<Role>,
}

impl Asked {
    fn of(call: &Call) -> Self {
        let part = |name: &str| call.head.params.get(name).map(str::to_owned);
        let actor = match part("user_id") {
            Some(id) => Actor::User(UserId(id)),
            None => Actor::Group(GroupId(part("group_id").unwrap_or_default())),
        };
        let on = match (part("project_id"), part("domain_id")) {
            (Some(id), _) => On::Project(ProjectId(id)),
            (None, Some(id)) => On::Domain(DomainId(id)),
            (None, None) => On::System,
        };
        let inherited = call.head.path.ends_with("/inherited_to_projects");
        Self { actor, on, role_id: part("role_id").map(RoleId), inherited }
    }

    fn find(&self, tx: &mut Tx) -> Result<Found> {
        let (user, group) = match &self.actor {
            Actor::User(id) => (users::get(tx, id)?, None),
            Actor::Group(id) => (None, groups::get(tx, id)?),
        };
        let project = match &self.on {
            On::Project(id) => projects::get(tx, id)?,
            On::Domain(id) => projects::domain(tx, id)?,
            On::System => None,
        };
        let role = match &self.role_id {
            Some(id) => roles::get(tx, id)?,
            None => None,
        };
        Ok(Found { user, group, project, role })
    }

    fn target(&self, found: &Found) -> Target {
        let mut target = Target::new();
        if let Some(user) = &found.user {
            target = targets::with_user(target, user);
        }
        if let Some(group) = &found.group {
            target = targets::with_group(target, group);
        }
        if let Some(role) = &found.role {
            target = targets::with_role(target, role);
        }
        match (&self.on, &found.project) {
            (On::Domain(_), Some(domain)) => targets::with_domain(target, domain),
            (_, Some(project)) => targets::with_project(target, project),
            (_, None) => target,
        }
    }

    /// # Errors
    /// `NotFound` for the first of the things that isn't there.
    fn all_there(&self, found: &Found) -> Result<()> {
        let missing = |kind: Kind, id: &str| Err(Error::not_found(kind, id));
        match &self.actor {
            Actor::User(id) if found.user.is_none() => return missing(Kind::User, &id.0),
            Actor::Group(id) if found.group.is_none() => return missing(Kind::Group, &id.0),
            Actor::User(_) | Actor::Group(_) => {}
        }
        match &self.on {
            On::Project(id) if found.project.is_none() => return missing(Kind::Project, &id.0),
            On::Domain(id) if found.project.is_none() => return missing(Kind::Domain, &id.0),
            On::Project(_) | On::Domain(_) | On::System => {}
        }
        match &self.role_id {
            Some(id) if found.role.is_none() => missing(Kind::Role, &id.0),
            _ => Ok(()),
        }
    }

    fn assignment(&self, role: &Role) -> Assignment {
        let Self { actor, on, inherited, .. } = self.clone();
        Assignment { role_id: role.id.clone(), actor, target: on, inherited }
    }

    fn not_held(&self) -> Error {
        let role = self.role_id.as_ref().map_or("", RoleId::as_str);
        let actor = match &self.actor {
            Actor::User(id) => &id.0,
            Actor::Group(id) => &id.0,
        };
        let on = match &self.on {
            On::Project(id) => &id.0,
            On::Domain(id) => &id.0,
            On::System => "system",
        };
        let text = format!("role: {role}, user or group: {actor}, project, domain, or system: {on}");
        Error::not_found(Kind::RoleAssignment, text)
    }
}

/// What the path asks about, if all of it is there and the row's rule holds for all of it at once.
async fn permitted(call: &Call) -> Result<(Asked, Found)> {
    let asked = Asked::of(call);
    let wanted = asked.clone();
    let found = call.cx.state.db.read(move |tx| wanted.find(tx)).await?;
    call.cx.permit(&asked.target(&found))?;
    asked.all_there(&found)?;
    Ok((asked, found))
}

/// The role of a path for a single grant.
fn role_of(asked: &Asked, role: Option<Role>) -> Result<Role> {
    role.ok_or_else(|| asked.not_held())
}

async fn list(call: Call) -> Result<RawReply> {
    let (asked, _) = permitted(&call).await?;
    let read = move |tx: &mut Tx| {
        let (held, mut known) =
            (assignments::of(tx, &asked.actor, &asked.on, asked.inherited)?, roles::everywhere(tx)?);
        Ok(held.iter().filter_map(|id| known.remove(id)).collect::<Vec<_>>())
    };
    let held = call.cx.state.db.read(read).await?;
    Ok(listed(&call, "roles", held.iter().map(role_rows::view).collect(), &[]))
}

async fn check(call: Call) -> Result<RawReply> {
    let (asked, found) = permitted(&call).await?;
    let role = role_of(&asked, found.role)?;
    let wanted = asked.clone();
    let held =
        call.cx.state.db.read(move |tx| assignments::of(tx, &wanted.actor, &wanted.on, wanted.inherited)).await?;
    if held.contains(&role.id) { Ok(done()) } else { Err(asked.not_held()) }
}

/// A domain's own role means nothing elsewhere.
///
/// # Errors
/// `BadRequest` on the system, `Forbidden` on a project of another domain.
fn check_place(on: &On, project: Option<&Project>, role: &Role) -> Result<()> {
    let Some(own) = &role.domain_id else { return Ok(()) };
    match (on, project) {
        (On::System, _) => Err(Error::bad_request(format!(
            "Role {} is a domain-specific role. Unable to use a domain-specific role in a system assignment.",
            role.id
        ))),
        (On::Project(id), Some(project)) if project.domain_id.as_ref() != Some(own) => Err(Error::Forbidden(format!(
            "Project {id} must be in the same domain as the role {} being assigned.",
            role.id
        ))),
        (On::Project(_) | On::Domain(_), _) => Ok(()),
    }
}

async fn grant(call: Call) -> Result<RawReply> {
    let (asked, found) = permitted(&call).await?;
    let role = role_of(&asked, found.role)?;
    check_place(&asked.on, found.project.as_ref(), &role)?;
    let assignment = asked.assignment(&role);
    call.cx.state.db.write(move |tx| assignments::insert(tx, &assignment)).await?;
    Ok(done())
}

async fn revoke(call: Call) -> Result<RawReply> {
    let (asked, found) = permitted(&call).await?;
    let role = role_of(&asked, found.role)?;
    let assignment = asked.assignment(&role);
    let was_held = call.cx.state.db.write(move |tx| assignments::delete(tx, &assignment)).await?;
    if was_held { Ok(done()) } else { Err(asked.not_held()) }
}
