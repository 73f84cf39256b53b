//! What waits for a host that is lost makes way for whoever gives the host up: a deletion, or an evacuation.
//!
//! Tasks of one server run one after another, and what can't be done, or undone, on a host that is away is tried until it is
//! back. Upstream keeps no such line: there an order to a dead host is lost with it, and an operator deletes or evacuates the
//! server without asking what else goes on with it. Here the two call off what is in line before them, so that:
//!
//! 1. What is called off is due at once, also what waited for a retry, or to be backed out: whoever called it off says from
//!    now on what the server is ([`Why::Cancelled`]), so that backing out is a matter of rows, and its action says that it made
//!    way ([`Ending::made_way`](super::ending::Ending::made_way)).
//! 2. Work that came to a host to which the server had not yet gone (a boot, an unshelving, a live move) takes that away
//!    again; of a host that is lost, a deletion does not wait for it ([`unless_deleted`]).
//! 3. Whatever a lost host has of the server is written down in the transaction that gives it up, and goes when the host is
//!    back ([`clear_leftovers`](super::clear_leftovers)). Nothing is forgotten by a crash in between: the claim or the note
//!    is there until then.
//!
//! 4. A move between hosts has two, of which either may have the guest, or the only good disk. That the first is dead is the
//!    operator's word, given with the evacuation: once it is down and silent, the other's word alone decides where the server
//!    is ([`migrate_server`](super::migrate_server)), and without that nobody decides. Where the server has left the host
//!    already, the evacuation finds it elsewhere and does nothing to it.
//!
//! A server that has been resized to another host can go back to the first, whose disks are as they were: giving up the second
//! is not let, as upstream has it.

use super::delete_server::DeleteServer;
use super::evacuate_server::EvacuateServer;
use super::{Cx, Why, Workflow};
use crate::error::{Error, Result};
use crate::ids::{HostId, ServerId};
use crate::store::{hosts, leftovers, tasks};

/// Whether a host did what was asked of it. One that is down and does not answer is not waited for: it is written down that
/// it has something of the server.
pub async fn unless_lost(cx: &Cx, id: ServerId, host: HostId, outcome: Result<()>) -> Result<bool> {
    let Err(error) = outcome else { return Ok(true) };
    let now = cx.clock.now();
    if !error.is_transient() || cx.db.read(move |tx| hosts::get(tx, host)).await?.is_up(now) {
        return Err(error);
    }
    cx.db.write(move |tx| leftovers::note(tx, id, host, now)).await?;
    Ok(false)
}

/// What a host was asked to do for work that is backed out. Where the server is to be deleted, a lost host is not waited for.
pub async fn unless_deleted(cx: &Cx, id: ServerId, host: HostId, why: &Why, outcome: Result<()>) -> Result<()> {
    if outcome.is_err() && is_to_go(cx, id, why).await? {
        return unless_lost(cx, id, host, outcome).await.map(drop);
    }
    outcome
}

/// Is it for a deletion that this was not found out, of hosts one of which is lost?
pub async fn need_not_know(cx: &Cx, id: ServerId, between: [HostId; 2], why: &Why, error: &Error) -> Result<bool> {
    let now = cx.clock.now();
    let lost = move |tx: &mut crate::store::Tx| {
        let health = hosts::health(tx)?;
        Ok(between.iter().any(|host| health.get(host).is_none_or(|health| !health.is_up(now))))
    };
    Ok(error.is_transient() && is_to_go(cx, id, why).await? && cx.db.read(lost).await?)
}

/// Is the server to be evacuated, for which this was called off?
pub async fn is_for_evacuation(cx: &Cx, id: ServerId, why: &Why) -> Result<bool> {
    let evacuation = move |tx: &mut crate::store::Tx| {
        let waits = |tx: &mut _, kind| tasks::has_unclaimed(tx, kind, &id.to_string());
        Ok(waits(tx, EvacuateServer::KIND)? && !waits(tx, DeleteServer::KIND)?)
    };
    Ok(*why == Why::Cancelled && cx.db.read(evacuation).await?)
}

/// Is this a host that an evacuation gives up, and that says nothing, for which this was called off and could not be undone?
pub async fn is_given_up(cx: &Cx, id: ServerId, host: HostId, why: &Why, error: &Error) -> Result<bool> {
    let now = cx.clock.now();
    if !error.is_transient()
        || !is_for_evacuation(cx, id, why).await?
        || cx.db.read(move |tx| hosts::get(tx, host)).await?.is_up(now)
    {
        return Ok(false);
    }
    // The error may be another host's.
    match cx.hosts.get(host) {
        Ok(host) => Ok(host.hypervisor.standing(id).await.is_err_and(|error| error.is_transient())),
        Err(_) => Ok(true),
    }
}

async fn is_to_go(cx: &Cx, id: ServerId, why: &Why) -> Result<bool> {
    let deletion = move |tx: &mut crate::store::Tx| tasks::has_unclaimed(tx, DeleteServer::KIND, &id.to_string());
    Ok(*why == Why::Cancelled && cx.db.read(deletion).await?)
}
