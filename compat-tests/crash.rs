//! `kill -9`, anywhere: what was wished is had in the end, once, and nothing is left half done.
//!
//! `CRASH_POINT=boot_server:2` makes a debug build stand still after that step's effect, before it is saved: the moment at
//! which the most can be done twice or forgotten. The test kills the process there, starts it again, and asks the API,
//! libvirt, the kernel and the database how things are. Images, which need no machine, are in `crash_images`.

use crate::cloud::eventually;
use crate::lab::{Daemon, LARGER, Lab, Server, bridge};
use serde_json::{Value, json};

const BOOT_STEPS: usize = 4;
const DELETE_STEPS: usize = 2;
const REBUILD_STEPS: usize = 3;
const RESIZE_STEPS: usize = 3;
const REVERT_STEPS: usize = 2;
const RESCUE_STEPS: usize = 3;
const UNRESCUE_STEPS: usize = 2;
const IMAGE_STEPS: usize = 3;
const SHELVE_STEPS: usize = 5;
const UNSHELVE_STEPS: usize = 4;

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
    lab.deleted_leaves_nothing(&server);
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
fn all_work_has_as_many_steps_as_are_tried_here() {
    let Some(daemon) = Daemon::find() else { return };
    let lab = Lab::open(daemon);
    let server = lab.create();
    lab.settled(&server);
    for (action, status) in [
        (json!({"pause": null}), "PAUSED"),
        (json!({"shelve": null}), "SHELVED_OFFLOADED"),
        (json!({"unshelve": null}), "ACTIVE"),
        (json!({"createImage": {"name": "copy"}}), "ACTIVE"),
        (json!({"rebuild": {"imageRef": lab.image()}}), "ACTIVE"),
        (json!({"resize": {"flavorRef": lab.flavor(LARGER)}}), "VERIFY_RESIZE"),
        (json!({"revertResize": null}), "ACTIVE"),
        (json!({"rescue": null}), "RESCUE"),
        (json!({"unrescue": null}), "ACTIVE"),
    ] {
        lab.act(&server, &action);
        assert_eq!(lab.settled(&server)["status"], status, "{action}");
    }
    set_mtu(&lab, &lab.private(), 1400);
    lab.delete(&server);
    lab.gone(&server);
    eventually("hosts have heard of the network's change", || lab.no_work_is_open().then_some(()));
    let log = lab.cloud.log();
    for (kind, steps) in [
        ("boot_server", BOOT_STEPS),
        ("delete_server", DELETE_STEPS),
        ("power_server", 1),
        ("network_change", 1),
        ("rebuild_server", REBUILD_STEPS),
        ("resize_server", RESIZE_STEPS + REVERT_STEPS),
        ("rescue_server", RESCUE_STEPS + UNRESCUE_STEPS),
        ("image_server", IMAGE_STEPS),
        ("shelve_server", SHELVE_STEPS),
        ("unshelve_server", UNSHELVE_STEPS),
    ] {
        let taken = log.lines().filter(|line| line.contains(&format!("kind=\"{kind}\"")) && line.contains(": step "));
        assert_eq!(taken.count(), steps, "{kind}:\n{log}");
    }
}

