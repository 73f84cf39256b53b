//! A set of files that a part of the hypervisor reads: an authority, and a certificate with its key for each end.

use super::Reached;
use super::user::User;
use crate::certificate::Certificate;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::node::authority::OwnKey;
use crate::node::certificates::{Granted, Purpose, Wanted};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// With this the files begin that are Gapura's. What reads PEM passes over it.
const MARK: &str = "# Kept by Gapura";
const NOTE: &str = ", which renews it. Put files of your own in the place of all of these, and it leaves them alone.\n";
/// Certificates that end so soon are worth a word.
const SOON: i64 = 30 * 24 * 3600;

/// Who sees to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// Nothing is there.
    Nobody,
    Gapura,
    Operator,
}

/// How what is there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Good(Timestamp),
    EndsSoon(Timestamp),
    Ended(Timestamp),
    Missing(PathBuf),
    Unreadable(PathBuf),
    /// Others than its reader may read a key.
    Open(PathBuf),
    Wrong(String),
}

#[derive(Debug, Clone)]
pub struct Place {
    pub purpose: Purpose,
    /// The server's, then the client's.
    certificates: [PathBuf; 2],
    keys: [PathBuf; 2],
    authority: PathBuf,
    /// Who reads them.
    pub reader: User,
    /// Its settings name other files.
    is_set_apart: bool,
}

/// What a setting of libvirt's is, if it is set.
pub(super) fn setting(text: &str, name: &str) -> Option<String> {
    let mut values = text.lines().filter_map(|line| {
        let value = line.trim().strip_prefix(name)?.trim_start().strip_prefix('=')?.trim();
        let value = value.split_once('#').map_or(value, |(value, _)| value).trim();
        Some(value.trim_matches('"').to_owned())
    });
    values.next_back().filter(|value| !value.is_empty())
}

impl Place {
    /// Where libvirt lets QEMU look when a machine moves: the folder that is set for it, or for all, or the usual ones.
    pub fn of_qemu(etc: &Path) -> Self {
        let conf = fs::read_to_string(etc.join("libvirt/qemu.conf")).unwrap_or_default();
        let own = Some(etc.join("pki/libvirt-migrate")).filter(|folder| folder.exists());
        let set = |name| setting(&conf, name).map(PathBuf::from);
        let folder = set("migrate_tls_x509_cert_dir").or(own).or_else(|| set("default_tls_x509_cert_dir"));
        Self::for_qemu(&folder.unwrap_or_else(|| etc.join("pki/qemu")), User::of_qemu(etc))
    }

    /// For QEMU, in this folder.
    pub fn for_qemu(folder: &Path, reader: User) -> Self {
        let file = |name: &str| folder.join(name);
        Self {
            purpose: Purpose::Migration,
            certificates: [file("server-cert.pem"), file("client-cert.pem")],
            keys: [file("server-key.pem"), file("client-key.pem")],
            authority: file("ca-cert.pem"),
            reader,
            is_set_apart: false,
        }
    }

    /// Where libvirtd looks, and who calls another one.
    pub fn of_libvirtd(etc: &Path) -> Self {
        let conf = fs::read_to_string(etc.join("libvirt/libvirtd.conf")).unwrap_or_default();
        let file = |name: &str| etc.join("pki").join(name);
        Self {
            purpose: Purpose::Libvirtd,
            certificates: [file("libvirt/servercert.pem"), file("libvirt/clientcert.pem")],
            keys: [file("libvirt/private/serverkey.pem"), file("libvirt/private/clientkey.pem")],
            authority: file("CA/cacert.pem"),
            reader: User::root(),
            is_set_apart: ["key_file", "cert_file", "ca_file"].iter().any(|name| setting(&conf, name).is_some()),
        }
    }

    /// For people.
    pub fn name(&self) -> String {
        let folder = self.certificates[0].parent().unwrap_or(Path::new("/")).display();
        match self.purpose {
            Purpose::Migration => format!("QEMU ({folder})"),
            Purpose::Libvirtd => format!("libvirtd ({folder})"),
        }
    }

    /// What others are shown.
    pub fn shown(&self) -> &Path {
        &self.certificates[0]
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificates.iter().chain(&self.keys).chain([&self.authority])
    }

    pub fn keeper(&self) -> Keeper {
        if self.is_set_apart {
            return Keeper::Operator;
        }
        let is_ours = |path: &Path| fs::read(path).is_ok_and(|text| text.starts_with(MARK.as_bytes()));
        let there: Vec<&PathBuf> = self.files().filter(|path| path.symlink_metadata().is_ok()).collect();
        match there.as_slice() {
            [] => Keeper::Nobody,
            there if there.iter().all(|path| is_ours(path)) => Keeper::Gapura,
            _ => Keeper::Operator,
        }
    }

