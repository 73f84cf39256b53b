//! Where machines join a cloud as hosts, and where they then take orders.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Of a controller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nodes {
    /// Where machines join the cloud as hosts; empty: nowhere.
    pub listen: String,
}

/// Of a machine that joined a cloud as a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Where it takes orders.
    pub listen: SocketAddr,
    /// By which its controllers reach that; empty: as `listen`, at the address from which it joins.
    pub address: String,
}

impl Default for Node {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 5010)), address: String::new() }
    }
}

/// An address, or none.
fn address(setting: &str, text: &str) -> Result<Option<SocketAddr>> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |_| Error::bad_request(format!("{setting} = {text:?} is no IP address with a port"));
    text.parse().map(Some).map_err(wrong)
}

impl Nodes {
    /// # Errors
    /// `BadRequest` for what is no address.
    pub fn listen(&self) -> Result<Option<SocketAddr>> {
        address("nodes.listen", &self.listen)
    }
}

impl Node {
    /// By which it wants to be reached, as far as the settings tell.
    ///
    /// # Errors
    /// `BadRequest` for what is no address.
    pub fn reached_at(&self) -> Result<Option<SocketAddr>> {
        let told = address("node.address", &self.address)?;
        Ok(told.or_else(|| Some(self.listen).filter(|listen| !listen.ip().is_unspecified())))
    }
}
