//! Moves a running server to another host, while its guest goes on.
//!
//! ```text
//!  Choose ──► Compare ──► Prepare ──► Send ──► Watch ──► Settle ──► Clean ──► done: Active there
//!   claim on   same files?  image, disk, the two   until it   who runs  the source
//!   target     same CPU?    networks     begin     is over    it now?   lets go
//!     └──────────┴───────────┴───────────┴──────────┴──────────┴─ a failure, or somebody calls it off: ask both hosts; where
//!                                                                  the guest runs is where the server is, and the other
//!                                                                  host lets go of it
//! ```
//! After the switch to post-copy a guest may come to be on neither host whole ([`torn`]); if it can't be put together it is lost,
//! and its server in Error at the target.
//!
//! What a hypervisor's call answered is never the truth about a move: the call may be lost with its process, and with it the
//! program that waits. So [`Step::Settle`], and every way back, ends the move if it still goes on, and asks both hosts who
//! runs the guest ([`truth`]). Until the two have answered, the server is shown as moving; who evacuates it from a source that
//! is down gives that up, and then the target's answer alone decides.
//!
//! While it moves the server holds what it takes of both hosts. One claim and the row's host change in one transaction.

mod noted;
mod outcome;
mod torn;
mod truth;
mod watch;

use super::ending::MADE_WAY;
use super::events::Events;
use super::making_way::{is_given_up, need_not_know};
use super::placing::{self, Move};
use super::{Cx, Host, Next, Record, Why, Workflow, machine, machine_disks};
use crate::blobs::Stores;
use crate::cloud::moving::{Amount, Measured, Pace};
use crate::cloud::placement::{But, Rules, Wish};
use crate::error::{Error, Result};
use crate::hypervisor::{self, Carry, Counts, Departure, Limits, MachineSpec, Standing};
use crate::ids::{HostId, ServerId};
use crate::store::servers::Server;
use crate::store::{Tx, server_moves};
use async_trait::async_trait;
pub use noted::{ABORT as ABORT_EVENT, FORCE as FORCE_EVENT};
use outcome::{completed, ends_there, forget_target, give_up_claim, give_up_target, goes_on, has_moved, let_go, stays};
use serde::{Deserialize, Serialize};
use truth::{Truth, Written};

/// How live moves are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moving {
    pub limits: Limits,
    pub pace: Pace,
}

pub struct MigrateServer {
    /// Where images' bytes are.
    pub stores: Stores,
    pub moving: Moving,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its record.
    pub number: i64,
    pub from: HostId,
    pub wish: Wish,
    /// Are disks copied? `None`: if they must be.
    pub block_migration: Option<bool>,
    /// Did the client wait for what can be refused at once? Upstream knows the work under another name then.
    #[serde(default)]
    pub waits: bool,
}

impl Order {
    /// What is asked of upstream's conductor.
    pub const fn event(&self) -> &'static str {
        if self.waits { noted::ASKED_AND_WAITED } else { noted::ASKED }
    }

    fn moved(&self, server: ServerId) -> Move {
        Move { server, number: self.number, from: self.from, wish: self.wish.clone() }
    }
}

/// A move whose ends are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    pub number: i64,
    pub from: HostId,
    pub to: HostId,
    pub carry: Carry,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Choose(Order),
    Compare {
        order: Order,
        to: HostId,
    },
    Prepare(Way),
    Send {
        way: Way,
        /// As it shall run there.
        there: Box<MachineSpec>,
    },
    Watch {
        way: Way,
        /// Microseconds of the clock.
        since: i64,
        /// As it was begun, if that is known.
        #[serde(default)]
        sent: Option<Box<Departure>>,
    },
    Settle(Way),
    Clean(Way),
}

