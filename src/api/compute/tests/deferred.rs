//! Deleting so that it can be taken back, where the operator wishes that.

use super::*;
use crate::tasks::overdue::Waits;

/// Shorter than a token's life.
const WAIT: u32 = 600;

async fn site() -> (Site, Client, ServerId) {
    let site = Site::over(Cloud::with_waits(Waits { reclaim: Some(WAIT), ..Waits::default() }).await).await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    (site, alice, id)
}

async fn delete(site: &Site, client: &Client, id: ServerId) {
    assert_eq!(client.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
}

async fn listed(client: &Client, query: &str) -> usize {
    client.get(&format!("{PATH}/servers{query}")).await.json()["servers"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_deleted_server_is_off_and_hidden_and_runs_again_once_restored() {
    let (site, alice, id) = site().await;
    delete(&site, &alice, id).await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:power_state"]), (&json!("SOFT_DELETED"), &json!(4)));
    assert_eq!(listed(&alice, "").await, 0);
    site.cloud.reconcile().await;
    assert_eq!(show(&alice, id).await["status"], "SOFT_DELETED");
    delete(&site, &alice, id).await;
    assert_eq!(show(&alice, id).await["status"], "SOFT_DELETED", "deleting it twice is deleting it once");
    let refused = act(&alice, id, json!({"os-start": null})).await;
    assert_eq!(message(&refused), format!("Cannot 'start' instance {id} while it is in vm_state soft-delete"));
    assert_eq!(act(&alice, id, json!({"restore": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!((&show(&alice, id).await["status"], listed(&alice, "").await), (&json!("ACTIVE"), 1));
}

#[tokio::test]
async fn a_deleted_server_holds_no_quota_and_needs_room_to_come_back() {
    let (site, alice, id) = site().await;
    let admin = site.cloud.admin().await;
    let limit = json!({"quota_set": {"instances": 1}});
    let path = format!("{PATH}/os-quota-sets/{}", alice.project_id);
    assert_eq!(admin.put(&path, limit).await.status, 200);
    delete(&site, &alice, id).await;
    let second = site.boot(&alice, "second").await;
    let refused = act(&alice, id, json!({"restore": null})).await;
    assert_eq!(
        (refused.status, message(&refused)),
        (403, "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances".to_owned())
    );
    assert_eq!(act(&alice, second, json!({"forceDelete": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("{PATH}/servers/{second}")).await.status, 404, "at once, as it says");
    assert_eq!(act(&alice, id, json!({"restore": null})).await.status, 202);
}

#[tokio::test]
async fn servers_restored_at_once_do_not_exceed_a_quota() {
    let (site, alice, first) = site().await;
    let second = site.boot(&alice, "second").await;
    delete(&site, &alice, first).await;
    delete(&site, &alice, second).await;
    let admin = site.cloud.admin().await;
    let limit = json!({"quota_set": {"instances": 1}});
    let path = format!("{PATH}/os-quota-sets/{}", alice.project_id);
    assert_eq!(admin.put(&path, limit).await.status, 200);
    assert_eq!(act(&alice, first, json!({"restore": null})).await.status, 202);
    let refused = act(&alice, second, json!({"restore": null})).await;
    let text = "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances".to_owned();
    assert_eq!((refused.status, message(&refused)), (403, text), "before the first is back");
    site.cloud.work().await;
    assert_eq!(show(&alice, first).await["status"], "ACTIVE");
    assert_eq!(act(&alice, second, json!({"restore": null})).await.status, 403, "and once it is");
}

#[tokio::test]
async fn after_the_wait_a_deleted_server_goes_for_good_and_not_before() {
    let (site, alice, id) = site().await;
    delete(&site, &alice, id).await;
    site.cloud.pass_seconds(i64::from(WAIT) - 1);
    site.cloud.reconcile().await;
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "SOFT_DELETED");
    site.cloud.pass_seconds(1);
    site.cloud.reconcile().await;
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("{PATH}/servers/{id}")).await.status, 404);
    assert_nothing_left(&site, id).await;
}

#[tokio::test]
async fn a_server_that_never_ran_goes_at_once() {
    let (site, alice, _) = site().await;
    let made = alice.post(&format!("{PATH}/servers"), site.wish("second")).await.json();
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    delete(&site, &alice, id).await;
    assert_eq!(alice.get(&format!("{PATH}/servers/{id}")).await.status, 404);
}
