//! A host as placement sees it.

use super::{Demand, HostKind};
use crate::ids::HostId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the aggregates of a host say, all together: of each name every value, taken apart at commas.
pub type Metadata = BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Up,
    /// Silent for too long, or called dead by an operator.
    Down,
    Disabled,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub id: HostId,
    pub name: String,
    pub zone: String,
    pub condition: Condition,
    /// Of which no single server may take more.
    pub total: Demand,
    /// What may be claimed in all.
    pub capacity: Demand,
    pub claimed: Demand,
    /// Servers that have a claim on it.
    pub servers: u64,
    /// Of them, those being built, copied or moved.
    pub io_operations: u64,
    pub failed_builds: u64,
    pub hypervisor_version: u64,
    /// Its CPU, its hypervisor, what it is able to do; nothing unless the request asks about it.
    pub kind: Arc<HostKind>,
    /// The operator's networks that it is plugged into; empty unless the request asks about them.
    pub physical_networks: BTreeSet<String>,
    /// `None`: its aggregates say nothing but zones.
    pub aggregates: Option<Arc<Metadata>>,
}

impl Candidate {
    pub fn free(&self) -> Demand {
        self.capacity.less(self.claimed)
    }

    /// What the aggregates say under a name.
    pub fn said(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.aggregates.as_ref()?.get(name)
    }

    /// The smallest number that the aggregates say under a name. Upstream: of several, the minimum; what is no number, nothing.
    pub fn least<T: std::str::FromStr + PartialOrd + Copy>(&self, name: &str) -> Option<T> {
        let numbers: Option<Vec<T>> = self.said(name)?.iter().map(|text| text.parse().ok()).collect();
        numbers?.into_iter().reduce(|one, other| if other < one { other } else { one })
    }
}
