//! What runs machines: one trait, a simulator and libvirt behind it.
//!
//! Everything asked of a host is a *wish*: whole, serialisable, idempotent, and stamped with an [`Epoch`], so that the
//! same call can later travel to a `gapura node` on another host, be repeated after a crash, and be refused when a newer
//! wish has already arrived. Asking twice is asking once. Dropping a future does not stop the work behind it.

pub mod accelerator;
pub mod domain_xml;
mod epoch;
pub mod libvirt;
mod libvirt_connection;
mod libvirt_copy;
mod libvirt_ffi;
mod libvirt_guest;
mod libvirt_migration;
mod libvirt_progress;
mod moved_xml;
mod moving;
pub mod simulated;
mod xml;

pub use epoch::Epoch;
pub use libvirt_migration::MIGRATION_ROLE;
pub use moving::{Amount, Arrival, Carry, Counts, Departure, Limits, Offer, Phase, Progress, Standing, Steer};

use crate::error::Result;
use crate::ids::ServerId;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// A whole machine, as it shall run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Also the domain's UUID, so that a start repeated after a crash finds the same domain.
    pub id: ServerId,
    pub epoch: Epoch,
    /// The domain's name on the host: `instance-` and the id's first eight digits by default.
    pub name: String,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// In boot order. Targets are named in this order: `vda`, `vdb`, …
    pub disks: Vec<DiskSpec>,
    pub interfaces: Vec<InterfaceSpec>,
    /// The file that receives everything the guest writes to its serial port.
    pub console_log: PathBuf,
    /// What an operator sees in the domain's metadata element.
    pub about: About,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    pub path: PathBuf,
    pub format: DiskFormat,
    pub bus: DiskBus,
    /// A config drive is a read-only CD-ROM or disk.
    pub device: DiskDevice,
    pub read_only: bool,
}

/// Always stated, never probed: a guest can write any header it likes on its own disk (CVE-2024-32498 and kin).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    Raw,
    Qcow2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskBus {
    Virtio,
    Sata,
    Scsi,
    Ide,
    Usb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskDevice {
    Disk,
    Cdrom,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSpec {
    /// `fa:16:3e:…`, lower case.
    pub mac: String,
    /// The host's name for the tap device: at most 15 bytes, derived from the port's id.
    pub tap: String,
    /// The bridge the tap joins, as `fabric` named it.
    pub bridge: String,
    pub mtu: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub display_name: String,
    pub project_id: String,
    pub user_id: String,
    pub flavor_name: String,
}

/// What a machine does, as its host says. The numbers of Nova's `OS-EXT-STS:power_state` are [`Power::nova_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    Running,
    Paused,
    Shutdown,
    Crashed,
    /// Its guest went to sleep by itself.
    Suspended,
    /// Off, with its memory in a file from which it can go on.
    Saved,
    /// The host could not say.
    Unknown,
}

impl Power {
    pub const fn nova_code(self) -> i64 {
        match self {
            Self::Unknown => 0,
            Self::Running => 1,
            Self::Paused => 3,
            Self::Shutdown | Self::Saved => 4,
            Self::Crashed => 6,
            Self::Suspended => 7,
        }
    }
}

/// A machine of ours that a host has, running or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub id: ServerId,
    pub epoch: Epoch,
    pub power: Power,
    /// Loopback port of its VNC display while it runs.
    pub vnc_port: Option<u16>,
}

/// What a running machine has used so far. Numbers that its host does not count are negative.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Nanoseconds of each virtual CPU.
    pub cpu_times: Vec<u64>,
    pub memory_max_kib: u64,
    pub memory_used_kib: u64,
    /// In KiB, by libvirt's names (`actual`, `rss`, …).
    pub memory: Vec<(String, u64)>,
    pub disks: Vec<DiskUse>,
    pub interfaces: Vec<InterfaceUse>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// `vda`, `vdb`, …
    pub target: String,
    pub read_requests: i64,
    pub read_bytes: i64,
    pub write_requests: i64,
    pub write_bytes: i64,
    pub errors: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceUse {
    pub tap: String,
    pub mac: String,
    pub received: Traffic,
    pub sent: Traffic,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub bytes: i64,
    pub packets: i64,
    pub errors: i64,
    pub drops: i64,
}

/// Whether the guest's agent shall bring file systems to rest for the instant of which a copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quiesce {
    No,
    /// If there is an agent that can.
    Try,
    /// Or there shall be no copy.
    Must,
}

/// What a host is and has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// By which the hypervisor tells its machine from all others; empty: it doesn't say.
    #[serde(default)]
    pub uuid: String,
    pub hostname: String,
    /// `QEMU`, as Nova's `hypervisor_type` says for KVM and emulation alike; `TEST` and `simulated` otherwise.
    pub hypervisor_type: String,
    /// As libvirt counts: 1,000,000 × major + 1,000 × minor + release.
    pub hypervisor_version: u64,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub cpu: CpuFacts,
    pub accelerator: Accelerator,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuFacts {
    pub arch: String,
    pub model: String,
    pub vendor: String,
    pub features: Vec<String>,
    pub cells: u32,
    pub sockets: u32,
    pub cores: u32,
    pub threads: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    Kvm,
    /// Software emulation: KVM is absent, or a trial showed that it is only advertised.
    Tcg,
    /// A driver without machines of flesh: the simulator and `test:///default`.
    None,
}

