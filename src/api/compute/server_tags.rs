//! A server's tags.

use super::common::{own_address, server_id};
use super::server_request::Tag;
use crate::api::{Call, Row};
use crate::cloud::server::State;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Parse, Path};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, put};
use crate::ids::ServerId;
use crate::store::Tx;
use crate::store::servers::{self, Server};
use crate::versioned;
use http::{HeaderMap, HeaderValue, StatusCode};

const ALL: &str = "/servers/{server_id}/tags";
const ONE: &str = "/servers/{server_id}/tags/{tag}";
/// Upstream's bound for one server.
const MOST: usize = 50;

pub fn rows() -> Vec<Row> {
    vec![
        get(ALL, index).rule("os_compute_api:os-server-tags:index").since(26),
        put(ALL, replace).rule("os_compute_api:os-server-tags:update_all").since(26),
        delete(ALL, clear).rule("os_compute_api:os-server-tags:delete_all").since(26),
        get(ONE, show).rule("os_compute_api:os-server-tags:show").since(26),
        put(ONE, add).rule("os_compute_api:os-server-tags:update").since(26),
        delete(ONE, remove).rule("os_compute_api:os-server-tags:delete").since(26),
    ]
}

versioned! {
    response Tags { "tags" => tags: Vec<String> }
}
versioned! {
    request TagsWish strict { "tags" required => tags: Vec<Tag> }
}

/// The server, if its state lets tags change; its name in the refusal is the operation's.
fn changeable(server: &Server, operation: &str) -> Result<()> {
    match server.state {
        State::Active | State::Paused | State::Suspended | State::Stopped => Ok(()),
        other => Err(Error::conflict(format!(
            "Cannot '{operation}' instance {} while it is in vm_state {}",
            server.id,
            other.word()
        ))),
    }
}

fn no_tag(id: ServerId, tag: &str) -> Error {
    Error::not_found(Kind::Part, format!("Server {id} has no tag '{tag}'"))
}

/// `GET /servers/{server_id}/tags`.
async fn index(call: Call) -> Result<Reply<Tags>> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let read = move |tx: &mut Tx| {
        servers::get(tx, &reach, id)?;
        servers::tags(tx, id)
    };
    Ok(Reply::ok(Tags { tags: call.cx.state.db.read(read).await? }))
}

/// `GET /servers/{server_id}/tags/{tag}`: is it there?
async fn show(call: Call) -> Result<Empty> {
    let (reach, id, tag) = (call.cx.reach.clone(), server_id(&call)?, call.path("tag").to_owned());
    let read = move |tx: &mut Tx| {
        servers::get(tx, &reach, id)?;
        let has = servers::tags(tx, id)?.contains(&tag);
        if has { Ok(()) } else { Err(no_tag(id, &tag)) }
    };
    call.cx.state.db.read(read).await?;
    Ok(Empty::no_content())
}

/// `PUT /servers/{server_id}/tags`: these and no others.
async fn replace(call: Call<TagsWish>) -> Result<Reply<Tags>> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let tags = call.body.tags.clone();
    if tags.len() > MOST {
        return Err(Error::bad_request("Invalid input for field/attribute tags. The list is too long"));
    }
    let write = move |tx: &mut Tx| {
        changeable(&servers::get(tx, &reach, id)?, "update tags")?;
        servers::clear_tags(tx, id)?;
        for tag in &tags {
            servers::add_tag(tx, id, &tag.0)?;
        }
        servers::tags(tx, id)
    };
    Ok(Reply::ok(Tags { tags: call.cx.state.db.write(write).await? }))
}

/// `PUT /servers/{server_id}/tags/{tag}`: 201 when it is new, 204 when it was there.
async fn add(call: Call) -> Result<Empty> {
    let (reach, id, text) = (call.cx.reach.clone(), server_id(&call)?, call.path("tag").to_owned());
    let location = own_address(&call);
    let parsed = Tag::parse(text.clone().into(), &Path::Root, call.version());
    let tag = parsed.map_err(|invalid| {
        Error::bad_request(format!(
            "Tag '{text}' is invalid. It must be a non empty string without characters '/' and ','. Validation error message: {}",
            invalid.reason
        ))
    })?;
    let write = move |tx: &mut Tx| {
        changeable(&servers::get(tx, &reach, id)?, "update tag")?;
        if servers::tags(tx, id)?.len() >= MOST {
            return Err(Error::bad_request(format!("The number of tags exceeded the per-server limit {MOST}")));
        }
        servers::add_tag(tx, id, &tag.0)
    };
    if !call.cx.state.db.write(write).await? {
        return Ok(Empty::no_content());
    }
    let mut headers = HeaderMap::new();
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(http::header::LOCATION, location);
    }
    Ok(Empty(StatusCode::CREATED, headers))
}

/// `DELETE /servers/{server_id}/tags/{tag}`.
async fn remove(call: Call) -> Result<Empty> {
    let (reach, id, tag) = (call.cx.reach.clone(), server_id(&call)?, call.path("tag").to_owned());
    let write = move |tx: &mut Tx| {
        changeable(&servers::get(tx, &reach, id)?, "delete tag")?;
        if servers::remove_tag(tx, id, &tag)? { Ok(()) } else { Err(no_tag(id, &tag)) }
    };
    call.cx.state.db.write(write).await?;
    Ok(Empty::no_content())
}

/// `DELETE /servers/{server_id}/tags`.
async fn clear(call: Call) -> Result<Empty> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let write = move |tx: &mut Tx| {
        changeable(&servers::get(tx, &reach, id)?, "delete tags")?;
        servers::clear_tags(tx, id)
    };
    call.cx.state.db.write(write).await?;
    Ok(Empty::no_content())
}
