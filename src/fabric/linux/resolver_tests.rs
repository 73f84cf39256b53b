use super::*;
use crate::fabric::PortWish;
use crate::hypervisor::Epoch;
use crate::ids::{NetworkId, PortId, SubnetId};
use proptest::prelude::*;

fn network() -> NetworkWish {
    let port = PortWish {
        id: PortId::random(),
        mac: "fa:16:3e:00:00:05".to_owned(),
        addresses: vec![(SubnetId::random(), "10.0.0.5".parse().unwrap())],
        hostname: "web".to_owned(),
    };
    NetworkWish {
        id: NetworkId::random(),
        epoch: Epoch(1),
        mtu: 1500,
        subnets: vec![],
        ports: vec![port],
        routed_to_host: false,
        nat: true,
        tunnel: None,
        physical_network: None,
    }
}

fn query(name: &str, kind: u8) -> Vec<u8> {
    let mut bytes = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, kind, 0, 1]);
    bytes
}

#[test]
fn a_ports_name_is_answered_with_its_address() {
    for name in ["web", "WEB.openstacklocal"] {
        let reply = local(&query(name, 1), &network()).unwrap();
        assert_eq!(reply[..8], [7, 7, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(reply[reply.len() - 4..], [10, 0, 0, 5]);
    }
}

#[test]
fn a_ports_name_has_no_other_records() {
    let reply = local(&query("web", 28), &network()).unwrap();
    assert_eq!(reply[6..8], [0, 0]);
    assert_eq!(reply[3] & 0x0f, 0, "the name exists");
}

#[test]
fn a_name_that_is_no_ports_is_not_answered_here() {
    assert_eq!(local(&query("web.example.org", 1), &network()), None);
    assert_eq!(local(&query("db", 1), &network()), None);
}

proptest! {
    #[test]
    fn no_query_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = local(&bytes, &network());
    }
}
