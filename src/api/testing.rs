//! A cloud for tests: the whole router over a database of its own, without a socket.
//!
//! ```ignore
//! let cloud = Cloud::new().await;
//! let reply = cloud.admin().await.get("/identity/v3/users").await;
//! assert_eq!(reply.status, 200);
//! let alice = cloud.member("alice").await;   // her own project, role member
//! ```

mod client;

pub use client::{Client, Reply, make, role_id};

use super::identity::{FirstPasswords, Identity, IdentitySettings, seed};
use super::{GateKeeper, ImageSettings, State, router};
use crate::audit::Audit;
use crate::blobs::{Blobs, Store, Stores};
use crate::clock::{Clock, Timestamp};
use crate::cloud::identity::{Actor, Assignment, Project, Target, User};
use crate::cloud::password::Recipe;
use crate::cloud::placement::Rules;
use crate::cloud::policy::Policy;
use crate::cloud::policy_rules;
use crate::disks::simulated::SimulatedDisks;
use crate::fabric::simulated::SimulatedFabric;
use crate::http::router::Router;
use crate::hypervisor::simulated::Simulated;
use crate::ids::{HostId, ProjectId, UserId};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::store::{Db, assignments, projects, roles, users};
use crate::tasks::overdue::Waits;
use crate::tasks::reconcile::{Promises, Reconciler};
use crate::tasks::{Fleet, Host, Hosts, Importing, Runner, RunnerSettings, workflows};
use crate::vault::Vault;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Every user's password.
pub const PASSWORD: &str = "secret";
/// As cheap as argon2 gets.
pub const RECIPE: Recipe = Recipe { memory: 64, passes: 1, lanes: 1 };
/// When a test's clock begins.
pub const START: Timestamp = Timestamp(1_795_315_269_000_000);

/// A simulated host's parts, to look at and to make fail.
#[derive(Clone)]
pub struct SimulatedHost {
    pub id: HostId,
    pub name: String,
    pub hypervisor: Arc<Simulated>,
    pub disks: Arc<SimulatedDisks>,
    pub fabric: Arc<SimulatedFabric>,
}

impl SimulatedHost {
    /// `host-1`, `host-2`, …: of so many CPUs and so much memory (MiB).
    fn new(number: usize, (vcpus, memory_mib): (u32, u64)) -> Self {
        let name = format!("host-{number}");
        Self {
            id: HostId::parse(&format!("0a0a0a0a-0000-4000-8000-{number:012}")).unwrap(),
            hypervisor: Simulated::named(&name, vcpus, memory_mib),
            disks: SimulatedDisks::new(),
            fabric: Arc::new(SimulatedFabric::new()),
            name,
        }
    }

    fn connected(&self) -> Host {
        let Self { id, name, hypervisor, disks, fabric } = self.clone();
        Host { id, name, hypervisor, disks, fabric }
    }
}

/// What few tests want otherwise.
#[derive(Default)]
struct Own {
    unified_limits: bool,
    waits: Waits,
    audit: Option<PathBuf>,
    /// Names of image stores.
    stores: Vec<String>,
    images: ImageSettings,
    /// CPUs and memory of each host; none: one large host.
    hosts: Vec<(u32, u64)>,
    /// Do all hosts see the first one's disks?
    shared_disks: bool,
    placement: Rules,
}

pub struct Cloud {
    pub router: Arc<Router<GateKeeper>>,
    pub state: Arc<State>,
    /// `host-1` and those after it.
    pub hosts: Vec<SimulatedHost>,
    /// The first host's parts; in most tests there is no other.
    pub hypervisor: Arc<Simulated>,
    pub disks: Arc<SimulatedDisks>,
    pub fabric: Arc<SimulatedFabric>,
}

impl Cloud {
    /// A cloud as `gapura init` makes it, with a clock that stands still.
    pub async fn new() -> Self {
        Self::over(Db::memory().await).await
    }

    pub async fn over(db: Db) -> Self {
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        Self::with(db, settings, HashMap::new()).await
    }

    /// A cloud with the operator's own settings and policy.
    pub async fn with(db: Db, settings: IdentitySettings, overrides: HashMap<String, String>) -> Self {
        Self::made(db, settings, overrides, Own::default()).await
    }

    /// A cloud whose compute and images are held to identity's limits.
    pub async fn with_unified_limits() -> Self {
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        Self::made(Db::memory().await, settings, HashMap::new(), Own { unified_limits: true, ..Own::default() }).await
    }

    /// A cloud that decides by itself what nobody decides for so long.
    pub async fn with_waits(waits: Waits) -> Self {
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        Self::made(Db::memory().await, settings, HashMap::new(), Own { waits, ..Own::default() }).await
    }

    /// A cloud of several hosts, each with so many CPUs and so much memory (MiB).
    pub async fn with_hosts(sizes: &[(u32, u64)]) -> Self {
        Self::with_hosts_over(Db::memory().await, sizes).await
    }

