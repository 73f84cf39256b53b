//! `GET /compute`, `GET /compute/v2.1` and `GET /compute/v2`: which versions there are. Anybody may ask.

use super::versions::{self, AXIS};
use crate::api::faults::NOVA;
use crate::api::{Call, Row};
use crate::error::Result;
use crate::http::microversion::Microversion;
use crate::http::reply::RawReply;
use crate::http::table::{Service, get};
use http::StatusCode;
use serde_json::{Value, json};

pub static SERVICE: Service = Service {
    name: "compute-versions",
    prefix: "/compute",
    axis: None,
    dialect: &NOVA,
    head_as_get: false,
    names_project: false,
};

pub fn rows() -> Vec<Row> {
    vec![get("", versions).public()]
}

/// What both documents say of a version.
fn version(call: &Call, spoken: Microversion) -> Value {
    let href = format!("{}{}/", call.cx.state.public_url, versions::prefix(spoken));
    let links = json!([{"rel": "self", "href": href}]);
    if spoken == versions::LEGACY {
        return json!({"id": "v2.0", "status": "DEPRECATED", "version": "", "min_version": "",
                      "updated": "2025-07-04T12:00:00Z", "links": links});
    }
    json!({
        "id": "v2.1",
        "status": "CURRENT",
        "version": AXIS.display(AXIS.max).to_string(),
        "min_version": AXIS.display(AXIS.min).to_string(),
        "updated": "2013-07-23T11:33:21Z",
        "links": links,
    })
}

async fn versions(call: Call) -> Result<RawReply> {
    let versions = [versions::LEGACY, AXIS.min].map(|spoken| version(&call, spoken));
    Ok(RawReply::json(StatusCode::OK, &json!({ "versions": versions })))
}

/// `GET /compute/v2.1`, and `/compute/v2`.
pub async fn one(call: Call) -> Result<RawReply> {
    let mut version = version(&call, call.version());
    let number = if call.version() == versions::LEGACY { "2" } else { "2.1" };
    version["media-types"] = json!([{"base": "application/json",
                                     "type": format!("application/vnd.openstack.compute+json;version={number}")}]);
    if let Some(links) = version["links"].as_array_mut() {
        let docs = "http://docs.openstack.org/";
        links.push(json!({"rel": "describedby", "type": "text/html", "href": docs}));
    }
    Ok(RawReply::json(StatusCode::OK, &json!({"version": version})))
}
