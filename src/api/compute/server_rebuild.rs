//! Action `rebuild`: the same server with a new disk, and whatever else it is told to be from now on.
//!
//! Rows change with the request, as upstream's do, but for the image: that one is the server's once its old disk is gone.
//! [`rebuild_server`](crate::tasks::rebuild_server) sees to it, and makes the machine follow.

use super::common::{Metadata, Name, links, server_id};
use super::server_actions::PATH;
use super::server_checks::{check_hostname, check_personality};
use super::server_deed::Asker;
use super::server_request::{AddressText, Certificates, DiskConfigs, File};
use super::server_view::{ServerView, Sight, view, whole_one};

use super::versions;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::boot::{self, kept_properties};
use crate::cloud::policy::Reach;
use crate::cloud::quota;
use crate::cloud::server::{Action, State, Task, may};
use crate::error::{Error, Result};
use crate::http::json::{At, Base64Text, FlexibleBool, Maybe, OneOf, Text, View};
use crate::http::microversion::Microversion;
use crate::http::reply::Reply;
use crate::http::table::action;
use crate::ids::{ImageId, UserId};
use crate::store::servers::{self, Change, Server};
use crate::store::{Tx, boot_images, keypairs, quotas};
use crate::tasks::password::Password;
use crate::tasks::rebuild_server::{NewImage, Order, RebuildServer, Step};
use crate::versioned;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![action(PATH, "rebuild", rebuild).rule("os_compute_api:servers:rebuild")]
}

versioned! {
    request Rebuild strict {
        "imageRef" required => image_ref: super::common::ImageRef,
        "name" => name: Maybe<Name>,
        "adminPass" => admin_pass: Maybe<String>,
        "metadata" => metadata: Maybe<Metadata>,
        "preserve_ephemeral" => preserve_ephemeral: Maybe<FlexibleBool>,
        "OS-DCF:diskConfig" => disk_config: Maybe<OneOf<DiskConfigs>>,
        "accessIPv4" => access_ip_v4: Maybe<AddressText>,
        "accessIPv6" => access_ip_v6: Maybe<AddressText>,
        "personality" until(57) => personality: Maybe<Vec<File>>,
        "description" since(19) => description: Maybe<Option<Text<0, 255>>>,
        "key_name" since(54) => key_name: Maybe<Option<Name>>,
        "user_data" since(57) => user_data: Maybe<Option<Base64Text<65535>>>,
        "trusted_image_certificates" since(63) => trusted_image_certificates: Maybe<Option<Certificates>>,
        "hostname" since(90) => hostname: Maybe<Text<2, 255>>,
    }
}
versioned! {
    request RebuildWish strict { "rebuild" required => rebuild: Rebuild }
}

/// The server as `GET` shows it, with the user data that a rebuild alone tells. Passwords are told to the guest and never
/// answered, as by a Nova with `enable_instance_password = false`.
#[derive(Debug, Clone)]
pub struct Rebuilt {
    server: Box<ServerView>,
    user_data: Option<String>,
}

impl View for Rebuilt {
    fn view<S: serde::Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = serde_json::to_value(At(&*self.server, version)).map_err(serde::ser::Error::custom)?;
        if version >= versions::REBUILD_TAKES_USER_DATA {
            shown["user_data"] = json!(self.user_data);
        }
        shown.serialize(serializer)
    }

    fn schema(version: Microversion) -> Value {
        let mut schema = ServerView::schema(version);
        if version >= versions::REBUILD_TAKES_USER_DATA {
            schema["properties"]["user_data"] = json!({"type": ["string", "null"]});
        }
        schema
    }

    fn boundaries(into: &mut Vec<u16>) {
        ServerView::boundaries(into);
        into.push(versions::REBUILD_TAKES_USER_DATA.0);
    }
}

versioned! {
    response RebuiltShown { "server" => server: Rebuilt }
}

/// What the request's own words come to.
struct Wish {
    body: Rebuild,
    image: ImageId,
    user: UserId,
    is_admin: bool,
    may_have_no_disk: bool,
    region: Option<String>,
}

