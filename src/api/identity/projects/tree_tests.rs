//! Projects and domains: their tree, their tags, what is immutable and what is in use, through the whole router.

use crate::api::identity::IdentitySettings;
use crate::api::testing::{Client, Cloud, PASSWORD, RECIPE, Reply, make};
use crate::store::Db;
use serde_json::json;
use std::collections::HashMap;

async fn project(client: &Client, name: &str, parent: Option<&str>) -> String {
    make(client, "/v3/projects", "project", json!({"name": name, "parent_id": parent})).await
}

async fn switch(client: &Client, id: &str, enabled: bool) -> Reply {
    client.patch(&format!("/v3/projects/{id}"), json!({"project": {"enabled": enabled}})).await
}

fn told(reply: &Reply) -> (u16, String) {
    (reply.status, reply.message())
}

#[tokio::test]
async fn a_tree_is_as_deep_as_the_operator_allows() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let mut parent = project(&admin, "level-1", None).await;
    for level in 2..=5 {
        parent = project(&admin, &format!("level-{level}"), Some(&parent)).await;
    }
    let reply = admin.post("/v3/projects", json!({"project": {"name": "level-6", "parent_id": parent}})).await;
    assert_eq!(told(&reply), (403, format!("Max hierarchy depth reached for {parent} branch.")));

    let settings = IdentitySettings { argon2: RECIPE, max_project_tree_depth: 1, ..IdentitySettings::default() };
    let cloud = Cloud::with(Db::memory().await, settings, HashMap::new()).await;
    let admin = cloud.admin().await;
    let top = project(&admin, "top", None).await;
    assert_eq!(admin.post("/v3/projects", json!({"project": {"name": "x", "parent_id": top}})).await.status, 403);
}

#[tokio::test]
async fn a_project_stands_in_the_domain_of_its_parent_and_in_no_disabled_branch() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let other = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    let top = project(&admin, "top", None).await;
    let mut body = json!({"project": {"name": "x", "parent_id": top, "domain_id": other}});
    let sentence = format!(
        "Cannot create project, since it specifies its domain_id {other}, but specifies a parent in a different domain (default)."
    );
    assert_eq!(told(&admin.post("/v3/projects", body.clone()).await), (400, sentence));
    body["project"]["parent_id"] = json!("default");
    let sentence = format!(
        "Cannot create project, the parent (default) is acting as a domain, but this project's domain id ({other}) does not match the parent's id."
    );
    assert_eq!(told(&admin.post("/v3/projects", body).await), (400, sentence));
    assert_eq!(switch(&admin, &top, false).await.status, 200);
    let reply = admin.post("/v3/projects", json!({"project": {"name": "x", "parent_id": top}})).await;
    let sentence = format!("cannot create a project in a branch containing a disabled project: {top}");
    assert_eq!(told(&reply), (400, sentence));
}

#[tokio::test]
async fn projects_are_switched_off_from_the_leaves_and_on_from_the_top() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let domain = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    let top = make(&admin, "/v3/projects", "project", json!({"name": "top", "domain_id": domain})).await;
    let leaf = project(&admin, "leaf", Some(&top)).await;
    let sentence = format!("Cannot disable project {top} since its subtree contains enabled projects.");
    assert_eq!(told(&switch(&admin, &top, false).await), (403, sentence));
    assert_eq!(switch(&admin, &leaf, false).await.status, 200);
    assert_eq!(switch(&admin, &top, false).await.status, 200);
    let sentence = format!("Cannot enable project {leaf} since it has disabled parents");
    assert_eq!(told(&switch(&admin, &leaf, true).await), (403, sentence));
    assert_eq!(switch(&admin, &top, true).await.status, 200);
    assert_eq!(switch(&admin, &leaf, true).await.status, 200);
    // A domain shuts out all that is in it, whatever that says of itself.
    let path = format!("/v3/domains/{domain}");
    assert_eq!(admin.patch(&path, json!({"domain": {"enabled": false}})).await.status, 200);
    assert_eq!(admin.get(&format!("/v3/projects/{leaf}")).await.json()["project"]["enabled"], true);
    assert_eq!(switch(&admin, &leaf, false).await.status, 200);
    assert_eq!(switch(&admin, &leaf, true).await.status, 403);
    let sentence = "Update of `parent_id` is not allowed.".to_owned();
    let moved = admin.patch(&format!("/v3/projects/{leaf}"), json!({"project": {"parent_id": leaf}})).await;
    assert_eq!(told(&moved), (403, sentence), "so there is no ring of parents");
    let made = admin.patch(&format!("/v3/projects/{leaf}"), json!({"project": {"is_domain": true}})).await;
    assert_eq!(told(&made), (400, "Update of `is_domain` is not allowed.".to_owned()));
}

