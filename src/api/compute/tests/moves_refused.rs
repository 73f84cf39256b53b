//! Every move that is refused: in each wrong state, during each other work, to each wrong host, and what comes too late for a
//! move under way. After each the server is as it was.

use super::resize::{LARGER, claims, make_flavor};
use super::*;
use crate::cloud::server::{State, Task};
use crate::ids::UserId;
use crate::store::server_moves;
use crate::store::servers::{self, Change};
use http::Method;

const LARGE: (u32, u64) = (64, 256 * 1024);

struct Fleet {
    site: Site,
    admin: Client,
    id: ServerId,
}

impl Fleet {
    async fn of(sizes: &[(u32, u64)]) -> Self {
        let site = Site::over(Cloud::with_hosts(sizes).await).await;
        let admin = site.cloud.admin().await;
        make_flavor(&site, LARGER, 384, 2).await;
        let mut wish = site.wish("web");
        wish["server"]["availability_zone"] = json!("nova:host-1");
        let reply = admin.post(&format!("{PATH}/servers"), wish).await;
        assert_eq!(reply.status, 202, "{}", reply.json());
        site.cloud.work().await;
        let id = ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap();
        let bind = move |tx: &mut crate::store::Tx| servers::update(tx, id, Change::new().pinned_zone(None), START);
        site.cloud.state.db.write(bind).await.unwrap();
        Self { site, admin, id }
    }

    async fn ask(&self, version: &str, body: &Value) -> Reply {
        at(&self.admin, version, Method::POST, &format!("{PATH}/servers/{}/action", self.id), body).await
    }

    async fn is(&self, state: State, task: Option<Task>) {
        let id = self.id;
        let set =
            move |tx: &mut crate::store::Tx| servers::update(tx, id, Change::new().state(state).task(task), START);
        self.site.cloud.state.db.write(set).await.unwrap();
    }

    /// A live move of the server that is said to be so far. Its number.
    async fn moves(&self, status: &'static str) -> i64 {
        let (id, project) = (self.id, crate::ids::ProjectId::from(self.admin.project_id.as_str()));
        let insert = move |tx: &mut crate::store::Tx| {
            let user = UserId::from("operator");
            let asked = server_moves::Asked {
                server: id,
                source: Some("host-1"),
                project_id: &project,
                user_id: &user,
                now: START,
            };
            server_moves::insert(tx, "live-migration", status, &asked)
        };
        self.site.cloud.state.db.write(insert).await.unwrap()
    }

    async fn record(&self) -> Value {
        let path = format!("{PATH}/os-migrations?instance_uuid={}", self.id);
        at(&self.admin, "2.80", Method::GET, &path, &Value::Null).await.json()["migrations"][0].clone()
    }

    async fn stays(&self, status: &str) {
        let shown = show(&self.admin, self.id).await;
        assert_eq!((&shown["status"], &shown["OS-EXT-STS:task_state"]), (&json!(status), &json!(null)), "{shown}");
        assert_eq!(shown["OS-EXT-SRV-ATTR:host"], "host-1");
        assert_eq!(claims(&self.site, self.id).await, [("host-1".to_owned(), 192)]);
        let hosts = &self.site.cloud.hosts;
        let machines = hosts.iter().filter(|host| host.hypervisor.spec(self.id).is_some()).count();
        assert_eq!(machines, 1);
    }
}

/// Every action that moves a server, and the states in which upstream allows it.
fn every_move() -> [(&'static str, Value, &'static [State]); 6] {
    [
        ("os-migrateLive", json!({"host": null, "block_migration": "auto"}), &[State::Active, State::Paused]),
        ("migrate", json!(null), &[State::Active, State::Stopped]),
        ("resize", json!({"flavorRef": LARGER}), &[State::Active, State::Stopped]),
        ("evacuate", json!({}), &[State::Active, State::Stopped, State::Error]),
        ("confirmResize", json!(null), &[State::Resized]),
        ("revertResize", json!(null), &[State::Resized]),
    ]
}

