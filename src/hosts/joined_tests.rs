//! Machines join, and are hosts. Everything runs in this process and speaks over loopback as it would between machines.

use super::admission::{Admission, authority_folder, make_token};
use super::follow::Following;
use super::membership::Membership;
use super::renewal::Renewal;
use super::{joining, node};
use crate::certificate::Certificate;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::error::Result;
use crate::node::authority::{Holder, OwnKey};
use crate::node::certificates::{Authorities, Purpose, Wanted};
use crate::node::joining::{self as node_joining, Newcomer, Token};
use crate::store::nodes::{self, NodeRow};
use crate::store::{Db, hosts};
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
        Self::open_at(Clock::System.now()).await
    }

    /// As if it were that time.
    async fn open_at(now: Timestamp) -> Self {
        let (folder, db, clock) = (tempfile::tempdir().unwrap(), Db::memory().await, Clock::manual(now));
        let config = Config { state_dir: folder.path().to_owned(), ..Config::default() };
        let now = clock.now();
        let authorities = Authorities::load_or_create(&authority_folder(&config), CLOUD, now).unwrap();
        let identity = authorities.cloud.identity(&Holder::controller(), now).unwrap();
        let (stop, stopped) = watch::channel(false);
        let (listener, came) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(Notify::new()));
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (authorities, admitted) = (Arc::new(authorities), came.clone());
        let certifying = authorities.clone();
        let door = Admission { db: db.clone(), clock: clock.clone(), authorities, came: admitted };
        tokio::spawn(door.serve(listener, stopped.clone()).unwrap());
        let following = Following::begin(db.clone(), Hosts::default(), identity).await.unwrap();
        let fleet = following.fleet();
        let renewal = Renewal {
            config: Config { hypervisor: "simulated".to_owned(), ..config.clone() },
            db: db.clone(),
            clock: clock.clone(),
            authorities: certifying,
            channels: following.channels(),
            changed: came.clone(),
        };
        tokio::spawn(renewal.run(crate::node::told_to_stop(stopped.clone())));
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

#[tokio::test]
async fn a_host_gets_another_certificate_before_its_own_ends_and_is_known_by_that_from_then_on() {
    const DAY: i64 = 24 * 3600;
    let today = Clock::System.now();
    // It joined four years ago.
    let controller = Controller::open_at(today.plus_seconds(-4 * 365 * DAY)).await;
    let machine = Machine::called("other").await;
    machine.join(&controller, &controller.token().await).await.unwrap();
    controller.clock.advance_seconds(4 * 365 * DAY);
    let before = controller.rows().await.remove(0);
    let key = |member: &Membership| Certificate::parse(&member.identity().unwrap().certificate).unwrap();
    let first = Membership::load(&machine.config).unwrap().unwrap();
    let running = machine.start();
    let after = eventually(async || {
        let row = controller.rows().await.remove(0);
        (row.certificate != before.certificate && row.renewed.is_none()).then_some(row)
    })
    .await;
    let second = Membership::load(&machine.config).unwrap().unwrap();
    assert_eq!(key(&second).public_key, key(&first).public_key);
    assert!(key(&second).ends > today.plus_seconds(4 * 365 * DAY));
    let host = eventually(async || {
        let host = controller.fleet.now().get(after.id).unwrap().clone();
        host.hypervisor.facts().await.is_ok().then_some(host)
    })
    .await;
    // It is known again after its program starts anew, with what it kept.
    running.send_replace(true);
    running.closed().await;
    let _running = machine.start();
    eventually(async || host.hypervisor.facts().await.ok()).await;
    assert_eq!(controller.rows().await, [after]);
}

#[tokio::test]
async fn which_version_runs_on_a_host_is_written_down_whenever_it_answers() {
    let (controller, machine) = (Controller::open().await, Machine::called("other").await);
    machine.join(&controller, &controller.token().await).await.unwrap();
    let id = controller.rows().await[0].id;
    // As an older program would have left it.
    controller.db.write(move |tx| nodes::speaks(tx, id, "0.0.9", 1)).await.unwrap();
    let _running = machine.start();
    controller.until(|hosts| hosts.get(id).is_ok()).await;
    let now = eventually(async || Some(controller.rows().await.remove(0)).filter(|row| row.version != "0.0.9")).await;
    assert_eq!((now.version.as_str(), now.protocol), (crate::node::VERSION, i64::from(crate::node::PROTOCOL)));
}

