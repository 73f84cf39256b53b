//! Imports through the whole router and the runner: staged, copied, fetched; and what a failure, a crash or a deletion in
//! the middle leaves.

use super::ImageSettings;
use super::tests::{OCTETS, active, create, download, show, text, upload};
use crate::api::testing::{Client, Cloud, Reply};
use crate::cloud::image::import::Method as ImportMethod;
use crate::cloud::web_source::Filter;
use crate::ids::BlobId;
use crate::store::blobs;
use crate::tasks::fetch::testing::{Server, ok, redirect};
use crate::tasks::import_image::Uri;
use http::Method;
use serde_json::{Value, json};

pub(super) async fn three_stores() -> Cloud {
    Cloud::with_images(&["fast", "slow", "tape"], ImageSettings::default()).await
}

/// A cloud that fetches from one port of this machine.
pub(super) async fn fetching(port: u16, stores: &[&str]) -> Cloud {
    let import_filter = Filter {
        allowed_ports: vec![port],
        private_ranges: vec!["127.0.0.1/32".parse().unwrap()],
        ..Filter::default()
    };
    let import_methods = ImportMethod::ALL.to_vec();
    Cloud::with_images(stores, ImageSettings { import_methods, import_filter, ..ImageSettings::default() }).await
}

pub(super) async fn stage(client: &Client, id: &str, bytes: &[u8]) -> Reply {
    client.send(Method::PUT, &format!("/image/v2/images/{id}/stage"), &OCTETS, bytes.to_vec()).await
}

pub(super) async fn import(client: &Client, id: &str, body: Value) -> Reply {
    client.post(&format!("/image/v2/images/{id}/import"), body).await
}

fn by(method: &str) -> Value {
    json!({"method": {"name": method}})
}

pub(super) async fn tasks_of(client: &Client, id: &str) -> Vec<Value> {
    let reply = client.get(&format!("/image/v2/images/{id}/tasks")).await;
    assert_eq!(reply.status, 200);
    reply.json()["tasks"].as_array().unwrap().clone()
}

/// `store: how many`, of the rows and of what the stores really hold.
pub(super) async fn kept(cloud: &Cloud) -> Vec<String> {
    cloud.clear_images().await;
    let mut kept = Vec::new();
    for place in cloud.state.db.read(blobs::known).await.unwrap() {
        let size = cloud.state.stores.of(&place.store).unwrap().size(place.blob).await.unwrap();
        assert!(size.is_some(), "a row names bytes that aren't there");
        kept.push(place.store);
    }
    kept.sort();
    kept
}

#[tokio::test]
async fn a_staged_image_is_imported_and_tells_how_far_it_is() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let reply = alice.post("/image/v2/images", json!({"disk_format": "raw", "container_format": "bare"})).await;
    assert_eq!(reply.header("openstack-image-import-methods"), Some("glance-direct"));
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(import(&alice, &id, by("glance-direct")).await.status, 409, "nothing is staged");
    assert_eq!(stage(&alice, &id, b"bytes").await.status, 204);
    let staged = show(&alice, &id).await.json();
    assert_eq!(
        (&staged["status"], &staged["size"], &staged["checksum"]),
        (&json!("uploading"), &json!(5), &Value::Null)
    );
    assert_eq!(download(&alice, &id, &[]).await.status, 204, "staged bytes are given to nobody");
    assert_eq!(stage(&alice, &id, b"other").await.status, 409);
    assert_eq!(upload(&alice, &id, b"other").await.status, 409);

    assert_eq!(import(&alice, &id, by("glance-direct")).await.status, 202);
    assert_eq!(show(&alice, &id).await.json()["status"], "importing");
    assert_eq!(import(&alice, &id, by("glance-direct")).await.status, 409);
    assert_eq!(tasks_of(&alice, &id).await[0]["status"], "pending");
    cloud.work().await;
    let image = show(&alice, &id).await.json();
    assert_eq!((&image["status"], &image["virtual_size"]), (&json!("active"), &json!(5)));
    assert_eq!(image["os_hash_value"].as_str().unwrap().len(), 128);
    assert_eq!((&image["os_glance_importing_to_stores"], &image["os_glance_failed_import"]), (&json!(""), &json!("")));
    assert_eq!(download(&alice, &id, &[]).await.bytes, b"bytes");
    let task = &tasks_of(&alice, &id).await[0];
    assert_eq!((&task["status"], &task["type"]), (&json!("success"), &json!("api_image_import")));
    assert_eq!((&task["result"], &task["owner"]), (&json!({"image_id": id}), &json!(alice.project_id)));
    assert_eq!(kept(&cloud).await, ["default"], "the staged bytes are the image's own");
    let public = json!([{"op": "replace", "path": "/visibility", "value": "community"}]);
    assert_eq!(super::tests::patch(&alice, &id, public).await.status, 200);
    let bob = cloud.member("bob").await;
    assert!(tasks_of(&bob, &id).await.is_empty(), "nobody else hears from where it came");
}

