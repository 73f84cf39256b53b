//! Namespaces of metadata definitions.

use super::{created, find, is_descending, limit, ok, properties_view, read, read_view, write};
use crate::api::{Call, Context};
use crate::clock::Timestamp;
use crate::cloud::metadef::{Association, Description, Item, ItemKind, Namespace, prefixed, read_namespace};
use crate::error::{Error, Result};
use crate::http::json::Map;
use crate::http::reply::{Empty, RawReply};
use crate::ids::ProjectId;
use crate::store::Tx;
use crate::store::metadefs::{self, Page, SORT_FIELDS};
use serde_json::{Value, json};

/// Namespaces on a page unless asked otherwise, and at most.
const DEFAULT_LIMIT: usize = 25;
const LARGEST_LIMIT: usize = 1000;

/// `GET /v2/metadefs/namespaces`
pub async fn list(call: Call) -> Result<RawReply> {
    call.cx.allow("list_metadef_resource_types")?;
    let page = page(&call)?;
    let limit = page.limit;
    let cx = call.cx.clone();
    let (views, last) = call
        .cx
        .state
        .db
        .read(move |tx| {
            let found = metadefs::list(tx, &cx.reach, &page)?;
            let last = found.last().filter(|_| found.len() == limit).map(|namespace| namespace.name.clone());
            let shown: Vec<_> = found.iter().filter(|one| cx.may_on("get_metadef_namespace", &one.target())).collect();
            let associations = metadefs::associations(tx, &shown)?;
            let views = shown.into_iter().map(|namespace| {
                let own = associations.iter().filter(|(id, _)| *id == namespace.id).map(|(_, association)| association);
                with_associations(view(namespace), own)
            });
            Ok((views.collect::<Vec<_>>(), last))
        })
        .await?;
    let without_marker: Vec<_> = call.query().iter().filter(|(name, _)| *name != "marker").collect();
    let link = |more: &[(&str, &str)]| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        match query.extend_pairs(&without_marker).extend_pairs(more).finish() {
            query if query.is_empty() => "/v2/metadefs/namespaces".to_owned(),
            query => format!("/v2/metadefs/namespaces?{query}"),
        }
    };
    let mut body = json!({"namespaces": views, "first": link(&[]), "schema": "/v2/schemas/metadefs/namespaces"});
    if let Some(last) = last {
        body["next"] = json!(link(&[("marker", &last)]));
    }
    Ok(ok(&body))
}

fn page(call: &Call) -> Result<Page> {
    let query = call.query();
    let visibility = query.get("visibility").filter(|visibility| !visibility.is_empty());
    if let Some(other) = visibility.filter(|visibility| !["public", "private"].contains(visibility)) {
        return Err(Error::bad_request(format!("Invalid visibility value: {other}")));
    }
    let key = query.get("sort_key").unwrap_or("created_at");
    let column = SORT_FIELDS.iter().find(|(field, _)| *field == key).map(|(_, column)| *column);
    let types = query.get("resource_types").unwrap_or_default().split(',').filter(|name| !name.is_empty());
    Ok(Page {
        visibility: visibility.map(str::to_owned),
        resource_types: types.map(str::to_owned).collect(),
        sort_column: column.ok_or_else(|| Error::bad_request(format!("Sort key supplied was not valid: {key}")))?,
        is_descending: is_descending(query)?,
        limit: limit(query)?.unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT),
        marker: query.get("marker").filter(|marker| !marker.is_empty()).map(str::to_owned),
    })
}

/// `POST /v2/metadefs/namespaces`: with everything in it, or not at all.
pub async fn create(call: Call<Value>) -> Result<RawReply> {
    let description = read_namespace(&call.body)?;
    for (is_asked, rule) in [
        (!description.associations.is_empty(), "add_metadef_resource_type_association"),
        (!description.objects.is_empty(), "add_metadef_object"),
        (!description.properties.is_empty(), "add_metadef_property"),
        (!description.tags.is_empty(), "add_metadef_tag"),
    ] {
        if is_asked {
            call.cx.allow(rule)?;
        }
    }
    let (cx, now) = (call.cx.clone(), call.cx.state.clock.now());
    let owner = owner(&call.cx, description.owner.as_ref())?;
    let (name, view) = call
        .cx
        .state
        .db
        .write(move |tx| {
            let namespace = insert(tx, &description, &owner, now)?;
            Ok((namespace.name.clone(), whole(tx, &cx, &namespace, None)?))
        })
        .await?;
    Ok(created(&view).header("location", &format!("/v2/metadefs/namespaces/{name}")))
}

/// Whose a namespace is: as said, or the caller's project's.
fn owner(cx: &Context, said: Option<&ProjectId>) -> Result<ProjectId> {
    match said {
        Some(owner) => Ok(owner.clone()),
        None => cx.project_id().cloned(),
    }
}

/// Makes a namespace with everything in it.
///
/// # Errors
/// `Conflict` when a name is taken.
pub fn insert(tx: &mut Tx, description: &Description, owner: &ProjectId, now: Timestamp) -> Result<Namespace> {
    let namespace = Namespace {
        id: uuid::Uuid::new_v4().to_string(),
        name: description.name.clone(),
        display_name: description.display_name.clone(),
        description: description.description.clone(),
        is_public: description.is_public,
        protected: description.protected,
        owner: owner.clone(),
        created_at: now,
        updated_at: now,
    };
    metadefs::insert(tx, &namespace)?;
    for (resource_type, prefix, properties_target) in description.associations.clone() {
        metadefs::associate(
            tx,
            &namespace,
            &Association { resource_type, prefix, properties_target, created_at: now },
        )?;
    }
    for (kind, items) in [(ItemKind::Object, &description.objects), (ItemKind::Property, &description.properties)] {
        for (name, definition) in items {
            metadefs::insert_item(tx, &namespace, kind, name, definition, now)?;
        }
    }
    for name in &description.tags {
        metadefs::insert_item(tx, &namespace, ItemKind::Tag, name, &Map::new(), now)?;
    }
    Ok(namespace)
}

