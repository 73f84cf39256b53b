//! What creation, update and rebuild of a server check alike.

use super::server_request::File;
use crate::cloud::quota;
use crate::error::{Error, Result};

/// Letters, digits and hyphens, each part at most 63 of them.
pub fn check_hostname(text: &str, may_be_qualified: bool) -> Result<()> {
    let is_label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let fine = if may_be_qualified { text.len() <= 255 && text.split('.').all(is_label) } else { is_label(text) };
    if fine {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "Invalid input for field/attribute hostname. Value: {text}. '{text}' does not match '^[a-zA-Z0-9-._]*$'"
    )))
}

/// Files for the config drive, within the quota.
pub fn check_personality(limits: &quota::Limits, files: &[File]) -> Result<()> {
    let over = |name: &str, found: usize| {
        let limit = limits.of(name);
        limit != quota::UNLIMITED && i64::try_from(found).map_or(true, |found| found > limit)
    };
    if over("injected_files", files.len()) {
        return Err(Error::OverQuota("Personality file limit exceeded".to_owned()));
    }
    if files.iter().any(|file| over("injected_file_path_bytes", file.path.0.len())) {
        return Err(Error::OverQuota("Personality file path exceeds maximum length".to_owned()));
    }
    if files.iter().any(|file| over("injected_file_content_bytes", file.contents.0.len())) {
        return Err(Error::OverQuota("Personality file content exceeds maximum size".to_owned()));
    }
    Ok(())
}
