//! Another host on loopback, for tests that want to know whether something is the same there.

use super::authority::{Authority, Holder, Identity};
use super::papers::{self, Papers};
use super::remote::{Channel, Peer};
use super::trust::{Fingerprint, Shown, of_host};
use super::{Parts, server};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::ids::HostId;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A host that takes calls over TLS, in this process. It ends when it is dropped.
pub struct OtherHost {
    pub authority: Authority,
    /// Who gives it orders.
    pub controller: Identity,
    pub peer: Peer,
    identity: Identity,
    papers: Arc<dyn Papers>,
    stop: watch::Sender<bool>,
}

impl OtherHost {
    /// # Errors
    /// When nothing can listen on loopback.
    pub async fn carrying(parts: Parts) -> Result<Self> {
        Self::keeping(parts, Arc::new(papers::None)).await
    }

    /// One that keeps these of itself.
    ///
    /// # Errors
    /// When nothing can listen on loopback.
    pub async fn keeping(parts: Parts, papers: Arc<dyn Papers>) -> Result<Self> {
        let now = Clock::System.now();
        let authority = Authority::ephemeral("test", now)?;
        let controller = authority.identity(&Holder::controller(), now)?;
        let id = HostId::random();
        let identity = authority.identity(&Holder::host(id), now)?;
        let certificate = Fingerprint::of(&identity.certificate);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let peer = Peer { id, name: "other".to_owned(), address, certificate, renewed: None };
        let mut host = Self { authority, controller, peer, identity, papers, stop: watch::Sender::new(false) };
        host.start(parts).await?;
        Ok(host)
    }

    /// Its program starts (again), at the same address if it had one.
    ///
    /// # Errors
    /// When nothing can listen there.
    pub async fn start(&mut self, parts: Parts) -> Result<()> {
        let listener = TcpListener::bind(self.peer.address).await;
        let listener = listener.map_err(|error| Error::unavailable("the address to listen on", error))?;
        self.peer.address = listener.local_addr().map_err(|error| Error::internal("an address", error))?;
        let (stop, stopped) = watch::channel(false);
        self.stop = stop;
        let tls = of_host(&self.identity.authority, Shown::of(&self.identity)?)?;
        tokio::spawn(server::serve(listener, tls, parts, self.papers.clone(), stopped));
        Ok(())
    }

    /// Its program ends; resolves when it has.
    pub async fn end(&self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }

    /// What is asked of it, as if it were here.
    ///
    /// # Errors
    /// `Internal` when its certificates can't be used.
    pub fn parts(&self) -> Result<Parts> {
        Ok(Channel::open(&self.peer, &self.controller)?.parts())
    }
}
