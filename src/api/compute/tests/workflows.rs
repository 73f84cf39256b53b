//! Every workflow of the program, each step twice and with trouble at each step, through the API over the simulators.
//!
//! The list is the program's own: whoever adds a workflow adds its cases here, or the first test fails.

use super::blank_disks::give_blank_disks;
use super::resize::{LARGER, claimed, make_flavor, resize};
use super::*;
use crate::api::State;
use crate::cloud::placement::Rules;
use crate::disks::Disks;
use crate::fabric::Fabric;
use crate::hypervisor::{Hypervisor, Power as Observed};
use crate::store::servers;
use crate::tasks::overdue::Waits;
use crate::tasks::power_server::{Power, word};
use crate::tasks::testing::{Case, MADE_TO_FAIL, World, missing, prove, run};
use crate::tasks::{AnyWorkflow, Runner, RunnerSettings, boot_server, clear_leftovers, delete_server, migrate_server};
use crate::tasks::{Workflow, image_server, power_server, rebuild_server, rescue_server, resize_server, workflows};
use crate::tasks::{evacuate_server, network_change, network_wish};
use crate::tasks::{shelve_server, unshelve_server};
use async_trait::async_trait;
use std::time::Duration;

mod interrupted;
mod looks;

/// What was asked for, and of what.
#[derive(Debug, Clone, Copy)]
enum Subject {
    Boot(ServerId),
    Delete(ServerId),
    Power(ServerId, Power),
    Rebuild(ServerId, ImageId),
    Resize(ServerId),
    Revert(ServerId),
    Migrate(ServerId),
    MigrateCold(ServerId),
    ResizeAway(ServerId),
    Return(ServerId),
    Evacuate(ServerId),
    Clear(ServerId),
    Rescue(ServerId),
    Unrescue(ServerId),
    Image(ServerId, ImageId),
    Shelve(ServerId),
    Unshelve(ServerId),
    Refresh(NetworkId),
    Remove(NetworkId),
}

/// The kinds of work that can be asked for.
#[derive(Debug, Clone, Copy)]
enum Work {
    Boot,
    Delete,
    Power(Power),
    Rebuild,
    RebuildStopped,
    Resize,
    Revert,
    MigrateLive,
    MigrateCold,
    ResizeAway,
    /// From where it was resized to.
    Return,
    Evacuate,
    ClearLeftovers,
    Rescue,
    Unrescue,
    Image,
    ImageStopped,
    Shelve,
    ShelvePaused,
    ShelveToStay,
    Offload,
    Unshelve,
    Wake,
    RefreshNetwork,
    RemoveNetwork,
}

impl Subject {
    /// The server that it is about.
    fn server(self) -> Option<ServerId> {
        match self {
            Self::Boot(id) | Self::Delete(id) | Self::Power(id, _) | Self::Rebuild(id, _) => Some(id),
            Self::Resize(id) | Self::Revert(id) | Self::Migrate(id) | Self::Clear(id) => Some(id),
            Self::MigrateCold(id) | Self::ResizeAway(id) | Self::Return(id) | Self::Evacuate(id) => Some(id),
            Self::Rescue(id) | Self::Unrescue(id) => Some(id),
            Self::Image(id, _) | Self::Shelve(id) | Self::Unshelve(id) => Some(id),
            Self::Refresh(_) | Self::Remove(_) => None,
        }
    }
}

struct Place {
    site: Site,
    alice: Client,
    subject: Subject,
}

#[async_trait]
impl Case for Work {
    fn kind(&self) -> &'static str {
        match self {
            Self::Boot => boot_server::BootServer::KIND,
            Self::Delete => delete_server::DeleteServer::KIND,
            Self::Power(_) => power_server::PowerServer::KIND,
            Self::Rebuild | Self::RebuildStopped => rebuild_server::RebuildServer::KIND,
            Self::Resize | Self::Revert | Self::MigrateCold | Self::ResizeAway | Self::Return => {
                resize_server::ResizeServer::KIND
            }
            Self::Evacuate => evacuate_server::EvacuateServer::KIND,
            Self::MigrateLive => migrate_server::MigrateServer::KIND,
            Self::ClearLeftovers => clear_leftovers::ClearLeftovers::KIND,
            Self::Rescue | Self::Unrescue => rescue_server::RescueServer::KIND,
            Self::Image | Self::ImageStopped => image_server::ImageServer::KIND,
            Self::Shelve | Self::ShelvePaused | Self::ShelveToStay | Self::Offload => shelve_server::ShelveServer::KIND,
            Self::Unshelve | Self::Wake => unshelve_server::UnshelveServer::KIND,
            Self::RefreshNetwork | Self::RemoveNetwork => network_change::NetworkChange::KIND,
        }
    }

    fn name(&self) -> String {
        format!("{self:?}")
    }

    async fn begin(&self) -> Box<dyn World> {
        Box::new(self.place().await)
    }
}

