//! A host is emptied: its servers go to others as they are, and what can't go is named.

use super::resize::{LARGER, make_flavor};
use super::*;
use crate::hosts::draining::Drain;
use crate::hypervisor::simulated::{Call, Fault};
use crate::tasks::overdue::Waits;
use http::Method;

const LARGE: (u32, u64) = (64, 256 * 1024);

async fn begin(site: &Site, name: &str, at_once: usize) -> Drain {
    let state = &site.cloud.state;
    Drain::begin(state.db.clone(), state.placement.clone(), name, at_once, START).await.unwrap()
}

/// Servers on the first of two hosts.
async fn site(names: &[&str]) -> (Site, Client, Vec<ServerId>) {
    with(Site::over(Cloud::with_hosts(&[LARGE, LARGE]).await).await, names).await
}

async fn with(site: Site, names: &[&str]) -> (Site, Client, Vec<ServerId>) {
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

/// Until the drain has nothing more to do.
async fn finish(site: &Site, drain: &mut Drain) -> crate::hosts::draining::Stand {
    for _ in 0..20 {
        let stand = drain.step(START).await.unwrap();
        if stand.is_over() {
            return stand;
        }
        site.cloud.work().await;
    }
    panic!("never over");
}

async fn done(site: &Site, client: &Client, id: ServerId, body: Value) {
    let reply = act(client, id, body).await;
    assert!([200, 202].contains(&reply.status), "{}", reply.text());
    site.cloud.work().await;
}

#[tokio::test]
async fn what_can_t_leave_a_drained_host_is_named_with_the_reason_and_the_others_go() {
    let (site, admin, servers) = site(&["saved", "one", "two"]).await;
    done(&site, &admin, servers[0], json!({"suspend": null})).await;
    // Whoever comes first is refused by its new host.
    site.cloud.hosts[1].hypervisor.fail_at(Call::Receive, 1, Fault::Refused);
    let mut drain = begin(&site, "host-1", 1).await;
    let end = finish(&site, &mut drain).await;
    assert_eq!(end.to_string(), "[######--------------] 1 of 3 gone, 0 on their way, 2 can't go");
    let why = |name: &str| end.stuck.iter().find(|(stuck, _)| stuck == name).map(|(_, why)| why.as_str());
    assert_eq!(why("saved"), Some("it is suspended, and its memory is on this host alone: resume or shelve it"));
    let (refused, other) = if why("one").is_some() { (1, 2) } else { (2, 1) };
    assert_eq!(why(["saved", "one", "two"][refused]), Some("the simulated host refused"));
    assert_eq!(host_of(&admin, servers[refused]).await, "host-1");
    assert_eq!(host_of(&admin, servers[other]).await, "host-2");
}

#[tokio::test]
async fn servers_that_are_off_leave_a_drained_host_with_their_disks_and_nobody_is_asked_whether_that_may_be() {
    let (site, admin, servers) = site(&["a", "b", "c"]).await;
    for id in &servers {
        site.cloud.hosts[0].disks.write(*id, "mine");
        done(&site, &admin, *id, json!({"os-stop": null})).await;
    }
    let mut drain = begin(&site, "host-1", 2).await;
    assert_eq!(drain.step(START).await.unwrap().to_string(), "[--------------------] 0 of 3 gone, 2 on their way");
    let mut statuses = Vec::new();
    for id in &servers {
        statuses.push(show(&admin, *id).await["status"].as_str().unwrap_or_default().to_owned());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, ["RESIZE", "RESIZE", "SHUTOFF"]);
    site.cloud.work().await;
    // Said again in the middle, it goes on.
    let end = finish(&site, &mut begin(&site, "host-1", 2).await).await;
    assert_eq!((end.to_string(), end.stuck), ("[####################] 1 of 1 gone, 0 on their way".to_owned(), vec![]));
    site.cloud.work().await;
    let [old, new] = &site.cloud.hosts[..] else { panic!("two hosts") };
    for id in servers {
        let shown = show(&admin, id).await;
        assert_eq!(
            (&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]),
            (&json!("SHUTOFF"), &json!("host-2")),
            "{shown}"
        );
        assert_eq!(shown["OS-EXT-STS:task_state"], json!(null));
        assert_eq!((new.disks.read(id).as_deref(), new.hypervisor.boots(id)), (Some("mine"), 0));
        assert!(old.hypervisor.spec(id).is_none() && old.disks.root(id).is_none(), "nothing waits to come back");
        assert_eq!(super::resize::claims(&site, id).await, [("host-2".to_owned(), 192)]);
        let path = format!("{PATH}/os-migrations?instance_uuid={id}");
        let record = at(&admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"][0].clone();
        assert_eq!((&record["status"], &record["migration_type"]), (&json!("confirmed"), &json!("migration")));
        done(&site, &admin, id, json!({"os-start": null})).await;
        assert_eq!(show(&admin, id).await["status"], "ACTIVE");
    }
}

#[tokio::test]
async fn a_server_that_is_off_and_could_not_leave_is_off_where_it_was_and_named() {
    let (site, admin, servers) = site(&["off"]).await;
    done(&site, &admin, servers[0], json!({"os-stop": null})).await;
    site.cloud.hosts[1].hypervisor.fail_at(Call::Define, 1, Fault::Refused);
    let mut drain = begin(&site, "host-1", 1).await;
    drain.step(START).await.unwrap();
    site.cloud.work().await;
    let end = finish(&site, &mut drain).await;
    assert_eq!(end.stuck, [("off".to_owned(), "the simulated host refused".to_owned())]);
    let shown = show(&admin, servers[0]).await;
    assert_eq!((&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]), (&json!("SHUTOFF"), &json!("host-1")), "{shown}");
    assert!(finish(&site, &mut begin(&site, "host-1", 1).await).await.stuck.is_empty(), "the next time it goes");
    assert_eq!(host_of(&admin, servers[0]).await, "host-2");
}

