//! Migration and resize to another host: what is accepted and refused, what each host has on the way, and what happens when
//! one of the two is lost.

use super::resize::{LARGER, claims, make_flavor, resize};
use super::*;
use crate::api::testing::SimulatedHost;
use crate::cloud::placement::Rules;
use crate::disks::simulated::Call as DiskCall;
use crate::hypervisor::simulated::{Call, Fault};
use crate::hypervisor::{Hypervisor, Power};
use crate::tasks::overdue::Waits;
use http::Method;

const LARGE: (u32, u64) = (64, 256 * 1024);
const NO_HOST: &str = "No valid host was found. There are not enough hosts available.";

struct Fleet {
    site: Site,
    admin: Client,
    alice: Client,
    id: ServerId,
}

impl Fleet {
    /// A server on the first host, on whose disk its guest has written.
    async fn of(sizes: &[(u32, u64)], rules: Rules) -> Self {
        let site = Site::over(Cloud::with_fleet(sizes, Waits::default(), rules).await).await;
        let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
        let id = site.boot(&alice, "web").await;
        let fleet = Self { site, admin, alice, id };
        fleet.host(0).disks.write(id, "before");
        assert!(fleet.host(0).hypervisor.spec(id).is_some());
        fleet
    }

    async fn new() -> Self {
        Self::of(&[LARGE, LARGE], Rules::default()).await
    }

    fn host(&self, index: usize) -> &SimulatedHost {
        &self.site.cloud.hosts[index]
    }

    async fn ask(&self, client: &Client, version: &str, body: Value) -> Reply {
        at(client, version, Method::POST, &format!("{PATH}/servers/{}/action", self.id), &body).await
    }

    async fn migrate(&self) {
        let reply = self.ask(&self.admin, "2.90", json!({"migrate": null})).await;
        assert_eq!((reply.status, reply.bytes.len()), (202, 0));
        self.site.cloud.work().await;
    }

    async fn act(&self, action: &str) -> Reply {
        let reply = act(&self.alice, self.id, json!({action: null})).await;
        self.site.cloud.work().await;
        reply
    }

