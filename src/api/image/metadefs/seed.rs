//! What `gapura init` makes of metadata definitions: namespaces from files, each unless one of its name is there.

use super::namespaces::insert;
use crate::clock::Timestamp;
use crate::cloud::metadef::{Description, read_namespace};
use crate::cloud::policy::Reach;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::{Db, metadefs};
use std::path::Path;

/// What the program brings along: what it carries out itself, and what guests say about themselves.
const OWN: [(&str, &str); 2] = [
    ("etc/metadefs/guest.json", include_str!("../../../../etc/metadefs/guest.json")),
    ("etc/metadefs/machine.json", include_str!("../../../../etc/metadefs/machine.json")),
];

/// Makes the namespaces that a folder's files describe (every `*.json`, in the order of their names), or those the program
/// brings along, for a project. How many were missing.
///
/// # Errors
/// `BadRequest` naming the file that can't be read; then none is made.
pub async fn seed(db: &Db, project: &ProjectId, folder: &Path, now: Timestamp) -> Result<usize> {
    let described = if folder.as_os_str().is_empty() { own() } else { in_folder(folder) }?;
    let project = project.clone();
    db.write(move |tx| {
        let mut made = 0;
        for description in &described {
            match metadefs::get(tx, &Reach::Cloud, &description.name) {
                Err(error) if error.is_not_found() => {
                    insert(tx, description, &project, now)?;
                    made += 1;
                }
                there => drop(there?),
            }
        }
        Ok(made)
    })
    .await
}

fn own() -> Result<Vec<Description>> {
    OWN.iter().map(|(file, text)| describe(file, text)).collect()
}

fn in_folder(folder: &Path) -> Result<Vec<Description>> {
    let unreadable = |error: std::io::Error| Error::bad_request(format!("can't read {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Error::bad_request(format!("can't read {}: {error}", path.display())))?;
            describe(&path.display().to_string(), &text)
        })
        .collect()
}

fn describe(file: &str, text: &str) -> Result<Description> {
    let body = serde_json::from_str(text).map_err(|error| Error::bad_request(format!("{file}: {error}")))?;
    read_namespace(&body).map_err(|error| Error::bad_request(format!("{file}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_brings_along_is_for_everybody_and_stays() {
        let own = own().unwrap();
        assert_eq!(own.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["Gapura::Guest", "Gapura::Machine"]);
        assert!(own.iter().all(|one| one.is_public && one.protected && !one.associations.is_empty()));
    }
}
