//! What was done for a move, as `openstack server event show` tells it: upstream's steps in their order, each on its host.

use super::*;
use http::Method;

const LARGE: (u32, u64) = (64, 256 * 1024);

struct Fleet {
    site: Site,
    admin: Client,
    alice: Client,
    id: ServerId,
}

impl Fleet {
    async fn new() -> Self {
        let site = Site::over(Cloud::with_hosts(&[LARGE, LARGE]).await).await;
        let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
        let id = site.boot(&alice, "web").await;
        Self { site, admin, alice, id }
    }

    /// Asks for something, later than for all before: all requests of these tests have one id, under which the newest is found.
    async fn ask(&self, version: &str, body: Value) -> Reply {
        self.site.cloud.pass_seconds(1);
        let reply = at(&self.admin, version, Method::POST, &format!("{PATH}/servers/{}/action", self.id), &body).await;
        assert!([200, 202, 204].contains(&reply.status), "{}", reply.text());
        reply
    }

    async fn done(&self, version: &str, body: Value) {
        self.ask(version, body).await;
        self.site.cloud.work().await;
    }

    async fn action(&self, client: &Client) -> Value {
        let path = format!("{PATH}/servers/{}/os-instance-actions/req-test", self.id);
        at(client, "2.84", Method::GET, &path, &Value::Null).await.json()["instanceAction"].clone()
    }

    /// Oldest first: name, host, result.
    async fn steps(&self) -> Vec<String> {
        let action = self.action(&self.admin).await;
        let text = |one: &Value| {
            let word = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("event"), word("host"), word("result"))
        };
        action["events"].as_array().unwrap().iter().rev().map(text).collect()
    }
}

#[tokio::test]
async fn a_live_migration_is_told_in_upstreams_steps() {
    let fleet = Fleet::new().await;
    let wish = json!({"os-migrateLive": {"host": null, "block_migration": "auto"}});
    fleet.ask("2.90", wish.clone()).await;
    assert_eq!(fleet.steps().await, ["conductor_live_migrate_instance host-1 -"]);
    fleet.site.cloud.work().await;
    let moved = |first: &str, from: &str, to: &str| {
        [
            format!("{first} host-1 Success"),
            format!("compute_check_can_live_migrate_destination {to} Success"),
            format!("compute_check_can_live_migrate_source {from} Success"),
            format!("compute_live_migration {from} Success"),
            format!("compute_pre_live_migration {to} Success"),
            format!("compute_post_live_migration_at_destination {to} Success"),
        ]
    };
    assert_eq!(fleet.steps().await, moved("conductor_live_migrate_instance", "host-1", "host-2"));
    assert_eq!(fleet.action(&fleet.admin).await["message"], json!(null));
    // Who waited for what can be refused at once finds it under another name.
    fleet.done("2.30", wish).await;
    assert_eq!(fleet.steps().await, moved("conductor_migrate_server", "host-2", "host-1"));
}

#[tokio::test]
async fn what_failed_is_told_with_the_reason_to_operators_and_without_it_to_owners() {
    let fleet = Fleet::new().await;
    fleet.done("2.90", json!({"os-migrateLive": {"host": null, "block_migration": false}})).await;
    assert_eq!(
        fleet.steps().await,
        ["conductor_live_migrate_instance host-1 Error", "compute_check_can_live_migrate_destination host-2 Error"]
    );
    let told = fleet.action(&fleet.admin).await;
    assert_eq!(told["message"], "Error");
    for event in told["events"].as_array().unwrap() {
        assert!(event["details"].as_str().unwrap().contains("is not on shared storage"), "{told}");
        assert_eq!(event["traceback"], json!(null));
        assert!(event.as_object().unwrap().contains_key("traceback"), "{told}");
    }
    let own = fleet.action(&fleet.alice).await;
    for event in own["events"].as_array().unwrap() {
        assert_eq!(event["result"], "Error");
        assert_ne!(event["hostId"], "");
        for kept in ["traceback", "details", "host"] {
            assert!(!event.as_object().unwrap().contains_key(kept), "{own}");
        }
    }
    fleet.site.cloud.hosts[0].hypervisor.fail_at(
        crate::hypervisor::simulated::Call::Migrate,
        1,
        crate::hypervisor::simulated::Fault::Refused,
    );
    fleet.done("2.90", json!({"os-migrateLive": {"host": null, "block_migration": "auto"}})).await;
    assert_eq!(
        fleet.steps().await[3..],
        [
            "compute_live_migration host-1 Error",
            "compute_pre_live_migration host-2 Success",
            "compute_rollback_live_migration_at_destination host-2 Success",
        ]
    );
}

