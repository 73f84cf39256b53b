//! What an import does to an image on its way in, in the order operators list it.
//!
//! ```text
//!  no_op                   nothing
//!  image_decompression     gzip, or a ZIP of one file, becomes what is inside; a container `compressed` stays packed
//!  image_conversion        any known format becomes raw or qcow2; a disc stays a disc
//!  inject_image_metadata   the operator's properties are put on it, unless whoever asked has a role that is spared
//! ```
//! Names and meanings are upstream's. None of it is done to a copy, whose bytes were imported before.

use super::change::RESERVED_PREFIX;
use super::remote::Becoming;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

words! {
    #[derive(Serialize, Deserialize)]
    Plugin {
        NoOp "no_op",
        Inject "inject_image_metadata",
        Convert "image_conversion",
        Decompress "image_decompression",
    }
}

words! {
    Target { Raw "raw", Qcow2 "qcow2" }
}

/// How much may come of an image unless operators say otherwise, in bytes.
const LARGEST: u64 = 100 << 30;

/// How images are converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    pub target: Target,
    /// What the converter may use, of memory and of time.
    pub memory_mb: u64,
    pub seconds: u64,
    /// The largest result, in bytes; 0: the largest image.
    pub size_limit: u64,
    /// Where it is done.
    pub folder: PathBuf,
}

/// How far images are unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decompression {
    /// The largest result, in bytes; 0: the largest image.
    pub size_limit: u64,
    /// How many times the packed size; 0: any.
    pub ratio_limit: u64,
}

/// What is put on images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    pub ignore_user_roles: Vec<String>,
    pub inject: BTreeMap<String, String>,
}

/// What operators say of all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugins {
    /// In this order.
    pub list: Vec<Plugin>,
    pub conversion: Conversion,
    pub decompression: Decompression,
    pub injection: Injection,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            conversion: Conversion {
                target: Target::Raw,
                memory_mb: 2048,
                seconds: 3600,
                size_limit: LARGEST,
                folder: std::env::temp_dir().join("gapura-import"),
            },
            decompression: Decompression { size_limit: LARGEST, ratio_limit: 250 },
            injection: Injection { ignore_user_roles: vec!["admin".to_owned()], inject: BTreeMap::new() },
        }
    }
}

impl Decompression {
    /// How many bytes may come of so many, where an image may have so many.
    pub fn at_most(&self, packed: u64, largest: u64) -> u64 {
        let by_ratio = if self.ratio_limit == 0 { u64::MAX } else { packed.saturating_mul(self.ratio_limit) };
        least(self.size_limit, largest).min(by_ratio)
    }
}

impl Conversion {
    /// How many bytes may come of it, where an image may have so many.
    pub fn at_most(&self, largest: u64) -> u64 {
        least(self.size_limit, largest)
    }
}

/// A bound, where 0 is none, and another.
fn least(bound: u64, other: u64) -> u64 {
    if bound == 0 { other } else { bound.min(other) }
}

impl Injection {
    /// Puts the properties on an image that somebody with these roles imports.
    pub fn apply(&self, roles: &[String], becoming: &mut Becoming) {
        if roles.iter().any(|role| self.ignore_user_roles.contains(role)) {
            return;
        }
        let own = self.inject.iter().filter(|(name, _)| !name.starts_with(RESERVED_PREFIX));
        becoming.properties.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_injected_unless_a_role_is_spared_and_never_the_services_own() {
        let inject = [("source", "imported"), ("os_glance_importing_to_stores", "x")];
        let inject = inject.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let injection = Injection { ignore_user_roles: vec!["admin".to_owned()], inject };
        let injected = |roles: &[&str]| {
            let mut becoming = Becoming::default();
            injection.apply(&roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>(), &mut becoming);
            becoming.properties.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(injected(&["member", "reader"]), ["source"]);
        assert_eq!(injected(&[]), ["source"]);
        assert!(injected(&["member", "admin"]).is_empty());
    }

    #[test]
    fn the_smallest_bound_holds() {
        let rules = Decompression { size_limit: 1000, ratio_limit: 10 };
        assert_eq!((rules.at_most(5, u64::MAX), rules.at_most(500, u64::MAX), rules.at_most(500, 7)), (50, 1000, 7));
        let open = Decompression { size_limit: 0, ratio_limit: 0 };
        assert_eq!(open.at_most(1, u64::MAX), u64::MAX);
    }
}
