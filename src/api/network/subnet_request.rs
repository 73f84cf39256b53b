//! What a client says of a subnet, and the checks that need no database.

use super::request;
use crate::api::Context;
use crate::cloud::address::{self, Pool};
use crate::error::{Error, Kind, Result};
use crate::http::json::{FlexibleBool, Invalid, Maybe, Parse, Path, Text, python_repr};
use crate::http::microversion::Microversion;
use crate::ids::NetworkId;
use crate::store::subnets::{NewSubnet, Route};
use crate::versioned;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Neutron's defaults.
const MOST_DNS_SERVERS: usize = 5;
const MOST_ROUTES: usize = 20;

/// An IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub IpAddr);

impl Parse for Address {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> std::result::Result<Self, Invalid> {
        let address = value.as_str().and_then(|text| text.parse().ok());
        address
            .map(Self)
            .ok_or_else(|| path.refuse(&value, format!("{} is not a valid IP address", python_repr(&value))))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "format": "ip"})
    }
}

/// A range in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range(pub IpNet);

impl Parse for Range {
    fn parse(value: Value, path: &Path<'_>, _: Microversion) -> std::result::Result<Self, Invalid> {
        let range = value.as_str().and_then(|text| text.parse().ok());
        range.map(Self).ok_or_else(|| path.refuse(&value, format!("{} is not a valid IP subnet", python_repr(&value))))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "format": "cidr"})
    }
}

versioned! {
    request PoolBody strict {
        "start" required => start: Address,
        "end" required => end: Address,
    }
}

impl From<&PoolBody> for Pool {
    fn from(body: &PoolBody) -> Self {
        Self { start: body.start.0, end: body.end.0 }
    }
}

versioned! {
    request RouteBody strict {
        "destination" required => destination: Range,
        "nexthop" required => nexthop: Address,
    }
}

versioned! {
    request SubnetCreates strict {
        "subnet" => subnet: Option<SubnetCreate>,
        "subnets" => subnets: Option<Vec<SubnetCreate>>,
    }
}

versioned! {
    request SubnetCreate strict {
        "network_id" required => network_id: String,
        "ip_version" required => ip_version: i64,
        "cidr" => cidr: Option<Range>,
        "name" => name: Option<Text<0, 255>>,
        "description" => description: Option<Text<0, 255>>,
        "gateway_ip" => gateway_ip: Maybe<Option<Address>>,
        "enable_dhcp" => enable_dhcp: Option<FlexibleBool>,
        "allocation_pools" => allocation_pools: Option<Vec<PoolBody>>,
        "dns_nameservers" => dns_nameservers: Option<Vec<Address>>,
        "host_routes" => host_routes: Option<Vec<RouteBody>>,
        "subnetpool_id" => subnetpool_id: Option<String>,
        "ipv6_ra_mode" => ipv6_ra_mode: Option<String>,
        "ipv6_address_mode" => ipv6_address_mode: Option<String>,
        "project_id" => project_id: Option<String>,
        "tenant_id" => tenant_id: Option<String>,
    }
}

versioned! {
    request SubnetUpdates strict {
        "subnet" required => subnet: SubnetUpdate,
    }
}

versioned! {
    request SubnetUpdate strict {
        "name" => name: Option<Text<0, 255>>,
        "description" => description: Option<Text<0, 255>>,
        "gateway_ip" => gateway_ip: Maybe<Option<Address>>,
        "enable_dhcp" => enable_dhcp: Option<FlexibleBool>,
        "allocation_pools" => allocation_pools: Option<Vec<PoolBody>>,
        "dns_nameservers" => dns_nameservers: Option<Vec<Address>>,
        "host_routes" => host_routes: Option<Vec<RouteBody>>,
    }
}

