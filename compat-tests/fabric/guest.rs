//! A guest without a machine: a namespace whose network card is a port of the bridge, as a tap would be.

use super::host::{attempt, sh};
use gapura::fabric::linux::inside;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

pub struct Guest {
    name: &'static str,
    mac: String,
}

/// What a DHCP server said.
#[derive(Debug, PartialEq, Eq)]
pub struct Offer {
    pub kind: u8,
    pub address: Ipv4Addr,
}

const DISCOVER: &[u8] = &[53, 1, 1];

impl Guest {
    /// Plugs a card of this address into the bridge.
    pub fn plug(name: &'static str, bridge: &str, mac: &str) -> Self {
        sh(&format!("ip netns add {name}"));
        sh(&format!("ip link add name tap{name} type veth peer name eth0 address {mac} netns {name}"));
        sh(&format!("ip link set dev tap{name} master {bridge} up"));
        sh(&format!("ip -n {name} link set dev eth0 up"));
        sh(&format!("ip -n {name} route add default dev eth0")); // a way for broadcasts while there is no address
        Self { name, mac: mac.to_owned() }
    }

    pub fn unplug(self) {
        sh(&format!("ip link delete dev tap{}", self.name));
        sh(&format!("ip netns delete {}", self.name));
    }

    /// Asks for an address; `None` when nobody answers for two seconds.
    pub fn discover(&self) -> Option<Offer> {
        self.exchange(DISCOVER)
    }

    /// The whole exchange, then the address is set up as a client would.
    pub fn configure(&self, gateway: &str) -> Ipv4Addr {
        let offer = self.discover().expect("an offer");
        let request = [&[53, 1, 3, 50, 4][..], &offer.address.octets()].concat();
        assert_eq!(self.exchange(&request), Some(Offer { kind: 5, address: offer.address }));
        self.set(&format!("{}/24", offer.address), gateway);
        offer.address
    }

    /// Takes an address without asking anybody.
    pub fn set(&self, address: &str, gateway: &str) {
        let name = self.name;
        sh(&format!("ip -n {name} route flush default"));
        sh(&format!("ip -n {name} addr add {address} dev eth0"));
        sh(&format!("ip -n {name} route add default via {gateway}"));
    }

    pub fn pings(&self, address: &str) -> bool {
        attempt(&format!("ip netns exec {} ping -n -c 1 -i 0.2 -w 2 {address}", self.name)).0
    }

    /// What a server at this address and port says first.
    pub fn hears(&self, address: &str, port: u16) -> Option<String> {
        let address = std::net::SocketAddr::new(address.parse().unwrap(), port);
        let heard = inside(self.name, || {
            let connection = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(2));
            Ok(connection.and_then(std::io::read_to_string).ok())
        });
        heard.unwrap()
    }

    /// Sends a query to a resolver and answers its reply.
    pub fn resolve(&self, resolver: &str, query: &[u8]) -> Option<Vec<u8>> {
        let asked = inside(self.name, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            socket.connect((resolver, 53)).unwrap();
            socket.send(query).unwrap();
            let mut reply = vec![0; 1500];
            Ok(socket.recv(&mut reply).ok().map(|length| reply[..length].to_vec()))
        });
        asked.unwrap()
    }

    fn exchange(&self, options: &[u8]) -> Option<Offer> {
        let mut packet = vec![0; 236];
        packet[..8].copy_from_slice(&[1, 1, 6, 0, 1, 2, 3, 4]);
        for (place, byte) in self.mac.split(':').enumerate() {
            packet[28 + place] = u8::from_str_radix(byte, 16).unwrap();
        }
        packet.extend([99, 130, 83, 99]);
        packet.extend(options);
        packet.push(255);
        let answered = inside(self.name, || {
            let socket = UdpSocket::bind("0.0.0.0:68").unwrap();
            socket.set_broadcast(true).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let mut reply = [0; 1500];
            // The kernel may take a second to notice that a new link is up: a client asks again.
            let answered = (0..6).find_map(|_| {
                socket.send_to(&packet, "255.255.255.255:67").unwrap();
                socket.recv(&mut reply).ok()
            });
            Ok(answered.map(|length| reply[..length].to_vec()))
        });
        let reply = answered.unwrap()?;
        assert_eq!(reply[4..8], [1, 2, 3, 4], "the reply is to this question");
        assert_eq!(reply[240..242], [53, 1]);
        Some(Offer { kind: reply[242], address: <[u8; 4]>::try_from(&reply[16..20]).unwrap().into() })
    }
}
