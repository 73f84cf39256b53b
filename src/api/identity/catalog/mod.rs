//! Services and endpoints of the catalogue: `/v3/services`, `/v3/endpoints`.

#[cfg(test)]
mod catalog_tests;
pub mod endpoint_filter;
pub mod endpoint_groups;
pub mod policies;
pub mod policy_associations;
pub mod regions;

use super::answer::{done, extra_of, invalid, listed, merged, permitted, shown, unchanged};
use super::login::expecting;
use crate::api::{Call, Row};
use crate::cloud::endpoint_url;
use crate::cloud::identity::{Endpoint, Region, Service};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Invalid, Map, Maybe, OneOf, Parse, Path, Text, Words, python_repr};
use crate::http::microversion::Microversion;
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::store::{Tx, catalog, limits};
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/services", list_services).rule("identity:list_services").query(&["limit", "name", "type"]),
        post("/v3/services", create_service).rule("identity:create_service"),
        get("/v3/services/{service_id}", show_service).rule("identity:get_service"),
        patch("/v3/services/{service_id}", update_service).rule("identity:update_service"),
        delete("/v3/services/{service_id}", remove_service).rule("identity:delete_service"),
        get("/v3/endpoints", list_endpoints).rule("identity:list_endpoints").query(&[
            "interface",
            "limit",
            "region_id",
            "service_id",
        ]),
        post("/v3/endpoints", create_endpoint).rule("identity:create_endpoint"),
        get("/v3/endpoints/{endpoint_id}", show_endpoint).rule("identity:get_endpoint"),
        patch("/v3/endpoints/{endpoint_id}", update_endpoint).rule("identity:update_endpoint"),
        delete("/v3/endpoints/{endpoint_id}", remove_endpoint).rule("identity:delete_endpoint"),
    ]
}

crate::versioned! {
    request ServiceCreate open {
        "service" required => service: NewService,
    }
}

crate::versioned! {
    request NewService open {
        "type" required => kind: Text<1, 255>,
        "name"          => name: Maybe<Text<1, 255>>,
        "description"   => description: Option<String>,
        "enabled"       => enabled: Maybe<bool>;
        flatten         => extra
    }
}

crate::versioned! {
    request ServiceUpdate open {
        "service" required => service: ServiceChange,
    }
}

crate::versioned! {
    request ServiceChange open {
        "type"        => kind: Maybe<Text<1, 255>>,
        "name"        => name: Maybe<Text<1, 255>>,
        "description" => description: Maybe<Option<String>>,
        "enabled"     => enabled: Maybe<bool>;
        flatten       => extra
    }
}

fn service_view(service: &Service) -> Map {
    let mut view = service.extra.clone();
    view.insert("id".to_owned(), json!(service.id));
    view.insert("type".to_owned(), json!(service.kind));
    view.insert("enabled".to_owned(), json!(service.enabled));
    for (key, value) in [("name", &service.name), ("description", &service.description)] {
        if let Some(value) = value {
            view.insert(key.to_owned(), json!(value));
        }
    }
    view
}

fn service_answer<B>(call: &Call<B>, status: StatusCode, service: &Service) -> RawReply {
    shown(call, status, "service", &format!("/services/{}", service.id), service_view(service))
}

async fn service_of_path<B>(call: &Call<B>) -> Result<Service> {
    let id = call.path("service_id").to_owned();
    let wanted = id.clone();
    permitted(call, Kind::Service, &id, move |tx| catalog::get_service(tx, &wanted), |_| Target::new()).await
}

async fn list_services(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let found = call.cx.state.db.read(catalog::services).await?;
    Ok(listed(&call, "services", found.iter().map(service_view).collect(), &["name", "type"]))
}

async fn show_service(call: Call) -> Result<RawReply> {
    let service = service_of_path(&call).await?;
    Ok(service_answer(&call, StatusCode::OK, &service))
}

async fn create_service(call: Call<ServiceCreate>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let new = call.body.service.clone();
    let service = Service {
        id: uuid::Uuid::new_v4().simple().to_string(),
        kind: new.kind.0,
        // Upstream's services have a name, if an empty one.
        name: Some(new.name.given().map_or_else(String::new, |name| name.0)),
        description: new.description,
        enabled: new.enabled.given().unwrap_or(true),
        extra: extra_of(new.extra),
    };
    let stored = service.clone();
    call.cx.state.db.write(move |tx| catalog::insert_service(tx, &stored)).await?;
    Ok(service_answer(&call, StatusCode::CREATED, &service))
}

