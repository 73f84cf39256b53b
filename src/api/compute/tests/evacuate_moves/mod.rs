//! A host is lost while its server is on its way to another, and the server is evacuated: what the other host says decides, and
//! nothing else does. In the end one host runs the server, also when the lost one is back with its guest.

use super::resize::claims;
use super::*;
use crate::api::testing::SimulatedHost;
use crate::cloud::placement::Rules;
use crate::disks::Disks;
use crate::disks::simulated::Call as DiskCall;
use crate::hypervisor::simulated::{Call, Fault};
use crate::hypervisor::{Hypervisor, Power, Standing};
use crate::tasks::overdue::Waits;
use http::Method;
use std::sync::Arc;

mod back;
mod cold;

const LARGE: (u32, u64) = (64, 256 * 1024);
const MADE_WAY: &str = "The request was called off by a newer one.";

/// What the target has of the guest when the source is lost in the middle of a live move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    /// All of it, of which nobody has heard.
    Whole,
    /// The same, and its guest has switched itself off since.
    Off,
    /// What comes in, and has not begun.
    Incoming,
    Nothing,
    /// A guest that came before its memory.
    Torn,
    /// The same, and its host doesn't notice.
    Fetching,
}

const NOT_BEGUN: [There; 2] = [There::Incoming, There::Nothing];
const LOST: [There; 2] = [There::Torn, There::Fetching];

struct Fleet {
    site: Arc<Site>,
    admin: Client,
    id: ServerId,
}

impl Fleet {
    /// A server on the first of so many hosts.
    async fn of(hosts: usize) -> Self {
        let rules = Rules { allow_resize_to_same_host: false, ..Rules::default() };
        Self::over(Cloud::with_fleet(&vec![LARGE; hosts], Waits::default(), rules).await).await
    }

    async fn over(cloud: Cloud) -> Self {
        let site = Arc::new(Site::over(cloud).await);
        let admin = site.cloud.admin().await;
        let mut wish = site.wish("web");
        wish["server"]["availability_zone"] = json!("nova:host-1");
        let made = admin.post(&format!("{PATH}/servers"), wish).await;
        let id = ServerId::parse(made.json()["server"]["id"].as_str().unwrap()).unwrap();
        site.cloud.work().await;
        let bind = move |tx: &mut crate::store::Tx| {
            crate::store::servers::update(tx, id, crate::store::servers::Change::new().pinned_zone(None), START)
        };
        site.cloud.state.db.write(bind).await.unwrap();
        let fleet = Self { site, admin, id };
        fleet.host(0).disks.write(id, "before");
        fleet
    }

    /// On its way to the second host, with somebody at work on that.
    async fn moving(hosts: usize) -> (Self, tokio::task::JoinHandle<()>) {
        let fleet = Self::of(hosts).await;
        fleet.host(0).hypervisor.hold_moves(true);
        let wish = json!({"os-migrateLive": {"host": "host-2", "block_migration": "auto"}});
        assert_eq!(fleet.ask("2.90", wish).await.status, 202);
        let site = fleet.site.clone();
        let work = tokio::spawn(async move { site.cloud.work().await });
        let path = format!("{PATH}/servers/{}/migrations", fleet.id);
        loop {
            let found = at(&fleet.admin, "2.80", Method::GET, &path, &Value::Null).await.json();
            let found = &found["migrations"][0];
            if found["status"] == "running" && !found["memory_total_bytes"].is_null() {
                return (fleet, work);
            }
            tokio::task::yield_now().await;
        }
    }

