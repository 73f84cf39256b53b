//! The hosts' images through the router and the runner: warmed, listed, freed; and never from under a machine.

use super::ImageSettings;
use super::tests::{active, create, text};
use crate::api::State;
use crate::api::testing::{Client, Cloud};
use crate::disks::{BaseImage, Disks, Part, RootDisk};
use crate::hypervisor::{DiskFormat, Epoch};
use crate::ids::ServerId;
use crate::tasks::cache_image::CacheImage;
use crate::tasks::testing::{Case, World, prove};
use crate::tasks::{AnyWorkflow, Runner, RunnerSettings, Workflow, workflows};
use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn cache(client: &Client) -> (Vec<String>, Vec<String>) {
    let reply = client.get("/image/v2/cache").await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    let ids = |list: &Value, name: &str| {
        let text = |one: &Value| one[name].as_str().or(one.as_str()).unwrap().to_owned();
        list.as_array().unwrap().iter().map(text).collect()
    };
    (ids(&body["cached_images"], "image_id"), ids(&body["queued_images"], ""))
}

fn base(bytes: &[u8]) -> BaseImage {
    let sha512 = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, bytes));
    BaseImage { sha512, size: bytes.len() as u64, format: DiskFormat::Raw }
}

async fn queue(client: &Client, id: &str) -> u16 {
    client.put(&format!("/image/v2/cache/{id}"), Value::Null).await.status
}

async fn remove(client: &Client, id: &str) -> u16 {
    client.delete(&format!("/image/v2/cache/{id}")).await.status
}

#[tokio::test]
async fn a_queued_image_comes_to_the_hosts_and_leaves_them_when_it_is_deleted() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let id = active(&alice, json!({}), b"bytes").await;
    assert_eq!(cache(&admin).await, (vec![], vec![]));
    assert_eq!(queue(&admin, &id).await, 202);
    assert_eq!(queue(&admin, &id).await, 202, "twice is once");
    assert_eq!(cache(&admin).await, (vec![], vec![id.clone()]));
    cloud.work().await;
    assert_eq!(cache(&admin).await, (vec![id.clone()], vec![]));
    assert!(cloud.disks.has_base(&base(b"bytes")).await.unwrap());
    let row = admin.get("/image/v2/cache").await.json()["cached_images"][0].clone();
    assert_eq!((&row["size"], &row["hits"]), (&json!(5), &json!(0)));
    assert!(row["last_accessed"].is_f64() && row["last_modified"].is_f64());
    assert_eq!(remove(&admin, &id).await, 204);
    assert!(!cloud.disks.has_base(&base(b"bytes")).await.unwrap());
    assert_eq!(cache(&admin).await, (vec![], vec![]));
    assert_eq!(remove(&admin, &id).await, 204, "already gone");
    // Out of the queue before anybody has begun.
    assert_eq!(queue(&admin, &id).await, 202);
    assert_eq!(remove(&admin, &id).await, 204);
    assert_eq!(cache(&admin).await, (vec![], vec![]));
    cloud.work().await;
    assert!(!cloud.disks.has_base(&base(b"bytes")).await.unwrap());
}

#[tokio::test]
async fn clearing_takes_what_the_header_names_and_leaves_what_a_machine_needs() {
    let cloud = Cloud::new().await;
    let admin = cloud.admin().await;
    let (used, idle) = (active(&admin, json!({}), b"used").await, active(&admin, json!({}), b"idle").await);
    let wait = active(&admin, json!({}), b"wait").await;
    for id in [&used, &idle] {
        queue(&admin, id).await;
    }
    cloud.work().await;
    let part = Part::Root { layer: 0 };
    let root =
        RootDisk { server: ServerId::random(), epoch: Epoch(1), part, base: base(b"used"), virtual_size: 1 << 20 };
    cloud.disks.make_root(&root).await.unwrap();
    queue(&admin, &wait).await;
    let clear = async |target: &str| {
        let header = [("x-image-cache-clear-target", target)];
        admin.send(Method::DELETE, "/image/v2/cache", &header, Vec::new()).await.status
    };
    assert_eq!(clear("everything").await, 400);
    assert_eq!(cache(&admin).await.0.len(), 2);
    assert_eq!(clear("Cache").await, 204);
    assert_eq!(cache(&admin).await, (vec![used.clone()], vec![wait.clone()]));
    assert_eq!(clear("queue").await, 204);
    assert_eq!(cache(&admin).await, (vec![used.clone()], vec![]));
    let reply = admin.delete(&format!("/image/v2/cache/{used}")).await;
    assert!(reply.status == 409 && text(&reply).contains("host-1"), "{}", text(&reply));
    assert!(cloud.disks.has_base(&base(b"used")).await.unwrap());
    cloud.disks.remove(root.server, Epoch(1)).await.unwrap();
    assert_eq!(clear("").await, 204);
    assert_eq!(cache(&admin).await, (vec![], vec![]));
    cloud.work().await;
    assert_eq!(cache(&admin).await, (vec![], vec![]), "what was taken out of the queue is not fetched");
}

