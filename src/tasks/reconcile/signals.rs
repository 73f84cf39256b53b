//! Which hosts have signalled a change since they were last looked at.

use super::super::{Host, Hosts};
use crate::ids::HostId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::watch;

struct Heard {
    host: Host,
    /// `None` where the host never signals.
    signal: Option<watch::Receiver<u64>>,
}

#[derive(Default)]
pub struct Signals(Vec<Heard>);

impl Signals {
    /// Listens to these hosts and no others. Answers those that were not listened to before; who stayed loses no signal.
    pub fn follow(&mut self, hosts: &Hosts) -> HashSet<HostId> {
        let is_same = |one: &Host, other: &Host| Arc::ptr_eq(&one.hypervisor, &other.hypervisor);
        self.0.retain(|heard| hosts.get(heard.host.id).is_ok_and(|now| is_same(now, &heard.host)));
        let known: HashSet<HostId> = self.0.iter().map(|heard| heard.host.id).collect();
        let new = hosts.iter().filter(|host| !known.contains(&host.id));
        self.0.extend(new.map(|host| Heard { host: host.clone(), signal: host.hypervisor.events() }));
        hosts.iter().map(|host| host.id).filter(|id| !known.contains(id)).collect()
    }

    pub fn hears(&self, id: HostId) -> bool {
        self.0.iter().any(|heard| heard.host.id == id)
    }

    /// The next host that signals; never, where none can.
    pub async fn next(&mut self) -> HostId {
        let changes = self.0.iter_mut().filter_map(|Heard { host, signal }| {
            let signal = signal.as_mut()?;
            Some(async { signal.changed().await.map(|()| host.id) })
        });
        let mut changes: FuturesUnordered<_> = changes.collect();
        while let Some(change) = changes.next().await {
            // An error means that its host is gone from this process.
            if let Ok(host) = change {
                return host;
            }
        }
        std::future::pending().await
    }

    /// The hosts that have signalled since they were last asked.
    pub fn seen(&mut self) -> HashSet<HostId> {
        let changed = self.0.iter_mut().filter_map(|Heard { host, signal }| {
            let signal = signal.as_mut().filter(|signal| signal.has_changed().unwrap_or(false))?;
            signal.mark_unchanged();
            Some(host.id)
        });
        changed.collect()
    }
}
