//! The network service over its whole router: what clients see.

use crate::api::testing::{Client, Cloud, START};
use crate::ids::{NetworkId, ServerId};
use crate::store::server_ports::{self, Interface};
use serde_json::{Value, json};

const V2: &str = "/network/v2.0";

async fn network(client: &Client, body: Value) -> Value {
    let reply = client.post(&format!("{V2}/networks"), json!({ "network": body })).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.json()["network"].clone()
}

async fn subnet(client: &Client, network: &Value, cidr: &str) -> Value {
    let body = json!({"subnet": {"network_id": network["id"], "ip_version": 4, "cidr": cidr}});
    let reply = client.post(&format!("{V2}/subnets"), body).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.json()["subnet"].clone()
}

async fn port(client: &Client, body: Value) -> Value {
    let reply = client.post(&format!("{V2}/ports"), json!({ "port": body })).await;
    assert_eq!(reply.status, 201, "{}", reply.json());
    reply.json()["port"].clone()
}

fn path(collection: &str, thing: &Value) -> String {
    format!("{V2}/{collection}/{}", thing["id"].as_str().unwrap())
}

/// Names (or ids) in a list, sorted.
async fn names(client: &Client, collection: &str, query: &str) -> Vec<String> {
    let reply = client.get(&format!("{V2}/{collection}?{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    let mut names: Vec<String> = reply.json()[collection]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// The value with every id as `[id]`.
fn without_ids(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() >= 32 && uuid::Uuid::try_parse(text).is_ok() => json!("[id]"),
        Value::Array(items) => items.iter().map(without_ids).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), without_ids(item))).collect(),
        other => other.clone(),
    }
}

/// Status, type and message of a refusal.
fn fault(reply: &crate::api::testing::Reply) -> (u16, String, String) {
    let error = reply.json()["NeutronError"].clone();
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    (reply.status, text("type"), text("message"))
}

#[tokio::test]
async fn versions_and_extensions_say_what_there_is() {
    let cloud = Cloud::new().await;
    let root = cloud.stranger().get("/network/").await.json();
    assert_eq!(root["versions"][0]["links"][0]["href"], "http://cloud.test/network/v2.0/");
    let alice = cloud.reader("alice").await;
    let extensions = alice.get(&format!("{V2}/extensions")).await.json();
    let aliases: Vec<_> =
        extensions["extensions"].as_array().unwrap().iter().map(|it| it["alias"].as_str().unwrap()).collect();
    for absent in ["router", "security-group", "port-security", "external-net", "agent", "network_availability_zone"] {
        assert!(!aliases.contains(&absent), "{absent} is not served and so not named");
    }
    assert_eq!(alice.get(&format!("{V2}/extensions/quotas")).await.json()["extension"]["alias"], "quotas");
    assert_eq!(alice.get(&format!("{V2}/extensions/router")).await.status, 404);
}

#[tokio::test]
async fn what_is_not_built_says_so_and_what_upstream_has_not_is_not_found() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let (status, kind, message) = fault(&alice.get(&format!("{V2}/routers")).await);
    assert_eq!((status, kind.as_str()), (501, "NotImplemented"));
    assert!(message.starts_with("Routers: not built"), "{message}");
    assert_eq!(alice.put(&format!("{V2}/routers/x/add_router_interface"), json!({})).await.status, 501);
    assert_eq!(alice.get(&format!("{V2}/security-groups/default")).await.status, 501);
    assert_eq!(alice.get(&format!("{V2}/bananas")).await.status, 404);
    assert_eq!(cloud.stranger().get(&format!("{V2}/routers")).await.status, 401);
}

