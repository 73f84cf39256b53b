//! Resizing: both flavors are held until somebody decides; going back finds the disk as it was.

use super::*;
use crate::disks::Part;
use crate::hypervisor::{Hypervisor, Power};
use crate::tasks::overdue::Waits;
use http::Method;

/// One GiB more of disk, and twice the memory.
pub const LARGER: &str = "larger";

async fn site_with(waits: Waits) -> (Site, Client, ServerId) {
    let site = Site::over(Cloud::with_waits(waits).await).await;
    make_flavor(&site, LARGER, 384, 2).await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    (site, alice, id)
}

pub async fn make_flavor(site: &Site, id: &str, ram: u64, vcpus: u32) {
    let admin = site.cloud.admin().await;
    let flavor = json!({"flavor": {"name": format!("f{id}"), "id": id, "ram": ram, "vcpus": vcpus, "disk": 2}});
    let made = admin.post(&format!("{PATH}/flavors"), flavor).await;
    assert_eq!(made.status, 200, "{}", made.json());
}

pub async fn resize(client: &Client, id: ServerId, flavor: &str) {
    let reply = act(client, id, json!({"resize": {"flavorRef": flavor}})).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
}

/// Memory that is claimed for a server on each host, in MiB.
pub async fn claims(site: &Site, id: ServerId) -> Vec<(String, i64)> {
    let ask = move |tx: &mut crate::store::Tx| {
        let sql = "SELECT h.name, c.memory_mib FROM claims c JOIN hosts h ON h.id = c.host_id
                    WHERE c.server_id = ?1 ORDER BY h.name";
        tx.query(sql, args![id])?.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
    };
    site.cloud.state.db.read(ask).await.unwrap()
}

/// Memory that is claimed for a server, in MiB.
pub async fn claimed(site: &Site, id: ServerId) -> i64 {
    let ask = move |tx: &mut crate::store::Tx| {
        let row = tx.query_one("SELECT memory_mib FROM claims WHERE server_id = ?1", args![id])?;
        row.map_or(Ok(0), |mut row| row.next::<i64>())
    };
    site.cloud.state.db.read(ask).await.unwrap()
}

async fn move_of(site: &Site, id: ServerId) -> Value {
    let admin = site.cloud.admin().await;
    let path = format!("{PATH}/os-migrations?instance_uuid={id}");
    let listed = at(&admin, "2.80", Method::GET, &path, &Value::Null).await.json();
    assert_eq!(listed["migrations"].as_array().unwrap().len(), 1, "{listed}");
    listed["migrations"][0].clone()
}

#[tokio::test]
async fn a_resized_server_has_its_new_flavor_and_holds_both_until_it_is_confirmed() {
    let (site, alice, id) = site_with(Waits::default()).await;
    resize(&alice, id, LARGER).await;
    assert_eq!(show(&alice, id).await["status"], "RESIZE");
    site.cloud.work().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["flavor"]["id"]), (&json!("VERIFY_RESIZE"), &json!(LARGER)));
    let spec = site.cloud.hypervisor.spec(id).unwrap();
    assert_eq!((spec.vcpus, spec.memory_mib), (2, 384));
    assert_eq!(site.cloud.disks.root(id).unwrap().virtual_size, 2 << 30);
    assert_eq!(claimed(&site, id).await, 192 + 384);
    let moved = move_of(&site, id).await;
    assert_eq!((&moved["status"], &moved["migration_type"]), (&json!("finished"), &json!("resize")));
    assert_eq!((&moved["source_compute"], &moved["dest_compute"]), (&json!("host-1"), &json!("host-1")));
    assert_eq!(moved["project_id"], alice.project_id.as_str());
    assert_eq!(act(&alice, id, json!({"confirmResize": null})).await.status, 204);
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["flavor"]["id"]), (&json!("ACTIVE"), &json!(LARGER)));
    assert_eq!((claimed(&site, id).await, &move_of(&site, id).await["status"]), (384, &json!("confirmed")));
    let again = act(&alice, id, json!({"confirmResize": null})).await;
    assert_eq!(message(&again), format!("Cannot 'confirmResize' instance {id} while it is in vm_state active"));
    // A second one lies on the first.
    make_flavor(&site, "85", 512, 1).await;
    resize(&alice, id, "85").await;
    site.cloud.work().await;
    assert_eq!(site.cloud.disks.root(id).unwrap().part, Part::Root { layer: 2 });
}

