//! Evacuation over two simulated hosts: when it is refused, what the server is afterwards, and that a lost host which is back
//! runs nothing of what was built anew elsewhere.

use super::*;
use crate::api::testing::SimulatedHost;
use crate::disks::simulated::Call as DiskCall;
use crate::hypervisor::simulated::{Call, Fault};
use crate::hypervisor::{Hypervisor, Power};
use http::Method;

const LARGE: (u32, u64) = (64, 256 * 1024);

struct Fleet {
    site: Site,
    admin: Client,
    id: ServerId,
}

impl Fleet {
    /// A server on the first host, which is lost.
    async fn lost() -> Self {
        let fleet = Self::well().await;
        fleet.host(0).hypervisor.set_away(true);
        fleet.site.cloud.pass_seconds(200);
        fleet.look().await;
        fleet
    }

    async fn well() -> Self {
        let site = Site::over(Cloud::with_hosts(&[LARGE, LARGE]).await).await;
        let admin = site.cloud.admin().await;
        let id = site.boot(&admin, "web").await;
        let fleet = Self { site, admin, id };
        fleet.host(0).disks.write(id, "before");
        fleet
    }

    fn host(&self, index: usize) -> &SimulatedHost {
        &self.site.cloud.hosts[index]
    }

    async fn look(&self) {
        self.site.cloud.reconcile().await;
        self.site.cloud.work().await;
    }

    async fn ask(&self, version: &str, wish: Value) -> Reply {
        let path = format!("{PATH}/servers/{}/action", self.id);
        let reply = at(&self.admin, version, Method::POST, &path, &json!({"evacuate": wish})).await;
        self.site.cloud.work().await;
        reply
    }

    async fn shown(&self) -> (String, String) {
        let shown = show(&self.admin, self.id).await;
        assert!(shown["OS-EXT-STS:task_state"].is_null(), "{shown}");
        let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
        (text("status"), text("OS-EXT-SRV-ATTR:host"))
    }

    async fn is(&self, status: &str, host: &str) {
        assert_eq!(self.shown().await, (status.to_owned(), host.to_owned()));
    }

    async fn record(&self) -> Value {
        let path = format!("{PATH}/os-migrations?instance_uuid={}", self.id);
        at(&self.admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"][0].clone()
    }

    async fn power(&self, index: usize) -> Option<Power> {
        self.host(index).hypervisor.find(self.id).await.unwrap().map(|machine| machine.power)
    }
}

#[tokio::test]
async fn an_evacuated_server_is_off_since_2_95_and_its_old_machine_goes_when_the_host_is_back() {
    let fleet = Fleet::lost().await;
    let before = show(&fleet.admin, fleet.id).await;
    let reply = fleet.ask("2.95", json!({})).await;
    assert_eq!((reply.status, reply.bytes.len()), (200, 0));
    fleet.is("SHUTOFF", "host-2").await;
    assert_eq!(fleet.power(1).await, Some(Power::Shutdown));
    assert_eq!(show(&fleet.admin, fleet.id).await["addresses"], before["addresses"]);
    let record = fleet.record().await;
    assert_eq!((&record["status"], &record["migration_type"]), (&json!("done"), &json!("evacuation")));
    assert_eq!((&record["source_compute"], &record["dest_compute"]), (&json!("host-1"), &json!("host-2")));
    assert_eq!(fleet.host(1).disks.read(fleet.id), None, "its disk begins with the image");
    assert_eq!(act(&fleet.admin, fleet.id, json!({"os-start": null})).await.status, 202);
    fleet.site.cloud.work().await;
    fleet.is("ACTIVE", "host-2").await;
    let old = fleet.host(0);
    assert!(old.hypervisor.spec(fleet.id).is_some(), "nobody could tell the lost host");
    old.hypervisor.set_away(false);
    fleet.look().await;
    assert!(old.hypervisor.spec(fleet.id).is_none() && old.disks.root(fleet.id).is_none(), "exactly one runs");
    assert!(old.fabric.wish(fleet.site.network).is_none());
    assert_eq!(fleet.power(1).await, Some(Power::Running));
    assert_eq!(fleet.record().await["status"], "completed");
    let path = format!("{PATH}/servers/{}/os-instance-actions", fleet.id);
    let actions = fleet.admin.get(&path).await.json();
    assert!(actions["instanceActions"].as_array().unwrap().iter().any(|one| one["action"] == "evacuate"), "{actions}");
}

#[tokio::test]
async fn before_2_95_a_server_is_as_it_was_and_told_its_new_password() {
    for (version, wish) in [
        ("2.13", json!({"onSharedStorage": false, "adminPass": "MySecret-1"})),
        ("2.14", json!({"adminPass": "MySecret-1"})),
        ("2.29", json!({"host": "host-2", "force": true, "adminPass": "MySecret-1"})),
        ("2.68", json!({"host": "host-2", "adminPass": "MySecret-1"})),
    ] {
        let fleet = Fleet::lost().await;
        let reply = fleet.ask(version, wish).await;
        assert_eq!((reply.status, reply.bytes.len()), (200, 0), "{version}");
        fleet.is("ACTIVE", "host-2").await;
        let drive = fleet.host(1).disks.config_drive(fleet.id).unwrap();
        assert!(
            drive.files.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("MySecret-1")),
            "{version}"
        );
    }
    let fleet = Fleet::well().await;
    assert_eq!(act(&fleet.admin, fleet.id, json!({"os-stop": null})).await.status, 202);
    fleet.site.cloud.work().await;
    fleet.host(0).hypervisor.set_away(true);
    fleet.site.cloud.pass_seconds(200);
    fleet.look().await;
    assert_eq!(fleet.ask("2.94", json!({})).await.status, 200);
    fleet.is("SHUTOFF", "host-2").await;
}

