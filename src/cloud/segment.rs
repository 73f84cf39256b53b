//! What makes a network one network on several hosts: its segment, in Neutron's words a provider network's type.

use crate::error::{Error, Result};
use std::ops::RangeInclusive;

/// What tells a network's frames from others' between hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Packed into packets between the hosts (VXLAN), under a number that no other network has.
    Tunnel(u32),
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
    Local,
}

/// The numbers there are: 24 bits, of which upstream leaves out the first.
pub const VNIS: RangeInclusive<u32> = 1..=0x00ff_ffff;

impl Segment {
    /// Neutron's `provider:network_type`.
    pub const fn network_type(&self) -> &'static str {
        match self {
            Self::Tunnel(_) => "vxlan",
            Self::Local => "local",
        }
    }

    /// Neutron's `provider:segmentation_id`.
    pub const fn segmentation_id(&self) -> Option<u32> {
        match self {
            Self::Tunnel(vni) => Some(*vni),
            Self::Local => None,
        }
    }

    /// As rows keep it.
    ///
    /// # Errors
    /// `Internal` for what no row of ours has.
    pub fn kept(network_type: &str, segmentation_id: Option<u32>) -> Result<Self> {
        match (network_type, segmentation_id) {
            ("vxlan", Some(vni)) => Ok(Self::Tunnel(vni)),
            ("local", None) => Ok(Self::Local),
            other => Err(Error::internal("a network's row is damaged", format!("{other:?}"))),
        }
    }
}
