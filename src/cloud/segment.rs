//! What makes a network one network on several hosts: its segment, in Neutron's words a provider network's type.

use crate::error::{Error, Result};
use std::ops::RangeInclusive;

/// What tells a network's frames from others' between hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Packed into packets between the hosts (VXLAN), under a number that no other network has.
    Tunnel(u32),
    /// A network of the operator's own, by the name that hosts' settings give it.
    Flat(String),
    /// Each host has a part that ends there.
    Local,
}

/// What is asked of a new network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wanted {
    /// What tenants get: a tunnel under a free number.
    #[default]
    Tunnel,
    TunnelOf(u32),
    Flat(String),
    Local,
}

/// What packets of guests may have at most, where they go from host to host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mtus {
    pub tunnel: u16,
    pub flat: u16,
}

impl Mtus {
    pub const fn of_new(self, wanted: &Wanted) -> u16 {
        match wanted {
            Wanted::Flat(_) => self.flat,
            Wanted::Tunnel | Wanted::TunnelOf(_) | Wanted::Local => self.tunnel,
        }
    }

    pub const fn of(self, segment: &Segment) -> u16 {
        match segment {
            Segment::Flat(_) => self.flat,
            Segment::Tunnel(_) | Segment::Local => self.tunnel,
        }
    }
}

/// The numbers there are: 24 bits, of which upstream leaves out the first.
pub const VNIS: RangeInclusive<u32> = 1..=0x00ff_ffff;

impl Segment {
    /// Neutron's `provider:network_type`.
    pub const fn network_type(&self) -> &'static str {
        match self {
            Self::Tunnel(_) => "vxlan",
            Self::Flat(_) => "flat",
            Self::Local => "local",
        }
    }

    /// Neutron's `provider:segmentation_id`.
    pub const fn segmentation_id(&self) -> Option<u32> {
        match self {
            Self::Tunnel(vni) => Some(*vni),
            Self::Flat(_) | Self::Local => None,
        }
    }

    /// Neutron's `provider:physical_network`.
    pub fn physical_network(&self) -> Option<&str> {
        match self {
            Self::Flat(name) => Some(name),
            Self::Tunnel(_) | Self::Local => None,
        }
    }

    /// As rows keep it.
    ///
    /// # Errors
    /// `Internal` for what no row of ours has.
    pub fn kept(network_type: &str, segmentation_id: Option<u32>, physical_network: Option<String>) -> Result<Self> {
        match (network_type, segmentation_id, physical_network) {
            ("vxlan", Some(vni), None) => Ok(Self::Tunnel(vni)),
            ("flat", None, Some(name)) => Ok(Self::Flat(name)),
            ("local", None, None) => Ok(Self::Local),
            other => Err(Error::internal("a network's row is damaged", format!("{other:?}"))),
        }
    }
}
