//! The networks that a new server joins: as named, or the only one there is.

use super::Order;
use crate::api::compute::server_request::NetworkChoice;
use crate::api::network::port_request::allow_interface;
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::ids::{NetworkId, ServerId};
use crate::store::server_ports::{self, Interface};
use crate::store::{Tx, networks};
use std::net::IpAddr;

/// What a request says of networks that can't be, whatever there is.
pub(super) fn check(networks: &NetworkChoice, max: i64) -> Result<()> {
    let NetworkChoice::These(wishes) = networks else { return Ok(()) };
    let mut ports = Vec::new();
    for wish in wishes {
        if wish.tag.is_some() {
            return Err(Error::NotImplemented("Tags of devices are not built yet.".to_owned()));
        }
        match (wish.port, wish.network, wish.fixed_ip) {
            (Some(port), _, Some(address)) => {
                return Err(Error::bad_request(format!(
                    "Specified Fixed IP '{address}' cannot be used with port '{port}': the two cannot be specified together."
                )));
            }
            (Some(port), ..) if ports.contains(&port) => {
                return Err(Error::bad_request(format!(
                    "Port ID '{port}' was specified twice: you cannot attach a port multiple times."
                )));
            }
            (Some(port), ..) => ports.push(port),
            (None, None, _) => return Err(Error::bad_request("Bad network format: missing 'uuid'")),
            (None, Some(_), _) => {}
        }
    }
    if max > 1 && !ports.is_empty() {
        return Err(Error::bad_request("Failed to launch instances: the same port can't be used by several"));
    }
    if max > 1 && wishes.iter().any(|wish| wish.fixed_ip.is_some()) {
        return Err(Error::bad_request(
            "Failed to launch multiple instances: a fixed IP address was requested, which only one can have.",
        ));
    }
    Ok(())
}

/// What to join: networks as named, or the only one there is.
pub(super) enum Joined {
    Networks(Vec<NetworkId>),
    AsAsked,
}

pub(super) fn resolve(tx: &mut Tx, order: &Order) -> Result<Joined> {
    match &order.networks {
        NetworkChoice::None => Ok(Joined::Networks(Vec::new())),
        NetworkChoice::These(wishes) if wishes.is_empty() => only_network(tx, order, true),
        NetworkChoice::Unsaid => only_network(tx, order, true),
        NetworkChoice::Auto => only_network(tx, order, false),
        NetworkChoice::These(_) => Ok(Joined::AsAsked),
    }
}

fn only_network(tx: &mut Tx, order: &Order, may_be_none: bool) -> Result<Joined> {
    let usable = networks::usable_by(tx, &order.project)?;
    match usable.as_slice() {
        [] if may_be_none => Ok(Joined::Networks(Vec::new())),
        [] => {
            Err(Error::bad_request(format!("Unable to automatically allocate a network for project {}", order.project)))
        }
        [one] => Ok(Joined::Networks(vec![one.id])),
        _ => Err(Error::conflict("Multiple possible networks found, use a Network ID to be more specific.")),
    }
}

pub(super) fn connect(tx: &mut Tx, order: &Order, joined: &Joined, server: ServerId, now: Timestamp) -> Result<()> {
    let zone = order.place.zone.as_deref().unwrap_or("nova");
    let interface = |position: usize| Interface { server, position: u32::try_from(position).unwrap_or(0), zone };
    let reach = if order.is_admin { Reach::Cloud } else { Reach::Project(order.project.clone()) };
    match (joined, &order.networks) {
        (Joined::Networks(networks), _) => {
            for (position, network) in networks.iter().enumerate() {
                join(tx, order, *network, interface(position), None, now)?;
            }
        }
        (Joined::AsAsked, NetworkChoice::These(wishes)) => {
            for (position, wish) in wishes.iter().enumerate() {
                match (wish.port, wish.network) {
                    (Some(port), _) => {
                        server_ports::attach(tx, &reach, port, interface(position), now).map_err(as_nova)?;
                    }
                    (None, Some(network)) => {
                        join(tx, order, network, interface(position), wish.fixed_ip, now)?;
                    }
                    (None, None) => {}
                }
            }
        }
        (Joined::AsAsked, _) => {}
    }
    Ok(())
}

/// Makes a port in a network the project may join, if the caller could have made it alike.
///
/// Upstream finds a refusal while it builds, and leaves a server in ERROR; what can be told at once is told at once here.
fn join(
    tx: &mut Tx,
    order: &Order,
    network: NetworkId,
    interface: Interface<'_>,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<()> {
    let reach = if order.is_admin { Reach::Cloud } else { Reach::Project(order.project.clone()) };
    let network = networks::visible(tx, &reach, network).map_err(as_nova)?;
    allow_interface(&order.cx, &network, &order.project, interface.zone, address)?;
    let made = server_ports::create_for_server(tx, network.id, &order.project, interface, address, now);
    made.map(drop).map_err(|error| match (error, address) {
        // Upstream names the server that has it, which may be another project's.
        (Error::Conflict(_), Some(ip)) => Error::bad_request(format!("Fixed IP address {ip} is already in use.")),
        (error, _) => as_nova(error),
    })
}

/// What Neutron would call missing is a bad request to Nova; a port in use stays a conflict.
fn as_nova(error: Error) -> Error {
    match error {
        Error::NotFound { .. } => Error::bad_request(error.to_string()),
        Error::OverQuota(_) => Error::OverQuota("Maximum number of ports exceeded".to_owned()),
        other => other,
    }
}
