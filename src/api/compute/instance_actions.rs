//! What was asked of a server, by whom, and what came of it.

use super::common::{Link, bad_query, check_query, cut, next_link, page, server_id};
use super::server_view::hash_of_host;
use super::versions;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::{ProjectId, ServerId, UserId};
use crate::store::Tx;
use crate::store::instance_actions::{self, InstanceAction, InstanceEvent};
use crate::store::servers::{self, Server};
use crate::versioned;

const QUERY: &[&str] = &["limit", "marker", "changes-since", "changes-before"];

pub fn rows() -> Vec<Row> {
    vec![
        get("/servers/{server_id}/os-instance-actions", index)
            .rule("os_compute_api:os-instance-actions:list")
            .query(QUERY),
        get("/servers/{server_id}/os-instance-actions/{request_id}", show)
            .rule("os_compute_api:os-instance-actions:show"),
    ]
}

versioned! {
    response EventView {
        "event" => event: String,
        "start_time" => start_time: String,
        "finish_time" => finish_time: Option<String>,
        "result" => result: Option<String>,
        /// Always null for those who see it at all: nothing here has one.
        "traceback" optional => traceback: Option<Option<String>>,
        "host" since(62) optional => host: Option<Option<String>>,
        "hostId" since(62) => host_hash: String,
        "details" since(84) optional => details: Option<Option<String>>,
    }
}
versioned! {
    response ActionView {
        "action" => action: String,
        "instance_uuid" => instance_uuid: ServerId,
        "request_id" => request_id: String,
        "user_id" => user_id: UserId,
        "project_id" => project_id: ProjectId,
        "start_time" => start_time: String,
        "message" => message: Option<String>,
        "updated_at" since(58) => updated_at: String,
        "events" optional => events: Option<Vec<EventView>>,
    }
}
versioned! {
    response Actions { "instanceActions" => actions: Vec<ActionView>, "links" since(58) optional => links: Vec<Link> }
}
versioned! {
    response OneAction { "instanceAction" => action: ActionView }
}

/// The server, also after its end, from the version on at which its actions outlive it.
fn server_of<B>(call: &Call<B>) -> Result<impl Fn(&mut Tx) -> Result<Server> + Send + 'static + use<B>> {
    let (reach, id) = (call.cx.reach.clone(), server_id(call)?);
    let even_deleted = call.version() >= versions::ACTIONS_OUTLIVE_SERVERS;
    Ok(
        move |tx: &mut Tx| {
            if even_deleted { servers::get_even_deleted(tx, &reach, id) } else { servers::get(tx, &reach, id) }
        },
    )
}

fn view(action: InstanceAction, events: Option<Vec<EventView>>) -> ActionView {
    ActionView {
        action: action.action,
        instance_uuid: action.server_id,
        request_id: action.request_id,
        user_id: action.user_id,
        project_id: action.project_id,
        start_time: action.started_at.to_micros_naive(),
        message: action.message,
        updated_at: action.updated_at.to_micros_naive(),
        events,
    }
}

/// `GET /servers/{server_id}/os-instance-actions`.
async fn index(call: Call) -> Result<Reply<Actions>> {
    let server = server_of(&call)?;
    let read = move |tx: &mut Tx| {
        let server = server(tx)?;
        instance_actions::list(tx, server.id)
    };
    let mut found = call.cx.state.db.read(read).await?;
    if call.version() < versions::ACTION_PAGES {
        return Ok(Reply::ok(Actions {
            actions: found.into_iter().map(|a| view(a, None)).collect(),
            links: Vec::new(),
        }));
    }
    check_query(&call, QUERY)?;
    let time = |name: &str| -> Result<Option<Timestamp>> {
        let Some(text) = call.query().get(name) else { return Ok(None) };
        Timestamp::parse(text).map(Some).ok_or_else(|| bad_query(name, text, "is not a 'date-time'"))
    };
    let since = time("changes-since")?;
    let before = if call.version() >= versions::CHANGES_BEFORE { time("changes-before")? } else { None };
    if since.zip(before).is_some_and(|(since, before)| before < since) {
        return Err(Error::bad_request("The value of changes-since must be less than or equal to changes-before."));
    }
    found.retain(|action| {
        since.is_none_or(|at| action.updated_at >= at) && before.is_none_or(|at| action.updated_at <= at)
    });
    let (found, next) = cut(found, &page(&call)?, |action| action.request_id.clone())?;
    let actions = found.into_iter().map(|action| view(action, None)).collect();
    Ok(Reply::ok(Actions { actions, links: next_link(&call, next.as_deref()) }))
}

/// `GET /servers/{server_id}/os-instance-actions/{request_id}`.
async fn show(call: Call) -> Result<Reply<OneAction>> {
    let (server, request_id) = (server_of(&call)?, call.path("request_id").to_owned());
    let read = move |tx: &mut Tx| {
        let server = server(tx)?;
        let action = instance_actions::of_request(tx, server.id, &request_id)?;
        let action = action.ok_or_else(|| Error::not_found(Kind::Part, format!("Action {request_id} not found")))?;
        let events = instance_actions::events(tx, &action.id)?;
        Ok((server, action, events))
    };
    let (server, action, events) = call.cx.state.db.read(read).await?;
    let sees_all = call.cx.may("os_compute_api:os-instance-actions:events");
    let sees_details = call.cx.may("os_compute_api:os-instance-actions:events:details");
    let event = |event: InstanceEvent| EventView {
        event: event.name,
        start_time: event.started_at.to_micros_naive(),
        finish_time: event.finished_at.map(Timestamp::to_micros_naive),
        result: event.result,
        traceback: sees_all.then_some(None),
        host_hash: event.host.as_deref().map_or_else(String::new, |host| hash_of_host(&server.project_id, host)),
        host: sees_all.then_some(event.host),
        details: sees_details.then_some(event.details),
    };
    let shown = sees_all || call.version() >= versions::EVENTS_FOR_ALL;
    let events = shown.then(|| events.into_iter().map(event).collect());
    Ok(Reply::ok(OneAction { action: view(action, events) }))
}
