//! Uploads that go on where they stopped, as the IETF's draft *Resumable Uploads for HTTP* has them.
//!
//! ```text
//! PUT   …/file          Upload-Complete: ?0, Upload-Length: 900 ─► 201, Location: …/file/upload
//! PATCH …/file/upload   Upload-Complete: ?0, Upload-Offset: 0   ─► 204, Upload-Offset: 300
//! PATCH …/file/upload   Upload-Complete: ?1, Upload-Offset: 300      the connection breaks
//! HEAD  …/file/upload                                           ─► 204, Upload-Offset: 512
//! PATCH …/file/upload   Upload-Complete: ?1, Upload-Offset: 512 ─► 204, Upload-Complete: ?1: the image is active
//! ```
//! A request without `Upload-Complete` is a plain Glance client's, and its interrupted upload leaves nothing. The upload is a
//! resource of its own because `HEAD …/file` is 405 in Glance; its path follows from the image's, so a client whose first
//! answer was lost finds it too (the draft's 104 that would say so early can't be sent by the HTTP library). An image has
//! one at a time and stays `queued` while its parts come, so nothing about it changes for clients that know nothing of this;
//! whoever fills it first wins.
//!
//! The offset that is told is what is on the disk, saved by a transaction after each sync: it outlives a kill and a power
//! cut. Asking for it, sending and cancelling end what an earlier request still sends, as a connection that is dead for the
//! client can live on here. Parts are files of this machine ([`Parts`](crate::blobs::Parts) says why), and when the last one
//! is there, the whole is read from them into the image's store the way any upload goes there: hashed, inspected, held to
//! quotas. So no hash has to be carried over a restart. When that fails for a reason that may pass (the store is away, the
//! disk is full), the parts stay, and an empty PATCH with `Upload-Complete: ?1` tries again; when the bytes are not what the
//! image was declared to be, the upload is over. While parts come they are held to the owner's quota, and to identity's
//! limits of what is staged and how many are uploading, with each save: what would be too much isn't saved. One that gets nothing for `images.upload_seconds` is swept.

use super::data::{self, least};
use super::resume_fields::{
    COMPLETE, LENGTH, OFFSET, expect_media_type, inconsistent, is_last, mismatch, number, progress, too_long,
    whole_size,
};
use super::seen::{self, Seen};
use super::stores;
use crate::api::{Call, Context, State};
use crate::blobs::{Part, Wish};
use crate::cloud::image::Place;
use crate::cloud::image_format::{HEAD_BYTES, TAIL_BYTES, head_needed};
use crate::error::{Error, Kind, Result, with_causes};
use crate::http::call::BodyStream;
use crate::http::reply::RawReply;
use crate::ids::{BlobId, ImageId};
use crate::store::Tx;
use crate::store::image_uploads::{self, Unfinished};
use futures::StreamExt;
use http::StatusCode;
use std::sync::Arc;

/// What comes between two syncs is lost with the process, and sent again.
const BETWEEN_SYNCS: u64 = 16 << 20;
/// Parts of one upload: each is a file.
const MOST_PARTS: u64 = 10_000;

/// A request that sends bytes.
struct Sent {
    image: ImageId,
    start: u64,
    /// This request's part.
    writer: BlobId,
    /// How many there are when all have come; none while nobody said.
    size: Option<u64>,
    /// How many there may be.
    at_most: Option<u64>,
    is_last: bool,
}

/// `PUT /v2/images/{image_id}/file` with `Upload-Complete`: an upload begins, with as much as the request brings.
pub async fn create(call: Call<BodyStream>) -> Result<RawReply> {
    let is_last = is_last(&call.head)?;
    expect_media_type(&call.head, "application/octet-stream")?;
    let size = whole_size(&call.head, call.body.length, 0, is_last)?;
    let carried = call.body.length.unwrap_or(0);
    let largest = data::largest(&call.cx.state, size.or(Some(carried)))?;
    let store = stores::chosen(&call.cx, &call.head)?.name.clone();
    let (writer, now) = (BlobId::random(), call.cx.state.clock.now());
    let expires_at = now.plus_seconds(call.cx.state.images.upload_seconds);
    let sent = seen::write(&call, move |tx, cx, seen| {
        let most = data::may_take_parts(tx, cx, &seen, 0, size.unwrap_or(carried))?;
        let upload = Unfinished { store: store.clone(), size, received: 0, expires_at };
        image_uploads::begin(tx, seen.image.id, &upload, writer, now)?;
        data::check_parts(tx, &cx.state, seen.image.id, 0)?;
        let at_most = least(largest, most);
        Ok(Sent { image: seen.image.id, start: 0, writer, size, at_most, is_last })
    })
    .await?;
    let location = format!("/v2/images/{}/file/upload", sent.image);
    let reply = go_on(&call.cx.clone(), call.path("image_id").to_owned(), sent, call.body).await?;
    if reply.headers.get(COMPLETE).is_some_and(|complete| complete == "?1") {
        return Ok(reply);
    }
    Ok(RawReply { status: StatusCode::CREATED, ..reply }.header("location", &location))
}

