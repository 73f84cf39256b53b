//! Grants, implied roles and `GET /v3/role_assignments` through the whole router.

use crate::api::testing::{Client, Cloud, PASSWORD, make, role_id};
use serde_json::{Value, json};

async fn grant(admin: &Client, path: &str) {
    let reply = admin.put(path, json!(null)).await;
    assert_eq!(reply.status, 204, "{path}: {}", reply.json());
}

async fn listed(client: &Client, query: &str) -> Vec<Value> {
    let reply = client.get(&format!("/v3/role_assignments?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.json());
    reply.json()["role_assignments"].as_array().unwrap().clone()
}

#[tokio::test]
async fn filters_that_contradict_each_other_are_refused_as_upstream_does() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let inherited = "scope.OS-INHERIT:inherited_to=projects";
    let useless = format!("effective&scope.domain.id=default&{inherited}");
    for (query, message) in [
        ("scope.domain.id=a&scope.project.id=b", "Specify a domain or project, not both"),
        ("scope.domain.id=a&scope.system=all", "Specify system or domain, not both"),
        ("scope.project.id=a&scope.system=all", "Specify system or project, not both"),
        ("user.id=a&group.id=b", "Specify a user or group, not both"),
        ("effective&group.id=a", "Combining effective and group filter will always result in an empty list."),
        (&useless, "Combining effective, domain and inherited filters will always result in an empty list."),
        ("include_subtree", "scope.project.id must be specified if include_subtree is also specified"),
        ("role.id=", "Invalid input for field/attribute role.id. Value: . '' should be non-empty"),
        (
            "group.id=a/b",
            "Invalid input for field/attribute group.id. Value: a/b. 'a/b' does not match '^[a-zA-Z0-9-]+$'",
        ),
    ] {
        let reply = admin.get(&format!("/v3/role_assignments?{query}")).await;
        assert_eq!((reply.status, reply.message().as_str()), (400, message), "{query}");
    }
    // A flag that is 0 is none, and one that is anything else is one.
    assert_eq!(admin.get("/v3/role_assignments?effective=0&group.id=a").await.status, 200);
    assert_eq!(admin.get("/v3/role_assignments?effective=false&group.id=a").await.status, 400);
    let lost = admin.get("/v3/role_assignments?effective&scope.project.id=none").await;
    assert_eq!((lost.status, lost.message().as_str()), (404, "Could not find project: none."));
    assert!(listed(&admin, "scope.project.id=none").await.is_empty());
}

#[tokio::test]
async fn grants_are_listed_as_they_were_made_and_as_what_they_come_to() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let top = make(&admin, "/v3/projects", "project", json!({"name": "top"})).await;
    let leaf = make(&admin, "/v3/projects", "project", json!({"name": "leaf", "parent_id": top})).await;
    let group = make(&admin, "/v3/groups", "group", json!({"name": "ops"})).await;
    let own = make(&admin, "/v3/roles", "role", json!({"name": "auditor", "domain_id": "default"})).await;
    let (member, reader) = (role_id(&admin, "member").await, role_id(&admin, "reader").await);
    assert_eq!(admin.put(&format!("/v3/roles/{own}/implies/{reader}"), json!(null)).await.status, 201);
    grant(&admin, &format!("/v3/groups/{group}/users/{}", alice.user_id)).await;
    grant(&admin, &format!("/v3/OS-INHERIT/projects/{top}/groups/{group}/roles/{member}/inherited_to_projects")).await;
    grant(&admin, &format!("/v3/projects/{leaf}/users/{}/roles/{own}", alice.user_id)).await;

    let direct = listed(&admin, &format!("group.id={group}&include_names")).await;
    let base = "http://cloud.test/identity/v3";
    let place = format!("{base}/OS-INHERIT/projects/{top}/groups/{group}/roles/{member}/inherited_to_projects");
    let domain = json!({"id": "default", "name": "Default"});
    assert_eq!(
        direct,
        [json!({
            "group": {"id": group, "name": "ops", "domain": domain},
            "role": {"id": member, "name": "member"},
            "scope": {
                "project": {"id": top, "name": "top", "domain": domain},
                "OS-INHERIT:inherited_to": "projects",
            },
            "links": {"assignment": place},
        })]
    );
    let of_own = listed(&admin, &format!("role.id={own}&include_names")).await;
    assert_eq!(of_own[0]["role"], json!({"id": own, "name": "auditor", "domain": domain}));

    let effective = listed(&admin, &format!("effective&user.id={}&scope.project.id={leaf}", alice.user_id)).await;
    let by = |role: &str, part: &str| -> Value {
        let found = effective
            .iter()
            .find(|one| one["role"]["id"] == role && one["links"]["assignment"].as_str().unwrap().contains(part));
        found.unwrap_or_else(|| panic!("{role} {part}: {effective:?}")).clone()
    };
    let inherited = by(&member, "/groups/");
    assert_eq!(inherited["scope"], json!({"project": {"id": leaf}, "OS-INHERIT:inherited_to": "projects"}));
    assert_eq!(inherited["links"]["assignment"], place);
    assert_eq!(inherited["links"]["membership"], format!("{base}/groups/{group}/users/{}", alice.user_id));
    let implied = by(&reader, &format!("/roles/{own}"));
    assert_eq!(implied["links"]["prior_role"], format!("{base}/prior_role/{reader}/implies/{own}"));
    assert!(effective.iter().all(|one| one["role"]["id"] != own), "a domain's own role is in no token");
    // Member and reader by the group, and reader by the role of the domain.
    assert_eq!(effective.len(), 3);
    let tree = listed(&admin, &format!("effective&user.id={}&scope.project.id={top}", alice.user_id)).await;
    assert!(tree.is_empty(), "what is inherited holds below");
    let query = format!("effective&scope.project.id={top}&include_subtree&scope.OS-INHERIT:inherited_to=projects");
    assert_eq!(listed(&admin, &query).await.len(), 2);
    let token = cloud.try_login("alice", PASSWORD, json!({"project": {"id": leaf}})).await;
    assert_eq!(token.status, 201);
}