#[tokio::test]
async fn a_network_lives_from_creation_to_deletion() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let made = network(&alice, json!({"name": "web", "admin_state_up": true})).await;
    insta::assert_json_snapshot!(without_ids(&made), @r#"
    {
      "id": "[id]",
      "name": "web",
      "tenant_id": "[id]",
      "project_id": "[id]",
      "description": "",
      "admin_state_up": true,
      "status": "ACTIVE",
      "mtu": 1450,
      "shared": false,
      "router:external": false,
      "port_security_enabled": false,
      "subnets": [],
      "tags": [],
      "created_at": "2026-11-22T02:41:09Z",
      "updated_at": "2026-11-22T02:41:09Z",
      "revision_number": 1
    }
    "#);
    let subnet = subnet(&alice, &made, "10.0.0.0/24").await;
    insta::assert_json_snapshot!(without_ids(&subnet), @r#"
    {
      "id": "[id]",
      "name": "",
      "tenant_id": "[id]",
      "project_id": "[id]",
      "network_id": "[id]",
      "description": "",
      "ip_version": 4,
      "cidr": "10.0.0.0/24",
      "gateway_ip": "10.0.0.1",
      "enable_dhcp": true,
      "allocation_pools": [
        {
          "start": "10.0.0.2",
          "end": "10.0.0.254"
        }
      ],
      "dns_nameservers": [],
      "host_routes": [],
      "ipv6_ra_mode": null,
      "ipv6_address_mode": null,
      "subnetpool_id": null,
      "tags": [],
      "created_at": "2026-11-22T02:41:09Z",
      "updated_at": "2026-11-22T02:41:09Z",
      "revision_number": 0
    }
    "#);
    let renamed = alice.put(&path("networks", &made), json!({"network": {"name": "front"}})).await.json();
    assert_eq!(renamed["network"]["name"], "front");
    assert_eq!(renamed["network"]["subnets"], json!([subnet["id"]]));
    assert_eq!(alice.delete(&path("networks", &made)).await.status, 204);
    assert_eq!(alice.get(&path("networks", &made)).await.status, 404);
    assert_eq!(alice.get(&path("subnets", &subnet)).await.status, 404);
}

#[tokio::test]
async fn a_port_shows_what_clients_print_and_binding_only_to_administrators() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let net = network(&alice, json!({"name": "web"})).await;
    subnet(&alice, &net, "10.0.0.0/24").await;
    let body = json!({"network_id": net["id"], "name": "eth0", "mac_address": "FA:16:3E:00:00:01", "tags": ["b", "a"],
                      "fixed_ips": [{"ip_address": "10.0.0.9"}], "security_groups": []});
    let made = port(&alice, body).await;
    insta::assert_json_snapshot!(without_ids(&made), @r#"
    {
      "id": "[id]",
      "name": "eth0",
      "network_id": "[id]",
      "tenant_id": "[id]",
      "project_id": "[id]",
      "description": "",
      "mac_address": "fa:16:3e:00:00:01",
      "admin_state_up": true,
      "status": "DOWN",
      "device_id": "",
      "device_owner": "",
      "fixed_ips": [
        {
          "subnet_id": "[id]",
          "ip_address": "10.0.0.9"
        }
      ],
      "port_security_enabled": false,
      "security_groups": [],
      "binding:vnic_type": "normal",
      "tags": [
        "a",
        "b"
      ],
      "created_at": "2026-11-22T02:41:09Z",
      "updated_at": "2026-11-22T02:41:09Z",
      "revision_number": 2
    }
    "#);
    let shown = admin.get(&path("ports", &made)).await.json();
    assert_eq!(shown["port"]["binding:vif_type"], "unbound");
    assert_eq!(shown["port"]["binding:host_id"], "");
    let bound =
        alice.post(&format!("{V2}/ports"), json!({"port": {"network_id": net["id"], "binding:host_id": "h"}})).await;
    assert_eq!(fault(&bound).1, "PolicyNotAuthorized");
}

#[tokio::test]
async fn shared_networks_are_everybodys_to_join_and_their_owners_to_change() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let refused = alice.post(&format!("{V2}/networks"), json!({"network": {"shared": true}})).await;
    assert_eq!(
        fault(&refused),
        (403, "PolicyNotAuthorized".into(), "(rule:create_network:shared) is disallowed by policy".into())
    );
    let shared = network(&admin, json!({"name": "private", "shared": true})).await;
    subnet(&admin, &shared, "10.0.0.0/24").await;
    network(&admin, json!({"name": "hidden"})).await;
    assert_eq!(names(&alice, "networks", "").await, ["private"]);
    assert_eq!(names(&alice, "networks", "shared=False").await, Vec::<String>::new());
    assert_eq!(alice.delete(&path("networks", &shared)).await.status, 403);
    let on_it = json!({"subnet": {"network_id": shared["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}});
    assert_eq!(alice.post(&format!("{V2}/subnets"), on_it).await.status, 403);
    let joined = port(&alice, json!({"network_id": shared["id"]})).await;
    let chosen = json!({"port": {"network_id": shared["id"], "fixed_ips": [{"ip_address": "10.0.0.50"}]}});
    assert_eq!(alice.post(&format!("{V2}/ports"), chosen).await.status, 403, "guests take the address they are given");
    let unshared = admin.put(&path("networks", &shared), json!({"network": {"shared": false}})).await;
    assert_eq!(fault(&unshared).1, "InvalidSharedSetting");
    assert_eq!(alice.delete(&path("ports", &joined)).await.status, 204);
    assert_eq!(admin.put(&path("networks", &shared), json!({"network": {"shared": false}})).await.status, 200);
    assert_eq!(alice.get(&path("networks", &shared)).await.status, 404);
}

#[tokio::test]
async fn another_projects_things_are_not_found() {
    let cloud = Cloud::new().await;
    let (alice, mallory) = (cloud.member("alice").await, cloud.member("mallory").await);
    let net = network(&alice, json!({"name": "web"})).await;
    let sub = subnet(&alice, &net, "10.0.0.0/24").await;
    let own = port(&alice, json!({"network_id": net["id"]})).await;
    for (collection, one, thing, kind) in [
        ("networks", "network", &net, "NetworkNotFound"),
        ("subnets", "subnet", &sub, "SubnetNotFound"),
        ("ports", "port", &own, "PortNotFound"),
    ] {
        let path = path(collection, thing);
        for reply in [
            mallory.get(&path).await,
            mallory.put(&path, json!({ one: {"name": "mine"} })).await,
            mallory.delete(&path).await,
            mallory.put(&format!("{path}/tags"), json!({"tags": ["mine"]})).await,
        ] {
            assert_eq!((fault(&reply).0, fault(&reply).1.as_str()), (404, kind));
        }
        assert_eq!(names(&mallory, collection, "").await, Vec::<String>::new());
    }
    for body in [
        json!({"port": {"network_id": net["id"]}}),
        json!({"subnet": {"network_id": net["id"], "ip_version": 4, "cidr": "10.1.0.0/24"}}),
    ] {
        let collection = if body.get("port").is_some() { "ports" } else { "subnets" };
        assert_eq!(fault(&mallory.post(&format!("{V2}/{collection}"), body).await).1, "NetworkNotFound");
    }
    let theirs = json!({"network": {"name": "gift", "project_id": alice.project_id}});
    assert_eq!(mallory.post(&format!("{V2}/networks"), theirs).await.status, 400);
}

#[tokio::test]
async fn lists_are_filtered_sorted_paged_and_cut_to_fields() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let nets: Vec<Value> = ["c", "a", "b"].iter().map(|name| json!({ "name": name })).collect();
    let bulk = alice.post(&format!("{V2}/networks"), json!({ "networks": nets })).await;
    assert_eq!((bulk.status, bulk.json()["networks"].as_array().unwrap().len()), (201, 3));
    let ids: Vec<String> =
        bulk.json()["networks"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names(&alice, "networks", "name=a").await, ["a"]);
    assert_eq!(names(&alice, "networks", &format!("id={}&id={}", ids[0], ids[1])).await, ["a", "c"]);
    assert_eq!(names(&alice, "networks", "router%3Aexternal=True").await, Vec::<String>::new());
    let only = alice.get(&format!("{V2}/networks?fields=id&fields=name&name=a")).await.json();
    assert_eq!(only["networks"][0].as_object().unwrap().len(), 2);
    let mut seen = Vec::new();
    let mut next = format!("{V2}/networks?limit=2&sort_key=name&sort_dir=desc");
    for _ in 0..3 {
        let page = alice.get(&next).await.json();
        seen.extend(page["networks"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()));
        let links = page["networks_links"].as_array().cloned().unwrap_or_default();
        match links.iter().find(|link| link["rel"] == "next") {
            Some(link) => next = link["href"].as_str().unwrap().strip_prefix("http://cloud.test").unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["c", "b", "a"]);
    let reverse =
        alice.get(&format!("{V2}/networks?limit=1&sort_key=name&page_reverse=True&marker={}", ids[0])).await.json();
    assert_eq!(reverse["networks"][0]["name"], "b");
    for wrong in ["colour=red", "sort_key=colour", "limit=-1", "limit=ten", "sort_key=name&sort_dir=up"] {
        assert_eq!(alice.get(&format!("{V2}/networks?{wrong}")).await.status, 400, "{wrong}");
    }
    let lost = alice.get(&format!("{V2}/networks?limit=1&marker={}", NetworkId::random())).await;
    assert_eq!(fault(&lost).1, "NetworkNotFound");
}

#[tokio::test]
async fn ports_are_found_by_what_clients_ask_for() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let net = network(&alice, json!({"name": "web"})).await;
    subnet(&alice, &net, "10.0.0.0/24").await;
    let one = port(&alice, json!({"network_id": net["id"], "name": "one", "device_id": "d"})).await;
    port(&alice, json!({"network_id": net["id"], "name": "two"})).await;
    assert_eq!(names(&alice, "ports", "device_id=d&fields=id&fields=name&fields=fixed_ips").await, ["one"]);
    assert_eq!(names(&alice, "ports", "fixed_ips=ip_address%3D10.0.0.3").await, ["two"]);
    assert_eq!(names(&alice, "ports", &format!("mac_address={}", one["mac_address"].as_str().unwrap())).await, ["one"]);
    assert_eq!(names(&alice, "ports", &format!("network_id={}", net["id"].as_str().unwrap())).await, ["one", "two"]);
    assert_eq!(names(&alice, "ports", &format!("tenant_id={}", alice.project_id)).await, ["one", "two"]);
}

#[tokio::test]
async fn what_is_in_use_stays() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let net = network(&alice, json!({"name": "web"})).await;
    let sub = subnet(&alice, &net, "10.0.0.0/24").await;
    let (project, id, server) =
        (alice.project_id.clone(), NetworkId::parse(net["id"].as_str().unwrap()).unwrap(), ServerId::random());
    let made = cloud
        .state
        .db
        .write(move |tx| {
            let interface = Interface { server, position: 0, zone: "nova" };
            server_ports::create_for_server(tx, id, &project.as_str().into(), interface, None, START)
        })
        .await
        .unwrap();
    let at = format!("{V2}/ports/{}", made.id);
    assert_eq!(
        fault(&alice.delete(&path("networks", &net)).await),
        (
            409,
            "NetworkInUse".into(),
            format!(
                "Unable to complete operation on network {id}. There are one or more ports still in use on the network, id for these ports is {}.",
                made.id
            )
        )
    );
    assert_eq!(fault(&alice.delete(&path("subnets", &sub)).await).1, "SubnetInUse");
    assert_eq!(fault(&alice.delete(&at).await).1, "PortInUse");
    assert_eq!(fault(&alice.put(&at, json!({"port": {"device_id": ""}})).await).1, "PortInUse");
    assert_eq!(fault(&alice.put(&at, json!({"port": {"fixed_ips": []}})).await).1, "PortInUse");
    assert_eq!(alice.put(&at, json!({"port": {"name": "eth0"}})).await.json()["port"]["name"], "eth0");
    let taken = json!({"port": {"network_id": net["id"], "fixed_ips": [{"ip_address": "10.0.0.2"}]}});
    assert_eq!(fault(&alice.post(&format!("{V2}/ports"), taken).await).1, "IpAddressAlreadyAllocated");
    let twin = json!({"port": {"network_id": net["id"], "mac_address": made.mac_address}});
    assert_eq!(fault(&alice.post(&format!("{V2}/ports"), twin).await).1, "MacAddressInUse");
    let moved =
        alice.put(&path("subnets", &sub), json!({"subnet": {"gateway_ip": "10.0.0.2", "allocation_pools": []}})).await;
    assert_eq!(fault(&moved).1, "GatewayIpInUse");
}

#[tokio::test]
async fn limits_are_kept_and_counted() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let at = format!("{V2}/quotas/{}", alice.project_id);
    assert_eq!(alice.get(&at).await.json(), json!({"quota": {"network": 100, "subnet": 100, "port": 500}}));
    assert_eq!(alice.put(&at, json!({"quota": {"network": 1000}})).await.status, 403);
    assert_eq!(admin.put(&at, json!({"quota": {"network": 1}})).await.json()["quota"]["network"], 1);
    network(&alice, json!({"name": "web"})).await;
    let over = alice.post(&format!("{V2}/networks"), json!({"network": {}})).await;
    assert_eq!(fault(&over), (409, "OverQuota".into(), "Quota exceeded for resources: ['network'].".into()));
    let details = alice.get(&format!("{at}/details")).await.json();
    assert_eq!(details["quota"]["network"], json!({"used": 1, "limit": 1, "reserved": 0}));
    let below = admin.put(&at, json!({"quota": {"network": 0, "check_limit": true}})).await;
    assert_eq!(below.status, 400);
    assert_eq!(alice.get(&format!("{V2}/quotas/{}", admin.project_id)).await.status, 403);
    assert_eq!(admin.put(&format!("{V2}/quotas/nobody"), json!({"quota": {"network": 1}})).await.status, 404);
    assert_eq!(admin.get(&format!("{V2}/quotas")).await.json()["quotas"][0]["project_id"], json!(alice.project_id));
    assert_eq!(admin.delete(&at).await.status, 204);
    assert_eq!(alice.get(&at).await.json()["quota"]["network"], 100);
}

#[tokio::test]
async fn tags_are_set_found_and_taken_away() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let net = network(&alice, json!({"name": "web"})).await;
    let at = format!("{}/tags", path("networks", &net));
    assert_eq!(alice.put(&at, json!({"tags": ["red", "blue", "red"]})).await.json(), json!({"tags": ["blue", "red"]}));
    assert_eq!(alice.put(&format!("{at}/green"), Value::Null).await.status, 201);
    assert_eq!(alice.get(&format!("{at}/green")).await.status, 204);
    assert_eq!(names(&alice, "networks", "tags=red,green").await, ["web"]);
    assert_eq!(names(&alice, "networks", "tags=red,grey").await, Vec::<String>::new());
    assert_eq!(alice.delete(&format!("{at}/green")).await.status, 204);
    assert_eq!(alice.delete(&format!("{at}/green")).await.status, 404);
    assert_eq!(alice.delete(&at).await.status, 204);
    assert_eq!(alice.get(&at).await.json(), json!({"tags": []}));
}

