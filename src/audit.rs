//! The audit file: one event a line, in the order they were written.
//!
//! It is the owner's alone (0600), only ever appended to, and opened anew when another file is found in its place, so that
//! a log can be rotated by renaming it. An event that can't be written is a fault for the log, not for who caused it: the
//! change has happened by then.

use crate::error::{Error, Result};
use parking_lot::Mutex;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What most events fit in.
const LINE: usize = 1024;

/// Where events go.
pub struct Audit {
    /// Says who saw what is told: an id of the cloud.
    pub observer: String,
    file: Option<(PathBuf, Mutex<File>)>,
}

impl Audit {
    /// Nothing is written.
    pub fn off() -> Self {
        Self { observer: String::new(), file: None }
    }

    /// Events are added to the file, which is made when missing.
    ///
    /// # Errors
    /// `Internal` when it can't be written.
    pub fn to(path: &Path, observer: impl Into<String>) -> Result<Self> {
        let file = open(path)
            .map_err(|why| Error::internal("the audit file can't be written", format!("{}: {why}", path.display())))?;
        Ok(Self { observer: observer.into(), file: Some((path.to_owned(), Mutex::new(file))) })
    }

    pub fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// Writes an event.
    pub fn write(&self, event: &impl Serialize) {
        let Some((path, file)) = &self.file else { return };
        let write = || -> std::io::Result<()> {
            let mut line = Vec::with_capacity(LINE);
            serde_json::to_writer(&mut line, event)?;
            line.push(b'\n');
            let mut file = file.lock();
            if !is_at(&file, path) {
                *file = open(path)?;
            }
            file.write_all(&line)
        };
        if let Err(why) = write() {
            tracing::error!(path = %path.display(), %why, "an audit event could not be written");
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Is the open file the one that the path names now?
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn events_are_lines_of_a_file_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        for number in [1, 2] {
            Audit::to(&path, "cloud").unwrap().write(&json!({ "number": number }));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"number\":1}\n{\"number\":2}\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_was_renamed_is_followed_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::to(&path, "cloud").unwrap();
        audit.write(&json!(1));
        std::fs::rename(&path, folder.path().join("audit.log.1")).unwrap();
        audit.write(&json!(2));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
    }

    #[test]
    fn a_place_that_can_t_be_written_is_said_at_the_start() {
        assert!(Audit::to(Path::new("/nowhere/audit.log"), "cloud").is_err());
    }
}
