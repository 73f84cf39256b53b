//! `PATCH /v2/images/{image_id}`: all of the operations, or none.

use super::create::rule_of;
use super::patch;
use super::seen::{self, Seen};
use super::views::{self, ImageView};
use crate::api::{Call, Context};
use crate::cloud::image::Visibility;
use crate::cloud::image::change::{Change, Operation, apply, check_whole};
use crate::error::{Error, Result};
use crate::http::reply::Reply;
use crate::store::images;
use bytes::Bytes;

pub async fn update(call: Call<Bytes>) -> Result<Reply<ImageView>> {
    let changes = patch::read(call.head.header("content-type"), &call.body)?;
    let now = call.cx.state.clock.now();
    let image = seen::write(&call, move |tx, cx, mut seen| {
        seen.allow(cx, "modify_image")?;
        for change in &changes {
            allow(cx, &seen, change)?;
            apply(&mut seen.image, change)?;
        }
        check_whole(&seen.image)?;
        if !changes.is_empty() {
            seen.image.updated_at = now;
            images::update(tx, &seen.image, now)?;
        }
        Ok(views::shown(cx, seen.image))
    })
    .await?;
    Ok(Reply::ok(image))
}

/// Some fields have a rule of their own.
fn allow(cx: &Context, seen: &Seen, change: &Change) -> Result<()> {
    let (Operation::Add { value, .. } | Operation::Replace(value)) = &change.operation else { return Ok(()) };
    match change.field.as_str() {
        "owner" if !cx.may("context_is_admin") => {
            Err(Error::Forbidden("Owner can't be updated by non admin.".to_owned()))
        }
        "visibility" => match value.as_str().and_then(Visibility::of).and_then(rule_of) {
            Some(rule) => seen.allow(cx, rule),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
