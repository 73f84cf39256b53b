//! QEMU's copy-on-write format, versions 2 and 3, as its `docs/interop/qcow2.txt` describes it.
//!
//! Two header fields make QEMU open another file: the backing file's name, and (version 3) the incompatible feature
//! "external data file" with its name in a header extension. Either is refused wherever it shows.

use super::bytes::{slice, u32_be, u64_be};
use super::{Evidence, Found, Unsafe};

const DATA_FILE: u64 = 1 << 2;
/// Dirty, corrupt, external data file, compression type, extended L2 entries.
const KNOWN_FEATURES: u64 = 0b1_1111;
const CORRUPT: u64 = 1 << 1;

const END_OF_EXTENSIONS: u32 = 0;
const DATA_FILE_NAME: u32 = 0x4441_5441;

/// Most entries QEMU accepts in a first-level table (32 MiB of eight-byte entries).
const MAX_L1_ENTRIES: u32 = (32 << 20) / 8;

pub fn read(evidence: &Evidence<'_>) -> Option<Found> {
    evidence.head.starts_with(b"QFI\xfb").then(|| {
        let mut found = Found::default();
        if read_header(evidence, &mut found).is_none() {
            found.note(Unsafe::Truncated("the header"));
        }
        found
    })
}

fn read_header(evidence: &Evidence<'_>, found: &mut Found) -> Option<()> {
    let head = evidence.head;
    let version = u32_be(head, 4)?;
    if !matches!(version, 2 | 3) {
        found.note(Unsafe::UnsupportedVersion(version));
        return Some(());
    }
    if u64_be(head, 8)? != 0 || u32_be(head, 16)? != 0 {
        found.note(Unsafe::BackingFile);
    }
    found.sized(u64_be(head, 24)?);
    let cluster_bits = u32_be(head, 20)?;
    if !(9..=21).contains(&cluster_bits) {
        found.note(Unsafe::Header("cluster size"));
        return Some(());
    }
    read_tables(evidence, found)?;
    let header_length = if version == 2 { 72 } else { read_version_3(head, found)? };
    if header_length < 72 || u64::from(header_length) > 1 << cluster_bits {
        found.note(Unsafe::Header("header length"));
        return Some(());
    }
    read_extensions(head, header_length as usize, 1 << cluster_bits, found)
}

/// The tables that map the disk must lie inside the file: else somebody's bytes are missing.
fn read_tables(evidence: &Evidence<'_>, found: &mut Found) -> Option<()> {
    let (entries, offset) = (u32_be(evidence.head, 36)?, u64_be(evidence.head, 40)?);
    if entries > MAX_L1_ENTRIES {
        found.note(Unsafe::Header("first-level table"));
    } else if offset.checked_add(u64::from(entries) * 8).is_none_or(|end| end > evidence.size) {
        found.note(Unsafe::Truncated("the first-level table"));
    }
    if u64_be(evidence.head, 48)? >= evidence.size {
        found.note(Unsafe::Truncated("the reference counts"));
    }
    Some(())
}

/// The fields that version 3 added; answers the header's length.
fn read_version_3(head: &[u8], found: &mut Found) -> Option<u32> {
    let features = u64_be(head, 72)?;
    if features & DATA_FILE != 0 {
        found.note(Unsafe::DataFile);
    }
    if features & !KNOWN_FEATURES != 0 {
        found.note(Unsafe::UnknownFeatures(features & !KNOWN_FEATURES));
    }
    if features & CORRUPT != 0 {
        found.note(Unsafe::Header("it is marked as corrupt"));
    }
    if u32_be(head, 96)? > 6 {
        found.note(Unsafe::Header("reference count width"));
    }
    let length = u32_be(head, 100)?;
    if length < 104 || !length.is_multiple_of(8) {
        found.note(Unsafe::Header("header length"));
    }
    Some(length)
}

