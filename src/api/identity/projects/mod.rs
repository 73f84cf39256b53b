//! Projects: `/v3/projects`. Their tags and trees stand in files of their own.

pub mod domain_config;
pub mod domains;
pub mod project_tags;
pub mod project_tree;
#[cfg(test)]
mod resource_tests;
#[cfg(test)]
mod tree_tests;

use super::answer::{Change, done, extra_of, merged, mutable, own_domain, permitted, shown, unchanged};
use super::fields::{IdText, Name, Options, TagList};
use super::pages::{self, Attribute};
use super::targets;
use crate::api::{Call, Row};
use crate::cloud::identity::Project;
use crate::cloud::listing::Test;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::ids::{DomainId, ProjectId};
use crate::store::revocations::Revoked;
use crate::store::{Tx, projects, revocations};
use http::StatusCode;
use serde_json::{Value, json};

/// What lists of projects that are in memory may be asked for.
pub const FILTERS: &[&str] = &["domain_id", "enabled", "name", "parent_id"];

/// What `GET /v3/projects` may be asked for, besides tags.
const ATTRIBUTES: &[Attribute] = &[
    Attribute::Name(64),
    Attribute::Id("domain_id"),
    Attribute::Reference("parent_id"),
    Attribute::Truth("enabled"),
    Attribute::Truth("is_domain"),
];

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/projects", list).rule("identity:list_projects").query(&[
            "domain_id",
            "enabled",
            "is_domain",
            "limit",
            "marker",
            "name",
            "not-tags",
            "not-tags-any",
            "parent_id",
            "tags",
            "tags-any",
        ]),
        post("/v3/projects", create).rule("identity:create_project"),
        get("/v3/projects/{project_id}", show).rule("identity:get_project").query(&[
            "include_limits",
            "parents_as_ids",
            "parents_as_list",
            "subtree_as_ids",
            "subtree_as_list",
        ]),
        patch("/v3/projects/{project_id}", update).rule("identity:update_project"),
        delete("/v3/projects/{project_id}", remove).rule("identity:delete_project"),
    ]
}

crate::versioned! {
    request ProjectCreate strict {
        "project" required => project: NewProject,
    }
}

crate::versioned! {
    request NewProject open {
        "name" required => name: Name<64>,
        "domain_id"     => domain_id: Option<IdText>,
        "parent_id"     => parent_id: Option<IdText>,
        "is_domain"     => is_domain: Maybe<bool>,
        "description"   => description: Option<String>,
        "enabled"       => enabled: Maybe<bool>,
        "tags"          => tags: Maybe<TagList>,
        "options"       => options: Maybe<Options>;
        flatten         => extra
    }
}

crate::versioned! {
    request ProjectUpdate strict {
        "project" required => project: ProjectChange,
    }
}

crate::versioned! {
    request ProjectChange open {
        "name"        => name: Maybe<Name<64>>,
        "description" => description: Maybe<Option<String>>,
        "enabled"     => enabled: Maybe<bool>,
        "parent_id"   => parent_id: Maybe<Option<String>>,
        "is_domain"   => is_domain: Maybe<bool>,
        "tags"        => tags: Maybe<TagList>,
        "options"     => options: Maybe<Options>;
        flatten       => extra
    }
}

pub fn view(project: &Project) -> Map {
    let mut view = project.extra.clone();
    let mut set = |key: &str, value: Value| view.insert(key.to_owned(), value);
    set("id", json!(project.id));
    set("name", json!(project.name));
    set("domain_id", json!(project.domain_id));
    set("description", json!(project.description));
    set("enabled", json!(project.enabled));
    set("parent_id", json!(project.parent_id));
    set("is_domain", json!(project.is_domain));
    set("tags", json!(project.tags));
    set("options", json!(project.options));
    view
}

fn answer<B>(call: &Call<B>, status: StatusCode, project: &Project, view: Map) -> RawReply {
    shown(call, status, "project", &format!("/projects/{}", project.id), view)
}

/// The project of the path, if the row's rule holds for it.
pub async fn of_path<B>(call: &Call<B>) -> Result<Project> {
    let id = ProjectId::from(call.path("project_id"));
    let wanted = id.clone();
    permitted(call, Kind::Project, &id.0, move |tx| projects::get(tx, &wanted), targets::project).await
}

async fn list(call: Call) -> Result<RawReply> {
    let mut listing = pages::in_own_domain(&call, pages::asked(&call, ATTRIBUTES)?, "domain_id");
    if !call.query().has("is_domain") {
        listing = listing.with("is_domain", Test::Truth(false));
    }
    let (wanted, tags) = (listing.clone(), project_tags::asked(call.query()));
    let found = call.cx.state.db.read(move |tx| projects::page(tx, &wanted, &tags)).await?;
    let items = found.items.iter().filter(|project| call.cx.permits(&targets::project(project))).map(view).collect();
    Ok(pages::page(&call, "projects", items, pages::next(&call, &found, &listing, |project| project.id.as_str())))
}

async fn show(call: Call) -> Result<RawReply> {
    let project = of_path(&call).await?;
    let mut view = view(&project);
    project_tree::extend(&call, &project, &mut view).await?;
    Ok(answer(&call, StatusCode::OK, &project, view))
}

