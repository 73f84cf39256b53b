//! VMware's format, of whose many variants two live in one file: `monolithicSparse` and `streamOptimized`.
//!
//! The others are a text (the descriptor) that names the files with the data, any file of the host (CVE-2022-47951).
//! The two accepted ones embed the same text; it must name one sparse extent, by a plain file name, and no parent.
//! A stream-optimised file may repeat its header at the end, and readers prefer the repetition: both must agree.

use super::bytes::{slice, u32_le, u64_le};
use super::{Evidence, Found, Unsafe};

const SECTOR: u64 = 512;
/// Where every writer puts the descriptor; elsewhere it could be shown to one reader and hidden from another.
const DESCRIPTOR: u64 = 512;
const MAX_DESCRIPTOR: u64 = 1 << 20;
/// In place of the grain directory's position: it is in the footer.
const AT_END: u64 = u64::MAX;
/// A footer marker, the footer and the end-of-stream marker: a sector each.
const FOOTER: usize = 3 * 512;

pub fn read(evidence: &Evidence<'_>) -> Option<Found> {
    let head = evidence.head;
    if head.starts_with(b"COWD") {
        return Some(Found::refused(Unsafe::Variant("vmfsSparse".into())));
    }
    if head.starts_with(b"KDMV") {
        let mut found = Found::default();
        if read_sparse(evidence, &mut found).is_none() {
            found.note(Unsafe::Truncated("the header"));
        }
        return Some(found);
    }
    is_descriptor(head).then(|| {
        let text = String::from_utf8_lossy(&head[..head.len().min(MAX_DESCRIPTOR as usize)]);
        Found::refused(Unsafe::Variant(value(&text, "createtype").unwrap_or_else(|| "descriptor".into())))
    })
}

/// Would QEMU (a `version=` line after comments) or VMware take this text for a descriptor?
fn is_descriptor(head: &[u8]) -> bool {
    let start = &head[..head.len().min(64 << 10)];
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    let is_text = head.iter().take(512).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    text.starts_with("# disk descriptorfile")
        || first.is_some_and(|line| line.starts_with("version="))
        || is_text && text.contains("createtype=")
}

fn read_sparse(evidence: &Evidence<'_>, found: &mut Found) -> Option<()> {
    let head = evidence.head;
    let version = u32_le(head, 4)?;
    if !(1..=3).contains(&version) {
        found.note(Unsafe::UnsupportedVersion(version));
        return Some(());
    }
    found.sized(u64_le(head, 12)?.saturating_mul(SECTOR));
    let (start, length) = (u64_le(head, 28)?.saturating_mul(SECTOR), u64_le(head, 36)?.saturating_mul(SECTOR));
    if start != DESCRIPTOR || length == 0 || length > MAX_DESCRIPTOR {
        found.note(Unsafe::Header("descriptor position"));
        return Some(());
    }
    if u64_le(head, 56)? == AT_END && read_footer(evidence, found).is_none() {
        found.note(Unsafe::Truncated("the footer"));
    }
    read_descriptor(slice(head, start as usize, length as usize)?, found);
    Some(())
}

fn read_footer(evidence: &Evidence<'_>, found: &mut Found) -> Option<()> {
    let header = slice(evidence.head, 0, 64)?;
    let footer = slice(evidence.tail, evidence.tail.len().checked_sub(FOOTER)?, FOOTER)?;
    let (marker, repeated, end) = (&footer[..512], &footer[512..1024], &footer[1024..]);
    // All but the grain directory's position, which is why there is a footer.
    let agrees = header[..56] == repeated[..56] && u64_le(repeated, 56)? != AT_END;
    let is_marked = u32_le(marker, 8)? == 0 && u32_le(marker, 12)? == 3 && marker[16..].iter().all(|byte| *byte == 0);
    if !agrees || !is_marked || end.iter().any(|byte| *byte != 0) {
        found.note(Unsafe::Header("footer"));
    }
    Some(())
}

fn read_descriptor(bytes: &[u8], found: &mut Found) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else {
        return found.note(Unsafe::Header("descriptor"));
    };
    match value(text, "createtype").as_deref() {
        Some("monolithicsparse" | "streamoptimized") => {}
        other => found.note(Unsafe::Variant(other.unwrap_or("without createType").to_owned())),
    }
    let mut extents = 0;
    for line in text.lines().map(|line| line.trim().to_ascii_lowercase()) {
        match kind(&line) {
            Line::Nothing => {}
            Line::Extent => {
                extents += 1;
                if !is_plain_extent(&line) {
                    found.note(Unsafe::Variant("with an extent in another file".into()));
                }
            }
            Line::Parent => found.note(Unsafe::BackingFile),
            Line::Unknown => found.note(Unsafe::Header("descriptor")),
        }
    }
    if extents != 1 {
        found.note(Unsafe::Variant(format!("with {extents} extents")));
    }
}

enum Line {
    /// A comment or a harmless field.
    Nothing,
    Extent,
    /// It names or numbers a parent.
    Parent,
    Unknown,
}

fn kind(line: &str) -> Line {
    if line.is_empty() || line.starts_with('#') || line.starts_with("ddb.") {
        return Line::Nothing;
    }
    if ["rw", "rdonly", "noaccess"].contains(&line.split_whitespace().next().unwrap_or_default()) {
        return Line::Extent;
    }
    let Some((name, value)) = line.split_once('=') else { return Line::Unknown };
    match (name.trim(), value.trim().trim_matches('"')) {
        ("parentcid", "ffffffff") => Line::Nothing,
        ("parentcid" | "parentfilenamehint", _) => Line::Parent,
        (name, _) if !name.contains(char::is_whitespace) => Line::Nothing,
        _ => Line::Unknown,
    }
}

