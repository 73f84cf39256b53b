//! What services that verify tokens by themselves are told, and that Gapura goes by none of it.

use crate::api::testing::{Client, Cloud};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

async fn feed(admin: &Client) -> Value {
    let reply = admin.get("/identity/revocations.json").await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    reply.json()
}

/// Does an entry of the feed's changes concern a token?
fn is_stale(feed: &Value, token: &str) -> bool {
    let claims = claims(token);
    let holds = |kind: &str, subject: &Value| match kind {
        "user" => claims["sub"] == *subject,
        "project" => claims["openstack_project_id"] == *subject,
        "domain" => claims["gapura_domains"].as_array().unwrap().contains(subject),
        "role" => claims["gapura_roles"].as_array().unwrap().contains(subject),
        _ => false,
    };
    feed["changes"].as_array().unwrap().iter().any(|change| {
        claims["gapura_epoch"].as_i64() < change["epoch"].as_i64()
            && change.as_object().unwrap().iter().any(|(kind, subject)| holds(kind, subject))
    })
}

async fn role(admin: &Client, name: &str) -> String {
    admin.get(&format!("/v3/roles?name={name}")).await.json()["roles"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_public_keys_can_be_had_by_anybody_and_name_the_one_that_signed() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let reply = cloud.stranger().get("/identity/jwks.json").await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("public, max-age=300")));
    let header = URL_SAFE_NO_PAD.decode(alice.token().split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let keys = reply.json()["keys"].as_array().unwrap().clone();
    assert!(keys.iter().any(|key| key["kid"] == header["kid"] && key["alg"] == "ES256"), "{header}");
}

#[tokio::test]
async fn a_token_tells_the_roles_at_issue_and_gapura_does_not_go_by_them() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    assert_eq!(claims(alice.token())["gapura_roles"], json!(["member", "reader"]));
    assert_eq!(claims(alice.token())["gapura_domains"], json!(["default", "default"]));
    let on_alices = |name: &str| format!("/v3/projects/{}/users/{}/roles/{name}", alice.project_id, alice.user_id);
    admin.put(&on_alices(&role(&admin, "reader").await), json!(null)).await;
    assert_eq!(alice.post("/network/v2.0/networks", json!({"network": {}})).await.status, 201);
    assert_eq!(admin.delete(&on_alices(&role(&admin, "member").await)).await.status, 204);
    assert!(claims(alice.token())["gapura_roles"].as_array().unwrap().contains(&json!("member")), "it still says so");
    assert_eq!(alice.post("/network/v2.0/networks", json!({"network": {}})).await.status, 403);
    assert_eq!(alice.get("/network/v2.0/networks").await.status, 200, "a reader is left");
    assert!(is_stale(&feed(&admin).await, alice.token()));
}

#[tokio::test]
async fn the_feed_is_for_services_and_states_its_interval() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    assert_eq!(cloud.stranger().get("/identity/revocations.json").await.status, 401);
    assert_eq!(alice.get("/identity/revocations.json").await.status, 403);
    let service = cloud.with_role("glance", "service", "service").await;
    assert_eq!(feed(&service).await["interval_seconds"], 10);
    assert_eq!(feed(&admin).await["changes"], json!([]));
}

