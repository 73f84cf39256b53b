//! May guests that run on one host go on running on another?
//!
//! Guests on KVM see their host's CPU, and keep what they saw while they move; a hypervisor takes nothing of a newer one.
//! This tells an operator beforehand, by what hosts say of themselves. Whether one guest may move to one host is asked of
//! the two when it is about to: theirs is the last word.

use serde_json::Value;
use std::collections::BTreeSet;

/// So many features are named; the rest is a number.
const NAMED: usize = 8;

/// Why running guests of one host can't come to the other, as far as their facts tell.
pub fn obstacles(from: &Value, to: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let kind = |facts: &Value| facts["hypervisor_type"].as_str().unwrap_or_default().to_owned();
    if kind(from).is_empty() || kind(to).is_empty() {
        // One of the two has not been looked at.
        return found;
    }
    if kind(from) != kind(to) {
        found.push(format!("it has {} and not {}", kind(to), kind(from)));
        return found;
    }
    let version = |facts: &Value| facts["hypervisor_version"].as_u64().unwrap_or_default();
    if version(to) < version(from) {
        found.push(format!("its hypervisor is {} and not at least {}", dotted(version(to)), dotted(version(from))));
    }
    if from["accelerator"] == "kvm" {
        found.extend(of_cpu(from, to));
    }
    found
}

fn of_cpu(from: &Value, to: &Value) -> Option<String> {
    if to["accelerator"] != "kvm" {
        return Some("it emulates CPUs, and they run on KVM".to_owned());
    }
    let text = |facts: &Value, name: &str| facts["cpu"][name].as_str().unwrap_or_default().to_owned();
    for name in ["arch", "vendor"] {
        let (theirs, ours) = (text(from, name), text(to, name));
        if theirs != ours && !theirs.is_empty() && !ours.is_empty() {
            return Some(format!("its CPU is {ours} and not {theirs}"));
        }
    }
    let features = |facts: &Value| -> BTreeSet<String> {
        let names = facts["cpu"]["features"].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    };
    let (theirs, ours) = (features(from), features(to));
    let lacking: Vec<&str> = theirs.difference(&ours).map(String::as_str).collect();
    match lacking.len() {
        0 => None,
        more if more > NAMED => {
            Some(format!("its CPU lacks {} and {} more", lacking[..NAMED].join(", "), more - NAMED))
        }
        _ => Some(format!("its CPU lacks {}", lacking.join(", "))),
    }
}

/// As hypervisors number themselves for libvirt.
fn dotted(version: u64) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1_000 % 1_000, version % 1_000)
}

/// What stands between a host and others, a sentence for each of those whose running guests can't come to it.
pub fn sentences<'h>(host: &str, facts: &Value, others: impl IntoIterator<Item = (&'h str, &'h Value)>) -> Vec<String> {
    let told = others.into_iter().filter(|(name, _)| *name != host).filter_map(|(name, other)| {
        let why = obstacles(other, facts);
        (!why.is_empty()).then(|| format!("running guests of {name} can't move to {host}: {}", why.join("; ")))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(version: u64, accelerator: &str, vendor: &str, features: &[&str]) -> Value {
        let cpu = json!({"arch": "x86_64", "vendor": vendor, "features": features});
        json!({"hypervisor_type": "QEMU", "hypervisor_version": version, "accelerator": accelerator, "cpu": cpu})
    }

    #[test]
    fn features_that_guests_may_use_and_the_other_cpu_lacks_are_named() {
        let (new, old) = (host(1, "kvm", "Intel", &["aes", "avx2", "vmx"]), host(1, "kvm", "Intel", &["aes"]));
        assert_eq!(obstacles(&new, &old), ["its CPU lacks avx2, vmx"]);
        assert_eq!(obstacles(&old, &new), Vec::<String>::new());
        let many: Vec<String> = (0..20).map(|number| format!("f{number:02}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let named = obstacles(&host(1, "kvm", "Intel", &many), &old).remove(0);
        assert_eq!(named, "its CPU lacks f00, f01, f02, f03, f04, f05, f06, f07 and 12 more");
    }

    #[test]
    fn another_vendor_an_older_hypervisor_and_emulation_are_told() {
        let kvm = host(10_000_002, "kvm", "Intel", &["aes"]);
        assert_eq!(obstacles(&kvm, &host(10_000_002, "kvm", "AMD", &["aes"])), ["its CPU is AMD and not Intel"]);
        assert_eq!(
            obstacles(&kvm, &host(8_002_000, "tcg", "Intel", &[])),
            ["its hypervisor is 8.2.0 and not at least 10.0.2", "it emulates CPUs, and they run on KVM"]
        );
        assert!(
            obstacles(&host(1, "tcg", "Intel", &["aes"]), &host(1, "tcg", "AMD", &[])).is_empty(),
            "none sees a CPU"
        );
        assert!(obstacles(&json!({}), &kvm).is_empty(), "what was never heard is not compared");
    }

    #[test]
    fn a_host_is_compared_with_every_other_and_not_with_itself() {
        let (a, b) = (host(1, "kvm", "Intel", &["aes", "avx2"]), host(1, "kvm", "Intel", &["aes"]));
        let all = [("a", &a), ("b", &b)];
        assert_eq!(sentences("b", &b, all), ["running guests of a can't move to b: its CPU lacks avx2"]);
        assert!(sentences("a", &a, all).is_empty());
    }
}
