//! Imports an image: bytes that were staged, are fetched from the web, or are in another store already, into one or
//! several stores.
//!
//! ```text
//!  Begin ─► Describe ─► Fetch ─► Plugin 0 ─► … ─► Inspect ─► Copy 0 ─► … ─► Finish ─► done      glance-download
//!  Begin ─────────────► Fetch ─► Plugin 0 ─► … ─► Inspect ─► Copy 0 ─► …                         web-download
//!  Begin ──────────────────────► Plugin 0 ─► … ─► Inspect ─► Copy 0 ─► …                         glance-direct
//!  Begin ──────────────────────────────────────────────────► Copy 0 ─► …                         copy-image
//! ```
//! What a step has stored ([`bytes`]) is recorded in a transaction of its own, so a step that is taken again finds it and
//! goes on. How many bytes that may be is said in [`bound`]. A plugin that has work with the bytes, as unpacking and
//! converting are, takes a step more for it, `Rewrite`, of which only so many are taken at once. What else the image is going
//! to be, its formats and properties, travels with the steps ([`order`]) and is written when it becomes active, so nothing of
//! it has to be undone. An image becomes active with the last store, or with the first where not all must succeed. Backing
//! out leaves a queued image without bytes, or the active one that is copied as it was; the client tries again.

pub mod bound;
mod bytes;
mod order;

use super::{Cx, Next, Record, Why, Workflow};
use crate::blobs::Stores;
use crate::cloud::image::Place;
use crate::cloud::image::import::{ImportRules, ImportTask, Method, TaskStatus};
use crate::cloud::image::inspect::inspect;
use crate::cloud::image::protection::Action;
use crate::cloud::image::remote::Described;
use crate::cloud::image_format::{HEAD_BYTES, TAIL_BYTES};
use crate::error::{Error, Result};
use crate::ids::ImageId;
use crate::store::tasks::{self, NewTask};
use crate::store::{Tx, image_copies, image_imports, image_tasks, images};
use crate::vault::Vault;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use order::{Order, Uri};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Begin(Order),
    Describe(Order),
    Fetch(Order),
    /// The plugin of this number looks at the image.
    Plugin {
        order: Order,
        at: usize,
    },
    /// And makes other bytes of its bytes.
    Rewrite {
        order: Order,
        at: usize,
    },
    Inspect(Order),
    /// To the store of this number.
    Copy {
        order: Order,
        at: usize,
        virtual_size: Option<u64>,
        failed: Vec<String>,
    },
    Finish {
        order: Order,
        virtual_size: Option<u64>,
        failed: Vec<String>,
    },
}

impl Step {
    const fn order(&self) -> &Order {
        match self {
            Self::Begin(order) | Self::Describe(order) | Self::Fetch(order) | Self::Inspect(order) => order,
            Self::Plugin { order, .. }
            | Self::Rewrite { order, .. }
            | Self::Copy { order, .. }
            | Self::Finish { order, .. } => order,
        }
    }
}

/// What imports go by, and what they need besides stores.
#[derive(Clone)]
pub struct Importing {
    pub rules: ImportRules,
    /// Opens the tokens that other regions are asked with.
    pub vault: Arc<Vault>,
}

pub struct ImportImage {
    pub(super) stores: Stores,
    pub(super) rules: ImportRules,
    vault: Arc<Vault>,
}

/// Records the import in the transaction of the request that wants it.
pub fn order(tx: &mut Tx, image: ImageId, task: &ImportTask, order: Order) -> Result<()> {
    image_tasks::insert(tx, task)?;
    let subject = image.to_string();
    let wish = NewTask { subject: &subject, request_id: task.request_id.as_deref(), now: task.created_at };
    super::insert::<ImportImage>(tx, &wish, &Step::Begin(order)).map(drop)
}

#[async_trait]
impl Workflow for ImportImage {
    type Step = Step;
    const KIND: &'static str = "import_image";
    /// Somebody waits for it, and can ask again.
    const PATIENCE: u32 = 3;
    const MAY_TAKE_LONG: bool = true;

    fn takes_turn(step: &Step) -> bool {
        matches!(step, Step::Rewrite { .. })
    }

