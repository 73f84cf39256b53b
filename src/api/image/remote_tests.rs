//! Imports from another region: found in the catalogue, asked with the caller's token, taken over whole or not at all.

use super::ImageSettings;
use super::import_tests::{import, kept, tasks_of};
use super::tests::{create, download, show, text};
use crate::api::testing::{Client, Cloud, Reply};
use crate::cloud::image::import::Method as ImportMethod;
use crate::tasks::fetch::testing::{Server, ok, redirect};
use serde_json::{Value, json};

const ID: &str = "36d4b546-64a2-4bb9-bdd0-ba676aa48f2c";
/// Of `bytes`.
const SHA512: &str = "f5a8b34b6f3b0f6b6d2aba9b1a0f5d8f";

/// An image service with one image, described like this.
pub(super) async fn region(image: Value) -> Server {
    Server::answering(move |request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        Some(if path == format!("/image/v2/images/{ID}/file") {
            ok("bytes")
        } else if path == format!("/image/v2/images/{ID}") {
            ok(&image.to_string())
        } else {
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
        })
    })
    .await
}

pub(super) fn described(more: Value) -> Value {
    let mut image = json!({
        "id": ID, "status": "active", "size": 5, "disk_format": "raw", "container_format": "bare",
        "os_hash_algo": "sha256", "os_hash_value": SHA512, "checksum": hex::encode(md5_of(b"bytes")),
        "hw_cpu_cores": "5", "os_distro": "rhel", "speed": "88mph",
    });
    image.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    image
}

fn md5_of(bytes: &[u8]) -> Vec<u8> {
    use md5::Digest;
    md5::Md5::digest(bytes).to_vec()
}

/// A cloud in whose catalogue the image service of a second region is.
pub(super) async fn beside(server: &Server, stores: &[&str]) -> Cloud {
    let settings = ImageSettings { import_methods: ImportMethod::ALL.to_vec(), ..ImageSettings::default() };
    let cloud = Cloud::with_images(stores, settings).await;
    let admin = cloud.admin().await;
    let services = admin.get("/v3/services?type=image").await.json();
    let service = services["services"][0]["id"].clone();
    assert_eq!(admin.post("/v3/regions", json!({"region": {"id": "RegionTwo"}})).await.status, 201);
    let url = format!("http://127.0.0.1:{}/image", server.port);
    let endpoint = json!({"service_id": service, "region_id": "RegionTwo", "interface": "public", "url": url});
    assert_eq!(admin.post("/v3/endpoints", json!({"endpoint": endpoint})).await.status, 201);
    cloud
}

pub(super) fn from_there() -> Value {
    json!({"method": {"name": "glance-download", "glance_image_id": ID, "glance_region": "RegionTwo"}})
}

async fn import_from(cloud: &Cloud, client: &Client, body: Value) -> (String, Reply) {
    let id = create(client, json!({"disk_format": "iso", "container_format": "ovf", "os_distro": "windows"})).await;
    let reply = import(client, &id, body).await;
    cloud.work().await;
    (id, reply)
}

#[tokio::test]
async fn an_image_of_another_region_comes_with_its_formats_and_the_properties_that_operators_list() {
    let server = region(described(json!({}))).await;
    let cloud = beside(&server, &["fast", "slow"]).await;
    let alice = cloud.member("alice").await;
    let (id, reply) = import_from(&cloud, &alice, from_there()).await;
    assert_eq!(reply.status, 202, "{}", text(&reply));
    let (image, task) = (show(&alice, &id).await.json(), tasks_of(&alice, &id).await.remove(0));
    assert_eq!((&image["status"], &task["status"]), (&json!("active"), &json!("success")), "{task}");
    assert_eq!((&image["disk_format"], &image["container_format"]), (&json!("raw"), &json!("bare")));
    assert_eq!((&image["os_distro"], &image["hw_cpu_cores"]), (&json!("rhel"), &json!("5")));
    assert_eq!(image.get("speed"), None);
    assert_eq!(download(&alice, &id, &[]).await.bytes, b"bytes");
    assert_eq!(kept(&cloud).await, ["fast"]);
    let token = alice.token.clone().unwrap();
    let visits = server.visits.lock().clone();
    assert_eq!(visits.len(), 2);
    for visit in visits {
        assert!(visit.to_lowercase().contains(&format!("x-auth-token: {}", token.to_lowercase())), "{visit}");
    }
    assert_eq!(task["input"]["import_req"]["method"]["glance_service_interface"], "public");
    assert!(!task.to_string().contains(&token), "nobody reads the token in the task");
    let steps = cloud.state.db.read(|tx| tx.query_map("SELECT step FROM tasks", &[], |mut row| row.next::<String>()));
    for step in steps.await.unwrap() {
        assert!(!step.contains(&token), "nor in the database");
    }
}

