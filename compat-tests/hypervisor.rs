//! The contract of `Hypervisor`, held by each driver: the simulator, libvirt's test driver, and qemu by way of libvirt.
//!
//! qemu is tried when `GAPURA_TEST_LIBVIRT_URI` names a libvirtd (`harness/libvirtd.sh start DIR` prints one).

use gapura::disks::simulated::SimulatedDisks;
use gapura::error::Error;
use gapura::fabric::simulated::SimulatedFabric;
use gapura::hypervisor::accelerator::AcceleratorChoice;
use gapura::hypervisor::libvirt::Libvirt;
use gapura::hypervisor::simulated::Simulated;
use gapura::hypervisor::{
    About, DiskBus, DiskDevice, DiskFormat, DiskSpec, Epoch, Hypervisor, Machine, MachineSpec, Power, Quiesce,
};
use gapura::ids::ServerId;
use gapura::node::{Parts, testing::OtherHost};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A driver and what the contract needs besides: a place for files, and drivers of a second cloud on the same host.
struct Subject {
    host: Arc<dyn Hypervisor>,
    neighbour: Option<Arc<dyn Hypervisor>>,
    folder: tempfile::TempDir,
    has_disks: bool,
    /// Does a guest without a system react to the power button? The two pretended ones do.
    obeys_power_button: bool,
}

impl Subject {
    fn simulated() -> Self {
        Self {
            host: Simulated::new(4, 4096),
            neighbour: None,
            folder: tempfile::tempdir().unwrap(),
            has_disks: false,
            obeys_power_button: true,
        }
    }

    fn libvirt(uri: &str) -> Self {
        let connect = |cloud: &str| Arc::new(Libvirt::connect(uri, cloud, AcceleratorChoice::Tcg));
        let is_real = !uri.starts_with("test:");
        Self {
            host: connect(&format!("contract-{}", ServerId::random())),
            neighbour: Some(connect("neighbour")),
            folder: tempfile::tempdir().unwrap(),
            has_disks: is_real,
            obeys_power_button: !is_real,
        }
    }

    /// The same on another host, over TLS. It is there as long as what comes with it.
    async fn elsewhere(self) -> (Self, OtherHost) {
        let (hypervisor, disks, fabric) = (self.host, SimulatedDisks::new(), Arc::new(SimulatedFabric::new()));
        let other = OtherHost::carrying(Parts { hypervisor, disks, fabric }).await.unwrap();
        let host = other.parts().unwrap().hypervisor;
        (Self { host, ..self }, other)
    }

    fn spec(&self, epoch: u64) -> MachineSpec {
        empty_machine(self.folder.path(), self.has_disks, epoch)
    }

    async fn find(&self, id: ServerId) -> Option<Machine> {
        self.host.find(id).await.unwrap()
    }

    async fn power(&self, id: ServerId) -> Power {
        self.find(id).await.unwrap().power
    }
}

/// A small machine with an empty disk: it runs its BIOS and waits.
pub fn empty_machine(folder: &Path, has_disks: bool, epoch: u64) -> MachineSpec {
    let id = ServerId::random();
    let disk = folder.join(format!("{id}.raw"));
    if has_disks {
        std::fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    }
    MachineSpec {
        id,
        epoch: Epoch(epoch),
        name: format!("instance-{id}"),
        vcpus: 1,
        memory_mib: 64,
        disks: vec![DiskSpec {
            path: disk,
            format: DiskFormat::Raw,
            bus: DiskBus::Virtio,
            device: DiskDevice::Disk,
            read_only: false,
        }],
        interfaces: Vec::new(),
        console_log: folder.join(format!("{id}.log")),
        about: About { display_name: "</name><evil/>\u{1b}".to_owned(), ..About::default() },
    }
}

fn assert_conflict<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert!(matches!(answer, Err(Error::Conflict(_))), "{answer:?}");
}

async fn starting_twice_is_starting_once(subject: &Subject) {
    let spec = subject.spec(5);
    subject.host.start(&spec).await.unwrap();
    let first = subject.find(spec.id).await.unwrap();
    assert_eq!((first.power, first.epoch), (Power::Running, Epoch(5)));
    subject.host.start(&spec).await.unwrap();
    assert_eq!(subject.find(spec.id).await.unwrap(), first);
    subject.host.remove(spec.id, Epoch(5)).await.unwrap();
}

