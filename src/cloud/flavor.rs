//! Sizes of servers: what a flavor is, and what its extra specs may say.
//!
//! Extra specs that shape the guest (CPU pinning, huge pages, firmware, …) are kept and shown, but a server of such a
//! flavor is refused while nothing carries them out: a guest that silently differs from what was ordered is worse.

use crate::error::{Error, Result};
use crate::ids::FlavorId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A flavor, whole. Servers keep a copy of the one they were made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flavor {
    pub id: FlavorId,
    pub name: String,
    pub description: Option<String>,
    pub vcpus: u32,
    pub ram_mib: u64,
    pub disk_gib: u64,
    pub ephemeral_gib: u64,
    pub swap_mib: u64,
    pub rxtx_factor: f64,
    pub is_public: bool,
    pub disabled: bool,
    pub extra_specs: BTreeMap<String, String>,
}

/// May this be the name of an extra spec?
///
/// # Errors
/// `BadRequest`, as upstream words it.
pub fn check_spec_name(name: &str) -> Result<()> {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ' | ':');
    if name.is_empty() || name.chars().count() > 255 || !name.chars().all(legal) {
        return Err(Error::bad_request(format!(
            "Invalid input for field/attribute extra_specs. Value: {name}. '{name}' does not match '^[a-zA-Z0-9-_:. ]{{1,255}}$'"
        )));
    }
    Ok(())
}

/// The first extra spec that would have to shape the guest, and does not yet.
pub fn unfulfilled_spec(flavor: &Flavor) -> Option<&str> {
    const SHAPING: &[&str] = &[
        "hw:",
        "pci_passthrough:",
        "quota:",
        "resources",
        "trait",
        "os:",
        "accel:",
        "powervm:",
        "hw_rng:",
        "group_policy",
    ];
    // What shapes no guest, but where it goes.
    let harmless = |name: &str| name == "hw_rng:allowed" || name.starts_with("trait:");
    flavor
        .extra_specs
        .keys()
        .map(String::as_str)
        .find(|name| !harmless(name) && SHAPING.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extra_spec_that_shapes_the_guest_is_found_and_a_note_is_not() {
        let mut flavor = Flavor {
            id: "1".into(),
            name: "m1.tiny".into(),
            description: None,
            vcpus: 1,
            ram_mib: 512,
            disk_gib: 1,
            ephemeral_gib: 0,
            swap_mib: 0,
            rxtx_factor: 1.0,
            is_public: true,
            disabled: false,
            extra_specs: BTreeMap::from([("price".to_owned(), "low".to_owned())]),
        };
        assert_eq!(unfulfilled_spec(&flavor), None);
        flavor.extra_specs.insert("hw:cpu_policy".to_owned(), "dedicated".to_owned());
        assert_eq!(unfulfilled_spec(&flavor), Some("hw:cpu_policy"));
    }

    #[test]
    fn a_spec_name_is_of_letters_digits_and_a_few_marks() {
        assert!(check_spec_name("hw:cpu_policy").is_ok());
        assert!(check_spec_name("a/b").is_err());
        assert!(check_spec_name("").is_err());
    }
}
