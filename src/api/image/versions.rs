//! Which versions there are: without a token, wherever a client may look first.

use crate::api::Call;
use crate::error::Result;
use crate::http::reply::RawReply;
use http::StatusCode;
use serde_json::{Value, json};

/// The newest minor version whose operations are all served, and those before it. Clients choose by the major one only.
const CURRENT: &str = "2.9";
const SUPPORTED: [&str; 8] = ["2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0"];

/// `GET /` and `GET /v2`: 300, there is a choice.
pub async fn choices(call: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::MULTIPLE_CHOICES, &document(&call.cx.state.public_url)))
}

/// `GET /versions`: 200, one asked for the list.
pub async fn list(call: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::OK, &document(&call.cx.state.public_url)))
}

fn document(public_url: &str) -> Value {
    let version = |id: &str, status: &str| {
        let links = [json!({"rel": "self", "href": format!("{public_url}/image/v2/")})];
        json!({"id": format!("v{id}"), "status": status, "links": links})
    };
    let mut versions = vec![version(CURRENT, "CURRENT")];
    versions.extend(SUPPORTED.iter().map(|id| version(id, "SUPPORTED")));
    json!({"versions": versions})
}
