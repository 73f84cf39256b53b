//! Endpoint groups, endpoints that have something in common: `/v3/OS-EP-FILTER/endpoint_groups`.

use crate::api::identity::answer::{done, listed, listed_at, permitted, shown};
use crate::api::identity::catalog::{Interfaces, endpoint_view};
use crate::api::identity::login::expecting;
use crate::api::identity::projects;
use crate::api::{Call, Row};
use crate::cloud::identity::EndpointGroup;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe, Text, Words};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::store::{Tx, catalog, endpoint_filter, projects as project_store};
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/OS-EP-FILTER/endpoint_groups", list).rule("identity:list_endpoint_groups").query(&["limit", "name"]),
        post("/v3/OS-EP-FILTER/endpoint_groups", create).rule("identity:create_endpoint_group"),
        get("/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}", show).rule("identity:get_endpoint_group"),
        patch("/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}", update).rule("identity:update_endpoint_group"),
        delete("/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}", remove).rule("identity:delete_endpoint_group"),
        get("/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints", endpoints)
            .rule("identity:list_endpoints_associated_with_endpoint_group"),
        get("/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects", with_projects)
            .rule("identity:list_projects_associated_with_endpoint_group"),
    ]
}

crate::versioned! {
    request GroupCreate strict {
        "endpoint_group" required => endpoint_group: NewGroup,
    }
}

crate::versioned! {
    request NewGroup strict {
        "name" required    => name: Text<1, 255>,
        "filters" required => filters: Map,
        "description"      => description: Option<String>,
    }
}

crate::versioned! {
    request GroupUpdate strict {
        "endpoint_group" required => endpoint_group: GroupChange,
    }
}

crate::versioned! {
    request GroupChange strict {
        "name"        => name: Maybe<Text<1, 255>>,
        "filters"     => filters: Maybe<Map>,
        "description" => description: Maybe<Option<String>>,
    }
}

/// What groups can be made by.
const FILTERS: [&str; 3] = ["service_id", "region_id", "interface"];

/// # Errors
/// `BadRequest` for filters by anything else.
fn check_filters(filters: &Map) -> Result<()> {
    for (name, value) in filters {
        let is_right = match (name.as_str(), value) {
            ("interface", Value::String(word)) => Interfaces::WORDS.contains(&word.as_str()),
            ("service_id" | "region_id", Value::String(_)) | ("region_id", Value::Null) => true,
            (name, _) if !FILTERS.contains(&name) => return Err(expecting(&FILTERS.join(" or "), "endpoint_group")),
            _ => false,
        };
        if !is_right {
            let text = format!(
                "Invalid input for field/attribute {name}. Value: {value}. {value} is not what endpoints have there"
            );
            return Err(Error::bad_request(text));
        }
    }
    Ok(())
}

fn view(group: &EndpointGroup) -> Map {
    let mut view = Map::new();
    view.insert("id".to_owned(), json!(group.id));
    view.insert("name".to_owned(), json!(group.name));
    view.insert("description".to_owned(), json!(group.description));
    view.insert("filters".to_owned(), json!(group.filters));
    view
}

/// Groups as a list.
pub fn listed_groups(call: &Call, groups: &[EndpointGroup], filters: &[&str]) -> RawReply {
    listed_at(call, "endpoint_groups", "/OS-EP-FILTER/endpoint_groups", groups.iter().map(view).collect(), filters)
}

fn answer<B>(call: &Call<B>, status: StatusCode, group: &EndpointGroup) -> RawReply {
    let path = format!("/OS-EP-FILTER/endpoint_groups/{}", group.id);
    shown(call, status, "endpoint_group", &path, view(group))
}

async fn of_path<B>(call: &Call<B>) -> Result<EndpointGroup> {
    let id = call.path("endpoint_group_id").to_owned();
    let wanted = id.clone();
    let load = move |tx: &mut Tx| endpoint_filter::get_group(tx, &wanted);
    permitted(call, Kind::EndpointGroup, &id, load, |_| Target::new()).await
}

async fn list(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let found = call.cx.state.db.read(endpoint_filter::groups).await?;
    Ok(listed_groups(&call, &found, &["name"]))
}

async fn show(call: Call) -> Result<RawReply> {
    let group = of_path(&call).await?;
    Ok(answer(&call, StatusCode::OK, &group))
}

async fn create(call: Call<GroupCreate>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let new = call.body.endpoint_group.clone();
    if new.filters.is_empty() {
        return Err(Error::bad_request("filters field is required and cannot be empty"));
    }
    check_filters(&new.filters)?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let group = EndpointGroup { id, name: new.name.0, description: new.description, filters: new.filters };
    let stored = group.clone();
    call.cx.state.db.write(move |tx| endpoint_filter::insert_group(tx, &stored)).await?;
    Ok(answer(&call, StatusCode::CREATED, &group))
}

async fn update(call: Call<GroupUpdate>) -> Result<RawReply> {
    let mut group = of_path(&call).await?;
    let change = call.body.endpoint_group.clone();
    if let Some(filters) = change.filters.given() {
        check_filters(&filters)?;
        group.filters = filters;
    }
    group.name = change.name.given().map_or(group.name, |name| name.0);
    group.description = change.description.given().unwrap_or(group.description);
    let stored = group.clone();
    call.cx.state.db.write(move |tx| endpoint_filter::update_group(tx, &stored)).await?;
    Ok(answer(&call, StatusCode::OK, &group))
}

async fn remove(call: Call) -> Result<RawReply> {
    let group = of_path(&call).await?;
    call.cx.state.db.write(move |tx| endpoint_filter::delete_group(tx, &group.id)).await?;
    Ok(done())
}

async fn endpoints(call: Call) -> Result<RawReply> {
    let group = of_path(&call).await?;
    let found = call.cx.state.db.read(catalog::endpoints).await?;
    let within = found.iter().filter(|endpoint| group.has(endpoint));
    let views = within.map(|endpoint| endpoint_view(endpoint, &call.cx.state.public_url)).collect();
    Ok(listed(&call, "endpoints", views, &[]))
}

async fn with_projects(call: Call) -> Result<RawReply> {
    let group = of_path(&call).await?;
    let found = call.cx.state.db.read(move |tx| project_store::with_endpoint_group(tx, &group.id)).await?;
    Ok(listed(&call, "projects", found.iter().map(projects::view).collect(), &[]))
}
