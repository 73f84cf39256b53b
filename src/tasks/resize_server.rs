//! Resizes a server, or sends it to another host while it is off, until somebody confirms that or goes back.
//!
//! ```text
//!  Claim ─┬► Stop ──────────────────► Start ──► done: Resized ──► confirmed: Active or Stopped   (rows alone)
//!   a     │   machine off   ┄ new      a layer on the disk  └───► Revert ──► Return ──► done: Active or Stopped
//!   place │                   flavor ┄ machine anew         machine off,     machine as it was,
//!         │                 ┄ new host ┄   ▲                layer gone       where it was
//!         └► Leave ─────► Carry ───────────┘
//!             machine off  disks to the other host, the machine goes from the first        ([`elsewhere`])
//! ```
//! From the claim to the confirmation the server holds what both flavors take, of its host or of two. The new size of its disk
//! is a layer of its own over the old, so going back is taking the layer away, and finds the disk as it was. A confirmed layer
//! stays, so there may be [`MOST_LAYERS`] of them; a rebuild begins anew with none.
//!
//! A server stays where it is if it may and its host has room: then nothing need be copied. On another host it runs from a
//! copy, and the first keeps its files as they were, so that going back needs no copying. At no time have two hosts a machine
//! of it: the first gives its own up before the row says that the server is elsewhere, and the second only after that has one.
//! Whoever evacuates the server from the first before that has the rest called off ([`given_up`]).

mod elsewhere;
mod given_up;

use super::ending::{Ending, now_doing};
use super::events::Events;
use super::making_way::is_for_evacuation;
use super::placing::demand;
use super::power_server::{state_after, word};
use super::{Cx, Next, Record, Why, Workflow, clear_leftovers, machine, machine_disks};
use crate::blobs::Stores;
use crate::clock::Timestamp;
use crate::cloud::flavor::Flavor;
use crate::cloud::placement::Demand;
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::{Error, Result};
use crate::hypervisor::Power;
use crate::ids::{HostId, ServerId};
use crate::store::servers::{self, Change, Left, Resized, Server};
use crate::store::{Tx, claims, server_moves, server_ports};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is asked of upstream's conductor, and within that of its scheduler.
pub const ASKED_EVENT: &str = "conductor_migrate_server";
pub const PLACE_EVENT: &str = "cold_migrate";
const PREPARE_EVENT: &str = "compute_prep_resize";
const LEAVE_EVENT: &str = "compute_resize_instance";
const EVENT: &str = "compute_finish_resize";
pub const CONFIRM_EVENT: &str = "compute_confirm_resize";
pub const LEAVE_AGAIN_EVENT: &str = "compute_revert_resize";
const REVERT_EVENT: &str = "compute_finish_revert_resize";

/// How many layers may lie on a disk. Each is one more file that the guest's host opens, and looks into for every block that
/// those above it lack.
pub const MOST_LAYERS: u32 = 8;

pub struct ResizeServer {
    /// Where images' bytes are.
    pub stores: Stores,
    /// How long a guest is given to shut down by itself.
    pub grace: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    Claim {
        flavor: Flavor,
        /// An operator's order: to this host.
        #[serde(default)]
        to: Option<String>,
    },
    Stop {
        flavor: Flavor,
    },
    Leave {
        flavor: Flavor,
        to: HostId,
    },
    Carry {
        flavor: Flavor,
        to: HostId,
        /// Do the two hosts see other files? What was copied goes without the first one's word.
        #[serde(default)]
        apart: Option<bool>,
    },
    Start,
    Revert,
    Return {
        starts: bool,
        /// The host that it comes back from.
        #[serde(default)]
        from: Option<HostId>,
    },
}