async fn stopping_twice_is_stopping_once_and_the_machine_stays_known(subject: &Subject) {
    let spec = subject.spec(1);
    subject.host.stop(spec.id, Epoch(1), None).await.unwrap();
    subject.host.start(&spec).await.unwrap();
    for _ in 0..2 {
        subject.host.stop(spec.id, Epoch(1), None).await.unwrap();
        let stopped = subject.find(spec.id).await.unwrap();
        assert_eq!((stopped.power, stopped.vnc_port), (Power::Shutdown, None));
    }
    subject.host.start(&spec).await.unwrap();
    assert_eq!(subject.power(spec.id).await, Power::Running);
    subject.host.remove(spec.id, Epoch(1)).await.unwrap();
}

async fn pausing_and_resuming_twice_is_doing_it_once(subject: &Subject) {
    let spec = subject.spec(1);
    subject.host.start(&spec).await.unwrap();
    for _ in 0..2 {
        subject.host.pause(spec.id, Epoch(1)).await.unwrap();
        assert_eq!(subject.power(spec.id).await, Power::Paused);
    }
    for _ in 0..2 {
        subject.host.resume(spec.id, Epoch(1)).await.unwrap();
        assert_eq!(subject.power(spec.id).await, Power::Running);
    }
    subject.host.stop(spec.id, Epoch(1), None).await.unwrap();
    assert_conflict(subject.host.pause(spec.id, Epoch(1)).await);
    assert_conflict(subject.host.resume(spec.id, Epoch(1)).await);
    subject.host.remove(spec.id, Epoch(1)).await.unwrap();
    assert!(subject.host.pause(spec.id, Epoch(1)).await.unwrap_err().is_not_found());
}

async fn suspending_and_waking_twice_is_doing_it_once(subject: &Subject) {
    let spec = subject.spec(1);
    assert!(subject.host.suspend(spec.id, Epoch(1)).await.unwrap_err().is_not_found());
    subject.host.start(&spec).await.unwrap();
    for _ in 0..2 {
        subject.host.suspend(spec.id, Epoch(2)).await.unwrap();
        let saved = subject.find(spec.id).await.unwrap();
        assert_eq!((saved.power, saved.vnc_port, saved.epoch), (Power::Saved, None, Epoch(2)));
    }
    let later = MachineSpec { epoch: Epoch(3), ..spec.clone() };
    for _ in 0..2 {
        subject.host.wake(&later).await.unwrap();
        let awake = subject.find(spec.id).await.unwrap();
        assert_eq!((awake.power, awake.epoch), (Power::Running, Epoch(3)), "whatever epoch its memory was saved under");
    }
    subject.host.suspend(spec.id, Epoch(3)).await.unwrap();
    subject.host.start(&later).await.unwrap();
    assert_eq!(subject.power(spec.id).await, Power::Running, "without its memory");
    subject.host.stop(spec.id, Epoch(3), None).await.unwrap();
    assert_eq!(subject.power(spec.id).await, Power::Shutdown, "and nothing of that is left");
    assert_conflict(subject.host.suspend(spec.id, Epoch(3)).await);
    subject.host.wake(&later).await.unwrap();
    assert_eq!(subject.power(spec.id).await, Power::Running, "what has no saved memory is started");
    subject.host.suspend(spec.id, Epoch(3)).await.unwrap();
    subject.host.remove(spec.id, Epoch(3)).await.unwrap();
    assert_eq!(subject.find(spec.id).await, None);
}

async fn what_is_only_defined_is_off_and_what_runs_is_left_alone(subject: &Subject) {
    let spec = subject.spec(1);
    for _ in 0..2 {
        subject.host.define(&spec).await.unwrap();
        assert_eq!(subject.power(spec.id).await, Power::Shutdown);
    }
    subject.host.start(&spec).await.unwrap();
    subject.host.define(&spec).await.unwrap();
    assert_eq!(subject.power(spec.id).await, Power::Running);
    subject.host.remove(spec.id, Epoch(1)).await.unwrap();
}

