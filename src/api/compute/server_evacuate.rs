//! Action `evacuate`: a server whose host is lost begins again on another;
//! [`evacuate_server`](crate::tasks::evacuate_server) does the work.
//!
//! A host that is named is checked like any other, also where a client of old forces it. Upstream asks for no state of work: so
//! that nobody has to wait for what waits for the lost host, that is called off here, a move away from it too
//! ([`making_way`](crate::tasks) says what and why). What can't be called off just now is refused as any other action is.

use super::server_actions::PATH;
use super::server_deed::Deed;
use super::server_migrate::HostName;
use super::versions;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::placement::Wish;
use crate::cloud::server::{Action, MakesWay, State, Task};
use crate::error::{Error, Kind, Result};
use crate::http::json::{FlexibleBool, Invalid, Maybe, Parse, Path};
use crate::http::microversion::Microversion;
use crate::http::reply::Empty;
use crate::http::table::action;
use crate::store::servers::{self, Change, Server};
use crate::store::{Tx, hosts, server_moves, tasks};
use crate::tasks::Workflow;
use crate::tasks::evacuate_server::{self, EvacuateServer, Order, Step};
use crate::tasks::migrate_server::MigrateServer;
use crate::tasks::password::Password;
use crate::tasks::resize_server::{self, ResizeServer};
use crate::versioned;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    vec![action(PATH, "evacuate", evacuate).rule("os_compute_api:os-evacuate")]
}

/// A host's name, which may not be null.
#[derive(Debug, Clone)]
pub struct Named(HostName);

impl Parse for Named {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        if !value.is_string() {
            return Err(path.wrong_type(&value, "string"));
        }
        HostName::parse(value, path, version).map(Self)
    }

    fn schema(version: Microversion) -> Value {
        HostName::schema(version)
    }
}

versioned! {
    request Evacuation strict {
        "host" => host: Maybe<Named>,
        "onSharedStorage" required until(14) => on_shared_storage: Maybe<FlexibleBool>,
        "adminPass" => admin_pass: Maybe<String>,
        "force" since(29) until(68) => force: Maybe<FlexibleBool>,
    }
}
versioned! {
    request Evacuate strict { "evacuate" required => evacuate: Evacuation }
}

/// Action `evacuate`. Passwords are told to the guest and never answered, as by a Nova with
/// `enable_instance_password = false`.
async fn evacuate(call: Call<Evacuate>) -> Result<Empty> {
    let (deed, version) = (Deed::of(&call)?, call.version());
    let wish = &call.body.evacuate;
    let host = wish.host.as_ref().map(|name| name.0.0.clone());
    let shared = wish.on_shared_storage.as_ref().map(|truth| truth.0);
    if wish.force.as_ref().is_some_and(|force| force.0) && host.is_none() {
        return Err(Error::bad_request("Can't force to a non-provided destination"));
    }
    let password = wish.admin_pass.as_ref().map(String::as_str);
    if password.is_some() && shared == Some(true) {
        return Err(Error::bad_request("admin password can't be changed on existing disk"));
    }
    let password = Password::seal(&call.cx.state.identity.vault, deed.id, password, deed.asker.now)?;
    let (user, project) = (call.cx.user_id()?.clone(), call.cx.project_id().ok().cloned());
    let write = move |tx: &mut Tx| {
        let (id, now) = (deed.id, deed.asker.now);
        let server = deed.find(tx)?;
        if let Some(name) = &host {
            let missing = || Error::not_found(Kind::Part, format!("Compute host {name} not found."));
            hosts::named(tx, name).map_err(|error| if error.is_not_found() { missing() } else { error })?;
            if server.host.as_ref() == Some(name) {
                return Err(Error::bad_request("The target host can't be the same one."));
            }
        }
        let (subject, makes_way) = (id.to_string(), makes_way(tx, &server, now)?);
        let judged = Server { task: server.task.filter(|_| !makes_way), ..server.clone() };
        deed.check(&judged, Action::Evacuate)?;
        let from = server.host_id.ok_or_else(|| Error::conflict(format!("Instance {id} is not ready")))?;
        let source = hosts::get(tx, from)?;
        if source.is_up(now) {
            return Err(Error::bad_request(format!("Compute service of {} is still in use.", source.name)));
        }
        if makes_way {
            tasks::cancel_all(tx, &subject, now)?;
        }
        // Its state may have been set by hand since it was last resized. A move that is called off says itself what it held.
        if !makes_way {
            resize_server::forget(tx, &server, now)?;
        }
        let project_id = project.as_ref().unwrap_or(&server.project_id);
        let asked = server_moves::Asked { server: id, source: Some(&source.name), project_id, user_id: &user, now };
        let number = server_moves::insert(tx, "evacuation", "accepted", &asked)?;
        servers::update(tx, id, Change::new().task(Some(Task::Rebuilding)), now)?;
        deed.asker.note(tx, &server, Action::Evacuate.recorded_as())?;
        deed.asker.begins(tx, &server, evacuate_server::PLACE_EVENT)?;
        // What had failed begins to run, whatever the version.
        let stays_off = match server.state {
            State::Stopped => true,
            State::Error => false,
            _ => version >= versions::EVACUATED_SERVERS_STAY_OFF,
        };
        let wish = Wish { zone: server.availability_zone.clone().filter(|_| host.is_none()), host: host.clone() };
        let order = Order { number, from, wish, stays_off, shared, password: password.clone() };
        deed.asker.start::<EvacuateServer>(tx, id, &Step::Place(order))
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::ok())
}

/// Does what goes on with the server make way, because its host is lost? A move does while the row names the host that it leaves.
fn makes_way(tx: &mut Tx, server: &Server, now: Timestamp) -> Result<bool> {
    let Some(host) = server.host_id else { return Ok(false) };
    if hosts::get(tx, host)?.is_up(now) {
        return Ok(false);
    }
    let came_from_elsewhere = server.aside.resized.as_ref().is_some_and(|from| from.left.is_some());
    let subject = server.id.to_string();
    let Some(task) = server.task else {
        // By a reset of its state nothing goes on any more, and a move waits for its host all the same.
        return Ok(!came_from_elsewhere
            && (tasks::is_open(tx, MigrateServer::KIND, &subject)?
                || tasks::is_open(tx, ResizeServer::KIND, &subject)?));
    };
    match task.makes_way() {
        MakesWay::Never => Ok(false),
        MakesWay::Waiting if task == Task::ResizeFinish && came_from_elsewhere => Ok(false),
        MakesWay::Waiting => tasks::only_waits(tx, &subject, now),
        MakesWay::AtAnyStep => tasks::any_open(tx, &subject),
    }
}
