//! Lists through the whole router: every filter of every collection, comparators, pages, and what others may not see.

use super::IdentitySettings;
use crate::api::testing::{Client, Cloud, RECIPE, Reply, make};
use crate::store::Db;
use serde_json::json;
use std::collections::HashMap;

fn names(reply: &Reply, key: &str) -> Vec<String> {
    let all = reply.json()[key].as_array().unwrap_or_else(|| panic!("{}", reply.json())).clone();
    let mut names: Vec<String> = all.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}

/// Each query of a collection, and the names it finds.
async fn each_finds(client: &Client, key: &str, cases: &[(&str, &[&str])]) {
    for (query, expected) in cases {
        let reply = client.get(&format!("/v3/{key}?{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.json());
        assert_eq!(names(&reply, key), *expected, "{key}?{query}");
    }
}

#[tokio::test]
async fn users_are_found_by_every_filter() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let other = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    make(&admin, "/v3/users", "user", json!({"name": "Carol", "domain_id": other})).await;
    make(&admin, "/v3/users", "user", json!({"name": "carlos", "enabled": false})).await;
    let in_other = format!("domain_id={other}");
    let cases: &[(&str, &[&str])] = &[
        ("name=carol", &["Carol"]),
        ("name__contains=aro", &["Carol"]),
        ("name__contains=car", &["carlos"]),
        ("name__icontains=car", &["Carol", "carlos"]),
        ("name__startswith=Ca", &["Carol"]),
        ("name__istartswith=CA", &["Carol", "carlos"]),
        ("name__endswith=los", &["carlos"]),
        ("name__iendswith=OL", &["Carol"]),
        ("name__icontains=%25", &[]),
        ("name__like=x", &["Carol", "admin", "carlos", "demo"]),
        ("shoe_size=43", &["Carol", "admin", "carlos", "demo"]),
        ("enabled=false", &["carlos"]),
        ("enabled=0", &["carlos"]),
        ("enabled", &["Carol", "admin", "demo"]),
        (&in_other, &["Carol"]),
        ("domain_id=default&name__icontains=car", &["carlos"]),
        ("name=carol&name=carlos", &[]),
        ("unique_id=x", &[]),
    ];
    each_finds(&admin, "users", cases).await;
}

#[tokio::test]
async fn projects_are_found_by_every_filter_and_by_their_tags() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let top = make(&admin, "/v3/projects", "project", json!({"name": "Top", "tags": ["red", "blue"]})).await;
    let body = json!({"name": "leaf", "parent_id": top, "tags": ["red"], "enabled": false});
    make(&admin, "/v3/projects", "project", body).await;
    let below = format!("parent_id={top}");
    let cases: &[(&str, &[&str])] = &[
        ("name=top", &["Top"]),
        ("name__icontains=E", &["demo", "leaf"]),
        (&below, &["leaf"]),
        ("parent_id=default", &["Top", "admin", "demo"]),
        ("enabled=False", &["leaf"]),
        ("is_domain=true", &["Default"]),
        ("is_domain=0", &["Top", "admin", "demo", "leaf"]),
        ("domain_id=default&enabled=yes", &["Top", "admin", "demo"]),
        ("tags=red,blue", &["Top"]),
        ("tags=red", &["Top", "leaf"]),
        ("tags-any=blue,green", &["Top"]),
        ("not-tags=red,blue", &["admin", "demo", "leaf"]),
        ("not-tags-any=red,blue", &["admin", "demo"]),
        ("tags=red&not-tags-any=blue", &["leaf"]),
        ("tags=RED", &[]),
        ("tags=", &[]),
    ];
    each_finds(&admin, "projects", cases).await;
    let shown = admin.get("/v3/projects?name=top").await.json();
    assert_eq!(shown["projects"][0]["tags"], json!(["blue", "red"]));
}

#[tokio::test]
async fn a_domains_own_list_limit_bounds_its_users_and_groups_and_no_others() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let other = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    for name in ["a", "b", "c"] {
        make(&admin, "/v3/users", "user", json!({"name": name, "domain_id": other})).await;
        make(&admin, "/v3/groups", "group", json!({"name": name, "domain_id": other})).await;
    }
    let config = json!({"config": {"identity": {"list_limit": 2}}});
    assert_eq!(admin.put(&format!("/v3/domains/{other}/config"), config).await.status, 201);
    for kind in ["users", "groups"] {
        let seen = async |query: &str| {
            let reply = admin.get(&format!("/v3/{kind}{query}")).await.json();
            (reply[kind].as_array().map_or(0, Vec::len), reply["truncated"] == json!(true))
        };
        assert_eq!(seen(&format!("?domain_id={other}")).await, (2, true), "{kind}");
        assert_eq!(seen(&format!("?domain_id={other}&limit=3")).await, (3, false), "what is asked counts more");
        assert!(seen("").await.0 >= 3, "{kind}");
    }
}

