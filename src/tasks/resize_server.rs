//! Resizes a server: another flavor, on the host where it is, until somebody confirms it or goes back.
//!
//! ```text
//!  Claim ──► Stop ──────► Start ──► done: Resized ──► confirmed: Active or Stopped     (rows alone)
//!   both      machine off  a layer              └───► Revert ──► Return ──► done: Active or Stopped
//!   flavors   ┄ the new    on the disk,               layer gone  machine as it was
//!             flavor ┄     machine anew
//! ```
//! From the claim to the confirmation the server holds what both flavors take of the host. The new size of its disk is a
//! layer of its own over the old, so going back is taking the layer away, and finds the disk as it was. A confirmed layer
//! stays, so there may be [`MOST_LAYERS`] of them; a rebuild begins anew with none.

use super::ending::{Ending, now_doing};
use super::placing::demand;
use super::power_server::state_after;
use super::{Cx, Next, Record, Why, Workflow, machine};
use crate::clock::Timestamp;
use crate::cloud::flavor::Flavor;
use crate::cloud::placement::Demand;
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::{Error, Result};
use crate::hypervisor::Power;
use crate::ids::ServerId;
use crate::store::servers::{self, Change, Resized, Server};
use crate::store::{Tx, hosts, server_moves};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const EVENT: &str = "compute_finish_resize";
const REVERT_EVENT: &str = "compute_finish_revert_resize";

/// How many layers may lie on a disk. Each is one more file that the guest's host opens, and looks into for every block that
/// those above it lack.
pub const MOST_LAYERS: u32 = 8;

pub struct ResizeServer {
    /// How long a guest is given to shut down by itself.
    pub grace: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    Claim { flavor: Flavor },
    Stop { flavor: Flavor },
    Start,
    Revert,
    Return { starts: bool },
}

fn both(one: Demand, other: Demand) -> Demand {
    Demand {
        vcpus: one.vcpus + other.vcpus,
        memory_mib: one.memory_mib + other.memory_mib,
        disk_gib: one.disk_gib + other.disk_gib,
    }
}

/// From where the server was resized.
fn resized(server: &Server) -> Result<&Resized> {
    let found = server.aside.resized.as_deref();
    found.ok_or_else(|| Error::internal("a server that is resized has nothing to go back to", server.id.to_string()))
}