#[async_trait]
impl Workflow for MigrateServer {
    type Step = Step;
    const KIND: &'static str = "migrate_server";
    /// About two minutes, for a host that is being restarted.
    const PATIENCE: u32 = 14;
    const MAY_TAKE_LONG: bool = true;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let (id, now) = (machine::server_id(cx)?, cx.clock.now());
        match step {
            Step::Choose(order) => {
                stop_if_asked(cx, order.number).await?;
                let to = placing::claim_for_move(cx, order.moved(id), "preparing").await?;
                let events = Events::of(cx, id);
                let next = Next::step(Step::Compare { order: order.clone(), to });
                Ok(next.recording(move |tx| events.begin(tx, noted::LOOK_AT_TARGET, to)))
            }
            Step::Compare { order, to } => {
                let way = compare(cx, id, order, *to).await?;
                let (events, order, ends) = (Events::of(cx, id), order.clone(), way.clone());
                Ok(Next::step(Step::Prepare(way)).recording(move |tx| noted::may_begin(tx, &events, &order, &ends)))
            }
            Step::Prepare(way) => {
                stop_if_asked(cx, way.number).await?;
                let (server, from, to) = (machine::server(cx).await?, cx.hosts.get(way.from)?, cx.hosts.get(way.to)?);
                make_room(cx, id, to, way.carry).await?;
                if way.carry != Carry::Nothing {
                    machine::fetch(cx, &self.stores, to, machine::base_of(&server)?).await?;
                }
                let offer = from.hypervisor.offer(id).await?;
                let there = machine::arrive(cx, from, to, &server, way.carry == Carry::Nothing).await?;
                to.hypervisor.receive(&there, &offer).await?;
                let events = Events::of(cx, id);
                let next = Next::step(Step::Send { way: way.clone(), there: Box::new(there) });
                Ok(next.recording(move |tx| events.end(tx, noted::PREPARE, None)))
            }
            Step::Send { way, there } => {
                stop_if_asked(cx, way.number).await?;
                let sent = self.send(cx, way, there).await?.map(Box::new);
                let number = way.number;
                let limits = serde_json::to_value(self.moving.limits).unwrap_or_default();
                Ok(Next::step(Step::Watch { way: way.clone(), since: now.0, sent }).recording(move |tx| {
                    server_moves::set_limits(tx, number, &limits)?;
                    server_moves::set_status(tx, number, "running", now)
                }))
            }
            Step::Watch { way, since, sent } => {
                watch::watch(cx, id, way, *since, self.moving.pace, sent.as_deref()).await?;
                Ok(Next::step(Step::Settle(way.clone())))
            }
            Step::Settle(way) => match truth::find(cx, id, way, false).await? {
                Truth::There(power) => {
                    let counts = truth::last_counts(cx, id, way).await;
                    let (way, next, events) = (way.clone(), Step::Clean(way.clone()), Events::of(cx, id));
                    Ok(Next::step(next).recording(move |tx| {
                        has_moved(tx, id, &way, power, counts.as_ref(), now)?;
                        noted::is_there(tx, &events, &way)
                    }))
                }
                Truth::Here { why } | Truth::Lost { why } => Err(Error::bad_request(why)),
                Truth::GivenUp => Err(Error::conflict(MADE_WAY)),
            },
            Step::Clean(way) => {
                let_go(cx, id, way).await?;
                let server = machine::server(cx).await?;
                Ok(Next::done().recording(completed(cx, &server, way, false)))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let id = machine::server_id(cx)?;
        match step {
            Step::Choose(order) | Step::Compare { order, .. } => {
                give_up_claim(cx, id, order).await?;
                let failed = match step {
                    Step::Choose(_) => vec![order.event()],
                    _ => vec![noted::LOOK_AT_TARGET, order.event()],
                };
                stays(cx, order.number, why, noted::Failed { events: failed, rolled_back: None }).await.map(Some)
            }
            Step::Clean(way) => ends_there(cx, id, way, why).await.map(Some),
            Step::Prepare(way) | Step::Send { way, .. } | Step::Watch { way, .. } | Step::Settle(way) => {
                match truth::written(cx, id, way).await? {
                    Written::Nothing => {}
                    Written::Lost(reason) => return torn::ends(cx, id, way, reason, why).await.map(Some),
                    Written::There => return ends_there(cx, id, way, why).await.map(Some),
                }
                let failed = |rolled_back| {
                    let events = match step {
                        Step::Prepare(_) => vec![noted::PREPARE, noted::MOVE],
                        _ => vec![noted::MOVE],
                    };
                    noted::Failed { events, rolled_back }
                };
                let found = match truth::find(cx, id, way, true).await {
                    Err(error) if need_not_know(cx, id, [way.from, way.to], why, &error).await? => {
                        return stays(cx, way.number, why, failed(None)).await.map(Some);
                    }
                    Err(error) if is_given_up(cx, id, way.from, why, &error).await? => match step {
                        // Nothing was sent yet.
                        Step::Prepare(_) => Truth::GivenUp,
                        _ => truth::without_source(cx, id, way).await?,
                    },
                    found => found?,
                };
                match found {
                    Truth::Here { why: reason, .. } => {
                        forget_target(cx, id, way).await?;
                        goes_on(cx, id, way).await?;
                        // Whoever looked on has seen how it ended, unless it was ended for somebody else.
                        let is_its_end = matches!(step, Step::Watch { .. }) && *why != Why::Cancelled;
                        let why = if is_its_end { Why::Failed(reason) } else { why.clone() };
                        stays(cx, way.number, &why, failed(Some(way.to))).await.map(Some)
                    }
                    Truth::GivenUp => {
                        give_up_target(cx, id, way).await?;
                        stays(cx, way.number, why, failed(Some(way.to))).await.map(Some)
                    }
                    Truth::Lost { why: reason } => torn::is_lost(cx, id, way, &reason, why).await.map(Some),
                    Truth::There(power) => {
                        // It had got there before anybody could end it.
                        let counts = truth::last_counts(cx, id, way).await;
                        let (there, now, events) = (way.clone(), cx.clock.now(), Events::of(cx, id));
                        let moved = move |tx: &mut Tx| {
                            has_moved(tx, id, &there, power, counts.as_ref(), now)?;
                            noted::is_there(tx, &events, &there)
                        };
                        cx.db.write(moved).await?;
                        ends_there(cx, id, way, why).await.map(Some)
                    }
                }
            }
        }
    }
}

impl MigrateServer {
    /// Begins the move. How; `None`: somebody did who died before that was saved.
    async fn send(&self, cx: &Cx, way: &Way, there: &MachineSpec) -> Result<Option<Departure>> {
        let (from, to) = (cx.hosts.get(way.from)?, cx.hosts.get(way.to)?);
        if from.hypervisor.migration(there.id).await?.is_some_and(|now| !now.phase.is_over())
            || truth::has_left(cx, there.id, way).await?
        {
            return Ok(None);
        }
        let there = MachineSpec { epoch: cx.epoch, ..there.clone() };
        let offer = from.hypervisor.offer(there.id).await?;
        let arrival = to.hypervisor.receive(&there, &offer).await?;
        let (id, epoch, carry, limits) = (there.id, cx.epoch, way.carry, self.moving.limits);
        let departure = Departure { id, epoch, to: arrival, there, carry, limits };
        from.hypervisor.migrate(&departure).await?;
        Ok(Some(departure))
    }
}

/// Is there a host that the server could move to?
///
/// # Errors
/// The reason that a move would fail with.
pub fn may_move(tx: &mut Tx, rules: &Rules, server: &Server, wish: &Wish, now: crate::clock::Timestamp) -> Result<()> {
    placing::pick(tx, rules, server, wish, server.host_id.map(But::Leaving), now).map(drop)
}

/// Has somebody called it off before it ran?
async fn stop_if_asked(cx: &Cx, number: i64) -> Result<()> {
    let asked = cx.db.read(move |tx| Ok(server_moves::get(tx, number)?.and_then(|moved| moved.asked))).await?;
    if asked.as_deref() == Some("abort") {
        return Err(Error::conflict("The migration was called off."));
    }
    Ok(())
}

/// Do the hosts see the same files, and was that asked for?
async fn compare(cx: &Cx, id: ServerId, order: &Order, to: HostId) -> Result<Way> {
    let (source, target) = (cx.hosts.get(order.from)?, cx.hosts.get(to)?);
    let same = machine_disks::see_same_files(cx, source, target, id).await?;
    let server = machine::server(cx).await?;
    let name = &target.name;
    let carry = match (same, order.block_migration) {
        (true, Some(true)) => {
            return Err(Error::bad_request(format!(
                "{name} is not on local storage: Block migration can not be used with shared storage."
            )));
        }
        (false, Some(false)) => {
            return Err(Error::bad_request(format!(
                "{name} is not on shared storage: Shared storage live-migration requires either shared storage or boot-from-volume with no local disks."
            )));
        }
        (true, _) => Carry::Nothing,
        // A disk that began empty lies over nothing that the other host has too.
        (false, _) if server.aside.layer == 0 && server.blank_disks.is_empty() => Carry::Changes,
        (false, _) => Carry::Whole,
    };
    Ok(Way { number: order.number, from: order.from, to, carry })
}

/// What an earlier stay left at the target would lie under what is copied now, and its definition would be taken for the
/// machine: it goes first.
async fn make_room(cx: &Cx, id: ServerId, to: &Host, carry: Carry) -> Result<()> {
    if let Standing::Runs(_) = to.hypervisor.standing(id).await? {
        return Err(Error::conflict(format!("{} runs the instance already.", to.name)));
    }
    to.hypervisor.remove(id, cx.epoch).await?;
    if carry != Carry::Nothing {
        to.disks.remove(id, cx.epoch).await?;
    }
    Ok(())
}

/// What a hypervisor counted, as records keep it. Named field by field, so that a new one is not forgotten here.
fn measured(counts: &Counts) -> Measured {
    let Counts {
        elapsed_ms,
        downtime_ms,
        setup_ms,
        memory,
        disk,
        iterations,
        dirty_rate,
        memory_speed,
        disk_speed,
        throttle,
        postcopy_requests,
    } = *counts;
    let amount = |of: hypervisor::Amount| Amount { total: of.total, processed: of.processed, remaining: of.remaining };
    let (memory, disk) = (amount(memory), amount(disk));
    Measured {
        elapsed_ms,
        downtime_ms,
        setup_ms,
        memory,
        disk,
        iterations,
        dirty_rate,
        memory_speed,
        disk_speed,
        throttle,
        postcopy_requests,
    }
}
