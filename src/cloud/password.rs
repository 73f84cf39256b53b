//! Passwords: argon2id, its parameters kept in the hash, one hash's work for whoever asks.
//!
//! Verifying costs the same for a user who is not there as for one who is: the caller then verifies against
//! [`Recipe::nobody`]. A hash made with other parameters than today's is said to be stale, and made anew at a login.

use crate::error::{Error, Result};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longer passwords are refused before any work is done; Keystone's own bound for bcrypt is far below.
pub const LONGEST: usize = 4096;

const OUTPUT: usize = 32;

/// glibc gives memory of at least 32 MiB back to the system at once, whatever it has learnt; less than that it may keep.
/// So a working area is reserved this large, of which only the part that is used ever becomes memory.
const RESERVED: usize = 33 << 20;

/// The memory that a hash is computed in. To get it from the system and to give it back takes a good part of the time that
/// a hash takes, so one that computes many in a row keeps it; what is left in it is of no use to anybody but the next.
#[derive(Default)]
pub struct Area(Vec<Block>);

impl Area {
    fn of(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0 = Vec::with_capacity(count.max(RESERVED / Block::SIZE));
            self.0.resize(count, Block::default());
        }
        &mut self.0[..count]
    }
}

/// How expensive a hash is. Shown as PHC strings show it: `m=19456,t=2,p=1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// KiB.
    pub memory: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Default for Recipe {
    /// The last of the choices for argon2id that OWASP gives as equal: the one that leaves most memory to others.
    fn default() -> Self {
        Self { memory: 7168, passes: 5, lanes: 1 }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, passes, lanes } = self;
        write!(f, "m={memory},t={passes},p={lanes}")
    }
}

/// A verdict over a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub fits: bool,
    /// The hash was made with other parameters than the recipe's.
    pub is_stale: bool,
    /// What it took to find out: the hash's own recipe; `None` where no hash was needed for it.
    pub cost: Option<Recipe>,
}

impl Recipe {
    /// A new hash in PHC form: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
    ///
    /// # Errors
    /// `BadRequest` for a password over [`LONGEST`], `Internal` for a recipe argon2 doesn't take.
    pub fn hash(&self, password: &str) -> Result<String> {
        self.hash_in(&mut Area::default(), password)
    }

