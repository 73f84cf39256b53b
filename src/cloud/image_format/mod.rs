//! What an uploaded image really is, and whether it is safe to give to a hypervisor.
//!
//! Image formats can name other files (a backing file, a data file, an extent): a hypervisor that opens such an image
//! reads a file of the host for whoever uploaded it (CVE-2015-5163, CVE-2022-47951, CVE-2024-32498, CVE-2024-40767).
//! So the declared format must be the one the bytes show, every feature that reaches outside the file is refused, and
//! so is every feature this module doesn't know. It works on the first [`HEAD_BYTES`] and the last [`TAIL_BYTES`], so
//! the bytes can be inspected while they stream; what lies beyond and would matter is refused too.
//!
//! The same check runs three times: when an image is uploaded, when a host fetches it to boot, and after a snapshot.
//! Start reading at [`check`].

mod bytes;
mod disc;
mod qcow2;
#[cfg(test)]
mod real_images;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

use std::fmt;

/// How many of the first bytes a verdict needs: VHDX keeps its metadata behind headers, log and block table, at three
/// megabytes where QEMU wrote it.
pub const HEAD_BYTES: usize = 3328 << 10;

/// How many of the first bytes a verdict on a file needs that begins with `start`, which has at least 64 of them: all but a
/// few formats have what matters in a small place, and many files may be looked at at once.
pub fn head_needed(start: &[u8]) -> usize {
    const USUAL: usize = 64 << 10;
    if start.starts_with(b"vhdxfile") {
        return HEAD_BYTES;
    }
    if start.starts_with(b"KDMV") {
        // The descriptor has a megabyte, behind the first sector.
        return (1 << 20) + 512;
    }
    // The first cluster: its size is announced in bits, of which 21 are the most that is accepted.
    match (start.starts_with(b"QFI\xfb"), bytes::u32_be(start, 20)) {
        (true, Some(bits)) => (1 << bits.min(21)).max(USUAL),
        _ => USUAL,
    }
}

/// How many of the last bytes a verdict needs: the footer of a stream-optimised VMDK is the longest.
pub const TAIL_BYTES: usize = 1536;

/// A disk larger than this is taken for an attack on whoever allocates or reads it.
pub const MAX_VIRTUAL_SIZE: u64 = 64 << 40;

/// A format that is recognised by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Nothing else was recognised.
    Raw,
    /// A raw disk with a partition table (MBR or GPT).
    PartitionedRaw,
    Iso,
    Qcow2,
    Vmdk,
    Vdi,
    Vhd,
    Vhdx,
    Qed,
    Luks,
    Ploop,
}

impl Format {
    /// The name Glance uses in `disk_format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::PartitionedRaw => "gpt",
            Self::Iso => "iso",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Qed => "qed",
            Self::Luks => "luks",
            Self::Ploop => "ploop",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A reason not to let a hypervisor open the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsafe {
    /// It takes unwritten parts from another file.
    BackingFile,
    /// It keeps its data in another file.
    DataFile,
    /// Feature bits that may mean anything.
    UnknownFeatures(u64),
    UnsupportedVersion(u32),
    /// A variant of the format that reaches outside the file, or isn't known not to.
    Variant(String),
    /// The guest would see a disk of so many bytes.
    VirtualSize(u64),
    /// A field of the header that no honest writer produces.
    Header(&'static str),
    /// The header promises more than the file holds, or more than is inspected.
    Truncated(&'static str),
    /// The format as such is not accepted.
    Banned,
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackingFile => f.write_str("it has a backing file"),
            Self::DataFile => f.write_str("it has an external data file"),
            Self::UnknownFeatures(bits) => write!(f, "it needs unknown features ({bits:#x})"),
            Self::UnsupportedVersion(version) => write!(f, "format version {version} is not supported"),
            Self::Variant(variant) => write!(f, "the variant {variant} is not allowed"),
            Self::VirtualSize(size) => write!(f, "a virtual size of {size} bytes is not allowed"),
            Self::Header(field) => write!(f, "its header is invalid: {field}"),
            Self::Truncated(what) => write!(f, "it is incomplete: {what}"),
            Self::Banned => f.write_str("the format is not allowed"),
        }
    }
}

/// What the bytes show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    pub detected: Format,
    /// Further formats the same bytes could be taken for; a reader might choose any.
    pub also: Vec<Format>,
    /// The size of the disk a guest sees, in bytes, where the format tells.
    pub virtual_size: Option<u64>,
    pub findings: Vec<Unsafe>,
}