async fn only_what_runs_can_be_told_of_copied_and_interrupted(subject: &Subject) {
    let spec = subject.spec(1);
    assert!(subject.host.diagnostics(spec.id).await.unwrap_err().is_not_found());
    subject.host.define(&spec).await.unwrap();
    let target = subject.folder.path().join(format!("{}.copy", spec.id));
    assert_conflict(subject.host.diagnostics(spec.id).await);
    assert_conflict(subject.host.interrupt(spec.id).await);
    assert_conflict(subject.host.set_password(spec.id, "root", "x").await);
    assert!(!subject.host.copy_disk(spec.id, Epoch(1), &target, Quiesce::No).await.unwrap());
    subject.host.start(&spec).await.unwrap();
    let used = subject.host.diagnostics(spec.id).await.unwrap();
    assert_eq!((used.disks.len(), used.memory_max_kib), (1, 64 * 1024));
    if subject.has_disks {
        assert_eq!((used.disks[0].target.as_str(), used.cpu_times.len()), ("vda", 1));
        for _ in 0..2 {
            assert!(subject.host.copy_disk(spec.id, Epoch(1), &target, Quiesce::Try).await.unwrap());
            let copy = std::fs::read(&target).unwrap();
            assert_eq!((&copy[..4], &copy[8..16]), (&b"QFI\xfb"[..], &[0; 8][..]), "qcow2 with nothing behind it");
            std::fs::remove_file(&target).unwrap();
        }
        assert_conflict(subject.host.copy_disk(spec.id, Epoch(1), &target, Quiesce::Must).await);
        assert_eq!(subject.power(spec.id).await, Power::Running);
        subject.host.interrupt(spec.id).await.unwrap();
        let silent = subject.host.set_password(spec.id, "root", "x").await;
        assert!(matches!(silent, Err(Error::NotImplemented(_))), "{silent:?}");
    }
    subject.host.remove(spec.id, Epoch(1)).await.unwrap();
}

async fn removing_twice_is_removing_once(subject: &Subject) {
    let spec = subject.spec(1);
    subject.host.start(&spec).await.unwrap();
    subject.host.remove(spec.id, Epoch(1)).await.unwrap();
    subject.host.remove(spec.id, Epoch(1)).await.unwrap();
    assert_eq!(subject.find(spec.id).await, None);
    subject.host.remove(ServerId::random(), Epoch(1)).await.unwrap();
}

async fn an_order_older_than_the_newest_is_refused(subject: &Subject) {
    let spec = subject.spec(3);
    subject.host.start(&spec).await.unwrap();
    subject.host.pause(spec.id, Epoch(7)).await.unwrap();
    assert_eq!(subject.find(spec.id).await.unwrap().epoch, Epoch(7));
    let grace = Duration::from_secs(5);
    assert_conflict(subject.host.start(&spec).await);
    assert_conflict(subject.host.stop(spec.id, Epoch(6), None).await);
    assert_conflict(subject.host.stop(spec.id, Epoch(6), Some(grace)).await);
    assert_conflict(subject.host.pause(spec.id, Epoch(6)).await);
    assert_conflict(subject.host.resume(spec.id, Epoch(6)).await);
    assert_conflict(subject.host.reboot_softly(&spec, grace).await);
    assert_conflict(subject.host.define(&spec).await);
    assert_conflict(subject.host.suspend(spec.id, Epoch(6)).await);
    assert_conflict(subject.host.wake(&spec).await);
    assert_conflict(subject.host.copy_disk(spec.id, Epoch(6), subject.folder.path(), Quiesce::No).await);
    assert_conflict(subject.host.remove(spec.id, Epoch(6)).await);
    assert_eq!(subject.power(spec.id).await, Power::Paused);
    subject.host.remove(spec.id, Epoch(7)).await.unwrap();
    assert_conflict(subject.host.start(&spec).await);
    assert_eq!(subject.find(spec.id).await, None);
}

async fn a_soft_reboot_restarts_who_obeys_and_leaves_alone_who_does_not(subject: &Subject) {
    let spec = subject.spec(1);
    let grace = Duration::from_secs(2);
    subject.host.start(&spec).await.unwrap();
    let obeyed = subject.host.reboot_softly(&spec, grace).await.unwrap();
    assert_eq!(obeyed, subject.obeys_power_button);
    assert_eq!(subject.power(spec.id).await, Power::Running);
    subject.host.stop(spec.id, Epoch(1), Some(grace)).await.unwrap();
    assert_eq!(subject.power(spec.id).await, Power::Shutdown);
    assert!(subject.host.reboot_softly(&spec, grace).await.unwrap(), "a stopped machine is started");
    subject.host.remove(spec.id, Epoch(1)).await.unwrap();
}

