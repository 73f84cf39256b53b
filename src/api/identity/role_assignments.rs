//! `GET /v3/role_assignments`: all grants, or (with `effective`) what they come to.

use super::answer::{asks, here, link, shows_domain};
use super::{project_tree, targets};
use crate::api::{Call, Row};
use crate::cloud::effective::{Held, Via, expand};
use crate::cloud::identity::{Actor, Project, Target as On};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::query::Query;
use crate::http::reply::RawReply;
use crate::http::table::get;
use crate::ids::{DomainId, ProjectId, RoleId};
use crate::store::projects::{self, Filter};
use crate::store::{Tx, assignments, groups, roles, users};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

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

/// Names by id, for `include_names`, and what is needed to find the domain of a project.
#[derive(Default)]
struct Names {
    projects: HashMap<String, Project>,
    /// Name and domain.
    actors: HashMap<String, (String, String)>,
    roles: HashMap<String, (String, Option<String>)>,
}

async fn list(call: Call) -> Result<RawReply> {
    let query = call.query().clone();
    check_filters(&query)?;
    let with_subtree = asks(&query, "include_subtree");
    permit(&call, &query, with_subtree).await?;
    let (is_effective, with_names) = (asks(&query, "effective"), asks(&query, "include_names"));
    let (held, names) = call
        .cx
        .state
        .db
        .read(move |tx| {
            let below = match query.get("scope.project.id").filter(|_| with_subtree) {
                Some(id) => project_tree::subtree(tx, &id.into())?.into_iter().map(|project| project.id).collect(),
                None => Vec::new(),
            };
            let all = if is_effective { effective(tx)? } else { direct(tx)? };
            let held: Vec<Held> = all.into_iter().filter(|held| fits(held, &query, &below)).collect();
            Ok((held, names(tx, with_names)?))
        })
        .await?;
    // What was asked of a tree was permitted by its root.
    let seen = held.iter().filter(|held| with_subtree || shows_domain(&call, names.domain_of(held)));
    let shown: Vec<Value> = seen.map(|held| view(&call, held, &names, with_names)).collect();
    let links = json!({"next": null, "self": here(&call), "previous": null});
    Ok(RawReply::json(StatusCode::OK, &json!({"role_assignments": shown, "links": links})))
}

/// Asks the rule of the list: about the domain of the token, or about the project at the root of the tree.
async fn permit(call: &Call, query: &Query, with_subtree: bool) -> Result<()> {
    let Some(id) = query.get("scope.project.id").filter(|_| with_subtree) else {
        return call
            .cx
            .permit(&Target::new().with_option("target.domain_id", call.cx.credentials().domain_id.as_ref()));
    };
    let wanted = ProjectId::from(id);
    let found = call.cx.state.db.read(move |tx| projects::get(tx, &wanted)).await?;
    let root = found.ok_or_else(|| Error::not_found(Kind::Project, id))?;
    call.cx.allow_on("identity:list_role_assignments_for_tree", &targets::project(&root))
}

/// # Errors
/// `BadRequest` for filters that contradict each other.
fn check_filters(query: &Query) -> Result<()> {
    let refuse = |text: &str| Err(Error::bad_request(text));
    let has = |name: &str| query.has(name);
    match () {
        () if has("scope.domain.id") && has("scope.project.id") => refuse("Specify a domain or project, not both"),
        () if has("scope.domain.id") && has("scope.system") => refuse("Specify system or domain, not both"),
        () if has("scope.project.id") && has("scope.system") => refuse("Specify system or project, not both"),
        () if has("user.id") && has("group.id") => refuse("Specify a user or group, not both"),
        () if asks(query, "effective") && has("group.id") => {
            refuse("Combining effective and group filter will always result in an empty list.")
        }
        () if asks(query, "include_subtree") && !has("scope.project.id") => {
            refuse("scope.project.id must be specified if include_subtree is also specified")
        }
        () => Ok(()),
    }
}

fn direct(tx: &mut Tx) -> Result<Vec<Held>> {
    Ok(assignments::list(tx)?.into_iter().map(|assignment| Held { assignment, via: Vec::new() }).collect())
}

fn effective(tx: &mut Tx) -> Result<Vec<Held>> {
    let places = projects::list(tx, &Filter::default())?;
    let places: Vec<_> = places.into_iter().map(|place| (place.id, place.parent_id, place.domain_id)).collect();
    let held = expand(&assignments::list(tx)?, &groups::memberships(tx)?, &places, &roles::implications(tx)?);
    // A domain's own roles are in no token: they have done what they are for by what they imply.
    let global: HashSet<RoleId> = roles::list(tx, None)?.into_iter().map(|role| role.id).collect();
    Ok(held.into_iter().filter(|held| global.contains(&held.assignment.role_id)).collect())
}

