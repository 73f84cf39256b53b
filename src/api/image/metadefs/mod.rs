//! Metadata definitions over HTTP: namespaces and what they hold. What they are is [`cloud::metadef`](crate::cloud::metadef).
//!
//! Each handler asks its rule of the very namespace. One that the caller can't see isn't there; whoever sees one and may
//! not do something is refused. Start reading at [`find`].

mod items;
mod namespaces;
mod resource_types;
mod schemas;
pub mod seed;
mod tags;

use crate::api::{Call, Context, Row};
use crate::cloud::metadef::{Item, Namespace};
use crate::error::Error;
use crate::error::Result;
use crate::http::json::Map;
use crate::http::query::Query;
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, post, put};
use crate::store::{Tx, metadefs};
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    const NAMESPACE: &str = "/v2/metadefs/namespaces/{namespace}";
    const OBJECTS: &str = "/v2/metadefs/namespaces/{namespace}/objects";
    const OBJECT: &str = "/v2/metadefs/namespaces/{namespace}/objects/{name}";
    const PROPERTIES: &str = "/v2/metadefs/namespaces/{namespace}/properties";
    const PROPERTY: &str = "/v2/metadefs/namespaces/{namespace}/properties/{name}";
    const TAGS: &str = "/v2/metadefs/namespaces/{namespace}/tags";
    const TAG: &str = "/v2/metadefs/namespaces/{namespace}/tags/{name}";
    const TYPES: &str = "/v2/metadefs/namespaces/{namespace}/resource_types";
    vec![
        get("/v2/metadefs/namespaces", namespaces::list).rule("get_metadef_namespaces"),
        post("/v2/metadefs/namespaces", namespaces::create).rule("add_metadef_namespace"),
        get(NAMESPACE, namespaces::show).rule("get_metadef_namespace"),
        put(NAMESPACE, namespaces::update).rule("modify_metadef_namespace"),
        delete(NAMESPACE, namespaces::remove).rule("delete_metadef_namespace"),
        get(OBJECTS, items::list_objects).rule("get_metadef_objects"),
        post(OBJECTS, items::create_object).rule("add_metadef_object"),
        delete(OBJECTS, items::remove_objects).rule("delete_metadef_namespace"),
        get(OBJECT, items::show_object).rule("get_metadef_object"),
        put(OBJECT, items::update_object).rule("modify_metadef_object"),
        delete(OBJECT, items::remove_object).rule("delete_metadef_object"),
        get(PROPERTIES, items::list_properties).rule("get_metadef_properties"),
        post(PROPERTIES, items::create_property).rule("add_metadef_property"),
        delete(PROPERTIES, items::remove_properties).rule("delete_metadef_namespace"),
        get(PROPERTY, items::show_property).rule("get_metadef_property"),
        put(PROPERTY, items::update_property).rule("modify_metadef_property"),
        delete(PROPERTY, items::remove_property).rule("remove_metadef_property"),
        get(TAGS, tags::list).rule("get_metadef_tags"),
        post(TAGS, tags::create_several).rule("add_metadef_tags"),
        delete(TAGS, tags::remove_all).rule("delete_metadef_tags"),
        get(TAG, tags::show).rule("get_metadef_tag"),
        post(TAG, tags::create).rule("add_metadef_tag"),
        put(TAG, tags::update).rule("modify_metadef_tag"),
        delete(TAG, tags::remove).rule("delete_metadef_tag"),
        get("/v2/metadefs/resource_types", resource_types::list).rule("list_metadef_resource_types"),
        get(TYPES, resource_types::of_namespace).rule("list_metadef_resource_types"),
        post(TYPES, resource_types::associate).rule("add_metadef_resource_type_association"),
        delete("/v2/metadefs/namespaces/{namespace}/resource_types/{name}", resource_types::dissociate)
            .rule("remove_metadef_resource_type_association"),
        get("/v2/schemas/metadefs/{kind}", schemas::show).rule("get_metadef_namespaces"),
    ]
}

/// Is the rule about one namespace, or something in it?
pub fn is_about_one(rule: &str) -> bool {
    rule.contains("_metadef_")
        && !["add_metadef_namespace", "get_metadef_namespaces", "list_metadef_resource_types"].contains(&rule)
}

/// The namespace of the path, if the caller sees it and the row's rule holds for it.
fn find(tx: &mut Tx, cx: &Context, name: &str) -> Result<Namespace> {
    // Who has no project sees as little as one who owns nothing, and no public ones either.
    cx.reach.project().map_err(|_| metadefs::not_found(name))?;
    let namespace = metadefs::get(tx, &cx.reach, name)?;
    cx.permit(&namespace.target())?;
    Ok(namespace)
}

