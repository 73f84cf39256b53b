//! Connectix's and Microsoft's older format ("vpc" to QEMU).
//!
//! A dynamic disk has the same 512 bytes in front and at the end; a fixed disk is raw bytes with them at the end only,
//! which is why the end is looked at. A differencing disk names its parent and is refused.

use super::bytes::{slice, u32_be, u64_be};
use super::{Evidence, Found, Unsafe};

const COOKIE: &[u8] = b"conectix";
const FOOTER: usize = 512;
/// The footer's last byte was added later: some writers leave it out.
const SHORT_FOOTER: usize = 511;
const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;

pub fn read(evidence: &Evidence<'_>) -> Option<Found> {
    let front = evidence.head.starts_with(COOKIE).then_some(evidence.head);
    let end = [FOOTER, SHORT_FOOTER].iter().find_map(|length| {
        let start = evidence.tail.len().checked_sub(*length)?;
        evidence.tail[start..].starts_with(COOKIE).then_some(&evidence.tail[start..])
    });
    if front.is_none() && end.is_none() {
        return None;
    }
    let mut found = Found::default();
    for footer in [end, front].into_iter().flatten() {
        if read_footer(footer, &mut found).is_none() {
            found.note(Unsafe::Truncated("the footer"));
        }
    }
    Some(found)
}

fn read_footer(footer: &[u8], found: &mut Found) -> Option<()> {
    slice(footer, 0, SHORT_FOOTER)?;
    found.sized(u64_be(footer, 48)?);
    match u32_be(footer, 60)? {
        FIXED | DYNAMIC => {}
        4 => found.note(Unsafe::BackingFile),
        other => found.note(Unsafe::Variant(other.to_string())),
    }
    Some(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{check_file, findings};
    use super::super::{Format, Refusal};
    use super::*;

    fn footer(kind: u32, virtual_size: u64) -> Vec<u8> {
        let mut footer = vec![0; FOOTER];
        footer[..8].copy_from_slice(COOKIE);
        footer[48..56].copy_from_slice(&virtual_size.to_be_bytes());
        footer[60..64].copy_from_slice(&kind.to_be_bytes());
        footer
    }

    pub(in super::super) fn dynamic(virtual_size: u64) -> Vec<u8> {
        [footer(DYNAMIC, virtual_size), vec![0; 1024], footer(DYNAMIC, virtual_size)].concat()
    }

    #[test]
    fn dynamic_and_fixed_disks_tell_their_virtual_size() {
        let fixed = [vec![1; 4096], footer(FIXED, 4096)].concat();
        assert_eq!(check_file("vhd", &fixed).map(|c| c.virtual_size), Ok(Some(4096)));
        assert_eq!(check_file("vhd", &dynamic(1 << 20)).map(|c| c.virtual_size), Ok(Some(1 << 20)));
    }

    #[test]
    fn a_raw_disk_with_a_vhd_footer_is_not_raw() {
        let file = [vec![1; 4096], footer(FIXED, 4096)].concat();
        let refusal = Refusal::Mismatch { declared: "raw".into(), detected: Format::Vhd };
        assert_eq!(check_file("raw", &file), Err(refusal));
    }

    #[test]
    fn a_differencing_vhd_is_refused_at_either_end() {
        let at_the_end = [footer(DYNAMIC, 4096), footer(4, 4096)].concat();
        let in_front = [footer(4, 4096), footer(DYNAMIC, 4096)].concat();
        assert_eq!(findings("vhd", &at_the_end), [Unsafe::BackingFile]);
        assert_eq!(findings("vhd", &in_front), [Unsafe::BackingFile]);
    }
}
