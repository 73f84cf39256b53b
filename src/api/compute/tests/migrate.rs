//! Live migration over two simulated hosts: what is accepted and refused, what can be asked on the way, and where the guest
//! is in the end.

use super::*;
use crate::api::testing::SimulatedHost;
use crate::hypervisor::simulated::{Call as HypervisorCall, Fault};
use crate::hypervisor::{Hypervisor, Power, Steer};
use http::Method;
use std::sync::Arc;

const LARGE: (u32, u64) = (64, 256 * 1024);

struct Fleet {
    site: Arc<Site>,
    admin: Client,
    alice: Client,
    id: ServerId,
}

impl Fleet {
    async fn of(sizes: &[(u32, u64)]) -> Self {
        let site = Arc::new(Site::over(Cloud::with_hosts(sizes).await).await);
        let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
        let id = site.boot(&alice, "web").await;
        Self { site, admin, alice, id }
    }

    async fn new() -> Self {
        Self::of(&[LARGE, LARGE]).await
    }

    /// The host that runs the server, and the other one.
    fn places(&self) -> (&SimulatedHost, &SimulatedHost) {
        let hosts = &self.site.cloud.hosts;
        let here = hosts.iter().position(|host| host.hypervisor.spec(self.id).is_some()).unwrap();
        (&hosts[here], &hosts[1 - here])
    }

    async fn ask(&self, version: &str, wish: Value) -> Reply {
        let path = format!("{PATH}/servers/{}/action", self.id);
        at(&self.admin, version, Method::POST, &path, &json!({"os-migrateLive": wish})).await
    }

    async fn migrate(&self) -> Reply {
        self.ask("2.90", json!({"host": null, "block_migration": "auto"})).await
    }

