//! DHCPv4 on the wire: what a client's packet says, and a reply's bytes.
//!
//! A codec of our own, because so little is needed: a fixed header, a walk over options that can't leave its slice, and
//! eleven options written. The codec crate (`dhcproto`) brings a DNS protocol library along.

use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

const FIXED: usize = 236;
const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// BOOTP's smallest packet; old clients drop shorter ones.
const SMALLEST: usize = 300;

/// What a client says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub kind: u8,
    pub transaction: [u8; 4],
    pub flags: [u8; 2],
    /// The address the client uses already; unspecified while it has none.
    pub client: Ipv4Addr,
    pub mac: [u8; 6],
    pub requested: Option<Ipv4Addr>,
    /// The server whose offer the client takes.
    pub server: Option<Ipv4Addr>,
    pub client_id: Option<Vec<u8>>,
}

pub(super) mod kind {
    pub const DISCOVER: u8 = 1;
    pub const OFFER: u8 = 2;
    pub const REQUEST: u8 = 3;
    pub const ACK: u8 = 5;
    pub const NAK: u8 = 6;
    pub const INFORM: u8 = 8;
}

pub(super) mod option {
    pub const MASK: u8 = 1;
    pub const ROUTERS: u8 = 3;
    pub const RESOLVERS: u8 = 6;
    pub const HOSTNAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const MTU: u8 = 26;
    pub const BROADCAST: u8 = 28;
    pub const REQUESTED: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const CLIENT_ID: u8 = 61;
    pub const ROUTES: u8 = 121;
    pub const PAD: u8 = 0;
    pub const END: u8 = 255;
}

impl Question {
    /// Reads a request of a client on this very link; relayed, foreign or broken packets are none.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let header: &[u8; FIXED] = packet.first_chunk()?;
        let options = packet[FIXED..].strip_prefix(&MAGIC)?;
        let (op, hardware, hardware_length) = (header[0], header[1], header[2]);
        let relay = address(&header[24..28])?;
        if (op, hardware, hardware_length) != (1, 1, 6) || !relay.is_unspecified() {
            return None;
        }
        let mut question = Self {
            kind: 0,
            transaction: header[4..8].try_into().ok()?,
            flags: header[10..12].try_into().ok()?,
            client: address(&header[12..16])?,
            mac: header[28..34].try_into().ok()?,
            requested: None,
            server: None,
            client_id: None,
        };
        for (code, value) in Options(options) {
            match code {
                option::KIND => question.kind = *value.first()?,
                option::REQUESTED => question.requested = Some(address(value)?),
                option::SERVER => question.server = Some(address(value)?),
                option::CLIENT_ID => question.client_id = Some(value.to_vec()),
                _ => {}
            }
        }
        (question.kind != 0).then_some(question)
    }
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

/// Walks options; ends at the end mark, and at the first that claims more than is there.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let [option::PAD, rest @ ..] = self.0 {
            self.0 = rest;
        }
        let [code, length, rest @ ..] = self.0 else { return None };
        if *code == option::END {
            return None;
        }
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some((*code, value))
    }
}

/// A reply under construction.
pub(super) struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    /// `yours` is the address given; unspecified in a refusal and to a client that only asks for options.
    pub fn to(question: &Question, kind: u8, yours: Ipv4Addr) -> Self {
        let mut bytes = vec![0; FIXED];
        bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&question.transaction);
        bytes[10..12].copy_from_slice(&question.flags);
        if kind == kind::ACK {
            bytes[12..16].copy_from_slice(&question.client.octets());
        }
        bytes[16..20].copy_from_slice(&yours.octets());
        bytes[28..34].copy_from_slice(&question.mac);
        bytes.extend(MAGIC);
        let mut reply = Self { bytes };
        reply.put(option::KIND, &[kind]);
        if let Some(client_id) = &question.client_id {
            reply.put(option::CLIENT_ID, client_id);
        }
        reply
    }

    /// Writes an option; one that is too long for its length byte goes on in another of its code (RFC 3396).
    pub fn put(&mut self, code: u8, value: &[u8]) {
        for part in value.chunks(255) {
            self.bytes.push(code);
            self.bytes.push(u8::try_from(part.len()).expect("chunks of 255 bytes fit a byte"));
            self.bytes.extend(part);
        }
    }

    pub fn put_addresses(&mut self, code: u8, addresses: &[Ipv4Addr]) {
        self.put(code, &addresses.iter().flat_map(Ipv4Addr::octets).collect::<Vec<_>>());
    }

    /// Routes as RFC 3442 packs them: a length, only the bytes it makes significant, the router.
    pub fn put_routes(&mut self, routes: &[(Ipv4Net, Ipv4Addr)]) {
        let mut value = vec![];
        for (destination, router) in routes {
            let significant = usize::from(destination.prefix_len()).div_ceil(8);
            value.push(destination.prefix_len());
            value.extend(&destination.network().octets()[..significant]);
            value.extend(router.octets());
        }
        self.put(option::ROUTES, &value);
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(option::END);
        if self.bytes.len() < SMALLEST {
            self.bytes.resize(SMALLEST, option::PAD);
        }
        self.bytes
    }
}