    async fn record(&self) -> Value {
        let path = format!("{PATH}/os-migrations?instance_uuid={}", self.id);
        at(&self.admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"][0].clone()
    }

    async fn shown(&self) -> (String, String) {
        let shown = show(&self.admin, self.id).await;
        let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
        (text("status"), text("OS-EXT-SRV-ATTR:host"))
    }

    async fn is(&self, status: &str, host: &str) {
        assert_eq!(self.shown().await, (status.to_owned(), host.to_owned()));
    }

    async fn holds(&self, held: &[(&str, i64)]) {
        let held: Vec<_> = held.iter().map(|(name, memory)| ((*name).to_owned(), *memory)).collect();
        assert_eq!(claims(&self.site, self.id).await, held);
    }

    /// A host has nothing of the server.
    fn has_nothing(&self, index: usize) {
        let host = self.host(index);
        assert!(host.hypervisor.spec(self.id).is_none() && host.disks.root(self.id).is_none());
        assert!(host.fabric.wish(self.site.network).is_none());
    }

    /// Time passes until hosts that don't answer count as down.
    async fn until_down(&self) {
        self.site.cloud.pass_seconds(200);
        self.look().await;
    }

    /// Every host is looked at, and what that begins is done.
    async fn look(&self) {
        self.site.cloud.reconcile().await;
        self.site.cloud.work().await;
    }
}

#[tokio::test]
async fn a_server_migrates_with_what_its_guest_wrote_and_its_first_host_keeps_that_until_it_is_confirmed() {
    let fleet = Fleet::new().await;
    let before = show(&fleet.alice, fleet.id).await;
    fleet.migrate().await;
    fleet.is("VERIFY_RESIZE", "host-2").await;
    let after = show(&fleet.alice, fleet.id).await;
    assert_eq!((&after["addresses"], &after["flavor"]), (&before["addresses"], &before["flavor"]));
    let (old, new) = (fleet.host(0), fleet.host(1));
    assert_eq!(new.disks.read(fleet.id).as_deref(), Some("before"));
    assert_eq!(new.disks.root(fleet.id).unwrap().part, old.disks.root(fleet.id).unwrap().part, "no layer is laid");
    assert!(old.hypervisor.spec(fleet.id).is_none() && new.hypervisor.spec(fleet.id).is_some(), "one machine");
    assert!(new.disks.config_drive(fleet.id).is_some() && new.fabric.wish(fleet.site.network).is_some());
    fleet.holds(&[("host-1", 192), ("host-2", 192)]).await;
    let record = fleet.record().await;
    assert_eq!((&record["status"], &record["migration_type"]), (&json!("finished"), &json!("migration")));
    assert_eq!((&record["source_compute"], &record["dest_compute"]), (&json!("host-1"), &json!("host-2")));
    let path = format!("{PATH}/servers/{}/os-instance-actions", fleet.id);
    let actions = fleet.admin.get(&path).await.json()["instanceActions"].clone();
    assert!(actions.as_array().unwrap().iter().any(|one| one["action"] == "migrate"), "{actions}");
    // All requests of these tests have one id, and with it one action has all events.
    let shown = fleet.admin.get(&format!("{path}/req-test")).await.json();
    let events = shown["instanceAction"]["events"].as_array().unwrap();
    for event in ["compute_resize_instance", "compute_finish_resize"] {
        assert!(events.iter().any(|one| one["event"] == event && one["result"] == "Success"), "{shown}");
    }

    assert_eq!(fleet.act("confirmResize").await.status, 204);
    fleet.is("ACTIVE", "host-2").await;
    fleet.has_nothing(0);
    fleet.holds(&[("host-2", 192)]).await;
    assert_eq!(fleet.record().await["status"], "confirmed");
    // And from there it migrates back.
    fleet.migrate().await;
    assert_eq!(fleet.act("confirmResize").await.status, 204);
    fleet.is("ACTIVE", "host-1").await;
    assert_eq!(fleet.host(0).disks.read(fleet.id).as_deref(), Some("before"));
    fleet.has_nothing(1);
}

#[tokio::test]
async fn a_migration_that_is_taken_back_finds_the_disk_as_it_was() {
    let fleet = Fleet::new().await;
    fleet.migrate().await;
    fleet.host(1).disks.write(fleet.id, "after");
    assert_eq!(fleet.act("revertResize").await.status, 202);
    fleet.is("ACTIVE", "host-1").await;
    assert_eq!(fleet.host(0).disks.read(fleet.id).as_deref(), Some("before"));
    assert_eq!(fleet.host(0).hypervisor.find(fleet.id).await.unwrap().unwrap().power, Power::Running);
    fleet.has_nothing(1);
    fleet.holds(&[("host-1", 192)]).await;
    assert_eq!(fleet.record().await["status"], "reverted");
}

#[tokio::test]
async fn a_server_that_is_off_migrates_and_stays_off() {
    let fleet = Fleet::new().await;
    assert_eq!(fleet.act("os-stop").await.status, 202);
    fleet.migrate().await;
    fleet.is("VERIFY_RESIZE", "host-2").await;
    assert_eq!(fleet.host(1).hypervisor.boots(fleet.id), 0);
    assert_eq!(fleet.act("confirmResize").await.status, 204);
    fleet.is("SHUTOFF", "host-2").await;
    assert_eq!(fleet.act("os-start").await.status, 202);
    fleet.is("ACTIVE", "host-2").await;
}

#[tokio::test]
async fn a_host_is_named_since_2_56_and_refused_in_novas_words() {
    let fleet = Fleet::new().await;
    let to = |name: &str| json!({"migrate": {"host": name}});
    for (client, version, body, status, text) in [
        (&fleet.admin, "2.56", to("host-1"), 400, "Cannot migrate to the host where the server exists."),
        (&fleet.admin, "2.56", to("nowhere"), 400, "Compute host nowhere could not be found."),
        (
            &fleet.alice,
            "2.56",
            json!({"migrate": null}),
            403,
            "Policy doesn't allow os_compute_api:os-migrate-server:migrate to be performed.",
        ),
    ] {
        let refused = fleet.ask(client, version, body).await;
        assert_eq!((refused.status, message(&refused).as_str()), (status, text));
    }
    let more = fleet.ask(&fleet.admin, "2.56", json!({"migrate": {"force": true}})).await;
    assert_eq!(more.status, 400, "{}", message(&more));
    assert_eq!(fleet.ask(&fleet.admin, "2.56", to("host-2")).await.status, 202);
    let again = fleet.ask(&fleet.admin, "2.56", to("host-2")).await;
    let busy = format!("Cannot 'migrate' instance {} while it is in task_state resize_prep", fleet.id);
    assert_eq!((again.status, message(&again)), (409, busy));
    fleet.site.cloud.work().await;
    fleet.is("VERIFY_RESIZE", "host-2").await;
    assert_eq!(fleet.act("revertResize").await.status, 202);
    // Before, nobody looks at what is said.
    assert_eq!(fleet.ask(&fleet.admin, "2.55", to("host-1")).await.status, 202);
    fleet.site.cloud.work().await;
    fleet.is("VERIFY_RESIZE", "host-2").await;
}

#[tokio::test]
async fn where_there_is_no_other_host_a_server_stays_and_the_record_says_it() {
    let fleet = Fleet::of(&[LARGE], Rules::default()).await;
    fleet.migrate().await;
    fleet.is("ACTIVE", "host-1").await;
    assert_eq!(fleet.host(0).hypervisor.boots(fleet.id), 1, "it was never stopped");
    assert_eq!(fleet.record().await["status"], "error");
    let small = Fleet::of(&[LARGE, (64, 600)], Rules::default()).await;
    small.migrate().await;
    small.is("ACTIVE", "host-1").await;
    small.holds(&[("host-1", 192)]).await;
    let path = format!("{PATH}/servers/{}/os-instance-actions", small.id);
    let shown = at(&small.admin, "2.84", Method::GET, &format!("{path}/req-test"), &Value::Null).await.json();
    let events = shown["instanceAction"]["events"].as_array().unwrap();
    assert!(
        events
            .iter()
            .any(|one| one["details"].as_str().is_some_and(|why| why.starts_with(NO_HOST)) && one["result"] == "Error"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_server_is_resized_where_it_is_if_that_may_be_and_has_room_and_else_elsewhere() {
    let roomy = Fleet::new().await;
    make_flavor(&roomy.site, LARGER, 384, 2).await;
    resize(&roomy.alice, roomy.id, LARGER).await;
    roomy.site.cloud.work().await;
    roomy.is("VERIFY_RESIZE", "host-1").await;
    // Here there is no room for both flavors.
    let crowded = Fleet::of(&[(64, 1024), (64, 1000)], Rules::default()).await;
    make_flavor(&crowded.site, LARGER, 384, 2).await;
    resize(&crowded.alice, crowded.id, LARGER).await;
    crowded.site.cloud.work().await;
    crowded.is("VERIFY_RESIZE", "host-2").await;
    let rules = Rules { allow_resize_to_same_host: false, ..Rules::default() };
    let fleet = Fleet::of(&[LARGE, LARGE], rules).await;
    make_flavor(&fleet.site, LARGER, 384, 2).await;
    resize(&fleet.alice, fleet.id, LARGER).await;
    fleet.site.cloud.work().await;
    fleet.is("VERIFY_RESIZE", "host-2").await;
    fleet.holds(&[("host-1", 192), ("host-2", 384)]).await;
    let new = fleet.host(1);
    assert_eq!(new.hypervisor.spec(fleet.id).unwrap().memory_mib, 384);
    assert_eq!(new.disks.root(fleet.id).unwrap().virtual_size, 2 << 30);
    assert_eq!(new.disks.read(fleet.id).as_deref(), Some("before"));
    assert_eq!(fleet.record().await["migration_type"], "resize");
    assert_eq!(fleet.act("confirmResize").await.status, 204);
    fleet.has_nothing(0);
    fleet.holds(&[("host-2", 384)]).await;
}

#[tokio::test]
async fn a_target_that_is_lost_while_disks_are_carried_leaves_the_server_running_where_it_was() {
    let fleet = Fleet::new().await;
    fleet.host(1).disks.fail_at(DiskCall::ReceivePart, 1);
    assert_eq!(fleet.ask(&fleet.admin, "2.90", json!({"migrate": null})).await.status, 202);
    fleet.site.cloud.work().await;
    fleet.host(1).hypervisor.set_away(true);
    for _ in 0..20 {
        fleet.site.cloud.pass_seconds(20);
        fleet.look().await;
    }
    fleet.is("ACTIVE", "host-1").await;
    assert_eq!(fleet.record().await["status"], "error");
    fleet.holds(&[("host-1", 192)]).await;
    fleet.host(1).hypervisor.set_away(false);
    fleet.look().await;
    fleet.has_nothing(1);
    fleet.migrate().await;
    fleet.is("VERIFY_RESIZE", "host-2").await;
}

#[tokio::test]
async fn a_machine_of_which_nobody_knows_whether_the_target_runs_it_runs_nowhere_else() {
    let fleet = Fleet::new().await;
    let (old, new) = (fleet.host(0), fleet.host(1));
    new.hypervisor.fail_at(Call::Start, 1, Fault::AnswerLost);
    assert_eq!(fleet.ask(&fleet.admin, "2.90", json!({"migrate": null})).await.status, 202);
    fleet.site.cloud.work().await;
    new.hypervisor.set_away(true);
    for _ in 0..25 {
        fleet.site.cloud.pass_seconds(20);
        fleet.look().await;
        assert!(old.hypervisor.spec(fleet.id).is_none(), "the target runs it");
    }
    fleet.is("RESIZE", "host-2").await;
    new.hypervisor.set_away(false);
    fleet.site.cloud.pass_seconds(20);
    fleet.look().await;
    // Whoever gave it up meanwhile takes it back; it runs on one host in any case.
    let machines = [old, new].iter().filter(|host| host.hypervisor.spec(fleet.id).is_some()).count();
    assert_eq!(machines, 1);
    assert_ne!(fleet.shown().await.0, "RESIZE");
}

#[tokio::test]
async fn nothing_is_given_up_for_a_way_back_to_a_host_that_is_lost() {
    let fleet = Fleet::new().await;
    fleet.migrate().await;
    fleet.host(0).hypervisor.set_away(true);
    assert_eq!(fleet.act("revertResize").await.status, 202);
    for _ in 0..20 {
        fleet.site.cloud.pass_seconds(20);
        fleet.look().await;
    }
    fleet.is("VERIFY_RESIZE", "host-2").await;
    assert_eq!(fleet.host(1).hypervisor.find(fleet.id).await.unwrap().unwrap().power, Power::Running);
    // Nor is the way back given up while that host is down, as upstream has it.
    let refused = fleet.act("confirmResize").await;
    assert_eq!((refused.status, message(&refused)), (409, "Service is unavailable at this time.".to_owned()));
    fleet.is("VERIFY_RESIZE", "host-2").await;
    assert_eq!(fleet.record().await["status"], "finished");
    assert!(fleet.host(0).disks.root(fleet.id).is_some());
    fleet.host(0).hypervisor.set_away(false);
    fleet.look().await;
    assert_eq!(fleet.act("confirmResize").await.status, 204);
    fleet.is("ACTIVE", "host-2").await;
    fleet.has_nothing(0);
}

#[tokio::test]
async fn a_host_that_is_lost_just_when_its_server_is_confirmed_elsewhere_lets_go_when_it_is_back() {
    let fleet = Fleet::new().await;
    fleet.migrate().await;
    // It counts as up until it has been silent for a while.
    fleet.host(0).hypervisor.set_away(true);
    assert_eq!(fleet.act("confirmResize").await.status, 204);
    fleet.is("ACTIVE", "host-2").await;
    assert!(fleet.host(0).disks.root(fleet.id).is_some(), "it could not let go yet");
    for _ in 0..20 {
        fleet.site.cloud.pass_seconds(20);
        fleet.look().await;
    }
    fleet.host(0).hypervisor.set_away(false);
    fleet.look().await;
    assert!(fleet.host(0).disks.root(fleet.id).is_none());
}

#[tokio::test]
async fn a_resize_that_nobody_decides_on_is_not_confirmed_while_its_way_back_is_down() {
    let waits = Waits { confirm: Some(60), ..Waits::default() };
    let site = Site::over(Cloud::with_hosts_and_waits(&[LARGE, LARGE], waits).await).await;
    let (admin, alice) = (site.cloud.admin().await, site.cloud.member("alice").await);
    let id = site.boot(&alice, "web").await;
    let fleet = Fleet { site, admin, alice, id };
    fleet.migrate().await;
    fleet.host(0).hypervisor.set_away(true);
    fleet.until_down().await;
    fleet.is("VERIFY_RESIZE", "host-2").await;
    fleet.host(0).hypervisor.set_away(false);
    fleet.look().await;
    fleet.look().await;
    fleet.is("ACTIVE", "host-2").await;
}

#[tokio::test]
async fn a_server_deleted_while_it_could_go_back_leaves_nothing_on_either_host() {
    let fleet = Fleet::new().await;
    fleet.migrate().await;
    assert_eq!(fleet.alice.delete(&format!("{PATH}/servers/{}", fleet.id)).await.status, 204);
    fleet.site.cloud.work().await;
    assert_nothing_left(&fleet.site, fleet.id).await;
    fleet.holds(&[]).await;
}

#[tokio::test]
async fn a_server_on_a_lost_host_is_deleted_at_once_and_its_machine_goes_when_the_host_is_back() {
    let fleet = Fleet::new().await;
    let old = fleet.host(0);
    old.hypervisor.set_away(true);
    let path = format!("{PATH}/servers/{}", fleet.id);
    assert_eq!(fleet.alice.delete(&path).await.status, 204);
    fleet.site.cloud.work().await;
    assert_eq!(show(&fleet.alice, fleet.id).await["OS-EXT-STS:task_state"], "deleting", "the host may be restarting");
    fleet.until_down().await;
    assert_eq!(fleet.alice.get(&path).await.status, 404);
    fleet.holds(&[]).await;
    old.hypervisor.set_away(false);
    assert!(old.hypervisor.spec(fleet.id).is_some(), "it ran on");
    fleet.look().await;
    assert_nothing_left(&fleet.site, fleet.id).await;
    let down = Fleet::new().await;
    down.host(0).hypervisor.set_away(true);
    down.until_down().await;
    assert_eq!(down.alice.delete(&format!("{PATH}/servers/{}", down.id)).await.status, 204);
    down.site.cloud.work().await;
    assert_eq!(down.alice.get(&format!("{PATH}/servers/{}", down.id)).await.status, 404);
}

#[tokio::test]
async fn a_server_that_was_to_be_built_on_a_lost_host_is_deleted_at_once() {
    let site = Site::over(Cloud::with_hosts(&[LARGE]).await).await;
    let alice = site.cloud.member("alice").await;
    let host = &site.cloud.hosts[0];
    // The machine is made, and then nobody hears of the host again.
    host.hypervisor.fail_at(Call::Start, 1, Fault::AnswerLost);
    let made = alice.post(&format!("{PATH}/servers"), site.wish("web")).await.json();
    let id = ServerId::parse(made["server"]["id"].as_str().unwrap()).unwrap();
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "BUILD");
    host.hypervisor.set_away(true);
    site.cloud.pass_seconds(200);
    let path = format!("{PATH}/servers/{id}");
    assert_eq!(alice.delete(&path).await.status, 204);
    site.cloud.work().await;
    assert_eq!(alice.get(&path).await.status, 404, "for a host that is down nobody waits");
    host.hypervisor.set_away(false);
    site.cloud.reconcile().await;
    site.cloud.work().await;
    assert_nothing_left(&site, id).await;
}

#[tokio::test]
async fn what_is_being_undone_on_a_lost_host_makes_way_for_a_deletion() {
    let fleet = Fleet::new().await;
    fleet.host(1).hypervisor.fail_at(Call::Start, 1000, Fault::Refused);
    fleet.host(1).hypervisor.fail_at(Call::Stop, 1000, Fault::Unavailable);
    assert_eq!(act(&fleet.admin, fleet.id, json!({"migrate": null})).await.status, 202);
    fleet.site.cloud.work().await;
    let shown = show(&fleet.alice, fleet.id).await;
    assert!(!shown["OS-EXT-STS:task_state"].is_null(), "it can't go back: {shown}");
    for index in 0..2 {
        fleet.host(index).hypervisor.set_away(true);
    }
    fleet.site.cloud.pass_seconds(200);
    let path = format!("{PATH}/servers/{}", fleet.id);
    assert_eq!(fleet.alice.delete(&path).await.status, 204);
    fleet.site.cloud.work().await;
    assert_eq!(fleet.alice.get(&path).await.status, 404);
    for index in 0..2 {
        fleet.host(index).hypervisor.set_away(false);
    }
    // One host is cleared after the other.
    fleet.look().await;
    fleet.look().await;
    assert_nothing_left(&fleet.site, fleet.id).await;
}
