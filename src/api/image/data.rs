//! The bytes of an image: taken once, whole, checked against what they were declared to be; given out by range.

use super::range;
use super::seen::{self, Seen};
use crate::api::{Call, State};
use crate::blobs::{Stored, Wish};
use crate::cloud::image::{Image, Status};
use crate::cloud::image_format::{self, HEAD_BYTES, TAIL_BYTES};
use crate::error::{Error, Result, with_causes};
use crate::http::call::{BodyStream, Head};
use crate::http::reply::{Empty, RawBody, RawReply};
use crate::ids::BlobId;
use crate::store::{blobs, image_limits, images};
use http::StatusCode;
use std::sync::Arc;

/// `PUT /v2/images/{image_id}/file`
pub async fn upload(call: Call<BodyStream>) -> Result<Empty> {
    let mut wish = wish(&call)?;
    let blob = BlobId::random();
    let (now, region) = (call.cx.state.clock.now(), call.cx.state.limits_region());
    let announced = wish.size.map_or(0, |size| i64::try_from(size / image_limits::MIB).unwrap_or(i64::MAX));
    let (image, room) = seen::write(&call, move |tx, cx, seen: Seen| {
        seen.allow(cx, "upload_image")?;
        seen.image.may_upload()?;
        let limits = region.as_deref().zip(seen.image.owner.as_ref());
        let mut room = None;
        if let Some((region, owner)) = limits {
            image_limits::check(tx, region, image_limits::SIZE, owner, announced)?;
            room = image_limits::room(tx, region, owner)?;
        }
        images::begin_upload(tx, seen.image.id, blob, now)?;
        if let Some((region, owner)) = limits {
            // The image counts among those that are uploading by now.
            image_limits::check(tx, region, image_limits::UPLOADING, owner, 0)?;
        }
        Ok((seen.image, room))
    })
    .await?;
    // Who does not say how much there will be is held to the limit all the same.
    wish.at_most = [wish.at_most, room].into_iter().flatten().min();
    let upload = Upload { state: call.cx.state.clone(), image, blob, is_settled: false };
    upload.run(call.body, &wish).await?;
    Ok(Empty::no_content())
}

/// Fills a queued image from a stream, as an upload does.
///
/// # Errors
/// As an upload's; the image is `queued` afterwards.
pub async fn fill(state: &Arc<State>, image: Image, body: BodyStream, wish: &Wish) -> Result<()> {
    let (id, blob, now) = (image.id, BlobId::random(), state.clock.now());
    state.db.write(move |tx| images::begin_upload(tx, id, blob, now)).await?;
    Upload { state: state.clone(), image, blob, is_settled: false }.run(body, wish).await
}

fn wish<B>(call: &Call<B>) -> Result<Wish> {
    let media_type = call.head.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    if media_type.trim() != "application/octet-stream" {
        return Err(Error::UnsupportedMediaType(format!("Invalid content type {media_type}")));
    }
    let limit = call.cx.state.image_size_limit;
    let (size, at_most) = (announced(&call.head)?, (limit > 0).then_some(limit));
    if let (Some(size), Some(most)) = (size, at_most)
        && size > most
    {
        return Err(Error::TooLarge(format!(
            "The incoming image is too large: {size} bytes, at most {most} are allowed"
        )));
    }
    Ok(Wish { size, at_most, head: HEAD_BYTES, tail: TAIL_BYTES })
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

/// An upload under way. However it ends, also when its request is dropped, the image doesn't stay `saving`.
struct Upload {
    state: Arc<State>,
    image: Image,
    blob: BlobId,
    is_settled: bool,
}

impl Upload {
    async fn run(mut self, body: BodyStream, wish: &Wish) -> Result<()> {
        let mut virtual_size = None;
        let judge = |stored: &Stored| {
            virtual_size = inspect(&self.image, stored)?;
            Ok(())
        };
        let stored = self.state.blobs.put(self.blob, body, wish, Box::new(judge)).await?;
        let data = images::Data { size: stored.size, virtual_size, md5: stored.md5, sha512: stored.sha512 };
        let (id, blob, now) = (self.image.id, self.blob, self.state.clock.now());
        let finished = self.state.db.write(move |tx| images::finish_upload(tx, id, blob, &data, now)).await?;
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
        let (state, id, blob) = (self.state.clone(), self.image.id, self.blob);
        tokio::spawn(async move {
            let now = state.clock.now();
            let given_up = async {
                state.db.write(move |tx| images::abandon_upload(tx, id, blob, now)).await?;
                // The image may have become active after all, or be gone with its claim on the bytes.
                if !state.db.read(move |tx| blobs::is_needed(tx, blob)).await? {
                    state.blobs.delete(blob).await?;
                    state.db.write(move |tx| blobs::forget(tx, blob)).await?;
                }
                Ok::<_, Error>(())
            };
            if let Err(error) = given_up.await {
                tracing::warn!(image = %id, %blob, error = with_causes(&error), "a failed upload is left for the sweep");
            }
        });
    }
}

/// Is it what it was declared to be, and safe? Answers the size a guest would see. A container is opened by nobody here,
/// so its inside isn't judged; whoever would boot from it judges the bytes again.
fn inspect(image: &Image, stored: &Stored) -> Result<Option<u64>> {
    if image.container_format.as_deref() != Some("bare") {
        return Ok(None);
    }
    let declared = image.disk_format.as_deref().unwrap_or_default();
    image_format::check(declared, &stored.head, &stored.tail, stored.size)
        .map(|checked| checked.virtual_size)
        .map_err(|refusal| Error::UnsupportedMediaType(refusal.to_string()))
}

/// `GET /v2/images/{image_id}/file`
pub async fn download(call: Call) -> Result<RawReply> {
    let image = seen::read(&call, |_, cx, seen| {
        if seen.image.status == Status::Deactivated && !cx.may("context_is_admin") {
            let text = "The requested image has been deactivated. Image data download is forbidden.";
            return Err(Error::Forbidden(text.to_owned()));
        }
        seen.allow(cx, "download_image")?;
        Ok(seen.image)
    })
    .await?;
    let (Status::Active | Status::Deactivated, Some(blob), Some(size)) = (image.status, image.blob, image.size) else {
        return Ok(RawReply::empty(StatusCode::NO_CONTENT));
    };
    let range = range::of(call.head.header("range"), size)?;
    let stream = call.cx.state.blobs.get(blob, range.clone()).await?;
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
