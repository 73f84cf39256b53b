//! The controller's end: a connection to one host, and what goes over it.
//!
//! A host that can't be reached, falls silent or answers too late is *away*: `Unavailable`, so that tasks wait for it. It
//! gives a sign of life while it works on a call, which tells work that takes long from a host that is gone. What was asked
//! goes on there though nobody waits: asking twice is asking once.

use super::authority::{Identity, host_role};
use super::calls::{Calls, RemoteDisks, RemoteFabric, RemoteHypervisor};
use super::papers::{Hello, Renewed};
use super::server::UNKNOWN;
use super::trust::{Fingerprint, of_controller};
use super::wire::{Answer, Fault};
use super::{
    BASE_HEADER, PART_HEADER, PROTOCOL, PROTOCOL_HEADER, Parts, SIGN_OF_LIFE, SILENCE, SIZE_HEADER, VERSION_HEADER,
};
use crate::disks::{BaseImage, Copied, Incoming, Part};
use crate::error::{Error, Result, with_causes};
use crate::ids::{HostId, ServerId};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// What is answered from what a host keeps of itself.
const HELLO: Duration = Duration::from_secs(30);
/// An answer that is larger is not believed.
const LONGEST_ANSWER: usize = 64 << 20;
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// An image's bytes stand still for at most so long; after the last one a host writes them to its disk.
const STANDSTILL: Duration = Duration::from_secs(300);
/// How long a host waits before it says that nothing has changed.
pub(super) const LONG_POLL: Duration = Duration::from_secs(25);
/// Between questions to a host that is away.
const WHILE_AWAY: Duration = Duration::from_secs(1);

/// Another host, and how it is known again.
#[derive(Debug, Clone)]
pub struct Peer {
    pub id: HostId,
    pub name: String,
    pub address: SocketAddr,
    pub certificate: Fingerprint,
    /// The one that it gets in its place, if it does.
    pub renewed: Option<Fingerprint>,
}

/// What a host says of itself with every answer. One of protocol 1 doesn't say its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    pub version: Option<String>,
    pub protocol: u32,
}

/// What changed on a host, as far as its controller has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Another one after each start of the host's program.
    pub run: u64,
    pub changes: u64,
}

/// The question about changes: has anything happened since?
#[derive(Debug, Serialize, Deserialize)]
pub struct Since {
    pub seen: Option<Seen>,
}

/// The question for the copy of a machine's disk.
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenCopy {
    pub server: ServerId,
}

/// The question for a machine's disk as it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenPart {
    pub server: ServerId,
    pub part: Part,
}

/// A connection to one host, made when it is first needed and again whenever it is lost.
pub struct Channel {
    name: String,
    base: String,
    client: reqwest::Client,
    /// For bytes on their way to the host, which gives no sign of life before it has them.
    sender: reqwest::Client,
    changes: watch::Sender<u64>,
    follows: AtomicBool,
    spoken: Mutex<Option<Spoken>>,
}

impl Channel {
    /// # Errors
    /// `Internal` for certificates that can't be used. A host that is away is no error.
    pub fn open(peer: &Peer, own: &Identity) -> Result<Arc<Self>> {
        let role = host_role(peer.id);
        let client = || -> Result<reqwest::ClientBuilder> {
            Ok(reqwest::Client::builder()
                .tls_backend_preconfigured(of_controller(own, [peer.certificate].into_iter().chain(peer.renewed))?)
                // The name stands for the host, whatever its address is called.
                .resolve(&role, peer.address)
                .no_proxy()
                .https_only(true)
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .tcp_keepalive(SIGN_OF_LIFE)
                .tcp_user_timeout(SILENCE))
        };
        let unusable = |error| Error::internal("a connection to a host could not be prepared", error);
        Ok(Arc::new(Self {
            name: peer.name.clone(),
            base: format!("https://{role}:{}/v1", peer.address.port()),
            client: client()?.read_timeout(SILENCE).build().map_err(unusable)?,
            sender: client()?.build().map_err(unusable)?,
            changes: watch::Sender::new(0),
            follows: AtomicBool::new(false),
            spoken: Mutex::new(None),
        }))
    }

    /// What is asked of this host, for whoever asks any host.
    pub fn parts(self: &Arc<Self>) -> Parts {
        Parts {
            hypervisor: Arc::new(RemoteHypervisor { channel: self.clone() }),
            disks: Arc::new(RemoteDisks { channel: self.clone() }),
            fabric: Arc::new(RemoteFabric { channel: self.clone() }),
        }
    }