#[tokio::test]
async fn parents_and_subtrees_are_shown_as_ids_whole_and_as_lists_of_ones_own() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let top = project(&admin, "top", None).await;
    let mid = project(&admin, "mid", Some(&top)).await;
    let (left, right) = (project(&admin, "left", Some(&mid)).await, project(&admin, "right", Some(&mid)).await);
    let role = admin.get("/v3/roles?name=admin").await.json()["roles"][0]["id"].as_str().unwrap().to_owned();
    for id in [&top, &left] {
        admin.put(&format!("/v3/projects/{id}/users/{}/roles/{role}", admin.user_id), json!(null)).await;
    }
    let show = async |id: &str, query: &str| admin.get(&format!("/v3/projects/{id}?{query}")).await;
    let ids = show(&top, "subtree_as_ids").await.json()["project"]["subtree"].clone();
    assert_eq!(ids, json!({ mid.as_str(): {left.as_str(): null, right.as_str(): null} }));
    let ids = show(&left, "parents_as_ids").await.json()["project"]["parents"].clone();
    assert_eq!(ids, json!({ mid.as_str(): {top.as_str(): {"default": null}} }));
    let list = show(&top, "subtree_as_list").await.json()["project"]["subtree"].clone();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["project"]["name"]), (1, &json!("left")));
    let link = format!("http://cloud.test/identity/v3/projects/{left}");
    assert_eq!(list[0]["project"]["links"]["self"], link);
    let list = show(&left, "parents_as_list").await.json()["project"]["parents"].clone();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["project"]["name"]), (1, &json!("top")));
    let service = make(&admin, "/v3/services", "service", json!({"type": "shelf"})).await;
    let registered = json!({"service_id": service, "resource_name": "books", "default_limit": 9});
    admin.post("/v3/registered_limits", json!({"registered_limits": [registered]})).await;
    let limit = json!({"service_id": service, "project_id": left, "resource_name": "books", "resource_limit": 3});
    assert_eq!(admin.post("/v3/limits", json!({"limits": [limit]})).await.status, 201);
    let list = show(&top, "subtree_as_list&include_limits").await.json()["project"]["subtree"].clone();
    assert_eq!(list[0]["project"]["limits"][0]["resource_limit"], 3, "{list}");
    let list = show(&left, "parents_as_list&include_limits").await.json()["project"]["parents"].clone();
    assert_eq!(list[0]["project"]["limits"], json!([]));
    assert_eq!(show(&left, "subtree_as_ids").await.json()["project"]["subtree"], json!(null));
    assert_eq!(show(&left, "subtree_as_list=0").await.json()["project"].get("subtree"), None);
    for side in ["parents", "subtree"] {
        let reply = show(&mid, &format!("{side}_as_list&{side}_as_ids")).await;
        let sentence = format!("Cannot use {side}_as_list and {side}_as_ids query params at the same time.");
        assert_eq!(told(&reply), (400, sentence));
    }
}

