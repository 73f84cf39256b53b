//! Passcodes, logins with several methods, and receipts, through the whole router.

use crate::api::IdentitySettings;
use crate::api::identity::delegation::access_rule_tests;
use crate::api::testing::{Client, Cloud, PASSWORD, RECIPE, Reply};
use crate::cloud::totp;
use crate::store::Db;
use http::Method;
use serde_json::{Value, json};
use std::collections::HashMap;

const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const RECEIPT: &str = "openstack-auth-receipt";

/// Gives a user a secret for passcodes.
async fn with_secret(user: &Client) {
    let credential = json!({"user_id": user.user_id, "type": "totp", "blob": SECRET});
    assert_eq!(user.post("/v3/credentials", json!({ "credential": credential })).await.status, 201);
}

async fn set_options(cloud: &Cloud, user: &Client, options: Value) -> Reply {
    let body = json!({"user": {"options": options}});
    cloud.admin().await.patch(&format!("/v3/users/{}", user.user_id), body).await
}

/// A user who has to show a password and a passcode.
async fn careful(cloud: &Cloud, name: &str) -> Client {
    let user = cloud.member(name).await;
    with_secret(&user).await;
    let options = json!({"multi_factor_auth_rules": [["password", "totp"]]});
    assert_eq!(set_options(cloud, &user, options).await.status, 200);
    user
}

/// The passcode of the moment.
fn code(cloud: &Cloud) -> String {
    totp::passcode(SECRET, cloud.state.clock.now().seconds())
}

/// Logs in with the methods of `identity`, named in its order.
async fn login(cloud: &Cloud, identity: Value, receipt: Option<&str>) -> Reply {
    let methods: Vec<String> = identity.as_object().unwrap().keys().cloned().collect();
    let mut identity = identity;
    identity["methods"] = json!(methods);
    let body = json!({"auth": {"identity": identity}}).to_string().into_bytes();
    let headers: Vec<(&'static str, &str)> = receipt.map(|receipt| (RECEIPT, receipt)).into_iter().collect();
    cloud.stranger().send(Method::POST, "/v3/auth/tokens", &headers, body).await
}

fn password(user: &Client) -> Value {
    json!({"user": {"id": user.user_id, "password": PASSWORD}})
}

fn passcode(user: &Client, code: &str) -> Value {
    json!({"user": {"id": user.user_id, "passcode": code}})
}

#[tokio::test]
async fn a_passcode_logs_in_by_id_and_by_name_while_it_is_good() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    with_secret(&alice).await;
    let reply = login(&cloud, json!({"totp": passcode(&alice, &code(&cloud))}), None).await;
    assert_eq!((reply.status, &reply.json()["token"]["methods"]), (201, &json!(["totp"])));
    cloud.pass_seconds(30);
    let by_name = json!({"name": "Alice", "domain": {"name": "default"}, "passcode": code(&cloud)});
    assert_eq!(login(&cloud, json!({"totp": {"user": by_name}}), None).await.status, 201);
    cloud.pass_seconds(30);
    let late = code(&cloud);
    cloud.pass_seconds(30);
    assert_eq!(login(&cloud, json!({"totp": passcode(&alice, &late)}), None).await.status, 201, "one window back");
    cloud.pass_seconds(30);
    let too_late = code(&cloud);
    cloud.pass_seconds(60);
    assert_eq!(login(&cloud, json!({"totp": passcode(&alice, &too_late)}), None).await.status, 401);
}

#[tokio::test]
async fn a_passcode_is_good_once_also_when_two_try_at_once() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    with_secret(&alice).await;
    let earlier = code(&cloud);
    cloud.pass_seconds(30);
    let now = code(&cloud);
    let tries = (0..4).map(|_| login(&cloud, json!({"totp": passcode(&alice, &now)}), None));
    let replies = futures::future::join_all(tries).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    for used in [&now, &earlier] {
        assert_eq!(login(&cloud, json!({"totp": passcode(&alice, used)}), None).await.status, 401);
    }
}

