//! `os-server-external-events`: what other services tell compute of a server.
//!
//! Nothing is waited for here that such a service would have to say: ports are wired by the step that starts the machine,
//! and addresses are read from the ports whenever they are shown. So an event about a server that is on a host has been
//! seen to when it arrives, and answering it is all that is left to do.

use super::versions;
use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::json::{Invalid, Maybe, OneOf, Parse, Path, Text, Words, python_repr};
use crate::http::microversion::Microversion;
use crate::http::reply::Reply;
use crate::http::table::post;
use crate::ids::{HostId, ServerId};
use crate::store::servers;
use crate::versioned;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::HashMap;

pub fn rows() -> Vec<Row> {
    vec![post("/os-server-external-events", create).rule("os_compute_api:os-server-external-events:create")]
}

/// Names of events, each from a version on.
const NAMES: &[(&str, Microversion)] = &[
    ("network-changed", Microversion::FIRST),
    ("network-vif-plugged", Microversion::FIRST),
    ("network-vif-unplugged", Microversion::FIRST),
    ("network-vif-deleted", Microversion::FIRST),
    ("volume-extended", versions::EVENT_VOLUME_EXTENDED),
    ("power-update", versions::EVENT_POWER_UPDATE),
    ("accelerator-request-bound", versions::EVENT_ACCELERATOR_BOUND),
    ("volume-reimaged", versions::EVENT_VOLUME_REIMAGED),
];

/// Events that say nothing without a tag.
const TAGGED: &[&str] = &["volume-extended", "power-update", "accelerator-request-bound"];

fn names(version: Microversion) -> Vec<&'static str> {
    NAMES.iter().filter(|(_, since)| version >= *since).map(|(name, _)| *name).collect()
}

#[derive(Debug, Clone)]
pub struct EventName(&'static str);

impl Parse for EventName {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let known = names(version);
        let name = value.as_str().and_then(|text| known.iter().find(|name| **name == text));
        name.map(|name| Self(name)).ok_or_else(|| {
            let words: Vec<String> = known.iter().map(|name| format!("'{name}'")).collect();
            path.refuse(&value, format!("{} is not one of [{}]", python_repr(&value), words.join(", ")))
        })
    }

    fn schema(version: Microversion) -> Value {
        json!({"type": "string", "enum": names(version)})
    }

    fn boundaries(into: &mut Vec<u16>) {
        into.extend(NAMES.iter().map(|(_, since)| since.0).filter(|since| *since > 0));
    }
}

#[derive(Debug, Clone)]
pub struct Statuses;

impl Words for Statuses {
    const WORDS: &'static [&'static str] = &["failed", "completed", "in-progress"];
}

/// A server's id in its dashed form.
#[derive(Debug, Clone)]
pub struct ServerUuid(ServerId);

impl Parse for ServerUuid {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let text = String::parse(value, path, version)?;
        ServerId::parse(&text).map(Self).ok_or_else(|| {
            let value = Value::String(text);
            path.refuse(&value, format!("{} is not a 'uuid'", python_repr(&value)))
        })
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "format": "uuid"})
    }
}

versioned! {
    request NewEvent strict {
        "name" required => name: EventName,
        "server_uuid" required => server: ServerUuid,
        #[expect(dead_code, reason = "nothing waits for an event, so that one failed changes nothing")]
        "status" => status: Maybe<OneOf<Statuses>>,
        "tag" => tag: Maybe<Text<0, 255>>,
    }
}
versioned! {
    request EventsCreate strict { "events" required => events: Vec<NewEvent> }
}
versioned! {
    response EventView {
        "name" => name: &'static str,
        "server_uuid" => server: ServerId,
        "status" => status: &'static str,
        "tag" optional => tag: Option<String>,
        "code" => code: u16,
    }
}
versioned! {
    response Events { "events" => events: Vec<EventView> }
}

/// What becomes of an event: 404 without a server, 422 for one that is on no host.
fn code(event: &NewEvent, places: &HashMap<ServerId, Option<HostId>>) -> u16 {
    match places.get(&event.server.0) {
        None => 404,
        Some(_) if TAGGED.contains(&event.name.0) && event.tag.as_ref().is_none() => 400,
        Some(None) => 422,
        Some(Some(_)) => 200,
    }
}

/// `POST /os-server-external-events`.
async fn create(call: Call<EventsCreate>) -> Result<Reply<Events>> {
    let told = &call.body.events;
    if told.is_empty() {
        return Err(Error::bad_request("Invalid input for field/attribute events. Value: []. [] is too short"));
    }
    let ids: Vec<ServerId> = told.iter().map(|event| event.server.0).collect();
    let places = call.cx.state.db.read(move |tx| servers::places(tx, &ids)).await?;
    let answer = |event: &NewEvent| {
        let code = code(event, &places);
        EventView {
            name: event.name.0,
            server: event.server.0,
            status: if code == 200 { "completed" } else { "failed" },
            tag: event.tag.as_ref().map(|tag| tag.0.clone()),
            code,
        }
    };
    let events: Vec<EventView> = told.iter().map(answer).collect();
    let all_well = events.iter().all(|event| event.code == 200);
    Ok(Reply::new(if all_well { StatusCode::OK } else { StatusCode::MULTI_STATUS }, Events { events }))
}
