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
    /// What it means for a host to be refused.
    pub reason: &'static str,
    /// Whatever the operator says.
    is_always_on: bool,
    pub passes: fn(&Candidate, &Request, &Rules) -> bool,
}

impl Filter {
    pub fn is_enabled(&self, rules: &Rules) -> bool {
        self.is_always_on || rules.enables(self.name)
    }
}

type Passes = fn(&Candidate, &Request, &Rules) -> bool;

const fn always(name: &'static str, passes: Passes, reason: &'static str) -> Filter {
    Filter { name, reason, is_always_on: true, passes }
}

const fn by_choice(name: &'static str, passes: Passes, reason: &'static str) -> Filter {
    Filter { name, reason, is_always_on: false, passes }
}

/// What it means for a host to be refused by the filter of this name.
pub fn reason(name: &str) -> Option<&'static str> {
    ALL.iter().find(|filter| filter.name == name).map(|filter| filter.reason)
}

/// Upstream leaves to the network service whether a host can have a port.
pub const PHYSICAL_NETWORKS: &str = "PhysicalNetworkFilter";

pub const ALL: &[Filter] = &[
    always("RequestedDestination", room::is_wanted, "another host is asked for, or the server is to leave this one"),
    always("AvailabilityZone", room::is_in_zone, "it is in another zone than is asked for"),
    always("ComputeFilter", room::is_up_and_enabled, "it is down or disabled"),
    always("Resources", room::has_room, "it has less left, or less in all, than is asked for"),
    always("Traits", traits::are_as_asked, "it lacks a trait that is required, or has one that is forbidden"),
    always(PHYSICAL_NETWORKS, physical::are_plugged_in, "it is not plugged into a physical network of the server's"),
    by_choice(
        "ComputeCapabilitiesFilter",
        capabilities::are_given,
        "what it says of itself is not what the flavor's extra specs ask for",
    ),
    by_choice("ImagePropertiesFilter", image::suits, "the image demands another architecture or hypervisor"),
    by_choice(
        "AggregateInstanceExtraSpecsFilter",
        aggregates::give_extra_specs,
        "none of its aggregates gives what the flavor's extra specs ask for",
    ),
    by_choice("AggregateMultiTenancyIsolation", aggregates::admit_tenant, "its aggregates are for other projects"),
    by_choice("AggregateImagePropertiesIsolation", aggregates::admit_image, "its aggregates are for other images"),
    by_choice("SameHostFilter", group::is_same_host, "none of the servers that it is to be with is there"),
    by_choice("DifferentHostFilter", group::is_different_host, "a server that it is to be apart from is there"),
    by_choice("ServerGroupAntiAffinityFilter", group::keeps_apart, "as many of the group are there as may be"),
    by_choice("ServerGroupAffinityFilter", group::keeps_together, "the group is elsewhere"),
    by_choice("NumInstancesFilter", load::has_few_servers, "it has as many servers as one may have"),
    by_choice(
        "AggregateNumInstancesFilter",
        load::has_few_servers_for_aggregate,
        "it has as many servers as its aggregates let one have",
    ),
    by_choice("IoOpsFilter", load::has_little_io, "as many servers are being built or moved there as may be"),
    by_choice(
        "AggregateIoOpsFilter",
        load::has_little_io_for_aggregate,
        "as many servers are being built or moved there as its aggregates let be",
    ),
];
