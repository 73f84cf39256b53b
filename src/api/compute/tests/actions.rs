//! What may be asked of a server when, through the API: each action in each state in which it is refused, and two at once.

use super::*;
use crate::cloud::server::{Action, Situation, State, may};
use crate::store::servers::{self, Change};
use http::Method;

/// A server is in this state, whatever it really does.
pub async fn put_in(site: &Site, id: ServerId, state: State) {
    let set = move |tx: &mut crate::store::Tx| servers::update(tx, id, Change::new().state(state), START);
    site.cloud.state.db.write(set).await.unwrap();
}

/// Each action as it is asked for, and the version that knows it.
fn bodies(site: &Site) -> Vec<(Action, Value, &'static str)> {
    let image = site.image.to_string();
    vec![
        (Action::Start, json!({"os-start": null}), "2.1"),
        (Action::Stop, json!({"os-stop": null}), "2.1"),
        (Action::RebootSoftly, json!({"reboot": {"type": "SOFT"}}), "2.1"),
        (Action::RebootHard, json!({"reboot": {"type": "HARD"}}), "2.1"),
        (Action::Pause, json!({"pause": null}), "2.1"),
        (Action::Unpause, json!({"unpause": null}), "2.1"),
        (Action::Suspend, json!({"suspend": null}), "2.1"),
        (Action::Resume, json!({"resume": null}), "2.1"),
        (Action::Rebuild, json!({"rebuild": {"imageRef": image}}), "2.1"),
        (Action::Resize, json!({"resize": {"flavorRef": "2"}}), "2.1"),
        (Action::ConfirmResize, json!({"confirmResize": null}), "2.1"),
        (Action::RevertResize, json!({"revertResize": null}), "2.1"),
        (Action::Rescue, json!({"rescue": null}), "2.1"),
        (Action::Unrescue, json!({"unrescue": null}), "2.1"),
        (Action::CreateImage, json!({"createImage": {"name": "copy"}}), "2.1"),
        (Action::CreateBackup, json!({"createBackup": {"name": "x", "backup_type": "daily", "rotation": 1}}), "2.1"),
        (Action::ChangePassword, json!({"changePassword": {"adminPass": "x"}}), "2.1"),
        (Action::TriggerCrashDump, json!({"trigger_crash_dump": null}), "2.17"),
        (Action::Restore, json!({"restore": null}), "2.1"),
    ]
}

#[tokio::test]
async fn each_action_in_each_wrong_state_is_a_conflict_in_novas_sentence_and_changes_nothing() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let path = format!("{PATH}/servers/{id}/action");
    let mut refused = 0;
    for state in State::ALL.iter().copied().filter(|state| *state != State::Deleted) {
        put_in(&site, id, state).await;
        for (action, body, version) in bodies(&site) {
            let now = Situation { state, task: None, has_launched: true, is_locked: false, is_on_host: true };
            let Err(expected) = may(action, id, now, false) else { continue };
            let reply = at(&alice, version, Method::POST, &path, &body).await;
            assert_eq!((reply.status, message(&reply)), (409, expected.to_string()), "{action:?} in {state:?}");
            assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], json!(null));
            refused += 1;
        }
    }
    assert!(refused > 90, "{refused}");
}

#[tokio::test]
async fn of_two_conflicting_actions_at_once_one_is_done_and_the_other_told_what_goes_on() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let (pause, suspend) =
        futures::join!(act(&alice, id, json!({"pause": null})), act(&alice, id, json!({"suspend": null})));
    let (done, refused) = if pause.status == 202 { (pause, suspend) } else { (suspend, pause) };
    assert_eq!((done.status, refused.status), (202, 409));
    assert!(message(&refused).contains(" while it is in task_state "), "{}", message(&refused));
    site.cloud.work().await;
    assert!(["PAUSED", "SUSPENDED"].contains(&show(&alice, id).await["status"].as_str().unwrap()));
}

