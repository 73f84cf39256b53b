//! Where servers go: what tenants and operators are told, and that nothing is promised twice.

use super::*;
use crate::tasks::placing;
use futures::future::join_all;
use http::Method;

async fn two_small_hosts() -> (Site, Client) {
    // Of one CPU each, which may be promised four times.
    let site = Site::over(Cloud::with_hosts(&[(1, 4096), (1, 4096)]).await).await;
    let admin = site.cloud.admin().await;
    (site, admin)
}

async fn order(site: &Site, client: &Client, name: &str) -> ServerId {
    let reply = client.post(&format!("{PATH}/servers"), site.wish(name)).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap()
}

async fn aggregate_with(admin: &Client, host: &str, metadata: Value) {
    let made = admin.post(&format!("{PATH}/os-aggregates"), json!({"aggregate": {"name": host}})).await.json();
    let action = format!("{PATH}/os-aggregates/{}/action", made["aggregate"]["id"]);
    assert_eq!(admin.post(&action, json!({"add_host": {"host": host}})).await.status, 200);
    assert_eq!(admin.post(&action, json!({"set_metadata": {"metadata": metadata}})).await.status, 200);
}

#[tokio::test]
async fn servers_that_are_placed_at_once_never_get_more_than_hosts_have() {
    let (site, admin) = two_small_hosts().await;
    let mut servers = Vec::new();
    for number in 0..10 {
        servers.push(order(&site, &admin, &format!("s{number}")).await);
    }
    let state = &site.cloud.state;
    let claims = servers.iter().map(|id| {
        let (id, rules, now) = (*id, state.placement.clone(), state.clock.now());
        state.db.write(move |tx| placing::claim(tx, &rules, id, &Default::default(), now))
    });
    let outcomes = join_all(claims).await;
    let placed: Vec<_> = outcomes.iter().flatten().collect();
    for host in &site.cloud.hosts {
        assert_eq!(placed.iter().filter(|on| ***on == host.id).count(), 4, "{}", host.name);
    }
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        let text = "No valid host was found. There are not enough hosts available. Of 2 hosts, Resources refused 2.";
        assert_eq!(refused.to_string(), text);
    }
    let hosts = state.db.read(crate::store::hosts::list).await.unwrap();
    assert!(hosts.iter().all(|host| host.claimed.vcpus == host.capacity.vcpus));
}

#[tokio::test]
async fn a_tenant_learns_that_there_is_no_place_and_an_administrator_why() {
    let (site, admin) = two_small_hosts().await;
    let alice = site.cloud.member("alice").await;
    for name in ["host-1", "host-2"] {
        let path = format!("{PATH}/os-services/disable");
        let body = json!({"host": name, "binary": "nova-compute"});
        assert_eq!(admin.put(&path, body).await.status, 200);
    }
    let id = order(&site, &alice, "nowhere").await;
    site.cloud.work().await;
    let fault = show(&alice, id).await["fault"].clone();
    let text = "No valid host was found. There are not enough hosts available. Of 2 hosts, ComputeFilter refused 2.";
    assert_eq!(fault["message"], text);
    assert_eq!(fault.get("details"), None);
    let details = show(&admin, id).await["fault"]["details"].clone();
    let expected = "Filter results: ['RequestedDestination: (start: 2, end: 2)', 'AvailabilityZone: (start: 2, end: 2)', \
                    'ComputeFilter: (start: 2, end: 0)'] ComputeFilter refused host-1, host-2.";
    assert_eq!(details, expected);
}

async fn explain(client: &Client, wanted: Value) -> Reply {
    client.post(&format!("{PATH}/os-placement-explanations"), json!({ "placement": wanted })).await
}

