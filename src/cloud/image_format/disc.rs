//! Formats without structure to follow: discs, partition tables, and those that are only recognised to be refused.

use super::bytes::{slice, u16_le, u32_le};
use super::{Evidence, Found, Unsafe};

const DESCRIPTOR: usize = 32 << 10;

/// ISO 9660 or UDF, by the volume descriptor behind the 32 KiB that belong to the system.
pub fn read_iso(evidence: &Evidence<'_>) -> Option<Found> {
    let descriptor = slice(evidence.head, DESCRIPTOR, 2048)?;
    if !matches!(&descriptor[1..6], b"CD001" | b"NSR02" | b"NSR03" | b"BEA01") {
        return None;
    }
    let mut found = Found::default();
    if descriptor[0] == 1 {
        found.sized(u64::from(u32_le(descriptor, 80)?) * u64::from(u16_le(descriptor, 128)?));
    }
    Some(found)
}

/// A boot sector that isn't a FAT file system's. Harmless: what follows is the guest's business.
pub fn read_partition_table(evidence: &Evidence<'_>) -> Option<Found> {
    let sector = slice(evidence.head, 0, 512)?;
    let is_fat = sector[0x10] == 2 && sector[0x15] == 0xf8;
    (sector[510..] == [0x55, 0xaa] && !is_fat)
        .then(|| Found { virtual_size: Some(evidence.size), findings: Vec::new() })
}

pub fn read_qed(evidence: &Evidence<'_>) -> Option<Found> {
    evidence.head.starts_with(b"QED\0").then(|| Found::refused(Unsafe::Banned))
}

pub fn read_luks(evidence: &Evidence<'_>) -> Option<Found> {
    evidence.head.starts_with(b"LUKS\xba\xbe").then(|| Found::refused(Unsafe::Banned))
}

pub fn read_ploop(evidence: &Evidence<'_>) -> Option<Found> {
    let head = evidence.head;
    (head.starts_with(b"WithoutFreeSpace") || head.starts_with(b"WithouFreSpacExt")).then(Found::default)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::check_file;
    use super::super::{Checked, Format, Refusal};

    pub(in super::super) fn iso(sectors: u32) -> Vec<u8> {
        let mut file = vec![0; 2048 * sectors as usize];
        file[32 << 10] = 1;
        file[(32 << 10) + 1..][..5].copy_from_slice(b"CD001");
        file[(32 << 10) + 80..][..4].copy_from_slice(&sectors.to_le_bytes());
        file[(32 << 10) + 128..][..2].copy_from_slice(&2048u16.to_le_bytes());
        file
    }

    #[test]
    fn a_disc_is_fine_as_iso_and_as_raw_but_not_as_anything_else() {
        let file = iso(20);
        let checked = Checked { format: Format::Iso, virtual_size: Some(40960) };
        assert_eq!(check_file("iso", &file), Ok(checked));
        assert_eq!(check_file("raw", &file), Ok(checked));
        for declared in ["qcow2", "vmdk", "ami"] {
            assert!(matches!(check_file(declared, &file), Err(Refusal::Mismatch { .. })));
        }
    }

    #[test]
    fn a_disc_that_boots_from_a_stick_too_is_still_a_disc() {
        let mut file = iso(20);
        file[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(check_file("iso", &file).map(|c| c.format), Ok(Format::Iso));
        assert_eq!(check_file("raw", &file).map(|c| c.format), Ok(Format::Iso));
    }

    #[test]
    fn a_disk_with_a_partition_table_is_fine_as_raw_but_not_as_a_disc() {
        let mut file = vec![0; 4096];
        file[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(check_file("raw", &file), Ok(Checked { format: Format::PartitionedRaw, virtual_size: Some(4096) }));
        assert!(matches!(check_file("iso", &file), Err(Refusal::Mismatch { .. })));
    }

    #[test]
    fn a_file_system_of_the_fat_kind_is_raw() {
        let mut file = vec![0; 4096];
        file[0x10] = 2;
        file[0x15] = 0xf8;
        file[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(check_file("raw", &file).map(|c| c.format), Ok(Format::Raw));
    }

    #[test]
    fn a_ploop_image_is_only_ever_one_by_declaration() {
        let mut file = vec![0; 4096];
        file[..16].copy_from_slice(b"WithouFreSpacExt");
        assert_eq!(check_file("ploop", &file).map(|c| c.format), Ok(Format::Ploop));
        assert!(matches!(check_file("raw", &file), Err(Refusal::Mismatch { .. })));
    }
}
