//! Actions `rescue` and `unrescue`; [`rescue_server`](crate::tasks::rescue_server) does the work.

use super::common::{ImageRef, server_id};
use super::server_actions::{PATH, without_value};
use super::server_deed::{Asker, Deed};

use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::boot::{self, Base};
use crate::cloud::server::{Action, Task, may};
use crate::error::{Error, Result};
use crate::http::json::Maybe;
use crate::http::reply::{Empty, Reply};
use crate::http::table::action;
use crate::ids::{ImageId, ProjectId};
use crate::store::servers::{self, Change, Rescue as Kept, Server};
use crate::store::{Tx, boot_images};
use crate::tasks::password::Password;
use crate::tasks::rescue_server::{RescueServer, Step};
use crate::versioned;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        action(PATH, "rescue", rescue).rule("os_compute_api:os-rescue"),
        action(PATH, "unrescue", unrescue).rule("os_compute_api:os-unrescue"),
    ]
}

versioned! {
    request RescueWish strict {
        "adminPass" => admin_pass: Maybe<String>,
        "rescue_image_ref" => image_ref: Maybe<ImageRef>,
    }
}
versioned! {
    request Rescue strict { "rescue" required => rescue: Option<RescueWish> }
}
/// Action `rescue`: boots from the image that is named, or from the server's own. The password is told to the guest alone.
async fn rescue(call: Call<Rescue>) -> Result<Reply<Value>> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let asker = Asker::of(&call)?;
    let is_admin = call.cx.may("context_is_admin");
    let wish = call.body.rescue.clone();
    let named = wish.as_ref().and_then(|wish| wish.image_ref.as_ref()).map(|image| image.0);
    let password = wish.as_ref().and_then(|wish| wish.admin_pass.as_ref()).map(String::as_str);
    let password = Password::seal(&call.cx.state.identity.vault, id, password, asker.now)?;
    let write = move |tx: &mut Tx| {
        let server = servers::get(tx, &reach, id)?;
        may(Action::Rescue, id, server.situation(), is_admin)?;
        if server.host_id.is_none() {
            return Err(Error::conflict(format!("Instance {id} is not ready")));
        }
        let looker = (!is_admin).then_some(&server.project_id);
        let mut aside = server.aside.clone();
        aside.rescue = Some(Box::new(Kept { base: base(tx, &server, looker, named, asker.now)? }));
        servers::update(tx, id, Change::new().task(Some(Task::Rescuing)).aside(&aside), asker.now)?;
        asker.note(tx, &server, Action::Rescue.recorded_as())?;
        asker.start::<RescueServer>(tx, id, &Step::Fetch { password: password.clone() })
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Reply::ok(json!({})))
}

/// The bytes to boot from.
fn base(
    tx: &mut Tx,
    server: &Server,
    looker: Option<&ProjectId>,
    named: Option<ImageId>,
    now: Timestamp,
) -> Result<Base> {
    let Some(id) = named else {
        let own = server.base.as_deref().cloned();
        return own
            .ok_or_else(|| Error::bad_request(format!("Instance {} cannot be rescued: it has no image", server.id)));
    };
    let image = boot_images::get(tx, looker, id, now).map_err(|error| {
        if error.is_not_found() {
            Error::bad_request(format!("Requested rescue image '{id}' is not supported"))
        } else {
            error
        }
    })?;
    boot::base(&server.flavor, &image, true)
}

without_value!(Unrescue, "unrescue");

/// Action `unrescue`.
async fn unrescue(call: Call<Unrescue>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, Action::Unrescue)?;
        servers::update(tx, deed.id, Change::new().task(Some(Task::Unrescuing)), deed.asker.now)?;
        deed.asker.note(tx, &server, Action::Unrescue.recorded_as())?;
        deed.asker.start::<RescueServer>(tx, deed.id, &Step::Leave)
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}
