//! Rules of the compute service.

use super::Rule;

pub const RULES: &[Rule] = &[];
