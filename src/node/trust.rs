//! Who believes whom, as TLS settings.
//!
//! A host takes orders only from whoever shows a certificate of its cloud's authority that names a controller: another
//! host's is of the same authority and does not do. A controller gives them only to whoever shows the certificate that was
//! made for this host when it joined, or since, to the byte, so that a host that was removed, or joined again, is not mistaken.

use super::authority::{CONTROLLER, Identity};
use crate::error::{Error, Result};
use parking_lot::RwLock;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::{Arc, LazyLock};

/// SHA-256 of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    pub fn of(certificate: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    pub fn parse(text: &str) -> Option<Self> {
        hex::decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

pub(super) fn unusable(error: impl std::fmt::Display) -> Error {
    Error::internal("a certificate of the cloud can't be used", error.to_string())
}

pub(super) fn roots(authority: &CertificateDer<'static>) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(unusable)?;
    Ok(Arc::new(roots))
}

/// The rest of a verifier: signatures of a handshake are checked as the library does, whoever may have made them.
macro_rules! checks_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls12_signature(message, certificate, signature, algorithms())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, certificate, signature, algorithms())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            algorithms().supported_schemes()
        }
    };
}
pub(super) use checks_signatures;

pub(super) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(crypto::aws_lc_rs::default_provider()));
    &PROVIDER
}

pub(super) fn algorithms() -> &'static WebPkiSupportedAlgorithms {
    &provider().signature_verification_algorithms
}

/// What a host shows. It may become another while connections go on.
#[derive(Debug)]
pub struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    /// # Errors
    /// `Internal` for a damaged certificate, and one that is not for the key.
    pub fn of(identity: &Identity) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(RwLock::new(certified(identity)?))))
    }

    /// # Errors
    /// As [`of`](Self::of).
    pub fn becomes(&self, identity: &Identity) -> Result<()> {
        *self.0.write() = certified(identity)?;
        Ok(())
    }
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>> {
    let chain = vec![identity.certificate.clone()];
    CertifiedKey::from_der(chain, identity.key.clone_key(), provider()).map(Arc::new).map_err(unusable)
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

/// For a host: whoever connects must be a controller of its cloud.
///
/// # Errors
/// `Internal` for a damaged certificate.
pub fn of_host(authority: &CertificateDer<'static>, shown: Arc<Shown>) -> Result<ServerConfig> {
    let known = WebPkiClientVerifier::builder(roots(authority)?).build().map_err(unusable)?;
    let mut config =
        ServerConfig::builder().with_client_cert_verifier(Arc::new(ControllersAlone(known))).with_cert_resolver(shown);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// For a controller that calls the host with this certificate; while it gets another, with one of the two.
///
/// # Errors
/// `Internal` for a damaged certificate.
pub fn of_controller(identity: &Identity, host: impl IntoIterator<Item = Fingerprint>) -> Result<ClientConfig> {
    let host = host.into_iter().collect();
    let known = WebPkiServerVerifier::builder(roots(&identity.authority)?).build().map_err(unusable)?;
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ThisHostAlone { known, host }))
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Beyond being of the cloud, a client must be named a controller.
#[derive(Debug)]
struct ControllersAlone(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for ControllersAlone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(certificate, between, now)?;
        let controller = ServerName::try_from(CONTROLLER).expect("the name is one that TLS knows");
        verify_server_name(&ParsedCertificate::try_from(certificate)?, &controller)?;
        Ok(verified)
    }

    checks_signatures!();
}

/// Beyond being of the cloud and named as this host, a server must show the very certificate that the host was given.
#[derive(Debug)]
struct ThisHostAlone {
    known: Arc<WebPkiServerVerifier>,
    host: Vec<Fingerprint>,
}

impl ServerCertVerifier for ThisHostAlone {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.known.verify_server_cert(certificate, between, name, ocsp, now)?;
        if !self.host.contains(&Fingerprint::of(certificate)) {
            return Err(rustls::Error::General("the host shows another certificate than it was given".to_owned()));
        }
        Ok(verified)
    }

    checks_signatures!();
}
