//! `kill -9`, anywhere: what was wished is had in the end, once, and nothing is left half done.
//!
//! `CRASH_POINT=boot_server:2` makes a debug build stand still after that step's effect, before it is saved: the moment at
//! which the most can be done twice or forgotten. The test kills the process there, starts it again, and asks the API,
//! libvirt, the kernel and the database how things are. These tests need root, libvirtd and qemu-img.

use crate::cloud::{Answer, Cloud, eventually, is_root};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A libvirtd: the one that the environment names, or one of our own, ended with everything it runs.
struct Daemon {
    uri: String,
    own: Option<tempfile::TempDir>,
}

impl Daemon {
    fn find() -> Option<Self> {
        match std::env::var("GAPURA_TEST_LIBVIRT_URI") {
            Ok(uri) if !uri.is_empty() => can_run_machines().then_some(Self { uri, own: None }),
            _ => Self::own(),
        }
    }

    fn own() -> Option<Self> {
        if !can_run_machines() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let uri = control("start", folder.path());
        Some(Self { uri, own: Some(folder) })
    }

    /// Its machines' ids, running or not.
    fn machines(&self, only: &str) -> Vec<String> {
        // A daemon that was just killed takes a moment.
        eventually("libvirt lists its machines", || {
            let output = Command::new("virsh").args(["-q", "-c", &self.uri, "list", "--uuid", only]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            output.status.success().then(|| text.split_whitespace().map(str::to_owned).collect())
        })
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
        eprintln!("SKIPPED: no root, libvirtd, virsh or qemu-img, so nothing is killed in the middle of a boot");
    }
    can
}

fn control(verb: &str, folder: &Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compat-tests/harness/libvirtd.sh");
    let output = Command::new(script).arg(verb).arg(folder).output().unwrap();
    assert!(output.status.success(), "{verb}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A cloud on a real libvirt with an image in it. What the guest does does not matter here: its disk is empty.
struct Lab {
    cloud: Cloud,
    daemon: Daemon,
    token: String,
}

impl Lab {
    fn open(daemon: Daemon) -> Self {
        let mut cloud = Cloud::new();
        let image = cloud.folder().join("empty.qcow2");
        let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&image).arg("1M").status();
        assert!(made.unwrap().success());
        // Shared networks are routed to the host: two clouds on one must not have the same range.
        let port = u32::from(cloud.address.port());
        let range = format!("10.{}.{}.0/24", 64 + port % 128, port / 128 % 256);
        cloud.set("HYPERVISOR", &daemon.uri).set("COMPUTE__ACCELERATOR", "tcg");
        cloud.set("NETWORK__PRIVATE_RANGE", &range).set("INIT__IMAGE", image.to_str().unwrap());
        cloud.set("LOG__FILTER", "info,gapura::tasks=debug");
        cloud.init();
        cloud.start();
        let token = cloud.admin();
        let lab = Self { cloud, daemon, token };
        // Nothing is placed on a host before it was looked at for the first time.
        eventually("the host is known", || {
            let known: i64 =
                lab.database().query_row("SELECT count(last_seen_at) FROM hosts", [], |row| row.get(0)).unwrap();
            (known > 0).then_some(())
        });
        lab
    }

    fn get(&self, path: &str) -> Answer {
        self.cloud.get(path, &self.token)
    }

    fn create(&self) -> Server {
        let named = |path: &str, collection: &str, name: &str| {
            let found = self.get(path).json()[collection].as_array().unwrap().clone();
            let one = found.iter().find(|one| one["name"] == name || name.is_empty()).expect("init made one");
            one["id"].as_str().unwrap().to_owned()
        };
        let wish = json!({
            "name": "web",
            "imageRef": named("/image/v2/images", "images", ""),
            "flavorRef": named("/compute/v2.1/flavors", "flavors", "m1.nano"),
            "networks": [{"uuid": named("/network/v2.0/networks", "networks", "private")}],
        });
        let answer = self.cloud.ask("POST", "/compute/v2.1/servers", &self.token, &json!({ "server": wish }));
        assert_eq!(answer.status, 202, "{}", answer.text());
        let id = answer.json()["server"]["id"].as_str().unwrap().to_owned();
        Server { disks: self.cloud.state_dir().join("machines/instances").join(&id), id }
    }

    fn delete(&self, server: &Server) {
        let path = format!("/compute/v2.1/servers/{}", server.id);
        let answer = self.cloud.ask("DELETE", &path, &self.token, &Value::Null);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    fn show(&self, server: &Server) -> Answer {
        self.get(&format!("/compute/v2.1/servers/{}", server.id))
    }

    /// Waits until the server is what it will be.
    fn settled(&self, server: &Server) -> Value {
        eventually("the server is active or an error", || {
            let shown = self.show(server).json()["server"].take();
            let is_settled = shown["status"] != "BUILD" && shown["OS-EXT-STS:task_state"].is_null();
            is_settled.then_some(shown)
        })
    }

    fn gone(&self, server: &Server) {
        eventually("the server is gone", || (self.show(server).status == 404).then_some(()));
    }

    /// The taps of a server's ports.
    fn taps(&self, server: &Server) -> Vec<String> {
        let ports = self.get(&format!("/network/v2.0/ports?device_id={}", server.id)).json();
        let ids = ports["ports"].as_array().unwrap().iter().map(|port| port["id"].as_str().unwrap().replace('-', ""));
        ids.map(|id| format!("tap{}", &id[..11])).collect()
    }

    /// Acts, and waits until the process stands still where it is to be killed.
    fn stand_still_at(&mut self, point: &str, act: impl FnOnce(&Self)) {
        self.cloud.kill();
        self.cloud.variable("CRASH_POINT", point);
        self.cloud.start();
        let times = |lab: &Self| lab.cloud.log().matches("standing still at the crash point").count();
        let before = times(self);
        act(self);
        eventually(&format!("it stands still at {point}"), || (times(self) > before).then_some(()));
    }

    /// Kills it where it stands, and starts it as it should be.
    fn kill_and_restart(&mut self) {
        self.cloud.kill();
        self.cloud.unset("CRASH_POINT");
        self.cloud.start();
    }

    fn is_running_once(&self, server: &Server) {
        let running = self.daemon.machines("--state-running");
        assert_eq!(running.iter().filter(|id| **id == server.id).count(), 1, "{running:?}");
        assert!(server.disks.is_dir());
        let taps = self.taps(server);
        assert_eq!(taps.len(), 1, "one port");
        assert!(Path::new("/sys/class/net").join(&taps[0]).exists());
        assert_eq!(self.rows("claims", &server.id), 1);
        assert_eq!(self.rows("ports", &server.id), 1);
    }

    /// Machine, files, taps, ports, claim, and the network on the host, which had no other server.
    fn nothing_is_left(&self, server: &Server, taps: &[String]) {
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
        let network = self.get("/network/v2.0/networks?name=private").json()["networks"][0]["id"].clone();
        let short = network.as_str().unwrap().replace('-', "")[..11].to_owned();
        let namespaces = text(Command::new("ip").args(["netns", "list"]));
        assert!(!namespaces.contains(&format!("gapura-{short}")), "{namespaces}");
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.cloud.state_dir().join("gapura.db")).unwrap()
    }

    fn rows(&self, table: &str, server: &str) -> i64 {
        let query = format!("SELECT count(*) FROM {table} WHERE server_id = ?1");
        self.database().query_row(&query, [server], |row| row.get(0)).unwrap()
    }

    fn cloud_id(&self) -> String {
        self.database().query_row("SELECT id FROM cloud", [], |row| row.get(0)).unwrap()
    }
}

struct Server {
    id: String,
    disks: PathBuf,
}

fn text(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

const BOOT_STEPS: usize = 4;
const DELETE_STEPS: usize = 2;

fn killed_while_booting(step: usize) {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let mut made = None;
    lab.stand_still_at(&format!("boot_server:{step}"), |lab| made = Some(lab.create()));
    lab.kill_and_restart();
    let server = made.unwrap();
    let shown = lab.settled(&server);
    assert_eq!(shown["status"], "ACTIVE", "{shown}");
    lab.is_running_once(&server);
    let taps = lab.taps(&server);
    lab.delete(&server);
    lab.gone(&server);
    lab.nothing_is_left(&server, &taps);
}

#[test]
fn killed_after_placing_a_server_it_boots_it_once() {
    killed_while_booting(0);
}

#[test]
fn killed_after_connecting_a_server_it_boots_it_once() {
    killed_while_booting(1);
}

#[test]
fn killed_after_fetching_a_server_s_image_it_boots_it_once() {
    killed_while_booting(2);
}

#[test]
fn killed_after_starting_a_machine_it_does_not_start_it_twice() {
    killed_while_booting(BOOT_STEPS - 1);
}

#[test]
fn boot_and_delete_have_as_many_steps_as_are_tried_here() {
    let Some(daemon) = Daemon::find() else { return };
    let lab = Lab::open(daemon);
    let server = lab.create();
    lab.settled(&server);
    lab.delete(&server);
    lab.gone(&server);
    let log = lab.cloud.log();
    for (kind, steps) in [("boot_server", BOOT_STEPS), ("delete_server", DELETE_STEPS)] {
        let taken = log.lines().filter(|line| line.contains(&format!("kind=\"{kind}\"")) && line.contains(": step "));
        assert_eq!(taken.count(), steps, "{kind}:\n{log}");
    }
}

#[test]
fn killed_at_every_step_of_a_delete_it_leaves_nothing() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    for step in 0..DELETE_STEPS {
        let server = lab.create();
        assert_eq!(lab.settled(&server)["status"], "ACTIVE");
        let taps = lab.taps(&server);
        lab.stand_still_at(&format!("delete_server:{step}"), |lab| lab.delete(&server));
        lab.kill_and_restart();
        lab.gone(&server);
        lab.nothing_is_left(&server, &taps);
    }
}

#[test]
fn a_server_deleted_while_the_process_was_dying_in_its_boot_leaves_nothing() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let mut made = None;
    // Its machine runs, which no row knows yet.
    lab.stand_still_at(&format!("boot_server:{}", BOOT_STEPS - 1), |lab| made = Some(lab.create()));
    let server = made.unwrap();
    let taps = lab.taps(&server);
    lab.delete(&server);
    lab.kill_and_restart();
    lab.gone(&server);
    lab.nothing_is_left(&server, &taps);
}

#[test]
fn an_upload_that_the_process_did_not_survive_leaves_a_queued_image_and_no_bytes() {
    let mut cloud = Cloud::serving();
    let token = cloud.admin();
    let body = json!({"name": "cut", "disk_format": "raw", "container_format": "bare"});
    let id = cloud.ask("POST", "/image/v2/images", &token, &body).json()["id"].as_str().unwrap().to_owned();
    let (path, data) = (format!("/image/v2/images/{id}"), format!("/image/v2/images/{id}/file"));
    let headers = [("X-Auth-Token", token.as_str()), ("Content-Type", "application/octet-stream")];
    let mut upload = cloud.begin("PUT", &data, &headers, 20 << 20);
    let store = cloud.state_dir().join("images");
    // As much as it takes until some of it is in the store.
    let piece = vec![7; 1 << 20];
    let mut sent = 0;
    eventually("bytes reach the store", || {
        if sent < 16 {
            upload.write_all(&piece).unwrap();
            sent += 1;
        }
        (bytes_in(&store) > 0).then_some(())
    });
    cloud.kill();
    drop(upload);
    assert!(bytes_in(&store) > 0, "there is something to forget");
    cloud.start();
    let shown = cloud.get(&path, &token).json();
    assert_eq!((&shown["status"], &shown["size"], &shown["checksum"]), (&json!("queued"), &Value::Null, &Value::Null));
    assert_eq!(bytes_in(&store), 0, "{store:?}");

    let again = cloud.send("PUT", &data, &headers, b"whole");
    assert_eq!(again.status, 204, "{}", again.text());
    let shown = cloud.get(&path, &token).json();
    assert_eq!((&shown["status"], &shown["size"]), (&json!("active"), &json!(5)));
    let mut whole = cloud.get(&data, &token);
    assert_eq!(std::mem::take(&mut whole.body), b"whole");

    // What was acknowledged survives the next kill.
    cloud.kill();
    cloud.start();
    assert_eq!(cloud.get(&path, &token).json()["status"], "active");
    assert_eq!(cloud.get(&data, &token).body, b"whole");
}

fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(
            |entry| {
                if entry.path().is_dir() { bytes_in(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) }
            },
        )
        .sum()
}
