//! `POST /servers/{server_id}/action`: power, locks, the console's log. Actions that take more have files of their own.
//!
//! An action looks whether it may be asked for now, notes itself, sets the task that clients see, and leaves the work to
//! [`power_server`](crate::tasks::power_server), all in one transaction.

use super::allowance::allowance;
use super::common::server_id;
use super::server_deed::{Asker, Deed};
use super::servers::{delete_for_good, named};
use crate::api::{Call, Row};
use crate::cloud::quota::Usage;
use crate::cloud::server::{Action, Task};
use crate::error::{Error, Result};
use crate::http::json::{Between, Maybe, OneOf, Text, Words};
use crate::http::reply::{Empty, Reply};
use crate::http::table::action;
use crate::store::Tx;
use crate::store::servers::{self, Change};
use crate::store::tasks;
use crate::tasks::power_server::{Power, PowerServer, Step};
use crate::versioned;

pub(super) const PATH: &str = "/servers/{server_id}/action";

pub fn rows() -> Vec<Row> {
    vec![
        action(PATH, "os-start", start).rule("os_compute_api:servers:start"),
        action(PATH, "os-stop", stop).rule("os_compute_api:servers:stop"),
        action(PATH, "reboot", reboot).rule("os_compute_api:servers:reboot"),
        action(PATH, "pause", pause).rule("os_compute_api:os-pause-server:pause"),
        action(PATH, "unpause", unpause).rule("os_compute_api:os-pause-server:unpause"),
        action(PATH, "suspend", suspend).rule("os_compute_api:os-suspend-server:suspend"),
        action(PATH, "resume", resume).rule("os_compute_api:os-suspend-server:resume"),
        action(PATH, "lock", lock).rule("os_compute_api:os-lock-server:lock"),
        action(PATH, "unlock", unlock).rule("os_compute_api:os-lock-server:unlock"),
        action(PATH, "os-getConsoleOutput", console_output).rule("os_compute_api:os-console-output"),
        action(PATH, "forceDelete", force_delete).rule("os_compute_api:os-deferred-delete:force"),
        action(PATH, "restore", restore).rule("os_compute_api:os-deferred-delete:restore"),
    ]
}

/// An action whose value says nothing: `null`, or whatever a client sends.
macro_rules! without_value {
    ($name:ident, $key:literal) => {
        $crate::versioned! {
            #[expect(dead_code, reason = "its being there is all it says")]
            request $name strict { $key required => value: $crate::api::compute::common::Ignored }
        }
    };
}
pub(super) use without_value;

without_value!(Start, "os-start");
without_value!(Stop, "os-stop");
without_value!(Pause, "pause");
without_value!(Unpause, "unpause");
without_value!(Suspend, "suspend");
without_value!(Resume, "resume");
without_value!(Unlock, "unlock");
without_value!(ForceDelete, "forceDelete");
without_value!(Restore, "restore");
versioned! {
    request RebootKind strict { "type" required => kind: OneOf<Kinds> }
}
versioned! {
    request Reboot strict { "reboot" required => reboot: RebootKind }
}

#[derive(Debug, Clone)]
pub struct Kinds;

impl Words for Kinds {
    const WORDS: &'static [&'static str] = &["HARD", "Hard", "hard", "SOFT", "Soft", "soft"];
}

/// Action `os-start`.
async fn start(call: Call<Start>) -> Result<Empty> {
    power(&call, Action::Start, Task::PoweringOn, Power::On).await
}

/// Action `os-stop`.
async fn stop(call: Call<Stop>) -> Result<Empty> {
    power(&call, Action::Stop, Task::PoweringOff, Power::Off).await
}

/// Action `reboot`.
async fn reboot(call: Call<Reboot>) -> Result<Empty> {
    if call.body.reboot.kind.0.eq_ignore_ascii_case("HARD") {
        power(&call, Action::RebootHard, Task::RebootingHard, Power::Reset).await
    } else {
        power(&call, Action::RebootSoftly, Task::Rebooting, Power::Reboot).await
    }
}

/// Action `pause`.
async fn pause(call: Call<Pause>) -> Result<Empty> {
    power(&call, Action::Pause, Task::Pausing, Power::Pause).await
}

/// Action `unpause`.
async fn unpause(call: Call<Unpause>) -> Result<Empty> {
    power(&call, Action::Unpause, Task::Unpausing, Power::Unpause).await
}

/// Action `suspend`.
async fn suspend(call: Call<Suspend>) -> Result<Empty> {
    power(&call, Action::Suspend, Task::Suspending, Power::Suspend).await
}

/// Action `resume`.
async fn resume(call: Call<Resume>) -> Result<Empty> {
    power(&call, Action::Resume, Task::Resuming, Power::Resume).await
}