/// What runs machines on one host. Every method is idempotent, and answers `Unavailable` while the host is away.
///
/// An order older than the newest seen for its machine is refused as a conflict. A host remembers epochs with the
/// machine; of a removed machine only for as long as the process lives, so a removal is the last order a task gives.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// What the host is and has.
    async fn facts(&self) -> Result<HostFacts>;

    /// How long the host runs and how busy it is, as `uptime` words it; `None`: it can't say.
    async fn uptime(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Every machine of ours, running or not, in one call. Machines made by other hands are not listed.
    async fn list(&self) -> Result<Vec<Machine>>;

    /// One machine; `None` when the host has none of that id.
    async fn find(&self, id: ServerId) -> Result<Option<Machine>>;

    /// Defines the machine as wished and runs it. Already running as this or an earlier wish: left running. Saved memory is
    /// thrown away.
    async fn start(&self, spec: &MachineSpec) -> Result<()>;

    /// Defines the machine as wished, and leaves it off. One that runs is left alone.
    async fn define(&self, spec: &MachineSpec) -> Result<()>;

    /// Saves the machine's memory to its host's disk and switches it off. Saved already is done; off is a conflict, absent
    /// is not found.
    async fn suspend(&self, id: ServerId, epoch: Epoch) -> Result<()>;

    /// Lets a machine go on from its saved memory; one without is started as wished, one that runs goes on.
    async fn wake(&self, spec: &MachineSpec) -> Result<()>;

    /// Stops the machine but keeps its definition. With `grace`, asks the guest first and waits so long; then the plug.
    /// A machine the host does not have is stopped already.
    async fn stop(&self, id: ServerId, epoch: Epoch, grace: Option<Duration>) -> Result<()>;

    /// Freezes the CPUs; already frozen is done. Stopped is a conflict, absent is not found; the same for `resume`.
    async fn pause(&self, id: ServerId, epoch: Epoch) -> Result<()>;

    /// Lets frozen CPUs go on.
    async fn resume(&self, id: ServerId, epoch: Epoch) -> Result<()>;

    /// Asks the guest to shut down and starts the machine as wished once it has; after `grace` without effect, answers
    /// `Ok(false)` with the machine untouched, so that the caller can reset it.
    async fn reboot_softly(&self, spec: &MachineSpec, grace: Duration) -> Result<bool>;

    /// Copies the machine's first disk as it is at one instant, whole, into a new qcow2 file, while the machine goes on.
    /// `Ok(false)`: it does not run, so its files stand still and can be read. Asked again, it begins again.
    async fn copy_disk(&self, id: ServerId, epoch: Epoch, target: &Path, quiesce: Quiesce) -> Result<bool>;

    /// Sets a user's password by way of the guest's agent. Without one: not implemented. Off: a conflict.
    async fn set_password(&self, id: ServerId, user: &str, password: &str) -> Result<()>;

    /// Sends the guest an interrupt that it can't ignore: one that is prepared for it dumps its memory.
    async fn interrupt(&self, id: ServerId) -> Result<()>;

    /// What a running machine has used. Off is a conflict, absent is not found.
    async fn diagnostics(&self, id: ServerId) -> Result<Diagnostics>;

    /// What a running machine asks of a host that it is to move to. Off is a conflict, absent is not found.
    async fn offer(&self, id: ServerId) -> Result<Offer>;

    /// May the machine come in from another host, as this wish would have it run here? Answers where to. Nothing of it is
    /// kept here but what comes by itself: a machine that already runs here is left alone.
    ///
    /// # Errors
    /// `BadRequest` in Nova's words for a host that it can't run on.
    async fn receive(&self, there: &MachineSpec, offer: &Offer) -> Result<Arrival>;

    /// Begins to move a running machine to another host. Under way already is done. A move that was torn after the switch is
    /// taken up again where it was.
    ///
    /// # Errors
    /// `NotImplemented` for a torn move where one of the two hosts can't do that.
    async fn migrate(&self, wish: &Departure) -> Result<()>;

    /// How far the machine's move is; of one that is over, how it went, as far as this host remembers. `None`: it knows of
    /// none. Asked of the source, and after the end of the target, which has the last numbers.
    async fn migration(&self, id: ServerId) -> Result<Option<Progress>>;

    /// Changes how a move goes, or ends it. None under way is done.
    async fn steer_migration(&self, id: ServerId, epoch: Epoch, steer: Steer) -> Result<()>;

    /// Who of two hosts runs the machine is asked of both.
    async fn standing(&self, id: ServerId) -> Result<Standing>;

    /// Destroys and undefines the machine, whatever it does. Already gone is done. Its files are not touched.
    async fn remove(&self, id: ServerId, epoch: Epoch) -> Result<()>;

    /// Changes whenever a machine of this host may have started, stopped or changed by itself. Only a reason to look:
    /// signals are lost while a host is away, so whoever watches must also look now and then. `None`: never signals.
    fn events(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}
