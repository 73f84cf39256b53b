//! The bytes of an image: taken once, whole, checked against what they were declared to be; given out by range.

use super::seen::{self, Seen};
use super::{imports, range, resume, resume_fields, stores};
use crate::api::{Call, Context, State};
use crate::blobs::{Stored, Wish};
use crate::clock::Timestamp;
use crate::cloud::image::import::Method;
use crate::cloud::image::inspect::inspect;
use crate::cloud::image::limits::full;
use crate::cloud::image::{Image, Place, Status};
use crate::cloud::image_format::{HEAD_BYTES, TAIL_BYTES, head_needed};
use crate::error::{Error, Result, with_causes};
use crate::http::call::{BodyStream, Head};
use crate::http::reply::{Empty, RawBody, RawReply};
use crate::ids::{BlobId, ImageId};
use crate::store::{Tx, blobs, image_imports, image_limits, images};
use crate::tasks::{crash_point, sweep_images};
use http::StatusCode;
use std::sync::Arc;

/// `PUT /v2/images/{image_id}/file`
///
/// One that says whether it is complete begins an upload that can go on later ([`resume`]); any other is taken whole or not
/// at all, as upstream does.
pub async fn upload(call: Call<BodyStream>) -> Result<RawReply> {
    if call.head.header(resume_fields::COMPLETE).is_some() {
        return resume::create(call).await;
    }
    let mut wish = wish(&call)?;
    let place = Place { store: stores::chosen(&call.cx, &call.head)?.name.clone(), blob: BlobId::random() };
    let (begun, announced, now) = (place.clone(), wish.size, call.cx.state.clock.now());
    let admitted = seen::write(&call, move |tx, cx, seen: Seen| admit(tx, cx, seen, &begun, announced, now)).await?;
    // Who does not say how much there will be is held to the limit all the same.
    wish.at_most = least(wish.at_most, admitted.most());
    admitted.run(&call.cx.state, place, call.body, &wish).await?;
    Ok(RawReply::empty(StatusCode::NO_CONTENT))
}

/// An image that takes bytes from now on, and how many its owner may still have.
pub struct Admitted {
    image: Image,
    room: Option<u64>,
    unified: Option<u64>,
}

impl Admitted {
    pub fn most(&self) -> Option<u64> {
        least(self.room, self.unified)
    }

    /// Fills the image.
    ///
    /// # Errors
    /// The image is, or is about to be, `queued` again.
    pub async fn run(self, state: &Arc<State>, place: Place, body: BodyStream, wish: &Wish) -> Result<()> {
        let Self { image, room, .. } = self;
        Upload { state: state.clone(), image, place, room, aim: Aim::Use, is_settled: false }.run(body, wish).await
    }
}

/// Queued becomes saving, if policy, quota and limits allow it.
pub fn admit(
    tx: &mut Tx,
    cx: &Context,
    seen: Seen,
    place: &Place,
    announced: Option<u64>,
    now: Timestamp,
) -> Result<Admitted> {
    let (room, unified) = may_take(tx, cx, &seen, announced)?;
    images::begin_upload(tx, seen.image.id, place, now)?;
    unified_count(tx, &cx.state, &seen.image)?;
    Ok(Admitted { image: seen.image, room, unified })
}

/// May this caller bring the image so many bytes? Answers how many quota and limits leave.
pub fn may_take(tx: &mut Tx, cx: &Context, seen: &Seen, announced: Option<u64>) -> Result<(Option<u64>, Option<u64>)> {
    seen.allow(cx, "upload_image")?;
    seen.image.may_upload()?;
    let unified = unified_room(tx, &cx.state, &seen.image, image_limits::SIZE, announced)?;
    Ok((room(tx, &cx.state, &seen.image, announced)?, unified))
}

/// The same of an image whose bytes come in parts, of which so many are here: those wait for the others as staged ones do.
pub fn may_take_parts(tx: &mut Tx, cx: &Context, seen: &Seen, here: u64, announced: u64) -> Result<Option<u64>> {
    let (room, unified) = may_take(tx, cx, seen, Some(announced))?;
    let coming = announced.saturating_sub(here);
    let staged = unified_room(tx, &cx.state, &seen.image, image_limits::STAGED, Some(coming))?;
    Ok(least(staged.map(|staged| here.saturating_add(staged)), least(room, unified)))
}

/// Do an image's parts fit that are here by now, so many bytes in all? Others may have filled the quota while they came.
pub fn check_parts(tx: &mut Tx, state: &State, image: ImageId, here: u64) -> Result<()> {
    let image = images::any(tx, image)?;
    room(tx, state, &image, Some(here))?;
    unified_room(tx, state, &image, image_limits::SIZE, Some(here))?;
    unified_room(tx, state, &image, image_limits::STAGED, None)?;
    unified_count(tx, state, &image)
}

