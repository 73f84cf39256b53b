//! What one project or domain may have, in place of the registered defaults: `/v3/limits`.
//!
//! Anybody may list; what they see depends on their scope: the system and admins everything, a domain its own and its
//! projects', a project its own.

#[cfg(test)]
mod limits_tests;
pub mod registered_limits;

use super::answer::{done, invalid, link, listed, permitted, shown};
use super::login::expecting;
use crate::api::{Call, Row};
use crate::cloud::limit::{Limit, MOST, Owner, UNLIMITED};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Invalid, Map, Maybe, Parse, Path, Text};
use crate::http::microversion::Microversion;
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::ids::{DomainId, ProjectId};
use crate::store::limits::LimitInPlace;
use crate::store::{OrConflict, Tx, catalog, limits, projects};
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/limits/model", model).rule("identity:get_limit_model"),
        get("/v3/limits", list).rule("identity:list_limits").query(&[
            "domain_id",
            "limit",
            "project_id",
            "region_id",
            "resource_name",
            "service_id",
        ]),
        post("/v3/limits", create).rule("identity:create_limits"),
        get("/v3/limits/{limit_id}", show).rule("identity:get_limit"),
        patch("/v3/limits/{limit_id}", update).rule("identity:update_limit"),
        delete("/v3/limits/{limit_id}", remove).rule("identity:delete_limit"),
    ]
}

/// A limit's number: whole, -1 (no bound) or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub i64);

impl Parse for Amount {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let number = i64::parse(value.clone(), path, version)?;
        if number < UNLIMITED {
            return Err(path.refuse(&value, format!("{number} is less than the minimum of {UNLIMITED}")));
        }
        if number > MOST {
            return Err(path.refuse(&value, format!("{number} is greater than the maximum of {MOST}")));
        }
        Ok(Self(number))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "integer", "minimum": UNLIMITED, "maximum": MOST})
    }
}

crate::versioned! {
    request LimitsCreate strict {
        "limits" required => limits: Vec<NewLimit>,
    }
}

crate::versioned! {
    request NewLimit strict {
        "service_id" required     => service_id: String,
        "resource_name" required  => resource_name: Text<1, 255>,
        "resource_limit" required => resource_limit: Amount,
        "project_id"              => project_id: Maybe<Option<Text<1, 64>>>,
        "domain_id"               => domain_id: Maybe<Option<Text<1, 64>>>,
        "region_id"               => region_id: Option<Text<1, 255>>,
        "description"             => description: Option<Text<0, 255>>,
    }
}

crate::versioned! {
    request LimitUpdate strict {
        "limit" required => limit: LimitChange,
    }
}

crate::versioned! {
    request LimitChange strict {
        "resource_limit" => resource_limit: Maybe<Amount>,
        "description"    => description: Maybe<Option<Text<0, 255>>>,
    }
}

pub fn view(LimitInPlace { limit, registered, .. }: &LimitInPlace) -> Map {
    let (project, domain) = match &limit.owner {
        Owner::Project(id) => (Some(id), None),
        Owner::Domain(id) => (None, Some(id)),
    };
    let mut view = Map::new();
    view.insert("id".to_owned(), json!(limit.id));
    view.insert("project_id".to_owned(), json!(project));
    view.insert("domain_id".to_owned(), json!(domain));
    view.insert("service_id".to_owned(), json!(registered.service_id));
    view.insert("region_id".to_owned(), json!(registered.region_id));
    view.insert("resource_name".to_owned(), json!(registered.resource_name));
    view.insert("resource_limit".to_owned(), json!(limit.resource_limit));
    view.insert("description".to_owned(), json!(limit.description));
    view
}

/// 201 with what was made, several at once: a list without the links of one.
pub fn made<B>(call: &Call<B>, key: &str, views: Vec<Map>) -> RawReply {
    let linked = views.into_iter().map(|mut view| {
        let id = view.get("id").and_then(Value::as_str).unwrap_or_default();
        let links = json!({"self": link(call, &format!("/{key}/{id}"))});
        view.insert("links".to_owned(), links);
        Value::Object(view)
    });
    RawReply::json(StatusCode::CREATED, &json!({ key: linked.collect::<Vec<_>>() }))
}

async fn model(_: Call) -> Result<RawReply> {
    let model = json!({
        "name": "flat",
        "description": "Limit enforcement and validation does not take project hierarchy into consideration.",
    });
    Ok(RawReply::json(StatusCode::OK, &json!({ "model": model })))
}

fn target(found: &LimitInPlace) -> Target {
    match &found.limit.owner {
        Owner::Project(id) => Target::new()
            .with("target.limit.project_id", id)
            .with_option("target.limit.project.domain_id", found.project_domain.as_ref()),
        Owner::Domain(id) => Target::new().with("target.limit.domain.id", id),
    }
}

