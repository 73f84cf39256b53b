//! The proofs that importing owes as a workflow: each step twice, and trouble at any step.

use super::import_tests::{fetching, import, kept, stage, tasks_of, three_stores};
use super::plugin_tests::{disk, made, with};
use super::remote_tests::{beside, described, from_there, region};
use super::tests::{create, download, show, upload};
use crate::api::State;
use crate::api::testing::{Client, Cloud};
use crate::cloud::image::plugins::{Plugin, Target};
use crate::cloud::image::unpack::tests::gzip;
use crate::tasks::fetch::testing::{Server, ok};
use crate::tasks::import_image::ImportImage;
use crate::tasks::testing::{Case, MADE_TO_FAIL, World, prove};
use crate::tasks::{AnyWorkflow, Runner, RunnerSettings, Workflow, workflows};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::time::Duration;

/// An import by one of the methods.
struct Import(&'static str);

struct Place {
    cloud: Cloud,
    admin: Client,
    image: String,
    method: &'static str,
    body: Value,
    /// What is uploaded, and what is kept.
    staged: Vec<u8>,
    bytes: Vec<u8>,
    /// Where the bytes are in the end.
    stores: &'static str,
    _server: Option<Server>,
}

/// Those that stand for importing in the list of all workflows.
pub fn cases() -> Vec<Box<dyn Case>> {
    let mut methods = vec!["glance-direct", "web-download", "copy-image", "glance-download", "decompression"];
    if disk_in_qcow2().is_some() {
        methods.push("plugins");
    } else {
        eprintln!("SKIPPED: without qemu-img no import with a conversion is proven");
    }
    let cases = methods.into_iter().map(|method| Box::new(Import(method)) as Box<dyn Case>);
    cases.chain(super::cache_tests::cases()).collect()
}

#[async_trait]
impl Case for Import {
    fn kind(&self) -> &'static str {
        ImportImage::KIND
    }

    fn name(&self) -> String {
        self.0.to_owned()
    }

    async fn begin(&self) -> Box<dyn World> {
        let (plugins, bytes, staged) = match self.0 {
            "plugins" => {
                let qcow2 = disk_in_qcow2().expect("it is no case without qemu-img");
                (vec![Plugin::Decompress, Plugin::Convert, Plugin::Inject], disk(), gzip(&qcow2))
            }
            "decompression" => (vec![Plugin::Decompress, Plugin::Inject], b"bytes".to_vec(), gzip(b"bytes")),
            _ => (Vec::new(), b"bytes".to_vec(), b"bytes".to_vec()),
        };
        let method = if plugins.is_empty() { self.0 } else { "glance-direct" };
        let server = match method {
            "web-download" => Some(Server::start(vec![ok("bytes"); 9]).await),
            "glance-download" => Some(region(described(json!({}))).await),
            _ => None,
        };
        let stores = ["fast", "slow", "tape"];
        let cloud = match &server {
            Some(server) if method == "glance-download" => beside(server, &stores).await,
            Some(server) => fetching(server.port, &stores).await,
            None if !plugins.is_empty() => Cloud::with_images(&stores, with(&plugins, Target::Raw)).await,
            None => three_stores().await,
        };
        let mut body = match &server {
            Some(server) if method == "web-download" => {
                json!({"method": {"name": method, "uri": format!("http://127.0.0.1:{}/", server.port)}})
            }
            Some(_) => from_there(),
            None => json!({"method": {"name": method}}),
        };
        body["stores"] = json!(["slow", "tape"]);
        let stores = if method == "copy-image" { "fast,slow,tape" } else { "slow,tape" };
        let admin = cloud.admin().await;
        let format = if plugins.contains(&Plugin::Convert) { "qcow2" } else { "raw" };
        let image = create(&admin, json!({"disk_format": format})).await;
        let place = Place { cloud, admin, image, method, body, bytes, staged, stores, _server: server };
        place.prepare().await;
        place.order().await;
        Box::new(place)
    }
}

/// Made once: there are many worlds.
fn disk_in_qcow2() -> Option<Vec<u8>> {
    static MADE: std::sync::OnceLock<Option<Vec<u8>>> = std::sync::OnceLock::new();
    MADE.get_or_init(|| made(&disk(), "qcow2", &[])).clone()
}

impl Place {
    /// Brings the bytes to where the method finds them.
    async fn prepare(&self) {
        match self.method {
            "glance-direct" => assert_eq!(stage(&self.admin, &self.image, &self.staged).await.status, 204),
            "copy-image" => assert_eq!(upload(&self.admin, &self.image, b"bytes").await.status, 204),
            _ => {}
        }
    }

    async fn order(&self) {
        assert_eq!(import(&self.admin, &self.image, self.body.clone()).await.status, 202);
    }
}

#[async_trait]
impl World for Place {
    fn workflows(&self) -> Vec<Box<dyn AnyWorkflow>> {
        workflows(&self.cloud.state.stores, &self.cloud.state.importing(), Duration::from_secs(1))
    }

    fn runner(&self, workflows: Vec<Box<dyn AnyWorkflow>>) -> Runner {
        let State { db, clock, hosts, .. } = &*self.cloud.state;
        Runner::new(db.clone(), clock.clone(), hosts.clone(), workflows, RunnerSettings::default())
    }

    async fn wait(&self) -> bool {
        self.cloud.pass_seconds(60);
        let image = self.image.clone();
        self.cloud.state.db.read(move |tx| crate::store::tasks::any_open(tx, &image)).await.unwrap()
    }

    async fn is_as_wished(&self) {
        let image = show(&self.admin, &self.image).await.json();
        assert_eq!((&image["status"], &image["stores"]), (&json!("active"), &json!(self.stores)), "{image}");
        assert_eq!(image["os_glance_importing_to_stores"], "");
        assert_eq!(image["os_glance_failed_import"], "");
        assert_eq!(kept(&self.cloud).await.join(","), self.stores, "no byte more");
        assert!(download(&self.admin, &self.image, &[]).await.bytes == self.bytes);
        let tasks = tasks_of(&self.admin, &self.image).await;
        assert_eq!(tasks.last().unwrap()["status"], "success", "{tasks:?}");
    }

    async fn is_whole(&self) {
        let image = show(&self.admin, &self.image).await.json();
        let task = tasks_of(&self.admin, &self.image).await.remove(0);
        if task["status"] == "success" {
            // The trouble came when everything was done.
            return self.is_as_wished().await;
        }
        let (status, left) = if self.method == "copy-image" { ("active", "fast") } else { ("queued", "") };
        assert_eq!((&image["status"], &task["message"]), (&json!(status), &json!(MADE_TO_FAIL)));
        assert_eq!((&task["status"], &image["os_glance_importing_to_stores"]), (&json!("failure"), &json!("")));
        assert_ne!(image["os_glance_failed_import"], "", "{image}");
        assert_eq!(kept(&self.cloud).await.join(","), left, "no byte is left behind");
        if self.method != "copy-image" {
            self.prepare().await;
        }
        self.order().await;
        self.cloud.work().await;
        self.is_as_wished().await;
    }
}

#[tokio::test]
async fn an_import_bears_each_step_twice_and_trouble_at_any_step() {
    for case in cases() {
        prove(&*case).await;
    }
}
