//! Two hosts with a libvirtd each, real guests on them, and the whole program between, in the test's own process.
//!
//! What moves a guest here is what moves it in a cloud: a request, the workflow that it starts, the three traits over two
//! libvirts and two folders of disks. Only networks are the harness's own: every guest is on the bridge that both hosts have.
//!
//! Needs root, libvirtd, and the image that `etc/guest/build.sh` makes (`GAPURA_TEST_GUEST`). Guests are emulated, tell on their
//! serial ports how they are, and take minutes in all, so `compat-tests/run.sh two_hosts` asks for them (`GAPURA_TEST_TWO_HOSTS`).

use crate::client::{Client, Reply};
use crate::cloud::is_root;
use crate::in_process::Cloud;
use async_trait::async_trait;
use gapura::api::{self, State};
use gapura::cloud::moving::Measured;
use gapura::disks::local::LocalDisks;
use gapura::error::Result;
use gapura::fabric::{Fabric, FabricFacts, NetworkWish};
use gapura::hosts::hypervisor_tls::{Place, User};
use gapura::hypervisor::accelerator::AcceleratorChoice;
use gapura::hypervisor::libvirt::Libvirt;
use gapura::hypervisor::{Epoch, Hypervisor, Power, Standing};
use gapura::ids::{HostId, NetworkId, ServerId};
use gapura::store::server_moves;
use gapura::tasks::migrate_server::Moving;
use gapura::tasks::reconcile::Reconciler;
use gapura::tasks::{Host, Hosts, Manner, Runner, RunnerSettings, workflows};
use http::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An emulated guest takes its time on a machine that compiles something.
const PATIENCE: Duration = Duration::from_secs(180);
const VERSION: &str = "compute 2.90";
const NAMES: [&str; 2] = ["host-a", "host-b"];

/// Says so where they can't be had, or nobody asked for them.
pub fn can_have_two_hosts() -> bool {
    let is_set = |name| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let has_libvirtd = Command::new("libvirtd").arg("--version").output().is_ok();
    let can = is_set("GAPURA_TEST_TWO_HOSTS") && is_set("GAPURA_TEST_GUEST") && is_root() && has_libvirtd;
    if !can {
        eprintln!(
            "SKIPPED: no GAPURA_TEST_TWO_HOSTS, GAPURA_TEST_GUEST, root or libvirtd: no guest moves between hosts"
        );
    }
    can
}

/// Two libvirtds of our own.
pub struct Pair {
    folder: tempfile::TempDir,
    hosts: Vec<(String, String)>,
}

