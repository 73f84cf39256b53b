//! As whom QEMU runs, and what that user may read.

use super::place::setting;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What distributions call the user that their libvirt runs QEMU as.
const USUAL: [&str; 2] = ["libvirt-qemu", "qemu"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub id: u32,
    groups: Vec<u32>,
}

impl User {
    /// QEMU's on this machine; root where no other is found, as libvirt does by itself.
    pub fn of_qemu(etc: &Path) -> Self {
        let set = fs::read_to_string(etc.join("libvirt/qemu.conf")).ok().and_then(|text| setting(&text, "user"));
        let found = match &set {
            Some(name) => Self::named(etc, name),
            None => USUAL.iter().find_map(|name| Self::named(etc, name)),
        };
        found.unwrap_or_else(Self::root)
    }

    pub fn root() -> Self {
        Self { name: "root".to_owned(), id: 0, groups: vec![0] }
    }

    /// A name, or a number with or without the plus sign that libvirt knows it by.
    fn named(etc: &Path, name: &str) -> Option<Self> {
        let users = fs::read_to_string(etc.join("passwd")).unwrap_or_default();
        let number: Option<u32> = name.strip_prefix('+').unwrap_or(name).parse().ok();
        let line = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
            fields.len() > 3 && (fields[0] == name || number.is_some_and(|number| fields[2] == number.to_string()))
        });
        let Some(fields) = line else {
            return number.map(|id| Self { name: id.to_string(), id, groups: Vec::new() });
        };
        let groups = fs::read_to_string(etc.join("group")).unwrap_or_default();
        let others = groups.lines().filter_map(|line| {
            let group: Vec<&str> = line.split(':').collect();
            let is_in = group.get(3)?.split(',').any(|member| member == fields[0]);
            is_in.then(|| group[2].parse().ok())?
        });
        let groups = fields[3].parse().ok().into_iter().chain(others).collect();
        Some(Self { name: fields[0].to_owned(), id: fields[2].parse().ok()?, groups })
    }

    /// May it read the file, by the modes of the file and of the folder that it is in?
    pub fn may_read(&self, path: &Path) -> bool {
        let has = |path: &Path, bit: u32| {
            let Ok(metadata) = fs::metadata(path) else { return false };
            let shift = match () {
                () if self.id == 0 => return true,
                () if metadata.uid() == self.id => 6,
                () if self.groups.contains(&metadata.gid()) => 3,
                () => 0,
            };
            metadata.mode() & (bit << shift) != 0
        };
        has(path, 0o4) && path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).all(|f| has(f, 0o1))
    }
}
