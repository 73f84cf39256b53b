//! What a driver does when libvirtd goes away under it: says so, comes back by itself, and finds its machines running.
//!
//! These tests run a libvirtd of their own (`harness/libvirtd.sh`), because they kill it. They need root.

use crate::hypervisor::empty_machine;
use gapura::hypervisor::accelerator::AcceleratorChoice;
use gapura::hypervisor::libvirt::Libvirt;
use gapura::hypervisor::{Epoch, Hypervisor, Power};
use std::process::Command;
use std::time::{Duration, Instant};

/// A private libvirtd, ended with everything it runs when the test ends, however it ends.
struct Daemon {
    folder: tempfile::TempDir,
    uri: String,
}

impl Daemon {
    fn start() -> Option<Self> {
        let has_libvirtd = Command::new("libvirtd").arg("--version").output().is_ok();
        if !has_libvirtd || !is_root() {
            eprintln!("SKIPPED: no libvirtd, or not root, so none is killed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let uri = control("start", folder.path());
        Some(Self { folder, uri })
    }

    fn control(&self, verb: &str) {
        control(verb, self.folder.path());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.control("stop");
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn control(verb: &str, folder: &std::path::Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compat-tests/harness/libvirtd.sh");
    let output = Command::new(script).arg(verb).arg(folder).output().unwrap();
    assert!(output.status.success(), "{verb}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_killed_libvirtd_is_unavailable_and_then_found_again_with_its_machines() {
    let Some(daemon) = Daemon::start() else { return };
    let host = Libvirt::connect(&daemon.uri, "faults", AcceleratorChoice::Tcg);
    let spec = empty_machine(daemon.folder.path(), true, 1);
    host.start(&spec).await.unwrap();

    daemon.control("kill");
    let deadline = Instant::now() + Duration::from_secs(20);
    let found = loop {
        match host.find(spec.id).await {
            Ok(found) => break found,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        assert!(Instant::now() < deadline, "the driver never came back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(found.unwrap().power, Power::Running);

    let mut events = host.events().unwrap();
    events.mark_unchanged();
    host.pause(spec.id, Epoch(1)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), events.changed()).await.unwrap().unwrap();

    daemon.control("stop");
    assert!(host.list().await.unwrap_err().is_transient());
    assert!(host.start(&spec).await.unwrap_err().is_transient());
}
