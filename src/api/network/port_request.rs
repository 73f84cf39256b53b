//! What a client says of a port, and the checks that need no more than the network's owner.

use super::request;
use super::subnet_request::Address;
use crate::api::Context;
use crate::cloud::address;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{FlexibleBool, Map, Text};
use crate::ids::{NetworkId, ProjectId, SubnetId};
use crate::store::allocations::{AddressWish, Addresses};
use crate::store::networks::Network;
use crate::store::ports::NewPort;
use crate::store::server_ports::owner_of;
use crate::versioned;
use serde_json::Value;
use std::net::IpAddr;

/// Neutron's `max_fixed_ips_per_port`.
const MOST_ADDRESSES: usize = 5;

versioned! {
    request FixedIpBody strict {
        "subnet_id" => subnet_id: Option<String>,
        "ip_address" => ip_address: Option<Address>,
    }
}

versioned! {
    request PortCreates strict {
        "port" => port: Option<PortCreate>,
        "ports" => ports: Option<Vec<PortCreate>>,
    }
}

versioned! {
    request PortCreate strict {
        "network_id" required => network_id: String,
        "name" => name: Option<Text<0, 255>>,
        "description" => description: Option<Text<0, 255>>,
        "admin_state_up" => admin_state_up: Option<FlexibleBool>,
        "mac_address" => mac_address: Option<String>,
        "fixed_ips" => fixed_ips: Option<Vec<FixedIpBody>>,
        "device_id" => device_id: Option<Text<0, 255>>,
        "device_owner" => device_owner: Option<Text<0, 255>>,
        "security_groups" => security_groups: Option<Vec<Value>>,
        "port_security_enabled" => port_security_enabled: Option<FlexibleBool>,
        "binding:vnic_type" => vnic_type: Option<String>,
        "binding:host_id" => host_id: Option<String>,
        "binding:profile" => profile: Option<Map>,
        "project_id" => project_id: Option<String>,
        "tenant_id" => tenant_id: Option<String>,
        "tags" => tags: Option<Vec<Text<1, 255>>>,
    }
}

versioned! {
    request PortUpdates strict {
        "port" required => port: PortUpdate,
    }
}

versioned! {
    request PortUpdate strict {
        "name" => name: Option<Text<0, 255>>,
        "description" => description: Option<Text<0, 255>>,
        "admin_state_up" => admin_state_up: Option<FlexibleBool>,
        "mac_address" => mac_address: Option<String>,
        "fixed_ips" => fixed_ips: Option<Vec<FixedIpBody>>,
        "device_id" => device_id: Option<Text<0, 255>>,
        "device_owner" => device_owner: Option<Text<0, 255>>,
        "security_groups" => security_groups: Option<Vec<Value>>,
        "port_security_enabled" => port_security_enabled: Option<FlexibleBool>,
        "binding:vnic_type" => vnic_type: Option<String>,
        "binding:host_id" => host_id: Option<String>,
        "binding:profile" => profile: Option<Map>,
    }
}

/// A port to make, as far as its body alone can be checked.
#[derive(Debug, Clone)]
pub struct WantedPort {
    pub network_id: NetworkId,
    pub new: NewPort,
    pub tags: Vec<String>,
}

impl PortCreate {
    pub fn checked(self, cx: &Context) -> Result<WantedPort> {
        let network_id =
            NetworkId::parse(&self.network_id).ok_or_else(|| Error::not_found(Kind::Network, &self.network_id))?;
        request::refuse_down(self.admin_state_up.map(|up| up.0))?;
        request::refuse_port_security(self.port_security_enabled.map(|enabled| enabled.0))?;
        refuse_groups(self.security_groups.as_ref())?;
        refuse_binding(cx, "create_port", self.vnic_type.as_ref(), self.host_id.as_ref(), self.profile.as_ref())?;
        let new = NewPort {
            network_id,
            project_id: request::project(cx, self.project_id.as_ref(), self.tenant_id.as_ref())?,
            name: self.name.map(|name| name.0).unwrap_or_default(),
            description: self.description.map(|description| description.0).unwrap_or_default(),
            mac_address: self.mac_address.as_deref().map(mac).transpose()?,
            device_id: self.device_id.map(|device| device.0).unwrap_or_default(),
            device_owner: self.device_owner.map(|owner| owner.0).unwrap_or_default(),
            server_id: None,
            position: 0,
            made_for_server: false,
            addresses: addresses(self.fixed_ips.as_deref())?,
        };
        let tags = self.tags.unwrap_or_default().into_iter().map(|tag| tag.0).collect();
        Ok(WantedPort { network_id, new, tags: super::tags::sorted(tags)? })
    }
}

