//! What becomes of a server, and of its two hosts, once it is known where its guest is.

use super::{Order, Way, noted};
use crate::clock::Timestamp;
use crate::cloud::moving::Measured;
use crate::cloud::policy::Reach;
use crate::cloud::server::{State, Task};
use crate::error::Result;
use crate::hypervisor::{Carry, Power, Standing};
use crate::ids::ServerId;
use crate::store::servers::{self, Change, Server};
use crate::store::{Tx, claims, hosts, leftovers, server_moves, server_ports};
use crate::tasks::ending::{Ending, MADE_WAY};
use crate::tasks::events::Events;
use crate::tasks::making_way::unless_lost;
use crate::tasks::power_server::{state_after, word};
use crate::tasks::{Cx, Host, Record, Why, machine, network_wish, placing};

/// The claim on the target goes, if there is one.
pub async fn give_up_claim(cx: &Cx, id: ServerId, order: &Order) -> Result<()> {
    let (number, from, now) = (order.number, order.from, cx.clock.now());
    let release = move |tx: &mut Tx| {
        let Some(name) = server_moves::get(tx, number)?.and_then(|moved| moved.target) else { return Ok(()) };
        let to = hosts::named(tx, &name)?.id;
        if to != from {
            claims::release_from(tx, id, to)?;
        }
        server_moves::set_status(tx, number, "error", now)
    };
    cx.db.write(release).await
}

/// The guest runs at the source: nothing of it stays at the target.
pub async fn forget_target(cx: &Cx, id: ServerId, way: &Way) -> Result<()> {
    clear_target(cx, id, way).await?;
    release_target(cx, id, way).await?;
    settle_networks(cx, cx.hosts.get(way.to)?, id).await
}

/// The same where nothing of the guest is left: the target is not waited for if it is lost meanwhile.
pub async fn give_up_target(cx: &Cx, id: ServerId, way: &Way) -> Result<()> {
    let answers = unless_lost(cx, id, way.to, clear_target(cx, id, way).await).await?;
    release_target(cx, id, way).await?;
    if answers { settle_networks(cx, cx.hosts.get(way.to)?, id).await } else { Ok(()) }
}

async fn clear_target(cx: &Cx, id: ServerId, way: &Way) -> Result<()> {
    let to = cx.hosts.get(way.to)?;
    to.hypervisor.remove(id, cx.epoch).await?;
    if way.carry != Carry::Nothing {
        to.disks.remove(id, cx.epoch).await?;
    }
    Ok(())
}

async fn release_target(cx: &Cx, id: ServerId, way: &Way) -> Result<()> {
    let (number, target, now) = (way.number, way.to, cx.clock.now());
    let release = move |tx: &mut Tx| {
        claims::release_from(tx, id, target)?;
        server_moves::set_status(tx, number, "error", now)
    };
    cx.db.write(release).await
}

/// A guest that stood still so that its move would end, or for the switch, is not left so when the move failed.
pub async fn goes_on(cx: &Cx, id: ServerId, way: &Way) -> Result<()> {
    let (server, from) = (machine::server(cx).await?, cx.hosts.get(way.from)?);
    let standing = from.hypervisor.standing(id).await?;
    if server.state == State::Active && matches!(standing, Standing::Runs(Power::Paused) | Standing::Held) {
        from.hypervisor.resume(id, cx.epoch).await?;
    }
    Ok(())
}

/// The guest runs at the target: nothing of it stays at the source.
pub async fn let_go(cx: &Cx, id: ServerId, way: &Way) -> Result<()> {
    let from = cx.hosts.get(way.from)?;
    from.hypervisor.remove(id, cx.epoch).await?;
    if way.carry != Carry::Nothing {
        from.disks.remove(id, cx.epoch).await?;
    }
    settle_networks(cx, from, id).await?;
    let from = way.from;
    cx.db.write(move |tx| leftovers::forget(tx, id, from)).await
}

/// The server is at the target for good, whether or not the source can let go of it now; `leftovers` remembers that it didn't.
pub async fn ends_there(cx: &Cx, id: ServerId, way: &Way, why: &Why) -> Result<Record> {
    if let Err(error) = let_go(cx, id, way).await {
        tracing::warn!(server = %id, %error, "a host keeps something of a server that has left it");
    }
    let server = machine::server(cx).await?;
    Ok(Box::new(completed(cx, &server, way, *why == Why::Cancelled)))
}

