//! Two hosts as operators have them, with the real program on each: servers go from one to the other while they are off, the
//! controller is killed after every step, and the real client asks for all of it.

use crate::cloud::eventually;
use crate::live_migration_program::{NAMES, Site};
use crate::nodes::settled;
use crate::two_hosts::can_have_two_hosts;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// Claim, Leave, Carry, Start.
const STEPS: usize = 4;
/// Revert, Return.
const STEPS_BACK: usize = 2;

impl Site {
    fn machines(&self, host: usize) -> String {
        self.pair.virsh(host, &["list", "--all", "--uuid"])
    }

    /// The one host that has a machine of the server, which is in this state.
    pub fn is(&self, status: &str) -> usize {
        let shown = settled(&self.cloud, &self.token, &self.server);
        assert_eq!(shown["status"], status, "{shown}");
        let place = NAMES.iter().position(|name| shown["OS-EXT-SRV-ATTR:host"] == *name).unwrap();
        assert!(self.machines(place).contains(&self.server), "{shown}");
        assert!(!self.machines(1 - place).contains(&self.server), "{shown}");
        place
    }

    fn folder(&self, host: usize) -> PathBuf {
        let cloud = if host == 0 { &self.cloud } else { &self.machine.cloud };
        cloud.state_dir().join("machines").join("instances").join(&self.server)
    }

    /// Nothing of it is on a host any more.
    pub fn is_gone_from(&self, host: usize) {
        eventually("a host has let go", || {
            (!self.machines(host).contains(&self.server) && !self.folder(host).exists()).then_some(())
        });
    }

    /// Writes on the server's disk, or looks whether that is still there. The server is off.
    fn disk(&self, host: usize, what: &str) {
        let command = format!("{what} -P 7 262144 65536");
        let disk = self.folder(host).join("disk.qcow2");
        let output = Command::new("qemu-io").args(["-f", "qcow2", "-c", &command]).arg(&disk).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !said.contains("failed"), "{disk:?}: {output:?}");
    }
}

#[test]
fn a_controller_killed_after_any_step_of_a_cold_migration_ends_it_with_one_machine() {
    if !can_have_two_hosts() {
        return;
    }
    let mut site = Site::open();
    site.act(&json!({"os-stop": null}));
    let mut at = site.is("SHUTOFF");
    site.disk(at, "write");
    let migrate = |site: &Site| site.act(&json!({"migrate": null}));
    for step in 0..STEPS {
        site.killed_at(&format!("resize_server:{step}"), migrate);
        assert_eq!(site.is("VERIFY_RESIZE"), 1 - at, "killed after step {step}");
        site.disk(1 - at, "read");
        site.act(&json!({"confirmResize": null}));
        site.is_gone_from(at);
        at = site.is("SHUTOFF");
    }
    for step in 0..STEPS_BACK {
        migrate(&site);
        assert_eq!(site.is("VERIFY_RESIZE"), 1 - at);
        site.killed_at(&format!("resize_server:{step}"), |site| site.act(&json!({"revertResize": null})));
        assert_eq!(site.is("SHUTOFF"), at, "killed after step {step} back");
        site.is_gone_from(1 - at);
        site.disk(at, "read");
    }
    site.act(&json!({"os-start": null}));
    assert_eq!(site.runs_once(), at);
    by_the_real_client(&mut site);
}

/// `openstack server migrate`, `resize` to another host, `confirm`, `revert`.
fn by_the_real_client(site: &mut Site) {
    site.cloud.kill();
    site.cloud.set("PLACEMENT__ALLOW_RESIZE_TO_SAME_HOST", "false");
    site.cloud.start();
    let (server, at) = (site.server.clone(), site.runs_once());
    let there = 1 - at;
    if site.client(&["server", "migrate", "--host", NAMES[there], "--wait", &server]).is_none() {
        return eprintln!("SKIPPED: no GAPURA_TEST_OPENSTACK, so the real client asks for nothing");
    }
    assert_eq!(site.is("VERIFY_RESIZE"), there);
    site.client(&["server", "migrate", "confirm", &server]);
    assert_eq!(site.runs_once(), there);
    site.is_gone_from(at);
    let flavor = site.client(&["flavor", "create", "-f", "value", "-c", "id", "--ram", "96", "--disk", "2", "larger"]);
    let larger = flavor.unwrap().trim().to_owned();
    for (answer, stays) in [("revert", there), ("confirm", at)] {
        site.client(&["server", "resize", "--flavor", &larger, "--wait", &server]);
        assert_eq!(site.is("VERIFY_RESIZE"), at);
        site.client(&["server", "resize", answer, &server]);
        assert_eq!(site.runs_once(), stays, "{answer}");
        site.is_gone_from(1 - stays);
    }
    let listed = site.client(&["server", "migration", "list", "-f", "json"]).unwrap();
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let count =
        |kind: &str, status: &str| listed.iter().filter(|one| one["Type"] == kind && one["Status"] == status).count();
    assert_eq!((count("migration", "confirmed"), count("migration", "reverted")), (STEPS + 1, STEPS_BACK));
    assert_eq!((count("resize", "confirmed"), count("resize", "reverted")), (1, 1));
    site.client(&["server", "stop", &server]);
    site.disk(site.is("SHUTOFF"), "read");
}
