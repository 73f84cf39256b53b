//! The controller's end of joining: makes tokens, and takes in who has one.

use super::id_of;
use crate::clock::{Clock, Timestamp};
use crate::cloud::placement::obstacles;
use crate::config::Config;
use crate::error::{Error, Result, with_causes};
use crate::node::authority::{Authority, Holder};
use crate::node::certificates::{Asker, Authorities};
use crate::node::joining::{self, Newcomer, PATH, Token, Welcome};
use crate::node::listener::{self, Body};
use crate::node::server::{refusal, whole};
use crate::node::trust::Fingerprint;
use crate::node::wire::Answer;
use crate::node::{PROTOCOL, VERSION, understands};
use crate::store::nodes::{self, NodeRow};
use crate::store::{Db, Tx, hosts};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// What somebody says who wants to join is no longer.
const LONGEST: usize = 16 << 10;
/// So many obstacles are told.
const NOTES: usize = 10;
const READING: Duration = Duration::from_secs(10);

/// Where the cloud's authority is. Controllers of one cloud have it in common, as they have `keys`.
pub fn authority_folder(config: &Config) -> PathBuf {
    config.state_dir.join("authority")
}

/// A token by which one machine may join within so many minutes.
///
/// # Errors
/// When the authority can't be made, or the database is away.
pub async fn make_token(config: &Config, db: &Db, cloud: &str, minutes: u32, now: Timestamp) -> Result<String> {
    let authority = Authority::load_or_create(&authority_folder(config), cloud, now)?;
    let token = Token::new(Fingerprint::of(authority.certificate()))?;
    let (digest, expires_at) = (joining::digest(&token.secret), now.plus_seconds(i64::from(minutes) * 60));
    db.write(move |tx| nodes::make_token(tx, &digest, expires_at, now)).await?;
    Ok(token.to_string())
}

/// Takes machines in, over a listener of its own.
pub struct Admission {
    pub db: Db,
    pub clock: Clock,
    pub authorities: Arc<Authorities>,
    /// Told when a machine came.
    pub came: Arc<Notify>,
}

impl Admission {
    /// Listens until told to stop.
    ///
    /// # Errors
    /// `Internal` for an authority that can't be used.
    pub fn serve(
        self,
        listener: TcpListener,
        stopped: watch::Receiver<bool>,
    ) -> Result<impl Future<Output = ()> + use<>> {
        let identity = self.authorities.cloud.identity(&Holder::controller(), self.clock.now())?;
        let tls = joining::of_controller(&identity)?;
        let admission = Arc::new(self);
        let respond = move |request, peer| {
            let admission = admission.clone();
            async move { admission.respond(request, peer).await }
        };
        Ok(listener::serve(listener, tls, stopped, respond))
    }

    /// What keeps it from standing in for the cloud's other hosts.
    async fn compare(&self, newcomer: &Newcomer) -> Result<Vec<String>> {
        let hosts = self.db.read(hosts::list).await?;
        let others = hosts.iter().map(|host| (host.name.as_str(), &host.facts));
        let mut notes = obstacles::sentences(&newcomer.name, &newcomer.facts, others);
        notes.truncate(NOTES);
        if newcomer.version != VERSION {
            let (name, version) = (&newcomer.name, &newcomer.version);
            notes.push(format!("{name} has gapura {version}, and this controller {VERSION}: bring both to the newer"));
        }
        Ok(notes)
    }

    async fn respond(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        match self.admit(request, peer).await {
            Ok(welcome) => {
                let answer: Answer<Welcome> = Ok(welcome);
                whole(StatusCode::OK, serde_json::to_vec(&answer).unwrap_or_default())
            }
            Err(error) => {
                tracing::warn!(%peer, error = with_causes(&error), "a machine may not join");
                refusal(error)
            }
        }
    }

    async fn admit(&self, request: Request<Incoming>, peer: SocketAddr) -> Result<Welcome> {
        if request.method() != Method::POST || request.uri().path() != PATH {
            return Err(Error::bad_request("Machines join here, and nothing else"));
        }
        let body = timeout(READING, Limited::new(request.into_body(), LONGEST).collect()).await;
        let body = body.ok().and_then(std::result::Result::ok).map(http_body_util::Collected::to_bytes);
        let newcomer = body.and_then(|body| serde_json::from_slice::<Newcomer>(&body).ok());
        let newcomer = newcomer.ok_or_else(|| Error::bad_request("What the machine says can't be understood"))?;
        self.take_in(&newcomer, peer).await
    }

