//! A cloud on a real libvirt, for tests that kill one or the other in the middle of work.
//!
//! It asks the API, libvirt, the kernel and the database how things are: what one of them forgets, another tells. What runs
//! here needs root, libvirtd and qemu-img, and is skipped without them.

use crate::cloud::{Answer, Cloud, eventually, is_root};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A libvirtd: the one that the environment names, or one of our own, ended with everything it runs.
pub struct Daemon {
    pub uri: String,
    own: Option<tempfile::TempDir>,
}

impl Daemon {
    pub fn find() -> Option<Self> {
        match std::env::var("GAPURA_TEST_LIBVIRT_URI") {
            Ok(uri) if !uri.is_empty() => can_run_machines().then_some(Self { uri, own: None }),
            _ => Self::own(),
        }
    }

    /// One that the test may end.
    pub fn own() -> Option<Self> {
        if !can_run_machines() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let uri = control("start", folder.path());
        Some(Self { uri, own: Some(folder) })
    }

    /// Its machines' ids, running or not.
    pub fn machines(&self, only: &str) -> Vec<String> {
        // A daemon that was just killed takes a moment.
        eventually("libvirt lists its machines", || {
            let output = Command::new("virsh")
                .args(["-q", "-c", &self.uri, "list", "--uuid"])
                .args(only.split(' '))
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            output.status.success().then(|| text.split_whitespace().map(str::to_owned).collect())
        })
    }
}

impl Daemon {
    /// As a crash of the daemon alone: it is back in a moment, and its machines go on. Only one's own.
    pub fn kill(&self) {
        control("kill", self.own.as_ref().expect("one's own daemon").path());
    }