/// An image that may be used as what it was declared to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    pub format: Format,
    /// In bytes; `None` where the format doesn't tell before the image is unpacked.
    pub virtual_size: Option<u64>,
}

/// Why an image is refused; the text is for whoever uploaded it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Image disk_format {declared} does not match stream data {detected}")]
    Mismatch { declared: String, detected: Format },
    #[error("Multiple formats detected: {0}")]
    Ambiguous(String),
    #[error("Image failed safety checks: {format}: {}", .findings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Unsafe { format: Format, findings: Vec<Unsafe> },
    #[error("Image disk_format {0} is not known")]
    UnknownFormat(String),
}

/// What of a file is looked at: its first [`HEAD_BYTES`], its last [`TAIL_BYTES`] (both fewer when the file is
/// shorter) and its length.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    pub head: &'a [u8],
    pub tail: &'a [u8],
    pub size: u64,
}

/// What one format's reader found.
#[derive(Debug, Default)]
struct Found {
    virtual_size: Option<u64>,
    findings: Vec<Unsafe>,
}

impl Found {
    fn refused(reason: Unsafe) -> Self {
        Self { virtual_size: None, findings: vec![reason] }
    }

    fn note(&mut self, reason: Unsafe) {
        if !self.findings.contains(&reason) {
            self.findings.push(reason);
        }
    }

    fn sized(&mut self, size: u64) {
        self.virtual_size = Some(size);
        if size > MAX_VIRTUAL_SIZE {
            self.note(Unsafe::VirtualSize(size));
        }
    }
}

