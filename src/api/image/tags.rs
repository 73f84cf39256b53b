//! Tags, one at a time.

use super::seen;
use crate::api::Call;
use crate::cloud::image::change::check_tag;
use crate::error::{Error, Kind, Result};
use crate::http::reply::Empty;
use crate::store::images;

/// `PUT /v2/images/{image_id}/tags/{tag}`: there already is fine.
pub async fn add(call: Call) -> Result<Empty> {
    let tag = call.path("tag").to_owned();
    check_tag(&tag)?;
    let now = call.cx.state.clock.now();
    seen::write(&call, move |tx, cx, mut seen| {
        seen.allow(cx, "modify_image")?;
        if seen.image.tags.insert(tag.clone()) {
            cx.state.images.limits.check(&seen.image)?;
            images::update(tx, &seen.image, now)?;
        }
        Ok(())
    })
    .await?;
    Ok(Empty::no_content())
}

/// `DELETE /v2/images/{image_id}/tags/{tag}`
pub async fn remove(call: Call) -> Result<Empty> {
    let tag = call.path("tag").to_owned();
    let now = call.cx.state.clock.now();
    seen::write(&call, move |tx, cx, mut seen| {
        seen.allow(cx, "modify_image")?;
        if !seen.image.tags.remove(&tag) {
            return Err(Error::not_found(Kind::Page, &tag));
        }
        images::update(tx, &seen.image, now)
    })
    .await?;
    Ok(Empty::no_content())
}
