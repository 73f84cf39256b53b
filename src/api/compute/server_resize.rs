//! Actions `resize`, `migrate`, `confirmResize`, `revertResize`; [`resize_server`](crate::tasks::resize_server) does the work.
//!
//! To migrate is to go to another host while off, with the same flavor; what follows is the same.

use super::allowance::allowance;
use super::common::{Ignored, server_id};
use super::server_actions::{PATH, without_value};
use super::server_deed::{Asker, Deed};
use super::server_migrate::HostName;
use super::server_request::{DiskConfigs, FlavorRef};
use super::versions;
use crate::api::{Call, Row};
use crate::cloud::blank_disks;
use crate::cloud::boot;
use crate::cloud::flavor::{Flavor, unfulfilled_spec};
use crate::cloud::quota::Usage;
use crate::cloud::server::{Action, Task, may};
use crate::error::{Error, Result};
use crate::http::json::{Invalid, Maybe, OneOf, Parse, Path};
use crate::http::microversion::Microversion;
use crate::http::reply::Empty;
use crate::http::table::action;
use crate::ids::{FlavorId, ProjectId};
use crate::store::flavors::{self, Visible};
use crate::store::servers::{self, BlankChange, Change, Resized, Server};
use crate::store::{Tx, hosts, server_moves};
use crate::tasks::resize_server::{self, MOST_LAYERS, ResizeServer, Step};
use crate::versioned;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    vec![
        action(PATH, "resize", resize).rule("os_compute_api:servers:resize"),
        action(PATH, "migrate", migrate).rule("os_compute_api:os-migrate-server:migrate"),
        action(PATH, "confirmResize", confirm).rule("os_compute_api:servers:confirm_resize"),
        action(PATH, "revertResize", revert).rule("os_compute_api:servers:revert_resize"),
    ]
}

versioned! {
    request NewFlavor strict {
        "flavorRef" required => flavor_ref: FlavorRef,
        "OS-DCF:diskConfig" => disk_config: Maybe<OneOf<DiskConfigs>>,
    }
}
versioned! {
    request Resize strict { "resize" required => resize: NewFlavor }
}

/// Action `resize`.
async fn resize(call: Call<Resize>) -> Result<Empty> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let asker = Asker::of(&call)?;
    let wish = call.body.resize.clone();
    let is_admin = call.cx.may("context_is_admin");
    let region = call.cx.state.limits_region();
    let rules = call.cx.state.local_disks.clone();
    let (user, project) = (call.cx.user_id()?.clone(), call.cx.project_id()?.clone());
    let write = move |tx: &mut Tx| {
        let server = servers::get(tx, &reach, id)?;
        may(Action::Resize, id, server.situation(), is_admin)?;
        check_host(tx, &server, asker.now)?;
        check_layers(&server)?;
        let flavor = named(tx, &wish.flavor_ref.0, is_admin, &server.project_id)?;
        check_flavor(&server, &flavor)?;
        let layer = server.aside.layer + 1;
        let blank = blank_disks::resized(&server.blank_disks, &server.flavor, &flavor, layer, &rules)?;
        allow(tx, region.as_deref(), &server, &flavor)?;
        // Its state may have been set by hand since it was last resized.
        resize_server::forget(tx, &server, asker.now)?;
        let source = server.host.as_deref();
        let asked = server_moves::Asked { server: id, source, project_id: &project, user_id: &user, now: asker.now };
        let mut aside = server.aside.clone();
        aside.resized = Some(Box::new(Resized {
            wished: Some(flavor.clone()),
            blank_disks: (blank != server.blank_disks)
                .then(|| BlankChange { before: server.blank_disks.clone(), after: blank }),
            ..Resized::begun(&server, server_moves::insert(tx, "resize", "pre-migrating", &asked)?)
        }));
        let mut change = Change::new().task(Some(Task::ResizePrep)).aside(&aside);
        if let Some(word) = wish.disk_config.as_ref() {
            change = change.disk_config(&word.0);
        }
        servers::update(tx, id, change, asker.now)?;
        asker.note(tx, &server, Action::Resize.recorded_as())?;
        asker.begins(tx, &server, resize_server::ASKED_EVENT)?;
        asker.begins(tx, &server, resize_server::PLACE_EVENT)?;
        asker.start::<ResizeServer>(tx, id, &Step::Claim { flavor, to: None })
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

/// What `migrate` says: nothing, or since a certain version the host to go to. Before that, upstream looks at none of it.
#[derive(Debug, Clone)]
pub struct Destination(Option<HostName>);

versioned! {
    request NewHost strict { "host" => host: Maybe<Option<HostName>> }
}

impl Parse for Destination {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        if version < versions::MIGRATE_TO_HOST {
            return Ok(Self(None));
        }
        let named = Option::<NewHost>::parse(value, path, version)?;
        Ok(Self(named.and_then(|named| named.host.as_ref().cloned().flatten())))
    }

    fn schema(version: Microversion) -> Value {
        if version < versions::MIGRATE_TO_HOST { Ignored::schema(version) } else { Option::<NewHost>::schema(version) }
    }

    fn boundaries(into: &mut Vec<u16>) {
        into.push(versions::MIGRATE_TO_HOST.0);
    }
}

