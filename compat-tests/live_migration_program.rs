//! Two hosts as operators have them: a controller with a libvirt of its own, and `gapura node` on what stands for another
//! machine, each the real program. The controller is killed after every step of a move, and started again.
//!
//! What the guests do does not matter here, so their disks are empty. Networks are the harness's: a bridge of the name that
//! both expect is on both hosts.

use crate::cloud::{Cloud, eventually};
use crate::nodes::{Machine, controller, first, said, settled};
use crate::two_hosts::{Pair, can_have_two_hosts};
use serde_json::{Value, json};
use std::process::Command;

/// Choose, Compare, Prepare, Send, Watch, Settle, Clean.
const STEPS: usize = 7;
pub const NAMES: [&str; 2] = ["here", "there"];

pub struct Site {
    pub cloud: Cloud,
    pub token: String,
    pub server: String,
    // Ended before what it gives orders to.
    pub machine: Machine,
    pub pair: Pair,
}

impl Site {
    /// A cloud of both, with a server on the first.
    pub fn open() -> Self {
        let pair = Pair::start();
        let host = |cloud: &mut Cloud, host: usize| {
            cloud.set("HYPERVISOR", pair.uri(host)).set("COMPUTE__LIVE_MIGRATION_URI", pair.peer(host));
            cloud.set("COMPUTE__ACCELERATOR", "tcg").set("COMPUTE__SHUTDOWN_TIMEOUT", "1");
            cloud.set("NETWORK__FABRIC", "simulated").set("LOG__FILTER", "info,access=off,gapura::tasks=debug");
        };
        let (cloud, door) = controller(|cloud| host(cloud, 0));
        let mut machine = Machine::called(NAMES[1]);
        host(&mut machine.cloud, 1);
        said(&machine.join(&door, &said(&cloud.run(&["node", "token"]))));
        machine.start();
        let token = cloud.admin();
        let network = first(&cloud, &token, "/network/v2.0/networks", "networks");
        let bridge = format!("gbr{}", &network.as_str().unwrap().replace('-', "")[..11]);
        for host in ["a", "b"] {
            pair.control("in", &[host, "ip", "link", "add", &bridge, "type", "bridge"]);
            pair.control("in", &[host, "ip", "link", "set", &bridge, "up"]);
        }
        let mut site = Self { cloud, token, server: String::new(), machine, pair };
        let up = || {
            let listed = site.get("/os-services?binary=nova-compute");
            let services = listed["services"].as_array().unwrap().clone();
            services.iter().filter(|one| one["state"] == "up").count() == 2
        };
        eventually("both hosts are up", || up().then_some(()));
        let wish = json!({
            "name": "web",
            "imageRef": first(&site.cloud, &site.token, "/image/v2/images", "images"),
            "flavorRef": first(&site.cloud, &site.token, "/compute/v2.1/flavors", "flavors"),
            "networks": [{"uuid": network}],
            "availability_zone": "nova:here",
        });
        let made = site.cloud.ask("POST", "/compute/v2.1/servers", &site.token, &json!({ "server": wish }));
        assert_eq!(made.status, 202, "{}", made.text());
        site.server = made.json()["server"]["id"].as_str().unwrap().to_owned();
        assert_eq!(site.runs_once(), 0);
        site
    }

    pub fn get(&self, path: &str) -> Value {
        self.cloud.get(&format!("/compute/v2.1{path}"), &self.token).json()
    }

    /// The one host that runs the server, as the API and both libvirts say.
    pub fn runs_once(&self) -> usize {
        let shown = settled(&self.cloud, &self.token, &self.server);
        assert_eq!(shown["status"], "ACTIVE", "{shown}");
        let place = NAMES.iter().position(|name| shown["OS-EXT-SRV-ATTR:host"] == *name).unwrap();
        let machines = |host| self.pair.virsh(host, &["list", "--all", "--uuid"]);
        assert!(machines(place).contains(&self.server), "{shown}");
        assert!(!machines(1 - place).contains(&self.server), "{shown}");
        assert_eq!(self.pair.virsh(place, &["domstate", &self.server]), "running");
        place
    }

    pub fn asks_for_its_move(&self) {
        self.act(&json!({"os-migrateLive": {"host": null, "block_migration": "auto"}}));
    }

    /// An action on the server, which is accepted.
    pub fn act(&self, wish: &Value) {
        let path = format!("/compute/v2.1/servers/{}/action", self.server);
        let headers = [
            ("X-Auth-Token", self.token.as_str()),
            ("Content-Type", "application/json"),
            ("OpenStack-API-Version", "compute 2.95"),
        ];
        let asked = self.cloud.send("POST", &path, &headers, wish.to_string().as_bytes());
        assert!([200, 202, 204].contains(&asked.status), "{}", asked.text());
    }

