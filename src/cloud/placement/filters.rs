//! Which hosts can't or shall not take a server: a function each, and one table of them all.
//!
//! Those that answer for the truth of a claim always hold; the others an operator switches on by upstream's name
//! (`[placement] enabled_filters`). They are asked in this order, the cheapest and most telling first.

mod aggregates;
mod capabilities;
mod group;
mod image;
mod load;
mod physical;
mod room;
mod traits;

use super::{Candidate, Request, Rules};

pub struct Filter {
    pub name: &'static str,
    /// Whatever the operator says.
    is_always_on: bool,
    pub passes: fn(&Candidate, &Request, &Rules) -> bool,
}

impl Filter {
    pub fn is_enabled(&self, rules: &Rules) -> bool {
        self.is_always_on || rules.enables(self.name)
    }
}

const fn always(name: &'static str, passes: fn(&Candidate, &Request, &Rules) -> bool) -> Filter {
    Filter { name, is_always_on: true, passes }
}

const fn by_choice(name: &'static str, passes: fn(&Candidate, &Request, &Rules) -> bool) -> Filter {
    Filter { name, is_always_on: false, passes }
}

/// Upstream leaves to the network service whether a host can have a port.
pub const PHYSICAL_NETWORKS: &str = "PhysicalNetworkFilter";

pub const ALL: &[Filter] = &[
    always("RequestedDestination", room::is_wanted),
    always("AvailabilityZone", room::is_in_zone),
    always("ComputeFilter", room::is_up_and_enabled),
    always("Resources", room::has_room),
    always("Traits", traits::are_as_asked),
    always(PHYSICAL_NETWORKS, physical::are_plugged_in),
    by_choice("ComputeCapabilitiesFilter", capabilities::are_given),
    by_choice("ImagePropertiesFilter", image::suits),
    by_choice("AggregateInstanceExtraSpecsFilter", aggregates::give_extra_specs),
    by_choice("AggregateMultiTenancyIsolation", aggregates::admit_tenant),
    by_choice("AggregateImagePropertiesIsolation", aggregates::admit_image),
    by_choice("SameHostFilter", group::is_same_host),
    by_choice("DifferentHostFilter", group::is_different_host),
    by_choice("ServerGroupAntiAffinityFilter", group::keeps_apart),
    by_choice("ServerGroupAffinityFilter", group::keeps_together),
    by_choice("NumInstancesFilter", load::has_few_servers),
    by_choice("AggregateNumInstancesFilter", load::has_few_servers_for_aggregate),
    by_choice("IoOpsFilter", load::has_little_io),
    by_choice("AggregateIoOpsFilter", load::has_little_io_for_aggregate),
];