#[tokio::test]
async fn a_suspended_guest_goes_on_where_it_was_and_a_reset_one_begins_anew() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    assert_eq!(act(&alice, id, json!({"suspend": null})).await.status, 202);
    assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], "suspending");
    site.cloud.work().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:power_state"]), (&json!("SUSPENDED"), &json!(4)));
    site.cloud.reconcile().await;
    assert_eq!(show(&alice, id).await["status"], "SUSPENDED", "and is not taken for a guest that went off");
    assert_eq!(act(&alice, id, json!({"resume": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    assert_eq!(site.cloud.hypervisor.boots(id), 1, "its memory was not lost");
    for order in [json!({"suspend": null}), json!({"reboot": {"type": "HARD"}})] {
        assert_eq!(act(&alice, id, order).await.status, 202);
        site.cloud.work().await;
    }
    assert_eq!((&show(&alice, id).await["status"], site.cloud.hypervisor.boots(id)), (&json!("ACTIVE"), 2));
}

#[tokio::test]
async fn an_operator_sets_a_state_and_a_member_does_not() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let id = site.boot(&alice, "web").await;
    let wish = |state: &str| json!({"os-resetState": {"state": state}});
    assert_eq!(act(&alice, id, wish("error")).await.status, 403);
    assert_eq!(act(&admin, id, wish("paused")).await.status, 400);
    assert_eq!(act(&admin, id, wish("error")).await.status, 202);
    assert_eq!(show(&alice, id).await["status"], "ERROR");
    site.cloud.reconcile().await;
    assert_eq!(show(&alice, id).await["status"], "ERROR", "what was said stays said");
    assert_eq!(act(&admin, id, wish("active")).await.status, 202);
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    let actions = alice.get(&format!("{PATH}/servers/{id}/os-instance-actions")).await.json();
    let mut names: Vec<_> =
        actions["instanceActions"].as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["create", "resetState", "resetState"]);
}

#[tokio::test]
async fn what_upstream_took_away_is_gone_and_what_networks_do_not_enforce_is_not_built() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let id = site.boot(&alice, "web").await;
    let gone = act(&admin, id, json!({"resetNetwork": null})).await;
    assert_eq!(
        (gone.status, message(&gone)),
        (410, "This resource is no longer available.  No forwarding address is given.".to_owned())
    );
    for (action, last) in [
        (json!({"addSecurityGroup": {"name": "x"}}), None),
        (json!({"removeSecurityGroup": {"name": "x"}}), None),
        (json!({"addFloatingIp": {"address": "10.0.0.1"}}), Some(("2.43", "2.44"))),
        (json!({"removeFloatingIp": {"address": "10.0.0.1"}}), Some(("2.43", "2.44"))),
    ] {
        let path = format!("{PATH}/servers/{id}/action");
        let (known, after) = last.unwrap_or(("2.1", ""));
        assert_eq!(at(&alice, known, Method::POST, &path, &action).await.status, 501, "{action}");
        if !after.is_empty() {
            let reply = at(&alice, after, Method::POST, &path, &action).await;
            assert!([400, 404].contains(&reply.status), "{action}: {}", reply.json());
        }
    }
}

#[tokio::test]
async fn a_lock_tells_why_and_is_an_administrators_once_one_has_taken_it() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let id = site.boot(&alice, "web").await;
    let path = format!("{PATH}/servers/{id}/action");
    let lock = |reason: &str| json!({"lock": {"locked_reason": reason}});
    assert_eq!(at(&alice, "2.73", Method::POST, &path, &lock("mine")).await.status, 202);
    assert_eq!(at(&alice, "2.73", Method::POST, &path, &lock("twice")).await.status, 202);
    let reason = |reply: Reply| reply.json()["server"]["locked_reason"].clone();
    let shown = at(&alice, "2.73", Method::GET, &format!("{PATH}/servers/{id}"), &Value::Null).await;
    assert_eq!(reason(shown), "mine", "the first word stands");
    assert_eq!(at(&admin, "2.73", Method::POST, &path, &lock("ours")).await.status, 202);
    assert_eq!(act(&alice, id, json!({"unlock": null})).await.status, 403);
    assert_eq!(act(&admin, id, json!({"unlock": null})).await.status, 202);
    let shown = at(&alice, "2.73", Method::GET, &format!("{PATH}/servers/{id}"), &Value::Null).await;
    assert_eq!(reason(shown), json!(null));
}
