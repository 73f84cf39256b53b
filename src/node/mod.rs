//! A host that is another machine: the same program there carries out what is asked of `hypervisor`, `disks` and `fabric`.
//!
//! ```text
//!  controller                                               the other host
//!  tasks ─► dyn Hypervisor = RemoteHypervisor ─┐            ┌─► dyn Hypervisor = Libvirt
//!           dyn Disks      = RemoteDisks      ─┼─ Channel ══ server ─► dyn Disks = LocalDisks
//!           dyn Fabric     = RemoteFabric     ─┘  mutual TLS └─► dyn Fabric     = LinuxFabric
//! ```
//! Wishes are whole, serialisable and carry an epoch, so they travel as they are; nothing above the three traits knows
//! where a host is. A host refuses older orders there as it does here. What a call is, is said once, in [`calls`]: a line
//! makes the message, its sender and its receiver. [`wire`] says how failures keep their kind, [`server`] and [`remote`]
//! how the two ends speak, [`authority`] and [`trust`] who believes whom, [`joining`] how that begins, [`papers`] how it
//! goes on, [`certificates`] what hypervisors show each other.
//!
//! The controller calls the host, and keeps asking what changes there. A host behind a gate that only lets it call out
//! would want it the other way round; but orders begin at the controller, so this way each is one exchange whose failure is
//! seen at once by whoever gave it, and a host that comes back need do nothing but listen.

pub mod authority;
pub mod calls;
pub mod certificates;
#[cfg(test)]
mod dialect_tests;
pub mod joining;
pub mod listener;
pub mod papers;
pub mod remote;
pub mod server;
pub mod testing;
#[cfg(test)]
mod tests;
pub mod trust;
pub mod wire;

use crate::disks::Disks;
use crate::fabric::Fabric;
use crate::hypervisor::Hypervisor;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What is said, in which words. A host that is one behind or one ahead is understood, so that hosts and controller can be
/// brought to a new version one after the other.
///
/// 2: `hello` and `certificates`, with which a host says its version and time and gets certificates anew; a machine asks for
/// its hypervisor's when it joins; a move's target says whom its certificate names.
pub const PROTOCOL: u32 = 2;

/// Each end says its protocol with every message.
const PROTOCOL_HEADER: &str = "gapura-protocol";
/// A host says the version of its program with every answer.
const VERSION_HEADER: &str = "gapura-version";
/// Which image the bytes of a request are, as JSON.
const BASE_HEADER: &str = "gapura-base";
/// Which disk of which machine they are, as JSON.
const PART_HEADER: &str = "gapura-part";
/// How many bytes an answer will have.
const SIZE_HEADER: &str = "gapura-size";

/// While a call is worked on, its host gives a sign of life so often. The controller waits a few times as long.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);

/// The three things asked of a host.
#[derive(Clone)]
pub struct Parts {
    pub hypervisor: Arc<dyn Hypervisor>,
    pub disks: Arc<dyn Disks>,
    pub fabric: Arc<dyn Fabric>,
}

/// Resolves when the process is to end.
pub async fn told_to_stop(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a reason to stop too.
    drop(stopped.wait_for(|stop| *stop).await);
}

/// Of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Do two ends understand each other?
pub const fn understands(theirs: u32) -> bool {
    theirs.abs_diff(PROTOCOL) <= 1
}
