//! Addresses: which ranges make a subnet, which address a port gets next, what a MAC address is.
//!
//! Pure functions over plain values, so that every rule is tested without a network or a database. That two ports never
//! get one address is not decided here but by the store's key; this only proposes.

use crate::error::{Error, Result};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses that ports may get, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub start: IpAddr,
    pub end: IpAddr,
}

impl Pool {
    fn holds(&self, address: IpAddr) -> bool {
        same_family(self.start, address) && (number(self.start)..=number(self.end)).contains(&number(address))
    }

    fn overlaps(&self, other: &Self) -> bool {
        same_family(self.start, other.start)
            && number(self.start) <= number(other.end)
            && number(other.start) <= number(self.end)
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

fn same_family(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address of a number, in the family of `like`; `None` beyond the family's last.
fn address(number: u128, like: IpAddr) -> Option<IpAddr> {
    match like {
        IpAddr::V4(_) => u32::try_from(number).ok().map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        IpAddr::V6(_) => Some(IpAddr::V6(Ipv6Addr::from(number))),
    }
}

/// The first address after the network's own: where a gateway stands unless the client says otherwise.
pub fn default_gateway(cidr: IpNet) -> Option<IpAddr> {
    let (first, last) = usable(cidr)?;
    (first <= last).then(|| address(first, cidr.network())).flatten()
}

/// May a host of the subnet have this address? The network's and the broadcast address are nobody's.
pub fn is_usable(cidr: IpNet, candidate: IpAddr) -> bool {
    cidr.contains(&candidate) && usable(cidr).is_some_and(|(first, last)| (first..=last).contains(&number(candidate)))
}

/// First and last number a host of the subnet may have.
fn usable(cidr: IpNet) -> Option<(u128, u128)> {
    let (network, broadcast) = (number(cidr.network()), number(cidr.broadcast()));
    match cidr {
        IpNet::V4(v4) if v4.prefix_len() >= 31 => Some((network, broadcast)),
        IpNet::V4(_) => Some((network + 1, broadcast.checked_sub(1)?)),
        IpNet::V6(v6) if v6.prefix_len() >= 127 => Some((network, broadcast)),
        IpNet::V6(_) => Some((network + 1, broadcast)),
    }
}

/// Everything a host may have but the gateway's: what pools are when the client names none.
pub fn default_pools(cidr: IpNet, gateway: Option<IpAddr>) -> Vec<Pool> {
    let Some((first, last)) = usable(cidr) else { return Vec::new() };
    let pool = |start: u128, end: u128| {
        (start <= end)
            .then(|| Some(Pool { start: address(start, cidr.network())?, end: address(end, cidr.network())? }))
            .flatten()
    };
    match gateway.filter(|gateway| is_usable(cidr, *gateway)).map(number) {
        None => pool(first, last).into_iter().collect(),
        Some(gateway) => {
            let below = gateway.checked_sub(1).and_then(|end| pool(first, end));
            below.into_iter().chain(pool(gateway + 1, last)).collect()
        }
    }
}

/// The lowest address of the pools that is not taken.
pub fn next_free(pools: &[Pool], taken: &HashSet<IpAddr>) -> Option<IpAddr> {
    pools.iter().find_map(|pool| {
        // One address more than are taken is enough to look at: one of them is free.
        (number(pool.start)..=number(pool.end))
            .take(taken.len() + 1)
            .filter_map(|bits| address(bits, pool.start))
            .find(|candidate| !taken.contains(candidate))
    })
}

/// Ranges that mean something else on every host: this host, loopback, link-local (metadata), multicast and beyond.
const RESERVED: [&str; 4] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"];

/// Do the parts of a subnet fit together?
///
/// # Errors
/// `BadRequest` or `Conflict` in Neutron's words.
pub fn check_subnet(cidr: IpNet, gateway: Option<IpAddr>, pools: &[Pool]) -> Result<()> {
    if cidr.addr() != cidr.network() {
        return Err(invalid(format!("'{cidr}' isn't a recognized IP subnet cidr, '{}' is recommended", cidr.trunc())));
    }
    if let Some(reserved) = RESERVED.iter().filter_map(|text| text.parse().ok()).find(|it| overlap(cidr, *it)) {
        return Err(invalid(format!("'{cidr}' overlaps {reserved}, which is reserved")));
    }
    if let Some(gateway) = gateway {
        // Neutron lets a gateway stand outside its subnet; here the gateway is ours, and stands in it.
        if !is_usable(cidr, gateway) {
            return Err(invalid("Gateway is not valid on subnet".to_owned()));
        }
    }
    for (index, pool) in pools.iter().enumerate() {
        if !same_family(pool.start, pool.end) || number(pool.start) > number(pool.end) {
            return Err(Error::bad_request(format!("The allocation pool {pool} is not valid.")));
        }
        if !is_usable(cidr, pool.start) || !is_usable(cidr, pool.end) {
            return Err(Error::bad_request(format!("The allocation pool {pool} spans beyond the subnet cidr {cidr}.")));
        }
        if let Some(other) = pools[..index].iter().find(|other| other.overlaps(pool)) {
            return Err(Error::conflict(format!(
                "Found overlapping allocation pools: {other} {pool} for subnet {cidr}."
            )));
        }
        if let Some(gateway) = gateway.filter(|gateway| pool.holds(*gateway)) {
            return Err(Error::conflict(format!("Gateway ip {gateway} conflicts with allocation pool {pool}.")));
        }
    }
    Ok(())
}

fn invalid(why: String) -> Error {
    Error::bad_request(format!("Invalid input for operation: {why}."))
}

/// Do two ranges share an address?
pub fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// A MAC address under OpenStack's prefix out of three random bytes.
pub fn mac_address(random: [u8; 3]) -> String {
    format!("fa:16:3e:{:02x}:{:02x}:{:02x}", random[0], random[1], random[2])
}

/// A client's MAC address in the one form we keep; `None` for what is none, and for what no single host may have.
pub fn parse_mac(text: &str) -> Option<String> {
    let digits: Vec<&str> = text.split([':', '-']).collect();
    let octets: Vec<u8> = digits
        .iter()
        .filter(|octet| octet.len() == 2 && octet.bytes().all(|b| b.is_ascii_hexdigit()))
        .filter_map(|octet| u8::from_str_radix(octet, 16).ok())
        .collect();
    let is_whole = digits.len() == 6 && octets.len() == 6;
    let is_one_hosts = is_whole && octets[0] & 1 == 0 && octets.iter().any(|octet| *octet != 0);
    is_one_hosts.then(|| octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn shown(pools: &[Pool]) -> Vec<String> {
        pools.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pools_are_all_of_a_subnet_but_its_gateway() {
        let pools = |cidr: &str, gateway: Option<&str>| shown(&default_pools(net(cidr), gateway.map(ip)));
        assert_eq!(pools("10.0.0.0/24", Some("10.0.0.1")), ["10.0.0.2-10.0.0.254"]);
        assert_eq!(pools("10.0.0.0/24", None), ["10.0.0.1-10.0.0.254"]);
        assert_eq!(pools("10.0.0.0/29", Some("10.0.0.3")), ["10.0.0.1-10.0.0.2", "10.0.0.4-10.0.0.6"]);
        assert_eq!(pools("10.0.0.0/30", Some("10.0.0.2")), ["10.0.0.1-10.0.0.1"]);
        assert_eq!(pools("10.0.0.4/32", None), ["10.0.0.4-10.0.0.4"]);
        assert_eq!(default_gateway(net("10.1.0.0/16")), Some(ip("10.1.0.1")));
    }

    #[test]
    fn the_next_address_is_the_lowest_free_one_and_ends_with_the_pools() {
        let pools = default_pools(net("10.0.0.0/29"), Some(ip("10.0.0.3")));
        let mut taken = HashSet::new();
        while let Some(address) = next_free(&pools, &taken) {
            assert!(taken.insert(address), "{address} was given out twice");
        }
        let mut all: Vec<_> = taken.into_iter().map(|address| address.to_string()).collect();
        all.sort();
        assert_eq!(all, ["10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    }

    #[test]
    fn a_subnet_whose_parts_do_not_fit_is_refused() {
        let pool = |start: &str, end: &str| Pool { start: ip(start), end: ip(end) };
        let check = |cidr: &str, gateway: Option<&str>, pools: &[Pool]| {
            check_subnet(net(cidr), gateway.map(ip), pools).map_err(|error| error.to_string())
        };
        assert_eq!(check("10.0.0.0/24", Some("10.0.0.1"), &[pool("10.0.0.2", "10.0.0.9")]), Ok(()));
        assert!(check("10.0.0.5/24", None, &[]).unwrap_err().contains("'10.0.0.0/24' is recommended"));
        assert!(check("10.0.0.0/24", Some("10.0.1.1"), &[]).unwrap_err().contains("Gateway is not valid"));
        assert!(check("10.0.0.0/24", Some("10.0.0.255"), &[]).is_err(), "the broadcast address is no gateway");
        assert!(check("10.0.0.0/24", None, &[pool("10.0.0.9", "10.0.0.2")]).is_err());
        assert!(check("10.0.0.0/24", None, &[pool("10.0.0.9", "10.0.1.2")]).is_err());
        assert!(check("10.0.0.0/24", Some("10.0.0.5"), &[pool("10.0.0.2", "10.0.0.9")]).is_err());
        let twice = [pool("10.0.0.2", "10.0.0.9"), pool("10.0.0.9", "10.0.0.12")];
        assert!(check("10.0.0.0/24", None, &twice).unwrap_err().contains("overlapping"));
        assert!(check("0.0.0.0/0", None, &[]).is_err());
        assert!(check("127.0.0.0/8", None, &[]).is_err());
        assert!(check("169.254.169.0/24", None, &[]).is_err(), "the metadata address is no guest's");
        assert!(check("192.0.0.0/2", None, &[]).is_err());
    }

    #[test]
    fn ranges_overlap_when_they_share_an_address() {
        assert!(overlap(net("10.0.0.0/24"), net("10.0.0.128/25")));
        assert!(overlap(net("10.0.0.128/25"), net("10.0.0.0/24")));
        assert!(!overlap(net("10.0.0.0/25"), net("10.0.0.128/25")));
    }

    #[test]
    fn a_mac_address_has_one_form() {
        assert_eq!(parse_mac("FA-16-3E-00-01-02").as_deref(), Some("fa:16:3e:00:01:02"));
        for wrong in
            ["fa:16:3e:00:01", "fa:16:3e:00:01:zz", "01:00:5e:00:00:01", "00:00:00:00:00:00", "", "f:1:3:0:1:2"]
        {
            assert_eq!(parse_mac(wrong), None, "{wrong}");
        }
        assert_eq!(mac_address([0, 171, 255]), "fa:16:3e:00:ab:ff");
    }
}
