//! Actions for operators, and on the guest within: states set by hand, the config drive written anew, a password changed,
//! an interrupt that makes a kernel dump its memory.

use super::common::server_id;
use super::server_actions::{PATH, without_value};
use super::server_deed::{Asker, Deed};

use crate::api::{Call, Row};
use crate::cloud::server::{Action, State, may};
use crate::error::{Error, Result};
use crate::http::json::{OneOf, Words};
use crate::http::reply::Empty;
use crate::http::table::action;
use crate::store::Tx;
use crate::store::servers::{self, Change, Server};
use crate::tasks::ask_guest;
use crate::tasks::power_server::{Power, PowerServer, Step};
use crate::versioned;

pub fn rows() -> Vec<Row> {
    vec![
        action(PATH, "os-resetState", reset_state).rule("os_compute_api:os-admin-actions:reset_state"),
        action(PATH, "injectNetworkInfo", inject_network_info)
            .rule("os_compute_api:os-admin-actions:inject_network_info"),
        // Gone for everybody alike: upstream has no rule for it any more.
        action(PATH, "resetNetwork", reset_network).rule("os_compute_api:servers:show"),
        action(PATH, "changePassword", change_password).rule("os_compute_api:os-admin-password"),
        action(PATH, "trigger_crash_dump", trigger_crash_dump)
            .rule("os_compute_api:servers:trigger_crash_dump")
            .since(17),
    ]
}

#[derive(Debug, Clone)]
pub struct States;

impl Words for States {
    const WORDS: &'static [&'static str] = &["active", "error"];
}

versioned! {
    request NewState strict { "state" required => state: OneOf<States> }
}
versioned! {
    request ResetState strict { "os-resetState" required => reset: NewState }
}

/// Action `os-resetState`: what an operator says of a server is believed. The host is not asked; should it know better, the
/// next look at it tells.
async fn reset_state(call: Call<ResetState>) -> Result<Empty> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let asker = Asker::of(&call)?;
    let state = if call.body.reset.state.0 == "active" { State::Active } else { State::Error };
    let write = move |tx: &mut Tx| {
        let server = servers::get(tx, &reach, id)?;
        servers::update(tx, id, Change::new().state(state).task(None), asker.now)?;
        asker.note(tx, &server, "resetState")
    };
    call.cx.state.db.write(write).await?;
    Ok(Empty::accepted())
}

without_value!(InjectNetworkInfo, "injectNetworkInfo");

/// Action `injectNetworkInfo`: the config drive tells what networks are now; the guest reads it when it next starts.
async fn inject_network_info(call: Call<InjectNetworkInfo>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let write = move |tx: &mut Tx| {
        deed.server(tx, Action::InjectNetworkInfo)?;
        deed.asker.start::<PowerServer>(tx, deed.id, &Step { wish: Power::Refresh })
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

without_value!(ResetNetwork, "resetNetwork");

/// Action `resetNetwork`, which upstream took away.
async fn reset_network(_: Call<ResetNetwork>) -> Result<Empty> {
    Err(Error::Gone("This resource is no longer available.  No forwarding address is given.".to_owned()))
}

versioned! {
    request NewPassword strict { "adminPass" required => password: String }
}
versioned! {
    request ChangePassword strict { "changePassword" required => change: NewPassword }
}

/// Action `changePassword`, by way of the guest's agent, which is asked at once: nothing keeps the password.
async fn change_password(call: Call<ChangePassword>) -> Result<Empty> {
    let (server, asker) = begin(&call, Action::ChangePassword).await?;
    let has_agent = server.image_properties.get("hw_qemu_guest_agent").and_then(|text| super::common::truth(text));
    let outcome = if has_agent == Some(true) {
        let user = server.image_properties.get("os_admin_user").map_or("root", String::as_str);
        ask_guest::set_password(&call.cx.state.hosts.now(), &server, user, &call.body.change.password).await
    } else {
        Err(Error::conflict("QEMU guest agent is not enabled"))
    };
    end(&call, server, asker, "compute_set_admin_password", outcome).await
}

versioned! {
    #[expect(dead_code, reason = "its being there is all it says")]
    request CrashDump strict { "trigger_crash_dump" required => value: super::common::Null }
}

/// Action `trigger_crash_dump`: an interrupt that can't be masked.
async fn trigger_crash_dump(call: Call<CrashDump>) -> Result<Empty> {
    let (server, asker) = begin(&call, Action::TriggerCrashDump).await?;
    let outcome = ask_guest::interrupt(&call.cx.state.hosts.now(), &server).await;
    end(&call, server, asker, "compute_trigger_crash_dump", outcome).await
}

/// The server, if the action may be asked for now; that it was is noted.
async fn begin<B>(call: &Call<B>, action: Action) -> Result<(Server, Asker)> {
    let (reach, id) = (call.cx.reach.clone(), server_id(call)?);
    let asker = Asker::of(call)?;
    let (overrides_lock, noting) = (call.cx.may("context_is_admin"), asker.clone());
    let write = move |tx: &mut Tx| {
        let server = servers::get(tx, &reach, id)?;
        may(action, id, server.situation(), overrides_lock)?;
        noting.note(tx, &server, action.recorded_as())?;
        Ok(server)
    };
    let server = call.cx.state.db.write(write).await?;
    Ok((server, asker))
}

/// Notes what came of it.
async fn end<B>(
    call: &Call<B>,
    server: Server,
    asker: Asker,
    event: &'static str,
    outcome: Result<()>,
) -> Result<Empty> {
    let failure = outcome.as_ref().err().map(ToString::to_string);
    let note = move |tx: &mut Tx| asker.ended(tx, &server, event, failure.as_deref());
    call.cx.state.db.write(note).await?;
    outcome.map(|()| Empty::accepted())
}
