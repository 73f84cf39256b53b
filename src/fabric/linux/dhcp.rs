//! The DHCP answer as a pure function: a packet and the network's wish in, a packet or silence out.
//!
//! Why not dnsmasq: it misses deletions of its hosts directory, so a reused address gets no offer until it is prodded;
//! here the wish is the only record, and a port that left it is unknown with the next packet. There are no leases to
//! keep either: an address belongs to its port, not to a lease. The price: answers come only while Gapura runs, so
//! leases are long.
//!
//! A guest gets exactly its port's address. A hardware address that is no port's gets no answer at all.

use super::dhcp_packet::{Question, Reply, kind, option};
use super::resolver::DOMAIN;
use super::shape::{METADATA, server_address};
use crate::fabric::{NetworkWish, PortWish, SubnetWish};
use ipnet::{IpNet, Ipv4Net};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

/// Neutron's default; half of it passes before a client asks again.
const LEASE_SECONDS: u32 = 86_400;
const CLIENT_PORT: u16 = 68;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub packet: Vec<u8>,
    pub to: SocketAddrV4,
}

/// What the network answers to a packet that reached its DHCP port; `None` is silence.
pub fn answer(packet: &[u8], network: &NetworkWish) -> Option<Answer> {
    let question = Question::parse(packet)?;
    let lease = Lease::find(network, question.mac)?;
    match question.kind {
        kind::DISCOVER => Some(lease.grant(&question, kind::OFFER)),
        kind::REQUEST => lease.request(&question),
        kind::INFORM if question.client == lease.address => Some(lease.inform(&question)),
        _ => None,
    }
}

/// A port's address and where it comes from.
struct Lease<'a> {
    network: &'a NetworkWish,
    subnet: &'a SubnetWish,
    port: &'a PortWish,
    address: Ipv4Addr,
    range: Ipv4Net,
}

impl<'a> Lease<'a> {
    /// The first IPv4 address of the port in a subnet that gives addresses by DHCP.
    fn find(network: &'a NetworkWish, mac: [u8; 6]) -> Option<Self> {
        let mac = written(mac);
        let port = network.ports.iter().find(|port| port.mac.eq_ignore_ascii_case(&mac))?;
        port.addresses.iter().find_map(|(id, address)| {
            let subnet = network.subnets.iter().find(|subnet| subnet.id == *id && subnet.enable_dhcp)?;
            match (subnet.cidr, address) {
                (IpNet::V4(range), IpAddr::V4(address)) => {
                    Some(Self { network, subnet, port, address: *address, range: range.trunc() })
                }
                _ => None,
            }
        })
    }

    fn request(&self, question: &Question) -> Option<Answer> {
        if question.server.is_some_and(|server| server != server_address(self.network, self.subnet)) {
            return None; // another server's offer was taken
        }
        let in_use = Some(question.client).filter(|address| !address.is_unspecified());
        match question.requested.or(in_use)? {
            wanted if wanted == self.address => Some(self.grant(question, kind::ACK)),
            _ => Some(self.refuse(question)),
        }
    }

    fn grant(&self, question: &Question, kind: u8) -> Answer {
        let mut reply = Reply::to(question, kind, self.address);
        reply.put(option::LEASE_TIME, &LEASE_SECONDS.to_be_bytes());
        self.describe(&mut reply);
        let renews = kind == kind::ACK && question.client == self.address;
        Answer { packet: reply.finish(), to: destination(renews.then_some(self.address)) }
    }

    fn inform(&self, question: &Question) -> Answer {
        let mut reply = Reply::to(question, kind::ACK, Ipv4Addr::UNSPECIFIED);
        self.describe(&mut reply);
        Answer { packet: reply.finish(), to: destination(Some(self.address)) }
    }

    fn refuse(&self, question: &Question) -> Answer {
        let mut reply = Reply::to(question, kind::NAK, Ipv4Addr::UNSPECIFIED);
        reply.put_addresses(option::SERVER, &[server_address(self.network, self.subnet)]);
        Answer { packet: reply.finish(), to: destination(None) }
    }

    fn describe(&self, reply: &mut Reply) {
        reply.put_addresses(option::SERVER, &[server_address(self.network, self.subnet)]);
        reply.put_addresses(option::MASK, &[self.range.netmask()]);
        reply.put_addresses(option::BROADCAST, &[self.range.broadcast()]);
        reply.put_addresses(option::RESOLVERS, &self.resolvers());
        reply.put(option::DOMAIN, DOMAIN.as_bytes());
        reply.put(option::HOSTNAME, &self.port.hostname.as_bytes()[..self.port.hostname.len().min(255)]);
        reply.put(option::MTU, &self.network.mtu.to_be_bytes());
        let routes = self.routes();
        let default = routes.iter().find(|(destination, _)| destination.prefix_len() == 0);
        if let Some((_, router)) = default {
            reply.put_addresses(option::ROUTERS, &[*router]);
        }
        reply.put_routes(&routes);
    }

    fn resolvers(&self) -> Vec<Ipv4Addr> {
        let named: Vec<_> = self.subnet.dns_servers.iter().filter_map(|server| as_v4(*server)).collect();
        if named.is_empty() { vec![server_address(self.network, self.subnet)] } else { named }
    }

    /// A client that reads these ignores the router option (RFC 3442), so the default route stands here too; the
    /// subnet's own routes come first and may replace it.
    fn routes(&self) -> Vec<(Ipv4Net, Ipv4Addr)> {
        let mut routes: Vec<(Ipv4Net, Ipv4Addr)> = vec![];
        for route in &self.subnet.host_routes {
            if let (IpNet::V4(destination), IpAddr::V4(router)) = (route.destination, route.next_hop) {
                routes.push((destination.trunc(), router));
            }
        }
        let gateway = self.subnet.gateway.and_then(as_v4);
        // Without a gateway of ours, the metadata address answers on the link itself: router 0.0.0.0.
        let ours = gateway.filter(|_| self.network.physical_network.is_none());
        let metadata = (Ipv4Net::from(METADATA), ours.unwrap_or(Ipv4Addr::UNSPECIFIED));
        let default = gateway.map(|gateway| (Ipv4Net::default(), gateway));
        for ours in [Some(metadata), default].into_iter().flatten() {
            if !routes.iter().any(|(destination, _)| *destination == ours.0) {
                routes.push(ours);
            }
        }
        routes
    }
}

/// A client with a working address hears on it; the others hear a broadcast.
fn destination(address: Option<Ipv4Addr>) -> SocketAddrV4 {
    SocketAddrV4::new(address.unwrap_or(Ipv4Addr::BROADCAST), CLIENT_PORT)
}

fn as_v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn written(mac: [u8; 6]) -> String {
    let mut text = String::with_capacity(17);
    for (place, byte) in mac.iter().enumerate() {
        let colon = if place == 0 { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02x}"); // writing to a String can't fail
    }
    text
}

#[cfg(test)]
#[path = "dhcp_tests.rs"]
mod tests;
