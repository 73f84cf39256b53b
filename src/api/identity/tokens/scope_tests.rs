//! What a token's scope decides: which rules it is for, what its lists hold, and what is told of what is missing.

use crate::api::testing::{Client, Cloud, Reply, make, role_id};
use serde_json::json;

fn names(reply: &Reply, key: &str) -> Vec<String> {
    let all = reply.json()[key].as_array().unwrap_or_else(|| panic!("{}", reply.json())).clone();
    all.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// A domain, and a user with a role on it, who is logged in there.
async fn in_domain(cloud: &Cloud, admin: &Client, name: &str, role: &str) -> (String, Client) {
    let domain = make(admin, "/v3/domains", "domain", json!({ "name": name })).await;
    let own = json!({"name": format!("{role}-of-{name}"), "password": "pw", "domain_id": domain});
    let user = make(admin, "/v3/users", "user", own).await;
    let grant = format!("/v3/domains/{domain}/users/{user}/roles/{}", role_id(admin, role).await);
    assert_eq!(admin.put(&grant, json!(null)).await.status, 204);
    let auth = json!({
        "identity": {"methods": ["password"], "password": {"user": {"id": user, "password": "pw"}}},
        "scope": {"domain": {"id": domain}},
    });
    let reply = cloud.stranger().post("/v3/auth/tokens", json!({ "auth": auth })).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    (domain, cloud.stranger().with_token(reply.header("x-subject-token").unwrap().to_owned()))
}

#[tokio::test]
async fn an_administrator_of_a_domain_administers_people_and_not_the_cloud() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let (domain, boss) = in_domain(&cloud, &admin, "Other", "admin").await;
    make(&boss, "/v3/users", "user", json!({"name": "x", "domain_id": domain})).await;
    make(&boss, "/v3/projects", "project", json!({"name": "x", "domain_id": domain})).await;
    for (path, key, body) in [
        ("/v3/domains", "domain", json!({"name": "mine"})),
        ("/v3/roles", "role", json!({"name": "mine"})),
        ("/v3/roles", "role", json!({"name": "mine", "domain_id": domain})),
        ("/v3/regions", "region", json!({"id": "mine"})),
        ("/v3/services", "service", json!({"type": "mine"})),
    ] {
        assert_eq!(boss.post(path, json!({ key: body })).await.status, 403, "{path}");
    }
    for path in ["/v3/services", "/v3/endpoints", "/v3/role_inferences"] {
        assert_eq!(boss.get(path).await.status, 403, "{path}");
    }
    assert_eq!(boss.get("/v3/regions").await.status, 200);
    assert_eq!(boss.get("/v3/roles").await.status, 200);
}

#[tokio::test]
async fn a_token_of_a_domain_lists_what_is_in_it_even_for_an_administrator() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let (domain, boss) = in_domain(&cloud, &admin, "Other", "admin").await;
    let group = make(&admin, "/v3/groups", "group", json!({"name": "inside", "domain_id": domain})).await;
    make(&admin, "/v3/groups", "group", json!({"name": "outside"})).await;
    make(&admin, "/v3/projects", "project", json!({"name": "inside", "domain_id": domain})).await;
    let stranger = make(&admin, "/v3/users", "user", json!({"name": "stranger"})).await;
    admin.put(&format!("/v3/groups/{group}/users/{stranger}"), json!(null)).await;

    assert_eq!(names(&boss.get("/v3/domains").await, "domains"), ["Other"]);
    assert_eq!(names(&boss.get("/v3/users").await, "users"), ["admin-of-Other"]);
    assert_eq!(names(&boss.get("/v3/users?domain_id=default").await, "users"), Vec::<String>::new());
    assert_eq!(names(&boss.get("/v3/groups").await, "groups"), ["inside"]);
    assert_eq!(names(&boss.get("/v3/projects").await, "projects"), ["inside"]);
    assert_eq!(names(&boss.get(&format!("/v3/groups/{group}/users")).await, "users"), Vec::<String>::new());
    assert_eq!(names(&admin.get(&format!("/v3/groups/{group}/users")).await, "users"), ["stranger"]);
    let held = boss.get("/v3/role_assignments").await.json();
    assert_eq!(held["role_assignments"].as_array().unwrap().len(), 1, "{held}");
}

