//! What an operator decides about placement: which filters hold, and how much each weigher counts. Upstream's names.

use super::filters;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Besides those that always hold.
    pub enabled_filters: Vec<String>,
    /// May a server have its new flavor where it is? It then stays there if there is room. Upstream's default is no, which
    /// would keep a cloud of one host from resizing anything.
    pub allow_resize_to_same_host: bool,
    /// Of the filters NumInstancesFilter and IoOpsFilter.
    pub max_instances_per_host: u64,
    pub max_io_ops_per_host: u64,
    /// Of images that don't say theirs; empty: any.
    pub image_properties_default_architecture: String,
    pub ram_weight_multiplier: f64,
    pub cpu_weight_multiplier: f64,
    pub disk_weight_multiplier: f64,
    pub hypervisor_version_weight_multiplier: f64,
    pub num_instances_weight_multiplier: f64,
    pub io_ops_weight_multiplier: f64,
    pub soft_affinity_weight_multiplier: f64,
    pub soft_anti_affinity_weight_multiplier: f64,
    pub build_failure_weight_multiplier: f64,
}

impl Default for Rules {
    fn default() -> Self {
        let enabled = [
            "ComputeCapabilitiesFilter",
            "ImagePropertiesFilter",
            "AggregateInstanceExtraSpecsFilter",
            "AggregateMultiTenancyIsolation",
            "AggregateImagePropertiesIsolation",
            "SameHostFilter",
            "DifferentHostFilter",
            "ServerGroupAntiAffinityFilter",
            "ServerGroupAffinityFilter",
        ];
        Self {
            enabled_filters: enabled.map(str::to_owned).to_vec(),
            allow_resize_to_same_host: true,
            max_instances_per_host: 50,
            max_io_ops_per_host: 8,
            image_properties_default_architecture: String::new(),
            ram_weight_multiplier: 1.0,
            cpu_weight_multiplier: 1.0,
            disk_weight_multiplier: 1.0,
            hypervisor_version_weight_multiplier: 1.0,
            num_instances_weight_multiplier: 0.0,
            io_ops_weight_multiplier: -1.0,
            soft_affinity_weight_multiplier: 1.0,
            soft_anti_affinity_weight_multiplier: 1.0,
            build_failure_weight_multiplier: 1_000_000.0,
        }
    }
}

impl Rules {
    pub fn enables(&self, filter: &str) -> bool {
        self.enabled_filters.iter().any(|name| name == filter)
    }

    /// # Errors
    /// `BadRequest` for a filter that there is not.
    pub fn check(&self) -> Result<()> {
        let is_known = |name: &str| filters::ALL.iter().any(|filter| filter.name == name);
        match self.enabled_filters.iter().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<&str> = filters::ALL.iter().map(|filter| filter.name).collect();
                let known = known.join(", ");
                Err(Error::bad_request(format!("placement.enabled_filters: there is no {name}, only {known}")))
            }
        }
    }
}
