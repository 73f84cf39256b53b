//! Identity's limits on what is staged, imported, copied and asked for as a task.

use super::ImageSettings;
use super::import_tests::{import, kept, stage, tasks_of};
use super::tests::{OCTETS, create, show, status_becomes, text, upload};
use crate::api::testing::{Client, Cloud};
use crate::cloud::image::import::Method as ImportMethod;
use crate::cloud::web_source::Filter;
use crate::tasks::fetch::testing::{Server, ok};
use http::Method;
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// Limits of the image service, in the order size, staged, images, uploading. Registered ones hold for every project.
async fn limited(cloud: &Cloud, [size, staged, count, uploading]: [i64; 4]) {
    let admin = cloud.admin().await;
    let service = admin.get("/v3/services?type=image").await.json()["services"][0]["id"].clone();
    let limits = [
        ("image_size_total", size),
        ("image_stage_total", staged),
        ("image_count_total", count),
        ("image_count_uploading", uploading),
    ];
    let known = admin.get("/v3/registered_limits").await.json()["registered_limits"].clone();
    for (name, most) in limits {
        let old = known.as_array().unwrap().iter().find(|limit| limit["resource_name"] == name);
        match old {
            Some(old) => {
                let path = format!("/v3/registered_limits/{}", old["id"].as_str().unwrap());
                let body = json!({"registered_limit": {"default_limit": most}});
                assert_eq!(admin.patch(&path, body).await.status, 200);
            }
            None => {
                let limit = json!({"service_id": service, "region_id": "RegionOne", "resource_name": name, "default_limit": most});
                assert_eq!(
                    admin.post("/v3/registered_limits", json!({"registered_limits": [limit]})).await.status,
                    201
                );
            }
        }
    }
}

async fn cloud(port: u16) -> Cloud {
    let import_filter = Filter {
        allowed_ports: vec![port],
        private_ranges: vec!["127.0.0.1/32".parse().unwrap()],
        ..Filter::default()
    };
    let settings =
        ImageSettings { import_methods: ImportMethod::ALL.to_vec(), import_filter, ..ImageSettings::default() };
    Cloud::with_limited_images(&["fast", "slow"], settings).await
}

async fn refused(client: &Client, id: &str, body: Value, resource: &str) {
    let reply = import(client, id, body.clone()).await;
    assert_eq!(reply.status, 413, "{body}");
    assert!(text(&reply).contains(&format!("Resource {resource} is over limit")), "{}", text(&reply));
}

#[tokio::test]
async fn staged_bytes_count_until_they_are_imported_and_then_count_as_an_image() {
    let cloud = cloud(1).await;
    limited(&cloud, [2, 1, -1, -1]).await;
    let alice = cloud.member("alice").await;
    let first = create(&alice, json!({})).await;
    let reply = stage(&alice, &first, &vec![0; 3 * MIB]).await;
    assert_eq!(reply.status, 413, "more than may be staged");
    assert!(status_becomes(&alice, &first, "queued").await);
    assert_eq!(stage(&alice, &first, &vec![0; MIB]).await.status, 204);
    let second = create(&alice, json!({})).await;
    assert_eq!(stage(&alice, &second, &vec![0; MIB]).await.status, 413, "the first is still staged");
    let direct = json!({"method": {"name": "glance-direct"}});
    assert_eq!(import(&alice, &first, direct.clone()).await.status, 202);
    cloud.work().await;
    assert_eq!(show(&alice, &first).await.json()["status"], "active");
    assert!(status_becomes(&alice, &second, "queued").await);
    assert_eq!(stage(&alice, &second, &vec![0; MIB]).await.status, 204, "nothing is staged any more");
    limited(&cloud, [1, 1, -1, -1]).await;
    refused(&alice, &second, direct.clone(), "image_size_total").await;
    limited(&cloud, [2, 1, -1, -1]).await;
    assert_eq!(import(&alice, &second, direct).await.status, 202);
    cloud.work().await;
    assert_eq!(show(&alice, &second).await.json()["status"], "active");
}