#[tokio::test]
async fn what_is_immutable_changes_only_by_being_freed() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for (collection, key) in [("projects", "project"), ("domains", "domain"), ("roles", "role")] {
        let body = json!({"name": "fixed", "options": {"immutable": true}});
        let id = make(&admin, &format!("/v3/{collection}"), key, body).await;
        let path = format!("/v3/{collection}/{id}");
        let sentence = |verb: &str| {
            format!(
                "Unable to {verb} immutable {key} resource: `{id}. Set resource option \"immutable\" to false first."
            )
        };
        for change in [
            json!({"description": "x"}),
            json!({"options": {"immutable": true}}),
            json!({"options": {"immutable": false}, "description": "x"}),
            json!({"colour": "green"}),
        ] {
            let reply = admin.patch(&path, json!({ key: change })).await;
            assert_eq!(told(&reply), (403, sentence("update")), "{collection}");
        }
        assert_eq!(told(&admin.delete(&path).await), (403, sentence("delete")));
        let freed = admin.patch(&path, json!({ key: {"options": {"immutable": null}} })).await;
        assert_eq!((freed.status, &freed.json()[key]["options"]), (200, &json!({})));
        assert_eq!(admin.patch(&path, json!({ key: {"description": "x"} })).await.status, 200);
    }
}

#[tokio::test]
async fn the_roles_that_policies_name_are_not_deleted_by_mistake() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let roles = admin.get("/v3/roles").await.json()["roles"].clone();
    for name in ["admin", "manager", "member", "reader", "service"] {
        let role = roles.as_array().unwrap().iter().find(|role| role["name"] == name).unwrap();
        assert_eq!(role["options"], json!({"immutable": true}), "{name}");
        assert_eq!(admin.delete(&format!("/v3/roles/{}", role["id"].as_str().unwrap())).await.status, 403, "{name}");
    }
}

#[tokio::test]
async fn a_domain_with_something_immutable_in_it_stays() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let domain = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    let path = format!("/v3/domains/{domain}");
    let reply = admin.delete(&path).await;
    let sentence = "Cannot delete a domain that is enabled, please disable it first.";
    assert_eq!(told(&reply), (403, sentence.to_owned()));
    assert_eq!(told(&admin.delete(&format!("/v3/projects/{domain}")).await), (403, sentence.to_owned()));
    let top = make(&admin, "/v3/projects", "project", json!({"name": "top", "domain_id": domain})).await;
    let body = json!({"name": "leaf", "parent_id": top, "options": {"immutable": true}});
    let leaf = make(&admin, "/v3/projects", "project", body).await;
    assert_eq!(admin.patch(&path, json!({"domain": {"enabled": false}})).await.status, 200);
    let reply = admin.delete(&path).await;
    assert!(reply.message().starts_with(&format!("Unable to delete immutable project resource: `{leaf}")));
    let free = json!({"project": {"options": {"immutable": false}}});
    assert_eq!(admin.patch(&format!("/v3/projects/{leaf}"), free).await.status, 200);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&format!("/v3/projects/{top}")).await.status, 404);
}

#[tokio::test]
async fn a_project_that_goes_is_nobodys_default_any_more() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let user = format!("/v3/users/{}", alice.user_id);
    let gone = project(&admin, "gone", None).await;
    let set = |id: &str| json!({"user": {"default_project_id": id}});
    assert_eq!(admin.patch(&user, set(&gone)).await.json()["user"]["default_project_id"], gone.as_str());
    let refused = admin.patch(&user, set("default")).await;
    let sentence = "User's default project ID cannot be a domain ID: default".to_owned();
    assert_eq!(told(&refused), (400, sentence));
    assert_eq!(admin.delete(&format!("/v3/projects/{gone}")).await.status, 204);
    assert_eq!(admin.get(&user).await.json()["user"].get("default_project_id"), None);
    assert_eq!(admin.patch(&user, set("not there")).await.status, 200, "upstream does not look");
    assert_eq!(cloud.try_login("alice", PASSWORD, json!(null)).await.status, 201);
}

