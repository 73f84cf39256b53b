//! The config drive: what cloud-init reads of a machine, on a small CD.
//!
//! ISO 9660 alone knows no name like `openstack/latest/meta_data.json`, so the names are written twice more, as Rock
//! Ridge (what Linux reads) and Joliet (what Windows reads). The image has no time in it: the same files are the same
//! bytes, whenever and wherever they are written, so that a task that runs twice changes nothing.

use crate::error::{Error, Result};
use hadris_fs::{Content, NoClock, Node, Tree};
use hadris_iso::{IsoId, IsoOptions};
use std::fs::File;

/// The volume's name, by which guests find it.
const LABEL: &str = "config-2";

/// Writes the drive into `file`, which is empty and open for reading and writing.
pub fn write(file: File, files: &[(String, Vec<u8>)]) -> Result<()> {
    let mut tree = Tree::new();
    for (path, content) in files {
        let node = Node::file(Content::bytes(content.clone()));
        tree.insert(path.as_str(), node).map_err(|error| Error::internal("naming a file of a config drive", error))?;
    }
    let options = IsoOptions::default()
        .with_id(IsoId::Volume, LABEL)
        .with_id(IsoId::Application, "GAPURA")
        .with_joliet()
        .with_rock_ridge()
        .with_time(NoClock::TIME);
    let device = hadris_storage::host::FileDevice::new(file)
        .map_err(|error| Error::internal("opening a config drive", error))?;
    let report = hadris_iso::sync::write(device, &tree, &options)
        .map_err(|error| Error::internal("writing a config drive", error))?;
    for warning in report.warnings() {
        tracing::warn!(%warning, "a config drive lacks something");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(files: &[(&str, &str)]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.iso");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
        write(file, &files).unwrap();
        (folder, path)
    }

    const FILES: [(&str, &str); 3] = [
        ("openstack/latest/meta_data.json", r#"{"uuid": "1"}"#),
        ("openstack/latest/user_data", "#!/bin/sh\n"),
        ("openstack/2012-08-10/meta_data.json", "{}"),
    ];

    #[test]
    fn files_are_read_back_under_their_own_names() {
        use hadris_fs::{MountOptions, OpenOptions, sync::Volume};
        use std::io::Read;
        let (_folder, path) = image(&FILES);
        let device = hadris_storage::host::FileDevice::open(path).unwrap();
        let volume = Volume::new(hadris_iso::sync::IsoFs::mount(device, MountOptions::new()).unwrap());
        for (name, text) in FILES {
            let mut read = String::new();
            let name = format!("/{name}");
            volume.open(name.as_str(), OpenOptions::new().read()).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
    }

    /// The label stands where guests (and `blkid`) look for it: 40 bytes into the first volume descriptor.
    #[test]
    fn the_label_is_config_2() {
        let (_folder, path) = image(&FILES);
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[32769..32774], b"CD001");
        assert_eq!(&bytes[32808..32817], b"config-2 ");
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let ((_a, first), (_b, second)) = (image(&FILES), image(&FILES));
        assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
    }

    /// Another reader than the writer's own, where one is installed.
    #[test]
    fn isoinfo_finds_rock_ridge_and_joliet_names() {
        let (_folder, path) = image(&FILES);
        for names in ["-R", "-J"] {
            let Ok(output) = std::process::Command::new("isoinfo").args(["-f", names, "-i"]).arg(&path).output() else {
                eprintln!("SKIPPED: isoinfo is not installed");
                return;
            };
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(listed.lines().any(|line| line == "/openstack/latest/meta_data.json"), "{listed}");
        }
    }
}