    /// The first host is lost in the middle of that.
    async fn lost(there: There, hosts: usize) -> Self {
        let (fleet, work) = Self::moving(hosts).await;
        let (source, target, id) = (&fleet.host(0).hypervisor, &fleet.host(1).hypervisor, fleet.id);
        source.set_away(true);
        work.await.unwrap();
        // What it did until it died, with nobody to see it.
        source.set_away(false);
        match there {
            There::Incoming => {}
            There::Nothing => source.crash_in_move(id),
            There::Whole | There::Off => {
                source.hold_moves(false);
                while source.migration(id).await.unwrap().is_some_and(|move_| !move_.phase.is_over()) {}
                fleet.host(1).disks.write(id, "after");
                if there == There::Off {
                    target.set_power(id, Power::Shutdown);
                }
            }
            There::Torn | There::Fetching => {
                source.tear(id);
                fleet.host(1).disks.write(id, "after");
                if there == There::Fetching {
                    target.notices_nothing(id);
                }
            }
        }
        fleet.loses(0);
        let standing = match there {
            There::Whole => Standing::Runs(Power::Running),
            There::Off => Standing::Off,
            There::Incoming => Standing::Held,
            There::Nothing => Standing::Absent,
            There::Torn => Standing::Torn,
            There::Fetching => Standing::Fetching,
        };
        assert_eq!(target.standing(id).await.unwrap(), standing);
        fleet.site.cloud.pass_seconds(200);
        fleet.look().await;
        assert_eq!(show(&fleet.admin, id).await["status"], "MIGRATING", "nobody knows where it is");
        fleet
    }

    fn host(&self, index: usize) -> &SimulatedHost {
        &self.site.cloud.hosts[index]
    }

    /// The host says nothing any more, nor gives its disks.
    fn loses(&self, index: usize) {
        self.host(index).hypervisor.set_away(true);
        for call in [DiskCall::Mark, DiskCall::Pack, DiskCall::OpenPart, DiskCall::Remove] {
            self.host(index).disks.fail_at(call, 1000);
        }
    }

    fn finds_again(&self, index: usize) {
        self.host(index).hypervisor.set_away(false);
        self.host(index).disks.stop_failing();
    }

    async fn look(&self) {
        self.site.cloud.reconcile().await;
        self.site.cloud.work().await;
    }

    /// What is asked for now comes after what was asked for before.
    fn after_that(&self) {
        self.site.cloud.pass_seconds(1);
    }

    /// Time passes, in which everything is tried again.
    async fn wait(&self) {
        for _ in 0..4 {
            self.site.cloud.pass_seconds(11);
            self.look().await;
        }
    }

    async fn ask(&self, version: &str, wish: Value) -> Reply {
        at(&self.admin, version, Method::POST, &format!("{PATH}/servers/{}/action", self.id), &wish).await
    }

