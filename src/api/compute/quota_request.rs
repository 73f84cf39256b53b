//! A limit as requests write it.

use crate::error::Result;
use crate::http::json::{FlexibleInt, Invalid, Parse, Path};
use crate::http::microversion::Microversion;
use serde_json::{Value, json};

/// A whole number from -1 (no limit) on, or its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub i64);

const MOST: i64 = 0x7FFF_FFFF;

impl Parse for Limit {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let shown = value.clone();
        let FlexibleInt(number) = FlexibleInt::parse(value, path, version)?;
        if number < -1 {
            return Err(path.refuse(&shown, format!("{number} is less than the minimum of -1")));
        }
        if number > MOST {
            return Err(path.refuse(&shown, format!("{number} is greater than the maximum of {MOST}")));
        }
        Ok(Self(number))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": ["integer", "string"], "pattern": "^-?[0-9]+$", "minimum": -1, "maximum": MOST})
    }
}