#[tokio::test]
async fn an_import_fills_the_stores_it_names_and_no_other() {
    for (body, expected) in [
        (json!({}), vec!["fast"]),
        (json!({"stores": ["slow", "fast"]}), vec!["fast", "slow"]),
        (json!({"stores": ["tape", "slow"]}), vec!["tape", "slow"]),
        (json!({"all_stores": true}), vec!["fast", "slow", "tape"]),
        (json!({"all_stores": true, "all_stores_must_succeed": false}), vec!["fast", "slow", "tape"]),
        (json!({"stores": ["tape"], "all_stores_must_succeed": false}), vec!["tape"]),
    ] {
        let cloud = three_stores().await;
        let alice = cloud.member("alice").await;
        let id = create(&alice, json!({})).await;
        stage(&alice, &id, b"bytes").await;
        let mut whole = by("glance-direct");
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        assert_eq!(import(&alice, &id, whole).await.status, 202);
        let importing = show(&alice, &id).await.json()["os_glance_importing_to_stores"].clone();
        assert_eq!(importing.as_str().unwrap().split(',').count(), expected.len());
        cloud.work().await;
        let image = show(&alice, &id).await.json();
        let mut stores: Vec<_> = image["stores"].as_str().unwrap().split(',').collect();
        let mut expected = expected;
        stores.sort_unstable();
        expected.sort_unstable();
        assert_eq!((&image["status"], stores), (&json!("active"), expected.clone()), "{body}");
        assert_eq!(kept(&cloud).await, expected, "{body}");
        assert_eq!(download(&alice, &id, &[]).await.bytes, b"bytes");
    }
}

#[tokio::test]
async fn imports_are_refused_as_upstream_refuses_them() {
    let cloud = three_stores().await;
    let (alice, bob, admin) = (cloud.member("alice").await, cloud.member("bob").await, cloud.admin().await);
    let id = create(&alice, json!({})).await;
    stage(&alice, &id, b"bytes").await;
    let direct = |more: Value| {
        let mut body = by("glance-direct");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, status) in [
        (json!({}), 400),
        (json!({"method": {}}), 400),
        (by("web-download"), 400),
        (by("glance-download"), 400),
        (direct(json!({"all_stores": "yes"})), 400),
        (direct(json!({"all_stores_must_succeed": 1})), 400),
        (direct(json!({"all_stores": true, "stores": ["fast"]})), 400),
        (direct(json!({"stores": "fast"})), 400),
        (direct(json!({"stores": []})), 400),
        (direct(json!({"stores": ["attic"]})), 409),
        (by("copy-image"), 409),
    ] {
        assert_eq!(import(&alice, &id, body.clone()).await.status, status, "{body}");
    }
    assert_eq!(import(&bob, &id, by("glance-direct")).await.status, 404);
    let community = create(&alice, json!({"visibility": "community"})).await;
    stage(&alice, &community, b"bytes").await;
    assert_eq!(import(&bob, &community, by("glance-direct")).await.status, 403);
    assert_eq!(stage(&bob, &community, b"bytes").await.status, 403);
    let formless = alice.post("/image/v2/images", json!({"name": "x"})).await.json()["id"].as_str().unwrap().to_owned();
    stage(&alice, &formless, b"bytes").await;
    let reply = import(&alice, &formless, by("glance-direct")).await;
    assert!(reply.status == 409 && text(&reply).contains("'container_format' needs to be set before import"));
    let ready = active(&alice, json!({}), b"bytes").await;
    let copy = json!({"method": {"name": "copy-image"}, "stores": ["slow"]});
    assert_eq!(import(&alice, &ready, copy.clone()).await.status, 403, "an owner may not copy");
    assert_eq!(import(&admin, &ready, by("copy-image")).await.status, 400, "it is in the default store already");
    assert_eq!(import(&admin, &ready, by("glance-direct")).await.status, 409);
    assert_eq!(import(&admin, &ready, copy.clone()).await.status, 202);
    assert_eq!(import(&admin, &ready, copy).await.status, 409, "one at a time");
    assert!(tasks_of(&alice, &id).await.is_empty());
}

