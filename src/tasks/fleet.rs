//! The hosts of this process, as they come and go.
//!
//! Whoever works with hosts takes those of one moment ([`Fleet::now`]) and keeps them for as long as that piece of work
//! goes on: nothing changes under a step's feet. What is not there yet is `Unavailable`, for which work waits.

use super::Hosts;
use std::sync::Arc;
use tokio::sync::watch;

/// Clones share it.
#[derive(Clone)]
pub struct Fleet(Arc<watch::Sender<Hosts>>);

impl From<Hosts> for Fleet {
    fn from(hosts: Hosts) -> Self {
        Self(Arc::new(watch::Sender::new(hosts)))
    }
}

impl Fleet {
    /// The hosts there are at this moment.
    pub fn now(&self) -> Hosts {
        self.0.borrow().clone()
    }

    /// From now on it is these.
    pub fn set(&self, hosts: Hosts) {
        self.0.send_replace(hosts);
    }

    /// Signals whenever hosts came or went.
    pub fn changes(&self) -> watch::Receiver<Hosts> {
        self.0.subscribe()
    }
}
