//! What is around servers: metadata, tags, interfaces, actions, limits, hosts, usage.

use super::*;
use http::Method;

#[tokio::test]
async fn metadata_is_changed_item_by_item_and_held_to_its_quota() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let path = format!("{PATH}/servers/{id}/metadata");
    assert_eq!(alice.post(&path, json!({"metadata": {"a": "1", "b": "2"}})).await.status, 200);
    assert_eq!(alice.put(&format!("{path}/a"), json!({"meta": {"a": "3"}})).await.json(), json!({"meta": {"a": "3"}}));
    let mismatch = alice.put(&format!("{path}/a"), json!({"meta": {"b": "3"}})).await;
    assert_eq!((mismatch.status, message(&mismatch).as_str()), (400, "Request body and URI mismatch"));
    assert_eq!(alice.delete(&format!("{path}/b")).await.status, 204);
    assert_eq!(alice.delete(&format!("{path}/b")).await.status, 404);
    assert_eq!(alice.get(&path).await.json(), json!({"metadata": {"a": "3"}}));
    let many: serde_json::Map<String, Value> = (0..129).map(|n| (format!("k{n}"), json!(""))).collect();
    let refused = alice.put(&path, json!({ "metadata": many })).await;
    assert_eq!((refused.status, message(&refused).as_str()), (403, "Maximum number of metadata items exceeds 128"));
}

#[tokio::test]
async fn tags_come_with_their_version_and_filter_lists() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let (id, other) = (site.boot(&alice, "a").await, site.boot(&alice, "b").await);
    let path = format!("{PATH}/servers/{id}/tags");
    assert_eq!(alice.get(&path).await.status, 404, "there are none at 2.1");
    let put = |path: String| {
        let alice = alice.clone();
        async move { at(&alice, "2.26", Method::PUT, &path, &Value::Null).await.status }
    };
    assert_eq!(put(format!("{path}/red")).await, 201);
    assert_eq!(put(format!("{path}/red")).await, 204);
    assert_eq!(put(format!("{path}/a,b")).await, 400);
    let list = at(&alice, "2.26", Method::GET, &format!("{PATH}/servers?tags=red"), &Value::Null).await.json();
    assert_eq!(list["servers"].as_array().unwrap().len(), 1);
    let without = at(&alice, "2.26", Method::GET, &format!("{PATH}/servers?not-tags=red"), &Value::Null).await.json();
    assert_eq!(without["servers"][0]["id"], other.to_string());
    let shown = at(&alice, "2.26", Method::GET, &format!("{PATH}/servers/{id}"), &Value::Null).await.json();
    assert_eq!(shown["server"]["tags"], json!(["red"]));
}

#[tokio::test]
async fn a_port_is_an_interface_of_its_server() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let list = alice.get(&format!("{PATH}/servers/{id}/os-interface")).await.json();
    let interface = &list["interfaceAttachments"][0];
    assert_eq!((&interface["net_id"], &interface["port_state"]), (&json!(site.network.to_string()), &json!("ACTIVE")));
    let one = format!("{PATH}/servers/{id}/os-interface/{}", interface["port_id"].as_str().unwrap());
    assert_eq!(alice.get(&one).await.json()["interfaceAttachment"], *interface);
    let port = interface["port_id"].as_str().unwrap();
    let seen = alice.get(&format!("/network/v2.0/ports/{port}")).await.json();
    assert_eq!(
        (&seen["port"]["device_owner"], &seen["port"]["device_id"]),
        (&json!("compute:nova"), &json!(id.to_string()))
    );
    let addresses = alice.get(&format!("{PATH}/servers/{id}/ips")).await.json();
    assert_eq!(addresses["addresses"]["private"][0]["addr"], interface["fixed_ips"][0]["ip_address"]);
}

#[tokio::test]
async fn what_was_asked_of_a_server_is_kept_beyond_its_end() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    alice.delete(&format!("{PATH}/servers/{id}")).await;
    site.cloud.work().await;
    let path = format!("{PATH}/servers/{id}/os-instance-actions");
    assert_eq!(alice.get(&path).await.status, 404);
    let list = at(&alice, "2.21", Method::GET, &path, &Value::Null).await.json();
    let names: Vec<&str> =
        list["instanceActions"].as_array().unwrap().iter().map(|a| a["action"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"create") && names.contains(&"delete"));
}

#[tokio::test]
async fn limits_and_quota_sets_count_what_is_there() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    site.boot(&alice, "web").await;
    let limits = alice.get(&format!("{PATH}/limits")).await.json()["limits"]["absolute"].clone();
    assert_eq!((&limits["totalInstancesUsed"], &limits["totalRAMUsed"]), (&json!(1), &json!(192)));
    let path = format!("{PATH}/os-quota-sets/{}", alice.project_id);
    assert_eq!(alice.put(&path, json!({"quota_set": {"cores": 50}})).await.status, 403);
    let low = admin.put(&path, json!({"quota_set": {"instances": 0}})).await;
    assert_eq!(low.status, 400, "{}", low.json());
    assert_eq!(admin.put(&path, json!({"quota_set": {"instances": 1}})).await.status, 200);
    assert_eq!(alice.post(&format!("{PATH}/servers"), site.wish("two")).await.status, 403);
    let detail = admin.get(&format!("{path}/detail")).await.json();
    assert_eq!(detail["quota_set"]["instances"], json!({"limit": 1, "in_use": 1, "reserved": 0}));
    assert_eq!(admin.delete(&path).await.status, 202);
    assert_eq!(alice.get(&path).await.json()["quota_set"]["instances"], 10);
    let bob = site.cloud.member("bob").await;
    assert_eq!(bob.get(&path).await.status, 403);
}

