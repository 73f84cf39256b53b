//! What operators let an import do to an image's bytes, and to what it is becoming.
//!
//! A plugin looks first. One that changes bytes then waits its turn, reads the image's own and writes new ones beside them;
//! [`image_working`] swaps them and notes that it was done, so a plugin that is run again does nothing to its own result.

use super::Cx;
use super::byte_channel::through_a_thread;
use super::convert_image::{self, Workplace};
use super::import_image::{ImportImage, Order, bound};
use super::machine::unless_cancelled;
use super::sweep_images::delete;
use crate::blobs::Wish;
use crate::cloud::image::Place;
use crate::cloud::image::plugins::{Plugin, Target};
use crate::cloud::image::remote::Becoming;
use crate::cloud::image::unpack::{MAGIC, Packing, unpack};
use crate::cloud::image_format::{self, Checked, Format, HEAD_BYTES, TAIL_BYTES};
use crate::error::{Error, Kind, Result};
use crate::ids::{BlobId, ImageId};
use crate::store::{Tx, image_imports, image_working};
use bytes::Bytes;
use futures::stream::BoxStream;
use std::io::BufReader;

/// An image of another format than the one that operators want.
struct Unlike {
    places: Vec<Place>,
    declared: String,
    virtual_size: Option<u64>,
}

impl ImportImage {
    /// What the image is becoming by the plugin of this number, where that leaves its bytes alone; `None`: it does not.
    pub(super) async fn look(&self, cx: &Cx, image: ImageId, order: &Order, at: usize) -> Result<Option<Becoming>> {
        let mut becoming = order.becoming.clone();
        let has_work = match order.plugins.get(at) {
            None | Some(Plugin::NoOp) => false,
            Some(Plugin::Inject) => {
                self.rules.plugins.injection.apply(&order.roles, &mut becoming);
                false
            }
            Some(Plugin::Decompress) => self.packed(cx, image, order).await?.is_some(),
            Some(Plugin::Convert) => self.unlike(cx, image, order).await?.is_some(),
        };
        Ok((!has_work).then_some(becoming))
    }

    /// Does what the plugin of this number does to bytes, unless it is done; answers what the image is becoming.
    pub(super) async fn rewrite(&self, cx: &Cx, image: ImageId, order: &Order, at: usize) -> Result<Becoming> {
        let mut becoming = order.becoming.clone();
        let is_done = cx.db.read(move |tx| image_working::done(tx, image)).await? > at;
        match order.plugins.get(at) {
            Some(Plugin::Decompress) if !is_done => self.decompress(cx, image, order, at).await?,
            Some(Plugin::Convert) => {
                if !is_done {
                    self.convert(cx, image, order, at).await?;
                }
                becoming.disk_format = Some(self.rules.plugins.conversion.target.word().to_owned());
                becoming.container_format = Some("bare".to_owned());
            }
            _ => {}
        }
        Ok(becoming)
    }

    /// How the image is packed and where it is, if it is to be unpacked.
    async fn packed(&self, cx: &Cx, id: ImageId, order: &Order) -> Result<Option<(Packing, Vec<Place>, u64)>> {
        let (mut image, places, data) = cx.db.read(move |tx| image_imports::source(tx, id)).await?;
        order.becoming.apply(&mut image);
        if image.container_format.as_deref() == Some("compressed") {
            return Ok(None);
        }
        let head = self.read(&places, 0..data.size.min(MAGIC as u64)).await?;
        Ok(Packing::of(&head).map(|packing| (packing, places, data.size)))
    }

    /// What is packed becomes what was inside.
    async fn decompress(&self, cx: &Cx, id: ImageId, order: &Order, at: usize) -> Result<()> {
        let Some((packing, places, size)) = self.packed(cx, id, order).await? else { return Ok(()) };
        let at_most =
            self.rules.plugins.decompression.at_most(size, self.bound(cx, id, None).await?.unwrap_or(u64::MAX));
        let packed = self.bytes(&places).await?;
        let plain = through_a_thread(packed, move |source, out| unpack(packing, BufReader::new(source), at_most, out));
        self.replace(cx, id, at, &places, plain).await
    }

