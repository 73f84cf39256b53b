//! Version documents: `/identity` (multiple choices) and `/identity/v3`.

use crate::api::{Call, Row};
use crate::error::Result;
use crate::http::reply::RawReply;
use crate::http::table::get;
use http::StatusCode;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![get("", choices).public(), get("/v3", version).public()]
}

fn v3(public_url: &str) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{public_url}/identity/v3/")}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}

async fn choices(call: Call) -> Result<RawReply> {
    let url = &call.cx.state.public_url;
    let body = json!({"versions": {"values": [v3(url)]}});
    Ok(RawReply::json(StatusCode::MULTIPLE_CHOICES, &body)
        .header("location", &format!("{url}/identity/v3/"))
        .header("vary", "X-Auth-Token"))
}

async fn version(call: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::OK, &json!({"version": v3(&call.cx.state.public_url)}))
        .header("vary", "X-Auth-Token"))
}
