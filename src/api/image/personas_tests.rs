//! Who may do what with an image: whoever may not is told so of what they see, and that there is nothing of what they
//! don't. Tokens of another scope than a project's see none.

use super::tests::{OCTETS, create};
use crate::api::testing::{Client, Cloud, Reply};
use http::Method;
use serde_json::{Value, json};

const PATCHES: &str = "application/openstack-images-v2.1-json-patch";

/// Every change that there is of an image, tried by one caller.
async fn changes(caller: &Client, image: &str, member: &str) -> Vec<(&'static str, Reply)> {
    let path = format!("/image/v2/images/{image}");
    let patch = json!([{"op": "replace", "path": "/name", "value": "theirs"}]).to_string().into_bytes();
    vec![
        ("patch", caller.send(Method::PATCH, &path, &[("content-type", PATCHES)], patch).await),
        ("upload", caller.send(Method::PUT, &format!("{path}/file"), &OCTETS, b"bytes".to_vec()).await),
        ("stage", caller.send(Method::PUT, &format!("{path}/stage"), &OCTETS, b"bytes".to_vec()).await),
        ("deactivate", caller.post(&format!("{path}/actions/deactivate"), Value::Null).await),
        ("reactivate", caller.post(&format!("{path}/actions/reactivate"), Value::Null).await),
        ("tag", caller.put(&format!("{path}/tags/t"), Value::Null).await),
        ("share", caller.post(&format!("{path}/members"), json!({"member": member})).await),
        ("delete", caller.delete(&path).await),
    ]
}

#[tokio::test]
async fn who_may_only_read_is_refused_of_what_they_see_and_finds_nothing_of_the_rest() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let reader = cloud.with_role("rita", "reader", "alice").await;
    let own = create(&alice, json!({"visibility": "shared"})).await;
    let community = create(&bob, json!({"visibility": "community"})).await;
    let private = create(&bob, json!({"visibility": "private"})).await;
    for (change, reply) in changes(&reader, &own, &bob.project_id).await {
        assert_eq!(reply.status, 403, "{change}");
    }
    for (change, reply) in changes(&reader, &community, &bob.project_id).await {
        assert_eq!(reply.status, 403, "{change}");
    }
    for (change, reply) in changes(&reader, &private, &bob.project_id).await {
        assert_eq!(reply.status, 404, "{change}");
    }
    assert_eq!(reader.get(&format!("/image/v2/images/{own}/file")).await.status, 403);
    assert_eq!(reader.get(&format!("/image/v2/images/{private}/file")).await.status, 404);
    assert_eq!(reader.post("/image/v2/images", json!({"name": "x"})).await.status, 403);
}

#[tokio::test]
async fn a_token_of_the_system_finds_no_image_and_no_namespace() {
    let cloud = Cloud::new().await;
    let (alice, system) = (cloud.member("alice").await, cloud.system_admin().await);
    let image = create(&alice, json!({"visibility": "community"})).await;
    for (change, reply) in changes(&system, &image, "somebody").await {
        assert_eq!(reply.status, 404, "{change}");
    }
    for path in ["", "/file", "/members", "/members/somebody"] {
        assert_eq!(system.get(&format!("/image/v2/images/{image}{path}")).await.status, 404, "{path}");
    }
    assert_eq!(system.get("/image/v2/images").await.status, 403);
    assert_eq!(system.post("/image/v2/images", json!({"name": "x"})).await.status, 403);
    let namespace = json!({"namespace": "Public", "visibility": "public"});
    assert_eq!(cloud.admin().await.post("/image/v2/metadefs/namespaces", namespace.clone()).await.status, 201);
    assert_eq!(system.get("/image/v2/metadefs/namespaces/Public").await.status, 404);
    assert_eq!(system.post("/image/v2/metadefs/namespaces", namespace).await.status, 403);
}