    /// What is to be certified now; `None`: what is there will do, or is an operator's. Makes the key when there is none.
    ///
    /// # Errors
    /// `Internal` when the key can't be read or written.
    pub fn wanted(&self, reached: &Reached, anew: bool, now: Timestamp) -> Result<Option<Wanted>> {
        if self.keeper() == Keeper::Operator || !(anew || self.lacks(reached, now)) {
            return Ok(None);
        }
        let key = self.key()?;
        Ok(Some(Wanted {
            purpose: self.purpose,
            public_key: hex::encode(key.public()),
            names: reached.names.clone(),
            addresses: reached.addresses.clone(),
        }))
    }

    fn lacks(&self, reached: &Reached, now: Timestamp) -> bool {
        let fits = |certificate: &Certificate| {
            !certificate.is_due(now)
                && reached.names.iter().all(|name| certificate.names.contains(name))
                && reached.addresses.iter().all(|address| certificate.addresses.contains(address))
        };
        self.files().any(|path| !path.exists()) || !Certificate::read(self.shown()).is_ok_and(|shown| fits(&shown))
    }

    fn key(&self) -> Result<OwnKey> {
        if let Ok(pem) = fs::read_to_string(&self.keys[0])
            && let Ok(key) = OwnKey::from_pem(&pem)
        {
            return Ok(key);
        }
        let key = OwnKey::generate()?;
        self.keys.iter().try_for_each(|path| self.write(path, &key.to_pem(), 0o600))?;
        Ok(key)
    }

    /// Keeps a certificate for its key.
    ///
    /// # Errors
    /// `BadRequest` for a certificate of another key; `Internal` when something can't be written.
    pub fn keep(&self, granted: &Granted) -> Result<()> {
        let der = |text: &str| hex::decode(text).map_err(|_| Error::bad_request("That is no certificate"));
        let (certificate, authority) = (der(&granted.certificate)?, der(&granted.authority)?);
        if self.keeper() == Keeper::Operator {
            return Err(Error::conflict("an operator's own certificates are there"));
        }
        let key = self.key()?;
        if Certificate::parse(&certificate)?.public_key != key.public() {
            return Err(Error::bad_request("The certificate is for another key"));
        }
        self.keys.iter().try_for_each(|path| self.write(path, &key.to_pem(), 0o600))?;
        self.certificates.iter().try_for_each(|path| self.write(path, &pem(&certificate), 0o644))?;
        self.write(&self.authority, &pem(&authority), 0o644)
    }

    /// Beside its name first and then moved there, so that it is there whole or not at all, and never open to others.
    fn write(&self, path: &Path, pem: &str, mode: u32) -> Result<()> {
        let failed =
            |why: std::io::Error| Error::internal("a file can't be written", format!("{}: {why}", path.display()));
        let text = format!("{MARK}{NOTE}{pem}");
        if fs::read_to_string(path).is_ok_and(|before| before == text) && self.reader.may_read(path) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        let draft = path.with_extension("pem.draft");
        let write = || -> std::io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
            // One that a crash left may have been half written, and somebody may have planted a link.
            if draft.symlink_metadata().is_ok() {
                fs::remove_file(&draft)?;
            }
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(text.as_bytes())?;
            if mode == 0o600 && self.reader.id != 0 {
                chown(&draft, Some(self.reader.id), None)?;
            }
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            fs::rename(&draft, path)?;
            fs::File::open(folder)?.sync_all()
        };
        write().map_err(failed)
    }

    /// Whoever keeps them: will they do?
    pub fn state(&self, now: Timestamp) -> State {
        if let Some(missing) = self.files().find(|path| !path.exists()) {
            return State::Missing(missing.clone());
        }
        if let Some(unreadable) = self.files().find(|path| !self.reader.may_read(path)) {
            return State::Unreadable(unreadable.clone());
        }
        let is_open = |path: &&PathBuf| fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o007 != 0);
        if let Some(open) = self.keys.iter().find(is_open) {
            return State::Open(open.clone());
        }
        match self.ends() {
            Err(error) => State::Wrong(crate::error::with_causes(&error)),
            Ok(ends) if ends <= now => State::Ended(ends),
            Ok(ends) if ends <= now.plus_seconds(SOON) => State::EndsSoon(ends),
            Ok(ends) => State::Good(ends),
        }
    }

    /// When the first of the certificates does.
    fn ends(&self) -> Result<Timestamp> {
        let authority = Certificate::read(&self.authority)?;
        let mut ends = authority.ends;
        for (path, key) in self.certificates.iter().zip(&self.keys) {
            let certificate = Certificate::read(path)?;
            let says = |what: &str| Error::internal("certificates don't fit", format!("{} {what}", path.display()));
            // An operator's may have others in between.
            if certificate.issuer != authority.subject && self.keeper() == Keeper::Gapura {
                return Err(says(&format!("is of another authority than {}", self.authority.display())));
            }
            // Only of keys like ours is it known here what belongs to them.
            let own = fs::read_to_string(key).ok().and_then(|pem| OwnKey::from_pem(&pem).ok());
            if own.is_some_and(|own| own.public() != certificate.public_key) {
                return Err(says(&format!("is not for {}", key.display())));
            }
            ends = ends.min(certificate.ends);
        }
        Ok(ends)
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    lines + "-----END CERTIFICATE-----\n"
}