#[async_trait]
impl Workflow for ResizeServer {
    type Step = Step;
    const KIND: &'static str = "resize_server";

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let server = machine::server(cx).await?;
        let (id, now) = (server.id, cx.clock.now());
        let host = cx.hosts.get(machine::on(&server)?)?;
        match step {
            Step::Claim { flavor } => {
                let alone = Demand::of(flavor);
                let wanted = both(demand(&server), alone);
                let (on, name, moved) = (host.id, host.name.clone(), resized(&server)?.migration);
                cx.db.write(move |tx| hosts::enlarge_claim(tx, id, on, wanted, alone, now)).await?;
                Ok(Next::step(Step::Stop { flavor: flavor.clone() }).recording(move |tx| {
                    server_moves::set_target(tx, moved, &name, now)?;
                    server_moves::set_status(tx, moved, "migrating", now)?;
                    now_doing(tx, id, Task::ResizeMigrating, Change::new(), now)
                }))
            }
            Step::Stop { flavor } => {
                machine::unless_cancelled(cx, host.hypervisor.stop(id, cx.epoch, Some(self.grace))).await?;
                let flavor = flavor.clone();
                Ok(Next::step(Step::Start).recording(move |tx| take_flavor(tx, id, &flavor, now)))
            }
            Step::Start => {
                let from = resized(&server)?;
                let power = start(cx, &server, !from.was_stopped).await?;
                let (ending, moved) = (Ending::of(cx, &server, EVENT), from.migration);
                Ok(Next::done().recording(move |tx| {
                    let mut aside = servers::get(tx, &Reach::Cloud, id)?.aside;
                    if let Some(from) = &mut aside.resized {
                        from.finished_at = Some(ending.now);
                        from.wished = None;
                    }
                    server_moves::set_status(tx, moved, "finished", ending.now)?;
                    let change = Change::new().state(State::Resized).launched_at(ending.now).aside(&aside);
                    ending.record(tx, change, power, None, None)
                }))
            }
            Step::Revert => {
                let starts = !resized(&server)?.was_stopped;
                host.hypervisor.stop(id, cx.epoch, Some(self.grace)).await?;
                machine::remove_layer(cx, host, &server).await?;
                Ok(Next::step(Step::Return { starts }).recording(move |tx| {
                    give_back(tx, id, "reverted", now)?;
                    now_doing(tx, id, Task::ResizeReverting, Change::new(), now)
                }))
            }
            Step::Return { starts } => {
                let power = start(cx, &server, *starts).await?;
                let ending = Ending::of(cx, &server, REVERT_EVENT);
                let state = if *starts { State::Active } else { State::Stopped };
                Ok(Next::done().recording(move |tx| {
                    ending.record(tx, Change::new().state(state).launched_at(ending.now), power, None, None)
                }))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let server = machine::server(cx).await?;
        let (id, now) = (server.id, cx.clock.now());
        let moved = server.aside.resized.as_ref().map(|from| from.migration);
        if *why == Why::Cancelled {
            // Whoever deletes the server takes the rest away.
            return Ok(Some(Box::new(move |tx| {
                stays(tx, id, now)?;
                moved.map_or(Ok(()), |moved| server_moves::set_status(tx, moved, "error", now))
            })));
        }
        let why = why.to_string();
        if matches!(step, Step::Revert | Step::Return { .. }) {
            let power = machine::power(cx, &server).await;
            let ending = Ending::of(cx, &server, REVERT_EVENT);
            // Before it went back it can be asked to again; afterwards a hard reboot starts it.
            let state = if matches!(step, Step::Revert) { State::Resized } else { State::Error };
            return Ok(Some(Box::new(move |tx| {
                stays(tx, id, now)?;
                ending.record(tx, Change::new().state(state), power, None, Some(&why))
            })));
        }
        let power = self.as_before(cx, &server).await?;
        let ending = Ending::of(cx, &server, EVENT);
        Ok(Some(Box::new(move |tx| {
            let server = give_back(tx, id, "error", now)?;
            let state = state_after(server.state, power);
            ending.record(tx, Change::new().state(state), power, None, Some(&why))
        })))
    }
}

impl ResizeServer {
    /// The machine has its old flavor and disk again, and runs if it ran.
    async fn as_before(&self, cx: &Cx, server: &Server) -> Result<Power> {
        let Some(from) = &server.aside.resized else { return Ok(machine::power(cx, server).await) };
        let (id, now) = (server.id, cx.clock.now());
        let host = cx.hosts.get(machine::on(server)?)?;
        if *server.flavor != from.flavor || from.has_layer {
            host.hypervisor.stop(id, cx.epoch, None).await?;
            machine::remove_layer(cx, host, server).await?;
        }
        // The row goes back first: the machine is made from it.
        let before = cx
            .db
            .write(move |tx| {
                go_back(tx, id, now)?;
                servers::get(tx, &Reach::Cloud, id)
            })
            .await?;
        start(cx, &before, !from.was_stopped).await
    }
}

/// Makes the machine as rows say it is; a machine that was off stays so.
async fn start(cx: &Cx, server: &Server, starts: bool) -> Result<Power> {
    let host = cx.hosts.get(machine::on(server)?)?;
    let spec = machine::prepare(cx, host, server).await?;
    if starts {
        host.hypervisor.start(&spec).await?;
        Ok(Power::Running)
    } else {
        host.hypervisor.define(&spec).await?;
        Ok(Power::Shutdown)
    }
}

/// From now on the row has the new flavor, and its disk another layer.
fn take_flavor(tx: &mut Tx, id: ServerId, flavor: &Flavor, now: Timestamp) -> Result<()> {
    let server = servers::get(tx, &Reach::Cloud, id)?;
    let mut aside = server.aside.clone();
    let mut change = Change::new().flavor(flavor);
    if let Some(from) = &mut aside.resized {
        if from.has_layer {
            return Ok(());
        }
        from.has_layer = true;
        aside.layer += 1;
        if let Some(disks) = &from.blank_disks {
            change = change.blank_disks(&disks.after);
        }
        server_moves::set_status(tx, from.migration, "post-migrating", now)?;
    }
    now_doing(tx, id, Task::ResizeFinish, change.aside(&aside), now)
}

/// The server is on its way to no other flavor any more.
fn stays(tx: &mut Tx, id: ServerId, now: Timestamp) -> Result<()> {
    let mut aside = servers::get(tx, &Reach::Cloud, id)?.aside;
    let wished = aside.resized.as_mut().and_then(|from| from.wished.take());
    if wished.is_none() {
        return Ok(());
    }
    servers::update(tx, id, Change::new().aside(&aside), now)
}

/// The row has its old flavor and disk again.
fn go_back(tx: &mut Tx, id: ServerId, now: Timestamp) -> Result<()> {
    let server = servers::get(tx, &Reach::Cloud, id)?;
    let mut aside = server.aside.clone();
    let Some(from) = &mut aside.resized else { return Ok(()) };
    let mut change = Change::new().flavor(&from.flavor);
    if std::mem::take(&mut from.has_layer) {
        aside.layer = aside.layer.saturating_sub(1);
        if let Some(disks) = &from.blank_disks {
            change = change.blank_disks(&disks.before);
        }
    }
    servers::update(tx, id, change.aside(&aside), now)
}

/// The old flavor is the only one again, in the row and in what is claimed.
fn give_back(tx: &mut Tx, id: ServerId, status: &str, now: Timestamp) -> Result<Server> {
    go_back(tx, id, now)?;
    let server = servers::get(tx, &Reach::Cloud, id)?;
    let mut aside = server.aside.clone();
    if let Some(from) = aside.resized.take() {
        server_moves::set_status(tx, from.migration, status, now)?;
        servers::update(tx, id, Change::new().aside(&aside), now)?;
        hosts::set_claim(tx, id, demand(&server), now)?;
    }
    servers::get(tx, &Reach::Cloud, id)
}

/// There is nothing to go back to any more: the flavor in the row is the only one, also in what is claimed. So it is when
/// somebody set the state of a resized server by hand, and gives it another disk.
pub fn forget(tx: &mut Tx, server: &Server, now: Timestamp) -> Result<()> {
    let Some(from) = &server.aside.resized else { return Ok(()) };
    let status = if from.has_layer { "confirmed" } else { "error" };
    server_moves::set_status(tx, from.migration, status, now)?;
    hosts::set_claim(tx, server.id, demand(server), now)
}

/// The new flavor is the only one: the server is what its host last said of it. Rows alone change.
pub fn confirm(tx: &mut Tx, server: &Server, now: Timestamp) -> Result<()> {
    let mut aside = server.aside.clone();
    let from = aside.resized.take();
    let from = from.ok_or_else(|| Error::bad_request("Instance has not been resized."))?;
    server_moves::set_status(tx, from.migration, "confirmed", now)?;
    hosts::set_claim(tx, server.id, demand(server), now)?;
    let state = match server.power.as_str() {
        "shutdown" | "crashed" => State::Stopped,
        "paused" => State::Paused,
        _ => State::Active,
    };
    servers::update(tx, server.id, Change::new().state(state).aside(&aside), now)
}
