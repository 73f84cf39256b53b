//! What compute passed on to other services, what it was told by them, and what it has no more.

use super::*;
use http::Method;

#[tokio::test]
async fn networks_are_passed_on_until_2_36() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let list = alice.get(&format!("{PATH}/os-networks")).await.json();
    let one = &list["networks"][0];
    assert_eq!(
        (&one["id"], &one["label"], &one["cidr"]),
        (&json!(site.network.to_string()), &json!("private"), &Value::Null)
    );
    assert_eq!(one.get("bridge"), None, "that is for administrators");
    let shown = admin.get(&format!("{PATH}/os-networks/{}", site.network)).await.json();
    assert_eq!(shown["network"].get("bridge"), Some(&Value::Null));
    let own = alice.get(&format!("{PATH}/os-tenant-networks/{}", site.network)).await.json();
    assert_eq!(own, json!({"network": {"id": site.network.to_string(), "cidr": "None", "label": "private"}}));
    assert_eq!(alice.get(&format!("{PATH}/os-networks/{}", ServerId::random())).await.status, 404);
    for path in ["os-networks", "os-tenant-networks", "images", "images/detail"] {
        let gone = at(&alice, "2.36", Method::GET, &format!("{PATH}/{path}"), &Value::Null).await;
        assert_eq!(gone.status, 404, "{path}");
    }
}

#[tokio::test]
async fn images_are_passed_on_under_the_image_services_rules() {
    let site = Site::new().await;
    let (alice, bob) = (site.cloud.member("alice").await, site.cloud.member("bob").await);
    let body = json!({"name": "own", "disk_format": "raw", "container_format": "bare", "os_distro": "none"});
    let id = alice.post("/image/v2/images", body).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("{PATH}/images/{id}");
    let shown = alice.get(&path).await.json()["image"].clone();
    assert_eq!((&shown["status"], &shown["progress"], &shown["minRam"]), (&json!("SAVING"), &json!(25), &json!(0)));
    assert_eq!(shown["metadata"], json!({"os_distro": "none"}));
    assert_eq!(shown["links"][2]["type"], "application/vnd.openstack.image");
    let names = |list: Value| -> Vec<String> {
        list["images"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap_or("").to_owned()).collect()
    };
    assert_eq!(names(alice.get(&format!("{PATH}/images")).await.json()).len(), 2);
    assert_eq!(names(alice.get(&format!("{PATH}/images?status=ACTIVE")).await.json()), ["gapura-test"]);
    assert_eq!(names(bob.get(&format!("{PATH}/images/detail")).await.json()), ["gapura-test"]);
    let page = alice.get(&format!("{PATH}/images?limit=1")).await.json();
    assert_eq!((names(page.clone()).len(), page["images_links"][0]["rel"].as_str()), (1, Some("next")));
    for (client, one, status) in [(&bob, path.clone(), 404), (&alice, format!("{PATH}/images/{}", site.image), 403)] {
        assert_eq!(client.delete(&one).await.status, status);
    }
    assert_eq!(alice.delete(&path).await.status, 204);
    let gone = alice.get(&path).await;
    assert_eq!((gone.status, message(&gone).as_str()), (404, "Image not found."));
}

#[tokio::test]
async fn an_images_properties_are_its_metadata_until_2_39() {
    let site = Site::new().await;
    let (alice, bob) = (site.cloud.member("alice").await, site.cloud.member("bob").await);
    let body = json!({"name": "own", "disk_format": "raw", "container_format": "bare"});
    let id = alice.post("/image/v2/images", body).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("{PATH}/images/{id}/metadata");
    let given = |texts: Value| json!({ "metadata": texts });
    assert_eq!(alice.put(&path, given(json!({"a": "1", "b": "2"}))).await.json(), given(json!({"a": "1", "b": "2"})));
    assert_eq!(alice.post(&path, given(json!({"b": "3"}))).await.json(), given(json!({"a": "1", "b": "3"})));
    let meta = json!({"meta": {"c": "4"}});
    assert_eq!(alice.put(&format!("{path}/c"), meta.clone()).await.json(), meta);
    assert_eq!(alice.put(&format!("{path}/d"), meta).await.status, 400);
    assert_eq!(alice.get(&format!("{path}/b")).await.json(), json!({"meta": {"b": "3"}}));
    assert_eq!(alice.delete(&format!("{path}/b")).await.status, 204);
    let missing = alice.delete(&format!("{path}/b")).await;
    assert_eq!((missing.status, message(&missing).as_str()), (404, "Invalid metadata key"));
    assert_eq!(alice.get(&path).await.json(), given(json!({"a": "1", "c": "4"})));
    assert_eq!(alice.post(&path, given(json!({"owner": "bob"}))).await.status, 403, "what is no property stays");
    assert_eq!(bob.get(&path).await.status, 404);
    assert_eq!(bob.post(&path, given(json!({"a": "5"}))).await.status, 404);
    assert_eq!(at(&alice, "2.38", Method::GET, &path, &Value::Null).await.status, 200);
    assert_eq!(at(&alice, "2.39", Method::GET, &path, &Value::Null).await.status, 404);
}