/// `PUT /v2/images/{image_id}/stage`: the bytes are kept for an import. Nothing is said of their format before that.
pub async fn stage(call: Call<BodyStream>) -> Result<Empty> {
    imports::check_enabled(&call.cx, Method::GlanceDirect)?;
    let mut wish = Wish { head: 0, tail: 0, ..wish(&call)? };
    let place = Place { store: call.cx.state.stores.default_store().name.clone(), blob: BlobId::random() };
    let (begun, announced, now) = (place.clone(), wish.size, call.cx.state.clock.now());
    let (image, room, unified) = seen::write(&call, move |tx, cx, seen: Seen| {
        seen.allow(cx, "modify_image")?;
        seen.image.may_stage()?;
        let unified = unified_room(tx, &cx.state, &seen.image, image_limits::STAGED, announced)?;
        let room = room(tx, &cx.state, &seen.image, announced)?;
        image_imports::begin_stage(tx, seen.image.id, &begun, now)?;
        unified_count(tx, &cx.state, &seen.image)?;
        Ok((seen.image, room, unified))
    })
    .await?;
    wish.at_most = least(wish.at_most, least(room, unified));
    let upload = Upload { state: call.cx.state.clone(), image, place, room, aim: Aim::Stage, is_settled: false };
    upload.run(call.body, &wish).await?;
    Ok(Empty::no_content())
}

/// How many bytes identity's limit leaves the image's owner, where images are held to it.
fn unified_room(
    tx: &mut Tx,
    state: &State,
    image: &Image,
    resource: &str,
    announced: Option<u64>,
) -> Result<Option<u64>> {
    let region = state.limits_region();
    let Some((region, owner)) = region.as_deref().zip(image.owner.as_ref()) else { return Ok(None) };
    let more = announced.map_or(0, |size| i64::try_from(size / image_limits::MIB).unwrap_or(i64::MAX));
    image_limits::check(tx, region, resource, owner, more)?;
    image_limits::room(tx, region, resource, owner)
}

/// May so many images be uploading at once? This one counts among them by now.
fn unified_count(tx: &mut Tx, state: &State, image: &Image) -> Result<()> {
    let region = state.limits_region();
    let Some((region, owner)) = region.as_deref().zip(image.owner.as_ref()) else { return Ok(()) };
    image_limits::check(tx, region, image_limits::UPLOADING, owner, 0)
}

/// How many bytes the owner's quota leaves for the image.
fn room(tx: &mut Tx, state: &State, image: &Image, wanted: Option<u64>) -> Result<Option<u64>> {
    // Identity's limits take the quota's place where images are held to them, as upstream's do.
    if state.images.limits.storage == 0 || state.unified_limits {
        return Ok(None);
    }
    let used = images::bytes_of(tx, image.owner.as_ref(), Some(image.id))?;
    state.images.limits.room(used, wanted)
}

/// The smaller of two bounds, either of which may be none.
pub fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// Fills a queued image from a stream, as an upload does.
///
/// # Errors
/// As an upload's; the image is `queued` afterwards.
pub async fn fill(state: &Arc<State>, image: Image, body: BodyStream, wish: &Wish) -> Result<()> {
    let place = Place { store: state.stores.default_store().name.clone(), blob: BlobId::random() };
    let (id, begun, now) = (image.id, place.clone(), state.clock.now());
    state.db.write(move |tx| images::begin_upload(tx, id, &begun, now)).await?;
    Upload { state: state.clone(), image, place, room: None, aim: Aim::Use, is_settled: false }.run(body, wish).await
}

fn wish<B>(call: &Call<B>) -> Result<Wish> {
    let media_type = call.head.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    if media_type.trim() != "application/octet-stream" {
        return Err(Error::UnsupportedMediaType(format!("Invalid content type {media_type}")));
    }
    let size = announced(&call.head)?;
    let at_most = largest(&call.cx.state, size)?;
    Ok(Wish { size, at_most, head: HEAD_BYTES, tail: TAIL_BYTES, suffices: Some(head_needed) })
}

/// How many bytes any image may have.
///
/// # Errors
/// `TooLarge` when more were announced.
pub fn largest(state: &State, announced: Option<u64>) -> Result<Option<u64>> {
    let limit = state.images.size_limit;
    let (size, at_most) = (announced, (limit > 0).then_some(limit));
    if let (Some(size), Some(most)) = (size, at_most)
        && size > most
    {
        return Err(Error::TooLarge(format!(
            "The incoming image is too large: {size} bytes, at most {most} are allowed"
        )));
    }
    Ok(at_most)
}

/// How many bytes the client says there will be.
fn announced(head: &Head) -> Result<Option<u64>> {
    match head.header("x-openstack-image-size").or_else(|| head.header("content-length")) {
        None => Ok(None),
        Some(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| Error::bad_request("Invalid or missing image size in request headers.")),
    }
}

/// What bytes come for.
#[derive(Clone, Copy)]
enum Aim {
    /// The image becomes active with them.
    Use,
    /// An import takes them up later.
    Stage,
}

