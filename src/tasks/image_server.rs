//! Makes an image of a server's disk, as it is at one instant, while the server goes on.
//!
//! ```text
//!  Copy ──────────► Upload ──────────► Rotate ──► done
//!  a whole file      into the image     older backups go
//!  on the host       service, judged
//! ```
//! The image's row was made with the request. Whatever fails, the server is what it was; the image goes, unless it is whole.

use super::ending::{Ending, now_doing};
use super::sweep_images::delete;
use super::{Cx, Next, Record, Why, Workflow, import_image, machine};
use crate::blobs::{Stored, Stores, Wish};
use crate::cloud::image::Place;
use crate::cloud::image::import::ImportRules;
use crate::cloud::image::inspect::inspect;
use crate::cloud::image_format::{HEAD_BYTES, TAIL_BYTES};
use crate::cloud::server::Task;
use crate::error::{Error, Kind, Result};
use crate::hypervisor::{Power, Quiesce};
use crate::ids::{BlobId, ImageId};
use crate::store::images::{self, Data};
use crate::store::servers::{Change, Server};
use crate::store::{Tx, image_limits, server_images};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub struct ImageServer {
    pub stores: Stores,
    /// What bounds the bytes of images, however they come.
    pub rules: ImportRules,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub image: ImageId,
    /// Kind of backup, and how many of them stay.
    pub rotation: Option<(String, i64)>,
}

impl Order {
    /// The step's name as users of upstream know it.
    const fn event(&self) -> &'static str {
        if self.rotation.is_some() { "compute_backup_instance" } else { "compute_snapshot_instance" }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Copy(Order),
    Upload(Order),
    Rotate(Order),
}

