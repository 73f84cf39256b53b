//! Tags of a namespace: names, without regard to case.

use super::{created, items, ok, page, read, write};
use crate::api::Call;
use crate::cloud::metadef::{Item, ItemKind, read_tag, read_tags};
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::http::reply::{Empty, RawReply};
use crate::store::metadefs;
use serde_json::{Value, json};

/// `GET …/tags`
pub async fn list(call: Call) -> Result<RawReply> {
    let query = call.query().clone();
    let tags = read(&call, move |tx, _, namespace| {
        let tags = metadefs::items(tx, &namespace, ItemKind::Tag)?;
        let missing = |name: &str| {
            let text =
                format!("The metadata definition tag with name={name} was not found in namespace={}.", namespace.name);
            Error::not_found(Kind::Part, text)
        };
        page(tags, &query, missing)
    })
    .await?;
    Ok(ok(&json!({"tags": tags.iter().map(|tag| json!({"name": tag.name})).collect::<Vec<_>>()})))
}

/// `POST …/tags`: these in place of all there are, or with `X-Openstack-Append` beside them.
pub async fn create_several(call: Call<Value>) -> Result<RawReply> {
    let names = read_tags(&call.body)?;
    let appends = call
        .head
        .header("x-openstack-append")
        .is_some_and(|text| ["1", "t", "true", "on", "y", "yes"].contains(&text.trim().to_lowercase().as_str()));
    let now = call.cx.state.clock.now();
    let shown = names.clone();
    write(&call, move |tx, _, namespace| {
        if !appends {
            metadefs::delete_items(tx, &namespace, ItemKind::Tag)?;
        }
        for name in &names {
            metadefs::insert_item(tx, &namespace, ItemKind::Tag, name, &Map::new(), now)?;
        }
        Ok(())
    })
    .await?;
    Ok(created(&json!({"tags": shown.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()})))
}

/// `POST …/tags/{name}`
pub async fn create(call: Call) -> Result<RawReply> {
    let name = read_tag(&json!({"name": call.path("name")}))?;
    let now = call.cx.state.clock.now();
    let made = write(&call, move |tx, _, namespace| {
        metadefs::insert_item(tx, &namespace, ItemKind::Tag, &name, &Map::new(), now)
    });
    Ok(created(&view(&made.await?)))
}

/// `GET …/tags/{name}`
pub async fn show(call: Call) -> Result<RawReply> {
    let name = call.path("name").to_owned();
    let found = read(&call, move |tx, _, namespace| metadefs::get_item(tx, &namespace, ItemKind::Tag, &name));
    Ok(ok(&view(&found.await?)))
}

/// `PUT …/tags/{name}`: another name.
pub async fn update(call: Call<Value>) -> Result<RawReply> {
    let name = read_tag(&call.body)?;
    let (old_name, now) = (call.path("name").to_owned(), call.cx.state.clock.now());
    let changed = write(&call, move |tx, _, namespace| {
        let old = metadefs::get_item(tx, &namespace, ItemKind::Tag, &old_name)?;
        let tag = Item { name: name.clone(), updated_at: now, ..old };
        metadefs::update_item(tx, &namespace, ItemKind::Tag, &old_name, &tag)?;
        Ok(tag)
    });
    Ok(ok(&view(&changed.await?)))
}

/// `DELETE …/tags/{name}`
pub async fn remove(call: Call) -> Result<Empty> {
    items::remove(&call, ItemKind::Tag).await
}

/// `DELETE …/tags`: all of them.
pub async fn remove_all(call: Call) -> Result<Empty> {
    items::remove_all(&call, ItemKind::Tag).await
}

fn view(tag: &Item) -> Value {
    let (created_at, updated_at) = (tag.created_at.to_seconds_z(), tag.updated_at.to_seconds_z());
    json!({"name": tag.name, "created_at": created_at, "updated_at": updated_at})
}
