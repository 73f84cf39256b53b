//! Objects and properties of a namespace.

use super::{created, object_view, ok, page, properties_view, read, read_view, write};
use crate::api::Call;
use crate::cloud::metadef::{Definition, Item, ItemKind, read_object, read_property};
use crate::error::{Error, Kind, Result};
use crate::http::reply::{Empty, RawReply};
use crate::store::metadefs;
use serde_json::{Value, json};

/// `GET …/objects`
pub async fn list_objects(call: Call) -> Result<RawReply> {
    let query = call.query().clone();
    let objects = read(&call, move |tx, cx, namespace| {
        if !cx.may_on("get_metadef_object", &namespace.target()) {
            return Ok(Vec::new());
        }
        let objects = metadefs::items(tx, &namespace, ItemKind::Object)?;
        let missing = |name: &str| {
            let text = format!(
                "The metadata definition object with name={name} was not found in namespace={}.",
                namespace.name
            );
            Error::not_found(Kind::Part, text)
        };
        Ok(page(objects, &query, missing)?.iter().map(|object| read_view(&namespace.name, object)).collect())
    })
    .await?;
    Ok(ok(&json!({"objects": objects, "schema": "v2/schemas/metadefs/objects"})))
}

/// `POST …/objects`
pub async fn create_object(call: Call<Value>) -> Result<RawReply> {
    let definition = read_object(&call.body)?;
    create(&call, ItemKind::Object, definition).await
}

/// `GET …/objects/{name}`
pub async fn show_object(call: Call) -> Result<RawReply> {
    let name = call.path("name").to_owned();
    let view = read(&call, move |tx, _, namespace| {
        let item = metadefs::get_item(tx, &namespace, ItemKind::Object, &name)?;
        Ok(read_view(&namespace.name, &item))
    });
    Ok(ok(&view.await?))
}

/// `PUT …/objects/{name}`
pub async fn update_object(call: Call<Value>) -> Result<RawReply> {
    let definition = read_object(&call.body)?;
    update(&call, ItemKind::Object, definition).await
}

/// `DELETE …/objects/{name}`
pub async fn remove_object(call: Call) -> Result<Empty> {
    remove(&call, ItemKind::Object).await
}

/// `DELETE …/objects`: all of them.
pub async fn remove_objects(call: Call) -> Result<Empty> {
    remove_all(&call, ItemKind::Object).await
}

/// `GET …/properties`
pub async fn list_properties(call: Call) -> Result<RawReply> {
    let properties = read(&call, |tx, _, namespace| metadefs::items(tx, &namespace, ItemKind::Property)).await?;
    Ok(ok(&json!({"properties": properties_view(&properties)})))
}

/// `POST …/properties`
pub async fn create_property(call: Call<Value>) -> Result<RawReply> {
    let definition = read_property(&call.body)?;
    create(&call, ItemKind::Property, definition).await
}

/// `GET …/properties/{name}`; with `resource_type`, the name is the one under its prefix.
pub async fn show_property(call: Call) -> Result<RawReply> {
    let name = call.path("name").to_owned();
    let resource_type = call.query().get("resource_type").filter(|name| !name.is_empty()).map(str::to_owned);
    let view = read(&call, move |tx, cx, namespace| {
        let mut wanted = name.as_str();
        if let Some(resource_type) = &resource_type {
            cx.allow_on("get_metadef_resource_type", &namespace.target())?;
            let missing = |text: String| Error::not_found(Kind::Part, text);
            let associations = metadefs::associations(tx, &[&namespace])?;
            let found = associations.into_iter().find(|(_, one)| one.resource_type == *resource_type);
            let (_, association) = found.ok_or_else(|| {
                missing(format!(
                    "The metadata definition resource-type association of resource-type={resource_type} to namespace={}, \
                     was not found.",
                    namespace.name
                ))
            })?;
            let prefix = association.prefix.unwrap_or_default();
            wanted = name.strip_prefix(&prefix).filter(|_| !prefix.is_empty()).ok_or_else(|| {
                missing(format!(
                    "Property {name} does not start with the expected resource type association prefix of '{prefix}'."
                ))
            })?;
        }
        let item = metadefs::get_item(tx, &namespace, ItemKind::Property, wanted)?;
        Ok(property_view(&item))
    });
    Ok(ok(&view.await?))
}

/// `PUT …/properties/{name}`
pub async fn update_property(call: Call<Value>) -> Result<RawReply> {
    let definition = read_property(&call.body)?;
    update(&call, ItemKind::Property, definition).await
}

/// `DELETE …/properties/{name}`
pub async fn remove_property(call: Call) -> Result<Empty> {
    remove(&call, ItemKind::Property).await
}

/// `DELETE …/properties`: all of them.
pub async fn remove_properties(call: Call) -> Result<Empty> {
    remove_all(&call, ItemKind::Property).await
}

fn property_view(item: &Item) -> Value {
    let mut view = item.definition.clone();
    view.insert("name".to_owned(), json!(item.name));
    Value::Object(view)
}

fn view(kind: ItemKind, namespace: &str, item: &Item) -> Value {
    match kind {
        ItemKind::Object => object_view(namespace, item),
        ItemKind::Property | ItemKind::Tag => property_view(item),
    }
}

async fn create(call: &Call<Value>, kind: ItemKind, (name, definition): Definition) -> Result<RawReply> {
    let now = call.cx.state.clock.now();
    let made = write(call, move |tx, _, namespace| {
        let item = metadefs::insert_item(tx, &namespace, kind, &name, &definition, now)?;
        Ok(view(kind, &namespace.name, &item))
    });
    Ok(created(&made.await?))
}

async fn update(call: &Call<Value>, kind: ItemKind, (name, definition): Definition) -> Result<RawReply> {
    let (old_name, now) = (call.path("name").to_owned(), call.cx.state.clock.now());
    let changed = write(call, move |tx, _, namespace| {
        let old = metadefs::get_item(tx, &namespace, kind, &old_name)?;
        let item = Item { name: name.clone(), definition: definition.clone(), updated_at: now, ..old };
        metadefs::update_item(tx, &namespace, kind, &old_name, &item)?;
        Ok(view(kind, &namespace.name, &item))
    });
    Ok(ok(&changed.await?))
}

/// Takes one thing out of a namespace.
pub async fn remove(call: &Call, kind: ItemKind) -> Result<Empty> {
    let name = call.path("name").to_owned();
    write(call, move |tx, _, namespace| {
        metadefs::get_item(tx, &namespace, kind, &name)?;
        namespace.may_lose(kind.word(), &name)?;
        metadefs::delete_item(tx, &namespace, kind, &name)
    })
    .await?;
    Ok(Empty::no_content())
}

/// Takes everything of a kind out of a namespace.
pub async fn remove_all(call: &Call, kind: ItemKind) -> Result<Empty> {
    write(call, move |tx, cx, namespace| {
        cx.allow_on("delete_metadef_namespace", &namespace.target())?;
        namespace.may_delete()?;
        metadefs::delete_items(tx, &namespace, kind)
    })
    .await?;
    Ok(Empty::no_content())
}
