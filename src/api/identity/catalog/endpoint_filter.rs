//! Which endpoints a project's catalogue is narrowed to: `/v3/OS-EP-FILTER`.
//!
//! A project with endpoints of its own, or with groups of them, finds those in its catalogue and no other; one without
//! finds all. So upstream's catalogue does by default (`return_all_endpoints_if_no_filter`). It is a convenience, not a
//! wall: what a project does not find it can still reach.

use crate::api::identity::answer::{done, link, listed};
use crate::api::identity::catalog::endpoint_groups;
use crate::api::identity::catalog::endpoint_view;
use crate::api::identity::projects;
use crate::api::{Call, Row};
use crate::cloud::identity::{Endpoint, Service};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, put};
use crate::ids::ProjectId;
use crate::store::{OrConflict, Tx, catalog, endpoint_filter as store, projects as project_store};
use http::StatusCode;
use serde_json::json;
use std::collections::HashSet;

const ENDPOINT: &str = "/v3/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}";
const GROUP: &str = "/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}";

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/OS-EP-FILTER/endpoints/{endpoint_id}/projects", projects_of_endpoint)
            .rule("identity:list_projects_for_endpoint"),
        get("/v3/OS-EP-FILTER/projects/{project_id}/endpoints", endpoints_of_project)
            .rule("identity:list_endpoints_for_project"),
        get(ENDPOINT, check_endpoint).rule("identity:check_endpoint_in_project"),
        put(ENDPOINT, add_endpoint).rule("identity:add_endpoint_to_project"),
        delete(ENDPOINT, remove_endpoint).rule("identity:remove_endpoint_from_project"),
        get("/v3/OS-EP-FILTER/projects/{project_id}/endpoint_groups", groups_of_project)
            .rule("identity:list_endpoint_groups_for_project"),
        get(GROUP, show_group).rule("identity:get_endpoint_group_in_project"),
        put(GROUP, add_group).rule("identity:add_endpoint_group_to_project"),
        delete(GROUP, remove_group).rule("identity:remove_endpoint_group_from_project"),
    ]
}

/// The endpoints that the project's catalogue is narrowed to; empty: it isn't.
fn chosen(tx: &mut Tx, project: &ProjectId, endpoints: &[Endpoint]) -> Result<HashSet<String>> {
    let named = store::endpoints_of_project(tx, project)?;
    let groups = store::groups_of_project(tx, project)?;
    let grouped = endpoints.iter().filter(|endpoint| groups.iter().any(|group| group.has(endpoint)));
    Ok(grouped.map(|endpoint| endpoint.id.clone()).chain(named).collect())
}

/// Narrows services and endpoints to what the project is to find. A service left without endpoints goes too, though one
/// that has none anyway stays in a catalogue that isn't narrowed: upstream's way.
pub fn narrow(
    tx: &mut Tx,
    project: &ProjectId,
    services: &mut Vec<Service>,
    endpoints: &mut Vec<Endpoint>,
) -> Result<()> {
    let chosen = chosen(tx, project, endpoints)?;
    if !chosen.is_empty() {
        endpoints.retain(|endpoint| chosen.contains(&endpoint.id));
        services.retain(|service| endpoints.iter().any(|one| one.enabled && one.service_id == service.id));
    }
    Ok(())
}

fn project_of(call: &Call) -> ProjectId {
    ProjectId::from(call.path("project_id"))
}

fn check_project(tx: &mut Tx, project: &ProjectId) -> Result<()> {
    project_store::get(tx, project)?.ok_or_else(|| Error::not_found(Kind::Project, project)).map(drop)
}

fn check_endpoint_exists(tx: &mut Tx, endpoint: &str) -> Result<()> {
    catalog::get_endpoint(tx, endpoint)?.ok_or_else(|| Error::not_found(Kind::Endpoint, endpoint)).map(drop)
}

fn check_group_exists(tx: &mut Tx, group: &str) -> Result<()> {
    store::get_group(tx, group)?.ok_or_else(|| Error::not_found(Kind::EndpointGroup, group)).map(drop)
}

fn not_in_project(project: &ProjectId, endpoint: &str) -> Error {
    Error::not_found(Kind::Part, format!("Endpoint {endpoint} not found in project {project}"))
}

fn no_association() -> Error {
    Error::not_found(Kind::Part, "Endpoint Group Project Association not found")
}