versioned! {
    request Migrate strict { "migrate" required => to: Destination }
}

/// Action `migrate`.
async fn migrate(call: Call<Migrate>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let to = call.body.to.0.clone().map(|name| name.0);
    if to.is_some() {
        call.cx.allow("os_compute_api:os-migrate-server:migrate:host")?;
    }
    let (user, project) = (call.cx.user_id()?.clone(), call.cx.project_id().ok().cloned());
    let write = move |tx: &mut Tx| {
        let (id, now) = (deed.id, deed.asker.now);
        let server = deed.server(tx, Action::Migrate)?;
        check_host(tx, &server, now)?;
        if let Some(name) = &to {
            if server.host.as_ref() == Some(name) {
                return Err(Error::bad_request("Cannot migrate to the host where the server exists."));
            }
            let missing = || Error::bad_request(format!("Compute host {name} could not be found."));
            hosts::named(tx, name).map_err(|error| if error.is_not_found() { missing() } else { error })?;
        }
        resize_server::forget(tx, &server, now)?;
        let source = server.host.as_deref();
        let project_id = project.as_ref().unwrap_or(&server.project_id);
        let asked = server_moves::Asked { server: id, source, project_id, user_id: &user, now };
        let mut aside = server.aside.clone();
        let migration = server_moves::insert(tx, "migration", "pre-migrating", &asked)?;
        aside.resized = Some(Box::new(Resized { keeps_flavor: true, ..Resized::begun(&server, migration) }));
        servers::update(tx, id, Change::new().task(Some(Task::ResizePrep)).aside(&aside), now)?;
        deed.asker.note(tx, &server, Action::Migrate.recorded_as())?;
        deed.asker.begins(tx, &server, resize_server::ASKED_EVENT)?;
        deed.asker.begins(tx, &server, resize_server::PLACE_EVENT)?;
        let flavor = Flavor::clone(&server.flavor);
        deed.asker.start::<ResizeServer>(tx, id, &Step::Claim { flavor, to: to.clone() })
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

const UNAVAILABLE: &str = "Service is unavailable at this time.";

/// Upstream asks whether the host is up before it takes such work.
fn check_host(tx: &mut Tx, server: &Server, now: crate::clock::Timestamp) -> Result<()> {
    let host = server.host_id.ok_or_else(|| Error::conflict(format!("Instance {} is not ready", server.id)))?;
    if hosts::get(tx, host)?.is_up(now) {
        return Ok(());
    }
    Err(Error::conflict(UNAVAILABLE))
}

/// Going back must stay possible, so a resize merges nothing; see [`MOST_LAYERS`].
fn check_layers(server: &Server) -> Result<()> {
    if server.aside.layer < MOST_LAYERS {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "Instance {} has been resized {MOST_LAYERS} times since its disk was made, which is as often as a disk can be. \
         Rebuild it, or boot another from an image of it.",
        server.id
    )))
}