#[tokio::test]
async fn a_machine_that_can_t_take_others_guests_is_told_so_when_it_joins() {
    let (controller, machine) = (Controller::open().await, Machine::called("other").await);
    let known = |tx: &mut crate::store::Tx| {
        let own = crate::ids::HostId::random();
        hosts::ensure(tx, own, "newer", "nova", Timestamp(1))?;
        let facts = serde_json::json!({"hypervisor_type": "simulated", "hypervisor_version": 99_001_002});
        let heard = hosts::Heard {
            facts: &facts,
            hypervisor_version: 1,
            total: Default::default(),
            reserved: Default::default(),
            ratios: Default::default(),
        };
        hosts::heard(tx, own, &heard, Timestamp(1))
    };
    controller.db.write(known).await.unwrap();
    let said = machine.join(&controller, &controller.token().await).await.unwrap();
    let note = said.lines().nth(1).unwrap_or_default();
    assert!(note.starts_with("running guests of newer can't move to other: its hypervisor is "), "{said}");
    assert!(note.ends_with("and not at least 99.1.2"), "{said}");
}

#[tokio::test]
async fn a_machine_that_would_be_certified_as_another_host_does_not_join_and_its_token_is_good_for_the_right_one() {
    let (controller, machine) = (Controller::open().await, Machine::called("other").await);
    let at = |name: &str, address: &str| {
        let (name, address) = (name.to_owned(), address.to_owned());
        let (machine, id) = (uuid::Uuid::new_v4().to_string(), crate::ids::HostId::random());
        let (version, certificate) = ("1".to_owned(), "aa".to_owned());
        NodeRow {
            id,
            name,
            machine,
            address,
            certificate,
            version,
            protocol: 2,
            joined_at: Timestamp(1),
            renewed: None,
        }
    };
    let there = at("rack-1", "192.0.2.7:5010");
    let known = move |tx: &mut crate::store::Tx| {
        nodes::make_token(tx, "t", Timestamp(i64::MAX), Timestamp(1))?;
        nodes::admit(tx, "t", &there)
    };
    controller.db.write(known).await.unwrap();
    let token = controller.token().await;
    let wanted = |name: &str, address: &str| Wanted {
        purpose: Purpose::Libvirtd,
        public_key: hex::encode(OwnKey::generate().unwrap().public()),
        names: vec![name.to_owned()],
        addresses: vec![address.parse().unwrap()],
    };
    let given = Token::parse(&token).unwrap();
    let at = controller.url.strip_prefix("https://").unwrap().parse().unwrap();
    let ask = async |wanted| {
        let newcomer = Newcomer {
            secret: given.secret.clone(),
            protocol: crate::node::PROTOCOL,
            version: "0.1.0".to_owned(),
            name: "other".to_owned(),
            machine: uuid::Uuid::new_v4().to_string(),
            address: None,
            port: 5010,
            public_key: hex::encode(OwnKey::generate().unwrap().public()),
            other_cloud: None,
            wanted: vec![wanted],
            facts: serde_json::Value::Null,
        };
        node_joining::ask(at, given.authority, &newcomer).await.map_err(|error| error.to_string())
    };
    let name = ask(wanted("Rack-1", "192.0.2.8")).await.unwrap_err();
    assert_eq!(name, "rack-1 is another host: no certificate can call this machine so");
    let address = ask(wanted("other", "192.0.2.7")).await.unwrap_err();
    assert!(address.starts_with("192.0.2.7 is the address of the host rack-1. Is it this machine's now"), "{address}");
    assert_eq!(controller.rows().await.len(), 1);
    machine.join(&controller, &token).await.unwrap();
}

/// Waits until there is an answer.
async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it happens")
}
