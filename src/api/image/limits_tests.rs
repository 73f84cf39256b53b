//! Quotas and protected properties, as operators set them and clients meet them.

use super::ImageSettings;
use super::import_tests::{import, kept, stage, tasks_of};
use super::tests::{OCTETS, active, create, download, patch, show, status_becomes, text, upload};
use crate::api::testing::Cloud;
use crate::cloud::image::import::{ImportRules, Method as ImportMethod};
use crate::cloud::image::limits::Limits;
use crate::cloud::image::plugins::{Plugin, Plugins};
use crate::cloud::image::protection::Protections;
use crate::cloud::image::unpack::tests::gzip;
use crate::cloud::web_source::Filter;
use crate::ids::ImageId;
use crate::tasks::fetch::testing::{Server, ok};
use crate::tasks::import_image;
use http::Method;
use serde_json::{Value, json};

async fn cloud_with(limits: Limits) -> Cloud {
    Cloud::with_images(&["fast", "slow"], ImageSettings { limits, ..ImageSettings::default() }).await
}

#[tokio::test]
async fn a_projects_images_fill_its_quota_and_no_others() {
    let cloud = cloud_with(Limits { storage: 10, ..Limits::default() }).await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let first = active(&alice, json!({}), b"123456").await;
    let second = create(&alice, json!({})).await;
    let reply = upload(&alice, &second, b"12345").await;
    assert_eq!(reply.status, 413);
    assert!(text(&reply).contains("will exceed the limit. 4 bytes remaining."), "{}", text(&reply));
    assert!(status_becomes(&alice, &second, "queued").await);
    assert_eq!(upload(&alice, &second, b"1234").await.status, 204);
    let third = create(&alice, json!({})).await;
    assert_eq!(upload(&alice, &third, b"1").await.status, 413);
    assert!(status_becomes(&alice, &third, "queued").await);
    assert_eq!(upload(&bob, &create(&bob, json!({})).await, b"1234567890").await.status, 204);
    assert_eq!(alice.delete(&format!("/image/v2/images/{first}")).await.status, 204);
    assert_eq!(upload(&alice, &third, b"1").await.status, 204, "what is deleted counts no more");
}

#[tokio::test]
async fn the_same_bytes_count_whole_for_each_project_that_has_them() {
    let cloud = cloud_with(Limits { storage: 10, ..Limits::default() }).await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    active(&alice, json!({}), b"12345678").await;
    let same = active(&bob, json!({}), b"12345678").await;
    assert_eq!(show(&bob, &same).await.json()["size"], 8);
    let more = create(&bob, json!({})).await;
    let refused = upload(&bob, &more, b"12345678").await;
    assert!(refused.status == 413 && text(&refused).contains("2 bytes remaining"), "{}", text(&refused));
    assert!(status_becomes(&bob, &more, "queued").await);
    cloud.clear_images().await;
    assert_eq!(cloud.state.db.read(crate::store::blobs::known).await.unwrap().len(), 1, "and they are kept once");
}

#[tokio::test]
async fn no_image_is_larger_than_operators_say_however_its_bytes_come() {
    let server = Server::start(vec![ok(&"x".repeat(101))]).await;
    let import_filter = Filter {
        allowed_ports: vec![server.port],
        private_ranges: vec!["127.0.0.1/32".parse().unwrap()],
        ..Filter::default()
    };
    let plugins = Plugins { list: vec![Plugin::Decompress], ..Plugins::default() };
    let import_methods = ImportMethod::ALL.to_vec();
    let settings =
        ImageSettings { size_limit: 100, import_filter, import_methods, plugins, ..ImageSettings::default() };
    let cloud = Cloud::with_images(&[], settings).await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    assert_eq!(upload(&alice, &id, &[1; 101]).await.status, 413);
    assert!(status_becomes(&alice, &id, "queued").await);
    assert_eq!(stage(&alice, &id, &[1; 101]).await.status, 413);
    assert!(status_becomes(&alice, &id, "queued").await);
    let uri = format!("http://127.0.0.1:{}/image", server.port);
    assert_eq!(import(&alice, &id, json!({"method": {"name": "web-download", "uri": uri}})).await.status, 202);
    cloud.work().await;
    let task = tasks_of(&alice, &id).await.remove(0);
    assert_eq!(task["message"], "The image exceeds the allowed size of 100 bytes");
    assert!(status_becomes(&alice, &id, "queued").await);
    // Small on its way in, and large when it is unpacked.
    let packed = create(&alice, json!({})).await;
    assert_eq!(stage(&alice, &packed, &gzip(&[1; 101])).await.status, 204);
    assert_eq!(import(&alice, &packed, json!({"method": {"name": "glance-direct"}})).await.status, 202);
    cloud.work().await;
    let task = tasks_of(&alice, &packed).await.remove(0);
    assert_eq!(task["message"], "The image unpacks to more than 100 bytes");
    assert!(kept(&cloud).await.is_empty());
    assert_eq!(upload(&alice, &id, &[1; 100]).await.status, 204);
    assert_eq!(show(&alice, &id).await.json()["size"], 100);
}

