//! Keeps the fleet what the rows say: this process's own hosts, and a connection to each machine that joined.
//!
//! Rows are looked at again and again, because another process may take machines in, and `gapura host remove` is one. A
//! machine whose row is as before keeps its connection, and with it what waits for its events; one that joined again shows
//! another certificate and gets a new one.

use crate::clock::Clock;
use crate::error::{Error, Result, with_causes};
use crate::ids::HostId;
use crate::node::authority::Identity;
use crate::node::remote::{Channel, Peer};
use crate::node::trust::Fingerprint;
use crate::store::nodes::{self, NodeRow};
use crate::store::{Db, Tx, hosts};
use crate::tasks::{Fleet, Host, Hosts, network_change};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How soon a machine is a host that another process took in.
const EVERY: Duration = Duration::from_secs(5);

pub struct Following {
    db: Db,
    own: Hosts,
    /// By which machines know this controller.
    identity: Identity,
    known: HashMap<HostId, (NodeRow, Host)>,
    fleet: Fleet,
}

impl Following {
    /// Connects what has joined so far.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(db: Db, own: Hosts, identity: Identity) -> Result<Self> {
        let fleet = Fleet::from(own.clone());
        let mut following = Self { db, own, identity, known: HashMap::new(), fleet };
        following.look().await?;
        Ok(following)
    }

    pub fn fleet(&self) -> Fleet {
        self.fleet.clone()
    }

    /// Looks until `stop` resolves, and at once when told that somebody came.
    pub async fn run(mut self, came: Arc<Notify>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = came.notified() => {}
                () = sleep(EVERY) => {}
                () = &mut stop => return,
            }
            if let Err(error) = self.look().await {
                tracing::warn!(error = with_causes(&error), "could not look which machines joined");
            }
        }
    }

    async fn look(&mut self) -> Result<()> {
        let rows = self.db.read(nodes::list).await?;
        let is_as_before = rows.len() == self.known.len()
            && rows.iter().all(|row| self.known.get(&row.id).is_some_and(|(k, _)| k == row));
        if is_as_before {
            return Ok(());
        }
        let mut before = std::mem::take(&mut self.known);
        for row in rows {
            let host = match before.remove(&row.id) {
                Some((known, host)) if known == row => host,
                _ => match self.connected(&row) {
                    Ok(host) => host,
                    Err(error) => {
                        tracing::error!(host = row.name, error = with_causes(&error), "a host can't be asked");
                        continue;
                    }
                },
            };
            self.known.insert(row.id, (row, host));
        }
        let joined = self.known.values().map(|(_, host)| host.clone());
        self.fleet.set(Hosts::new(self.own.iter().cloned().chain(joined)));
        let gone: Vec<HostId> = before.into_keys().filter(|id| !self.known.contains_key(id)).collect();
        self.forget(gone).await
    }

    /// Whoever looked at a machine while it was being removed made its host known again.
    async fn forget(&self, gone: Vec<HostId>) -> Result<()> {
        let now = Clock::System.now();
        let forget = move |tx: &mut Tx| {
            for id in &gone {
                if nodes::machine_of(tx, *id)?.is_none() && !hosts::is_used(tx, *id)? {
                    network_change::host_leaves(tx, *id, now)?;
                    hosts::delete(tx, *id)?;
                }
            }
            Ok(())
        };
        self.db.write(forget).await
    }

    fn connected(&self, row: &NodeRow) -> Result<Host> {
        let damaged = |what: &str| Error::internal("a host's row is damaged", format!("{}: {what}", row.name));
        let address = row.address.parse().map_err(|_| damaged("its address"))?;
        let certificate = Fingerprint::parse(&row.certificate).ok_or_else(|| damaged("its certificate"))?;
        let peer = Peer { id: row.id, name: row.name.clone(), address, certificate };
        Ok(super::host(row.id, row.name.clone(), Channel::open(&peer, &self.identity)?.parts()))
    }
}
