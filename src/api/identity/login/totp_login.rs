//! Logging in with a time-based passcode (totp).
//!
//! The secret is a credential of type `totp`; a passcode is good once, and later passcodes make earlier ones worthless.
//! Failures count like those of passwords, under the same name: six digits are guessed soon otherwise.

use crate::api::State;
use crate::api::authenticate::required;
use crate::api::identity::delegation::credentials::open;
use crate::api::identity::login::{Proof, UserWithPasscode, WantedUser};
use crate::cloud::identity::User;
use crate::cloud::token::audit_id;
use crate::cloud::totp;
use crate::error::Result;
use crate::store::credentials::{self, Credential};
use crate::store::{Tx, projects};
use std::net::IpAddr;

/// # Errors
/// `Unauthorized` without a word about why, `TooManyRequests` after too many failures.
pub async fn by_passcode(state: &State, given: &UserWithPasscode, peer: Option<IpAddr>) -> Result<Proof> {
    let now = state.clock.now();
    let identity = &state.identity;
    let wanted =
        WantedUser::of(given.id.as_ref().map(|id| &id.0), given.name.as_ref().map(|name| &name.0), &given.domain)?;
    let counted_as = wanted.counted_as();
    identity.failures.check(&counted_as, peer, now)?;
    let found = state.db.read(move |tx| secrets(tx, &wanted)).await?;
    if let Some((user, secrets)) = found
        && let Some((credential, window)) = fitting(state, &secrets, &given.passcode)
    {
        let id = credential.id.clone();
        if state.db.write(move |tx| credentials::take_totp_window(tx, &id, window)).await? {
            return Ok(Proof {
                user_id: user.id,
                methods: vec!["totp".to_owned()],
                audit_ids: vec![audit_id()],
                not_after: None,
                default_project_id: user.default_project_id,
                bound_to: None,
                parent_scope: None,
            });
        }
    }
    identity.failures.count(&counted_as, peer, now);
    Err(required())
}

/// The user, if they may log in, with their secrets.
fn secrets(tx: &mut Tx, wanted: &WantedUser) -> Result<Option<(User, Vec<Credential>)>> {
    let Some(user) = wanted.find(tx)?.filter(|user| user.enabled) else { return Ok(None) };
    if !projects::domain_ref(tx, &user.domain_id)?.is_some_and(|(_, is_enabled)| is_enabled) {
        return Ok(None);
    }
    let secrets = credentials::list(tx, Some(&user.id), Some("totp"))?;
    Ok(Some((user, secrets)))
}

/// The first secret that the passcode fits, and the window it is of.
fn fitting<'s>(state: &State, secrets: &'s [Credential], passcode: &str) -> Option<(&'s Credential, i64)> {
    let now = state.clock.now();
    let windows = state.identity.settings.totp_previous_windows;
    secrets.iter().find_map(|credential| {
        let secret = open(&state.identity.vault, credential, now)?;
        let window = totp::window_of(&secret, passcode, now.seconds(), windows, credential.totp_window)?;
        Some((credential, window))
    })
}
