//! Whatever is uploaded packed: no panic, no endless loop, and never more than the bound.
#![no_main]

use gapura_fuzz::cloud::image::unpack::{Packing, unpack};
use libfuzzer_sys::fuzz_target;

const AT_MOST: u64 = 1 << 20;

fuzz_target!(|archive: &[u8]| {
    let Some(packing) = Packing::of(archive) else { return };
    let mut plain = Vec::new();
    let unpacked = unpack(packing, archive, AT_MOST, |piece| {
        plain.extend_from_slice(&piece);
        Ok(())
    });
    assert!(plain.len() as u64 <= AT_MOST);
    // The same again, and with more room than it takes: the same.
    if unpacked.is_ok() {
        let mut again = Vec::new();
        let room = plain.len() as u64;
        let more = unpack(packing, archive, room, |piece| {
            again.extend_from_slice(&piece);
            Ok(())
        });
        assert!(more.is_ok() && again == plain);
        // One byte less, and it is refused.
        assert!(room == 0 || unpack(packing, archive, room - 1, |_| Ok(())).is_err());
    }
});
