//! What a host has, what of it is kept back, and how many times over the rest may be promised.

use super::{Demand, Metadata};
use serde::{Deserialize, Serialize};

/// What the operator allows, for every host that no aggregate allows otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    pub cpu: f64,
    pub memory: f64,
    pub disk: f64,
}

impl Default for Ratios {
    /// What upstream gives a new host.
    fn default() -> Self {
        Self { cpu: 4.0, memory: 1.0, disk: 1.0 }
    }
}

/// Metadata of aggregates by which they set ratios of their hosts.
pub const NAMES: [&str; 3] = ["cpu_allocation_ratio", "ram_allocation_ratio", "disk_allocation_ratio"];

impl Ratios {
    /// These, unless aggregates say otherwise. Of several, the smallest counts; what is no positive number, not at all.
    pub fn within(self, aggregates: &Metadata) -> Self {
        let said = |name: &str, own: f64| {
            let values = aggregates.get(name).into_iter().flatten();
            let numbers = values.filter_map(|text| text.parse::<f64>().ok());
            numbers.filter(|ratio| ratio.is_finite() && *ratio > 0.0).reduce(f64::min).unwrap_or(own)
        };
        Self { cpu: said(NAMES[0], self.cpu), memory: said(NAMES[1], self.memory), disk: said(NAMES[2], self.disk) }
    }
}

/// As rows keep it beside a host's totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    pub reserved: Demand,
    /// The operator's.
    pub own: Ratios,
    /// Those in force.
    pub ratios: Ratios,
}

impl Inventory {
    /// What may be claimed in all.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "sizes of hosts are far below where a float loses whole numbers"
    )]
    pub fn capacity(&self, total: Demand) -> Demand {
        let times = |number: u64, ratio: f64| (number as f64 * ratio) as u64;
        let left = total.less(self.reserved);
        Demand {
            vcpus: times(left.vcpus, self.ratios.cpu),
            memory_mib: times(left.memory_mib, self.ratios.memory),
            disk_gib: times(left.disk_gib, self.ratios.disk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_not_promised_and_the_rest_as_often_as_the_ratio_says() {
        let reserved = Demand { memory_mib: 512, ..Demand::default() };
        let inventory =
            Inventory { reserved, ratios: Ratios { cpu: 4.0, memory: 1.5, disk: 1.0 }, ..Inventory::default() };
        let total = Demand { vcpus: 8, memory_mib: 4608, disk_gib: 100 };
        assert_eq!(inventory.capacity(total), Demand { vcpus: 32, memory_mib: 6144, disk_gib: 100 });
        let tiny = Demand { memory_mib: 100, ..total };
        assert_eq!(inventory.capacity(tiny).memory_mib, 0);
    }

    #[test]
    fn an_aggregate_sets_the_ratios_of_its_hosts_and_of_several_the_smallest_counts() {
        let said = Metadata::from([
            ("cpu_allocation_ratio".to_owned(), ["2.0".to_owned(), "3".to_owned()].into()),
            ("ram_allocation_ratio".to_owned(), ["much".to_owned(), "-1".to_owned()].into()),
        ]);
        assert_eq!(Ratios::default().within(&said), Ratios { cpu: 2.0, memory: 1.0, disk: 1.0 });
    }
}
