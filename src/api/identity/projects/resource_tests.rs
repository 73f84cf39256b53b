//! Domains, projects, users, groups, roles and grants through the whole router.

use crate::api::testing::{Cloud, PASSWORD, Reply, make, role_id};
use serde_json::json;

fn names(reply: &Reply, key: &str) -> Vec<String> {
    let all = reply.json()[key].as_array().unwrap_or_else(|| panic!("{}", reply.json())).clone();
    all.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_project_a_user_and_a_role_are_made_and_the_user_logs_in() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let project = make(&admin, "/v3/projects", "project", json!({"name": "web", "tags": ["blue", "red"]})).await;
    let user = make(&admin, "/v3/users", "user", json!({"name": "carol", "password": "pw", "title": "Dr"})).await;
    let role = role_id(&admin, "member").await;
    let grant = format!("/v3/projects/{project}/users/{user}/roles/{role}");
    assert_eq!(admin.head(&grant).await.status, 404);
    assert_eq!(admin.put(&grant, json!(null)).await.status, 204);
    assert_eq!(admin.head(&grant).await.status, 204);

    let carol = cloud.login("carol", "pw", json!({"project": {"id": project}})).await;
    let shown = carol.get(&format!("/v3/users/{user}")).await;
    assert_eq!(shown.json()["user"]["title"], "Dr");
    assert_eq!(shown.json()["user"]["domain_id"], "default");
    assert_eq!(shown.json()["user"]["links"]["self"], format!("http://cloud.test/identity/v3/users/{user}"));
    assert_eq!(names(&carol.get("/v3/auth/projects").await, "projects"), ["web"]);
    assert_eq!(names(&carol.get(&format!("/v3/users/{user}/projects")).await, "projects"), ["web"]);
    assert_eq!(carol.get("/v3/users").await.status, 403);
    assert_eq!(carol.get(&format!("/v3/projects/{project}")).await.status, 200);

    assert_eq!(names(&admin.get("/v3/projects?tags=red,blue").await, "projects"), ["web"]);
    assert_eq!(names(&admin.get("/v3/projects?not-tags=red&name=web").await, "projects"), Vec::<String>::new());
    assert_eq!(names(&admin.get("/v3/users?name__startswith=car").await, "users"), ["carol"]);
    assert_eq!(admin.delete(&format!("/v3/users/{user}")).await.status, 204);
    assert_eq!(admin.get(&format!("/v3/users/{user}")).await.status, 404);
}

#[tokio::test]
async fn a_taken_name_is_refused_whatever_its_case_and_free_in_another_domain() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    make(&admin, "/v3/users", "user", json!({"name": "Émile"})).await;
    let reply = admin.post("/v3/users", json!({"user": {"name": "émile"}})).await;
    assert_eq!(reply.status, 409);
    let domain = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    make(&admin, "/v3/users", "user", json!({"name": "émile", "domain_id": domain})).await;
    make(&admin, "/v3/users", "user", json!({"name": "emile"})).await;
}

#[tokio::test]
async fn what_the_form_of_a_body_forbids_is_told_in_jsonschemas_words() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    for (body, message) in [
        (json!({}), "'user' is a required property"),
        (json!({"user": {"name": ""}}), "Invalid input for field/attribute name. Value: . '' should be non-empty"),
        (
            json!({"user": {"name": "x", "enabled": "False"}}),
            "Invalid input for field/attribute enabled. Value: False. 'False' is not of type 'boolean'",
        ),
        (json!({"user": {"name": 5}}), "Invalid input for field/attribute name. Value: 5. 5 is not of type 'string'"),
    ] {
        let reply = admin.post("/v3/users", body).await;
        assert_eq!((reply.status, reply.message().as_str()), (400, message));
    }
}

#[tokio::test]
async fn a_group_gives_its_roles_to_its_members_and_takes_them_back() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let group = make(&admin, "/v3/groups", "group", json!({"name": "ops"})).await;
    let project = make(&admin, "/v3/projects", "project", json!({"name": "shared"})).await;
    let role = role_id(&admin, "reader").await;
    admin.put(&format!("/v3/projects/{project}/groups/{group}/roles/{role}"), json!(null)).await;
    let scope = json!({"project": {"id": project}});
    assert_eq!(cloud.try_login("alice", PASSWORD, scope.clone()).await.status, 401);

    let membership = format!("/v3/groups/{group}/users/{}", alice.user_id);
    assert_eq!(admin.put(&membership, json!(null)).await.status, 204);
    assert_eq!(admin.head(&membership).await.status, 204);
    assert_eq!(names(&admin.get(&format!("/v3/groups/{group}/users")).await, "users"), ["alice"]);
    let there = cloud.login("alice", PASSWORD, scope).await;
    assert_eq!(there.get("/v3/auth/catalog").await.status, 200);
    let path =
        format!("/v3/role_assignments?effective&user.id={}&scope.project.id={project}&include_names", alice.user_id);
    let held = admin.get(&path).await.json();
    assert_eq!(held["role_assignments"][0]["role"]["name"], "reader");
    assert_eq!(held["role_assignments"][0]["user"]["domain"], json!({"id": "default", "name": "Default"}));

    assert_eq!(admin.delete(&membership).await.status, 204);
    assert_eq!(there.get("/v3/auth/catalog").await.status, 401);
}

