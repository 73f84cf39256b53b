//! The bytes of an import on their way: from where they are fetched, from one store to the next, and to whoever looks.
//!
//! Bytes are written under a fresh id each time, announced by a row first: what a try that died has left is found by that
//! row and cleared away.

use super::{ImportImage, Order, bound};
use crate::blobs::{Judge, Stored, Wish};
use crate::cloud::image::Place;
use crate::error::{Error, Kind, Result};
use crate::ids::{BlobId, ImageId};
use crate::store::images::Data;
use crate::store::{Tx, image_copies, image_imports};
use crate::tasks::sweep_images::delete;
use crate::tasks::{Cx, fetch};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::time::Duration;
use tokio::time::Instant;

impl ImportImage {
    /// The source's bytes become the image's own, in the first store.
    pub(super) async fn fetch(&self, cx: &Cx, image: ImageId, order: &Order) -> Result<()> {
        let store =
            order.stores.first().ok_or_else(|| Error::internal("an import names no store", cx.subject.clone()))?;
        let place = Place { store: store.clone(), blob: BlobId::random() };
        let (begun, now) = (place.clone(), cx.clock.now());
        cx.db.write(move |tx| image_imports::begin_fetch(tx, image, &begun, now)).await?;
        let fetched = match &order.source {
            Some(source) => source.open(&self.vault, order.task, cx.clock.now()).await?,
            None => fetch::open(order.uri.as_ref().map_or("", |uri| &uri.0), &self.rules.filter).await?,
        };
        let described = order.described.clone();
        let length = described.as_ref().map(|described| described.size).or(fetched.length);
        let at_most = self.bound(cx, image, length).await?;
        let wish = Wish { size: length, at_most, ..Wish::default() };
        let judge =
            move |stored: &Stored| described.map_or(Ok(()), |described| described.check(&stored.sha512, &stored.md5));
        let data = self.put(cx, &place, fetched.bytes, &wish, Box::new(judge)).await?;
        let (now, blob) = (cx.clock.now(), place.blob);
        let rules = self.rules.clone();
        let finish = move |tx: &mut Tx| {
            bound::check(tx, &rules, image, data.size)?;
            image_imports::finish_fetch(tx, image, blob, &data, now)
        };
        let held = cx.db.write(finish).await?;
        self.clear();
        if held {
            return Ok(());
        }
        // The row may have been swept while the bytes were still coming.
        delete(&cx.db, &self.stores, &place).await?;
        Err(Error::not_found(Kind::Image, image))
    }

    /// The image's bytes are in this store too, the same to the last bit; there already is fine.
    pub(super) async fn copy(&self, cx: &Cx, image: ImageId, store: &str) -> Result<()> {
        let (_, places, data) = cx.db.read(move |tx| image_imports::source(tx, image)).await?;
        if places.iter().any(|place| place.store == store) {
            return Ok(());
        }
        let place = Place { store: store.to_owned(), blob: BlobId::random() };
        let (begun, now, rules, size) = (place.clone(), cx.clock.now(), self.rules.clone(), data.size);
        let begin = move |tx: &mut Tx| {
            bound::check_copy(tx, &rules, image, size)?;
            image_copies::begin(tx, image, &begun, now)
        };
        cx.db.write(begin).await?;
        let bytes = self.stores.get(places.iter().map(|place| (place.store.as_str(), place.blob)), None).await?;
        let wish = Wish { size: Some(data.size), ..Wish::default() };
        let expected = data.sha512.clone();
        let judge = move |stored: &Stored| {
            if stored.sha512 == expected {
                return Ok(());
            }
            Err(Error::internal("An image's bytes are not what they were", format!("hash {}", stored.sha512)))
        };
        self.put(cx, &place, bytes, &wish, Box::new(judge)).await?;
        let written = place.clone();
        let held = cx.db.write(move |tx| image_copies::finish(tx, image, &written, &data)).await?;
        self.clear();
        if held {
            return Ok(());
        }
        // The row may have been swept while the bytes were still coming.
        delete(&cx.db, &self.stores, &place).await?;
        Err(Error::not_found(Kind::Image, image))
    }

    /// Writes bytes where a row has announced them. A wish to cancel ends the stream.
    pub(in crate::tasks) async fn put(
        &self,
        cx: &Cx,
        place: &Place,
        bytes: BoxStream<'static, Result<Bytes>>,
        wish: &Wish,
        judge: Judge<'_>,
    ) -> Result<Data> {
        let bytes = until_cancelled(cx.clone(), bytes);
        let stored = self.stores.of(&place.store)?.put(place.blob, bytes, wish, judge).await?;
        Ok(Data { size: stored.size, virtual_size: None, md5: stored.md5, sha512: stored.sha512 })
    }

    pub(in crate::tasks) async fn read(&self, places: &[Place], range: std::ops::Range<u64>) -> Result<Vec<u8>> {
        let places = places.iter().map(|place| (place.store.as_str(), place.blob));
        let pieces: Vec<Bytes> = self.stores.get(places, Some(range)).await?.try_collect().await?;
        Ok(pieces.concat())
    }
}

/// How long it is between two looks for a wish to cancel, however slowly bytes come.
const LOOK: Duration = Duration::from_secs(2);

fn until_cancelled(cx: Cx, bytes: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
    let state = (cx, bytes, Instant::now());
    futures::stream::try_unfold(state, |(cx, mut bytes, mut looked)| async move {
        loop {
            let piece = tokio::time::timeout(LOOK, bytes.try_next()).await;
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                if cx.is_cancelled().await? {
                    return Err(Error::conflict("cancelled"));
                }
            }
            if let Ok(piece) = piece {
                return Ok(piece?.map(|piece| (piece, (cx, bytes, looked))));
            }
        }
    })
    .boxed()
}
