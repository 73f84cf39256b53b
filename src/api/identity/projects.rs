//! Projects: `/v3/projects`. Their tags and trees stand in files of their own.

use super::answer::{
    done, extra_of, listed, listed_domain, merged, mutable, own_domain, permitted, shown, shows_domain, unchanged,
};
use super::login::not_allowed;
use super::{project_tags, project_tree, targets};
use crate::api::{Call, Row};
use crate::cloud::identity::Project;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::ids::{DomainId, ProjectId};
use crate::store::projects::{self, Filter};
use crate::store::revocations::Revoked;
use crate::store::{Tx, revocations};
use http::StatusCode;
use serde_json::{Value, json};

pub const FILTERS: &[&str] = &["domain_id", "enabled", "name", "parent_id"];

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/projects", list).rule("identity:list_projects").query(&[
            "domain_id",
            "enabled",
            "is_domain",
            "limit",
            "name",
            "not-tags",
            "not-tags-any",
            "parent_id",
            "tags",
            "tags-any",
        ]),
        post("/v3/projects", create).rule("identity:create_project"),
        get("/v3/projects/{project_id}", show).rule("identity:get_project").query(&[
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
    request ProjectCreate open {
        "project" required => project: NewProject,
    }
}

crate::versioned! {
    request NewProject open {
        "name" required => name: Text<1, 64>,
        "domain_id"     => domain_id: Option<Text<1, 64>>,
        "parent_id"     => parent_id: Option<Text<1, 64>>,
        "is_domain"     => is_domain: Maybe<bool>,
        "description"   => description: Option<String>,
        "enabled"       => enabled: Maybe<bool>,
        "tags"          => tags: Maybe<Vec<Text<1, 255>>>,
        "options"       => options: Maybe<Map>;
        flatten         => extra
    }
}

crate::versioned! {
    request ProjectUpdate open {
        "project" required => project: ProjectChange,
    }
}

crate::versioned! {
    request ProjectChange open {
        "name"        => name: Maybe<Text<1, 64>>,
        "description" => description: Maybe<Option<String>>,
        "enabled"     => enabled: Maybe<bool>,
        "parent_id"   => parent_id: Maybe<Option<String>>,
        "is_domain"   => is_domain: Maybe<bool>,
        "tags"        => tags: Maybe<Vec<Text<1, 255>>>,
        "options"     => options: Maybe<Map>;
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
    let filter = Filter {
        is_domain: super::answer::asks(call.query(), "is_domain"),
        domain_id: listed_domain(&call),
        parent_id: call.query().get("parent_id").map(ProjectId::from),
    };
    let found = call.cx.state.db.read(move |tx| projects::list(tx, &filter)).await?;
    let within = found.iter().filter(|project| shows_domain(&call, project.domain_id.as_ref().map(DomainId::as_str)));
    let seen = within.filter(|project| call.cx.permits(&targets::project(project)));
    let items = seen.filter(|project| project_tags::fit(project, call.query())).map(view).collect();
    Ok(listed(&call, "projects", items, FILTERS))
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
    let domain_id = match (is_domain, new.domain_id, &new.parent_id) {
        (true, ..) => None,
        (false, Some(id), _) => Some(DomainId(id.0)),
        (false, None, Some(parent)) => Some(domain_of(&call, ProjectId(parent.0.clone())).await?),
        (false, None, None) => Some(own_domain(&call)?),
    };
    let parent_id = new.parent_id.map(|id| ProjectId(id.0));
    let project = Project {
        id: ProjectId::random(),
        parent_id: parent_id.or_else(|| domain_id.as_ref().map(|id| ProjectId(id.0.clone()))),
        domain_id,
        is_domain,
        name: new.name.0.trim().to_owned(),
        description: new.description.unwrap_or_default(),
        enabled: new.enabled.given().unwrap_or(true),
        tags: project_tags::checked(new.tags.given().unwrap_or_default())?,
        options: merged(Map::new(), new.options.given()),
        extra: extra_of(new.extra),
    };
    let (stored, now) = (project.clone(), call.cx.state.clock.now());
    let insert = move |tx: &mut Tx| {
        project_tree::check_place(tx, &stored)?;
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
        mutable(&project.options, Some(change.options.as_ref().unwrap_or(&Map::new())), "project", &id.0)?;
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

fn changed(mut project: Project, change: ProjectChange) -> Result<Project> {
    unchanged(change.extra.get("id"), &project.id.0, "Cannot change project ID")?;
    let domain = project.domain_id.as_ref().map_or("", DomainId::as_str);
    unchanged(change.extra.get("domain_id"), domain, "Cannot change Domain ID")?;
    if change.parent_id.given().is_some_and(|parent| parent.map(ProjectId) != project.parent_id) {
        return Err(not_allowed("Update of `parent_id` is not allowed."));
    }
    if change.is_domain.given().is_some_and(|is_domain| is_domain != project.is_domain) {
        return Err(Error::bad_request("Update of `is_domain` is not allowed."));
    }
    if let Some(name) = change.name.given() {
        project.name = name.0.trim().to_owned();
    }
    if let Some(description) = change.description.given() {
        project.description = description.unwrap_or_default();
    }
    if let Some(tags) = change.tags.given() {
        project.tags = project_tags::checked(tags)?;
    }
    project.enabled = change.enabled.given().unwrap_or(project.enabled);
    project.options = merged(project.options, change.options.given());
    project.extra = merged(project.extra, Some(extra_of(change.extra)));
    Ok(project)
}

async fn remove(call: Call) -> Result<RawReply> {
    let project = of_path(&call).await?;
    mutable(&project.options, None, "project", &project.id.0)?;
    let delete = move |tx: &mut Tx| {
        project_tree::check_removal(tx, &project)?;
        projects::delete(tx, &project.id)
    };
    call.cx.state.db.write(delete).await?;
    Ok(done())
}
