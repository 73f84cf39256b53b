//! Extra specs as upstream validates them: which names its namespaces have, and what their values must be.
//!
//! This says what may be written down. Whether anything carries it out is another question:
//! [`flavor::unfulfilled_spec`](super::flavor::unfulfilled_spec) refuses a server whose flavor asks for what nothing does.
//! Of traits only the form is looked at: which there are is a list of another project's, and grows by itself.

use crate::error::{Error, Result};
use fancy_regex::Regex;
use std::sync::OnceLock;

/// What a value must be.
#[derive(Debug, Clone, Copy)]
enum Form {
    Anything,
    Truth,
    /// With bounds, where there are any.
    Number(Option<i64>, Option<i64>),
    Words(&'static [&'static str]),
    Pattern(&'static str),
}
use Form::{Anything, Number, Pattern, Truth, Words};

/// Processors by number: `0-3,^2`.
const CPUS: &str = r"\^?\d+((-\d+)?(,\^?\d+(-\d+)?)?)*";

/// Namespaces in which upstream knows every name.
const NAMESPACES: &[&str] = &[
    "accel",
    "aggregate_instance_extra_specs",
    "capabilities",
    "hw",
    "hw_rng",
    "hw_video",
    "os",
    "pci_passthrough",
    "quota",
    "vmware",
];

