//! Tells hosts of a network that changed, or that is no more.
//!
//! ```text
//!   Refresh ─► done      hosts that carry the network carry it as rows say now
//!   Remove  ─► done      no host carries it
//! ```
//! A network is also refreshed when it comes to a host or leaves one: those that carry it send one another what is for all.
//!
//! Both ask every host this process can reach, and each order is made from rows or carries the epoch after the network's
//! last, so asking twice is asking once. Boots ensure their networks themselves: a host learns of a network with the first
//! machine that needs it, and this work is only for what changes afterwards.

use super::{Cx, Host, Next, Record, Why, Workflow, network_wish};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::hypervisor::Epoch;
use crate::ids::{HostId, NetworkId, TaskId};
use crate::store::networks::Network;
use crate::store::tasks::{self, NewTask};
use crate::store::{Tx, network_hosts};
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

/// Other hosts carry the network now, or are elsewhere: all that do shall hear of it. In a queue of its own, since a host that is
/// away keeps it waiting, which must keep no other change from those that are there.
pub fn hosts_changed(tx: &mut Tx, network: NetworkId, now: Timestamp) -> Result<()> {
    let subject = format!("{network} hosts");
    // What is yet to begin will tell what rows say then.
    if tasks::has_unclaimed(tx, NetworkChange::KIND, &subject)? {
        return Ok(());
    }
    let wish = NewTask { subject: &subject, request_id: None, now };
    super::insert::<NetworkChange>(tx, &wish, &Step::Refresh { network }).map(drop)
}

/// A host is forgotten: it carries nothing any more, and the others hear of it. Part of the change that forgets it.
pub fn host_leaves(tx: &mut Tx, host: HostId, now: Timestamp) -> Result<()> {
    for network in network_hosts::of_host(tx, host)? {
        network_hosts::leave(tx, network, host)?;
        hosts_changed(tx, network, now)?;
    }
    Ok(())
}

/// No host shall carry the network any more. Part of the request that deletes its row.
pub fn remove_from_hosts(tx: &mut Tx, network: &Network, request_id: Option<&str>, now: Timestamp) -> Result<()> {
    let wish = NewTask { subject: &network.id.to_string(), request_id, now };
    let step = Step::Remove { network: network.id, epoch: Epoch(network.epoch + 1) };
    super::insert::<NetworkChange>(tx, &wish, &step).map(drop)
}

async fn tell(cx: &Cx, host: &Host, step: &Step) -> Result<()> {
    match step {
        Step::Refresh { network } => {
            if !host.fabric.list().await?.contains(network) {
                return Ok(());
            }
            match network_wish::refresh(&cx.db, host, *network, cx.clock.now()).await {
                // Deleted since; its own task takes it from the hosts.
                Err(error) if error.is_not_found() => Ok(()),
                outcome => outcome,
            }
        }
        Step::Remove { network, epoch } => host.fabric.remove(*network, *epoch).await,
    }
}

