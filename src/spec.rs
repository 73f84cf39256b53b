//! `gapura spec`: what is served, as OpenAPI 3.1, one document a service.
//!
//! The documents come from the table that answers requests, so they can't say another thing than the program does; they
//! are kept in `api-specs/` for people and tools to read without building it, and a test compares the two.

pub mod policy;

use crate::api;
use crate::error::{Error, Result};
use crate::http::openapi;
use std::path::Path;

/// The services that are OpenStack's, each with its document's name.
const DOCUMENTS: &[(&str, &str)] = &[
    ("identity", "identity-v3.json"),
    ("image", "image-v2.json"),
    ("compute", "compute-v2.1.json"),
    ("network", "network-v2.0.json"),
];

/// File names with their text.
pub fn documents() -> Vec<(&'static str, String)> {
    let table = api::table();
    let served = |name: &str| table.iter().find(|(service, _)| service.name == name);
    DOCUMENTS
        .iter()
        .filter_map(|(name, file)| {
            let (service, rows) = served(name)?;
            let document = openapi::document(service, rows.iter());
            let text = serde_json::to_string_pretty(&document).expect("documents have text keys");
            Some((*file, text + "\n"))
        })
        .collect()
}

/// Writes every document into a folder; answers the names.
///
/// # Errors
/// `BadRequest` when the folder can't be written.
pub fn write(folder: &Path) -> Result<Vec<&'static str>> {
    let refused = |error: std::io::Error| Error::bad_request(format!("can't write to {}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(refused)?;
    documents()
        .into_iter()
        .map(|(name, text)| {
            std::fs::write(folder.join(name), text).map_err(refused)?;
            Ok(name)
        })
        .collect()
}