    /// As [`with_hosts`](Self::with_hosts), which all see the same disks.
    pub async fn with_shared_disks(sizes: &[(u32, u64)]) -> Self {
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        let own = Own { hosts: sizes.to_vec(), shared_disks: true, ..Own::default() };
        Self::made(Db::memory().await, settings, HashMap::new(), own).await
    }

    /// As [`with_hosts`](Self::with_hosts), deciding by itself what nobody decides for so long.
    pub async fn with_hosts_and_waits(sizes: &[(u32, u64)], waits: Waits) -> Self {
        Self::with_fleet(sizes, waits, Rules::default()).await
    }

    /// The same, placing servers by the operator's own rules.
    pub async fn with_fleet(sizes: &[(u32, u64)], waits: Waits, placement: Rules) -> Self {
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        let own = Own { hosts: sizes.to_vec(), waits, placement, ..Own::default() };
        Self::made(Db::memory().await, settings, HashMap::new(), own).await
    }

    /// As [`with_hosts`](Self::with_hosts), over any database.
    pub async fn with_hosts_over(db: Db, sizes: &[(u32, u64)]) -> Self {
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        Self::made(db, settings, HashMap::new(), Own { hosts: sizes.to_vec(), ..Own::default() }).await
    }

    /// The same, placing servers by the operator's own rules.
    pub async fn with_placement(sizes: &[(u32, u64)], placement: Rules) -> Self {
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        let own = Own { hosts: sizes.to_vec(), placement, ..Own::default() };
        Self::made(Db::memory().await, settings, HashMap::new(), own).await
    }

    /// A cloud that tells its events.
    pub async fn with_audit(file: PathBuf) -> Self {
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        Self::made(Db::memory().await, settings, HashMap::new(), Own { audit: Some(file), ..Own::default() }).await
    }

    /// A cloud with image stores of these names, the first of them the default; without any, one without a name.
    pub async fn with_images(names: &[&str], images: ImageSettings) -> Self {
        let stores = names.iter().map(|name| (*name).to_owned()).collect();
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        let own = Own { stores, images, ..Own::default() };
        Self::made(Db::memory().await, settings, HashMap::new(), own).await
    }

    /// The same, held to identity's limits.
    pub async fn with_limited_images(names: &[&str], images: ImageSettings) -> Self {
        let stores = names.iter().map(|name| (*name).to_owned()).collect();
        let settings = IdentitySettings { argon2: RECIPE, ..IdentitySettings::default() };
        let own = Own { stores, images, unified_limits: true, ..Own::default() };
        Self::made(Db::memory().await, settings, HashMap::new(), own).await
    }

    async fn made(db: Db, settings: IdentitySettings, overrides: HashMap<String, String>, own: Own) -> Self {
        let open = || Blobs::open("memory:///", &[]).unwrap();
        let store = |name: &String| Store { name: name.clone(), description: None, blobs: open() };
        let stores = match own.stores.first() {
            Some(default) => Stores::named(own.stores.iter().map(store).collect(), default).unwrap(),
            None => Stores::single(open()),
        };
        let images = own.images;
        let passwords = FirstPasswords { admin: PASSWORD.to_owned(), demo: PASSWORD.to_owned() };
        seed(&db, RECIPE, "RegionOne", &passwords, START).await.unwrap();
        let clock = Clock::manual(START);
        let sizes = if own.hosts.is_empty() { vec![(64, 256 * 1024)] } else { own.hosts };
        let mut simulated: Vec<SimulatedHost> =
            sizes.into_iter().enumerate().map(|(index, size)| SimulatedHost::new(index + 1, size)).collect();
        if own.shared_disks {
            let disks = simulated[0].disks.clone();
            simulated.iter_mut().for_each(|host| host.disks = disks.clone());
        }
        let hosts = Fleet::from(Hosts::new(simulated.iter().map(SimulatedHost::connected)));
        let vault = Arc::new(Vault::ephemeral().unwrap());
        let importing = Importing {
            rules: images.imports(own.unified_limits.then(|| "RegionOne".to_owned())),
            vault: vault.clone(),
        };
        let work = workflows(&stores, &importing, Duration::from_secs(1));
        let placement = Arc::new(own.placement);
        let settings_of_runner = RunnerSettings { placement: placement.clone(), ..RunnerSettings::default() };
        let runner = Runner::new(db.clone(), clock.clone(), hosts.clone(), work, settings_of_runner);
        let metrics = Arc::new(Metrics::new());
        let state = Arc::new(State {
            db,
            clock,
            policy: Policy::new(policy_rules::all(), &overrides).unwrap().with_scopes(policy_rules::scopes()),
            public_url: "http://cloud.test".to_owned(),
            region: "RegionOne".to_owned(),
            machine: "host-1".to_owned(),
            identity: Identity::new(settings, Keys::ephemeral().unwrap(), vault, &metrics),
            stores,
            images,
            hosts,
            runner,
            metrics,
            audit: own.audit.map_or_else(Audit::off, |path| Audit::to(&path, "cloud").unwrap()),
            unified_limits: own.unified_limits,
            waits: own.waits,
            local_disks: crate::cloud::blank_disks::Rules::default(),
            mtus: crate::cloud::segment::Mtus { tunnel: 1450, flat: 1500 },
            placement,
        });
        let SimulatedHost { hypervisor, disks, fabric, .. } = simulated[0].clone();
        let cloud =
            Self { router: Arc::new(router(state.clone())), state, hosts: simulated, hypervisor, disks, fabric };
        cloud.reconcile().await;
        cloud
    }