#[tokio::test]
async fn a_resize_that_is_taken_back_leaves_flavor_disk_and_claim_as_they_were() {
    let (site, alice, id) = site_with(Waits::default()).await;
    let before = site.cloud.disks.root(id).unwrap();
    resize(&alice, id, LARGER).await;
    site.cloud.work().await;
    assert_eq!(act(&alice, id, json!({"revertResize": null})).await.status, 202);
    assert_eq!(show(&alice, id).await["status"], "REVERT_RESIZE");
    site.cloud.work().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["flavor"]["id"]), (&json!("ACTIVE"), &json!("42")));
    assert_eq!((site.cloud.disks.root(id).unwrap(), claimed(&site, id).await), (before, 192));
    assert_eq!(site.cloud.hypervisor.spec(id).unwrap().memory_mib, 192);
    assert_eq!(move_of(&site, id).await["status"], "reverted");
}

#[tokio::test]
async fn a_server_that_is_off_is_resized_and_stays_off() {
    let (site, alice, id) = site_with(Waits::default()).await;
    assert_eq!(act(&alice, id, json!({"os-stop": null})).await.status, 202);
    site.cloud.work().await;
    resize(&alice, id, LARGER).await;
    site.cloud.work().await;
    site.cloud.reconcile().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:power_state"]), (&json!("VERIFY_RESIZE"), &json!(4)));
    assert_eq!(site.cloud.hypervisor.boots(id), 1);
    assert_eq!(act(&alice, id, json!({"confirmResize": null})).await.status, 204);
    assert_eq!(show(&alice, id).await["status"], "SHUTOFF");
    assert_eq!(act(&alice, id, json!({"os-start": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(site.cloud.hypervisor.spec(id).unwrap().memory_mib, 384);
}

#[tokio::test]
async fn a_resize_that_nobody_decides_on_is_confirmed_after_the_wait_and_not_before() {
    let (site, alice, id) = site_with(Waits { confirm: Some(60), ..Waits::default() }).await;
    resize(&alice, id, LARGER).await;
    site.cloud.work().await;
    site.cloud.pass_seconds(59);
    site.cloud.reconcile().await;
    assert_eq!(show(&alice, id).await["status"], "VERIFY_RESIZE");
    site.cloud.pass_seconds(1);
    site.cloud.reconcile().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_in_novas_words() {
    let (site, alice, id) = site_with(Waits::default()).await;
    let admin = site.cloud.admin().await;
    make_flavor(&site, "many", 192, 64).await;
    let tiny = json!({"flavor": {"name": "none", "id": "none", "ram": 64, "vcpus": 1, "disk": 0}});
    assert_eq!(admin.post(&format!("{PATH}/flavors"), tiny).await.status, 200);
    for (flavor, status, text) in [
        ("42", 400, "When resizing, instances must change flavor!"),
        ("nowhere", 400, "Flavor nowhere could not be found."),
        ("none", 400, "Server disk was unable to be resized because: Resize to zero disk flavor is not allowed."),
        ("many", 403, "Quota exceeded for cores: Requested 63, but already used 1 of 20 cores"),
    ] {
        let refused = act(&alice, id, json!({"resize": {"flavorRef": flavor}})).await;
        assert_eq!((refused.status, message(&refused).as_str()), (status, text), "{flavor}");
    }
    resize(&alice, id, LARGER).await;
    site.cloud.work().await;
    assert_eq!(act(&alice, id, json!({"confirmResize": null})).await.status, 204);
    let smaller = act(&alice, id, json!({"resize": {"flavorRef": "42"}})).await;
    assert_eq!(message(&smaller), "Server disk was unable to be resized because: Unable to resize disk down.");
}

/// What a server holds until the resize is confirmed is no reason that its host is too small for it.
#[tokio::test]
async fn a_server_may_be_resized_to_all_the_cpus_that_its_host_has() {
    let site = Site::over(Cloud::with_hosts(&[(2, 4096)]).await).await;
    make_flavor(&site, LARGER, 384, 2).await;
    make_flavor(&site, "wider", 384, 3).await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    resize(&alice, id, "wider").await;
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE", "one more than there are");
    resize(&alice, id, LARGER).await;
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "VERIFY_RESIZE");
}

#[tokio::test]
async fn a_host_without_room_for_both_flavors_leaves_the_server_running_as_it_was() {
    let (site, alice, id) = site_with(Waits::default()).await;
    let admin = site.cloud.admin().await;
    let limits = json!({"quota_set": {"ram": -1}});
    assert_eq!(admin.put(&format!("{PATH}/os-quota-sets/{}", alice.project_id), limits).await.status, 200);
    make_flavor(&site, "huge", 10_000_000, 1).await;
    resize(&alice, id, "huge").await;
    site.cloud.work().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["flavor"]["id"]), (&json!("ACTIVE"), &json!("42")));
    assert_eq!((claimed(&site, id).await, site.cloud.hypervisor.boots(id)), (192, 1));
    assert_eq!(move_of(&site, id).await["status"], "error");
    assert_eq!(site.cloud.hypervisor.list().await.unwrap()[0].power, Power::Running);
    let path = format!("{PATH}/servers/{id}/os-instance-actions/req-test");
    let shown = at(&admin, "2.84", Method::GET, &path, &Value::Null).await.json();
    let why = "No valid host was found. There are not enough hosts available. Of 1 host, Resources refused 1.";
    let events = shown["instanceAction"]["events"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["details"] == why),
        "its own host is too full, not one to leave: {events:?}"
    );
}

#[tokio::test]
async fn migrations_are_listed_by_page_time_and_owner_and_live_ones_there_are_none() {
    let (site, alice, id) = site_with(Waits::default()).await;
    let admin = site.cloud.admin().await;
    resize(&alice, id, LARGER).await;
    site.cloud.work().await;
    let path = format!("{PATH}/os-migrations");
    assert_eq!(alice.get(&path).await.status, 403);
    let oldest = admin.get(&path).await.json()["migrations"][0].clone();
    assert!(oldest.get("migration_type").is_none() && oldest.get("uuid").is_none(), "{oldest}");
    let list = |version: &'static str, query: String| {
        let (admin, path) = (&admin, format!("{path}?{query}"));
        async move { at(admin, version, Method::GET, &path, &Value::Null).await }
    };
    let uuid = list("2.59", String::new()).await.json()["migrations"][0]["uuid"].as_str().unwrap().to_owned();
    assert_eq!(list("2.59", format!("marker={uuid}")).await.json()["migrations"], json!([]));
    assert_eq!(list("2.59", "marker=nobody".to_owned()).await.status, 400);
    assert_eq!(list("2.59", "unknown=1".to_owned()).await.status, 400);
    assert_eq!(list("2.58", "unknown=1".to_owned()).await.status, 200);
    assert_eq!(list("2.59", "user_id=x".to_owned()).await.status, 400);
    assert_eq!(list("2.80", "user_id=x".to_owned()).await.json()["migrations"], json!([]));
    assert_eq!(list("2.80", "status=finished".to_owned()).await.json()["migrations"].as_array().unwrap().len(), 1);
    assert_eq!(list("2.80", "migration_type=live-migration".to_owned()).await.json()["migrations"], json!([]));
    let number = oldest["id"].as_i64().unwrap();
    let one = format!("{PATH}/servers/{id}/migrations");
    let live = at(&admin, "2.23", Method::GET, &one, &Value::Null).await;
    assert_eq!((live.status, live.json()), (200, json!({"migrations": []})));
    let shown = at(&admin, "2.23", Method::GET, &format!("{one}/{number}"), &Value::Null).await;
    let text = format!("Migration {number} for server {id} is not live-migration.");
    assert_eq!((shown.status, message(&shown)), (404, text));
    assert_eq!(at(&admin, "2.24", Method::DELETE, &format!("{one}/{number}"), &Value::Null).await.status, 409);
}

