//! The little of the qcow2 format that a host needs: to look at a header, and to make an empty overlay.
//!
//! An overlay without data is a header, two reference tables and an empty map: five clusters that are always the same.
//! Writing them takes microseconds and no process, where `qemu-img create` takes 20 ms and would have to be fenced in.
//! The looking is a second, independent opinion on what the image service has already inspected: between the two, the
//! bytes lay in a store and travelled.
//!
//! Format: <https://www.qemu.org/docs/master/interop/qcow2.html>.

use super::BaseImage;
use crate::error::{Error, Result};
use crate::hypervisor::DiskFormat;
use std::path::Path;

const MAGIC: &[u8; 4] = b"QFI\xfb";
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// What one entry of the first-level table maps: a second-level table of 8192 clusters.
const MAPPED_BY_ENTRY: u64 = CLUSTER / 8 * CLUSTER;
/// More than any flavor's disk; keeps the first-level table at 1 MiB.
const MAX_VIRTUAL_SIZE: u64 = 64 << 40;

/// Bytes of a file's beginning that [`check`] wants to see (all, if the file has fewer).
pub const HEAD: usize = 512;

/// Bytes of an overlay's beginning that [`backing`] wants to see: its header, and the longest name.
pub const OVERLAY_HEAD: usize = 2048;

/// The size of the disk that a guest sees in this base, after refusing what could reach beyond the file: a backing
/// file, an external data file, unknown features, or another format than the stated one.
pub fn check(base: &BaseImage, head: &[u8]) -> Result<u64> {
    let is_qcow2 = head.starts_with(MAGIC);
    match base.format {
        DiskFormat::Raw if is_qcow2 => Err(refused("is qcow2, not raw")),
        DiskFormat::Raw => Ok(base.size),
        DiskFormat::Qcow2 if !is_qcow2 => Err(refused("is not qcow2")),
        DiskFormat::Qcow2 => check_qcow2(head),
    }
}

