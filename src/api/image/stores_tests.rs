//! Several stores: named to clients, chosen by them, left by an image; and one store, of which clients hear nothing.

use super::ImageSettings;
use super::tests::{OCTETS, active, create, download, show, text};
use crate::api::testing::Cloud;
use crate::cloud::image::Place;
use crate::ids::{BlobId, ImageId};
use crate::store::images::Data;
use crate::store::{blobs, image_copies};
use http::Method;
use serde_json::{Value, json};

async fn two_stores() -> Cloud {
    Cloud::with_images(&["fast", "slow"], ImageSettings::default()).await
}

/// The same bytes in another store, as a finished copy leaves them.
async fn copy(cloud: &Cloud, image: &str, store: &str, bytes: &'static [u8]) {
    let place = Place { store: store.to_owned(), blob: BlobId::random() };
    let stream = futures::stream::once(async move { Ok(bytes::Bytes::from_static(bytes)) });
    let wish = crate::blobs::Wish::default();
    let blobs = cloud.state.stores.of(store).unwrap();
    let stored = blobs.put(place.blob, stream, &wish, Box::new(|_| Ok(()))).await.unwrap();
    let data = Data { size: stored.size, virtual_size: None, md5: stored.md5, sha512: stored.sha512 };
    let (id, now) = (ImageId::parse(image).unwrap(), cloud.state.clock.now());
    let copied = cloud.state.db.write(move |tx| {
        image_copies::begin(tx, id, &place, now)?;
        image_copies::finish(tx, id, &place, &data)
    });
    assert!(copied.await.unwrap());
}

#[tokio::test]
async fn the_versions_say_what_is_served_and_those_about_stores_only_where_stores_have_names() {
    let ids = async |cloud: &Cloud| {
        let body = cloud.stranger().get("/image/versions").await.json();
        let one = |version: &Value| version["id"].as_str().unwrap().trim_start_matches("v2.").to_owned();
        let versions = body["versions"].as_array().unwrap().clone();
        let current: Vec<_> = versions.iter().filter(|version| version["status"] == "CURRENT").map(one).collect();
        assert_eq!(current, ["18"]);
        versions.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(&Cloud::new().await).await, "18 16 15 14 9 7 6 5 4 3 2 1 0");
    let named = Cloud::with_images(&["fast", "slow"], ImageSettings::default()).await;
    assert_eq!(ids(&named).await, "18 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0");
}

#[tokio::test]
async fn stores_are_listed_by_name_and_only_administrators_hear_more() {
    let cloud = two_stores().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let listed = json!({"stores": [{"id": "fast", "default": "true"}, {"id": "slow"}]});
    assert_eq!(alice.get("/image/v2/info/stores").await.json(), listed);
    assert_eq!(alice.get("/image/v2/info/stores/detail").await.status, 403);
    let detailed = admin.get("/image/v2/info/stores/detail").await.json();
    assert_eq!(
        detailed["stores"][0],
        json!({"id": "fast", "default": "true", "type": "memory", "properties": {}, "weight": 0})
    );
    let reply = alice.post("/image/v2/images", json!({"name": "x"})).await;
    assert_eq!(reply.header("openstack-image-store-ids"), Some("fast,slow"));
    assert_eq!(reply.json().get("stores"), None, "it has no bytes yet");
}

