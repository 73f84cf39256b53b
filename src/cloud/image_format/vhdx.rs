//! Microsoft's newer format: a table of regions points to the metadata, a table there to the size and to the parent.
//!
//! Both copies of the region table are read, because a reader may choose either. Metadata that lies beyond what is
//! inspected is refused: no writer puts it there.

use super::bytes::{slice, u16_le, u32_le, u64_le};
use super::{Evidence, Found, Unsafe};

const REGION_TABLES: [usize; 2] = [192 << 10, 256 << 10];
const MAX_ENTRIES: usize = 2047;

/// GUIDs as they lie in the file: the first three groups little-endian.
const METADATA_REGION: [u8; 16] =
    [0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e];
const BLOCK_ALLOCATION_REGION: [u8; 16] =
    [0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08];
const FILE_PARAMETERS: [u8; 16] =
    [0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b];
const VIRTUAL_DISK_SIZE: [u8; 16] =
    [0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8];
const PARENT_LOCATOR: [u8; 16] =
    [0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c];

const HAS_PARENT: u32 = 1 << 1;
const REQUIRED: u32 = 1;

pub fn read(evidence: &Evidence<'_>) -> Option<Found> {
    evidence.head.starts_with(b"vhdxfile").then(|| {
        let mut found = Found::default();
        for table in REGION_TABLES {
            if read_regions(evidence.head, table, &mut found).is_none() {
                found.note(Unsafe::Truncated("the metadata"));
            }
        }
        if found.virtual_size.is_none() && found.findings.is_empty() {
            found.note(Unsafe::Header("no virtual disk size"));
        }
        found
    })
}

fn read_regions(head: &[u8], table: usize, found: &mut Found) -> Option<()> {
    if slice(head, table, 4)? != b"regi" {
        found.note(Unsafe::Header("region table"));
        return Some(());
    }
    let count = u32_le(head, table + 8)? as usize;
    if count > MAX_ENTRIES {
        found.note(Unsafe::Header("region table"));
        return Some(());
    }
    for entry in (0..count).map(|index| table + 16 + index * 32) {
        let id = slice(head, entry, 16)?;
        if id == METADATA_REGION {
            read_metadata(head, usize::try_from(u64_le(head, entry + 16)?).ok()?, found)?;
        } else if id != BLOCK_ALLOCATION_REGION && u32_le(head, entry + 28)? & REQUIRED != 0 {
            found.note(Unsafe::Header("a required region that is unknown"));
        }
    }
    Some(())
}

fn read_metadata(head: &[u8], region: usize, found: &mut Found) -> Option<()> {
    let count = usize::from(u16_le(head, region.checked_add(10)?)?);
    if slice(head, region, 8)? != b"metadata" || count > MAX_ENTRIES {
        found.note(Unsafe::Header("metadata table"));
        return Some(());
    }
    for entry in (0..count).map(|index| region + 32 + index * 32) {
        let id = slice(head, entry, 16)?;
        let value = region.checked_add(u32_le(head, entry + 16)? as usize)?;
        if id == VIRTUAL_DISK_SIZE {
            let size = u64_le(head, value)?;
            if found.virtual_size.is_some_and(|other| other != size) {
                found.note(Unsafe::Header("two virtual disk sizes"));
            }
            found.sized(size);
        } else if id == PARENT_LOCATOR
            || id == FILE_PARAMETERS && u32_le(head, value.checked_add(4)?)? & HAS_PARENT != 0
        {
            found.note(Unsafe::BackingFile);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check_file, findings};
    use super::*;

    const METADATA: usize = 2 << 20;

    fn put(file: &mut [u8], offset: usize, bytes: &[u8]) {
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn image(virtual_size: u64, flags: u32) -> Vec<u8> {
        let mut file = vec![0; METADATA + (128 << 10)];
        put(&mut file, 0, b"vhdxfile");
        for table in REGION_TABLES {
            put(&mut file, table, b"regi");
            put(&mut file, table + 8, &1u32.to_le_bytes());
            put(&mut file, table + 16, &METADATA_REGION);
            put(&mut file, table + 32, &(METADATA as u64).to_le_bytes());
        }
        put(&mut file, METADATA, b"metadata");
        put(&mut file, METADATA + 10, &2u16.to_le_bytes());
        for (index, (id, value)) in
            [(VIRTUAL_DISK_SIZE, virtual_size.to_le_bytes()), (FILE_PARAMETERS, (u64::from(flags) << 32).to_le_bytes())]
                .into_iter()
                .enumerate()
        {
            let at = (64 << 10) + 8 * index;
            put(&mut file, METADATA + 32 + 32 * index, &id);
            put(&mut file, METADATA + 48 + 32 * index, &(at as u32).to_le_bytes());
            put(&mut file, METADATA + at, &value);
        }
        file
    }

    #[test]
    fn a_vhdx_tells_its_virtual_size() {
        assert_eq!(check_file("vhdx", &image(5 << 30, 0)).map(|c| c.virtual_size), Ok(Some(5 << 30)));
    }

    #[test]
    fn a_vhdx_with_a_parent_is_refused() {
        assert_eq!(findings("vhdx", &image(5 << 30, HAS_PARENT)), [Unsafe::BackingFile]);
        let mut located = image(5 << 30, 0);
        put(&mut located, METADATA + 64, &PARENT_LOCATOR);
        assert_eq!(findings("vhdx", &located), [Unsafe::BackingFile]);
    }

    #[test]
    fn a_parent_that_only_the_second_region_table_leads_to_is_refused() {
        let mut file = image(5 << 30, 0);
        let other = METADATA + (100 << 10);
        put(&mut file, REGION_TABLES[1] + 32, &(other as u64).to_le_bytes());
        put(&mut file, other, b"metadata");
        put(&mut file, other + 10, &1u16.to_le_bytes());
        put(&mut file, other + 32, &PARENT_LOCATOR);
        assert_eq!(findings("vhdx", &file), [Unsafe::BackingFile]);
    }

    #[test]
    fn metadata_beyond_what_is_inspected_is_refused() {
        for at in [1u64 << 40, u64::MAX] {
            let mut file = image(5 << 30, 0);
            put(&mut file, REGION_TABLES[0] + 32, &at.to_le_bytes());
            assert_eq!(findings("vhdx", &file), [Unsafe::Truncated("the metadata")]);
        }
    }
}