#[tokio::test]
async fn what_would_be_a_lie_is_refused() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    for body in [json!({"admin_state_up": false}), json!({"port_security_enabled": true})] {
        assert_eq!(alice.post(&format!("{V2}/networks"), json!({ "network": body })).await.status, 501);
    }
    assert_eq!(admin.post(&format!("{V2}/networks"), json!({"network": {"router:external": true}})).await.status, 501);
    let net = network(&alice, json!({"name": "web"})).await;
    let with = |mut body: Value| {
        body["network_id"] = net["id"].clone();
        body
    };
    for body in [
        json!({"security_groups": ["default"]}),
        json!({"admin_state_up": false}),
        json!({"binding:vnic_type": "direct"}),
    ] {
        assert_eq!(alice.post(&format!("{V2}/ports"), json!({ "port": with(body) })).await.status, 501);
    }
    for body in [json!({"ip_version": 6, "cidr": "fd00::/64"}), json!({"ip_version": 4, "subnetpool_id": "x"})] {
        assert_eq!(alice.post(&format!("{V2}/subnets"), json!({ "subnet": with(body) })).await.status, 501);
    }
}

#[tokio::test]
async fn bodies_of_the_wrong_shape_are_refused_in_neutrons_words() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    let net = network(&alice, json!({"name": "web"})).await;
    for (collection, body, expected) in [
        ("networks", json!({}), "Unable to find 'network' in request body"),
        ("networks", json!({"network": {"colour": "red"}}), "Unrecognized attribute(s) 'colour'"),
        ("networks", json!({"network": {"name": 7}}), "Invalid input for name. Reason: 7 is not of type 'string'."),
        ("ports", json!({"port": {}}), "Failed to parse request. Required attribute 'network_id' not specified"),
        (
            "subnets",
            json!({"subnet": {"network_id": net["id"], "ip_version": 4, "cidr": "10.0.0.300/24"}}),
            "Invalid input for cidr. Reason: '10.0.0.300/24' is not a valid IP subnet.",
        ),
        (
            "subnets",
            json!({"subnet": {"network_id": net["id"], "ip_version": 5, "cidr": "10.0.0.0/24"}}),
            "Invalid input for ip_version. Reason: '5' is not in [4, 6].",
        ),
        (
            "ports",
            json!({"port": {"network_id": net["id"], "mac_address": "fa:16"}}),
            "Invalid input for mac_address. Reason: 'fa:16' is not a valid MAC address.",
        ),
    ] {
        let reply = alice.post(&format!("{V2}/{collection}"), body).await;
        assert_eq!((reply.status, fault(&reply).2.as_str()), (400, expected));
    }
    let nowhere = alice.post(&format!("{V2}/ports"), json!({"port": {"network_id": "nowhere"}})).await;
    assert_eq!(fault(&nowhere), (404, "NetworkNotFound".into(), "Network nowhere could not be found.".into()));
    assert_eq!(fault(&alice.get(&format!("{V2}/ports/eth0")).await).1, "PortNotFound");
}

