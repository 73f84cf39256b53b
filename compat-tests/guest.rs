//! A real guest on our own disks: it boots from our overlay, reads our config drive, and hears the power button.
//!
//! Needs a libvirtd (`GAPURA_TEST_LIBVIRT_URI`) and the image that `etc/guest/build.sh` makes (`GAPURA_TEST_GUEST`). The
//! guest is emulated and tells on its serial port how far it is.

use futures::StreamExt;
use gapura::disks::local::LocalDisks;
use gapura::disks::{BaseImage, ConfigDrive, Disks, RootDisk};
use gapura::hypervisor::accelerator::AcceleratorChoice;
use gapura::hypervisor::libvirt::Libvirt;
use gapura::hypervisor::{About, DiskBus, DiskDevice, DiskFormat, DiskSpec, Epoch, Hypervisor, MachineSpec, Power};
use gapura::ids::ServerId;
use std::path::PathBuf;
use std::time::{Duration, Instant};

struct Lab {
    host: Libvirt,
    disks: LocalDisks,
    folder: tempfile::TempDir,
}

impl Lab {
    fn open(uri: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disks = LocalDisks::open(folder.path()).unwrap();
        let host = Libvirt::connect(uri, &format!("guest-{}", ServerId::random()), AcceleratorChoice::Auto);
        Self { host, disks, folder }
    }

    /// Files first, then the machine: as a task does it.
    async fn prepare(&self, image: &PathBuf) -> MachineSpec {
        let (id, epoch) = (ServerId::random(), Epoch(1));
        let bytes = std::fs::read(image).unwrap();
        let sha512 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &bytes));
        let base = BaseImage { sha512, size: bytes.len() as u64, format: DiskFormat::Qcow2 };
        let stream = futures::stream::iter([Ok(bytes::Bytes::from(bytes))]).boxed();
        self.disks.fetch_base(&base, stream).await.unwrap();
        let root = RootDisk { server: id, epoch, base, virtual_size: 1 << 30 };
        let disk = self.disks.make_root(&root).await.unwrap();
        let metadata = format!(r#"{{"uuid": "{id}", "name": "web", "hostname": "web.novalocal"}}"#);
        let files = vec![("openstack/latest/meta_data.json".to_owned(), metadata.into_bytes())];
        let config = self.disks.write_config_drive(&ConfigDrive { server: id, epoch, files }).await.unwrap();
        let qcow2 = DiskSpec {
            path: disk,
            format: DiskFormat::Qcow2,
            bus: DiskBus::Virtio,
            device: DiskDevice::Disk,
            read_only: false,
        };
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
            disks: vec![qcow2, cdrom],
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
    let machine = lab.host.find(spec.id).await.unwrap().unwrap();
    assert!(machine.vnc_port.is_some_and(|port| port >= 5900));

    assert!(lab.host.reboot_softly(&spec, grace).await.unwrap());
    lab.hears(spec.id, "GUEST: ready", 2).await;

    let began = Instant::now();
    lab.host.stop(spec.id, spec.epoch, Some(grace)).await.unwrap();
    assert!(began.elapsed() < grace, "the guest went by itself");
    assert_eq!(lab.host.find(spec.id).await.unwrap().unwrap().power, Power::Shutdown);

    lab.host.remove(spec.id, spec.epoch).await.unwrap();
    lab.disks.remove(spec.id, spec.epoch).await.unwrap();
    assert!(!lab.folder.path().join("instances").join(spec.id.to_string()).exists());
}
