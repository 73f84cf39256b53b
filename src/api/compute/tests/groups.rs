//! Server groups, and servers that are created many at once.

use super::*;
use crate::hypervisor::Hypervisor;
use http::Method;

async fn group(client: &Client, version: &str, body: Value) -> Reply {
    at(client, version, Method::POST, &format!("{PATH}/os-server-groups"), &json!({ "server_group": body })).await
}

/// A server of a group, once nothing is left to do.
async fn member(site: &Site, client: &Client, name: &str, group: &str) -> Value {
    let mut wish = site.wish(name);
    wish["os:scheduler_hints"] = json!({ "group": group });
    let reply = client.post(&format!("{PATH}/servers"), wish).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    site.cloud.work().await;
    show(client, ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap()).await
}

#[tokio::test]
async fn a_group_is_shown_as_each_version_shows_it() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let old = group(&alice, "2.1", json!({"name": "old", "policies": ["anti-affinity"]})).await;
    assert_eq!(old.status, 200, "{}", old.json());
    let id = old.json()["server_group"]["id"].as_str().unwrap().to_owned();
    let shown = |version: &'static str| {
        let (alice, id) = (alice.clone(), id.clone());
        async move {
            let reply = at(&alice, version, Method::GET, &format!("{PATH}/os-server-groups/{id}"), &Value::Null).await;
            reply.json()["server_group"].clone()
        }
    };
    assert_eq!(
        shown("2.1").await,
        json!({"id": id, "name": "old", "policies": ["anti-affinity"], "metadata": {}, "members": []})
    );
    let newest = json!({"id": id, "name": "old", "policy": "anti-affinity", "rules": {}, "members": [],
                        "project_id": alice.project_id, "user_id": alice.user_id});
    assert_eq!(shown("2.64").await, newest);
    let soft = json!({"name": "soft", "policies": ["soft-affinity"]});
    assert_eq!(group(&alice, "2.14", soft.clone()).await.status, 400);
    assert_eq!(group(&alice, "2.15", soft).await.status, 200);
    let ruled = json!({"name": "two", "policy": "anti-affinity", "rules": {"max_server_per_host": "2"}});
    assert_eq!(group(&alice, "2.63", ruled.clone()).await.status, 400);
    let ruled = group(&alice, "2.64", ruled).await.json();
    assert_eq!(ruled["server_group"]["rules"], json!({"max_server_per_host": 2}));
    let wrong =
        group(&alice, "2.64", json!({"name": "x", "policy": "affinity", "rules": {"max_server_per_host": 2}})).await;
    assert_eq!((wrong.status, message(&wrong).as_str()), (400, "Only anti-affinity policy supports rules."));
    for policies in [json!([]), json!(["affinity", "anti-affinity"]), json!(["storage"]), json!("affinity")] {
        assert_eq!(group(&alice, "2.1", json!({"name": "x", "policies": policies})).await.status, 400, "{policies}");
    }
}