#[tokio::test]
async fn administrators_see_what_a_network_is_between_hosts_and_choose_it() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let nets = format!("{V2}/networks");
    let made = network(&alice, json!({"name": "web"})).await;
    assert!(made.as_object().unwrap().keys().all(|key| !key.starts_with("provider:")), "{made}");
    let shown = admin.get(&format!("{nets}/{}", made["id"].as_str().unwrap())).await.json()["network"].clone();
    assert_eq!((&shown["provider:network_type"], &shown["provider:physical_network"]), (&json!("vxlan"), &json!(null)));
    let vni = shown["provider:segmentation_id"].as_u64().unwrap();
    assert!((1..1 << 24).contains(&vni));
    assert_eq!(names(&admin, "networks", &format!("provider:segmentation_id={vni}")).await, ["web"]);

    let wish = |vni: u64| json!({"network": {"provider:network_type": "vxlan", "provider:segmentation_id": vni}});
    let refused = alice.post(&nets, wish(7)).await;
    assert_eq!(refused.status, 403, "{}", refused.json());
    let taken = admin.post(&nets, wish(vni)).await;
    assert_eq!(fault(&taken).0, 409, "{}", taken.json());
    let free = if vni == 7 { 8 } else { 7 };
    assert_eq!(admin.post(&nets, wish(free)).await.json()["network"]["provider:segmentation_id"], free);
    let local = network(&admin, json!({"name": "here", "provider:network_type": "local"})).await;
    assert_eq!(local["provider:network_type"], "local");
    assert_eq!(local["provider:segmentation_id"], json!(null));
    let path = format!("{nets}/{}", local["id"].as_str().unwrap());
    let change = json!({"network": {"provider:network_type": "vxlan"}});
    assert_eq!(alice.put(&path, change.clone()).await.status, 403);
    let reply = admin.put(&path, change).await;
    let why = "Invalid input for operation: Plugin does not support updating provider attributes.";
    assert_eq!((fault(&reply).0, fault(&reply).2.as_str()), (400, why));
    let long = admin.post(&nets, json!({"network": {"mtu": 1451}})).await;
    let why = "Invalid input for operation: Requested MTU is too big, requested: 1451, maximum: 1450.";
    assert_eq!((fault(&long).0, fault(&long).2.as_str()), (400, why));
}

#[tokio::test]
async fn the_first_network_is_made_once_and_is_everybodys() {
    let cloud = Cloud::new().await;
    let alice = cloud.member("alice").await;
    for _ in 0..2 {
        let range = "10.240.0.0/24".parse().unwrap();
        cloud.state.db.write(move |tx| super::seed::init(tx, &"admins".into(), range, 1450, START)).await.unwrap();
    }
    assert_eq!(names(&alice, "networks", "shared=True&mtu=1450").await, ["private"]);
    assert_eq!(names(&alice, "subnets", "enable_dhcp=True&gateway_ip=10.240.0.1").await, ["private-subnet"]);
}