/// What the caller's scope lets them see, in upstream's order of asking.
fn sees(call: &Call, found: &LimitInPlace) -> Result<bool> {
    let caller = call.cx.caller()?;
    let credentials = call.cx.credentials();
    if credentials.system_scope.is_some() || caller.has_role("admin") || caller.has_role("service") {
        return Ok(true);
    }
    let of_domain = |domain: &str| match &found.limit.owner {
        Owner::Project(_) => found.project_domain.as_ref().is_some_and(|id| id.as_str() == domain),
        Owner::Domain(id) => id.as_str() == domain,
    };
    let of_project = |project: &str| matches!(&found.limit.owner, Owner::Project(id) if id.as_str() == project);
    Ok(credentials.domain_id.as_deref().is_some_and(of_domain)
        || credentials.project_id.as_deref().is_some_and(of_project))
}

async fn list(call: Call) -> Result<RawReply> {
    let mut seen = Vec::new();
    for found in call.cx.state.db.read(limits::list).await? {
        if sees(&call, &found)? {
            seen.push(view(&found));
        }
    }
    Ok(listed(&call, "limits", seen, &["service_id", "region_id", "resource_name", "project_id", "domain_id"]))
}

async fn of_path<B>(call: &Call<B>) -> Result<LimitInPlace> {
    let id = call.path("limit_id").to_owned();
    let wanted = id.clone();
    permitted(call, Kind::Limit, &id, move |tx| limits::get(tx, &wanted), target).await
}

fn answer<B>(call: &Call<B>, found: &LimitInPlace) -> RawReply {
    shown(call, StatusCode::OK, "limit", &format!("/limits/{}", found.limit.id), view(found))
}

async fn show(call: Call) -> Result<RawReply> {
    let found = of_path(&call).await?;
    Ok(answer(&call, &found))
}

/// Whose the new limit is to be. A domain named as a project is still a domain.
fn owner(tx: &mut Tx, new: &NewLimit) -> Result<Owner> {
    let project = new.project_id.as_ref().and_then(Option::as_ref);
    let domain = new.domain_id.as_ref().and_then(Option::as_ref);
    if let Some(id) = project {
        let id = ProjectId(id.0.clone());
        let project = projects::get(tx, &id)?.ok_or_else(|| expecting("project_id", "limit"))?;
        return Ok(if project.is_domain { Owner::Domain(DomainId(id.0)) } else { Owner::Project(id) });
    }
    let id = DomainId(domain.ok_or_else(|| expecting("project_id or domain_id", "limit"))?.0.clone());
    projects::domain(tx, &id)?.ok_or_else(|| expecting("domain_id", "limit"))?;
    Ok(Owner::Domain(id))
}

/// Makes a limit in place of what is registered under the same service, region and name.
fn place(tx: &mut Tx, new: &NewLimit) -> Result<LimitInPlace> {
    let region = new.region_id.as_ref().map(|region| region.0.as_str());
    catalog::get_service(tx, &new.service_id)?.ok_or_else(|| expecting("service_id", "limit"))?;
    if let Some(region) = region {
        catalog::get_region(tx, region)?.ok_or_else(|| expecting("region_id", "limit"))?;
    }
    let owner = owner(tx, new)?;
    let registered = limits::find_registered(tx, &new.service_id, region, &new.resource_name.0)?.ok_or_else(|| {
        let text = "Unable to create a limit that has no corresponding registered limit.";
        Error::Forbidden(text.to_owned())
    })?;
    let limit = Limit {
        id: uuid::Uuid::new_v4().simple().to_string(),
        registered_limit_id: registered.id.clone(),
        owner,
        resource_limit: new.resource_limit.0,
        description: new.description.as_ref().map(|text| text.0.clone()),
    };
    let taken = || "Conflict occurred attempting to store limit - Duplicate entry.".to_owned();
    limits::insert(tx, &limit).or_conflict(taken)?;
    Ok(LimitInPlace { limit, registered, project_domain: None })
}

async fn create(call: Call<LimitsCreate>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let new = call.body.limits.clone();
    if new.is_empty() {
        return Err(invalid("limits", &json!([]), "[] should be non-empty"));
    }
    for limit in &new {
        let verdict = match (limit.project_id.as_ref(), limit.domain_id.as_ref()) {
            (Some(_), Some(_)) => "is valid under each of the given schemas",
            (None, None) => "is not valid under any of the given schemas",
            _ => continue,
        };
        let reason = format!("A limit is a project's or a domain's: what was given {verdict}");
        return Err(invalid("limits", &json!([]), &reason));
    }
    let insert = move |tx: &mut Tx| new.iter().map(|limit| place(tx, limit)).collect::<Result<Vec<_>>>();
    let found = call.cx.state.db.write(insert).await?;
    Ok(made(&call, "limits", found.iter().map(view).collect()))
}

async fn update(call: Call<LimitUpdate>) -> Result<RawReply> {
    let mut found = of_path(&call).await?;
    let change = call.body.limit.clone();
    let limit = &mut found.limit;
    limit.resource_limit = change.resource_limit.given().map_or(limit.resource_limit, |amount| amount.0);
    if let Some(description) = change.description.given() {
        limit.description = description.map(|text| text.0);
    }
    let stored = limit.clone();
    call.cx.state.db.write(move |tx| limits::update(tx, &stored)).await?;
    Ok(answer(&call, &found))
}

async fn remove(call: Call) -> Result<RawReply> {
    let found = of_path(&call).await?;
    call.cx.state.db.write(move |tx| limits::delete(tx, &found.limit.id)).await?;
    Ok(done())
}