#[tokio::test]
async fn a_domain_s_own_role_is_among_the_grants_and_what_it_implies_among_what_they_come_to() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let project = make(&admin, "/v3/projects", "project", json!({"name": "shared"})).await;
    let user = make(&admin, "/v3/users", "user", json!({"name": "dave", "password": "pw"})).await;
    let own = make(&admin, "/v3/roles", "role", json!({"name": "operator", "domain_id": "default"})).await;
    let granted = admin.put(&format!("/v3/projects/{project}/users/{user}/roles/{own}"), json!(null)).await;
    assert_eq!(granted.status, 204);
    let held = async |how: &str| {
        let path = format!("/v3/role_assignments?{how}include_names&user.id={user}&scope.project.id={project}");
        let listed = admin.get(&path).await.json();
        let all = listed["role_assignments"].as_array().unwrap().clone();
        all.iter().map(|one| one["role"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(held("").await, ["operator"]);
    assert_eq!(held("effective&").await, [""; 0]);
    let reader = role_id(&admin, "reader").await;
    assert_eq!(admin.put(&format!("/v3/roles/{own}/implies/{reader}"), json!(null)).await.status, 201);
    assert_eq!(held("effective&").await, ["reader"]);
}

#[tokio::test]
async fn a_role_inherited_from_a_domain_holds_on_its_projects_and_not_on_itself() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let domain = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    let user = make(&admin, "/v3/users", "user", json!({"name": "dave", "password": "pw"})).await;
    let top = make(&admin, "/v3/projects", "project", json!({"name": "top", "domain_id": domain})).await;
    let leaf = make(&admin, "/v3/projects", "project", json!({"name": "leaf", "parent_id": top})).await;
    let role = role_id(&admin, "member").await;
    let grant = format!("/v3/OS-INHERIT/domains/{domain}/users/{user}/roles/{role}/inherited_to_projects");
    assert_eq!(admin.put(&grant, json!(null)).await.status, 204);
    for project in [&top, &leaf] {
        assert_eq!(cloud.try_login("dave", "pw", json!({"project": {"id": project}})).await.status, 201);
    }
    assert_eq!(cloud.try_login("dave", "pw", json!({"domain": {"id": domain}})).await.status, 401);
    let dave = cloud.login("dave", "pw", json!({"project": {"id": leaf}})).await;
    assert_eq!(names(&dave.get("/v3/auth/projects").await, "projects"), ["leaf", "top"]);
}

#[tokio::test]
async fn the_tree_of_projects_is_shown_and_kept_whole() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let top = make(&admin, "/v3/projects", "project", json!({"name": "top"})).await;
    let leaf = make(&admin, "/v3/projects", "project", json!({"name": "leaf", "parent_id": top})).await;
    let shown = admin.get(&format!("/v3/projects/{top}?subtree_as_ids")).await.json();
    assert_eq!(shown["project"]["subtree"], json!({ leaf.as_str(): null }));
    let shown = admin.get(&format!("/v3/projects/{leaf}?parents_as_ids")).await.json();
    assert_eq!(shown["project"]["parents"], json!({ top.as_str(): {"default": null} }));
    assert_eq!(admin.delete(&format!("/v3/projects/{top}")).await.status, 403);
    let off = json!({"project": {"enabled": false}});
    assert_eq!(admin.patch(&format!("/v3/projects/{top}"), off).await.status, 403);
    assert_eq!(admin.delete(&format!("/v3/projects/{leaf}")).await.status, 204);
    assert_eq!(admin.delete(&format!("/v3/projects/{top}")).await.status, 204);
}

