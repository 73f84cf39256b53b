//! Shelving: an image holds the disk, nothing stays on the host, and the server comes back as itself.

use super::resize::claimed;
use super::*;
use crate::hypervisor::{Hypervisor, Power};
use crate::tasks::overdue::Waits;
use http::Method;

async fn site_with(offload: Option<u32>) -> (Site, Client, ServerId) {
    let site = Site::over(Cloud::with_waits(Waits { offload, ..Waits::default() }).await).await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    (site, alice, id)
}

async fn shelve(site: &Site, client: &Client, id: ServerId) {
    assert_eq!(act(client, id, json!({"shelve": null})).await.status, 202);
    site.cloud.work().await;
}

async fn own_images(client: &Client, id: ServerId) -> Vec<Value> {
    let path = format!("/image/v2/images?instance_uuid={id}");
    client.get(&path).await.json()["images"].as_array().unwrap().clone()
}

async fn unshelve_at(client: &Client, version: &str, id: ServerId, target: Value) -> Reply {
    at(client, version, Method::POST, &format!("{PATH}/servers/{id}/action"), &json!({"unshelve": target})).await
}

#[tokio::test]
async fn a_shelved_server_is_an_image_and_nothing_on_a_host_and_comes_back_as_itself() {
    let (site, alice, id) = site_with(Some(0)).await;
    let before = show(&alice, id).await;
    let original = site.cloud.disks.root(id).unwrap();
    assert_eq!(act(&alice, id, json!({"shelve": null})).await.status, 202);
    let shelving = show(&alice, id).await;
    assert_eq!((&shelving["status"], &shelving["OS-EXT-STS:task_state"]), (&json!("ACTIVE"), &json!("shelving")));
    let again = act(&alice, id, json!({"shelve": null})).await;
    assert_eq!(message(&again), format!("Cannot 'shelve' instance {id} while it is in task_state shelving"));
    site.cloud.work().await;

    let shelved = show(&alice, id).await;
    assert_eq!(
        (&shelved["status"], &shelved["OS-EXT-STS:vm_state"]),
        (&json!("SHELVED_OFFLOADED"), &json!("shelved_offloaded"))
    );
    assert_eq!((&shelved["OS-EXT-STS:task_state"], &shelved["hostId"]), (&json!(null), &json!("")));
    assert_eq!(
        (&shelved["OS-EXT-STS:power_state"], &shelved["image"]["id"]),
        (&json!(4), &json!(site.image.to_string()))
    );
    assert_eq!(shelved["addresses"], before["addresses"], "its addresses stay its own");
    let admin = site.cloud.admin().await;
    assert_eq!(show(&admin, id).await["OS-EXT-SRV-ATTR:host"], json!(null));
    assert!(site.cloud.hypervisor.spec(id).is_none() && site.cloud.disks.root(id).is_none());
    assert_eq!((site.cloud.fabric.wish(site.network), claimed(&site, id).await), (None, 0));
    let images = own_images(&alice, id).await;
    assert_eq!(images.len(), 1);
    let image = &images[0];
    assert_eq!(
        (&image["name"], &image["status"], &image["image_type"]),
        (&json!("web-shelved"), &json!("active"), &json!("snapshot"))
    );
    let refused = act(&alice, id, json!({"os-start": null})).await;
    assert_eq!((refused.status, message(&refused)), (409, format!("Instance {id} is not ready")));
    let refused = act(&alice, id, json!({"pause": null})).await;
    assert_eq!(message(&refused), format!("Cannot 'pause' instance {id} while it is in vm_state shelved_offloaded"));
    let refused = act(&admin, id, json!({"shelveOffload": null})).await;
    assert_eq!(
        message(&refused),
        format!("Cannot 'shelveOffload' instance {id} while it is in vm_state shelved_offloaded")
    );

    assert_eq!(act(&alice, id, json!({"unshelve": null})).await.status, 202);
    assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], "unshelving");
    site.cloud.work().await;
    let after = show(&alice, id).await;
    for field in ["status", "id", "addresses", "image", "flavor", "hostId", "created"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let root = site.cloud.disks.root(id).unwrap();
    assert_ne!(root.base.sha512, original.base.sha512, "its disk is what was shelved");
    assert_eq!((root.virtual_size, claimed(&site, id).await), (original.virtual_size, 192));
    assert!(own_images(&alice, id).await.is_empty(), "nobody needs the image any more");
    let actions = alice.get(&format!("{PATH}/servers/{id}/os-instance-actions")).await.json();
    let noted = actions["instanceActions"].as_array().unwrap();
    for name in ["create", "shelve", "unshelve"] {
        assert!(noted.iter().any(|one| one["action"] == name && one["message"].is_null()), "{name}: {actions}");
    }
    // It is a server like any other again.
    assert_eq!(act(&alice, id, json!({"reboot": {"type": "HARD"}})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    shelve(&site, &alice, id).await;
    assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
    assert_nothing_left(&site, id).await;
    assert!(own_images(&alice, id).await.is_empty());
}

#[tokio::test]
async fn a_server_stays_on_its_host_for_as_long_as_the_operator_says_and_wakes_there() {
    let (site, alice, id) = site_with(Some(600)).await;
    shelve(&site, &alice, id).await;
    let shelved = show(&alice, id).await;
    assert_eq!((&shelved["status"], &shelved["OS-EXT-STS:power_state"]), (&json!("SHELVED"), &json!(4)));
    assert_eq!(site.cloud.hypervisor.find(id).await.unwrap().unwrap().power, Power::Shutdown);
    let own = site.cloud.disks.root(id).unwrap();
    for (version, target) in
        [("2.77", json!({"availability_zone": "nova"})), ("2.91", json!({"availability_zone": null}))]
    {
        let refused = unshelve_at(&alice, version, id, target).await;
        let text = format!(
            "Specifying an availability zone or a host when unshelving server \"{id}\" with status \"shelved\" is not supported. The server status must be SHELVED_OFFLOADED."
        );
        assert_eq!((refused.status, message(&refused)), (409, text));
    }
    assert_eq!(act(&alice, id, json!({"unshelve": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    assert_eq!(site.cloud.disks.root(id).unwrap(), own, "the very disk that was there");
    assert!(own_images(&alice, id).await.is_empty());

    shelve(&site, &alice, id).await;
    site.cloud.pass_seconds(599);
    site.cloud.reconcile().await;
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "SHELVED");
    site.cloud.pass_seconds(1);
    site.cloud.reconcile().await;
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "SHELVED_OFFLOADED");
}

#[tokio::test]
async fn a_server_that_never_leaves_by_itself_leaves_when_an_operator_says_so() {
    let (site, alice, id) = site_with(None).await;
    shelve(&site, &alice, id).await;
    site.cloud.pass_seconds(1_000_000);
    site.cloud.reconcile().await;
    let alice = site.cloud.member("alice").await;
    assert_eq!(show(&alice, id).await["status"], "SHELVED");
    let refused = act(&alice, id, json!({"shelveOffload": null})).await;
    assert_eq!(refused.status, 403);
    let admin = site.cloud.admin().await;
    assert_eq!(act(&admin, id, json!({"shelveOffload": null})).await.status, 202);
    assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], "shelving_offloading");
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "SHELVED_OFFLOADED");
}

#[tokio::test]
async fn a_server_without_a_host_to_come_back_to_stays_shelved_and_one_without_its_image_is_lost() {
    let (site, alice, id) = site_with(Some(0)).await;
    let admin = site.cloud.admin().await;
    shelve(&site, &alice, id).await;
    let service = |verb: &str| format!("{PATH}/os-services/{verb}");
    let host = json!({"binary": "nova-compute", "host": "host-1"});
    assert_eq!(admin.put(&service("disable"), host.clone()).await.status, 200);
    assert_eq!(act(&alice, id, json!({"unshelve": null})).await.status, 202);
    site.cloud.work().await;
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:task_state"]), (&json!("SHELVED_OFFLOADED"), &json!(null)));
    assert_eq!(admin.put(&service("enable"), host).await.status, 200);
    assert_eq!(act(&alice, id, json!({"unshelve": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");

    shelve(&site, &alice, id).await;
    let image = own_images(&alice, id).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(alice.delete(&format!("/image/v2/images/{image}")).await.status, 204);
    assert_eq!(act(&alice, id, json!({"unshelve": null})).await.status, 202);
    site.cloud.work().await;
    let server = show(&alice, id).await;
    let text = format!("Unshelve attempted but the image {image} cannot be found.");
    assert_eq!((&server["status"], &server["fault"]["message"]), (&json!("ERROR"), &json!(text)));
    assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
    assert_nothing_left(&site, id).await;
}

#[tokio::test]
async fn a_zone_and_a_host_can_be_chosen_at_the_versions_that_say_so_and_are_checked() {
    let (site, alice, id) = site_with(Some(0)).await;
    let admin = site.cloud.admin().await;
    shelve(&site, &alice, id).await;
    for (version, target, status) in [
        ("2.77", json!({}), 400),
        ("2.77", json!({"host": "host-1"}), 400),
        ("2.77", json!({"availability_zone": null}), 400),
        ("2.77", json!("now"), 400),
        ("2.77", json!({"availability_zone": "elsewhere"}), 400),
        ("2.91", json!({"host": null}), 400),
        ("2.91", json!({"node": "host-1"}), 400),
        ("2.91", json!({"availability_zone": "elsewhere"}), 400),
        ("2.91", json!({"host": "host-1"}), 403),
    ] {
        assert_eq!(unshelve_at(&alice, version, id, target.clone()).await.status, status, "{version} {target}");
    }
    let refused = unshelve_at(&admin, "2.91", id, json!({"host": "host-9"})).await;
    assert_eq!((refused.status, message(&refused).as_str()), (400, "Compute host host-9 could not be found."));
    assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], json!(null), "nothing was begun");

    assert_eq!(unshelve_at(&alice, "2.77", id, json!({"availability_zone": "nova"})).await.status, 202);
    site.cloud.work().await;
    let pinned = |version: &'static str| {
        let alice = &alice;
        async move { at(alice, version, Method::GET, &format!("{PATH}/servers/{id}"), &Value::Null).await.json() }
    };
    assert_eq!(pinned("2.104").await["server"]["pinned_availability_zone"], "nova");
    shelve(&site, &alice, id).await;
    let wish = json!({"availability_zone": null, "host": "host-1"});
    assert_eq!(unshelve_at(&admin, "2.91", id, wish).await.status, 202);
    site.cloud.work().await;
    let shown = pinned("2.104").await;
    assert_eq!(
        (&shown["server"]["status"], &shown["server"]["pinned_availability_zone"]),
        (&json!("ACTIVE"), &json!(null))
    );
    // Before 2.77 what the action says is nothing.
    shelve(&site, &alice, id).await;
    assert_eq!(unshelve_at(&alice, "2.76", id, json!({"availability_zone": "elsewhere"})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
}

#[tokio::test]
async fn a_host_outside_the_zone_that_binds_a_server_is_refused() {
    let (site, alice, id) = site_with(Some(0)).await;
    let admin = site.cloud.admin().await;
    let made = admin
        .post(&format!("{PATH}/os-aggregates"), json!({"aggregate": {"name": "far", "availability_zone": "far"}}))
        .await;
    let other = move |tx: &mut crate::store::Tx| {
        crate::store::hosts::ensure(tx, crate::ids::HostId::random(), "host-2", "far", START)
    };
    site.cloud.state.db.write(other).await.unwrap();
    assert_eq!(made.status, 200);
    shelve(&site, &alice, id).await;
    let refused = unshelve_at(&admin, "2.91", id, json!({"availability_zone": "nova", "host": "host-2"})).await;
    let text = "Host \"host-2\" is not in the availability zone \"nova\".".to_owned();
    assert_eq!((refused.status, message(&refused)), (409, text));
}

#[tokio::test]
async fn a_shelved_server_counts_against_quotas_and_where_identity_limits_only_as_an_instance() {
    let (site, alice, id) = site_with(Some(0)).await;
    shelve(&site, &alice, id).await;
    let used = |client: Client| async move {
        let limits = client.get(&format!("{PATH}/limits")).await.json();
        let absolute = limits["limits"]["absolute"].clone();
        (absolute["totalInstancesUsed"].clone(), absolute["totalCoresUsed"].clone(), absolute["totalRAMUsed"].clone())
    };
    assert_eq!(used(alice).await, (json!(1), json!(1), json!(192)));
    let site = Site::over(Cloud::with_unified_limits().await).await;
    let alice = site.cloud.member("alice").await;
    let admin = site.cloud.admin().await;
    for (kind, name, limit) in [
        ("compute", "servers", 10),
        ("compute", "class:VCPU", 1),
        ("compute", "class:MEMORY_MB", 10_000),
        ("compute", "class:DISK_GB", 1000),
        ("image", "image_count_total", 10),
        ("image", "image_size_total", 10_000),
    ] {
        let services = admin.get(&format!("/identity/v3/services?type={kind}")).await.json();
        let service = &services["services"][0]["id"];
        let limit = json!({"registered_limits": [{"service_id": service, "region_id": "RegionOne", "resource_name": name,
                                                 "default_limit": limit}]});
        let made = admin.post("/identity/v3/registered_limits", limit).await;
        assert_eq!(made.status, 201, "{}", made.json());
    }
    let id = site.boot(&alice, "web").await;
    shelve(&site, &alice, id).await;
    assert_eq!(show(&alice, id).await["status"], "SHELVED_OFFLOADED");
    let second = site.boot(&alice, "second").await;
    let refused = act(&alice, id, json!({"unshelve": null})).await;
    assert_eq!(refused.status, 403, "{}", message(&refused));
    assert_eq!(alice.delete(&format!("{PATH}/servers/{second}")).await.status, 204);
    site.cloud.work().await;
    assert_eq!(act(&alice, id, json!({"unshelve": null})).await.status, 202);
}

#[tokio::test]
async fn the_network_of_a_shelved_server_stays_on_a_host_for_others_and_leaves_with_the_last() {
    let (site, alice, id) = site_with(Some(0)).await;
    let second = site.boot(&alice, "second").await;
    shelve(&site, &alice, id).await;
    assert!(site.cloud.fabric.wish(site.network).is_some(), "another server is in it");
    assert_eq!(alice.delete(&format!("{PATH}/servers/{second}")).await.status, 204);
    site.cloud.work().await;
    assert!(site.cloud.fabric.wish(site.network).is_none(), "what is on no host needs none there");
}

#[tokio::test]
async fn an_operator_s_image_of_somebody_s_server_is_seen_by_both() {
    let (site, alice, id) = site_with(Some(0)).await;
    let admin = site.cloud.admin().await;
    shelve(&site, &admin, id).await;
    let images = own_images(&admin, id).await;
    let image = images[0]["id"].as_str().unwrap();
    assert_eq!(alice.get(&format!("/image/v2/images/{image}")).await.status, 200);
    assert_eq!(act(&alice, id, json!({"unshelve": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    assert!(own_images(&admin, id).await.is_empty());
}

#[tokio::test]
async fn a_server_deleted_softly_while_it_is_shelved_on_its_host_comes_back_from_its_own_disk() {
    let waits = Waits { reclaim: Some(1_000_000), offload: None, ..Waits::default() };
    let site = Site::over(Cloud::with_waits(waits).await).await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let own = site.cloud.disks.root(id).unwrap();
    shelve(&site, &alice, id).await;
    assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "SOFT_DELETED");
    assert!(own_images(&alice, id).await.is_empty());
    assert_eq!(act(&alice, id, json!({"restore": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!((&show(&alice, id).await["status"], site.cloud.disks.root(id).unwrap()), (&json!("ACTIVE"), own));
    // What is on no host has nothing to be restored from.
    shelve(&site, &alice, id).await;
    let admin = site.cloud.admin().await;
    assert_eq!(act(&admin, id, json!({"shelveOffload": null})).await.status, 202);
    assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("{PATH}/servers/{id}")).await.status, 404);
    assert_nothing_left(&site, id).await;
}