#[tokio::test]
async fn what_can_not_be_evacuated_is_refused_in_novas_words() {
    let well = Fleet::well().await;
    let refused = async |fleet: &Fleet, version: &str, wish: Value| {
        let reply = fleet.ask(version, wish).await;
        (reply.status, message(&reply))
    };
    let in_use = (400, "Compute service of host-1 is still in use.".to_owned());
    assert_eq!(refused(&well, "2.95", json!({})).await, in_use);
    let fleet = Fleet::lost().await;
    for (version, wish, status, text) in [
        ("2.95", json!({"host": "nowhere"}), 404, "Compute host nowhere not found."),
        ("2.95", json!({"host": "host-1"}), 400, "The target host can't be the same one."),
        ("2.29", json!({"force": true}), 400, "Can't force to a non-provided destination"),
        (
            "2.13",
            json!({"onSharedStorage": true, "adminPass": "x"}),
            400,
            "admin password can't be changed on existing disk",
        ),
    ] {
        assert_eq!(refused(&fleet, version, wish).await, (status, text.to_owned()));
    }
    for (version, wish) in [
        ("2.13", json!({})),
        ("2.14", json!({"onSharedStorage": true})),
        ("2.28", json!({"host": "host-2", "force": true})),
        ("2.68", json!({"host": "host-2", "force": true})),
        ("2.95", json!({"host": null})),
    ] {
        assert_eq!(refused(&fleet, version, wish.clone()).await.0, 400, "{version} {wish}");
    }
    fleet.is("ACTIVE", "host-1").await;
    let alice = fleet.site.cloud.member("alice").await;
    let stranger = act(&alice, fleet.id, json!({"evacuate": {"onSharedStorage": false}})).await;
    assert_eq!(stranger.status, 403);
    assert_eq!(act(&well.admin, well.id, json!({"pause": null})).await.status, 202);
    well.site.cloud.work().await;
    let text = format!("Cannot 'evacuate' instance {} while it is in vm_state paused", well.id);
    assert_eq!(refused(&well, "2.95", json!({})).await, (409, text));
}

#[tokio::test]
async fn storage_that_is_called_shared_and_is_not_is_found_out_and_the_server_can_be_evacuated_again() {
    let fleet = Fleet::lost().await;
    assert_eq!(fleet.ask("2.13", json!({"onSharedStorage": true})).await.status, 200);
    fleet.is("ERROR", "host-1").await;
    let fault = show(&fleet.admin, fleet.id).await["fault"]["message"].clone();
    assert_eq!(fault, "Invalid state of instance files on shared storage");
    assert_eq!(fleet.record().await["status"], "failed");
    assert_eq!(fleet.ask("2.95", json!({})).await.status, 200);
    // What had failed is begun to run, as upstream does it.
    fleet.is("ACTIVE", "host-2").await;
}

