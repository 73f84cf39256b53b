//! Registered limits and limits through the router, and compute and images held to them.

use crate::api::testing::{Client, Cloud, Reply};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn service(admin: &Client, kind: &str) -> String {
    let found = admin.get(&format!("/v3/services?type={kind}")).await.json();
    found["services"][0]["id"].as_str().unwrap().to_owned()
}

async fn register(admin: &Client, service: &str, resource: &str, default: i64) -> String {
    let new = json!({"service_id": service, "resource_name": resource, "default_limit": default});
    let reply = admin.post("/v3/registered_limits", json!({"registered_limits": [new]})).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.json()["registered_limits"][0]["id"].as_str().unwrap().to_owned()
}

async fn limit(admin: &Client, service: &str, resource: &str, project: &str, most: i64) -> Reply {
    let new = json!({"service_id": service, "resource_name": resource, "project_id": project, "resource_limit": most});
    admin.post("/v3/limits", json!({"limits": [new]})).await
}

fn names(reply: &Reply, key: &str) -> Vec<String> {
    let all = reply.json()[key].as_array().unwrap_or_else(|| panic!("{}", reply.json())).clone();
    all.iter().map(|one| one["resource_name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn registered_limits_are_made_several_at_once_found_changed_and_deleted() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let compute = service(&admin, "compute").await;
    let body = json!({"registered_limits": [
        {"service_id": compute, "resource_name": "servers", "default_limit": 10, "description": "machines"},
        {"service_id": compute, "resource_name": "class:VCPU", "default_limit": -1, "region_id": "RegionOne"},
    ]});
    let reply = admin.post("/v3/registered_limits", body.clone()).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    let mut made = reply.json()["registered_limits"][0].clone();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["links"].take()["self"], format!("http://cloud.test/identity/v3/registered_limits/{id}"));
    assert_eq!(
        made,
        json!({"id": id, "service_id": compute, "region_id": null, "resource_name": "servers", "default_limit": 10,
               "description": "machines", "links": null})
    );
    assert_eq!(reply.json().get("links"), None);

    let again = admin.post("/v3/registered_limits", body).await;
    assert_eq!(
        (again.status, again.message().as_str()),
        (409, "Conflict occurred attempting to store registered_limit - Duplicate entry.")
    );
    let list = |query: &'static str| {
        let admin = admin.clone();
        async move { names(&admin.get(&format!("/v3/registered_limits?{query}")).await, "registered_limits") }
    };
    assert_eq!(list("region_id=RegionOne").await, ["class:VCPU"]);
    assert_eq!(list("resource_name=servers").await, ["servers"]);
    assert_eq!(list("service_id=none").await, Vec::<String>::new());

    let path = format!("/v3/registered_limits/{id}");
    let change = json!({"registered_limit": {"default_limit": 3, "description": null}});
    assert_eq!(admin.patch(&path, change).await.json()["registered_limit"]["default_limit"], 3);
    let taken = json!({"registered_limit": {"resource_name": "class:VCPU", "region_id": "RegionOne"}});
    assert_eq!(admin.patch(&path, taken).await.status, 409);
    assert_eq!(admin.delete(&path).await.status, 204);
    let gone = admin.get(&path).await;
    assert_eq!((gone.status, gone.message()), (404, format!("Could not find registered limit for {id}.")));
}