#[tokio::test]
async fn each_way_to_lose_a_role_or_a_place_is_told_before_and_not_after_a_new_login() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let member = role(&admin, "member").await;
    let make = |path: &'static str, key: &'static str, body: Value| {
        let admin = admin.clone();
        async move {
            let reply = admin.post(path, json!({ key: body })).await;
            assert_eq!(reply.status, 201, "{}", reply.json());
            reply.json()[key]["id"].as_str().unwrap().to_owned()
        }
    };
    let group = make("/v3/groups", "group", json!({"name": "ops"})).await;
    let auditor = make("/v3/roles", "role", json!({"name": "auditor"})).await;
    let other = make("/v3/domains", "domain", json!({"name": "Other"})).await;
    let shared = make("/v3/projects", "project", json!({"name": "shared", "domain_id": other})).await;
    let put = |path: String| {
        let admin = admin.clone();
        async move { assert!(admin.put(&path, json!(null)).await.status < 300) }
    };
    let scope = json!({"project": {"id": shared}});
    let names = ["u0", "u1", "u2", "u3", "u4", "u5"];
    let mut ids = Vec::new();
    for name in names {
        let id = make("/v3/users", "user", json!({"name": name, "password": "pw"})).await;
        put(format!("/v3/projects/{shared}/users/{id}/roles/{auditor}")).await;
        ids.push(id);
    }
    put(format!("/v3/projects/{shared}/users/{}/roles/{member}", ids[0])).await;
    put(format!("/v3/projects/{shared}/groups/{group}/roles/{member}")).await;
    put(format!("/v3/groups/{group}/users/{}", ids[1])).await;
    put(format!("/v3/groups/{group}/users/{}", ids[2])).await;
    let renamed = json!({"role": {"name": "watcher"}});
    let off = |key: &str| json!({ key: {"enabled": false} });
    let losses: Vec<(usize, &str, String, Value)> = vec![
        (0, "DELETE", format!("/v3/projects/{shared}/users/{}/roles/{member}", ids[0]), json!(null)),
        (1, "DELETE", format!("/v3/groups/{group}/users/{}", ids[1]), json!(null)),
        (2, "DELETE", format!("/v3/groups/{group}"), json!(null)),
        (3, "PATCH", format!("/v3/roles/{auditor}"), renamed),
        (4, "PATCH", format!("/v3/users/{}", ids[4]), off("user")),
        (5, "PATCH", format!("/v3/domains/{other}"), off("domain")),
    ];
    for (who, method, path, body) in losses {
        let before = cloud.login(names[who], "pw", scope.clone()).await;
        assert!(!is_stale(&feed(&admin).await, before.token()), "{path}");
        let reply = if method == "DELETE" { admin.delete(&path).await } else { admin.patch(&path, body).await };
        assert!(reply.status < 300, "{path}: {}", reply.json());
        assert!(is_stale(&feed(&admin).await, before.token()), "{path}");
        if who < 4 {
            // What is got in the same moment as a loss is taken back with what was got before.
            cloud.pass_seconds(1);
            let after = cloud.login(names[who], "pw", scope.clone()).await;
            assert!(!is_stale(&feed(&admin).await, after.token()), "{path}: a token got since says what holds");
        }
    }
}

#[tokio::test]
async fn a_revoked_token_its_chain_and_a_users_changed_password_are_told_until_no_token_can_be_alive() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let bob = cloud.member("bob").await;
    let headers = [("x-subject-token", alice.token())];
    assert_eq!(admin.send(http::Method::DELETE, "/v3/auth/tokens", &headers, Vec::new()).await.status, 204);
    let change = json!({"user": {"original_password": "secret", "password": "other"}});
    assert_eq!(bob.post(&format!("/v3/users/{}/password", bob.user_id), change).await.status, 204);
    let off = json!({"project": {"enabled": false}});
    admin.patch(&format!("/v3/projects/{}", bob.project_id), off).await;
    let audit_id = claims(alice.token())["openstack_audit_ids"][0].clone();
    let told = feed(&admin).await;
    let tokens = told["tokens"].as_array().unwrap();
    for (name, id) in [
        ("audit_id", &audit_id),
        ("chain_id", &audit_id),
        ("user_id", &json!(bob.user_id)),
        ("project_id", &json!(bob.project_id)),
    ] {
        let entry = tokens.iter().find(|entry| entry[name] == *id).unwrap_or_else(|| panic!("{name}: {told}"));
        assert!(entry["issued_before_us"].as_i64() >= claims(alice.token())["gapura_issued_us"].as_i64());
    }
    assert!(!told["changes"].as_array().unwrap().is_empty());

    cloud.pass_seconds(3601);
    let later = cloud.admin().await;
    feed(&later).await;
    let told = feed(&later).await;
    assert_eq!((&told["tokens"], &told["changes"]), (&json!([]), &json!([])), "old enough to be of no use");
}

#[tokio::test]
async fn what_was_delegated_tells_no_roles_so_that_it_is_always_asked_about() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let path = format!("/v3/users/{}/application_credentials", alice.user_id);
    let new = json!({"application_credential": {"name": "robot", "secret": "s3cret"}});
    let made = alice.post(&path, new).await.json();
    let credential = json!({"id": made["application_credential"]["id"], "secret": "s3cret"});
    let identity = json!({"methods": ["application_credential"], "application_credential": credential});
    let login = cloud.stranger().post("/v3/auth/tokens", json!({"auth": {"identity": identity}})).await;
    assert_eq!(login.status, 201, "{}", login.json());
    let claims = claims(login.header("x-subject-token").unwrap());
    assert_eq!(claims.get("gapura_roles"), None);
}
