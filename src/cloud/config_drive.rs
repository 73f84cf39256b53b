//! What a guest is told on its config drive: the files of OpenStack's and of EC2's layout, as cloud-init reads them.
//!
//! Each version of OpenStack's metadata has a folder of its own, and holds what that version knew; `latest` holds the
//! newest. The content follows from rows alone, so writing the drive again writes the same.

use super::certificate_key;
use crate::ids::{NetworkId, PortId, ProjectId, ServerId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// All that a drive tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub id: ServerId,
    pub project_id: ProjectId,
    pub name: String,
    pub hostname: String,
    pub availability_zone: String,
    pub reservation_id: String,
    pub launch_index: i64,
    pub flavor_name: String,
    pub image_id: String,
    pub metadata: BTreeMap<String, String>,
    /// Name and public key.
    pub key: Option<(String, String)>,
    /// In base64, as rows keep it.
    pub user_data: Option<String>,
    /// The password that a rebuild or a rescue was asked to set.
    pub admin_pass: Option<String>,
    /// Path in the guest, and content.
    pub personality: Vec<(String, Vec<u8>)>,
    pub interfaces: Vec<Interface>,
    /// Its own first.
    pub disks: Vec<Disk>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `root`, `ephemeral0`, …, `swap`.
    pub label: String,
    /// `/dev/vdb`, …
    pub device: String,
    pub tag: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub port: PortId,
    pub network: NetworkId,
    pub tap: String,
    pub mac: String,
    pub mtu: u16,
    pub addresses: Vec<Address>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub ip: IpAddr,
    pub range: IpNet,
    pub gateway: Option<IpAddr>,
    /// The guest is to ask DHCP for it, rather than set it by itself.
    pub by_dhcp: bool,
    pub dns_servers: Vec<IpAddr>,
    /// Destination and next hop.
    pub routes: Vec<(IpNet, IpAddr)>,
}

/// A version's folder, and what it knows besides `meta_data.json` and `user_data`.
struct Version {
    folder: &'static str,
    vendor_data: bool,
    network_data: bool,
    vendor_data2: bool,
}

const fn version(folder: &'static str, vendor_data: bool, network_data: bool, vendor_data2: bool) -> Version {
    Version { folder, vendor_data, network_data, vendor_data2 }
}

const VERSIONS: &[Version] = &[
    version("2012-08-10", false, false, false),
    version("2013-04-04", false, false, false),
    version("2013-10-17", true, false, false),
    version("2015-10-15", true, true, false),
    version("2016-06-30", true, true, false),
    version("2016-10-06", true, true, true),
    version("2017-02-22", true, true, true),
    version("2018-08-27", true, true, true),
    version("2020-10-14", true, true, true),
    version("latest", true, true, true),
];

/// Every file of the drive, path to content.
pub fn files(told: &Told) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let user_data = told.user_data.as_ref().and_then(|text| STANDARD.decode(text).ok());
    let (meta, network) = (meta_data(told), network_data(told));
    for version in VERSIONS {
        let mut put =
            |name: &str, content: Vec<u8>| files.push((format!("openstack/{}/{name}", version.folder), content));
        put("meta_data.json", meta.to_string().into_bytes());
        if let Some(user_data) = &user_data {
            put("user_data", user_data.clone());
        }
        if version.vendor_data {
            put("vendor_data.json", b"{}".to_vec());
        }
        if version.network_data {
            put("network_data.json", network.to_string().into_bytes());
        }
        if version.vendor_data2 {
            put("vendor_data2.json", b"{}".to_vec());
        }
    }
    for (index, (_, content)) in told.personality.iter().enumerate() {
        files.push((format!("openstack/content/{index:04}"), content.clone()));
    }
    let ec2 = ec2_data(told).to_string().into_bytes();
    for folder in ["2009-04-04", "latest"] {
        files.push((format!("ec2/{folder}/meta-data.json"), ec2.clone()));
        if let Some(user_data) = &user_data {
            files.push((format!("ec2/{folder}/user-data"), user_data.clone()));
        }
    }
    files
}