#[tokio::test]
async fn groups_roles_and_domains_are_found_by_every_filter() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let other = make(&admin, "/v3/domains", "domain", json!({"name": "Other", "enabled": false})).await;
    make(&admin, "/v3/groups", "group", json!({"name": "Ops", "domain_id": other})).await;
    make(&admin, "/v3/groups", "group", json!({"name": "ops"})).await;
    make(&admin, "/v3/roles", "role", json!({"name": "auditor", "domain_id": other})).await;
    let in_other = format!("domain_id={other}");
    each_finds(
        &admin,
        "groups",
        &[("name=OPS", &["Ops", "ops"]), (&in_other, &["Ops"]), ("name__startswith=o", &["ops"])],
    )
    .await;
    each_finds(
        &admin,
        "roles",
        &[("name__endswith=er", &["manager", "member", "reader"]), (&in_other, &["auditor"]), ("name=auditor", &[])],
    )
    .await;
    each_finds(
        &admin,
        "domains",
        &[("enabled=false", &["Other"]), ("name=default", &["Default"]), ("name__icontains=TH", &["Other"])],
    )
    .await;
}

#[tokio::test]
async fn members_of_a_group_are_filtered_and_paged() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let group = make(&admin, "/v3/groups", "group", json!({"name": "ops"})).await;
    for (name, enabled) in [("ann", true), ("ben", false), ("cid", true)] {
        let id = make(&admin, "/v3/users", "user", json!({"name": name, "enabled": enabled})).await;
        assert_eq!(admin.put(&format!("/v3/groups/{group}/users/{id}"), json!(null)).await.status, 204);
        let own = admin.get(&format!("/v3/users/{id}/groups?name=OPS")).await;
        assert_eq!(names(&own, "groups"), ["ops"]);
        assert!(names(&admin.get(&format!("/v3/users/{id}/groups?name=dev")).await, "groups").is_empty());
    }
    let path = format!("/v3/groups/{group}/users");
    assert_eq!(names(&admin.get(&path).await, "users"), ["ann", "ben", "cid"]);
    assert_eq!(names(&admin.get(&format!("{path}?enabled=true")).await, "users"), ["ann", "cid"]);
    assert_eq!(names(&admin.get(&format!("{path}?name__contains=e")).await, "users"), ["ben"]);
    let first = admin.get(&format!("{path}?limit=2")).await.json();
    assert_eq!((first["users"].as_array().unwrap().len(), &first["truncated"]), (2, &json!(true)));
}