#[tokio::test]
async fn a_cold_migration_its_confirmation_and_its_way_back_are_told_in_upstreams_steps() {
    let fleet = Fleet::new().await;
    let there = [
        "conductor_migrate_server host-1 Success",
        "cold_migrate host-1 Success",
        "compute_prep_resize host-2 Success",
        "compute_resize_instance host-1 Success",
        "compute_finish_resize host-2 Success",
    ];
    fleet.ask("2.90", json!({"migrate": null})).await;
    assert_eq!(fleet.steps().await, ["conductor_migrate_server host-1 -", "cold_migrate host-1 -"]);
    fleet.site.cloud.work().await;
    assert_eq!(fleet.steps().await, there);
    fleet.done("2.90", json!({"revertResize": null})).await;
    assert_eq!(
        fleet.steps().await,
        ["compute_revert_resize host-2 Success", "compute_finish_revert_resize host-1 Success"]
    );
    fleet.done("2.90", json!({"migrate": null})).await;
    assert_eq!(fleet.steps().await, there);
    fleet.done("2.90", json!({"confirmResize": null})).await;
    assert_eq!(fleet.steps().await, ["compute_confirm_resize host-1 Success"], "where the files went from");
}

#[tokio::test]
async fn an_evacuation_and_a_migration_without_a_place_say_where_they_came_to() {
    let fleet = Fleet::new().await;
    fleet.site.cloud.hosts[0].hypervisor.set_away(true);
    fleet.site.cloud.pass_seconds(200);
    fleet.site.cloud.reconcile().await;
    fleet.done("2.95", json!({"evacuate": {}})).await;
    assert_eq!(fleet.steps().await, ["rebuild_server host-1 Success", "compute_rebuild_instance host-2 Success"]);
    fleet.done("2.95", json!({"os-start": null})).await;
    fleet.done("2.95", json!({"migrate": null})).await;
    assert_eq!(fleet.steps().await, ["conductor_migrate_server host-1 Error", "cold_migrate host-1 Error"]);
}

#[tokio::test]
async fn to_call_a_move_off_is_told_as_done_once_it_is_done() {
    let fleet = Fleet::new().await;
    fleet.ask("2.90", json!({"os-migrateLive": {"host": null, "block_migration": "auto"}})).await;
    let path = format!("{PATH}/servers/{}/migrations", fleet.id);
    let found = at(&fleet.admin, "2.80", Method::GET, &path, &Value::Null).await.json();
    let number = found["migrations"][0]["id"].as_i64().unwrap();
    fleet.site.cloud.pass_seconds(1);
    let aborted = at(&fleet.admin, "2.65", Method::DELETE, &format!("{path}/{number}"), &Value::Null).await;
    assert_eq!(aborted.status, 202, "{}", aborted.text());
    assert_eq!(fleet.action(&fleet.admin).await["action"], "live_migration_cancel");
    assert_eq!(fleet.steps().await, ["compute_live_migration_abort host-1 -"]);
    fleet.site.cloud.work().await;
    assert_eq!(fleet.steps().await[0], "compute_live_migration_abort host-1 Success");
}