async fn create(call: Call<ProjectCreate>) -> Result<RawReply> {
    let new = call.body.project.clone();
    let is_domain = new.is_domain.given().unwrap_or(false);
    // The rule sees what the body says: who may only act in their domain has to name it.
    call.cx.permit(&Target::new().with_option("target.project.domain_id", new.domain_id.as_ref().map(|id| &id.0)))?;
    let parent_id = new.parent_id.map(|id| ProjectId(id.0));
    let given = new.domain_id.map(|id| DomainId(id.0));
    let domain_id = match (is_domain, &given, &parent_id) {
        (true, ..) => None,
        (false, Some(id), _) => Some(id.clone()),
        (false, None, Some(parent)) => Some(domain_of(&call, parent.clone()).await?),
        (false, None, None) => Some(own_domain(&call)?),
    };
    // What says that it is in a domain is below it, also if it wants to be one: then that is what is refused.
    let above = domain_id.as_ref().or(given.as_ref()).map(|id| ProjectId(id.0.clone()));
    let project = Project {
        id: ProjectId::random(),
        parent_id: parent_id.or(above),
        domain_id,
        is_domain,
        name: new.name.trimmed(),
        description: new.description.unwrap_or_default(),
        enabled: new.enabled.given().unwrap_or(true),
        tags: new.tags.given().unwrap_or_default().0,
        options: merged(Map::new(), new.options.given().map(|options| options.0)),
        extra: extra_of(new.extra),
    };
    let (stored, now) = (project.clone(), call.cx.state.clock.now());
    let deepest = call.cx.state.identity.settings.max_project_tree_depth;
    let insert = move |tx: &mut Tx| {
        project_tree::check_place(tx, &stored, deepest)?;
        projects::insert(tx, &stored, now)
    };
    call.cx.state.db.write(insert).await?;
    Ok(answer(&call, StatusCode::CREATED, &project, view(&project)))
}

/// A child goes to the domain of its parent.
async fn domain_of<B>(call: &Call<B>, parent: ProjectId) -> Result<DomainId> {
    let wanted = parent.clone();
    let found = call.cx.state.db.read(move |tx| projects::get(tx, &wanted)).await?;
    let found = found.ok_or_else(|| Error::bad_request(Kind::Project.not_found(&parent.0)))?;
    Ok(found.domain_id.unwrap_or(DomainId(parent.0)))
}

async fn update(call: Call<ProjectUpdate>) -> Result<RawReply> {
    let id = of_path(&call).await?.id;
    let change = call.body.project.clone();
    let (now, lifetime) = (call.cx.state.clock.now(), call.cx.state.identity.settings.token_seconds);
    let write = move |tx: &mut Tx| {
        let project = projects::get(tx, &id)?.ok_or_else(|| Error::not_found(Kind::Project, &id))?;
        let kind = if project.is_domain { "domain" } else { "project" };
        mutable(&project.options, change.kind(), kind, &id.0)?;
        let was_enabled = project.enabled;
        let project = changed(project, change.clone())?;
        if project.enabled != was_enabled {
            project_tree::check_switch(tx, &project)?;
        }
        projects::update(tx, &project)?;
        if was_enabled && !project.enabled {
            revocations::insert(tx, &Revoked::Project(id.clone()), now, lifetime)?;
        }
        Ok(project)
    };
    let project = call.cx.state.db.write(write).await?;
    Ok(answer(&call, StatusCode::OK, &project, view(&project)))
}

impl ProjectChange {
    fn kind(&self) -> Change {
        let Self { name, description, enabled, parent_id, is_domain, tags, options, extra } = self;
        let gives_more = name.as_ref().is_some()
            || description.as_ref().is_some()
            || enabled.as_ref().is_some()
            || parent_id.as_ref().is_some()
            || is_domain.as_ref().is_some()
            || tags.as_ref().is_some()
            || !extra.is_empty();
        Change::of(options.as_ref().map(|options| &options.0), gives_more)
    }
}

fn changed(mut project: Project, change: ProjectChange) -> Result<Project> {
    unchanged(change.extra.get("id"), Some(&project.id.0), "Cannot change ID")?;
    let domain = project.domain_id.as_ref().map(DomainId::as_str);
    unchanged(change.extra.get("domain_id"), domain, "Cannot change Domain ID")?;
    if change.parent_id.given().is_some_and(|parent| parent.map(ProjectId) != project.parent_id) {
        return Err(Error::Forbidden("Update of `parent_id` is not allowed.".to_owned()));
    }
    if change.is_domain.given().is_some_and(|is_domain| is_domain != project.is_domain) {
        return Err(Error::bad_request("Update of `is_domain` is not allowed."));
    }
    if let Some(name) = change.name.given() {
        project.name = name.trimmed();
    }
    if let Some(description) = change.description.given() {
        project.description = description.unwrap_or_default();
    }
    if let Some(tags) = change.tags.given() {
        project.tags = tags.0;
    }
    project.enabled = change.enabled.given().unwrap_or(project.enabled);
    project.options = merged(project.options, change.options.given().map(|options| options.0));
    project.extra = merged(project.extra, Some(extra_of(change.extra)));
    Ok(project)
}

async fn remove(call: Call) -> Result<RawReply> {
    let id = of_path(&call).await?.id;
    call.cx.state.db.write(move |tx| project_tree::remove(tx, &id)).await?;
    Ok(done())
}
