//! Whatever a guest sends to its network's DHCP port or resolver: silence, or an answer that gives it its own address.
#![no_main]

use gapura_fuzz::fabric::linux::{dhcp_answer, local_name};
use gapura_fuzz::fabric::{HostRoute, NetworkWish, PortWish, SubnetWish};
use gapura_fuzz::hypervisor::Epoch;
use gapura_fuzz::ids::{NetworkId, PortId, SubnetId};
use libfuzzer_sys::fuzz_target;
use std::net::IpAddr;
use std::sync::LazyLock;

const MAC: [u8; 6] = [0xfa, 0x16, 0x3e, 0, 0, 5];
const ADDRESS: [u8; 4] = [10, 0, 0, 5];
/// Where a packet's options begin: header, then the magic number.
const OPTIONS: usize = 240;

static NETWORK: LazyLock<NetworkWish> = LazyLock::new(|| {
    let subnet = SubnetWish {
        id: SubnetId::random(),
        cidr: "10.0.0.0/24".parse().expect("a range"),
        gateway: Some(IpAddr::from([10, 0, 0, 1])),
        enable_dhcp: true,
        dns_servers: vec![],
        host_routes: vec![HostRoute {
            destination: "192.0.2.0/25".parse().expect("a range"),
            next_hop: IpAddr::from([10, 0, 0, 9]),
        }],
    };
    let port = PortWish {
        id: PortId::random(),
        mac: "fa:16:3e:00:00:05".to_owned(),
        addresses: vec![(subnet.id, IpAddr::from(ADDRESS))],
        hostname: "web".to_owned(),
    };
    NetworkWish {
        id: NetworkId::random(),
        epoch: Epoch(1),
        mtu: 1450,
        subnets: vec![subnet],
        ports: vec![port],
        routed_to_host: true,
        nat: true,
        tunnel: None,
        physical_network: None,
    }
});

fuzz_target!(|bytes: &[u8]| {
    judge(bytes);
    // The same bytes as the options of a packet that is well formed up to there.
    let mut packet = vec![0; OPTIONS];
    packet[..8].copy_from_slice(&[1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
    packet[28..34].copy_from_slice(&MAC);
    packet[236..].copy_from_slice(&[99, 130, 83, 99]);
    packet.extend(bytes);
    judge(&packet);
    if let Some(reply) = local_name(bytes, &NETWORK) {
        assert!(reply.len() >= 12 && reply[..2] == bytes[..2], "it answers this question");
    }
});

fn judge(packet: &[u8]) {
    let Some(reply) = dhcp_answer(packet, &NETWORK) else { return };
    assert_eq!(reply[0], 2, "a reply");
    assert_eq!(reply[4..8], packet[4..8], "to this question");
    assert_eq!(packet[28..34], MAC, "nobody else is answered");
    assert!(reply[16..20] == ADDRESS || reply[16..20] == [0; 4], "with its own address, or none");
    // Options are whole, and end.
    let mut rest = &reply[OPTIONS..];
    loop {
        match rest {
            [255, ..] => break,
            [0, after @ ..] => rest = after,
            [_, length, after @ ..] => rest = &after[usize::from(*length)..],
            _ => panic!("the options don't end"),
        }
    }
}
