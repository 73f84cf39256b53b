//! Listing, showing, deleting images; taking one out of use and back.

use super::seen::{self, Seen};
use super::views::{self, ImageList, ImageView};
use crate::api::{Call, Context};
use crate::cloud::image::Status;
use crate::cloud::image::list::{Filter, Listing};
use crate::cloud::image::protection::Action;
use crate::error::Result;
use crate::http::reply::{Empty, Reply};
use crate::ids::ImageId;
use crate::store::images::Listed;
use crate::store::{images, tasks};
use crate::tasks::crash_point;

/// `GET /v2/images`: a page of what the caller sees.
pub async fn list(call: Call) -> Result<Reply<ImageList>> {
    let pairs: Vec<_> = call.query().iter().collect();
    let listing = Listing::of(&pairs)?;
    let (found, last) = find(&call.cx, listing).await?;
    let without_marker: Vec<_> = call.query().iter().filter(|(name, _)| *name != "marker").collect();
    let link = |more: &[(&str, &str)]| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        match query.extend_pairs(&without_marker).extend_pairs(more).finish() {
            query if query.is_empty() => "/v2/images".to_owned(),
            query => format!("/v2/images?{query}"),
        }
    };
    Ok(Reply::ok(ImageList {
        first: link(&[]),
        next: last.map(|id| link(&[("marker", &id.to_string())])),
        images: found,
        schema: "/v2/schemas/images",
    }))
}

/// A page of the images that the caller sees, and the last one's id where more may follow.
pub async fn find(cx: &Context, listing: Listing) -> Result<(Vec<ImageView>, Option<ImageId>)> {
    let limit = listing.limit;
    let (state, cx) = (cx.state.clone(), cx.clone());
    let (protections, roles) = (&cx.state.images.protections, &cx.credentials().roles);
    let guesses = listing
        .filters
        .iter()
        .any(|filter| matches!(filter, Filter::Property(name, _) if !protections.allow(Action::Read, name, roles)));
    let mine = cx.caller()?.project_id().cloned();
    let now = cx.state.clock.now();
    state
        .db
        .read(move |tx| {
            // Who may not read a property shall not learn its value by asking for images that have it.
            let listed = if guesses { Vec::new() } else { images::list(tx, &cx.reach, mine.as_ref(), &listing, now)? };
            let last = listed.last().map(|listed| listed.image.id);
            let full = listed.len() == limit;
            let seen = listed.into_iter().map(|Listed { image, membership }| Seen { image, membership });
            let seen = seen.filter(|seen| seen.may(&cx, "get_image"));
            let shown: Vec<_> = seen.map(|seen| views::shown(&cx, seen.image)).collect();
            Ok((shown, last.filter(|_| full)))
        })
        .await
}

/// `GET /v2/images/{image_id}`
pub async fn show(call: Call) -> Result<Reply<ImageView>> {
    seen::read(&call, |_, cx, seen| Ok(views::shown(cx, seen.image))).await.map(Reply::ok)
}

/// `DELETE /v2/images/{image_id}`: the row goes. Bytes that nobody needs any more follow when the client has its answer:
/// how long their deletion takes, and whether there is one, would tell whether others have the same bytes.
pub async fn remove(call: Call) -> Result<Empty> {
    let now = call.cx.state.clock.now();
    seen::write(&call, move |tx, cx, seen| {
        seen.allow(cx, "delete_image")?;
        seen.image.may_delete()?;
        // An import under way finds the image gone, and clears up after itself.
        tasks::cancel_all(tx, &seen.image.id.to_string(), now)?;
        images::delete(tx, seen.image.id, now)
    })
    .await?;
    crash_point::reached("delete_image").await;
    call.cx.state.stores.say_given_up();
    Ok(Empty::no_content())
}

/// `POST …/actions/deactivate`: nobody but an administrator gets the bytes, and nobody boots from it.
pub async fn deactivate(call: Call) -> Result<Empty> {
    switch(call, "deactivate", Status::Deactivated).await
}

/// `POST …/actions/reactivate`
pub async fn reactivate(call: Call) -> Result<Empty> {
    switch(call, "reactivate", Status::Active).await
}

async fn switch(call: Call, rule: &'static str, to: Status) -> Result<Empty> {
    let now = call.cx.state.clock.now();
    seen::write(&call, move |tx, cx, seen| {
        seen.allow(cx, rule)?;
        seen.image.may_switch(to)?;
        images::switch(tx, seen.image.id, to, now)
    })
    .await?;
    Ok(Empty::no_content())
}
