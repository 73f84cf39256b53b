//! One server: show, update, delete. Lists and creation have files of their own.

use super::common::{Name, check_query, server_id};
use super::server_checks::check_hostname;
use super::server_deed::Deed;
use super::server_list::{self, QUERY};
use super::server_request::{AddressText, DiskConfigs};
use super::server_view::{ServerShown, Sight, view, whole_one};
use super::versions;
use crate::api::{Call, Row};
use crate::cloud::server::{Action, State, Task};
use crate::error::{Error, Result};
use crate::http::json::{Maybe, OneOf, Text};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, put};
use crate::store::Tx;
use crate::store::servers::{self, Change, Server};
use crate::store::tasks::{self};
use crate::tasks::delete_server::{DeleteServer, Step};
use crate::tasks::power_server::{self, Power, PowerServer};
use crate::versioned;

pub fn rows() -> Vec<Row> {
    vec![
        get("/servers", server_list::index).rule("os_compute_api:servers:index").query(QUERY),
        get("/servers/detail", server_list::detail).rule("os_compute_api:servers:detail").query(QUERY),
        get("/servers/{server_id}", show).rule("os_compute_api:servers:show"),
        put("/servers/{server_id}", update).rule("os_compute_api:servers:update"),
        delete("/servers/{server_id}", remove).rule("os_compute_api:servers:delete"),
    ]
}

/// The server that the path names, within reach.
pub async fn named<B>(call: &Call<B>) -> Result<Server> {
    let (reach, id) = (call.cx.reach.clone(), server_id(call)?);
    call.cx.state.db.read(move |tx| servers::get(tx, &reach, id)).await
}

/// `GET /servers/{server_id}`.
async fn show(call: Call) -> Result<Reply<ServerShown>> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let load = move |tx: &mut Tx| {
        let server = servers::get(tx, &reach, id)?;
        whole_one(tx, server)
    };
    let whole = call.cx.state.db.read(load).await?;
    let sight = Sight::of(&call).await?;
    Ok(Reply::ok(ServerShown { server: view(&call, &sight, whole, true) }))
}

versioned! {
    request Changes strict {
        "name" => name: Maybe<Name>,
        "OS-DCF:diskConfig" => disk_config: Maybe<OneOf<DiskConfigs>>,
        "accessIPv4" => access_ip_v4: Maybe<AddressText>,
        "accessIPv6" => access_ip_v6: Maybe<AddressText>,
        "description" since(19) => description: Maybe<Option<Text<0, 255>>>,
        "hostname" since(90) => hostname: Maybe<Text<2, 255>>,
        "pinned_availability_zone" since(104) => pinned_zone: Maybe<Option<Name>>,
    }
}
versioned! {
    request ServerUpdate strict { "server" required => server: Changes }
}

/// May the server be bound to this zone, or to none? Bound, it goes elsewhere only after it was unbound; unbound, it is bound
/// to where it is.
fn check_pin(server: &Server, zone: Option<&str>) -> Result<()> {
    let Some(zone) = zone else { return Ok(()) };
    match (server.availability_zone.as_deref(), server.host_zone.as_deref().unwrap_or_default()) {
        (Some(pinned), _) if pinned == zone => Ok(()),
        (Some(_), _) => Err(Error::conflict(
            "Cannot change pinned availability zone directly. Unpin first by setting pinned_availability_zone to null.",
        )),
        (None, current) if current == zone => Ok(()),
        (None, current) => Err(Error::conflict(format!(
            "Server can only be pinned to its current availability zone '{current}', but '{zone}' was requested."
        ))),
    }
}

