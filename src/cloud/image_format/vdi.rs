//! VirtualBox's format. Undo and differencing images take their data from another file and are refused.

use super::bytes::{slice, u32_le, u64_le};
use super::{Evidence, Found, Unsafe};

const SIGNATURE: u32 = 0xbeda_107f;
const DYNAMIC: u32 = 1;
const STATIC: u32 = 2;
const LINK_AND_PARENT: usize = 0x1a8;

pub fn read(evidence: &Evidence<'_>) -> Option<Found> {
    (u32_le(evidence.head, 0x40)? == SIGNATURE).then(|| {
        let mut found = Found::default();
        if read_header(evidence.head, &mut found).is_none() {
            found.note(Unsafe::Truncated("the header"));
        }
        found
    })
}

fn read_header(head: &[u8], found: &mut Found) -> Option<()> {
    found.sized(u64_le(head, 0x170)?);
    let kind = u32_le(head, 0x4c)?;
    if !matches!(kind, DYNAMIC | STATIC) {
        found.note(Unsafe::Variant(format!("{kind}")));
    }
    // The ids of the image it links to and of its parent.
    if slice(head, LINK_AND_PARENT, 32)?.iter().any(|byte| *byte != 0) {
        found.note(Unsafe::BackingFile);
    }
    Some(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{check_file, findings};
    use super::*;

    pub(in super::super) fn dynamic(virtual_size: u64) -> Vec<u8> {
        let mut file = vec![0; 1024];
        file[0x40..0x44].copy_from_slice(&SIGNATURE.to_le_bytes());
        file[0x4c] = 1;
        file[0x170..0x178].copy_from_slice(&virtual_size.to_le_bytes());
        file
    }

    #[test]
    fn a_vdi_tells_its_virtual_size() {
        assert_eq!(check_file("vdi", &dynamic(9 << 20)).map(|c| c.virtual_size), Ok(Some(9 << 20)));
    }

    #[test]
    fn a_vdi_that_differs_from_a_parent_is_refused() {
        let mut differencing = dynamic(9 << 20);
        differencing[0x4c] = 4;
        assert_eq!(findings("vdi", &differencing), [Unsafe::Variant("4".into())]);
        let mut linked = dynamic(9 << 20);
        linked[0x1b8] = 1;
        assert_eq!(findings("vdi", &linked), [Unsafe::BackingFile]);
    }
}
