//! Picks a host for a server: filters leave out those that can't or shall not take it, weighers rank the rest.
//!
//! ```text
//!  all hosts ─► RequestedDestination ─► AvailabilityZone ─► ComputeFilter ─► Resources ─► … ─► ranked, best first
//!                        each says how many it left: that is the answer to "why not?"
//! ```
//! Names, defaults and meanings of filters and weighers are upstream's, since operators know them; what upstream leaves to
//! another service (room, zones) is a filter like the others here. Pure, so that the transaction that stores the claim
//! decides on the very rows it read: two servers that race for the last gigabyte can't both get it.
//!
//! [`filters`] and [`weighers`] are tables: to add one is to write a function and its row.

mod candidate;
pub mod filters;
pub mod inventory;
mod kind;
pub mod obstacles;
mod operators;
mod request;
pub mod resources;
mod rules;
pub mod traits;
mod verdict;
pub mod weighers;

pub use candidate::{Candidate, Condition, Metadata};
pub use inventory::{Inventory, Ratios};
pub use kind::HostKind;
pub use request::{But, Neighbours, Request, Wish};
pub use rules::Rules;
pub use verdict::{Left, Verdict};

use super::flavor::Flavor;

/// What a server takes of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Demand {
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
}

impl Demand {
    /// What a server of this flavor takes; swap counts by the GiB begun, as upstream counts.
    pub fn of(flavor: &Flavor) -> Self {
        let disk_gib =
            flavor.disk_gib.saturating_add(flavor.ephemeral_gib).saturating_add(flavor.swap_mib.div_ceil(1024));
        Self { vcpus: flavor.vcpus.into(), memory_mib: flavor.ram_mib, disk_gib }
    }

    /// Is there as much of everything in the other?
    pub const fn fits(self, other: Self) -> bool {
        self.vcpus <= other.vcpus && self.memory_mib <= other.memory_mib && self.disk_gib <= other.disk_gib
    }

    pub const fn less(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_sub(other.vcpus),
            memory_mib: self.memory_mib.saturating_sub(other.memory_mib),
            disk_gib: self.disk_gib.saturating_sub(other.disk_gib),
        }
    }
}

/// Filters and ranks the hosts.
pub fn choose(candidates: &[Candidate], request: &Request, rules: &Rules) -> Verdict {
    let mut left: Vec<&Candidate> = candidates.iter().collect();
    let (mut steps, mut refused) = (Vec::new(), Vec::new());
    for filter in filters::ALL.iter().filter(|filter| filter.is_enabled(rules)) {
        let before = left.len();
        left.retain(|candidate| {
            let passes = (filter.passes)(candidate, request, rules);
            if !passes {
                refused.push((candidate.id, filter.name));
            }
            passes
        });
        steps.push(Left { filter: filter.name, before, after: left.len() });
        if left.is_empty() {
            break;
        }
    }
    Verdict { steps, refused, ranked: weighers::rank(&left, request, rules) }
}

#[cfg(test)]
mod tests;
