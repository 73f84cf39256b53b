//! What a flavor's extra specs require of the host itself: `capabilities:cpu_info:model = …`.
//!
//! A name without a scope is meant the same way where it is that of a capability, and otherwise somebody else's note.

use super::super::operators::matches;
use super::super::{Candidate, Request, Rules};
use serde_json::Value;
use std::borrow::Cow;

pub fn are_given(host: &Candidate, request: &Request, _: &Rules) -> bool {
    request.extra_specs.iter().all(|(name, required)| {
        let (path, is_scoped) = match name.split_once(':') {
            None => (name.as_str(), false),
            Some(("capabilities", path)) => (path, true),
            Some(_) => return true,
        };
        match capability(host, path) {
            Some(value) => matches(&value, required),
            None => !is_scoped,
        }
    })
}

/// What upstream's host state holds under a name, as upstream's language writes it.
fn capability<'h>(host: &'h Candidate, path: &str) -> Option<Cow<'h, str>> {
    let facts = &host.kind.facts;
    let number = |number: u64| Some(number.to_string().into());
    let mut parts = path.split(':');
    let found = match parts.next()? {
        "host" | "hypervisor_hostname" | "nodename" => Some(host.name.as_str().into()),
        "hypervisor_type" => text(&facts["hypervisor_type"]),
        "hypervisor_version" => number(host.hypervisor_version),
        "cpu_info" => cpu_info(host, &mut parts),
        "vcpus_total" => number(host.total.vcpus),
        "vcpus_used" => number(host.claimed.vcpus),
        "total_usable_ram_mb" => number(host.total.memory_mib),
        "free_ram_mb" => number(host.total.memory_mib.saturating_sub(host.claimed.memory_mib)),
        "total_usable_disk_gb" => number(host.total.disk_gib),
        "free_disk_mb" => number(host.total.disk_gib.saturating_sub(host.claimed.disk_gib) * 1024),
        "num_instances" => number(host.servers),
        "num_io_ops" => number(host.io_operations),
        "failed_builds" => number(host.failed_builds),
        _ => None,
    };
    // A path that goes on below a value leads nowhere.
    found.filter(|_| parts.next().is_none())
}

/// Upstream keeps how the CPU is made up one level deeper than hosts say it.
fn cpu_info<'h, 'p>(host: &'h Candidate, parts: &mut impl Iterator<Item = &'p str>) -> Option<Cow<'h, str>> {
    let cpu = &host.kind.facts["cpu"];
    match parts.next()? {
        name @ ("arch" | "model" | "vendor") => text(&cpu[name]),
        "topology" => match parts.next()? {
            name @ ("cells" | "sockets" | "cores" | "threads") => text(&cpu[name]),
            _ => None,
        },
        "features" => Some(host.kind.features.as_str().into()).filter(|features: &Cow<'_, str>| !features.is_empty()),
        _ => None,
    }
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}
