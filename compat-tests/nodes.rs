//! A cloud of two processes: a controller, and `gapura node` on what stands for another machine. Both pretend their
//! machines; what they say to each other, and what operators type, is real.

use crate::cloud::{Answer, Cloud, eventually, free_address};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// A controller where machines may join.
pub fn controller(set: impl FnOnce(&mut Cloud)) -> (Cloud, String) {
    let mut cloud = Cloud::new();
    let door = free_address().to_string();
    cloud.set("NODES__LISTEN", &door).set("COMPUTE__HOST", "here").set("LOG__FILTER", "info,access=off");
    let image = cloud.folder().join("empty.qcow2");
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2"]).arg(&image).arg("1M");
    assert!(command.status().unwrap().success());
    cloud.set("INIT__IMAGE", image.to_str().unwrap());
    set(&mut cloud);
    cloud.init();
    cloud.start();
    (cloud, format!("https://{door}"))
}

/// What stands for another machine.
pub struct Machine {
    pub cloud: Cloud,
    process: Option<Child>,
}

impl Machine {
    pub fn called(name: &str) -> Self {
        let mut cloud = Cloud::new();
        cloud.unset("GAPURA_LISTEN");
        cloud.unset("GAPURA_DATABASE_URL");
        cloud.set("COMPUTE__HOST", name).set("NODE__LISTEN", &free_address().to_string());
        Self { cloud, process: None }
    }

    pub fn join(&self, door: &str, token: &str) -> Output {
        self.cloud.run(&["node", "join", door, token])
    }

    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.cloud.folder().join("log")).unwrap();
        self.process = Some(self.cloud.command(&["node"]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// As a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn hosts(cloud: &Cloud, token: &str) -> Vec<(String, String)> {
    let listed = cloud.get("/compute/v2.1/os-services?binary=nova-compute", token).json();
    let services = listed["services"].as_array().unwrap().iter();
    services.map(|one| (one["host"].as_str().unwrap().to_owned(), one["state"].as_str().unwrap().to_owned())).collect()
}

pub fn first(cloud: &Cloud, token: &str, path: &str, collection: &str) -> Value {
    cloud.get(path, token).json()[collection][0]["id"].clone()
}

/// Asks for a server on a host by name.
fn ask_for(cloud: &Cloud, token: &str, host: &str) -> Answer {
    let wish = json!({
        "name": format!("on-{host}"),
        "imageRef": first(cloud, token, "/image/v2/images", "images"),
        "flavorRef": first(cloud, token, "/compute/v2.1/flavors", "flavors"),
        "networks": [{"uuid": first(cloud, token, "/network/v2.0/networks", "networks")}],
        "availability_zone": format!("nova:{host}"),
    });
    cloud.ask("POST", "/compute/v2.1/servers", token, &json!({ "server": wish }))
}

/// Waits until a server is no longer being worked on.
pub fn settled(cloud: &Cloud, token: &str, id: &str) -> Value {
    eventually("the server is settled", || {
        let shown = cloud.get(&format!("/compute/v2.1/servers/{id}"), token).json()["server"].take();
        (shown["status"] != "BUILD" && shown["OS-EXT-STS:task_state"].is_null()).then_some(shown)
    })
}

#[test]
fn a_machine_joins_with_a_token_and_runs_servers_and_whoever_has_none_does_not() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: no qemu-img, so there is no image to boot on another host");
    }
    let ((cloud, door), mut machine) = (controller(|_| {}), Machine::called("there"));
    let never = refused(&machine.cloud.run(&["node"]));
    assert!(never.starts_with("gapura: This machine is no cloud's host yet"), "{never}");

    let token = said(&cloud.run(&["node", "token"]));
    assert!(said(&machine.join(&door, &token)).starts_with("this machine is the host there of the cloud now"));
    assert_eq!(
        refused(&machine.join(&door, &token)),
        "gapura: The token was used already, by there: each serves once\n"
    );
    // By its name for the simulator it is the controller's own machine.
    let twin = Machine::called("here");
    let refusal = refused(&twin.join(&door, &said(&cloud.run(&["node", "token"]))));
    assert!(refusal.contains("is that of here, a host that a controller has for its own"), "{refusal}");

    machine.start();
    let admin = cloud.admin();
    let both = [("here".to_owned(), "up".to_owned()), ("there".to_owned(), "up".to_owned())];
    eventually("both hosts are up", || (hosts(&cloud, &admin) == both).then_some(()));
    let mut servers = Vec::new();
    for host in ["here", "there"] {
        let answer = ask_for(&cloud, &admin, host);
        assert_eq!(answer.status, 202, "{}", answer.text());
        let id = answer.json()["server"]["id"].as_str().unwrap().to_owned();
        let shown = settled(&cloud, &admin, &id);
        assert_eq!((&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]), (&json!("ACTIVE"), &json!(host)), "{shown}");
        servers.push(id);
    }
    leave(&cloud, &admin, &servers);
    let log = std::fs::read_to_string(machine.cloud.folder().join("log")).unwrap();
    assert!(log.contains("taking orders") && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_controller_without_a_host_of_its_own_runs_servers_on_those_that_joined() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: no qemu-img, so there is no image to boot on another host");
    }
    let (cloud, door) = controller(|cloud| {
        cloud.set("HYPERVISOR", "none");
    });
    let admin = cloud.admin();
    assert!(hosts(&cloud, &admin).is_empty());
    let too_early = ask_for(&cloud, &admin, "there").json()["server"]["id"].as_str().unwrap_or_default().to_owned();
    assert!(too_early.is_empty() || settled(&cloud, &admin, &too_early)["status"] == "ERROR");
    let mut machine = Machine::called("there");
    said(&machine.join(&door, &said(&cloud.run(&["node", "token"]))));
    machine.start();
    let only = [("there".to_owned(), "up".to_owned())];
    eventually("the host is up", || (hosts(&cloud, &admin) == only).then_some(()));
    let id = ask_for(&cloud, &admin, "there").json()["server"]["id"].as_str().unwrap().to_owned();
    let shown = settled(&cloud, &admin, &id);
    assert_eq!((&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]), (&json!("ACTIVE"), &json!("there")), "{shown}");
    let path = format!("/compute/v2.1/servers/{id}");
    assert_eq!(cloud.ask("DELETE", &path, &admin, &Value::Null).status, 204);
    eventually("the server is gone", || (cloud.get(&path, &admin).status == 404).then_some(()));
    let doctor = cloud.run(&["doctor"]);
    let found = String::from_utf8(doctor.stdout).unwrap();
    assert!(found.contains("this controller has no host of its own") && found.contains("there answers"), "{found}");
    let there = String::from_utf8(machine.cloud.run(&["doctor"]).stdout).unwrap();
    assert!(there.contains("this machine is the host there of a cloud") && !there.contains("database"), "{there}");
    // What is no host joins nothing.
    let refusal = refused(&cloud.run(&["node", "join", &door, &said(&cloud.run(&["node", "token"]))]));
    assert_eq!(refusal, "gapura: hypervisor = \"none\": this machine is no host\n");
}