    async fn take_in(&self, newcomer: &Newcomer, peer: SocketAddr) -> Result<Welcome> {
        if !understands(newcomer.protocol) {
            let theirs = newcomer.protocol;
            return Err(Error::NotAcceptable(format!(
                "The machine's gapura speaks protocol {theirs}, and this controller {PROTOCOL}: bring them closer"
            )));
        }
        let (now, secret) = (self.clock.now(), joining::digest(&newcomer.secret));
        let digest = secret.clone();
        self.db.read(move |tx| nodes::check_token(tx, &digest, now)).await?;
        check_names(newcomer)?;
        let cloud = self.authorities.cloud.cloud().to_owned();
        if newcomer.other_cloud.as_ref().is_some_and(|other| *other != cloud) {
            return Err(Error::conflict(
                "This machine is a host of another cloud: remove it there, and then the folder node in its state directory",
            ));
        }
        let id = id_of(&cloud, &newcomer.name);
        let key = hex::decode(&newcomer.public_key).map_err(|_| Error::bad_request("That is no public key"))?;
        let certificate = self.authorities.cloud.certify(&Holder::host(id), &key, now)?;
        let address = newcomer.address.unwrap_or_else(|| SocketAddr::new(peer.ip().to_canonical(), newcomer.port));
        let row = NodeRow {
            id,
            name: newcomer.name.clone(),
            machine: newcomer.machine.clone(),
            address: address.to_string(),
            certificate: Fingerprint::of(&certificate).to_string(),
            version: newcomer.version.clone(),
            protocol: newcomer.protocol.into(),
            joined_at: now,
            renewed: None,
        };
        let (checked, digest) = (row.clone(), secret.clone());
        let known = move |tx: &mut Tx| {
            nodes::check(tx, &digest, &checked)?;
            nodes::others(tx, id)
        };
        let asker = Asker { id, at: Some(address.ip()), others: self.db.read(known).await? };
        let grant = |wanted| self.authorities.grant(&asker, wanted, now);
        let granted = newcomer.wanted.iter().map(grant).collect::<Result<Vec<_>>>()?;
        let (name, authority) = (row.name.clone(), hex::encode(self.authorities.cloud.certificate()));
        self.db.write(move |tx: &mut Tx| nodes::admit(tx, &secret, &row)).await?;
        tracing::info!(host = name, %id, %address, "a machine joined as a host");
        self.came.notify_one();
        let notes = self.compare(newcomer).await?;
        notes.iter().for_each(|note| tracing::warn!("{note}"));
        Ok(Welcome { id, cloud, address, certificate: hex::encode(&certificate), authority, granted, notes })
    }
}

fn check_names(newcomer: &Newcomer) -> Result<()> {
    let name = &newcomer.name;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !(1..=255).contains(&name.len()) || !name.chars().all(is_name) {
        return Err(Error::bad_request(format!(
            "{name:?} can't name a host: letters, digits, dots, hyphens, underscores"
        )));
    }
    if uuid::Uuid::try_parse(&newcomer.machine).is_err() {
        return Err(Error::bad_request("A machine has a UUID"));
    }
    // Operators read it on their terminals.
    let version = &newcomer.version;
    if !(1..=100).contains(&version.len()) || !version.chars().all(|c| is_name(c) || c == '+') {
        return Err(Error::bad_request(format!("{version:?} is no version of a program")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, machine: &str, version: &str) -> Result<()> {
        check_names(&Newcomer {
            secret: String::new(),
            protocol: PROTOCOL,
            version: version.to_owned(),
            name: name.to_owned(),
            machine: machine.to_owned(),
            address: None,
            port: 5010,
            public_key: String::new(),
            other_cloud: None,
            wanted: Vec::new(),
            facts: serde_json::Value::Null,
        })
    }

    #[test]
    fn what_a_machine_says_of_itself_is_a_name_a_uuid_and_a_version_or_it_does_not_join() {
        let (machine, long) = ("2f1c1d9e-8a55-4c0e-9a54-3a1d6c0e9b11", "a".repeat(256));
        assert!(check("rack-1.example_a", machine, "0.1.0-rc.1+dirty").is_ok());
        for name in ["", "../etc", "a b", "a\n", "<x>", "a'--", "é", &long] {
            assert!(check(name, machine, "0.1.0").is_err(), "{name:?}");
        }
        for other in ["", "a", "../../x", "2f1c1d9e-8a55-4c0e-9a54-3a1d6c0e9b1g"] {
            assert!(check("a", other, "0.1.0").is_err(), "{other:?}");
        }
        for version in ["", "1\u{1b}[2J", "1 2", "1\n2", &long[..101]] {
            assert!(check("a", machine, version).is_err(), "{version:?}");
        }
    }
}