    fn away(&self, why: impl std::fmt::Display) -> Error {
        Error::unavailable("the host", format!("{}: {why}", self.name))
    }

    fn post(&self, client: &reqwest::Client, path: &str) -> reqwest::RequestBuilder {
        client.post(format!("{}/{path}", self.base)).header(PROTOCOL_HEADER, PROTOCOL)
    }

    /// Sends a call and waits for its answer, for so long.
    ///
    /// # Errors
    /// The host's own, or `Unavailable` when it is away.
    pub async fn ask<C: Calls, A: DeserializeOwned>(&self, call: &C, within: Duration) -> Result<A> {
        self.exchange(C::PATH, call, within).await
    }

    pub(super) async fn exchange<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
        within: Duration,
    ) -> Result<A> {
        let body =
            serde_json::to_vec(question).map_err(|error| Error::internal("a call could not be written", error))?;
        let exchange = async {
            let sent = self.post(&self.client, path).body(body).send().await;
            self.answer(sent.map_err(|error| self.away(with_causes(&error)))?).await
        };
        let answer = timeout(within, exchange).await.map_err(|_| self.away("it did not answer in time"))?;
        answer.map_err(|error| self.explained(path, error))
    }

    /// What the host said of itself when it last answered; `None`: it has not yet.
    pub fn spoken(&self) -> Option<Spoken> {
        self.spoken.lock().clone()
    }

    fn hear(&self, reply: &reqwest::Response) {
        let header = |name: &str| reply.headers().get(name).and_then(|value| value.to_str().ok());
        let is_version = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
        let version = header(VERSION_HEADER).filter(|text| text.len() <= 100 && text.chars().all(is_version));
        if let Some(protocol) = header(PROTOCOL_HEADER).and_then(|number| number.parse().ok()) {
            *self.spoken.lock() = Some(Spoken { version: version.map(str::to_owned), protocol });
        }
    }

    /// A call that the host doesn't know is one that came after it.
    fn explained(&self, what: &str, error: Error) -> Error {
        match error {
            Error::NotImplemented(text) if text.starts_with(UNKNOWN) => {
                let version = self.spoken().and_then(|spoken| spoken.version).unwrap_or_else(|| "older".to_owned());
                let name = &self.name;
                Error::NotImplemented(format!(
                    "The gapura node on {name} ({version}) is too old for {what}: upgrade it"
                ))
            }
            error => error,
        }
    }

    /// What the host says of itself.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); `NotImplemented` by a host that is a version older.
    pub async fn hello(&self) -> Result<Hello> {
        self.exchange("hello", &(), HELLO).await
    }

    /// Gives the host certificates.
    ///
    /// # Errors
    /// As [`hello`](Self::hello).
    pub async fn renew(&self, renewed: &Renewed) -> Result<()> {
        self.exchange("certificates", renewed, HELLO).await
    }

    async fn answer<A: DeserializeOwned>(&self, mut reply: reqwest::Response) -> Result<A> {
        self.hear(&reply);
        let mut bytes = Vec::new();
        while let Some(piece) = reply.chunk().await.map_err(|error| self.away(with_causes(&error)))? {
            if bytes.len() + piece.len() > LONGEST_ANSWER {
                return Err(Error::internal("a host answers without end", self.name.clone()));
            }
            bytes.extend_from_slice(&piece);
        }
        let answer: Answer<A> = serde_json::from_slice(&bytes).map_err(|error| {
            Error::internal("a host answers what nobody understands", format!("{}: {error}", self.name))
        })?;
        answer.map_err(Fault::arrived)
    }

    /// Brings an image's bytes to the host as they come: neither end keeps more than a few pieces.
    ///
    /// # Errors
    /// As [`ask`](Self::ask), and the stream's.
    pub async fn send_base(&self, base: &BaseImage, bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
        self.send("disks/base", BASE_HEADER, base, bytes).await
    }

    /// Brings a machine's disk to the host in the same way.
    ///
    /// # Errors
    /// As [`send_base`](Self::send_base).
    pub async fn send_part(&self, wish: &Incoming, bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
        self.send("disks/incoming", PART_HEADER, wish, bytes).await
    }

    /// Sends bytes, and what they are in a header.
    async fn send<W: Serialize>(
        &self,
        path: &str,
        header: &'static str,
        what: &W,
        bytes: BoxStream<'static, Result<Bytes>>,
    ) -> Result<()> {
        let what =
            serde_json::to_string(what).map_err(|error| Error::internal("a call could not be written", error))?;
        let pieces = Arc::new(AtomicU64::new(0));
        let counted = pieces.clone();
        let broken = Arc::new(Mutex::new(None));
        let noted = broken.clone();
        let bytes = bytes.inspect_ok(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let bytes = bytes.map_err(move |error| {
            let text = with_causes(&error);
            *noted.lock() = Some(error);
            text
        });
        let request = self.post(&self.sender, path).header(header, what);
        let sent = async {
            let reply = request.body(reqwest::Body::wrap_stream(bytes)).send().await;
            let answer = self.answer(reply.map_err(|error| self.away(with_causes(&error)))?).await;
            answer.map_err(|error| self.explained(path, error))
        };
        let outcome = tokio::select! {
            outcome = sent => outcome,
            () = stands_still(&pieces) => Err(self.away("it takes no bytes")),
        };
        // The host sees a body that ends early; why it did is known here.
        let broken = broken.lock().take();
        broken.map_or(outcome, Err)
    }

    /// The bytes of a copy, as the host reads them.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn open_copy(&self, server: ServerId) -> Result<Copied> {
        let reply = self.fetch("disks/copy", &OpenCopy { server }).await?;
        let size = reply.headers().get(SIZE_HEADER).and_then(|size| size.to_str().ok()?.parse().ok());
        let size = size.ok_or_else(|| self.makes_no_sense())?;
        Ok(Copied { size, bytes: self.bytes_of(reply) })
    }

    /// What a machine's disk holds, as the host reads it.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn open_part(&self, server: ServerId, part: Part) -> Result<BoxStream<'static, Result<Bytes>>> {
        let reply = self.fetch("disks/part", &OpenPart { server, part }).await?;
        Ok(self.bytes_of(reply))
    }

    /// Asks for bytes.
    async fn fetch<W: Serialize>(&self, path: &str, what: &W) -> Result<reqwest::Response> {
        let body = serde_json::to_vec(what).map_err(|error| Error::internal("a call could not be written", error))?;
        let reply = self.post(&self.client, path).body(body).send().await;
        let reply = reply.map_err(|error| self.away(with_causes(&error)))?;
        if reply.status().is_success() {
            self.hear(&reply);
            return Ok(reply);
        }
        let why = self.answer::<()>(reply).await.err().unwrap_or_else(|| self.makes_no_sense());
        Err(self.explained(path, why))
    }

    fn bytes_of(&self, reply: reqwest::Response) -> BoxStream<'static, Result<Bytes>> {
        let name = self.name.clone();
        let bytes = reply.bytes_stream();
        bytes.map_err(move |error| Error::unavailable("the host", format!("{name}: {}", with_causes(&error)))).boxed()
    }

    fn makes_no_sense(&self) -> Error {
        Error::internal("a host answers what nobody understands", self.name.clone())
    }

    /// Changes whenever the host says that something changed there, and when it is lost or back.
    pub fn changes(self: &Arc<Self>) -> watch::Receiver<u64> {
        if !self.follows.swap(true, Ordering::Relaxed) {
            tokio::spawn(follow(Arc::downgrade(self)));
        }
        self.changes.subscribe()
    }
}

/// Resolves when the number has not grown for too long.
async fn stands_still(pieces: &AtomicU64) {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        sleep(SIGN_OF_LIFE).await;
        let now = pieces.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() > STANDSTILL {
            return;
        }
    }
}

/// Asks a host for what changes, as long as anybody has use for its channel.
async fn follow(channel: Weak<Channel>) {
    let mut seen: Option<Seen> = None;
    loop {
        let Some(channel) = channel.upgrade() else { return };
        let asked: Result<Option<Seen>> = channel.exchange("events", &Since { seen }, LONG_POLL + SILENCE).await;
        match asked {
            Ok(now) if now == seen => {}
            Ok(now) => {
                seen = now;
                channel.changes.send_modify(|count| *count += 1);
            }
            // Whoever is told looks, and finds the host away.
            Err(_) => {
                if seen.take().is_some() {
                    channel.changes.send_modify(|count| *count += 1);
                }
                drop(channel);
                sleep(WHILE_AWAY).await;
            }
        }
    }
}
