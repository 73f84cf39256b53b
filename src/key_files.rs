//! Files that hold keys: `<created>-<name>.<suffix>`, readable by the owner alone, in a folder that is too.
//!
//! A file is written beside its name and then moved there, so that no process ever reads half a key.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file with a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyFile {
    pub created: Timestamp,
    pub path: PathBuf,
    pub name: String,
}

fn failed(what: &'static str, path: &Path, why: &std::io::Error) -> Error {
    Error::internal(what, format!("{}: {why}", path.display()))
}

/// Makes the folder when it is missing.
///
/// # Errors
/// `Internal` when it can't be made.
pub fn create_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|why| failed("a folder of keys could not be made", folder, &why))
}

/// Keeps a new key.
///
/// # Errors
/// `Internal` when the file can't be written.
pub fn write(folder: &Path, now: Timestamp, name: &str, suffix: &str, key: &[u8]) -> Result<()> {
    let path = folder.join(format!("{:020}-{name}.{suffix}", now.0));
    let draft = path.with_extension("draft");
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(key)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|why| failed("a key could not be written", &path, &why))
}

/// The folder's files, oldest first.
///
/// # Errors
/// `Internal` when the folder can't be read.
pub fn list(folder: &Path, suffix: &str) -> Result<Vec<KeyFile>> {
    let unreadable = |why: std::io::Error| failed("a folder of keys could not be read", folder, &why);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().and_then(|extension| extension.to_str()) != Some(suffix) {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if let Some((created, name)) = stem.split_once('-')
            && let Ok(created) = created.parse()
        {
            files.push(KeyFile { created: Timestamp(created), name: name.to_owned(), path });
        }
    }
    files.sort();
    Ok(files)
}

/// # Errors
/// `Internal` when the file can't be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|why| failed("a key could not be read", path, &why))
}

/// # Errors
/// `Internal` when the file can't be removed.
pub fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|why| failed("an old key could not be removed", path, &why))
}
