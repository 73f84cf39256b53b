//! `/images/{image_id}/metadata`: an image's properties as compute passed them on, a few versions longer than images.

use super::common::Metadata;
use super::proxied_images::as_nova;
use super::versions::NO_IMAGE_METADATA;
use crate::api::image::seen::Seen;
use crate::api::image::update;
use crate::api::{Call, Context, Row};
use crate::cloud::image::Image;
use crate::cloud::image::change::{Change, Operation, is_property};
use crate::cloud::image::protection::Action;
use crate::error::{Error, Kind, Result};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, post, put};
use crate::store::servers::Texts;
use crate::store::{Tx, quotas};
use crate::versioned;
use serde_json::Value;

const END: u16 = NO_IMAGE_METADATA.0;
const ANYBODY: &str = "os_compute_api:extensions";
const ALL: &str = "/images/{image_id}/metadata";
const ONE: &str = "/images/{image_id}/metadata/{key}";

pub fn rows() -> Vec<Row> {
    vec![
        get(ALL, index).rule(ANYBODY).until(END),
        post(ALL, add).rule(ANYBODY).until(END),
        put(ALL, replace).rule(ANYBODY).until(END),
        get(ONE, show).rule(ANYBODY).until(END),
        put(ONE, set).rule(ANYBODY).until(END),
        delete(ONE, remove).rule(ANYBODY).until(END),
    ]
}

versioned! {
    response MetadataShown { "metadata" => metadata: Texts }
}
versioned! {
    response MetaShown { "meta" => meta: Texts }
}
versioned! {
    request MetadataGiven strict { "metadata" required => metadata: Metadata }
}
versioned! {
    request MetaGiven strict { "meta" required => meta: Metadata }
}

/// Those of its properties that the caller may see.
fn visible(cx: &Context, image: &Image) -> Texts {
    let (protections, roles) = (&cx.state.images.protections, &cx.credentials().roles);
    let readable = |name: &&String| protections.allow(Action::Read, name, roles);
    let names = image.properties.iter().filter(|(name, _)| readable(name));
    names.map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn read<B>(call: &Call<B>) -> Result<Texts> {
    let cx = call.cx.reaching("get_image")?;
    let id = call.path("image_id").to_owned();
    let read = move |tx: &mut Tx| Ok(visible(&cx, &Seen::find(tx, &cx, &id)?.image));
    call.cx.state.db.read(read).await.map_err(as_nova)
}

/// Makes the visible properties what `wanted` makes of them, and answers them.
async fn write<B>(call: &Call<B>, wanted: impl Fn(Texts) -> Result<Texts> + Send + 'static) -> Result<Texts> {
    let cx = call.cx.reaching("modify_image")?;
    let id = call.path("image_id").to_owned();
    let now = cx.state.clock.now();
    let write = move |tx: &mut Tx| {
        let seen = Seen::find(tx, &cx, &id)?;
        let before = visible(&cx, &seen.image);
        let after = wanted(before.clone())?;
        let limits = quotas::limits_in(tx, cx.state.limits_region().as_deref(), cx.project_id()?)?;
        let most = limits.of("metadata_items");
        if most >= 0 && i64::try_from(after.len()).unwrap_or(i64::MAX) > most {
            return Err(Error::OverQuota("Image metadata limit exceeded".to_owned()));
        }
        let image = update::change(tx, &cx, seen, &changes(&before, &after)?, now)?;
        Ok(visible(&cx, &image))
    };
    call.cx.state.db.write(write).await.map_err(as_nova)
}

/// What leads from one to the other. What is no property is not metadata, whatever it is called.
fn changes(before: &Texts, after: &Texts) -> Result<Vec<Change>> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let mut changes: Vec<Change> =
        gone.map(|name| Change { field: name.clone(), operation: Operation::Remove }).collect();
    for (name, value) in after.iter().filter(|(name, value)| before.get(*name) != Some(value)) {
        if !is_property(name) {
            return Err(Error::Forbidden(format!("Attribute '{name}' is reserved.")));
        }
        let value = Value::String(value.clone());
        changes.push(Change { field: name.clone(), operation: Operation::Add { value, only_new: false } });
    }
    Ok(changes)
}

/// `GET /images/{image_id}/metadata`.
async fn index(call: Call) -> Result<Reply<MetadataShown>> {
    Ok(Reply::ok(MetadataShown { metadata: read(&call).await? }))
}

/// `GET /images/{image_id}/metadata/{key}`.
async fn show(call: Call) -> Result<Reply<MetaShown>> {
    let key = call.path("key").to_owned();
    let value = read(&call).await?.remove(&key).ok_or_else(|| Error::not_found(Kind::Page, &key))?;
    Ok(Reply::ok(MetaShown { meta: Texts::from([(key, value)]) }))
}

/// `POST /images/{image_id}/metadata`: adds to what is there.
async fn add(call: Call<MetadataGiven>) -> Result<Reply<MetadataShown>> {
    let given = call.body.metadata.0.clone();
    let merged = move |mut texts: Texts| {
        texts.extend(given.clone());
        Ok(texts)
    };
    Ok(Reply::ok(MetadataShown { metadata: write(&call, merged).await? }))
}

/// `PUT /images/{image_id}/metadata`: takes the place of what is there.
async fn replace(call: Call<MetadataGiven>) -> Result<Reply<MetadataShown>> {
    let given = call.body.metadata.0.clone();
    Ok(Reply::ok(MetadataShown { metadata: write(&call, move |_| Ok(given.clone())).await? }))
}

/// `PUT /images/{image_id}/metadata/{key}`.
async fn set(call: Call<MetaGiven>) -> Result<Reply<MetaShown>> {
    let meta = call.body.meta.0.clone();
    let key = call.path("key").to_owned();
    let value = meta.get(&key).cloned().filter(|_| meta.len() == 1);
    let value = value.ok_or_else(|| Error::bad_request("Request body and URI mismatch"))?;
    write(&call, move |mut texts| {
        texts.insert(key.clone(), value.clone());
        Ok(texts)
    })
    .await?;
    Ok(Reply::ok(MetaShown { meta }))
}

/// `DELETE /images/{image_id}/metadata/{key}`.
async fn remove(call: Call) -> Result<Empty> {
    let key = call.path("key").to_owned();
    write(&call, move |mut texts| {
        texts.remove(&key).ok_or_else(|| Error::not_found(Kind::Part, "Invalid metadata key"))?;
        Ok(texts)
    })
    .await?;
    Ok(Empty::no_content())
}
