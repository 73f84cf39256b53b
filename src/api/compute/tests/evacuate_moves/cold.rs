//! A host is lost while its server is being carried to another one, switched off.

use super::super::resize::{LARGER, make_flavor, resize};
use super::*;

/// How far a cold move is when its source is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cold {
    /// A place is claimed, and the machine to be switched off.
    Leaving,
    /// Its disks are at the target, and nobody knows whether they are whole.
    Carried,
}

impl Fleet {
    async fn leaves(self, resizes: bool, how_far: Cold) -> Self {
        match how_far {
            Cold::Leaving => self.loses(0),
            Cold::Carried => self.host(0).hypervisor.fail_at(Call::Remove, 1, Fault::Unavailable),
        }
        if resizes {
            make_flavor(&self.site, LARGER, 384, 2).await;
            resize(&self.admin, self.id, LARGER).await;
        } else {
            assert_eq!(self.ask("2.56", json!({"migrate": {"host": "host-2"}})).await.status, 202);
        }
        self.site.cloud.work().await;
        self.loses(0);
        // Said at once, so that nothing is tried again before.
        super::workflows::force_down(&self.site, true).await;
        assert_eq!(show(&self.admin, self.id).await["OS-EXT-STS:task_state"], "resize_migrating");
        let copies = self.site.cloud.hosts.iter().filter(|host| host.disks.read(self.id).is_some()).count();
        assert_eq!(copies, if how_far == Cold::Carried { 2 } else { 1 });
        self
    }
}

#[tokio::test]
async fn a_server_that_was_to_leave_its_lost_host_cold_is_built_anew_as_it_was() {
    for how_far in [Cold::Leaving, Cold::Carried] {
        for resizes in [false, true] {
            for (wish, at) in [(json!({"host": "host-2"}), 1), (json!({"host": "host-3"}), 2)] {
                eprintln!("{how_far:?}, {resizes}, {wish}");
                let fleet = Fleet::of(3).await.leaves(resizes, how_far).await;
                // Which of two a resize has chosen is not said.
                let chosen = claims(&fleet.site, fleet.id).await.pop().unwrap().0;
                fleet.evacuate(wish).await;
                fleet.is("ACTIVE", &fleet.host(at).name).await;
                assert_eq!(fleet.host(at).disks.read(fleet.id), None, "its disk begins with the image");
                assert_eq!(fleet.host(at).hypervisor.spec(fleet.id).unwrap().memory_mib, 192, "its own flavor");
                let old = fleet.record(if resizes { "resize" } else { "migration" }).await;
                assert_eq!((&old["status"], &old["failure"]), (&json!("error"), &json!(MADE_WAY)), "{old}");
                assert_eq!(fleet.event("compute_resize_instance").await.1.as_deref(), Some(MADE_WAY));
                if chosen != fleet.host(at).name {
                    let other = fleet.site.cloud.hosts.iter().find(|host| host.name == chosen).unwrap();
                    assert!(other.disks.root(fleet.id).is_none() && other.disks.read(fleet.id).is_none());
                }
                fleet.only_one_runs_when_the_lost_host_is_back(at).await;
                // It can be moved again.
                assert_eq!(fleet.ask("2.56", json!({"migrate": {"host": "host-1"}})).await.status, 202);
                fleet.site.cloud.work().await;
                assert_eq!(show(&fleet.admin, fleet.id).await["status"], "VERIFY_RESIZE");
            }
        }
    }
}

#[tokio::test]
async fn what_was_carried_to_a_host_that_is_lost_too_goes_when_that_is_back() {
    let fleet = Fleet::of(3).await.leaves(false, Cold::Carried).await;
    fleet.loses(1);
    fleet.site.cloud.pass_seconds(200);
    fleet.site.cloud.reconcile().await;
    fleet.evacuate(json!({})).await;
    assert!(fleet.host(1).disks.read(fleet.id).is_some());
    fleet.is("ACTIVE", "host-3").await;
    fleet.finds_again(1);
    fleet.wait().await;
    assert!(fleet.host(1).disks.root(fleet.id).is_none() && fleet.host(1).disks.config_drive(fleet.id).is_none());
    assert!(!fleet.host(1).disks.list().await.unwrap().contains(&fleet.id), "no part is left");
    fleet.only_one_runs_when_the_lost_host_is_back(2).await;
}

#[tokio::test]
async fn trouble_while_what_was_carried_is_taken_away_leaves_nothing_of_it() {
    for (call, fault) in [(Call::Remove, Fault::Unavailable), (Call::Remove, Fault::AnswerLost)] {
        let fleet = Fleet::of(3).await.leaves(false, Cold::Carried).await;
        fleet.host(1).hypervisor.fail_at(call, 1, fault);
        fleet.host(1).disks.fail_at(DiskCall::Remove, 1);
        fleet.evacuate(json!({"host": "host-3"})).await;
        fleet.wait().await;
        fleet.is("ACTIVE", "host-3").await;
        assert!(!fleet.host(1).disks.list().await.unwrap().contains(&fleet.id), "no part is left");
    }
}

