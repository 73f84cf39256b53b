//! Machines join, and are hosts. Everything runs in this process and speaks over loopback as it would between machines.

use super::admission::{Admission, authority_folder, make_token};
use super::follow::Following;
use super::membership::Membership;
use super::{joining, node};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::error::Result;
use crate::node::authority::Holder;
use crate::node::certificates::Authorities;
use crate::store::Db;
use crate::store::nodes::{self, NodeRow};
use crate::tasks::{Fleet, Hosts};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

const CLOUD: &str = "c1";

/// A controller with nothing but its door, and what it follows.
struct Controller {
    db: Db,
    clock: Clock,
    config: Config,
    url: String,
    fleet: Fleet,
    stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl Controller {
    async fn open() -> Self {
        let (folder, db, clock) =
            (tempfile::tempdir().unwrap(), Db::memory().await, Clock::manual(Clock::System.now()));
        let config = Config { state_dir: folder.path().to_owned(), ..Config::default() };
        let now = clock.now();
        let authorities = Authorities::load_or_create(&authority_folder(&config), CLOUD, now).unwrap();
        let identity = authorities.cloud.identity(&Holder::controller(), now).unwrap();
        let (stop, stopped) = watch::channel(false);
        let (listener, came) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(Notify::new()));
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (authorities, admitted) = (Arc::new(authorities), came.clone());
        let door = Admission { db: db.clone(), clock: clock.clone(), authorities, came: admitted };
        tokio::spawn(door.serve(listener, stopped.clone()).unwrap());
        let following = Following::begin(db.clone(), Hosts::default(), identity).await.unwrap();
        let fleet = following.fleet();
        tokio::spawn(following.run(came, crate::node::told_to_stop(stopped)));
        Self { db, clock, config, url, fleet, stop, _folder: folder }
    }

    async fn token(&self) -> String {
        make_token(&self.config, &self.db, CLOUD, 15, self.clock.now()).await.unwrap()
    }

    async fn rows(&self) -> Vec<NodeRow> {
        self.db.read(nodes::list).await.unwrap()
    }

