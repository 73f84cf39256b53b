//! Keeps the fleet what the rows say: this process's own hosts, and a connection to each machine that joined.
//!
//! Rows are looked at again and again, because another process may take machines in, and `gapura host remove` is one. A
//! machine that is reached as before keeps its connection, and with it what waits for its events; one that joined again shows
//! another certificate and gets a new one. Which version runs there is written down whenever it changes.

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
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// How soon a machine is a host that another process took in.
const EVERY: Duration = Duration::from_secs(5);

/// Connections to machines that joined.
pub type Channels = Arc<HashMap<HostId, Arc<Channel>>>;

struct Known {
    row: NodeRow,
    host: Host,
    channel: Arc<Channel>,
}

impl Known {
    /// What a connection depends on is the same.
    fn is_reached_as(&self, row: &NodeRow) -> bool {
        let said =
            |row: &NodeRow| (row.name.clone(), row.address.clone(), row.certificate.clone(), row.renewed.clone());
        said(&self.row) == said(row)
    }

    /// What its program says of itself now, where that is not what is known of it.
    fn news(&self) -> Option<(String, i64)> {
        let spoken = self.channel.spoken()?;
        let said = (spoken.version.unwrap_or_else(|| self.row.version.clone()), i64::from(spoken.protocol));
        (said != (self.row.version.clone(), self.row.protocol)).then_some(said)
    }
}

pub struct Following {
    db: Db,
    own: Hosts,
    /// By which machines know this controller.
    identity: Identity,
    known: HashMap<HostId, Known>,
    fleet: Fleet,
    channels: watch::Sender<Channels>,
}

impl Following {
    /// Connects what has joined so far.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(db: Db, own: Hosts, identity: Identity) -> Result<Self> {
        let fleet = Fleet::from(own.clone());
        let (known, channels) = (HashMap::new(), watch::Sender::default());
        let mut following = Self { db, own, identity, known, fleet, channels };
        following.look().await?;
        Ok(following)
    }

    pub fn fleet(&self) -> Fleet {
        self.fleet.clone()
    }

    pub fn channels(&self) -> watch::Receiver<Channels> {
        self.channels.subscribe()
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
        self.note_versions().await?;
        let rows = self.db.read(nodes::list).await?;
        let is_as_before = rows.len() == self.known.len()
            && rows.iter().all(|row| self.known.get(&row.id).is_some_and(|known| known.is_reached_as(row)));
        if is_as_before {
            for row in rows {
                if let Some(known) = self.known.get_mut(&row.id) {
                    known.row = row;
                }
            }
            return Ok(());
        }
        let mut before = std::mem::take(&mut self.known);
        for row in rows {
            let known = match before.remove(&row.id) {
                Some(known) if known.is_reached_as(&row) => Known { row, ..known },
                _ => match self.connected(&row) {
                    Ok((host, channel)) => Known { row, host, channel },
                    Err(error) => {
                        tracing::error!(host = row.name, error = with_causes(&error), "a host can't be asked");
                        continue;
                    }
                },
            };
            self.known.insert(known.row.id, known);
        }
        let joined = self.known.values().map(|known| known.host.clone());
        self.fleet.set(Hosts::new(self.own.iter().cloned().chain(joined)));
        let channels = self.known.iter().map(|(id, known)| (*id, known.channel.clone()));
        self.channels.send_replace(Arc::new(channels.collect()));
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

    /// A host may be upgraded at any time, and says so with its next answer.
    async fn note_versions(&self) -> Result<()> {
        let news = self.known.iter().filter_map(|(id, known)| Some((*id, known.news()?)));
        let news: Vec<(HostId, (String, i64))> = news.collect();
        if news.is_empty() {
            return Ok(());
        }
        for (id, (version, protocol)) in &news {
            tracing::info!(host = self.known[id].row.name, version, protocol, "a host's program is another");
        }
        let note = move |tx: &mut Tx| {
            news.iter().try_for_each(|(id, (version, protocol))| nodes::speaks(tx, *id, version, *protocol))
        };
        self.db.write(note).await
    }

    fn connected(&self, row: &NodeRow) -> Result<(Host, Arc<Channel>)> {
        let channel = channel(row, &self.identity)?;
        Ok((super::host(row.id, row.name.clone(), channel.parts()), channel))
    }
}

/// A connection to a machine that joined, by which a controller speaks as itself.
///
/// # Errors
/// `Internal` for a row that is damaged.
pub fn channel(row: &NodeRow, identity: &Identity) -> Result<Arc<Channel>> {
    let damaged = |what: &str| Error::internal("a host's row is damaged", format!("{}: {what}", row.name));
    let address = row.address.parse().map_err(|_| damaged("its address"))?;
    let certificate = Fingerprint::parse(&row.certificate).ok_or_else(|| damaged("its certificate"))?;
    let renewed = row.renewed.as_ref().map(hex::decode).transpose().map_err(|_| damaged("its new certificate"))?;
    let renewed = renewed.map(|certificate| Fingerprint::of(&certificate));
    Channel::open(&Peer { id: row.id, name: row.name.clone(), address, certificate, renewed }, identity)
}
