//! Actions `createImage` and `createBackup`: the image's row is made with the request, as upstream makes it;
//! [`image_server`](crate::tasks::image_server) fills it.

use super::common::{Metadata, Name, address};
use super::server_actions::PATH;
use super::server_deed::Deed;

use super::versions;
use crate::api::{Call, Context, Row};
use crate::clock::Timestamp;
use crate::cloud::image::change::{check_writable, is_property};
use crate::cloud::image::limits::Limits;
use crate::cloud::image::{Image, Terms, Visibility, protection};
use crate::cloud::quota;
use crate::cloud::server::{Action, Task};
use crate::error::{Error, Result};
use crate::http::json::{Between, Maybe};
use crate::http::reply::RawReply;
use crate::http::table::action;
use crate::ids::{ImageId, ProjectId, UserId};
use crate::store::servers::{self, Change, Server, Texts};
use crate::store::{Tx, image_limits, image_members, images, quotas};
use crate::tasks::image_server::{ImageServer, Order, Step};
use crate::versioned;
use http::StatusCode;
use serde_json::json;

pub fn rows() -> Vec<Row> {
    vec![
        action(PATH, "createImage", create_image).rule("os_compute_api:servers:create_image"),
        action(PATH, "createBackup", create_backup).rule("os_compute_api:os-create-backup"),
    ]
}

versioned! {
    request NewImage strict { "name" required => name: Name, "metadata" => metadata: Maybe<Metadata> }
}
versioned! {
    request CreateImage strict { "createImage" required => create: NewImage }
}
versioned! {
    request NewBackup strict {
        "name" required => name: Name,
        "backup_type" required => backup_type: String,
        "rotation" required => rotation: Between<0, 2_147_483_647>,
        "metadata" => metadata: Maybe<Metadata>,
    }
}
versioned! {
    request CreateBackup strict { "createBackup" required => create: NewBackup }
}

/// What is to become of a server's disk.
#[derive(Clone)]
pub(super) struct Wish {
    action: Action,
    name: String,
    metadata: Texts,
    /// Kind of backup, and how many of them stay.
    rotation: Option<(String, i64)>,
    user: UserId,
    project: ProjectId,
    checks_metadata: bool,
    region: Option<String>,
}

/// Action `createImage`.
async fn create_image(call: Call<CreateImage>) -> Result<RawReply> {
    let body = &call.body.create;
    let metadata = body.metadata.as_ref().cloned().unwrap_or_default().0;
    let wish = wish(&call, Action::CreateImage, &body.name, metadata, None)?;
    let id = order(&call, wish).await?;
    Ok(answer(&call, id, Some(format!("{}/image/images/{id}", call.cx.state.public_url))))
}

/// Action `createBackup`.
async fn create_backup(call: Call<CreateBackup>) -> Result<RawReply> {
    let body = &call.body.create;
    let (kind, keep) = (body.backup_type.clone(), body.rotation.0);
    let metadata = body.metadata.as_ref().cloned().unwrap_or_default().0;
    let wish = wish(&call, Action::CreateBackup, &body.name, metadata, Some((kind, keep)))?;
    let id = order(&call, wish).await?;
    // What does not outlive its own rotation has no address.
    let address = (keep > 0).then(|| address(&call, &format!("/images/{id}")));
    Ok(answer(&call, id, address))
}

/// Where the image is: in a header, and from 2.45 on in the body.
fn answer<B>(call: &Call<B>, id: ImageId, address: Option<String>) -> RawReply {
    if call.version() >= versions::IMAGE_ID_IN_BODY {
        return RawReply::json(StatusCode::ACCEPTED, &json!({"image_id": id}));
    }
    let reply = RawReply::empty(StatusCode::ACCEPTED);
    match address {
        Some(address) => reply.header("location", &address),
        None => reply,
    }
}

fn wish<B>(
    call: &Call<B>,
    action: Action,
    name: &Name,
    metadata: Texts,
    rotation: Option<(String, i64)>,
) -> Result<Wish> {
    check_names(&call.cx, &metadata)?;
    Ok(Wish {
        action,
        name: name.0.clone(),
        metadata,
        rotation,
        user: call.cx.user_id()?.clone(),
        project: call.cx.project_id()?.clone(),
        checks_metadata: call.version() < versions::IMAGES_ARE_NOT_COUNTED,
        region: call.cx.state.limits_region(),
    })
}

