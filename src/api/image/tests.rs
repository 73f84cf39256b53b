//! Images through the whole router: made, filled, seen, shared, given out and deleted.

use crate::api::testing::{Client, Cloud, Reply, START};
use crate::clock::Timestamp;
use crate::cloud::image::Place;
use crate::error::Error;
use crate::http::call::BodyStream;
use crate::http::router::Request;
use crate::ids::{BlobId, ImageId};
use crate::store::blobs;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const OCTETS: [(&str, &str); 1] = [("content-type", "application/octet-stream")];
const PATCH: [(&str, &str); 1] = [("content-type", "application/openstack-images-v2.1-json-patch")];

/// The id of a new raw image with these further fields.
pub(super) async fn create(client: &Client, fields: Value) -> String {
    let mut body = json!({"name": "cirros", "disk_format": "raw", "container_format": "bare"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let reply = client.post("/image/v2/images", body).await;
    assert_eq!(reply.status, 201, "{}", text(&reply));
    reply.json()["id"].as_str().unwrap().to_owned()
}

pub(super) async fn upload(client: &Client, id: &str, bytes: &[u8]) -> Reply {
    client.send(Method::PUT, &format!("/image/v2/images/{id}/file"), &OCTETS, bytes.to_vec()).await
}

pub(super) async fn active(client: &Client, fields: Value, bytes: &[u8]) -> String {
    let id = create(client, fields).await;
    assert_eq!(upload(client, &id, bytes).await.status, 204);
    id
}

pub(super) async fn show(client: &Client, id: &str) -> Reply {
    client.get(&format!("/image/v2/images/{id}")).await
}

pub(super) async fn download(client: &Client, id: &str, headers: &[(&'static str, &str)]) -> Reply {
    client.send(Method::GET, &format!("/image/v2/images/{id}/file"), headers, vec![]).await
}

pub(super) async fn patch(client: &Client, id: &str, operations: Value) -> Reply {
    client.send(Method::PATCH, &format!("/image/v2/images/{id}"), &PATCH, operations.to_string().into_bytes()).await
}

pub(super) fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.bytes).into_owned()
}

/// Waits until an upload that was given up has been cleared away, beside the request that ended.
pub(super) async fn status_becomes(client: &Client, id: &str, status: &str) -> bool {
    for _ in 0..500 {
        if show(client, id).await.json()["status"] == status {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

#[tokio::test]
async fn an_image_is_made_filled_shown_and_given_out() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let reply = alice
        .post("/image/v2/images", json!({"name": "web", "disk_format": "raw", "container_format": "bare", "os_distro": "debian", "tags": ["b", "a", "b"]}))
        .await;
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), Some(format!("/v2/images/{id}").as_str()));
    assert_eq!(reply.header("openstack-image-import-methods"), Some("glance-direct"));
    assert_eq!(download(&alice, &id, &[]).await.status, 204);
    let reply = upload(&alice, &id, b"bytes of a disk").await;
    assert_eq!((reply.status, reply.bytes.len()), (204, 0));
    let shown = show(&alice, &id).await.json();
    assert_eq!(
        shown,
        json!({
            "id": id, "name": "web", "status": "active", "visibility": "shared", "owner": alice.project_id,
            "container_format": "bare", "disk_format": "raw", "size": 15, "virtual_size": 15, "min_disk": 0, "min_ram": 0,
            "protected": false, "os_hidden": false, "checksum": "2f9d8f6497ad948adfdd1662c6eefccf", "os_hash_algo": "sha512",
            "os_hash_value": shown["os_hash_value"], "tags": ["a", "b"], "created_at": "2026-11-22T02:41:09Z",
            "updated_at": "2026-11-22T02:41:09Z", "self": format!("/v2/images/{id}"), "file": format!("/v2/images/{id}/file"),
            "schema": "/v2/schemas/image", "os_distro": "debian",
        })
    );
    assert_eq!(shown["os_hash_value"].as_str().unwrap().len(), 128);
    let reply = download(&alice, &id, &[]).await;
    assert_eq!((reply.status, reply.bytes.as_slice()), (200, b"bytes of a disk".as_slice()));
    assert_eq!(reply.header("content-md5"), shown["checksum"].as_str());
    assert_eq!(reply.header("content-length"), Some("15"));
    let reply = download(&alice, &id, &[("range", "bytes=6-7")]).await;
    assert_eq!((reply.status, reply.bytes.as_slice()), (206, b"of".as_slice()));
    assert_eq!(reply.header("content-range"), Some("bytes 6-7/15"));
    assert_eq!(download(&alice, &id, &[("range", "bytes=15-")]).await.status, 416);
}

#[tokio::test]
async fn uploads_are_refused_as_upstream_refuses_them() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = active(&alice, json!({}), b"x").await;
    assert_eq!(upload(&alice, &id, b"y").await.status, 409, "it has bytes");
    let reply = alice.post("/image/v2/images", json!({"name": "no formats"})).await;
    let reply = upload(&alice, reply.json()["id"].as_str().unwrap(), b"y").await;
    assert_eq!(reply.status, 400);
    let queued = create(&alice, json!({})).await;
    let path = format!("/image/v2/images/{queued}/file");
    for content_type in ["application/json", "application/octet-stream-not"] {
        let reply = alice.send(Method::PUT, &path, &[("content-type", content_type)], b"y".to_vec()).await;
        assert_eq!(reply.status, 415);
    }
    let sized = [OCTETS[0], ("x-openstack-image-size", "many")];
    assert_eq!(alice.send(Method::PUT, &path, &sized, b"y".to_vec()).await.status, 400);
    let sized = [OCTETS[0], ("x-openstack-image-size", "2")];
    assert_eq!(alice.send(Method::PUT, &path, &sized, b"y".to_vec()).await.status, 400, "fewer bytes than announced");
    assert!(status_becomes(&alice, &queued, "queued").await);
    assert_eq!(upload(&alice, &queued, b"y").await.status, 204, "and it can be tried again");
}

#[tokio::test]
async fn cve_2024_40767_bytes_that_are_not_what_they_were_declared_to_be_leave_the_image_queued() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let mut qcow2 = vec![0; 4096];
    qcow2[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    for (format, bytes) in [("raw", qcow2.as_slice()), ("qcow2", b"no header at all".as_slice()), ("qcow2", &qcow2)] {
        let id = create(&alice, json!({"disk_format": format})).await;
        let reply = upload(&alice, &id, bytes).await;
        assert_eq!(reply.status, 415, "{}", text(&reply));
        assert!(status_becomes(&alice, &id, "queued").await);
        assert_eq!(show(&alice, &id).await.json()["size"], Value::Null);
    }
    assert!(nothing_is_unused(&cloud).await);
}

/// Forgetting the bytes of a refused upload goes on for a moment after its image is queued again.
async fn nothing_is_unused(cloud: &Cloud) -> bool {
    for _ in 0..500 {
        if cloud.state.db.read(blobs::unused).await.unwrap().is_empty() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

/// An upload whose body is a stream of our own.
pub(super) async fn upload_stream(
    cloud: &Cloud,
    client: &Client,
    id: &str,
    body: impl futures::Stream<Item = Result<Bytes, Error>> + Send + 'static,
) -> u16 {
    let mut headers = HeaderMap::new();
    headers.insert("x-auth-token", HeaderValue::from_str(client.token()).unwrap());
    headers.insert("content-type", HeaderValue::from_static("application/octet-stream"));
    let request = Request {
        method: Method::PUT,
        path: format!("/image/v2/images/{id}/file"),
        query: String::new(),
        headers,
        peer: None,
        request_id: "req-test".to_owned(),
        body: BodyStream::new(body.boxed(), None),
    };
    cloud.router.answer(request).await.status.as_u16()
}

#[tokio::test]
async fn an_upload_that_breaks_off_or_is_dropped_can_be_tried_again() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let broken = stream::iter([Ok(Bytes::from_static(b"half")), Err(Error::bad_request("connection reset"))]);
    assert_eq!(upload_stream(&cloud, &alice, &id, broken).await, 400);
    assert!(status_becomes(&alice, &id, "queued").await);
    let stuck = stream::iter([Ok(Bytes::from_static(b"half"))]).chain(stream::pending());
    let dropped = tokio::time::timeout(Duration::from_millis(100), upload_stream(&cloud, &alice, &id, stuck)).await;
    assert!(dropped.is_err());
    assert!(status_becomes(&alice, &id, "queued").await);
    assert_eq!(upload(&alice, &id, b"whole").await.status, 204);
}

#[tokio::test]
async fn an_image_deleted_while_its_bytes_come_is_gone_and_so_are_they() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let (path, deleter) = (format!("/image/v2/images/{id}"), alice.clone());
    let body = stream::once(async move {
        assert_eq!(deleter.delete(&path).await.status, 204);
        Ok(Bytes::from_static(b"too late"))
    });
    assert_eq!(upload_stream(&cloud, &alice, &id, body).await, 410);
    assert_eq!(show(&alice, &id).await.status, 404);
    cloud.clear_images().await;
    assert!(cloud.state.db.read(blobs::known).await.unwrap().is_empty());
    // The bytes are removed beside the request that ended; while one is there, a sweep without an inventory refuses.
    let nothing_known = |_: BlobId| false;
    for _ in 0..500 {
        match cloud
            .state
            .stores
            .default_store()
            .blobs
            .sweep(&nothing_known, Duration::ZERO, Timestamp(i64::MAX / 2))
            .await
        {
            Ok(swept) => return assert_eq!(swept.kept, 0),
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    panic!("the bytes stayed");
}

#[tokio::test]
async fn images_of_others_are_not_found_unless_shown_to_everybody() {
    let cloud = Cloud::new().await;
    let (alice, bob, admin) = (cloud.member("alice").await, cloud.member("bob").await, cloud.admin().await);
    let private = create(&alice, json!({"visibility": "private"})).await;
    let community = create(&alice, json!({"visibility": "community"})).await;
    let path = format!("/image/v2/images/{private}");
    let reply = bob.get(&path).await;
    assert_eq!(reply.status, 404);
    assert!(text(&reply).contains(&format!("No image found with ID {private}")));
    assert_eq!(bob.delete(&path).await.status, 404);
    assert_eq!(patch(&bob, &private, json!([])).await.status, 404);
    assert_eq!(bob.get("/image/v2/images/not-an-id").await.status, 404);
    assert_eq!(show(&bob, &community).await.status, 200);
    assert_eq!(bob.delete(&format!("/image/v2/images/{community}")).await.status, 403);
    assert_eq!(upload(&bob, &community, b"x").await.status, 403);
    assert_eq!(show(&admin, &private).await.status, 200);
    assert_eq!(cloud.stranger().get(&path).await.status, 401);
    let reader = cloud.with_role("carol", "reader", "alice").await;
    assert_eq!(show(&reader, &private).await.status, 200);
    assert_eq!(reader.delete(&path).await.status, 403);
    assert_eq!(reader.post("/image/v2/images", json!({"name": "x"})).await.status, 403);
}

#[tokio::test]
async fn only_an_administrator_makes_an_image_public_or_anothers() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let public = json!({"name": "x", "visibility": "public"});
    assert_eq!(alice.post("/image/v2/images", public.clone()).await.status, 403);
    assert_eq!(admin.post("/image/v2/images", public).await.status, 201);
    let foreign = alice.post("/image/v2/images", json!({"owner": "somebody"})).await;
    assert_eq!(foreign.status, 403);
    assert!(
        text(&foreign).contains("You are not permitted to create images owned by &#39;somebody&#39;.")
            || text(&foreign).contains("You are not permitted to create images owned by 'somebody'.")
    );
    let id = create(&alice, json!({})).await;
    for operation in [
        json!({"op": "replace", "path": "/visibility", "value": "public"}),
        json!({"op": "replace", "path": "/owner", "value": "somebody"}),
        json!({"op": "add", "path": "/owner", "value": "somebody"}),
    ] {
        assert_eq!(patch(&alice, &id, json!([operation])).await.status, 403);
        assert_eq!(patch(&admin, &id, json!([operation])).await.status, 200);
        assert_eq!(
            patch(&admin, &id, json!([{"op": "replace", "path": "/owner", "value": alice.project_id}])).await.status,
            200
        );
    }
}

#[tokio::test]
async fn a_patch_is_made_whole_or_not_at_all() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({"os_distro": "debian"})).await;
    let reply = patch(
        &alice,
        &id,
        json!([
            {"op": "replace", "path": "/name", "value": "n2"},
            {"op": "add", "path": "/hw_disk_bus", "value": "virtio"},
            {"op": "remove", "path": "/os_distro"},
            {"op": "replace", "path": "/tags", "value": ["t"]},
        ]),
    )
    .await;
    let image = reply.json();
    assert_eq!((reply.status, &image["name"], &image["hw_disk_bus"]), (200, &json!("n2"), &json!("virtio")));
    assert_eq!((&image["tags"], image.get("os_distro")), (&json!(["t"]), None));
    let refused = json!([{"op": "replace", "path": "/name", "value": "n3"}, {"op": "remove", "path": "/missing"}]);
    assert_eq!(patch(&alice, &id, refused).await.status, 409);
    assert_eq!(show(&alice, &id).await.json()["name"], "n2");
    let path = format!("/image/v2/images/{id}");
    assert_eq!(alice.patch(&path, json!([])).await.status, 415);
    for (operation, status) in [
        (json!({"op": "replace", "path": "/status", "value": "active"}), 403),
        (json!({"op": "add", "path": "/locations/-", "value": {"url": "file:///etc/passwd", "metadata": {}}}), 403),
        (json!({"op": "replace", "path": "/min_disk", "value": -1}), 400),
    ] {
        assert_eq!(patch(&alice, &id, json!([operation])).await.status, status);
    }
}

