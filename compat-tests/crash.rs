//! `kill -9`, anywhere: what was wished is had in the end, once, and nothing is left half done.
//!
//! `CRASH_POINT=boot_server:2` makes a debug build stand still after that step's effect, before it is saved: the moment at
//! which the most can be done twice or forgotten. The test kills the process there, starts it again, and asks the API,
//! libvirt, the kernel and the database how things are. Images, which need no machine, are in `crash_images`.

use crate::cloud::eventually;
use crate::lab::{Daemon, Lab, bridge};
use serde_json::{Value, json};

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
    lab.act(&server, &json!({"pause": null}));
    lab.settled(&server);
    set_mtu(&lab, &lab.private(), 1400);
    lab.delete(&server);
    lab.gone(&server);
    eventually("hosts have heard of the network's change", || lab.no_work_is_open().then_some(()));
    let log = lab.cloud.log();
    for (kind, steps) in
        [("boot_server", BOOT_STEPS), ("delete_server", DELETE_STEPS), ("power_server", 1), ("network_change", 1)]
    {
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
        }
    }
    lab.deleted_leaves_nothing(&server);
}

#[test]
fn killed_at_each_step_of_a_rebuild_it_is_rebuilt_once() {
    let wish = |lab: &Lab| json!({"rebuild": {"imageRef": lab.image()}});
    killed_at_each_step_of("rebuild_server", 3, &wish, None, "ACTIVE");
}

#[test]
fn killed_at_each_step_of_a_resize_it_is_resized_once_and_goes_back() {
    let wish = |lab: &Lab| json!({"resize": {"flavorRef": lab.flavor("m1.micro")}});
    killed_at_each_step_of("resize_server", 3, &wish, Some(&json!({"revertResize": null})), "VERIFY_RESIZE");
}

#[test]
fn killed_at_each_step_of_a_rescue_it_is_rescued_once_and_comes_back() {
    let wish = |_: &Lab| json!({"rescue": null});
    killed_at_each_step_of("rescue_server", 3, &wish, Some(&json!({"unrescue": null})), "RESCUE");
}

/// A step on the way back: the work of that kind which took the server there has had its own steps before.
fn killed_on_the_way_back(kind: &str, steps: usize, there: &dyn Fn(&Lab) -> Value, back: &Value, away: &str) {
    let Some(daemon) = Daemon::find() else { return };
    let mut lab = Lab::open(daemon);
    let server = lab.running();
    for step in 0..steps {
        let there = there(&lab);
        lab.act(&server, &there);
        assert_eq!(lab.settled(&server)["status"], away);
        lab.stand_still_at(&format!("{kind}:{step}"), |lab| lab.act(&server, back));
        lab.kill_and_restart();
        let shown = lab.settled(&server);
        assert_eq!(shown["status"], "ACTIVE", "{back}, killed at {step}: {shown}");
        lab.is_running_once(&server);
    }
    lab.deleted_leaves_nothing(&server);
}

#[test]
fn killed_at_each_step_of_going_back_it_is_as_before() {
    let resize = |lab: &Lab| json!({"resize": {"flavorRef": lab.flavor("m1.micro")}});
    killed_on_the_way_back("resize_server", 2, &resize, &json!({"revertResize": null}), "VERIFY_RESIZE");
    killed_on_the_way_back("rescue_server", 2, &|_| json!({"rescue": null}), &json!({"unrescue": null}), "RESCUE");
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