#[tokio::test]
async fn a_group_belongs_to_its_project_and_an_administrator_may_list_all() {
    let site = Site::new().await;
    let (alice, bob, admin) =
        (site.cloud.member("alice").await, site.cloud.member("bob").await, site.cloud.admin().await);
    let made = group(&alice, "2.64", json!({"name": "own", "policy": "affinity"})).await.json();
    let path = format!("{PATH}/os-server-groups/{}", made["server_group"]["id"].as_str().unwrap());
    assert_eq!(bob.get(&path).await.status, 404);
    assert_eq!(bob.delete(&path).await.status, 404);
    let count = |reply: Reply| reply.json()["server_groups"].as_array().unwrap().len();
    let list = format!("{PATH}/os-server-groups");
    assert_eq!(count(bob.get(&format!("{list}?all_projects=1")).await), 0);
    assert_eq!(count(admin.get(&list).await), 0);
    assert_eq!(count(admin.get(&format!("{list}?all_projects=1")).await), 1);
    assert_eq!(count(alice.get(&format!("{list}?offset=1")).await), 0);
    let mut wish = site.wish("web");
    wish["os:scheduler_hints"] = json!({"group": made["server_group"]["id"]});
    let foreign = bob.post(&format!("{PATH}/servers"), wish).await;
    assert_eq!(foreign.status, 400, "{}", foreign.json());
    assert_eq!(alice.delete(&path).await.status, 204);
    assert_eq!(alice.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_policy_decides_where_the_next_server_goes() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    for (policy, second) in [("anti-affinity", "ERROR"), ("affinity", "ACTIVE"), ("soft-anti-affinity", "ACTIVE")] {
        let made = group(&alice, "2.64", json!({"name": policy, "policy": policy})).await.json();
        let id = made["server_group"]["id"].as_str().unwrap();
        let first = member(&site, &alice, "first", id).await;
        assert_eq!(first["status"], "ACTIVE");
        let next = member(&site, &alice, "second", id).await;
        assert_eq!(next["status"], second, "{policy}, on the only host there is");
        let path = format!("{PATH}/servers/{}", first["id"].as_str().unwrap());
        let shown = at(&alice, "2.71", Method::GET, &path, &Value::Null).await.json();
        assert_eq!(shown["server"]["server_groups"], json!([id]));
        alice.delete(&path).await;
        site.cloud.work().await;
        let members = alice.get(&format!("{PATH}/os-server-groups/{id}")).await.json();
        assert_eq!(members["server_group"]["members"], json!([next["id"]]), "a deleted server is no member");
    }
}

#[tokio::test]
async fn groups_and_their_members_are_held_to_quotas() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let quotas = format!("{PATH}/os-quota-sets/{}", alice.project_id);
    let one = json!({"quota_set": {"server_groups": 1, "server_group_members": 1}});
    assert_eq!(admin.put(&quotas, one).await.status, 200);
    let made = group(&alice, "2.64", json!({"name": "own", "policy": "affinity"})).await.json();
    let refused = group(&alice, "2.64", json!({"name": "more", "policy": "affinity"})).await;
    assert_eq!((refused.status, message(&refused).as_str()), (403, "Quota exceeded, too many server groups."));
    let limits = alice.get(&format!("{PATH}/limits")).await.json();
    assert_eq!(limits["limits"]["absolute"]["totalServerGroupsUsed"], 1);
    let mut wish = site.wish("web");
    wish["os:scheduler_hints"] = json!({"group": made["server_group"]["id"]});
    wish["server"]["max_count"] = json!(2);
    wish["server"]["min_count"] = json!(2);
    let refused = alice.post(&format!("{PATH}/servers"), wish).await;
    assert_eq!((refused.status, message(&refused).as_str()), (403, "Quota exceeded, too many servers in group"));
}

#[tokio::test]
async fn several_servers_are_made_at_once_and_named_after_their_place() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let mut wish = site.wish("web");
    wish["server"]["min_count"] = json!(2);
    wish["server"]["max_count"] = json!("3");
    wish["server"]["return_reservation_id"] = json!(true);
    let reply = alice.post(&format!("{PATH}/servers"), wish).await;
    assert_eq!(reply.status, 202);
    let reservation = reply.json()["reservation_id"].as_str().unwrap().to_owned();
    site.cloud.work().await;
    let list = alice.get(&format!("{PATH}/servers?reservation_id={reservation}")).await.json();
    let mut names: Vec<&str> =
        list["servers"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["web-1", "web-2", "web-3"]);
}

#[tokio::test]
async fn a_hundred_creates_at_once_exceed_neither_a_quota_nor_the_host() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let quotas = format!("{PATH}/os-quota-sets/{}", alice.project_id);
    let wide = json!({"quota_set": {"instances": 40, "cores": -1, "ram": -1}});
    assert_eq!(admin.put(&quotas, wide).await.status, 200);
    // A flavor of which the simulated host's disk takes fewer than the quota.
    let host = at(&admin, "2.53", Method::GET, &format!("{PATH}/os-hypervisors/detail"), &Value::Null).await.json();
    let total = host["hypervisors"][0]["local_gb"].as_u64().unwrap();
    let disk = total / 25;
    let fits = usize::try_from(total / disk).unwrap();
    assert!(fits < 40, "the quota would not be reached");
    let flavor = json!({"flavor": {"name": "wide", "id": "wide", "ram": 64, "vcpus": 1, "disk": disk}});
    assert_eq!(admin.post(&format!("{PATH}/flavors"), flavor).await.status, 200);
    let calls = (0..100).map(|n| {
        let (alice, mut wish) = (alice.clone(), site.wish(&format!("s{n}")));
        wish["server"]["flavorRef"] = json!("wide");
        wish["server"]["networks"] = json!("none");
        async move { at(&alice, "2.37", Method::POST, &format!("{PATH}/servers"), &wish).await.status }
    });
    let statuses = futures::future::join_all(calls).await;
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 40, "as many as the quota lets in");
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 60);
    site.cloud.work().await;
    let list = alice.get(&format!("{PATH}/servers/detail")).await.json();
    let of = |status: &str| list["servers"].as_array().unwrap().iter().filter(|one| one["status"] == status).count();
    assert_eq!((of("ACTIVE"), of("ERROR")), (fits, 40 - fits), "as many as the host's disk takes");
    let claimed = site.cloud.state.db.read(crate::store::hosts::list).await.unwrap();
    assert!(claimed[0].claimed.disk_gib <= claimed[0].capacity.disk_gib, "{:?}", claimed[0].claimed);
    assert_eq!(site.cloud.hypervisor.list().await.unwrap().len(), fits);
}