#[tokio::test]
async fn a_server_in_any_state_leaves_a_drained_host_or_is_named() {
    let names = ["paused", "rescued", "shelved", "resized", "back", "deleted"];
    let waits = Waits { reclaim: Some(1_000_000), offload: None, ..Waits::default() };
    let cloud = Cloud::with_hosts_and_waits(&[LARGE, LARGE], waits).await;
    let (site, admin, servers) = with(Site::over(cloud).await, &names).await;
    make_flavor(&site, LARGER, 384, 2).await;
    let orders = [
        json!({"pause": null}),
        json!({"rescue": null}),
        json!({"shelve": null}),
        json!({"resize": {"flavorRef": LARGER}}),
        json!({"migrate": null}),
    ];
    for (id, order) in servers.iter().zip(orders) {
        done(&site, &admin, *id, order).await;
    }
    assert_eq!(admin.delete(&format!("{PATH}/servers/{}", servers[5])).await.status, 204);
    site.cloud.work().await;
    let end = finish(&site, &mut begin(&site, "host-1", 3).await).await;
    assert_eq!(end.to_string(), "[######--------------] 2 of 6 gone, 0 on their way, 4 can't go");
    let why: Vec<(&str, &str)> = end.stuck.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
    for stuck in [
        ("rescued", "it is rescued: end that first"),
        ("resized", "it was resized: confirm that or take it back"),
        ("back", "it is elsewhere, and holds its place here until that is confirmed or taken back"),
        ("deleted", "it is deleted, and can be restored until it goes for good"),
    ] {
        assert!(why.contains(&stuck), "{why:?}");
    }
    let paused = show(&admin, servers[0]).await;
    assert_eq!((&paused["status"], &paused["OS-EXT-SRV-ATTR:host"]), (&json!("PAUSED"), &json!("host-2")));
    assert_eq!(show(&admin, servers[2]).await["status"], "SHELVED_OFFLOADED");
    assert_eq!(act(&admin, servers[4], json!({"confirmResize": null})).await.status, 204);
    let end = finish(&site, &mut begin(&site, "host-1", 3).await).await;
    assert!(end.stuck.iter().all(|(name, _)| name != "back"), "{end}");
}

#[tokio::test]
async fn a_server_whose_move_waits_for_a_drained_host_that_is_lost_is_named_until_it_is_evacuated() {
    let (site, admin, servers) = site(&["moving", "still"]).await;
    let mut drain = begin(&site, "host-1", 1).await;
    drain.step(START).await.unwrap();
    let busy = show(&admin, servers[0]).await["status"] == "MIGRATING";
    let (moving, still) = if busy { (0, 1) } else { (1, 0) };
    let names = ["moving", "still"];
    site.cloud.hosts[0].hypervisor.set_away(true);
    site.cloud.pass_seconds(200);
    site.cloud.reconcile().await;
    site.cloud.work().await;
    let now = site.cloud.state.clock.now();
    let end = drain.step(now).await.unwrap();
    assert!(end.is_over(), "nothing more can be done from here: {end}");
    let why = |end: &crate::hosts::draining::Stand, name: &str| {
        end.stuck.iter().find(|(stuck, _)| stuck == name).map(|(_, why)| why.clone())
    };
    let waits = "its host does not answer, and its move waits until that is back or it is evacuated";
    assert_eq!(why(&end, names[moving]).as_deref(), Some(waits));
    let down = "its host does not answer: it can leave when that is back, or be evacuated";
    assert_eq!(why(&end, names[still]).as_deref(), Some(down));
    // What can't be built anew says why, and not that its move was called off.
    site.cloud.hosts[1].hypervisor.fail_at(Call::Define, 1, Fault::Refused);
    let path = format!("{PATH}/servers/{}/action", servers[moving]);
    let evacuate = async || at(&admin, "2.95", Method::POST, &path, &json!({"evacuate": {}})).await.status;
    assert_eq!(evacuate().await, 200);
    site.cloud.work().await;
    let end = drain.step(now).await.unwrap();
    assert_eq!(why(&end, names[moving]).as_deref(), Some("the simulated host refused"), "{end}");
    assert_eq!(evacuate().await, 200);
    site.cloud.work().await;
    let end = drain.step(now).await.unwrap();
    assert_eq!((end.gone, why(&end, names[moving])), (1, None), "{end}");
    assert_eq!(host_of(&admin, servers[moving]).await, "host-2");
}