/// The host that joined leaves, once nothing is on it.
fn leave(cloud: &Cloud, admin: &str, servers: &[String]) {
    let listed = said(&cloud.run(&["host", "list"]));
    assert!(listed.lines().count() == 3 && listed.contains("the controller's own"), "{listed}");
    assert_eq!(
        refused(&cloud.run(&["host", "remove", "there"])),
        "gapura: there has servers, or some are on their way there: move or delete them first\n"
    );
    said(&cloud.run(&["host", "disable", "there", "--reason", "it leaves"]));
    let kept_away = ask_for(cloud, admin, "there").json()["server"]["id"].as_str().unwrap().to_owned();
    let shown = settled(cloud, admin, &kept_away);
    assert_eq!(shown["status"], "ERROR", "{shown}");
    for id in servers.iter().chain([&kept_away]) {
        let path = format!("/compute/v2.1/servers/{id}");
        assert_eq!(cloud.ask("DELETE", &path, admin, &Value::Null).status, 204);
        eventually("the server is gone", || (cloud.get(&path, admin).status == 404).then_some(()));
    }
    said(&cloud.run(&["host", "remove", "there"]));
    eventually("one host is left", || (hosts(cloud, admin) == [("here".to_owned(), "up".to_owned())]).then_some(()));
    assert!(refused(&cloud.run(&["host", "remove", "here"])).contains("would be found again"));
}

#[test]
fn a_drain_that_is_killed_in_the_middle_goes_on_where_it_was_when_it_is_said_again() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: no qemu-img, so there is no image to boot");
    }
    let (cloud, _) = controller(|cloud| {
        cloud.set("SIMULATED__HOSTS", "2");
    });
    let admin = cloud.admin();
    let mut servers = Vec::new();
    for _ in 0..3 {
        let answer = ask_for(&cloud, &admin, "here-1");
        assert_eq!(answer.status, 202, "{}", answer.text());
        servers.push(answer.json()["server"]["id"].as_str().unwrap().to_owned());
    }
    for id in &servers {
        assert_eq!(settled(&cloud, &admin, id)["status"], "ACTIVE");
    }
    let mut command = cloud.command(&["host", "drain", "here-1", "--at-once", "1"]);
    let mut drain = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(drain.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "[--------------------] 0 of 3 gone, 1 on their way\n");
    drain.kill().unwrap();
    drain.wait().unwrap();
    let again = said(&cloud.run(&["host", "drain", "here-1", "--at-once", "1"]));
    assert!(again.lines().last().unwrap().starts_with("[####################]"), "{again}");
    for id in &servers {
        let shown = settled(&cloud, &admin, id);
        assert_eq!((&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]), (&json!("ACTIVE"), &json!("here-2")), "{shown}");
    }
}