async fn update_service(call: Call<ServiceUpdate>) -> Result<RawReply> {
    let mut service = service_of_path(&call).await?;
    let change = call.body.service.clone();
    service.kind = change.kind.given().map_or(service.kind, |kind| kind.0);
    unchanged(change.extra.get("id"), Some(&service.id), "Cannot change ID")?;
    service.name = change.name.given().map_or(service.name, |name| Some(name.0));
    service.description = change.description.given().unwrap_or(service.description);
    service.enabled = change.enabled.given().unwrap_or(service.enabled);
    service.extra = merged(service.extra, Some(extra_of(change.extra)));
    let stored = service.clone();
    call.cx.state.db.write(move |tx| catalog::update_service(tx, &stored)).await?;
    Ok(service_answer(&call, StatusCode::OK, &service))
}

async fn remove_service(call: Call) -> Result<RawReply> {
    let service = service_of_path(&call).await?;
    let delete = move |tx: &mut Tx| {
        if limits::has_service(tx, &service.id)? {
            let id = &service.id;
            return Err(Error::Forbidden(format!(
                "Unable to delete service {id} because it has registered limits associated with it."
            )));
        }
        catalog::delete_service(tx, &service.id)
    };
    call.cx.state.db.write(delete).await?;
    Ok(done())
}

#[derive(Debug, Clone)]
pub struct Interfaces;

impl Words for Interfaces {
    const WORDS: &'static [&'static str] = &["admin", "internal", "public"];
}

/// A URL, or a template of one, of at most 225 characters.
#[derive(Debug, Clone)]
pub struct EndpointUrl(pub String);

impl Parse for EndpointUrl {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let Text::<0, 225>(url) = Text::parse(value, path, version)?;
        let is_scheme = |text: &str| {
            let marks = |byte: u8| matches!(byte, b'+' | b'.' | b'-');
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks(byte))
        };
        let has_scheme = url.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty());
        // Gapura's own endpoints begin with where it is reached, whatever that is.
        if has_scheme || url.starts_with("$(public_url)s") || url.starts_with("%(public_url)s") {
            return Ok(Self(url));
        }
        let value = Value::String(url);
        Err(path.refuse(&value, format!("{} does not match '^[a-zA-Z0-9+.-]+:.+'", python_repr(&value))))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "maxLength": 225})
    }
}

crate::versioned! {
    request EndpointCreate open {
        "endpoint" required => endpoint: NewEndpoint,
    }
}

crate::versioned! {
    request NewEndpoint open {
        "interface" required  => interface: OneOf<Interfaces>,
        "service_id" required => service_id: String,
        "url" required        => url: EndpointUrl,
        "region_id"           => region_id: Option<String>,
        "region"              => region: Option<String>,
        "name"                => name: Maybe<String>,
        "enabled"             => enabled: Maybe<bool>;
        flatten               => extra
    }
}

crate::versioned! {
    request EndpointUpdate open {
        "endpoint" required => endpoint: EndpointChange,
    }
}

crate::versioned! {
    request EndpointChange open {
        "interface"  => interface: Maybe<OneOf<Interfaces>>,
        "service_id" => service_id: Maybe<String>,
        "url"        => url: Maybe<EndpointUrl>,
        "region_id"  => region_id: Maybe<Option<String>>,
        "region"     => region: Maybe<Option<String>>,
        "name"       => name: Maybe<String>,
        "enabled"    => enabled: Maybe<bool>;
        flatten      => extra
    }
}

/// An endpoint as clients see it: the public URL is filled in, a project's id is not.
pub fn endpoint_view(endpoint: &Endpoint, public_url: &str) -> Map {
    let mut view = endpoint.extra.clone();
    view.insert("id".to_owned(), json!(endpoint.id));
    view.insert("interface".to_owned(), json!(endpoint.interface));
    view.insert("service_id".to_owned(), json!(endpoint.service_id));
    view.insert("region".to_owned(), json!(endpoint.region_id));
    view.insert("region_id".to_owned(), json!(endpoint.region_id));
    view.insert("url".to_owned(), json!(endpoint.url.replace("$(public_url)s", public_url)));
    view.insert("enabled".to_owned(), json!(endpoint.enabled));
    if let Some(name) = &endpoint.name {
        view.insert("name".to_owned(), json!(name));
    }
    view
}

fn endpoint_answer<B>(call: &Call<B>, status: StatusCode, endpoint: &Endpoint) -> RawReply {
    let view = endpoint_view(endpoint, &call.cx.state.public_url);
    shown(call, status, "endpoint", &format!("/endpoints/{}", endpoint.id), view)
}