/// `PATCH /v2/images/{image_id}/file/upload`: more of it.
pub async fn append(call: Call<BodyStream>) -> Result<RawReply> {
    // Before anything is said of the request: of another's image there is nothing to say.
    seen::read(&call, |_, cx, seen| seen.allow(cx, "upload_image")).await?;
    expect_media_type(&call.head, "application/partial-upload")?;
    let is_last = is_last(&call.head)?;
    let start = number(&call.head, OFFSET)?
        .ok_or_else(|| Error::bad_request("Upload-Offset says where the bytes belong, and is missing"))?;
    let (announced, carried) = (number(&call.head, LENGTH)?, call.body.length);
    let ending = whole_size(&call.head, carried, start, is_last)?;
    let largest = data::largest(&call.cx.state, ending)?;
    let writer = BlobId::random();
    let taken = seen::write(&call, move |tx, cx, seen| {
        let upload = find(tx, cx, &seen)?;
        if upload.received != start {
            return Ok(Err(upload.received));
        }
        let size = upload.size.or(ending);
        let coming = start.saturating_add(carried.unwrap_or(0));
        if let Some(size) = size.filter(|size| coming > *size) {
            return Err(too_long(size));
        }
        if let (Some(known), Some(said)) = (upload.size, announced.or(ending))
            && known != said
        {
            return Err(inconsistent(known, said));
        }
        let most = data::may_take_parts(tx, cx, &seen, start, size.unwrap_or(coming))?;
        if image_uploads::count_parts(tx, seen.image.id)? >= MOST_PARTS {
            return Err(Error::TooLarge(format!("An upload has at most {MOST_PARTS} parts; send larger ones")));
        }
        image_uploads::take(tx, seen.image.id, writer, size)?;
        let at_most = least(largest, most);
        Ok(Ok(Sent { image: seen.image.id, start, writer, size, at_most, is_last }))
    })
    .await?;
    match taken {
        Ok(sent) => go_on(&call.cx.clone(), call.path("image_id").to_owned(), sent, call.body).await,
        Err(expected) => Ok(mismatch(expected, start)),
    }
}

/// `HEAD /v2/images/{image_id}/file/upload`: where to go on. What was still being sent is over.
pub async fn state(call: Call) -> Result<RawReply> {
    let now = call.cx.state.clock.now();
    let (upload, whole) = seen::write(&call, move |tx, cx, seen| {
        seen.allow(cx, "upload_image")?;
        let Some(upload) = image_uploads::find(tx, seen.image.id, now)? else {
            let whole = seen.image.size.filter(|_| seen.image.has_bytes());
            return Ok((None, Some(whole.ok_or_else(|| no_upload(&seen))?)));
        };
        image_uploads::take(tx, seen.image.id, BlobId::random(), upload.size)?;
        Ok((Some(upload), None))
    })
    .await?;
    let reply = RawReply::empty(StatusCode::NO_CONTENT).header("cache-control", "no-store");
    Ok(match (upload, whole) {
        (Some(upload), _) => progress(reply, &upload, now.seconds()),
        (None, whole) => {
            let size = whole.unwrap_or(0).to_string();
            reply.header(COMPLETE, "?1").header(OFFSET, &size).header(LENGTH, &size)
        }
    })
}

/// `DELETE /v2/images/{image_id}/file/upload`: nothing of it is kept.
pub async fn cancel(call: Call) -> Result<RawReply> {
    seen::write(&call, move |tx, cx, seen| {
        find(tx, cx, &seen)?;
        image_uploads::delete(tx, seen.image.id)
    })
    .await?;
    call.cx.state.stores.say_given_up();
    Ok(RawReply::empty(StatusCode::NO_CONTENT))
}

fn find(tx: &mut Tx, cx: &Context, seen: &Seen) -> Result<Unfinished> {
    seen.allow(cx, "upload_image")?;
    image_uploads::find(tx, seen.image.id, cx.state.clock.now())?.ok_or_else(|| no_upload(seen))
}

fn no_upload(seen: &Seen) -> Error {
    Error::not_found(Kind::Part, format!("Image {} has no unfinished upload.", seen.image.id))
}