impl Work {
    async fn place(&self) -> Place {
        self.place_where(self.deletes_softly()).await
    }

    /// Is it about servers whose deletion is put off?
    const fn deletes_softly(self) -> bool {
        matches!(self, Self::Power(Power::SoftDelete | Power::Restore))
    }

    async fn place_where(&self, deletes_softly: bool) -> Place {
        let stays = matches!(self, Self::ShelveToStay | Self::Offload | Self::Wake);
        let offload = (!stays).then_some(0);
        let waits = Waits { reclaim: deletes_softly.then_some(1_000_000), offload, ..Waits::default() };
        let moves = matches!(self, Self::MigrateLive | Self::ClearLeftovers | Self::MigrateCold);
        let cloud = if moves || matches!(self, Self::ResizeAway | Self::Return | Self::Evacuate) {
            let rules = Rules { allow_resize_to_same_host: false, ..Rules::default() };
            Cloud::with_fleet(&[(64, 256 * 1024); 2], waits, rules).await
        } else {
            Cloud::with_waits(waits).await
        };
        let site = Site::over(cloud).await;
        give_blank_disks(&site, "42", 1, 64).await;
        let alice = site.cloud.member("alice").await;
        let subject = match *self {
            Self::Boot => Subject::Boot(ask_for_a_server(&site, &alice).await),
            Self::Delete => {
                let id = site.boot(&alice, "web").await;
                assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
                Subject::Delete(id)
            }
            Self::Power(wish) => {
                let id = site.boot(&alice, "web").await;
                match wish {
                    Power::On => order(&alice, id, Power::Off).await,
                    Power::Unpause => order(&alice, id, Power::Pause).await,
                    Power::Resume => order(&alice, id, Power::Suspend).await,
                    Power::Restore => order(&alice, id, Power::SoftDelete).await,
                    _ => {}
                }
                site.cloud.work().await;
                order(&alice, id, wish).await;
                Subject::Power(id, wish)
            }
            Self::Rebuild | Self::RebuildStopped => {
                let id = site.boot(&alice, "web").await;
                if matches!(self, Self::RebuildStopped) {
                    order(&alice, id, Power::Off).await;
                    site.cloud.work().await;
                }
                let other = image(&site.cloud, b"the bytes of another disk").await;
                rebuild(&alice, id, other).await;
                Subject::Rebuild(id, other)
            }
            Self::Image | Self::ImageStopped => {
                let id = site.boot(&alice, "web").await;
                if matches!(self, Self::ImageStopped) {
                    order(&alice, id, Power::Off).await;
                    site.cloud.work().await;
                }
                Subject::Image(id, image_of(&alice, id).await)
            }
            Self::MigrateLive => {
                let id = site.boot(&alice, "web").await;
                migrate(&site, id).await;
                Subject::Migrate(id)
            }
            Self::ClearLeftovers => {
                let id = site.boot(&alice, "web").await;
                leave_behind(&site, id).await;
                Subject::Clear(id)
            }
            Self::Evacuate => {
                let id = site.boot(&alice, "web").await;
                // An operator says that it is dead. It is not, and so what is left there can be looked for.
                force_down(&site, true).await;
                let path = format!("{PATH}/servers/{id}/action");
                let admin = site.cloud.admin().await;
                let reply = at(&admin, "2.94", http::Method::POST, &path, &json!({"evacuate": {}})).await;
                assert_eq!(reply.status, 200, "{}", reply.json());
                Subject::Evacuate(id)
            }
            Self::MigrateCold => {
                let id = site.boot(&alice, "web").await;
                site.cloud.disks.write(id, "a file");
                let admin = site.cloud.admin().await;
                assert_eq!(act(&admin, id, json!({"migrate": null})).await.status, 202);
                Subject::MigrateCold(id)
            }
            Self::ResizeAway | Self::Return => {
                make_flavor(&site, LARGER, 384, 2).await;
                give_blank_disks(&site, LARGER, 2, 128).await;
                let id = site.boot(&alice, "web").await;
                site.cloud.disks.write(id, "a file");
                resize(&alice, id, LARGER).await;
                if matches!(self, Self::ResizeAway) {
                    Subject::ResizeAway(id)
                } else {
                    site.cloud.work().await;
                    assert_eq!(act(&alice, id, json!({"revertResize": null})).await.status, 202);
                    Subject::Return(id)
                }
            }
            Self::Rescue | Self::Unrescue => {
                let id = site.boot(&alice, "web").await;
                rescue(&site, &alice, id).await;
                if matches!(self, Self::Rescue) {
                    Subject::Rescue(id)
                } else {
                    site.cloud.work().await;
                    assert_eq!(act(&alice, id, json!({"unrescue": null})).await.status, 202);
                    Subject::Unrescue(id)
                }
            }
            Self::Resize | Self::Revert => {
                make_flavor(&site, LARGER, 384, 2).await;
                give_blank_disks(&site, LARGER, 2, 128).await;
                let id = site.boot(&alice, "web").await;
                resize(&alice, id, LARGER).await;
                if matches!(self, Self::Resize) {
                    Subject::Resize(id)
                } else {
                    site.cloud.work().await;
                    assert_eq!(act(&alice, id, json!({"revertResize": null})).await.status, 202);
                    Subject::Revert(id)
                }
            }
            Self::Shelve | Self::ShelvePaused | Self::ShelveToStay => {
                let id = site.boot(&alice, "web").await;
                if matches!(self, Self::ShelvePaused) {
                    order(&alice, id, Power::Pause).await;
                    site.cloud.work().await;
                }
                assert_eq!(act(&alice, id, json!({"shelve": null})).await.status, 202);
                Subject::Shelve(id)
            }
            Self::Offload | Self::Unshelve | Self::Wake => {
                let id = site.boot(&alice, "web").await;
                assert_eq!(act(&alice, id, json!({"shelve": null})).await.status, 202);
                site.cloud.work().await;
                if matches!(self, Self::Offload) {
                    let admin = site.cloud.admin().await;
                    assert_eq!(act(&admin, id, json!({"shelveOffload": null})).await.status, 202);
                    Subject::Shelve(id)
                } else {
                    assert_eq!(act(&alice, id, json!({"unshelve": null})).await.status, 202);
                    Subject::Unshelve(id)
                }
            }
            Self::RefreshNetwork => {
                site.boot(&alice, "web").await;
                let path = format!("/network/v2.0/networks/{}", site.network);
                let admin = site.cloud.admin().await;
                let reply = admin.put(&path, json!({"network": {"mtu": 1400}})).await;
                assert_eq!(reply.status, 200, "{}", reply.json());
                Subject::Refresh(site.network)
            }
            Self::RemoveNetwork => {
                let made = alice.post("/network/v2.0/networks", json!({"network": {"name": "own"}})).await.json();
                let id = NetworkId::parse(made["network"]["id"].as_str().unwrap()).unwrap();
                // As after a host that was away when its last server there was deleted.
                let host = site.cloud.hosts[0].id;
                let wish = site.cloud.state.db.read(move |tx| network_wish::wish(tx, id, host)).await.unwrap();
                site.cloud.fabric.ensure(&wish).await.unwrap();
                assert_eq!(alice.delete(&format!("/network/v2.0/networks/{id}")).await.status, 204);
                Subject::Remove(id)
            }
        };
        Place { site, alice, subject }
    }
}

