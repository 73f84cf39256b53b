//! The fabric on a real Linux host: bridges, namespaces, veth pairs, nftables, and our own DHCP and DNS.
//!
//! ```text
//!   guest ─ tap ─┐                    ┌──────── namespace gapura-… ────────┐
//!   guest ─ tap ─┴ bridge gbr… ─ gin… ═ lan: gateway, DHCP, DNS, NAT   out ═ gup… ─ host ─ uplink
//!                  └ gvx… ─ the same network's bridges on other hosts, or gph… ═ gpp… ─ a bridge of the operator's
//! ```
//! Each network's gateway lives in a namespace of its own, so equal ranges never meet. The kernel is the record: nothing
//! is written to disk, and after a restart [`LinuxFabric`] finds its bridges by their alias and takes them over as they
//! are. What was last made is also remembered in memory, so that an unchanged wish costs no command; once a while it is
//! made again all the same, because other programs do flush firewalls.
//!
//! Not built: IPv6 subnets (refused as such), and port security. Networks are walled off from each other and from the host,
//! but within one network a guest can still claim a neighbour's address or answer DHCP itself.
//!
//! Start reading at [`carry`] (what is made, in order), then [`tunnel`] and [`uplink`] (how hosts have a network in common), [`dhcp`]
//! (who gets which address) and [`firewall`].

mod carry;
mod checks;
mod command;
pub mod dhcp;
mod dhcp_packet;
mod firewall;
mod links;
mod names;
mod namespace;
mod resolver;
mod service;
mod settings;
mod shape;
mod transit;
mod tunnel;
mod uplink;

pub use checks::{Finding, Severity, checks, may_administer};
pub use namespace::inside;
pub use settings::Settings;

use super::{Fabric, FabricFacts, NetworkWish};
use crate::error::{Error, Result};
use crate::hypervisor::Epoch;
use crate::ids::NetworkId;
use async_trait::async_trait;
use names::Names;
use parking_lot::Mutex;
use service::Service;
use shape::Shape;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// An unchanged network is trusted so long before it is made again, command by command.
const TRUSTED_FOR: Duration = Duration::from_secs(60);

pub struct LinuxFabric {
    host: Arc<Host>,
}

struct Host {
    settings: Settings,
    /// The cloud's table on the host, of family `inet`.
    table: String,
    /// One change of the host at a time; it covers what is looked at, too.
    changes: Mutex<()>,
    carried: Mutex<HashMap<NetworkId, Carried>>,
    newest: Mutex<HashMap<NetworkId, Epoch>>,
}

/// What was last made of a network.
struct Carried {
    shape: Shape,
    service: Service,
    /// Which namespace the service's sockets are in.
    namespace: Option<u64>,
    /// `None` while it is being made, and after that failed.
    made: Option<Instant>,
}

impl LinuxFabric {
    /// Changes nothing on the host. `BadRequest` when the cloud's name can't name a firewall table.
    pub fn new(settings: Settings) -> Result<Self> {
        let cloud = &settings.cloud;
        let fits = (1..=40).contains(&cloud.len()) && cloud.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !fits {
            return Err(Error::bad_request(format!(
                "'{cloud}' can't name a cloud: up to 40 letters, digits and dashes"
            )));
        }
        let host = Host {
            table: format!("gapura-{cloud}"),
            settings,
            changes: Mutex::default(),
            carried: Mutex::default(),
            newest: Mutex::default(),
        };
        Ok(Self { host: Arc::new(host) })
    }

    /// Closes every network's DHCP and DNS. Networks go on carrying frames, and are taken over by whoever ensures them next.
    pub async fn close(&self) {
        let carried = std::mem::take(&mut *self.host.carried.lock());
        for (_, carried) in carried {
            carried.service.stop().await;
        }
    }

    /// Runs work that blocks; once begun it ends, whether or not anybody still waits for it.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Host) -> Result<T> + Send + 'static) -> Result<T> {
        let host = self.host.clone();
        let done = tokio::task::spawn_blocking(move || work(&host)).await;
        done.map_err(|error| Error::internal("work on the host's network failed", error))?
    }
}

#[async_trait]
impl Fabric for LinuxFabric {
    async fn ensure(&self, wish: &NetworkWish) -> Result<String> {
        let shape = Shape::of(wish, &self.host.settings)?;
        let names = Names::of(&self.host.settings.cloud, wish.id);
        let bridge = names.bridge.clone();
        let wish = Arc::new(wish.clone());
        if !self.host.stands(&names, &shape, &wish)? {
            self.blocking(move |host| host.make(&names, shape, wish)).await?;
        }
        Ok(bridge)
    }

