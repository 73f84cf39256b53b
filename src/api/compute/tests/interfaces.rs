//! Compute makes ports in its caller's name, so it refuses what network would refuse the caller.

use super::*;
use crate::api::identity::IdentitySettings;
use crate::api::testing::RECIPE;
use crate::store::{Db, Tx, ports};
use std::collections::HashMap;

async fn site_with_rule(rule: &str, expression: &str) -> Site {
    let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
    let rules = HashMap::from([(rule.to_owned(), expression.to_owned())]);
    Site::over(Cloud::with(Db::memory().await, settings, rules).await).await
}

/// A server on a network, at an address if one is given.
async fn ask(site: &Site, client: &Client, network: &str, address: Option<&str>) -> Reply {
    let mut wish = site.wish("web");
    wish["server"]["networks"] = json!([{"uuid": network}]);
    if let Some(address) = address {
        wish["server"]["networks"][0]["fixed_ip"] = json!(address);
    }
    client.post(&format!("{PATH}/servers"), wish).await
}

async fn address_of(site: &Site, client: &Client, reply: &Reply, network: &str) -> Value {
    assert_eq!(reply.status, 202, "{}", reply.json());
    site.cloud.work().await;
    let id = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
    show(client, id).await["addresses"][network][0]["addr"].clone()
}

async fn assert_nothing_made(site: &Site, client: &Client) {
    assert_eq!(client.get(&format!("{PATH}/servers")).await.json(), json!({"servers": []}));
    let network = site.network;
    let ports = site.cloud.state.db.read(move |tx: &mut Tx| ports::of_network(tx, network)).await.unwrap();
    assert!(ports.is_empty());
}

#[tokio::test]
async fn a_guest_of_a_shared_network_chooses_its_address_neither_by_a_port_nor_by_a_server() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let network = site.network.to_string();
    let port = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": "10.9.0.50"}]}});
    let by_port = alice.post("/network/v2.0/ports", port).await;
    let sentence = "(rule:create_port:fixed_ips:ip_address) is disallowed by policy";
    assert_eq!((by_port.status, &by_port.json()["NeutronError"]["message"]), (403, &json!(sentence)));
    let by_server = ask(&site, &alice, &network, Some("10.9.0.50")).await;
    assert_eq!(
        (by_server.status, by_server.json()),
        (403, json!({"forbidden": {"code": 403, "message": sentence}})),
        "Nova's fault with Neutron's sentence in it"
    );
    assert_nothing_made(&site, &alice).await;
    assert_eq!(ask(&site, &alice, &network, None).await.status, 202, "any address is hers to have");
}

#[tokio::test]
async fn who_owns_a_network_chooses_addresses_in_it() {
    let site = Site::new().await;
    let (alice, admin) = (site.cloud.member("alice").await, site.cloud.admin().await);
    let on_shared = ask(&site, &admin, &site.network.to_string(), Some("10.9.0.50")).await;
    assert_eq!(address_of(&site, &admin, &on_shared, "private").await, "10.9.0.50");

    let own = alice.post("/network/v2.0/networks", json!({"network": {"name": "own"}})).await.json();
    let own = own["network"]["id"].as_str().unwrap();
    let subnet = json!({"subnet": {"network_id": own, "ip_version": 4, "cidr": "10.8.0.0/24"}});
    assert_eq!(alice.post("/network/v2.0/subnets", subnet).await.status, 201);
    let on_own = ask(&site, &alice, own, Some("10.8.0.77")).await;
    assert_eq!(address_of(&site, &alice, &on_own, "own").await, "10.8.0.77");
}

#[tokio::test]
async fn an_operators_rules_for_ports_bind_servers_too() {
    let site = site_with_rule("create_port", "role:admin").await;
    let alice = site.cloud.member("alice").await;
    let refused = ask(&site, &alice, &site.network.to_string(), None).await;
    assert_eq!((refused.status, message(&refused).as_str()), (403, "(rule:create_port) is disallowed by policy"));
    let mut unsaid = site.wish("web");
    unsaid["server"].as_object_mut().unwrap().remove("networks");
    assert_eq!(alice.post(&format!("{PATH}/servers"), unsaid).await.status, 403, "the only network, unasked for");
    assert_nothing_made(&site, &alice).await;

    let site = site_with_rule("create_port:fixed_ips:ip_address", "role:member").await;
    let alice = site.cloud.member("alice").await;
    let allowed = ask(&site, &alice, &site.network.to_string(), Some("10.9.0.50")).await;
    assert_eq!(address_of(&site, &alice, &allowed, "private").await, "10.9.0.50");
}