#[tokio::test]
async fn what_comes_from_another_region_is_not_what_it_was_said_to_be_and_is_not_taken() {
    let hash = json!({"os_hash_algo": "sha512", "os_hash_value": "00".repeat(64)});
    for (change, sentence) in [
        (json!({"checksum": "00".repeat(16)}), "has another hash"),
        (hash, "another hash"),
        (json!({"size": 4}), ""),
        (json!({"size": 6}), ""),
        (json!({"status": "queued"}), "Source image status should be active instead of queued"),
        (json!({"disk_format": "qcow2"}), "does not match stream data"),
    ] {
        let server = region(described(change.clone())).await;
        let cloud = beside(&server, &[]).await;
        let alice = cloud.member("alice").await;
        let (id, _) = import_from(&cloud, &alice, from_there()).await;
        for _ in 0..4 {
            cloud.pass_seconds(120);
            cloud.work().await;
        }
        let (image, task) = (show(&alice, &id).await.json(), tasks_of(&alice, &id).await.remove(0));
        assert_eq!((&image["status"], &task["status"]), (&json!("queued"), &json!("failure")), "{change}");
        assert_eq!((&image["disk_format"], &image["os_distro"]), (&json!("iso"), &json!("windows")), "{change}");
        let token = alice.token.clone().unwrap();
        let steps =
            cloud.state.db.read(|tx| tx.query_map("SELECT step FROM tasks", &[], |mut row| row.next::<String>()));
        for step in steps.await.unwrap() {
            assert_eq!(step, "null", "{change}: not even sealed is {token} kept");
        }
        let message = task["message"].as_str().unwrap();
        assert!(message.contains(sentence.trim_start_matches("has ")), "{change}: {message}");
        assert!(kept(&cloud).await.is_empty(), "{change}");
    }
}

#[tokio::test]
async fn cve_2026_34881_a_region_that_redirects_is_not_followed_and_gets_no_second_token() {
    let inner = Server::start(vec![ok("secret"); 3]).await;
    let location = format!("http://127.0.0.1:{}/image/v2/images/{ID}", inner.port);
    let server = Server::start(vec![redirect(&location)]).await;
    let cloud = beside(&server, &[]).await;
    let alice = cloud.member("alice").await;
    let (id, _) = import_from(&cloud, &alice, from_there()).await;
    let task = tasks_of(&alice, &id).await.remove(0);
    assert_eq!(task["message"], "The remote image service answered HTTP 302");
    assert!(inner.visits.lock().is_empty());
}

#[tokio::test]
async fn what_no_region_has_fails_the_task_and_what_is_no_request_is_refused() {
    let server = region(described(json!({}))).await;
    let cloud = beside(&server, &[]).await;
    let alice = cloud.member("alice").await;
    let method = |more: Value| {
        let mut body = from_there();
        body["method"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (more, message) in [
        (json!({"glance_region": "Nowhere"}), "public glance endpoint not found for region Nowhere"),
        (json!({"glance_service_interface": "admin"}), "admin glance endpoint not found for region RegionTwo"),
        (
            json!({"glance_image_id": "00000000-64a2-4bb9-bdd0-ba676aa48f2c"}),
            "The remote image service answered HTTP 404",
        ),
    ] {
        let (id, reply) = import_from(&cloud, &alice, method(more.clone())).await;
        assert_eq!(reply.status, 202, "{more}");
        let (image, task) = (show(&alice, &id).await.json(), tasks_of(&alice, &id).await.remove(0));
        assert_eq!((&image["status"], &task["message"]), (&json!("queued"), &json!(message)));
    }
    let id = create(&alice, json!({})).await;
    for body in [
        method(json!({"glance_image_id": "foo"})),
        method(json!({"glance_image_id": "../../etc"})),
        json!({"method": {"name": "glance-download", "glance_region": "RegionTwo"}}),
        json!({"method": {"name": "glance-download", "glance_image_id": ID}}),
    ] {
        let reply = import(&alice, &id, body.clone()).await;
        assert_eq!(reply.status, 400, "{body}");
    }
    assert!(
        text(&import(&alice, &id, method(json!({"glance_image_id": "foo"}))).await)
            .contains("image id does not look like a UUID")
    );
    let bob = cloud.member("bob").await;
    assert_eq!(import(&bob, &id, from_there()).await.status, 404);
}
