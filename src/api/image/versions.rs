//! Which versions there are: without a token, wherever a client may look first.

use crate::api::{Call, State};
use crate::error::Result;
use crate::http::reply::RawReply;
use http::StatusCode;
use serde_json::{Value, json};

/// Those whose operations are all served, the newest first. A minor version stands for what it added, so there are gaps, as
/// in upstream's list. Not here: 2.17, which is `/v2/images/{image_id}/locations`. Where bytes are is told to nobody and taken
/// from nobody, whatever a policy says (CVE-2014-9493, CVE-2015-5251): those rows answer 501, and a client that looks here
/// first uploads or imports instead.
const VERSIONS: [(&str, Needs); 18] = [
    ("2.18", Needs::Nothing),
    ("2.16", Needs::Nothing),
    ("2.15", Needs::Nothing),
    ("2.14", Needs::Nothing),
    ("2.13", Needs::NamedStores),
    ("2.12", Needs::NamedStores),
    ("2.11", Needs::NamedStores),
    ("2.10", Needs::NamedStores),
    ("2.9", Needs::Nothing),
    ("2.8", Needs::NamedStores),
    ("2.7", Needs::Nothing),
    ("2.6", Needs::Nothing),
    ("2.5", Needs::Nothing),
    ("2.4", Needs::Nothing),
    ("2.3", Needs::Nothing),
    ("2.2", Needs::Nothing),
    ("2.1", Needs::Nothing),
    ("2.0", Needs::Nothing),
];

#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Nothing,
    /// Upstream announces it only where there are several stores to choose among, so that clients offer the choice.
    NamedStores,
}

/// `GET /` and `GET /v2`: 300, there is a choice.
pub async fn choices(call: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::MULTIPLE_CHOICES, &document(&call.cx.state)))
}

/// `GET /versions`: 200, one asked for the list.
pub async fn list(call: Call) -> Result<RawReply> {
    Ok(RawReply::json(StatusCode::OK, &document(&call.cx.state)))
}

fn document(state: &State) -> Value {
    let public_url = &state.public_url;
    let version = |id: &str, status: &str| {
        let links = [json!({"rel": "self", "href": format!("{public_url}/image/v2/")})];
        json!({"id": format!("v{id}"), "status": status, "links": links})
    };
    let are_named = state.stores.are_named();
    let ids = VERSIONS.iter().filter(|(_, needs)| are_named || *needs == Needs::Nothing).map(|(id, _)| *id);
    let versions: Vec<_> =
        ids.enumerate().map(|(at, id)| version(id, if at == 0 { "CURRENT" } else { "SUPPORTED" })).collect();
    json!({"versions": versions})
}
