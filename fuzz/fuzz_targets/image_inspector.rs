//! Whatever a user uploads, the inspector answers: no panic, no endless loop, no verdict that contradicts the bytes.
#![no_main]

use gapura_fuzz::cloud::image_format::{Format, HEAD_BYTES, MAX_VIRTUAL_SIZE, TAIL_BYTES, check};
use libfuzzer_sys::fuzz_target;

const DECLARED: [&str; 12] =
    ["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "ami", "aki", "ari", "ploop", "unheard of"];

fuzz_target!(|file: &[u8]| {
    let head = &file[..file.len().min(HEAD_BYTES)];
    let tail = &file[file.len() - file.len().min(TAIL_BYTES)..];
    let size = file.len() as u64;
    let accepted: Vec<_> =
        DECLARED.iter().filter_map(|declared| Some((*declared, check(declared, head, tail, size).ok()?))).collect();
    for (declared, checked) in accepted {
        assert_ne!(declared, "unheard of");
        assert!(checked.virtual_size.is_none_or(|size| size <= MAX_VIRTUAL_SIZE));
        // A format with a structure is accepted under its own name alone; a disc may be used as a disk too.
        let structured = !matches!(checked.format, Format::Raw | Format::PartitionedRaw | Format::Iso);
        assert!(!structured || checked.format.name() == declared, "{declared} is {:?}", checked.format);
        assert!(!file.starts_with(b"QFI\xfb") || declared == "qcow2");
        assert!(!file.starts_with(b"KDMV") || declared == "vmdk");
    }
});
