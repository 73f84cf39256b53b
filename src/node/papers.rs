//! What a host and its controller tell each other of themselves: versions, clocks, and certificates before they end.
//!
//! ```text
//!   controller ── hello ──────────► host      what runs there, what time it is, which certificates it needs
//!   controller ── certificates ───► host      those, and its own anew
//! ```
//! A host's own certificate is renewed for the key that it has. The controller writes the new one down first, and believes
//! either until the host has it: whoever of the two is lost in between, they know each other again.

use super::certificates::{Granted, Wanted};
use crate::certificate;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: String,
    pub now: Timestamp,
    /// Hexadecimal: what the host's own certificate is for.
    pub public_key: String,
    pub begins: Timestamp,
    pub ends: Timestamp,
    /// For its hypervisor.
    #[serde(default)]
    pub wanted: Vec<Wanted>,
}

impl Hello {
    /// Is the host's own certificate to be renewed?
    pub fn is_due(&self, now: Timestamp) -> bool {
        certificate::is_due(self.begins, self.ends, now)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// The host's own, hexadecimal.
    #[serde(default)]
    pub own: Option<String>,
    #[serde(default)]
    pub granted: Vec<Granted>,
}

/// What a host keeps of itself.
pub trait Papers: Send + Sync {
    /// # Errors
    /// `Internal` when something of it can't be read.
    fn hello(&self) -> Result<Hello>;

    /// Keeps what was certified, and shows it from now on. Twice is once.
    ///
    /// # Errors
    /// `BadRequest` for what is not for its keys; `Internal` when something can't be written.
    fn take(&self, renewed: &Renewed) -> Result<()>;
}

/// A host that keeps nothing: for tests of other things.
pub struct None;

impl Papers for None {
    fn hello(&self) -> Result<Hello> {
        Err(Error::NotImplemented("This host keeps no certificates".to_owned()))
    }

    fn take(&self, _: &Renewed) -> Result<()> {
        Err(Error::NotImplemented("This host keeps no certificates".to_owned()))
    }
}
