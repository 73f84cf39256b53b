//! `GET /compute` and `GET /compute/v2.1`: which versions there are. Anybody may ask.

use super::versions::AXIS;
use crate::api::faults::NOVA;
use crate::api::{Call, Row};
use crate::error::Result;
use crate::http::reply::RawReply;
use crate::http::table::{Service, get};
use http::StatusCode;
use serde_json::{Value, json};

pub static SERVICE: Service =
    Service { name: "compute-versions", prefix: "/compute", axis: None, dialect: &NOVA, head_as_get: false };

pub fn rows() -> Vec<Row> {
    vec![get("", versions).public()]
}

/// What both documents say of the one version.
fn version(href: &str) -> Value {
    json!({
        "id": "v2.1",
        "status": "CURRENT",
        "version": AXIS.display(AXIS.max).to_string(),
        "min_version": AXIS.display(AXIS.min).to_string(),
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": href}],
    })
}

async fn versions(call: Call) -> Result<RawReply> {
    let href = format!("{}/compute/v2.1/", call.cx.state.public_url);
    Ok(RawReply::json(StatusCode::OK, &json!({"versions": [version(&href)]})))
}

/// `GET /compute/v2.1`.
pub async fn one(call: Call) -> Result<RawReply> {
    let href = format!("{}/compute/v2.1/", call.cx.state.public_url);
    let mut version = version(&href);
    version["media-types"] =
        json!([{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]);
    if let Some(links) = version["links"].as_array_mut() {
        let docs = "http://docs.openstack.org/";
        links.push(json!({"rel": "describedby", "type": "text/html", "href": docs}));
    }
    Ok(RawReply::json(StatusCode::OK, &json!({"version": version})))
}
