//! Sees to certificates before they end: those of machines that joined, and what this controller's own machine shows others'
//! hypervisors.

use super::follow::Channels;
use super::hypervisor_tls::{self, Reached};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result, with_causes};
use crate::ids::HostId;
use crate::node::authority::Holder;
use crate::node::certificates::{Asker, Authorities, Granted};
use crate::node::papers::{Hello, Renewed};
use crate::node::remote::Channel;
use crate::node::trust::Fingerprint;
use crate::store::nodes::{self, NodeRow};
use crate::store::{Db, Tx};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// Certificates live for years; what somebody took away is back after so long.
const EVERY: Duration = Duration::from_secs(600);
/// Before a host is asked again that was away.
const AGAIN: Duration = Duration::from_secs(5);
/// Hosts whose clocks are further off are told of: certificates and tokens are good by the clock.
const CLOCKS: i64 = 30;

pub struct Renewal {
    pub config: Config,
    pub db: Db,
    pub clock: Clock,
    pub authorities: Arc<Authorities>,
    pub channels: watch::Receiver<Channels>,
    /// Told when a machine is to be reached another way.
    pub changed: Arc<Notify>,
}

impl Renewal {
    /// Looks until `stop` resolves, and whenever machines came or went.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let (mut said, mut off) = (Vec::new(), HashSet::new());
        loop {
            self.channels.mark_unchanged();
            let notes = self.see_to_own();
            if notes != said {
                notes.iter().for_each(|note| tracing::info!("{note}"));
                said = notes;
            }
            let all_answered = tokio::select! {
                all_answered = self.see_to_others(&mut off) => all_answered,
                () = &mut stop => return,
            };
            tokio::select! {
                () = sleep(if all_answered { EVERY } else { AGAIN }) => {}
                Ok(()) = self.channels.changed() => {}
                () = &mut stop => return,
            }
        }
    }

    fn see_to_own(&self) -> Vec<String> {
        let places = hypervisor_tls::places(&self.config);
        if places.is_empty() {
            return Vec::new();
        }
        let host = super::id_of(self.authorities.cloud.cloud(), &super::machine(&self.config));
        let reached = Reached::of(&self.config);
        let seen_to = hypervisor_tls::see_to(&places, &reached, host, &self.authorities, self.clock.now());
        seen_to.unwrap_or_else(|error| vec![format!("this machine gets no certificates: {}", with_causes(&error))])
    }

    /// Did all answer? `off`: hosts whose clocks were found to be, of which nothing is said again.
    async fn see_to_others(&self, off: &mut HashSet<HostId>) -> bool {
        let rows = match self.db.read(nodes::list).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "could not look at hosts' certificates");
                return false;
            }
        };
        let channels = self.channels.borrow().clone();
        let reached = rows.iter().filter_map(|row| Some((row, channels.get(&row.id)?)));
        let asked = reached.map(|(row, channel)| async move { (row, self.see_to(row, channel).await) });
        let mut all_answered = true;
        for (row, seen_to) in futures::future::join_all(asked).await {
            match seen_to {
                Ok(seconds) if seconds.abs() > CLOCKS => {
                    if off.insert(row.id) {
                        tracing::warn!(
                            host = row.name,
                            seconds,
                            "a host's clock is ahead of this controller's, or behind"
                        );
                    }
                }
                Ok(_) => {
                    off.remove(&row.id);
                }
                // That it is away is told elsewhere.
                Err(error) if error.is_transient() => all_answered = false,
                // It is a version older, and asks for nothing.
                Err(Error::NotImplemented(_)) => {}
                Err(error) => {
                    tracing::warn!(
                        host = row.name,
                        error = with_causes(&error),
                        "a host's certificates are not renewed"
                    );
                }
            }
        }
        all_answered
    }

    /// By how many seconds the host's clock is ahead.
    async fn see_to(&self, row: &NodeRow, channel: &Channel) -> Result<i64> {
        let hello = channel.hello().await?;
        let granted = self.granted(row, &hello).await?;
        let own = self.own_of(row, &hello).await?;
        if own.is_some() || !granted.is_empty() {
            channel.renew(&Renewed { own: own.clone(), granted }).await?;
            tracing::info!(host = row.name, "a host has new certificates");
        }
        if let Some(own) = own {
            let fingerprint = hex::decode(&own).map(|der| Fingerprint::of(&der).to_string());
            let fingerprint = fingerprint.map_err(|error| Error::internal("a host's row is damaged", error))?;
            let id = row.id;
            self.db.write(move |tx: &mut Tx| nodes::has_renewed(tx, id, &own, &fingerprint)).await?;
            self.changed.notify_one();
        }
        Ok(hello.now.seconds() - Clock::System.now().seconds())
    }

    /// What the host gets for its hypervisor. That it asks for what it can't have is no reason to let its own certificate end.
    async fn granted(&self, row: &NodeRow, hello: &Hello) -> Result<Vec<Granted>> {
        if hello.wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (id, now) = (row.id, self.clock.now());
        let at = row.address.parse::<SocketAddr>().map(|address| address.ip()).ok();
        let asker = Asker { id, at, others: self.db.read(move |tx| nodes::others(tx, id)).await? };
        let granted = hello.wanted.iter().filter_map(|wanted| {
            let granted = self.authorities.grant(&asker, wanted, now);
            let refused = |error: &Error| tracing::warn!(host = row.name, purpose = ?wanted.purpose, error = with_causes(error), "a host gets no certificate");
            granted.inspect_err(refused).ok()
        });
        Ok(granted.collect())
    }

    /// What the host gets in place of its own certificate, if that is due: written down before it is sent.
    async fn own_of(&self, row: &NodeRow, hello: &Hello) -> Result<Option<String>> {
        let now = self.clock.now();
        if row.renewed.is_some() || !hello.is_due(now) {
            return Ok(row.renewed.clone());
        }
        let key = hex::decode(&hello.public_key).map_err(|_| Error::bad_request("That is no public key"))?;
        let made = hex::encode(self.authorities.cloud.certify(&Holder::host(row.id), &key, now)?);
        let (id, from) = (row.id, row.certificate.clone());
        let own = self.db.write(move |tx: &mut Tx| nodes::renews(tx, id, &from, &made)).await?;
        self.changed.notify_one();
        Ok(own)
    }
}
