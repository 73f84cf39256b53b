//! Images of servers: what they say of themselves, that they boot, and which backups stay.

use super::*;
use crate::api::image::ImageSettings;
use crate::cloud::image::limits::Limits;
use crate::cloud::image::protection::Protections;
use crate::hypervisor::Quiesce;
use http::Method;

async fn image_of(client: &Client, id: ServerId, body: Value) -> String {
    let reply = at(client, "2.45", Method::POST, &format!("{PATH}/servers/{id}/action"), &body).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    reply.json()["image_id"].as_str().unwrap().to_owned()
}

async fn shown(client: &Client, image: &str) -> Value {
    client.get(&format!("/image/v2/images/{image}")).await.json()
}

#[tokio::test]
async fn an_image_of_a_running_server_tells_where_it_comes_from_and_boots() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let image = image_of(&alice, id, json!({"createImage": {"name": "copy", "metadata": {"made": "by hand"}}})).await;
    assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], "image_snapshot_pending");
    assert_eq!(shown(&alice, &image).await["status"], "queued");
    site.cloud.work().await;
    assert_eq!(site.cloud.hypervisor.copied(id), Some(Quiesce::No), "while it ran");
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:task_state"]), (&json!("ACTIVE"), &json!(null)));
    let copy = shown(&alice, &image).await;
    for (field, value) in [
        ("name", json!("copy")),
        ("status", json!("active")),
        ("visibility", json!("private")),
        ("disk_format", json!("qcow2")),
        ("container_format", json!("bare")),
        ("min_disk", json!(1)),
        ("virtual_size", json!(1 << 30)),
        ("owner", json!(alice.project_id)),
        ("image_type", json!("snapshot")),
        ("instance_uuid", json!(id.to_string())),
        ("user_id", json!(alice.user_id)),
        ("base_image_ref", json!(site.image.to_string())),
        ("image_location", json!("snapshot")),
        ("image_state", json!("available")),
        ("owner_id", json!(alice.project_id)),
        ("made", json!("by hand")),
    ] {
        assert_eq!(copy[field], value, "{field}: {copy}");
    }
    let mut wish = site.wish("second");
    wish["server"]["imageRef"] = json!(image);
    let made = alice.post(&format!("{PATH}/servers"), wish).await.json();
    site.cloud.work().await;
    let second = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    assert_eq!(show(&alice, second).await["status"], "ACTIVE");
}

#[tokio::test]
async fn before_2_45_a_header_tells_where_the_image_is() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let path = format!("{PATH}/servers/{id}/action");
    let reply = at(&alice, "2.44", Method::POST, &path, &json!({"createImage": {"name": "copy"}})).await;
    let address = reply.header("location").unwrap().to_owned();
    assert!(reply.status == 202 && address.starts_with("http://cloud.test/image/images/"), "{address}");
    let meanwhile = act(&alice, id, json!({"os-stop": null})).await;
    let text = format!("Cannot 'stop' instance {id} while it is in task_state image_snapshot_pending");
    assert_eq!(message(&meanwhile), text);
    site.cloud.work().await;
    assert_eq!(shown(&alice, address.rsplit('/').next().unwrap()).await["status"], "active");
}

#[tokio::test]
async fn a_guest_with_an_agent_is_brought_to_rest_and_one_that_must_rest_or_not_be_copied() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let image = site.image;
    let set = |name: &'static str| {
        move |tx: &mut crate::store::Tx| {
            tx.execute(
                "INSERT INTO image_properties (image_id, name, value) VALUES (?1, ?2, 'yes')",
                args![image, name],
            )
        }
    };
    site.cloud.state.db.write(set("hw_qemu_guest_agent")).await.unwrap();
    let tries = site.boot(&alice, "tries").await;
    image_of(&alice, tries, json!({"createImage": {"name": "copy"}})).await;
    site.cloud.work().await;
    assert_eq!(site.cloud.hypervisor.copied(tries), Some(Quiesce::Try));
    site.cloud.state.db.write(set("os_require_quiesce")).await.unwrap();
    let must = site.boot(&alice, "must").await;
    let refused = image_of(&alice, must, json!({"createImage": {"name": "copy"}})).await;
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("/image/v2/images/{refused}")).await.status, 404, "no image rather than a torn one");
    assert_eq!(show(&alice, must).await["status"], "ACTIVE");
    site.cloud.hypervisor.give_agent(must);
    let rested = image_of(&alice, must, json!({"createImage": {"name": "copy"}})).await;
    site.cloud.work().await;
    assert_eq!(shown(&alice, &rested).await["status"], "active");
}