impl Wish {
    pub(super) fn named(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }
}

/// An image without a say of the client's, for work that needs one.
pub(super) fn plain<B>(call: &Call<B>, action: Action) -> Result<Wish> {
    Ok(Wish {
        action,
        name: String::new(),
        metadata: Texts::new(),
        rotation: None,
        user: call.cx.user_id()?.clone(),
        project: call.cx.project_id()?.clone(),
        checks_metadata: false,
        region: call.cx.state.limits_region(),
    })
}

/// What the image service lets nobody write, or not this caller, can't be written by way of a server either.
fn check_names(cx: &Context, metadata: &Texts) -> Result<()> {
    for name in metadata.keys() {
        check_writable(name)?;
        if !is_property(name) {
            return Err(Error::Forbidden(format!("Attribute '{name}' is reserved.")));
        }
        cx.state.images.protections.check(protection::Action::Create, name, &cx.credentials().roles)?;
    }
    Ok(())
}

/// Records the image and the work that fills it.
async fn order<B>(call: &Call<B>, wish: Wish) -> Result<ImageId> {
    let deed = Deed::of(call)?;
    let limits = call.cx.state.images.limits;
    let image_id = ImageId::random();
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, wish.action)?;
        if server.host_id.is_none() {
            return Err(Error::conflict(format!("Instance {} is not ready", deed.id)));
        }
        if wish.checks_metadata {
            let quotas = quotas::limits_in(tx, wish.region.as_deref(), &wish.project)?;
            quota::check_metadata(&quotas, wish.metadata.len())?;
        }
        record(tx, image_id, &server, &wish, limits, deed.asker.now)?;
        let task = if wish.rotation.is_some() { Task::BackingUp } else { Task::SnapshotPending };
        servers::update(tx, deed.id, Change::new().task(Some(task)), deed.asker.now)?;
        deed.asker.note(tx, &server, wish.action.recorded_as())?;
        let order = Order { image: image_id, rotation: wish.rotation.clone() };
        deed.asker.start::<ImageServer>(tx, deed.id, &Step::Copy(order))
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(image_id)
}

/// The image's row, without bytes yet.
pub(super) fn record(
    tx: &mut Tx,
    id: ImageId,
    server: &Server,
    wish: &Wish,
    limits: Limits,
    now: Timestamp,
) -> Result<()> {
    if let Some(region) = &wish.region {
        image_limits::check(tx, region, image_limits::COUNT, &wish.project, 1)?;
    }
    let image = image(id, server, wish, now);
    limits.check(&image)?;
    images::insert(tx, &image)?;
    // Whoever owns the server sees the image that an administrator made of it.
    if wish.project != server.project_id {
        image_members::insert(tx, id, &server.project_id, &Terms::default(), now)?;
    }
    Ok(())
}

/// The image as upstream describes it: what the server's own image was, and where this one comes from.
fn image(id: ImageId, server: &Server, wish: &Wish, now: Timestamp) -> Image {
    let mut image = Image::new(id, Some(wish.project.clone()), now);
    image.name = Some(wish.name.clone());
    image.visibility = if wish.project == server.project_id { Visibility::Private } else { Visibility::Shared };
    image.container_format = Some("bare".to_owned());
    image.disk_format = Some("qcow2".to_owned());
    image.min_disk = u32::try_from(server.flavor.disk_gib).unwrap_or(u32::MAX);
    image.properties = server.image_properties.clone();
    image.properties.retain(|name, _| !name.starts_with("img_signature") && !name.starts_with("os_glance"));
    let kind = if wish.rotation.is_some() { "backup" } else { "snapshot" };
    let mut put = |name: &str, value: String| image.properties.insert(name.to_owned(), value);
    put("instance_uuid", server.id.to_string());
    put("user_id", wish.user.to_string());
    put("image_type", kind.to_owned());
    put("image_location", "snapshot".to_owned());
    put("image_state", "available".to_owned());
    put("owner_id", server.project_id.to_string());
    put("base_image_ref", server.image_id.map(|id| id.to_string()).unwrap_or_default());
    if wish.project != server.project_id {
        put("instance_owner", server.project_id.to_string());
    }
    for (name, value) in &wish.metadata {
        put(name, value.clone());
    }
    if let Some((kind, _)) = &wish.rotation {
        put("backup_type", kind.clone());
    }
    image
}
