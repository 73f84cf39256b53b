use super::*;
use crate::fabric::HostRoute;
use crate::hypervisor::Epoch;
use crate::ids::{NetworkId, PortId, SubnetId};
use proptest::prelude::*;

const MAC: [u8; 6] = [0xfa, 0x16, 0x3e, 0, 0, 5];

fn network() -> NetworkWish {
    let subnet = SubnetWish {
        id: SubnetId::random(),
        cidr: "10.0.0.0/24".parse().unwrap(),
        gateway: Some("10.0.0.1".parse().unwrap()),
        enable_dhcp: true,
        dns_servers: vec![],
        host_routes: vec![],
    };
    let port = PortWish {
        id: PortId::random(),
        mac: written(MAC),
        addresses: vec![(subnet.id, "10.0.0.5".parse().unwrap())],
        hostname: "host-10-0-0-5".to_owned(),
    };
    NetworkWish {
        id: NetworkId::random(),
        epoch: Epoch(1),
        mtu: 1450,
        subnets: vec![subnet],
        ports: vec![port],
        routed_to_host: false,
        nat: true,
        tunnel: None,
        physical_network: None,
    }
}

/// A client's packet: header, then the options given.
fn packet(mac: [u8; 6], client: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..8].copy_from_slice(&[1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
    bytes[12..16].copy_from_slice(&client);
    bytes[28..34].copy_from_slice(&mac);
    bytes.extend([99, 130, 83, 99]);
    bytes.extend(options);
    bytes.push(255);
    bytes
}

fn discover() -> Vec<u8> {
    packet(MAC, [0; 4], &[53, 1, 1])
}

/// The value of an option in a reply.
fn said(answer: &Answer, wanted: u8) -> Option<Vec<u8>> {
    let mut rest = &answer.packet[240..];
    while let [code, length, after @ ..] = rest {
        let (value, after) = after.split_at(usize::from(*length));
        if *code == wanted {
            return Some(value.to_vec());
        }
        rest = after;
    }
    None
}

#[test]
fn a_port_is_offered_exactly_its_address() {
    let answer = answer(&discover(), &network()).unwrap();
    assert_eq!(answer.packet[16..20], [10, 0, 0, 5]);
    assert_eq!(answer.packet[4..8], [0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(answer.to, "255.255.255.255:68".parse().unwrap());
    assert_eq!(said(&answer, 53).unwrap(), [2]);
    assert_eq!(said(&answer, 54).unwrap(), [10, 0, 0, 1]);
    assert_eq!(said(&answer, 1).unwrap(), [255, 255, 255, 0]);
    assert_eq!(said(&answer, 3).unwrap(), [10, 0, 0, 1]);
    assert_eq!(said(&answer, 6).unwrap(), [10, 0, 0, 1]);
    assert_eq!(said(&answer, 12).unwrap(), b"host-10-0-0-5");
    assert_eq!(said(&answer, 26).unwrap(), 1450u16.to_be_bytes());
    let routes = [&[32, 169, 254, 169, 254, 10, 0, 0, 1][..], &[0, 10, 0, 0, 1]].concat();
    assert_eq!(said(&answer, 121).unwrap(), routes);
}

#[test]
fn a_mac_that_is_no_port_gets_no_answer() {
    assert_eq!(answer(&packet([0xfa, 0x16, 0x3e, 0, 0, 6], [0; 4], &[53, 1, 1]), &network()), None);
}

#[test]
fn a_subnet_without_dhcp_gives_no_address() {
    let mut network = network();
    network.subnets[0].enable_dhcp = false;
    assert_eq!(answer(&discover(), &network), None);
}

#[test]
fn a_request_for_the_ports_address_is_granted_and_another_refused() {
    let network = network();
    let own = answer(&packet(MAC, [0; 4], &[53, 1, 3, 50, 4, 10, 0, 0, 5, 54, 4, 10, 0, 0, 1]), &network).unwrap();
    assert_eq!(said(&own, 53).unwrap(), [5]);
    let other = answer(&packet(MAC, [0; 4], &[53, 1, 3, 50, 4, 10, 0, 0, 6]), &network).unwrap();
    assert_eq!(said(&other, 53).unwrap(), [6]);
    assert_eq!(other.packet[16..20], [0; 4]);
}

#[test]
fn a_request_that_takes_another_servers_offer_is_left_alone() {
    let taken = packet(MAC, [0; 4], &[53, 1, 3, 50, 4, 10, 0, 0, 5, 54, 4, 10, 0, 0, 99]);
    assert_eq!(answer(&taken, &network()), None);
}

#[test]
fn a_renewal_is_answered_on_the_address_it_renews() {
    let answer = answer(&packet(MAC, [10, 0, 0, 5], &[53, 1, 3]), &network()).unwrap();
    assert_eq!(said(&answer, 53).unwrap(), [5]);
    assert_eq!(answer.to, "10.0.0.5:68".parse().unwrap());
}

#[test]
fn a_relayed_packet_gets_no_answer() {
    let mut relayed = discover();
    relayed[24..28].copy_from_slice(&[10, 9, 9, 9]);
    assert_eq!(answer(&relayed, &network()), None);
}

#[test]
fn own_resolvers_and_routes_of_a_subnet_are_advertised() {
    let mut network = network();
    network.subnets[0].dns_servers = vec!["9.9.9.9".parse().unwrap(), "1.1.1.1".parse().unwrap()];
    network.subnets[0].host_routes =
        vec![HostRoute { destination: "0.0.0.0/0".parse().unwrap(), next_hop: "10.0.0.254".parse().unwrap() }];
    let answer = answer(&discover(), &network).unwrap();
    assert_eq!(said(&answer, 6).unwrap(), [9, 9, 9, 9, 1, 1, 1, 1]);
    assert_eq!(said(&answer, 3).unwrap(), [10, 0, 0, 254]);
    let routes = [&[0, 10, 0, 0, 254][..], &[32, 169, 254, 169, 254, 10, 0, 0, 1]].concat();
    assert_eq!(said(&answer, 121).unwrap(), routes);
}

#[test]
fn a_subnet_without_a_gateway_is_served_from_the_metadata_address() {
    let mut network = network();
    network.subnets[0].gateway = None;
    let answer = answer(&discover(), &network).unwrap();
    assert_eq!(said(&answer, 54).unwrap(), [169, 254, 169, 254]);
    assert_eq!(said(&answer, 3), None);
    assert_eq!(said(&answer, 121).unwrap(), [32, 169, 254, 169, 254, 0, 0, 0, 0]);
}

#[test]
fn many_routes_are_told_in_several_options() {
    let mut network = network();
    let route = |third: u8| HostRoute {
        destination: format!("10.9.{third}.0/24").parse().unwrap(),
        next_hop: "10.0.0.9".parse().unwrap(),
    };
    network.subnets[0].host_routes = (0..40).map(route).collect();
    let packet = answer(&discover(), &network).unwrap().packet;
    let marks = packet.windows(2).filter(|pair| *pair == [121, 255]).count();
    assert_eq!(marks, 1, "40 routes fill one option and begin another");
}

proptest! {
    #[test]
    fn no_packet_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = answer(&bytes, &network());
    }

    #[test]
    fn no_options_make_it_panic(options in proptest::collection::vec(any::<u8>(), 0..400), client in any::<[u8; 4]>()) {
        let _ = answer(&packet(MAC, client, &options), &network());
    }

    #[test]
    fn whatever_a_port_asks_it_gets_its_own_address_or_none(options in proptest::collection::vec(any::<u8>(), 0..60)) {
        let asked = [&[53, 1, 3][..], &options].concat();
        if let Some(answer) = answer(&packet(MAC, [0; 4], &asked), &network()) {
            prop_assert!([[10, 0, 0, 5], [0; 4]].contains(&answer.packet[16..20].try_into().unwrap()));
        }
    }
}

#[test]
fn an_operators_network_has_its_gateway_itself_and_is_served_from_the_link() {
    let network = NetworkWish { physical_network: Some("physnet1".to_owned()), ..network() };
    let answer = answer(&discover(), &network).unwrap();
    assert_eq!(said(&answer, 54).unwrap(), [169, 254, 169, 254], "who answers");
    assert_eq!(said(&answer, 6).unwrap(), [169, 254, 169, 254]);
    assert_eq!(said(&answer, 3).unwrap(), [10, 0, 0, 1]);
    let routes = [&[32, 169, 254, 169, 254, 0, 0, 0, 0][..], &[0, 10, 0, 0, 1]].concat();
    assert_eq!(said(&answer, 121).unwrap(), routes);
}
