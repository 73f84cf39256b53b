//! Values as PostgreSQL sends them, in its binary form.
//!
//! The server decides what type a parameter or an answer has: `1` is an int4, `SUM` of a BIGINT is a NUMERIC, a comparison
//! with such a sum wants a NUMERIC too. All of these are integers here, so that a query means the same on both engines.

use super::super::value::{Column, Columns, Value};
use crate::error::{BoxError, Error, Result};
use bytes::{BufMut, BytesMut};
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

impl Columns for postgres::Row {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn column(&self, at: usize) -> Result<Column<'_>> {
        self.try_get(at).map_err(|cause| Error::internal("a row of the database could not be read", cause))
    }
}

/// Gives every TEXT column the collation that compares bytes, which is SQLite's own.
pub(super) fn bytewise(ddl: &str) -> String {
    ddl.replace(" TEXT", " TEXT COLLATE \"C\"")
}

impl ToSql for Value {
    fn to_sql(&self, to: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        match (self, to) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Int(number), &Type::INT8) => out.put_i64(*number),
            (Self::Int(number), &Type::INT4) => out.put_i32(i32::try_from(*number)?),
            (Self::Int(number), &Type::INT2) => out.put_i16(i16::try_from(*number)?),
            (Self::Int(number), &Type::NUMERIC) => put_numeric(*number, out),
            (Self::Text(text), &(Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN)) => {
                out.put_slice(text.as_bytes());
            }
            (Self::Blob(bytes), &Type::BYTEA) => out.put_slice(bytes),
            (value, wanted) => return Err(format!("the parameter is {wanted} and was given {value:?}").into()),
        }
        Ok(IsNull::No)
    }

    /// Whether it fits is known only with the value.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Column<'a> {
    fn from_sql(from: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Ok(match *from {
            Type::INT8 => Self::Int(i64::from_sql(from, raw)?),
            Type::INT4 => Self::Int(i64::from(i32::from_sql(from, raw)?)),
            Type::INT2 => Self::Int(i64::from(i16::from_sql(from, raw)?)),
            Type::BOOL => Self::Int(i64::from(bool::from_sql(from, raw)?)),
            Type::NUMERIC => Self::Int(numeric(raw).ok_or("a number is not a whole one of 64 bits")?),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
                Self::Text(std::str::from_utf8(raw)?.into())
            }
            Type::BYTEA => Self::Blob(raw.into()),
            ref other => return Err(format!("a query answered a {other}").into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxError> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

const NEGATIVE: u16 = 0x4000;

/// A NUMERIC is a count of digits to base 10,000, the weight of the first, a sign, a scale, and the digits.
fn numeric(raw: &[u8]) -> Option<i64> {
    let mut words = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (count, weight, sign, _scale) = (words.next()?, words.next()?.cast_signed(), words.next()?, words.next()?);
    let mut number = 0_i128;
    for position in 0..i32::from(count).max(i32::from(weight) + 1) {
        let digit = if position < i32::from(count) { words.next()? } else { 0 };
        if position > i32::from(weight) {
            if digit != 0 {
                return None;
            }
            continue;
        }
        number = number.checked_mul(10_000)?.checked_add(i128::from(digit))?;
    }
    match sign {
        0 => i64::try_from(number).ok(),
        NEGATIVE => i64::try_from(-number).ok(),
        _ => None,
    }
}

fn put_numeric(number: i64, out: &mut BytesMut) {
    let mut rest = number.unsigned_abs();
    let mut digits = Vec::new();
    while rest > 0 {
        digits.push(u16::try_from(rest % 10_000).expect("a remainder of 10,000"));
        rest /= 10_000;
    }
    let count = i16::try_from(digits.len()).expect("64 bits have five such digits");
    out.put_i16(count);
    out.put_i16((count - 1).max(0));
    out.put_u16(if number < 0 { NEGATIVE } else { 0 });
    out.put_u16(0);
    digits.iter().rev().for_each(|digit| out.put_u16(*digit));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_numeric_is_read_back_as_it_was_written() {
        for number in [0, 1, -1, 9_999, 10_000, 10_001, 120_000_000, -123_456_789_012, i64::MAX, i64::MIN] {
            let mut out = BytesMut::new();
            put_numeric(number, &mut out);
            assert_eq!(numeric(&out), Some(number));
        }
    }

    #[test]
    fn a_fraction_is_not_read_as_a_whole_number() {
        // 1.5: two digits, the first of weight 0.
        assert_eq!(numeric(&[0, 2, 0, 0, 0, 0, 0, 1, 0, 1, 0x13, 0x88]), None);
        // 0.0001: one digit of weight -1.
        assert_eq!(numeric(&[0, 1, 0xff, 0xff, 0, 0, 0, 4, 0, 1]), None);
        // NaN.
        assert_eq!(numeric(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), None);
    }
}
