//! What becomes of a resize or a cold migration whose host is lost, and given up by whoever evacuates the server.
//!
//! ```text
//!  Claim, Stop, Leave, Carry     the server is what it was, nothing stays on the other host, and the evacuation goes on
//!  Start, on the same host       the server has its new flavor, with which the evacuation goes on
//!  Start, on another host        the server has just left the one that is lost: it starts where it is, for good
//! ```
//! The lost host is asked for nothing. The other has a part of the disks, or all of them, which nobody can tell any more.

use super::{EVENT, Step, give_back, holds_only_itself, resized, start};
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::{Error, Result};
use crate::hypervisor::Power;
use crate::ids::{HostId, ServerId};
use crate::store::servers::{self, Change, Server};
use crate::store::{Tx, claims, hosts, server_moves};
use crate::tasks::ending::{Ending, MADE_WAY, now_doing};
use crate::tasks::events::Events;
use crate::tasks::making_way::unless_lost;
use crate::tasks::{Cx, Record, machine, network_wish};

/// What clients see until the evacuation begins, whatever a step that was just being taken has shown them.
const NEXT: Task = Task::Rebuilding;

pub async fn makes_way(cx: &Cx, server: &Server, step: &Step) -> Result<Record> {
    match step {
        Step::Start if resized(server)?.left.is_some() => is_elsewhere(cx, server).await,
        Step::Start => Ok(has_its_flavor(cx, server)),
        _ => is_as_it_was(cx, server, step).await,
    }
}

async fn is_as_it_was(cx: &Cx, server: &Server, step: &Step) -> Result<Record> {
    let (id, host, number) = (server.id, server.host.clone(), server.aside.resized.as_ref().map(|from| from.migration));
    if let Some(number) = number {
        forget_target(cx, server, step, number).await?;
    }
    let (ending, events) = (Ending::of(cx, server, step.event()), Events::of(cx, id));
    let found_place = !matches!(step, Step::Claim { .. });
    Ok(Box::new(move |tx| {
        give_back(tx, id, "error", ending.now)?;
        if let Some(number) = number {
            server_moves::set_reason(tx, number, MADE_WAY)?;
        }
        if !found_place {
            events.end(tx, super::ASKED_EVENT, Some(MADE_WAY))?;
        }
        now_doing(tx, id, NEXT, Change::new(), ending.now)?;
        ending.note(tx, host.as_deref(), Some(MADE_WAY))
    }))
}

/// Nothing of the server stays where it was to go; if that host is lost too, not before it is back.
async fn forget_target(cx: &Cx, server: &Server, step: &Step, number: i64) -> Result<()> {
    let (id, on) = (server.id, machine::on(server)?);
    let target = move |tx: &mut Tx| {
        let Some(name) = server_moves::get(tx, number)?.and_then(|moved| moved.target) else { return Ok(None) };
        Ok(Some(hosts::named(tx, &name)?.id).filter(|to| *to != on))
    };
    let Some(to) = cx.db.read(target).await? else { return Ok(()) };
    // Before disks are carried nothing of it is there.
    let answers = match step {
        Step::Carry { apart, .. } => unless_lost(cx, id, to, clear(cx, id, to, *apart).await).await?,
        _ => false,
    };
    cx.db.write(move |tx| claims::release_from(tx, id, to)).await?;
    if answers {
        for network in machine::networks_of(cx, id).await? {
            network_wish::settle(cx, cx.hosts.get(to)?, network).await?;
        }
    }
    Ok(())
}

async fn clear(cx: &Cx, id: ServerId, to: HostId, apart: Option<bool>) -> Result<()> {
    let to = cx.hosts.get(to)?;
    to.hypervisor.remove(id, cx.epoch).await?;
    match apart {
        Some(true) => to.disks.remove(id, cx.epoch).await,
        // The server's only disks.
        Some(false) => Ok(()),
        None => Err(Error::unavailable("who has the disks of the server", "its host alone can say, and is lost")),
    }
}

/// There is nothing to go back to any more.
fn has_its_flavor(cx: &Cx, server: &Server) -> Record {
    let (id, host, ending) = (server.id, server.host.clone(), Ending::of(cx, server, EVENT));
    Box::new(move |tx| {
        let change = is_for_good(tx, id, &ending)?;
        now_doing(tx, id, NEXT, change, ending.now)?;
        ending.note(tx, host.as_deref(), Some(MADE_WAY))
    })
}

async fn is_elsewhere(cx: &Cx, server: &Server) -> Result<Record> {
    let was_stopped = resized(server)?.was_stopped;
    let (state, power, failure) = match start(cx, server, !was_stopped).await {
        Ok(power) => (if was_stopped { State::Stopped } else { State::Active }, power, None),
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => (State::Error, Power::Unknown, Some(error.to_string())),
    };
    let (id, ending) = (server.id, Ending::of(cx, server, EVENT));
    Ok(Box::new(move |tx| {
        let change = is_for_good(tx, id, &ending)?.state(state).launched_at(ending.now);
        ending.record(tx, change, power, Some(NEXT), failure.as_deref())
    }))
}

/// What the server is now it stays; a host that it left has leftovers of it.
fn is_for_good(tx: &mut Tx, id: ServerId, ending: &Ending) -> Result<Change> {
    let server = servers::get(tx, &Reach::Cloud, id)?;
    let mut aside = server.aside.clone();
    if let Some(from) = aside.resized.take() {
        server_moves::set_status(tx, from.migration, "confirmed", ending.now)?;
        holds_only_itself(tx, &server, ending.now)?;
    }
    Ok(Change::new().aside(&aside))
}
