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

#[cfg(test)]
mod tests {
    use super::super::admission::authority_folder;
    use super::*;
    use crate::clock::Timestamp;
    use crate::disks::simulated::SimulatedDisks;
    use crate::fabric::simulated::SimulatedFabric;
    use crate::hypervisor::simulated::Simulated;
    use crate::node::authority::OwnKey;
    use crate::node::certificates::{Purpose, Wanted};
    use crate::node::papers::Papers;
    use crate::node::testing::OtherHost;
    use crate::node::{PROTOCOL, Parts, VERSION};
    use parking_lot::Mutex;

    /// Its own certificate is about to end, and of two others one is to be in another host's name.
    #[derive(Default)]
    struct Greedy(Mutex<Vec<Renewed>>);

    fn key() -> String {
        hex::encode(OwnKey::generate().unwrap().public())
    }

    impl Papers for Greedy {
        fn hello(&self) -> Result<Hello> {
            let now = Clock::System.now();
            let wanted = |purpose, name: &str| {
                let (public_key, names, addresses) = (key(), vec![name.to_owned()], Vec::new());
                Wanted { purpose, public_key, names, addresses }
            };
            Ok(Hello {
                version: VERSION.to_owned(),
                now,
                public_key: key(),
                begins: now.plus_seconds(-1_000_000),
                ends: now.plus_seconds(1),
                wanted: vec![wanted(Purpose::Libvirtd, "RACK-1"), wanted(Purpose::Migration, "other")],
            })
        }

        fn take(&self, renewed: &Renewed) -> Result<()> {
            self.0.lock().push(renewed.clone());
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_host_that_asks_for_another_s_name_gets_all_but_that() {
        let (hypervisor, papers) = (Simulated::new(4, 4096), Arc::new(Greedy::default()));
        let parts = Parts { hypervisor, disks: SimulatedDisks::new(), fabric: Arc::new(SimulatedFabric::new()) };
        let host = OtherHost::keeping(parts, papers.clone()).await.unwrap();
        let row = |id, name: &str, address: SocketAddr, certificate: Fingerprint| NodeRow {
            id,
            name: name.to_owned(),
            machine: uuid::Uuid::new_v4().to_string(),
            address: address.to_string(),
            certificate: certificate.to_string(),
            version: VERSION.to_owned(),
            protocol: PROTOCOL.into(),
            joined_at: Timestamp(1),
            renewed: None,
        };
        let own = row(host.peer.id, "other", host.peer.address, host.peer.certificate);
        let there = row(HostId::random(), "rack-1", "192.0.2.7:5010".parse().unwrap(), Fingerprint([7; 32]));
        let db = Db::memory().await;
        for (token, row) in [("a", own.clone()), ("b", there)] {
            let join = move |tx: &mut Tx| {
                nodes::make_token(tx, token, Timestamp(i64::MAX), Timestamp(1))?;
                nodes::admit(tx, token, &row)
            };
            db.write(join).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let config = Config { state_dir: folder.path().to_owned(), ..Config::default() };
        let clock = Clock::System;
        let authorities = Authorities::load_or_create(&authority_folder(&config), "c1", clock.now()).unwrap();
        let renewal = Renewal {
            config,
            db: db.clone(),
            clock,
            authorities: Arc::new(authorities),
            channels: watch::channel(Channels::default()).1,
            changed: Arc::default(),
        };
        let channel = Channel::open(&host.peer, &host.controller).unwrap();
        renewal.see_to(&own, &channel).await.unwrap();
        let taken = papers.0.lock().clone();
        let [Renewed { own: Some(_), granted }] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!(granted.iter().map(|granted| granted.purpose).collect::<Vec<_>>(), [Purpose::Migration]);
        let rows = db.read(nodes::list).await.unwrap();
        let after = rows.iter().find(|row| row.id == own.id).unwrap();
        assert!(after.certificate != own.certificate && after.renewed.is_none(), "its own is renewed");
    }
}
