//! Whatever a user imports as a certificate is refused, or is one certificate whole, with a fingerprint.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gapura_fuzz::cloud::certificate_key::{fingerprint, kind_of};
use libfuzzer_sys::fuzz_target;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = kind_of(text);
        imported(text);
    }
    // The bytes as the certificate itself: what the text around it may be is soon learned.
    let pem = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(bytes));
    assert_eq!(kind_of(&pem), "x509");
    if let Some(print) = imported(&pem) {
        let mut longer = bytes.to_vec();
        longer.push(0);
        let longer = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(longer));
        assert!(fingerprint(&longer).is_err(), "what follows a certificate is no part of it");
        assert_eq!(imported(&format!("{pem}{longer}")), Some(print), "the first counts");
    }
});

fn imported(text: &str) -> Option<String> {
    match fingerprint(text) {
        Ok(print) => {
            assert_eq!(print.len(), 59);
            assert!(print.split(':').all(|pair| u8::from_str_radix(pair, 16).is_ok()));
            Some(print)
        }
        Err(error) => {
            let why = error.to_string();
            assert!(why.starts_with("Keypair data is invalid"), "{why}");
            None
        }
    }
}