fn named(tx: &mut Tx, id: &str, is_admin: bool, project: &ProjectId) -> Result<Flavor> {
    let sight = if is_admin { Visible::All } else { Visible::To(Some(project)) };
    flavors::get(tx, sight, &FlavorId(id.to_owned()))
        .ok()
        .filter(|flavor| !flavor.disabled)
        .ok_or_else(|| Error::bad_request(format!("Flavor {id} could not be found.")))
}

fn check_flavor(server: &Server, flavor: &Flavor) -> Result<()> {
    if flavor.id == server.flavor.id {
        return Err(Error::bad_request("When resizing, instances must change flavor!"));
    }
    let cannot = |why: &str| Error::bad_request(format!("Server disk was unable to be resized because: {why}"));
    if flavor.disk_gib == 0 && server.flavor.disk_gib != 0 {
        return Err(cannot("Resize to zero disk flavor is not allowed."));
    }
    if let Some(name) = unfulfilled_spec(flavor) {
        return Err(Error::NotImplemented(format!("The flavor's extra spec {name} is not carried out yet.")));
    }
    // Upstream finds this out on the host, and takes the resize back with a fault.
    let smaller = server
        .base
        .as_ref()
        .is_some_and(|base| boot::disk_bytes(flavor, base) < boot::disk_bytes(&server.flavor, base));
    if smaller {
        return Err(cannot("Unable to resize disk down."));
    }
    Ok(())
}

/// The quota must have room for what the other flavor is more.
fn allow(tx: &mut Tx, region: Option<&str>, server: &Server, to: &Flavor) -> Result<()> {
    let (old, new) = (Usage::of(0, &server.flavor), Usage::of(0, to));
    let more = Usage { instances: 0, cores: (new.cores - old.cores).max(0), ram: (new.ram - old.ram).max(0) };
    if more == Usage::default() { Ok(()) } else { allowance(tx, region, server, more) }
}

without_value!(ConfirmResize, "confirmResize");
without_value!(RevertResize, "revertResize");

/// Action `confirmResize`.
async fn confirm(call: Call<ConfirmResize>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, Action::ConfirmResize)?;
        let source = check_source(tx, &server, deed.asker.now)?;
        resize_server::confirm(tx, &server, deed.asker.now)?;
        deed.asker.note(tx, &server, Action::ConfirmResize.recorded_as())?;
        deed.asker.did_on(tx, &server, resize_server::CONFIRM_EVENT, source.as_deref())
    };
    call.cx.state.db.write(write).await?;
    // What the host that it left has of it goes now.
    call.cx.state.runner.wake();
    Ok(Empty::no_content())
}

/// The host whose files a confirmation takes away must be up, as upstream wants it; one that left the cloud has none. Its name.
fn check_source(tx: &mut Tx, server: &Server, now: crate::clock::Timestamp) -> Result<Option<String>> {
    let Some(host) = resize_server::source(server) else { return Ok(None) };
    match hosts::get(tx, host) {
        Ok(host) if host.is_up(now) => Ok(Some(host.name)),
        Ok(_) => Err(Error::conflict(UNAVAILABLE)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Action `revertResize`.
async fn revert(call: Call<RevertResize>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let region = call.cx.state.limits_region();
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, Action::RevertResize)?;
        let mut aside = server.aside.clone();
        let from = aside.resized.as_mut();
        let from = from.ok_or_else(|| Error::bad_request("Instance has not been resized."))?;
        allow(tx, region.as_deref(), &server, &from.flavor)?;
        from.wished = Some(from.flavor.clone());
        server_moves::set_status(tx, from.migration, "reverting", deed.asker.now)?;
        let change = Change::new().task(Some(Task::ResizeReverting)).aside(&aside);
        servers::update(tx, deed.id, change, deed.asker.now)?;
        deed.asker.note(tx, &server, Action::RevertResize.recorded_as())?;
        deed.asker.begins_on(tx, &server, resize_server::LEAVE_AGAIN_EVENT, server.host.as_deref())?;
        deed.asker.start::<ResizeServer>(tx, deed.id, &Step::Revert)
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}