#[tokio::test]
async fn an_image_is_copied_to_further_stores_while_it_is_used() {
    let cloud = three_stores().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let id = active(&alice, json!({}), b"bytes").await;
    let reply = admin.get("/image/v2/info/import").await.json();
    assert_eq!(reply["import-methods"]["value"], json!(["glance-direct", "copy-image"]));
    let everywhere = json!({"method": {"name": "copy-image"}, "all_stores": true});
    assert_eq!(import(&admin, &id, everywhere.clone()).await.status, 202);
    let during = show(&alice, &id).await.json();
    assert_eq!((&during["status"], &during["stores"]), (&json!("active"), &json!("fast")));
    assert_eq!(during["os_glance_importing_to_stores"], "slow,tape");
    cloud.work().await;
    let after = show(&alice, &id).await.json();
    assert_eq!((&after["stores"], &after["os_glance_importing_to_stores"]), (&json!("fast,slow,tape"), &json!("")));
    assert_eq!(kept(&cloud).await, ["fast", "slow", "tape"]);
    assert_eq!(import(&admin, &id, everywhere).await.status, 202, "everywhere already is done");
    assert_eq!(tasks_of(&admin, &id).await.len(), 1);
}

#[tokio::test]
async fn bytes_that_are_not_what_they_were_declared_to_be_are_not_imported() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({"disk_format": "qcow2"})).await;
    stage(&alice, &id, b"no header at all").await;
    assert_eq!(import(&alice, &id, by("glance-direct")).await.status, 202);
    cloud.work().await;
    let image = show(&alice, &id).await.json();
    assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &Value::Null));
    let task = &tasks_of(&alice, &id).await[0];
    assert_eq!(task["status"], "failure");
    assert!(task["message"].as_str().unwrap().contains("qcow2"), "{task}");
    assert!(kept(&cloud).await.is_empty());
    assert_eq!(stage(&alice, &id, b"again").await.status, 204, "and it can be tried again");
}

/// Makes a store answer nothing: its blobs are all gone, and what is asked of it is not there.
async fn lose(cloud: &Cloud, store: &str) {
    for place in cloud.state.db.read(blobs::known).await.unwrap() {
        if place.store == store {
            cloud.state.stores.of(store).unwrap().delete(place.blob).await.unwrap();
        }
    }
}

#[tokio::test]
async fn where_not_all_must_succeed_the_failed_stores_are_named_and_the_rest_is_used() {
    let cloud = three_stores().await;
    let admin = cloud.admin().await;
    let id = create(&admin, json!({})).await;
    stage(&admin, &id, b"bytes").await;
    let body =
        json!({"method": {"name": "glance-direct"}, "stores": ["slow", "tape"], "all_stores_must_succeed": false});
    assert_eq!(import(&admin, &id, body).await.status, 202);
    // Without its staged bytes no store can get the image: each fails by itself, and then the whole.
    lose(&cloud, "fast").await;
    cloud.work().await;
    let image = show(&admin, &id).await.json();
    assert_eq!(image["status"], "queued");
    assert_eq!(image["os_glance_failed_import"], "slow,tape");
    assert_eq!(tasks_of(&admin, &id).await[0]["status"], "failure");
}