#[tokio::test]
async fn pages_lead_to_one_another_by_their_links() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for number in 0..5 {
        make(&admin, "/v3/users", "user", json!({"name": format!("user-{number}")})).await;
    }
    let mut seen = Vec::new();
    let mut path = "/v3/users?name__startswith=user-&limit=2".to_owned();
    let mut sizes = Vec::new();
    loop {
        let reply = admin.get(&path).await;
        let body = reply.json();
        assert_eq!(body["links"]["self"], format!("http://cloud.test/identity{path}"));
        assert_eq!(body["links"]["previous"], json!(null));
        seen.extend(names(&reply, "users"));
        sizes.push(body["users"].as_array().unwrap().len());
        let Some(next) = body["links"]["next"].as_str() else {
            assert_eq!(body["truncated"], json!(null));
            break;
        };
        assert_eq!(body["truncated"], json!(true));
        path = next.strip_prefix("http://cloud.test/identity").unwrap().to_owned();
    }
    seen.sort();
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(seen, ["user-0", "user-1", "user-2", "user-3", "user-4"]);
    let lost = admin.get("/v3/users?marker=none").await;
    assert_eq!((lost.status, lost.message().as_str()), (404, "Marker none could not be found."));
    assert_eq!(admin.get("/v3/users?limit=many").await.status, 400);
    assert_eq!(admin.get("/v3/users?limit=0").await.json()["users"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn no_list_is_longer_than_the_operator_allows_and_what_is_left_out_is_said() {
    let settings = IdentitySettings { argon2: RECIPE, list_limit: 2, max_db_limit: 3, ..IdentitySettings::default() };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    let admin = cloud.admin().await;
    for (query, length) in [("", 2), ("?limit=1", 1), ("?limit=100", 3)] {
        let body = admin.get(&format!("/v3/roles{query}")).await.json();
        assert_eq!((body["roles"].as_array().unwrap().len(), &body["truncated"]), (length, &json!(true)));
        assert!(body["links"]["next"].is_string());
    }
}

#[tokio::test]
async fn a_filter_that_can_be_no_value_is_refused() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let long = format!("users?name={}", "x".repeat(256));
    for (query, reason) in [
        ("users?enabled=maybe", "'maybe' is not one of [True, 'True', 'TRUE', 'true', False,"),
        ("projects?is_domain=2", "'2' is not one of"),
        ("users?name=", "'' should be non-empty"),
        ("groups?name=%20", "' ' does not match '[\\\\S]+'"),
        ("users?domain_id=a%20b", "'a b' does not match '^[a-zA-Z0-9-]+$'"),
        (&long, "is too long"),
    ] {
        let reply = admin.get(&format!("/v3/{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.message().starts_with("Invalid input for field/attribute "), "{}", reply.message());
        assert!(reply.message().contains(reason), "{}", reply.message());
    }
}

#[tokio::test]
async fn whoever_is_of_a_domain_sees_that_domain_only_whatever_they_ask_for() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let other = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    for role in ["admin", "reader"] {
        let name = format!("{role}-of-other");
        let body = json!({"name": name, "password": "pw", "domain_id": other});
        let user = make(&admin, "/v3/users", "user", body).await;
        let roles = admin.get(&format!("/v3/roles?name={role}")).await.json();
        let id = roles["roles"][0]["id"].as_str().unwrap();
        admin.put(&format!("/v3/domains/{other}/users/{user}/roles/{id}"), json!(null)).await;
        let identity = json!({"methods": ["password"], "password": {"user": {"id": user, "password": "pw"}}});
        let auth = json!({"auth": {"identity": identity, "scope": {"domain": {"id": other}}}});
        let login = cloud.stranger().post("/v3/auth/tokens", auth).await;
        let client = admin.with_token(login.header("x-subject-token").unwrap());
        for (path, key) in [
            ("/v3/users?domain_id=default", "users"),
            ("/v3/groups?domain_id=default", "groups"),
            ("/v3/projects?domain_id=default", "projects"),
            ("/v3/domains?name=default", "domains"),
            ("/v3/role_assignments?scope.system=all", "role_assignments"),
            ("/v3/role_assignments?scope.domain.id=default", "role_assignments"),
        ] {
            let reply = client.get(path).await;
            assert_eq!(reply.json()[key], json!([]), "{role} {path}: {}", reply.json());
        }
        assert!(names(&client.get("/v3/users").await, "users").contains(&name));
        assert_eq!(names(&client.get("/v3/domains").await, "domains"), ["Other"]);
    }
}

#[tokio::test]
async fn names_are_any_text_and_found_whatever_their_case_but_not_whatever_their_accents() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    // Upstream does not normalise: a letter and its accent, and both in one, are two names, and so they are here.
    for name in ["Émile", "emile", "e\u{301}mile", "東京", "🦀", "Ωmega", "Straße", "strasse", "  padded  "] {
        make(&admin, "/v3/groups", "group", json!({ "name": name })).await;
    }
    for (query, expected) in [
        ("name=ÉMILE", vec!["Émile"]),
        ("name=Emile", vec!["emile"]),
        ("name=E%CC%81MILE", vec!["e\u{301}mile"]),
        ("name=東京", vec!["東京"]),
        ("name__icontains=ΩM", vec!["Ωmega"]),
        ("name=STRASSE", vec!["strasse"]),
        ("name=padded", vec!["padded"]),
        ("name=🦀", vec!["🦀"]),
    ] {
        assert_eq!(names(&admin.get(&format!("/v3/groups?{query}")).await, "groups"), expected, "{query}");
    }
    for taken in ["éMILE", "ωMEGA", " Padded"] {
        let reply = admin.post("/v3/groups", json!({"group": {"name": taken}})).await;
        assert_eq!(reply.status, 409, "{taken}");
    }
}
