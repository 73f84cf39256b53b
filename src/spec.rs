//! `gapura spec`: what is served, as OpenAPI 3.1, one document a service.
//!
//! The documents come from the table that answers requests, so they can't say another thing than the program does; they
//! are kept in `api-specs/` for people and tools to read without building it, and a test compares the two.

pub mod policy;

use crate::api::openapi;
use crate::error::{Error, Result};
use std::path::Path;

/// File names with their text.
pub fn documents() -> Vec<(&'static str, String)> {
    let file = |name: &str| openapi::DOCUMENTS.iter().find(|(service, _)| *service == name).map(|(_, file)| *file);
    openapi::documents().into_iter().filter_map(|(name, text)| Some((file(name)?, text))).collect()
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
