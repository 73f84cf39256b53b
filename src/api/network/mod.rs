//! The network service: the part of Neutron's v2.0 that booting needs. Networks, subnets and ports are [`networks`],
//! [`subnets`], [`ports`]; what their lists share is in [`collection`]; what isn't built says so in [`unbuilt`].

mod collection;
mod extensions;
mod filter;
mod networks;
pub mod port_request;
mod ports;
mod provider;
mod quotas;
mod request;
pub mod seed;
mod subnet_request;
mod subnets;
mod tags;
#[cfg(test)]
mod tests;
mod unbuilt;

use super::faults::NEUTRON;
use super::{Call, Row};
use crate::error::Result;
use crate::http::reply::RawReply;
use crate::http::table::{Service, get};
use http::StatusCode;
use serde_json::{Value, json};

pub static SERVICE: Service = Service {
    name: "network",
    prefix: "/network",
    axis: None,
    dialect: &NEUTRON,
    head_as_get: false,
    names_project: false,
};

pub fn rows() -> Vec<Row> {
    let mut rows = vec![get("", versions).public(), get("/v2.0", resources).public()];
    rows.extend(networks::rows());
    rows.extend(subnets::rows());
    rows.extend(ports::rows());
    rows.extend(tags::rows());
    rows.extend(quotas::rows());
    rows.extend(extensions::rows());
    rows.extend(unbuilt::rows());
    rows
}

/// `GET /network`: the one version there is.
async fn versions(call: Call) -> Result<RawReply> {
    let href = format!("{}/network/v2.0/", call.cx.state.public_url);
    let version = json!({"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": href}]});
    Ok(RawReply::json(StatusCode::OK, &json!({"versions": [version]})))
}

/// `GET /network/v2.0`: what it has.
async fn resources(call: Call) -> Result<RawReply> {
    let url = &call.cx.state.public_url;
    let resources: Vec<Value> = [("network", "networks"), ("subnet", "subnets"), ("port", "ports")]
        .iter()
        .map(|(name, collection)| {
            let href = format!("{url}/network/v2.0/{collection}");
            json!({"name": name, "collection": collection, "links": [{"rel": "self", "href": href}]})
        })
        .collect();
    Ok(RawReply::json(StatusCode::OK, &json!({"resources": resources})))
}
