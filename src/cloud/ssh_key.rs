//! SSH keys as key pairs hold them: what a public key must look like, its fingerprint, and how a new private key is
//! written.
//!
//! Nothing here makes randomness or signs anything: a generated key's bytes come in, OpenSSH's text goes out.

use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

const TYPES: &[&str] = &[
    "ssh-rsa",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-dss",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// The MD5 fingerprint (`aa:bb:…`) of a public key in OpenSSH's one-line form.
///
/// # Errors
/// `BadRequest`, in Nova's sentence, for what is no public key.
pub fn fingerprint(public_key: &str) -> Result<String> {
    let blob = blob(public_key)
        .ok_or_else(|| Error::bad_request("Keypair data is invalid: failed to generate fingerprint"))?;
    let digest = Md5::digest(&blob);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// The key's bytes: length-prefixed fields, of which the first repeats the type and the last ends where the bytes end.
fn blob(public_key: &str) -> Option<Vec<u8>> {
    let line = public_key.trim_matches([' ', '\t', '\n', '\r']);
    if line.contains(['\n', '\r']) {
        return None;
    }
    // OpenSSH parts a line's words by these two alone: behind another kind of space it would see no key.
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let kind = words.next()?;
    if !TYPES.contains(&kind) {
        return None;
    }
    let blob = STANDARD.decode(words.next()?).ok()?;
    let fields = fields(&blob)?;
    (fields.len() >= 2 && fields[0] == kind.as_bytes()).then_some(blob)
}

fn fields(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        fields.push(after.get(..length)?);
        rest = &after[length..];
    }
    Some(fields)
}

/// A generated Ed25519 key in OpenSSH's forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub public_key: String,
    pub private_key: String,
}

/// Writes a key. `check` is any number: readers use it to tell a wrong passphrase, and there is none here.
pub fn write_ed25519(seed: &[u8; 32], public: &[u8; 32], check: u32, comment: &str) -> Written {
    let mut public_blob = Vec::new();
    put(&mut public_blob, b"ssh-ed25519");
    put(&mut public_blob, public);

    let mut secret = Vec::new();
    secret.extend(check.to_be_bytes());
    secret.extend(check.to_be_bytes());
    put(&mut secret, b"ssh-ed25519");
    put(&mut secret, public);
    put(&mut secret, &[seed.as_slice(), public].concat());
    put(&mut secret, comment.as_bytes());
    secret.extend((1_u8..8).take((8 - secret.len() % 8) % 8));

    let mut whole = b"openssh-key-v1\0".to_vec();
    put(&mut whole, b"none");
    put(&mut whole, b"none");
    put(&mut whole, b"");
    whole.extend(1_u32.to_be_bytes());
    put(&mut whole, &public_blob);
    put(&mut whole, &secret);

    let text = STANDARD.encode(whole);
    let lines: Vec<&str> =
        text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    Written {
        public_key: format!("ssh-ed25519 {} {comment}", STANDARD.encode(&public_blob)),
        private_key: format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            lines.join("\n")
        ),
    }
}

fn put(into: &mut Vec<u8>, field: &[u8]) {
    into.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    into.extend(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@here";

    #[test]
    fn a_key_behind_a_space_that_openssh_does_not_know_is_no_key() {
        let key = write_ed25519(&[1; 32], &[2; 32], 7, "me").public_key;
        assert!(fingerprint(&format!(" \t{key}\n")).is_ok());
        for space in ['\u{b}', '\u{c}', '\u{a0}', '\u{2003}'] {
            assert!(fingerprint(&format!("{space}{key}")).is_err(), "{space:?}");
        }
    }

    #[test]
    fn a_public_key_has_the_fingerprint_that_openssh_prints() {
        let print = fingerprint(KEY).unwrap();
        assert_eq!(print.len(), 47);
        assert_eq!(print, fingerprint(KEY.trim_end_matches(" me@here")).unwrap(), "the comment does not count");
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        for nonsense in [
            "",
            "ssh-rsa",
            "ssh-rsa AAAA",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUW",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\ncommand=evil",
        ] {
            assert!(fingerprint(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_written_key_is_framed_as_openssh_frames_it_and_its_public_half_is_accepted() {
        let written = write_ed25519(&[7; 32], &[9; 32], 42, "Generated-by-Gapura");
        assert!(fingerprint(&written.public_key).is_ok());
        let body: String = written.private_key.lines().filter(|line| !line.starts_with("-----")).collect();
        let bytes = STANDARD.decode(body).unwrap();
        assert!(bytes.starts_with(b"openssh-key-v1\0"));
        assert!(written.private_key.lines().all(|line| line.len() <= 70));
    }
}
