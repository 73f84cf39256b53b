//! Hosts that have enough to do.

use super::super::{Candidate, Request, Rules};

pub fn has_few_servers(host: &Candidate, _: &Request, rules: &Rules) -> bool {
    host.servers < rules.max_instances_per_host
}

pub fn has_few_servers_for_aggregate(host: &Candidate, _: &Request, rules: &Rules) -> bool {
    host.servers < host.least("max_instances_per_host").unwrap_or(rules.max_instances_per_host)
}

pub fn has_little_io(host: &Candidate, _: &Request, rules: &Rules) -> bool {
    host.io_operations < rules.max_io_ops_per_host
}

pub fn has_little_io_for_aggregate(host: &Candidate, _: &Request, rules: &Rules) -> bool {
    host.io_operations < host.least("max_io_ops_per_host").unwrap_or(rules.max_io_ops_per_host)
}
