//! A server's metadata: text that its owner keeps with it, and that its guest finds on the config drive at the next boot.

use super::common::Metadata;
use super::server_deed::Deed;
use crate::api::{Call, Row};
use crate::cloud::quota;
use crate::cloud::server::Action;
use crate::error::{Error, Kind, Result};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, post, put};
use crate::store::servers::{self, Change, Texts};
use crate::store::{Tx, quotas};
use crate::versioned;

const ALL: &str = "/servers/{server_id}/metadata";
const ONE: &str = "/servers/{server_id}/metadata/{key}";

pub fn rows() -> Vec<Row> {
    vec![
        get(ALL, index).rule("os_compute_api:server-metadata:index"),
        post(ALL, add).rule("os_compute_api:server-metadata:create"),
        put(ALL, replace).rule("os_compute_api:server-metadata:update_all"),
        get(ONE, show).rule("os_compute_api:server-metadata:show"),
        put(ONE, set).rule("os_compute_api:server-metadata:update"),
        delete(ONE, remove).rule("os_compute_api:server-metadata:delete"),
    ]
}

versioned! {
    request MetadataWish strict { "metadata" required => metadata: Metadata }
}
versioned! {
    response MetadataShown { "metadata" => metadata: Texts }
}
versioned! {
    request ItemWish strict { "meta" required => meta: Metadata }
}
versioned! {
    response ItemShown { "meta" => meta: Texts }
}

/// `GET /servers/{server_id}/metadata`.
async fn index(call: Call) -> Result<Reply<MetadataShown>> {
    let server = super::servers::named(&call).await?;
    Ok(Reply::ok(MetadataShown { metadata: server.metadata }))
}

/// `GET /servers/{server_id}/metadata/{key}`.
async fn show(call: Call) -> Result<Reply<ItemShown>> {
    let server = super::servers::named(&call).await?;
    let key = call.path("key");
    let value = server.metadata.get(key).ok_or_else(no_item)?;
    Ok(Reply::ok(ItemShown { meta: Texts::from([(key.to_owned(), value.clone())]) }))
}

fn no_item() -> Error {
    Error::not_found(Kind::Part, "Metadata item was not found")
}

/// Changes the metadata by a function of what it is, within the quota, if the server's state allows it.
async fn change<B>(call: &Call<B>, by: impl Fn(Texts) -> Result<Texts> + Send + 'static) -> Result<Texts> {
    let deed = Deed::of(call)?;
    let (now, region) = (call.cx.state.clock.now(), call.cx.state.limits_region());
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, Action::ChangeMetadata)?;
        let metadata = by(server.metadata)?;
        quota::check_metadata(&quotas::limits_in(tx, region.as_deref(), &server.project_id)?, metadata.len())?;
        servers::update(tx, deed.id, Change::new().metadata(&metadata), now)?;
        Ok(metadata)
    };
    call.cx.state.db.write(write).await
}

/// `POST /servers/{server_id}/metadata`: these items too.
async fn add(call: Call<MetadataWish>) -> Result<Reply<MetadataShown>> {
    let new = call.body.metadata.0.clone();
    let by = move |mut old: Texts| {
        old.extend(new.clone());
        Ok(old)
    };
    Ok(Reply::ok(MetadataShown { metadata: change(&call, by).await? }))
}

/// `PUT /servers/{server_id}/metadata`: these items and no others.
async fn replace(call: Call<MetadataWish>) -> Result<Reply<MetadataShown>> {
    let new = call.body.metadata.0.clone();
    Ok(Reply::ok(MetadataShown { metadata: change(&call, move |_| Ok(new.clone())).await? }))
}

/// `PUT /servers/{server_id}/metadata/{key}`.
async fn set(call: Call<ItemWish>) -> Result<Reply<ItemShown>> {
    let item = call.body.meta.0.clone();
    if item.len() > 1 {
        return Err(Error::bad_request("Request body contains too many items"));
    }
    if !item.contains_key(call.path("key")) {
        return Err(Error::bad_request("Request body and URI mismatch"));
    }
    let new = item.clone();
    let by = move |mut old: Texts| {
        old.extend(new.clone());
        Ok(old)
    };
    change(&call, by).await?;
    Ok(Reply::ok(ItemShown { meta: item }))
}

/// `DELETE /servers/{server_id}/metadata/{key}`.
async fn remove(call: Call) -> Result<Empty> {
    let key = call.path("key").to_owned();
    let by = move |mut old: Texts| match old.remove(&key) {
        Some(_) => Ok(old),
        None => Err(no_item()),
    };
    change(&call, by).await?;
    Ok(Empty::no_content())
}
