//! Rules of the image service.

use super::Rule;

pub const RULES: &[Rule] = &[];
