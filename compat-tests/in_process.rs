//! A whole cloud in the test's own process: the program as it starts, over simulators, called without a socket.

use crate::database::Database;
use futures::StreamExt;
use gapura::api::{self, FirstPasswords, GateKeeper, Row, State};
use gapura::cloud::identity::{Actor, Assignment, Project, Target, User};
use gapura::cloud::password::Recipe;
use gapura::config::Config;
use gapura::http::call::BodyStream;
use gapura::http::microversion::Microversion;
use gapura::http::reply::RawBody;
use gapura::http::router::{Request, Router};
use gapura::http::table::Service;
use gapura::ids::{ProjectId, UserId};
use gapura::program::Program;
use gapura::store::{assignments, projects, roles, users};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};
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
        let database = Database::new(folder.path().join("state"));
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
        let database = self.database.copy(folder.path().join("state"));
        Self::open(folder, database).await
    }

    pub fn stranger(&self) -> Client {
        Client { router: self.router.clone(), token: None, user_id: String::new(), project_id: String::new() }
    }

    pub async fn admin(&self) -> Client {
        self.login("admin", "admin").await
    }

    /// A user with one role on a project, both made when missing.
    pub async fn with_role(&self, user: &str, role: &str, project: &str) -> Client {
        let (user_name, role, project_name) = (user.to_owned(), role.to_owned(), project.to_owned());
        let (hash, now) = (RECIPE.hash(PASSWORD).unwrap(), self.state.clock.now());
        let made = self.state.db.write(move |tx| {
            let user_id = UserId::random();
            let user = User {
                id: user_id.clone(),
                domain_id: "default".into(),
                name: user_name.clone(),
                enabled: true,
                default_project_id: None,
                description: None,
                email: None,
                password_expires_at: None,
                options: Map::new(),
                extra: Map::new(),
            };
            users::insert(tx, &user, now)?;
            users::set_password(tx, &user_id, Some(&hash), false, now)?;
            let project_id = match projects::by_name(tx, &"default".into(), &project_name)? {
                Some(project) => project.id,
                None => {
                    let project = Project {
                        id: ProjectId::random(),
                        domain_id: Some("default".into()),
                        parent_id: Some("default".into()),
                        is_domain: false,
                        name: project_name.clone(),
                        description: String::new(),
                        enabled: true,
                        tags: Vec::new(),
                        options: Map::new(),
                        extra: Map::new(),
                    };
                    projects::insert(tx, &project, now)?;
                    project.id
                }
            };
            let role_id = roles::by_name(tx, &role)?.expect("identity is seeded").id;
            let (actor, target) = (Actor::User(user_id), Target::Project(project_id));
            assignments::insert(tx, &Assignment { role_id, actor, target, inherited: false })
        });
        made.await.unwrap();
        self.login(user, project).await
    }

    async fn login(&self, user: &str, project: &str) -> Client {
        let user = json!({"name": user, "domain": {"id": "default"}, "password": PASSWORD});
        let auth = json!({
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": project, "domain": {"id": "default"}}},
        });
        let reply = self.stranger().json(Method::POST, "/identity/v3/auth/tokens", &json!({ "auth": auth })).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let token = &reply.body()["token"];
        Client {
            router: self.router.clone(),
            token: reply.headers.get("x-subject-token").and_then(|value| value.to_str().ok()).map(str::to_owned),
            user_id: token["user"]["id"].as_str().unwrap().to_owned(),
            project_id: token["project"]["id"].as_str().unwrap().to_owned(),
        }
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

/// What came back.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    /// The body as JSON; `null` when it is none.
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Somebody who calls.
#[derive(Clone)]
pub struct Client {
    router: Arc<Router<GateKeeper>>,
    pub token: Option<String>,
    pub user_id: String,
    pub project_id: String,
}

impl Client {
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Reply {
        self.send(method, path, &[("content-type", "application/json")], body.to_string().into_bytes()).await
    }

    /// Any request; `path` may hold a query.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&'static str, &str)], body: Vec<u8>) -> Reply {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut all = HeaderMap::new();
        for (name, value) in headers.iter().copied().chain(self.token.as_deref().map(|token| ("x-auth-token", token))) {
            all.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let length = Some(body.len() as u64);
        let stream = futures::stream::once(async move { Ok(bytes::Bytes::from(body)) });
        let request = Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: all,
            peer: None,
            request_id: "req-test".to_owned(),
            body: BodyStream::new(Box::pin(stream), length),
        };
        let reply = self.router.answer(request).await;
        let mut bytes = Vec::new();
        match reply.body {
            RawBody::Bytes(whole) => bytes.extend_from_slice(&whole),
            RawBody::Stream(mut stream) => {
                while let Some(piece) = stream.next().await {
                    bytes.extend_from_slice(&piece.unwrap());
                }
            }
        }
        Reply { status: reply.status.as_u16(), headers: reply.headers, bytes }
    }
}