#[tokio::test]
async fn disks_that_all_hosts_see_are_kept_whatever_move_was_called_off() {
    let fleet = Fleet::over(Cloud::with_shared_disks(&[LARGE; 2]).await).await;
    // Its disks are there, and the machine is not yet.
    fleet.host(1).hypervisor.fail_at(Call::Remove, 1, Fault::Unavailable);
    assert_eq!(fleet.ask("2.56", json!({"migrate": {"host": "host-2"}})).await.status, 202);
    fleet.site.cloud.work().await;
    fleet.host(0).hypervisor.set_away(true);
    fleet.site.cloud.pass_seconds(200);
    fleet.look().await;
    fleet.evacuate(json!({})).await;
    fleet.is("ACTIVE", "host-2").await;
    assert_eq!(fleet.host(1).disks.read(fleet.id).as_deref(), Some("before"));
    fleet.host(0).hypervisor.set_away(false);
    fleet.wait().await;
    assert_eq!(fleet.host(1).disks.read(fleet.id).as_deref(), Some("before"), "nor when the lost host is back");
    assert!(fleet.host(0).hypervisor.spec(fleet.id).is_none());
}

#[tokio::test]
async fn a_reset_of_its_state_does_not_keep_a_server_behind_the_move_that_waits_for_its_lost_host() {
    let reset = json!({"os-resetState": {"state": "active"}});
    let fleet = Fleet::lost(There::Incoming, 2).await;
    assert_eq!(act(&fleet.admin, fleet.id, reset.clone()).await.status, 202);
    fleet.evacuate(json!({})).await;
    fleet.is("ACTIVE", "host-2").await;
    fleet.only_one_runs_when_the_lost_host_is_back(1).await;
    for resizes in [false, true] {
        let fleet = Fleet::of(2).await.leaves(resizes, Cold::Carried).await;
        assert_eq!(act(&fleet.admin, fleet.id, reset.clone()).await.status, 202);
        fleet.evacuate(json!({})).await;
        fleet.is("ACTIVE", "host-2").await;
        assert_eq!(fleet.host(1).hypervisor.spec(fleet.id).unwrap().memory_mib, 192, "its own flavor");
        fleet.only_one_runs_when_the_lost_host_is_back(1).await;
    }
}

#[tokio::test]
async fn a_server_resized_where_it_is_has_its_new_flavor_when_its_host_is_lost_before_it_starts() {
    let fleet = Fleet::over(Cloud::with_hosts(&[LARGE; 2]).await).await;
    make_flavor(&fleet.site, LARGER, 384, 2).await;
    fleet.host(0).hypervisor.fail_at(Call::Start, 1, Fault::Unavailable);
    resize(&fleet.admin, fleet.id, LARGER).await;
    fleet.site.cloud.work().await;
    fleet.loses(0);
    fleet.site.cloud.pass_seconds(200);
    fleet.look().await;
    assert_eq!(show(&fleet.admin, fleet.id).await["OS-EXT-STS:task_state"], "resize_finish");
    fleet.evacuate(json!({})).await;
    assert_eq!(show(&fleet.admin, fleet.id).await["status"], "ACTIVE");
    assert_eq!(claims(&fleet.site, fleet.id).await, [("host-2".to_owned(), 384)]);
    assert_eq!(fleet.host(1).hypervisor.spec(fleet.id).unwrap().memory_mib, 384);
    fleet.only_one_runs_when_the_lost_host_is_back(1).await;
}

#[tokio::test]
async fn a_server_that_has_left_its_host_cold_is_evacuated_from_neither() {
    let fleet = Fleet::of(3).await;
    fleet.host(1).hypervisor.fail_at(Call::Start, 1, Fault::Unavailable);
    assert_eq!(fleet.ask("2.56", json!({"migrate": {"host": "host-2"}})).await.status, 202);
    fleet.site.cloud.work().await;
    fleet.loses(0);
    fleet.site.cloud.pass_seconds(200);
    fleet.site.cloud.reconcile().await;
    let refusal = format!("Cannot 'evacuate' instance {} while it is in task_state resize_finish", fleet.id);
    let reply = fleet.ask("2.95", json!({"evacuate": {}})).await;
    assert_eq!((reply.status, message(&reply)), (409, refusal.clone()));
    // Its first host has its disks as they were, so that nobody need build it anew.
    fleet.finds_again(0);
    fleet.loses(1);
    fleet.site.cloud.pass_seconds(200);
    fleet.site.cloud.reconcile().await;
    let reply = fleet.ask("2.95", json!({"evacuate": {}})).await;
    assert_eq!((reply.status, message(&reply)), (409, refusal));
}