async fn power<B>(call: &Call<B>, action: Action, task: Task, wish: Power) -> Result<Empty> {
    let deed = Deed::of(call)?;
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, action)?;
        if server.host_id.is_none() {
            return Err(Error::conflict(format!("Instance {} is not ready", deed.id)));
        }
        // Only a hard reboot gets here while work goes on, and takes its place.
        if server.task.is_some() {
            tasks::cancel_all(tx, &deed.id.to_string(), deed.asker.now)?;
        }
        servers::update(tx, deed.id, Change::new().task(Some(task)), deed.asker.now)?;
        deed.asker.note(tx, &server, action.recorded_as())?;
        deed.asker.start::<PowerServer>(tx, deed.id, &Step { wish })
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}

versioned! {
    request LockReason strict { "locked_reason" since(73) => reason: Maybe<Text<1, 255>> }
}
versioned! {
    request Lock strict { "lock" required => lock: Option<LockReason> }
}

/// Action `lock`.
async fn lock(call: Call<Lock>) -> Result<Empty> {
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let reason = call.body.lock.as_ref().and_then(|lock| lock.reason.as_ref()).map(|text| text.0.clone());
    let asker = Asker::of(&call)?;
    let write = move |tx: &mut Tx| {
        let server = servers::get(tx, &reach, id)?;
        // Who owns it and has locked it already asks for nothing; an administrator takes the lock over.
        if server.locked_by.is_some() && asker.is_of(&server) {
            return Ok(());
        }
        // An administrator of another project is one who is not the owner.
        let by = if asker.is_of(&server) { "owner" } else { "admin" };
        servers::update(tx, id, Change::new().locked(Some(by), reason.as_deref()), asker.now)?;
        asker.note(tx, &server, "lock")?;
        asker.did(tx, &server, "api_lock")
    };
    call.cx.state.db.write(write).await?;
    Ok(Empty::accepted())
}

/// Action `unlock`.
async fn unlock(call: Call<Unlock>) -> Result<Empty> {
    const OVERRIDE: &str = "os_compute_api:os-lock-server:unlock:unlock_override";
    let (reach, id) = (call.cx.reach.clone(), server_id(&call)?);
    let asker = Asker::of(&call)?;
    let may_override = call.cx.may(OVERRIDE);
    let write = move |tx: &mut Tx| {
        let server = servers::get(tx, &reach, id)?;
        if server.locked_by.as_deref() == Some("admin") && !may_override {
            return Err(Error::Forbidden(OVERRIDE.to_owned()));
        }
        servers::update(tx, id, Change::new().locked(None, None), asker.now)?;
        asker.note(tx, &server, "unlock")?;
        asker.did(tx, &server, "api_unlock")
    };
    call.cx.state.db.write(write).await?;
    Ok(Empty::accepted())
}

versioned! {
    request ConsoleLines strict { "length" => length: Option<Between<-1, 2_147_483_647>> }
}
versioned! {
    request ConsoleOutput strict { "os-getConsoleOutput" required => lines: Option<ConsoleLines> }
}
versioned! {
    response ConsoleText { "output" => output: String }
}

/// Action `os-getConsoleOutput`.
async fn console_output(call: Call<ConsoleOutput>) -> Result<Reply<ConsoleText>> {
    let server = named(&call).await?;
    let host = server.host_id.ok_or_else(|| Error::conflict(format!("Instance {} is not ready", server.id)))?;
    let length = call.body.lines.as_ref().and_then(|lines| lines.length).map(|length| length.0);
    // Nova reads -1 as "all of it".
    let lines = length.and_then(|length| usize::try_from(length).ok());
    let output = crate::tasks::console::read(&call.cx.state.hosts.now(), host, server.id, lines).await?;
    // What upstream takes out too: all that moves a cursor or rings a bell.
    let output = output.chars().filter(|c| !matches!(c, '\0'..='\x08' | '\x0b'..='\x1f')).collect();
    Ok(Reply::ok(ConsoleText { output }))
}

/// Action `forceDelete`: at once, also where a delete could be taken back.
async fn force_delete(call: Call<ForceDelete>) -> Result<Empty> {
    delete_for_good(&call).await?;
    Ok(Empty::accepted())
}

/// Action `restore`: what was deleted softly runs again, if the project's quota has room for it.
async fn restore(call: Call<Restore>) -> Result<Empty> {
    let deed = Deed::of(&call)?;
    let region = call.cx.state.limits_region();
    let write = move |tx: &mut Tx| {
        let server = deed.server(tx, Action::Restore)?;
        allowance(tx, region.as_deref(), &server, Usage::of(1, &server.flavor))?;
        servers::update(tx, deed.id, Change::new().task(Some(Task::Restoring)), deed.asker.now)?;
        deed.asker.note(tx, &server, Action::Restore.recorded_as())?;
        deed.asker.start::<PowerServer>(tx, deed.id, &Step { wish: Power::Restore })
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}