type Reader = fn(&Evidence<'_>) -> Option<Found>;

/// Each answers `None` when the bytes aren't of its format, however broken.
const READERS: [(Format, Reader); 10] = [
    (Format::Qcow2, qcow2::read),
    (Format::Vmdk, vmdk::read),
    (Format::Vdi, vdi::read),
    (Format::Vhd, vhd::read),
    (Format::Vhdx, vhdx::read),
    (Format::Qed, disc::read_qed),
    (Format::Luks, disc::read_luks),
    (Format::Ploop, disc::read_ploop),
    (Format::Iso, disc::read_iso),
    (Format::PartitionedRaw, disc::read_partition_table),
];

/// Looks at the bytes without knowing what they are declared to be.
pub fn inspect(evidence: &Evidence<'_>) -> Inspection {
    let mut matches = READERS.iter().filter_map(|(format, read)| read(evidence).map(|found| (*format, found)));
    let Some((detected, found)) = matches.next() else {
        return Inspection {
            detected: Format::Raw,
            also: Vec::new(),
            virtual_size: Some(evidence.size),
            findings: Vec::new(),
        };
    };
    let also = matches.map(|(format, _)| format).collect();
    Inspection { detected, also, virtual_size: found.virtual_size, findings: found.findings }
}

/// Decides whether bytes that are `declared` to be of a `disk_format` may be used as such.
pub fn check(declared: &str, head: &[u8], tail: &[u8], size: u64) -> Result<Checked, Refusal> {
    let seen = inspect(&Evidence { head, tail, size });
    // A disc that boots from a stick too carries a partition table in front; that is still a disc.
    if seen.also.iter().any(|other| (seen.detected, *other) != (Format::Iso, Format::PartitionedRaw)) {
        let names: Vec<_> = std::iter::once(seen.detected).chain(seen.also).map(Format::name).collect();
        return Err(Refusal::Ambiguous(names.join(",")));
    }
    let is_flat = matches!(seen.detected, Format::Raw | Format::PartitionedRaw);
    let (fits, virtual_size) = match declared {
        "raw" => (is_flat || seen.detected == Format::Iso, Some(size)),
        "ami" | "aki" | "ari" => (is_flat, Some(size)),
        // Only its own header is known here: nothing in Gapura opens one.
        "ploop" => (is_flat || seen.detected == Format::Ploop, None),
        "iso" | "qcow2" | "vmdk" | "vdi" | "vhd" | "vhdx" => (seen.detected.name() == declared, seen.virtual_size),
        other => return Err(Refusal::UnknownFormat(other.to_owned())),
    };
    if !fits {
        return Err(Refusal::Mismatch { declared: declared.to_owned(), detected: seen.detected });
    }
    if !seen.findings.is_empty() {
        return Err(Refusal::Unsafe { format: seen.detected, findings: seen.findings });
    }
    Ok(Checked { format: seen.detected, virtual_size })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Checks a whole file held in memory, and that as much of its head as is said to be needed is enough.
    pub(crate) fn check_file(declared: &str, file: &[u8]) -> Result<Checked, Refusal> {
        let head = &file[..file.len().min(HEAD_BYTES)];
        let tail = &file[file.len() - file.len().min(TAIL_BYTES)..];
        let verdict = check(declared, head, tail, file.len() as u64);
        let needed = &head[..head.len().min(head_needed(head))];
        assert_eq!(check(declared, needed, tail, file.len() as u64), verdict, "by less of the head");
        verdict
    }

    /// The reasons a file of the declared format is refused for; empty when it is accepted.
    pub(crate) fn findings(declared: &str, file: &[u8]) -> Vec<Unsafe> {
        match check_file(declared, file) {
            Ok(_) => Vec::new(),
            Err(Refusal::Unsafe { findings, .. }) => findings,
            Err(other) => panic!("refused for another reason: {other}"),
        }
    }

    #[test]
    fn bytes_that_mean_nothing_are_raw_and_as_large_as_they_are() {
        let file = vec![7; 5000];
        assert_eq!(check_file("raw", &file), Ok(Checked { format: Format::Raw, virtual_size: Some(5000) }));
        assert_eq!(check_file("ami", &file).map(|c| c.format), Ok(Format::Raw));
        assert_eq!(check_file("raw", &[]), Ok(Checked { format: Format::Raw, virtual_size: Some(0) }));
    }

    #[test]
    fn bytes_that_are_not_what_they_are_declared_to_be_are_refused() {
        for declared in ["qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"] {
            let refusal = check_file(declared, &[7; 5000]).unwrap_err();
            assert_eq!(refusal.to_string(), format!("Image disk_format {declared} does not match stream data raw"));
        }
    }

    #[test]
    fn cve_2024_40767_a_raw_image_that_is_really_another_format_is_refused() {
        for magic in [&b"QFI\xfb"[..], b"KDMV", b"COWD", b"conectix", b"vhdxfile", b"QED\0", b"LUKS\xba\xbe"] {
            let mut file = vec![0; 4096];
            file[..magic.len()].copy_from_slice(magic);
            for declared in ["raw", "ami", "aki", "ari"] {
                assert!(
                    matches!(check_file(declared, &file), Err(Refusal::Mismatch { .. })),
                    "{declared} with {magic:?}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_declared_format_is_refused() {
        assert_eq!(check_file("qed", b""), Err(Refusal::UnknownFormat("qed".into())));
    }

    #[test]
    fn bytes_that_are_two_formats_at_once_are_refused_as_either() {
        let mut file = disc::tests::iso(20);
        file[..4].copy_from_slice(b"QFI\xfb");
        for declared in ["iso", "qcow2", "raw"] {
            assert_eq!(check_file(declared, &file), Err(Refusal::Ambiguous("qcow2,iso".into())));
        }
    }

    #[test]
    fn any_prefix_of_a_header_is_judged_without_a_panic() {
        for file in [
            qcow2::tests::version_3(1 << 30),
            vmdk::tests::sparse("monolithicSparse", "RW 2048 SPARSE \"a.vmdk\""),
            vhd::tests::dynamic(1 << 20),
            vdi::tests::dynamic(1 << 20),
            disc::tests::iso(20),
        ] {
            for length in (0..600).step_by(3).chain((600..file.len()).step_by(9973)) {
                for declared in ["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"] {
                    let _ = check_file(declared, &file[..length]);
                }
            }
        }
    }
}