async fn settle_networks(cx: &Cx, host: &Host, id: ServerId) -> Result<()> {
    for network in machine::networks_of(cx, id).await? {
        network_wish::settle(cx, host, network).await?;
    }
    Ok(())
}

/// From now on the server is on the other host, and holds nothing of the first.
pub fn has_moved(
    tx: &mut Tx,
    id: ServerId,
    way: &Way,
    power: Power,
    counts: Option<&Measured>,
    now: Timestamp,
) -> Result<()> {
    let server = servers::get(tx, &Reach::Cloud, id)?;
    claims::claim(tx, id, way.to, placing::demand(&server), now)?;
    claims::release_from(tx, id, way.from)?;
    leftovers::note(tx, id, way.from, now)?;
    servers::update(tx, id, Change::new().host(Some(way.to)).power(word(power)), now)?;
    match power {
        Power::Running | Power::Paused => server_ports::set_active(tx, id, way.to, now)?,
        _ => server_ports::set_down(tx, id, Some(way.to), now)?,
    }
    let seen = server_moves::get(tx, way.number)?.and_then(|moved| moved.counts);
    server_moves::note(tx, way.number, &Measured::at_the_end(counts.copied(), seen), None, now)?;
    server_moves::set_status(tx, way.number, "post-migrating", now)
}

/// It is done, and clients see the server as it is there.
pub fn completed(
    cx: &Cx,
    server: &Server,
    way: &Way,
    was_cancelled: bool,
) -> impl Fn(&mut Tx) -> Result<()> + Send + Sync + use<> {
    let (ending, number, id) = (Ending::of(cx, server, noted::ARRIVE), way.number, server.id);
    move |tx| {
        server_moves::complete(tx, number, ending.now)?;
        noted::orders_came_too_late(tx, id, ending.now)?;
        let server = servers::get(tx, &Reach::Cloud, id)?;
        let power = observed(&server.power);
        let next = goes_on_as(tx, id, was_cancelled)?;
        ending.record(tx, Change::new().state(state_after(server.state, power)), power, next, None)
    }
}

/// The task that clients see when the move is over. Whoever called it off has set one, and does that next.
pub fn goes_on_as(tx: &mut Tx, id: ServerId, was_cancelled: bool) -> Result<Option<Task>> {
    if was_cancelled { Ok(servers::get(tx, &Reach::Cloud, id)?.task) } else { Ok(None) }
}

fn observed(stored: &str) -> Power {
    const ALL: [Power; 6] =
        [Power::Running, Power::Paused, Power::Shutdown, Power::Crashed, Power::Suspended, Power::Saved];
    ALL.into_iter().find(|power| word(*power) == stored).unwrap_or(Power::Unknown)
}

/// The server stays where it is, as its host says; the record says why.
pub async fn stays(cx: &Cx, number: i64, why: &Why, failed: noted::Failed) -> Result<Record> {
    let server = machine::server(cx).await?;
    let power = machine::power(cx, &server).await;
    let (ending, events, id) = (Ending::of(cx, &server, failed.last()), Events::of(cx, server.id), server.id);
    let was_cancelled = *why == Why::Cancelled;
    let why = if was_cancelled { MADE_WAY.to_owned() } else { why.to_string() };
    Ok(Box::new(move |tx| {
        let was_called_off = server_moves::get(tx, number)?.and_then(|moved| moved.asked).as_deref() == Some("abort");
        let status = if was_cancelled || was_called_off { "cancelled" } else { "error" };
        server_moves::set_failed(tx, number, status, &why, ending.now)?;
        let failure = (!was_called_off).then_some(why.as_str());
        failed.note(tx, &events, failure)?;
        if was_called_off {
            noted::was_called_off(tx, id, ending.now)?;
        }
        noted::orders_came_too_late(tx, id, ending.now)?;
        if was_cancelled {
            // Whoever called it off says what the server is.
            return Ok(());
        }
        let server = servers::get(tx, &Reach::Cloud, id)?;
        let change = Change::new().state(state_after(server.state, power));
        ending.record(tx, change, power, None, failure)
    }))
}
