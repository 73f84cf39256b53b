//! A whole cloud in the test's own process: the program as it starts, over simulators, called without a socket.

pub use crate::client::{Client, Reply};

use crate::database::Database;
use gapura::api::{self, FirstPasswords, GateKeeper, Row, State};
use gapura::cloud::password::Recipe;
use gapura::config::Config;
use gapura::http::microversion::Microversion;
use gapura::http::router::Router;
use gapura::http::table::Service;
use gapura::program::Program;
use gapura::store::projects;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;

/// Every user's password.
const PASSWORD: &str = "secret";
/// As cheap as argon2 gets.
const RECIPE: Recipe = Recipe { memory: 64, passes: 1, lanes: 1 };

pub struct Cloud {
    pub router: Arc<Router<GateKeeper>>,
    pub state: Arc<State>,
    folder: tempfile::TempDir,
    database: Database,
}

/// A folder in memory, where there is one.
fn scratch_folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("gapura-compat-").tempdir_in(base).unwrap()
}

impl Cloud {
    /// A cloud as `gapura init` makes it, but for its images.
    pub async fn new() -> Self {
        let folder = scratch_folder();
        let database = Database::new(&folder.path().join("state"));
        Self::initialised(folder, database).await
    }

    /// The same on SQLite, whatever engine tests run on: only its file can be copied as often as a test likes.
    pub async fn copyable() -> Self {
        let folder = scratch_folder();
        let database = Database::sqlite(&folder.path().join("state"));
        Self::initialised(folder, database).await
    }

    async fn initialised(folder: tempfile::TempDir, database: Database) -> Self {
        let cloud = Self::open(folder, database).await;
        let state = &cloud.state;
        let passwords = FirstPasswords { admin: PASSWORD.to_owned(), demo: PASSWORD.to_owned() };
        api::seed_identity(&state.db, RECIPE, "RegionOne", &passwords, state.clock.now()).await.unwrap();
        let now = state.clock.now();
        let range = "10.20.0.0/24".parse().unwrap();
        let network = state.db.write(move |tx| {
            let admin = projects::by_name(tx, &"default".into(), "admin")?.expect("identity is seeded");
            api::network::seed::init(tx, &admin.id, range, 1500, now)
        });
        network.await.unwrap();
        cloud
    }

    async fn open(folder: tempfile::TempDir, database: Database) -> Self {
        let settings = [
            ("GAPURA_STATE_DIR", folder.path().join("state").display().to_string()),
            ("GAPURA_HYPERVISOR", "simulated".to_owned()),
            ("GAPURA_PUBLIC_URL", "http://cloud.test".to_owned()),
        ];
        let url = database.url().map(|url| ("GAPURA_DATABASE_URL", url.to_owned()));
        let environment = settings.into_iter().chain(url).map(|(name, value)| (name.to_owned(), value));
        let mut config = Config::load(None, environment).unwrap();
        config.identity.argon2 = RECIPE;
        config.identity.failures_per_user = 0;
        let state = Program::open(config).await.unwrap().state;
        Self { router: Arc::new(api::router(state.clone())), state, folder, database }
    }

    /// Another cloud with the same rows and keys: what this one was told, its tokens too, holds there. Nothing may be
    /// writing meanwhile.
    pub async fn copy(&self) -> Self {
        let folder = scratch_folder();
        let mut copy = std::process::Command::new("cp");
        copy.arg("-r").arg(self.folder.path().join("state")).arg(folder.path());
        assert!(copy.status().unwrap().success());
        assert!(self.database.url().is_none(), "rows are copied with the folder");
        let database = Database::sqlite(&folder.path().join("state"));
        Self::open(folder, database).await
    }

    /// Its parts, to be put together over other hosts, and the folder they keep things in. Nobody may be calling it any more.
    pub fn into_parts(self) -> (State, tempfile::TempDir) {
        drop(self.router);
        (Arc::into_inner(self.state).expect("nobody calls it"), self.folder)
    }

    pub fn stranger(&self) -> Client {
        Client::stranger(&self.router)
    }

    pub async fn admin(&self) -> Client {
        self.login("admin", "admin").await
    }

    /// A user with one role on a project, which is made when missing.
    pub async fn with_role(&self, user: &str, role: &str, project: &str) -> Client {
        let admin = self.admin().await;
        let found = async |collection: &str, name: &str| {
            let listed = admin.get(&format!("/v3/{collection}?name={name}")).await.json();
            listed[collection][0]["id"].as_str().map(str::to_owned)
        };
        let made = async |noun: &str, body: Value| {
            let reply = admin.post(&format!("/v3/{noun}s"), json!({ noun: body })).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            reply.json()[noun]["id"].as_str().unwrap().to_owned()
        };
        let user_id = made("user", json!({"name": user, "password": PASSWORD})).await;
        let project_id = match found("projects", project).await {
            Some(id) => id,
            None => made("project", json!({"name": project})).await,
        };
        let role_id = found("roles", role).await.expect("identity is seeded");
        let path = format!("/v3/projects/{project_id}/users/{user_id}/roles/{role_id}");
        assert_eq!(admin.put(&path, Value::Null).await.status, 204);
        self.login(user, project).await
    }

    async fn login(&self, user: &str, project: &str) -> Client {
        let scope = json!({"project": {"name": project, "domain": {"id": "default"}}});
        self.stranger().login(user, PASSWORD, scope).await
    }
}

/// What a request of a row says of itself: the newest version that has the row, and its body's type.
pub fn headers(service: &Service, row: &Row) -> Vec<(&'static str, String)> {
    let content_type = match () {
        () if row.streams => "application/octet-stream",
        () if service.name == "image" && row.method == Method::PATCH => "application/openstack-images-v2.1-json-patch",
        () => "application/json",
    };
    let mut headers = vec![("content-type", content_type.to_owned())];
    if let Some(axis) = service.axis {
        let newest = row.lifetime.until.map_or(axis.max, |until| Microversion(until - 1).min(axis.max));
        headers.push(("openstack-api-version", format!("{} {}", axis.service_type, axis.display(newest))));
    }
    headers
}
