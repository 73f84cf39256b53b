//! Bodies that can't be right, by table: upstream's status and its words.

use crate::api::testing::{Cloud, Reply, make};
use http::Method;
use serde_json::{Value, json};

fn refused(reply: &Reply, message: &str, about: &str) {
    assert_eq!(reply.status, 400, "{about}: {}", reply.json());
    assert!(reply.message().contains(message), "{about}: {}", reply.message());
}

/// Collection, key, and the longest name.
const COLLECTIONS: [(&str, &str, usize); 5] = [
    ("users", "user", 255),
    ("groups", "group", 255),
    ("roles", "role", 255),
    ("projects", "project", 64),
    ("domains", "domain", 64),
];

/// A text that says no would be taken for a yes by whoever asks only whether it is empty.
#[tokio::test]
async fn ossa_2026_007_enabled_is_true_or_false_and_nothing_that_resembles_it() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for (collection, key) in
        [("users", "user"), ("projects", "project"), ("domains", "domain"), ("services", "service")]
    {
        let path = format!("/v3/{collection}");
        let body = |enabled: Value| match key {
            "service" => json!({"service": {"type": "shelf", "enabled": enabled}}),
            _ => json!({ key: {"name": "x", "enabled": enabled} }),
        };
        for enabled in [json!("False"), json!("false"), json!(0), json!(1), json!(""), json!([]), json!({})] {
            assert_eq!(admin.post(&path, body(enabled.clone())).await.status, 400, "{collection}: {enabled}");
        }
        let made = admin.post(&path, body(json!(false))).await;
        assert_eq!((made.status, &made.json()[key]["enabled"]), (201, &json!(false)), "{collection}");
        let one = format!("{path}/{}", made.json()[key]["id"].as_str().unwrap());
        assert_eq!(admin.patch(&one, json!({ key: {"enabled": "True"} })).await.status, 400, "{collection}");
        assert_eq!(admin.get(&one).await.json()[key]["enabled"], json!(false), "{collection}");
    }
}

#[tokio::test]
async fn names_are_refused_that_no_name_can_be() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for (collection, key, longest) in COLLECTIONS {
        let path = format!("/v3/{collection}");
        for (name, reason) in [
            (json!(""), "Value: . '' should be non-empty"),
            (json!(" \t"), "does not match '[\\\\S]+'"),
            (json!("x".repeat(longest + 1)), "is too long"),
            (json!(5), "Value: 5. 5 is not of type 'string'"),
            (json!(null), "Value: None. None is not of type 'string'"),
            (json!(["x"]), "Value: ['x']. ['x'] is not of type 'string'"),
        ] {
            let reply = admin.post(&path, json!({ key: {"name": name} })).await;
            refused(&reply, "Invalid input for field/attribute name. ", &path);
            refused(&reply, reason, &path);
        }
        let longest = "é".repeat(longest);
        let id = make(&admin, &path, key, json!({ "name": longest })).await;
        let reply = admin.patch(&format!("{path}/{id}"), json!({ key: {"name": ""} })).await;
        refused(&reply, "'' should be non-empty", &path);
        assert_eq!(admin.post(&path, json!({ key: {"name": longest.to_uppercase()} })).await.status, 409, "{path}");
    }
}

#[tokio::test]
async fn envelopes_are_refused_that_hold_something_else() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for (collection, key, _) in COLLECTIONS {
        let path = format!("/v3/{collection}");
        let needed = format!("'{key}' is a required property");
        for (body, reason) in [
            (json!({}), needed.as_str()),
            (json!({"thing": {"name": "x"}}), needed.as_str()),
            (json!({"name": "x"}), needed.as_str()),
            (json!({ key: {"name": "x"}, "more": 1 }), "Additional properties are not allowed ('more' was unexpected)"),
            (json!({ key: "x" }), "Value: x. 'x' is not of type 'object'"),
            (json!({ key: [] }), "[] is not of type 'object'"),
            (json!({ key: {} }), "'name' is a required property"),
        ] {
            refused(&admin.post(&path, body).await, reason, &path);
        }
        for body in [&b"[]"[..], b"\"x\"", b"7", b"{", b"", b"\xff\xfe", b"{\"a\": 1}{}"] {
            let headers = [("content-type", "application/json")];
            let reply = admin.send(Method::POST, &path, &headers, body.to_vec()).await;
            let told = if body.is_empty() { "" } else { "Expecting to find valid JSON in request body." };
            refused(&reply, told, &format!("{path} {body:?}"));
        }
    }
}

