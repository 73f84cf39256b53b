//! How much of what an image and a project may have.

use super::Image;
use super::change::RESERVED_PREFIX;
use crate::error::{Error, Result};

/// Bounds that operators set; a negative one is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub members: i64,
    pub properties: i64,
    pub tags: i64,
    /// All bytes of a project's images in all stores; 0: no bound.
    pub storage: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { members: 128, properties: 128, tags: 128, storage: 0 }
    }
}

fn exceeds(attempted: usize, limit: i64) -> bool {
    usize::try_from(limit).is_ok_and(|limit| attempted > limit)
}

impl Limits {
    /// What no change alone can break: how many properties and tags there are.
    ///
    /// # Errors
    /// `TooLarge` with upstream's words.
    pub fn check(&self, image: &Image) -> Result<()> {
        let properties = image.properties.keys().filter(|name| !name.starts_with(RESERVED_PREFIX)).count();
        for (what, count, limit) in [("properties", properties, self.properties), ("tags", image.tags.len(), self.tags)]
        {
            if exceeds(count, limit) {
                return Err(Error::TooLarge(format!(
                    "The limit has been exceeded on the number of allowed image {what}. Attempted: {count}, Maximum: \
                     {limit}"
                )));
            }
        }
        Ok(())
    }

    /// May an image have so many members?
    ///
    /// # Errors
    /// `TooLarge` with upstream's words.
    pub fn check_members(&self, image: &Image, attempted: usize) -> Result<()> {
        if !exceeds(attempted, self.members) {
            return Ok(());
        }
        Err(Error::TooLarge(format!(
            "Image member limit exceeded for image {}: The limit has been exceeded on the number of allowed image members \
             for this image. Attempted: {attempted}, Maximum: {}:",
            image.id, self.members
        )))
    }

    /// How many bytes more there may be beside those that are used; `None`: as many as one likes.
    ///
    /// # Errors
    /// `TooLarge` when `wanted` doesn't fit; where it isn't known, when nothing does.
    pub fn room(&self, used: u64, wanted: Option<u64>) -> Result<Option<u64>> {
        if self.storage == 0 {
            return Ok(None);
        }
        let remaining = self.storage.saturating_sub(used);
        if wanted.map_or(remaining == 0, |wanted| wanted > remaining) {
            let size = wanted.map_or_else(|| "None".to_owned(), |size| size.to_string());
            return Err(full(&size, remaining));
        }
        Ok(Some(remaining))
    }
}

/// The refusal of bytes that don't fit.
pub fn full(size: &str, remaining: u64) -> Error {
    Error::TooLarge(format!(
        "Image exceeds the storage quota: The size of the data {size} will exceed the limit. {remaining} bytes remaining."
    ))
}

/// Reads a number of bytes: `0`, `500MB`, `2TB`; powers of 1024, as upstream has it.
pub fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match &text[digits..] {
        "" | "B" => 1,
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::ImageId;

    #[test]
    fn a_negative_limit_is_none_and_the_services_own_properties_count_for_nothing() {
        let mut image = Image::new(ImageId::random(), None, Timestamp(0));
        image.properties.extend([("a".to_owned(), String::new()), ("os_glance_x".to_owned(), String::new())]);
        image.tags.insert("t".to_owned());
        let limits = |properties, tags| Limits { properties, tags, ..Limits::default() };
        assert!(limits(1, 1).check(&image).is_ok() && limits(-1, -1).check(&image).is_ok());
        let refused = limits(0, 1).check(&image).unwrap_err().to_string();
        assert_eq!(
            refused,
            "The limit has been exceeded on the number of allowed image properties. Attempted: 1, Maximum: 0"
        );
        assert!(limits(1, 0).check(&image).is_err());
        assert!(Limits { members: 1, ..Limits::default() }.check_members(&image, 2).is_err());
        assert!(Limits { members: -1, ..Limits::default() }.check_members(&image, 999).is_ok());
    }

    #[test]
    fn bytes_fit_while_there_is_room() {
        let limits = Limits { storage: 10, ..Limits::default() };
        assert_eq!(limits.room(4, Some(6)).unwrap(), Some(6));
        assert_eq!(limits.room(4, None).unwrap(), Some(6));
        assert_eq!(
            limits.room(4, Some(7)).unwrap_err().to_string(),
            "Image exceeds the storage quota: The size of the data 7 will exceed the limit. 6 bytes remaining."
        );
        assert!(limits.room(10, None).is_err() && limits.room(11, Some(1)).is_err());
        assert_eq!(Limits::default().room(u64::MAX, Some(1)).unwrap(), None);
    }

    #[test]
    fn sizes_are_read_with_upstreams_units() {
        let table = [("0", Some(0)), ("12", Some(12)), ("1KB", Some(1024)), ("2TB", Some(2 << 40)), ("3B", Some(3))];
        for (text, expected) in table {
            assert_eq!(bytes_of(text), expected, "{text}");
        }
        for text in ["", "KB", "1kb", "1 KB", "-1", "1PB", "99999999TB"] {
            assert_eq!(bytes_of(text), None, "{text}");
        }
    }
}