#[tokio::test]
async fn an_image_deleted_before_its_import_takes_everything_with_it() {
    let cloud = three_stores().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    stage(&alice, &id, b"bytes").await;
    assert_eq!(import(&alice, &id, json!({"method": {"name": "glance-direct"}, "all_stores": true})).await.status, 202);
    assert_eq!(alice.delete(&format!("/image/v2/images/{id}")).await.status, 204);
    cloud.work().await;
    assert!(kept(&cloud).await.is_empty());
    let admin = cloud.admin().await;
    let tasks = admin.get("/image/v2/tasks").await.json();
    assert_eq!(tasks["tasks"][0]["status"], "failure");
}

#[tokio::test]
async fn staged_bytes_that_were_cut_off_leave_the_image_queued() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let path = format!("/image/v2/images/{id}/stage");
    let headers = [OCTETS[0], ("x-openstack-image-size", "9")];
    assert_eq!(alice.send(Method::PUT, &path, &headers, b"short".to_vec()).await.status, 400);
    assert!(super::tests::status_becomes(&alice, &id, "queued").await);
    assert_eq!(show(&alice, &id).await.json()["size"], Value::Null);
    assert_eq!(stage(&alice, &id, b"whole").await.status, 204);
}

#[tokio::test]
async fn an_image_is_fetched_from_the_web() {
    for stores in [&[][..], &["fast", "slow"]] {
        let server = Server::start(vec![redirect("http://127.0.0.1:{port}/there"), ok("bytes")]).await;
        let cloud = fetching(server.port, stores).await;
        let alice = cloud.member("alice").await;
        let id = create(&alice, json!({})).await;
        let uri = format!("http://127.0.0.1:{}/image", server.port);
        let reply = import(&alice, &id, json!({"method": {"name": "web-download", "uri": uri}})).await;
        assert_eq!(reply.status, 202, "{}", text(&reply));
        cloud.work().await;
        let image = show(&alice, &id).await.json();
        assert_eq!(
            (&image["status"], &image["size"]),
            (&json!("active"), &json!(5)),
            "{:?}",
            tasks_of(&alice, &id).await
        );
        assert_eq!(download(&alice, &id, &[]).await.bytes, b"bytes");
        assert_eq!(server.visits.lock().len(), 2);
    }
}

#[tokio::test]
async fn cve_2026_34881_what_may_not_be_fetched_is_refused_at_once_or_by_the_task() {
    let server = Server::start(vec![redirect("http://127.0.0.2:{port}/"), ok("secret")]).await;
    let cloud = fetching(server.port, &[]).await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    for uri in ["http://127.0.0.1:22/", "http://169.254.169.254/", "http://2130706433/", "file:///etc/passwd", ""] {
        let reply = import(&alice, &id, json!({"method": {"name": "web-download", "uri": uri}})).await;
        assert_eq!(reply.status, 400, "{uri}");
        assert!(text(&reply).contains("URI for web-download does not pass filtering"));
    }
    assert_eq!(show(&alice, &id).await.json()["status"], "queued");
    let uri = format!("http://127.0.0.1:{}/image", server.port);
    assert_eq!(import(&alice, &id, json!({"method": {"name": "web-download", "uri": uri}})).await.status, 202);
    cloud.work().await;
    let image = show(&alice, &id).await.json();
    assert_eq!((&image["status"], &image["size"]), (&json!("queued"), &Value::Null));
    let task = &tasks_of(&alice, &id).await[0];
    assert_eq!(task["message"], format!("Redirect to disallowed URL: http://127.0.0.2:{}/", server.port));
    assert_eq!(server.visits.lock().len(), 1, "nobody was called that should not be");
    assert!(kept(&cloud).await.is_empty());
}

