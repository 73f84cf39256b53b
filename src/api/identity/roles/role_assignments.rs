//! `GET /v3/role_assignments`: grants as they were made, or (with `effective`) what they come to.
//!
//! Both are asked of the store with every filter that can be: there may be half a million grants. What grants come to is
//! reckoned from those that could reach the user or the project asked for, and nothing else is fetched for it.

use crate::api::identity::answer::{asks, here, link, shows_domain};
use crate::api::identity::pages::check_id;
use crate::api::identity::roles::assignment_names::Names;
use crate::api::identity::targets;
use crate::api::{Call, Row};
use crate::cloud::effective::{Held, Place, Via, expand};
use crate::cloud::identity::{Actor, Assignment, Target as To};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::query::Query;
use crate::http::reply::RawReply;
use crate::http::table::get;
use crate::ids::{DomainId, GroupId, ProjectId, RoleId, UserId};
use crate::store::assignments::{On, Wanted};
use crate::store::{Tx, assignments, groups, projects, roles};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

pub fn rows() -> Vec<Row> {
    vec![get("/v3/role_assignments", list).rule("identity:list_role_assignments").query(&[
        "effective",
        "group.id",
        "include_names",
        "include_subtree",
        "role.id",
        "scope.OS-INHERIT:inherited_to",
        "scope.domain.id",
        "scope.project.id",
        "scope.system",
        "user.id",
    ])]
}

/// What a query asks for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    role_id: Option<RoleId>,
    user_id: Option<UserId>,
    group_id: Option<GroupId>,
    project_id: Option<ProjectId>,
    domain_id: Option<DomainId>,
    of_system: bool,
    inherited: Option<bool>,
    with_subtree: bool,
    is_effective: bool,
    with_names: bool,
}

impl Asked {
    /// # Errors
    /// `BadRequest` for filters that contradict each other, and ids that can be none.
    pub(super) fn of(query: &Query) -> Result<Self> {
        let refuse = |text: &str| Err(Error::bad_request(text));
        let has = |name: &str| query.has(name);
        let (is_effective, with_subtree) = (asks(query, "effective"), asks(query, "include_subtree"));
        let inherited = query.get("scope.OS-INHERIT:inherited_to").map(|to| to == "projects");
        match () {
            () if has("scope.domain.id") && has("scope.project.id") => refuse("Specify a domain or project, not both"),
            () if has("scope.domain.id") && has("scope.system") => refuse("Specify system or domain, not both"),
            () if has("scope.project.id") && has("scope.system") => refuse("Specify system or project, not both"),
            () if has("user.id") && has("group.id") => refuse("Specify a user or group, not both"),
            () if is_effective && has("group.id") => {
                refuse("Combining effective and group filter will always result in an empty list.")
            }
            () if is_effective && inherited == Some(true) && has("scope.domain.id") => {
                refuse("Combining effective, domain and inherited filters will always result in an empty list.")
            }
            () if with_subtree && !has("scope.project.id") => {
                refuse("scope.project.id must be specified if include_subtree is also specified")
            }
            () => Ok(()),
        }?;
        for name in ["role.id", "group.id", "scope.domain.id", "scope.project.id"] {
            if let Some(id) = query.get(name) {
                check_id(name, id)?;
            }
        }
        let id = |name: &str| query.get(name).map(str::to_owned);
        Ok(Self {
            role_id: id("role.id").map(RoleId),
            user_id: id("user.id").map(UserId),
            group_id: id("group.id").map(GroupId),
            project_id: id("scope.project.id").map(ProjectId),
            domain_id: id("scope.domain.id").map(DomainId),
            of_system: query.get("scope.system") == Some("all"),
            inherited,
            with_subtree,
            is_effective,
            with_names: asks(query, "include_names"),
        })
    }