#[tokio::test]
async fn the_system_is_listed_apart_from_what_is_effective() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let on_system = |all: &[Value]| all.iter().filter(|one| one["scope"].get("system").is_some()).count();
    assert_eq!(on_system(&listed(&admin, "").await), 1);
    let of_system = listed(&admin, "scope.system=all").await;
    assert_eq!((of_system.len(), on_system(&of_system)), (1, 1));
    assert_eq!(on_system(&listed(&admin, "effective").await), 0);
    assert_eq!(on_system(&listed(&admin, "effective&scope.system=all").await), 4, "with what admin implies");
    assert_eq!(on_system(&listed(&admin, "scope.system=none").await), 1, "another word asks for nothing");
}

#[tokio::test]
async fn whoever_is_admin_of_a_project_lists_its_tree_and_a_reader_does_not() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let reader = cloud.reader("bob").await;
    let path = format!("/v3/role_assignments?include_subtree&scope.project.id={}", reader.project_id);
    assert_eq!(reader.get(&path).await.status, 403);
    assert_eq!(admin.get(&path).await.json()["role_assignments"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_role_of_a_domain_is_granted_where_its_domain_is_and_not_on_the_system() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let other = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    let own = make(&admin, "/v3/roles", "role", json!({"name": "auditor", "domain_id": other})).await;
    let user = &alice.user_id;
    let reply = admin.put(&format!("/v3/projects/{}/users/{user}/roles/{own}", alice.project_id), json!(null)).await;
    let told = format!("Project {} must be in the same domain as the role {own} being assigned.", alice.project_id);
    assert_eq!((reply.status, reply.message()), (403, told));
    let reply = admin.put(&format!("/v3/system/users/{user}/roles/{own}"), json!(null)).await;
    let told =
        format!("Role {own} is a domain-specific role. Unable to use a domain-specific role in a system assignment.");
    assert_eq!((reply.status, reply.message()), (400, told));
    let inside = make(&admin, "/v3/projects", "project", json!({"name": "inside", "domain_id": other})).await;
    grant(&admin, &format!("/v3/projects/{inside}/users/{user}/roles/{own}")).await;
    let taken = admin.post("/v3/roles", json!({"role": {"name": "AUDITOR", "domain_id": other}})).await;
    let told = format!(
        "Conflict occurred attempting to store role - Duplicate entry found with name AUDITOR at domain ID {other}."
    );
    assert_eq!((taken.status, taken.message()), (409, told));
}

#[tokio::test]
async fn implications_are_told_of_in_upstreams_words() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let (reader, member) = (role_id(&admin, "reader").await, role_id(&admin, "member").await);
    let first = make(&admin, "/v3/roles", "role", json!({"name": "first"})).await;
    let own = make(&admin, "/v3/roles", "role", json!({"name": "own", "domain_id": "default"})).await;
    let path = |prior: &str, implied: &str| format!("/v3/roles/{prior}/implies/{implied}");
    let missing = admin.get(&path(&first, &reader)).await;
    assert_eq!((missing.status, missing.message()), (404, format!("{first} does not imply {reader}.")));
    assert_eq!(admin.delete(&path(&first, &reader)).await.status, 404);
    let made = admin.put(&path(&first, &reader), json!(null)).await;
    let link = |id: &str| json!({"self": format!("http://cloud.test/identity/v3/roles/{id}")});
    assert_eq!(
        made.json()["role_inference"],
        json!({
            "prior_role": {"id": first, "name": "first", "links": link(&first)},
            "implies": {"id": reader, "name": "reader", "links": link(&reader)},
        })
    );
    let twice = admin.put(&path(&first, &reader), json!(null)).await;
    assert_eq!(twice.status, 409);
    let refused = admin.put(&path(&first, &own), json!(null)).await;
    assert_eq!((refused.status, refused.message()), (403, format!("{own} cannot be an implied roles.")));
    let admin_role = role_id(&admin, "admin").await;
    let refused = admin.put(&path(&first, &admin_role), json!(null)).await;
    assert_eq!(refused.message(), format!("{admin_role} cannot be an implied roles."));
    for (prior, implied) in [(&reader, &first), (&first, &first), (&reader, &member)] {
        assert_eq!(admin.put(&path(prior, implied), json!(null)).await.status, 403, "a ring");
    }
    let all = admin.get(&format!("/v3/roles/{first}/implies")).await.json();
    assert_eq!(all["role_inference"]["implies"].as_array().unwrap().len(), 1);
    assert_eq!(admin.head(&path(&first, &reader)).await.status, 204);
}