/// Patterns of names; those without a special character stand for themselves.
const KNOWN: &[(&str, Form)] = &[
    ("accel:device_profile", Anything),
    ("aggregate_instance_extra_specs:(?:.+)", Anything),
    ("capabilities:aggregates", Anything),
    ("capabilities:cell_uuid", Anything),
    ("capabilities:cpu_allocation_ratio", Anything),
    (r"capabilities:cpu_info(?:(:\w+)*)", Anything),
    ("capabilities:current_workload", Anything),
    ("capabilities:disk_allocation_ratio", Anything),
    ("capabilities:disk_available_least", Anything),
    ("capabilities:disk_mb_used", Anything),
    ("capabilities:failed_builds", Anything),
    ("capabilities:free_disk_gb", Anything),
    ("capabilities:free_disk_mb", Anything),
    ("capabilities:free_ram_mb", Anything),
    ("capabilities:host", Anything),
    ("capabilities:host_ip", Anything),
    ("capabilities:hypervisor_hostname", Anything),
    ("capabilities:hypervisor_type", Anything),
    ("capabilities:hypervisor_version", Anything),
    ("capabilities:id", Anything),
    (r"capabilities:instances(?:(:\w+)*)", Anything),
    (r"capabilities:limits(?:(:\w+)*)", Anything),
    ("capabilities:local_gb", Anything),
    ("capabilities:local_gb_used", Anything),
    ("capabilities:mapped", Anything),
    ("capabilities:memory_mb", Anything),
    ("capabilities:memory_mb_used", Anything),
    (r"capabilities:metrics(?:(:\w+)*)", Anything),
    (r"capabilities:nodename(?:(:\w+)*)", Anything),
    ("capabilities:num_instances", Anything),
    ("capabilities:num_io_ops", Anything),
    (r"capabilities:numa_topology(?:(:\w+)*)", Anything),
    (r"capabilities:pci_device_pools(?:(:\w+)*)", Anything),
    (r"capabilities:pci_stats(?:(:\w+)*)", Anything),
    ("capabilities:ram_allocation_ratio", Anything),
    ("capabilities:running_vms", Anything),
    ("capabilities:service_id", Anything),
    (r"capabilities:stats(?:(:\w+)*)", Anything),
    (r"capabilities:supported_hv_specs(?:(:\w+)*)", Anything),
    (r"capabilities:supported_instances(?:(:\w+)*)", Anything),
    ("capabilities:total_usable_disk_gb", Anything),
    ("capabilities:total_usable_ram_mb", Anything),
    ("capabilities:updated", Anything),
    ("capabilities:uuid", Anything),
    ("capabilities:vcpus", Anything),
    ("capabilities:vcpus_total", Anything),
    ("capabilities:vcpus_used", Anything),
    ("group_policy", Words(&["isolate", "none"])),
    ("hide_hypervisor_id", Truth),
    ("hw:boot_menu", Truth),
    ("hw:cpu_cores", Number(Some(1), None)),
    ("hw:cpu_dedicated_mask", Pattern(CPUS)),
    ("hw:cpu_max_cores", Number(Some(1), None)),
    ("hw:cpu_max_sockets", Number(Some(1), None)),
    ("hw:cpu_max_threads", Number(Some(1), None)),
    ("hw:cpu_policy", Words(&["dedicated", "shared", "mixed"])),
    ("hw:cpu_realtime", Truth),
    ("hw:cpu_realtime_mask", Pattern(CPUS)),
    ("hw:cpu_sockets", Number(Some(1), None)),
    ("hw:cpu_thread_policy", Words(&["prefer", "isolate", "require"])),
    ("hw:cpu_threads", Number(Some(1), None)),
    ("hw:emulator_threads_policy", Words(&["isolate", "share"])),
    ("hw:ephemeral_encryption", Truth),
    ("hw:ephemeral_encryption_format", Words(&["plain", "luks", "luksv2"])),
    ("hw:hide_hypervisor_id", Truth),
    ("hw:locked_memory", Truth),
    ("hw:mem_encryption", Truth),
    ("hw:mem_encryption_model", Words(&["amd-sev", "amd-sev-es", "amd-sev-snp", "intel-tdx"])),
    ("hw:mem_page_size", Pattern(r"(large|small|any|\d+([kKMGT]i?)?(b|bit|B)?)")),
    (r"hw:numa_cpus.(?:\d+)", Pattern(CPUS)),
    (r"hw:numa_mem.(?:\d+)", Number(Some(1), None)),
    ("hw:numa_nodes", Number(Some(1), None)),
    ("hw:pci_numa_affinity_policy", Words(&["required", "preferred", "legacy", "socket"])),
    ("hw:pmem", Pattern(r"([a-zA-Z0-9_]+(,)?)+")),
    ("hw:pmu", Truth),
    ("hw:redirected_usb_ports", Number(Some(0), Some(15))),
    ("hw:serial_port_count", Number(Some(0), None)),
    ("hw:sound_model", Words(&["sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"])),
    ("hw:tpm_model", Words(&["tpm-tis", "tpm-crb"])),
    ("hw:tpm_secret_security", Words(&["user", "host", "deployment"])),
    ("hw:tpm_version", Words(&["1.2", "2.0"])),
    ("hw:usb_model", Words(&["none", "nec-xhci", "qemu-xhci"])),
    ("hw:vif_multiqueue_enabled", Truth),
    ("hw:viommu_model", Words(&["intel", "smmuv3", "virtio", "auto"])),
    ("hw:virtio_packed_ring", Truth),
    ("hw:watchdog_action", Words(&["none", "pause", "poweroff", "reset", "disabled"])),
    ("hw_rng:allowed", Truth),
    ("hw_rng:rate_bytes", Number(Some(0), None)),
    ("hw_rng:rate_period", Number(Some(0), None)),
    ("hw_video:ram_max_mb", Number(Some(0), None)),
    ("os:secure_boot", Words(&["disabled", "required"])),
    ("pci_passthrough:alias", Pattern(r"[^:]+:\d+(?:\s*,\s*[^:]+:\d+)*")),
    ("quota:cpu_limit", Number(Some(0), None)),
    ("quota:cpu_period", Number(Some(0), None)),
    ("quota:cpu_quota", Number(None, None)),
    ("quota:cpu_reservation", Number(None, None)),
    ("quota:cpu_shares", Number(Some(0), None)),
    ("quota:cpu_shares_level", Words(&["custom", "high", "normal", "low"])),
    ("quota:cpu_shares_share", Number(Some(0), None)),
    ("quota:disk_io_limit", Number(Some(0), None)),
    ("quota:disk_io_reservation", Number(None, None)),
    ("quota:disk_io_shares_level", Words(&["custom", "high", "normal", "low"])),
    ("quota:disk_io_shares_share", Number(Some(0), None)),
    ("quota:disk_read_bytes_sec", Number(Some(0), None)),
    ("quota:disk_read_iops_sec", Number(Some(0), None)),
    ("quota:disk_total_bytes_sec", Number(Some(0), None)),
    ("quota:disk_total_iops_sec", Number(Some(0), None)),
    ("quota:disk_write_bytes_sec", Number(Some(0), None)),
    ("quota:disk_write_iops_sec", Number(Some(0), None)),
    ("quota:memory_limit", Number(Some(0), None)),
    ("quota:memory_reservation", Number(None, None)),
    ("quota:memory_shares_level", Words(&["custom", "high", "normal", "low"])),
    ("quota:memory_shares_share", Number(Some(0), None)),
    ("quota:vif_inbound_average", Number(Some(0), None)),
    ("quota:vif_inbound_burst", Number(Some(0), None)),
    ("quota:vif_inbound_peak", Number(Some(0), None)),
    ("quota:vif_limit", Number(Some(0), None)),
    ("quota:vif_outbound_average", Number(Some(0), None)),
    ("quota:vif_outbound_burst", Number(Some(0), None)),
    ("quota:vif_outbound_peak", Number(Some(0), None)),
    ("quota:vif_reservation", Number(None, None)),
    ("quota:vif_shares_level", Words(&["custom", "high", "normal", "low"])),
    ("quota:vif_shares_share", Number(Some(0), None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):CUSTOM_(?:[A-Z0-9_]+)", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):DISK_GB", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):FPGA", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):IPV4_ADDRESS", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):MEMORY_MB", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):MEM_ENCRYPTION_CONTEXT", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):NET_BW_EGR_KILOBIT_PER_SEC", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):NET_BW_IGR_KILOBIT_PER_SEC", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):NET_PACKET_RATE_KILOPACKET_PER_SEC", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):NUMA_CORE", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):NUMA_MEMORY_MB", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):NUMA_SOCKET", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):NUMA_THREAD", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):PCI_DEVICE", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):PCPU", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):PGPU", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):SRIOV_NET_VF", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):VCPU", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):VGPU", Number(None, None)),
    ("resources(?:([a-zA-Z0-9_-]{1,64})?):VGPU_DISPLAY_HEAD", Number(None, None)),
    ("vmware:hw_version", Anything),
    ("vmware:storage_policy", Anything),
    (r"trait(?:([a-zA-Z0-9_-]{1,64})?):[A-Z0-9_]+", Words(&["required", "forbidden"])),
];

