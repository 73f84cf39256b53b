//! Generates a key with a certificate, for guests that let their owner in by one.
//!
//! The certificate is as Nova's: RSA with 2,048 bits, ten years, for clients' authentication, with the user's name as
//! Windows reads it (`user@localhost`, a user principal name). The private half is answered once, with the certificate, as
//! PKCS #12 under the empty password, in base64. No kept library writes that, so it is written here, in the few shapes that
//! are needed (RFC 7292): the key encrypted with AES by PBES2, the whole under a MAC, as OpenSSL 3 does.

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::{hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_RSA_SHA256, RsaKeySize,
    SanType,
};
use sha2::{Digest, Sha256};
use std::num::NonZeroU32;
use std::time::Duration;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag, construct_der};

/// What a user principal name is called among the other names of a certificate.
const UPN: [u64; 10] = [1, 3, 6, 1, 4, 1, 311, 20, 2, 3];
const TEN_YEARS: Duration = Duration::from_secs(3650 * 24 * 3600);
/// As OpenSSL's. The password is empty: more of them would slow down nobody but the owner.
const ITERATIONS: u32 = 2048;

const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
const KEY_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 2];
const CERTIFICATE_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509: &[u64] = &[1, 2, 840, 113_549, 1, 9, 22, 1];
const LOCAL_KEY_ID: &[u64] = &[1, 2, 840, 113_549, 1, 9, 21];
const PBES2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 13];
const PBKDF2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 12];
const HMAC_SHA256: &[u64] = &[1, 2, 840, 113_549, 2, 9];
const AES_256_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1, 42];
const SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];

pub struct Generated {
    /// PEM.
    pub certificate: String,
    /// PKCS #12 in base64.
    pub private_key: String,
}

/// Takes a good part of a second of a processor: not for a thread that others wait for.
pub fn generate(user: &str, now: Timestamp) -> Result<Generated> {
    let failed = |error: rcgen::Error| Error::internal("a certificate could not be generated", error);
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.subject_alt_names = vec![SanType::OtherName((UPN.to_vec(), format!("{user}@localhost").into()))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now.0.unsigned_abs() / 1_000_000);
    params.not_after = params.not_before + TEN_YEARS;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let private_key = STANDARD.encode(pkcs12(certificate.der(), &key.serialize_der())?);
    Ok(Generated { certificate: certificate.pem(), private_key })
}

fn oid(writer: DERWriter<'_>, numbers: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(numbers));
}

/// Content of a type, wrapped as PKCS #7 wraps it.
fn content(writer: DERWriter<'_>, bytes: &[u8]) {
    writer.write_sequence(|writer| {
        oid(writer.next(), DATA);
        writer.next().write_tagged(Tag::context(0), |writer| writer.write_bytes(bytes));
    });
}

/// One bag alone in its content. `id` tells which key goes with which certificate.
fn bag(kind: &[u64], value: &[u8], id: &[u8]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                oid(writer.next(), kind);
                writer.next().write_tagged(Tag::context(0), |writer| writer.write_der(value));
                writer.next().write_set(|writer| {
                    writer.next().write_sequence(|writer| {
                        oid(writer.next(), LOCAL_KEY_ID);
                        writer.next().write_set(|writer| writer.next().write_bytes(id));
                    });
                });
            });
        });
    })
}

fn pkcs12(certificate: &[u8], key: &[u8]) -> Result<Vec<u8>> {
    let id = digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate);
    let certificate = construct_der(|writer| {
        writer.write_sequence(|writer| {
            oid(writer.next(), X509);
            writer.next().write_tagged(Tag::context(0), |writer| writer.write_bytes(certificate));
        });
    });
    let (certificate, key) =
        (bag(CERTIFICATE_BAG, &certificate, id.as_ref()), bag(KEY_BAG, &encrypted(key)?, id.as_ref()));
    let safe = construct_der(|writer| {
        writer.write_sequence(|writer| {
            content(writer.next(), &certificate);
            content(writer.next(), &key);
        });
    });
    let salt: [u8; 16] = rand::random();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &mac_key(&salt)), &safe);
    Ok(construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(3);
            content(writer.next(), &safe);
            writer.next().write_sequence(|writer| {
                writer.next().write_sequence(|writer| {
                    writer.next().write_sequence(|writer| {
                        oid(writer.next(), SHA256);
                        writer.next().write_null();
                    });
                    writer.next().write_bytes(mac.as_ref());
                });
                writer.next().write_bytes(&salt);
                writer.next().write_u32(ITERATIONS);
            });
        });
    }))
}