async fn image_of(client: &Client, id: ServerId) -> ImageId {
    let path = format!("{PATH}/servers/{id}/action");
    let reply = at(client, "2.45", http::Method::POST, &path, &json!({"createImage": {"name": "copy"}})).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
    ImageId::parse(reply.json()["image_id"].as_str().unwrap()).unwrap()
}

async fn migrate(site: &Site, id: ServerId) {
    let wish = json!({"os-migrateLive": {"host": null, "block_migration": "auto"}});
    let path = format!("{PATH}/servers/{id}/action");
    let reply = at(&site.cloud.admin().await, "2.90", http::Method::POST, &path, &wish).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
}

/// As after a host that was away when its server had moved to the other one.
async fn leave_behind(site: &Site, id: ServerId) {
    let [old, new] = &site.cloud.hosts[..] else { panic!("two hosts") };
    let disk = old.disks.root(id).unwrap();
    let wish = old.fabric.wish(site.network).unwrap();
    migrate(site, id).await;
    site.cloud.work().await;
    let spec = new.hypervisor.spec(id).unwrap();
    old.hypervisor.define(&spec).await.unwrap();
    old.disks.make_root(&crate::disks::RootDisk { epoch: spec.epoch, ..disk }).await.unwrap();
    let newer = site.cloud.state.db.read({
        let (network, host) = (site.network, old.id);
        move |tx| network_wish::wish(tx, network, host)
    });
    let epoch = newer.await.unwrap().epoch;
    old.fabric.ensure(&crate::fabric::NetworkWish { epoch, ..wish }).await.unwrap();
    let (from, now) = (old.id, site.cloud.state.clock.now());
    let begin = move |tx: &mut crate::store::Tx| {
        crate::store::leftovers::note(tx, id, from, now)?;
        clear_leftovers::begin(tx, from, now)
    };
    assert_eq!(site.cloud.state.db.write(begin).await.unwrap(), 1);
    let again = site.cloud.state.db.write(move |tx| clear_leftovers::begin(tx, from, now)).await;
    assert_eq!(again.unwrap(), 0, "it is asked for once");
}