#[async_trait]
impl Workflow for NetworkChange {
    type Step = Step;
    const KIND: &'static str = "network_change";
    /// Nothing waits for it and nothing else mends it, so it is tried for long.
    const PATIENCE: u32 = 10_000;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        // Whoever is there hears of it though others are away; all are told again until everybody has heard.
        let mut outcome = Ok(());
        for host in cx.hosts.iter() {
            outcome = outcome.and(tell(cx, host, step).await);
        }
        outcome.map(|()| Next::done())
    }

    /// There is nothing to undo: the rows are what they are. A host that refused a change hears of it with the next
    /// change or boot; but nobody will ask again for the removal of what has no row any more, so that goes on here,
    /// where the runner tries until it succeeds.
    async fn back_out(&self, cx: &Cx, step: &Step, _: &Why) -> Result<Option<Record>> {
        let mut outcome = Ok(());
        if let Step::Remove { .. } = step {
            for host in cx.hosts.iter() {
                outcome = outcome.and(tell(cx, host, step).await);
            }
        }
        outcome.map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Twice;
    use super::super::{Hosts, Runner, RunnerSettings, network_wish};
    use super::*;
    use crate::clock::Clock;
    use crate::cloud::segment::Wanted;
    use crate::disks::simulated::SimulatedDisks;
    use crate::fabric::Fabric;
    use crate::fabric::simulated::{Call, SimulatedFabric};
    use crate::hypervisor::simulated::Simulated;
    use crate::ids::HostId;
    use crate::store::networks::{self, NewNetwork};
    use crate::store::{Db, args, hosts};
    use std::sync::Arc;

    const NOW: Timestamp = Timestamp(1_000_000);

    struct Site {
        db: Db,
        fabric: Arc<SimulatedFabric>,
        clock: Clock,
        runner: Runner,
        network: Network,
    }

    /// A host that carries a network.
    async fn site() -> Site {
        let (db, fabric) = (Db::memory().await, Arc::new(SimulatedFabric::new()));
        let host = Host {
            id: HostId::random(),
            name: "one".to_owned(),
            hypervisor: Simulated::new(1, 1024),
            disks: SimulatedDisks::new(),
            fabric: fabric.clone(),
        };
        let new = NewNetwork {
            project_id: "p".into(),
            name: "web".to_owned(),
            description: String::new(),
            shared: false,
            mtu: 1500,
            segment: Wanted::Tunnel,
        };
        let network = db.write(move |tx| networks::insert(tx, &new, NOW)).await.unwrap();
        let (id, on) = (network.id, host.id);
        let carry = move |tx: &mut Tx| {
            hosts::ensure(tx, on, "one", "nova", NOW)?;
            network_hosts::join(tx, id, on)?;
            network_wish::wish(tx, id, on)
        };
        host.fabric.ensure(&db.write(carry).await.unwrap()).await.unwrap();
        let clock = Clock::manual(NOW);
        let workflow = Box::new(Twice::of(NetworkChange));
        let runner =
            Runner::new(db.clone(), clock.clone(), Hosts::new([host]), vec![workflow], RunnerSettings::default());
        Site { db, fabric, clock, runner, network }
    }

    impl Site {
        /// Lets the runner work until nothing is due, through pauses after failures.
        async fn settle(&self) -> Vec<String> {
            for _ in 0..5 {
                self.runner.drain().await.unwrap();
                self.clock.advance_seconds(300);
            }
            let states = |tx: &mut Tx| {
                let rows = tx.query("SELECT state FROM tasks ORDER BY created_at, id", args![])?;
                rows.into_iter().map(|mut row| row.next()).collect::<Result<Vec<String>>>()
            };
            self.db.read(states).await.unwrap()
        }

        async fn change(&self) {
            let network = Network { mtu: 1400, ..self.network.clone() };
            self.db
                .write(move |tx| {
                    networks::update(tx, &network, NOW)?;
                    tell_hosts(tx, network.id, None, NOW)
                })
                .await
                .unwrap();
        }

        async fn delete(&self) {
            let network = self.network.clone();
            self.db
                .write(move |tx| {
                    let network = networks::of_id(tx, network.id)?;
                    networks::delete(tx, network.id)?;
                    remove_from_hosts(tx, &network, None, NOW)
                })
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn hosts_that_carry_a_network_hear_of_its_change() {
        let site = site().await;
        site.fabric.fail_next(Call::Ensure);
        site.change().await;
        assert_eq!(site.settle().await, ["done"]);
        assert_eq!(site.fabric.wish(site.network.id).map(|wish| wish.mtu), Some(1400));
    }

    #[tokio::test]
    async fn a_deleted_network_leaves_every_host_however_often_a_host_is_away() {
        let site = site().await;
        site.fabric.fail_next(Call::Remove);
        site.fabric.fail_next(Call::Remove);
        site.delete().await;
        assert_eq!(site.settle().await, ["done"]);
        assert_eq!(site.fabric.wish(site.network.id), None);
    }

    #[tokio::test]
    async fn a_change_that_comes_to_a_host_after_the_deletion_brings_nothing_back() {
        let site = site().await;
        site.change().await;
        site.delete().await;
        assert_eq!(site.settle().await, ["done", "done"]);
        assert_eq!(site.fabric.wish(site.network.id), None);
    }

    #[tokio::test]
    async fn a_host_that_carries_it_not_is_told_nothing() {
        let site = site().await;
        site.fabric.remove(site.network.id, Epoch(2)).await.unwrap();
        site.change().await;
        assert_eq!(site.settle().await, ["done"]);
        assert_eq!(site.fabric.wish(site.network.id), None);
    }
}
