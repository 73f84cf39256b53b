//! Action `os-migrateLive`; [`migrate_server`](crate::tasks::migrate_server) does the work.
//!
//! Who names a host has it checked like any other; only a client of old, or one that forces it, has the scheduler left out,
//! and then the checks of upstream's conductor are made in its place. Until a certain version the client waits for what can
//! be refused; afterwards the record of the migration says it.

use super::server_actions::PATH;
use super::server_deed::Deed;
use super::versions;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::placement::Wish;
use crate::cloud::server::{Action, Task};
use crate::error::{Error, Result};
use crate::http::json::{FlexibleBool, Invalid, Maybe, Parse, Path};
use crate::http::microversion::Microversion;
use crate::http::reply::Empty;
use crate::http::table::action;
use crate::store::servers::{self, Change, Server};
use crate::store::{Tx, hosts, server_moves};
use crate::tasks::migrate_server::{self, MigrateServer, Order, Step};
use crate::tasks::resize_server;
use crate::versioned;
use serde_json::{Value, json};

const TO_HOST: &str = "os_compute_api:os-migrate-server:migrate_live:host";

pub fn rows() -> Vec<Row> {
    vec![action(PATH, "os-migrateLive", migrate_live).rule("os_compute_api:os-migrate-server:migrate_live")]
}

/// A host's name, as upstream lets it be spelled.
#[derive(Debug, Clone)]
pub struct HostName(pub String);

impl Parse for HostName {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        if !value.is_string() {
            return Err(path.wrong_type(&value, "string|null"));
        }
        let text = crate::http::json::Text::<1, 255>::parse(value, path, version)?.0;
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')) {
            let value = Value::String(text);
            let reason = format!("{} does not match '^[a-zA-Z0-9-._]*$'", crate::http::json::python_repr(&value));
            return Err(path.refuse(&value, reason));
        }
        Ok(Self(text))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9-._]*$"})
    }
}

/// Are disks copied? `None`: if they must be, which can be asked for since a certain version.
#[derive(Debug, Clone, Copy)]
pub struct BlockMigration(pub Option<bool>);

impl Parse for BlockMigration {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        if version >= versions::BLOCK_MIGRATION_MAY_BE_AUTO && value == "auto" {
            return Ok(Self(None));
        }
        FlexibleBool::parse(value, path, version).map(|truth| Self(Some(truth.0)))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": ["boolean", "string"]})
    }
}

versioned! {
    request MigrateLiveWish strict {
        "host" required => host: Option<HostName>,
        "block_migration" required => block_migration: BlockMigration,
        #[expect(dead_code, reason = "disks are as large as their flavor says, on every host")]
        "disk_over_commit" required until(25) => disk_over_commit: Maybe<FlexibleBool>,
        "force" since(30) until(68) => force: Maybe<FlexibleBool>,
    }
}
versioned! {
    request MigrateLive strict { "os-migrateLive" required => wish: MigrateLiveWish }
}

/// Action `os-migrateLive`.
async fn migrate_live(call: Call<MigrateLive>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let wish = call.body.wish.clone();
    let (host, block_migration) = (wish.host.map(|host| host.0), wish.block_migration.0);
    if host.is_some() {
        call.cx.allow(TO_HOST)?;
    }
    let forces = wish.force.as_ref().is_some_and(|force| force.0);
    if forces && host.is_none() {
        return Err(Error::bad_request("Can't force to a non-provided destination"));
    }
    let version = call.version();
    let leaves_scheduler_out = host.is_some() && (forces || version < versions::LIVE_MIGRATION_ASKS_THE_SCHEDULER);
    let waits = version < versions::LIVE_MIGRATION_DOES_NOT_WAIT;
    let (user, project) = (call.cx.user_id()?.clone(), call.cx.project_id().ok().cloned());
    let rules = call.cx.state.placement.clone();
    let write = move |tx: &mut Tx| {
        let now = deed.asker.now;
        let server = deed.server(tx, Action::MigrateLive)?;
        let from = server.host_id.ok_or_else(|| Error::conflict(format!("Instance {} is not ready", deed.id)))?;
        if let Some(name) = &host {
            let missing = || Error::bad_request(format!("Compute host {name} could not be found."));
            hosts::named(tx, name).map_err(|error| if error.is_not_found() { missing() } else { error })?;
        }
        let wish = Wish { zone: server.availability_zone.clone().filter(|_| host.is_none()), host: host.clone() };
        if waits {
            if let Some(name) = host.as_deref().filter(|_| leaves_scheduler_out) {
                check_destination(tx, &server, name, now)?;
            }
            let chosen = migrate_server::may_move(tx, &rules, &server, &wish, now);
            chosen.map_err(|error| Error::bad_request(error.to_string()))?;
        }
        // Its state may have been set by hand since it was last resized.
        resize_server::forget(tx, &server, now)?;
        let project = project.as_ref().unwrap_or(&server.project_id);
        let source = server.host.as_deref();
        let asked = server_moves::Asked { server: deed.id, source, project_id: project, user_id: &user, now };
        let number = server_moves::insert(tx, "live-migration", "queued", &asked)?;
        servers::update(tx, deed.id, Change::new().task(Some(Task::Migrating)), now)?;
        deed.asker.note(tx, &server, Action::MigrateLive.recorded_as())?;
        let order = Order { number, from, wish, block_migration, waits };
        deed.asker.begins(tx, &server, order.event())?;
        deed.asker.start::<MigrateServer>(tx, deed.id, &Step::Choose(order))
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

/// What upstream's conductor looks at in the scheduler's place.
fn check_destination(tx: &mut Tx, server: &Server, name: &str, now: Timestamp) -> Result<()> {
    let target = hosts::named(tx, name)?;
    if server.host_id == Some(target.id) {
        return Err(Error::bad_request(format!(
            "Unable to migrate instance ({}) to current host ({name}).",
            server.id
        )));
    }
    if !target.is_up(now) {
        return Err(Error::bad_request(format!("Compute service of {name} is unavailable at this time.")));
    }
    let (free, wanted) = (target.free().memory_mib, server.flavor.ram_mib);
    if free < wanted {
        return Err(Error::bad_request(format!(
            "Migration pre-check error: Unable to migrate {} to {name}: Lack of memory(host:{free} <= instance:{wanted})",
            server.id
        )));
    }
    Ok(())
}