#[tokio::test]
async fn an_image_without_an_id_is_not_found_whatever_is_asked_of_it() {
    let alice = Cloud::new().await.member("alice").await;
    for method in [Method::GET, Method::DELETE, Method::PATCH] {
        assert_eq!(alice.send(method.clone(), "/image/v2/images/", &[], vec![]).await.status, 404, "{method}");
    }
    assert_eq!(alice.delete("/image/v2/images").await.status, 405);
}

#[tokio::test]
async fn a_protected_image_is_not_deleted_and_a_deleted_id_is_never_given_again() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = active(&alice, json!({"protected": true}), b"x").await;
    let path = format!("/image/v2/images/{id}");
    let reply = alice.delete(&path).await;
    assert_eq!(reply.status, 403);
    assert!(text(&reply).contains("is protected and cannot be deleted."));
    patch(&alice, &id, json!([{"op": "replace", "path": "/protected", "value": false}])).await;
    assert_eq!(alice.delete(&path).await.status, 204);
    assert_eq!(alice.delete(&path).await.status, 404);
    cloud.clear_images().await;
    assert!(cloud.state.db.read(blobs::known).await.unwrap().is_empty());
    let again = alice.post("/image/v2/images", json!({"id": id, "name": "impostor"})).await;
    assert_eq!(again.status, 409, "OSSN-0075");
}