#[tokio::test]
async fn cve_2015_5286_bytes_are_counted_while_they_come() {
    let cloud = cloud_with(Limits { storage: 10, ..Limits::default() }).await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({})).await;
    let path = format!("/image/v2/images/{id}/file");
    // Without an announced size nobody can say no beforehand; the header is a lie.
    let lying = [OCTETS[0], ("x-openstack-image-size", "5")];
    assert_eq!(alice.send(Method::PUT, &path, &lying, vec![0; 8]).await.status, 400);
    let large = [OCTETS[0], ("x-openstack-image-size", "11")];
    assert!(status_becomes(&alice, &id, "queued").await);
    let reply = alice.send(Method::PUT, &path, &large, vec![0; 11]).await;
    assert!(reply.status == 413 && text(&reply).contains("The size of the data 11 will exceed the limit."));
    assert!(status_becomes(&alice, &id, "queued").await);
    let pieces = futures::stream::iter((0..11).map(|_| Ok(bytes::Bytes::from_static(b"x"))));
    assert_eq!(super::tests::upload_stream(&cloud, &alice, &id, pieces).await, 413);
    assert!(status_becomes(&alice, &id, "queued").await);
}

#[tokio::test]
async fn copies_and_staged_bytes_count_too() {
    let cloud = cloud_with(Limits { storage: 10, ..Limits::default() }).await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let id = active(&alice, json!({}), b"123456").await;
    let copy = json!({"method": {"name": "copy-image"}, "stores": ["slow"]});
    assert_eq!(admin.post(&format!("/image/v2/images/{id}/import"), copy).await.status, 202);
    cloud.work().await;
    let image = show(&alice, &id).await.json();
    assert_eq!((&image["stores"], &image["os_glance_failed_import"]), (&json!("fast"), &json!("slow")));
    let staged = create(&alice, json!({})).await;
    let stage = |bytes: &'static [u8]| {
        let (alice, path) = (alice.clone(), format!("/image/v2/images/{staged}/stage"));
        async move { alice.send(Method::PUT, &path, &OCTETS, bytes.to_vec()).await.status }
    };
    assert_eq!(stage(b"12345").await, 413);
    assert!(status_becomes(&alice, &staged, "queued").await);
    assert_eq!(stage(b"1234").await, 204);
    assert_eq!(upload(&alice, &create(&alice, json!({})).await, b"1").await.status, 413);
}

#[tokio::test]
async fn members_properties_and_tags_are_as_many_as_operators_say() {
    let cloud = cloud_with(Limits { members: 1, properties: 2, tags: 1, storage: 0 }).await;
    let alice = cloud.member("alice").await;
    let id = create(&alice, json!({"a": "1", "b": "2", "tags": ["t"]})).await;
    let body = json!({"name": "x", "a": "1", "b": "2", "c": "3"});
    assert_eq!(alice.post("/image/v2/images", body).await.status, 413);
    assert_eq!(patch(&alice, &id, json!([{"op": "add", "path": "/c", "value": "3"}])).await.status, 413);
    assert_eq!(alice.put(&format!("/image/v2/images/{id}/tags/u"), Value::Null).await.status, 413);
    let members = format!("/image/v2/images/{id}/members");
    assert_eq!(alice.post(&members, json!({"member": "one"})).await.status, 200);
    let reply = alice.post(&members, json!({"member": "two"})).await;
    assert_eq!(reply.status, 413);
    assert!(text(&reply).contains("Attempted: 2, Maximum: 1"));
    let cloud = cloud_with(Limits { members: -1, properties: -1, tags: -1, storage: 0 }).await;
    let alice = cloud.member("alice").await;
    let many: serde_json::Map<_, _> = (0..130).map(|number| (format!("p{number}"), json!("x"))).collect();
    create(&alice, Value::Object(many)).await;
}