#[tokio::test]
async fn parts_of_unfinished_uploads_count_as_staged_and_their_images_as_uploading() {
    let cloud = cloud(1).await;
    limited(&cloud, [-1, 2, -1, 1]).await;
    let alice = cloud.member("alice").await;
    let (first, second) = (create(&alice, json!({})).await, create(&alice, json!({})).await);
    let put = async |id: &str, bytes: usize| {
        let headers = [OCTETS[0], ("upload-complete", "?0")];
        alice.send(Method::PUT, &format!("/image/v2/images/{id}/file"), &headers, vec![0; bytes]).await
    };
    let patch = async |bytes: usize, start: usize, is_last: &str| {
        let start = start.to_string();
        let headers =
            [("content-type", "application/partial-upload"), ("upload-complete", is_last), ("upload-offset", &start)];
        alice.send(Method::PATCH, &format!("/image/v2/images/{first}/file/upload"), &headers, vec![0; bytes]).await
    };
    let usage = async || {
        let usage = alice.get("/image/v2/info/usage").await.json()["usage"].clone();
        (usage["image_stage_total"]["usage"].clone(), usage["image_count_uploading"]["usage"].clone())
    };
    assert_eq!(put(&first, 3 * MIB).await.status, 413, "more than may wait");
    assert_eq!(usage().await, (json!(0), json!(0)));
    assert_eq!(put(&first, MIB).await.status, 201);
    assert_eq!(usage().await, (json!(1), json!(1)));
    let reply = put(&second, 1).await;
    assert!(reply.status == 413 && text(&reply).contains("image_count_uploading is over limit"), "{}", text(&reply));
    let reply = patch(2 * MIB, MIB, "?0").await;
    assert!(reply.status == 413 && text(&reply).contains("image_stage_total is over limit"), "{}", text(&reply));
    assert_eq!(patch(MIB, MIB, "?0").await.status, 204);
    assert_eq!(usage().await, (json!(2), json!(1)));
    assert_eq!(patch(0, 2 * MIB, "?1").await.status, 204);
    assert_eq!(usage().await, (json!(0), json!(0)), "an image has them now");
    assert_eq!(put(&second, 1).await.status, 201);
}

#[tokio::test]
async fn what_is_fetched_is_held_to_what_may_be_stored_while_it_comes() {
    let body = "x".repeat(3 * MIB);
    let server = Server::start(vec![ok(&body); 3]).await;
    let cloud = cloud(server.port).await;
    let alice = cloud.member("alice").await;
    let fetch = json!({"method": {"name": "web-download", "uri": format!("http://127.0.0.1:{}/", server.port)}});
    limited(&cloud, [-1, -1, -1, 0]).await;
    let id = create(&alice, json!({})).await;
    refused(&alice, &id, fetch.clone(), "image_count_uploading").await;
    limited(&cloud, [2, -1, -1, 1]).await;
    assert_eq!(import(&alice, &id, fetch.clone()).await.status, 202);
    let other = create(&alice, json!({})).await;
    refused(&alice, &other, fetch.clone(), "image_count_uploading").await;
    cloud.work().await;
    let (image, task) = (show(&alice, &id).await.json(), tasks_of(&alice, &id).await.remove(0));
    assert_eq!((&image["status"], &task["status"]), (&json!("queued"), &json!("failure")), "3 MiB are more than 2");
    assert!(kept(&cloud).await.is_empty());
    limited(&cloud, [3, -1, -1, 1]).await;
    assert_eq!(import(&alice, &id, fetch).await.status, 202);
    cloud.work().await;
    assert_eq!(show(&alice, &id).await.json()["status"], "active", "{:?}", tasks_of(&alice, &id).await);
}

#[tokio::test]
async fn copies_and_tasks_are_held_to_the_limits_too() {
    let server = Server::start(vec![ok("bytes"); 3]).await;
    let cloud = cloud(server.port).await;
    limited(&cloud, [-1, -1, -1, -1]).await;
    let admin = cloud.admin().await;
    let id = create(&admin, json!({})).await;
    assert_eq!(upload(&admin, &id, &vec![0; 2 * MIB]).await.status, 204);
    let copy = json!({"method": {"name": "copy-image"}, "stores": ["slow"]});
    limited(&cloud, [-1, 1, -1, -1]).await;
    refused(&admin, &id, copy.clone(), "image_stage_total").await;
    limited(&cloud, [-1, 2, -1, 0]).await;
    refused(&admin, &id, copy.clone(), "image_count_uploading").await;
    limited(&cloud, [-1, 2, 2, 1]).await;
    assert_eq!(import(&admin, &id, copy).await.status, 202);
    let properties = json!({"name": "made", "disk_format": "raw", "container_format": "bare"});
    let uri = format!("http://127.0.0.1:{}/", server.port);
    let input = json!({"import_from": uri, "import_from_format": "raw", "image_properties": properties});
    let task = json!({"type": "import", "input": input});
    assert_eq!(admin.post("/image/v2/tasks", task.clone()).await.status, 413, "a copy is under way, and counts");
    cloud.work().await;
    assert_eq!(show(&admin, &id).await.json()["stores"], "fast,slow");
    assert_eq!(admin.post("/image/v2/tasks", task.clone()).await.status, 201);
    cloud.work().await;
    assert_eq!(admin.post("/image/v2/tasks", task).await.status, 413, "two images are all there may be");
}