/// Takes what the request brings; after the last byte the image gets them all.
async fn go_on(cx: &Context, image: String, sent: Sent, body: BodyStream) -> Result<RawReply> {
    let (id, is_last, size) = (sent.image, sent.is_last, sent.size);
    let state = cx.state.clone();
    // A task of its own, because the request's is dropped where it stands when the client goes; what came is saved.
    let received = tokio::spawn(async move { receive(&state, &sent, body).await }).await;
    let received = received.map_err(|error| Error::internal("Receiving an upload stopped", error))??;
    if !is_last {
        let now = cx.state.clock.now();
        let upload = cx.state.db.read(move |tx| image_uploads::find(tx, id, now)).await?;
        let upload = upload.ok_or_else(taken_over)?;
        return Ok(progress(RawReply::empty(StatusCode::NO_CONTENT), &upload, now.seconds()));
    }
    if let Some(size) = size
        && received != size
    {
        return Err(inconsistent(size, received));
    }
    conclude(cx, &image, id, received).await?;
    Ok(RawReply::empty(StatusCode::NO_CONTENT).header(COMPLETE, "?1").header(OFFSET, &received.to_string()))
}

/// Writes the request's part, saving as it goes. Answers how many bytes there are of the whole.
async fn receive(state: &Arc<State>, sent: &Sent, mut body: BodyStream) -> Result<u64> {
    let mut part: Option<Part> = None;
    let (mut got, mut saved) = (0, 0);
    let outcome = loop {
        let chunk = match body.next().await {
            None => break Ok(()),
            Some(Err(error)) => break Err(error),
            Some(Ok(chunk)) => chunk,
        };
        let end = sent.start + got + chunk.len() as u64;
        if let Some(size) = sent.size.filter(|size| end > *size) {
            break Err(too_long(size));
        }
        if let Some(most) = sent.at_most.filter(|most| end > *most) {
            break Err(Error::TooLarge(format!("The image exceeds the allowed size of {most} bytes")));
        }
        let writing = match &mut part {
            Some(part) => part,
            none => none.insert(state.stores.parts().create(sent.writer).await?),
        };
        writing.write(&chunk).await?;
        got += chunk.len() as u64;
        if got - saved >= BETWEEN_SYNCS {
            save(state, sent, writing, got).await?;
            saved = got;
        }
    };
    if let Some(part) = &mut part
        && got > saved
    {
        save(state, sent, part, got).await?;
    }
    outcome.map(|()| sent.start + got)
}

/// What has come counts from now on, and is held to what its owner may have.
async fn save(state: &Arc<State>, sent: &Sent, part: &mut Part, got: u64) -> Result<()> {
    part.sync().await?;
    let (image, writer, start) = (sent.image, sent.writer, sent.start);
    let expires_at = state.clock.now().plus_seconds(state.images.upload_seconds);
    let rules = state.clone();
    let save = move |tx: &mut Tx| {
        let held = image_uploads::save(tx, image, writer, start, got, expires_at)?;
        if held {
            data::check_parts(tx, &rules, image, start + got)?;
        }
        Ok(held)
    };
    let held = state.db.write(save).await?;
    if held { Ok(()) } else { Err(taken_over()) }
}

/// The parts become the image's bytes, by the way of any upload.
async fn conclude(cx: &Context, image: &str, id: ImageId, size: u64) -> Result<()> {
    let (cx, state, path) = (cx.clone(), cx.state.clone(), image.to_owned());
    // As for receiving: all of it is here, and whether the client waits makes no difference.
    let concluded = tokio::spawn(async move {
        let (inner, now) = (cx.clone(), cx.state.clock.now());
        let (admitted, place, parts) = cx
            .state
            .db
            .write(move |tx| {
                let seen = Seen::find(tx, &inner, &path)?;
                let upload = find(tx, &inner, &seen)?;
                let parts = image_uploads::parts(tx, id)?;
                let place = Place { store: upload.store, blob: BlobId::random() };
                Ok((data::admit(tx, &inner, seen, &place, Some(size), now)?, place, parts))
            })
            .await?;
        let body = BodyStream::new(cx.state.stores.parts().read(parts), Some(size));
        let wish = Wish {
            size: Some(size),
            at_most: admitted.most(),
            head: HEAD_BYTES,
            tail: TAIL_BYTES,
            suffices: Some(head_needed),
        };
        let filled = admitted.run(&cx.state, place, body, &wish).await;
        if let Err(error) = &filled
            && is_for_good(error)
        {
            give_up(&cx.state, id).await;
        }
        filled
    });
    let filled = concluded.await.map_err(|error| Error::internal("Finishing an upload stopped", error))?;
    state.stores.say_given_up();
    filled
}

/// Would the same bytes fail again? Not where the store is away or full, or the image is busy.
fn is_for_good(error: &Error) -> bool {
    !matches!(error, Error::Unavailable { .. } | Error::Internal { .. } | Error::TooLarge(_) | Error::Conflict(_))
}

async fn give_up(state: &Arc<State>, id: ImageId) {
    if let Err(error) = state.db.write(move |tx| image_uploads::delete(tx, id)).await {
        tracing::warn!(image = %id, error = with_causes(&error), "a refused upload is left until it expires");
    }
}

fn taken_over() -> Error {
    Error::conflict("The upload was ended, or went on in another request")
}
