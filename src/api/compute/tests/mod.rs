//! Compute's API over the simulator: what clients see, and what is left behind.

mod actions;
mod around;
mod bad_input;
mod blank_disks;
mod boot;
mod cold_migrate;
mod deferred;
mod drain;
mod evacuate;
mod evacuate_moves;
mod groups;
mod guest;
mod hints;
mod hostile;
mod images;
mod interfaces;
mod key_pairs;
mod migrate;
mod move_events;
mod moves_refused;
mod operators;
mod passed_on;
mod placement;
mod post_copy;
mod power;
mod rebuild;
mod rescue;
mod resize;
mod secrets;
mod shelve;
mod signed;
mod spanning;
mod versions;
mod workflows;

use crate::api::testing::{Client, Cloud, Reply, START};
use crate::cloud::address::Pool;
use crate::cloud::segment::Wanted;
use crate::ids::{BlobId, ImageId, NetworkId, ServerId};
use crate::store::networks::NewNetwork;
use crate::store::subnets::NewSubnet;
use crate::store::{args, networks, subnets};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

pub const PATH: &str = "/compute/v2.1";

/// A cloud with flavors, a shared network, and an image.
pub struct Site {
    pub cloud: Cloud,
    pub network: NetworkId,
    pub image: ImageId,
}

impl Site {
    pub async fn new() -> Self {
        Self::over(Cloud::new().await).await
    }

    pub async fn over(cloud: Cloud) -> Self {
        crate::init::compute::seed(&cloud.state.db, START).await.unwrap();
        let network = shared_network(&cloud).await;
        let image = image(&cloud, b"the bytes of a disk").await;
        Self { cloud, network, image }
    }

    /// What `POST /servers` takes for an ordinary server.
    pub fn wish(&self, name: &str) -> Value {
        json!({"server": {"name": name, "imageRef": self.image.to_string(), "flavorRef": "42",
                          "networks": [{"uuid": self.network.to_string()}]}})
    }

    /// A server that has been booted.
    pub async fn boot(&self, client: &Client, name: &str) -> ServerId {
        let reply = client.post(&format!("{PATH}/servers"), self.wish(name)).await;
        assert_eq!(reply.status, 202, "{}", reply.json());
        self.cloud.work().await;
        ServerId::parse(reply.json()["server"]["id"].as_str().unwrap()).unwrap()
    }
}

pub async fn show(client: &Client, id: ServerId) -> Value {
    let reply = client.get(&format!("{PATH}/servers/{id}")).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
    reply.json()["server"].clone()
}

pub async fn act(client: &Client, id: ServerId, body: Value) -> Reply {
    client.post(&format!("{PATH}/servers/{id}/action"), body).await
}

/// A request at a microversion.
pub async fn at(client: &Client, version: &str, method: http::Method, path: &str, body: &Value) -> Reply {
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    client.send(method, path, &[("x-openstack-nova-api-version", version)], bytes).await
}

/// Nova's message of an error.
pub fn message(reply: &Reply) -> String {
    let json = reply.json();
    let fault = json.as_object().and_then(|fault| fault.values().next());
    fault.and_then(|fault| fault["message"].as_str()).unwrap_or_default().to_owned()
}

async fn shared_network(cloud: &Cloud) -> NetworkId {
    let project = cloud.admin().await.project_id;
    let make = move |tx: &mut crate::store::Tx| {
        let network = networks::insert(
            tx,
            &NewNetwork {
                project_id: project.as_str().into(),
                name: "private".to_owned(),
                description: String::new(),
                shared: true,
                mtu: 1500,
                segment: Wanted::Tunnel,
            },
            START,
        )?;
        let pool = Pool { start: "10.9.0.2".parse().unwrap(), end: "10.9.0.200".parse().unwrap() };
        subnets::insert(
            tx,
            &NewSubnet {
                network_id: network.id,
                project_id: project.as_str().into(),
                name: String::new(),
                description: String::new(),
                cidr: "10.9.0.0/24".parse().unwrap(),
                gateway: Some("10.9.0.1".parse().unwrap()),
                enable_dhcp: true,
                pools: vec![pool],
                dns_servers: Vec::new(),
                host_routes: Vec::new(),
            },
            START,
        )?;
        Ok(network.id)
    };
    cloud.state.db.write(make).await.unwrap()
}

/// A public raw image of these bytes.
pub async fn image(cloud: &Cloud, bytes: &'static [u8]) -> ImageId {
    let (blob, id) = (BlobId::random(), ImageId::random());
    let stream = futures::stream::once(async move { Ok(bytes::Bytes::from_static(bytes)) });
    let wish = crate::blobs::Wish::default();
    cloud.state.stores.default_store().blobs.put(blob, stream, &wish, Box::new(|_| Ok(()))).await.unwrap();
    let sha512 = hex::encode(Sha512::digest(bytes));
    let size = bytes.len() as u64;
    let insert = move |tx: &mut crate::store::Tx| {
        tx.execute(
            "INSERT INTO blobs (id, store, location, size, md5, sha512, refcount, created_at) VALUES (?1, 'default', ?2, ?3, '', ?4, 1, 1)",
            args![blob, blob.to_string(), size, sha512.as_str()],
        )?;
        tx.execute("INSERT INTO image_ids (id) VALUES (?1)", args![id])?;
        tx.execute(
            "INSERT INTO images (id, owner, name, status, visibility, container_format, disk_format, min_disk, min_ram,
                                 protected, os_hidden, size, blob_id, created_at, updated_at)
             VALUES (?1, 'nobody', 'gapura-test', 'active', 'public', 'bare', 'raw', 0, 0, 0, 0, ?2, ?3, 1, 1)",
            args![id, size, blob],
        )
    };
    cloud.state.db.write(insert).await.unwrap();
    id
}

/// Nothing of a server is on any host, and nothing is claimed for it.
pub async fn assert_nothing_left(site: &Site, id: ServerId) {
    let cloud = &site.cloud;
    let network = site.network;
    for host in &cloud.hosts {
        assert!(host.hypervisor.spec(id).is_none(), "no machine");
        assert!(host.disks.root(id).is_none() && host.disks.config_drive(id).is_none(), "no files");
        assert!(host.fabric.wish(network).is_none_or(|wish| wish.ports.is_empty()), "no network that only it was in");
    }
    let left = move |tx: &mut crate::store::Tx| {
        let claims = crate::store::claims::claimed_by(tx, id)?;
        Ok((claims, crate::store::server_ports::of_server(tx, id)?))
    };
    let (claims, ports) = cloud.state.db.read(left).await.unwrap();
    assert!(claims.is_none() && ports.is_empty(), "no claim, no port");
}