    async fn forward(&self, cx: &Cx, step: &Step) -> Result<Next<Step>> {
        let image = image_id(cx)?;
        match step {
            Step::Begin(order) => {
                let (task, now) = (order.task, cx.clock.now());
                let order = Order { plugins: self.rules.plugins.list.clone(), ..order.clone() };
                let next = match order.method {
                    Method::GlanceDownload => Step::Describe(order),
                    Method::WebDownload => Step::Fetch(order),
                    Method::GlanceDirect => plugin_of(order, 0),
                    Method::CopyImage => copy_of(order, 0, None, Vec::new()),
                };
                Ok(Next::step(next).recording(move |tx| image_tasks::begin(tx, task, now)))
            }
            Step::Describe(order) => {
                let described = self.describe(cx, image, order).await?;
                let becoming = described.becoming.clone();
                Ok(Next::step(Step::Fetch(Order { described: Some(described), becoming, ..order.clone() })))
            }
            Step::Fetch(order) => {
                self.fetch(cx, image, order).await?;
                Ok(Next::step(plugin_of(Order { source: None, ..order.clone() }, 0)))
            }
            Step::Plugin { order, at } => {
                let Some(becoming) = self.look(cx, image, order, *at).await? else {
                    return Ok(Next::step(Step::Rewrite { order: order.clone(), at: *at }));
                };
                Ok(Next::step(plugin_of(Order { becoming, ..order.clone() }, at + 1)))
            }
            Step::Rewrite { order, at } => {
                let becoming = self.rewrite(cx, image, order, *at).await?;
                Ok(Next::step(plugin_of(Order { becoming, ..order.clone() }, at + 1)))
            }
            Step::Inspect(order) => {
                let virtual_size = self.inspect(cx, image, order).await?;
                Ok(Next::step(copy_of(order.clone(), 0, virtual_size, Vec::new())))
            }
            Step::Copy { order, at, virtual_size, failed } => {
                let Some(store) = order.stores.get(*at) else {
                    let (order, failed) = (order.clone(), failed.clone());
                    return Ok(Next::step(Step::Finish { order, virtual_size: *virtual_size, failed }));
                };
                let mut failed = failed.clone();
                let mut refused = Vec::new();
                match self.copy(cx, image, store).await {
                    Ok(()) if order.all_must_succeed => {}
                    Ok(()) => self.activate(cx, image, order, &failed, *virtual_size).await?,
                    Err(error) if order.all_must_succeed || error.is_not_found() => return Err(error),
                    Err(error) => {
                        let error = crate::error::with_causes(&error);
                        tracing::warn!(%image, store, error, "an image could not be brought to a store");
                        let begun = store.clone();
                        cx.db.write(move |tx| image_copies::abandon(tx, image, &begun).map(drop)).await?;
                        self.clear();
                        refused.push(store.clone());
                        failed.push(store.clone());
                    }
                }
                let settled = vec![store.clone()];
                Ok(Next::step(copy_of(order.clone(), at + 1, *virtual_size, failed))
                    .recording(move |tx| image_imports::settle(tx, image, &settled, &refused)))
            }
            Step::Finish { order, virtual_size, failed } => {
                if order.method != Method::CopyImage {
                    if failed.len() == order.stores.len() {
                        return Err(Error::bad_request("None of the uploads finished!"));
                    }
                    self.activate(cx, image, order, failed, *virtual_size).await?;
                }
                let (task, now, work) = (order.task, cx.clock.now(), cx.task_id);
                Ok(Next::done().recording(move |tx| {
                    tasks::forget_step(tx, work)?;
                    image_tasks::end(tx, task, TaskStatus::Success, "", now)
                }))
            }
        }
    }

    async fn back_out(&self, cx: &Cx, step: &Step, why: &Why) -> Result<Option<Record>> {
        let (image, order, now) = (image_id(cx)?, step.order().clone(), cx.clock.now());
        let undone = order.clone();
        cx.db.write(move |tx| undo(tx, image, &undone, now)).await?;
        self.clear();
        let failed = match step {
            Step::Copy { order, at, failed, .. } if *at < order.stores.len() => {
                failed.iter().chain(order.stores.get(*at)).cloned().collect()
            }
            // No store alone is to blame, and none has the bytes.
            _ => order.stores.clone(),
        };
        let (why, work) = (why.to_string(), cx.task_id);
        Ok(Some(Box::new(move |tx| {
            // It holds a token of whoever asked, sealed, and the address it was fetched from.
            tasks::forget_step(tx, work)?;
            // What was imported before the trouble came is imported.
            if order.method != Method::CopyImage && is_active(tx, image)? {
                image_imports::settle(tx, image, &order.stores, &[])?;
                return image_tasks::end(tx, order.task, TaskStatus::Success, "", now);
            }
            image_imports::settle(tx, image, &order.stores, &failed)?;
            image_tasks::end(tx, order.task, TaskStatus::Failure, &why, now)
        })))
    }
}

