//! A host is emptied: its servers go to others while they run, and what can't go is named.

use super::*;
use crate::hosts::draining::Drain;
use crate::hypervisor::simulated::{Call, Fault};
use http::Method;

const LARGE: (u32, u64) = (64, 256 * 1024);

async fn begin(site: &Site, name: &str, at_once: usize) -> Drain {
    let state = &site.cloud.state;
    Drain::begin(state.db.clone(), state.placement.clone(), name, at_once, START).await.unwrap()
}

/// Servers on the first of two hosts.
async fn site(names: &[&str]) -> (Site, Client, Vec<ServerId>) {
    let site = Site::over(Cloud::with_hosts(&[LARGE, LARGE]).await).await;
    let admin = site.cloud.admin().await;
    let mut servers = Vec::new();
    for name in names {
        let mut wish = site.wish(name);
        wish["server"]["availability_zone"] = json!("nova:host-1");
        let reply = admin.post(&format!("{PATH}/servers"), wish).await;
        assert_eq!(reply.status, 202, "{}", reply.json());
        site.cloud.work().await;
        servers.push(ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap());
    }
    (site, admin, servers)
}

async fn host_of(admin: &Client, id: ServerId) -> Value {
    show(admin, id).await["OS-EXT-SRV-ATTR:host"].clone()
}

#[tokio::test]
async fn a_drained_host_loses_its_running_servers_some_at_a_time_and_gets_no_new_ones() {
    let (site, admin, servers) = site(&["a", "b", "c"]).await;
    let mut drain = begin(&site, "host-1", 2).await;
    let stand = drain.step(START).await.unwrap();
    assert_eq!(stand.to_string(), "[--------------------] 0 of 3 gone, 2 on their way");
    assert_eq!(drain.step(START).await.unwrap(), stand, "no more than two at once");
    site.cloud.work().await;
    assert_eq!(drain.step(START).await.unwrap().to_string(), "[#############-------] 2 of 3 gone, 1 on their way");
    // Ended here, and said again: what is under way counts, what is gone is not met again.
    let mut again = begin(&site, "host-1", 2).await;
    assert_eq!(again.step(START).await.unwrap().to_string(), "[--------------------] 0 of 1 gone, 1 on their way");
    site.cloud.work().await;
    let end = again.step(START).await.unwrap();
    assert!(end.is_over() && end.stuck.is_empty(), "{end}");
    for id in servers {
        assert_eq!(host_of(&admin, id).await, "host-2");
        assert_eq!(show(&admin, id).await["status"], "ACTIVE");
    }
    let id = site.boot(&admin, "new").await;
    assert_eq!(host_of(&admin, id).await, "host-2");
    let record = at(&admin, "2.80", Method::GET, &format!("{PATH}/os-migrations"), &Value::Null).await.json();
    assert_eq!(record["migrations"][0]["user_id"], "operator");
}

#[tokio::test]
async fn what_can_t_leave_a_drained_host_is_named_with_the_reason_and_the_others_go() {
    let (site, admin, servers) = site(&["off", "one", "two"]).await;
    act(&admin, servers[0], json!({"os-stop": null})).await;
    site.cloud.work().await;
    // Whoever comes first is refused by its new host.
    site.cloud.hosts[1].hypervisor.fail_at(Call::Receive, 1, Fault::Refused);
    let mut drain = begin(&site, "host-1", 1).await;
    for _ in 0..4 {
        drain.step(START).await.unwrap();
        site.cloud.work().await;
    }
    let end = drain.step(START).await.unwrap();
    assert!(end.is_over(), "{end}");
    assert_eq!(end.to_string(), "[######--------------] 1 of 3 gone, 0 on their way, 2 can't go");
    let why = |name: &str| end.stuck.iter().find(|(stuck, _)| stuck == name).map(|(_, why)| why.as_str());
    let off = why("off").unwrap();
    assert!(off.starts_with("Cannot 'os-migrateLive' instance"), "{off}");
    let (refused, other) = if why("one").is_some() { (1, 2) } else { (2, 1) };
    assert_eq!(why(["off", "one", "two"][refused]), Some("the simulated host refused"));
    assert_eq!(host_of(&admin, servers[refused]).await, "host-1");
    assert_eq!(host_of(&admin, servers[other]).await, "host-2");
}
