//! `PATCH /v2/images/{image_id}`: all of the operations, or none.

use super::create::rule_of;
use super::patch;
use super::seen::{self, Seen};
use super::views::{self, ImageView};
use crate::api::{Call, Context};
use crate::clock::Timestamp;
use crate::cloud::image::change::{Change, Operation, apply, is_property};
use crate::cloud::image::protection::Action;
use crate::cloud::image::{Image, Visibility};
use crate::error::{Error, Result};
use crate::http::reply::Reply;
use crate::store::{Tx, images};
use bytes::Bytes;
use std::collections::BTreeMap;

pub async fn update(call: Call<Bytes>) -> Result<Reply<ImageView>> {
    let changes = patch::read(call.head.header("content-type"), &call.body)?;
    let now = call.cx.state.clock.now();
    let image = seen::write(&call, move |tx, cx, seen| {
        let image = change(tx, cx, seen, &changes, now)?;
        Ok(views::shown(cx, image))
    })
    .await?;
    Ok(Reply::ok(image))
}

/// Makes all of the changes that this caller may make, or none.
///
/// # Errors
/// `Forbidden` for what may not be changed, and what [`apply`] refuses.
pub fn change(tx: &mut Tx, cx: &Context, mut seen: Seen, changes: &[Change], now: Timestamp) -> Result<Image> {
    seen.allow(cx, "modify_image")?;
    let unseen = hide(cx, &mut seen.image);
    let before = seen.image.properties.len();
    for change in changes {
        allow(cx, &seen, change)?;
        apply(&mut seen.image, change)?;
    }
    let added = seen.image.properties.len() > before;
    seen.image.properties.extend(unseen);
    if added || changes.iter().any(|change| change.field == "tags") {
        cx.state.images.limits.check(&seen.image)?;
    }
    if !changes.is_empty() {
        seen.image.updated_at = now;
        images::update(tx, &seen.image, now)?;
    }
    Ok(seen.image)
}

/// Takes out the properties that the caller may not see: for them they aren't there.
fn hide(cx: &Context, image: &mut Image) -> BTreeMap<String, String> {
    let (protections, roles) = (&cx.state.images.protections, &cx.credentials().roles);
    let properties = std::mem::take(&mut image.properties);
    let (seen, unseen) = properties.into_iter().partition(|(name, _)| protections.allow(Action::Read, name, roles));
    image.properties = seen;
    unseen
}

/// Some fields have a rule of their own, and properties may be protected.
fn allow(cx: &Context, seen: &Seen, change: &Change) -> Result<()> {
    if is_property(&change.field) {
        let is_there = seen.image.properties.contains_key(&change.field);
        let action = match (&change.operation, is_there) {
            // What isn't there is refused as such.
            (Operation::Remove | Operation::Replace(_), false) => return Ok(()),
            (Operation::Remove, true) => Action::Delete,
            (Operation::Add { .. } | Operation::Replace(_), true) => Action::Update,
            (Operation::Add { .. }, false) => Action::Create,
        };
        return cx.state.images.protections.check(action, &change.field, &cx.credentials().roles);
    }
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
