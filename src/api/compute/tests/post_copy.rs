//! A guest that is in two parts, because its hosts lost each other after the switch to post-copy: it is put together if that
//! can be, else its server is in Error, and never do two run.

use super::*;
use crate::hypervisor::simulated::{Call, Fault};
use crate::hypervisor::{Hypervisor, Standing};
use http::Method;
use std::sync::Arc;

const LARGE: (u32, u64) = (64, 256 * 1024);

struct Torn {
    site: Arc<Site>,
    admin: Client,
    id: ServerId,
    number: i64,
    work: tokio::task::JoinHandle<()>,
}

impl Torn {
    /// On its way from the first host to the second, with a part on each.
    async fn apart() -> Self {
        let site = Arc::new(Site::over(Cloud::with_hosts(&[LARGE, LARGE]).await).await);
        let admin = site.cloud.admin().await;
        let id = site.boot(&admin, "web").await;
        site.cloud.hosts[0].hypervisor.hold_moves(true);
        let wish = json!({"os-migrateLive": {"host": "host-2", "block_migration": "auto"}});
        let asked = at(&admin, "2.90", Method::POST, &format!("{PATH}/servers/{id}/action"), &wish).await;
        assert_eq!(asked.status, 202, "{}", asked.text());
        let path = format!("{PATH}/servers/{id}/migrations");
        let worker = site.clone();
        let work = tokio::spawn(async move { worker.cloud.work().await });
        let number = loop {
            let found = at(&admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"][0].clone();
            if found["status"] == "running" && !found["memory_total_bytes"].is_null() {
                break found["id"].as_i64().unwrap();
            }
            tokio::task::yield_now().await;
        };
        site.cloud.hosts[0].hypervisor.tear(id);
        let torn = Self { site, admin, id, number, work };
        assert_eq!(torn.standings().await, [Standing::HandedOver, Standing::Torn]);
        assert_eq!(show(&torn.admin, id).await["status"], "MIGRATING", "nobody has decided yet");
        torn
    }

    async fn standings(&self) -> [Standing; 2] {
        let [here, there] = &self.site.cloud.hosts[..] else { panic!("two hosts") };
        [here.hypervisor.standing(self.id).await.unwrap(), there.hypervisor.standing(self.id).await.unwrap()]
    }

    async fn record(&self) -> Value {
        let path = format!("{PATH}/os-migrations?instance_uuid={}", self.id);
        at(&self.admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"][0].clone()
    }

    async fn abort(&self) {
        let path = format!("{PATH}/servers/{}/migrations/{}", self.id, self.number);
        assert_eq!(at(&self.admin, "2.65", Method::DELETE, &path, &Value::Null).await.status, 202);
    }

    /// It is off at the target and nowhere else, and can be started there.
    async fn is_lost(&self) {
        let shown = show(&self.admin, self.id).await;
        let seen = (&shown["status"], &shown["OS-EXT-STS:task_state"], &shown["OS-EXT-SRV-ATTR:host"]);
        assert_eq!(seen, (&json!("ERROR"), &json!(null), &json!("host-2")), "{shown}");
        assert!(shown["fault"]["message"].as_str().unwrap().contains("The guest's memory is lost"), "{shown}");
        assert_eq!(self.standings().await, [Standing::Absent, Standing::Absent]);
        assert_eq!(self.record().await["status"], "error");
        assert_eq!(super::resize::claims(&self.site, self.id).await, [("host-2".to_owned(), 192)]);
        let [here, there] = &self.site.cloud.hosts[..] else { panic!("two hosts") };
        assert!(here.disks.root(self.id).is_none() && here.fabric.wish(self.site.network).is_none());
        assert!(there.disks.root(self.id).is_some());
        assert_eq!(act(&self.admin, self.id, json!({"reboot": {"type": "HARD"}})).await.status, 202);
        self.site.cloud.work().await;
        assert_eq!(show(&self.admin, self.id).await["status"], "ACTIVE");
        assert_eq!(self.standings().await[0], Standing::Absent);
        assert!(matches!(self.standings().await[1], Standing::Runs(_)));
    }
}

#[tokio::test]
async fn a_guest_in_two_parts_is_put_together_when_its_hosts_find_each_other_again() {
    let mut torn = Torn::apart().await;
    torn.site.cloud.hosts[0].hypervisor.mend();
    (&mut torn.work).await.unwrap();
    let shown = show(&torn.admin, torn.id).await;
    assert_eq!((&shown["status"], &shown["OS-EXT-SRV-ATTR:host"]), (&json!("ACTIVE"), &json!("host-2")), "{shown}");
    assert_eq!(torn.record().await["status"], "completed");
    assert_eq!(torn.standings().await[0], Standing::Absent);
    assert_eq!(torn.site.cloud.hosts[1].hypervisor.boots(torn.id), 1, "it never began anew");
}

#[tokio::test]
async fn a_guest_in_two_parts_is_lost_when_somebody_calls_its_move_off() {
    let mut torn = Torn::apart().await;
    torn.abort().await;
    (&mut torn.work).await.unwrap();
    torn.is_lost().await;
}

#[tokio::test]
async fn a_guest_in_two_parts_is_lost_though_its_second_host_never_notices_that_nothing_comes() {
    let mut torn = Torn::apart().await;
    torn.site.cloud.hosts[1].hypervisor.notices_nothing(torn.id);
    torn.abort().await;
    (&mut torn.work).await.unwrap();
    torn.is_lost().await;
}

#[tokio::test]
async fn a_guest_in_two_parts_is_lost_when_its_hosts_do_not_find_each_other_in_time() {
    let mut torn = Torn::apart().await;
    // Seen as torn before time passes.
    let hypervisor = &torn.site.cloud.hosts[0].hypervisor;
    let tries = || hypervisor.calls().iter().filter(|(call, _)| *call == Call::Migrate).count();
    while tries() < 2 {
        tokio::task::yield_now().await;
    }
    torn.site.cloud.pass_seconds(601);
    (&mut torn.work).await.unwrap();
    torn.is_lost().await;
}

#[tokio::test]
async fn a_guest_whose_first_host_loses_its_part_is_lost() {
    let mut torn = Torn::apart().await;
    torn.site.cloud.hosts[0].hypervisor.crash_in_move(torn.id);
    (&mut torn.work).await.unwrap();
    torn.is_lost().await;
}

#[tokio::test]
async fn a_guest_whose_first_host_loses_its_part_is_lost_though_its_second_never_notices() {
    let mut torn = Torn::apart().await;
    torn.site.cloud.hosts[1].hypervisor.notices_nothing(torn.id);
    torn.site.cloud.hosts[0].hypervisor.crash_in_move(torn.id);
    (&mut torn.work).await.unwrap();
    torn.is_lost().await;
}

#[tokio::test]
async fn a_guest_whose_second_host_loses_its_part_is_lost_and_does_not_go_on_at_the_first() {
    let mut torn = Torn::apart().await;
    torn.site.cloud.hosts[1].hypervisor.lose(torn.id);
    torn.abort().await;
    (&mut torn.work).await.unwrap();
    torn.is_lost().await;
}

#[tokio::test]
async fn a_loss_of_which_only_half_was_carried_out_is_a_loss_all_the_same() {
    for (host, fault) in
        [(0, Fault::Unavailable), (0, Fault::AnswerLost), (1, Fault::Unavailable), (1, Fault::AnswerLost)]
    {
        let mut torn = Torn::apart().await;
        torn.site.cloud.hosts[host].hypervisor.fail_at(Call::Remove, 1, fault);
        torn.abort().await;
        (&mut torn.work).await.unwrap();
        torn.site.cloud.pass_seconds(5);
        torn.site.cloud.work().await;
        torn.is_lost().await;
    }
}

#[tokio::test]
async fn a_server_that_is_deleted_while_its_guest_is_in_two_parts_leaves_nothing_on_either_host() {
    let mut torn = Torn::apart().await;
    assert_eq!(torn.admin.delete(&format!("{PATH}/servers/{}", torn.id)).await.status, 204);
    (&mut torn.work).await.unwrap();
    torn.site.cloud.work().await;
    assert_nothing_left(&torn.site, torn.id).await;
    assert_eq!(torn.standings().await, [Standing::Absent, Standing::Absent]);
}