/// The plugin of a number, or what comes after the last one.
fn plugin_of(order: Order, at: usize) -> Step {
    if at < order.plugins.len() { Step::Plugin { order, at } } else { Step::Inspect(order) }
}

fn copy_of(order: Order, at: usize, virtual_size: Option<u64>, failed: Vec<String>) -> Step {
    Step::Copy { order, at, virtual_size, failed }
}

fn image_id(cx: &Cx) -> Result<ImageId> {
    ImageId::parse(&cx.subject).ok_or_else(|| Error::internal("a task is about no image", cx.subject.clone()))
}

/// Gives up what the import has stored. Where each store counts for itself, what is whole stays.
fn undo(tx: &mut Tx, image: ImageId, order: &Order, now: crate::clock::Timestamp) -> Result<Vec<Place>> {
    if order.method != Method::CopyImage {
        return image_imports::undo(tx, image, now);
    }
    let mut freed = Vec::new();
    for copy in image_copies::all(tx, image)? {
        let is_ours = order.stores.contains(&copy.store);
        if is_ours && (order.all_must_succeed || !image_copies::is_whole(tx, image, &copy.store)?) {
            freed.extend(image_copies::abandon(tx, image, &copy.store)?);
        }
    }
    Ok(freed)
}

fn is_active(tx: &mut Tx, image: ImageId) -> Result<bool> {
    match images::any(tx, image) {
        Ok(image) => Ok(image.has_bytes()),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

impl ImportImage {
    pub fn new(stores: &Stores, importing: &Importing) -> Self {
        let Importing { rules, vault } = importing.clone();
        Self { stores: stores.clone(), rules, vault }
    }

    /// What the other region says of its image, if this one may become like it.
    async fn describe(&self, cx: &Cx, image: ImageId, order: &Order) -> Result<Described> {
        let source =
            order.source.as_ref().ok_or_else(|| Error::internal("an import has no source", image.to_string()))?;
        let described = source.describe(&self.vault, order.task, &self.rules.copied, cx.clock.now()).await?;
        let becoming = described.becoming.clone();
        let mut image = cx.db.read(move |tx| images::any(tx, image)).await?;
        for name in becoming.properties.keys() {
            let action = if image.properties.contains_key(name) { Action::Update } else { Action::Create };
            self.rules.protections.check(action, name, &order.roles)?;
        }
        becoming.apply(&mut image);
        self.rules.limits.check(&image)?;
        Ok(described)
    }

    /// The size a guest would see, of bytes that are what they were declared to be.
    async fn inspect(&self, cx: &Cx, image: ImageId, order: &Order) -> Result<Option<u64>> {
        let (mut image, places, data) = cx.db.read(move |tx| image_imports::source(tx, image)).await?;
        order.becoming.apply(&mut image);
        let head = self.read(&places, 0..data.size.min(HEAD_BYTES as u64)).await?;
        let tail = self.read(&places, data.size.saturating_sub(TAIL_BYTES as u64)..data.size).await?;
        inspect(&image, &head, &tail, data.size)
    }

    /// The image has its bytes in the stores that have not failed.
    async fn activate(
        &self,
        cx: &Cx,
        image: ImageId,
        order: &Order,
        failed: &[String],
        virtual_size: Option<u64>,
    ) -> Result<()> {
        if order.method == Method::CopyImage {
            return Ok(());
        }
        let stores: Vec<_> = order.stores.iter().filter(|store| !failed.contains(store)).cloned().collect();
        let (becoming, now) = (order.becoming.clone(), cx.clock.now());
        let activate = move |tx: &mut Tx| image_imports::activate(tx, image, &stores, virtual_size, &becoming, now);
        cx.db.write(activate).await?;
        self.clear();
        Ok(())
    }

    /// Bytes that rows have given up are swept when the import is over for who waits for it: whether some had to be deleted
    /// tells whether others have the same.
    pub(super) fn clear(&self) {
        self.stores.say_given_up();
    }
}