#[tokio::test]
async fn a_host_is_shown_and_a_disabled_one_takes_no_new_server() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let id = site.boot(&admin, "web").await;
    let hosts =
        at(&admin, "2.53", Method::GET, &format!("{PATH}/os-hypervisors/detail?with_servers=true"), &Value::Null)
            .await
            .json();
    let host = &hosts["hypervisors"][0];
    assert_eq!(
        (&host["hypervisor_hostname"], &host["state"], &host["running_vms"]),
        (&json!("host-1"), &json!("up"), &json!(1))
    );
    assert_eq!(host["servers"][0]["uuid"], id.to_string());
    assert_eq!(host["memory_mb_used"], 192);
    let service = format!("{PATH}/os-services/{}", host["service"]["id"].as_str().unwrap());
    let disable = json!({"status": "disabled", "disabled_reason": "new disk"});
    assert_eq!(at(&admin, "2.53", Method::PUT, &service, &disable).await.status, 200);
    let second = site.boot(&admin, "two").await;
    assert_eq!(show(&admin, second).await["status"], "ERROR");
    let zones = admin.get(&format!("{PATH}/os-availability-zone")).await.json();
    assert_eq!(zones["availabilityZoneInfo"][0]["zoneState"]["available"], false);
    let alice = site.cloud.member("alice").await;
    assert_eq!(alice.get(&format!("{PATH}/os-hypervisors")).await.status, 403);
}

#[tokio::test]
async fn usage_is_hours_from_launch_to_end() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    site.cloud.pass_seconds(7200);
    let alice = site.cloud.member("alice").await;
    alice.delete(&format!("{PATH}/servers/{id}")).await;
    site.cloud.work().await;
    site.cloud.pass_seconds(3600);
    let path = format!("{PATH}/os-simple-tenant-usage/{}?start=2020-01-01T00:00:00", alice.project_id);
    let alice = site.cloud.member("alice").await;
    let usage = alice.get(&path).await.json()["tenant_usage"].clone();
    assert!((usage["total_hours"].as_f64().unwrap() - 2.0).abs() < 0.01, "{usage}");
    assert_eq!(
        (&usage["server_usages"][0]["state"], &usage["server_usages"][0]["flavor"]),
        (&json!("terminated"), &json!("m1.nano"))
    );
}

#[tokio::test]
async fn flavors_are_hidden_given_and_described() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let path = format!("{PATH}/flavors");
    let new = json!({"flavor": {"name": "own", "id": "own", "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": false}});
    assert_eq!(alice.post(&path, new.clone()).await.status, 403);
    assert_eq!(admin.post(&path, new.clone()).await.status, 200);
    let again = admin.post(&path, new).await;
    assert_eq!((again.status, message(&again).as_str()), (409, "Flavor with name own already exists."));
    assert_eq!(alice.get(&format!("{path}/own")).await.status, 404);
    let give = json!({"addTenantAccess": {"tenant": alice.project_id}});
    assert_eq!(admin.post(&format!("{path}/own/action"), give).await.status, 200);
    assert_eq!(alice.get(&format!("{path}/own")).await.status, 200);
    let specs = format!("{path}/own/os-extra_specs");
    assert_eq!(admin.post(&specs, json!({"extra_specs": {"hw:cpu_policy": "dedicated"}})).await.status, 200);
    let mut wish = site.wish("web");
    wish["server"]["flavorRef"] = json!("own");
    let refused = alice.post(&format!("{PATH}/servers"), wish).await;
    assert_eq!((refused.status, message(&refused).contains("hw:cpu_policy")), (501, true));
    assert_eq!(admin.delete(&format!("{specs}/hw:cpu_policy")).await.status, 200);
    // Known specs are held to upstream's forms once a client speaks the version that does.
    let wrong = at(&admin, "2.86", Method::POST, &specs, &json!({"extra_specs": {"hw:cpu_policy": "own"}})).await;
    let said = "Validation failed; 'own' is not one of: dedicated, shared, mixed.";
    assert_eq!((wrong.status, message(&wrong).as_str()), (400, said));
    let wrong = at(&admin, "2.86", Method::PUT, &format!("{specs}/hw:nothing"), &json!({"hw:nothing": "1"})).await;
    assert_eq!(wrong.status, 400);
    let own = at(&admin, "2.86", Method::PUT, &format!("{specs}/acme:colour"), &json!({"acme:colour": "red"})).await;
    assert_eq!(own.json(), json!({"acme:colour": "red"}));
    assert_eq!(admin.delete(&format!("{path}/own")).await.status, 202);
}

#[tokio::test]
async fn what_is_not_built_says_so_and_what_is_empty_is_empty() {
    let site = Site::new().await;
    let admin = site.cloud.admin().await;
    let id = site.boot(&admin, "web").await;
    for action in ["addSecurityGroup"] {
        let mut body = serde_json::Map::new();
        body.insert(action.to_owned(), Value::Null);
        let reply = act(&admin, id, Value::Object(body)).await;
        assert_eq!(reply.status, 501, "{action}");
        assert!(message(&reply).ends_with("is not built yet."), "{}", message(&reply));
    }
    assert_eq!(admin.get(&format!("{PATH}/os-server-groups")).await.json(), json!({"server_groups": []}));
    assert_eq!(admin.get(&format!("{PATH}/os-aggregates")).await.json(), json!({"aggregates": []}));
    let unbuilt = admin.get(&format!("{PATH}/os-volumes")).await;
    assert_eq!((unbuilt.status, message(&unbuilt).ends_with("is not built yet.")), (501, true));
}