#[tokio::test]
async fn an_operator_is_told_of_each_host_why_it_does_not_take_a_server() {
    let (site, admin) = two_small_hosts().await;
    let id = site.boot(&admin, "web").await;
    let own = show(&admin, id).await["OS-EXT-SRV-ATTR:host"].clone();
    let other = if own == "host-1" { "host-2" } else { "host-1" };
    let path = format!("{PATH}/servers/{id}/placement");
    let reply = admin.get(&path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let told = reply.json()["placement"].clone();
    assert_eq!((&told["chosen"], &told["message"]), (&json!(other), &Value::Null));
    assert_eq!(told["demand"], json!({"vcpus": 1, "memory_mb": 192, "disk_gb": 1}));
    let host =
        |name: &Value| told["hosts"].as_array().unwrap().iter().find(|host| host["name"] == *name).unwrap().clone();
    assert_eq!(host(&own)["refused_by"], "RequestedDestination");
    assert_eq!(host(&own)["reason"], "another host is asked for, or the server is to leave this one");
    assert_eq!(
        (&host(&own)["weight"], &host(&own)["free"]["vcpus"], &host(&own)["servers"]),
        (&Value::Null, &json!(3), &json!(1))
    );
    assert_eq!(host(&json!(other))["refused_by"], Value::Null);
    assert!(host(&json!(other))["weight"].is_number());
    assert_eq!(told["filters"][0], json!({"filter": "RequestedDestination", "before": 2, "after": 1}));

    let told = admin.get(&format!("{path}?host={}", own.as_str().unwrap())).await.json()["placement"].clone();
    assert_eq!(told["chosen"], Value::Null);
    let text =
        "No valid host was found. There are not enough hosts available. Of 2 hosts, RequestedDestination refused 2.";
    assert_eq!(told["message"], text);
    let alice = site.cloud.member("alice").await;
    assert_eq!(alice.get(&path).await.status, 403);
    let nobody = format!("{PATH}/servers/00000000-0000-4000-8000-000000000000/placement");
    assert_eq!(admin.get(&nobody).await.status, 404);
}

#[tokio::test]
async fn an_operator_can_ask_where_a_server_would_go_that_nobody_has_asked_for() {
    let (site, admin) = two_small_hosts().await;
    let chosen = async |wanted: Value| {
        let reply = explain(&admin, wanted).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["placement"]["chosen"].clone()
    };
    assert_eq!(chosen(json!({"flavorRef": "42"})).await, "host-1");
    assert_eq!(chosen(json!({"flavorRef": "42", "host": "host-2"})).await, "host-2");
    assert_eq!(chosen(json!({"flavorRef": "42", "availability_zone": "elsewhere"})).await, Value::Null);
    assert_eq!(chosen(json!({"flavorRef": "42", "imageRef": site.image.to_string()})).await, "host-1");
    let specs = json!({"extra_specs": {"trait:HW_CPU_X86_AVX2": "required"}});
    assert_eq!(admin.post(&format!("{PATH}/flavors/42/os-extra_specs"), specs).await.status, 200);
    assert_eq!(chosen(json!({"flavorRef": "42"})).await, Value::Null);
    site.cloud.hosts[1].hypervisor.set_cpu_features(&["avx2"]);
    site.cloud.reconcile().await;
    assert_eq!(chosen(json!({"flavorRef": "42"})).await, "host-2");
    let group = json!({"server_group": {"name": "apart", "policies": ["anti-affinity"]}});
    let group = admin.post(&format!("{PATH}/os-server-groups"), group).await.json()["server_group"]["id"].clone();
    let in_group = json!({"flavorRef": "42", "scheduler_hints": {"group": group}});
    assert_eq!(chosen(in_group.clone()).await, "host-2");
    let mut wish = site.wish("first");
    wish["os:scheduler_hints"] = json!({"group": group});
    assert_eq!(admin.post(&format!("{PATH}/servers"), wish).await.status, 202);
    site.cloud.work().await;
    assert_eq!(chosen(in_group).await, Value::Null, "the group has one there already");
    let hosts = site.cloud.state.db.read(crate::store::hosts::list).await.unwrap();
    assert_eq!(hosts.iter().map(|host| host.claimed.vcpus).sum::<u64>(), 1, "asking claims nothing");
    for wrong in [
        json!({}),
        json!({"flavorRef": "none"}),
        json!({"flavorRef": "42", "imageRef": "00000000-0000-4000-8000-000000000000"}),
        json!({"flavorRef": "42", "colour": "red"}),
        json!({"flavorRef": "42", "scheduler_hints": {"_private": 1}}),
    ] {
        assert_eq!(explain(&admin, wrong.clone()).await.status, 400, "{wrong}");
    }
    assert_eq!(explain(&admin, json!({"flavorRef": "42", "host": "host-3"})).await.status, 404);
    let alice = site.cloud.member("alice").await;
    assert_eq!(explain(&alice, json!({"flavorRef": "42"})).await.status, 403);
}

#[tokio::test]
async fn a_flavor_goes_to_the_hosts_whose_aggregate_gives_what_it_asks_for() {
    let (site, admin) = two_small_hosts().await;
    aggregate_with(&admin, "host-2", json!({"ssd": "true"})).await;
    let specs = json!({"extra_specs": {"aggregate_instance_extra_specs:ssd": "true"}});
    assert_eq!(admin.post(&format!("{PATH}/flavors/42/os-extra_specs"), specs).await.status, 200);
    for number in 0..2 {
        let id = site.boot(&admin, &format!("fast{number}")).await;
        assert_eq!(show(&admin, id).await["OS-EXT-SRV-ATTR:host"], "host-2");
    }
}

#[tokio::test]
async fn an_aggregate_lets_its_hosts_promise_more_or_less_at_once() {
    let (site, admin) = two_small_hosts().await;
    aggregate_with(&admin, "host-1", json!({"cpu_allocation_ratio": "2.0"})).await;
    let capacity = || async {
        let hosts = site.cloud.state.db.read(crate::store::hosts::list).await.unwrap();
        hosts.iter().map(|host| host.capacity.vcpus).collect::<Vec<_>>()
    };
    assert_eq!(capacity().await, [2, 4]);
    site.cloud.reconcile().await;
    assert_eq!(capacity().await, [2, 4], "a host that is heard again keeps to its aggregate");
    let action = format!("{PATH}/os-aggregates/1/action");
    let gone = json!({"set_metadata": {"metadata": {"cpu_allocation_ratio": null}}});
    assert_eq!(admin.post(&action, gone).await.status, 200);
    assert_eq!(capacity().await, [4, 4]);
}

#[tokio::test]
async fn an_image_for_another_architecture_finds_no_host() {
    let (site, admin) = two_small_hosts().await;
    let image = site.image;
    let set = move |tx: &mut crate::store::Tx| {
        let sql = "INSERT INTO image_properties (image_id, name, value) VALUES (?1, 'hw_architecture', 'aarch64')";
        tx.execute(sql, args![image])
    };
    site.cloud.state.db.write(set).await.unwrap();
    let id = order(&site, &admin, "arm").await;
    site.cloud.work().await;
    let shown = show(&admin, id).await;
    assert_eq!(shown["status"], "ERROR");
    let details = shown["fault"]["details"].as_str().unwrap();
    let refused = "'ImagePropertiesFilter: (start: 2, end: 0)'] ImagePropertiesFilter refused host-1, host-2.";
    assert!(details.ends_with(refused), "{details}");
}

#[tokio::test]
async fn a_host_on_which_boots_fail_is_the_last_choice_until_one_succeeds() {
    let (site, admin) = two_small_hosts().await;
    let failed = site.cloud.hosts[0].id;
    let note = move |tx: &mut crate::store::Tx| crate::store::placement::note_build(tx, failed, false);
    site.cloud.state.db.write(note).await.unwrap();
    let id = site.boot(&admin, "careful").await;
    assert_eq!(show(&admin, id).await["OS-EXT-SRV-ATTR:host"], "host-2");
    let mut wish = site.wish("again");
    wish["server"]["host"] = json!("host-1");
    assert_eq!(at(&admin, "2.74", Method::POST, &format!("{PATH}/servers"), &wish).await.status, 202);
    site.cloud.work().await;
    let next = site.boot(&admin, "trusting").await;
    let others = site.boot(&admin, "balanced").await;
    let on =
        [show(&admin, next).await, show(&admin, others).await].map(|server| server["OS-EXT-SRV-ATTR:host"].clone());
    assert!(on.contains(&json!("host-1")), "{on:?}");
}
