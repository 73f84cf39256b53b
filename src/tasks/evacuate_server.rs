//! Evacuates a server: its host is lost, and another builds it anew.
//!
//! ```text
//!  Place ──► Fetch ────────────────► Build ──► done: Stopped, or as it was; the lost host has leftovers
//!   claim     the image's bytes;      files and machine on the new host
//!             are its disks there?
//! ```
//! The disk begins again with the image, unless the new host sees the files of the lost one. Until the machine is there,
//! the row describes the server as it was on the lost host: what fails leaves it in Error there, and it can be evacuated
//! again. That the host is really dead nobody here can know; an operator has said so, or silence has. From the moment in
//! which the row names the new host, what the old one has is a leftover, so when that is heard again its machine is removed
//! before anything else is done there ([`clear_leftovers`](super::clear_leftovers)).
//!
//! A move that was called off for this may have got to its end all the same, and what had to be waited for before that was known
//! may have taken until the host is back. A server that has left the host, or whose host is up again, is not touched: there is
//! nothing to save, and the record and its event say so.

use super::ending::{Ending, MADE_WAY, now_doing};
use super::events::Events;
use super::password::Password;
use super::placing::{self, Move};
use super::{Cx, Host, Next, Record, Why, Workflow, machine, rebuild_server};
use crate::blobs::Stores;
use crate::clock::Timestamp;
use crate::cloud::blank_disks;
use crate::cloud::placement::Wish;
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::{Error, Result};
use crate::hypervisor::{Power, Standing};
use crate::ids::{HostId, ServerId};
use crate::store::servers::{self, Aside, Change, Server};
use crate::store::{Tx, claims, hosts, leftovers, server_moves, tasks};
use crate::vault::Vault;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const EVENT: &str = rebuild_server::EVENT;
/// What is asked of upstream's conductor.
pub const PLACE_EVENT: &str = "rebuild_server";

pub struct EvacuateServer {
    /// Where images' bytes are.
    pub stores: Stores,
    /// Opens the password on its way.
    pub vault: Arc<Vault>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its record.
    pub number: i64,
    pub from: HostId,
    pub wish: Wish,
    pub stays_off: bool,
    /// Does the client say that the hosts see the same files? `None`: it leaves that to be found out.
    pub shared: Option<bool>,
    pub password: Password,
}