fn check_qcow2(head: &[u8]) -> Result<u64> {
    let number = |offset: usize, length: usize| -> Result<u64> {
        let bytes = head.get(offset..offset + length).ok_or_else(|| refused("ends within its header"))?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let version = number(4, 4)?;
    if version != 2 && version != 3 {
        return Err(refused("has an unknown version of qcow2"));
    }
    if number(8, 8)? != 0 {
        return Err(refused("has a backing file"));
    }
    // Bit 0: marked dirty, bit 1: marked corrupt, bit 2: external data file, bit 3: compression type, bit 4: extended
    // entries. Compression and extended entries stay within the file.
    let incompatible = if version == 3 { number(72, 8)? } else { 0 };
    if incompatible & 0b100 != 0 {
        return Err(refused("has an external data file"));
    }
    if incompatible & !0b1_1011 != 0 {
        return Err(refused("has unknown features"));
    }
    number(24, 8)
}

/// The size of the disk in a file of this program's or QEMU's making, whose header no guest can write.
pub fn virtual_size(head: &[u8]) -> Result<u64> {
    let bytes: [u8; 8] = head
        .get(24..32)
        .and_then(|bytes| bytes.try_into().ok())
        .filter(|_| head.starts_with(MAGIC))
        .ok_or_else(|| refused("is not qcow2"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// The bytes of an empty qcow2 of `virtual_size` bytes with nothing behind it.
pub fn empty(virtual_size: u64) -> Result<Vec<u8>> {
    // An overlay without the name of what it lies over.
    let mut bytes = overlay(Path::new("/"), DiskFormat::Raw, virtual_size)?;
    bytes[8..20].fill(0);
    bytes[104..129].fill(0);
    Ok(bytes)
}

fn refused(what: &str) -> Error {
    Error::bad_request(format!("The image {what}."))
}

/// The bytes of an empty qcow2 (version 3) of `virtual_size` bytes over `backing`, whose format is stated.
pub fn overlay(backing: &Path, format: DiskFormat, virtual_size: u64) -> Result<Vec<u8>> {
    let backing = backing.to_str().ok_or_else(|| refused("lies under a path that is not text"))?;
    if backing.len() > 1023 || virtual_size == 0 || virtual_size > MAX_VIRTUAL_SIZE {
        return Err(refused("can't have a disk of this size here"));
    }
    let format = match format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    };
    // Sectors are what guests count in.
    let virtual_size = virtual_size.next_multiple_of(512);
    let map_entries = virtual_size.div_ceil(MAPPED_BY_ENTRY);
    let map_clusters = (map_entries * 8).div_ceil(CLUSTER);
    let (table, block, map) = (CLUSTER, 2 * CLUSTER, 3 * CLUSTER);
    let clusters = 3 + map_clusters;

    let mut header = Vec::with_capacity(usize::try_from(clusters * CLUSTER).expect("at most 1.3 MiB"));
    let put32 = |header: &mut Vec<u8>, number: u32| header.extend(number.to_be_bytes());
    let put64 = |header: &mut Vec<u8>, number: u64| header.extend(number.to_be_bytes());
    let length = |text: &str| u32::try_from(text.len()).expect("at most 1023");

    header.extend(MAGIC);
    put32(&mut header, 3);
    // 104 bytes of header; the extension with the backing file's format; the end of extensions; then its name.
    put64(&mut header, 104 + 16 + 8);
    put32(&mut header, length(backing));
    put32(&mut header, CLUSTER_BITS);
    put64(&mut header, virtual_size);
    put32(&mut header, 0); // not encrypted
    put32(&mut header, u32::try_from(map_entries).expect("at most 131,072"));
    put64(&mut header, map);
    put64(&mut header, table);
    put32(&mut header, 1); // one cluster of reference table
    put32(&mut header, 0); // no snapshots
    put64(&mut header, 0);
    put64(&mut header, 0); // no incompatible features
    put64(&mut header, 0); // nor compatible
    put64(&mut header, 0); // nor autoclear ones
    put32(&mut header, 4); // references are counted in 2⁴ bits
    put32(&mut header, 104);
    put32(&mut header, 0xE279_2ACA); // extension: format of the backing file
    put32(&mut header, length(format));
    header.extend(format.as_bytes());
    header.resize(104 + 16, 0);
    put64(&mut header, 0); // no more extensions
    header.extend(backing.as_bytes());

    header.resize(usize::try_from(table).expect("small"), 0);
    put64(&mut header, block);
    header.resize(usize::try_from(block).expect("small"), 0);
    for _ in 0..clusters {
        header.extend(1_u16.to_be_bytes());
    }
    header.resize(usize::try_from(clusters * CLUSTER).expect("at most 1.3 MiB"), 0);
    Ok(header)
}

/// As much of an overlay as [`over_another`] wants to see.
pub const FIRST_CLUSTER: usize = 1 << CLUSTER_BITS;

/// What an overlay's first bytes must be for it to lie over another file, of the same format. The name stands behind all
/// that QEMU has put after the header, so nothing of that is lost.
pub fn over_another(head: &[u8], backing: &Path) -> Result<Vec<u8>> {
    let number = |at: usize| -> Result<usize> {
        let bytes = head.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(|| refused("ends within its header"))?;
        usize::try_from(u32::from_be_bytes(*bytes)).map_err(|_| refused("ends within its header"))
    };
    if !head.starts_with(MAGIC) || number(4)? != 3 || number(20)? != CLUSTER_BITS as usize {
        return Err(refused("is no overlay of ours"));
    }
    let mut end = number(100)?;
    while number(end)? != 0 {
        end += 8 + number(end + 4)?.next_multiple_of(8);
    }
    end += 8;
    let name =
        backing.to_str().filter(|name| name.len() <= 1023).ok_or_else(|| refused("can't lie over such a file"))?;
    let mut new = head.get(..end).ok_or_else(|| refused("ends within its header"))?.to_vec();
    new[8..16].copy_from_slice(&(end as u64).to_be_bytes());
    new[16..20].copy_from_slice(&u32::try_from(name.len()).expect("at most 1023").to_be_bytes());
    new.extend(name.as_bytes());
    if new.len() > head.len() {
        return Err(refused("has no room for the name of what it lies over"));
    }
    Ok(new)
}

/// The file that an overlay of ours lies over; `None` for what is no such overlay.
pub fn backing(head: &[u8]) -> Option<&str> {
    let offset = usize::try_from(u64::from_be_bytes(*head.get(8..)?.first_chunk()?)).ok()?;
    let length = usize::try_from(u32::from_be_bytes(*head.get(16..)?.first_chunk()?)).ok()?;
    let name = head.starts_with(MAGIC).then(|| head.get(offset..offset.checked_add(length)?)).flatten()?;
    std::str::from_utf8(name).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn base(format: DiskFormat) -> BaseImage {
        BaseImage { sha512: "0".repeat(128), size: 1 << 20, format }
    }

    fn head(version: u32, backing: u64, incompatible: u64) -> Vec<u8> {
        let mut head = vec![0; 512];
        head[..4].copy_from_slice(MAGIC);
        head[4..8].copy_from_slice(&version.to_be_bytes());
        head[8..16].copy_from_slice(&backing.to_be_bytes());
        head[24..32].copy_from_slice(&(3_u64 << 20).to_be_bytes());
        head[72..80].copy_from_slice(&incompatible.to_be_bytes());
        head
    }

    fn refusal(format: DiskFormat, head: &[u8]) -> String {
        check(&base(format), head).unwrap_err().to_string()
    }

    #[test]
    fn a_plain_qcow2_tells_its_virtual_size() {
        assert_eq!(check(&base(DiskFormat::Qcow2), &head(3, 0, 0)).unwrap(), 3 << 20);
        assert_eq!(check(&base(DiskFormat::Qcow2), &head(2, 0, 0)).unwrap(), 3 << 20);
    }

    #[test]
    fn cve_2015_5163_a_base_with_a_backing_file_is_refused() {
        assert_eq!(refusal(DiskFormat::Qcow2, &head(3, 512, 0)), "The image has a backing file.");
    }

    #[test]
    fn cve_2024_32498_a_base_with_a_data_file_is_refused() {
        assert_eq!(refusal(DiskFormat::Qcow2, &head(3, 0, 4)), "The image has an external data file.");
    }

    #[test]
    fn cve_2024_40767_a_raw_base_that_is_really_qcow2_is_refused() {
        assert_eq!(refusal(DiskFormat::Raw, &head(3, 0, 0)), "The image is qcow2, not raw.");
    }

    #[test]
    fn unknown_features_and_broken_headers_are_refused() {
        assert_eq!(refusal(DiskFormat::Qcow2, &head(3, 0, 32)), "The image has unknown features.");
        assert_eq!(refusal(DiskFormat::Qcow2, &head(4, 0, 0)), "The image has an unknown version of qcow2.");
        assert_eq!(refusal(DiskFormat::Qcow2, &head(3, 0, 0)[..30]), "The image ends within its header.");
        assert_eq!(refusal(DiskFormat::Qcow2, b"no"), "The image is not qcow2.");
    }

    /// qemu-img judges what we write: consistent, of the right size, over the right file in the stated format.
    #[test]
    fn qemu_img_agrees_with_every_overlay() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base.raw");
        std::fs::File::create(&base).unwrap().set_len(1 << 20).unwrap();
        for size in [512, 1 << 20, (1 << 20) + 1, MAPPED_BY_ENTRY, MAPPED_BY_ENTRY + 512, 20 << 30, MAX_VIRTUAL_SIZE] {
            let path = folder.path().join("overlay.qcow2");
            std::fs::write(&path, overlay(&base, DiskFormat::Raw, size).unwrap()).unwrap();
            let Ok(check) = Command::new("qemu-img").args(["check", "-f", "qcow2"]).arg(&path).output() else {
                eprintln!("SKIPPED: qemu-img is not installed");
                return;
            };
            assert!(check.status.success(), "{size}: {check:?}");
            assert!(String::from_utf8_lossy(&check.stdout).contains("No errors"), "{size}: {check:?}");
            let info = Command::new("qemu-img").args(["info", "--output=json", "-f", "qcow2"]).arg(&path).output();
            let info: serde_json::Value = serde_json::from_slice(&info.unwrap().stdout).unwrap();
            assert_eq!(info["virtual-size"], size.next_multiple_of(512));
            assert_eq!(info["backing-filename"], base.to_str().unwrap());
            assert_eq!(info["backing-filename-format"], "raw");
        }
    }

    #[test]
    fn an_empty_disk_has_nothing_behind_it() {
        let bytes = empty(3 << 20).unwrap();
        assert_eq!(check(&base(DiskFormat::Qcow2), &bytes[..HEAD]).unwrap(), 3 << 20);
        assert_eq!(virtual_size(&bytes[..HEAD]).unwrap(), 3 << 20);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.qcow2");
        std::fs::write(&path, bytes).unwrap();
        let Ok(check) = Command::new("qemu-img").args(["check", "-f", "qcow2"]).arg(&path).output() else {
            eprintln!("SKIPPED: qemu-img is not installed");
            return;
        };
        assert!(String::from_utf8_lossy(&check.stdout).contains("No errors"), "{check:?}");
    }

    #[test]
    fn a_disk_of_no_or_absurd_size_is_refused() {
        for size in [0, MAX_VIRTUAL_SIZE + 1, u64::MAX] {
            assert!(overlay(Path::new("/base"), DiskFormat::Raw, size).is_err());
        }
    }
}