#[tokio::test]
async fn so_many_backups_of_a_kind_stay_as_the_rotation_says() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let backup = |kind: &str, keep: i64| json!({"createBackup": {"name": format!("{kind}-{keep}"), "backup_type": kind, "rotation": keep}});
    let mut daily = Vec::new();
    let weekly = image_of(&alice, id, backup("weekly", 1)).await;
    site.cloud.work().await;
    for _ in 0..3 {
        site.cloud.pass_seconds(1);
        daily.push(image_of(&alice, id, backup("daily", 2)).await);
        assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], "image_backup");
        site.cloud.work().await;
    }
    let mut there = Vec::new();
    for image in daily.iter().chain([&weekly]) {
        there.push(alice.get(&format!("/image/v2/images/{image}")).await.status);
    }
    assert_eq!(there, [404, 200, 200, 200], "the oldest of its kind went");
    let kept = shown(&alice, &daily[2]).await;
    assert_eq!((&kept["image_type"], &kept["backup_type"]), (&json!("backup"), &json!("daily")));
    let path = format!("{PATH}/servers/{id}/action");
    let none = at(&alice, "2.44", Method::POST, &path, &backup("daily", 0)).await;
    assert_eq!((none.status, none.header("location")), (202, None));
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("/image/v2/images/{}", daily[2])).await.status, 404);
    assert_eq!(act(&alice, id, backup("daily", -1)).await.status, 400);
}

#[tokio::test]
async fn an_image_that_an_administrator_makes_is_shared_with_the_servers_project() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let id = site.boot(&alice, "web").await;
    let image = image_of(&admin, id, json!({"createImage": {"name": "copy"}})).await;
    site.cloud.work().await;
    let copy = shown(&alice, &image).await;
    assert_eq!((&copy["visibility"], &copy["owner"]), (&json!("shared"), &json!(admin.project_id)));
    assert_eq!(copy["instance_owner"], json!(alice.project_id));
}

/// An image that says of itself that it is a backup of the server, with its bytes or still without.
async fn alleged_backup(client: &Client, id: ServerId, has_bytes: bool) -> String {
    let body = json!({
        "name": "alleged", "disk_format": "raw", "container_format": "bare", "instance_uuid": id.to_string(),
        "image_type": "backup", "backup_type": "daily",
    });
    let made = client.post("/image/v2/images", body).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let image = made.json()["id"].as_str().unwrap().to_owned();
    if has_bytes {
        let path = format!("/image/v2/images/{image}/file");
        let octets = [("content-type", "application/octet-stream")];
        assert_eq!(client.send(Method::PUT, &path, &octets, b"some bytes".to_vec()).await.status, 204);
    }
    image
}

#[tokio::test]
async fn images_of_another_project_neither_count_in_a_rotation_nor_go_by_it() {
    let site = Site::new().await;
    let (alice, bob) = (site.cloud.member("alice").await, site.cloud.member("bob").await);
    let id = site.boot(&alice, "web").await;
    let backup = json!({"createBackup": {"name": "daily", "backup_type": "daily", "rotation": 1}});
    let older = alleged_backup(&bob, id, true).await;
    site.cloud.pass_seconds(1);
    let first = image_of(&alice, id, backup.clone()).await;
    site.cloud.work().await;
    site.cloud.pass_seconds(1);
    let newer = alleged_backup(&bob, id, true).await;
    let empty = alleged_backup(&alice, id, false).await;
    for (client, image) in [(&bob, &older), (&bob, &newer), (&alice, &first), (&alice, &empty)] {
        assert_eq!(client.get(&format!("/image/v2/images/{image}")).await.status, 200, "{image}");
    }
    site.cloud.pass_seconds(1);
    let second = image_of(&alice, id, backup).await;
    site.cloud.work().await;
    let there = [(&bob, &older, 200), (&bob, &newer, 200), (&alice, &empty, 200), (&alice, &first, 404)];
    for (client, image, status) in there.into_iter().chain([(&alice, &second, 200)]) {
        assert_eq!(client.get(&format!("/image/v2/images/{image}")).await.status, status, "{image}");
    }
}

const PROTECTED: &str = "[^x_billing_]\ncreate = admin\nread = @\nupdate = admin\ndelete = admin\n\n\
                         [.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n";

