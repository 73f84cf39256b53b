//! Rules of the identity service.

use super::Rule;

pub const RULES: &[Rule] = &[];
