//! What hypervisors of a cloud show each other: QEMU while a machine moves, libvirtd when another one calls it.
//!
//! A host makes the keys and asks for certificates, its controller certifies. Each purpose has an authority of its own, for
//! what the two open is far apart: whoever shows libvirtd a certificate of the authority that it knows may do there what
//! root may, and QEMU's key can be read by QEMU, and so by a guest that breaks out of it.

use super::authority::{Authority, Holder};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::HostId;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::Path;

/// No machine has more names or addresses.
const MOST: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Between the QEMUs of a machine that moves.
    Migration,
    /// Between libvirtds.
    Libvirtd,
}

impl Purpose {
    /// Whom such a certificate names.
    pub fn role(self, host: HostId) -> String {
        let word = match self {
            Self::Migration => "migration",
            Self::Libvirtd => "libvirtd",
        };
        format!("{}.{word}.gapura", host.0.simple())
    }
}

/// A certificate that a host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub purpose: Purpose,
    /// Hexadecimal.
    pub public_key: String,
    /// By which the machine is reached.
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

/// The certificate, and that of its authority, hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    pub purpose: Purpose,
    pub certificate: String,
    pub authority: String,
}

/// All that a cloud certifies with.
pub struct Authorities {
    /// For controllers and hosts, and what QEMU shows: it opens nothing at either.
    pub cloud: Authority,
    libvirtd: Authority,
}

impl Authorities {
    /// Reads those of the folder; makes what is missing.
    ///
    /// # Errors
    /// `Internal` when the folder can't be read or written.
    pub fn load_or_create(folder: &Path, cloud: &str, now: Timestamp) -> Result<Self> {
        Ok(Self {
            cloud: Authority::load_or_create(folder, cloud, now)?,
            libvirtd: Authority::load_or_create(&folder.join("libvirtd"), &format!("{cloud}, libvirtd"), now)?,
        })
    }

    /// Certifies what a host asks for; `at`: addresses by which this controller reaches it.
    ///
    /// # Errors
    /// `BadRequest` for what is no key, and for names that are none or are the cloud's own to give.
    pub fn grant(&self, host: HostId, wanted: &Wanted, at: &[IpAddr], now: Timestamp) -> Result<Granted> {
        let Wanted { purpose, public_key, names, addresses } = wanted;
        if let Some(name) = names.iter().find(|name| !is_a_machine_s(name)) {
            return Err(Error::bad_request(format!("{name:?} names no machine in a certificate")));
        }
        let means_one =
            |address: &&IpAddr| !(address.is_unspecified() || address.is_loopback() || address.is_multicast());
        let mut own: Vec<IpAddr> = addresses.iter().chain(at).filter(means_one).copied().collect();
        own.sort_unstable();
        own.dedup();
        if names.len() > MOST || own.len() > MOST {
            return Err(Error::bad_request(format!("A machine has at most {MOST} names, and as many addresses")));
        }
        let key = hex::decode(public_key).map_err(|_| Error::bad_request("That is no public key"))?;
        let authority = match purpose {
            Purpose::Migration => &self.cloud,
            Purpose::Libvirtd => &self.libvirtd,
        };
        let holder = Holder { role: purpose.role(host), names: names.clone(), addresses: own };
        let certificate = authority.certify(&holder, &key, now)?;
        let authority = hex::encode(authority.certificate());
        Ok(Granted { purpose: *purpose, certificate: hex::encode(certificate), authority })
    }
}

/// Names below `gapura` are roles. Whoever could have one of choice would be a controller.
fn is_a_machine_s(name: &str) -> bool {
    let is_name = (1..=253).contains(&name.len())
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        });
    is_name && !name.to_ascii_lowercase().split('.').any(|label| label == "gapura")
}

#[cfg(test)]
mod tests {
    use super::super::authority::OwnKey;
    use super::*;
    use crate::clock::Clock;

    fn wanted(names: &[&str], addresses: &[&str]) -> Wanted {
        Wanted {
            purpose: Purpose::Migration,
            public_key: hex::encode(OwnKey::generate().unwrap().public()),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn no_host_is_certified_to_be_anybody_else_in_the_cloud() {
        let (folder, now) = (tempfile::tempdir().unwrap(), Clock::System.now());
        let all = Authorities::load_or_create(folder.path(), "c", now).unwrap();
        let grant = |wanted: &Wanted| all.grant(HostId::random(), wanted, &[], now);
        grant(&wanted(&["rack-1", "rack-1.example.org"], &["192.0.2.7", "fd00::7"])).unwrap();
        for name in
            ["controller.gapura", "controller.GAPURA", "gapura", "a.gapura.b", "*", "*.example.org", "", "a b", "a..b"]
        {
            assert!(matches!(grant(&wanted(&[name], &[])), Err(Error::BadRequest(_))), "{name}");
        }
        let many = vec!["a"; MOST + 1];
        assert!(grant(&wanted(&many, &[])).is_err());
        assert!(grant(&Wanted { public_key: "00".to_owned(), ..wanted(&[], &[]) }).is_err());
    }

    #[test]
    fn what_qemu_shows_is_of_another_authority_than_what_libvirtd_lets_in() {
        let (folder, now) = (tempfile::tempdir().unwrap(), Clock::System.now());
        let all = Authorities::load_or_create(folder.path(), "c", now).unwrap();
        let of = |purpose| all.grant(HostId::random(), &Wanted { purpose, ..wanted(&[], &[]) }, &[], now).unwrap();
        let (qemu, libvirtd) = (of(Purpose::Migration), of(Purpose::Libvirtd));
        assert_ne!(qemu.authority, libvirtd.authority);
        let again = Authorities::load_or_create(folder.path(), "c", now).unwrap();
        assert_eq!(hex::encode(again.libvirtd.certificate()), libvirtd.authority);
    }
}