#[tokio::test]
async fn an_image_of_a_server_may_not_be_given_reserved_or_protected_properties() {
    let protections = Protections::parse(PROTECTED).unwrap();
    let settings = ImageSettings { protections, ..ImageSettings::default() };
    let site = Site::over(Cloud::with_images(&["default"], settings).await).await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let id = site.boot(&alice, "web").await;
    for (name, why) in [
        ("os_glance_import_task", "reserved"),
        ("deleted", "reserved"),
        ("owner", "reserved"),
        ("visibility", "reserved"),
        ("status", "read-only"),
        ("x_billing_code", "reserved"),
    ] {
        let metadata = json!({ name: "x" });
        for body in [
            json!({"createImage": {"name": "copy", "metadata": metadata}}),
            json!({"createBackup": {"name": "copy", "backup_type": "daily", "rotation": 1, "metadata": metadata}}),
        ] {
            let refused = act(&alice, id, body).await;
            assert_eq!((refused.status, message(&refused)), (403, format!("Attribute '{name}' is {why}.")), "{name}");
        }
    }
    let locations = act(&alice, id, json!({"createImage": {"name": "copy", "metadata": {"locations": "x"}}})).await;
    assert_eq!(locations.status, 403);
    assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], json!(null), "nothing has begun");
    let billed = json!({"createImage": {"name": "copy", "metadata": {"x_billing_code": "7", "made": "by hand"}}});
    let image = image_of(&admin, id, billed).await;
    site.cloud.work().await;
    assert_eq!(shown(&admin, &image).await["x_billing_code"], "7");
}

/// An image of so many bytes.
async fn fill(client: &Client, bytes: usize) -> String {
    let body = json!({"name": "large", "disk_format": "raw", "container_format": "bare"});
    let image = client.post("/image/v2/images", body).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/image/v2/images/{image}/file");
    let octets = [("content-type", "application/octet-stream")];
    assert_eq!(client.send(Method::PUT, &path, &octets, vec![0; bytes]).await.status, 204);
    image
}

/// The bytes that are kept.
async fn kept(site: &Site) -> usize {
    site.cloud.clear_images().await;
    site.cloud.state.db.read(crate::store::blobs::known).await.unwrap().len()
}

#[tokio::test]
async fn an_image_of_a_server_beyond_the_storage_quota_is_refused_and_leaves_nothing() {
    let limits = Limits { storage: 1 << 20, ..Limits::default() };
    let settings = ImageSettings { limits, ..ImageSettings::default() };
    let site = Site::over(Cloud::with_images(&["default"], settings).await).await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let large = fill(&alice, (1 << 20) - 1000).await;
    let before = kept(&site).await;
    let refused = image_of(&alice, id, json!({"createImage": {"name": "copy"}})).await;
    site.cloud.work().await;
    assert_eq!(alice.get(&format!("/image/v2/images/{refused}")).await.status, 404);
    assert_eq!((kept(&site).await, site.cloud.disks.has_copy(id)), (before, false));
    let server = show(&alice, id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:task_state"]), (&json!("ACTIVE"), &json!(null)));
    assert_eq!(alice.delete(&format!("/image/v2/images/{large}")).await.status, 204);
    let admitted = image_of(&alice, id, json!({"createImage": {"name": "copy"}})).await;
    site.cloud.work().await;
    assert_eq!(shown(&alice, &admitted).await["status"], "active");
}

/// Registers a limit that holds for every project, or changes it.
async fn register(site: &Site, service: &str, resource: &str, most: i64) {
    let admin = site.cloud.admin().await;
    let service = admin.get(&format!("/v3/services?type={service}")).await.json()["services"][0]["id"].clone();
    let known = admin.get(&format!("/v3/registered_limits?resource_name={resource}")).await.json();
    let reply = match known["registered_limits"][0]["id"].as_str() {
        Some(id) => {
            let body = json!({"registered_limit": {"default_limit": most}});
            admin.patch(&format!("/v3/registered_limits/{id}"), body).await
        }
        None => {
            let limit = json!({"service_id": service, "region_id": "RegionOne", "resource_name": resource, "default_limit": most});
            admin.post("/v3/registered_limits", json!({"registered_limits": [limit]})).await
        }
    };
    assert!(matches!(reply.status, 200 | 201), "{}", reply.json());
}

#[tokio::test]
async fn an_image_of_a_server_beyond_identitys_limit_is_refused_too() {
    let site = Site::over(Cloud::with_unified_limits().await).await;
    for (service, resource) in [
        ("compute", "servers"),
        ("image", "image_count_total"),
        ("image", "image_count_uploading"),
        ("image", "image_size_total"),
    ] {
        register(&site, service, resource, -1).await;
    }
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    fill(&alice, 2 << 20).await;
    for (most, status) in [(1, 404), (2, 200)] {
        register(&site, "image", "image_size_total", most).await;
        let image = image_of(&alice, id, json!({"createImage": {"name": "copy"}})).await;
        site.cloud.work().await;
        assert_eq!(alice.get(&format!("/image/v2/images/{image}")).await.status, status, "{most} MiB");
    }
}