#[async_trait]
impl Workflow for ImageServer {
    type Step = Step;
    const KIND: &'static str = "image_server";
    const PATIENCE: u32 = 3;

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let server = machine::server(cx).await?;
        let (id, now) = (server.id, cx.clock.now());
        match step {
            Step::Copy(order) => {
                machine::unless_cancelled(cx, copy(cx, &server)).await?;
                Ok(Next::step(Step::Upload(order.clone()))
                    .recording(move |tx| now_doing(tx, id, Task::SnapshotUploading, Change::new(), now)))
            }
            Step::Upload(order) => {
                machine::unless_cancelled(cx, self.upload(cx, &server, order.image)).await?;
                Ok(Next::step(Step::Rotate(order.clone())))
            }
            Step::Rotate(order) => {
                let host = cx.hosts.get(machine::on(&server)?)?;
                host.disks.drop_copy(id, cx.epoch).await?;
                if let Some((kind, keep)) = order.rotation.clone() {
                    self.rotate(cx, &server, order.image, kind, keep).await?;
                }
                let power = machine::power(cx, &server).await;
                let ending = Ending::of(cx, &server, order.event());
                Ok(Next::done().recording(move |tx| ending.record(tx, Change::new(), power, None, None)))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let (Step::Copy(order) | Step::Upload(order) | Step::Rotate(order)) = step;
        let (image, now) = (order.image, cx.clock.now());
        cx.db.write(move |tx| server_images::discard(tx, image, now)).await?;
        self.stores.say_given_up();
        if *why == Why::Cancelled {
            let server = machine::server(cx).await?;
            let host = server.host.clone();
            return Ok(Some(Ending::of(cx, &server, order.event()).made_way(host)));
        }
        let (server, power) = drop_copy(cx).await?;
        let (ending, why) = (Ending::of(cx, &server, order.event()), why.to_string());
        Ok(Some(Box::new(move |tx| ending.record(tx, Change::new(), power, None, Some(&why)))))
    }
}

/// The copy leaves the host, where it can be asked. Returns the server, and whether its machine runs.
///
/// # Errors
/// `NotFound` when the server is gone, the host's.
pub async fn drop_copy(cx: &Cx) -> Result<(Server, Power)> {
    let server = machine::server(cx).await?;
    if let Ok(host) = machine::on(&server).and_then(|host| cx.hosts.get(host)) {
        host.disks.drop_copy(server.id, cx.epoch).await?;
    }
    let power = machine::power(cx, &server).await;
    Ok((server, power))
}

/// How a guest is to be brought to rest, as its image's properties have it.
fn quiesce(server: &Server) -> Quiesce {
    let says_yes = |name: &str| {
        let text = server.image_properties.get(name).map(|text| text.to_ascii_lowercase());
        text.is_some_and(|text| matches!(text.as_str(), "yes" | "true" | "1" | "on" | "y" | "t"))
    };
    match (says_yes("hw_qemu_guest_agent"), says_yes("os_require_quiesce")) {
        (_, true) => Quiesce::Must,
        (true, false) => Quiesce::Try,
        (false, false) => Quiesce::No,
    }
}

/// A whole copy of the server's disk lies on its host.
async fn copy(cx: &Cx, server: &Server) -> Result<()> {
    let host = cx.hosts.get(machine::on(server)?)?;
    let target = host.disks.place_for_copy(server.id, cx.epoch).await?;
    let runs = host.hypervisor.copy_disk(server.id, cx.epoch, &target, quiesce(server)).await?;
    if runs { Ok(()) } else { host.disks.copy_at_rest(server.id, cx.epoch, machine::own_disk(server)).await }
}

/// May the image have so many bytes, beside those that its owner's other images have?
///
/// # Errors
/// `TooLarge` or `OverQuota`, as an upload's.
fn check_size(tx: &mut Tx, rules: &ImportRules, image: ImageId, size: u64) -> Result<()> {
    if rules.size_limit > 0 && size > rules.size_limit {
        let most = rules.size_limit;
        return Err(Error::TooLarge(format!("The image exceeds the allowed size of {most} bytes")));
    }
    let Some(region) = &rules.limits_region else {
        return import_image::bound::check(tx, rules, image, size);
    };
    let more = i64::try_from(size / image_limits::MIB).unwrap_or(i64::MAX);
    let owner = images::any(tx, image)?.owner;
    owner.map_or(Ok(()), |owner| image_limits::check(tx, region, image_limits::SIZE, &owner, more))
}

impl ImageServer {
    /// The copy's bytes become the image's. Those that are there already stay.
    pub(super) async fn upload(&self, cx: &Cx, server: &Server, id: ImageId) -> Result<()> {
        let image = cx.db.read(move |tx| images::any(tx, id)).await?;
        if image.has_bytes() {
            return Ok(());
        }
        let place = Place { store: self.stores.default_store().name.clone(), blob: BlobId::random() };
        let copied = cx.hosts.get(machine::on(server)?)?.disks.open_copy(server.id).await?;
        let (begun, now, rules, size) = (place.clone(), cx.clock.now(), self.rules.clone(), copied.size);
        let begin = move |tx: &mut Tx| {
            check_size(tx, &rules, id, size)?;
            server_images::begin(tx, id, &begun, now)
        };
        cx.db.write(begin).await?;
        let wish = Wish { size: Some(copied.size), head: HEAD_BYTES, tail: TAIL_BYTES, ..Wish::default() };
        let mut virtual_size = None;
        let judge = |stored: &Stored| {
            virtual_size = inspect(&image, &stored.head, &stored.tail, stored.size)?;
            Ok(())
        };
        let stored = self.stores.of(&place.store)?.put(place.blob, copied.bytes, &wish, Box::new(judge)).await?;
        let data = Data { size: stored.size, virtual_size, md5: stored.md5, sha512: stored.sha512 };
        let (blob, now, rules) = (place.blob, cx.clock.now(), self.rules.clone());
        let finish = move |tx: &mut Tx| {
            // Asked again: others may have filled the quota meanwhile.
            check_size(tx, &rules, id, data.size)?;
            images::finish_upload(tx, id, blob, &data, now)
        };
        let held = cx.db.write(finish).await?;
        self.stores.say_given_up();
        if held {
            return Ok(());
        }
        // The row may have been swept while the bytes were still coming.
        delete(&cx.db, &self.stores, &place).await?;
        Err(Error::not_found(Kind::Image, id))
    }

    /// Older backups of the new one's owner go. Their bytes are swept.
    async fn rotate(&self, cx: &Cx, server: &Server, newest: ImageId, kind: String, keep: i64) -> Result<()> {
        let (id, now) = (server.id, cx.clock.now());
        let rotate = move |tx: &mut Tx| {
            let owner = match images::any(tx, newest) {
                Ok(image) => image.owner,
                // Rotated before, or deleted by its owner meanwhile: whoever makes the next backup rotates.
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            };
            for image in server_images::beyond(tx, id, owner.as_ref(), &kind, keep)? {
                images::delete(tx, image, now)?;
            }
            Ok(())
        };
        cx.db.write(rotate).await?;
        self.stores.say_given_up();
        Ok(())
    }
}