/// An upload under way. However it ends, also when its request is dropped, the image doesn't stay `saving` or `uploading`.
struct Upload {
    state: Arc<State>,
    image: Image,
    place: Place,
    /// How many bytes the owner's quota left when it began.
    room: Option<u64>,
    aim: Aim,
    is_settled: bool,
}

impl Upload {
    async fn run(mut self, body: BodyStream, wish: &Wish) -> Result<()> {
        let mut virtual_size = None;
        let judge = |stored: &Stored| {
            if let Aim::Use = self.aim {
                virtual_size = inspect(&self.image, &stored.head, &stored.tail, stored.size)?;
            }
            Ok(())
        };
        let blobs = self.state.stores.of(&self.place.store)?;
        let stored = blobs.put(self.place.blob, body, wish, Box::new(judge)).await;
        let stored = stored.map_err(|error| match (error, self.room) {
            // A full disk is too small as well, but no quota's doing.
            (Error::TooLarge(text), Some(room))
                if wish.at_most == Some(room) && text.starts_with("The image exceeds") =>
            {
                full("None", room)
            }
            (error, _) => error,
        })?;
        let data = images::Data { size: stored.size, virtual_size, md5: stored.md5, sha512: stored.sha512 };
        let (id, blob, now) = (self.image.id, self.place.blob, self.state.clock.now());
        let (aim, state, image) = (self.aim, self.state.clone(), self.image.clone());
        let finish = move |tx: &mut Tx| {
            // Asked again: others may have filled the quota meanwhile.
            room(tx, &state, &image, Some(data.size))?;
            match aim {
                Aim::Use => images::finish_upload(tx, id, blob, &data, now),
                Aim::Stage => image_imports::finish_stage(tx, id, blob, &data, now),
            }
        };
        crash_point::reached("store_image").await;
        let finished = self.state.db.write(finish).await?;
        crash_point::reached("store_image").await;
        // Whether or not the bytes were there before.
        self.state.stores.say_given_up();
        if !finished {
            return Err(Error::Gone(format!(
                "Image {id} could not be found after upload. The image may have been deleted during the upload, cleaning \
                 up the chunks uploaded."
            )));
        }
        self.is_settled = true;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let (state, id, place, aim) = (self.state.clone(), self.image.id, self.place.clone(), self.aim);
        tokio::spawn(async move {
            let (blob, now) = (place.blob, state.clock.now());
            let given_up = async {
                let abandon = move |tx: &mut Tx| match aim {
                    Aim::Use => images::abandon_upload(tx, id, blob, now),
                    Aim::Stage => image_imports::abandon_stage(tx, id, blob, now),
                };
                state.db.write(abandon).await?;
                // The image may have become active after all, or be gone with its claim on the bytes.
                if !state.db.read(move |tx| blobs::is_needed(tx, blob)).await? {
                    sweep_images::delete(&state.db, &state.stores, &place).await?;
                }
                Ok::<_, Error>(())
            };
            if let Err(error) = given_up.await {
                tracing::warn!(image = %id, %blob, error = with_causes(&error), "a failed upload is left for the sweep");
            }
        });
    }
}

/// `GET /v2/images/{image_id}/file`
pub async fn download(call: Call) -> Result<RawReply> {
    let prefers = call.query().get("prefer").is_some_and(|stores| !stores.is_empty());
    let image = seen::read(&call, move |_, cx, seen| {
        if seen.image.status == Status::Deactivated && !cx.may("context_is_admin") {
            let text = "The requested image has been deactivated. Image data download is forbidden.";
            return Err(Error::Forbidden(text.to_owned()));
        }
        seen.allow(cx, "download_image")?;
        if prefers {
            seen.allow(cx, "download_from_store")?;
        }
        Ok(seen.image)
    })
    .await?;
    let (true, Some(size)) = (image.has_bytes(), image.size) else {
        return Ok(RawReply::empty(StatusCode::NO_CONTENT));
    };
    let range = range::of(call.head.header("range"), size)?;
    let prefer = call.query().get("prefer").unwrap_or_default();
    let places = stores::preferred(&call.cx, image.places, prefer)?;
    let places = places.iter().map(|place| (place.store.as_str(), place.blob));
    let stream = call.cx.state.stores.get(places, range.clone()).await?;
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut reply = RawReply::bytes(status, "application/octet-stream", "");
    reply.body = RawBody::Stream(stream);
    if let Some(range) = &range {
        reply = reply.header("content-range", &format!("bytes {}-{}/{size}", range.start, range.end - 1));
    }
    let length = range.map_or(size, |range| range.end - range.start);
    reply = reply.header("content-length", &length.to_string());
    // Hexadecimal, against RFC 1864, because upstream's clients compare it with `checksum`.
    Ok(reply.header("content-md5", image.checksum.as_deref().unwrap_or_default()))
}