impl Pair {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut pair = Self { folder, hosts: Vec::new() };
        let told = pair.control("start", &[]);
        let uris = told.lines().filter_map(|line| line.split_once(' '));
        pair.hosts = uris.map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned())).collect();
        assert_eq!(pair.hosts.len(), 2, "{told}");
        pair
    }

    /// `harness/two_hosts.sh VERB …`
    pub fn control(&self, verb: &str, more: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compat-tests/harness/two_hosts.sh");
        let output = Command::new(script).arg(verb).arg(self.folder.path()).args(more).output().unwrap();
        assert!(output.status.success(), "{verb}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Of a host's libvirt, for us.
    pub fn uri(&self, host: usize) -> &str {
        &self.hosts[host].0
    }

    /// Where a host's QEMU looks for certificates.
    pub fn certificates(&self, host: usize) -> Place {
        Place::for_qemu(&self.folder.path().join(["a", "b"][host]).join("pki/qemu"), User::root())
    }

    /// For the other host.
    pub fn peer(&self, host: usize) -> &str {
        &self.hosts[host].1
    }

    /// What a host's libvirt answers, asked without us.
    pub fn virsh(&self, host: usize, arguments: &[&str]) -> String {
        let output = Command::new("virsh").args(["-q", "-c", &self.hosts[host].0]).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.control("stop", &[]);
    }
}

/// The bridge that both hosts have, for every network.
struct Wired;

#[async_trait]
impl Fabric for Wired {
    async fn ensure(&self, _: &NetworkWish) -> Result<String> {
        Ok("br0".to_owned())
    }

    async fn remove(&self, _: NetworkId, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<NetworkId>> {
        Ok(Vec::new())
    }

    async fn facts(&self) -> Result<FabricFacts> {
        Ok(FabricFacts::default())
    }
}

/// A cloud over both.
pub struct Fleet {
    // Before what it looks at, which is ended with it.
    work: Vec<tokio::task::JoinHandle<()>>,
    pub admin: Client,
    pub state: Arc<State>,
    hypervisors: Vec<Arc<Libvirt>>,
    /// Where each host has its disks; the same for both where they share them.
    pub folders: Vec<PathBuf>,
    pub pair: Pair,
    _state: tempfile::TempDir,
}

/// How the two keep disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    Apart,
    Shared,
}

impl Fleet {
    /// `None`, loudly, where there can't be one.
    pub async fn start(storage: Storage, moving: Moving) -> Option<Self> {
        if !can_have_two_hosts() {
            return None;
        }
        // Shown with what fails: a guest that is nowhere or twice is understood by what each step saw.
        let _ = tracing_subscriber::fmt().with_test_writer().with_ansi(false).try_init();
        let image = std::env::var("GAPURA_TEST_GUEST").expect("looked for");
        let (cloud, pair) = (Cloud::new().await, Pair::start());
        let token = cloud.admin().await.token().to_owned();
        let (parts, folder) = cloud.into_parts();
        let folders: Vec<PathBuf> = match storage {
            Storage::Apart => NAMES.iter().map(|name| pair.folder.path().join("disks").join(name)).collect(),
            Storage::Shared => vec![pair.folder.path().join("disks"); 2],
        };
        let name_of = format!("fleet-{}", ServerId::random());
        let driver = |host: usize| {
            let driver = Libvirt::connect(pair.uri(host), &name_of, AcceleratorChoice::Tcg).reached_at(pair.peer(host));
            Arc::new(driver.showing(pair.certificates(host).shown().to_owned()))
        };
        let hypervisors: Vec<Arc<Libvirt>> = (0..2).map(driver).collect();
        let hosts = NAMES.iter().zip(&hypervisors).zip(&folders).map(|((name, hypervisor), folder)| Host {
            id: HostId(uuid::Uuid::new_v4()),
            name: (*name).to_owned(),
            hypervisor: hypervisor.clone(),
            disks: Arc::new(LocalDisks::open(folder).unwrap()),
            fabric: Arc::new(Wired),
        });
        let hosts = Hosts::new(hosts);
        let state = over(parts, hosts, moving);
        let (runner, reconciler) = (state.runner.clone(), reconciler(&state));
        assert!(reconciler.once().await.is_empty(), "both hosts answer");
        let work = vec![
            tokio::spawn(runner.run(std::future::pending())),
            tokio::spawn(reconciler.run(std::future::pending())),
        ];
        let router = Arc::new(api::router(state.clone()));
        let admin = Client::stranger(&router).with_token(token);
        let fleet = Self { work, admin, state, hypervisors, folders, pair, _state: folder };
        fleet.upload(Path::new(&image)).await;
        let flavor = json!({"name": "small", "vcpus": 1, "ram": 256, "disk": 1});
        let made = fleet.ask(Method::POST, "/flavors", &json!({"flavor": flavor})).await;
        assert_eq!(made.status, 200, "{}", made.text());
        Some(fleet)
    }

    async fn upload(&self, image: &Path) {
        let body = json!({"name": "guest", "disk_format": "qcow2", "container_format": "bare"});
        let made = self.admin.post("/image/v2/images", body).await;
        let path = format!("/image/v2/images/{}/file", made.json()["id"].as_str().unwrap());
        let bytes = std::fs::read(image).unwrap();
        let sent = self.admin.send(Method::PUT, &path, &[("content-type", "application/octet-stream")], bytes).await;
        assert_eq!(sent.status, 204, "{}", sent.text());
    }

    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Reply {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let headers = [("content-type", "application/json"), ("openstack-api-version", VERSION)];
        self.admin.send(method, &format!("/compute/v2.1{path}"), &headers, bytes).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, &Value::Null).await.json()
    }

    /// A guest on host a whose heart beats ten times a second.
    pub async fn boot(&self) -> Guest<'_> {
        self.boot_of("small").await
    }

    /// The same, of another flavor.
    pub async fn boot_of(&self, flavor: &str) -> Guest<'_> {
        let image = self.admin.get("/image/v2/images?name=guest").await.json()["images"][0]["id"].clone();
        let flavors = self.get("/flavors").await;
        let flavor = flavors["flavors"].as_array().unwrap().iter().find(|one| one["name"] == flavor).unwrap();
        let network = self.admin.get("/network/v2.0/networks?name=private").await.json()["networks"][0]["id"].clone();
        let server = json!({
            "name": "web", "imageRef": image, "flavorRef": flavor["id"], "host": NAMES[0], "config_drive": true,
            "networks": [{"uuid": network}], "metadata": {"heartbeat_ms": "100"},
        });
        let made = self.ask(Method::POST, "/servers", &json!({"server": server})).await;
        assert_eq!(made.status, 202, "{}", made.text());
        let id = ServerId::parse(made.json()["server"]["id"].as_str().unwrap()).unwrap();
        let guest = Guest { fleet: self, id };
        guest.is_settled("ACTIVE").await;
        guest.says("GUEST: ready", 1).await;
        guest.lives().await;
        guest
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.work.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// A cloud's own parts over other hosts.
fn over(parts: State, hosts: Hosts, moving: Moving) -> Arc<State> {
    let manner = Manner { moving, ..Duration::from_secs(5).into() };
    let work = workflows(&parts.stores, &parts.importing(), manner);
    let settings = RunnerSettings { placement: parts.placement.clone(), ..RunnerSettings::default() };
    let hosts = gapura::tasks::Fleet::from(hosts);
    let runner = Runner::new(parts.db.clone(), parts.clock.clone(), hosts.clone(), work, settings);
    Arc::new(State { hosts, runner, ..parts })
}