#[tokio::test]
async fn what_can_t_be_a_limit_is_refused() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let compute = service(&admin, "compute").await;
    let project = admin.project_id.clone();
    let registered = |limit: Value| json!({"registered_limits": [limit]});
    let own = |limit: Value| json!({"limits": [limit]});
    let malformed = "The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.";
    for (path, body, status, message) in [
        (
            "/v3/registered_limits",
            registered(json!({"service_id": "x", "resource_name": "a", "default_limit": 1})),
            400,
            format!("Expecting to find service_id in registered_limit. {malformed}"),
        ),
        (
            "/v3/registered_limits",
            registered(json!({"service_id": compute, "resource_name": "a", "default_limit": -2})),
            400,
            "Invalid input for field/attribute default_limit. Value: -2. -2 is less than the minimum of -1".to_owned(),
        ),
        (
            "/v3/registered_limits",
            registered(json!({"service_id": compute, "resource_name": "a", "default_limit": "1"})),
            400,
            "Invalid input for field/attribute default_limit. Value: 1. '1' is not of type 'integer'".to_owned(),
        ),
        (
            "/v3/registered_limits",
            json!({"registered_limits": []}),
            400,
            "Invalid input for field/attribute registered_limits. Value: []. [] should be non-empty".to_owned(),
        ),
        (
            "/v3/limits",
            own(json!({"service_id": compute, "resource_name": "a", "resource_limit": 1, "project_id": project})),
            403,
            "Unable to create a limit that has no corresponding registered limit.".to_owned(),
        ),
        (
            "/v3/limits",
            own(json!({"service_id": compute, "resource_name": "a", "resource_limit": 1, "project_id": "x"})),
            400,
            format!("Expecting to find project_id in limit. {malformed}"),
        ),
    ] {
        let reply = admin.post(path, body).await;
        assert_eq!((reply.status, reply.message()), (status, message));
    }
    let both = json!({"service_id": compute, "resource_name": "a", "resource_limit": 1, "project_id": project,
                      "domain_id": "default"});
    assert_eq!(admin.post("/v3/limits", own(both)).await.status, 400);
    let neither = json!({"service_id": compute, "resource_name": "a", "resource_limit": 1});
    assert_eq!(admin.post("/v3/limits", own(neither)).await.status, 400);
}

#[tokio::test]
async fn a_registered_limit_in_use_and_its_service_stay_as_they_are() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let compute = service(&admin, "compute").await;
    let registered = format!("/v3/registered_limits/{}", register(&admin, &compute, "servers", 10).await);
    let made = limit(&admin, &compute, "servers", &admin.project_id, 5).await;
    assert_eq!(made.status, 201, "{}", made.json());
    let twice = limit(&admin, &compute, "servers", &admin.project_id, 6).await;
    assert_eq!(
        (twice.status, twice.message().as_str()),
        (409, "Conflict occurred attempting to store limit - Duplicate entry.")
    );
    let change = json!({"registered_limit": {"default_limit": 3}});
    for refused in [admin.patch(&registered, change).await, admin.delete(&registered).await] {
        assert_eq!(refused.status, 403);
        assert!(refused.message().ends_with("because there are project limits associated with it."));
    }
    assert_eq!(admin.delete(&format!("/v3/services/{compute}")).await.status, 403);
    let path = format!("/v3/limits/{}", made.json()["limits"][0]["id"].as_str().unwrap());
    let changed = admin.patch(&path, json!({"limit": {"resource_limit": 0}})).await;
    assert_eq!(changed.json()["limit"]["resource_limit"], 0);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.delete(&registered).await.status, 204);
}

#[tokio::test]
async fn a_project_sees_its_own_limits_a_domain_its_projects_and_an_admin_all() {
    let cloud = Cloud::new().await;
    let (admin, alice, bob) = (cloud.admin().await, cloud.member("alice").await, cloud.member("bob").await);
    let compute = service(&admin, "compute").await;
    register(&admin, &compute, "servers", 10).await;
    let of_alice = limit(&admin, &compute, "servers", &alice.project_id, 1).await.json()["limits"][0].clone();
    let of_domain = limit(&admin, &compute, "servers", "default", 2).await.json()["limits"][0].clone();
    assert_eq!((&of_domain["project_id"], &of_domain["domain_id"]), (&json!(null), &json!("default")));
    let count = |reply: Reply| reply.json()["limits"].as_array().unwrap().len();
    assert_eq!(count(alice.get("/v3/limits").await), 1);
    assert_eq!(count(bob.get("/v3/limits").await), 0);
    assert_eq!(count(admin.get("/v3/limits").await), 2);
    assert_eq!(count(admin.get(&format!("/v3/limits?project_id={}", alice.project_id)).await), 1);
    assert_eq!(count(admin.get("/v3/limits?domain_id=default").await), 1);

    let path = format!("/v3/limits/{}", of_alice["id"].as_str().unwrap());
    assert_eq!(alice.get(&path).await.json()["limit"]["resource_limit"], 1);
    assert_eq!(bob.get(&path).await.status, 403);
    assert_eq!(bob.get("/v3/limits/none").await.status, 403);
    assert_eq!(admin.get("/v3/limits/none").await.message(), "Could not find limit for none.");
    assert_eq!(alice.delete(&path).await.status, 403);
    let role = admin.get("/v3/roles?name=reader").await.json()["roles"][0]["id"].as_str().unwrap().to_owned();
    admin.put(&format!("/v3/domains/default/users/{}/roles/{role}", bob.user_id), json!(null)).await;
    let of_default = cloud.login("bob", "secret", json!({"domain": {"id": "default"}})).await;
    assert_eq!(count(of_default.get("/v3/limits").await), 2);
    assert_eq!(of_default.get(&path).await.status, 200);
    let model = bob.get("/v3/limits/model").await.json();
    assert_eq!((&model["model"]["name"], model.as_object().unwrap().len()), (&json!("flat"), 1));
}