#[tokio::test]
async fn a_megabyte_of_nesting_is_refused_and_so_is_less() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let nested = |depth: usize, open: &str| open.repeat(depth).into_bytes();
    let headers = [("content-type", "application/json")];
    for (body, status) in [
        (nested(1 << 20, "["), 413),
        (nested(1 << 18, "{\"a\":"), 413),
        (nested(100_000, "["), 400),
        (nested(20_000, "{\"a\":"), 400),
    ] {
        for path in ["/v3/users", "/v3/projects", "/v3/auth/tokens"] {
            let reply = admin.send(Method::POST, path, &headers, body.clone()).await;
            assert_eq!(reply.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn attributes_are_refused_that_are_of_another_kind() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let with = |extra: Value| {
        let mut body = json!({"name": "x"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let id_pattern = "does not match '^[a-zA-Z0-9-]+$'";
    for (collection, key, extra, reason) in [
        ("users", "user", json!({"enabled": "False"}), "'False' is not of type 'boolean'"),
        ("users", "user", json!({"enabled": 0}), "0 is not of type 'boolean'"),
        ("users", "user", json!({"enabled": null}), "None is not of type 'boolean'"),
        ("users", "user", json!({"domain_id": "a b"}), id_pattern),
        ("users", "user", json!({"domain_id": null}), "None is not of type 'string'"),
        ("users", "user", json!({"default_project_id": 3}), "3 is not of type 'string'"),
        ("users", "user", json!({"password": 3}), "Value: ***."),
        ("users", "user", json!({"options": []}), "[] is not of type 'object'"),
        ("users", "user", json!({"options": {"immutable": true}}), "('immutable' was unexpected)"),
        ("users", "user", json!({"options": {"lock_password": "yes"}}), "'yes' is not of type 'boolean', 'null'"),
        ("users", "user", json!({"options": {"multi_factor_auth_rules": ["a"]}}), "'a' is not of type 'array'"),
        ("users", "user", json!({"options": {"multi_factor_auth_rules": [[]]}}), "[] should be non-empty"),
        ("users", "user", json!({"options": {"multi_factor_auth_rules": [["a", 1]]}}), "1 is not of type 'string'"),
        ("users", "user", json!({"options": {"multi_factor_auth_rules": [["a", "a"]]}}), "has non-unique elements"),
        ("users", "user", json!({"options": {"multi_factor_auth_rules": [["a"], ["a"]]}}), "has non-unique elements"),
        ("users", "user", json!({"federated": [{"idp_id": "acme"}]}), "Could not find Identity Provider: acme"),
        (
            "users",
            "user",
            json!({"default_project_id": "default"}),
            "User's default project ID cannot be a domain ID: default",
        ),
        ("groups", "group", json!({"domain_id": ""}), "'' should be non-empty"),
        ("groups", "group", json!({"description": 1}), "1 is not of type 'string'"),
        ("roles", "role", json!({"options": {"immutable": 1}}), "1 is not of type 'boolean', 'null'"),
        ("roles", "role", json!({"domain_id": "x".repeat(65)}), "is too long"),
        ("projects", "project", json!({"parent_id": "none"}), "Could not find project: none."),
        ("projects", "project", json!({"domain_id": "none"}), "Could not find domain: none."),
        ("projects", "project", json!({"is_domain": true, "domain_id": "default"}), "only root projects are allowed"),
        ("projects", "project", json!({"is_domain": "yes"}), "'yes' is not of type 'boolean'"),
        ("projects", "project", json!({"tags": "red"}), "'red' is not of type 'array'"),
        ("projects", "project", json!({"tags": ["a/b"]}), "'a/b' does not match '^[^,/]*$'"),
        ("projects", "project", json!({"tags": ["a", "a"]}), "['a', 'a'] has non-unique elements"),
        ("projects", "project", json!({"tags": [""]}), "'' should be non-empty"),
        ("projects", "project", json!({"tags": (0..81).map(|n| n.to_string()).collect::<Vec<_>>()}), "is too long"),
        ("projects", "project", json!({"options": {"other": true}}), "('other' was unexpected)"),
        ("domains", "domain", json!({"description": "x".repeat(256)}), "is too long"),
        ("domains", "domain", json!({"explicit_domain_id": "mine"}), "does not conform to required UUID format"),
    ] {
        let reply = admin.post(&format!("/v3/{collection}"), json!({ key: with(extra.clone()) })).await;
        refused(&reply, reason, &format!("{collection} {extra}"));
    }
}

#[tokio::test]
async fn a_change_is_refused_that_changes_nothing_or_what_never_changes() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for (collection, key, _) in COLLECTIONS {
        let id = make(&admin, &format!("/v3/{collection}"), key, json!({"name": "x"})).await;
        let path = format!("/v3/{collection}/{id}");
        if key != "project" {
            refused(&admin.patch(&path, json!({ key: {} })).await, "{} should be non-empty", &path);
        }
        refused(&admin.patch(&path, json!({ key: {"id": "other"} })).await, "Cannot change ID", &path);
        let moved = if key == "role" { "Update of `domain_id` is not allowed." } else { "Cannot change Domain ID" };
        refused(&admin.patch(&path, json!({ key: {"domain_id": "other"} })).await, moved, &path);
        let same = admin.patch(&path, json!({ key: {"id": id, "colour": "green"} })).await;
        assert_eq!((same.status, &same.json()[key]["colour"]), (200, &json!("green")), "{path}");
        let gone = admin.patch(&path, json!({ key: {"colour": null} })).await;
        assert_eq!(gone.json()[key]["colour"], json!(null));
    }
}

#[tokio::test]
async fn passwords_are_never_told_back() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let body = json!({"user": {"password": "a secret", "name": 7}});
    assert!(!admin.post("/v3/users", body).await.message().contains("a secret"));
    let body = json!({"user": {"password": "a secret"}});
    let reply = admin.post("/v3/users", body).await;
    assert_eq!(
        reply.message(),
        "Invalid input for field/attribute user. Value: {'password': '***'}. 'name' is a required property"
    );
    let path = format!("/v3/users/{}/password", admin.user_id);
    for (body, reason) in [
        (json!({}), "'original_password' is a required property"),
        (json!({"user": {"original_password": "a secret"}}), "'password' is a required property"),
        (json!({"user": {"original_password": 1, "password": "a secret"}}), "is not of type 'string'"),
        (
            json!({"user": {"original_password": "a secret", "password": "a secret", "x": 1}}),
            "Additional properties are not allowed ('x' was unexpected)",
        ),
    ] {
        let reply = cloud.stranger().post(&path, body).await;
        refused(&reply, reason, &path);
        assert!(!reply.message().contains("a secret"));
    }
}

#[tokio::test]
async fn a_password_over_four_kilobytes_is_refused_everywhere_without_work() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let long = "x".repeat(4097);
    assert_eq!(admin.post("/v3/users", json!({"user": {"name": "x", "password": long}})).await.status, 403);
    let longest = "x".repeat(4096);
    make(&admin, "/v3/users", "user", json!({"name": "x", "password": longest})).await;
    assert_eq!(cloud.try_login("x", &longest, json!("unscoped")).await.status, 201);
    assert_eq!(cloud.try_login("x", &long, json!("unscoped")).await.status, 401);
}