    /// What the real client says, if there is one.
    pub fn client(&self, words: &[&str]) -> Option<String> {
        let client = std::env::var("GAPURA_TEST_OPENSTACK").ok()?;
        let output = Command::new(client)
            .env("OS_CLIENT_CONFIG_FILE", self.cloud.state_dir().join("clouds.yaml"))
            .args(["--os-cloud", "gapura", "--os-compute-api-version", "2.95"])
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    /// Kills the controller when it has come to this point, and starts it anew.
    pub fn killed_at(&mut self, point: &str, ask: impl FnOnce(&Self)) {
        self.cloud.kill();
        self.cloud.variable("CRASH_POINT", point);
        self.cloud.start();
        let before = self.stands_still();
        ask(self);
        eventually(&format!("it stands still at {point}"), || (self.stands_still() > before).then_some(()));
        self.cloud.kill();
        self.cloud.unset("CRASH_POINT");
        self.cloud.start();
    }

    pub fn stands_still(&self) -> usize {
        self.cloud.log().matches("standing still at the crash point").count()
    }
}

#[test]
fn a_controller_killed_after_any_step_of_a_move_ends_it_with_the_guest_on_one_host() {
    if !can_have_two_hosts() {
        return;
    }
    let mut site = Site::open();
    for step in 0..STEPS {
        let from = site.runs_once();
        site.killed_at(&format!("migrate_server:{step}"), Site::asks_for_its_move);
        assert_eq!(site.runs_once(), 1 - from, "killed after step {step}");
    }
    let listed = said(&site.cloud.run(&["migration", "list", "--server", &site.server]));
    assert_eq!(listed.lines().filter(|line| line.contains("completed")).count(), STEPS, "{listed}");
    let shown = said(&site.cloud.run(&["migration", "show", "1", "--plot"]));
    assert!(shown.contains("total time") && shown.contains("downtime"), "{shown}");
    by_the_real_client(&site);
    a_program_on_a_host_is_killed_in_the_middle(&mut site);
}

/// So little goes from a host to the other that a move takes long enough to do something about it.
pub fn narrow(site: &Site, host: usize) {
    let rate =
        ["tc", "qdisc", "replace", "dev", "wire0", "root", "tbf", "rate", "64kbit", "burst", "16k", "latency", "4s"];
    site.pair.control("in", &[&[["a", "b"][host]], &rate[..]].concat());
}

pub fn wide(site: &Site, host: usize) {
    site.pair.control("in", &[["a", "b"][host], "tc", "qdisc", "del", "dev", "wire0", "root"]);
}

/// The number of the move that goes on.
pub fn under_way(site: &Site) -> i64 {
    eventually("the move runs", || {
        let moves = site.get(&format!("/os-migrations?instance_uuid={}", site.server));
        let running = moves["migrations"].as_array()?.iter().find(|one| one["status"] == "running")?;
        running["id"].as_i64()
    })
}

/// `gapura node` dies in the middle of a move: on the target, of which the move takes no notice, then on the source, where
/// libvirt calls off what it was asked for by who is gone, unless it is done by then. What became of it is found out.
fn a_program_on_a_host_is_killed_in_the_middle(site: &mut Site) {
    if site.runs_once() == 1 {
        site.asks_for_its_move();
    }
    for from in [0, 1] {
        assert_eq!(site.runs_once(), from);
        narrow(site, from);
        site.asks_for_its_move();
        let number = under_way(site);
        site.machine.kill();
        site.machine.start();
        wide(site, from);
        let to = site.runs_once();
        assert!(from == 1 || to == 1, "the target's program has no part in it");
        let moves = site.get(&format!("/os-migrations?instance_uuid={}", site.server));
        let record = moves["migrations"].as_array().unwrap().iter().find(|one| one["id"] == number).unwrap();
        assert_eq!(record["status"], if to == from { "error" } else { "completed" }, "{record}");
    }
}

/// `openstack server migrate --live-migration`, and what it tells of a move that is over.
fn by_the_real_client(site: &Site) {
    let (server, from) = (site.server.as_str(), site.runs_once());
    let words = ["server", "migrate", "--live-migration", "--host", NAMES[1 - from], "--wait", server];
    if site.client(&words).is_none() {
        return eprintln!("SKIPPED: no GAPURA_TEST_OPENSTACK, so the real client asks for nothing");
    }
    assert_eq!(site.runs_once(), 1 - from);
    let said = |words: &[&str]| site.client(words).unwrap();
    let requests = said(&["server", "event", "list", "-f", "value", "-c", "Request ID", "-c", "Action", server]);
    let request = requests.lines().find_map(|line| line.strip_suffix(" live-migration")).unwrap();
    let told = said(&["server", "event", "show", "-f", "json", server, request]);
    let steps = [
        "compute_post_live_migration_at_destination",
        "compute_pre_live_migration",
        "compute_live_migration",
        "compute_check_can_live_migrate_source",
        "compute_check_can_live_migrate_destination",
        // The client asks as of old, and waits for what can be refused.
        "conductor_migrate_server",
    ];
    let places = steps.map(|step| told.find(&format!("\"{step}\"")).or_else(|| told.find(&format!("'{step}'"))));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "newest first: {places:?} {told}");
    if site.runs_once() == 1 {
        site.asks_for_its_move();
    }
    for (order, status, there) in [(&["abort"][..], "cancelled", 0), (&["force", "complete"], "completed", 1)] {
        assert_eq!(site.runs_once(), 0);
        narrow(site, 0);
        said(&["server", "migrate", "--live-migration", "--host", NAMES[1], server]);
        let number = under_way(site).to_string();
        let listed =
            said(&["server", "migration", "list", "-f", "value", "-c", "Id", "-c", "Status", "--server", server]);
        assert!(listed.lines().any(|line| line == format!("{number} running")), "{listed}");
        said(&[&["server", "migration"], order, &[server, &number]].concat());
        wide(site, 0);
        assert_eq!(site.runs_once(), there, "{order:?}");
        let listed =
            said(&["server", "migration", "list", "-f", "value", "-c", "Id", "-c", "Status", "--server", server]);
        assert!(listed.lines().any(|line| line == format!("{number} {status}")), "{listed}");
    }
}