#[test]
fn killed_at_every_step_of_a_delete_it_leaves_nothing() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    for step in 0..DELETE_STEPS {
        let server = lab.running();
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

/// Asks for another MTU of a network: work for its hosts.
fn set_mtu(lab: &Lab, network: &str, mtu: u32) {
    let path = format!("/network/v2.0/networks/{network}");
    let answer = lab.cloud.ask("PUT", &path, &lab.token, &json!({"network": {"mtu": mtu}}));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn killed_after_any_order_about_power_it_ends_as_ordered() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let server = lab.running();
    for (action, status, state) in [
        (json!({"os-stop": null}), "SHUTOFF", "--state-shutoff"),
        (json!({"os-start": null}), "ACTIVE", "--state-running"),
        (json!({"pause": null}), "PAUSED", "--state-paused"),
        (json!({"unpause": null}), "ACTIVE", "--state-running"),
        (json!({"suspend": null}), "SUSPENDED", "--inactive --with-managed-save"),
        (json!({"resume": null}), "ACTIVE", "--state-running"),
        (json!({"reboot": {"type": "HARD"}}), "ACTIVE", "--state-running"),
        (json!({"reboot": {"type": "SOFT"}}), "ACTIVE", "--state-running"),
    ] {
        lab.stand_still_at("power_server:0", |lab| lab.act(&server, &action));
        lab.kill_and_restart();
        let shown = lab.settled(&server);
        assert_eq!(shown["status"], status, "{action}: {shown}");
        let machines = lab.daemon.machines(state);
        assert_eq!(machines.iter().filter(|id| **id == server.id).count(), 1, "{action}: {machines:?}");
    }
    lab.is_running_once(&server);
    lab.deleted_leaves_nothing(&server);
}

/// Killed after each step of some work, the server is in the end what was asked for, once.
fn killed_at_each_step_of(
    kind: &str,
    steps: usize,
    action: &dyn Fn(&Lab) -> Value,
    back: Option<&Value>,
    status: &str,
) {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let server = lab.running();
    let files = lab.files(&server);
    for step in 0..steps {
        let action = action(&lab);
        lab.stand_still_at(&format!("{kind}:{step}"), |lab| lab.act(&server, &action));
        lab.kill_and_restart();
        let shown = lab.settled(&server);
        assert_eq!(shown["status"], status, "{action}, killed at {step}: {shown}");
        lab.is_running_once(&server);
        if let Some(back) = back {
            lab.act(&server, back);
            assert_eq!(lab.settled(&server)["status"], "ACTIVE");
            assert_eq!(lab.files(&server), files, "{action} and back, killed at {step}");
        }
    }
    lab.deleted_leaves_nothing(&server);
}

#[test]
fn killed_at_each_step_of_a_rebuild_it_is_rebuilt_once() {
    let wish = |lab: &Lab| json!({"rebuild": {"imageRef": lab.image()}});
    killed_at_each_step_of("rebuild_server", REBUILD_STEPS, &wish, None, "ACTIVE");
}

#[test]
fn killed_at_each_step_of_a_resize_it_is_resized_once_and_goes_back() {
    let wish = |lab: &Lab| json!({"resize": {"flavorRef": lab.flavor(LARGER)}});
    let back = json!({"revertResize": null});
    killed_at_each_step_of("resize_server", RESIZE_STEPS, &wish, Some(&back), "VERIFY_RESIZE");
}

#[test]
fn killed_at_each_step_of_a_rescue_it_is_rescued_once_and_comes_back() {
    let wish = |_: &Lab| json!({"rescue": null});
    killed_at_each_step_of("rescue_server", RESCUE_STEPS, &wish, Some(&json!({"unrescue": null})), "RESCUE");
}

/// A step on the way back: the work of that kind which took the server there has had its own steps before.
fn killed_on_the_way_back(kind: &str, steps: usize, there: &dyn Fn(&Lab) -> Value, back: &Value, away: &str) {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let server = lab.running();
    let files = lab.files(&server);
    for step in 0..steps {
        let there = there(&lab);
        lab.act(&server, &there);
        assert_eq!(lab.settled(&server)["status"], away);
        lab.stand_still_at(&format!("{kind}:{step}"), |lab| lab.act(&server, back));
        lab.kill_and_restart();
        let shown = lab.settled(&server);
        assert_eq!(shown["status"], "ACTIVE", "{back}, killed at {step}: {shown}");
        lab.is_running_once(&server);
        assert_eq!(lab.files(&server), files, "{back}, killed at {step}");
    }
    lab.deleted_leaves_nothing(&server);
}

#[test]
fn killed_at_each_step_of_going_back_it_is_as_before() {
    let resize = |lab: &Lab| json!({"resize": {"flavorRef": lab.flavor(LARGER)}});
    killed_on_the_way_back("resize_server", REVERT_STEPS, &resize, &json!({"revertResize": null}), "VERIFY_RESIZE");
    let rescue = |_: &Lab| json!({"rescue": null});
    killed_on_the_way_back("rescue_server", UNRESCUE_STEPS, &rescue, &json!({"unrescue": null}), "RESCUE");
}

#[test]
fn killed_at_each_step_of_making_an_image_it_makes_one_and_the_server_goes_on() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let server = lab.running();
    for step in 0..IMAGE_STEPS {
        let name = format!("copy-{step}");
        let action = json!({"createImage": {"name": name}});
        lab.stand_still_at(&format!("image_server:{step}"), |lab| lab.act(&server, &action));
        lab.kill_and_restart();
        assert_eq!(lab.settled(&server)["status"], "ACTIVE");
        let found = lab.get(&format!("/image/v2/images?name={name}")).json();
        assert_eq!(found["images"].as_array().map(Vec::len), Some(1), "killed at {step}: {found}");
        assert_eq!(found["images"][0]["status"], "active", "killed at {step}: {found}");
        assert!(!server.disks.join("copy.qcow2").exists(), "killed at {step}");
        lab.is_running_once(&server);
    }
    lab.deleted_leaves_nothing(&server);
}