#[tokio::test]
async fn cve_2021_38155_a_wrong_passcode_tells_nothing_and_counts_as_a_failure() {
    let settings = IdentitySettings { argon2: RECIPE, failures_per_user: 4, ..IdentitySettings::default() };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    let (alice, bob, carol) = (cloud.member("alice").await, cloud.member("bob").await, cloud.member("carol").await);
    with_secret(&alice).await;
    with_secret(&carol).await;
    cloud.admin().await.patch(&format!("/v3/users/{}", carol.user_id), json!({"user": {"enabled": false}})).await;
    let nobody = json!({"user": {"id": "nobody", "passcode": code(&cloud)}});
    let answers = [
        login(&cloud, json!({"totp": passcode(&alice, "000000")}), None).await,
        login(&cloud, json!({"totp": passcode(&alice, "")}), None).await,
        login(&cloud, json!({"totp": passcode(&bob, &code(&cloud))}), None).await,
        login(&cloud, json!({"totp": passcode(&carol, &code(&cloud))}), None).await,
        login(&cloud, json!({"totp": nobody}), None).await,
    ];
    for answer in &answers {
        assert_eq!((answer.status, &answer.bytes), (401, &answers[0].bytes));
    }
    for _ in 0..2 {
        assert_eq!(login(&cloud, json!({"totp": passcode(&alice, "000000")}), None).await.status, 401);
    }
    let right = login(&cloud, json!({"totp": passcode(&alice, &code(&cloud))}), None).await;
    assert_eq!(right.status, 429, "guessing has an end");
}

#[tokio::test]
async fn whoever_must_show_more_gets_a_receipt_and_with_it_needs_only_the_rest() {
    let cloud = Cloud::new().await;
    let alice = careful(&cloud, "alice").await;
    let first = login(&cloud, json!({"password": password(&alice)}), None).await;
    assert_eq!(first.status, 401);
    let now = cloud.state.clock.now();
    assert_eq!(
        first.json(),
        json!({
            "receipt": {
                "methods": ["password"],
                "user": {"id": alice.user_id, "name": "alice", "domain": {"id": "default", "name": "Default"}},
                "expires_at": now.plus_seconds(300).to_micros_z(),
                "issued_at": now.to_micros_z(),
            },
            "required_auth_methods": [["password", "totp"]],
        })
    );
    let receipt = first.header(RECEIPT).unwrap();
    assert_eq!(first.header("x-subject-token"), None);
    let second = login(&cloud, json!({"totp": passcode(&alice, &code(&cloud))}), Some(receipt)).await;
    assert_eq!(second.status, 201, "{}", second.json());
    assert_eq!(second.json()["token"]["methods"], json!(["totp", "password"]));

    cloud.pass_seconds(30);
    let both = json!({"password": password(&alice), "totp": passcode(&alice, &code(&cloud))});
    let at_once = login(&cloud, both, None).await;
    assert_eq!((at_once.status, &at_once.json()["token"]["methods"]), (201, &json!(["password", "totp"])));
    let token = at_once.header("x-subject-token").unwrap();
    let rescoped = login(&cloud, json!({"token": {"id": token}}), None).await;
    assert_eq!(rescoped.status, 201, "a token brings along what it was got with");
}

#[tokio::test]
async fn a_receipt_is_no_token_and_of_no_use_to_others_nor_for_long() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (careful(&cloud, "alice").await, careful(&cloud, "bob").await);
    let first = login(&cloud, json!({"password": password(&alice)}), None).await;
    let receipt = first.header(RECEIPT).unwrap().to_owned();
    assert_eq!(alice.with_token(receipt.clone()).get("/v3/auth/projects").await.status, 401);
    let stolen = login(&cloud, json!({"totp": passcode(&bob, &code(&cloud))}), Some(&receipt)).await;
    assert_eq!(stolen.status, 401);
    assert!(stolen.message().starts_with("Could not find auth receipt: "));
    cloud.pass_seconds(30);
    let mut forged = receipt.clone();
    forged.replace_range(receipt.len() - 1.., if receipt.ends_with('A') { "B" } else { "A" });
    for bad in [forged.as_str(), "", "a.b", "x", &"x".repeat(10_000), bob.token()] {
        let reply = login(&cloud, json!({"totp": passcode(&alice, &code(&cloud))}), Some(bad)).await;
        assert_eq!(reply.status, 401, "{bad}");
        cloud.pass_seconds(30);
    }
    assert_eq!(login(&cloud, json!({}), Some(&receipt)).await.status, 401, "a receipt alone proves nothing");
    cloud.pass_seconds(300);
    let late = login(&cloud, json!({"totp": passcode(&alice, &code(&cloud))}), Some(&receipt)).await;
    assert_eq!(late.status, 401);
}

