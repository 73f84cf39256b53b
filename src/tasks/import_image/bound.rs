//! How many bytes an import may give an image: no more than the largest image of all may have, and no more than its owner's
//! quota, or the limit of identity that stands in its place, leaves beside all their other images.
//!
//! Asked before bytes come, so that a source that is too large costs little, and in the transaction that takes them, since
//! others may have filled the quota while they came (CVE-2015-5286).

use super::ImportImage;
use crate::cloud::image::import::ImportRules;
use crate::cloud::image::limits::full;
use crate::error::Result;
use crate::ids::ImageId;
use crate::store::{Tx, image_limits, images};
use crate::tasks::Cx;

impl ImportImage {
    /// The most, where so many are announced; `None`: no bound.
    ///
    /// # Errors
    /// `TooLarge` or `OverQuota` where there is no room for what is announced.
    pub(in crate::tasks) async fn bound(&self, cx: &Cx, image: ImageId, announced: Option<u64>) -> Result<Option<u64>> {
        let rules = self.rules.clone();
        let room = cx.db.read(move |tx| room(tx, &rules, image, Some(image), announced)).await?;
        let largest = (self.rules.size_limit > 0).then_some(self.rules.size_limit);
        Ok(largest.into_iter().chain(room).min())
    }
}

/// May the image take so many, now that they are here?
///
/// # Errors
/// `TooLarge` or `OverQuota` where not.
pub fn check(tx: &mut Tx, rules: &ImportRules, image: ImageId, size: u64) -> Result<()> {
    match room(tx, rules, image, Some(image), Some(size))? {
        Some(left) if left < size => Err(full(&size.to_string(), left)),
        _ => Ok(()),
    }
}

/// May its owner have them once more, in another store? Limits of identity count them once.
///
/// # Errors
/// As [`check`]'s.
pub fn check_copy(tx: &mut Tx, rules: &ImportRules, image: ImageId, size: u64) -> Result<()> {
    room(tx, rules, image, None, Some(size)).map(drop)
}

/// What the owner of the image has left, beside the bytes of all their images `but` one.
fn room(
    tx: &mut Tx,
    rules: &ImportRules,
    image: ImageId,
    but: Option<ImageId>,
    wanted: Option<u64>,
) -> Result<Option<u64>> {
    if let Some(region) = &rules.limits_region {
        let owner = images::any(tx, image)?.owner.filter(|_| but.is_some());
        return owner.map_or(Ok(None), |owner| image_limits::room(tx, region, image_limits::SIZE, &owner));
    }
    if rules.limits.storage == 0 {
        return Ok(None);
    }
    let owner = images::any(tx, image)?.owner;
    let used = images::bytes_of(tx, owner.as_ref(), but)?;
    rules.limits.room(used, wanted)
}