#[test]
fn killed_while_it_deletes_softly_or_restores_it_ends_as_ordered() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open_with(daemon, |cloud| {
        cloud.set("COMPUTE__RECLAIM_INSTANCE_INTERVAL", "3600");
    });
    let server = lab.running();
    lab.stand_still_at("power_server:0", |lab| lab.delete(&server));
    lab.kill_and_restart();
    assert_eq!(lab.settled(&server)["status"], "SOFT_DELETED");
    assert!(lab.daemon.machines("--state-shutoff").contains(&server.id));
    lab.stand_still_at("power_server:0", |lab| lab.act(&server, &json!({"restore": null})));
    lab.kill_and_restart();
    assert_eq!(lab.settled(&server)["status"], "ACTIVE");
    lab.is_running_once(&server);
    let taps = lab.taps(&server);
    lab.act(&server, &json!({"forceDelete": null}));
    lab.gone(&server);
    lab.nothing_is_left(&server, &taps);
}

/// An image holds the disk, and its port is kept; of the rest nothing is on the host.
fn has_left_its_host(lab: &Lab, server: &Server) {
    // It is shown as away before its network has left the host, if nobody else needs that.
    eventually("the work on it is over", || lab.no_work_is_open().then_some(()));
    assert!(!lab.daemon.machines("--all").contains(&server.id));
    assert!(!server.disks.exists(), "{} is there", server.disks.display());
    assert_eq!((lab.rows("claims", &server.id), lab.rows("ports", &server.id)), (0, 1));
    lab.carries_not(&lab.private());
    let path = format!("/image/v2/images?instance_uuid={}", server.id);
    let found = lab.get(&path).json();
    assert_eq!(found["images"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["images"][0]["status"], "active", "{found}");
}

#[test]
fn killed_at_each_step_of_shelving_it_leaves_its_host_once_and_comes_back() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let server = lab.running();
    for step in 0..SHELVE_STEPS {
        lab.stand_still_at(&format!("shelve_server:{step}"), |lab| lab.act(&server, &json!({"shelve": null})));
        lab.kill_and_restart();
        let shown = lab.settled(&server);
        assert_eq!(shown["status"], "SHELVED_OFFLOADED", "killed at {step}: {shown}");
        has_left_its_host(&lab, &server);
        lab.act(&server, &json!({"unshelve": null}));
        assert_eq!(lab.settled(&server)["status"], "ACTIVE");
        lab.is_running_once(&server);
    }
    lab.deleted_leaves_nothing(&server);
}

#[test]
fn killed_at_each_step_of_coming_back_from_the_shelf_it_comes_back_once() {
    let shelve = |_: &Lab| json!({"shelve": null});
    let back = json!({"unshelve": null});
    killed_on_the_way_back("unshelve_server", UNSHELVE_STEPS, &shelve, &back, "SHELVED_OFFLOADED");
}

/// Writes or reads bytes on a disk that no machine has.
fn look_at(disk: &std::path::Path, order: &str) -> bool {
    let output = std::process::Command::new("qemu-io").args(["-f", "qcow2", "-c", order]).arg(disk).output().unwrap();
    output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("Pattern verification failed")
}

