//! What is kept of a login holds for no login after a change.

use crate::api::testing::{Client, Cloud, PASSWORD, Reply, role_id};
use serde_json::{Value, json};

/// Asks for a token of a project with a token, twice: the first answer is found, the second may be what was kept of it.
async fn rescoped(client: &Client, project: &str) -> Reply {
    let identity = json!({"methods": ["token"], "token": {"id": client.token()}});
    let body = json!({"auth": {"identity": identity, "scope": {"project": {"id": project}}}});
    let first = client.post("/v3/auth/tokens", body.clone()).await;
    let second = client.post("/v3/auth/tokens", body).await;
    assert_eq!(first.status, second.status);
    for said in ["user", "project", "roles", "catalog"] {
        assert_eq!(first.json()["token"][said], second.json()["token"][said]);
    }
    second
}

fn roles(reply: &Reply) -> Vec<String> {
    let roles = reply.json()["token"]["roles"].as_array().cloned().unwrap_or_default();
    roles.iter().filter_map(|role| role["name"].as_str()).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_login_that_was_asked_for_before_hears_of_every_change_at_once() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let project = alice.project_id.clone();
    let set_project = async |change: Value| {
        let reply = admin.patch(&format!("/v3/projects/{project}"), json!({ "project": change })).await;
        assert_eq!(reply.status, 200, "{}", reply.json());
    };
    let set_user = async |change: Value| {
        let reply = admin.patch(&format!("/v3/users/{}", alice.user_id), json!({ "user": change })).await;
        assert_eq!(reply.status, 200, "{}", reply.json());
    };
    assert_eq!(roles(&rescoped(&alice, &project).await), ["member", "reader"]);

    let grant = format!("/v3/projects/{project}/users/{}/roles/{}", alice.user_id, role_id(&admin, "manager").await);
    assert_eq!(admin.put(&grant, Value::Null).await.status, 204);
    assert_eq!(roles(&rescoped(&alice, &project).await), ["manager", "member", "reader"]);
    assert_eq!(admin.delete(&grant).await.status, 204);
    assert_eq!(roles(&rescoped(&alice, &project).await), ["member", "reader"]);

    set_project(json!({"name": "renamed"})).await;
    assert_eq!(rescoped(&alice, &project).await.json()["token"]["project"]["name"], "renamed");
    set_user(json!({"name": "alicia"})).await;
    assert_eq!(rescoped(&alice, &project).await.json()["token"]["user"]["name"], "alicia");

    set_user(json!({"options": {"multi_factor_auth_rules": [["totp"]]}})).await;
    assert_eq!(rescoped(&alice, &project).await.status, 401, "the methods no longer do");
    set_user(json!({"options": {"multi_factor_auth_enabled": false}})).await;
    assert_eq!(rescoped(&alice, &project).await.status, 201);

    set_project(json!({"enabled": false})).await;
    assert_eq!(rescoped(&cloud.login("alicia", PASSWORD, json!("unscoped")).await, &project).await.status, 401);
    set_project(json!({"enabled": true})).await;
    // What took tokens back took back those of the same instant.
    cloud.pass_seconds(1);
    let alice = cloud.login("alicia", PASSWORD, json!("unscoped")).await;
    assert_eq!(rescoped(&alice, &project).await.status, 201);

    let member = role_id(&admin, "member").await;
    let grant = format!("/v3/projects/{project}/users/{}/roles/{member}", alice.user_id);
    assert_eq!(admin.delete(&grant).await.status, 204);
    assert_eq!(rescoped(&alice, &project).await.status, 401, "no role is left");
}