    async fn record(&self) -> Value {
        let path = format!("{PATH}/os-migrations?instance_uuid={}", self.id);
        at(&self.admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"][0].clone()
    }

    async fn under_way(&self) -> Value {
        let path = format!("{PATH}/servers/{}/migrations", self.id);
        at(&self.admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"].clone()
    }

    /// Works until the move runs and stands still; the work goes on in the background.
    async fn running(&self) -> (tokio::task::JoinHandle<()>, i64) {
        self.places().0.hypervisor.hold_moves(true);
        assert_eq!(self.migrate().await.status, 202);
        let site = self.site.clone();
        let work = tokio::spawn(async move { site.cloud.work().await });
        loop {
            let found = self.under_way().await;
            if found[0]["status"] == "running" && !found[0]["memory_total_bytes"].is_null() {
                return (work, found[0]["id"].as_i64().unwrap());
            }
            tokio::task::yield_now().await;
        }
    }

    fn one(&self, number: i64) -> String {
        format!("{PATH}/servers/{}/migrations/{number}", self.id)
    }
}

#[tokio::test]
async fn a_running_server_moves_to_the_other_host_and_back_with_its_address_and_its_memory() {
    let fleet = Fleet::new().await;
    let before = show(&fleet.alice, fleet.id).await;
    for _ in 0..2 {
        let (from, to) = fleet.places();
        let (from, to) = (from.clone(), to.clone());
        let reply = fleet.migrate().await;
        assert_eq!((reply.status, reply.bytes.len()), (202, 0));
        let moving = show(&fleet.alice, fleet.id).await;
        assert_eq!((&moving["status"], &moving["OS-EXT-STS:task_state"]), (&json!("MIGRATING"), &json!("migrating")));
        fleet.site.cloud.work().await;
        let after = show(&fleet.alice, fleet.id).await;
        assert_eq!((&after["status"], &after["OS-EXT-STS:task_state"]), (&json!("ACTIVE"), &json!(null)));
        assert_eq!(after["addresses"], before["addresses"]);
        assert!(from.hypervisor.spec(fleet.id).is_none() && from.disks.root(fleet.id).is_none());
        assert!(from.fabric.wish(fleet.site.network).is_none(), "its network left with it");
        assert_eq!(to.hypervisor.boots(fleet.id), 1, "it never began anew");
        assert_eq!(to.disks.root(fleet.id).unwrap().virtual_size, 1 << 30);
        assert!(to.disks.config_drive(fleet.id).is_some(), "its config drive went along");
        let record = fleet.record().await;
        assert_eq!((&record["status"], &record["migration_type"]), (&json!("completed"), &json!("live-migration")));
        assert_eq!((&record["source_compute"], &record["dest_compute"]), (&json!(from.name), &json!(to.name)));
        assert_eq!(fleet.under_way().await, json!([]));
        let shown = fleet.admin.get(&format!("{PATH}/servers/{}", fleet.id)).await.json();
        assert_eq!(shown["server"]["OS-EXT-SRV-ATTR:host"], json!(to.name));
    }
    let path = format!("{PATH}/servers/{}/os-instance-actions", fleet.id);
    let actions = fleet.admin.get(&path).await.json();
    let names: Vec<&Value> = actions["instanceActions"].as_array().unwrap().iter().map(|one| &one["action"]).collect();
    // The clock stands still, so their order says nothing.
    assert_eq!(names.iter().filter(|name| **name == "live-migration").count(), 2, "{actions}");
}

#[tokio::test]
async fn operators_alone_are_told_what_was_counted_of_a_move_and_all_moves_are_in_the_metrics() {
    let fleet = Fleet::new().await;
    let measures = |number: &Value| format!("{PATH}/os-migrations/{number}/measures");
    let moves = async || {
        let text = fleet.admin.get("/metrics").await.text();
        text.lines().filter(|line| line.starts_with("gapura_migrations_total")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(moves().await, Vec::<String>::new());
    let (work, number) = fleet.running().await;
    assert_eq!(at(&fleet.admin, "2.24", Method::DELETE, &fleet.one(number), &Value::Null).await.status, 202);
    work.await.unwrap();
    let failed = fleet.admin.get(&measures(&json!(number))).await.json();
    assert_eq!(failed["measures"]["status"], "cancelled");
    assert!(failed["measures"]["failure"].is_string(), "{failed}");
    fleet.places().0.hypervisor.hold_moves(false);
    assert_eq!(fleet.migrate().await.status, 202);
    fleet.site.cloud.work().await;
    let record = fleet.record().await;
    let shown = fleet.admin.get(&measures(&record["id"])).await.json()["measures"].clone();
    assert_eq!((&shown["status"], &shown["uuid"]), (&json!("completed"), &record["uuid"]));
    assert_eq!(shown["memory"]["total_bytes"], json!(192 << 20));
    assert_eq!(shown["memory"]["remaining_bytes"], json!(0));
    assert!(shown["downtime_ms"].is_u64() && shown["limits"]["auto_converge"] == json!(false), "{shown}");
    assert_eq!(
        moves().await,
        ["gapura_migrations_total{status=\"cancelled\"} 1", "gapura_migrations_total{status=\"completed\"} 1"]
    );
    assert_eq!(fleet.alice.get(&measures(&record["id"])).await.status, 403);
    for missing in ["77", "no-number"] {
        let reply = fleet.admin.get(&format!("{PATH}/os-migrations/{missing}/measures")).await;
        assert_eq!((reply.status, message(&reply)), (404, format!("Migration {missing} could not be found.")));
    }
}

#[tokio::test]
async fn a_move_under_way_is_shown_with_what_is_counted_and_can_be_aborted() {
    let fleet = Fleet::new().await;
    let (work, number) = fleet.running().await;
    let shown = at(&fleet.admin, "2.80", Method::GET, &fleet.one(number), &Value::Null).await.json();
    assert_eq!(shown["migration"]["memory_total_bytes"], json!(192 << 20));
    assert_eq!(shown["migration"]["server_uuid"], json!(fleet.id.to_string()));
    let (from, to) = fleet.places();
    let (from, to) = (from.clone(), to.clone());
    let aborted = at(&fleet.admin, "2.24", Method::DELETE, &fleet.one(number), &Value::Null).await;
    assert_eq!(aborted.status, 202, "{}", aborted.json());
    work.await.unwrap();
    assert_eq!(from.hypervisor.steered(fleet.id).last(), Some(&Steer::Abort));
    let server = show(&fleet.alice, fleet.id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:task_state"]), (&json!("ACTIVE"), &json!(null)));
    assert_eq!(fleet.record().await["status"], "cancelled");
    assert!(to.hypervisor.spec(fleet.id).is_none() && to.disks.root(fleet.id).is_none(), "nothing stays there");
    let late = at(&fleet.admin, "2.65", Method::DELETE, &fleet.one(number), &Value::Null).await;
    assert_eq!(
        (late.status, message(&late)),
        (409, "Instance is in an invalid state for 'abort live migration'".to_owned())
    );
    let over = at(&fleet.admin, "2.65", Method::GET, &fleet.one(number), &Value::Null).await;
    let expected = format!("Live migration {number} for server {} is not in progress.", fleet.id);
    assert_eq!((over.status, message(&over)), (404, expected));
}

#[tokio::test]
async fn a_move_under_way_is_hastened_by_force() {
    let fleet = Fleet::new().await;
    let (work, number) = fleet.running().await;
    let (from, to) = fleet.places();
    let (from, to) = (from.clone(), to.clone());
    let path = format!("{}/action", fleet.one(number));
    let forced = at(&fleet.admin, "2.22", Method::POST, &path, &json!({"force_complete": null})).await;
    assert_eq!(forced.status, 202, "{}", forced.json());
    work.await.unwrap();
    assert!(from.hypervisor.steered(fleet.id).contains(&Steer::Hasten));
    assert!(to.hypervisor.spec(fleet.id).is_some());
    assert_eq!(fleet.record().await["status"], "completed");
    let late = at(&fleet.admin, "2.22", Method::POST, &path, &json!({"force_complete": null})).await;
    assert_eq!((late.status, message(&late)), (409, "Instance is in an invalid state for 'force_complete'".to_owned()));
}

#[tokio::test]
async fn a_queued_move_can_be_aborted_by_those_who_know_that() {
    let fleet = Fleet::new().await;
    assert_eq!(fleet.migrate().await.status, 202);
    let number = fleet.under_way().await[0]["id"].as_i64().unwrap();
    let early = at(&fleet.admin, "2.64", Method::DELETE, &fleet.one(number), &Value::Null).await;
    let expected = format!(
        "Migration {number} state of instance {} is queued. Cannot abort live migration while the migration is in this state.",
        fleet.id
    );
    assert_eq!((early.status, message(&early)), (400, expected));
    assert_eq!(at(&fleet.admin, "2.65", Method::DELETE, &fleet.one(number), &Value::Null).await.status, 202);
    fleet.site.cloud.work().await;
    assert_eq!(fleet.record().await["status"], "cancelled");
    assert_eq!(show(&fleet.alice, fleet.id).await["status"], "ACTIVE");
    let missing = at(&fleet.admin, "2.65", Method::GET, &fleet.one(99), &Value::Null).await;
    let expected = format!("In-progress live migration 99 is not found for server {}.", fleet.id);
    assert_eq!((missing.status, message(&missing)), (404, expected));
}

#[tokio::test]
async fn a_host_that_can_not_be_moved_to_is_refused_in_novas_words() {
    let fleet = Fleet::new().await;
    let (from, to) = fleet.places();
    let (here, there) = (from.name.clone(), to.name.clone());
    let old = |host: &str| json!({"host": host, "block_migration": false, "disk_over_commit": false});
    let reply = fleet.ask("2.1", old(&here)).await;
    let expected = format!("Unable to migrate instance ({}) to current host ({here}).", fleet.id);
    assert_eq!((reply.status, message(&reply)), (400, expected));
    for version in ["2.1", "2.30", "2.90"] {
        let wish =
            if version == "2.1" { old("nowhere") } else { json!({"host": "nowhere", "block_migration": "auto"}) };
        let reply = fleet.ask(version, wish).await;
        assert_eq!((reply.status, message(&reply)), (400, "Compute host nowhere could not be found.".to_owned()));
    }
    let services = format!("{PATH}/os-services/disable");
    let disabled = fleet.admin.put(&services, json!({"host": there, "binary": "nova-compute"})).await;
    assert_eq!(disabled.status, 200, "{}", disabled.json());
    let reply = fleet.ask("2.33", json!({"host": there, "block_migration": "auto"})).await;
    let expected = "No valid host was found. There are not enough hosts available.";
    assert!(reply.status == 400 && message(&reply).starts_with(expected), "{}", reply.text());
    assert_eq!(show(&fleet.alice, fleet.id).await["OS-EXT-STS:task_state"], json!(null));
    // Later clients do not wait: the record says it.
    assert_eq!(fleet.ask("2.34", json!({"host": there, "block_migration": "auto"})).await.status, 202);
    fleet.site.cloud.work().await;
    assert_eq!(fleet.record().await["status"], "error");
    let server = show(&fleet.alice, fleet.id).await;
    assert_eq!((&server["status"], &server["OS-EXT-STS:task_state"]), (&json!("ACTIVE"), &json!(null)));
}

#[tokio::test]
async fn a_host_that_is_too_small_or_too_old_takes_nothing() {
    let small = Fleet::of(&[LARGE, (64, 600)]).await;
    let reply = small.ask("2.1", json!({"host": "host-2", "block_migration": true, "disk_over_commit": false})).await;
    assert_eq!(reply.status, 400);
    assert!(message(&reply).contains("Lack of memory"), "{}", message(&reply));
    assert_eq!(small.migrate().await.status, 202);
    small.site.cloud.work().await;
    assert_eq!(small.record().await["status"], "error");

    let old = Fleet::new().await;
    old.places().1.hypervisor.set_version(1);
    assert_eq!(old.migrate().await.status, 202);
    old.site.cloud.work().await;
    assert_eq!(old.record().await["status"], "error");
    assert_eq!(show(&old.alice, old.id).await["status"], "ACTIVE");
    let (here, there) = old.places();
    assert!(here.hypervisor.spec(old.id).is_some() && there.disks.root(old.id).is_none());
}

#[tokio::test]
async fn storage_that_is_called_shared_and_is_not_is_found_out() {
    let fleet = Fleet::new().await;
    assert_eq!(fleet.ask("2.90", json!({"host": null, "block_migration": false})).await.status, 202);
    fleet.site.cloud.work().await;
    assert_eq!(fleet.record().await["status"], "error");
    assert_eq!(fleet.ask("2.90", json!({"host": null, "block_migration": true})).await.status, 202);
    fleet.site.cloud.work().await;
    assert_eq!(fleet.record().await["status"], "completed");
}

#[tokio::test]
async fn a_guest_that_dies_on_its_way_is_off_where_it_was_and_runs_nowhere() {
    let fleet = Fleet::new().await;
    let (work, _) = fleet.running().await;
    let (from, to) = fleet.places();
    let (from, to) = (from.clone(), to.clone());
    from.hypervisor.crash_in_move(fleet.id);
    work.await.unwrap();
    assert_eq!(fleet.record().await["status"], "error");
    assert_eq!(show(&fleet.alice, fleet.id).await["status"], "SHUTOFF");
    assert!(to.hypervisor.spec(fleet.id).is_none() && to.disks.root(fleet.id).is_none());
    assert_eq!(from.hypervisor.find(fleet.id).await.unwrap().unwrap().power, Power::Crashed);
    assert_eq!(act(&fleet.alice, fleet.id, json!({"os-start": null})).await.status, 202);
    fleet.site.cloud.work().await;
    assert_eq!(show(&fleet.alice, fleet.id).await["status"], "ACTIVE");
}

#[tokio::test]
async fn a_paused_server_moves_and_stays_paused_and_one_that_is_off_does_not_move() {
    let fleet = Fleet::new().await;
    assert_eq!(act(&fleet.alice, fleet.id, json!({"pause": null})).await.status, 202);
    fleet.site.cloud.work().await;
    let to = fleet.places().1.clone();
    assert_eq!(fleet.migrate().await.status, 202);
    fleet.site.cloud.work().await;
    assert_eq!(show(&fleet.alice, fleet.id).await["status"], "PAUSED");
    assert_eq!(to.hypervisor.find(fleet.id).await.unwrap().unwrap().power, Power::Paused);
    assert_eq!(act(&fleet.alice, fleet.id, json!({"unpause": null})).await.status, 202);
    fleet.site.cloud.work().await;
    assert_eq!(act(&fleet.alice, fleet.id, json!({"os-stop": null})).await.status, 202);
    fleet.site.cloud.work().await;
    let reply = fleet.migrate().await;
    let expected = format!("Cannot 'os-migrateLive' instance {} while it is in vm_state stopped", fleet.id);
    assert_eq!((reply.status, message(&reply)), (409, expected));
}

#[tokio::test]
async fn bodies_are_as_each_version_says_and_only_operators_may_ask() {
    let fleet = Fleet::new().await;
    for (version, wish) in [
        ("2.1", json!({"host": null, "block_migration": "auto", "disk_over_commit": false})),
        ("2.1", json!({"host": null, "block_migration": true})),
        ("2.25", json!({"host": null, "block_migration": true, "disk_over_commit": false})),
        ("2.29", json!({"host": "host-2", "block_migration": true, "force": true})),
        ("2.30", json!({"host": null, "block_migration": true, "force": true})),
        ("2.68", json!({"host": "host-2", "block_migration": true, "force": true})),
        ("2.90", json!({"block_migration": true})),
        ("2.90", json!({"host": "a b", "block_migration": true})),
        ("2.90", json!({"host": 1, "block_migration": true})),
    ] {
        let reply = fleet.ask(version, wish.clone()).await;
        assert_eq!(reply.status, 400, "{version} {wish}: {}", reply.json());
    }
    let own = act(
        &fleet.alice,
        fleet.id,
        json!({"os-migrateLive": {"host": null, "block_migration": false, "disk_over_commit": false}}),
    )
    .await;
    assert_eq!(own.status, 403);
    let stranger = fleet.site.cloud.member("bob").await;
    let foreign =
        at(&stranger, "2.80", Method::GET, &format!("{PATH}/servers/{}/migrations", fleet.id), &Value::Null).await;
    assert!([403, 404].contains(&foreign.status), "{}", foreign.json());
}

#[tokio::test]
async fn a_server_whose_move_a_lost_host_leaves_open_is_deleted_without_it() {
    let fleet = Fleet::new().await;
    let (from, to) = fleet.places();
    let (from, to) = (from.clone(), to.clone());
    // It sends the guest, and is not heard of again.
    from.hypervisor.fail_at(HypervisorCall::Migration, 1000, Fault::Unavailable);
    assert_eq!(fleet.migrate().await.status, 202);
    fleet.site.cloud.work().await;
    from.hypervisor.set_away(true);
    fleet.site.cloud.pass_seconds(200);
    fleet.site.cloud.reconcile().await;
    fleet.site.cloud.work().await;
    assert_eq!(show(&fleet.alice, fleet.id).await["status"], "MIGRATING", "nobody knows where the guest is");
    let path = format!("{PATH}/servers/{}", fleet.id);
    assert_eq!(fleet.alice.delete(&path).await.status, 204);
    fleet.site.cloud.work().await;
    assert_eq!(fleet.alice.get(&path).await.status, 404);
    assert!(to.hypervisor.spec(fleet.id).is_none(), "the host that answers lets go of it at once");
    assert_eq!(fleet.record().await["status"], "cancelled");
    from.hypervisor.set_away(false);
    fleet.site.cloud.reconcile().await;
    fleet.site.cloud.work().await;
    assert_nothing_left(&fleet.site, fleet.id).await;
}