/// What the one server of these tests needs.
async fn boot(client: &Client, admin: &Client, count: i64) -> Reply {
    let flavor =
        json!({"flavor": {"name": format!("f{count}"), "vcpus": 2, "ram": 512, "disk": 1, "id": format!("f{count}")}});
    admin.post("/compute/v2.1/flavors", flavor).await;
    let image = image(admin, "public").await;
    let server = json!({"name": "web", "imageRef": image, "flavorRef": format!("f{count}"), "networks": "none",
                        "min_count": count, "max_count": count});
    let headers = [("content-type", "application/json"), ("openstack-api-version", "compute 2.37")];
    let body = json!({ "server": server }).to_string().into_bytes();
    client.send(Method::POST, "/compute/v2.1/servers", &headers, body).await
}

async fn image(client: &Client, visibility: &str) -> String {
    let new = json!({"name": "i", "container_format": "bare", "disk_format": "raw", "visibility": visibility});
    let reply = client.post("/image/v2/images", new).await;
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.bytes));
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(upload(client, &id, 1024).await.status, 204);
    id
}

async fn upload(client: &Client, id: &str, bytes: usize) -> Reply {
    let length = bytes.to_string();
    let headers = [("content-type", "application/octet-stream"), ("content-length", length.as_str())];
    client.send(Method::PUT, &format!("/image/v2/images/{id}/file"), &headers, vec![0; bytes]).await
}