/// `RW 2048 SPARSE "name.vmdk"` with a name that is no path.
fn is_plain_extent(line: &str) -> bool {
    let Some((front, rest)) = line.split_once('"') else { return false };
    let Some((name, behind)) = rest.split_once('"') else { return false };
    let words: Vec<_> = front.split_whitespace().collect();
    matches!(words.as_slice(), ["rw" | "rdonly", sectors, "sparse"] if sectors.parse::<u64>().is_ok())
        && behind.trim().is_empty()
        && !name.contains(['/', '\\', ':'])
        && !name.contains("..")
}

/// The value of a field of a descriptor, in lower case.
fn value(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{check_file, findings};
    use super::*;

    const EXTENT: &str = "RW 2048 SPARSE \"a.vmdk\"";

    fn descriptor(kind: &str, extents: &str) -> String {
        format!(
            "# Disk DescriptorFile\nversion=1\nCID=ca98f427\nparentCID=ffffffff\ncreateType=\"{kind}\"\n\n\
             # Extent description\n{extents}\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\n"
        )
    }

    fn with_text(text: &str) -> Vec<u8> {
        let mut file = vec![0; 64 << 10];
        file[..4].copy_from_slice(b"KDMV");
        file[4] = 1;
        file[12..20].copy_from_slice(&2048u64.to_le_bytes());
        file[28] = 1;
        file[36] = 20;
        file[512..512 + text.len()].copy_from_slice(text.as_bytes());
        file
    }

    pub(in super::super) fn sparse(kind: &str, extents: &str) -> Vec<u8> {
        with_text(&descriptor(kind, extents))
    }

    #[test]
    fn the_two_single_file_variants_tell_their_virtual_size() {
        for kind in ["monolithicSparse", "streamOptimized"] {
            assert_eq!(check_file("vmdk", &sparse(kind, EXTENT)).map(|c| c.virtual_size), Ok(Some(1 << 20)));
        }
    }

    #[test]
    fn cve_2022_47951_a_vmdk_that_is_only_a_descriptor_is_refused() {
        let text = descriptor("monolithicFlat", "RW 2048 FLAT \"/etc/passwd\" 0");
        assert_eq!(findings("vmdk", text.as_bytes()), [Unsafe::Variant("monolithicflat".into())]);
        assert!(check_file("raw", text.as_bytes()).is_err());
        let for_qemu = b"\n# a comment\n   version=1\ncreateType=\"custom\"\nRW 1 FLAT \"/etc/passwd\" 0\n";
        assert_eq!(findings("vmdk", for_qemu), [Unsafe::Variant("custom".into())]);
    }

    #[test]
    fn cve_2022_47951_any_other_variant_is_refused_inside_a_sparse_header_too() {
        for kind in ["monolithicFlat", "twoGbMaxExtentSparse", "vmfs", "custom", "fullDevice", "seSparse"] {
            let refused = Unsafe::Variant(kind.to_ascii_lowercase());
            assert_eq!(findings("vmdk", &sparse(kind, EXTENT)), [refused]);
        }
    }

    #[test]
    fn an_extent_that_is_a_path_or_flat_or_one_of_many_is_refused() {
        let elsewhere = [Unsafe::Variant("with an extent in another file".into())];
        for extent in [
            "RW 2048 FLAT \"a.vmdk\" 0",
            "RW 2048 SPARSE \"/etc/passwd\"",
            "RW 2048 SPARSE \"..\\a.vmdk\"",
            "RW 2048 SPARSE \"nbd:host\"",
            "RW 2048 SPARSE a.vmdk",
            "RW 2048 SPARSE \"a.vmdk\" 128",
        ] {
            assert_eq!(findings("vmdk", &sparse("monolithicSparse", extent)), elsewhere, "{extent}");
        }
        let two = format!("{EXTENT}\n{EXTENT}");
        assert_eq!(findings("vmdk", &sparse("monolithicSparse", &two)), [Unsafe::Variant("with 2 extents".into())]);
        assert_eq!(findings("vmdk", &sparse("monolithicSparse", "")), [Unsafe::Variant("with 0 extents".into())]);
    }

    #[test]
    fn a_vmdk_with_a_parent_is_refused() {
        for line in ["parentCID=00000001", "parentFileNameHint=\"/etc/passwd\""] {
            let text = descriptor("monolithicSparse", EXTENT) + line + "\n";
            assert_eq!(findings("vmdk", &with_text(&text)), [Unsafe::BackingFile], "{line}");
        }
    }

    #[test]
    fn a_descriptor_elsewhere_or_with_lines_nobody_knows_is_refused() {
        let mut moved = sparse("monolithicSparse", EXTENT);
        moved[28] = 2;
        assert_eq!(findings("vmdk", &moved), [Unsafe::Header("descriptor position")]);
        let text = descriptor("monolithicSparse", EXTENT) + "include other.vmdk\n";
        assert_eq!(findings("vmdk", &with_text(&text)), [Unsafe::Header("descriptor")]);
    }

    #[test]
    fn a_footer_that_contradicts_the_header_is_refused() {
        let mut file = sparse("streamOptimized", EXTENT);
        file[56..64].copy_from_slice(&AT_END.to_le_bytes());
        assert_eq!(findings("vmdk", &file), [Unsafe::Header("footer")]);
        let (end, header) = (file.len(), file[..512].to_vec());
        file[end - FOOTER + 12] = 3;
        file[end - 1024..end - 512].copy_from_slice(&header);
        file[end - 1024 + 56..end - 1024 + 64].copy_from_slice(&40u64.to_le_bytes());
        assert_eq!(findings("vmdk", &file), []);
        file[end - 1024 + 28] = 2;
        assert_eq!(findings("vmdk", &file), [Unsafe::Header("footer")]);
    }
}
