//! Is an image what it was declared to be, and safe?

use super::Image;
use crate::cloud::image_format;
use crate::error::{Error, Result};

/// Judges an image by its first and last bytes ([`image_format::HEAD_BYTES`], [`image_format::TAIL_BYTES`]). Answers the
/// size a guest would see. A container is opened by nobody here, so its inside isn't judged; whoever would boot from it
/// judges the bytes again.
///
/// # Errors
/// `UnsupportedMediaType`, saying what is wrong.
pub fn inspect(image: &Image, head: &[u8], tail: &[u8], size: u64) -> Result<Option<u64>> {
    if image.container_format.as_deref() != Some("bare") {
        return Ok(None);
    }
    let declared = image.disk_format.as_deref().unwrap_or_default();
    image_format::check(declared, head, tail, size)
        .map(|checked| checked.virtual_size)
        .map_err(|refusal| Error::UnsupportedMediaType(refusal.to_string()))
}