#[tokio::test]
async fn what_an_earlier_stay_left_is_not_taken_for_the_servers_disk() {
    let fleet = Fleet::well().await;
    // It was on the other host before, which could not let go of it.
    assert_eq!(act(&fleet.admin, fleet.id, json!({"migrate": null})).await.status, 202);
    fleet.site.cloud.work().await;
    // Once, and five times more.
    fleet.host(0).hypervisor.fail_at(Call::Remove, 6, Fault::Unavailable);
    assert_eq!(act(&fleet.admin, fleet.id, json!({"confirmResize": null})).await.status, 204);
    for _ in 0..8 {
        fleet.site.cloud.work().await;
        fleet.site.cloud.pass_seconds(11);
    }
    assert_eq!(fleet.host(0).disks.read(fleet.id).as_deref(), Some("before"));
    let down = json!({"host": "host-2", "binary": "nova-compute", "forced_down": true});
    let path = format!("{PATH}/os-services/force-down");
    assert_eq!(at(&fleet.admin, "2.11", Method::PUT, &path, &down).await.status, 200);
    assert_eq!(fleet.ask("2.94", json!({})).await.status, 200);
    fleet.is("ACTIVE", "host-1").await;
    assert_eq!(fleet.host(0).disks.read(fleet.id), None, "its disk begins with the image");
}

#[tokio::test]
async fn a_server_that_no_host_can_build_anew_stays_in_error_where_it_was_and_is_deleted_at_once() {
    let fleet = Fleet::lost().await;
    fleet.host(1).disks.fail_at(DiskCall::FetchBase, 100);
    assert_eq!(fleet.ask("2.95", json!({})).await.status, 200);
    for _ in 0..20 {
        fleet.site.cloud.pass_seconds(11);
        fleet.look().await;
    }
    fleet.is("ERROR", "host-1").await;
    assert_eq!(fleet.record().await["status"], "failed");
    assert_eq!(super::resize::claims(&fleet.site, fleet.id).await, [("host-1".to_owned(), 192)]);
    let path = format!("{PATH}/servers/{}", fleet.id);
    assert_eq!(fleet.admin.delete(&path).await.status, 204);
    fleet.site.cloud.work().await;
    assert_eq!(fleet.admin.get(&path).await.status, 404);
    fleet.host(0).hypervisor.set_away(false);
    fleet.look().await;
    assert_nothing_left(&fleet.site, fleet.id).await;
}

/// How steps of this name went, and why.
async fn events(fleet: &Fleet, name: &'static str) -> Vec<(String, Option<String>)> {
    let ask = move |tx: &mut crate::store::Tx| {
        let rows = tx.query("SELECT result, details FROM server_events WHERE name = ?1", args![name])?;
        rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect()
    };
    fleet.site.cloud.state.db.read(ask).await.unwrap()
}

#[tokio::test]
async fn what_waits_for_a_lost_host_makes_way_for_an_evacuation_and_its_action_says_so() {
    for (wish, event) in [
        (json!({"reboot": {"type": "HARD"}}), "compute_reboot_instance"),
        (json!({"os-stop": null}), "compute_stop_instance"),
        (json!({"rescue": {}}), "compute_rescue_instance"),
        (json!({"createImage": {"name": "copy"}}), "compute_snapshot_instance"),
    ] {
        let fleet = Fleet::lost().await;
        let asked = act(&fleet.admin, fleet.id, wish.clone()).await;
        assert!(asked.status < 300, "{wish}: {}", asked.text());
        fleet.site.cloud.work().await;
        assert!(
            !show(&fleet.admin, fleet.id).await["OS-EXT-STS:task_state"].is_null(),
            "{wish}: it waits for its host"
        );
        let reply = fleet.ask("2.94", json!({})).await;
        assert_eq!(reply.status, 200, "{wish}: {}", reply.text());
        fleet.is("ACTIVE", "host-2").await;
        let why = Some("The request was called off by a newer one.".to_owned());
        assert_eq!(events(&fleet, event).await, [("Error".to_owned(), why)], "{wish}");
        fleet.host(0).hypervisor.set_away(false);
        fleet.look().await;
        assert!(fleet.host(0).hypervisor.spec(fleet.id).is_none(), "{wish}");
        assert_eq!(fleet.power(1).await, Some(Power::Running), "{wish}");
    }
}