async fn limit(site: &Site, client: &Client, query: &str, limits: Value) {
    let path = format!("{PATH}/os-quota-sets/{}{query}", client.project_id);
    let set = site.cloud.admin().await.put(&path, json!({ "quota_set": limits })).await;
    assert_eq!(set.status, 200, "{}", set.json());
}

#[tokio::test]
async fn resizes_asked_for_at_once_do_not_exceed_a_quota() {
    let (site, alice, first) = site_with(Waits::default()).await;
    make_flavor(&site, "lean", 128, 1).await;
    let second = site.boot(&alice, "second").await;
    limit(&site, &alice, "", json!({"cores": 3})).await;
    resize(&alice, first, LARGER).await;
    let refused = act(&alice, second, json!({"resize": {"flavorRef": LARGER}})).await;
    let text = "Quota exceeded for cores: Requested 1, but already used 3 of 3 cores";
    assert_eq!((refused.status, message(&refused).as_str()), (403, text), "before the first has begun");
    site.cloud.work().await;
    let refused = act(&alice, second, json!({"resize": {"flavorRef": LARGER}})).await;
    assert_eq!((refused.status, message(&refused).as_str()), (403, text), "and once it is done");
    assert_eq!(act(&alice, first, json!({"revertResize": null})).await.status, 202);
    site.cloud.work().await;
    for id in [first, second] {
        resize(&alice, id, "lean").await;
    }
    site.cloud.work().await;
    limit(&site, &alice, "", json!({"ram": 330})).await;
    assert_eq!(act(&alice, first, json!({"revertResize": null})).await.status, 202);
    let refused = act(&alice, second, json!({"revertResize": null})).await;
    let text = "Quota exceeded for ram: Requested 64, but already used 320 of 330 ram";
    assert_eq!((refused.status, message(&refused).as_str()), (403, text), "before the first is back");
    site.cloud.work().await;
    assert_eq!(show(&alice, first).await["flavor"]["id"], "42");
    assert_eq!(act(&alice, second, json!({"revertResize": null})).await.status, 403, "and once it is");
}