#[tokio::test]
async fn tags_are_added_shown_replaced_and_taken_away() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let id = project(&admin, "web", None).await;
    let path = format!("/v3/projects/{id}/tags");
    assert_eq!(admin.put(&format!("{path}/blue"), json!(null)).await.status, 201);
    let twice = admin.put(&format!("{path}/blue"), json!(null)).await;
    assert_eq!(twice.status, 400);
    assert!(twice.message().contains("['blue', 'blue'] has non-unique elements"), "{}", twice.message());
    let bad = admin.put(&format!("{path}/a,b"), json!(null)).await;
    assert!(bad.message().contains("'a,b' does not match '^[^,/]*$'"), "{}", bad.message());
    assert_eq!(admin.head(&format!("{path}/blue")).await.status, 204);
    let missing = admin.get(&format!("{path}/red")).await;
    assert_eq!(told(&missing), (404, "Could not find project tag: red.".to_owned()));
    assert_eq!(told(&admin.delete(&format!("{path}/red")).await), (404, "Could not find project tag: red.".to_owned()));
    let replaced = admin.put(&path, json!({"tags": ["x", " y "]})).await.json();
    let links = json!({"self": format!("http://cloud.test/identity{path}")});
    assert_eq!(replaced, json!({"links": links, "tags": ["x", "y"]}));
    assert_eq!(admin.delete(&format!("{path}/x")).await.status, 204);
    assert_eq!(admin.get(&path).await.json()["tags"], json!(["y"]));
    assert_eq!(admin.put(&path, json!({"tags": ["x"], "more": 1})).await.status, 400);
    let full: Vec<String> = (0..80).map(|number| format!("tag-{number}")).collect();
    assert_eq!(admin.put(&path, json!({ "tags": full })).await.status, 200);
    assert!(admin.put(&format!("{path}/more"), json!(null)).await.message().contains("is too long"));
    let fix = json!({"project": {"options": {"immutable": true}}});
    assert_eq!(admin.patch(&format!("/v3/projects/{id}"), fix).await.status, 200);
    for (verb, reply) in [
        ("create", admin.put(&format!("{path}/new"), json!(null)).await),
        ("update", admin.put(&path, json!({"tags": []})).await),
        ("update", admin.delete(&path).await),
        ("delete", admin.delete(&format!("{path}/tag-1")).await),
    ] {
        let sentence = format!(
            "Cannot {verb} project tags for {id}, project is immutable. Set \"immutable\" option to false before creating project tags."
        );
        assert_eq!(told(&reply), (403, sentence));
    }
}

#[tokio::test]
async fn a_taken_name_is_told_in_upstreams_words() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    project(&admin, "Web", None).await;
    let taken = admin.post("/v3/projects", json!({"project": {"name": "wEB"}})).await;
    assert_eq!(taken.status, 409);
    let beginning = "Conflict occurred attempting to store project - it is not permitted to have two projects with either the same name or same id in the same domain: name is wEB, project id ";
    assert!(taken.message().starts_with(beginning), "{}", taken.message());
    let other = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    make(&admin, "/v3/projects", "project", json!({"name": "web", "domain_id": other})).await;
    let taken = admin.post("/v3/domains", json!({"domain": {"name": "OTHER"}})).await;
    let sentence = "Conflict occurred attempting to store project - it is not permitted to have two projects acting as domains with the same name: OTHER.";
    assert_eq!(told(&taken), (409, sentence.to_owned()));
    let id = "0123456789abcdef0123456789abcdef";
    let body = json!({"domain": {"name": "Chosen", "explicit_domain_id": id}});
    assert_eq!(admin.post("/v3/domains", body.clone()).await.json()["domain"]["id"], id);
    assert_eq!(admin.post("/v3/domains", body).await.status, 409);
}
