//! What a step has at hand.

use crate::clock::Clock;
use crate::cloud::placement::Rules;
use crate::disks::Disks;
use crate::error::{Error, Result};
use crate::fabric::Fabric;
use crate::hypervisor::{Epoch, Hypervisor};
use crate::ids::{HostId, TaskId};
use crate::store::Db;
use std::collections::HashMap;
use std::sync::Arc;

/// A host and the three things asked of it.
#[derive(Clone)]
pub struct Host {
    pub id: HostId,
    /// Nova's `host` and `hypervisor_hostname`.
    pub name: String,
    pub hypervisor: Arc<dyn Hypervisor>,
    pub disks: Arc<dyn Disks>,
    pub fabric: Arc<dyn Fabric>,
}

impl Host {
    /// How long it runs and how busy it is, as its own `uptime` words it; `None` where nothing says so.
    ///
    /// # Errors
    /// `Unavailable` while the host is away.
    pub async fn uptime(&self) -> Result<Option<String>> {
        self.hypervisor.uptime().await
    }
}

/// The hosts this process can give orders to.
#[derive(Clone, Default)]
pub struct Hosts(Arc<HashMap<HostId, Host>>);

impl Hosts {
    pub fn new(hosts: impl IntoIterator<Item = Host>) -> Self {
        Self(Arc::new(hosts.into_iter().map(|host| (host.id, host)).collect()))
    }

    /// # Errors
    /// `Unavailable` when this process can't reach such a host.
    pub fn get(&self, id: HostId) -> Result<&Host> {
        self.0.get(&id).ok_or_else(|| Error::unavailable("the host", format!("no host {id} is connected")))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.0.values()
    }
}

/// What a step has at hand: the program's parts, and which task it belongs to.
#[derive(Clone)]
pub struct Cx {
    pub db: Db,
    pub clock: Clock,
    pub hosts: Hosts,
    pub task_id: TaskId,
    /// What the work is about: a server's or a network's id.
    pub subject: String,
    /// Of this claim; goes into every order to a host.
    pub epoch: Epoch,
    /// The request that asked for the work, for logs and instance actions.
    pub request_id: Option<String>,
    /// By what servers get their places.
    pub placement: Arc<Rules>,
}

impl Cx {
    /// Does somebody want the work stopped? Asked between steps by the runner, and within long steps by themselves.
    pub async fn is_cancelled(&self) -> Result<bool> {
        let id = self.task_id;
        self.db.read(move |tx| crate::store::tasks::is_cancelled(tx, id)).await
    }
}