#[tokio::test]
async fn every_inherited_path_grants_shows_lists_and_takes_back() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let group = make(&admin, "/v3/groups", "group", json!({"name": "ops"})).await;
    let role = role_id(&admin, "reader").await;
    for on in [format!("projects/{}", alice.project_id), "domains/default".to_owned()] {
        for who in [format!("users/{}", alice.user_id), format!("groups/{group}")] {
            let base = format!("/v3/OS-INHERIT/{on}/{who}/roles");
            let one = format!("{base}/{role}/inherited_to_projects");
            let before = admin.get(&one).await;
            assert_eq!(before.status, 404, "{one}");
            assert!(before.message().starts_with(&format!("Could not find role assignment with role: {role}")));
            grant(&admin, &one).await;
            assert_eq!(admin.head(&one).await.status, 204);
            let listed = admin.get(&format!("{base}/inherited_to_projects")).await.json();
            assert_eq!(listed["roles"][0]["id"], role, "{base}");
            let plain = admin.get(&format!("/v3/{on}/{who}/roles/{role}")).await.status;
            assert_eq!(plain, 404, "an inherited grant is none on the place itself: {on}");
            assert_eq!(admin.delete(&one).await.status, 204);
            assert_eq!(admin.delete(&one).await.status, 404);
        }
    }
}

#[tokio::test]
async fn whoever_leaves_a_group_or_whose_group_goes_logs_in_anew() {
    let cloud = Cloud::new().await;
    let (admin, alice, bob) = (cloud.admin().await, cloud.member("alice").await, cloud.member("bob").await);
    let role = role_id(&admin, "reader").await;
    let is_in = async |client: &Client| client.get("/v3/auth/projects").await.status == 200;
    let group = make(&admin, "/v3/groups", "group", json!({"name": "ops"})).await;
    for user in [&alice, &bob] {
        grant(&admin, &format!("/v3/groups/{group}/users/{}", user.user_id)).await;
    }
    let membership = format!("/v3/groups/{group}/users/{}", alice.user_id);
    assert_eq!(admin.delete(&membership).await.status, 204);
    assert!(!is_in(&alice).await && is_in(&bob).await);
    let again = admin.delete(&membership).await;
    let told = format!("User '{}' not found in group '{group}'", alice.user_id);
    assert_eq!((again.status, again.message()), (404, told));
    grant(&admin, &format!("/v3/projects/{}/groups/{group}/roles/{role}", alice.project_id)).await;
    assert_eq!(admin.delete(&format!("/v3/groups/{group}")).await.status, 204);
    assert!(!is_in(&bob).await);
    cloud.pass_seconds(1);
    let bob = cloud.member("bob").await;
    let empty = make(&admin, "/v3/groups", "group", json!({"name": "empty"})).await;
    grant(&admin, &format!("/v3/groups/{empty}/users/{}", bob.user_id)).await;
    assert_eq!(admin.delete(&format!("/v3/groups/{empty}")).await.status, 204);
    assert!(is_in(&bob).await, "a group that held nothing gave nothing");
}