impl Order {
    fn moved(&self, server: ServerId) -> Move {
        Move { server, number: self.number, from: self.from, wish: self.wish.clone() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Place(Order),
    Fetch { order: Order, to: HostId },
    Build { order: Order, to: HostId, keeps_disk: bool },
}

impl Step {
    const fn order(&self) -> &Order {
        match self {
            Self::Place(order) | Self::Fetch { order, .. } | Self::Build { order, .. } => order,
        }
    }
}

#[async_trait]
impl Workflow for EvacuateServer {
    type Step = Step;
    const KIND: &'static str = "evacuate_server";
    /// As a boot's.
    const PATIENCE: u32 = 14;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let server = machine::server(cx).await?;
        let (id, now) = (server.id, cx.clock.now());
        match step {
            Step::Place(order) => {
                if let Some(why) = needs_nothing(cx, &server, order).await? {
                    return Ok(Next::done().recording(is_left_alone(cx, id, order.number, why)));
                }
                machine::refuse_signed(&server)?;
                let to = placing::claim_for_move(cx, order.moved(id), "pre-migrating").await?;
                let events = Events::of(cx, id);
                Ok(Next::step(Step::Fetch { order: order.clone(), to }).recording(move |tx| {
                    events.end(tx, PLACE_EVENT, None)?;
                    events.begin(tx, EVENT, to)
                }))
            }
            Step::Fetch { order, to } => {
                let there = cx.hosts.get(*to)?;
                let keeps_disk = is_there(cx, id, order, there).await?;
                if order.shared.is_some_and(|shared| shared != keeps_disk) {
                    return Err(Error::bad_request("Invalid state of instance files on shared storage"));
                }
                make_room(cx, id, there, keeps_disk).await?;
                machine::fetch(cx, &self.stores, there, machine::base_of(&server)?).await?;
                Ok(Next::step(Step::Build { order: order.clone(), to: *to, keeps_disk })
                    .recording(move |tx| now_doing(tx, id, Task::RebuildSpawning, Change::new(), now)))
            }
            Step::Build { order, to, keeps_disk } => {
                let there = cx.hosts.get(*to)?;
                let ending = Ending::of(cx, &server, EVENT);
                let server = as_there(server, *keeps_disk);
                // Somebody may have emptied the host's cache since the step before.
                machine::fetch(cx, &self.stores, there, machine::base_of(&server)?).await?;
                let password = order.password.open(&self.vault, id, now)?;
                let spec = machine::prepare_telling(cx, there, &server, password.as_deref()).await?;
                let (state, power) = if order.stays_off {
                    there.hypervisor.define(&spec).await?;
                    (State::Stopped, Power::Shutdown)
                } else {
                    there.hypervisor.start(&spec).await?;
                    (State::Active, Power::Running)
                };
                let (number, to, task) = (order.number, *to, cx.task_id);
                Ok(Next::done().recording(move |tx| {
                    tasks::forget_step(tx, task)?;
                    is_there_now(tx, &server, to, now)?;
                    server_moves::set_status(tx, number, "done", now)?;
                    let change = Change::new().state(state).launched_at(now).progress(100);
                    ending.record(tx, change, power, None, None)
                }))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let (id, now, task) = (machine::server_id(cx)?, cx.clock.now(), cx.task_id);
        let (number, from) = (step.order().number, step.order().from);
        let was_cancelled = *why == Why::Cancelled;
        if let Step::Build { to, keeps_disk, .. } = step {
            match give_up(cx, id, *to, *keeps_disk).await {
                // Whoever deletes the server does not wait for a second host that is lost.
                Err(error) if was_cancelled && error.is_transient() => {}
                outcome => outcome?,
            }
        }
        let server = machine::server(cx).await?;
        if server.host_id != Some(from) {
            return Ok(Some(Box::new(is_left_alone(cx, id, number, has_left(&server)))));
        }
        let (status, event) = if matches!(step, Step::Place(_)) { ("error", PLACE_EVENT) } else { ("failed", EVENT) };
        let (ending, events) = (Ending::of(cx, &server, event), Events::of(cx, id));
        let why = if was_cancelled { MADE_WAY.to_owned() } else { why.to_string() };
        Ok(Some(Box::new(move |tx| {
            tasks::forget_step(tx, task)?;
            server_moves::set_status(tx, number, status, now)?;
            server_moves::set_reason(tx, number, &why)?;
            let server = servers::get(tx, &Reach::Cloud, id)?;
            claims::hold_only(tx, id, from, placing::demand(&server), now)?;
            if was_cancelled {
                return events.end(tx, event, Some(&why));
            }
            ending.record(tx, Change::new().state(State::Error), Power::Unknown, None, Some(&why))
        })))
    }
}

/// Why there is nothing to be saved any more, if so. A place that is claimed already is taken.
async fn needs_nothing(cx: &Cx, server: &Server, order: &Order) -> Result<Option<String>> {
    if server.host_id != Some(order.from) {
        return Ok(Some(has_left(server)));
    }
    let (from, number, now) = (order.from, order.number, cx.clock.now());
    let look = move |tx: &mut Tx| {
        let has_place = server_moves::get(tx, number)?.is_some_and(|moved| moved.target.is_some());
        Ok(Some(hosts::get(tx, from)?).filter(|host| !has_place && host.is_up(now)))
    };
    let host = cx.db.read(look).await?;
    Ok(host.map(|host| format!("Compute service of {} is in use again. Nothing was done to the server.", host.name)))
}

fn has_left(server: &Server) -> String {
    let place = server.host.as_deref().unwrap_or("no host");
    format!("The server had left its host before that was lost, and is on {place}. Nothing was done to it.")
}

/// Whoever was before this has said what the server is, and nobody says anything else.
fn is_left_alone(
    cx: &Cx,
    id: ServerId,
    number: i64,
    why: String,
) -> impl Fn(&mut Tx) -> Result<()> + Send + Sync + use<> {
    let (task, now, events) = (cx.task_id, cx.clock.now(), Events::of(cx, id));
    move |tx| {
        tasks::forget_step(tx, task)?;
        server_moves::set_status(tx, number, "cancelled", now)?;
        server_moves::set_reason(tx, number, &why)?;
        events.end(tx, PLACE_EVENT, Some(&why))?;
        // Who has asked for something else meanwhile has set another task.
        let is_ours = servers::get(tx, &Reach::Cloud, id)?.task == Some(Task::Rebuilding);
        let goes_on = tasks::has_unclaimed(tx, EvacuateServer::KIND, &id.to_string())?;
        if is_ours && !goes_on { servers::update(tx, id, Change::new().task(None), now) } else { Ok(()) }
    }
}

/// Are the server's own files on this host? They are if it has the lost host's files; what the server left there earlier is not
/// its own. Both hosts name what they have, and of the lost one it is remembered.
///
/// # Errors
/// `Conflict` when nobody can tell the two apart: what is taken for a leftover is removed, and may be the only disk.
async fn is_there(cx: &Cx, id: ServerId, order: &Order, host: &Host) -> Result<bool> {
    if !host.disks.list().await?.contains(&id) {
        return Ok(false);
    }
    let (from, on) = (order.from, host.id);
    let look =
        move |tx: &mut Tx| Ok((hosts::get(tx, from)?.facts["disk_store"].clone(), leftovers::is_on(tx, id, on)?));
    let (lost, is_left_there) = cx.db.read(look).await?;
    let own = serde_json::to_value(host.disks.space().await?.store).unwrap_or_default();
    match order.shared {
        _ if !lost.is_null() && !own.is_null() => Ok(lost == own),
        _ if !is_left_there => Ok(true),
        Some(shared) => Ok(shared),
        None => Err(Error::conflict(format!(
            "{} has files of the instance, of which it can't be told whether they are its own or left from before",
            host.name
        ))),
    }
}

/// What an earlier stay left is not taken for the server.
async fn make_room(cx: &Cx, id: ServerId, to: &Host, keeps_disk: bool) -> Result<()> {
    if let Standing::Runs(_) = to.hypervisor.standing(id).await? {
        return Err(Error::conflict(format!("{} runs the instance already.", to.name)));
    }
    to.hypervisor.remove(id, cx.epoch).await?;
    if keeps_disk { Ok(()) } else { to.disks.remove(id, cx.epoch).await }
}

/// Nothing of it stays on the new host.
async fn give_up(cx: &Cx, id: ServerId, to: HostId, keeps_disk: bool) -> Result<()> {
    let there = cx.hosts.get(to)?;
    there.hypervisor.remove(id, cx.epoch).await?;
    if keeps_disk { Ok(()) } else { there.disks.remove(id, cx.epoch).await }
}

/// The server as it begins again: with its image's disk, and others that are empty, unless it keeps those it had.
fn as_there(server: Server, keeps_disk: bool) -> Server {
    if keeps_disk {
        return server;
    }
    let blank_disks = blank_disks::anew(&server.blank_disks);
    Server { aside: Aside::default(), blank_disks, ..server }
}

/// From now on the server is on this host, and the one that was lost has nothing but leftovers of it.
fn is_there_now(tx: &mut Tx, server: &Server, to: HostId, now: Timestamp) -> Result<()> {
    let (id, was) = (server.id, servers::get(tx, &Reach::Cloud, server.id)?);
    claims::hold_only(tx, id, to, placing::demand(&was), now)?;
    leftovers::forget(tx, id, to)?;
    let change = Change::new().host(Some(to)).aside(&server.aside).blank_disks(&server.blank_disks);
    servers::update(tx, id, change, now)
}
