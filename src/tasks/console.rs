//! What a guest wrote to its serial port, from whichever host has it.

use super::Hosts;
use crate::error::Result;
use crate::ids::{HostId, ServerId};

/// The last `lines` lines of a server's serial output; all of it when `None`.
///
/// # Errors
/// `Unavailable` while the host is away.
pub async fn read(hosts: &Hosts, host: HostId, server: ServerId, lines: Option<usize>) -> Result<String> {
    hosts.get(host)?.disks.read_console_log(server, lines).await
}
