//! Links of the host's own namespace, as `/sys/class/net` shows them; ours are told from others' before any is touched.

use super::names::Names;
use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

const PLACE: &str = "/sys/class/net";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub mac: String,
    pub alias: String,
    pub mtu: u32,
    pub is_bridge: bool,
    /// The bridge it is a port of.
    pub master: Option<String>,
}

fn place(name: &str) -> PathBuf {
    Path::new(PLACE).join(name)
}

pub(super) fn exists(name: &str) -> bool {
    place(name).exists()
}

pub(super) fn alias(name: &str) -> Option<String> {
    read(&place(name), "ifalias")
}

/// The link of this name, if there is one.
pub(super) fn look(name: &str) -> Option<Link> {
    let place = place(name);
    let mac = read(&place, "address")?;
    Some(Link {
        mac,
        alias: read(&place, "ifalias").unwrap_or_default(),
        mtu: read(&place, "mtu").and_then(|text| text.parse().ok()).unwrap_or_default(),
        is_bridge: place.join("bridge").exists(),
        master: fs::read_link(place.join("master"))
            .ok()
            .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned())),
    })
}

fn read(place: &Path, what: &str) -> Option<String> {
    fs::read_to_string(place.join(what)).ok().map(|text| text.trim().to_owned())
}

/// Every link's name.
pub(super) fn all() -> Vec<String> {
    let entries = fs::read_dir(PLACE).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The ports of a bridge.
pub(super) fn ports(bridge: &str) -> Vec<String> {
    let entries = fs::read_dir(place(bridge).join("brif")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The network's bridge if it is there and ours; `Conflict` when the name is another's.
pub(super) fn own_bridge(names: &Names) -> Result<Option<Link>> {
    let Some(link) = look(&names.bridge) else { return Ok(None) };
    let half_made = link.alias.is_empty() && link.mac == names.bridge_mac;
    if link.is_bridge && (link.alias == names.alias || half_made) {
        return Ok(Some(link));
    }
    Err(taken(&names.bridge, &link.alias))
}

/// A pair's host end if it is there and ours; `Conflict` when the name is another's.
pub(super) fn own_end(name: &str, mac: &str) -> Result<Option<Link>> {
    match look(name) {
        Some(link) if link.mac == mac => Ok(Some(link)),
        Some(link) => Err(taken(name, &link.alias)),
        None => Ok(None),
    }
}

fn taken(name: &str, alias: &str) -> Error {
    Error::conflict(format!("The host has a network interface {name} that is not this cloud's (alias '{alias}')"))
}

/// Sets a kernel switch where it exists; a kernel without IPv6 has none of its switches.
pub(super) fn switch(path: &str, value: &str) -> Result<()> {
    match fs::write(Path::new("/proc/sys/net").join(path), value) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::internal("a network setting of the kernel can't be set", format!("{path}: {error}")))
        }
        _ => Ok(()),
    }
}
