//! The hosts' copies of images: what they have, what is on its way, and taking it away again.
//!
//! Upstream's cache is beside its API; here nothing lies between a store and a client, and what is worth warming is what
//! servers boot from. So `cached` means that a host has the image, `hits` is how many machines' disks lie over it, and
//! deleting frees it on every host where there is no such machine.

use super::seen::{self, Seen};
use crate::api::Call;
use crate::clock::Timestamp;
use crate::cloud::image::Status;
use crate::error::{Error, Result};
use crate::http::reply::{Empty, RawReply};
use crate::store::Tx;
use crate::tasks::cache_image::{self, Cached};
use http::StatusCode;
use serde_json::json;

/// `GET /v2/cache`
pub async fn list(call: Call) -> Result<RawReply> {
    let state = &call.cx.state;
    let cached = cache_image::list(&state.db, &state.hosts.now()).await?;
    let queued = state.db.read(cache_image::queued).await?;
    let seconds = |at: Timestamp| at.0 as f64 / 1e6;
    let view = |cached: &Cached| {
        json!({
            "image_id": cached.image.to_string(),
            "hits": cached.machines,
            "last_accessed": seconds(cached.used_at),
            "last_modified": seconds(cached.fetched_at),
            "size": cached.size,
        })
    };
    let cached: Vec<_> = cached.iter().map(view).collect();
    let queued: Vec<_> = queued.iter().map(ToString::to_string).collect();
    Ok(RawReply::json(StatusCode::OK, &json!({"cached_images": cached, "queued_images": queued})))
}

/// `PUT /v2/cache/{image_id}`
pub async fn queue(call: Call) -> Result<Empty> {
    let (request_id, now) = (call.head.request_id.clone(), call.cx.state.clock.now());
    seen::write(&call, move |tx, cx, seen| {
        seen.allow(cx, "cache_image")?;
        if seen.image.status != Status::Active {
            return Err(Error::bad_request("Only images with status active can be targeted for queueing"));
        }
        if cache_image::base_of(&seen.image).is_none() {
            return Err(Error::bad_request("Hosts keep images of disk_format raw or qcow2 in a bare container"));
        }
        cache_image::order(tx, seen.image.id, &request_id, now)
    })
    .await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

/// `DELETE /v2/cache/{image_id}`
pub async fn remove(call: Call) -> Result<Empty> {
    let now = call.cx.state.clock.now();
    let image = seen::write(&call, move |tx, cx, seen: Seen| {
        seen.allow(cx, "cache_delete")?;
        cache_image::cancel(tx, seen.image.id, now)?;
        Ok(seen.image)
    })
    .await;
    match cache_image::free(&call.cx.state.hosts.now(), &image?).await? {
        None => Ok(Empty::no_content()),
        Some(host) => Err(Error::conflict(format!("The image is what servers on host {host} boot from"))),
    }
}

/// `DELETE /v2/cache`: the header says whether of what is there, of what is queued, or both. What machines need stays, and
/// is still in the list.
pub async fn clear(call: Call) -> Result<Empty> {
    let target = call.head.header("x-image-cache-clear-target").unwrap_or_default().to_lowercase();
    let (cached, queued) = match target.as_str() {
        "" => (true, true),
        "cache" => (true, false),
        "queue" => (false, true),
        _ => {
            let text = "If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string.";
            return Err(Error::bad_request(text));
        }
    };
    if queued {
        let now = call.cx.state.clock.now();
        let cancel = move |tx: &mut Tx| {
            for image in cache_image::queued(tx)? {
                cache_image::cancel(tx, image, now)?;
            }
            Ok(())
        };
        call.cx.state.db.write(cancel).await?;
        call.cx.state.runner.wake();
    }
    if cached {
        cache_image::free_all(&call.cx.state.hosts.now()).await?;
    }
    Ok(Empty::no_content())
}

/// `GET /v2/cache/nodes/{image_id}`: as upstream without a central database of caches.
pub async fn nodes(_: Call) -> Result<RawReply> {
    Err(Error::conflict("Centralized caching is not enabled"))
}

/// `POST /v2/cache/clean`: what is no image's any more leaves the hosts. Of a fetch that broke off nothing stays anyway.
pub async fn clean(call: Call) -> Result<RawReply> {
    cache_image::clean(&call.cx.state.db, &call.cx.state.hosts.now()).await?;
    Ok(RawReply::empty(StatusCode::OK))
}

/// `POST /v2/cache/prune`: each host keeps at most so many bytes, and of those what was used last.
pub async fn prune(call: Call) -> Result<RawReply> {
    let pruned = cache_image::prune(&call.cx.state.hosts.now(), call.cx.state.images.cache_max_size).await?;
    let body = json!({"total_files_pruned": pruned.files, "total_bytes_pruned": pruned.bytes});
    Ok(RawReply::json(StatusCode::OK, &body))
}
