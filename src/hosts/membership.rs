//! What a machine keeps of its membership in a cloud: one file in `node/` of its state directory, readable by the owner
//! alone, which is there whole or not at all.

use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ids::HostId;
use crate::key_files;
use crate::node::authority::Identity;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const SUFFIX: &str = "json";

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub cloud: String,
    pub id: HostId,
    pub name: String,
    /// The UUID of the machine's hypervisor.
    pub machine: String,
    /// Hexadecimal, as are the next two.
    key: String,
    certificate: String,
    authority: String,
}

fn folder(config: &Config) -> PathBuf {
    config.state_dir.join("node")
}

fn damaged(why: impl std::fmt::Display) -> Error {
    Error::internal("what this machine keeps of its cloud is damaged", why.to_string())
}

impl Membership {
    pub fn new(cloud: String, id: HostId, name: String, machine: String, identity: &Identity) -> Self {
        Self {
            cloud,
            id,
            name,
            machine,
            key: hex::encode(identity.key.secret_der()),
            certificate: hex::encode(&identity.certificate),
            authority: hex::encode(&identity.authority),
        }
    }

    /// The newest; `None` where the machine never joined a cloud.
    ///
    /// # Errors
    /// `Internal` when it can't be read.
    pub fn load(config: &Config) -> Result<Option<Self>> {
        let folder = folder(config);
        if !folder.exists() {
            return Ok(None);
        }
        let Some(newest) = key_files::list(&folder, SUFFIX)?.pop() else { return Ok(None) };
        serde_json::from_slice(&key_files::read(&newest.path)?).map(Some).map_err(damaged)
    }

    /// Keeps it in place of an earlier one.
    ///
    /// # Errors
    /// `Internal` when it can't be written.
    pub fn keep(&self, config: &Config, now: Timestamp) -> Result<()> {
        let folder = folder(config);
        key_files::create_folder(&folder)?;
        let earlier = key_files::list(&folder, SUFFIX)?;
        let text = serde_json::to_vec_pretty(self).map_err(damaged)?;
        key_files::write(&folder, now, "host", SUFFIX, &text)?;
        earlier.iter().try_for_each(|file| key_files::remove(&file.path))
    }

    /// With another certificate for its key.
    #[must_use]
    pub fn renewed(&self, certificate: &[u8]) -> Self {
        Self { certificate: hex::encode(certificate), ..self.clone() }
    }

    /// # Errors
    /// `Internal` when it is damaged.
    pub fn identity(&self) -> Result<Identity> {
        let bytes = |text: &str| hex::decode(text).map_err(damaged);
        let key: PrivateKeyDer<'static> = PrivatePkcs8KeyDer::from(bytes(&self.key)?).into();
        Ok(Identity { certificate: bytes(&self.certificate)?.into(), key, authority: bytes(&self.authority)?.into() })
    }
}
