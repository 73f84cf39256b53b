//! Which of several hosts is best: each weigher says how much of something a host has, the numbers are brought to between 0
//! and 1, and a multiplier (the operator's, or the smallest that the host's aggregates say) tells how much that counts. The
//! sum decides; of equals the first.

use super::{Candidate, Request, Rules};
use crate::cloud::server_group::Policy;
use crate::ids::HostId;

pub struct Weigher {
    /// The setting's name, and that of the metadata by which aggregates set it.
    pub multiplier: &'static str,
    own: fn(&Rules) -> f64,
    /// What counts against a host is negated here.
    sign: f64,
    /// Counts from nothing on, not from the least that there is.
    from_zero: bool,
    weigh: fn(&Candidate, &Request) -> f64,
}

#[expect(clippy::cast_precision_loss, reason = "what is compared need not be exact")]
const fn number(number: u64) -> f64 {
    number as f64
}

fn members_there(host: &Candidate, request: &Request, policy: Policy) -> f64 {
    let affinity = request.affinity.as_ref().filter(|affinity| affinity.policy == policy);
    affinity.map_or(0.0, |it| number(it.hosts.iter().filter(|other| **other == host.id).count() as u64))
}

pub const ALL: &[Weigher] = &[
    Weigher {
        multiplier: "ram_weight_multiplier",
        own: |rules| rules.ram_weight_multiplier,
        sign: 1.0,
        from_zero: true,
        weigh: |host, _| number(host.total.memory_mib.saturating_sub(host.claimed.memory_mib)),
    },
    Weigher {
        multiplier: "cpu_weight_multiplier",
        own: |rules| rules.cpu_weight_multiplier,
        sign: 1.0,
        from_zero: true,
        weigh: |host, _| number(host.free().vcpus),
    },
    Weigher {
        multiplier: "disk_weight_multiplier",
        own: |rules| rules.disk_weight_multiplier,
        sign: 1.0,
        from_zero: true,
        weigh: |host, _| number(host.total.disk_gib.saturating_sub(host.claimed.disk_gib)),
    },
    Weigher {
        multiplier: "hypervisor_version_weight_multiplier",
        own: |rules| rules.hypervisor_version_weight_multiplier,
        sign: 1.0,
        from_zero: false,
        weigh: |host, _| number(host.hypervisor_version),
    },
    Weigher {
        multiplier: "num_instances_weight_multiplier",
        own: |rules| rules.num_instances_weight_multiplier,
        sign: 1.0,
        from_zero: false,
        weigh: |host, _| number(host.servers),
    },
    Weigher {
        multiplier: "io_ops_weight_multiplier",
        own: |rules| rules.io_ops_weight_multiplier,
        sign: 1.0,
        from_zero: true,
        weigh: |host, _| number(host.io_operations),
    },
    Weigher {
        multiplier: "soft_affinity_weight_multiplier",
        own: |rules| rules.soft_affinity_weight_multiplier,
        sign: 1.0,
        from_zero: false,
        weigh: |host, request| members_there(host, request, Policy::SoftAffinity),
    },
    Weigher {
        multiplier: "soft_anti_affinity_weight_multiplier",
        own: |rules| rules.soft_anti_affinity_weight_multiplier,
        sign: 1.0,
        from_zero: false,
        weigh: |host, request| -members_there(host, request, Policy::SoftAntiAffinity),
    },
    Weigher {
        multiplier: "build_failure_weight_multiplier",
        own: |rules| rules.build_failure_weight_multiplier,
        sign: -1.0,
        from_zero: false,
        weigh: |host, _| number(host.failed_builds),
    },
];

/// The hosts, the best first, with their weights.
pub fn rank(hosts: &[&Candidate], request: &Request, rules: &Rules) -> Vec<(HostId, f64)> {
    let mut ranked: Vec<(HostId, f64)> = hosts.iter().map(|host| (host.id, 0.0)).collect();
    for weigher in ALL {
        let raw: Vec<f64> = hosts.iter().map(|host| (weigher.weigh)(host, request)).collect();
        let least = if weigher.from_zero { 0.0 } else { raw.iter().copied().fold(f64::INFINITY, f64::min) };
        let range = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least;
        // All alike: it says nothing.
        if range <= 0.0 {
            continue;
        }
        let own = (weigher.own)(rules);
        for ((host, sum), raw) in hosts.iter().zip(&mut ranked).zip(raw) {
            let multiplier = host.least(weigher.multiplier).unwrap_or(own);
            sum.1 += weigher.sign * multiplier * (raw - least) / range;
        }
    }
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
    ranked
}