#[tokio::test]
async fn where_one_store_is_set_clients_hear_of_none() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for path in ["/image/v2/info/stores", "/image/v2/info/stores/detail"] {
        let reply = admin.get(path).await;
        assert_eq!(reply.status, 404);
        assert!(text(&reply).contains("Multi backend is not supported at this site."));
    }
    let reply = admin.post("/image/v2/images", json!({"name": "x"})).await;
    assert_eq!(reply.header("openstack-image-store-ids"), None);
    let id = active(&admin, json!({}), b"x").await;
    assert_eq!(show(&admin, &id).await.json().get("stores"), None);
    assert_eq!(admin.delete(&format!("/image/v2/stores/default/{id}")).await.status, 404);
    let reply = admin.send(Method::GET, &format!("/image/v2/images/{id}/file?prefer=default"), &[], vec![]).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn an_upload_goes_to_the_store_that_its_header_names() {
    let cloud = two_stores().await;
    let alice = cloud.member("alice").await;
    for (header, expected) in [(None, "fast"), (Some("slow"), "slow")] {
        let id = create(&alice, json!({})).await;
        let mut headers = OCTETS.to_vec();
        headers.extend(header.map(|store| ("x-image-meta-store", store)));
        let path = format!("/image/v2/images/{id}/file");
        assert_eq!(alice.send(Method::PUT, &path, &headers, b"bytes".to_vec()).await.status, 204);
        let image = show(&alice, &id).await.json();
        assert_eq!(image["stores"], expected);
        for hidden in ["locations", "direct_url"] {
            assert_eq!(image.get(hidden), None, "where bytes are is nobody's business");
        }
        assert_eq!(download(&alice, &id, &[]).await.bytes, b"bytes");
        let known = cloud.state.db.read(blobs::known).await.unwrap();
        assert!(known.iter().any(|place| place.store == expected));
    }
    let id = create(&alice, json!({})).await;
    let headers = [OCTETS[0], ("x-image-meta-store", "tape")];
    let reply = alice.send(Method::PUT, &format!("/image/v2/images/{id}/file"), &headers, b"x".to_vec()).await;
    assert_eq!(reply.status, 400);
    assert!(text(&reply).contains("tape"));
    assert_eq!(show(&alice, &id).await.json()["status"], "queued");
}

#[tokio::test]
async fn bytes_leave_one_store_and_are_still_given_out_of_the_other() {
    let cloud = two_stores().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let id = active(&alice, json!({"protected": true}), b"bytes").await;
    let from = |store: &str| format!("/image/v2/stores/{store}/{id}");
    let only = admin.delete(&from("fast")).await;
    assert_eq!(only.status, 403);
    assert!(text(&only).contains("Cannot delete image data from the only store containing it."));
    copy(&cloud, &id, "slow", b"bytes").await;
    assert_eq!(show(&alice, &id).await.json()["stores"], "fast,slow");
    assert_eq!(alice.delete(&from("fast")).await.status, 403, "an owner may not");
    assert_eq!(admin.delete(&from("tape")).await.status, 409);
    assert_eq!(admin.delete(&format!("/image/v2/stores/fast/{}", ImageId::random())).await.status, 404);
    assert_eq!(admin.delete(&from("fast")).await.status, 204);
    cloud.clear_images().await;
    assert_eq!(show(&alice, &id).await.json()["stores"], "slow");
    assert_eq!(download(&alice, &id, &[]).await.bytes, b"bytes");
    let known: Vec<_> = cloud.state.db.read(blobs::known).await.unwrap();
    assert_eq!(known.iter().map(|place| place.store.as_str()).collect::<Vec<_>>(), ["slow"]);
}

#[tokio::test]
async fn a_download_prefers_a_store_and_falls_back_to_another() {
    let cloud = two_stores().await;
    let alice = cloud.member("alice").await;
    let id = active(&alice, json!({}), b"bytes").await;
    copy(&cloud, &id, "slow", b"bytes").await;
    let known = cloud.state.db.read(blobs::known).await.unwrap();
    let fast = known.iter().find(|place| place.store == "fast").unwrap().blob;
    cloud.state.stores.of("fast").unwrap().delete(fast).await.unwrap();
    for (query, status) in [("", 200), ("?prefer=slow", 200), ("?prefer=fast", 200), ("?prefer=slow,tape", 400)] {
        let reply = alice.get(&format!("/image/v2/images/{id}/file{query}")).await;
        assert_eq!(reply.status, status, "{query}");
        assert!(status != 200 || reply.bytes == b"bytes");
    }
}

#[tokio::test]
async fn deleting_an_image_takes_its_bytes_out_of_every_store() {
    let cloud = two_stores().await;
    let alice = cloud.member("alice").await;
    let id = active(&alice, json!({}), b"bytes").await;
    copy(&cloud, &id, "slow", b"bytes").await;
    let known = cloud.state.db.read(blobs::known).await.unwrap();
    assert_eq!(known.len(), 2);
    assert_eq!(alice.delete(&format!("/image/v2/images/{id}")).await.status, 204);
    cloud.clear_images().await;
    for place in known {
        assert_eq!(cloud.state.stores.of(&place.store).unwrap().size(place.blob).await.unwrap(), None);
    }
    assert!(cloud.state.db.read(blobs::known).await.unwrap().is_empty());
    let list = alice.get("/image/v2/images").await.json();
    assert_eq!(list["images"], Value::Array(vec![]));
}
