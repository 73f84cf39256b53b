//! What Neutron has and Gapura has not built: answered as such, and so never mistaken for an empty list.

use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::reply::Empty;
use crate::http::table::row;
use http::Method;

/// Collections of upstream's, each with its name for people.
const COLLECTIONS: &[(&str, &str)] = &[
    ("address-groups", "Address groups"),
    ("address-scopes", "Address scopes"),
    ("agents", "Network agents"),
    ("auto-allocated-topology", "Auto-allocated topologies"),
    ("availability_zones", "Availability zones of networks"),
    ("flavors", "Network flavors"),
    ("floatingips", "Floating IPs"),
    ("metering", "Metering"),
    ("network-ip-availabilities", "Reports of free addresses"),
    ("network_segment_ranges", "Segment ranges"),
    ("qos", "Quality of service"),
    ("rbac-policies", "Role-based access to networks"),
    ("routers", "Routers"),
    ("security-group-rules", "Security groups"),
    ("security-groups", "Security groups"),
    ("segments", "Segments"),
    ("service-providers", "Service providers"),
    ("subnetpools", "Subnet pools"),
    ("trunks", "Trunks"),
];

/// A row for each method of each collection and of everything under it.
pub fn rows() -> Vec<Row> {
    let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
    COLLECTIONS
        .iter()
        .flat_map(|(path, name)| {
            methods.clone().into_iter().flat_map(move |method| {
                let refuse = move |_: Call| std::future::ready(refused(name));
                let at = |suffix: &str| -> &'static str { format!("/v2.0/{path}{suffix}").leak() };
                [row(method.clone(), at(""), refuse), row(method, at("/{*rest}"), refuse)]
            })
        })
        .map(|row: Row| row.rule("get_extension").unbuilt())
        .collect()
}

fn refused(name: &str) -> Result<Empty> {
    Err(Error::NotImplemented(format!("{name}: not built in Gapura yet.")))
}
