//! What a server asks of its place.

use super::{Demand, Rules};
use crate::cloud::server_group::Affinity;
use crate::ids::{HostId, ProjectId, ServerId};
use std::collections::{BTreeMap, BTreeSet};

/// What the request says about where.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wish {
    pub zone: Option<String>,
    /// An operator's order: this host, checked like any other.
    pub host: Option<String>,
}

/// Other servers of the project that hints name: with one of the first, apart from all of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// `None`: with nobody in particular.
    pub same: Option<Vec<HostId>>,
    pub different: Vec<HostId>,
}

impl Neighbours {
    /// The servers that a hint names, in either of its forms; `None` where it names nobody.
    pub fn named(hints: &serde_json::Value, name: &str) -> Option<Vec<ServerId>> {
        let id = |text: &serde_json::Value| text.as_str().and_then(ServerId::parse);
        let named: Vec<ServerId> = match &hints[name] {
            serde_json::Value::Array(ids) => ids.iter().filter_map(id).collect(),
            one => id(one).into_iter().collect(),
        };
        (!named.is_empty()).then_some(named)
    }
}

/// The host that a server is on and shall not have its place on, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum But {
    /// It is to leave it.
    Leaving(HostId),
    /// It might have stayed, but what it becomes does not fit there beside what it is.
    Full(HostId),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    pub demand: Demand,
    pub wish: Wish,
    pub but: Option<But>,
    pub project: Option<ProjectId>,
    /// The flavor's.
    pub extra_specs: BTreeMap<String, String>,
    /// The image's, by their present names.
    pub image_properties: BTreeMap<String, String>,
    pub neighbours: Neighbours,
    pub affinity: Option<Affinity>,
    /// The operator's networks that its interfaces are in.
    pub physical_networks: BTreeSet<String>,
    /// Every name that any aggregate says something under.
    pub aggregate_names: BTreeSet<String>,
}

/// Properties that [`filters`](super::filters) compare with what a host said of itself.
pub const ABOUT_HOSTS: &[&str] = &["hw_architecture", "img_hv_type", "img_hv_requested_version", "hw_vm_mode"];

/// What the names of extra specs and properties about traits begin with.
pub const TRAIT: &str = "trait:";

impl Request {
    /// Does anything ask of what kind hosts are?
    pub fn asks_about_kinds(&self, rules: &Rules) -> bool {
        let asks = |name: &String| name.starts_with(TRAIT) || name.starts_with("capabilities:") || !name.contains(':');
        self.extra_specs.keys().any(asks)
            || self.image_properties.keys().any(|name| name.starts_with(TRAIT) || ABOUT_HOSTS.contains(&name.as_str()))
            || !rules.image_properties_default_architecture.is_empty()
    }
}
