//! Certificates as key pairs hold them: for guests that let their owner in by one, as Windows does.

use crate::error::{Error, Result};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;

/// How a certificate begins, by which what a server keeps of a key pair tells its kind.
const BEGINNING: &str = "-----BEGIN CERTIFICATE-----";

/// The SHA-1 fingerprint (`aa:bb:…`) of the first certificate in a PEM text.
///
/// # Errors
/// `BadRequest`, beginning as Nova's, for what holds no certificate.
pub fn fingerprint(pem: &str) -> Result<String> {
    let der = der(pem).map_err(|why| {
        Error::bad_request(format!(
            "Keypair data is invalid: failed to generate X509 fingerprint. Error message: {why}"
        ))
    })?;
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &der);
    Ok(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// The certificate's bytes, once they are seen to be one.
fn der(pem: &str) -> std::result::Result<Vec<u8>, String> {
    for block in Pem::iter_from_buffer(pem.as_bytes()) {
        let block = block.map_err(|error| format!("Unable to load PEM file. {error}"))?;
        if matches!(block.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE") {
            return match parse_x509_certificate(&block.contents) {
                Ok(([], _)) => Ok(block.contents),
                Ok(_) => Err("error parsing asn1 value: extra data".to_owned()),
                Err(error) => Err(format!("error parsing asn1 value: {error}")),
            };
        }
    }
    Err("Unable to load PEM file. No PEM file was found.".to_owned())
}

/// What a server's public key is: `ssh` or `x509`.
pub fn kind_of(public_key: &str) -> &'static str {
    if public_key.trim_start().starts_with(BEGINNING) { "x509" } else { "ssh" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    /// Made with `openssl req -x509 -newkey ed25519 -nodes -subj /CN=test -days 36500`, its fingerprint with `openssl x509`.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBNDCB56ADAgECAhQZdilhyZMg4GNY4OBOkNyXhz3zfTAFBgMrZXAwDzENMAsG
A1UEAwwEdGVzdDAgFw0yNjExMjcwNTExNTRaGA8yMTI2MTEwMzA1MTE1NFowDzEN
MAsGA1UEAwwEdGVzdDAqMAUGAytlcAMhAEvWr2NTUb6IuoiRWlvw3SkZWhg6j9dy
Haz9cLSW6vVMo1MwUTAdBgNVHQ4EFgQUlz9Fo9q9QGL0+iC+lbSPeDzKnn0wHwYD
VR0jBBgwFoAUlz9Fo9q9QGL0+iC+lbSPeDzKnn0wDwYDVR0TAQH/BAUwAwEB/zAF
BgMrZXADQQD+qFV1ftiPxebLaP+o7e7A1nImOHKsDmNSYmdxw27MoYCktoi6leQ7
VCNjyTj+R7Tq+MXJepfPJJdshrVTKfsM
-----END CERTIFICATE-----
";
    const FINGERPRINT: &str = "56:d7:1c:d9:b4:92:6b:70:53:40:26:b0:b5:9b:03:be:e3:dd:b7:a6";

    #[test]
    fn a_certificate_has_the_fingerprint_that_openssl_prints() {
        assert_eq!(fingerprint(CERTIFICATE).unwrap(), FINGERPRINT);
        assert_eq!(fingerprint(&format!("\n{CERTIFICATE}\n")).unwrap(), FINGERPRINT);
        assert_eq!((kind_of(CERTIFICATE), kind_of("ssh-ed25519 AAAA")), ("x509", "ssh"));
    }

    #[test]
    fn what_holds_no_certificate_is_refused() {
        let cut: String =
            CERTIFICATE.lines().take(3).chain(["-----END CERTIFICATE-----"]).collect::<Vec<_>>().join("\n");
        let other = CERTIFICATE.replace("CERTIFICATE", "PUBLIC KEY");
        for nonsense in ["", "ssh-rsa AAAA", "-----BEGIN CERTIFICATE-----", cut.as_str(), other.as_str()] {
            let refused = fingerprint(nonsense).unwrap_err().to_string();
            let beginning = "Keypair data is invalid: failed to generate X509 fingerprint. Error message: ";
            assert!(refused.starts_with(beginning), "{refused}");
        }
    }

    #[test]
    fn no_change_of_a_byte_and_no_cut_makes_more_of_a_certificate_than_a_refusal_or_another_fingerprint() {
        let whole = der(CERTIFICATE).unwrap();
        let text = |der: &[u8]| format!("{BEGINNING}\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der));
        for at in 0..whole.len() {
            for mask in [0x01, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= mask;
                assert_ne!(fingerprint(&text(&changed)).ok().as_deref(), Some(FINGERPRINT), "byte {at}");
            }
            assert!(fingerprint(&text(&whole[..at])).is_err(), "cut to {at} bytes");
        }
    }
}