async fn endpoint_of_path<B>(call: &Call<B>) -> Result<Endpoint> {
    let id = call.path("endpoint_id").to_owned();
    let wanted = id.clone();
    permitted(call, Kind::Endpoint, &id, move |tx| catalog::get_endpoint(tx, &wanted), |_| Target::new()).await
}

async fn list_endpoints(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    if let Some(asked) = call.query().get("interface").filter(|asked| !Interfaces::WORDS.contains(asked)) {
        let reason = format!("{} is not one of ['admin', 'internal', 'public']", python_repr(&json!(asked)));
        return Err(invalid("interface", &json!(asked), &reason));
    }
    let found = call.cx.state.db.read(catalog::endpoints).await?;
    let items = found.iter().map(|endpoint| endpoint_view(endpoint, &call.cx.state.public_url)).collect();
    Ok(listed(&call, "endpoints", items, &["interface", "service_id", "region_id"]))
}

async fn show_endpoint(call: Call) -> Result<RawReply> {
    let endpoint = endpoint_of_path(&call).await?;
    Ok(endpoint_answer(&call, StatusCode::OK, &endpoint))
}

async fn create_endpoint(call: Call<EndpointCreate>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let new = call.body.endpoint.clone();
    if !endpoint_url::is_template(&new.url.0) {
        let text = format!("Cannot create an endpoint with an invalid URL: {}.", new.url.0);
        return Err(Error::bad_request(text));
    }
    let endpoint = Endpoint {
        id: uuid::Uuid::new_v4().simple().to_string(),
        service_id: new.service_id,
        region_id: new.region_id.clone().or(new.region.clone()),
        interface: new.interface.0,
        url: new.url.0,
        enabled: new.enabled.given().unwrap_or(true),
        name: new.name.given(),
        extra: extra_of(new.extra),
    };
    let stored = endpoint.clone();
    let makes_region = new.region_id.is_none();
    let insert = move |tx: &mut Tx| {
        settle(tx, &stored, makes_region)?;
        catalog::insert_endpoint(tx, &stored)
    };
    call.cx.state.db.write(insert).await?;
    Ok(endpoint_answer(&call, StatusCode::CREATED, &endpoint))
}

/// Looks whether service and region are there. The older way to name a region makes it.
fn settle(tx: &mut Tx, endpoint: &Endpoint, makes_region: bool) -> Result<()> {
    let service = catalog::get_service(tx, &endpoint.service_id)?;
    service.ok_or_else(|| expecting("endpoint service_id", "service table"))?;
    let Some(id) = &endpoint.region_id else { return Ok(()) };
    if catalog::get_region(tx, id)?.is_some() {
        return Ok(());
    }
    if !makes_region {
        return Err(expecting("endpoint region_id", "region table"));
    }
    let region = Region { id: id.clone(), parent_region_id: None, description: String::new(), extra: Map::new() };
    catalog::insert_region(tx, &region)
}

async fn update_endpoint(call: Call<EndpointUpdate>) -> Result<RawReply> {
    let mut endpoint = endpoint_of_path(&call).await?;
    let change = call.body.endpoint.clone();
    let makes_region = change.region_id.as_ref().is_none();
    endpoint.interface = change.interface.given().map_or(endpoint.interface, |interface| interface.0);
    endpoint.service_id = change.service_id.given().unwrap_or(endpoint.service_id);
    endpoint.url = change.url.given().map_or(endpoint.url, |url| url.0);
    endpoint.region_id = change.region_id.given().or(change.region.given()).unwrap_or(endpoint.region_id);
    unchanged(change.extra.get("id"), Some(&endpoint.id), "Cannot change ID")?;
    endpoint.name = change.name.given().or(endpoint.name);
    endpoint.enabled = change.enabled.given().unwrap_or(endpoint.enabled);
    endpoint.extra = merged(endpoint.extra, Some(extra_of(change.extra)));
    let stored = endpoint.clone();
    let update = move |tx: &mut Tx| {
        settle(tx, &stored, makes_region)?;
        catalog::update_endpoint(tx, &stored)
    };
    call.cx.state.db.write(update).await?;
    Ok(endpoint_answer(&call, StatusCode::OK, &endpoint))
}

async fn remove_endpoint(call: Call) -> Result<RawReply> {
    let endpoint = endpoint_of_path(&call).await?;
    call.cx.state.db.write(move |tx| catalog::delete_endpoint(tx, &endpoint.id)).await?;
    Ok(done())
}