/// The key, encrypted with what the empty password makes.
fn encrypted(key: &[u8]) -> Result<Vec<u8>> {
    let failed = |_| Error::internal("a key could not be encrypted", "the cryptographic library refused");
    let (salt, mut secret): ([u8; 16], [u8; 32]) = (rand::random(), [0; 32]);
    let iterations = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, b"", &mut secret);
    let cipher =
        UnboundCipherKey::new(&AES_256, &secret).and_then(PaddedBlockEncryptingKey::cbc_pkcs7).map_err(failed)?;
    let mut bytes = key.to_vec();
    let context = cipher.encrypt(&mut bytes).map_err(failed)?;
    let DecryptionContext::Iv128(iv) = &context else {
        return Err(Error::internal("a key could not be encrypted", "it was, with no vector to begin with"));
    };
    let iv: &[u8; 16] = iv.as_ref();
    Ok(construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                oid(writer.next(), PBES2);
                writer.next().write_sequence(|writer| {
                    writer.next().write_sequence(|writer| {
                        oid(writer.next(), PBKDF2);
                        writer.next().write_sequence(|writer| {
                            writer.next().write_bytes(&salt);
                            writer.next().write_u32(ITERATIONS);
                            writer.next().write_sequence(|writer| {
                                oid(writer.next(), HMAC_SHA256);
                                writer.next().write_null();
                            });
                        });
                    });
                    writer.next().write_sequence(|writer| {
                        oid(writer.next(), AES_256_CBC);
                        writer.next().write_bytes(iv);
                    });
                });
            });
            writer.next().write_bytes(&bytes);
        });
    }))
}

/// The key of the MAC, as RFC 7292 (appendix B) derives it with SHA-256: out of the purpose (3), the salt, and the empty
/// password, which is the two zero bytes that end it.
fn mac_key(salt: &[u8; 16]) -> [u8; 32] {
    let mut input = vec![3; 64];
    input.extend(salt.iter().cycle().take(64));
    input.extend([0; 64]);
    (0..ITERATIONS).fold(input, |bytes, _| Sha256::digest(&bytes).to_vec()).try_into().unwrap_or([0; 32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::certificate_key::fingerprint;
    use std::process::Command;

    fn openssl(args: &[&str], path: &std::path::Path) -> Option<String> {
        let output = Command::new("openssl").args(args).arg(path).output().ok()?;
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn openssl_reads_the_certificate_and_finds_its_key_under_the_empty_password() {
        let made = generate("u1", Timestamp(1_795_315_269_000_000)).unwrap();
        fingerprint(&made.certificate).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (pem, pfx) = (folder.path().join("c.pem"), folder.path().join("c.pfx"));
        std::fs::write(&pem, &made.certificate).unwrap();
        std::fs::write(&pfx, STANDARD.decode(&made.private_key).unwrap()).unwrap();
        let Some(text) = openssl(&["x509", "-noout", "-text", "-in"], &pem) else {
            eprintln!("SKIPPED: openssl is not installed");
            return;
        };
        for said in ["CN=u1", "(2048 bit)", "TLS Web Client Authentication", "u1@localhost"] {
            assert!(text.replace(" = ", "=").contains(said), "{said}: {text}");
        }
        let inside = openssl(&["pkcs12", "-passin", "pass:", "-nodes", "-in"], &pfx).unwrap();
        let body = made.certificate.replace("\r\n", "\n");
        assert!(inside.contains(body.trim()) && inside.contains("BEGIN PRIVATE KEY"), "{inside}");
        std::fs::write(&pfx, &inside).unwrap();
        let of = |args: &[&str], path| openssl(args, path).unwrap();
        let public = of(&["pkey", "-pubout", "-in"], &pfx);
        assert_eq!(public, of(&["x509", "-noout", "-pubkey", "-in"], &pem), "the key is the certificate's");
    }
}