impl Step {
    /// Under which upstream's users know what is done.
    const fn event(&self) -> &'static str {
        match self {
            Self::Claim { .. } => PLACE_EVENT,
            Self::Stop { .. } | Self::Leave { .. } | Self::Carry { .. } => LEAVE_EVENT,
            Self::Start => EVENT,
            Self::Revert => LEAVE_AGAIN_EVENT,
            Self::Return { .. } => REVERT_EVENT,
        }
    }
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
    /// About two minutes, for a host that is being restarted.
    const PATIENCE: u32 = 14;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let server = machine::server(cx).await?;
        let (id, now) = (server.id, cx.clock.now());
        let host = cx.hosts.get(machine::on(&server)?)?;
        match step {
            Step::Claim { flavor, to } => {
                let (on, moved) = (host.id, resized(&server)?.migration);
                let to = elsewhere::claim(cx, &server, flavor, to.clone()).await?;
                let flavor = flavor.clone();
                let next = if to == on { Step::Stop { flavor } } else { Step::Leave { flavor, to } };
                let events = Events::of(cx, id);
                Ok(Next::step(next).recording(move |tx| {
                    events.end(tx, PLACE_EVENT, None)?;
                    events.end(tx, ASKED_EVENT, None)?;
                    events.did(tx, PREPARE_EVENT, to)?;
                    events.begin(tx, LEAVE_EVENT, on)?;
                    server_moves::set_status(tx, moved, "migrating", now)?;
                    now_doing(tx, id, Task::ResizeMigrating, Change::new(), now)
                }))
            }
            Step::Stop { flavor } => {
                machine::unless_cancelled(cx, host.hypervisor.stop(id, cx.epoch, Some(self.grace))).await?;
                let (flavor, events, on) = (flavor.clone(), Events::of(cx, id), host.id);
                Ok(Next::step(Step::Start).recording(move |tx| {
                    take_flavor(tx, id, &flavor, None, now)?;
                    events.end(tx, LEAVE_EVENT, None)?;
                    events.begin(tx, EVENT, on)
                }))
            }
            Step::Leave { flavor, to } => {
                machine::unless_cancelled(cx, host.hypervisor.stop(id, cx.epoch, Some(self.grace))).await?;
                let apart = !machine_disks::see_same_files(cx, host, cx.hosts.get(*to)?, id).await?;
                Ok(Next::step(Step::Carry { flavor: flavor.clone(), to: *to, apart: Some(apart) }))
            }
            Step::Carry { flavor, to, apart } => {
                let there = cx.hosts.get(*to)?;
                let apart = match apart {
                    Some(apart) => *apart,
                    None => !machine_disks::see_same_files(cx, host, there, id).await?,
                };
                let carry = elsewhere::carry(cx, &self.stores, host, there, &server, apart);
                machine::unless_cancelled(cx, carry).await?;
                host.hypervisor.remove(id, cx.epoch).await?;
                let (flavor, to, left) = (flavor.clone(), *to, Left { host: host.id, apart });
                let events = Events::of(cx, id);
                Ok(Next::step(Step::Start).recording(move |tx| {
                    take_flavor(tx, id, &flavor, Some((to, left)), now)?;
                    events.end(tx, LEAVE_EVENT, None)?;
                    events.begin(tx, EVENT, to)
                }))
            }
            Step::Start => {
                let from = resized(&server)?;
                let power = start(cx, &server, !from.was_stopped).await?;
                if let Some(left) = from.left {
                    elsewhere::leave_networks(cx, id, left.host).await;
                }
                let (ending, moved) = (Ending::of(cx, &server, EVENT), from.migration);
                Ok(Next::done().recording(move |tx| {
                    let mut aside = servers::get(tx, &Reach::Cloud, id)?.aside;
                    if let Some(from) = &mut aside.resized {
                        from.finished_at = Some(ending.now);
                        from.wished = None;
                    }
                    let is_for_good = aside.resized.as_ref().is_some_and(|from| from.is_for_good);
                    server_moves::set_status(tx, moved, "finished", ending.now)?;
                    let change = Change::new().state(State::Resized).launched_at(ending.now).aside(&aside);
                    ending.record(tx, change, power, None, None)?;
                    let server = servers::get(tx, &Reach::Cloud, id)?;
                    // Whoever deletes it meanwhile takes all of it away.
                    if is_for_good && server.task.is_none() { confirm(tx, &server, ending.now) } else { Ok(()) }
                }))
            }
            Step::Revert => {
                let from = resized(&server)?;
                if let Some(left) = from.left {
                    elsewhere::can_go_back(cx, id, left).await?;
                }
                host.hypervisor.stop(id, cx.epoch, Some(self.grace)).await?;
                // What was copied stays until the row says that the server is back: till then somebody may confirm.
                if from.left.is_none_or(|left| !left.apart) {
                    undo_layer(cx, &server, from).await?;
                }
                let next = Step::Return { starts: !from.was_stopped, from: from.left.map(|_| host.id) };
                let (events, back) = (Events::of(cx, id), from.left.map_or(host.id, |left| left.host));
                Ok(Next::step(next).recording(move |tx| {
                    give_back(tx, id, "reverted", now)?;
                    events.end(tx, LEAVE_AGAIN_EVENT, None)?;
                    events.begin(tx, REVERT_EVENT, back)?;
                    now_doing(tx, id, Task::ResizeReverting, Change::new(), now)
                }))
            }
            Step::Return { starts, from } => {
                if let Some(from) = from {
                    cx.hosts.get(*from)?.hypervisor.remove(id, cx.epoch).await?;
                }
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
        if is_for_evacuation(cx, id, why).await? {
            return given_up::makes_way(cx, &server, step).await.map(Some);
        }
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
            // Before it went back it can be asked to again; afterwards a hard reboot starts it.
            let state = if matches!(step, Step::Revert) { State::Resized } else { State::Error };
            let ending = Ending::of(cx, &server, step.event());
            return Ok(Some(Box::new(move |tx| {
                stays(tx, id, now)?;
                if let Some(moved) = moved.filter(|_| state == State::Resized) {
                    server_moves::set_status(tx, moved, "finished", now)?;
                }
                let change = Change::new().state(state);
                // Come back from another host, it may have no machine yet.
                let has_none = state == State::Error && power == Power::Unknown;
                let change = if has_none { change.power(word(power)) } else { change };
                ending.record(tx, change, power, None, Some(&why))
            })));
        }
        let power = as_before(cx, &server).await?;
        let event = step.event();
        let (ending, events, found_place) = (Ending::of(cx, &server, event), Events::of(cx, id), event != PLACE_EVENT);
        Ok(Some(Box::new(move |tx| {
            let server = give_back(tx, id, "error", now)?;
            if let Some(moved) = moved {
                server_moves::set_reason(tx, moved, &why)?;
            }
            if !found_place {
                events.end(tx, ASKED_EVENT, Some(&why))?;
            }
            let state = state_after(server.state, power);
            ending.record(tx, Change::new().state(state), power, None, Some(&why))
        })))
    }
}

