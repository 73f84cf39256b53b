//! Whatever a user imports as an SSH public key is refused, or is a key of one line whose comment changes nothing.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gapura_fuzz::cloud::ssh_key::{fingerprint, write_ed25519};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        imported(text);
    }
    framed(bytes);
    generated(bytes);
});

fn imported(text: &str) {
    let Ok(print) = fingerprint(text) else { return };
    assert_eq!(print.len(), 47);
    assert!(print.split(':').all(|pair| u8::from_str_radix(pair, 16).is_ok()));
    let line = text.trim_matches([' ', '\t', '\n', '\r']);
    assert!(!line.contains(['\n', '\r']), "a second line would be a second key to whoever writes it down");
    let key: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).take(2).collect();
    assert_eq!(fingerprint(&key.join(" ")).ok(), Some(print), "the comment does not count");
}

/// The bytes as what the text's base64 holds, which a fuzzer would seldom come to by itself.
fn framed(bytes: &[u8]) {
    imported(&format!("ssh-ed25519 {}", STANDARD.encode(bytes)));
    let mut blob = b"\0\0\0\x0bssh-ed25519".to_vec();
    blob.extend(bytes);
    imported(&format!("ssh-ed25519 {} of fuzz", STANDARD.encode(blob)));
}

fn generated(bytes: &[u8]) {
    let Some((seed, rest)) = bytes.split_first_chunk::<32>() else { return };
    let Some((public, rest)) = rest.split_first_chunk::<32>() else { return };
    let comment = String::from_utf8_lossy(rest).replace(['\n', '\r'], " ");
    let written = write_ed25519(seed, public, 7, &comment);
    assert!(fingerprint(&written.public_key).is_ok(), "{}", written.public_key);
    assert!(written.private_key.lines().all(|line| line.len() <= 70));
}
