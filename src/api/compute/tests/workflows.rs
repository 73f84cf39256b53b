//! Every workflow of the program, each step twice and with trouble at each step, through the API over the simulators.
//!
//! The list is the program's own: whoever adds a workflow adds its cases here, or the first test fails.

use super::*;
use crate::api::State;
use crate::fabric::Fabric;
use crate::hypervisor::{Hypervisor, Power as Observed};
use crate::store::servers;
use crate::tasks::power_server::{Power, word};
use crate::tasks::testing::{Case, MADE_TO_FAIL, World, missing, prove};
use crate::tasks::{AnyWorkflow, Runner, RunnerSettings, boot_server, delete_server, network_change, network_wish};
use crate::tasks::{Workflow, power_server, workflows};
use async_trait::async_trait;
use std::time::Duration;

/// What was asked for, and of what.
#[derive(Debug, Clone, Copy)]
enum Subject {
    Boot(ServerId),
    Delete(ServerId),
    Power(ServerId, Power),
    Refresh(NetworkId),
    Remove(NetworkId),
}

/// The kinds of work that can be asked for.
#[derive(Debug, Clone, Copy)]
enum Work {
    Boot,
    Delete,
    Power(Power),
    RefreshNetwork,
    RemoveNetwork,
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
            Self::RefreshNetwork | Self::RemoveNetwork => network_change::NetworkChange::KIND,
        }
    }

    fn name(&self) -> String {
        format!("{self:?}")
    }

    async fn begin(&self) -> Box<dyn World> {
        let site = Site::new().await;
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
                    Power::Off | Power::Reboot | Power::Reset | Power::Pause => {}
                }
                site.cloud.work().await;
                order(&alice, id, wish).await;
                Subject::Power(id, wish)
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
                let wish = site.cloud.state.db.read(move |tx| network_wish::wish(tx, id)).await.unwrap();
                site.cloud.fabric.ensure(&wish).await.unwrap();
                assert_eq!(alice.delete(&format!("/network/v2.0/networks/{id}")).await.status, 204);
                Subject::Remove(id)
            }
        };
        Box::new(Place { site, alice, subject })
    }
}

async fn ask_for_a_server(site: &Site, client: &Client) -> ServerId {
    let made = client.post(&format!("{PATH}/servers"), site.wish("web")).await;
    assert_eq!(made.status, 202, "{}", made.json());
    ServerId::parse(made.json()["server"]["id"].as_str().unwrap()).unwrap()
}

async fn order(client: &Client, id: ServerId, wish: Power) {
    let body = match wish {
        Power::On => json!({"os-start": null}),
        Power::Off => json!({"os-stop": null}),
        Power::Reboot => json!({"reboot": {"type": "SOFT"}}),
        Power::Reset => json!({"reboot": {"type": "HARD"}}),
        Power::Pause => json!({"pause": null}),
        Power::Unpause => json!({"unpause": null}),
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
        let State { db, clock, hosts, .. } = &*self.site.cloud.state;
        Runner::new(db.clone(), clock.clone(), hosts.clone(), workflows, RunnerSettings::default())
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
                    Power::On | Power::Reboot | Power::Reset | Power::Unpause => ("ACTIVE", Observed::Running),
                };
                let server = self.is_as_its_host_says(id).await;
                assert_eq!((&server["status"], self.observed(id).await), (&json!(status), observed));
                assert!(server["fault"].is_null(), "{server}");
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
            Subject::Power(id, _) => {
                self.is_as_its_host_says(id).await;
                let path = format!("{PATH}/servers/{id}/os-instance-actions");
                let actions = self.alice.get(&path).await.json();
                let noted = actions["instanceActions"].as_array().unwrap().iter().any(|one| one["message"] == "Error");
                assert!(noted, "{actions}");
                order(&self.alice, id, Power::Reset).await;
                self.site.cloud.work().await;
                self.runs_once(id).await;
                self.delete_again(id).await;
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

impl Place {
    async fn observed(&self, id: ServerId) -> Observed {
        self.site.cloud.hypervisor.find(id).await.unwrap().map_or(Observed::Unknown, |machine| machine.power)
    }

    /// No work is said to go on, and power is what the host says.
    async fn is_as_its_host_says(&self, id: ServerId) -> Value {
        let server = show(&self.alice, id).await;
        assert_eq!(server["OS-EXT-STS:task_state"], json!(null), "{server}");
        let row = move |tx: &mut crate::store::Tx| servers::get(tx, &crate::cloud::policy::Reach::Cloud, id);
        let row = self.site.cloud.state.db.read(row).await.unwrap();
        assert_eq!(row.power, word(self.observed(id).await));
        server
    }

    async fn runs_once(&self, id: ServerId) {
        let server = self.is_as_its_host_says(id).await;
        assert_eq!(server["status"], "ACTIVE", "{server}");
        assert_eq!(server["addresses"]["private"].as_array().map(Vec::len), Some(1), "one address: {server}");
        let machines = self.site.cloud.hypervisor.list().await.unwrap();
        assert_eq!(machines.iter().filter(|machine| machine.id == id).count(), 1);
        let spec = self.site.cloud.hypervisor.spec(id).unwrap();
        assert_eq!((spec.interfaces.len(), spec.disks.len()), (1, 2));
        let wish = self.site.cloud.fabric.wish(self.site.network).unwrap();
        assert_eq!(wish.ports.len(), 1, "the network carries its one port");
    }

    async fn delete_again(&self, id: ServerId) {
        assert_eq!(self.alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
        self.site.cloud.work().await;
        self.is_gone(id).await;
    }

    async fn is_gone(&self, id: ServerId) {
        assert_eq!(self.alice.get(&format!("{PATH}/servers/{id}")).await.status, 404);
        assert_nothing_left(&self.site, id).await;
    }
}

const EVERY_POWER: [Power; 6] = [Power::On, Power::Off, Power::Reboot, Power::Reset, Power::Pause, Power::Unpause];

fn cases() -> Vec<Box<dyn Case>> {
    let all = [Work::Boot, Work::Delete, Work::RefreshNetwork, Work::RemoveNetwork];
    let all = all.into_iter().chain(EVERY_POWER.map(Work::Power));
    all.map(|work| Box::new(work) as Box<dyn Case>).collect()
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