/// The first host counts as dead, or not.
pub async fn force_down(site: &Site, is_down: bool) {
    let wish = json!({"host": "host-1", "binary": "nova-compute", "forced_down": is_down});
    let path = format!("{PATH}/os-services/force-down");
    let reply = at(&site.cloud.admin().await, "2.11", http::Method::PUT, &path, &wish).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
}

async fn rescue(site: &Site, client: &Client, id: ServerId) {
    let image = image(&site.cloud, b"the bytes of a rescue disk").await;
    let reply = act(client, id, json!({"rescue": {"rescue_image_ref": image.to_string()}})).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
}

async fn rebuild(client: &Client, id: ServerId, image: ImageId) {
    let reply = act(client, id, json!({"rebuild": {"imageRef": image.to_string(), "name": "again"}})).await;
    assert_eq!(reply.status, 202, "{}", reply.json());
}

async fn ask_for_a_server(site: &Site, client: &Client) -> ServerId {
    let made = client.post(&format!("{PATH}/servers"), site.wish("web")).await;
    assert_eq!(made.status, 202, "{}", made.json());
    ServerId::parse(made.json()["server"]["id"].as_str().unwrap()).unwrap()
}

async fn order(client: &Client, id: ServerId, wish: Power) {
    if wish == Power::SoftDelete {
        assert_eq!(client.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
        return;
    }
    let body = match wish {
        Power::On => json!({"os-start": null}),
        Power::Off => json!({"os-stop": null}),
        Power::Reboot => json!({"reboot": {"type": "SOFT"}}),
        Power::Reset => json!({"reboot": {"type": "HARD"}}),
        Power::Pause => json!({"pause": null}),
        Power::Unpause => json!({"unpause": null}),
        Power::Suspend => json!({"suspend": null}),
        Power::Resume => json!({"resume": null}),
        Power::Restore => json!({"restore": null}),
        Power::SoftDelete | Power::Refresh => json!({"injectNetworkInfo": null}),
    };
    let reply = act(client, id, body).await;
    assert_eq!(reply.status, 202, "{wish:?}: {}", reply.json());
}

#[async_trait]
impl World for Place {
    fn workflows(&self) -> Vec<Box<dyn AnyWorkflow>> {
        workflows(&self.site.cloud.state.stores, &self.site.cloud.state.importing(), Duration::from_secs(1))
    }

    fn runner(&self, workflows: Vec<Box<dyn AnyWorkflow>>) -> Runner {
        let State { db, clock, hosts, placement, .. } = &*self.site.cloud.state;
        let settings = RunnerSettings { placement: placement.clone(), ..RunnerSettings::default() };
        Runner::new(db.clone(), clock.clone(), hosts.clone(), workflows, settings)
    }

    async fn wait(&self) -> bool {
        let open = |tx: &mut crate::store::Tx| {
            let sql = "SELECT COUNT(*) FROM tasks WHERE state IN ('ready', 'undoing')";
            tx.query_one(sql, &[])?.map_or(Ok(0), |mut row| row.next::<i64>())
        };
        self.site.cloud.pass_seconds(60);
        self.site.cloud.reconcile().await;
        self.site.cloud.state.db.read(open).await.unwrap() > 0
    }

    async fn is_as_wished(&self) {
        match self.subject {
            Subject::Boot(id) => self.runs_once(id).await,
            Subject::Delete(id) => self.is_gone(id).await,
            Subject::Power(id, wish) => {
                let (status, observed) = match wish {
                    Power::Off => ("SHUTOFF", Observed::Shutdown),
                    Power::Pause => ("PAUSED", Observed::Paused),
                    Power::Suspend => ("SUSPENDED", Observed::Saved),
                    Power::SoftDelete => ("SOFT_DELETED", Observed::Shutdown),
                    _ => ("ACTIVE", Observed::Running),
                };
                let server = self.is_as_its_host_says(id).await;
                assert_eq!((&server["status"], self.observed(id).await), (&json!(status), observed));
                assert!(server["fault"].is_null(), "{server}");
            }
            Subject::Rebuild(id, image) => self.has_disk_of(id, image).await,
            Subject::Image(id, image) => {
                let server = self.is_as_its_host_says(id).await;
                assert!(["ACTIVE", "SHUTOFF"].contains(&server["status"].as_str().unwrap()), "{server}");
                let shown = self.alice.get(&format!("/image/v2/images/{image}")).await.json();
                assert_eq!((&shown["status"], &shown["instance_uuid"]), (&json!("active"), &json!(id.to_string())));
                assert!(!self.site.cloud.disks.has_copy(id), "nothing is left of it on the host");
            }
            Subject::Shelve(id) => self.is_shelved(id).await,
            Subject::Unshelve(id) => {
                self.runs_once(id).await;
                assert_eq!(self.own_images(id).await, 0, "nobody needs the image any more");
            }
            Subject::Rescue(id) => {
                assert_eq!(self.is_as_its_host_says(id).await["status"], "RESCUE");
                assert_eq!(self.site.cloud.hypervisor.spec(id).unwrap().disks.len(), 3);
            }
            Subject::Unrescue(id) => {
                self.runs_once(id).await;
                assert_eq!(self.site.cloud.disks.rescue(id), None);
            }
            Subject::Resize(id) => {
                assert_eq!(self.is_as_its_host_says(id).await["status"], "VERIFY_RESIZE");
                assert_eq!((self.memory(id), claimed(&self.site, id).await), (384, 192 + 384));
                self.has_the_disks_of_its_flavor(id).await;
            }
            Subject::Revert(id) => {
                self.runs_once(id).await;
                assert_eq!((self.memory(id), claimed(&self.site, id).await), (192, 192));
            }
            Subject::Migrate(id) => {
                self.is_on_one_host(id).await;
                assert_eq!(self.at(id).name, "host-2");
            }
            Subject::Clear(id) => self.is_on_one_host(id).await,
            Subject::MigrateCold(id) => self.may_go_back(id, 192).await,
            Subject::Evacuate(id) => {
                self.is_only_here(id, 192).await;
                assert_eq!(self.at(id).name, "host-2");
            }
            Subject::ResizeAway(id) => {
                self.may_go_back(id, 384).await;
                assert_eq!(act(&self.alice, id, json!({"confirmResize": null})).await.status, 204);
                self.site.cloud.work().await;
                self.is_only_here(id, 384).await;
            }
            Subject::Return(id) => {
                self.is_only_here(id, 192).await;
                assert_eq!(self.site.cloud.disks.read(id).as_deref(), Some("a file"));
            }
            Subject::Refresh(id) => {
                assert_eq!(self.site.cloud.fabric.wish(id).map(|wish| wish.mtu), Some(1400));
            }
            Subject::Remove(id) => assert_eq!(self.site.cloud.fabric.wish(id), None),
        }
    }

    async fn is_whole(&self) {
        match self.subject {
            Subject::Boot(id) => {
                let server = show(&self.alice, id).await;
                assert_eq!((&server["status"], &server["fault"]["message"]), (&json!("ERROR"), &json!(MADE_TO_FAIL)));
                assert_nothing_left(&self.site, id).await;
                self.delete_again(id).await;
                let next = self.site.boot(&self.alice, "next").await;
                assert_eq!(show(&self.alice, next).await["status"], "ACTIVE");
            }
            Subject::Delete(id) => {
                let server = show(&self.alice, id).await;
                assert_eq!((&server["status"], &server["fault"]["message"]), (&json!("ERROR"), &json!(MADE_TO_FAIL)));
                assert_eq!(server["OS-EXT-STS:task_state"], json!(null), "it can be deleted again");
                self.delete_again(id).await;
            }
            Subject::Rebuild(id, image) => {
                let server = show(&self.alice, id).await;
                assert_eq!((&server["status"], &server["fault"]["message"]), (&json!("ERROR"), &json!(MADE_TO_FAIL)));
                rebuild(&self.alice, id, image).await;
                self.site.cloud.work().await;
                self.runs_once(id).await;
                self.has_disk_of(id, image).await;
                self.delete_again(id).await;
            }
            Subject::Image(id, image) => {
                let server = self.is_as_its_host_says(id).await;
                assert!(["ACTIVE", "SHUTOFF"].contains(&server["status"].as_str().unwrap()), "{server}");
                let shown = self.alice.get(&format!("/image/v2/images/{image}")).await;
                assert!(shown.status == 404 || shown.json()["status"] == "active", "whole or gone: {}", shown.json());
                assert!(!self.site.cloud.disks.has_copy(id));
                image_of(&self.alice, id).await;
                self.site.cloud.work().await;
                assert_eq!(show(&self.alice, id).await["OS-EXT-STS:task_state"], json!(null));
                self.delete_again(id).await;
            }
            Subject::Shelve(id) => {
                let server = show(&self.alice, id).await;
                if server["status"].as_str().unwrap().starts_with("SHELVED") {
                    self.is_shelved(id).await;
                    assert_eq!(act(&self.alice, id, json!({"unshelve": null})).await.status, 202);
                } else {
                    let server = self.is_as_its_host_says(id).await;
                    assert!(["ACTIVE", "PAUSED", "SHUTOFF"].contains(&server["status"].as_str().unwrap()), "{server}");
                    assert!(!self.site.cloud.disks.has_copy(id));
                    order(&self.alice, id, Power::Reset).await;
                }
                assert!(self.own_images(id).await < 2);
                self.site.cloud.work().await;
                self.runs_once(id).await;
                assert_eq!(self.own_images(id).await, 0);
                self.delete_again(id).await;
            }
            Subject::Unshelve(id) => {
                self.is_shelved(id).await;
                assert_eq!(act(&self.alice, id, json!({"unshelve": null})).await.status, 202);
                self.site.cloud.work().await;
                self.runs_once(id).await;
                self.delete_again(id).await;
            }
            Subject::Rescue(id) => {
                let server = self.is_as_its_host_says(id).await;
                assert!(["ACTIVE", "SHUTOFF"].contains(&server["status"].as_str().unwrap()), "{server}");
                order(&self.alice, id, Power::Reset).await;
                self.site.cloud.work().await;
                self.runs_once(id).await;
                rescue(&self.site, &self.alice, id).await;
                self.site.cloud.work().await;
                assert_eq!(show(&self.alice, id).await["status"], "RESCUE");
                self.delete_again(id).await;
            }
            Subject::Unrescue(id) => {
                self.can_be_had_back(id, "RESCUE", "unrescue").await;
                self.runs_once(id).await;
                self.delete_again(id).await;
            }
            Subject::Resize(id) => {
                self.runs_once(id).await;
                assert_eq!((self.memory(id), claimed(&self.site, id).await), (192, 192));
                resize(&self.alice, id, LARGER).await;
                self.site.cloud.work().await;
                assert_eq!((self.memory(id), claimed(&self.site, id).await), (384, 192 + 384));
                self.delete_again(id).await;
            }
            Subject::Revert(id) => {
                self.can_be_had_back(id, "VERIFY_RESIZE", "revertResize").await;
                self.runs_once(id).await;
                assert_eq!((self.memory(id), claimed(&self.site, id).await), (192, 192));
                self.delete_again(id).await;
            }
            Subject::Migrate(id) => {
                self.is_on_one_host(id).await;
                migrate(&self.site, id).await;
                self.site.cloud.work().await;
                self.is_on_one_host(id).await;
                self.delete_again(id).await;
            }
            Subject::MigrateCold(id) | Subject::ResizeAway(id) => {
                self.is_only_here(id, 192).await;
                assert_eq!(self.at(id).name, "host-1");
                assert_eq!(self.site.cloud.disks.read(id).as_deref(), Some("a file"));
                assert_eq!(act(&self.site.cloud.admin().await, id, json!({"migrate": null})).await.status, 202);
                self.site.cloud.work().await;
                self.may_go_back(id, 192).await;
                self.delete_again(id).await;
            }
            Subject::Evacuate(id) => {
                let server = show(&self.alice, id).await;
                assert_eq!((&server["status"], &server["fault"]["message"]), (&json!("ERROR"), &json!(MADE_TO_FAIL)));
                force_down(&self.site, false).await;
                order(&self.alice, id, Power::Reset).await;
                self.site.cloud.work().await;
                self.is_only_here(id, 192).await;
                assert_eq!(self.at(id).name, "host-1");
                self.delete_again(id).await;
            }
            Subject::Return(id) => {
                self.can_be_had_back(id, "VERIFY_RESIZE", "revertResize").await;
                self.is_only_here(id, 192).await;
                self.delete_again(id).await;
            }
            // A look at the host has begun it again.
            Subject::Clear(id) => {
                self.is_on_one_host(id).await;
                self.delete_again(id).await;
            }
            Subject::Power(id, Power::Restore) => {
                assert_eq!(self.is_as_its_host_says(id).await["status"], "SOFT_DELETED");
                order(&self.alice, id, Power::Restore).await;
                self.site.cloud.work().await;
                self.runs_once(id).await;
            }
            Subject::Power(id, _) => {
                self.is_as_its_host_says(id).await;
                let path = format!("{PATH}/servers/{id}/os-instance-actions");
                let actions = self.alice.get(&path).await.json();
                let noted = actions["instanceActions"].as_array().unwrap().iter().any(|one| one["message"] == "Error");
                assert!(noted, "{actions}");
                order(&self.alice, id, Power::Reset).await;
                self.site.cloud.work().await;
                self.runs_once(id).await;
                self.force_delete(id).await;
            }
            Subject::Refresh(id) => {
                // Hosts may be behind until they hear of the network again, as with the next boot.
                self.site.boot(&self.alice, "next").await;
                assert_eq!(self.site.cloud.fabric.wish(id).map(|wish| wish.mtu), Some(1400));
            }
            // Nobody can ask for it again, since the row is gone: so it is not given up.
            Subject::Remove(id) => assert_eq!(self.site.cloud.fabric.wish(id), None),
        }
    }
}

const EVERY_POWER: [Power; 10] = [
    Power::On,
    Power::Off,
    Power::Reboot,
    Power::Reset,
    Power::Pause,
    Power::Unpause,
    Power::Suspend,
    Power::Resume,
    Power::SoftDelete,
    Power::Restore,
];

fn every_work() -> impl Iterator<Item = Work> {
    let all = [
        Work::Boot,
        Work::Delete,
        Work::Rebuild,
        Work::RebuildStopped,
        Work::Resize,
        Work::Revert,
        Work::MigrateLive,
        Work::MigrateCold,
        Work::ResizeAway,
        Work::Return,
        Work::Evacuate,
        Work::ClearLeftovers,
        Work::Rescue,
        Work::Unrescue,
        Work::Image,
        Work::ImageStopped,
        Work::Shelve,
        Work::ShelvePaused,
        Work::ShelveToStay,
        Work::Offload,
        Work::Unshelve,
        Work::Wake,
        Work::RefreshNetwork,
        Work::RemoveNetwork,
    ];
    all.into_iter().chain(EVERY_POWER.map(Work::Power))
}

fn cases() -> Vec<Box<dyn Case>> {
    every_work().map(|work| Box::new(work) as Box<dyn Case>).collect()
}

#[tokio::test]
async fn every_workflow_bears_each_step_twice_and_trouble_at_any_step() {
    let site = Site::new().await;
    let all = workflows(&site.cloud.state.stores, &site.cloud.state.importing(), Duration::from_secs(1));
    // Imports of images are proved beside their API.
    let known = cases().into_iter().chain(crate::api::image::import_proof::cases()).collect::<Vec<_>>();
    assert_eq!(missing(&all, &known), Vec::<&str>::new(), "there is no case for these");
    for case in cases() {
        prove(&*case).await;
    }
}