async fn projects_of_endpoint(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let endpoint = call.path("endpoint_id").to_owned();
    let read = move |tx: &mut Tx| {
        check_endpoint_exists(tx, &endpoint)?;
        project_store::with_endpoint(tx, &endpoint)
    };
    let found = call.cx.state.db.read(read).await?;
    Ok(listed(&call, "projects", found.iter().map(projects::view).collect(), &[]))
}

async fn endpoints_of_project(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let project = project_of(&call);
    let read = move |tx: &mut Tx| {
        check_project(tx, &project)?;
        let mut endpoints = catalog::endpoints(tx)?;
        let chosen = chosen(tx, &project, &endpoints)?;
        endpoints.retain(|endpoint| chosen.contains(&endpoint.id));
        Ok(endpoints)
    };
    let found = call.cx.state.db.read(read).await?;
    let views = found.iter().map(|endpoint| endpoint_view(endpoint, &call.cx.state.public_url)).collect();
    Ok(listed(&call, "endpoints", views, &[]))
}

async fn check_endpoint(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (project, endpoint) = (project_of(&call), call.path("endpoint_id").to_owned());
    let check = move |tx: &mut Tx| {
        check_endpoint_exists(tx, &endpoint)?;
        check_project(tx, &project)?;
        if store::has_endpoint(tx, &project, &endpoint)? { Ok(()) } else { Err(not_in_project(&project, &endpoint)) }
    };
    call.cx.state.db.read(check).await?;
    Ok(done())
}

async fn add_endpoint(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (project, endpoint) = (project_of(&call), call.path("endpoint_id").to_owned());
    let add = move |tx: &mut Tx| {
        check_endpoint_exists(tx, &endpoint)?;
        check_project(tx, &project)?;
        let taken = || "Conflict occurred attempting to store project_endpoint - Duplicate entry.".to_owned();
        store::add_endpoint(tx, &project, &endpoint).or_conflict(taken)
    };
    call.cx.state.db.write(add).await?;
    Ok(done())
}

async fn remove_endpoint(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (project, endpoint) = (project_of(&call), call.path("endpoint_id").to_owned());
    let remove = move |tx: &mut Tx| match store::remove_endpoint(tx, &project, &endpoint)? {
        true => Ok(()),
        false => Err(not_in_project(&project, &endpoint)),
    };
    call.cx.state.db.write(remove).await?;
    Ok(done())
}

async fn groups_of_project(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let project = project_of(&call);
    let read = move |tx: &mut Tx| {
        check_project(tx, &project)?;
        store::groups_of_project(tx, &project)
    };
    let found = call.cx.state.db.read(read).await?;
    Ok(endpoint_groups::listed_groups(&call, &found, &[]))
}

async fn show_group(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (project, group) = (project_of(&call), call.path("endpoint_group_id").to_owned());
    let path = format!("/OS-EP-FILTER/endpoint_groups/{group}/projects/{project}");
    let view = json!({"endpoint_group_id": group, "project_id": project, "links": {"self": link(&call, &path)}});
    let check = move |tx: &mut Tx| {
        check_project(tx, &project)?;
        check_group_exists(tx, &group)?;
        if store::has_group(tx, &project, &group)? { Ok(()) } else { Err(no_association()) }
    };
    call.cx.state.db.read(check).await?;
    Ok(RawReply::json(StatusCode::OK, &json!({ "project_endpoint_group": view })))
}

async fn add_group(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (project, group) = (project_of(&call), call.path("endpoint_group_id").to_owned());
    let add = move |tx: &mut Tx| {
        check_project(tx, &project)?;
        check_group_exists(tx, &group)?;
        let taken = || "Conflict occurred attempting to store project_endpoint_group - Duplicate entry.".to_owned();
        store::add_group(tx, &project, &group).or_conflict(taken)
    };
    call.cx.state.db.write(add).await?;
    Ok(done())
}

async fn remove_group(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (project, group) = (project_of(&call), call.path("endpoint_group_id").to_owned());
    let remove = move |tx: &mut Tx| {
        check_project(tx, &project)?;
        check_group_exists(tx, &group)?;
        if store::remove_group(tx, &project, &group)? { Ok(()) } else { Err(no_association()) }
    };
    call.cx.state.db.write(remove).await?;
    Ok(done())
}