    /// Waits until the fleet is so.
    async fn until(&self, is_so: impl FnMut(&Hosts) -> bool) {
        let mut changes = self.fleet.changes();
        let wait = changes.wait_for(is_so);
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it happens").unwrap();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Another machine, with a hypervisor that is simulated.
struct Machine {
    config: Config,
    _folder: tempfile::TempDir,
}

impl Machine {
    async fn called(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { state_dir: folder.path().to_owned(), ..Config::default() };
        config.hypervisor = "simulated".to_owned();
        config.network.fabric = "simulated".to_owned();
        config.compute.host = name.to_owned();
        // Free a moment ago: the kernel gives it to nobody else for a while.
        config.node.listen = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        Self { config, _folder: folder }
    }

    async fn join(&self, controller: &Controller, token: &str) -> Result<String, String> {
        let joined = joining::join(&self.config, &controller.url, token).await;
        joined.map_err(|error| crate::error::with_causes(&error))
    }

    /// Its `gapura node`, until what this answers is dropped.
    fn start(&self) -> watch::Sender<bool> {
        let (stop, stopped) = watch::channel(false);
        let config = self.config.clone();
        tokio::spawn(async move { node::run(&config, stopped).await.unwrap() });
        stop
    }
}

#[tokio::test]
async fn a_machine_that_joined_is_a_host_that_does_what_it_is_asked() {
    let (controller, machine) = (Controller::open().await, Machine::called("other").await);
    let said = machine.join(&controller, &controller.token().await).await.unwrap();
    let [row] = controller.rows().await.try_into().unwrap();
    assert_eq!((row.name.as_str(), row.address.parse::<SocketAddr>().unwrap()), ("other", machine.config.node.listen));
    assert_eq!(
        said,
        format!(
            "this machine is the host other of the cloud now, {}: start gapura node, which its controllers will ask at {}",
            row.id, row.address
        )
    );
    controller.until(|hosts| hosts.get(row.id).is_ok()).await;
    let host = controller.fleet.now().get(row.id).unwrap().clone();
    assert!(host.hypervisor.facts().await.unwrap_err().is_transient(), "its program does not run yet: it is away");
    let _running = machine.start();
    let mut events = host.hypervisor.events().unwrap();
    events.changed().await.unwrap();
    let facts = host.hypervisor.facts().await.unwrap();
    assert_eq!((facts.hostname.as_str(), facts.uuid.as_str()), ("other", row.machine.as_str()));
}

#[tokio::test]
async fn a_token_that_is_used_late_or_of_another_cloud_lets_nobody_in() {
    let (controller, other) = (Controller::open().await, Controller::open().await);
    let (first, second) = (Machine::called("first").await, Machine::called("second").await);
    let token = controller.token().await;
    first.join(&controller, &token).await.unwrap();
    let used = second.join(&controller, &token).await.unwrap_err();
    assert_eq!(used, "The token was used already, by first: each serves once");

    let token = controller.token().await;
    controller.clock.advance_seconds(15 * 60);
    let late = second.join(&controller, &token).await.unwrap_err();
    assert!(late.starts_with("The token expired at "), "{late}");

    let elsewhere = second.join(&controller, &other.token().await).await.unwrap_err();
    assert!(elsewhere.contains("who answers there is not of the cloud that made the token"), "{elsewhere}");
    // Its fingerprint fits, its secret was made up.
    let made_up = format!("{}.{}", "0".repeat(32), controller.token().await.split_once('.').unwrap().1);
    let unknown = second.join(&controller, &made_up).await.unwrap_err();
    assert_eq!(unknown, "This cloud knows no such token: make one with gapura node token");
    assert!(Membership::load(&second.config).unwrap().is_none());
    assert_eq!(controller.rows().await.len(), 1);
}

#[tokio::test]
async fn a_host_that_joins_again_is_believed_by_its_new_certificate_alone() {
    let (controller, machine) = (Controller::open().await, Machine::called("other").await);
    machine.join(&controller, &controller.token().await).await.unwrap();
    let before = controller.rows().await.remove(0);
    let stop = machine.start();
    controller.until(|hosts| hosts.get(before.id).is_ok()).await;
    let old = controller.fleet.now().get(before.id).unwrap().clone();
    old.hypervisor.events().unwrap().changed().await.unwrap();

    machine.join(&controller, &controller.token().await).await.unwrap();
    let after = controller.rows().await.remove(0);
    assert_eq!(after.id, before.id);
    assert_ne!(after.certificate, before.certificate);
    let is_new = |hosts: &Hosts| !Arc::ptr_eq(&hosts.get(before.id).unwrap().hypervisor, &old.hypervisor);
    controller.until(is_new).await;
    let new = controller.fleet.now().get(before.id).unwrap().clone();
    assert!(new.hypervisor.facts().await.is_err(), "what runs there has the old certificate yet");
    stop.send_replace(true);
    stop.closed().await;
    let _running = machine.start();
    new.hypervisor.events().unwrap().changed().await.unwrap();
    new.hypervisor.facts().await.unwrap();
}

#[tokio::test]
async fn a_host_that_is_removed_is_asked_no_more() {
    let (controller, machine) = (Controller::open().await, Machine::called("other").await);
    machine.join(&controller, &controller.token().await).await.unwrap();
    let id = controller.rows().await[0].id;
    controller.until(|hosts| hosts.get(id).is_ok()).await;
    controller.db.write(move |tx| nodes::remove(tx, id)).await.unwrap();
    controller.until(|hosts| hosts.get(id).is_err()).await;
}

#[tokio::test]
async fn a_machine_of_one_cloud_joins_no_other_by_mistake_and_a_copy_of_it_is_no_host() {
    let (controller, mut machine) = (Controller::open().await, Machine::called("other").await);
    machine.join(&controller, &controller.token().await).await.unwrap();
    let mut member = Membership::load(&machine.config).unwrap().unwrap();
    // What was on its disk is on another machine now.
    machine.config.compute.host = "copy".to_owned();
    let refused = node::run(&machine.config, watch::channel(false).1).await.unwrap_err().to_string();
    assert!(refused.contains("is of another machine: its hypervisor's UUID was"), "{refused}");

    member.cloud = "c2".to_owned();
    member.keep(&machine.config, Timestamp(i64::MAX)).unwrap();
    let refused = machine.join(&controller, &controller.token().await).await.unwrap_err();
    assert!(refused.starts_with("This machine is a host of another cloud:"), "{refused}");
}

#[tokio::test]
async fn what_is_no_name_no_url_and_no_token_is_refused() {
    let (controller, machine) = (Controller::open().await, Machine::called("a b").await);
    let refused = machine.join(&controller, &controller.token().await).await.unwrap_err();
    assert!(refused.starts_with("\"a b\" can't name a host"), "{refused}");
    assert!(machine.join(&controller, "abc").await.unwrap_err().starts_with("That is no token"));
    for url in ["http://127.0.0.1:1", "https://127.0.0.1", "127.0.0.1:5009", ""] {
        let refused = joining::join(&machine.config, url, &controller.token().await).await.unwrap_err().to_string();
        assert_eq!(refused, format!("{url} is not like https://controller:5009"));
    }
}