    /// Grants as they were made.
    fn direct(&self) -> Wanted {
        let on = match (&self.project_id, &self.domain_id) {
            (Some(id), _) => On::Project { id: id.clone(), with_subtree: self.with_subtree },
            (None, Some(id)) => On::Domain(id.clone()),
            (None, None) if self.of_system => On::System,
            (None, None) => On::Everything,
        };
        Wanted {
            role_id: self.role_id.clone(),
            user_id: self.user_id.clone(),
            group_id: self.group_id.clone(),
            by_groups: false,
            on,
            inherited: self.inherited,
        }
    }

    /// Grants that may come to what is asked for. Their roles are not looked at: any may imply the one asked for.
    fn sources(&self) -> Wanted {
        let on = match (&self.project_id, &self.domain_id) {
            (Some(id), _) => On::Reaching { id: id.clone(), with_subtree: self.with_subtree },
            (None, Some(id)) => On::Domain(id.clone()),
            (None, None) if self.of_system => On::System,
            // As upstream: what is effective is about projects and domains, unless the system is asked for.
            (None, None) => On::ProjectsAndDomains,
        };
        let inherited = if self.domain_id.is_some() { Some(false) } else { self.inherited };
        Wanted { role_id: None, user_id: self.user_id.clone(), group_id: None, by_groups: true, on, inherited }
    }
}

/// The grants that are asked for.
pub(super) fn find(tx: &mut Tx, asked: &Asked) -> Result<Vec<Held>> {
    if !asked.is_effective {
        let found = assignments::list(tx, &asked.direct())?;
        return Ok(found.into_iter().map(|assignment| Held { assignment, via: Vec::new() }).collect());
    }
    let sources = assignments::list(tx, &asked.sources())?;
    let members = members(tx, asked, &sources)?;
    let (places, reached) = places(tx, asked, &sources)?;
    let known = roles::everywhere(tx)?;
    let is_asked_for = |held: &Held| {
        let Held { assignment, .. } = held;
        let is_on_target = match (&assignment.target, &reached) {
            (To::Project(id), Some(reached)) => reached.contains(id),
            (To::Domain(_) | To::System, Some(_)) => false,
            (_, None) => true,
        };
        is_on_target
            && asked.role_id.as_ref().is_none_or(|role| *role == assignment.role_id)
            // A domain's own role is there for what it implies and stands in no token.
            && known.get(&assignment.role_id).is_some_and(|role| role.domain_id.is_none())
    };
    let expanded = expand(&sources, &members, &places, &roles::implications(tx)?);
    Ok(expanded.into_iter().filter(is_asked_for).collect())
}

/// Who is in the groups that hold something; of them only the user asked for.
fn members(tx: &mut Tx, asked: &Asked, sources: &[Assignment]) -> Result<Vec<(GroupId, UserId)>> {
    let groups: HashSet<&str> = sources
        .iter()
        .filter_map(|source| match &source.actor {
            Actor::Group(id) => Some(id.as_str()),
            Actor::User(_) => None,
        })
        .collect();
    if let Some(user) = &asked.user_id {
        // The store has looked for grants to groups of this user only.
        return Ok(groups.into_iter().map(|group| (group.into(), user.clone())).collect());
    }
    groups::memberships(tx, &groups.into_iter().collect::<Vec<_>>())
}

/// The projects that inherited grants may come down to, and, if a project is asked for, those that count.
fn places(tx: &mut Tx, asked: &Asked, sources: &[Assignment]) -> Result<(Vec<Place>, Option<HashSet<ProjectId>>)> {
    let Some(id) = &asked.project_id else {
        let is_inherited = sources.iter().any(|source| source.inherited);
        return Ok((if is_inherited { projects::places(tx)? } else { Vec::new() }, None));
    };
    let project = projects::get(tx, id)?.ok_or_else(|| Error::not_found(Kind::Project, id))?;
    let below = if asked.with_subtree { projects::subtree(tx, id)? } else { Vec::new() };
    let reached = below.iter().map(|below| below.id.clone()).chain([id.clone()]).collect();
    let line = projects::ancestors(tx, id)?.into_iter().chain([project]).chain(below);
    Ok((line.map(|place| (place.id, place.parent_id, place.domain_id)).collect(), Some(reached)))
}