impl SubnetCreate {
    /// The subnet to make; pools and gateway filled in where the client left them to us.
    pub fn checked(self, cx: &Context) -> Result<NewSubnet> {
        let network_id =
            NetworkId::parse(&self.network_id).ok_or_else(|| Error::not_found(Kind::Network, &self.network_id))?;
        let cidr = self.range()?;
        let gateway = match self.gateway_ip {
            Maybe::Absent => address::default_gateway(cidr),
            Maybe::Given(gateway) => gateway.map(|gateway| gateway.0),
        };
        let pools: Vec<Pool> = match &self.allocation_pools {
            Some(pools) => pools.iter().map(Pool::from).collect(),
            None => address::default_pools(cidr, gateway),
        };
        address::check_subnet(cidr, gateway, &pools)?;
        Ok(NewSubnet {
            network_id,
            project_id: request::project(cx, self.project_id.as_ref(), self.tenant_id.as_ref())?,
            name: self.name.map(|name| name.0).unwrap_or_default(),
            description: self.description.map(|description| description.0).unwrap_or_default(),
            cidr,
            gateway,
            enable_dhcp: self.enable_dhcp.is_none_or(|enable| enable.0),
            pools,
            dns_servers: dns_servers(&self.dns_nameservers.unwrap_or_default())?,
            host_routes: routes(&self.host_routes.unwrap_or_default())?,
        })
    }

    fn range(&self) -> Result<IpNet> {
        if self.subnetpool_id.is_some() {
            return Err(Error::NotImplemented("Subnet pools are not built in Gapura yet: give a cidr.".to_owned()));
        }
        if self.ip_version == 6 || self.ipv6_ra_mode.is_some() || self.ipv6_address_mode.is_some() {
            return Err(Error::NotImplemented("IPv6 is not built in Gapura yet.".to_owned()));
        }
        if self.ip_version != 4 {
            return Err(Error::bad_request(format!(
                "Invalid input for ip_version. Reason: '{}' is not in [4, 6].",
                self.ip_version
            )));
        }
        let cidr = self.cidr.ok_or_else(|| {
            Error::bad_request("Bad subnets request: a subnetpool must be specified in the absence of a cidr.")
        })?;
        if cidr.0.addr().is_ipv6() {
            return Err(Error::bad_request(format!(
                "Invalid input for operation: cidr '{}' does not match the ip_version '4'.",
                cidr.0
            )));
        }
        Ok(cidr.0)
    }
}

/// Name servers, not too many and none twice.
pub fn dns_servers(wanted: &[Address]) -> Result<Vec<IpAddr>> {
    let servers: Vec<IpAddr> = wanted.iter().map(|address| address.0).collect();
    if servers.len() > MOST_DNS_SERVERS {
        return Err(Error::bad_request(format!("The number of DNS nameservers exceeds the limit {MOST_DNS_SERVERS}.")));
    }
    if servers.iter().any(IpAddr::is_ipv6) {
        return Err(Error::NotImplemented(
            "IPv6 is not built in Gapura yet: nobody could reach that name server.".to_owned(),
        ));
    }
    match servers.iter().enumerate().find(|(index, server)| servers[..*index].contains(server)) {
        Some((_, twice)) => Err(Error::bad_request(format!(
            "Invalid input for dns_nameservers. Reason: Duplicate nameserver '{twice}'."
        ))),
        None => Ok(servers),
    }
}

/// Routes, not too many, each of one family.
pub fn routes(wanted: &[RouteBody]) -> Result<Vec<Route>> {
    if wanted.len() > MOST_ROUTES {
        return Err(Error::bad_request(format!("The number of host routes exceeds the limit {MOST_ROUTES}.")));
    }
    wanted
        .iter()
        .map(|route| {
            if route.destination.0.addr().is_ipv4() != route.nexthop.0.is_ipv4() {
                return Err(Error::bad_request(
                    "Invalid input for operation: a host route's destination and nexthop are of two IP versions.",
                ));
            }
            Ok(Route { destination: route.destination.0.trunc(), next_hop: route.nexthop.0 })
        })
        .collect()
}
