//! Resource classes: what a host has some of, by upstream's names.

use super::{Demand, Inventory};

/// Those of which hosts have any here.
pub const VCPU: &str = "VCPU";
pub const MEMORY_MB: &str = "MEMORY_MB";
pub const DISK_GB: &str = "DISK_GB";

/// Every class that upstream knows without being told, in its order.
pub const ALL: &[&str] = &[
    VCPU,
    MEMORY_MB,
    DISK_GB,
    "PCI_DEVICE",
    "SRIOV_NET_VF",
    "NUMA_SOCKET",
    "NUMA_CORE",
    "NUMA_THREAD",
    "NUMA_MEMORY_MB",
    "IPV4_ADDRESS",
    "VGPU",
    "VGPU_DISPLAY_HEAD",
    "NET_BW_EGR_KILOBIT_PER_SEC",
    "NET_BW_IGR_KILOBIT_PER_SEC",
    "PCPU",
    "MEM_ENCRYPTION_CONTEXT",
    "FPGA",
    "PGPU",
    "NET_PACKET_RATE_KILOPACKET_PER_SEC",
    "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
];

/// So much of each class; of a class of which there is nothing, nothing.
pub fn amounts(of: Demand) -> impl Iterator<Item = (&'static str, u64)> {
    [(DISK_GB, of.disk_gib), (MEMORY_MB, of.memory_mib), (VCPU, of.vcpus)].into_iter().filter(|(_, amount)| *amount > 0)
}

/// What there is of one class on a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stock {
    pub class: &'static str,
    pub total: u64,
    pub reserved: u64,
    pub ratio: f64,
    /// May be held in all.
    pub capacity: u64,
    pub used: u64,
}

impl Stock {
    /// Is there so much left? No holder gets more than there really is.
    pub const fn has(&self, amount: u64) -> bool {
        amount <= self.total && self.used.saturating_add(amount) <= self.capacity
    }
}

/// What a host has, class by class: of what it has nothing, there is no stock.
pub fn stocks(total: Demand, capacity: Demand, used: Demand, inventory: &Inventory) -> Vec<Stock> {
    let (reserved, ratios) = (inventory.reserved, inventory.ratios);
    let all = [
        Stock {
            class: DISK_GB,
            total: total.disk_gib,
            reserved: reserved.disk_gib,
            ratio: ratios.disk,
            capacity: capacity.disk_gib,
            used: used.disk_gib,
        },
        Stock {
            class: MEMORY_MB,
            total: total.memory_mib,
            reserved: reserved.memory_mib,
            ratio: ratios.memory,
            capacity: capacity.memory_mib,
            used: used.memory_mib,
        },
        Stock {
            class: VCPU,
            total: total.vcpus,
            reserved: reserved.vcpus,
            ratio: ratios.cpu,
            capacity: capacity.vcpus,
            used: used.vcpus,
        },
    ];
    all.into_iter().filter(|stock| stock.total > 0).collect()
}
