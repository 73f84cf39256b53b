//! What happens to servers when nobody does anything, after a while that the operator chooses: those deleted softly go for
//! good, those resized are taken for confirmed, those shelved leave their hosts.

use super::delete_server::{DeleteServer, Step};
use super::shelve_server::ShelveServer;
use super::{Runner, resize_server, shelve_server};
use crate::clock::{Clock, Timestamp};
use crate::cloud::server::{State, Task};
use crate::error::Result;
use crate::ids::HostId;
use crate::store::servers::{self, Change, Server};
use crate::store::tasks::NewTask;
use crate::store::{Db, Tx, hosts};

/// After how many seconds what happens by itself; `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// A server that was deleted softly goes for good: upstream's `reclaim_instance_interval`.
    pub reclaim: Option<u32>,
    /// A resize is taken for confirmed: upstream's `resize_confirm_window`.
    pub confirm: Option<u32>,
    /// A shelved server leaves its host: upstream's `shelved_offload_time`. 0: with the request that shelves it.
    pub offload: Option<u32>,
}

impl Default for Waits {
    fn default() -> Self {
        Self { reclaim: None, confirm: None, offload: Some(0) }
    }
}

/// Does all that is due. How much there was.
pub async fn once(db: &Db, clock: &Clock, runner: &Runner, waits: Waits) -> Result<usize> {
    let now = clock.now();
    let mut done = 0;
    if let Some(seconds) = waits.reclaim {
        done += db.write(move |tx| reclaim(tx, seconds, now)).await?;
    }
    if let Some(seconds) = waits.confirm {
        done += db.write(move |tx| confirm(tx, seconds, now)).await?;
    }
    if let Some(seconds @ 1..) = waits.offload {
        done += db.write(move |tx| offload(tx, seconds, now)).await?;
    }
    if done > 0 {
        runner.wake();
    }
    Ok(done)
}

fn is_over(since: Option<Timestamp>, seconds: u32, now: Timestamp) -> bool {
    since.is_some_and(|since| since.plus_seconds(seconds.into()) <= now)
}

fn reclaim(tx: &mut Tx, seconds: u32, now: Timestamp) -> Result<usize> {
    let due = servers::waiting(tx, State::SoftDeleted)?;
    let due: Vec<_> = due.into_iter().filter(|one| is_over(one.aside.soft_deleted_at, seconds, now)).collect();
    for server in &due {
        servers::update(tx, server.id, Change::new().task(Some(Task::Deleting)), now)?;
        let subject = server.id.to_string();
        super::insert::<DeleteServer>(tx, &NewTask { subject: &subject, request_id: None, now }, &Step::Stop)?;
    }
    Ok(due.len())
}

fn offload(tx: &mut Tx, seconds: u32, now: Timestamp) -> Result<usize> {
    let since = |server: &Server| server.aside.shelved.map(|shelved| shelved.since);
    let due = servers::waiting(tx, State::Shelved)?;
    let due: Vec<_> = due.into_iter().filter(|one| is_over(since(one), seconds, now)).collect();
    for server in &due {
        servers::update(tx, server.id, Change::new().task(Some(Task::ShelvingOffloading)), now)?;
        let subject = server.id.to_string();
        let task = NewTask { subject: &subject, request_id: None, now };
        super::insert::<ShelveServer>(tx, &task, &shelve_server::Step::Offload { was_asked_for: false })?;
    }
    Ok(due.len())
}

fn confirm(tx: &mut Tx, seconds: u32, now: Timestamp) -> Result<usize> {
    let since = |server: &Server| server.aside.resized.as_ref().and_then(|from| from.finished_at);
    let due = servers::waiting(tx, State::Resized)?;
    let health = hosts::health(tx)?;
    // As when somebody asks for it: not while the host that it can go back to is down.
    let is_up = |host: &HostId| health.get(host).is_none_or(|health| health.is_up(now));
    let may_confirm = |one: &Server| resize_server::source(one).as_ref().is_none_or(is_up);
    let due: Vec<_> = due.into_iter().filter(|one| is_over(since(one), seconds, now) && may_confirm(one)).collect();
    for server in &due {
        resize_server::confirm(tx, server, now)?;
    }
    Ok(due.len())
}