/// `PUT /servers/{server_id}`.
async fn update(call: Call<ServerUpdate>) -> Result<Reply<ServerShown>> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let wished = call.body.server.clone();
    if let Some(hostname) = wished.hostname.as_ref() {
        check_hostname(&hostname.0, call.version() >= versions::HOSTNAMES_ARE_QUALIFIED)?;
    }
    let now = call.cx.state.clock.now();
    let write = move |tx: &mut Tx| {
        let server = servers::get(tx, &reach, id)?;
        let mut change = Change::new();
        if let Some(zone) = wished.pinned_zone.as_ref() {
            let zone = zone.as_ref().map(|zone| zone.0.as_str());
            check_pin(&server, zone)?;
            change = change.pinned_zone(zone);
        }
        if let Some(name) = wished.name.as_ref() {
            change = change.name(&name.0);
        }
        if let Some(word) = wished.disk_config.as_ref() {
            change = change.disk_config(&word.0);
        }
        if let Some(address) = wished.access_ip_v4.as_ref() {
            change = change.access_ip_v4(&address.0);
        }
        if let Some(address) = wished.access_ip_v6.as_ref() {
            change = change.access_ip_v6(&address.0);
        }
        if let Some(text) = wished.description.as_ref() {
            change = change.description(text.as_ref().map(|text| text.0.as_str()));
        }
        if let Some(hostname) = wished.hostname.as_ref() {
            change = change.hostname(&hostname.0);
        }
        servers::update(tx, id, change, now)?;
        let server = servers::get(tx, &reach, id)?;
        whole_one(tx, server)
    };
    let whole = call.cx.state.db.write(write).await?;
    let sight = Sight::of(&call).await?;
    let shown = view(&call, &sight, whole, true).shown_by_update(call.version());
    Ok(Reply::ok(ServerShown { server: shown }))
}

/// `DELETE /servers/{server_id}`: for good, or so that it can be taken back, where the operator wishes that.
async fn remove(call: Call) -> Result<Empty> {
    check_query(&call, &[])?;
    if call.cx.state.waits.reclaim.is_none() || !delete_softly(&call).await? {
        delete_for_good(&call).await?;
    }
    Ok(Empty::no_content())
}

/// Switches the server off and hides it. False when it never ran, is nowhere or on its way there: then there is nothing to take
/// back.
async fn delete_softly<B>(call: &Call<B>) -> Result<bool> {
    let deed = Deed::of(call)?;
    let write = move |tx: &mut Tx| {
        let server = deed.find(tx)?;
        let has_left = server.state == State::ShelvedOffloaded || server.task == Some(Task::ShelvingOffloading);
        if server.launched_at.is_none() || server.host_id.is_none() || has_left {
            return Ok(false);
        }
        deed.check(&server, Action::SoftDelete)?;
        let is_under_way = matches!(server.task, Some(Task::Deleting | Task::SoftDeleting));
        // On its way back it is to be deleted anew.
        if is_under_way || (server.state == State::SoftDeleted && server.task != Some(Task::Restoring)) {
            return Ok(true);
        }
        tasks::cancel_all(tx, &deed.id.to_string(), deed.asker.now)?;
        servers::update(tx, deed.id, Change::new().task(Some(Task::SoftDeleting)), deed.asker.now)?;
        deed.asker.note(tx, &server, "delete")?;
        deed.asker.start::<PowerServer>(tx, deed.id, &power_server::Step { wish: Power::SoftDelete })?;
        Ok(true)
    };
    let softly = call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(softly)
}

/// Records that a server shall go; whatever is under way for it is called off first.
pub async fn delete_for_good<B>(call: &Call<B>) -> Result<()> {
    let deed = Deed::of(call)?;
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, Action::Delete)?;
        if server.task == Some(Task::Deleting) {
            // Asked twice: the first asking goes on.
            return Ok(());
        }
        tasks::cancel_all(tx, &deed.id.to_string(), deed.asker.now)?;
        servers::update(tx, deed.id, Change::new().task(Some(Task::Deleting)), deed.asker.now)?;
        deed.asker.note(tx, &server, "delete")?;
        deed.asker.start::<DeleteServer>(tx, deed.id, &Step::Stop)
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(())
}
