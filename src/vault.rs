//! What must stay secret at rest: text sealed with AES-256-GCM under a ring of keys that the database never sees.
//!
//! `<state_dir>/credential-keys/<created>-<name>.key`, 32 bytes each, readable by the owner alone. The newest seals; older
//! ones open what they sealed. What is sealed is bound to what it is for (a credential's id, owner and type), so that
//! nobody who can write to the database can put one secret in another's place. Every process reads the folder again when
//! it meets a key it does not know (at most once a second) and every five seconds before it seals, so a rotation reaches
//! all of them without a word. `gapura keys rotate` adds a key, seals everything anew, and removes keys that nothing is
//! sealed with any more.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::key_files::{self, create_folder};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SUFFIX: &str = "key";
const KEY_LENGTH: usize = 32;
/// How long a key stays that nothing is sealed with, in seconds: a process that has not yet read the folder again may still
/// seal with it, and login receipts, which are kept nowhere, may still be under way.
const GRACE: i64 = 3600;

struct Ring {
    newest: String,
    keys: HashMap<String, RandomizedNonceKey>,
}

/// The ring in use.
pub struct Vault {
    folder: Option<PathBuf>,
    ring: RwLock<Arc<Ring>>,
    read_at: Mutex<Timestamp>,
}

/// A text that only the vault can read, and the name of the key that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub key_id: String,
    /// Base64 of the nonce and what was sealed.
    pub text: String,
}

impl Vault {
    /// Reads the folder's keys; makes the first one when there is none.
    ///
    /// # Errors
    /// `Internal` when the folder can't be read or written.
    pub fn load_or_create(folder: &Path, now: Timestamp) -> Result<Self> {
        create_folder(folder)?;
        if key_files::list(folder, SUFFIX)?.is_empty() {
            add_key(folder, now)?;
        }
        let ring = RwLock::new(Arc::new(read(folder)?));
        Ok(Self { folder: Some(folder.to_owned()), ring, read_at: Mutex::new(now) })
    }

    /// A key that goes away with the process: for tests.
    ///
    /// # Errors
    /// `Internal` when the system has no randomness to give.
    pub fn ephemeral() -> Result<Self> {
        let (name, key) = random_key()?;
        let keys = HashMap::from([(name.clone(), aead_key(&key)?)]);
        let ring = RwLock::new(Arc::new(Ring { newest: name, keys }));
        Ok(Self { folder: None, ring, read_at: Mutex::new(Timestamp(0)) })
    }

    /// Seals a text for a purpose, with the newest key.
    ///
    /// # Errors
    /// `Internal` when sealing fails.
    pub fn seal(&self, purpose: &str, text: &str, now: Timestamp) -> Result<Sealed> {
        self.read_again_after(5, now);
        let ring = self.ring.read().clone();
        let key = ring.keys.get(&ring.newest).expect("a ring holds the key that it seals with");
        let mut bytes = text.as_bytes().to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut bytes)
            .map_err(|_| Error::internal("a secret could not be sealed", "the cipher failed"))?;
        let whole = [nonce.as_ref().as_slice(), &bytes].concat();
        Ok(Sealed { key_id: ring.newest.clone(), text: URL_SAFE_NO_PAD.encode(whole) })
    }

    /// Opens what was sealed for this very purpose; `None` for anything else.
    pub fn open(&self, purpose: &str, key_id: &str, sealed: &str, now: Timestamp) -> Option<String> {
        if !self.ring.read().keys.contains_key(key_id) {
            self.read_again_after(1, now);
        }
        let ring = self.ring.read().clone();
        let key = ring.keys.get(key_id)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = key.open_in_place(nonce, Aad::from(purpose.as_bytes()), text).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn read_again_after(&self, seconds: i64, now: Timestamp) {
        let Some(folder) = &self.folder else { return };
        {
            let mut read_at = self.read_at.lock();
            if now < read_at.plus_seconds(seconds) {
                return;
            }
            *read_at = now;
        }
        match read(folder) {
            Ok(ring) => *self.ring.write() = Arc::new(ring),
            Err(error) => {
                tracing::error!(error = crate::error::with_causes(&error), "credential keys could not be read");
            }
        }
    }
}

/// Adds a key that seals from now on; its name.
///
/// # Errors
/// `Internal` when the folder can't be written.
pub fn add_key(folder: &Path, now: Timestamp) -> Result<String> {
    create_folder(folder)?;
    let (name, key) = random_key()?;
    key_files::write(folder, now, &name, SUFFIX, &key)?;
    Ok(name)
}