#[tokio::test]
async fn a_domain_goes_only_when_disabled_and_takes_all_that_is_in_it() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let domain = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    let user = make(&admin, "/v3/users", "user", json!({"name": "x", "domain_id": domain})).await;
    let top = make(&admin, "/v3/projects", "project", json!({"name": "top", "domain_id": domain})).await;
    make(&admin, "/v3/projects", "project", json!({"name": "leaf", "parent_id": top})).await;
    let path = format!("/v3/domains/{domain}");
    assert_eq!(admin.delete(&path).await.status, 403);
    assert_eq!(admin.patch(&path, json!({"domain": {"enabled": false}})).await.status, 200);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&format!("/v3/users/{user}")).await.status, 404);
    assert_eq!(admin.get(&format!("/v3/projects/{top}")).await.status, 404);
}

#[tokio::test]
async fn roles_imply_each_other_but_not_in_rings_and_never_admin() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let (reader, member) = (role_id(&admin, "reader").await, role_id(&admin, "member").await);
    let own = make(&admin, "/v3/roles", "role", json!({"name": "auditor"})).await;
    let path = |prior: &str, implied: &str| format!("/v3/roles/{prior}/implies/{implied}");
    assert_eq!(admin.put(&path(&own, &reader), json!(null)).await.status, 201);
    assert_eq!(admin.head(&path(&own, &reader)).await.status, 204);
    assert_eq!(admin.put(&path(&reader, &member), json!(null)).await.status, 403);
    assert_eq!(admin.put(&path(&own, &role_id(&admin, "admin").await), json!(null)).await.status, 403);
    assert_eq!(admin.get("/v3/role_inferences").await.json()["role_inferences"].as_array().unwrap().len(), 4);
    assert_eq!(admin.delete(&path(&own, &reader)).await.status, 204);
    assert_eq!(admin.get(&path(&own, &reader)).await.status, 404);
}

#[tokio::test]
async fn a_manager_of_a_domain_sees_and_changes_what_is_in_it_and_nothing_else() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let domain = make(&admin, "/v3/domains", "domain", json!({"name": "Other"})).await;
    let user = make(&admin, "/v3/users", "user", json!({"name": "mia", "password": "pw"})).await;
    let role = role_id(&admin, "manager").await;
    admin.put(&format!("/v3/domains/{domain}/users/{user}/roles/{role}"), json!(null)).await;
    let mia = cloud.login("mia", "pw", json!({"domain": {"id": domain}})).await;

    let own = make(&mia, "/v3/users", "user", json!({"name": "nora", "domain_id": domain})).await;
    let project = make(&mia, "/v3/projects", "project", json!({"name": "inside", "domain_id": domain})).await;
    assert_eq!(names(&mia.get("/v3/users").await, "users"), ["nora"]);
    assert_eq!(names(&mia.get("/v3/projects").await, "projects"), ["inside"]);
    assert_eq!(mia.get(&format!("/v3/users/{}", admin.user_id)).await.status, 403);
    assert_eq!(mia.post("/v3/users", json!({"user": {"name": "x", "domain_id": "default"}})).await.status, 403);
    let grant = |role: &str| format!("/v3/projects/{project}/users/{own}/roles/{role}");
    assert_eq!(mia.put(&grant(&role_id(&admin, "member").await), json!(null)).await.status, 204);
    assert_eq!(mia.put(&grant(&role_id(&admin, "admin").await), json!(null)).await.status, 403);
    let all = mia.get("/v3/role_assignments").await.json();
    assert_eq!(all["role_assignments"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_catalogue_changes_with_its_services_endpoints_and_regions() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let service = make(&admin, "/v3/services", "service", json!({"type": "metering", "name": "ceilometer"})).await;
    let endpoint =
        json!({"interface": "public", "service_id": service, "region": "Two", "url": "http://m/%(project_id)s"});
    let id = make(&admin, "/v3/endpoints", "endpoint", endpoint).await;
    let catalog = admin.get("/v3/auth/catalog").await.json();
    let shown = catalog["catalog"].as_array().unwrap().iter().find(|one| one["type"] == "metering").unwrap().clone();
    assert_eq!(shown["endpoints"][0]["url"], format!("http://m/{}", admin.project_id));
    assert_eq!(shown["endpoints"][0]["region"], "Two");
    assert_eq!(admin.delete("/v3/regions/Two").await.status, 403);
    assert_eq!(admin.delete(&format!("/v3/services/{service}")).await.status, 204);
    assert_eq!(admin.get(&format!("/v3/endpoints/{id}")).await.status, 404);
    assert_eq!(admin.delete("/v3/regions/Two").await.status, 204);
    let reply =
        admin.post("/v3/endpoints", json!({"endpoint": {"interface": "secret", "service_id": "x", "url": "u"}})).await;
    assert_eq!(reply.status, 400);
}
