//! A real guest on our own disks: it boots from our overlay, reads our config drive, and hears the power button.
//!
//! Needs a libvirtd (`GAPURA_TEST_LIBVIRT_URI`) and the image that `etc/guest/build.sh` makes (`GAPURA_TEST_GUEST`). The
//! guest is emulated and tells on its serial port how far it is.

use futures::StreamExt;
use gapura::disks::local::LocalDisks;
use gapura::disks::{BaseImage, BlankDisk, ConfigDrive, Content, Disks, Part, RootDisk};
use gapura::hypervisor::accelerator::AcceleratorChoice;
use gapura::hypervisor::libvirt::Libvirt;
use gapura::hypervisor::{
    About, DiskBus, DiskDevice, DiskFormat, DiskSpec, Epoch, Hypervisor, MachineSpec, Power, Quiesce,
};
use gapura::ids::ServerId;
use std::path::PathBuf;
use std::time::{Duration, Instant};

struct Lab {
    uri: String,
    cloud: String,
    host: Libvirt,
    disks: LocalDisks,
    folder: tempfile::TempDir,
}

impl Lab {
    fn open(uri: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disks = LocalDisks::open(folder.path()).unwrap();
        let (uri, cloud) = (uri.to_owned(), format!("guest-{}", ServerId::random()));
        let host = Libvirt::connect(&uri, &cloud, AcceleratorChoice::Auto);
        Self { uri, cloud, host, disks, folder }
    }

