//! Image stores as clients see them: by name, never by where they are; and taking an image's bytes out of one.

use super::seen::{self, Seen};
use crate::api::{Call, Context};
use crate::blobs::Store;
use crate::cloud::image::Place;
use crate::error::{Error, Kind, Result};
use crate::http::call::Head;
use crate::http::reply::{Empty, RawReply};
use crate::store::images;
use http::StatusCode;
use serde_json::{Value, json};

/// `GET /v2/info/stores`
pub async fn list(call: Call) -> Result<RawReply> {
    let stores = named(&call.cx)?.map(|store| about(&call.cx, store)).collect::<Vec<_>>();
    Ok(RawReply::json(StatusCode::OK, &json!({"stores": stores})))
}

/// `GET /v2/info/stores/detail`: for administrators, who may know where a folder is.
pub async fn list_detail(call: Call) -> Result<RawReply> {
    let detailed = |store: &Store| {
        let mut about = about(&call.cx, store);
        about["type"] = json!(store.blobs.kind());
        about["properties"] = match store.blobs.folder() {
            Some(folder) => json!({"data_dir": folder.display().to_string()}),
            None => json!({}),
        };
        about["weight"] = json!(0);
        about
    };
    let stores = named(&call.cx)?.map(detailed).collect::<Vec<_>>();
    Ok(RawReply::json(StatusCode::OK, &json!({"stores": stores})))
}

fn named(cx: &Context) -> Result<impl Iterator<Item = &Store>> {
    if !cx.state.stores.are_named() {
        return Err(Error::not_found(Kind::Part, "Multi backend is not supported at this site."));
    }
    Ok(cx.state.stores.iter())
}

fn about(cx: &Context, store: &Store) -> Value {
    let mut about = json!({"id": store.name});
    if let Some(description) = &store.description {
        about["description"] = json!(description);
    }
    if store.name == cx.state.stores.default_store().name {
        about["default"] = json!("true");
    }
    about
}

/// `DELETE /v2/stores/{store_id}/{image_id}`: the row says so first; the bytes follow.
pub async fn remove_image(call: Call) -> Result<Empty> {
    if !call.cx.state.stores.are_named() {
        return Err(Error::not_found(Kind::Page, "stores"));
    }
    let store = call.path("store_id").to_owned();
    if call.cx.state.stores.find(&store).is_none() {
        return Err(Error::conflict(format!("The selected store {store} is not available on this node.")));
    }
    let now = call.cx.state.clock.now();
    seen::write(&call, move |tx, cx, Seen { image, .. }| {
        cx.permit(&image.target(None))?;
        images::leave(tx, &image, &store, now)
    })
    .await?;
    call.cx.state.stores.say_given_up();
    Ok(Empty::no_content())
}

/// Where an upload goes: to the store that its header names, where stores have names.
///
/// # Errors
/// `BadRequest` for a store there isn't.
pub fn chosen<'c>(cx: &'c Context, head: &Head) -> Result<&'c Store> {
    let stores = &cx.state.stores;
    match head.header("x-image-meta-store") {
        Some(name) if stores.are_named() => {
            stores.find(name).ok_or_else(|| Error::bad_request(format!("Store for identifier {name} not found")))
        }
        _ => Ok(stores.default_store()),
    }
}

/// An image's places in the order in which a download tries them: first those in the stores that `prefer` lists.
///
/// # Errors
/// `BadRequest` for a store there isn't, and where stores have no names.
pub fn preferred(cx: &Context, mut places: Vec<Place>, prefer: &str) -> Result<Vec<Place>> {
    let wanted: Vec<_> = prefer.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if wanted.is_empty() {
        return Ok(places);
    }
    if !cx.state.stores.are_named() {
        return Err(Error::bad_request(
            "Store selection for download is not available when multiple backends are not enabled.",
        ));
    }
    if let Some(unknown) = wanted.iter().find(|name| cx.state.stores.find(name).is_none()) {
        return Err(Error::bad_request(format!("Store '{unknown}' is not configured.")));
    }
    places.sort_by_key(|place| !wanted.contains(&place.store.as_str()));
    Ok(places)
}
