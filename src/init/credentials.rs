//! The passwords that `gapura init` generates, and the files that carry them: `clouds.yaml` and `openrc`, both 0600.
//!
//! `clouds.yaml` is written before the users are made, so that an init interrupted in between finds the same passwords
//! again; a password is on no command line and in no log.

use crate::error::{Error, Result};
use serde_yaml_ng::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The two users' passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub admin: String,
    pub demo: String,
}

impl Credentials {
    /// Those of an earlier init, or new ones.
    ///
    /// # Errors
    /// `BadRequest` when there is a file that can't be understood: it is not overwritten.
    pub fn load_or_generate(state_dir: &Path) -> Result<Self> {
        let path = path(state_dir);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).ok_or_else(|| {
                Error::bad_request(format!(
                    "{} is not as init wrote it; move it away to get new passwords",
                    path.display()
                ))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { admin: password()?, demo: password()? })
            }
            Err(error) => Err(Error::bad_request(format!("can't read {}: {error}", path.display()))),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let yaml: Value = serde_yaml_ng::from_str(text).ok()?;
        let of = |cloud: &str| Some(yaml["clouds"][cloud]["auth"]["password"].as_str()?.to_owned());
        Some(Self { admin: of("gapura")?, demo: of("gapura-demo")? })
    }

    /// Writes both files; each appears whole or not at all.
    ///
    /// # Errors
    /// When the state directory can't be written.
    pub fn write(&self, state_dir: &Path, public_url: &str, region: &str) -> Result<()> {
        write_private(&path(state_dir), &self.clouds_yaml(public_url, region))?;
        write_private(&state_dir.join("openrc"), &self.openrc(public_url, region))
    }

    fn clouds_yaml(&self, url: &str, region: &str) -> String {
        let cloud = |name: &str, user: &str, password: &str, scope: &str| {
            format!(
                "  {name}:\n    auth:\n      auth_url: {url}/identity/v3\n      username: {user}\n      password: {password}\n      \
                 user_domain_id: default\n{scope}    region_name: {region}\n    identity_api_version: 3\n"
            )
        };
        let project = |name: &str| format!("      project_name: {name}\n      project_domain_id: default\n");
        format!(
            "clouds:\n{}{}{}",
            cloud("gapura", "admin", &self.admin, &project("admin")),
            cloud("gapura-demo", "demo", &self.demo, &project("demo")),
            cloud("gapura-system", "admin", &self.admin, "      system_scope: all\n"),
        )
    }

    fn openrc(&self, url: &str, region: &str) -> String {
        format!(
            "export OS_AUTH_URL={url}/identity/v3\nexport OS_USERNAME=admin\nexport OS_PASSWORD={}\nexport OS_PROJECT_NAME=admin\n\
             export OS_USER_DOMAIN_ID=default\nexport OS_PROJECT_DOMAIN_ID=default\nexport OS_REGION_NAME={region}\n\
             export OS_IDENTITY_API_VERSION=3\n",
            self.admin
        )
    }
}

/// Where `clouds.yaml` is.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("clouds.yaml")
}

/// 24 letters and digits: 142 bits.
fn password() -> Result<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut password = String::new();
    while password.len() < 24 {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| Error::internal("no random numbers", "the system's generator failed"))?;
        // Bytes beyond the last whole multiple are thrown away, so that each character is as likely as the next.
        let bound = 256 - 256 % ALPHABET.len();
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < bound);
        password.extend(fair.map(|byte| char::from(ALPHABET[byte % ALPHABET.len()])));
    }
    password.truncate(24);
    Ok(password)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let failed = |error: std::io::Error| Error::bad_request(format!("can't write {}: {error}", path.display()));
    let temporary = path.with_extension("new");
    // A leftover of an interrupted try may have other permissions.
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn passwords_are_found_again_in_a_file_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let fresh = Credentials::load_or_generate(folder.path()).unwrap();
        fresh.write(folder.path(), "http://127.0.0.1:5000", "RegionOne").unwrap();
        assert!(Credentials::load_or_generate(folder.path()).unwrap() == fresh);
        for name in ["clouds.yaml", "openrc"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert!(fresh.admin != fresh.demo && fresh.admin.len() == 24);
    }

    #[test]
    fn a_file_that_is_not_ours_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(path(folder.path()), "clouds: {}\n").unwrap();
        assert!(Credentials::load_or_generate(folder.path()).is_err());
    }
}
