//! The stamp that every order to a host carries, so that an old one arriving late does no harm.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Grows with every task that gives orders about a machine; a host refuses orders older than the newest it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// May an order of this epoch be carried out where `seen` is the newest so far? As new or newer: yes.
    pub fn admit(self, seen: Epoch) -> Result<()> {
        if self < seen {
            let text = format!("An order of epoch {} came after one of epoch {}.", self.0, seen.0);
            return Err(Error::conflict(text));
        }
        Ok(())
    }
}
