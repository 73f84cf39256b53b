//! Names: a network's own ports are answered here, everything else is asked of the host's resolvers.
//!
//! Queries are passed on as they came, so every record type works; only the few bytes needed to recognise a port's name
//! are read. A port is known by its bare hostname and under [`DOMAIN`], in its own network alone.

use crate::fabric::NetworkWish;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Neutron's default domain.
pub(super) const DOMAIN: &str = "openstacklocal";
/// How long one resolver has before the next is asked; clients give up after about five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
const HEADER: usize = 12;
const TTL_SECONDS: u32 = 10;

/// The host's resolvers, as its file says now.
pub(super) async fn of_host() -> Vec<SocketAddr> {
    let text = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.trim().parse::<IpAddr>().ok()).map(|address| SocketAddr::new(address, 53)).collect()
}

/// Answers a query over UDP: a port's name from the wish, another from the resolvers, else "server failure".
pub(super) async fn answer(query: &[u8], network: &NetworkWish) -> Option<Vec<u8>> {
    if let Some(known) = local(query, network) {
        return Some(known);
    }
    query.get(..HEADER)?;
    for resolver in of_host().await {
        if let Ok(Some(reply)) = timeout(PATIENCE, ask(query, resolver)).await {
            return Some(reply);
        }
    }
    const SERVER_FAILURE: u8 = 2;
    Some(respond(&query[..HEADER], SERVER_FAILURE, 0, &[]))
}

/// Asks from the host's own network, on a port of this question alone.
async fn ask(query: &[u8], resolver: SocketAddr) -> Option<Vec<u8>> {
    let any: SocketAddr = if resolver.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(resolver).await.ok()?;
    socket.send(query).await.ok()?;
    let mut reply = vec![0; 65_535];
    loop {
        let length = socket.recv(&mut reply).await.ok()?;
        if length >= HEADER && reply[..2] == query[..2] {
            reply.truncate(length);
            return Some(reply);
        }
    }
}

/// The answer to a question about a port of this network.
pub(super) fn local(query: &[u8], network: &NetworkWish) -> Option<Vec<u8>> {
    const ADDRESS: u16 = 1;
    let (name, kind, end) = question(query)?;
    let host = name.strip_suffix(DOMAIN).and_then(|name| name.strip_suffix('.')).unwrap_or(&name);
    let port = network.ports.iter().find(|port| port.hostname.eq_ignore_ascii_case(host))?;
    let addresses: Vec<Ipv4Addr> = port
        .addresses
        .iter()
        .filter_map(|(_, address)| match address {
            IpAddr::V4(address) if kind == ADDRESS => Some(*address),
            _ => None,
        })
        .collect();
    let mut records = vec![];
    for address in &addresses {
        records.extend([0xc0, 0x0c, 0, 1, 0, 1]); // the question's name, type A, class IN
        records.extend(TTL_SECONDS.to_be_bytes());
        records.extend([0, 4]);
        records.extend(address.octets());
    }
    Some(respond(&query[..end], 0, u16::try_from(addresses.len()).ok()?, &records))
}

/// The one question of an ordinary query: its name in lower case, its type, and where it ends.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let is_plain_query = query.get(2)? & 0b1111_1000 == 0 && query.get(4..6)? == [0, 1];
    if !is_plain_query {
        return None;
    }
    let mut labels = vec![];
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => break,
            1..=63 => labels.push(std::str::from_utf8(query.get(at..at + length)?).ok()?.to_ascii_lowercase()),
            _ => return None, // a compressed name has no place in a question
        }
        at += length;
    }
    let [kind_high, kind_low, 0, 1] = *query.get(at..at + 4)? else { return None };
    Some((labels.join("."), u16::from_be_bytes([kind_high, kind_low]), at + 4))
}

/// The question turned into a response; of a bare header, a response without the question.
fn respond(question: &[u8], code: u8, answers: u16, records: &[u8]) -> Vec<u8> {
    let mut reply = question.to_vec();
    reply[2] = (reply[2] & 0b0111_1001) | 0b1000_0000; // a response; opcode and "recursion desired" as asked
    reply[3] = 0b1000_0000 | code; // recursion is available
    let questions = u16::from(question.len() > HEADER);
    for (place, count) in [(4, questions), (6, answers), (8, 0), (10, 0)] {
        reply[place..place + 2].copy_from_slice(&count.to_be_bytes());
    }
    reply.extend(records);
    reply
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
