//! Logins that cost no hash, through the whole router. A pool without a free place answers 503 to whoever needs one.

use crate::api::identity::IdentitySettings;
use crate::api::testing::{Cloud, PASSWORD, RECIPE};
use crate::store::Db;
use serde_json::json;
use std::collections::HashMap;

/// A login while no hash is to be had.
async fn without_a_hash(cloud: &Cloud, user: &str, password: &str) -> u16 {
    let _taken = cloud.state.identity.hashing.take_every_place();
    cloud.try_login(user, password, json!(null)).await.status
}

async fn login(cloud: &Cloud, user: &str, password: &str) -> u16 {
    cloud.try_login(user, password, json!(null)).await.status
}

#[tokio::test]
async fn a_repeated_login_needs_no_hash_and_gets_a_token_of_its_own() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let scope = json!({"project": {"id": alice.project_id}});
    let taken = cloud.state.identity.hashing.take_every_place();
    let again = cloud.try_login("alice", PASSWORD, scope).await;
    drop(taken);
    assert_eq!(again.status, 201);
    assert_ne!(again.header("x-subject-token"), alice.token.as_deref());
    let again = alice.with_token(again.header("x-subject-token").unwrap().to_owned());
    assert_eq!(again.get("/v3/auth/projects").await.status, 200);
    cloud.pass_seconds(60);
    assert_eq!(without_a_hash(&cloud, "alice", PASSWORD).await, 503, "a minute later it is hashed again");
}

#[tokio::test]
async fn a_changed_password_is_seen_by_the_next_login() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let path = format!("/v3/users/{}", alice.user_id);
    for (password, others) in [("other", PASSWORD), (PASSWORD, "other")] {
        admin.patch(&path, json!({"user": {"password": password}})).await;
        // Tokens of the very moment of a change are revoked with those before it.
        cloud.pass_seconds(1);
        assert_eq!(without_a_hash(&cloud, "alice", password).await, 503, "never verified as this row's");
        assert_eq!(login(&cloud, "alice", others).await, 401);
        assert_eq!(login(&cloud, "alice", password).await, 201);
        assert_eq!(without_a_hash(&cloud, "alice", password).await, 201);
    }
    admin.patch(&path, json!({"user": {"password": null}})).await;
    assert_eq!(login(&cloud, "alice", PASSWORD).await, 401);
}

#[tokio::test]
async fn cve_2021_38155_who_may_not_log_in_pays_for_a_hash_with_a_remembered_password_too() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let path = format!("/v3/users/{}", alice.user_id);
    admin.patch(&path, json!({"user": {"enabled": false}})).await;
    assert_eq!(without_a_hash(&cloud, "alice", PASSWORD).await, 503);
    assert_eq!(login(&cloud, "alice", PASSWORD).await, 401);
    admin.patch(&path, json!({"user": {"enabled": true}})).await;
    cloud.pass_seconds(1);
    assert_eq!(without_a_hash(&cloud, "alice", PASSWORD).await, 201, "the password itself is still the verified one");
    // From a user of another domain, as closing the default one would shut the administrator out.
    let domain = admin.post("/v3/domains", json!({"domain": {"name": "aside"}})).await.json();
    let domain = domain["domain"]["id"].as_str().unwrap().to_owned();
    let user = json!({"user": {"name": "dave", "domain_id": domain, "password": PASSWORD}});
    let dave = admin.post("/v3/users", user).await.json()["user"]["id"].as_str().unwrap().to_owned();
    let user = json!({"id": dave, "password": PASSWORD});
    let auth = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}});
    let by_dave = async || cloud.stranger().post("/v3/auth/tokens", auth.clone()).await.status;
    assert_eq!(by_dave().await, 201);
    admin.patch(&format!("/v3/domains/{domain}"), json!({"domain": {"enabled": false}})).await;
    assert_eq!(by_dave().await, 401);
    let _taken = cloud.state.identity.hashing.take_every_place();
    assert_eq!(by_dave().await, 503);
}

#[tokio::test]
async fn a_guess_at_a_remembered_user_costs_a_hash_and_is_counted() {
    let settings = IdentitySettings { argon2: RECIPE, failures_per_user: 3, ..IdentitySettings::default() };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    cloud.member("alice").await;
    assert_eq!(without_a_hash(&cloud, "alice", "x").await, 503);
    for _ in 0..3 {
        assert_eq!(login(&cloud, "alice", "x").await, 401);
    }
    assert_eq!(login(&cloud, "alice", PASSWORD).await, 429, "being remembered gets nobody past the bound");
}

#[tokio::test]
async fn each_login_is_hashed_where_remembering_is_switched_off() {
    let settings = IdentitySettings { argon2: RECIPE, remembered_logins: 0, ..IdentitySettings::default() };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    cloud.member("alice").await;
    assert_eq!(without_a_hash(&cloud, "alice", PASSWORD).await, 503);
    assert_eq!(login(&cloud, "alice", PASSWORD).await, 201);
}