    /// The same in an area that was used before.
    ///
    /// # Errors
    /// As [`Recipe::hash`].
    pub fn hash_in(&self, area: &mut Area, password: &str) -> Result<String> {
        let salt = *uuid::Uuid::new_v4().as_bytes();
        let output = self.derive(area, password, &salt)?;
        Ok(format!("$argon2id$v=19${self}${}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output)))
    }

    /// A hash that no password fits, as expensive as any other.
    pub fn nobody(&self) -> String {
        let nothing = STANDARD_NO_PAD.encode([0_u8; OUTPUT]);
        format!("$argon2id$v=19${self}${}${nothing}", STANDARD_NO_PAD.encode([0_u8; 16]))
    }

    /// Does the password fit the hash?
    ///
    /// # Errors
    /// `Internal` when the hash can't be read.
    pub fn verify(&self, password: &str, hash: &str) -> Result<Verdict> {
        self.verify_in(&mut Area::default(), password, hash)
    }

    /// The same in an area that was used before.
    ///
    /// # Errors
    /// As [`Recipe::verify`].
    pub fn verify_in(&self, area: &mut Area, password: &str, hash: &str) -> Result<Verdict> {
        let (recipe, salt, expected) =
            read(hash).ok_or_else(|| Error::internal("a password's hash could not be read", "it is no PHC string"))?;
        if password.len() > LONGEST {
            return Ok(Verdict { fits: false, is_stale: false, cost: None });
        }
        let output = recipe.derive(area, password, &salt)?;
        let fits = aws_lc_rs::constant_time::verify_slices_are_equal(&output, &expected).is_ok();
        Ok(Verdict { fits, is_stale: recipe != *self, cost: Some(recipe) })
    }

    fn derive(&self, area: &mut Area, password: &str, salt: &[u8]) -> Result<[u8; OUTPUT]> {
        if password.len() > LONGEST {
            return Err(Error::bad_request("The password is too long."));
        }
        let failed = |why: argon2::Error| Error::internal("a password could not be hashed", why.to_string());
        let params = Params::new(self.memory, self.passes, self.lanes, Some(OUTPUT)).map_err(failed)?;
        let memory = area.of(params.block_count());
        let mut output = [0; OUTPUT];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password.as_bytes(), salt, &mut output, memory)
            .map_err(failed)?;
        Ok(output)
    }
}

/// Reads a PHC string of argon2id.
fn read(hash: &str) -> Option<(Recipe, Vec<u8>, Vec<u8>)> {
    let rest = hash.strip_prefix("$argon2id$v=19$")?;
    let mut parts = rest.split('$');
    let (parameters, salt, output) = (parts.next()?, parts.next()?, parts.next()?);
    let mut recipe = Recipe { memory: 0, passes: 0, lanes: 0 };
    for parameter in parameters.split(',') {
        let (name, value) = parameter.split_once('=')?;
        let value = value.parse().ok()?;
        match name {
            "m" => recipe.memory = value,
            "t" => recipe.passes = value,
            "p" => recipe.lanes = value,
            _ => return None,
        }
    }
    Some((recipe, STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(output).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Recipe = Recipe { memory: 64, passes: 1, lanes: 1 };

    #[test]
    fn a_hash_fits_its_password_only() {
        let hash = CHEAP.hash("correct horse").unwrap();
        assert_eq!(
            CHEAP.verify("correct horse", &hash).unwrap(),
            Verdict { fits: true, is_stale: false, cost: Some(CHEAP) }
        );
        assert!(!CHEAP.verify("correct horse ", &hash).unwrap().fits);
        assert!(!CHEAP.verify("", &CHEAP.nobody()).unwrap().fits);
    }

    #[test]
    fn a_hash_made_with_other_parameters_still_fits_and_is_stale() {
        let hash = CHEAP.hash("x").unwrap();
        let dearer = Recipe { memory: 128, ..CHEAP };
        assert_eq!(dearer.verify("x", &hash).unwrap(), Verdict { fits: true, is_stale: true, cost: Some(CHEAP) });
    }

    #[test]
    fn cve_2012_1572_a_huge_password_is_refused_without_work() {
        assert!(CHEAP.hash(&"x".repeat(LONGEST + 1)).is_err());
        let verdict = CHEAP.verify(&"x".repeat(LONGEST + 1), &CHEAP.nobody()).unwrap();
        assert_eq!(verdict, Verdict { fits: false, is_stale: false, cost: None });
    }

    #[test]
    fn what_an_area_was_used_for_before_changes_no_hash() {
        let mut area = Area::default();
        let dearer = Recipe { memory: 256, ..CHEAP };
        for recipe in [CHEAP, dearer, CHEAP] {
            let hash = recipe.hash_in(&mut area, "x").unwrap();
            assert!(recipe.verify("x", &hash).unwrap().fits);
            assert!(recipe.verify_in(&mut area, "x", &hash).unwrap().fits);
            assert!(!recipe.verify_in(&mut area, "y", &hash).unwrap().fits);
        }
    }

    #[test]
    fn a_hash_made_without_the_reserved_memory_is_the_same() {
        let by_crate = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, Some(OUTPUT)).unwrap());
        let mut output = [0; OUTPUT];
        by_crate.hash_password_into(b"password", b"somesaltsomesalt", &mut output).unwrap();
        let hash = format!(
            "$argon2id$v=19$m=64,t=1,p=1${}${}",
            STANDARD_NO_PAD.encode("somesaltsomesalt"),
            STANDARD_NO_PAD.encode(output)
        );
        assert!(CHEAP.verify("password", &hash).unwrap().fits);
    }
}