    async fn remove(&self, id: NetworkId, epoch: Epoch) -> Result<()> {
        let names = Names::of(&self.host.settings.cloud, id);
        self.blocking(move |host| host.unmake(&names, id, epoch)).await
    }

    async fn list(&self) -> Result<Vec<NetworkId>> {
        self.blocking(|host| {
            let aliases = links::all().into_iter().filter_map(|name| Some((links::alias(&name)?, name)));
            let ours = aliases.filter_map(|(alias, name)| {
                let id = names::network_of_alias(&host.settings.cloud, &alias)?;
                (name == super::bridge_name(id)).then_some(id)
            });
            Ok(ours.collect())
        })
        .await
    }

    async fn facts(&self) -> Result<FabricFacts> {
        let Settings { tunnel_address, bridges, .. } = &self.host.settings;
        let plugged = bridges.iter().filter(|(_, bridge)| links::look(bridge).is_some_and(|link| link.is_bridge));
        let physical_networks = plugged.map(|(name, _)| name.clone()).collect();
        Ok(FabricFacts { tunnel_address: *tunnel_address, physical_networks })
    }
}

impl Host {
    /// Refuses what a newer order has overtaken while it waited.
    fn accept(&self, id: NetworkId, epoch: Epoch) -> Result<()> {
        let mut newest = self.newest.lock();
        super::refuse_older(newest.get(&id).copied(), id, epoch)?;
        newest.insert(id, epoch);
        Ok(())
    }

    /// Does the network stand as wished already? Its services follow the wish's ports then.
    fn stands(&self, names: &Names, shape: &Shape, wish: &Arc<NetworkWish>) -> Result<bool> {
        let carried = self.carried.lock();
        self.accept(wish.id, wish.epoch)?;
        let Some(known) = carried.get(&wish.id) else { return Ok(false) };
        let is_there = links::alias(&names.bridge).is_some_and(|alias| alias == names.alias)
            && links::exists(&names.inner)
            && (!shape.leads_out() || links::exists(&names.outer))
            && shape.tunnel.is_some() == links::exists(&names.tunnel)
            && shape.uplink.is_some() == links::exists(&names.near)
            && known.namespace == namespace::identity(&names.namespace);
        let is_trusted = known.made.is_some_and(|made| made.elapsed() < TRUSTED_FOR);
        if !is_there || !is_trusted || known.shape != *shape {
            return Ok(false);
        }
        known.service.follow(wish.clone());
        Ok(true)
    }

    fn make(&self, names: &Names, shape: Shape, wish: Arc<NetworkWish>) -> Result<()> {
        let _alone = self.changes.lock();
        self.accept(wish.id, wish.epoch)?;
        let known = self.carried.lock().remove(&wish.id);
        // Sockets survive only in the namespace and on the addresses they were made for.
        let (kept, stale): (Option<Carried>, Option<Carried>) = match known {
            Some(known) if known.serves(names, &shape) => (Some(known), None),
            other => (None, other),
        };
        if let Some(stale) = stale {
            Handle::current().block_on(stale.service.stop());
        }
        if let Some(mut kept) = kept {
            // A wish that can't be fulfilled now still says who gets an address.
            kept.service.follow(wish.clone());
            kept.made = None;
            self.carried.lock().insert(wish.id, kept);
        }
        carry::establish(names, &self.table, &shape)?;
        let kept = self.carried.lock().remove(&wish.id);
        let carried = match kept {
            Some(kept) => Carried { shape, made: Some(Instant::now()), ..kept },
            None => Carried {
                service: Service::start(&names.namespace, &shape, wish.clone())?,
                namespace: namespace::identity(&names.namespace),
                shape,
                made: Some(Instant::now()),
            },
        };
        self.carried.lock().insert(wish.id, carried);
        Ok(())
    }

    fn unmake(&self, names: &Names, id: NetworkId, epoch: Epoch) -> Result<()> {
        let _alone = self.changes.lock();
        self.accept(id, epoch)?;
        carry::refuse_in_use(names)?;
        let known = self.carried.lock().remove(&id);
        if let Some(known) = known {
            Handle::current().block_on(known.service.stop());
        }
        carry::dismantle(names, &self.table)
    }
}

impl Carried {
    fn serves(&self, names: &Names, shape: &Shape) -> bool {
        self.shape.service_addresses() == shape.service_addresses()
            && self.namespace.is_some()
            && self.namespace == namespace::identity(&names.namespace)
    }
}