async fn only_machines_of_the_own_cloud_are_seen_and_touched(subject: &Subject) {
    let (mine, theirs) = (subject.spec(1), subject.spec(1));
    subject.host.start(&mine).await.unwrap();
    if let Some(neighbour) = &subject.neighbour {
        neighbour.start(&theirs).await.unwrap();
        assert_eq!(subject.find(theirs.id).await, None);
        assert_conflict(subject.host.start(&theirs).await);
        assert_conflict(subject.host.stop(theirs.id, Epoch(9), None).await);
        assert_conflict(subject.host.pause(theirs.id, Epoch(9)).await);
        assert_conflict(subject.host.remove(theirs.id, Epoch(9)).await);
        assert_eq!(neighbour.find(theirs.id).await.unwrap().unwrap().power, Power::Running);
        let same_name = MachineSpec { name: theirs.name.clone(), ..subject.spec(1) };
        assert_conflict(subject.host.start(&same_name).await);
    }
    let listed: Vec<_> = subject.host.list().await.unwrap().iter().map(|machine| machine.id).collect();
    assert_eq!(listed, [mine.id]);
    subject.host.remove(mine.id, Epoch(1)).await.unwrap();
    if let Some(neighbour) = &subject.neighbour {
        neighbour.remove(theirs.id, Epoch(1)).await.unwrap();
    }
}

async fn changes_are_signalled(subject: &Subject) {
    let spec = subject.spec(1);
    let mut events = subject.host.events().unwrap();
    subject.host.list().await.unwrap();
    events.mark_unchanged();
    subject.host.start(&spec).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), events.changed()).await.unwrap().unwrap();
    subject.host.remove(spec.id, Epoch(1)).await.unwrap();
}

async fn whole_contract(subject: Subject) {
    starting_twice_is_starting_once(&subject).await;
    stopping_twice_is_stopping_once_and_the_machine_stays_known(&subject).await;
    pausing_and_resuming_twice_is_doing_it_once(&subject).await;
    suspending_and_waking_twice_is_doing_it_once(&subject).await;
    what_is_only_defined_is_off_and_what_runs_is_left_alone(&subject).await;
    only_what_runs_can_be_told_of_copied_and_interrupted(&subject).await;
    removing_twice_is_removing_once(&subject).await;
    an_order_older_than_the_newest_is_refused(&subject).await;
    a_soft_reboot_restarts_who_obeys_and_leaves_alone_who_does_not(&subject).await;
    only_machines_of_the_own_cloud_are_seen_and_touched(&subject).await;
    changes_are_signalled(&subject).await;
    assert!(subject.host.facts().await.unwrap().vcpus > 0);
    assert_eq!(subject.host.list().await.unwrap(), []);
}

#[tokio::test]
async fn the_simulator_keeps_the_contract() {
    whole_contract(Subject::simulated()).await;
}

#[tokio::test]
async fn libvirt_test_driver_keeps_the_contract() {
    whole_contract(Subject::libvirt("test:///default")).await;
}

#[tokio::test]
async fn drivers_of_another_host_keep_the_contract() {
    for subject in [Subject::simulated(), Subject::libvirt("test:///default")] {
        let (subject, _other) = subject.elsewhere().await;
        whole_contract(subject).await;
    }
}

#[tokio::test]
async fn qemu_keeps_the_contract() {
    match std::env::var("GAPURA_TEST_LIBVIRT_URI") {
        Ok(uri) => whole_contract(Subject::libvirt(&uri)).await,
        Err(_) => eprintln!("SKIPPED: GAPURA_TEST_LIBVIRT_URI names no libvirtd, so qemu is not tried"),
    }
}

#[tokio::test]
async fn a_host_that_is_away_is_unavailable_and_nothing_panics() {
    let host = Libvirt::connect("qemu+unix:///system?socket=/nowhere/libvirt-sock", "c", AcceleratorChoice::Tcg);
    assert!(host.list().await.unwrap_err().is_transient());
    assert!(host.facts().await.unwrap_err().is_transient());
}
