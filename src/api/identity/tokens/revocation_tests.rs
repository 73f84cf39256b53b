//! What is taken back, as others hear of it.

use crate::api::testing::{Cloud, PASSWORD};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn events_name_what_was_taken_back_to_admins_and_services() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let nova = cloud.with_role("nova", "service", "services").await;
    let path = "/v3/OS-REVOKE/events";
    assert_eq!(admin.get(path).await.json()["events"], json!([]));
    let other = cloud.member("alice").await;
    other.send(Method::DELETE, "/v3/auth/tokens?cascade=false", &[("x-subject-token", other.token())], vec![]).await;
    cloud.pass_seconds(10);
    let before = cloud.state.clock.now().to_micros_z();
    assert_eq!(alice.delete(&format!("/v3/users/{}/tokens", alice.user_id)).await.status, 204);
    for client in [&admin, &nova] {
        let all = client.get(path).await.json();
        assert_eq!(all["links"]["self"], "http://cloud.test/identity/v3/OS-REVOKE/events");
        let events = all["events"].as_array().unwrap();
        assert!(events[0]["audit_id"].is_string() && events[0]["issued_before"].is_string());
        assert_eq!((&events[1]["user_id"], &events[1]["revoked_at"]), (&json!(alice.user_id), &json!(before)));
        let since = client.get(&format!("{path}?since={before}")).await.json();
        assert_eq!(since["events"].as_array().unwrap().len(), 1);
        assert_eq!(client.get(&format!("{path}?since=yesterday")).await.status, 400);
    }
    assert_eq!(cloud.member("bob").await.get(path).await.status, 403);
}

#[tokio::test]
async fn a_user_takes_back_all_their_tokens_and_nobody_elses() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let again = cloud.member("alice").await;
    assert_eq!(bob.delete(&format!("/v3/users/{}/tokens", alice.user_id)).await.status, 403);
    assert_eq!(alice.delete(&format!("/v3/users/{}/tokens", alice.user_id)).await.status, 204);
    for client in [&alice, &again] {
        assert_eq!(client.get("/v3/auth/projects").await.status, 401);
    }
    assert_eq!(bob.get("/v3/auth/projects").await.status, 200);
    cloud.pass_seconds(1);
    assert_eq!(cloud.try_login("alice", PASSWORD, json!(null)).await.status, 201);
}