/// Header extensions follow the header and end within the first cluster.
fn read_extensions(head: &[u8], start: usize, first_cluster: usize, found: &mut Found) -> Option<()> {
    let mut offset = start;
    while offset + 8 <= first_cluster {
        let (kind, length) = (u32_be(head, offset)?, u32_be(head, offset + 4)? as usize);
        match kind {
            END_OF_EXTENSIONS => return Some(()),
            DATA_FILE_NAME => found.note(Unsafe::DataFile),
            _ => {}
        }
        offset += 8 + length.next_multiple_of(8);
        if offset > first_cluster {
            found.note(Unsafe::Header("header extension"));
            return Some(());
        }
        slice(head, 0, offset)?;
    }
    Some(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{check_file, findings};
    use super::super::{Checked, Format, MAX_VIRTUAL_SIZE};
    use super::*;

    fn put(file: &mut [u8], offset: usize, bytes: &[u8]) {
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn version_2(virtual_size: u64) -> Vec<u8> {
        let mut file = vec![0; 4 << 16];
        put(&mut file, 0, b"QFI\xfb");
        put(&mut file, 4, &2u32.to_be_bytes());
        put(&mut file, 20, &16u32.to_be_bytes());
        put(&mut file, 24, &virtual_size.to_be_bytes());
        put(&mut file, 36, &1u32.to_be_bytes());
        put(&mut file, 40, &(3u64 << 16).to_be_bytes());
        put(&mut file, 48, &(1u64 << 16).to_be_bytes());
        file
    }

    pub(in super::super) fn version_3(virtual_size: u64) -> Vec<u8> {
        let mut file = version_2(virtual_size);
        put(&mut file, 4, &3u32.to_be_bytes());
        put(&mut file, 96, &4u32.to_be_bytes());
        put(&mut file, 100, &104u32.to_be_bytes());
        file
    }

    #[test]
    fn both_versions_tell_their_virtual_size() {
        let good = Ok(Checked { format: Format::Qcow2, virtual_size: Some(1 << 30) });
        assert_eq!(check_file("qcow2", &version_2(1 << 30)), good);
        assert_eq!(check_file("qcow2", &version_3(1 << 30)), good);
    }

    #[test]
    fn cve_2015_5163_a_qcow2_with_a_backing_file_is_refused() {
        let mut by_offset = version_3(1 << 30);
        put(&mut by_offset, 8, &512u64.to_be_bytes());
        let mut by_length = version_2(1 << 30);
        put(&mut by_length, 16, &11u32.to_be_bytes());
        for file in [by_offset, by_length] {
            assert_eq!(findings("qcow2", &file), [Unsafe::BackingFile]);
        }
    }

    #[test]
    fn cve_2024_32498_qcow2_data_file_is_refused() {
        let mut by_feature = version_3(1 << 30);
        put(&mut by_feature, 72, &(1u64 << 2).to_be_bytes());
        let mut by_name = version_3(1 << 30);
        put(&mut by_name, 104, &DATA_FILE_NAME.to_be_bytes());
        put(&mut by_name, 108, &11u32.to_be_bytes());
        put(&mut by_name, 112, b"/etc/shadow");
        for file in [by_feature, by_name] {
            assert_eq!(findings("qcow2", &file), [Unsafe::DataFile]);
            assert!(check_file("qcow2", &file).unwrap_err().to_string().contains("external data file"));
        }
    }

    #[test]
    fn each_unknown_incompatible_feature_is_refused_and_each_known_one_is_not() {
        for bit in 0..64 {
            let mut file = version_3(1 << 30);
            put(&mut file, 72, &(1u64 << bit).to_be_bytes());
            let expected = match bit {
                0 | 3 | 4 => vec![],
                1 => vec![Unsafe::Header("it is marked as corrupt")],
                2 => vec![Unsafe::DataFile],
                _ => vec![Unsafe::UnknownFeatures(1 << bit)],
            };
            assert_eq!(findings("qcow2", &file), expected, "bit {bit}");
        }
    }

    #[test]
    fn cve_2013_2096_an_absurd_virtual_size_is_refused() {
        assert_eq!(findings("qcow2", &version_3(MAX_VIRTUAL_SIZE)), []);
        for size in [MAX_VIRTUAL_SIZE + 1, u64::MAX] {
            assert_eq!(findings("qcow2", &version_3(size)), [Unsafe::VirtualSize(size)]);
        }
    }

    #[test]
    fn absurd_header_fields_are_refused() {
        for (offset, value, reason) in [
            (4, 1, Unsafe::UnsupportedVersion(1)),
            (4, 4, Unsafe::UnsupportedVersion(4)),
            (20, 8, Unsafe::Header("cluster size")),
            (20, 64, Unsafe::Header("cluster size")),
            (36, MAX_L1_ENTRIES + 1, Unsafe::Header("first-level table")),
            (40, u32::MAX, Unsafe::Truncated("the first-level table")),
            (52, 4 << 16, Unsafe::Truncated("the reference counts")),
            (96, 7, Unsafe::Header("reference count width")),
            (100, 72, Unsafe::Header("header length")),
            (100, u32::MAX - 7, Unsafe::Header("header length")),
        ] {
            let mut file = version_3(1 << 30);
            put(&mut file, offset, &u32::to_be_bytes(value));
            assert_eq!(findings("qcow2", &file), [reason], "{value} at {offset}");
        }
    }

    #[test]
    fn an_extension_that_runs_out_of_the_first_cluster_is_refused() {
        let mut file = version_3(1 << 30);
        put(&mut file, 104, &0x6803_f857u32.to_be_bytes());
        put(&mut file, 108, &u32::MAX.to_be_bytes());
        assert_eq!(findings("qcow2", &file), [Unsafe::Header("header extension")]);
    }
}
