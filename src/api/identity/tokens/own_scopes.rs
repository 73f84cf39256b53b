//! What a token may be exchanged for: `/v3/auth/projects`, `/auth/domains`, `/auth/system`, and its catalogue.

use crate::api::identity::answer::{link, listed};
use crate::api::identity::projects;
use crate::api::identity::projects::domains;
use crate::api::identity::tokens::token_view;
use crate::api::{Call, Row};
use crate::cloud::identity::{Scope, Target as On};
use crate::error::{Error, Result};
use crate::http::reply::RawReply;
use crate::http::table::get;
use crate::ids::DomainId;
use crate::store::{projects as project_store, roles};
use http::StatusCode;
use serde_json::json;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/auth/catalog", catalog).rule("identity:get_auth_catalog"),
        get("/v3/auth/projects", own_projects).rule("identity:get_auth_projects").query(&["name"]),
        get("/v3/auth/domains", own_domains).rule("identity:get_auth_domains").query(&["name"]),
        get("/v3/auth/system", own_system).rule("identity:get_auth_system"),
    ]
}

async fn catalog(call: Call) -> Result<RawReply> {
    let caller = call.cx.caller()?;
    if caller.scope == Scope::Unscoped {
        return Err(Error::Forbidden("identity:get_auth_catalog".to_owned()));
    }
    let catalog = token_view::catalog_of(&call.cx.state, caller).await?;
    let links = json!({"self": link(&call, "/auth/catalog")});
    Ok(RawReply::json(StatusCode::OK, &json!({"catalog": catalog, "links": links})))
}

/// Projects (or domains) that are enabled, in a domain that is.
async fn usable(call: &Call, is_domain: bool) -> Result<Vec<crate::cloud::identity::Project>> {
    let user = call.cx.user_id()?.clone();
    call.cx
        .state
        .db
        .read(move |tx| {
            let mut usable = Vec::new();
            for project in project_store::of_user(tx, &user, is_domain)? {
                let domain = project.domain_id.clone().unwrap_or(DomainId(project.id.0.clone()));
                let is_open = project_store::domain_ref(tx, &domain)?.is_some_and(|(_, is_enabled)| is_enabled);
                if project.enabled && is_open {
                    usable.push(project);
                }
            }
            Ok(usable)
        })
        .await
}

async fn own_projects(call: Call) -> Result<RawReply> {
    let found = usable(&call, false).await?;
    Ok(listed(&call, "projects", found.iter().map(projects::view).collect(), projects::FILTERS))
}

async fn own_domains(call: Call) -> Result<RawReply> {
    let found = usable(&call, true).await?;
    Ok(listed(&call, "domains", found.iter().map(domains::view).collect(), &["name"]))
}

async fn own_system(call: Call) -> Result<RawReply> {
    let user = call.cx.user_id()?.clone();
    let held = call.cx.state.db.read(move |tx| roles::effective(tx, &user, &On::System)).await?;
    let system = if held.is_empty() { json!([]) } else { json!([{"all": true}]) };
    let links = json!({"self": link(&call, "/auth/system")});
    Ok(RawReply::json(StatusCode::OK, &json!({"system": system, "links": links})))
}
