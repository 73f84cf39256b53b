//! What a flavor's extra specs require of the host itself: `capabilities:cpu_info:model = …`.
//!
//! A name without a scope is meant the same way where it is that of a capability, and otherwise somebody else's note.

use super::super::operators::matches;
use super::super::{Candidate, Request, Rules};
use serde_json::{Value, json};

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

/// What upstream's host state holds under a name, as text.
fn capability(host: &Candidate, path: &str) -> Option<String> {
    let mut parts = path.split(':');
    let first = parts.next()?;
    let facts = &host.facts;
    let root = match first {
        "host" | "hypervisor_hostname" | "nodename" => json!(host.name),
        "hypervisor_type" => facts["hypervisor_type"].clone(),
        "hypervisor_version" => json!(host.hypervisor_version),
        "cpu_info" => {
            let cpu = &facts["cpu"];
            let topology = json!({"cells": cpu["cells"], "sockets": cpu["sockets"], "cores": cpu["cores"],
                                  "threads": cpu["threads"]});
            json!({"arch": cpu["arch"], "model": cpu["model"], "vendor": cpu["vendor"], "features": cpu["features"],
                   "topology": topology})
        }
        "vcpus_total" => json!(host.total.vcpus),
        "vcpus_used" => json!(host.claimed.vcpus),
        "total_usable_ram_mb" => json!(host.total.memory_mib),
        "free_ram_mb" => json!(host.total.memory_mib.saturating_sub(host.claimed.memory_mib)),
        "total_usable_disk_gb" => json!(host.total.disk_gib),
        "free_disk_mb" => json!(host.total.disk_gib.saturating_sub(host.claimed.disk_gib) * 1024),
        "num_instances" => json!(host.servers),
        "num_io_ops" => json!(host.io_operations),
        "failed_builds" => json!(host.failed_builds),
        _ => return None,
    };
    text(parts.fold(&root, |value, name| &value[name]))
}

/// As upstream's language writes it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(some) => {
            let some: Vec<String> = some.iter().filter_map(text).map(|one| format!("'{one}'")).collect();
            Some(format!("[{}]", some.join(", ")))
        }
        other => Some(other.to_string()),
    }
}