#[tokio::test]
async fn a_server_that_could_not_be_resized_holds_no_more_than_it_has() {
    let (site, alice, id) = site_with(Waits::default()).await;
    make_flavor(&site, "huge", 10_000_000, 1).await;
    limit(&site, &alice, "", json!({"ram": -1})).await;
    resize(&alice, id, "huge").await;
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["flavor"]["id"], "42");
    let used = alice.get(&format!("{PATH}/limits")).await.json()["limits"]["absolute"]["totalRAMUsed"].clone();
    assert_eq!(used, 192);
}

#[tokio::test]
async fn a_user_s_own_quota_also_holds_for_resize_and_restore() {
    let waits = Waits { reclaim: Some(600), ..Waits::default() };
    let (site, alice, id) = site_with(waits).await;
    let query = format!("?user_id={}", alice.user_id);
    limit(&site, &alice, &query, json!({"cores": 1})).await;
    let refused = act(&alice, id, json!({"resize": {"flavorRef": LARGER}})).await;
    let text = "Quota exceeded for cores: Requested 1, but already used 1 of 1 cores";
    assert_eq!((refused.status, message(&refused).as_str()), (403, text));
    assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
    site.boot(&alice, "second").await;
    let refused = act(&alice, id, json!({"restore": null})).await;
    assert_eq!((refused.status, message(&refused).as_str()), (403, text));
    limit(&site, &alice, &query, json!({"cores": 2})).await;
    assert_eq!(act(&alice, id, json!({"restore": null})).await.status, 202);
}

#[tokio::test]
async fn a_server_resized_too_often_is_told_so_and_stays_as_it_is() {
    let (site, alice, id) = site_with(Waits::default()).await;
    make_flavor(&site, "other", 256, 1).await;
    let flavors = [LARGER, "other"];
    for flavor in flavors.iter().cycle().take(8) {
        resize(&alice, id, flavor).await;
        site.cloud.work().await;
        assert_eq!(act(&alice, id, json!({"confirmResize": null})).await.status, 204);
    }
    let before = (show(&alice, id).await, site.cloud.disks.root(id).unwrap());
    assert_eq!(before.1.part, Part::Root { layer: 8 });
    let refused = act(&alice, id, json!({"resize": {"flavorRef": LARGER}})).await;
    let text = format!(
        "Instance {id} has been resized 8 times since its disk was made, which is as often as a disk can be. \
         Rebuild it, or boot another from an image of it."
    );
    assert_eq!((refused.status, message(&refused)), (409, text));
    site.cloud.work().await;
    assert_eq!((show(&alice, id).await, site.cloud.disks.root(id).unwrap()), before);
    assert_eq!(act(&alice, id, json!({"rebuild": {"imageRef": site.image.to_string()}})).await.status, 202);
    site.cloud.work().await;
    resize(&alice, id, LARGER).await;
}
