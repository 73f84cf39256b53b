//! Certificates for this machine's hypervisor: what its QEMU and its libvirtd show others' while machines move.
//!
//! ```text
//!   key: made here, stays here ──► Wanted ──► a controller's authorities ──► Granted ──► files where libvirt looks
//! ```
//! They come with joining, are asked for again before they expire, and lie where libvirt looks by itself, so nothing of its
//! settings is touched. Each file begins with a line that says whose it is: where one without that line is, an operator has
//! certificates of their own, and all of that place is left alone. A key is kept when its certificate is renewed, so that
//! QEMUs that read in the middle of it find what belongs together.

mod place;
mod user;

pub use place::{Keeper, Place, State};
pub use user::User;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::error::{Result, with_causes};
use crate::ids::HostId;
use crate::node::certificates::{Asker, Authorities, Granted, Wanted};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// By what other hosts reach this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

impl Reached {
    /// As far as the settings tell, and the kernel.
    pub fn of(config: &Config) -> Self {
        let mut reached = Self { names: vec![super::machine(config)], addresses: Vec::new() };
        let uri = url::Url::parse(&config.compute.live_migration_uri).ok();
        if let Some(host) = uri.as_ref().and_then(url::Url::host_str).map(|host| host.trim_matches(['[', ']'])) {
            match host.parse() {
                Ok(address) => reached.addresses.push(address),
                Err(_) => reached.names.push(host.to_owned()),
            }
        }
        let told = config.node.reached_at().ok().flatten().map(|address| address.ip());
        let tunnel = config.network.tunnel_address().ok().flatten();
        reached.addresses.extend(told.into_iter().chain(tunnel).filter(|address| !address.is_loopback()));
        reached.addresses.sort_unstable();
        reached.addresses.dedup();
        reached.names.retain(|name| !name.is_empty() && name != "localhost");
        reached.names.sort();
        reached.names.dedup();
        reached
    }
}

/// The places of a machine whose hypervisor reads certificates. Of a libvirtd at a socket of its own nobody knows where it
/// looks; the usual places are the machine's own libvirtd's.
pub fn places(config: &Config) -> Vec<Place> {
    if !config.hypervisor.starts_with("qemu") || config.hypervisor.contains("socket=") {
        return Vec::new();
    }
    let etc = Path::new("/etc");
    vec![Place::of_qemu(etc), Place::of_libvirtd(etc)]
}

/// Where QEMU's certificate is, whose role other hosts are to look for.
pub fn shown_by_qemu(config: &Config) -> Option<PathBuf> {
    places(config).first().map(|place| place.shown().to_owned())
}

/// What this machine asks its controller for now, and what its operator should know. `anew`: also what it has already.
pub fn wanted(places: &[Place], reached: &Reached, anew: bool, now: Timestamp) -> (Vec<Wanted>, Vec<String>) {
    let (mut wanted, mut notes) = (Vec::new(), Vec::new());
    for place in places {
        match place.wanted(reached, anew, now) {
            Ok(Some(one)) => wanted.push(one),
            Ok(None) if place.keeper() == Keeper::Operator => {
                notes.push(format!("{} has an operator's own certificates, which stay", place.name()));
            }
            Ok(None) => {}
            Err(error) => notes.push(format!("{} gets no certificates: {}", place.name(), with_causes(&error))),
        }
    }
    (wanted, notes)
}

/// Keeps what a controller certified; a line about each.
pub fn keep(places: &[Place], granted: &[Granted]) -> Vec<String> {
    let kept = granted.iter().filter_map(|granted| {
        let place = places.iter().find(|place| place.purpose == granted.purpose)?;
        Some(match place.keep(granted) {
            Ok(()) => format!("{} has certificates of this cloud now", place.name()),
            Err(error) => format!("{} gets no certificates: {}", place.name(), with_causes(&error)),
        })
    });
    kept.collect()
}

/// A controller's own machine gets what it lacks, or is about to lack, from the controller itself.
///
/// # Errors
/// `BadRequest` for a machine whose name no certificate can have.
pub fn see_to(
    places: &[Place],
    reached: &Reached,
    host: HostId,
    by: &Authorities,
    now: Timestamp,
) -> Result<Vec<String>> {
    let (wanted, mut notes) = wanted(places, reached, false, now);
    let asker = Asker { id: host, at: None, others: Vec::new() };
    let granted = wanted.iter().map(|wanted| by.grant(&asker, wanted, now)).collect::<Result<Vec<_>>>()?;
    notes.extend(keep(places, &granted));
    Ok(notes)
}

#[cfg(test)]
mod tests;
