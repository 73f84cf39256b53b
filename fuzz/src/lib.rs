//! The pure parts of Gapura, compiled by themselves so that they can be fuzzed.
//!
//! What is fuzzed are rules and parsers: they do no I/O and need few crates. Taking their files instead of the whole
//! program means that an instrumented build takes a minute the first time and seconds later, and needs neither libvirt's
//! headers nor SQLite.

#![allow(dead_code, reason = "what one target doesn't ask for, another does")]

#[path = "../../src/clock.rs"]
pub mod clock;
#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/ids.rs"]
pub mod ids;

/// Rules without I/O.
#[path = "../../src/cloud"]
pub mod cloud {
    pub mod access_rules;
    pub mod certificate_key;
    pub mod identity;
    pub mod image;
    pub mod image_format;
    pub mod policy;
    pub mod ssh_key;
    pub mod token;
    pub mod web_source;
}

/// The edge: everything between a connection and a handler, but the connection.
#[path = "../../src/http"]
pub mod http {
    pub mod call;
    pub mod json;
    pub mod microversion;
    pub mod query;
    pub mod reply;
    pub mod table;
}

#[path = "../../src/hypervisor"]
pub mod hypervisor {
    mod epoch;
    pub use epoch::Epoch;
}

/// What guests can reach.
#[path = "../../src/fabric"]
pub mod fabric {
    mod wish;
    pub use wish::{FabricFacts, HostRoute, NetworkWish, PortWish, SubnetWish, TunnelWish};

    pub mod linux {
        mod dhcp;
        mod dhcp_packet;
        mod resolver;
        mod settings;
        mod shape;
        pub use settings::Settings;

        /// The network's answer to a packet at its DHCP port.
        pub fn dhcp_answer(packet: &[u8], network: &super::NetworkWish) -> Option<Vec<u8>> {
            dhcp::answer(packet, network).map(|answer| answer.packet)
        }

        /// What the resolver knows by itself; `None` for what it would ask others.
        pub fn local_name(query: &[u8], network: &super::NetworkWish) -> Option<Vec<u8>> {
            resolver::local(query, network)
        }
    }
}