fn fits(held: &Held, query: &Query, below: &[ProjectId]) -> bool {
    let assignment = &held.assignment;
    let is = |name: &str, value: Option<&str>| query.get(name).is_none_or(|wanted| Some(wanted) == value);
    let (user, group) = match &assignment.actor {
        Actor::User(id) => (Some(id.as_str()), None),
        Actor::Group(id) => (None, Some(id.as_str())),
    };
    let (project, domain) = match &assignment.target {
        On::Project(id) => (Some(id), None),
        On::Domain(id) => (None, Some(id.as_str())),
        On::System => (None, None),
    };
    is("user.id", user)
        && is("group.id", group)
        && is("role.id", Some(assignment.role_id.as_str()))
        && is("scope.domain.id", domain)
        && (is("scope.project.id", project.map(ProjectId::as_str)) || project.is_some_and(|id| below.contains(id)))
        && (!query.has("scope.system") || assignment.target == On::System)
        && query.get("scope.OS-INHERIT:inherited_to").is_none_or(|to| (to == "projects") == held.is_inherited())
}

fn names(tx: &mut Tx, all: bool) -> Result<Names> {
    let mut names = Names::default();
    for is_domain in [false, true] {
        let filter = Filter { is_domain, ..Filter::default() };
        names.projects.extend(projects::list(tx, &filter)?.into_iter().map(|one| (one.id.0.clone(), one)));
    }
    if !all {
        return Ok(names);
    }
    names.actors.extend(users::list(tx, None)?.into_iter().map(|one| (one.id.0, (one.name, one.domain_id.0))));
    names.actors.extend(groups::list(tx, None)?.into_iter().map(|one| (one.id.0, (one.name, one.domain_id.0))));
    let mut add = |all: Vec<crate::cloud::identity::Role>| {
        names.roles.extend(all.into_iter().map(|one| (one.id.0, (one.name, one.domain_id.map(|id| id.0)))));
    };
    add(roles::list(tx, None)?);
    let domains: Vec<_> = names.projects.values().filter(|one| one.is_domain).map(|one| one.id.0.clone()).collect();
    let mut own = Vec::new();
    for id in domains {
        own.extend(roles::list(tx, Some(&id.into()))?);
    }
    names.roles.extend(own.into_iter().map(|one| (one.id.0, (one.name, one.domain_id.map(|id| id.0)))));
    Ok(names)
}

impl Names {
    /// The domain of what is held: its own, or its project's.
    fn domain_of<'n>(&'n self, held: &'n Held) -> Option<&'n str> {
        match &held.assignment.target {
            On::Project(id) => self.projects.get(&id.0)?.domain_id.as_ref().map(DomainId::as_str),
            On::Domain(id) => Some(id.as_str()),
            On::System => None,
        }
    }

    fn domain(&self, id: &str) -> Value {
        json!({"id": id, "name": self.projects.get(id).map(|domain| &domain.name)})
    }

    fn actor(&self, id: &str, with_names: bool) -> Value {
        match self.actors.get(id).filter(|_| with_names) {
            Some((name, domain)) => json!({"id": id, "name": name, "domain": self.domain(domain)}),
            None => json!({"id": id}),
        }
    }

    fn role(&self, id: &str, with_names: bool) -> Value {
        match self.roles.get(id).filter(|_| with_names) {
            Some((name, Some(domain))) => json!({"id": id, "name": name, "domain": self.domain(domain)}),
            Some((name, None)) => json!({"id": id, "name": name}),
            None => json!({"id": id}),
        }
    }

    fn project(&self, id: &str, with_names: bool) -> Value {
        match self.projects.get(id).filter(|_| with_names) {
            Some(project) => {
                let domain = project.domain_id.as_ref().map(|domain| self.domain(&domain.0));
                json!({"id": id, "name": project.name, "domain": domain})
            }
            None => json!({"id": id}),
        }
    }
}

fn view(call: &Call, held: &Held, names: &Names, with_names: bool) -> Value {
    let assignment = &held.assignment;
    let mut scope = Map::new();
    let mut place = match &assignment.target {
        On::Project(id) => {
            scope.insert("project".to_owned(), names.project(&id.0, with_names));
            format!("/projects/{id}")
        }
        On::Domain(id) => {
            let shown = if with_names { names.domain(&id.0) } else { json!({ "id": id }) };
            scope.insert("domain".to_owned(), shown);
            format!("/domains/{id}")
        }
        On::System => {
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
                links
                    .insert("prior_role".to_owned(), json!(link(call, &format!("/prior_role/{prior}/implies/{role}"))));
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
        key: names.actor(id, with_names),
        "role": names.role(&assignment.role_id.0, with_names),
        "scope": scope,
        "links": links,
    })
}