#[tokio::test]
async fn a_deactivated_image_is_given_to_administrators_only() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let id = create(&alice, json!({})).await;
    let deactivate = format!("/image/v2/images/{id}/actions/deactivate");
    assert_eq!(alice.post(&deactivate, json!(null)).await.status, 403, "still queued");
    upload(&alice, &id, b"x").await;
    for _ in 0..2 {
        assert_eq!(alice.post(&deactivate, json!(null)).await.status, 204);
    }
    assert_eq!(show(&alice, &id).await.json()["status"], "deactivated");
    assert_eq!(download(&alice, &id, &[]).await.status, 403);
    assert_eq!(download(&admin, &id, &[]).await.status, 200);
    assert_eq!(alice.post(&format!("/image/v2/images/{id}/actions/reactivate"), json!(null)).await.status, 204);
    assert_eq!(download(&alice, &id, &[]).await.status, 200);
}

#[tokio::test]
async fn an_image_is_offered_accepted_used_and_taken_back() {
    let cloud = Cloud::new().await;
    let (alice, bob, carol) = (cloud.member("alice").await, cloud.member("bob").await, cloud.member("carol").await);
    let id = active(&alice, json!({}), b"x").await;
    let members = format!("/image/v2/images/{id}/members");
    let mine = format!("{members}/{}", bob.project_id);
    let reply = alice.post(&members, json!({"member": bob.project_id})).await;
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("pending")));
    assert_eq!(alice.post(&members, json!({"member": bob.project_id})).await.status, 409);
    for (body, status) in [(json!({}), 400), (json!({"member": ""}), 400), (json!([]), 400)] {
        assert_eq!(alice.post(&members, body).await.status, status);
    }
    let listed = |client: Client, query: &'static str| async move {
        client.get(&format!("/image/v2/images{query}")).await.json()["images"].as_array().unwrap().len()
    };
    assert_eq!(listed(bob.clone(), "").await, 0);
    assert_eq!(listed(bob.clone(), "?member_status=pending").await, 1);
    assert_eq!(bob.put(&mine, json!({"status": "maybe"})).await.status, 400);
    assert_eq!(alice.put(&mine, json!({"status": "accepted"})).await.status, 403, "the owner can't answer for it");
    assert_eq!(bob.put(&mine, json!({"status": "accepted"})).await.json()["status"], "accepted");
    assert_eq!(listed(bob.clone(), "").await, 1);
    assert_eq!(download(&bob, &id, &[]).await.bytes, b"x");
    assert_eq!(bob.post(&members, json!({"member": carol.project_id})).await.status, 403, "a member can't share on");
    assert_eq!(bob.delete(&mine).await.status, 403);
    alice.post(&members, json!({"member": carol.project_id})).await;
    assert_eq!(alice.get(&members).await.json()["members"].as_array().unwrap().len(), 2);
    assert_eq!(bob.get(&members).await.json()["members"].as_array().unwrap().len(), 1);
    assert_eq!(bob.get(&format!("{members}/{}", carol.project_id)).await.status, 404);
    assert_eq!(alice.delete(&mine).await.status, 204);
    assert_eq!(show(&bob, &id).await.status, 404);
    let private = create(&alice, json!({"visibility": "private"})).await;
    let reply = alice.post(&format!("/image/v2/images/{private}/members"), json!({"member": "x"})).await;
    assert_eq!(reply.status, 403, "only shared images have members");
}

