//! What a certificate says, as far as somebody who keeps one must know.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use std::net::IpAddr;
use std::path::Path;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::parse_x509_pem;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub begins: Timestamp,
    pub ends: Timestamp,
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// The key's point, or whatever its kind has in place of one.
    pub public_key: Vec<u8>,
    /// Whose it is, and who says so.
    pub subject: Vec<u8>,
    pub issuer: Vec<u8>,
}

impl Certificate {
    /// The first of a PEM file.
    ///
    /// # Errors
    /// `Internal` for a file that can't be read, or holds none.
    pub fn read(path: &Path) -> Result<Self> {
        let unusable =
            |why: String| Error::internal("a certificate can't be read", format!("{}: {why}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        let (_, pem) = parse_x509_pem(&bytes).map_err(|error| unusable(error.to_string()))?;
        Self::parse(&pem.contents).map_err(|error| unusable(error.to_string()))
    }

    /// # Errors
    /// `BadRequest` for what is none.
    pub fn parse(der: &[u8]) -> Result<Self> {
        let (_, parsed) = parse_x509_certificate(der)
            .map_err(|error| Error::bad_request(format!("That is no certificate: {error}")))?;
        let at = |seconds: i64| Timestamp(seconds.saturating_mul(1_000_000));
        let mut read = Self {
            begins: at(parsed.validity().not_before.timestamp()),
            ends: at(parsed.validity().not_after.timestamp()),
            names: Vec::new(),
            addresses: Vec::new(),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
        };
        let others = parsed.subject_alternative_name().ok().flatten();
        for name in others.iter().flat_map(|others| &others.value.general_names) {
            match name {
                GeneralName::DNSName(name) => read.names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => read.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Ok(read)
    }

    /// Is it to be renewed?
    pub fn is_due(&self, now: Timestamp) -> bool {
        is_due(self.begins, self.ends, now)
    }
}

/// Is more than two thirds of the time over that a certificate is good for?
pub fn is_due(begins: Timestamp, ends: Timestamp, now: Timestamp) -> bool {
    let (whole, left) = (ends.seconds() - begins.seconds(), ends.seconds() - now.seconds());
    left < whole / 3
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