/// Refuses a port that compute would make for the caller's server, where `POST /v2.0/ports` would refuse it to the caller:
/// compute acts in the caller's name. Words it as Nova passes Neutron's refusal on.
///
/// # Errors
/// `Forbidden`.
pub fn allow_interface(
    cx: &Context,
    network: &Network,
    project: &ProjectId,
    zone: &str,
    address: Option<IpAddr>,
) -> Result<()> {
    let wanted = match address {
        None => Addresses::Any,
        Some(ip) => Addresses::These(vec![AddressWish { subnet_id: None, ip_address: Some(ip) }]),
    };
    let asked = cx
        .allow("create_port")
        .and_then(|()| refuse_guests_wishes(cx, "create_port", network, project, None, &owner_of(zone), &wanted));
    asked.map_err(|error| match error {
        Error::Forbidden(rule) => Error::Forbidden(format!("(rule:{rule}) is disallowed by policy")),
        other => other,
    })
}

/// Some attributes are for those alone who own the network: on a shared one, its guests take what they are given.
pub fn refuse_guests_wishes(
    cx: &Context,
    action: &str,
    network: &Network,
    project: &ProjectId,
    mac: Option<&String>,
    device_owner: &str,
    wanted: &Addresses,
) -> Result<()> {
    let target = Target::new().with("network:project_id", &network.project_id).with("project_id", project);
    let names_address =
        matches!(wanted, Addresses::These(wishes) if wishes.iter().any(|wish| wish.ip_address.is_some()));
    if names_address {
        cx.allow_on(&format!("{action}:fixed_ips:ip_address"), &target)?;
    }
    if mac.is_some() {
        cx.allow_on(&format!("{action}:mac_address"), &target)?;
    }
    // What the service itself would own; a guest's port must not pass for it.
    if device_owner.starts_with("network:") {
        cx.allow_on(&format!("{action}:device_owner"), &target)?;
    }
    Ok(())
}

/// A client's MAC address in our form.
pub fn mac(text: &str) -> Result<String> {
    address::parse_mac(text).ok_or_else(|| {
        Error::bad_request(format!("Invalid input for mac_address. Reason: '{text}' is not a valid MAC address."))
    })
}

/// Which addresses a body asks for; nothing said means any.
pub fn addresses(wanted: Option<&[FixedIpBody]>) -> Result<Addresses> {
    let Some(wanted) = wanted else { return Ok(Addresses::Any) };
    if wanted.len() > MOST_ADDRESSES {
        return Err(Error::bad_request(format!(
            "Invalid input for operation: Exceeded maximum amount of fixed ips per port: {MOST_ADDRESSES}."
        )));
    }
    let wishes = wanted.iter().map(|fixed| {
        let subnet_id = match &fixed.subnet_id {
            None => None,
            Some(text) => Some(SubnetId::parse(text).ok_or_else(|| Error::not_found(Kind::Subnet, text))?),
        };
        Ok(AddressWish { subnet_id, ip_address: fixed.ip_address.map(|address| address.0) })
    });
    Ok(Addresses::These(wishes.collect::<Result<_>>()?))
}

pub fn refuse_groups(wanted: Option<&Vec<Value>>) -> Result<()> {
    if wanted.is_some_and(|groups| !groups.is_empty()) {
        return Err(Error::NotImplemented(
            "Security groups are not built in Gapura yet: security_groups can only be [].".to_owned(),
        ));
    }
    Ok(())
}

/// Interfaces are of one kind, and the server's boot chooses the host.
pub fn refuse_binding(
    cx: &Context,
    action: &str,
    vnic_type: Option<&String>,
    host: Option<&String>,
    profile: Option<&Map>,
) -> Result<()> {
    if let Some(kind) = vnic_type.filter(|kind| *kind != "normal") {
        return Err(Error::NotImplemented(format!(
            "Ports of binding:vnic_type '{kind}' are not built in Gapura yet: it can only be 'normal'."
        )));
    }
    if host.is_some_and(|host| !host.is_empty()) {
        cx.allow(&format!("{action}:binding:host_id"))?;
        return Err(Error::NotImplemented(
            "Binding a port by hand is not built in Gapura: the boot of its server chooses the host.".to_owned(),
        ));
    }
    if profile.is_some_and(|profile| !profile.is_empty()) {
        cx.allow(&format!("{action}:binding:profile"))?;
        return Err(Error::NotImplemented("Binding profiles are not built in Gapura yet.".to_owned()));
    }
    Ok(())
}