#[test]
fn what_a_guest_wrote_before_it_was_shelved_is_there_when_it_comes_back() {
    let Some(daemon) = Daemon::find() else { return };
    let lab = Lab::open(daemon);
    let server = lab.running();
    let stop = json!({"os-stop": null});
    lab.act(&server, &stop);
    assert_eq!(lab.settled(&server)["status"], "SHUTOFF");
    let disk = server.disks.join("disk.qcow2");
    assert!(look_at(&disk, "write -P 0x5a 512k 64k"));
    for _ in 0..2 {
        lab.act(&server, &json!({"shelve": null}));
        assert_eq!(lab.settled(&server)["status"], "SHELVED_OFFLOADED");
        has_left_its_host(&lab, &server);
        lab.act(&server, &json!({"unshelve": null}));
        assert_eq!(lab.settled(&server)["status"], "ACTIVE");
        lab.is_running_once(&server);
        lab.act(&server, &stop);
        assert_eq!(lab.settled(&server)["status"], "SHUTOFF");
        assert!(look_at(&disk, "read -P 0x5a 512k 64k"), "what was written is there");
        assert!(!look_at(&disk, "read -P 0x5a 0 64k"), "and nothing else");
    }
    lab.deleted_leaves_nothing(&server);
}

#[test]
fn killed_after_telling_a_host_of_a_network_s_change_it_leaves_the_network_changed_and_its_server_on_it() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let (server, network) = (lab.create(), lab.private());
    assert_eq!(lab.settled(&server)["status"], "ACTIVE");
    lab.stand_still_at("network_change:0", |lab| set_mtu(lab, &network, 1400));
    lab.kill_and_restart();
    eventually("the work is done", || lab.no_work_is_open().then_some(()));
    assert_eq!(std::fs::read_to_string(bridge(&network).join("mtu")).unwrap().trim(), "1400");
    lab.is_running_once(&server);
    lab.deleted_leaves_nothing(&server);
}

#[test]
fn killed_while_a_server_and_then_its_network_are_deleted_it_leaves_neither() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let made = lab.cloud.ask("POST", "/network/v2.0/networks", &lab.token, &json!({"network": {"name": "own"}}));
    let network = made.json()["network"]["id"].as_str().unwrap().to_owned();
    let subnet = json!({"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.60.0.0/24"}});
    assert_eq!(lab.cloud.ask("POST", "/network/v2.0/subnets", &lab.token, &subnet).status, 201);
    let server = lab.create_on(&network);
    assert_eq!(lab.settled(&server)["status"], "ACTIVE");
    let taps = lab.taps(&server);
    // The server's port is gone from the rows, its network still on the host: so the network can be deleted, and the host
    // is told by that work, which is killed as well.
    lab.stand_still_at("disconnect:0,network_change:0", |lab| lab.delete(&server));
    assert!(bridge(&network).exists(), "there is something to forget");
    let path = format!("/network/v2.0/networks/{network}");
    let answer = lab.cloud.ask("DELETE", &path, &lab.token, &Value::Null);
    assert_eq!(answer.status, 204, "{}", answer.text());
    lab.also_stands_still_at("network_change");
    lab.kill_and_restart();
    lab.gone(&server);
    eventually("all work is done", || lab.no_work_is_open().then_some(()));
    lab.carries_not(&network);
    lab.nothing_is_left(&server, &taps);
}

#[test]
fn killed_while_it_notes_that_a_machine_went_off_it_notes_it_after_all() {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let server = lab.running();
    lab.stand_still_at("reconcile:0", |lab| lab.daemon.virsh(&["destroy", &server.id]));
    assert_eq!(lab.show(&server).json()["server"]["status"], "ACTIVE", "not noted yet");
    lab.kill_and_restart();
    eventually("it is shown off", || (lab.show(&server).json()["server"]["status"] == "SHUTOFF").then_some(()));
    assert!(lab.daemon.machines("--state-shutoff").contains(&server.id), "and was not started by that");
    lab.act(&server, &json!({"os-start": null}));
    assert_eq!(lab.settled(&server)["status"], "ACTIVE");
    lab.is_running_once(&server);
    lab.deleted_leaves_nothing(&server);
}
