//! `GET /compute/openapi.json` and its siblings: what each service serves, for whoever asks.
//!
//! The table that answers requests is written down once, with the first question; it can't change while the program runs.

use super::root;
use super::{Call, Row, table};
use crate::error::{Error, Kind, Result};
use crate::http::openapi;
use crate::http::reply::RawReply;
use crate::http::table::get;
use bytes::Bytes;
use http::StatusCode;
use std::sync::OnceLock;

/// The services that are OpenStack's: name, and the document's name where it is kept in a file.
pub const DOCUMENTS: &[(&str, &str)] = &[
    ("identity", "identity-v3.json"),
    ("image", "image-v2.json"),
    ("compute", "compute-v2.1.json"),
    ("network", "network-v2.0.json"),
    ("placement", "placement-v1.json"),
];

/// Rows of [`root`], for the documents stand beside the services' versions, not within one.
pub fn rows() -> Vec<Row> {
    vec![
        get("/identity/openapi.json", |call| answer(call, "identity")).public(),
        get("/image/openapi.json", |call| answer(call, "image")).public(),
        get("/compute/openapi.json", |call| answer(call, "compute")).public(),
        get("/network/openapi.json", |call| answer(call, "network")).public(),
        get("/placement/openapi.json", |call| answer(call, "placement")).public(),
    ]
}

/// Every document with the name of its service.
pub fn documents() -> Vec<(&'static str, String)> {
    let table = table();
    let served = |name: &str| table.iter().find(|(service, _)| service.name == name);
    DOCUMENTS
        .iter()
        .filter_map(|(name, _)| {
            let (service, rows) = served(name)?;
            let document = openapi::document(service, rows.iter());
            let text = serde_json::to_string_pretty(&document).expect("documents have text keys");
            Some((*name, text + "\n"))
        })
        .collect()
}

async fn answer(_: Call, name: &'static str) -> Result<RawReply> {
    static KEPT: OnceLock<Vec<(&'static str, Bytes)>> = OnceLock::new();
    let kept = KEPT.get_or_init(|| documents().into_iter().map(|(name, text)| (name, Bytes::from(text))).collect());
    let found = kept.iter().find(|(kept, _)| *kept == name);
    let (_, text) = found.ok_or_else(|| Error::not_found(Kind::Page, root::SERVICE.name))?;
    Ok(RawReply::bytes(StatusCode::OK, "application/json", text.clone()))
}
