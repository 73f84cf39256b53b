//! A host of two is lost, program and libvirtd: its server is built anew on the other while the controller is killed again and
//! again, another is deleted, and when the host is back nothing of them runs there. The same in the middle of a live move away
//! from it, and just after that.

use crate::cloud::eventually;
use crate::live_migration_program::{NAMES, Site, narrow, under_way, wide};
use crate::two_hosts::can_have_two_hosts;
use serde_json::{Value, json};

/// Place, Fetch, Build.
const STEPS: usize = 3;

impl Site {
    /// The server goes to the other machine for good.
    fn is_there(&self) {
        self.act(&json!({"migrate": {"host": NAMES[1]}}));
        assert_eq!(self.is("VERIFY_RESIZE"), 1);
        self.act(&json!({"confirmResize": null}));
        self.is_gone_from(0);
    }

    /// Its program is killed, and its libvirtd, which comes back by itself and knows its machines.
    fn loses_the_other(&mut self) {
        self.machine.kill();
        self.pair.control("kill", &["b"]);
        self.counts_as_down(true);
    }

    fn counts_as_down(&self, is_down: bool) {
        let wish = json!({"host": NAMES[1], "binary": "nova-compute", "forced_down": is_down});
        let headers = [
            ("X-Auth-Token", self.token.as_str()),
            ("Content-Type", "application/json"),
            ("OpenStack-API-Version", "compute 2.11"),
        ];
        let path = "/compute/v2.1/os-services/force-down";
        let said = self.cloud.send("PUT", path, &headers, wish.to_string().as_bytes());
        assert_eq!(said.status, 200, "{}", said.text());
    }

    fn runs_on(&self, host: usize) -> bool {
        let state = || self.pair.virsh(host, &["domstate", &self.server]);
        eventually("libvirt answers", || Some(state()).filter(|state| !state.is_empty())) == "running"
    }

    /// The other machine's program is there again: it has nothing to do with the server any more.
    fn is_back(&mut self) {
        self.machine.start();
        self.counts_as_down(false);
        self.is_gone_from(1);
    }

    fn evacuations(&self) -> Vec<String> {
        let path = format!("/os-migrations?instance_uuid={}", self.server);
        let listed = self.get(&path)["migrations"].as_array().unwrap().clone();
        let of_them = listed.iter().filter(|one| one["source_compute"] == NAMES[1] && one["dest_compute"] == NAMES[0]);
        of_them.map(|one| one["status"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn what_was_on_a_lost_host_is_evacuated_or_deleted_and_runs_there_no_more_when_it_is_back() {
    if !can_have_two_hosts() {
        return;
    }
    let mut site = Site::open();
    for step in 0..STEPS {
        site.is_there();
        site.loses_the_other();
        assert!(site.runs_on(1), "nobody told the guest");
        site.killed_at(&format!("evacuate_server:{step}"), |site| site.act(&json!({"evacuate": {}})));
        let shown = crate::nodes::settled(&site.cloud, &site.token, &site.server);
        assert_eq!((&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]), (&json!("SHUTOFF"), &json!(NAMES[0])), "{step}");
        assert!(!site.runs_on(0), "since 2.95 it waits for somebody");
        site.act(&json!({"os-start": null}));
        site.is_back();
        assert_eq!(site.runs_once(), 0, "killed after step {step}");
    }
    eventually("the evacuations are completed", || (site.evacuations() == ["completed"; STEPS]).then_some(()));
    by_the_real_client(&mut site);

    site.is_there();
    site.loses_the_other();
    let path = format!("/compute/v2.1/servers/{}", site.server);
    assert_eq!(site.cloud.ask("DELETE", &path, &site.token, &Value::Null).status, 204);
    eventually("the server is gone", || (site.cloud.get(&path, &site.token).status == 404).then_some(()));
    assert!(site.runs_on(1), "nobody told the guest");
    site.is_back();
}

fn by_the_real_client(site: &mut Site) {
    if std::env::var("GAPURA_TEST_OPENSTACK").is_err() {
        return eprintln!("SKIPPED: no GAPURA_TEST_OPENSTACK, so the real client asks for nothing");
    }
    site.is_there();
    let server = site.server.clone();
    site.machine.kill();
    site.client(&["compute", "service", "set", "--down", NAMES[1], "nova-compute"]);
    site.client(&["server", "evacuate", "--host", NAMES[0], &server]);
    let shown = crate::nodes::settled(&site.cloud, &site.token, &server);
    assert_eq!((&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]), (&json!("SHUTOFF"), &json!(NAMES[0])));
    site.client(&["server", "start", &server]);
    site.is_back();
    assert_eq!(site.runs_once(), 0);
}

/// How the last two of its moves ended, the newest first.
fn ends(site: &Site) -> [String; 2] {
    let listed = site.get(&format!("/os-migrations?instance_uuid={}", site.server));
    [0, 1].map(|index| listed["migrations"][index]["status"].as_str().unwrap().to_owned())
}

#[test]
fn a_server_whose_host_dies_while_it_moves_away_is_evacuated_and_runs_on_the_other_host_alone() {
    if !can_have_two_hosts() {
        return;
    }
    let mut site = Site::open();
    let name = format!("instance-{}", &site.server[..8]);
    // Its QEMU dies with the host, or goes on there, of which nobody knows.
    for (dies, step) in [(true, 0), (false, 2)] {
        site.is_there();
        narrow(&site, 1);
        site.asks_for_its_move();
        under_way(&site);
        site.loses_the_other();
        if dies {
            site.pair.control("unplug", &["b", &name]);
        }
        wide(&site, 1);
        site.killed_at(&format!("evacuate_server:{step}"), |site| site.act(&json!({"evacuate": {}})));
        let shown = crate::nodes::settled(&site.cloud, &site.token, &site.server);
        assert_eq!(
            (&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]),
            (&json!("SHUTOFF"), &json!(NAMES[0])),
            "{shown}"
        );
        assert_eq!(ends(&site), ["done", "cancelled"]);
        assert_eq!(site.runs_on(1), !dies, "nobody told the guest");
        site.act(&json!({"os-start": null}));
        site.is_back();
        assert_eq!(site.runs_once(), 0);
    }

    // And when its guest had got there, of which nobody has heard.
    site.is_there();
    site.cloud.kill();
    site.cloud.variable("CRASH_POINT", "migrate_server:3");
    site.cloud.start();
    let before = site.stands_still();
    site.asks_for_its_move();
    eventually("the move is begun", || (site.stands_still() > before).then_some(()));
    eventually("it is there", || (site.runs_on(0) && !site.runs_on(1)).then_some(()));
    let machine = site.pair.virsh(0, &["domid", &site.server]);
    site.cloud.kill();
    site.machine.kill();
    site.pair.control("kill", &["b"]);
    site.cloud.unset("CRASH_POINT");
    site.cloud.start();
    site.counts_as_down(true);
    site.act(&json!({"evacuate": {}}));
    let shown = crate::nodes::settled(&site.cloud, &site.token, &site.server);
    assert_eq!((&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]), (&json!("ACTIVE"), &json!(NAMES[0])), "{shown}");
    assert_eq!(ends(&site), ["cancelled", "completed"]);
    site.is_back();
    assert_eq!(site.runs_once(), 0);
    assert_eq!(site.pair.virsh(0, &["domid", &site.server]), machine, "the very guest that came");
}
