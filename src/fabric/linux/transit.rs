//! The pair of addresses between a network's namespace and the host.
//!
//! They come from 169.254.64.0/18, which routers forward to nobody (Neutron's distributed routers link their namespaces
//! with the same range), two addresses a network. Where a network's search begins follows from its id; what other links
//! of the host already have is passed over. The link itself is the record: no file can disagree with it.

use super::command;
use crate::error::{Error, Result};
use ipnet::Ipv4Net;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transit {
    pub host: Ipv4Addr,
    pub namespace: Ipv4Addr,
}

impl Transit {
    pub const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 64, 0), 18);

    /// The pair this link has, or a free one.
    pub fn find(link: &str) -> Result<Self> {
        choose(link, &command::ip_json::<Vec<Link>>(&["-4", "addr", "show"])?)
            .ok_or_else(|| Error::internal("the host has no transit addresses left", Self::POOL.to_string()))
    }

    fn pair(index: u32) -> Self {
        let host = u32::from(Self::POOL.addr()) + 2 * index;
        Self { host: Ipv4Addr::from(host), namespace: Ipv4Addr::from(host + 1) }
    }

    fn containing(address: Ipv4Addr) -> u32 {
        (u32::from(address) - u32::from(Self::POOL.addr())) / 2
    }
}

/// One entry of `ip -json addr show`.
#[derive(Debug, Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    pub ifname: String,
    #[serde(default)]
    pub addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Address {
    pub local: Ipv4Addr,
    pub prefixlen: u8,
}

fn choose(link: &str, links: &[Link]) -> Option<Transit> {
    let indices = |mine: bool| {
        let chosen = links.iter().filter(move |other| (other.ifname == link) == mine);
        let addresses = chosen.flat_map(|link| &link.addr_info).map(|address| address.local);
        addresses.filter(|address| Transit::POOL.contains(address)).map(Transit::containing)
    };
    if let Some(index) = indices(true).next() {
        return Some(Transit::pair(index));
    }
    let taken: BTreeSet<u32> = indices(false).collect();
    let digest = Sha256::digest(link);
    let size = 1 << (31 - Transit::POOL.prefix_len());
    let start = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % size;
    (0..size).map(|step| (start + step) % size).find(|index| !taken.contains(index)).map(Transit::pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifname: &str, local: Ipv4Addr) -> Link {
        Link { ifname: ifname.to_owned(), addr_info: vec![Address { local, prefixlen: 31 }] }
    }

    #[test]
    fn a_link_keeps_its_pair() {
        let links = [link("gup1", Ipv4Addr::new(169, 254, 64, 7))];
        let pair = choose("gup1", &links).unwrap();
        assert_eq!((pair.host, pair.namespace), (Ipv4Addr::new(169, 254, 64, 6), Ipv4Addr::new(169, 254, 64, 7)));
    }

    #[test]
    fn a_pair_that_another_link_has_is_passed_over() {
        let first = choose("gup1", &[]).unwrap();
        let second = choose("gup1", &[link("other", first.namespace)]).unwrap();
        assert_ne!(first, second);
        assert!(Transit::POOL.contains(&second.host) && Transit::POOL.contains(&second.namespace));
    }

    #[test]
    fn a_full_pool_gives_nothing() {
        let links: Vec<_> = (0..8192).map(|index| link("other", Transit::pair(index).host)).collect();
        assert_eq!(choose("gup1", &links), None);
    }
}
