//! What is done about a guest that is in two parts, because its hosts lost each other after the switch to post-copy: it is put
//! together again while that can be, and else it is lost.

use super::outcome::{goes_on_as, has_moved, let_go};
use super::{Way, noted};
use crate::cloud::server::State;
use crate::error::{Error, Result};
use crate::hypervisor::{Departure, Power};
use crate::ids::ServerId;
use crate::store::servers::Change;
use crate::store::{Tx, server_moves};
use crate::tasks::ending::Ending;
use crate::tasks::events::Events;
use crate::tasks::making_way::{is_for_evacuation, unless_lost};
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
///
/// Written down before anything is ended: of two hosts one of which has nothing any more, nobody could tell that there were
/// two parts, and whose disk is the newer.
pub async fn is_lost(cx: &Cx, id: ServerId, way: &Way, why: &str, cause: &Why) -> Result<Record> {
    let why = format!("{why} The guest's memory is lost; its disk is as it left it.");
    let (there, reason, now) = (way.clone(), why.clone(), cx.clock.now());
    let decide = move |tx: &mut Tx| {
        has_moved(tx, id, &there, Power::Shutdown, None, now)?;
        server_moves::set_failed(tx, there.number, "error", &reason, now)
    };
    cx.db.write(decide).await?;
    ends(cx, id, way, why, cause).await
}

/// Ends what there is of both parts. For a source that is lost nobody waits: what it has must never go on, and goes when it is
/// back.
pub async fn ends(cx: &Cx, id: ServerId, way: &Way, why: String, cause: &Why) -> Result<Record> {
    cx.hosts.get(way.to)?.hypervisor.remove(id, cx.epoch).await?;
    unless_lost(cx, id, way.from, let_go(cx, id, way).await).await?;
    let server = machine::server(cx).await?;
    let (ending, events) = (Ending::of(cx, &server, noted::MOVE), Events::of(cx, id));
    let was_cancelled = *cause == Why::Cancelled;
    let is_deleted = was_cancelled && !is_for_evacuation(cx, id, cause).await?;
    Ok(Box::new(move |tx| {
        noted::orders_came_too_late(tx, id, ending.now)?;
        if is_deleted {
            // Whoever deletes the server says what it is.
            return events.end(tx, noted::MOVE, Some(&why));
        }
        let next = goes_on_as(tx, id, was_cancelled)?;
        ending.record(tx, Change::new().state(State::Error), Power::Shutdown, next, Some(&why))
    }))
}