#[tokio::test]
async fn a_list_is_paged_by_links_that_keep_its_filters() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    for name in ["a", "b", "c"] {
        create(&alice, json!({"name": name, "os_distro": "debian"})).await;
    }
    create(&alice, json!({"name": "other"})).await;
    let reply = alice.get("/image/v2/images?os_distro=debian&sort=name:asc&limit=2").await.json();
    let names = |reply: &Value| -> Vec<String> {
        reply["images"].as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&reply), ["a", "b"]);
    assert_eq!(reply["first"], "/v2/images?os_distro=debian&sort=name%3Aasc&limit=2");
    let next = reply["next"].as_str().unwrap();
    let reply = alice.get(&format!("/image{next}")).await.json();
    assert_eq!((names(&reply), reply.get("next")), (vec!["c".to_owned()], None));
    assert_eq!(alice.get("/image/v2/images?marker=00000000-0000-0000-0000-000000000000").await.status, 400);
    assert_eq!(alice.get("/image/v2/images?sort_key=owner").await.status, 400);
}

#[tokio::test]
async fn tags_are_put_and_deleted_one_by_one() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let tag = |name: &str| format!("/image/v2/images/{id}/tags/{name}");
    for _ in 0..2 {
        assert_eq!(alice.put(&tag("a%20b"), json!(null)).await.status, 204);
    }
    assert_eq!(show(&alice, &id).await.json()["tags"], json!(["a b"]));
    assert_eq!(alice.put(&tag(&"x".repeat(256)), json!(null)).await.status, 400);
    assert_eq!(alice.delete(&tag("a%20b")).await.status, 204);
    assert_eq!(alice.delete(&tag("a%20b")).await.status, 404);
    for number in 0..128 {
        alice.put(&tag(&number.to_string()), json!(null)).await;
    }
    assert_eq!(alice.put(&tag("one-more"), json!(null)).await.status, 413);
}

