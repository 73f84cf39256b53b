//! The cloud's own authority: the key that says which certificates are its controllers' and its hosts'.
//!
//! `<folder>/<created>-authority.p8` and the certificate beside it. Nobody else's word counts between hosts of a cloud, so
//! no outside authority can let anybody in, and a cloud's certificates mean nothing to another cloud. A certificate names a
//! role, not a machine: `controller.gapura` gives orders, `<host id>.node.gapura` takes those for this one host; the
//! machine's own names and addresses stand beside it where that is for its hypervisor ([`super::certificates`]).

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::HostId;
use crate::key_files;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::IpAddr;
use std::path::Path;

/// Whom the certificate of a controller names.
pub const CONTROLLER: &str = "controller.gapura";

const KEY: &str = "p8";
const CERTIFICATE: &str = "der";
/// The authority outlives what it signs.
const AUTHORITY_DAYS: i64 = 20 * 365;
const DAYS: i64 = 5 * 365;
/// Clocks differ a little: a certificate is good from so many seconds before it was made.
const BEFORE: i64 = 3600;

/// Whom a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The role, as a name of the form that TLS looks at.
    pub role: String,
    /// What the machine is called and reached by.
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

impl Holder {
    pub fn controller() -> Self {
        Self { role: CONTROLLER.to_owned(), names: Vec::new(), addresses: Vec::new() }
    }

    pub fn host(id: HostId) -> Self {
        Self { role: host_role(id), names: Vec::new(), addresses: Vec::new() }
    }
}

/// Whom the certificate of a host names.
pub fn host_role(id: HostId) -> String {
    format!("{}.node.gapura", id.0.simple())
}

/// Proof of being somebody in a cloud: a key, the certificate for it, and the authority's own.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
    pub authority: CertificateDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { certificate: self.certificate.clone(), key: self.key.clone_key(), authority: self.authority.clone() }
    }
}

/// A key of one's own, not yet certified.
pub struct OwnKey(KeyPair);

impl OwnKey {
    /// # Errors
    /// `Internal` when the system has no randomness to give.
    pub fn generate() -> Result<Self> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(|error| failed("making a key", error))
    }

    /// One that was kept as PEM.
    ///
    /// # Errors
    /// `Internal` for what is no key of this kind.
    pub fn from_pem(pem: &str) -> Result<Self> {
        KeyPair::from_pem(pem).map(Self).map_err(|error| failed("a key is damaged", error))
    }

    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// What the authority is told of it.
    pub fn public(&self) -> Vec<u8> {
        self.0.public_key_raw().to_vec()
    }

    /// The key with its certificate.
    pub fn certified(&self, certificate: Vec<u8>, authority: Vec<u8>) -> Identity {
        Identity {
            certificate: certificate.into(),
            key: PrivatePkcs8KeyDer::from(self.0.serialize_der()).into(),
            authority: authority.into(),
        }
    }
}

/// A public key on P-256, as a point.
struct PublicKey<'a>(&'a [u8]);

impl PublicKeyData for PublicKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

pub struct Authority {
    cloud: String,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

fn failed(what: &'static str, error: rcgen::Error) -> Error {
    Error::internal(what, error)
}

impl Authority {
    /// Reads the folder's newest authority; makes one when there is none.
    ///
    /// # Errors
    /// `Internal` when the folder can't be read or written.
    pub fn load_or_create(folder: &Path, cloud: &str, now: Timestamp) -> Result<Self> {
        key_files::create_folder(folder)?;
        if key_files::list(folder, KEY)?.is_empty() {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| failed("making a key", e))?;
            let made = Self::of(key, None, cloud, now)?;
            // The key counts once it is there, so what belongs to it is there before.
            key_files::write(folder, now, "authority", CERTIFICATE, &made.certificate)?;
            key_files::write(folder, now, "authority", KEY, made.issuer.key().serialized_der())?;
        }
        let Some(newest) = key_files::list(folder, KEY)?.pop() else {
            return Err(Error::internal("the cloud's authority is gone", folder.display().to_string()));
        };
        let key = PrivatePkcs8KeyDer::from(key_files::read(&newest.path)?);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)
            .map_err(|error| failed("the authority's key is damaged", error))?;
        let certificate = key_files::read(&newest.path.with_extension(CERTIFICATE))?;
        Self::of(key, Some(certificate.into()), cloud, now)
    }

    /// One that goes away with the process: for tests.
    ///
    /// # Errors
    /// `Internal` when the system has no randomness to give.
    pub fn ephemeral(cloud: &str, now: Timestamp) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| failed("making a key", error))?;
        Self::of(key, None, cloud, now)
    }

    fn of(key: KeyPair, certificate: Option<CertificateDer<'static>>, cloud: &str, now: Timestamp) -> Result<Self> {
        let mut params = validity(now, AUTHORITY_DAYS);
        params.distinguished_name = name(&format!("Gapura cloud {cloud}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = match certificate {
            Some(certificate) => certificate,
            None => params.self_signed(&key).map_err(|error| failed("making the authority", error))?.into(),
        };
        Ok(Self { cloud: cloud.to_owned(), issuer: Issuer::new(params, key), certificate })
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Certifies that a public key is somebody's.
    ///
    /// # Errors
    /// `BadRequest` for what is no key, or names that can't be written.
    pub fn certify(&self, holder: &Holder, public_key: &[u8], now: Timestamp) -> Result<CertificateDer<'static>> {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key)
            .map_err(|_| Error::bad_request("That is no public key"))?;
        let mut params = validity(now, DAYS);
        params.distinguished_name = name(&holder.role);
        let text = |text: &str| {
            let refused = |_| Error::bad_request(format!("A certificate can't name {text:?}"));
            text.try_into().map(SanType::DnsName).map_err(refused)
        };
        params.subject_alt_names.push(text(&holder.role)?);
        for name in &holder.names {
            params.subject_alt_names.push(text(name)?);
        }
        params.subject_alt_names.extend(holder.addresses.iter().copied().map(SanType::IpAddress));
        // QEMU before 10.1 takes none that may not encipher keys, though nobody does that any more.
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from_slice(uuid::Uuid::new_v4().as_bytes()));
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&PublicKey(public_key), &self.issuer);
        signed.map(Into::into).map_err(|error| failed("certifying a key", error))
    }

    /// A new key, certified: for whoever speaks in this process.
    ///
    /// # Errors
    /// `Internal` when the system has no randomness to give.
    pub fn identity(&self, holder: &Holder, now: Timestamp) -> Result<Identity> {
        let key = OwnKey::generate()?;
        let certificate = self.certify(holder, &key.public(), now)?;
        Ok(key.certified(certificate.to_vec(), self.certificate.to_vec()))
    }

    pub fn cloud(&self) -> &str {
        &self.cloud
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn validity(now: Timestamp, days: i64) -> CertificateParams {
    let at =
        |seconds: i64| time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let mut params = CertificateParams::default();
    params.not_before = at(now.seconds() - BEFORE);
    params.not_after = at(now.seconds() + days * 24 * 3600);
    params
}
