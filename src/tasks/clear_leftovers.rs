//! Takes away what servers left on a host that was away when they moved on.
//!
//! A move ends where the guest is, whether or not its source can let go of it, and a server is deleted though its host is lost;
//! what such a host keeps is in `leftovers`. Whoever looks at hosts finds it there when the host answers again, and asks for
//! this ([`begin`]). So a machine that was built anew elsewhere runs on its old host no longer than until that is looked at.

use super::{Cx, Next, Record, Why, Workflow, insert, machine, machine_disks, network_wish};
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::hypervisor::Standing;
use crate::ids::{HostId, ServerId};
use crate::store::servers;
use crate::store::tasks::NewTask;
use crate::store::{Tx, claims, leftovers, server_moves};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub struct ClearLeftovers;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Clear(HostId),
}

#[async_trait]
impl Workflow for ClearLeftovers {
    type Step = Step;
    const KIND: &'static str = "clear_leftovers";

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let (id, &Step::Clear(host), now) = (machine::server_id(cx)?, step, cx.clock.now());
        clear(cx, id, host).await?;
        Ok(Next::done().recording(move |tx| {
            server_moves::end_evacuations(tx, id, host, now)?;
            leftovers::forget(tx, id, host)
        }))
    }

    /// What is left is still written down: the next look at the host asks again.
    async fn back_out(&self, _: &Cx, _: &Step, _: &Why) -> Result<Option<Record>> {
        Ok(None)
    }
}

/// Asks for it where something was left on this host, behind whatever goes on with the server. How often.
pub fn begin(tx: &mut Tx, host: HostId, now: Timestamp) -> Result<usize> {
    let left = leftovers::to_clear(tx, host)?;
    for id in &left {
        of_server(tx, *id, host, now)?;
    }
    Ok(left.len())
}

/// Asks for it for one server.
pub fn of_server(tx: &mut Tx, id: ServerId, host: HostId, now: Timestamp) -> Result<()> {
    let subject = id.to_string();
    let task = NewTask { subject: &subject, request_id: None, now };
    insert::<ClearLeftovers>(tx, &task, &Step::Clear(host)).map(drop)
}

async fn clear(cx: &Cx, id: ServerId, host: HostId) -> Result<()> {
    let place = cx.db.read(move |tx| match servers::get(tx, &Reach::Cloud, id) {
        Ok(server) => Ok((server.host_id, claims::has(tx, id, host)?)),
        Err(error) if error.is_not_found() => Ok((None, false)),
        Err(error) => Err(error),
    });
    let ((at, holds), left) = (place.await?, cx.hosts.get(host)?);
    if at == Some(host) || holds {
        // It is back, or may come back, and what is there is its own.
        return Ok(());
    }
    let mut sees_same_files = false;
    if let Some(at) = at {
        let at = cx.hosts.get(at)?;
        let runs_only_here = matches!(left.hypervisor.standing(id).await?, Standing::Runs(_))
            && at.hypervisor.standing(id).await? == Standing::Absent;
        if runs_only_here {
            return Err(Error::conflict(format!("{} runs a server that is said to be on {}", left.name, at.name)));
        }
        sees_same_files = machine_disks::see_same_files(cx, at, left, id).await?;
    }
    left.hypervisor.remove(id, cx.epoch).await?;
    if !sees_same_files {
        left.disks.remove(id, cx.epoch).await?;
    }
    // The interfaces of what is deleted are gone: any network of the host may have been there for them alone.
    let networks = if at.is_some() { machine::networks_of(cx, id).await? } else { left.fabric.list().await? };
    for network in networks {
        network_wish::settle(cx, left, network).await?;
    }
    tracing::info!(server = %id, host = left.name, "what a server left on a host is cleared away");
    Ok(())
}