    /// Files first, then the machine: as a task does it.
    async fn prepare(&self, image: &PathBuf) -> MachineSpec {
        let (id, epoch) = (ServerId::random(), Epoch(1));
        let bytes = std::fs::read(image).unwrap();
        let sha512 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &bytes));
        let base = BaseImage { sha512, size: bytes.len() as u64, format: DiskFormat::Qcow2 };
        let stream = futures::stream::iter([Ok(bytes::Bytes::from(bytes))]).boxed();
        self.disks.fetch_base(&base, stream).await.unwrap();
        let root = RootDisk { server: id, epoch, part: Part::Root { layer: 0 }, base, virtual_size: 1 << 30 };
        let disk = self.disks.make_root(&root).await.unwrap();
        let blank = [
            (
                Part::Ephemeral { index: 0, layer: 0 },
                Content::FileSystem { kind: "ext4".into(), label: "ephemeral0".into() },
            ),
            (Part::Swap { layer: 0 }, Content::Swap),
        ];
        let mut extra = Vec::new();
        for (part, content) in blank {
            let wish = BlankDisk { server: id, epoch, part, size: 64 << 20, content };
            extra.push(self.disks.make_blank(&wish).await.unwrap());
        }
        let metadata =
            format!(r#"{{"uuid": "{id}", "name": "web", "hostname": "web.novalocal", "heartbeat_ms": "200"}}"#);
        let files = vec![("openstack/latest/meta_data.json".to_owned(), metadata.into_bytes())];
        let config = self.disks.write_config_drive(&ConfigDrive { server: id, epoch, files }).await.unwrap();
        let qcow2 = DiskSpec {
            path: disk,
            format: DiskFormat::Qcow2,
            bus: DiskBus::Virtio,
            device: DiskDevice::Disk,
            read_only: false,
        };
        let raw = |path| DiskSpec { path, format: DiskFormat::Raw, ..qcow2.clone() };
        let extra: Vec<DiskSpec> = extra.into_iter().map(raw).collect();
        let cdrom = DiskSpec {
            path: config,
            format: DiskFormat::Raw,
            bus: DiskBus::Ide,
            device: DiskDevice::Cdrom,
            read_only: true,
        };
        MachineSpec {
            id,
            epoch,
            name: format!("instance-{id}"),
            vcpus: 1,
            memory_mib: 256,
            disks: [vec![qcow2], extra, vec![cdrom]].concat(),
            interfaces: Vec::new(),
            console_log: self.disks.console_log(id).await.unwrap(),
            about: About::default(),
        }
    }

    /// Waits until the guest said so on its serial port for the `times`th time.
    async fn hears(&self, id: ServerId, text: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let log = self.disks.read_console_log(id, None).await.unwrap();
            if log.matches(text).count() >= times {
                return;
            }
            assert!(Instant::now() < deadline, "the guest never said {text:?} {times} times:\n{log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The last number that the guest counted to, and how often it booted.
async fn count(lab: &Lab, id: ServerId) -> (u64, usize) {
    let log = lab.disks.read_console_log(id, None).await.unwrap();
    let mut beats = log.lines().filter_map(|line| line.trim().strip_prefix("HB ")?.split(' ').next()?.parse().ok());
    (beats.next_back().unwrap_or(0), log.matches("GUEST: ready").count())
}

/// Its memory goes to disk and back: it counts on, for a driver that knows nothing of how it was saved.
async fn suspended_it_goes_on_where_it_was(lab: &Lab, spec: &MachineSpec) {
    lab.host.start(spec).await.unwrap();
    lab.hears(spec.id, "GUEST: ready", 3).await;
    lab.hears(spec.id, "HB 5 ", 1).await;
    lab.host.suspend(spec.id, Epoch(2)).await.unwrap();
    assert_eq!(lab.host.find(spec.id).await.unwrap().unwrap().power, Power::Saved);
    let (before, boots) = count(lab, spec.id).await;
    let again = Libvirt::connect(&lab.uri, &lab.cloud, AcceleratorChoice::Auto);
    again.wake(&MachineSpec { epoch: Epoch(3), ..spec.clone() }).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (now, booted) = count(lab, spec.id).await;
        assert_eq!(booted, boots, "it did not boot again");
        if now > before {
            break;
        }
        assert!(Instant::now() < deadline, "it counts no further than {before}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(lab.host.find(spec.id).await.unwrap().unwrap().epoch, Epoch(3));
}

/// Its agent brings it to rest for an instant, it runs on, and the copy is a disk of its own that qemu-img finds whole.
async fn copied_while_it_runs_its_copy_is_whole(lab: &Lab, spec: &MachineSpec) {
    let target = lab.disks.place_for_copy(spec.id, Epoch(4)).await.unwrap();
    assert!(lab.host.copy_disk(spec.id, Epoch(4), &target, Quiesce::Must).await.unwrap());
    let check = std::process::Command::new("qemu-img").args(["check", "-f", "qcow2"]).arg(&target).output().unwrap();
    assert!(check.status.success(), "{check:?}");
    let copy = lab.disks.open_copy(spec.id).await.unwrap();
    assert!(copy.size > 0);
    let (before, _) = count(lab, spec.id).await;
    lab.hears(spec.id, &format!("HB {} ", before + 3), 1).await;
    // This guest says what its agent was told to set, by its SHA-256.
    lab.host.set_password(spec.id, "root", "a-new-one").await.unwrap();
    let told = "GUEST: password of root d262903e944f1a6078a88d5e028ab494f7351483289e4ce6a6de2d7f6c2e6d2f";
    lab.hears(spec.id, told, 1).await;
    lab.host.stop(spec.id, Epoch(4), None).await.unwrap();
    lab.disks.copy_at_rest(spec.id, Epoch(4), Part::Root { layer: 0 }).await.unwrap();
    lab.disks.open_copy(spec.id).await.unwrap();
}

#[tokio::test]
async fn a_guest_boots_from_our_disks_reboots_and_shuts_down_when_asked() {
    let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(uri), Some(image)) = (named("GAPURA_TEST_LIBVIRT_URI"), named("GAPURA_TEST_GUEST")) else {
        eprintln!(
            "SKIPPED: GAPURA_TEST_LIBVIRT_URI and GAPURA_TEST_GUEST name no libvirtd and image, so none is booted"
        );
        return;
    };
    let lab = Lab::open(&uri);
    let spec = lab.prepare(&image.into()).await;
    let grace = Duration::from_secs(60);

    lab.host.start(&spec).await.unwrap();
    lab.hears(spec.id, &format!("hostname=web.novalocal uuid={}", spec.id), 1).await;
    lab.hears(spec.id, "GUEST: ready", 1).await;
    // 64 MiB each, where a guest looks for them, and as it recognises them.
    lab.hears(spec.id, "GUEST: disk vdb sectors=131072 label=ephemeral0", 1).await;
    lab.hears(spec.id, "GUEST: disk vdc sectors=131072 label= mark=SWAPSPACE2", 1).await;
    let machine = lab.host.find(spec.id).await.unwrap().unwrap();
    assert!(machine.vnc_port.is_some_and(|port| port >= 5900));

    assert!(lab.host.reboot_softly(&spec, grace).await.unwrap());
    lab.hears(spec.id, "GUEST: ready", 2).await;

    let began = Instant::now();
    lab.host.stop(spec.id, spec.epoch, Some(grace)).await.unwrap();
    assert!(began.elapsed() < grace, "the guest went by itself");
    assert_eq!(lab.host.find(spec.id).await.unwrap().unwrap().power, Power::Shutdown);

    suspended_it_goes_on_where_it_was(&lab, &spec).await;
    copied_while_it_runs_its_copy_is_whole(&lab, &spec).await;

    lab.host.remove(spec.id, Epoch(4)).await.unwrap();
    lab.disks.remove(spec.id, Epoch(4)).await.unwrap();
    assert!(!lab.folder.path().join("instances").join(spec.id.to_string()).exists());
}