#[tokio::test]
async fn a_receipt_is_taken_back_with_the_password_it_was_got_with() {
    let cloud = Cloud::new().await;
    let alice = careful(&cloud, "alice").await;
    let first = login(&cloud, json!({"password": password(&alice)}), None).await;
    let change = json!({"user": {"password": "another"}});
    cloud.admin().await.patch(&format!("/v3/users/{}", alice.user_id), change).await;
    let second = login(&cloud, json!({"totp": passcode(&alice, &code(&cloud))}), first.header(RECEIPT)).await;
    assert_eq!(second.status, 401);
}

#[tokio::test]
async fn rules_that_are_off_or_say_nothing_ask_for_nothing_and_malformed_ones_are_refused() {
    let cloud = Cloud::new().await;
    let alice = careful(&cloud, "alice").await;
    let alone = || login(&cloud, json!({"password": password(&alice)}), None);
    assert_eq!(alone().await.status, 401);
    set_options(&cloud, &alice, json!({"multi_factor_auth_enabled": false})).await;
    assert_eq!(alone().await.status, 201);
    set_options(&cloud, &alice, json!({"multi_factor_auth_enabled": true})).await;
    assert_eq!(alone().await.status, 401);
    set_options(&cloud, &alice, json!({"multi_factor_auth_rules": null})).await;
    assert_eq!(alone().await.status, 201);
    for rules in [json!("x"), json!(["password"]), json!([[]]), json!([["a", "a"]]), json!([[1]])] {
        let reply = set_options(&cloud, &alice, json!({"multi_factor_auth_rules": rules})).await;
        assert_eq!(reply.status, 400, "{rules}");
    }
    let body = json!({"user": {"name": "x", "options": {"multi_factor_auth_enabled": "yes"}}});
    assert_eq!(cloud.admin().await.post("/v3/users", body).await.status, 400);
}

#[tokio::test]
async fn two_methods_must_name_the_same_user() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    with_secret(&bob).await;
    let mixed = json!({"password": password(&alice), "totp": passcode(&bob, &code(&cloud))});
    assert_eq!(login(&cloud, mixed, None).await.status, 401);
}

#[tokio::test]
async fn cve_2012_1572_a_login_that_names_an_unknown_method_is_refused_before_anything_is_tried() {
    let settings = IdentitySettings { argon2: RECIPE, failures_per_user: 1, ..IdentitySettings::default() };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    let alice = cloud.member("alice").await;
    let wrong = json!({"user": {"id": alice.user_id, "password": "wrong"}});
    let unknown = login(&cloud, json!({"password": wrong, "retina": {}}), None).await;
    assert_eq!(
        (unknown.status, unknown.message().as_str()),
        (401, "Attempted to authenticate with an unsupported method.")
    );
    let body = json!({"auth": {"identity": {"methods": ["password", "totp"], "password": wrong}}});
    let lacking = cloud.stranger().post("/v3/auth/tokens", body).await;
    assert_eq!(lacking.status, 400);
    assert!(lacking.message().starts_with("Expecting to find totp in identity."));
    let right = login(&cloud, json!({"password": password(&alice)}), None).await;
    assert_eq!(right.status, 201, "no failure was counted");
}

#[tokio::test]
async fn an_application_credential_of_a_careful_user_is_bound_by_their_rules_too() {
    let cloud = Cloud::new().await;
    let alice = careful(&cloud, "alice").await;
    let token =
        login(&cloud, json!({"password": password(&alice), "totp": passcode(&alice, &code(&cloud))}), None).await;
    let scope = json!({"project": {"id": alice.project_id}});
    let auth = json!({"identity": {"methods": ["token"], "token": {"id": token.header("x-subject-token").unwrap()}}, "scope": scope});
    let scoped = cloud.stranger().post("/v3/auth/tokens", json!({ "auth": auth })).await;
    let alice = alice.with_token(scoped.header("x-subject-token").unwrap());
    let credential = access_rule_tests::made(&alice, json!({"name": "robot"})).await;
    assert_eq!(access_rule_tests::try_login(&cloud, &credential).await.status, 401);
    let rules = json!([["password", "totp"], ["application_credential"]]);
    set_options(&cloud, &alice, json!({"multi_factor_auth_rules": rules})).await;
    assert_eq!(access_rule_tests::try_login(&cloud, &credential).await.status, 201);
}