/// Is the whole text as the pattern says?
fn is(pattern: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(text).unwrap_or(false))
}

/// The patterns that are none of the plain names, compiled once.
fn patterns() -> &'static [(Regex, Form)] {
    static COMPILED: OnceLock<Vec<(Regex, Form)>> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let special = KNOWN.iter().filter(|(name, _)| name.contains(['(', '[', '\\']));
        special.filter_map(|(name, form)| Some((Regex::new(&format!("^(?:{name})$")).ok()?, *form))).collect()
    })
}

fn form_of(name: &str) -> Option<Form> {
    let plain = KNOWN.iter().find(|(known, _)| *known == name).map(|(_, form)| *form);
    plain.or_else(|| {
        let found = patterns().iter().find(|(pattern, _)| pattern.is_match(name).unwrap_or(false));
        found.map(|(_, form)| *form)
    })
}

/// May this be written down? Names outside upstream's namespaces are the operator's own.
///
/// # Errors
/// `BadRequest`, in upstream's words.
pub fn check(name: &str, value: &str) -> Result<()> {
    let Some(form) = form_of(name) else {
        let namespace = name.split_once(':').map(|(namespace, _)| namespace);
        let is_known = namespace.is_some_and(|namespace| {
            NAMESPACES.contains(&namespace) || is("(resources|trait)([a-zA-Z0-9_-]{1,64})?", namespace)
        });
        if is_known {
            return Err(refused(format!("extra spec '{name}' does not appear to be a valid extra spec.")));
        }
        return Ok(());
    };
    match form {
        Anything => Ok(()),
        Truth => {
            let words = ["1", "t", "true", "on", "y", "yes", "0", "f", "false", "off", "n", "no"];
            if words.contains(&value.trim().to_lowercase().as_str()) {
                return Ok(());
            }
            Err(refused(format!("'{value}' is not a valid boolean-like value.")))
        }
        Number(least, most) => {
            let number: i64 =
                value.trim().parse().map_err(|_| refused(format!("'{value}' is not a valid integer value.")))?;
            if let Some(most) = most.filter(|most| number > *most) {
                return Err(refused(format!("'{number}' is greater than the max value of '{most}'.")));
            }
            match least.filter(|least| number < *least) {
                Some(least) => Err(refused(format!("'{number}' is less than the min value of '{least}'."))),
                None => Ok(()),
            }
        }
        Words(words) if words.contains(&value) => Ok(()),
        Words(words) => Err(refused(format!("'{value}' is not one of: {}.", words.join(", ")))),
        Pattern(pattern) if is(pattern, value) => Ok(()),
        Pattern(pattern) => Err(refused(format!("'{value}' is not of the format '{pattern}'."))),
    }
}

fn refused(reason: String) -> Error {
    Error::bad_request(format!("Validation failed; {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_can_be_read() {
        let special = KNOWN.iter().filter(|(name, _)| name.contains(['(', '[', '\\'])).count();
        assert_eq!(patterns().len(), special);
        for (name, form) in KNOWN {
            if let Pattern(pattern) = form {
                assert!(Regex::new(pattern).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn known_specs_are_held_to_their_values_and_unknown_ones_to_their_namespaces() {
        for (name, value) in [
            ("hw:cpu_policy", "dedicated"),
            ("hw:cpu_cores", "4"),
            ("hw:numa_cpus.0", "0-1,^1"),
            ("hw:boot_menu", "Yes"),
            ("resources1:CUSTOM_GOLD", "2"),
            ("trait:HW_CPU_X86_AVX", "required"),
            ("capabilities:cpu_info:features", "<in> avx"),
            ("pci_passthrough:alias", "gpu:1"),
            ("price", "low"),
            ("acme:colour", "red"),
        ] {
            assert!(check(name, value).is_ok(), "{name} = {value}");
        }
        let said = |name: &str, value: &str| check(name, value).unwrap_err().to_string();
        assert_eq!(
            said("hw:cpu_polic", "dedicated"),
            "Validation failed; extra spec 'hw:cpu_polic' does not appear to be a valid extra spec."
        );
        assert_eq!(said("hw:cpu_policy", "own"), "Validation failed; 'own' is not one of: dedicated, shared, mixed.");
        assert_eq!(said("hw:cpu_cores", "0"), "Validation failed; '0' is less than the min value of '1'.");
        assert_eq!(said("hw:cpu_cores", "x"), "Validation failed; 'x' is not a valid integer value.");
        assert_eq!(said("hw:boot_menu", "perhaps"), "Validation failed; 'perhaps' is not a valid boolean-like value.");
        assert!(said("hw:numa_cpus.0", "all").starts_with("Validation failed; 'all' is not of the format "));
        assert!(check("resources:GOLD", "1").is_err());
    }
}