const FILE: &str = "[^secret]\ncreate = admin\nread = admin\nupdate = admin\ndelete = admin\n\
                    [^billing]\ncreate = admin\nread = @\nupdate = admin\ndelete = !\n\
                    [.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n";

#[tokio::test]
async fn protected_properties_are_read_and_written_by_the_roles_that_may() {
    let protections = Protections::parse(FILE).unwrap();
    let settings = ImageSettings { protections, ..ImageSettings::default() };
    let cloud = Cloud::with_images(&[], settings).await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let id = create(&alice, json!({"free": "1"})).await;
    let refused = alice.post("/image/v2/images", json!({"name": "x", "secret_key": "1"})).await;
    assert_eq!(refused.status, 403);
    assert!(text(&refused).contains("Attribute") && text(&refused).contains("is reserved."));
    let add = |name: &str, value: &str| json!([{"op": "add", "path": format!("/{name}"), "value": value}]);
    for name in ["secret_key", "billing_code"] {
        assert_eq!(patch(&alice, &id, add(name, "1")).await.status, 403, "{name}");
        assert_eq!(patch(&admin, &id, add(name, "1")).await.status, 200, "{name}");
    }
    let (seen, whole) = (show(&alice, &id).await.json(), show(&admin, &id).await.json());
    assert_eq!((seen.get("secret_key"), &seen["billing_code"], &seen["free"]), (None, &json!("1"), &json!("1")));
    assert_eq!(whole["secret_key"], "1");
    for operation in ["replace", "remove"] {
        let change = |name: &str| json!([{"op": operation, "path": format!("/{name}"), "value": "2"}]);
        assert_eq!(patch(&alice, &id, change("billing_code")).await.status, 403, "{operation}");
        assert_eq!(patch(&alice, &id, change("secret_key")).await.status, 409, "what isn't seen isn't there");
    }
    let remove = json!([{"op": "remove", "path": "/billing_code"}]);
    assert_eq!(patch(&admin, &id, remove).await.status, 403, "nobody may");
    let named = patch(&alice, &id, json!([{"op": "replace", "path": "/name", "value": "n"}])).await;
    assert_eq!((named.status, named.json().get("secret_key")), (200, None));
    assert_eq!(show(&admin, &id).await.json()["secret_key"], "1", "what isn't seen isn't lost either");
    let count = async |client: &crate::api::testing::Client, query: &str| {
        client.get(&format!("/image/v2/images?{query}")).await.json()["images"].as_array().unwrap().len()
    };
    assert_eq!(
        (count(&alice, "secret_key=1").await, count(&admin, "secret_key=1").await),
        (0, 1),
        "nor can it be guessed"
    );
    assert_eq!(count(&alice, "billing_code=1").await, 1);
    assert_eq!(download(&alice, &id, &[]).await.status, 204);
}

/// An import asks before its bytes come, and again in the transaction that takes them.
#[tokio::test]
async fn cve_2015_5286_a_quota_that_others_filled_while_an_import_came_refuses_it() {
    let limits = Limits { storage: 10, ..Limits::default() };
    let cloud = cloud_with(limits).await;
    let alice = cloud.member("alice").await;
    let importing = ImageId::parse(&create(&alice, json!({})).await).unwrap();
    active(&alice, json!({}), b"123456").await;
    let rules = ImportRules { limits, ..ImportRules::default() };
    let fits = async |size: u64| {
        let rules = rules.clone();
        cloud.state.db.write(move |tx| import_image::bound::check(tx, &rules, importing, size)).await.is_ok()
    };
    assert!(fits(4).await && !fits(5).await);
}