#[tokio::test]
async fn in_every_other_state_and_during_all_other_work_a_move_is_refused_in_novas_words() {
    let fleet = Fleet::of(&[LARGE, LARGE]).await;
    let id = fleet.id;
    for (name, body, legal) in every_move() {
        let refused = async |state: State, task: Option<Task>| {
            fleet.is(state, task).await;
            let reply = fleet.ask("2.95", &json!({name: body.clone()})).await;
            (reply.status, message(&reply))
        };
        for state in State::ALL.iter().copied().filter(|state| *state != State::Deleted) {
            let (status, text) = refused(state, None).await;
            let sentence = format!("Cannot '{name}' instance {id} while it is in vm_state {}", state.word());
            assert_eq!((status, text) == (409, sentence), !legal.contains(&state), "{name} in {state:?}");
        }
        for task in Task::ALL {
            let expected = format!("Cannot '{name}' instance {id} while it is in task_state {}", task.word());
            assert_eq!(refused(legal[0], Some(*task)).await, (409, expected), "{name} during {task:?}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_of_a_move_too_early_or_too_late_is_refused_in_novas_words() {
    let fleet = Fleet::of(&[LARGE]).await;
    let id = fleet.id;
    let of = |number: i64| format!("{PATH}/servers/{id}/migrations/{number}");
    let force = json!({"force_complete": null});
    for status in ["queued", "preparing", "running", "post-migrating", "completed", "error", "cancelled", "failed"] {
        fleet.is(State::Active, Some(Task::Migrating)).await;
        let number = fleet.moves(status).await;
        let refusal = |what: &str| {
            let text = format!(
                "Migration {number} state of instance {id} is {status}. Cannot {what} while the migration is in this state."
            );
            (400, text)
        };
        let is_early = ["queued", "preparing"].contains(&status);
        for (version, may) in [("2.24", status == "running"), ("2.65", status == "running" || is_early)] {
            let reply = at(&fleet.admin, version, Method::DELETE, &of(number), &Value::Null).await;
            let expected = if may { (202, String::new()) } else { refusal("abort live migration") };
            let text = if reply.status == 202 { String::new() } else { message(&reply) };
            assert_eq!((reply.status, text), expected, "{version} {status}");
        }
        let reply = at(&fleet.admin, "2.22", Method::POST, &format!("{}/action", of(number)), &force).await;
        let expected = if status == "running" { (202, String::new()) } else { refusal("force complete") };
        let text = if reply.status == 202 { String::new() } else { message(&reply) };
        assert_eq!((reply.status, text), expected, "{status}");
        fleet.is(State::Paused, Some(Task::Migrating)).await;
        let reply = at(&fleet.admin, "2.22", Method::POST, &format!("{}/action", of(number)), &force).await;
        let expected = format!("Cannot 'force_complete' instance {id} while it is in vm_state paused");
        assert_eq!((reply.status, message(&reply)), (409, expected), "{status}");
        for task in [Task::ResizeMigrating, Task::Rebooting] {
            fleet.is(State::Active, Some(task)).await;
            let reply = at(&fleet.admin, "2.65", Method::DELETE, &of(number), &Value::Null).await;
            let expected =
                format!("Cannot 'abort live migration' instance {id} while it is in task_state {}", task.word());
            assert_eq!((reply.status, message(&reply)), (409, expected), "{status}");
        }
    }
    fleet.is(State::Active, Some(Task::Migrating)).await;
    let unknown = format!("Migration 99 not found for instance {id}");
    let reply = at(&fleet.admin, "2.65", Method::DELETE, &of(99), &Value::Null).await;
    assert_eq!((reply.status, message(&reply)), (404, unknown.clone()));
    let reply = at(&fleet.admin, "2.22", Method::POST, &format!("{}/action", of(99)), &force).await;
    assert_eq!((reply.status, message(&reply)), (400, unknown));
}

/// The source, one that is disabled, one that is too small, one that is down, one that there isn't.
const WRONG: [&str; 5] = ["host-1", "host-2", "host-3", "host-4", "nowhere"];

async fn with_wrong_hosts() -> Fleet {
    let fleet = Fleet::of(&[LARGE, LARGE, (64, 600), LARGE, LARGE]).await;
    let disable = json!({"host": "host-2", "binary": "nova-compute"});
    assert_eq!(fleet.admin.put(&format!("{PATH}/os-services/disable"), disable).await.status, 200);
    fleet.site.cloud.hosts[3].hypervisor.set_away(true);
    fleet.site.cloud.pass_seconds(200);
    fleet.site.cloud.reconcile().await;
    fleet
}

#[tokio::test]
async fn to_a_wrong_host_nothing_moves_at_any_version() {
    let fleet = with_wrong_hosts().await;
    for host in WRONG {
        for version in ["2.1", "2.33", "2.90"] {
            let mut wish = json!({"host": host, "block_migration": true});
            if version == "2.1" {
                wish["disk_over_commit"] = json!(false);
            }
            let reply = fleet.ask(version, &json!({"os-migrateLive": wish})).await;
            if version == "2.90" && host != "nowhere" {
                assert_eq!(reply.status, 202, "{host}: {}", reply.text());
                fleet.site.cloud.work().await;
                let record = fleet.record().await;
                assert_eq!((&record["status"], &record["dest_compute"]), (&json!("error"), &json!(null)), "{host}");
            } else {
                assert_eq!(reply.status, 400, "{version} {host}: {}", reply.text());
            }
            fleet.stays("ACTIVE").await;
        }
        let reply = fleet.ask("2.56", &json!({"migrate": {"host": host}})).await;
        let at_once = ["host-1", "nowhere"].contains(&host);
        assert_eq!(reply.status, if at_once { 400 } else { 202 }, "{host}: {}", reply.text());
        fleet.site.cloud.work().await;
        assert!(at_once || fleet.record().await["status"] == "error", "{host}");
        fleet.stays("ACTIVE").await;
    }
}

#[tokio::test]
async fn to_a_wrong_host_nothing_is_evacuated() {
    let fleet = with_wrong_hosts().await;
    fleet.site.cloud.hosts[0].hypervisor.set_away(true);
    fleet.site.cloud.pass_seconds(200);
    fleet.site.cloud.reconcile().await;
    for (host, status) in WRONG.into_iter().zip([400, 200, 200, 200, 404]) {
        let reply = fleet.ask("2.95", &json!({"evacuate": {"host": host}})).await;
        assert_eq!(reply.status, status, "{host}: {}", reply.text());
        fleet.site.cloud.work().await;
        if status == 200 {
            assert_eq!(fleet.record().await["status"], "error", "{host}");
            fleet.stays("ERROR").await;
        } else {
            assert_ne!(show(&fleet.admin, fleet.id).await["OS-EXT-STS:task_state"], "rebuilding", "{host}");
        }
    }
}

#[tokio::test]
async fn to_a_host_whose_cpu_lacks_what_the_guest_sees_nothing_moves_alive() {
    let fleet = Fleet::of(&[LARGE, LARGE]).await;
    let [here, there] = &fleet.site.cloud.hosts[..] else { panic!("two hosts") };
    here.hypervisor.set_cpu_features(&["avx", "avx2"]);
    there.hypervisor.set_cpu_features(&["avx"]);
    let wish = json!({"os-migrateLive": {"host": null, "block_migration": "auto"}});
    assert_eq!(fleet.ask("2.90", &wish).await.status, 202);
    fleet.site.cloud.work().await;
    fleet.stays("ACTIVE").await;
    assert_eq!(here.hypervisor.boots(fleet.id), 1);
    assert!(there.disks.root(fleet.id).is_none() && there.fabric.wish(fleet.site.network).is_none());
    let record = fleet.record().await;
    let measures = fleet.admin.get(&format!("{PATH}/os-migrations/{}/measures", record["id"])).await.json();
    assert_eq!(measures["measures"]["failure"], "Unacceptable CPU info: CPU doesn't have compatibility.");
    there.hypervisor.set_cpu_features(&["avx", "avx2", "avx512f"]);
    assert_eq!(fleet.ask("2.90", &wish).await.status, 202);
    fleet.site.cloud.work().await;
    assert_eq!(show(&fleet.admin, fleet.id).await["OS-EXT-SRV-ATTR:host"], "host-2");
}