#[tokio::test]
async fn the_web_is_off_until_an_operator_turns_it_on() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let body = json!({"method": {"name": "web-download", "uri": "http://example.org/image"}});
    let reply = import(&alice, &id, body).await;
    assert!(reply.status == 400 && text(&reply).contains("Unknown import method name"));
    let none = ImageSettings { import_methods: Vec::new(), ..ImageSettings::default() };
    let cloud = Cloud::with_images(&[], none).await;
    let alice = cloud.member("alice").await;
    let reply = alice.post("/image/v2/images", json!({"name": "x"})).await;
    assert_eq!(reply.header("openstack-image-import-methods"), None);
    assert_eq!(stage(&alice, reply.json()["id"].as_str().unwrap(), b"x").await.status, 404);
    assert_eq!(alice.get("/image/v2/info/import").await.json()["import-methods"]["value"], json!([]));
}

#[tokio::test]
async fn clients_read_which_ways_to_import_are_really_on() {
    use ImportMethod::{CopyImage, GlanceDirect, GlanceDownload, WebDownload};
    for (stores, on, shown) in [
        (&["fast", "slow"][..], vec![WebDownload, CopyImage], vec!["web-download", "copy-image"]),
        // There is nowhere to copy to.
        (&[], vec![CopyImage, GlanceDirect, GlanceDownload], vec!["glance-direct", "glance-download"]),
        (&[], vec![], vec![]),
    ] {
        let cloud = Cloud::with_images(stores, ImageSettings { import_methods: on, ..ImageSettings::default() }).await;
        let alice = cloud.member("alice").await;
        let methods = alice.get("/image/v2/info/import").await.json()["import-methods"]["value"].clone();
        assert_eq!(methods, json!(shown));
        let reply = alice.post("/image/v2/images", json!({"name": "x"})).await;
        let header = reply.header("openstack-image-import-methods").unwrap_or_default();
        assert_eq!(header, shown.join(","));
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        for method in ImportMethod::ALL {
            let refused = text(&import(&alice, &id, by(method.word())).await);
            let is_unknown = refused.contains("Unknown import method name");
            assert_eq!(is_unknown, !shown.contains(&method.word()), "{method:?}: {refused}");
        }
    }
}

#[tokio::test]
async fn a_download_tells_the_images_md5_whole_or_in_part() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    assert_eq!(download(&alice, &id, &[]).await.header("content-md5"), None, "there is nothing to hash");
    assert_eq!(upload(&alice, &id, b"bytes").await.status, 204);
    let checksum = show(&alice, &id).await.json()["checksum"].as_str().unwrap().to_owned();
    assert_eq!(checksum, "4b3a6218bb3e3a7303e8a171a60fcf92");
    for headers in [&[][..], &[("range", "bytes=1-2")]] {
        let reply = download(&alice, &id, headers).await;
        assert_eq!(reply.header("content-md5"), Some(checksum.as_str()), "{headers:?}");
    }
}

#[tokio::test]
async fn a_fetch_that_died_is_tried_again_and_leaves_nothing_twice() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nby".to_owned();
    let server = Server::start(vec![cut, ok("bytes")]).await;
    let cloud = fetching(server.port, &[]).await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let uri = format!("http://127.0.0.1:{}/image", server.port);
    import(&alice, &id, json!({"method": {"name": "web-download", "uri": uri}})).await;
    cloud.work().await;
    assert_eq!(show(&alice, &id).await.json()["status"], "importing");
    cloud.pass_seconds(60);
    cloud.work().await;
    assert_eq!(show(&alice, &id).await.json()["status"], "active");
    assert_eq!(kept(&cloud).await, ["default"]);
}