/// An upload that is refused on its way is given up a moment after its answer.
async fn is_queued_again(client: &Client, id: &str) -> bool {
    for _ in 0..500 {
        if client.get(&format!("/image/v2/images/{id}")).await.json()["status"] == "queued" {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

/// Lets images be made at all, which unified limits don't of themselves.
async fn images_without_bound(admin: &Client) -> String {
    let images = service(admin, "image").await;
    for resource in ["image_count_total", "image_size_total", "image_count_uploading", "image_stage_total"] {
        register(admin, &images, resource, -1).await;
    }
    images
}

#[tokio::test]
async fn servers_are_held_to_each_of_identitys_limits_when_asked_for() {
    let cloud = Cloud::with_unified_limits().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    images_without_bound(&admin).await;
    let compute = service(&admin, "compute").await;
    let none = boot(&alice, &admin, 1).await;
    assert_eq!(none.status, 403, "no limit of servers is registered: {}", none.json());

    register(&admin, &compute, "servers", 1).await;
    for (resource, used_by_one) in [("class:VCPU", 2), ("class:MEMORY_MB", 512)] {
        let registered = register(&admin, &compute, resource, used_by_one - 1).await;
        let over = boot(&alice, &admin, 1).await;
        let sentence = over.json()["forbidden"]["message"].as_str().unwrap().to_owned();
        assert_eq!(
            sentence,
            format!(
                "Project {} is over a limit for [Resource {resource} is over limit of {} due to current usage 0 and delta {used_by_one}]",
                alice.project_id,
                used_by_one - 1
            )
        );
        let wider = json!({"registered_limit": {"default_limit": used_by_one * 3}});
        admin.patch(&format!("/v3/registered_limits/{registered}"), wider).await;
    }
    assert_eq!(boot(&alice, &admin, 2).await.status, 403);
    assert_eq!(boot(&alice, &admin, 1).await.status, 202);
    let second = boot(&alice, &admin, 1).await;
    assert!(second.json()["forbidden"]["message"].as_str().unwrap().contains("Resource servers is over limit of 1"));
    limit(&admin, &compute, "servers", &alice.project_id, 2).await;
    assert_eq!(boot(&alice, &admin, 1).await.status, 202, "the project's own limit holds in place of the default");
    let shown = alice.get("/compute/v2.1/limits").await.json()["limits"]["absolute"].clone();
    assert_eq!((&shown["maxTotalInstances"], &shown["maxTotalCores"]), (&json!(2), &json!(6)));
    assert_eq!(shown["totalInstancesUsed"], 2);
}

#[tokio::test]
async fn images_are_held_to_each_of_identitys_limits_when_asked_for() {
    let cloud = Cloud::with_unified_limits().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let new = json!({"name": "i", "container_format": "bare", "disk_format": "raw"});
    let refused = alice.post("/image/v2/images", new.clone()).await;
    assert_eq!(refused.status, 413, "nothing is registered");
    assert!(String::from_utf8_lossy(&refused.bytes).contains("Resource image_count_total is over limit of 0"));

    let images = images_without_bound(&admin).await;
    let set = |resource: &'static str, most: i64| {
        let (admin, images, project) = (admin.clone(), images.clone(), alice.project_id.clone());
        async move {
            let found = admin.get(&format!("/v3/limits?project_id={project}&resource_name={resource}")).await.json();
            match found["limits"][0]["id"].as_str() {
                None => assert_eq!(limit(&admin, &images, resource, &project, most).await.status, 201),
                Some(id) => {
                    let change = json!({"limit": {"resource_limit": most}});
                    assert_eq!(admin.patch(&format!("/v3/limits/{id}"), change).await.status, 200);
                }
            }
        }
    };
    let id = alice.post("/image/v2/images", new.clone()).await.json()["id"].as_str().unwrap().to_owned();
    set("image_count_total", 1).await;
    assert_eq!(alice.post("/image/v2/images", new.clone()).await.status, 413);

    set("image_count_uploading", 0).await;
    let refused = upload(&alice, &id, 10).await;
    assert_eq!(refused.status, 413);
    let said = String::from_utf8_lossy(&refused.bytes).into_owned();
    assert!(said.contains("image_count_uploading is over limit of 0 due to current usage 1 and delta 0"), "{said}");
    set("image_count_uploading", 1).await;

    set("image_size_total", 1).await;
    assert_eq!(upload(&alice, &id, 2 * 1024 * 1024).await.status, 413);
    let headers = [("content-type", "application/octet-stream")];
    let path = format!("/image/v2/images/{id}/file");
    let unannounced = alice.send(Method::PUT, &path, &headers, vec![0; 3 * 1024 * 1024]).await;
    assert_eq!(unannounced.status, 413, "bytes are counted as they come");
    assert!(is_queued_again(&alice, &id).await, "a refused upload leaves the image as it was");
    assert_eq!(upload(&alice, &id, 1024 * 1024).await.status, 204);
    let usage = alice.get("/image/v2/info/usage").await.json()["usage"].clone();
    assert_eq!(usage["image_size_total"], json!({"limit": 1, "usage": 1}));
    assert_eq!(usage["image_count_total"], json!({"limit": 1, "usage": 1}));
    assert_eq!(usage["image_stage_total"], json!({"limit": -1, "usage": 0}));
}

#[tokio::test]
async fn without_the_setting_no_limit_of_identity_holds() {
    let cloud = Cloud::new().await;
    let (admin, alice) = (cloud.admin().await, cloud.member("alice").await);
    let (compute, images) = (service(&admin, "compute").await, service(&admin, "image").await);
    register(&admin, &compute, "servers", 0).await;
    register(&admin, &images, "image_count_total", 0).await;
    assert_eq!(boot(&alice, &admin, 1).await.status, 202);
    assert_eq!(alice.get("/image/v2/info/usage").await.json(), json!({"usage": {}}));
}
