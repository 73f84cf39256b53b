//! The `Range` header, as upstream reads it: one range of bytes.

use crate::error::{Error, Result};
use std::ops::Range;

/// The bytes asked for, within an image of `size` bytes; `None` without a header.
///
/// # Errors
/// `BadRequest` for several ranges, `RangeNotSatisfiable` for one that can't be read or begins behind the end.
pub fn of(header: Option<&str>, size: u64) -> Result<Option<Range<u64>>> {
    let Some(header) = header else { return Ok(None) };
    if header.contains(',') {
        return Err(Error::bad_request(
            "Requests with multiple ranges are not supported in Glance. You may make multiple single-range requests instead.",
        ));
    }
    let invalid = || Error::RangeNotSatisfiable("Invalid Range header.".to_owned());
    let (start, end) =
        header.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(invalid)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| invalid());
    let range = match (start.trim(), end.trim()) {
        ("", last) => size.saturating_sub(number(last)?)..size,
        (start, "") => number(start)?..size,
        (start, end) => number(start)?..number(end)?.saturating_add(1).min(size),
    };
    if range.start >= size {
        return Err(Error::RangeNotSatisfiable(format!(
            "Invalid start position in Range header. Start position MUST be in the inclusive range [0, {}].",
            size.saturating_sub(1)
        )));
    }
    if range.start >= range.end { Err(invalid()) } else { Ok(Some(range)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_end_and_counted_from_it() {
        let read = |text: &str| of(Some(text), 10).unwrap().unwrap();
        assert_eq!(read("bytes=0-4"), 0..5);
        assert_eq!(read("bytes=4-"), 4..10);
        assert_eq!(read("bytes=4-99"), 4..10);
        assert_eq!(read("bytes=-3"), 7..10);
        assert_eq!(read("bytes=-99"), 0..10);
        assert_eq!(of(None, 10).unwrap(), None);
    }

    #[test]
    fn what_is_no_range_within_the_image_is_refused() {
        for text in ["bytes=10-", "bytes=99-100", "bytes=5-4", "bytes=a-b", "bytes=-", "items=0-1", "bytes=-0", "0-4"] {
            assert!(matches!(of(Some(text), 10), Err(Error::RangeNotSatisfiable(_))), "{text}");
        }
        assert!(matches!(of(Some("bytes=0-1,3-4"), 10), Err(Error::BadRequest(_))));
        assert!(of(Some("bytes=0-0"), 0).is_err());
    }
}
