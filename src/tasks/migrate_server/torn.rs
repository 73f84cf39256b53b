//! What is done about a guest that is in two parts, because its hosts lost each other after the switch to post-copy: it is put
//! together again while that can be, and else it is lost.

use super::{Way, has_moved, noted, settle_networks};
use crate::cloud::server::State;
use crate::error::{Error, Result};
use crate::hypervisor::{Carry, Departure, Power};
use crate::ids::ServerId;
use crate::store::servers::Change;
use crate::store::{Tx, leftovers, server_moves};
use crate::tasks::ending::Ending;
use crate::tasks::events::Events;
use crate::tasks::{Cx, Record, Why, machine};

/// Takes the move up again as it was begun.
///
/// # Errors
/// `NotImplemented` where the hosts can't, or nobody knows any more how it was begun.
pub async fn mend(cx: &Cx, way: &Way, sent: Option<&Departure>) -> Result<()> {
    let sent = sent.ok_or_else(|| Error::NotImplemented("nobody knows how the move was begun".to_owned()))?;
    let again = Departure { epoch: cx.epoch, ..sent.clone() };
    cx.hosts.get(way.from)?.hypervisor.migrate(&again).await
}

/// Neither part can go on: both are ended, and the server is off at the target, whose disk its guest wrote on last. A hard
/// reboot starts it there.
pub async fn is_lost(cx: &Cx, id: ServerId, way: &Way, why: &str, cause: &Why) -> Result<Record> {
    let (from, to) = (cx.hosts.get(way.from)?, cx.hosts.get(way.to)?);
    to.hypervisor.remove(id, cx.epoch).await?;
    from.hypervisor.remove(id, cx.epoch).await?;
    if way.carry != Carry::Nothing {
        from.disks.remove(id, cx.epoch).await?;
    }
    let (there, now) = (way.clone(), cx.clock.now());
    let leave = move |tx: &mut Tx| {
        has_moved(tx, id, &there, Power::Shutdown, None, now)?;
        leftovers::forget(tx, id, there.from)
    };
    cx.db.write(leave).await?;
    settle_networks(cx, from, id).await?;
    let server = machine::server(cx).await?;
    let (ending, events, number) = (Ending::of(cx, &server, noted::MOVE), Events::of(cx, id), way.number);
    let why = format!("{why} The guest's memory is lost; its disk is as it left it.");
    let is_deleted = *cause == Why::Cancelled;
    Ok(Box::new(move |tx| {
        server_moves::set_failed(tx, number, "error", &why, now)?;
        noted::orders_came_too_late(tx, id, now)?;
        if is_deleted {
            // Whoever deletes the server says what it is.
            return events.end(tx, noted::MOVE, Some(&why));
        }
        ending.record(tx, Change::new().state(State::Error), Power::Shutdown, None, Some(&why))
    }))
}