/// Reads about the namespace of the path.
fn read<B, T: Send + 'static, F>(call: &Call<B>, choose: F) -> impl Future<Output = Result<T>> + Send + use<B, T, F>
where
    F: Fn(&mut Tx, &Context, Namespace) -> Result<T> + Send + 'static,
{
    let (cx, name) = (call.cx.clone(), call.path("namespace").to_owned());
    let db = call.cx.state.db.clone();
    async move { db.read(move |tx| find(tx, &cx, &name).and_then(|namespace| choose(tx, &cx, namespace))).await }
}

/// Changes something about the namespace of the path, in one transaction.
fn write<B, T: Send + 'static, F>(call: &Call<B>, change: F) -> impl Future<Output = Result<T>> + Send + use<B, T, F>
where
    F: Fn(&mut Tx, &Context, Namespace) -> Result<T> + Send + 'static,
{
    let (cx, name) = (call.cx.clone(), call.path("namespace").to_owned());
    let db = call.cx.state.db.clone();
    async move { db.write(move |tx| find(tx, &cx, &name).and_then(|namespace| change(tx, &cx, namespace))).await }
}

fn ok(value: &Value) -> RawReply {
    RawReply::json(StatusCode::OK, value)
}

fn created(value: &Value) -> RawReply {
    RawReply::json(StatusCode::CREATED, value)
}

/// An object, as who made it sees it.
fn object_view(namespace: &str, item: &Item) -> Value {
    let mut view: Map = Map::from_iter([("name".to_owned(), json!(item.name))]);
    view.extend(item.definition.clone());
    view.insert("created_at".to_owned(), json!(item.created_at.to_seconds_z()));
    view.insert("updated_at".to_owned(), json!(item.updated_at.to_seconds_z()));
    view.insert("schema".to_owned(), json!("/v2/schemas/metadefs/object"));
    view.insert("self".to_owned(), json!(format!("/v2/metadefs/namespaces/{namespace}/objects/{}", item.name)));
    Value::Object(view)
}

/// An object as it is read. What nobody said of it is empty there, as upstream has it, and absent only in the answer to who
/// made or changed it.
fn read_view(namespace: &str, item: &Item) -> Value {
    let mut view = object_view(namespace, item);
    for (name, nothing) in [("required", json!([])), ("properties", json!({}))] {
        if view.get(name).is_none() {
            view[name] = nothing;
        }
    }
    view
}

/// Properties by name, as a namespace shows them.
fn properties_view(items: &[Item]) -> Map {
    items.iter().rev().map(|item| (item.name.clone(), Value::Object(item.definition.clone()))).collect()
}

/// `sort_dir`, which is `desc` unless asked otherwise.
fn is_descending(query: &Query) -> Result<bool> {
    match query.get("sort_dir").unwrap_or("desc") {
        "desc" => Ok(true),
        "asc" => Ok(false),
        other => Err(Error::bad_request(format!("Invalid sort direction: {other}"))),
    }
}

fn limit(query: &Query) -> Result<Option<usize>> {
    let Some(text) = query.get("limit").filter(|text| !text.is_empty()) else { return Ok(None) };
    let limit: i64 = text.parse().map_err(|_| Error::bad_request("limit param must be an integer"))?;
    usize::try_from(limit).map(Some).map_err(|_| Error::bad_request("limit param must be positive"))
}

/// A page of a list that is in memory whole: a namespace holds few things.
fn page(mut items: Vec<Item>, query: &Query, missing: impl Fn(&str) -> Error) -> Result<Vec<Item>> {
    match query.get("sort_key").unwrap_or("created_at") {
        "created_at" => items.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name))),
        "updated_at" => items.sort_by(|a, b| (a.updated_at, &a.name).cmp(&(b.updated_at, &b.name))),
        "name" => items.sort_by(|a, b| a.name.cmp(&b.name)),
        other => return Err(Error::bad_request(format!("Sort key supplied was not valid: {other}"))),
    }
    if is_descending(query)? {
        items.reverse();
    }
    if let Some(marker) = query.get("marker").filter(|marker| !marker.is_empty()) {
        let at = items.iter().position(|item| item.name == marker).ok_or_else(|| missing(marker))?;
        items.drain(..=at);
    }
    items.truncate(limit(query)?.unwrap_or(usize::MAX));
    Ok(items)
}