fn reconciler(state: &State) -> Reconciler {
    Reconciler {
        db: state.db.clone(),
        clock: state.clock.clone(),
        hosts: state.hosts.clone(),
        promises: gapura::tasks::reconcile::Promises::default(),
        runner: state.runner.clone(),
        waits: state.waits,
    }
}

/// Waits until there is an answer.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A line of the guest's heart: its number, the seconds its kernel runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    pub number: u64,
    pub uptime: f64,
}

/// A server and the guest in it.
pub struct Guest<'a> {
    pub fleet: &'a Fleet,
    pub id: ServerId,
}

impl Guest<'_> {
    pub async fn shown(&self) -> Value {
        self.fleet.get(&format!("/servers/{}", self.id)).await["server"].clone()
    }

    /// Until no work on it goes on.
    pub async fn is_settled(&self, status: &str) -> Value {
        let shown = eventually("a server is settled", async || {
            let shown = self.shown().await;
            (shown["OS-EXT-STS:task_state"].is_null() && shown["status"] != "BUILD").then_some(shown)
        });
        let shown = shown.await;
        assert_eq!(shown["status"], status, "{shown}");
        shown
    }

    /// The host that the API says it is on.
    pub async fn place(&self) -> usize {
        let shown = self.shown().await;
        let name = shown["OS-EXT-SRV-ATTR:host"].as_str().unwrap_or_default().to_owned();
        NAMES.iter().position(|host| *host == name).unwrap_or_else(|| panic!("{shown}"))
    }

    /// What a host says of it.
    pub async fn standing(&self, host: usize) -> Standing {
        eventually("a host answers", async || self.fleet.hypervisors[host].standing(self.id).await.ok()).await
    }

    /// Exactly one host runs it, by what we ask, by what libvirt lists, and by the processes there are; the API says which.
    pub async fn runs_only_on(&self, host: usize) {
        assert_eq!(self.place().await, host);
        assert_eq!(self.standing(host).await, Standing::Runs(Power::Running));
        assert_eq!(self.standing(1 - host).await, Standing::Absent);
        let listed = |host| self.fleet.pair.virsh(host, &["list", "--all", "--uuid"]).contains(&self.id.to_string());
        assert_eq!((listed(host), listed(1 - host)), (true, false));
        assert_eq!(self.processes(), 1, "QEMUs of {}", self.id);
        let other = self.fleet.folders[1 - host].join("instances").join(self.id.to_string());
        assert!(self.fleet.folders[0] == self.fleet.folders[1] || !other.exists(), "its files left {other:?}");
    }

    /// What its QEMU on a host says of how it moves.
    pub async fn move_parameters(&self, host: usize) -> Value {
        let question = r#"{"execute":"query-migrate-parameters"}"#;
        let said = self.fleet.pair.virsh(host, &["qemu-monitor-command", &self.id.to_string(), question]);
        serde_json::from_str::<Value>(&said).unwrap_or_else(|error| panic!("{error}: {said}"))["return"].take()
    }

    /// How many QEMUs there are of it, on any host.
    pub fn processes(&self) -> usize {
        let name = format!("guest=instance-{}", &self.id.to_string()[..8]);
        let found = Command::new("pgrep").args(["-fc", "--", &name]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).trim().parse().unwrap()
    }

    fn log(&self, host: usize) -> String {
        let folder = self.fleet.folders[host].join("instances").join(self.id.to_string());
        String::from_utf8_lossy(&std::fs::read(folder.join("console.log")).unwrap_or_default()).into_owned()
    }

    /// What it said so often on its serial port, wherever it is.
    pub async fn says(&self, text: &str, times: usize) {
        eventually(text, async || {
            let host = self.place().await;
            (self.log(host).matches(text).count() >= times).then_some(())
        })
        .await;
    }

    pub fn beats(&self, host: usize) -> Vec<Beat> {
        let log = self.log(host);
        let beats = log.lines().filter_map(|line| {
            let mut words = line.trim().strip_prefix("HB ")?.split(' ');
            Some(Beat { number: words.next()?.parse().ok()?, uptime: words.next()?.parse().ok()? })
        });
        beats.collect()
    }

    /// Its heart goes on beating; the newest beat.
    pub async fn lives(&self) -> Beat {
        self.lives_on(self.place().await).await
    }

    /// The same on a host that the API need not know of.
    pub async fn lives_on(&self, host: usize) -> Beat {
        let before = self.beats(host).last().copied();
        eventually("a guest's heart beats", async || {
            let last = self.beats(host).last().copied()?;
            before.is_none_or(|before| last.number > before.number + 3).then_some(last)
        })
        .await
    }

    /// It never booted again, and its heart never stood still for so many seconds of its own time.
    pub async fn has_lived_on_since(&self, before: Beat) {
        let (host, now) = (self.place().await, self.lives().await);
        assert!(now.number > before.number && now.uptime > before.uptime, "{before:?} {now:?}");
        assert_eq!(self.log(host).matches("GUEST: ready").count(), 1, "it booted once");
    }

    /// Types a line on its console and waits for what it prints.
    pub async fn told(&self, command: &str) -> String {
        let host = self.place().await;
        let terminal = self.fleet.pair.virsh(host, &["ttyconsole", &self.id.to_string()]);
        let mark = uuid::Uuid::new_v4().simple().to_string();
        // The line itself is echoed, so it must not have the mark whole. (Without the blanks, `$((` would be arithmetic.)
        let (one, other) = mark.split_at(8);
        let line = format!("echo \"{one}\"\"{other} $( {command} ) {one}\"\"{other}\"\n");
        let mut terminal = std::fs::OpenOptions::new().write(true).open(&terminal).unwrap();
        std::io::Write::write_all(&mut terminal, line.as_bytes()).unwrap();
        eventually(command, async || {
            let log = self.log(host);
            let said = log.split(&mark).nth(1)?;
            log.split(&mark).nth(2)?;
            // The heart beats into whatever is said.
            let lines = said.lines().map(str::trim).filter(|line| !line.starts_with("HB "));
            Some(lines.collect::<Vec<_>>().join("\n").trim().to_owned())
        })
        .await
    }

    /// It writes so many megabytes of its memory anew, over and over; `steadies` ends that.
    pub async fn toils(&self, megabytes: u32) {
        self.told(&format!(
            "(while :; do dd if=/dev/urandom of=/tmp/toil bs=1M count={megabytes} conv=notrunc 2>/dev/null; done) \
             >/dev/null 2>&1 & echo $! > /tmp/toils"
        ))
        .await;
    }

    pub async fn rests(&self) {
        self.told("kill $(cat /tmp/toils)").await;
    }

    /// Asks for its move; the record's number.
    pub async fn send(&self, to: Option<usize>, block_migration: Value) -> i64 {
        self.asks_for_its_move(to, block_migration).await;
        self.record().await["id"].as_i64().unwrap()
    }

    pub async fn asks_for_its_move(&self, to: Option<usize>, block_migration: Value) {
        let wish = json!({"host": to.map(|host| NAMES[host]), "block_migration": block_migration});
        let path = format!("/servers/{}/action", self.id);
        let asked = self.fleet.ask(Method::POST, &path, &json!({"os-migrateLive": wish})).await;
        assert_eq!(asked.status, 202, "{}", asked.text());
    }

    /// Until its newest move is over; how it ended.
    pub async fn ended(&self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let record = self.record().await;
            if ["completed", "error", "cancelled"].contains(&record["status"].as_str().unwrap_or_default()) {
                return record;
            }
            assert!(Instant::now() < deadline, "never over: {record}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The newest of its moves.
    pub async fn record(&self) -> Value {
        self.fleet.get(&format!("/os-migrations?instance_uuid={}", self.id)).await["migrations"][0].clone()
    }

    /// What was counted of a move.
    pub async fn counts(&self, number: i64) -> Measured {
        let found = self.fleet.state.db.read(move |tx| server_moves::get(tx, number)).await.unwrap().unwrap();
        found.counts.unwrap_or_default()
    }

    /// Why a move failed, as its record keeps it.
    pub async fn reason(&self, number: i64) -> String {
        let found = self.fleet.state.db.read(move |tx| server_moves::get(tx, number)).await.unwrap().unwrap();
        found.failure.unwrap_or_default()
    }

    /// Until a move runs and has sent something.
    pub async fn is_under_way(&self, number: i64) {
        eventually("a move runs", async || {
            let shown = self.fleet.get(&format!("/servers/{}/migrations/{number}", self.id)).await;
            let shown = &shown["migration"];
            (shown["status"] == "running" && shown["memory_total_bytes"].is_u64()).then_some(())
        })
        .await;
    }

    /// Sends it to the other host and waits until it is there. What was counted.
    pub async fn move_over(&self) -> Measured {
        let (from, before) = (self.place().await, self.lives().await);
        let number = self.send(Some(1 - from), json!("auto")).await;
        let shown = self.is_settled("ACTIVE").await;
        let record = self.record().await;
        assert_eq!(record["status"], "completed", "{record} {shown}");
        self.runs_only_on(1 - from).await;
        self.has_lived_on_since(before).await;
        self.counts(number).await
    }

    pub async fn delete(self) {
        self.fleet.ask(Method::DELETE, &format!("/servers/{}", self.id), &Value::Null).await;
        eventually("a server is gone", async || {
            let path = format!("/servers/{}", self.id);
            (self.fleet.ask(Method::GET, &path, &Value::Null).await.status == 404).then_some(())
        })
        .await;
        for host in 0..2 {
            assert_eq!(self.standing(host).await, Standing::Absent);
            let folder = self.fleet.folders[host].join("instances").join(self.id.to_string());
            assert!(!folder.exists(), "nothing of it stays: {folder:?}");
        }
    }
}
