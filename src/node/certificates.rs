//! What hypervisors of a cloud show each other: QEMU while a machine moves, libvirtd when another one calls it.
//!
//! A host makes the keys and asks for certificates, its controller certifies. Each purpose has an authority of its own, for
//! what the two open is far apart: whoever shows libvirtd a certificate of the authority that it knows may do there what
//! root may, and QEMU's key can be read by QEMU, and so by a guest that breaks out of it.

use super::authority::{Authority, Holder};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::hypervisor::MIGRATION_ROLE;
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
        let role = match self {
            Self::Migration => MIGRATION_ROLE,
            Self::Libvirtd => ".libvirtd.gapura",
        };
        format!("{}{role}", host.0.simple())
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

/// Who asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    pub id: HostId,
    /// By which this controller reaches it.
    pub at: Option<IpAddr>,
    /// What the cloud's other machines are called, and are reached by.
    pub others: Vec<(String, Option<IpAddr>)>,
}

impl Asker {
    /// # Errors
    /// `Conflict` for the name or the address of another machine.
    fn check_is_not_another(&self, wanted: &Wanted) -> Result<()> {
        for (name, address) in &self.others {
            if wanted.names.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                return Err(Error::conflict(format!(
                    "{name} is another host: no certificate can call this machine so"
                )));
            }
            if let Some(address) = address.filter(means_one_machine)
                && wanted.addresses.contains(&address)
            {
                return Err(Error::conflict(format!(
                    "{address} is the address of the host {name}. Is it this machine's now, say 'gapura host remove {name}' \
                     first; else look at its [node] address, [network] tunnel_address and live_migration_uri"
                )));
            }
        }
        Ok(())
    }
}

/// And not whichever looks.
fn means_one_machine(address: &IpAddr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast())
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

    /// Certifies what a host asks for.
    ///
    /// # Errors
    /// `BadRequest` for what is no key, and for names that are none or are the cloud's own to give; `Conflict` for what
    /// another machine is called or reached by.
    pub fn grant(&self, asker: &Asker, wanted: &Wanted, now: Timestamp) -> Result<Granted> {
        let Wanted { purpose, public_key, names, addresses } = wanted;
        if let Some(name) = names.iter().find(|name| !is_a_machine_s(name)) {
            return Err(Error::bad_request(format!("{name:?} names no machine in a certificate")));
        }
        asker.check_is_not_another(wanted)?;
        // Several hosts may be behind one address.
        let at = asker.at.filter(|at| !asker.others.iter().any(|(_, other)| other.as_ref() == Some(at)));
        let mut own: Vec<IpAddr> = addresses.iter().copied().chain(at).filter(means_one_machine).collect();
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
        let holder = Holder { role: purpose.role(asker.id), names: names.clone(), addresses: own };
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
    use crate::certificate::Certificate;
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
        let other = |name: &str, address: &str| (name.to_owned(), Some(address.parse().unwrap()));
        let others = vec![other("rack-2", "192.0.2.8"), ("rack-3".to_owned(), None), other("rack-4", "127.0.0.1")];
        let asker = Asker { id: HostId::random(), at: None, others };
        let grant = |wanted: &Wanted| all.grant(&asker, wanted, now);
        grant(&wanted(&["rack-1", "rack-1.example.org"], &["192.0.2.7", "fd00::7", "127.0.0.1"])).unwrap();
        for (names, addresses) in [(["rack-2"], &[][..]), (["RACK-3"], &[]), (["rack-1"], &["192.0.2.7", "192.0.2.8"])]
        {
            assert!(matches!(grant(&wanted(&names, addresses)), Err(Error::Conflict(_))), "{names:?} {addresses:?}");
        }
        // That it is seen where another one is, is not its doing.
        let seen =
            |at: &str| all.grant(&Asker { at: at.parse().ok(), ..asker.clone() }, &wanted(&["rack-1"], &[]), now);
        let shown =
            |granted: Granted| Certificate::parse(&hex::decode(granted.certificate).unwrap()).unwrap().addresses;
        assert_eq!(shown(seen("192.0.2.8").unwrap()), Vec::<IpAddr>::new());
        assert_eq!(shown(seen("192.0.2.9").unwrap()).len(), 1);
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
        let asker = Asker { id: HostId::random(), at: None, others: Vec::new() };
        let of = |purpose| all.grant(&asker, &Wanted { purpose, ..wanted(&[], &[]) }, now).unwrap();
        let (qemu, libvirtd) = (of(Purpose::Migration), of(Purpose::Libvirtd));
        assert_ne!(qemu.authority, libvirtd.authority);
        let again = Authorities::load_or_create(folder.path(), "c", now).unwrap();
        assert_eq!(hex::encode(again.libvirtd.certificate()), libvirtd.authority);
    }
}