#[tokio::test]
async fn events_of_other_services_are_answered_one_by_one() {
    let site = Site::new().await;
    let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
    let id = site.boot(&alice, "web").await;
    let path = format!("{PATH}/os-server-external-events");
    let event = |name: &str, id: &str| json!({"name": name, "server_uuid": id});
    let one = json!({"events": [event("network-changed", &id.to_string())]});
    assert_eq!(alice.post(&path, one.clone()).await.status, 403);
    let well = admin.post(&path, one).await;
    assert_eq!(well.status, 200);
    assert_eq!(
        (&well.json()["events"][0]["code"], &well.json()["events"][0]["status"]),
        (&json!(200), &json!("completed"))
    );
    let some = json!({"events": [event("network-changed", &id.to_string()), event("network-changed", &ServerId::random().to_string())]});
    let mixed = admin.post(&path, some).await;
    assert_eq!((mixed.status, &mixed.json()["events"][1]["code"]), (207, &json!(404)));
    let power = json!({"events": [event("power-update", &id.to_string())]});
    assert_eq!(at(&admin, "2.75", Method::POST, &path, &power).await.status, 400);
    let untagged = at(&admin, "2.76", Method::POST, &path, &power).await;
    assert_eq!((untagged.status, &untagged.json()["events"][0]["code"]), (207, &json!(400)));
    assert_eq!(admin.post(&path, json!({"events": []})).await.status, 400);
}

#[tokio::test]
async fn no_host_has_run_a_usage_audit_and_what_is_removed_says_so() {
    let site = Site::new().await;
    let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
    let path = format!("{PATH}/os-instance_usage_audit_log");
    let log = admin.get(&path).await.json()["instance_usage_audit_logs"].clone();
    assert_eq!(
        (&log["overall_status"], &log["hosts_not_run"]),
        (&json!("0 of 1 hosts done. 0 errors."), &json!(["host-1"]))
    );
    let then = admin.get(&format!("{path}/2012-07-05%2010:00:00")).await.json();
    assert_eq!(then["instance_usage_audit_log"]["period_beginning"], "2012-06-01 00:00:00");
    assert_eq!(admin.get(&format!("{path}/yesterday")).await.status, 400);
    assert_eq!(alice.get(&path).await.status, 403);
    for path in ["os-cells", "os-certificates/1", "os-fping", "os-agents"] {
        let gone = alice.get(&format!("{PATH}/{path}")).await;
        assert_eq!(gone.status, 410, "{path}");
    }
    assert_eq!(alice.post(&format!("{PATH}/os-networks"), json!({})).await.status, 410);
    assert_eq!(at(&alice, "2.36", Method::POST, &format!("{PATH}/os-networks"), &json!({})).await.status, 404);
}

#[tokio::test]
async fn an_extension_that_is_not_served_is_not_in_the_list() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let list = alice.get(&format!("{PATH}/extensions")).await.json();
    let aliases: Vec<&str> =
        list["extensions"].as_array().unwrap().iter().map(|one| one["alias"].as_str().unwrap()).collect();
    assert!(aliases.contains(&"os-server-groups") && !aliases.contains(&"os-cells"), "{aliases:?}");
    let one = alice.get(&format!("{PATH}/extensions/os-aggregates")).await.json();
    assert_eq!(one["extension"]["name"], "Aggregates");
    assert_eq!(alice.get(&format!("{PATH}/extensions/os-cells")).await.status, 404);
}
