//! Power, locks and what hosts say by themselves.

use super::*;
use crate::hypervisor::Power;

#[tokio::test]
async fn an_action_that_does_not_fit_the_state_is_a_conflict_in_novas_sentence() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let reply = act(&alice, id, json!({"os-start": null})).await;
    assert_eq!(reply.status, 409);
    assert_eq!(
        reply.json(),
        json!({"conflictingRequest": {"code": 409,
               "message": format!("Cannot 'start' instance {id} while it is in vm_state active")}})
    );
    assert_eq!(act(&alice, id, json!({"os-stop": null})).await.status, 202);
    let meanwhile = act(&alice, id, json!({"pause": null})).await;
    assert_eq!(message(&meanwhile), format!("Cannot 'pause' instance {id} while it is in task_state powering-off"));
}

#[tokio::test]
async fn a_guest_that_switches_itself_off_is_shown_shut_off_and_can_be_started() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    site.boot(&alice, "other").await;
    site.cloud.hypervisor.set_power(id, Power::Shutdown);
    site.cloud.reconcile().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:power_state"]), (&json!("SHUTOFF"), &json!(4)));
    assert_eq!(act(&alice, id, json!({"os-start": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
}

#[tokio::test]
async fn a_host_that_is_away_or_lost_its_inventory_turns_no_server_off() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let ids = [site.boot(&alice, "a").await, site.boot(&alice, "b").await, site.boot(&alice, "c").await];
    site.cloud.hypervisor.set_away(true);
    site.cloud.reconcile().await;
    site.cloud.hypervisor.set_away(false);
    for id in &ids[..2] {
        site.cloud.hypervisor.lose(*id);
    }
    site.cloud.reconcile().await;
    for id in ids {
        assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    }
}

#[tokio::test]
async fn what_failed_and_has_no_machine_is_no_loss_of_its_hosts() {
    let site = Site::new().await;
    let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
    let ids = [site.boot(&alice, "a").await, site.boot(&alice, "b").await, site.boot(&alice, "c").await];
    for id in &ids[..2] {
        assert_eq!(act(&admin, *id, json!({"os-resetState": {"state": "error"}})).await.status, 202);
        site.cloud.hypervisor.lose(*id);
    }
    site.cloud.hypervisor.set_power(ids[2], Power::Shutdown);
    site.cloud.reconcile().await;
    let shown = [show(&alice, ids[0]).await, show(&alice, ids[2]).await];
    let seen = shown.each_ref().map(|server| (&server["status"], &server["OS-EXT-STS:power_state"]));
    assert_eq!(seen, [(&json!("ERROR"), &json!(4)), (&json!("SHUTOFF"), &json!(4))]);
}

#[tokio::test]
async fn a_locked_server_is_touched_by_administrators_only() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    assert_eq!(act(&alice, id, json!({"lock": null})).await.status, 202);
    assert_eq!(act(&alice, id, json!({"os-stop": null})).await.status, 409);
    let refused = alice.delete(&format!("{PATH}/servers/{id}")).await;
    assert_eq!((refused.status, message(&refused)), (409, format!("Instance {id} is locked")));
    assert_eq!(act(&alice, id, json!({"unlock": null})).await.status, 202);
    let admin = site.cloud.admin().await;
    assert_eq!(act(&admin, id, json!({"lock": null})).await.status, 202);
    assert_eq!(act(&alice, id, json!({"unlock": null})).await.status, 403);
    assert_eq!(act(&admin, id, json!({"os-stop": null})).await.status, 202);
}

#[tokio::test]
async fn the_console_shows_what_the_guest_wrote() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    site.cloud.disks.say(id, "one\ntwo\nthree\n");
    let all = act(&alice, id, json!({"os-getConsoleOutput": {}})).await;
    assert_eq!((all.status, all.json()), (200, json!({"output": "one\ntwo\nthree\n"})));
    let last = act(&alice, id, json!({"os-getConsoleOutput": {"length": "2"}})).await.json();
    assert_eq!(last["output"], "three\n", "the empty line after the last end of a line counts, as upstream counts");
    site.cloud.disks.say(id, "\u{1b}[2J\u{0}bell\u{7}\ttab\r\n");
    let clean = act(&alice, id, json!({"os-getConsoleOutput": {"length": 2}})).await.json();
    assert_eq!(clean["output"], "[2Jbell\ttab\n", "what no terminal should be told is left out");
    for all in [json!(-1), json!("-1"), json!(null)] {
        let output = act(&alice, id, json!({"os-getConsoleOutput": {"length": all}})).await;
        assert_eq!(output.status, 200, "{}", output.json());
        assert!(output.json()["output"].as_str().unwrap().starts_with("one\n"));
    }
    let none = act(&alice, id, json!({"os-getConsoleOutput": {"length": 0}})).await.json();
    assert_eq!(none["output"], "");
}

#[tokio::test]
async fn a_host_that_refuses_leaves_the_server_as_it_is_with_the_failure_noted() {
    use crate::hypervisor::simulated::{Call, Fault};
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    site.cloud.hypervisor.fail_at(Call::Pause, 1, Fault::Refused);
    assert_eq!(act(&alice, id, json!({"pause": null})).await.status, 202);
    site.cloud.work().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:task_state"]), (&json!("ACTIVE"), &json!(null)));
}

#[tokio::test]
async fn a_guest_that_ignores_the_power_button_does_not_hold_up_its_deletion() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    site.cloud.hypervisor.ignore_shutdown(id);
    assert_eq!(act(&alice, id, json!({"os-stop": null})).await.status, 202);
    assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("{PATH}/servers/{id}")).await.status, 404);
    assert_nothing_left(&site, id).await;
}
