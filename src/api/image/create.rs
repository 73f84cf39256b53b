//! `POST /v2/images`: a new image, still without bytes.

use super::imports;
use super::schemas::NewImage;
use super::views::{self, ImageView, path_of};
use crate::api::{Call, Context};
use crate::cloud::image::change::{check_writable, is_property, set};
use crate::cloud::image::protection::Action;
use crate::cloud::image::{Image, Visibility};
use crate::error::{Error, Result};
use crate::http::json::Map;
use crate::http::reply::Reply;
use crate::ids::{ImageId, ProjectId};
use crate::store::{Tx, image_limits, images};

pub async fn create(call: Call<NewImage>) -> Result<Reply<ImageView>> {
    let image = read(&call.cx, &call.body.0)?;
    allow(&call.cx, &image)?;
    let row = image.clone();
    let region = call.cx.state.limits_region();
    let insert = move |tx: &mut Tx| {
        if let (Some(region), Some(owner)) = (&region, &row.owner) {
            image_limits::check(tx, region, image_limits::COUNT, owner, 1)?;
        }
        images::insert(tx, &row)
    };
    call.cx.state.db.write(insert).await?;
    let location = path_of(&image);
    let mut reply = Reply::created(views::shown(&call.cx, image)).header("location", &location);
    let methods = imports::enabled(&call.cx);
    if !methods.is_empty() {
        reply = reply.header("openstack-image-import-methods", &methods.join(","));
    }
    let stores = &call.cx.state.stores;
    if stores.are_named() {
        reply = reply.header("openstack-image-store-ids", &stores.names().join(","));
    }
    Ok(reply)
}

pub fn read(cx: &Context, body: &Map) -> Result<Image> {
    let id = match body.get("id") {
        None => ImageId::random(),
        Some(id) => id.as_str().and_then(ImageId::parse).ok_or_else(|| {
            Error::bad_request(format!("Provided object does not match schema 'image': {id} is not a UUID"))
        })?,
    };
    let owner = cx.caller()?.project_id().cloned();
    let mut image = Image::new(id, owner, cx.state.clock.now());
    for (field, value) in body.iter().filter(|(field, _)| *field != "id") {
        check_writable(field)?;
        if is_property(field) {
            cx.state.images.protections.check(Action::Create, field, &cx.credentials().roles)?;
        }
        set(&mut image, field, value)?;
    }
    cx.state.images.limits.check(&image)?;
    Ok(image)
}

/// May the caller make an image for this owner, with this visibility?
pub fn allow(cx: &Context, image: &Image) -> Result<()> {
    let target = image.target(None);
    if !cx.may_on("add_image", &target) || (!cx.may("context_is_admin") && image.owner.as_ref() != own(cx)?) {
        let owner = image.owner.as_ref().map_or("None", ProjectId::as_str);
        return Err(Error::Forbidden(format!("You are not permitted to create images owned by '{owner}'.")));
    }
    match rule_of(image.visibility) {
        Some(rule) => cx.allow_on(rule, &target),
        None => Ok(()),
    }
}

fn own(cx: &Context) -> Result<Option<&ProjectId>> {
    Ok(cx.caller()?.project_id())
}

/// The rule that guards showing an image to everybody.
pub fn rule_of(visibility: Visibility) -> Option<&'static str> {
    match visibility {
        Visibility::Public => Some("publicize_image"),
        Visibility::Community => Some("communitize_image"),
        Visibility::Shared | Visibility::Private => None,
    }
}
