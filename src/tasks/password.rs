//! A password on its way to a guest: kept in the row of the work that carries it there, sealed, so that who reads the
//! database can't log in to the guest.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::ServerId;
use crate::vault::{Sealed, Vault};
use serde::{Deserialize, Serialize};

/// None, or one that the vault can read for the server that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(Option<Locked>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Locked {
    key_id: String,
    text: String,
}

fn purpose(server: ServerId) -> String {
    format!("admin-password {server}")
}

impl Password {
    /// # Errors
    /// `Internal` when it can't be sealed.
    pub fn seal(vault: &Vault, server: ServerId, text: Option<&str>, now: Timestamp) -> Result<Self> {
        let Some(text) = text else { return Ok(Self(None)) };
        let Sealed { key_id, text } = vault.seal(&purpose(server), text, now)?;
        Ok(Self(Some(Locked { key_id, text })))
    }

    /// # Errors
    /// `Internal` when the key is gone, or the row was moved to another server.
    pub fn open(&self, vault: &Vault, server: ServerId, now: Timestamp) -> Result<Option<String>> {
        let Some(Locked { key_id, text }) = &self.0 else { return Ok(None) };
        let opened = vault.open(&purpose(server), key_id, text, now);
        let lost = || Error::internal("a password can't be read any more", "its key is gone");
        opened.map(Some).ok_or_else(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_by_the_vault_for_its_own_server_alone() {
        let (vault, now) = (Vault::ephemeral().unwrap(), Timestamp(0));
        let (server, other) = (ServerId::random(), ServerId::random());
        let password = Password::seal(&vault, server, Some("s3cret-word"), now).unwrap();
        let kept = serde_json::to_string(&password).unwrap();
        assert!(!kept.contains("s3cret-word"), "{kept}");
        let read: Password = serde_json::from_str(&kept).unwrap();
        assert_eq!(read.open(&vault, server, now).unwrap().as_deref(), Some("s3cret-word"));
        assert!(read.open(&vault, other, now).is_err());
        assert!(read.open(&Vault::ephemeral().unwrap(), server, now).is_err());
        assert_eq!(Password::default().open(&vault, server, now).unwrap(), None);
    }
}