async fn list(call: Call) -> Result<RawReply> {
    let asked = Asked::of(call.query())?;
    permit(&call, &asked).await?;
    let (with_subtree, with_names) = (asked.with_subtree, asked.with_names);
    let read = move |tx: &mut Tx| {
        let held = find(tx, &asked)?;
        let names = Names::of(tx, &held, asked.with_names)?;
        Ok((held, names))
    };
    let (held, names) = call.cx.state.db.read(read).await?;
    // What was asked of a tree was permitted by its root.
    let is_seen = |held: &&Held| with_subtree || shows_domain(&call, names.domain_of(&held.assignment.target));
    let shown: Vec<Value> = held.iter().filter(is_seen).map(|held| view(&call, held, &names, with_names)).collect();
    let links = json!({"next": null, "self": here(&call), "previous": null});
    Ok(RawReply::json(StatusCode::OK, &json!({"role_assignments": shown, "links": links})))
}

/// Asks the rule of the list: about the domain of the token, or about the project at the root of the tree.
async fn permit(call: &Call, asked: &Asked) -> Result<()> {
    let Some(id) = asked.project_id.clone().filter(|_| asked.with_subtree) else {
        let own = call.cx.credentials().domain_id.as_ref();
        return call.cx.permit(&Target::new().with_option("target.domain_id", own));
    };
    let wanted = id.clone();
    let found = call.cx.state.db.read(move |tx| projects::get(tx, &wanted)).await?;
    let root = found.ok_or_else(|| Error::not_found(Kind::Project, id))?;
    call.cx.allow_on("identity:list_role_assignments_for_tree", &targets::project(&root))
}

fn view(call: &Call, held: &Held, names: &Names, with_names: bool) -> Value {
    let assignment = &held.assignment;
    let mut scope = Map::new();
    let mut place = match &assignment.target {
        To::Project(id) => {
            scope.insert("project".to_owned(), names.project(&id.0, with_names));
            format!("/projects/{id}")
        }
        To::Domain(id) => {
            let shown = if with_names { names.domain(&id.0) } else { json!({ "id": id }) };
            scope.insert("domain".to_owned(), shown);
            format!("/domains/{id}")
        }
        To::System => {
            scope.insert("system".to_owned(), json!({"all": true}));
            "/system".to_owned()
        }
    };
    let mut links = Map::new();
    let (key, id) = match &assignment.actor {
        Actor::User(id) => ("user", &id.0),
        Actor::Group(id) => ("group", &id.0),
    };
    let mut who = format!("/{key}s/{id}");
    let mut role = assignment.role_id.0.clone();
    for via in &held.via {
        match via {
            Via::Group(group) => {
                who = format!("/groups/{group}");
                links.insert("membership".to_owned(), json!(link(call, &format!("/groups/{group}/users/{id}"))));
            }
            Via::Domain(domain) => place = format!("/domains/{domain}"),
            Via::Project(project) => place = format!("/projects/{project}"),
            Via::Role(prior) => {
                // Upstream's link has the two the wrong way round, and so has this one.
                let path = format!("/prior_role/{role}/implies/{prior}");
                links.insert("prior_role".to_owned(), json!(link(call, &path)));
                role.clone_from(&prior.0);
            }
        }
    }
    let path = if held.is_inherited() {
        scope.insert("OS-INHERIT:inherited_to".to_owned(), json!("projects"));
        format!("/OS-INHERIT{place}{who}/roles/{role}/inherited_to_projects")
    } else {
        format!("{place}{who}/roles/{role}")
    };
    links.insert("assignment".to_owned(), json!(link(call, &path)));
    json!({
        key: names.actor(&assignment.actor, with_names),
        "role": names.role(&assignment.role_id, with_names),
        "scope": scope,
        "links": links,
    })
}