    /// Nobody: calls without a token.
    pub fn stranger(&self) -> Client {
        Client::stranger(&self.router)
    }

    /// admin of the project admin.
    pub async fn admin(&self) -> Client {
        self.login("admin", PASSWORD, json!({"project": {"name": "admin", "domain": {"id": "default"}}})).await
    }

    /// admin of the system.
    pub async fn system_admin(&self) -> Client {
        self.login("admin", PASSWORD, json!({"system": {"all": true}})).await
    }

    /// A user with the role member on a project of the same name; made when missing.
    pub async fn member(&self, name: &str) -> Client {
        self.with_role(name, "member", name).await
    }

    pub async fn reader(&self, name: &str) -> Client {
        self.with_role(name, "reader", name).await
    }

    /// A user of the default domain who holds a role on a project of the default domain; all made when missing.
    pub async fn with_role(&self, user: &str, role: &str, project: &str) -> Client {
        let (user_name, role, project_name) = (user.to_owned(), role.to_owned(), project.to_owned());
        let hash = RECIPE.hash(PASSWORD).unwrap();
        let made = self.state.db.write(move |tx| {
            let domain = "default".into();
            let user_id = match users::by_name(tx, &domain, &user_name)? {
                Some(user) => user.id,
                None => {
                    let user = User {
                        id: UserId::random(),
                        domain_id: domain.clone(),
                        name: user_name.clone(),
                        enabled: true,
                        default_project_id: None,
                        description: None,
                        email: None,
                        password_expires_at: None,
                        active_at: None,
                        options: Map::new(),
                        extra: Map::new(),
                    };
                    users::insert(tx, &user, START)?;
                    users::set_password(tx, &user.id, Some(&hash), false, START)?;
                    user.id
                }
            };
            let project_id = match projects::by_name(tx, &domain, &project_name)? {
                Some(project) => project.id,
                None => {
                    let project = Project {
                        id: ProjectId::random(),
                        domain_id: Some(domain.clone()),
                        parent_id: Some("default".into()),
                        is_domain: false,
                        name: project_name.clone(),
                        description: String::new(),
                        enabled: true,
                        tags: Vec::new(),
                        options: Map::new(),
                        extra: Map::new(),
                    };
                    projects::insert(tx, &project, START)?;
                    project.id
                }
            };
            let role_id = roles::by_name(tx, &role)?.expect("the role exists").id;
            let (actor, target) = (Actor::User(user_id), Target::Project(project_id));
            assignments::insert(tx, &Assignment { role_id, actor, target, inherited: false })
        });
        made.await.unwrap();
        self.login(user, PASSWORD, json!({"project": {"name": project, "domain": {"id": "default"}}})).await
    }

    /// Logs a user of the default domain in.
    pub async fn login(&self, user: &str, password: &str, scope: Value) -> Client {
        self.stranger().login(user, password, scope).await
    }

    /// As [`Cloud::login`], whatever comes of it. A scope of `null` asks for none.
    pub async fn try_login(&self, user: &str, password: &str, scope: Value) -> Reply {
        self.stranger().try_login(user, password, scope).await
    }

    /// Does all work that is due.
    pub async fn work(&self) {
        self.state.runner.drain().await.unwrap();
    }

    /// Lets the sweep clear away what images have given up, as it does soon after they did.
    pub async fn clear_images(&self) {
        crate::tasks::sweep_images::clear(&self.state.db, &self.state.stores).await.unwrap();
    }

    /// Looks at every host once.
    pub async fn reconcile(&self) {
        let State { db, clock, hosts, runner, waits, .. } = &*self.state;
        let (db, clock, hosts, runner) = (db.clone(), clock.clone(), hosts.clone(), runner.clone());
        Reconciler { db, clock, hosts, promises: Promises::default(), runner, waits: *waits }.once().await;
    }

    /// Moves the clock.
    pub fn pass_seconds(&self, seconds: i64) {
        self.state.clock.advance_seconds(seconds);
    }
}
