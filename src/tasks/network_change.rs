//! Tells hosts of a network that changed, or that is no more.
//!
//! ```text
//!   Refresh ─► done      hosts that carry the network carry it as rows say now
//!   Remove  ─► done      no host carries it
//! ```
//! Both ask every host this process can reach, and each order is made from rows or carries the epoch after the network's
//! last, so asking twice is asking once. Boots ensure their networks themselves: a host learns of a network with the first
//! machine that needs it, and this work is only for what changes afterwards.

use super::{Cx, Next, Record, Workflow, network_wish};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::hypervisor::Epoch;
use crate::ids::{NetworkId, TaskId};
use crate::store::Tx;
use crate::store::networks::Network;
use crate::store::tasks::NewTask;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Refresh { network: NetworkId },
    Remove { network: NetworkId, epoch: Epoch },
}

pub struct NetworkChange;

/// Hosts that carry the network shall hear what it is now. Part of the request that changed it.
pub fn tell_hosts(tx: &mut Tx, network: NetworkId, request_id: Option<&str>, now: Timestamp) -> Result<TaskId> {
    let wish = NewTask { subject: &network.to_string(), request_id, now };
    super::insert::<NetworkChange>(tx, &wish, &Step::Refresh { network })
}

/// No host shall carry the network any more. Part of the request that deletes its row.
pub fn remove_from_hosts(tx: &mut Tx, network: &Network, request_id: Option<&str>, now: Timestamp) -> Result<()> {
    let wish = NewTask { subject: &network.id.to_string(), request_id, now };
    let step = Step::Remove { network: network.id, epoch: Epoch(network.epoch + 1) };
    super::insert::<NetworkChange>(tx, &wish, &step).map(drop)
}

#[async_trait]
impl Workflow for NetworkChange {
    type Step = Step;
    const KIND: &'static str = "network_change";
    /// Nothing waits for it and nothing else mends it, so it is tried for long.
    const PATIENCE: u32 = 1000;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        for host in cx.hosts.iter() {
            match step {
                Step::Refresh { network } => {
                    if host.fabric.list().await?.contains(network) {
                        match network_wish::ensure(cx, host, *network).await {
                            // Deleted since; its own task takes it from the hosts.
                            Err(error) if error.is_not_found() => {}
                            outcome => drop(outcome?),
                        }
                    }
                }
                Step::Remove { network, epoch } => host.fabric.remove(*network, *epoch).await?,
            }
        }
        Ok(Next::done())
    }

    /// There is nothing to undo: the rows are what they are, and the next change or boot tells hosts again.
    async fn back_out(&self, _: &Cx, _: &Step, _: &Error) -> Result<Option<Record>> {
        Ok(None)
    }
}