/// Removes the keys that nothing is sealed with, once a newer one has been there for an hour.
///
/// # Errors
/// `Internal` when the folder can't be read or written.
pub fn remove_unused(folder: &Path, in_use: &[String], now: Timestamp) -> Result<()> {
    for pair in key_files::list(folder, SUFFIX)?.windows(2) {
        let [file, successor] = pair else { continue };
        if !in_use.contains(&file.name) && successor.created.plus_seconds(GRACE) < now {
            key_files::remove(&file.path)?;
        }
    }
    Ok(())
}

fn read(folder: &Path) -> Result<Ring> {
    let mut keys = HashMap::new();
    let mut newest = None;
    for file in key_files::list(folder, SUFFIX)? {
        keys.insert(file.name.clone(), aead_key(&key_files::read(&file.path)?)?);
        newest = Some(file.name);
    }
    let newest = newest.ok_or_else(|| Error::internal("there is no credential key", "the ring is empty"))?;
    Ok(Ring { newest, keys })
}

fn random_key() -> Result<(String, [u8; KEY_LENGTH])> {
    let mut key = [0; KEY_LENGTH];
    aws_lc_rs::rand::fill(&mut key)
        .map_err(|_| Error::internal("no random numbers", "the system's generator failed"))?;
    Ok((uuid::Uuid::new_v4().simple().to_string(), key))
}

fn aead_key(bytes: &[u8]) -> Result<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, bytes)
        .map_err(|_| Error::internal("a credential key could not be read", "it is not 32 bytes long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    #[test]
    fn what_is_sealed_is_opened_for_its_own_purpose_and_by_its_own_ring_alone() {
        let vault = Vault::ephemeral().unwrap();
        let sealed = vault.seal("credential a", "secret", NOW).unwrap();
        assert!(!sealed.text.contains("secret"));
        let open = |vault: &Vault, purpose: &str, text: &str| vault.open(purpose, &sealed.key_id, text, NOW);
        assert_eq!(open(&vault, "credential a", &sealed.text).as_deref(), Some("secret"));
        assert_eq!(open(&vault, "credential b", &sealed.text), None);
        assert_eq!(open(&Vault::ephemeral().unwrap(), "credential a", &sealed.text), None);
        let mut changed = sealed.text.clone().into_bytes();
        changed[20] ^= 1;
        assert_eq!(open(&vault, "credential a", &String::from_utf8(changed).unwrap()), None);
        for garbage in ["", "A", "!", &sealed.text[..10]] {
            assert_eq!(open(&vault, "credential a", garbage), None);
        }
    }

    #[test]
    fn the_same_text_is_sealed_differently_each_time() {
        let vault = Vault::ephemeral().unwrap();
        assert_ne!(vault.seal("a", "x", NOW).unwrap(), vault.seal("a", "x", NOW).unwrap());
    }

    #[test]
    fn a_rotation_reaches_a_running_process_and_old_secrets_stay_readable() {
        let folder = tempfile::tempdir().unwrap();
        let first = Vault::load_or_create(folder.path(), NOW).unwrap();
        let second = Vault::load_or_create(folder.path(), NOW).unwrap();
        let old = first.seal("a", "old", NOW).unwrap();
        let name = add_key(folder.path(), NOW.plus_seconds(1)).unwrap();
        let new = first.seal("a", "new", NOW.plus_seconds(7)).unwrap();
        assert_eq!(new.key_id, name);
        let later = NOW.plus_seconds(8);
        assert_eq!(second.open("a", &new.key_id, &new.text, later).as_deref(), Some("new"));
        assert_eq!(second.open("a", &old.key_id, &old.text, later).as_deref(), Some("old"));
    }

    #[test]
    fn a_key_goes_when_nothing_is_sealed_with_it_and_its_successor_is_known_everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let first = add_key(folder.path(), NOW).unwrap();
        let second = add_key(folder.path(), NOW.plus_seconds(1)).unwrap();
        let left = || -> Vec<String> {
            key_files::list(folder.path(), SUFFIX).unwrap().into_iter().map(|file| file.name).collect()
        };
        remove_unused(folder.path(), &[], NOW.plus_seconds(3000)).unwrap();
        assert_eq!(left().len(), 2, "a process may still seal with it");
        remove_unused(folder.path(), std::slice::from_ref(&first), NOW.plus_seconds(9000)).unwrap();
        assert_eq!(left().len(), 2, "it is in use");
        remove_unused(folder.path(), &[], NOW.plus_seconds(9000)).unwrap();
        assert_eq!(left(), [second], "the newest always stays");
    }

    #[test]
    fn key_files_are_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        Vault::load_or_create(&folder.path().join("keys"), NOW).unwrap();
        let file = key_files::list(&folder.path().join("keys"), SUFFIX).unwrap().remove(0);
        assert_eq!(std::fs::metadata(file.path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
