//! What services know of as limited, with defaults: `/v3/registered_limits`.
//!
//! One that projects have their own limits in place of can't be changed or deleted before those are gone.

use crate::api::identity::answer::{done, invalid, listed, permitted, shown};
use crate::api::identity::limits::{Amount, made};
use crate::api::identity::login::expecting;
use crate::api::{Call, Row};
use crate::cloud::limit::RegisteredLimit;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::store::{OrConflict, Tx, catalog, limits};
use http::StatusCode;
use serde_json::json;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/registered_limits", list).rule("identity:list_registered_limits").query(&[
            "limit",
            "region_id",
            "resource_name",
            "service_id",
        ]),
        post("/v3/registered_limits", create).rule("identity:create_registered_limits"),
        get("/v3/registered_limits/{registered_limit_id}", show).rule("identity:get_registered_limit"),
        patch("/v3/registered_limits/{registered_limit_id}", update).rule("identity:update_registered_limit"),
        delete("/v3/registered_limits/{registered_limit_id}", remove).rule("identity:delete_registered_limit"),
    ]
}

crate::versioned! {
    request RegisteredLimitsCreate strict {
        "registered_limits" required => registered_limits: Vec<NewRegisteredLimit>,
    }
}

crate::versioned! {
    request NewRegisteredLimit strict {
        "service_id" required    => service_id: String,
        "resource_name" required => resource_name: Text<1, 255>,
        "default_limit" required => default_limit: Amount,
        "region_id"              => region_id: Option<Text<1, 255>>,
        "description"            => description: Option<Text<0, 255>>,
    }
}

crate::versioned! {
    request RegisteredLimitUpdate strict {
        "registered_limit" required => registered_limit: RegisteredLimitChange,
    }
}

crate::versioned! {
    request RegisteredLimitChange strict {
        "service_id"    => service_id: Maybe<String>,
        "resource_name" => resource_name: Maybe<Text<1, 255>>,
        "default_limit" => default_limit: Maybe<Amount>,
        "region_id"     => region_id: Maybe<Option<Text<1, 255>>>,
        "description"   => description: Maybe<Option<Text<0, 255>>>,
    }
}

fn view(limit: &RegisteredLimit) -> Map {
    let mut view = Map::new();
    view.insert("id".to_owned(), json!(limit.id));
    view.insert("service_id".to_owned(), json!(limit.service_id));
    view.insert("region_id".to_owned(), json!(limit.region_id));
    view.insert("resource_name".to_owned(), json!(limit.resource_name));
    view.insert("default_limit".to_owned(), json!(limit.default_limit));
    view.insert("description".to_owned(), json!(limit.description));
    view
}

async fn list(call: Call) -> Result<RawReply> {
    let found = call.cx.state.db.read(limits::list_registered).await?;
    let filters = &["service_id", "region_id", "resource_name"];
    Ok(listed(&call, "registered_limits", found.iter().map(view).collect(), filters))
}

async fn of_path<B>(call: &Call<B>) -> Result<RegisteredLimit> {
    let id = call.path("registered_limit_id").to_owned();
    let wanted = id.clone();
    let load = move |tx: &mut Tx| limits::get_registered(tx, &wanted);
    permitted(call, Kind::RegisteredLimit, &id, load, |_| Target::new()).await
}

fn answer<B>(call: &Call<B>, limit: &RegisteredLimit) -> RawReply {
    shown(call, StatusCode::OK, "registered_limit", &format!("/registered_limits/{}", limit.id), view(limit))
}

async fn show(call: Call) -> Result<RawReply> {
    let limit = of_path(&call).await?;
    Ok(answer(&call, &limit))
}

/// Looks whether service and region are there.
fn check_place(tx: &mut Tx, limit: &RegisteredLimit) -> Result<()> {
    let missing = |attribute: &str| expecting(attribute, "registered_limit");
    catalog::get_service(tx, &limit.service_id)?.ok_or_else(|| missing("service_id"))?;
    if let Some(region) = &limit.region_id {
        catalog::get_region(tx, region)?.ok_or_else(|| missing("region_id"))?;
    }
    Ok(())
}

fn taken() -> String {
    "Conflict occurred attempting to store registered_limit - Duplicate entry.".to_owned()
}

async fn create(call: Call<RegisteredLimitsCreate>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    if call.body.registered_limits.is_empty() {
        return Err(invalid("registered_limits", &json!([]), "[] should be non-empty"));
    }
    let new = call.body.registered_limits.iter().cloned().map(|new| RegisteredLimit {
        id: uuid::Uuid::new_v4().simple().to_string(),
        service_id: new.service_id,
        region_id: new.region_id.map(|region| region.0),
        resource_name: new.resource_name.0,
        default_limit: new.default_limit.0,
        description: new.description.map(|text| text.0),
    });
    let new: Vec<RegisteredLimit> = new.collect();
    let stored = new.clone();
    let insert = move |tx: &mut Tx| {
        stored.iter().try_for_each(|limit| check_place(tx, limit))?;
        stored.iter().try_for_each(|limit| limits::insert_registered(tx, limit).or_conflict(taken))
    };
    call.cx.state.db.write(insert).await?;
    Ok(made(&call, "registered_limits", new.iter().map(view).collect()))
}

/// Refuses to touch what projects have limits in place of.
fn check_unused(tx: &mut Tx, id: &str) -> Result<()> {
    if limits::is_in_use(tx, id)? {
        return Err(Error::Forbidden(format!(
            "Unable to update or delete registered limit {id} because there are project limits associated with it."
        )));
    }
    Ok(())
}

async fn update(call: Call<RegisteredLimitUpdate>) -> Result<RawReply> {
    let mut limit = of_path(&call).await?;
    let change = call.body.registered_limit.clone();
    limit.service_id = change.service_id.given().unwrap_or(limit.service_id);
    limit.resource_name = change.resource_name.given().map_or(limit.resource_name, |name| name.0);
    limit.default_limit = change.default_limit.given().map_or(limit.default_limit, |amount| amount.0);
    limit.region_id = change.region_id.given().map_or(limit.region_id, |region| region.map(|region| region.0));
    limit.description = change.description.given().map_or(limit.description, |text| text.map(|text| text.0));
    let stored = limit.clone();
    let update = move |tx: &mut Tx| {
        check_place(tx, &stored)?;
        check_unused(tx, &stored.id)?;
        limits::update_registered(tx, &stored).or_conflict(taken)
    };
    call.cx.state.db.write(update).await?;
    Ok(answer(&call, &limit))
}

async fn remove(call: Call) -> Result<RawReply> {
    let limit = of_path(&call).await?;
    let delete = move |tx: &mut Tx| {
        check_unused(tx, &limit.id)?;
        limits::delete_registered(tx, &limit.id)
    };
    call.cx.state.db.write(delete).await?;
    Ok(done())
}