/// Action `rebuild`.
async fn rebuild(call: Call<RebuildWish>) -> Result<Reply<RebuiltShown>> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let asker = Asker::of(&call)?;
    let body = call.body.rebuild.clone();
    // Upstream's libvirt driver finds this out on the host, and leaves the server in Error.
    if body.preserve_ephemeral.as_ref().is_some_and(|truth| truth.0) {
        return Err(Error::bad_request("The current driver does not support preserving ephemeral partitions."));
    }
    if body.trusted_image_certificates.as_ref().is_some() {
        call.cx.allow("os_compute_api:servers:rebuild:trusted_certs")?;
    }
    if let Some(hostname) = body.hostname.as_ref() {
        check_hostname(&hostname.0, call.version() >= versions::HOSTNAMES_ARE_QUALIFIED)?;
    }
    let password = body.admin_pass.as_ref().map(String::as_str);
    let password = Password::seal(&call.cx.state.identity.vault, id, password, asker.now)?;
    let wish = Wish {
        image: body.image_ref.0,
        body,
        user: call.cx.user_id()?.clone(),
        is_admin: call.cx.may("context_is_admin"),
        may_have_no_disk: call.cx.may("os_compute_api:servers:create:zero_disk_flavor"),
        region: call.cx.state.limits_region(),
    };
    let reach_again = reach.clone();
    let write = move |tx: &mut Tx| {
        let server = servers::get(tx, &reach, id)?;
        may(Action::Rebuild, id, server.situation(), wish.is_admin)?;
        let image = new_image(tx, &server, &wish, asker.now)?;
        let change = change(tx, &server, &wish)?;
        servers::update(tx, id, change.task(Some(Task::Rebuilding)).progress(0), asker.now)?;
        asker.note(tx, &server, Action::Rebuild.recorded_as())?;
        let shown = (image.id, image.properties.clone());
        let stays_off = server.state == State::Stopped;
        let order = Order { stays_off, password: password.clone(), image: Some(image) };
        asker.start::<RebuildServer>(tx, id, &Step::Fetch(order))?;
        let mut server = servers::get(tx, &reach_again, id)?;
        // Upstream answers with the image that was asked for.
        (server.image_id, server.image_properties) = (Some(shown.0), shown.1);
        whole_one(tx, server)
    };
    let whole = call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    let sight = Sight::of(&call).await?;
    let (user_data, key_name) = (whole.server.user_data.clone(), whole.server.key_name.clone());
    let mut shown = view(&call, &sight, whole, true).shown_by_update(call.version());
    shown.key_name = (call.version() >= versions::REBUILD_SHOWS_KEY).then_some(key_name);
    // It stands beside the attributes.
    shown.user_data = None;
    let location = links(&call, "servers", id)[0].href.clone();
    let rebuilt = Rebuilt { server: Box::new(shown), user_data };
    Ok(Reply::accepted(RebuiltShown { server: rebuilt }).header("location", &location))
}

/// The image, if the server can boot from it.
fn new_image(tx: &mut Tx, server: &Server, wish: &Wish, now: Timestamp) -> Result<NewImage> {
    let looker = (!wish.is_admin).then_some(&server.project_id);
    let image = boot_images::get(tx, looker, wish.image, now).map_err(|error| {
        if error.is_not_found() { Error::bad_request("Cannot find image for rebuild") } else { error }
    })?;
    let base = boot::base(&server.flavor, &image, wish.may_have_no_disk)?;
    Ok(NewImage { id: image.id, properties: kept_properties(&image.properties), base })
}

/// The row as it shall be at once, after looking at everything that it names.
fn change(tx: &mut Tx, server: &Server, wish: &Wish) -> Result<Change> {
    let body = &wish.body;
    let limits = quotas::limits_in(tx, wish.region.as_deref(), &server.project_id)?;
    let mut change = Change::new();
    if let Some(metadata) = body.metadata.as_ref() {
        quota::check_metadata(&limits, metadata.0.len())?;
        change = change.metadata(&metadata.0);
    }
    if let Some(files) = body.personality.as_ref() {
        check_personality(&limits, files)?;
        let files: Vec<_> = files.iter().map(|file| (file.path.0.clone(), file.contents.0.clone())).collect();
        change = change.personality(&files);
    }
    if let Some(name) = body.name.as_ref() {
        change = change.name(&name.0);
    }
    if let Some(word) = body.disk_config.as_ref() {
        change = change.disk_config(&word.0);
    }
    if let Some(address) = body.access_ip_v4.as_ref() {
        change = change.access_ip_v4(&address.0);
    }
    if let Some(address) = body.access_ip_v6.as_ref() {
        change = change.access_ip_v6(&address.0);
    }
    if let Some(text) = body.description.as_ref() {
        change = change.description(text.as_ref().map(|text| text.0.as_str()));
    }
    if let Some(data) = body.user_data.as_ref() {
        change = change.user_data(data.as_ref().map(|data| STANDARD.encode(&data.0)).as_deref());
    }
    if let Some(certificates) = body.trusted_image_certificates.as_ref() {
        change = change.trusted_certificates(certificates.as_ref().map(|list| list.0.as_slice()));
    }
    if let Some(hostname) = body.hostname.as_ref() {
        change = change.hostname(&hostname.0);
    }
    match body.key_name.as_ref() {
        None => Ok(change),
        Some(None) => Ok(change.key(None, None)),
        // Keys are their users': whoever rebuilds takes one of their own, whoever made the server.
        Some(Some(name)) => {
            let own = Reach::User(wish.user.clone());
            let key = keypairs::get(tx, &own, &wish.user, &name.0)
                .map_err(|_| Error::bad_request("Invalid key_name provided."))?;
            Ok(change.key(Some(&key.name), Some(&key.public_key)))
        }
    }
}