    /// An evacuation is asked for, and done as far as it can be.
    async fn evacuate(&self, wish: Value) {
        self.after_that();
        let reply = self.ask("2.94", json!({"evacuate": wish})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(show(&self.admin, self.id).await["OS-EXT-STS:task_state"], "rebuilding");
        self.site.cloud.work().await;
    }

    async fn is(&self, status: &str, host: &str) {
        let shown = show(&self.admin, self.id).await;
        let seen = (&shown["status"], &shown["OS-EXT-STS:task_state"], &shown["OS-EXT-SRV-ATTR:host"]);
        assert_eq!(seen, (&json!(status), &json!(null), &json!(host)), "{shown}");
        assert_eq!(claims(&self.site, self.id).await, [(host.to_owned(), 192)]);
    }

    /// It waits for somebody's word.
    async fn waits(&self) {
        let shown = show(&self.admin, self.id).await;
        let seen = (&shown["OS-EXT-STS:task_state"], &shown["OS-EXT-SRV-ATTR:host"]);
        assert_eq!(seen, (&json!("rebuilding"), &json!("host-1")), "{shown}");
    }

    async fn record(&self, kind: &str) -> Value {
        let path = format!("{PATH}/os-migrations?instance_uuid={}", self.id);
        let listed = at(&self.admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"].clone();
        let mut record = listed.as_array().unwrap().iter().find(|one| one["migration_type"] == kind).unwrap().clone();
        let path = format!("{PATH}/os-migrations/{}/measures", record["id"]);
        record["failure"] = self.admin.get(&path).await.json()["measures"]["failure"].clone();
        record
    }

    /// How a step went, and why.
    async fn event(&self, name: &'static str) -> (Option<String>, Option<String>) {
        let ask = move |tx: &mut crate::store::Tx| {
            let rows = tx.query("SELECT result, details FROM server_events WHERE name = ?1", args![name])?;
            rows.into_iter().map(|mut row| Ok((row.next()?, row.next()?))).collect::<crate::error::Result<Vec<_>>>()
        };
        // All requests of these tests have one id, so that a step may be begun in one action and end in another.
        self.site.cloud.state.db.read(ask).await.unwrap().into_iter().max().unwrap()
    }

    /// The evacuation did nothing, and says so.
    async fn found_it_elsewhere(&self) {
        let why = "The server had left its host before that was lost, and is on host-2. Nothing was done to it.";
        let record = self.record("evacuation").await;
        assert_eq!((&record["status"], &record["failure"]), (&json!("cancelled"), &json!(why)), "{record}");
        assert_eq!(record["dest_compute"], json!(null));
        assert_eq!(self.event("rebuild_server").await, (Some("Error".to_owned()), Some(why.to_owned())));
        assert_eq!(self.host(1).disks.read(self.id).as_deref(), Some("after"), "nobody touched its disk");
    }

    /// The lost host is back with whatever it had, and with a guest that runs if there was one whole; then it has nothing.
    async fn only_one_runs_when_the_lost_host_is_back(&self, at: usize) {
        let (id, lost) = (self.id, self.host(0));
        self.finds_again(0);
        super::workflows::force_down(&self.site, false).await;
        if lost.hypervisor.standing(id).await.unwrap() == Standing::Absent {
            let mut spec = self.host(at).hypervisor.spec(id).unwrap();
            spec.epoch = crate::hypervisor::Epoch(0);
            // It never learnt that its guest had left.
            lost.hypervisor.forget_removed(id);
            lost.hypervisor.start(&spec).await.unwrap();
        }
        self.look().await;
        self.wait().await;
        assert!(lost.hypervisor.spec(id).is_none() && lost.fabric.wish(self.site.network).is_none());
        assert!(lost.disks.root(id).is_none());
        let machines = self.site.cloud.hosts.iter().filter(|host| host.hypervisor.spec(id).is_some());
        assert_eq!(machines.map(|host| host.name.as_str()).collect::<Vec<_>>(), [self.host(at).name.as_str()]);
    }
}

#[tokio::test]
async fn a_guest_that_had_left_its_lost_host_runs_on_and_its_evacuation_does_nothing_to_it() {
    let fleet = Fleet::lost(There::Whole, 3).await;
    fleet.evacuate(json!({})).await;
    fleet.is("ACTIVE", "host-2").await;
    fleet.found_it_elsewhere().await;
    assert_eq!(fleet.host(1).hypervisor.boots(fleet.id), 1, "it never began anew");
    assert_eq!(fleet.record("live-migration").await["status"], "completed");
    fleet.only_one_runs_when_the_lost_host_is_back(1).await;
    assert_eq!(fleet.host(1).hypervisor.boots(fleet.id), 1);
    fleet.is("ACTIVE", "host-2").await;
    fleet.found_it_elsewhere().await;
}

#[tokio::test]
async fn a_guest_that_had_left_its_lost_host_and_is_off_since_keeps_its_disk() {
    let fleet = Fleet::lost(There::Off, 3).await;
    fleet.evacuate(json!({})).await;
    fleet.is("SHUTOFF", "host-2").await;
    fleet.found_it_elsewhere().await;
    assert_eq!(act(&fleet.admin, fleet.id, json!({"os-start": null})).await.status, 202);
    fleet.site.cloud.work().await;
    fleet.is("ACTIVE", "host-2").await;
    fleet.only_one_runs_when_the_lost_host_is_back(1).await;
}

#[tokio::test]
async fn a_guest_that_had_not_begun_at_its_target_is_built_anew() {
    for there in NOT_BEGUN {
        // Where it was to go, or elsewhere.
        for (hosts, wish, at) in [(2, json!({}), 1), (3, json!({"host": "host-3"}), 2)] {
            eprintln!("{there:?}, {wish}");
            let fleet = Fleet::lost(there, hosts).await;
            fleet.evacuate(wish).await;
            fleet.is("ACTIVE", &fleet.host(at).name).await;
            assert_eq!(fleet.host(at).hypervisor.standing(fleet.id).await.unwrap(), Standing::Runs(Power::Running));
            assert_eq!(fleet.host(at).disks.read(fleet.id), None, "its disk begins with the image");
            let old = fleet.record("live-migration").await;
            assert_eq!((&old["status"], &old["failure"]), (&json!("cancelled"), &json!(MADE_WAY)));
            assert_eq!(fleet.record("evacuation").await["status"], "done");
            if at == 2 {
                let target = fleet.host(1);
                assert_eq!(target.hypervisor.standing(fleet.id).await.unwrap(), Standing::Absent);
                assert!(target.disks.root(fleet.id).is_none() && target.fabric.wish(fleet.site.network).is_none());
            }
            fleet.only_one_runs_when_the_lost_host_is_back(at).await;
            assert_eq!(fleet.record("evacuation").await["status"], "completed");
        }
    }
}

#[tokio::test]
async fn a_guest_in_two_parts_is_lost_with_its_first_host_and_off_at_the_second_for_which_nobody_waits() {
    for there in LOST {
        let fleet = Fleet::lost(there, 3).await;
        fleet.evacuate(json!({})).await;
        fleet.is("ERROR", "host-2").await;
        fleet.found_it_elsewhere().await;
        let fault = show(&fleet.admin, fleet.id).await["fault"]["message"].as_str().unwrap().to_owned();
        assert!(fault.contains("The guest's memory is lost; its disk is as it left it."), "{fault}");
        assert_eq!(fleet.host(1).hypervisor.standing(fleet.id).await.unwrap(), Standing::Absent);
        assert_eq!(fleet.record("live-migration").await["status"], "error");
        assert_eq!(act(&fleet.admin, fleet.id, json!({"reboot": {"type": "HARD"}})).await.status, 202);
        fleet.site.cloud.work().await;
        fleet.is("ACTIVE", "host-2").await;
        fleet.only_one_runs_when_the_lost_host_is_back(1).await;
    }
}

#[tokio::test]
async fn without_the_targets_word_nothing_is_decided_and_with_it_everything() {
    for there in [There::Whole, There::Incoming, There::Nothing, There::Torn] {
        let fleet = Fleet::lost(there, 3).await;
        fleet.loses(1);
        fleet.site.cloud.pass_seconds(200);
        fleet.evacuate(json!({})).await;
        for _ in 0..3 {
            fleet.site.cloud.pass_seconds(200);
            fleet.wait().await;
            fleet.waits().await;
        }
        assert!(fleet.host(2).hypervisor.spec(fleet.id).is_none(), "{there:?}: nobody guesses");
        // Asked once more, it is the same.
        fleet.evacuate(json!({"host": "host-3"})).await;
        fleet.waits().await;
        fleet.finds_again(1);
        fleet.wait().await;
        match there {
            There::Whole => {
                fleet.is("ACTIVE", "host-2").await;
                assert_eq!(fleet.host(1).hypervisor.boots(fleet.id), 1);
                fleet.only_one_runs_when_the_lost_host_is_back(1).await;
            }
            There::Torn => fleet.is("ERROR", "host-2").await,
            _ => {
                fleet.is("ACTIVE", "host-3").await;
                fleet.only_one_runs_when_the_lost_host_is_back(2).await;
            }
        }
    }
}

#[tokio::test]
async fn a_host_that_is_back_before_anything_was_decided_keeps_its_server() {
    let fleet = Fleet::lost(There::Incoming, 3).await;
    fleet.loses(1);
    fleet.site.cloud.pass_seconds(200);
    fleet.site.cloud.reconcile().await;
    fleet.evacuate(json!({})).await;
    fleet.finds_again(0);
    fleet.wait().await;
    fleet.waits().await;
    fleet.finds_again(1);
    fleet.wait().await;
    fleet.is("ACTIVE", "host-1").await;
    assert_eq!(fleet.host(0).hypervisor.standing(fleet.id).await.unwrap(), Standing::Runs(Power::Running));
    assert_eq!(fleet.host(0).hypervisor.boots(fleet.id), 1);
    assert_eq!(fleet.host(0).disks.read(fleet.id).as_deref(), Some("before"));
    for index in [1, 2] {
        assert!(
            fleet.host(index).hypervisor.spec(fleet.id).is_none() && fleet.host(index).disks.root(fleet.id).is_none()
        );
    }
    let why = "Compute service of host-1 is in use again. Nothing was done to the server.";
    let record = fleet.record("evacuation").await;
    assert_eq!((&record["status"], &record["failure"]), (&json!("cancelled"), &json!(why)), "{record}");
}

#[tokio::test]
async fn trouble_with_any_call_to_the_target_changes_nothing_in_the_end() {
    for there in [There::Whole, There::Off, There::Incoming, There::Nothing, There::Torn] {
        for (call, fault) in [
            (Call::Standing, Fault::Unavailable),
            (Call::Remove, Fault::Unavailable),
            (Call::Remove, Fault::AnswerLost),
        ] {
            eprintln!("{there:?}: {call:?} {fault:?}");
            let fleet = Fleet::lost(there, 3).await;
            fleet.host(1).hypervisor.fail_at(call, 1, fault);
            fleet.host(1).disks.fail_at(DiskCall::Remove, 1);
            fleet.evacuate(json!({"host": "host-3"})).await;
            fleet.wait().await;
            match there {
                There::Whole => fleet.is("ACTIVE", "host-2").await,
                There::Off => fleet.is("SHUTOFF", "host-2").await,
                There::Torn | There::Fetching => fleet.is("ERROR", "host-2").await,
                There::Incoming | There::Nothing => {
                    fleet.is("ACTIVE", "host-3").await;
                    assert!(fleet.host(1).disks.root(fleet.id).is_none());
                    fleet.only_one_runs_when_the_lost_host_is_back(2).await;
                    continue;
                }
            }
            fleet.found_it_elsewhere().await;
        }
    }
}

#[tokio::test]
async fn a_guest_that_begins_at_its_target_before_that_is_cleared_is_left_alone() {
    let fleet = Fleet::lost(There::Incoming, 3).await;
    fleet.host(1).hypervisor.fail_at(Call::Remove, 1, Fault::Unavailable);
    fleet.evacuate(json!({})).await;
    fleet.waits().await;
    let source = &fleet.host(0).hypervisor;
    source.set_away(false);
    source.hold_moves(false);
    while source.migration(fleet.id).await.unwrap().is_some_and(|move_| !move_.phase.is_over()) {}
    source.set_away(true);
    fleet.host(1).disks.write(fleet.id, "after");
    fleet.wait().await;
    fleet.is("ACTIVE", "host-2").await;
    fleet.found_it_elsewhere().await;
}

#[tokio::test]
async fn a_move_that_really_goes_on_is_not_called_off_by_an_evacuation() {
    let (fleet, work) = Fleet::moving(2).await;
    let reply = fleet.ask("2.95", json!({"evacuate": {}})).await;
    let text = format!("Cannot 'evacuate' instance {} while it is in task_state migrating", fleet.id);
    assert_eq!((reply.status, message(&reply)), (409, text));
    // Nor because the host that it goes to is lost.
    fleet.loses(1);
    fleet.site.cloud.pass_seconds(200);
    fleet.site.cloud.reconcile().await;
    assert_eq!(fleet.ask("2.95", json!({"evacuate": {}})).await.status, 409);
    fleet.finds_again(1);
    fleet.host(0).hypervisor.hold_moves(false);
    work.await.unwrap();
    fleet.look().await;
    fleet.is("ACTIVE", "host-2").await;
    let reply = fleet.ask("2.95", json!({"evacuate": {}})).await;
    assert_eq!((reply.status, message(&reply)), (400, "Compute service of host-2 is still in use.".to_owned()));
}

#[tokio::test]
async fn a_move_that_somebody_is_at_is_called_off_by_whoever_knows_its_host_dead() {
    // The host answers yet, or does not.
    for is_away in [false, true] {
        let (fleet, work) = Fleet::moving(2).await;
        super::workflows::force_down(&fleet.site, true).await;
        fleet.after_that();
        let reply = fleet.ask("2.94", json!({"evacuate": {}})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        fleet.host(0).hypervisor.set_away(is_away);
        work.await.unwrap();
        fleet.wait().await;
        fleet.is("ACTIVE", "host-2").await;
        assert_eq!(fleet.record("live-migration").await["status"], "cancelled");
        super::workflows::force_down(&fleet.site, false).await;
        if is_away {
            fleet.only_one_runs_when_the_lost_host_is_back(1).await;
        }
        let machines = fleet.site.cloud.hosts.iter().filter(|host| host.hypervisor.spec(fleet.id).is_some());
        assert_eq!(machines.map(|host| host.name.as_str()).collect::<Vec<_>>(), ["host-2"]);
    }
}

#[tokio::test]
async fn a_server_that_waits_for_its_evacuation_is_deleted_without_either_host() {
    for there in [There::Whole, There::Incoming, There::Torn] {
        let fleet = Fleet::lost(there, 3).await;
        fleet.loses(1);
        fleet.site.cloud.pass_seconds(200);
        fleet.evacuate(json!({})).await;
        fleet.waits().await;
        let path = format!("{PATH}/servers/{}", fleet.id);
        assert_eq!(fleet.admin.delete(&path).await.status, 204);
        fleet.site.cloud.work().await;
        assert_eq!(fleet.admin.get(&path).await.status, 404, "{there:?}");
        for index in [0, 1] {
            fleet.finds_again(index);
            fleet.wait().await;
        }
        fleet.wait().await;
        assert_nothing_left(&fleet.site, fleet.id).await;
    }
}

#[tokio::test]
async fn a_guest_of_which_it_is_written_that_it_is_there_stays_there_though_both_hosts_have_it_when_that_is_ended() {
    let fleet = Fleet::lost(There::Whole, 2).await;
    fleet.after_that();
    assert_eq!(fleet.ask("2.94", json!({"evacuate": {}})).await.status, 200);
    // Somebody wrote it down, and was killed; and the lost host is back with a guest of which it never learnt that it left.
    let (id, source, target) = (fleet.id, fleet.host(0).id, fleet.host(1).id);
    let moved = move |tx: &mut crate::store::Tx| {
        crate::store::claims::release_from(tx, id, source)?;
        let change = crate::store::servers::Change::new().host(Some(target));
        crate::store::servers::update(tx, id, change, START)
    };
    fleet.site.cloud.state.db.write(moved).await.unwrap();
    fleet.finds_again(0);
    let lost = &fleet.host(0).hypervisor;
    let mut spec = fleet.host(1).hypervisor.spec(id).unwrap();
    spec.epoch = crate::hypervisor::Epoch(0);
    lost.forget_removed(id);
    lost.start(&spec).await.unwrap();
    fleet.site.cloud.work().await;
    fleet.wait().await;
    assert_eq!(fleet.host(1).hypervisor.boots(id), 1);
    assert_eq!(fleet.host(1).hypervisor.standing(id).await.unwrap(), Standing::Runs(Power::Running));
    assert_eq!(lost.standing(id).await.unwrap(), Standing::Absent);
    fleet.is("ACTIVE", "host-2").await;
}