#[tokio::test]
async fn what_there_is_and_is_not_is_said_truly() {
    let cloud = Cloud::new().await;
    let (stranger, alice, admin) = (cloud.stranger(), cloud.member("alice").await, cloud.admin().await);
    let reply = stranger.get("/image").await;
    assert_eq!((reply.status, &reply.json()["versions"][0]["status"]), (300, &json!("CURRENT")));
    assert_eq!(reply.json()["versions"][0]["links"][0]["href"], "http://cloud.test/image/v2/");
    assert_eq!(stranger.get("/image/v2/").await.status, 300);
    let versions = stranger.get("/image/versions").await;
    assert_eq!(versions.status, 200);
    assert!(!versions.text().contains("v2.17"), "locations are no version of ours");
    let methods = alice.get("/image/v2/info/import").await.json();
    assert_eq!(methods["import-methods"]["value"], json!(["glance-direct"]), "there is one store, and the web is off");
    assert_eq!(alice.get("/image/v2/info/stores").await.status, 404);
    assert_eq!(alice.get("/image/v2/schemas/image").await.json()["name"], "image");
    assert_eq!(alice.get("/image/v2/schemas/members").await.json()["name"], "members");
    assert_eq!(alice.get("/image/v2/schemas/tasks").await.json()["name"], "tasks");
    assert_eq!(admin.get("/image/v2/images/x/locations").await.status, 501);
    assert_eq!(admin.get("/image/v2/schemas/anything").await.status, 404);
    assert_eq!(alice.get("/image/v2/images/").await.status, 404, "an image without an id");
    let id = active(&alice, json!({}), b"bytes").await;
    let file = format!("/image/v2/images/{id}/file");
    assert_eq!(alice.send(Method::HEAD, &file, &[], vec![]).await.status, 405, "whose length would that be");
    assert_eq!(alice.send(Method::POST, &format!("/image/v2/images/{id}/locations"), &[], vec![]).await.status, 501);
    let id = create(&alice, json!({})).await;
    let import = json!({"method": {"name": "web-download", "uri": "http://169.254.169.254/"}});
    let reply = alice.post(&format!("/image/v2/images/{id}/import"), import).await;
    assert_eq!(reply.status, 400, "CVE-2026-34881: nothing is fetched for anybody");
}

