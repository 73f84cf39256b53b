//! A running machine's way from one host to another, as it is asked of the two.
//!
//! ```text
//!   source                                 target
//!   offer ──────── Offer ────────────────► receive      may it come? then where to
//!   migrate ◄───── Arrival ───────────────
//!   migration, steer_migration             (hypervisors talk to each other)
//!   standing ◄───── who runs it now? ─────► standing
//! ```
//! The move itself is a job of the source's hypervisor, which is begun and then looked at: whoever began it may die, and
//! come back, and look again. What a job says of its own end is a hint for the record; what is true is what the two hosts
//! say of the machine when no job goes on ([`Standing`]).
//!
//! After the switch to post-copy neither host has the whole guest: if they then lose each other, it can only be put together
//! again, which is asked for as the move itself was, or it is lost.

use super::{Epoch, MachineSpec, Power};
use crate::error::{Error, Result};
use crate::ids::ServerId;
use serde::{Deserialize, Serialize};

/// What a machine asks of a host that it comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub hypervisor_type: String,
    /// As [`HostFacts`](super::HostFacts) counts: no host takes a machine of a newer hypervisor than its own.
    pub hypervisor_version: u64,
    /// The CPU that the guest sees, in libvirt's XML; `None` where every host can give it.
    pub cpu: Option<String>,
}

impl Offer {
    /// Can a hypervisor of this type and version run the machine?
    ///
    /// # Errors
    /// `BadRequest` in Nova's words.
    pub fn check(&self, hypervisor_type: &str, hypervisor_version: u64) -> Result<()> {
        if self.hypervisor_type != hypervisor_type {
            return Err(Error::bad_request("The supplied hypervisor type of is invalid."));
        }
        if self.hypervisor_version > hypervisor_version {
            let text = "The instance requires a newer hypervisor version than has been provided.";
            return Err(Error::bad_request(text));
        }
        Ok(())
    }
}

/// Where a host takes machines in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// What the other host's hypervisor connects to.
    pub address: String,
    /// Of the host's hypervisor: what both know is used.
    pub hypervisor_version: u64,
    /// Whom the host's certificate names, for moves over TLS; `None`: the host in `address`.
    #[serde(default)]
    pub tls_name: Option<String>,
    /// Of what drives the hypervisor there; 0: it did not say.
    #[serde(default)]
    pub driver_version: u64,
}

/// How the machine's disks get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carry {
    /// Both hosts see the same files.
    Nothing,
    /// What the guest wrote over its image, which the other host has too.
    Changes,
    /// Everything that the guest can read: disks of several layers.
    Whole,
}

/// How a move is to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// MiB a second; `None`: as fast as it goes.
    pub bandwidth_mib: Option<u64>,
    /// Slow a guest down that changes its memory faster than it can be sent.
    pub auto_converge: bool,
    /// May the guest go on at the other host before all its memory is there? Begun only by [`Steer::Hasten`].
    pub post_copy: bool,
    /// Connections at once, where both hypervisors can; 0 and 1: one.
    pub connections: u32,
    /// Compress memory with zstd, where both can.
    pub zstd: bool,
    /// What is sent goes over TLS, with the certificates that the two hypervisors have for it.
    pub tls: bool,
}

/// A whole wish: this machine to that host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    pub id: ServerId,
    pub epoch: Epoch,
    pub to: Arrival,
    /// The machine as it shall run there: its files, its bridges.
    pub there: MachineSpec,
    pub carry: Carry,
    pub limits: Limits,
}

/// What is asked of a move under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Steer {
    /// The machine stays where it is.
    Abort,
    /// Whatever it costs the guest: post-copy where the move allows it, else a guest that stands still until it is there.
    Hasten,
    /// The guest may stand still for so many milliseconds at the switch.
    Downtime(u64),
}

/// How far a move is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The guest runs at the source.
    Copying,
    /// It runs at the target, and fetches what it lacks.
    PostCopy,
    /// It is at the target, and what it lacks does not come: why.
    Torn(String),
    Completed,
    Failed(String),
}

impl Phase {
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed(_))
    }
}

/// Bytes of one sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub total: u64,
    pub processed: u64,
    pub remaining: u64,
}

/// What a hypervisor counts of a move; what it did not count is 0, or `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub elapsed_ms: u64,
    /// Expected while it goes on; at the end, how long the guest stood still.
    pub downtime_ms: Option<u64>,
    pub setup_ms: Option<u64>,
    pub memory: Amount,
    pub disk: Amount,
    /// How often memory was gone through.
    pub iterations: u64,
    /// Bytes of memory that the guest changes in a second.
    pub dirty_rate: u64,
    /// Bytes a second.
    pub memory_speed: u64,
    pub disk_speed: u64,
    /// By how many percent the guest is slowed down.
    pub throttle: u64,
    /// Pages that the guest waited for after the switch.
    pub postcopy_requests: u64,
}

/// A move as its host tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub phase: Phase,
    pub counts: Counts,
}

/// What of a machine is true on one host, moves looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Absent,
    /// Known, and without a process.
    Off,
    /// There is a process, and a move holds its CPUs: it is on its way in, or about to be out. When no move goes on any more,
    /// one that was about to leave may go on.
    Held,
    /// There is a process whose guest went on elsewhere before its memory was there: it must never go on.
    HandedOver,
    /// There is a process whose guest went on here before its memory was there, and fetches that.
    Fetching,
    /// The same, and the rest of its memory does not come.
    Torn,
    /// The host is who runs it, or keeps it frozen for its owner.
    Runs(Power),
}