    /// Gives an order behind Gapura's back.
    pub fn virsh(&self, arguments: &[&str]) {
        let output = Command::new("virsh").args(["-q", "-c", &self.uri]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(folder) = &self.own {
            control("stop", folder.path());
        }
    }
}

fn can_run_machines() -> bool {
    let has = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    let can = is_root() && ["libvirtd", "virsh", "qemu-img", "ip"].iter().all(|tool| *tool == "ip" || has(tool));
    if !can {
        eprintln!(
            "SKIPPED: no root, libvirtd, virsh or qemu-img, so nothing is killed in the middle of work on machines"
        );
    }
    can
}

fn control(verb: &str, folder: &Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compat-tests/harness/libvirtd.sh");
    let output = Command::new(script).arg(verb).arg(folder).output().unwrap();
    assert!(output.status.success(), "{verb}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The flavor of its servers, and one that they can be resized to.
const SMALL: &str = "small";
pub const LARGER: &str = "larger";

/// A cloud on a real libvirt with an image in it. What the guest does does not matter here: its disk is empty.
pub struct Lab {
    pub cloud: Cloud,
    pub daemon: Daemon,
    pub token: String,
}

impl Lab {
    pub fn open(daemon: Daemon) -> Self {
        Self::open_with(daemon, |_| {})
    }

    /// One with further settings.
    pub fn open_with(daemon: Daemon, set: impl FnOnce(&mut Cloud)) -> Self {
        let mut cloud = Cloud::new();
        set(&mut cloud);
        let image = cloud.folder().join("empty.qcow2");
        let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&image).arg("1M").status();
        assert!(made.unwrap().success());
        // Shared networks are routed to the host: two clouds on one must not have the same range.
        let port = u32::from(cloud.address.port());
        let range = format!("10.{}.{}.0/24", 64 + port % 128, port / 128 % 256);
        cloud.set("HYPERVISOR", &daemon.uri).set("COMPUTE__ACCELERATOR", "tcg");
        cloud.set("NETWORK__PRIVATE_RANGE", &range).set("INIT__IMAGE", image.to_str().unwrap());
        // Nothing in it hears the power button.
        cloud.set("COMPUTE__SHUTDOWN_TIMEOUT", "1");
        cloud.set("LOG__FILTER", "info,access=off,gapura::tasks=debug");
        cloud.init();
        cloud.start();
        let token = cloud.admin();
        let lab = Self { cloud, daemon, token };
        for (name, ephemeral_gib, swap_mib) in [(SMALL, 1, 32), (LARGER, 2, 64)] {
            lab.make_flavor(name, ephemeral_gib, swap_mib);
        }
        // Nothing is placed on a host before it was looked at for the first time.
        eventually("the host is known", || (lab.cloud.database.count("last_seen_at", "hosts") > 0).then_some(()));
        lab
    }

    pub fn get(&self, path: &str) -> Answer {
        self.cloud.get(path, &self.token)
    }

    /// One whose servers have disks besides their own: what is killed in the middle has those too.
    fn make_flavor(&self, name: &str, ephemeral_gib: u32, swap_mib: u32) {
        let flavor = json!({"name": name, "vcpus": 1, "ram": 192, "disk": 1,
                            "OS-FLV-EXT-DATA:ephemeral": ephemeral_gib, "swap": swap_mib});
        let answer = self.cloud.ask("POST", "/compute/v2.1/flavors", &self.token, &json!({ "flavor": flavor }));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn named(&self, path: &str, collection: &str, name: &str) -> String {
        let found = self.get(path).json()[collection].as_array().unwrap().clone();
        let one = found.iter().find(|one| one["name"] == name || name.is_empty()).expect("init made one");
        one["id"].as_str().unwrap().to_owned()
    }

    /// The id of the shared network that init made.
    pub fn private(&self) -> String {
        self.named("/network/v2.0/networks", "networks", "private")
    }

    /// The id of the image that init made.
    pub fn image(&self) -> String {
        self.named("/image/v2/images", "images", "")
    }

    pub fn flavor(&self, name: &str) -> String {
        self.named("/compute/v2.1/flavors", "flavors", name)
    }

    pub fn create(&self) -> Server {
        self.create_on(&self.private())
    }

    pub fn create_on(&self, network: &str) -> Server {
        let wish = json!({
            "name": "web",
            "imageRef": self.image(),
            "flavorRef": self.flavor(SMALL),
            "networks": [{"uuid": network}],
        });
        let answer = self.cloud.ask("POST", "/compute/v2.1/servers", &self.token, &json!({ "server": wish }));
        assert_eq!(answer.status, 202, "{}", answer.text());
        let id = answer.json()["server"]["id"].as_str().unwrap().to_owned();
        Server { disks: self.cloud.state_dir().join("machines/instances").join(&id), id }
    }

    pub fn act(&self, server: &Server, action: &Value) {
        let path = format!("/compute/v2.1/servers/{}/action", server.id);
        let answer = self.cloud.ask("POST", &path, &self.token, action);
        // A rescue is answered with 200, as by upstream.
        assert!([200, 202].contains(&answer.status), "{action}: {}", answer.text());
    }

    pub fn delete(&self, server: &Server) {
        let path = format!("/compute/v2.1/servers/{}", server.id);
        let answer = self.cloud.ask("DELETE", &path, &self.token, &Value::Null);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    pub fn show(&self, server: &Server) -> Answer {
        self.get(&format!("/compute/v2.1/servers/{}", server.id))
    }

    /// Waits until the server is what it will be.
    pub fn settled(&self, server: &Server) -> Value {
        eventually("the server is active or an error", || {
            let shown = self.show(server).json()["server"].take();
            let is_settled = shown["status"] != "BUILD" && shown["OS-EXT-STS:task_state"].is_null();
            is_settled.then_some(shown)
        })
    }

    pub fn gone(&self, server: &Server) {
        eventually("the server is gone", || (self.show(server).status == 404).then_some(()));
    }

    /// The taps of a server's ports.
    pub fn taps(&self, server: &Server) -> Vec<String> {
        let ports = self.get(&format!("/network/v2.0/ports?device_id={}", server.id)).json();
        let ids = ports["ports"].as_array().unwrap().iter().map(|port| port["id"].as_str().unwrap().replace('-', ""));
        ids.map(|id| format!("tap{}", &id[..11])).collect()
    }

    /// Acts, and waits until the process stands still where it is to be killed.
    pub fn stand_still_at(&mut self, point: &str, act: impl FnOnce(&Self)) {
        self.cloud.kill();
        self.cloud.variable("CRASH_POINT", point);
        self.cloud.start();
        let times = |lab: &Self| lab.cloud.log().matches("standing still at the crash point").count();
        let before = times(self);
        act(self);
        eventually(&format!("it stands still at {point}"), || (times(self) > before).then_some(()));
    }

    /// Waits until a process that goes on standing still elsewhere stands still here as well.
    pub fn also_stands_still_at(&self, kind: &str) {
        eventually(&format!("it stands still at {kind}"), || {
            let log = self.cloud.log();
            log.lines()
                .any(|line| line.contains("standing still") && line.contains(&format!("\"{kind}\"")))
                .then_some(())
        });
    }

    /// Kills it where it stands, and starts it as it should be.
    pub fn kill_and_restart(&mut self) {
        self.cloud.kill();
        self.cloud.unset("CRASH_POINT");
        self.cloud.start();
    }

    pub fn is_running_once(&self, server: &Server) {
        let running = self.daemon.machines("--state-running");
        assert_eq!(running.iter().filter(|id| **id == server.id).count(), 1, "{running:?}");
        self.has_its_disks(server);
        let taps = self.taps(server);
        assert_eq!(taps.len(), 1, "one port");
        assert!(Path::new("/sys/class/net").join(&taps[0]).exists());
        assert_eq!(self.rows("claims", &server.id), 1);
        assert_eq!(self.rows("ports", &server.id), 1);
    }

    /// The names of its files on the host.
    pub fn files(&self, server: &Server) -> Vec<String> {
        let entries = std::fs::read_dir(&server.disks).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    /// Its machine has all that its flavor gives, in files that are there: unless it is rescued, which comes with less.
    fn has_its_disks(&self, server: &Server) {
        let output = Command::new("virsh").args(["-q", "-c", &self.daemon.uri, "domblklist", &server.id]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let files: Vec<&Path> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).map(Path::new).collect();
        assert!(files.iter().all(|file| file.exists()), "{text}");
        let is_rescued = self.show(server).json()["server"]["status"] == "RESCUE";
        for part in ["ephemeral0.", "swap."] {
            let has = files.iter().any(|file| file.to_string_lossy().contains(part));
            assert_eq!(has, !is_rescued, "{part} {text}");
        }
    }

    /// A server that runs.
    pub fn running(&self) -> Server {
        let server = self.create();
        let shown = self.settled(&server);
        assert_eq!(shown["status"], "ACTIVE", "{shown}");
        server
    }

    /// Deletes the server, and looks that nothing of it is left anywhere.
    pub fn deleted_leaves_nothing(&self, server: &Server) {
        let taps = self.taps(server);
        self.delete(server);
        self.gone(server);
        self.nothing_is_left(server, &taps);
    }

    /// Machine, files, taps, ports, claim, and the network on the host, which had no other server.
    pub fn nothing_is_left(&self, server: &Server, taps: &[String]) {
        let machines = self.daemon.machines("--all");
        assert!(!machines.contains(&server.id), "{machines:?}");
        assert!(!server.disks.exists(), "{} is there", server.disks.display());
        for tap in taps {
            assert!(!Path::new("/sys/class/net").join(tap).exists(), "{tap} is there");
        }
        assert_eq!(self.rows("claims", &server.id), 0, "a claim is there");
        assert_eq!(self.rows("ports", &server.id), 0, "a port is there");
        let links = text(Command::new("ip").args(["link"]));
        let alias = format!("gapura:{}", self.cloud_id());
        assert!(!links.contains(&alias), "{links}");
        self.carries_not(&self.private());
    }

    /// The host does not know the network.
    pub fn carries_not(&self, network: &str) {
        let short = short(network);
        let namespaces = text(Command::new("ip").args(["netns", "list"]));
        assert!(!namespaces.contains(&format!("gapura-{short}")), "{namespaces}");
        assert!(!bridge(network).exists(), "the bridge of {network} is there");
    }

    pub fn rows(&self, table: &str, server: &str) -> i64 {
        self.cloud.database.count("*", &format!("{table} WHERE server_id = '{server}'"))
    }

    /// Is every task over?
    pub fn no_work_is_open(&self) -> bool {
        self.cloud.database.count("*", "tasks WHERE state IN ('ready', 'undoing')") == 0
    }

    fn cloud_id(&self) -> String {
        self.cloud.database.text("SELECT id FROM cloud").unwrap()
    }
}

pub struct Server {
    pub id: String,
    pub disks: PathBuf,
}

fn short(network: &str) -> String {
    network.replace('-', "")[..11].to_owned()
}

/// Where the kernel shows a network's bridge.
pub fn bridge(network: &str) -> PathBuf {
    Path::new("/sys/class/net").join(format!("gbr{}", short(network)))
}

fn text(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}
