//! A fabric in memory: it remembers what was wished and fails when told to.
//!
//! Tests of tasks ask it what a host would carry; a failure is armed for one call, so that a test can break the step it
//! is about and see the next try succeed.

use super::{Fabric, FabricFacts, NetworkWish, bridge_name};
use crate::error::{Error, Result};
use crate::hypervisor::Epoch;
use crate::ids::NetworkId;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// A call that can be told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Ensure,
    Remove,
    List,
}

#[derive(Debug, Default)]
pub struct SimulatedFabric {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wishes: BTreeMap<NetworkId, NetworkWish>,
    newest: BTreeMap<NetworkId, Epoch>,
    failures: Vec<Call>,
    facts: FabricFacts,
}

impl SimulatedFabric {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next such call answers `Unavailable` and changes nothing. Armed twice, it fails twice.
    pub fn fail_next(&self, call: Call) {
        self.state.lock().failures.push(call);
    }

    /// What the host says of itself from now on.
    pub fn be(&self, facts: FabricFacts) {
        self.state.lock().facts = facts;
    }

    /// What the host carries for a network now.
    pub fn wish(&self, id: NetworkId) -> Option<NetworkWish> {
        self.state.lock().wishes.get(&id).cloned()
    }
}

impl State {
    fn fail_if_armed(&mut self, call: Call) -> Result<()> {
        match self.failures.iter().position(|armed| *armed == call) {
            None => Ok(()),
            Some(place) => {
                self.failures.remove(place);
                Err(Error::unavailable("the network fabric", format!("{call:?} was told to fail")))
            }
        }
    }

    fn accept(&mut self, id: NetworkId, epoch: Epoch) -> Result<()> {
        super::refuse_older(self.newest.get(&id).copied(), id, epoch)?;
        self.newest.insert(id, epoch);
        Ok(())
    }
}

#[async_trait]
impl Fabric for SimulatedFabric {
    async fn ensure(&self, wish: &NetworkWish) -> Result<String> {
        let mut state = self.state.lock();
        state.fail_if_armed(Call::Ensure)?;
        state.accept(wish.id, wish.epoch)?;
        state.wishes.insert(wish.id, wish.clone());
        Ok(bridge_name(wish.id))
    }

    async fn remove(&self, id: NetworkId, epoch: Epoch) -> Result<()> {
        let mut state = self.state.lock();
        state.fail_if_armed(Call::Remove)?;
        state.accept(id, epoch)?;
        state.wishes.remove(&id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<NetworkId>> {
        let mut state = self.state.lock();
        state.fail_if_armed(Call::List)?;
        Ok(state.wishes.keys().copied().collect())
    }

    async fn facts(&self) -> Result<FabricFacts> {
        Ok(self.state.lock().facts.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(id: NetworkId, epoch: u64) -> NetworkWish {
        NetworkWish {
            id,
            epoch: Epoch(epoch),
            mtu: 1500,
            subnets: vec![],
            ports: vec![],
            routed_to_host: false,
            nat: true,
            tunnel: None,
            physical_network: None,
        }
    }

    #[tokio::test]
    async fn a_wish_is_kept_until_it_is_removed() {
        let fabric = SimulatedFabric::new();
        let id = NetworkId::random();
        assert_eq!(fabric.ensure(&wish(id, 1)).await.unwrap(), bridge_name(id));
        assert_eq!(fabric.list().await.unwrap(), [id]);
        fabric.remove(id, Epoch(2)).await.unwrap();
        fabric.remove(id, Epoch(2)).await.unwrap();
        assert_eq!(fabric.wish(id), None);
    }

    #[tokio::test]
    async fn an_armed_failure_strikes_once_and_changes_nothing() {
        let fabric = SimulatedFabric::new();
        let id = NetworkId::random();
        fabric.fail_next(Call::Ensure);
        assert!(fabric.ensure(&wish(id, 1)).await.unwrap_err().is_transient());
        assert_eq!(fabric.wish(id), None);
        fabric.ensure(&wish(id, 1)).await.unwrap();
    }

    #[tokio::test]
    async fn an_order_older_than_the_newest_seen_is_refused() {
        let fabric = SimulatedFabric::new();
        let id = NetworkId::random();
        fabric.remove(id, Epoch(5)).await.unwrap();
        assert!(matches!(fabric.ensure(&wish(id, 4)).await, Err(Error::Conflict(_))));
    }
}
