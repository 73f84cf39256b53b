//! Allocations: which port has which address. The table's key keeps an address from being given out twice.

use super::subnets::{self, Subnet, kept};
use super::{Tx, args};
use crate::cloud::address;
use crate::error::{Error, Result};
use crate::ids::{NetworkId, PortId, SubnetId};
use std::collections::HashSet;
use std::net::IpAddr;

/// Which addresses a port wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// One out of the network's subnets, if it has any.
    Any,
    /// These and no others; none when empty.
    These(Vec<AddressWish>),
}

/// An address, a subnet to take one of, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressWish {
    pub subnet_id: Option<SubnetId>,
    pub ip_address: Option<IpAddr>,
}

/// Gives a port its addresses.
pub(super) fn allot(tx: &mut Tx, network: NetworkId, port: PortId, wanted: &Addresses) -> Result<()> {
    let subnets = subnets::of_network(tx, network)?;
    match wanted {
        Addresses::Any if subnets.is_empty() => Ok(()),
        Addresses::Any => {
            if take_from_any(tx, &subnets, port)? {
                Ok(())
            } else {
                Err(exhausted(network))
            }
        }
        Addresses::These(wishes) => wishes.iter().try_for_each(|wish| fulfil(tx, network, &subnets, port, *wish)),
    }
}

/// Every address of the port is free again.
pub(super) fn release(tx: &mut Tx, port: PortId) -> Result<()> {
    tx.execute("DELETE FROM allocations WHERE port_id = ?1", args![port])?;
    Ok(())
}

fn fulfil(tx: &mut Tx, network: NetworkId, subnets: &[Subnet], port: PortId, wish: AddressWish) -> Result<()> {
    let subnet = match wish.subnet_id {
        None => None,
        Some(id) => Some(subnets.iter().find(|subnet| subnet.id == id).ok_or_else(|| {
            let why =
                format!("Failed to create port on network {network}, because fixed_ips included invalid subnet {id}");
            Error::bad_request(format!("Invalid input for operation: {why}."))
        })?),
    };
    match (wish.ip_address, subnet) {
        (None, Some(subnet)) => {
            if take_from(tx, subnet, port)? {
                Ok(())
            } else {
                Err(exhausted(network))
            }
        }
        (None, None) => {
            Err(Error::bad_request("Invalid input for operation: IP allocation requires subnet_id or ip_address."))
        }
        (Some(ip), Some(subnet)) if !address::is_usable(subnet.cidr, ip) => Err(Error::bad_request(format!(
            "Invalid input for operation: IP address {ip} is not a valid IP for the specified subnet."
        ))),
        (Some(ip), Some(subnet)) => take_this(tx, subnet, port, ip),
        (Some(ip), None) => match subnets.iter().find(|subnet| address::is_usable(subnet.cidr, ip)) {
            Some(subnet) => take_this(tx, subnet, port, ip),
            None => Err(Error::bad_request(format!(
                "Invalid input for operation: IP address {ip} is not a valid IP for any of the subnets on the specified network."
            ))),
        },
    }
}

fn exhausted(network: NetworkId) -> Error {
    Error::conflict(format!("No more IP addresses available on network {network}."))
}

fn take_this(tx: &mut Tx, subnet: &Subnet, port: PortId, ip: IpAddr) -> Result<()> {
    // The gateway stands there already, though no port of the table holds it.
    if subnet.gateway != Some(ip) && take(tx, subnet, port, ip)? {
        return Ok(());
    }
    Err(Error::conflict(format!("IP address {ip} already allocated in subnet {}", subnet.id)))
}

fn take_from_any(tx: &mut Tx, subnets: &[Subnet], port: PortId) -> Result<bool> {
    for subnet in subnets {
        if take_from(tx, subnet, port)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `false` when the subnet's pools are exhausted.
fn take_from(tx: &mut Tx, subnet: &Subnet, port: PortId) -> Result<bool> {
    let mut taken: HashSet<IpAddr> = tx
        .query("SELECT ip_address FROM allocations WHERE subnet_id = ?1", args![subnet.id])?
        .into_iter()
        .map(|mut row| kept(row.next::<String>()?))
        .collect::<Result<_>>()?;
    taken.extend(subnet.gateway);
    while let Some(ip) = address::next_free(&subnet.pools, &taken) {
        if take(tx, subnet, port, ip)? {
            return Ok(true);
        }
        taken.insert(ip);
    }
    Ok(false)
}

/// `false` when another port has the address.
fn take(tx: &mut Tx, subnet: &Subnet, port: PortId, ip: IpAddr) -> Result<bool> {
    let sql = "INSERT INTO allocations (subnet_id, ip_address, port_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, args![subnet.id, ip.to_string(), port])? == 1)
}