/// The header of an empty qcow2 of 1 GiB.
fn empty_qcow2() -> Vec<u8> {
    let mut file = vec![0; 4 << 16];
    let fields: [(usize, &[u8]); 6] = [
        (0, b"QFI\xfb\0\0\0\x02"),
        (20, &16u32.to_be_bytes()),
        (24, &(1u64 << 30).to_be_bytes()),
        (36, &1u32.to_be_bytes()),
        (40, &(3u64 << 16).to_be_bytes()),
        (48, &(1u64 << 16).to_be_bytes()),
    ];
    for (offset, bytes) in fields {
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    file
}

#[tokio::test]
async fn an_init_killed_in_the_middle_of_its_upload_is_made_good_by_the_next() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let body =
        json!({"name": "gapura-test", "visibility": "public", "disk_format": "qcow2", "container_format": "bare"});
    let id = admin.post("/image/v2/images", body).await.json()["id"].as_str().unwrap().to_owned();
    let (image, dead) = (ImageId::parse(&id).unwrap(), BlobId::random());
    let dead = Place { store: "default".to_owned(), blob: dead };
    cloud.state.db.write(move |tx| crate::store::images::begin_upload(tx, image, &dead, START)).await.unwrap();
    assert_eq!(show(&admin, &id).await.json()["status"], "saving");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guest.qcow2");
    std::fs::write(&file, empty_qcow2()).unwrap();
    let project = admin.project_id.as_str().into();
    for _ in 0..2 {
        let seeded = super::seed::seed(&cloud.state, &project, &file).await.unwrap();
        assert_eq!(
            (seeded.to_string(), show(&admin, &id).await.json()["status"].clone()),
            (id.clone(), json!("active"))
        );
    }
    let images = admin.get("/image/v2/images").await.json()["images"].as_array().unwrap().len();
    assert_eq!(images, 1, "one of everything");
}