#[tokio::test]
async fn only_administrators_touch_the_cache_and_only_with_images_that_hosts_can_keep() {
    let cloud = Cloud::new().await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let id = active(&alice, json!({}), b"bytes").await;
    for status in [
        alice.get("/image/v2/cache").await.status,
        queue(&alice, &id).await,
        remove(&alice, &id).await,
        alice.delete("/image/v2/cache").await.status,
    ] {
        assert_eq!(status, 403);
    }
    for missing in ["non-existing-image-id", "36d4b546-64a2-4bb9-bdd0-ba676aa48f2c"] {
        assert_eq!((queue(&admin, missing).await, remove(&admin, missing).await), (404, 404));
    }
    let waiting = create(&alice, json!({})).await;
    let reply = admin.put(&format!("/image/v2/cache/{waiting}"), Value::Null).await;
    assert!(
        reply.status == 400 && text(&reply).contains("Only images with status active can be targeted for queueing")
    );
    let packed = active(&alice, json!({"container_format": "ova"}), b"bytes").await;
    assert_eq!(queue(&admin, &packed).await, 400);
    assert_eq!(admin.get(&format!("/image/v2/cache/nodes/{id}")).await.status, 409);
    for what in ["clean", "prune"] {
        assert_eq!(alice.post(&format!("/image/v2/cache/{what}"), Value::Null).await.status, 403);
    }
}

#[tokio::test]
async fn cleaning_frees_hosts_of_what_is_no_image_s_and_pruning_of_what_is_too_much() {
    let settings = ImageSettings { cache_max_size: 6, ..ImageSettings::default() };
    let cloud = Cloud::with_images(&[], settings).await;
    let (alice, admin) = (cloud.member("alice").await, cloud.admin().await);
    let mut ids = Vec::new();
    for bytes in [b"1234".as_slice(), b"56789", b"needed"] {
        let id = active(&alice, json!({}), bytes).await;
        assert_eq!(queue(&admin, &id).await, 202);
        ids.push(id);
    }
    cloud.work().await;
    let server = ServerId::random();
    let part = Part::Root { layer: 0 };
    let root = RootDisk { server, epoch: Epoch(1), part, base: base(b"needed"), virtual_size: 1 << 20 };
    cloud.disks.make_root(&root).await.unwrap();
    let has = async |bytes: &[u8]| cloud.disks.has_base(&base(bytes)).await.unwrap();
    let clean = async || admin.post("/image/v2/cache/clean", Value::Null).await;

    assert_eq!(clean().await.status, 200);
    assert!(has(b"1234").await && has(b"56789").await && has(b"needed").await, "each is an image's");
    for id in [&ids[0], &ids[2]] {
        assert_eq!(alice.delete(&format!("/image/v2/images/{id}")).await.status, 204);
    }
    let reply = clean().await;
    assert!(reply.status == 200 && reply.bytes.is_empty());
    assert!(!has(b"1234").await && has(b"56789").await);
    assert!(has(b"needed").await, "its image is gone, and a machine is not");

    let prune = async || admin.post("/image/v2/cache/prune", Value::Null).await.json();
    assert_eq!(prune().await, json!({"total_files_pruned": 1, "total_bytes_pruned": 5}));
    assert!(!has(b"56789").await && has(b"needed").await);
    assert_eq!(prune().await, json!({"total_files_pruned": 0, "total_bytes_pruned": 0}));
}

struct Caching;

struct Place {
    cloud: Cloud,
    admin: Client,
    image: String,
}

/// What stands for caching in the list of all workflows.
pub fn cases() -> Vec<Box<dyn Case>> {
    vec![Box::new(Caching)]
}

#[async_trait]
impl Case for Caching {
    fn kind(&self) -> &'static str {
        CacheImage::KIND
    }

    fn name(&self) -> String {
        "cache".to_owned()
    }

    async fn begin(&self) -> Box<dyn World> {
        let cloud = Cloud::new().await;
        let admin = cloud.admin().await;
        let image = active(&admin, json!({}), b"bytes").await;
        assert_eq!(queue(&admin, &image).await, 202);
        Box::new(Place { cloud, admin, image })
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
        let subject = format!("cache:{}", self.image);
        self.cloud.state.db.read(move |tx| crate::store::tasks::any_open(tx, &subject)).await.unwrap()
    }

    async fn is_as_wished(&self) {
        assert_eq!(cache(&self.admin).await, (vec![self.image.clone()], vec![]));
    }

    async fn is_whole(&self) {
        assert!(cache(&self.admin).await.1.is_empty(), "nothing waits");
        assert_eq!(queue(&self.admin, &self.image).await, 202);
        self.cloud.work().await;
        self.is_as_wished().await;
    }
}

#[tokio::test]
async fn caching_bears_its_step_twice_and_trouble_at_it() {
    for case in cases() {
        prove(&*case).await;
    }
}