    /// What the image is, if it is to be converted.
    async fn unlike(&self, cx: &Cx, id: ImageId, order: &Order) -> Result<Option<Unlike>> {
        let (mut image, places, data) = cx.db.read(move |tx| image_imports::source(tx, id)).await?;
        order.becoming.apply(&mut image);
        let declared = image.disk_format.unwrap_or_default();
        let head = self.read(&places, 0..data.size.min(HEAD_BYTES as u64)).await?;
        let tail = self.read(&places, data.size.saturating_sub(TAIL_BYTES as u64)..data.size).await?;
        let Checked { format, virtual_size, .. } = check(&declared, &head, &tail, data.size)?;
        match format {
            // A disc is booted from as a disc.
            Format::Iso if declared == "iso" => Ok(None),
            Format::Iso => Err(other_inside()),
            _ if declared == self.rules.plugins.conversion.target.word() => Ok(None),
            _ => Ok(Some(Unlike { places, declared, virtual_size })),
        }
    }

    /// What is of another format becomes the one that operators want.
    async fn convert(&self, cx: &Cx, id: ImageId, order: &Order, at: usize) -> Result<()> {
        let Some(Unlike { places, declared, virtual_size }) = self.unlike(cx, id, order).await? else {
            return Ok(());
        };
        let rules = &self.rules.plugins.conversion;
        let at_most = rules.at_most(self.bound(cx, id, None).await?.unwrap_or(u64::MAX));
        if rules.target == Target::Raw && virtual_size.is_some_and(|size| size > at_most) {
            return Err(Error::TooLarge(format!("The image would be converted to more than {at_most} bytes")));
        }
        let place = Workplace::make(&rules.folder)?;
        let bytes = self.bytes(&places).await?;
        unless_cancelled(cx, async {
            convert_image::bring(&place, bytes).await?;
            convert_image::convert(&place, &declared, rules, at_most).await
        })
        .await?;
        // Somebody may have hidden one format inside another.
        let (head, tail, size) = convert_image::ends(&place, HEAD_BYTES, TAIL_BYTES).await?;
        if check(rules.target.word(), &head, &tail, size)?.format == Format::Iso {
            return Err(other_inside());
        }
        let converted = convert_image::result(place).await?;
        self.replace(cx, id, at, &places, converted).await
    }

    /// All of the image's bytes.
    async fn bytes(&self, places: &[Place]) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.stores.get(places.iter().map(|place| (place.store.as_str(), place.blob)), None).await
    }

    /// New bytes take the place of the image's own, in the same store.
    async fn replace(
        &self,
        cx: &Cx,
        id: ImageId,
        at: usize,
        places: &[Place],
        bytes: BoxStream<'static, Result<Bytes>>,
    ) -> Result<()> {
        let own = places.first().ok_or_else(|| Error::not_found(Kind::Image, id))?;
        let place = Place { store: own.store.clone(), blob: BlobId::random() };
        let (begun, now) = (place.clone(), cx.clock.now());
        cx.db.write(move |tx| image_working::begin(tx, id, &begun, now)).await?;
        let wish = Wish { at_most: self.bound(cx, id, None).await?, ..Wish::default() };
        let data = self.put(cx, &place, bytes, &wish, Box::new(|_| Ok(()))).await?;
        let (blob, now) = (place.blob, cx.clock.now());
        let rules = self.rules.clone();
        let finish = move |tx: &mut Tx| {
            bound::check(tx, &rules, id, data.size)?;
            image_working::finish(tx, id, at, blob, &data, now)
        };
        let held = cx.db.write(finish).await?;
        self.clear();
        if held {
            return Ok(());
        }
        // The row may have been swept while the bytes were still coming.
        delete(&cx.db, &self.stores, &place).await?;
        Err(Error::not_found(Kind::Image, id))
    }
}

fn check(declared: &str, head: &[u8], tail: &[u8], size: u64) -> Result<Checked> {
    image_format::check(declared, head, tail, size).map_err(|refusal| Error::UnsupportedMediaType(refusal.to_string()))
}

fn other_inside() -> Error {
    Error::UnsupportedMediaType("Image has disallowed configuration".to_owned())
}