/// The machine has its old flavor, disk and host again, and runs if it ran.
async fn as_before(cx: &Cx, server: &Server) -> Result<Power> {
    let Some(from) = &server.aside.resized else { return Ok(machine::power(cx, server).await) };
    let (id, now) = (server.id, cx.clock.now());
    let host = cx.hosts.get(machine::on(server)?)?;
    if let Some(left) = from.left {
        elsewhere::can_go_back(cx, id, left).await?;
    }
    if from.left.is_some() || *server.flavor != from.flavor || from.has_layer {
        host.hypervisor.stop(id, cx.epoch, None).await?;
        undo_disks(cx, server, from).await?;
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

/// What was made for the new flavor, or on the new host, goes from the host where the server is, on which it is off.
async fn undo_disks(cx: &Cx, server: &Server, from: &Resized) -> Result<()> {
    let host = cx.hosts.get(machine::on(server)?)?;
    if let Some(left) = from.left {
        host.hypervisor.remove(server.id, cx.epoch).await?;
        if left.apart {
            return host.disks.remove(server.id, cx.epoch).await;
        }
    }
    undo_layer(cx, server, from).await
}

async fn undo_layer(cx: &Cx, server: &Server, from: &Resized) -> Result<()> {
    let host = cx.hosts.get(machine::on(server)?)?;
    if from.keeps_flavor { Ok(()) } else { machine::remove_layer(cx, host, server).await }
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

/// From now on the row has the new flavor and its disk another layer, or the server is on another host, or both.
fn take_flavor(tx: &mut Tx, id: ServerId, flavor: &Flavor, to: Option<(HostId, Left)>, now: Timestamp) -> Result<()> {
    let server = servers::get(tx, &Reach::Cloud, id)?;
    let mut aside = server.aside.clone();
    let mut change = Change::new().flavor(flavor);
    if let Some(from) = &mut aside.resized {
        if from.has_layer {
            return Ok(());
        }
        from.has_layer = true;
        if !from.keeps_flavor {
            aside.layer += 1;
        }
        if let Some(disks) = &from.blank_disks {
            change = change.blank_disks(&disks.after);
        }
        if let Some((to, left)) = to {
            from.left = Some(left);
            change = change.host(Some(to));
            is_on_its_way_to(tx, id, to, now)?;
        }
        server_moves::set_status(tx, from.migration, "post-migrating", now)?;
    }
    now_doing(tx, id, Task::ResizeFinish, change.aside(&aside), now)
}

/// Its interfaces come to this host, and whoever settles networks meanwhile looks again.
fn is_on_its_way_to(tx: &mut Tx, id: ServerId, host: HostId, now: Timestamp) -> Result<()> {
    server_ports::set_down(tx, id, Some(host), now)?;
    server_ports::touch_networks(tx, id)
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

/// The row has its old flavor, disk and host again.
fn go_back(tx: &mut Tx, id: ServerId, now: Timestamp) -> Result<()> {
    let server = servers::get(tx, &Reach::Cloud, id)?;
    let mut aside = server.aside.clone();
    let Some(from) = &mut aside.resized else { return Ok(()) };
    let mut change = Change::new().flavor(&from.flavor);
    if std::mem::take(&mut from.has_layer) {
        if !from.keeps_flavor {
            aside.layer = aside.layer.saturating_sub(1);
        }
        if let Some(disks) = &from.blank_disks {
            change = change.blank_disks(&disks.before);
        }
    }
    if let Some(left) = from.left.take() {
        change = change.host(Some(left.host));
        is_on_its_way_to(tx, id, left.host, now)?;
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
        for left in holds_only_itself(tx, &server, now)? {
            clear_leftovers::of_server(tx, id, left, now)?;
        }
    }
    servers::get(tx, &Reach::Cloud, id)
}

/// What the server takes of its host is all that it holds.
fn holds_only_itself(tx: &mut Tx, server: &Server, now: Timestamp) -> Result<Vec<HostId>> {
    let Some(host) = server.host_id else { return Ok(Vec::new()) };
    claims::hold_only(tx, server.id, host, demand(server), now)
}

/// There is nothing to go back to any more: the flavor in the row is the only one, also in what is claimed. So it is when
/// somebody set the state of a resized server by hand, and gives it another disk.
pub fn forget(tx: &mut Tx, server: &Server, now: Timestamp) -> Result<()> {
    let Some(from) = &server.aside.resized else { return Ok(()) };
    let status = if from.has_layer { "confirmed" } else { "error" };
    server_moves::set_status(tx, from.migration, status, now)?;
    holds_only_itself(tx, server, now).map(drop)
}

/// The host that a resized server can go back to; it may be the one that it is on.
pub fn source(server: &Server) -> Option<HostId> {
    let left = server.aside.resized.as_ref()?.left;
    left.map(|left| left.host).or(server.host_id)
}

/// The new flavor and the new host are the only ones: the server is what its host last said of it. Rows alone change; what
/// the host that it left has of it goes soon after.
pub fn confirm(tx: &mut Tx, server: &Server, now: Timestamp) -> Result<()> {
    let mut aside = server.aside.clone();
    let from = aside.resized.take();
    let from = from.ok_or_else(|| Error::bad_request("Instance has not been resized."))?;
    server_moves::set_status(tx, from.migration, "confirmed", now)?;
    for left in holds_only_itself(tx, server, now)? {
        clear_leftovers::of_server(tx, server.id, left, now)?;
    }
    let state = match server.power.as_str() {
        "shutdown" | "crashed" => State::Stopped,
        "paused" => State::Paused,
        _ => State::Active,
    };
    servers::update(tx, server.id, Change::new().state(state).aside(&aside), now)
}