fn meta_data(told: &Told) -> Value {
    let mut data = Map::new();
    data.insert("uuid".into(), json!(told.id.to_string()));
    if !told.metadata.is_empty() {
        data.insert("meta".into(), json!(told.metadata));
    }
    if !told.personality.is_empty() {
        let file = |(index, (path, _)): (usize, &(String, Vec<u8>))| json!({"path": path, "content_path": format!("/content/{index:04}")});
        data.insert("files".into(), told.personality.iter().enumerate().map(file).collect());
    }
    if let Some((name, key)) = &told.key {
        let mut public_keys = Map::new();
        public_keys.insert(name.clone(), json!(key));
        data.insert("public_keys".into(), Value::Object(public_keys));
        data.insert("keys".into(), json!([{"name": name, "type": certificate_key::kind_of(key), "data": key}]));
    }
    if let Some(password) = &told.admin_pass {
        data.insert("admin_pass".into(), json!(password));
    }
    data.insert("hostname".into(), json!(told.hostname));
    data.insert("name".into(), json!(told.name));
    data.insert("launch_index".into(), json!(told.launch_index));
    data.insert("availability_zone".into(), json!(told.availability_zone));
    data.insert("project_id".into(), json!(told.project_id.to_string()));
    data.insert("devices".into(), told.disks.iter().filter_map(tagged).collect());
    data.insert("dedicated_cpus".into(), json!([]));
    Value::Object(data)
}

/// A disk by the tag that its owner knows it by. Where it is on a bus is the machine's own choice when it starts, so the
/// guest is told where it finds the disk.
fn tagged(disk: &Disk) -> Option<Value> {
    let tag = disk.tag.as_ref()?;
    Some(json!({"type": "disk", "bus": "none", "address": "none", "path": disk.device, "tags": [tag]}))
}

/// Which of cloud-init's network types an address is.
fn network_type(address: &Address) -> &'static str {
    match (address.ip.is_ipv6(), address.by_dhcp) {
        (false, true) => "ipv4_dhcp",
        (false, false) => "ipv4",
        (true, true) => "ipv6_dhcpv6-stateful",
        (true, false) => "ipv6",
    }
}

fn network_data(told: &Told) -> Value {
    let (mut links, mut networks, mut services) = (Vec::new(), Vec::new(), Vec::new());
    for interface in &told.interfaces {
        links.push(json!({
            "id": interface.tap,
            "vif_id": interface.port.to_string(),
            "type": "bridge",
            "mtu": interface.mtu,
            "ethernet_mac_address": interface.mac,
        }));
        for address in &interface.addresses {
            let mut network = json!({
                "id": format!("network{}", networks.len()),
                "type": network_type(address),
                "link": interface.tap,
                "network_id": interface.network.to_string(),
            });
            if !address.by_dhcp {
                let everything = if address.ip.is_ipv6() { "::" } else { "0.0.0.0" };
                let mut routes: Vec<Value> = address
                    .routes
                    .iter()
                    .map(|(to, hop)| json!({"network": to.network().to_string(), "netmask": to.netmask().to_string(), "gateway": hop.to_string()}))
                    .collect();
                if let Some(gateway) = address.gateway {
                    routes.push(json!({"network": everything, "netmask": everything, "gateway": gateway.to_string()}));
                }
                let dns: Vec<Value> =
                    address.dns_servers.iter().map(|ip| json!({"type": "dns", "address": ip.to_string()})).collect();
                network["ip_address"] = json!(address.ip.to_string());
                network["netmask"] = json!(address.range.netmask().to_string());
                network["routes"] = json!(routes);
                network["services"] = json!(dns);
                for service in dns {
                    if !services.contains(&service) {
                        services.push(service);
                    }
                }
            }
            networks.push(network);
        }
    }
    json!({"links": links, "networks": networks, "services": services})
}

