//! What `gapura init` makes of images: one that boots, so that a new cloud can be tried at once.

use super::data::fill;
use crate::api::State;
use crate::blobs::Wish;
use crate::clock::Timestamp;
use crate::cloud::image::{Image, Status, Visibility};
use crate::cloud::image_format::{HEAD_BYTES, TAIL_BYTES, head_needed};
use crate::error::{Error, Result};
use crate::http::call::BodyStream;
use crate::ids::{ImageId, ProjectId};
use crate::store::{Tx, images};
use bytes::Bytes;
use futures::stream;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// The image's name.
pub const NAME: &str = "gapura-test";

/// Makes the public image `gapura-test` of a qcow2 file, for a project, unless it has one that is ready. An upload that
/// still seems under way is taken for one that died: there is one `init` at a time, and it is this one.
///
/// # Errors
/// `BadRequest` when the file can't be read; those of an upload.
pub async fn seed(state: &Arc<State>, project: &ProjectId, file: &Path) -> Result<ImageId> {
    let image = find_or_insert(state, project).await?;
    if image.status != Status::Queued {
        return Ok(image.id);
    }
    let unreadable = |error: std::io::Error| Error::bad_request(format!("can't read {}: {error}", file.display()));
    let source = tokio::fs::File::open(file).await.map_err(unreadable)?;
    let size = source.metadata().await.map_err(unreadable)?.len();
    let wish =
        Wish { size: Some(size), at_most: None, head: HEAD_BYTES, tail: TAIL_BYTES, suffices: Some(head_needed) };
    let id = image.id;
    fill(state, image, BodyStream::new(Box::pin(pieces(source)), Some(size)), &wish).await?;
    Ok(id)
}

async fn find_or_insert(state: &Arc<State>, project: &ProjectId) -> Result<Image> {
    let (project, now) = (project.clone(), state.clock.now());
    state
        .db
        .write(move |tx| {
            for id in images::of_project(tx, &project)? {
                let image = images::any(tx, id)?;
                if image.name.as_deref() == Some(NAME) {
                    return given_up(tx, image, now);
                }
            }
            let image = Image {
                name: Some(NAME.to_owned()),
                visibility: Visibility::Public,
                disk_format: Some("qcow2".to_owned()),
                container_format: Some("bare".to_owned()),
                ..Image::new(ImageId::random(), Some(project.clone()), now)
            };
            images::insert(tx, &image)?;
            Ok(image)
        })
        .await
}

/// The image without the upload that a killed `init` left unfinished; its bytes are the hourly sweep's.
fn given_up(tx: &mut Tx, image: Image, now: Timestamp) -> Result<Image> {
    match (image.status, image.blob) {
        (Status::Saving, Some(blob)) => {
            images::abandon_upload(tx, image.id, blob, now)?;
            images::any(tx, image.id)
        }
        _ => Ok(image),
    }
}

fn pieces(file: tokio::fs::File) -> impl futures::Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; 1 << 20];
        let read =
            file.read(&mut piece).await.map_err(|error| Error::bad_request(format!("the image's file: {error}")))?;
        piece.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(piece), file)))
    })
}