#[tokio::test]
async fn administrators_see_every_task_and_make_imports_of_them() {
    let server = Server::start(vec![ok("bytes")]).await;
    let cloud = fetching(server.port, &[]).await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let uri = format!("http://127.0.0.1:{}/image", server.port);
    let properties = json!({"name": "made", "disk_format": "raw", "container_format": "bare"});
    let input = json!({"import_from": uri, "import_from_format": "raw", "image_properties": properties});
    let body = json!({"type": "import", "input": input});
    assert_eq!(alice.post("/image/v2/tasks", body.clone()).await.status, 403);
    let reply = admin.post("/image/v2/tasks", body).await;
    assert_eq!(reply.status, 201, "{}", text(&reply));
    let task = reply.json();
    let id = task["id"].as_str().unwrap();
    assert_eq!((&task["status"], &task["type"]), (&json!("pending"), &json!("import")));
    assert_eq!(reply.header("location"), Some(format!("/v2/tasks/{id}").as_str()));
    cloud.work().await;
    let task = admin.get(&format!("/image/v2/tasks/{id}")).await.json();
    assert_eq!(task["status"], "success", "{task}");
    let image = task["result"]["image_id"].as_str().unwrap();
    assert_eq!(show(&admin, image).await.json()["name"], "made");
    let listed = admin.get("/image/v2/tasks?status=success&type=import&limit=1").await.json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(listed["tasks"][0].get("input"), None);
    let next = listed["next"].as_str().unwrap();
    assert_eq!(admin.get(&format!("/image{next}")).await.json()["tasks"], json!([]));
    for query in ["status=maybe", "type=other", "sort_key=input", "sort_dir=up", "limit=-1", "limit=x", "marker=x"] {
        assert_eq!(admin.get(&format!("/image/v2/tasks?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(admin.get(&format!("/image/v2/tasks?marker={}", BlobId::random())).await.status, 400);
    assert_eq!(admin.get(&format!("/image/v2/tasks/{}", BlobId::random())).await.status, 404);
    assert_eq!(admin.delete(&format!("/image/v2/tasks/{id}")).await.status, 405);
    assert_eq!(alice.get(&format!("/image/v2/tasks/{id}")).await.status, 403);
    for body in [
        json!({"input": {}}),
        json!({"type": "import"}),
        json!({"type": "export", "input": {}}),
        json!({"type": "import", "input": {"import_from": "file:///etc/passwd", "import_from_format": "raw", "image_properties": properties}}),
    ] {
        assert_eq!(admin.post("/image/v2/tasks", body.clone()).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn an_image_remembers_its_newest_imports_and_of_each_no_more_than_was_read() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({"disk_format": "qcow2"})).await;
    for number in 0..55 {
        assert_eq!(stage(&alice, &id, b"no qcow2").await.status, 204, "{number}");
        let body = json!({"method": {"name": "glance-direct", "padding": "x"}, "padding": "x".repeat(1000)});
        assert_eq!(import(&alice, &id, body).await.status, 202);
        cloud.work().await;
        cloud.pass_seconds(1);
    }
    let tasks = tasks_of(&alice, &id).await;
    assert_eq!(tasks.len(), 50);
    assert!(!json!(tasks).to_string().contains("padding"));
    let started = |at: usize| tasks[at]["created_at"].as_str().unwrap().to_owned();
    assert!(started(0) < started(49), "and the newest are there");
}

#[tokio::test]
async fn an_address_that_is_signed_is_in_no_log() {
    let uri = "http://127.0.0.1:1/image?X-Signature=secret";
    assert!(!format!("{:?}", Uri(uri.to_owned())).contains("secret"));
    let filter =
        Filter { allowed_ports: vec![1], private_ranges: vec!["127.0.0.0/8".parse().unwrap()], ..Filter::default() };
    let Err(error) = crate::tasks::fetch::open(uri, &filter).await else { panic!("nobody listens there") };
    let told = format!("{} {error:?}", crate::error::with_causes(&error));
    assert!(!told.contains("secret"), "{told}");
}
