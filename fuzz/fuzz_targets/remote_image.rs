//! Whatever another region says of an image: what is taken over is of a known format, and no field of the service's own.
#![no_main]

use gapura_fuzz::cloud::image::remote::Described;
use gapura_fuzz::cloud::image::{CONTAINER_FORMATS, DISK_FORMATS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    // Every name begins with nothing, so everything that may be copied is.
    let Ok(described) = Described::read(text, &[String::new()]) else { return };
    let becoming = described.becoming;
    assert!(becoming.disk_format.is_some_and(|format| DISK_FORMATS.contains(&format.as_str())));
    assert!(becoming.container_format.is_some_and(|format| CONTAINER_FORMATS.contains(&format.as_str())));
    for (name, value) in &becoming.properties {
        assert!(name.len() <= 255 && value.len() <= 65_535 && !name.starts_with("os_glance"));
        assert!(!["id", "status", "owner", "visibility", "locations", "self", "checksum"].contains(&name.as_str()));
    }
    for (hash, length) in [(described.sha512, 128), (described.md5, 32)] {
        assert!(hash.is_none_or(|hash| hash.len() == length && hash.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }
});