/// `GET /v2/metadefs/namespaces/{namespace}`: with everything in it; `resource_type` puts its prefix before names.
pub async fn show(call: Call) -> Result<RawReply> {
    let resource_type = call.query().get("resource_type").map(str::to_owned);
    let view = read(&call, move |tx, cx, namespace| {
        for rule in ["list_metadef_resource_types", "get_metadef_objects", "get_metadef_properties", "get_metadef_tags"]
        {
            cx.allow_on(rule, &namespace.target())?;
        }
        whole(tx, cx, &namespace, resource_type.as_deref())
    })
    .await?;
    Ok(ok(&view))
}

/// `PUT /v2/metadefs/namespaces/{namespace}`: what isn't said becomes as in a new one. What it holds stays.
pub async fn update(call: Call<Value>) -> Result<RawReply> {
    let description = read_namespace(&call.body)?;
    let now = call.cx.state.clock.now();
    let view = write(&call, move |tx, cx, mut namespace| {
        namespace.name.clone_from(&description.name);
        namespace.display_name.clone_from(&description.display_name);
        namespace.description.clone_from(&description.description);
        namespace.is_public = description.is_public;
        namespace.protected = description.protected;
        namespace.owner = owner(cx, description.owner.as_ref())?;
        namespace.updated_at = now;
        metadefs::update(tx, &namespace)?;
        Ok(Value::Object(view(&namespace)))
    })
    .await?;
    Ok(ok(&view))
}

/// `DELETE /v2/metadefs/namespaces/{namespace}`
pub async fn remove(call: Call) -> Result<Empty> {
    let (cx, name) = (call.cx.clone(), call.path("namespace").to_owned());
    call.cx
        .state
        .db
        .write(move |tx| {
            let namespace = find(tx, &cx, &name)?;
            namespace.may_delete()?;
            metadefs::delete(tx, &namespace.id)
        })
        .await?;
    Ok(Empty::no_content())
}

/// A namespace by itself. What has no value isn't shown.
fn view(namespace: &Namespace) -> Map {
    let mut view = Map::from_iter([("namespace".to_owned(), json!(namespace.name))]);
    for (name, value) in [("display_name", &namespace.display_name), ("description", &namespace.description)] {
        if let Some(value) = value {
            view.insert(name.to_owned(), json!(value));
        }
    }
    view.extend(
        [
            ("visibility", json!(namespace.visibility())),
            ("protected", json!(namespace.protected)),
            ("owner", json!(namespace.owner)),
            ("created_at", json!(namespace.created_at.to_seconds_z())),
            ("updated_at", json!(namespace.updated_at.to_seconds_z())),
            ("schema", json!("/v2/schemas/metadefs/namespace")),
            ("self", json!(format!("/v2/metadefs/namespaces/{}", namespace.name))),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    view
}

fn with_associations<'a>(mut view: Map, associations: impl Iterator<Item = &'a Association>) -> Value {
    let associations: Vec<_> = associations.map(super::resource_types::view).collect();
    if !associations.is_empty() {
        view.insert("resource_type_associations".to_owned(), json!(associations));
    }
    Value::Object(view)
}

/// A namespace with everything in it, names under the prefix of a resource type if one is asked for.
fn whole(tx: &mut Tx, _: &Context, namespace: &Namespace, resource_type: Option<&str>) -> Result<Value> {
    let associations = metadefs::associations(tx, &[namespace])?;
    let prefix = associations
        .iter()
        .find(|(_, association)| Some(association.resource_type.as_str()) == resource_type)
        .and_then(|(_, association)| association.prefix.clone())
        .unwrap_or_default();
    let mut whole = view(namespace);
    let objects = metadefs::items(tx, namespace, ItemKind::Object)?;
    if !objects.is_empty() {
        let objects: Vec<_> =
            objects.iter().map(|object| read_view(&namespace.name, &under(object, &prefix))).collect();
        whole.insert("objects".to_owned(), json!(objects));
    }
    let properties = metadefs::items(tx, namespace, ItemKind::Property)?;
    if !properties.is_empty() {
        whole.insert("properties".to_owned(), Value::Object(prefixed(&properties_view(&properties), &prefix)));
    }
    let tags = metadefs::items(tx, namespace, ItemKind::Tag)?;
    if !tags.is_empty() {
        let tags: Vec<_> = tags.iter().map(|tag| json!({"name": tag.name})).collect();
        whole.insert("tags".to_owned(), json!(tags));
    }
    Ok(with_associations(whole, associations.iter().map(|(_, association)| association)))
}

/// An object with its properties' names under a prefix.
fn under(object: &Item, prefix: &str) -> Item {
    let mut object = object.clone();
    if let Some(properties) = object.definition.get_mut("properties").and_then(Value::as_object_mut) {
        *properties = prefixed(properties, prefix);
    }
    if let Some(required) = object.definition.get_mut("required").and_then(Value::as_array_mut) {
        for name in required {
            *name = json!(format!("{prefix}{}", name.as_str().unwrap_or_default()));
        }
    }
    object
}
