//! The files that token keys are kept in, and the ring a running process makes of them.
//!
//! `<state_dir>/keys/<created>-<kid>.p8`, PKCS#8 in DER, readable by the owner alone. The newest file signs; older ones
//! verify until no token signed with them can be alive. Every process reads the folder again when it meets a key it does
//! not know (at most once a second, so that made-up tokens cost nothing) and every five seconds before it signs, so a
//! rotation reaches all of them without a word.

use crate::clock::Timestamp;
use crate::cloud::token::{Claims, KeyRing, SigningKey, Told, kid_of};
use crate::error::Result;
use crate::key_files::{self, create_folder};
use parking_lot::{Mutex, RwLock};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SUFFIX: &str = "p8";

/// The ring in use.
pub struct Keys {
    folder: Option<PathBuf>,
    ring: RwLock<Arc<KeyRing>>,
    read_at: Mutex<Timestamp>,
}

impl Keys {
    /// Reads the folder's keys; makes the first one when there is none.
    ///
    /// # Errors
    /// `Internal` when the folder can't be read or written.
    pub fn load_or_create(folder: &Path, now: Timestamp) -> Result<Self> {
        create_folder(folder)?;
        if files(folder)?.is_empty() {
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
        let ring = RwLock::new(Arc::new(KeyRing::new(vec![SigningKey::generate()?])?));
        Ok(Self { folder: None, ring, read_at: Mutex::new(Timestamp(0)) })
    }

    /// Signs with the newest key.
    ///
    /// # Errors
    /// `Internal` when signing fails.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<String> {
        self.read_again_after(5, now);
        self.ring.read().clone().sign(claims)
    }

    /// Signs with the newest key, and tells those who verify without asking what they need.
    ///
    /// # Errors
    /// `Internal` when signing fails.
    pub fn sign_and_tell(&self, claims: &Claims, told: &Told, now: Timestamp) -> Result<String> {
        self.read_again_after(5, now);
        self.ring.read().clone().sign_and_tell(claims, told)
    }

    /// The public keys, the one that signs first.
    pub fn jwks(&self, now: Timestamp) -> Vec<serde_json::Value> {
        self.read_again_after(1, now);
        self.ring.read().jwks()
    }

    /// Reads a token that one of the keys has signed; whether it has expired is not looked at.
    ///
    /// # Errors
    /// `Unauthorized` for anything else.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims> {
        if kid_of(token).is_some_and(|kid| !self.ring.read().has(&kid)) {
            self.read_again_after(1, now);
        }
        self.ring.read().clone().verify(token)
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
            Err(error) => tracing::error!(error = crate::error::with_causes(&error), "token keys could not be read"),
        }
    }
}

/// Adds a key that signs from now on, and removes those that no living token can need: their successors are older than
/// twice the longest life of a token. Answers the new key's name.
///
/// # Errors
/// `Internal` when the folder can't be read or written.
pub fn rotate(folder: &Path, now: Timestamp, longest_life_seconds: i64) -> Result<String> {
    create_folder(folder)?;
    let kid = add_key(folder, now)?;
    let files = files(folder)?;
    for pair in files.windows(2) {
        let [(_, file), (successor_created, _)] = pair else { continue };
        if successor_created.plus_seconds(2 * longest_life_seconds + 120) < now {
            key_files::remove(file)?;
        }
    }
    Ok(kid)
}

fn add_key(folder: &Path, now: Timestamp) -> Result<String> {
    let key = SigningKey::generate()?;
    key_files::write(folder, now, &key.kid, SUFFIX, &key.private)?;
    Ok(key.kid)
}

/// Key files with the time they were made, oldest first.
fn files(folder: &Path) -> Result<Vec<(Timestamp, PathBuf)>> {
    Ok(key_files::list(folder, SUFFIX)?.into_iter().map(|file| (file.created, file.path)).collect())
}

fn read(folder: &Path) -> Result<KeyRing> {
    let mut keys = Vec::new();
    for (_, path) in files(folder)? {
        keys.push(SigningKey::from_pkcs8(&key_files::read(&path)?)?);
    }
    KeyRing::new(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    fn claims() -> Claims {
        Claims {
            sub: "alice".into(),
            iat: 1,
            exp: 2,
            methods: vec![],
            audit_ids: vec!["a".to_owned()],
            system: None,
            domain_id: None,
            project_id: None,
            application_credential_id: None,
            trust_id: None,
            issued_at: NOW,
        }
    }

    #[test]
    fn a_rotation_reaches_a_running_process_and_old_tokens_stay_valid() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::load_or_create(folder.path(), NOW).unwrap();
        let second = Keys::load_or_create(folder.path(), NOW).unwrap();
        let old = first.sign(&claims(), NOW).unwrap();
        rotate(folder.path(), NOW.plus_seconds(1), 3600).unwrap();
        let new = first.sign(&claims(), NOW.plus_seconds(61)).unwrap();
        assert_ne!(kid_of(&old), kid_of(&new));
        assert!(second.verify(&new, NOW.plus_seconds(61)).is_ok());
        assert!(second.verify(&old, NOW.plus_seconds(61)).is_ok());
    }

    #[test]
    fn a_key_goes_when_no_token_it_signed_can_be_alive() {
        let folder = tempfile::tempdir().unwrap();
        Keys::load_or_create(folder.path(), NOW).unwrap();
        rotate(folder.path(), NOW.plus_seconds(10), 3600).unwrap();
        rotate(folder.path(), NOW.plus_seconds(5000), 3600).unwrap();
        assert_eq!(files(folder.path()).unwrap().len(), 3, "the first one's tokens may still live");
        rotate(folder.path(), NOW.plus_seconds(7400), 3600).unwrap();
        assert_eq!(files(folder.path()).unwrap().len(), 3, "the first one is gone");
    }

    #[test]
    fn key_files_are_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        Keys::load_or_create(&folder.path().join("keys"), NOW).unwrap();
        let (_, file) = files(&folder.path().join("keys")).unwrap().remove(0);
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
