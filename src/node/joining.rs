//! How a machine that nobody knows yet and the controller of a cloud come to believe each other.
//!
//! ```text
//!   operator ── token: a secret, and the fingerprint of the cloud's authority ──► machine
//!   machine ── TLS: the controller must show that very authority, and its own certificate by it
//!           ── the secret, a name, the hypervisor's UUID, a public key ──► controller
//!   machine ◄── a certificate for that key, the host's id, the cloud's ── controller
//! ```
//! The secret is said to nobody before the fingerprint has fit. The key never leaves the machine, and a certificate for a
//! key that one doesn't have is of no use: so what is sent of it need not be signed.

use super::authority::{CONTROLLER, Identity};
use super::certificates::{Granted, Wanted};
use super::remote::CONNECT;
use super::trust::{Fingerprint, algorithms, checks_signatures, provider, roots, unusable};
use super::wire::{Answer, Fault};
use crate::error::{Error, Result, with_causes};
use crate::ids::HostId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where the controller takes in whoever has a token.
pub const PATH: &str = "/v1/join";
/// Making a certificate takes no time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an operator carries from the controller to a new machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub secret: String,
    pub authority: Fingerprint,
}

impl Token {
    /// A new one of the cloud with this authority.
    ///
    /// # Errors
    /// `Internal` when the system has no randomness to give.
    pub fn new(authority: Fingerprint) -> Result<Self> {
        let mut secret = [0; 16];
        aws_lc_rs::rand::fill(&mut secret)
            .map_err(|_| Error::internal("the system has no randomness to give", "for a token"))?;
        Ok(Self { secret: hex::encode(secret), authority })
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (secret, authority) = text.trim().split_once('.')?;
        let is_secret = secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_secret.then(|| Some(Self { secret: secret.to_owned(), authority: Fingerprint::parse(authority)? }))?
    }
}

/// By what the controller finds the secret again, which it does not keep.
pub fn digest(secret: &str) -> String {
    Fingerprint::of(secret.as_bytes()).to_string()
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.secret, self.authority)
    }
}

/// What a machine says that wants to join.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Newcomer {
    pub secret: String,
    pub protocol: u32,
    /// Of its program.
    pub version: String,
    pub name: String,
    /// The UUID by which its hypervisor tells it from other machines.
    pub machine: String,
    /// Where it takes orders; `None`: at the address that it comes from, and the port.
    pub address: Option<SocketAddr>,
    pub port: u16,
    /// Hexadecimal.
    pub public_key: String,
    /// The cloud that it is a host of already.
    pub other_cloud: Option<String>,
    /// For its hypervisor.
    #[serde(default)]
    pub wanted: Vec<Wanted>,
    /// What it is and has, to be compared with the cloud's other hosts.
    #[serde(default)]
    pub facts: Value,
}

/// What it is told when it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub id: HostId,
    pub cloud: String,
    /// Where the controller will ask it.
    pub address: SocketAddr,
    /// Hexadecimal, as is the next.
    pub certificate: String,
    pub authority: String,
    /// For its hypervisor; none from a controller that is a version older.
    #[serde(default)]
    pub granted: Vec<Granted>,
    /// For its operator.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// For a controller: whoever comes need show nothing yet.
///
/// # Errors
/// `Internal` for a damaged certificate.
pub fn of_controller(identity: &Identity) -> Result<ServerConfig> {
    let chain = vec![identity.certificate.clone(), identity.authority.clone()];
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, identity.key.clone_key());
    let mut config = config.map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Says who one is to the controller at an address, if it is of the token's cloud.
///
/// # Errors
/// The controller's refusal; `Unavailable` when nobody is there, or somebody else.
pub async fn ask(controller: SocketAddr, authority: Fingerprint, newcomer: &Newcomer) -> Result<Welcome> {
    let mut tls = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OfTheTokensCloud(authority)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .resolve(CONTROLLER, controller)
        .no_proxy()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(PATIENCE)
        .build();
    let client = client.map_err(|error| Error::internal("a connection could not be prepared", error))?;
    let body =
        serde_json::to_vec(newcomer).map_err(|error| Error::internal("a request could not be written", error))?;
    let away =
        |error: reqwest::Error| Error::unavailable("the controller", format!("{controller}: {}", with_causes(&error)));
    let url = format!("https://{CONTROLLER}:{}{PATH}", controller.port());
    let reply = client.post(url).body(body).send().await.map_err(away)?.bytes().await.map_err(away)?;
    let answer: Answer<Welcome> = serde_json::from_slice(&reply)
        .map_err(|error| Error::internal("the controller answers what nobody understands", error))?;
    answer.map_err(Fault::arrived)
}

/// A controller must show the authority whose fingerprint the token has, and be certified by it.
#[derive(Debug)]
struct OfTheTokensCloud(Fingerprint);

impl ServerCertVerifier for OfTheTokensCloud {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = |why: &str| rustls::Error::General(why.to_owned());
        let authority = between.iter().find(|shown| Fingerprint::of(shown) == self.0);
        let authority =
            authority.ok_or_else(|| refused("who answers there is not of the cloud that made the token"))?;
        let roots = roots(&authority.clone().into_owned()).map_err(|_| refused("its authority is damaged"))?;
        let known = WebPkiServerVerifier::builder_with_provider(roots, provider().clone());
        let known = known.build().map_err(|error| rustls::Error::General(error.to_string()))?;
        known.verify_server_cert(certificate, &[], name, ocsp, now)
    }

    checks_signatures!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is() {
        let token = Token::new(Fingerprint([7; 32])).unwrap();
        assert_eq!(Token::parse(&format!(" {token}\n")), Some(token.clone()));
        assert_ne!(Token::new(Fingerprint([7; 32])).unwrap().secret, token.secret);
        let text = token.to_string();
        for wrong in
            ["", ".", &text[1..], &text[..text.len() - 1], &text.replace('.', ""), &format!("zz{}", &text[2..])]
        {
            assert_eq!(Token::parse(wrong), None, "{wrong}");
        }
    }
}