fn ec2_data(told: &Told) -> Value {
    let first_v4 = told.interfaces.iter().flat_map(|i| &i.addresses).map(|a| a.ip).find(IpAddr::is_ipv4);
    let mut devices = json!({"ami": "vda"});
    for disk in &told.disks {
        devices[disk.label.as_str()] = json!(disk.device);
    }
    let mut data = json!({
        "ami-id": told.image_id,
        "ami-launch-index": told.launch_index,
        "ami-manifest-path": "unknown",
        "block-device-mapping": devices,
        "hostname": told.hostname,
        "instance-action": "none",
        "instance-id": told.id.to_string(),
        "instance-type": told.flavor_name,
        "local-hostname": told.hostname,
        "local-ipv4": first_v4.map(|ip| ip.to_string()),
        "placement": {"availability-zone": told.availability_zone},
        "public-hostname": told.hostname,
        "public-ipv4": "",
        "reservation-id": told.reservation_id,
        "security-groups": [],
    });
    if let Some((name, key)) = &told.key {
        data["public-keys"] = json!({"0": {"_name": format!("0={name}"), "openssh-key": key}});
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            id: ServerId::parse("11111111-2222-4333-8444-555555555555").unwrap(),
            project_id: "p1".into(),
            name: "Web 1".into(),
            hostname: "web-1".into(),
            availability_zone: "nova".into(),
            reservation_id: "r-12345678".into(),
            launch_index: 0,
            flavor_name: "m1.tiny".into(),
            image_id: "i".into(),
            metadata: BTreeMap::from([("role".to_owned(), "web".to_owned())]),
            key: Some(("laptop".into(), "ssh-ed25519 AAAA".into())),
            user_data: Some(STANDARD.encode("#!/bin/sh\n")),
            admin_pass: None,
            personality: vec![("/etc/motd".into(), b"hello".to_vec())],
            interfaces: vec![Interface {
                port: PortId::random(),
                network: NetworkId::random(),
                tap: "tap0".into(),
                mac: "fa:16:3e:00:00:01".into(),
                mtu: 1500,
                addresses: vec![Address {
                    ip: "10.0.0.5".parse().unwrap(),
                    range: "10.0.0.0/24".parse().unwrap(),
                    gateway: Some("10.0.0.1".parse().unwrap()),
                    by_dhcp: false,
                    dns_servers: vec!["9.9.9.9".parse().unwrap()],
                    routes: Vec::new(),
                }],
            }],
            disks: vec![Disk { label: "root".into(), device: "/dev/vda".into(), tag: None }],
        }
    }

    fn json_at(files: &[(String, Vec<u8>)], path: &str) -> Value {
        let (_, content) = files.iter().find(|(name, _)| name == path).unwrap();
        serde_json::from_slice(content).unwrap()
    }

    #[test]
    fn a_drive_tells_the_guest_its_names_its_key_and_its_metadata() {
        let meta = json_at(&files(&told()), "openstack/latest/meta_data.json");
        assert_eq!(meta["uuid"], "11111111-2222-4333-8444-555555555555");
        assert_eq!((&meta["hostname"], &meta["name"]), (&json!("web-1"), &json!("Web 1")));
        assert_eq!(meta["public_keys"]["laptop"], "ssh-ed25519 AAAA");
        assert_eq!(meta["meta"]["role"], "web");
        assert!(meta.get("admin_pass").is_none());
        let told = Told { admin_pass: Some("s3cret".into()), ..told() };
        assert_eq!(json_at(&files(&told), "openstack/latest/meta_data.json")["admin_pass"], "s3cret");
        assert_eq!(meta["files"][0], json!({"path": "/etc/motd", "content_path": "/content/0000"}));
    }

    #[test]
    fn a_guest_is_told_where_its_ephemeral_disks_and_its_swap_are() {
        let disk = |label: &str, device: &str| Disk { label: label.into(), device: device.into(), tag: None };
        let scratch = Disk { tag: Some("scratch".into()), ..disk("ephemeral0", "/dev/vdb") };
        let files = files(&Told { disks: vec![disk("root", "/dev/vda"), scratch, disk("swap", "/dev/vdc")], ..told() });
        let ec2 = json_at(&files, "ec2/latest/meta-data.json");
        let devices = json!({"ami": "vda", "root": "/dev/vda", "ephemeral0": "/dev/vdb", "swap": "/dev/vdc"});
        assert_eq!(ec2["block-device-mapping"], devices);
        let tagged =
            json!([{"type": "disk", "bus": "none", "address": "none", "path": "/dev/vdb", "tags": ["scratch"]}]);
        assert_eq!(json_at(&files, "openstack/latest/meta_data.json")["devices"], tagged);
    }

    #[test]
    fn an_address_without_dhcp_is_told_whole() {
        let network = json_at(&files(&told()), "openstack/latest/network_data.json");
        assert_eq!(network["networks"][0]["type"], "ipv4");
        assert_eq!(network["networks"][0]["netmask"], "255.255.255.0");
        assert_eq!(network["networks"][0]["routes"][0]["gateway"], "10.0.0.1");
        assert_eq!(network["services"][0]["address"], "9.9.9.9");
        let mut by_dhcp = told();
        by_dhcp.interfaces[0].addresses[0].by_dhcp = true;
        let network = json_at(&files(&by_dhcp), "openstack/latest/network_data.json");
        assert_eq!(network["networks"][0]["type"], "ipv4_dhcp");
        assert!(network["networks"][0].get("ip_address").is_none());
    }

    #[test]
    fn a_version_holds_only_what_it_knew() {
        let files = files(&told());
        let has = |path: &str| files.iter().any(|(name, _)| name == path);
        assert!(has("openstack/2012-08-10/user_data") && !has("openstack/2012-08-10/network_data.json"));
        assert!(has("openstack/2020-10-14/vendor_data2.json") && has("ec2/latest/user-data"));
        let silent = Told { user_data: None, ..told() };
        assert!(
            !super::files(&silent).iter().any(|(name, _)| name.ends_with("user_data") || name.ends_with("user-data"))
        );
    }
}