#[tokio::test]
async fn what_is_missing_is_told_to_all_where_upstream_looks_first_and_else_to_none() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let role = role_id(&admin, "admin").await;
    let name = json!({"role": {"name": "x"}});
    assert_eq!(alice.get(&format!("/v3/roles/{role}")).await.status, 403);
    assert_eq!(alice.get("/v3/roles/nothing").await.status, 404);
    assert_eq!(alice.patch("/v3/roles/nothing", name).await.status, 404);
    assert_eq!(alice.put(&format!("/v3/roles/{role}/implies/nothing"), json!(null)).await.status, 404);
    assert_eq!(alice.patch("/v3/domains/nothing", json!({"domain": {"enabled": false}})).await.status, 404);
    assert_eq!(alice.delete("/v3/domains/default").await.status, 403);
    assert_eq!(alice.delete("/v3/groups/nothing").await.status, 404);
    // A domain's token, which no EC2 credential belongs to, is told as well.
    let (_, boss) = in_domain(&cloud, &admin, "Other", "admin").await;
    let none = format!("/v3/users/{}/credentials/OS-EC2/nothing", alice.user_id);
    assert_eq!((boss.get(&none).await.status, boss.delete(&none).await.status), (404, 404));
    for path in ["/v3/groups/nothing", "/v3/users/nothing", "/v3/projects/nothing", "/v3/domains/nothing"] {
        assert_eq!(alice.get(path).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_manager_makes_nothing_without_naming_their_domain() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let (domain, boss) = in_domain(&cloud, &admin, "Other", "manager").await;
    for (path, key) in [("/v3/users", "user"), ("/v3/groups", "group"), ("/v3/projects", "project")] {
        assert_eq!(boss.post(path, json!({ key: {"name": "x"} })).await.status, 403, "{path}");
        make(&boss, path, key, json!({"name": "x", "domain_id": domain})).await;
    }
}

#[tokio::test]
async fn a_domains_own_role_counts_by_what_it_implies_and_not_on_another_domains_project() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let domain = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    let own = make(&admin, "/v3/roles", "role", json!({"name": "local", "domain_id": domain})).await;
    let user = make(&admin, "/v3/users", "user", json!({"name": "x"})).await;
    let inside = make(&admin, "/v3/projects", "project", json!({"name": "inside", "domain_id": domain})).await;
    let outside = make(&admin, "/v3/projects", "project", json!({"name": "outside"})).await;
    let reader = role_id(&admin, "reader").await;
    let on = |place: &str| format!("/v3/{place}/users/{user}/roles/{own}");
    assert_eq!(admin.put(&on(&format!("projects/{outside}")), json!(null)).await.status, 403);
    assert_eq!(admin.put(&on(&format!("projects/{inside}")), json!(null)).await.status, 204);
    let effective = format!("/v3/role_assignments?effective&user.id={user}");
    assert_eq!(admin.get(&effective).await.json()["role_assignments"], json!([]));
    assert_eq!(admin.put(&format!("/v3/roles/{own}/implies/{reader}"), json!(null)).await.status, 201);
    let held = admin.get(&effective).await.json();
    assert_eq!(held["role_assignments"][0]["role"]["id"], reader);
    assert_eq!(held["role_assignments"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn anothers_application_credential_is_forbidden_under_whatever_users_path() {
    let cloud = Cloud::new().await;
    let (alice, bob) = (cloud.member("alice").await, cloud.member("bob").await);
    let path = |user: &Client, id: &str| format!("/v3/users/{}/application_credentials/{id}", user.user_id);
    let reply =
        alice.post(path(&alice, "").trim_end_matches('/'), json!({"application_credential": {"name": "x"}})).await;
    let id = reply.json()["application_credential"]["id"].as_str().unwrap().to_owned();
    assert_eq!(alice.get(&path(&alice, &id)).await.status, 200);
    assert_eq!(bob.get(&path(&alice, &id)).await.status, 403);
    assert_eq!(bob.get(&path(&bob, &id)).await.status, 403);
    assert_eq!(bob.delete(&path(&bob, &id)).await.status, 403);
    assert_eq!(bob.get(&path(&bob, "nothing")).await.status, 404);
    assert_eq!(bob.get(&path(&alice, "nothing")).await.status, 403);
}
