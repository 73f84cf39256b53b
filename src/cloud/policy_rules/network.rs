//! Rules of the network service.

use super::Rule;

pub const RULES: &[Rule] = &[];
