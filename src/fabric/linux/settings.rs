//! What an operator says of this host's place among networks.

use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Tells this cloud's networks from another's on the same host: up to 40 letters, digits and dashes.
    pub cloud: String,
    /// Where other hosts reach this one, with what they have for networks that both carry; `None`: networks end here.
    pub tunnel_address: Option<IpAddr>,
    /// The operator's bridges that lead to networks of theirs, by the names of these networks.
    pub bridges: BTreeMap<String, String>,
}
