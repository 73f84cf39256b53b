//! The rules of [`SecurityCompliance`](crate::cloud::compliance::SecurityCompliance) where they meet requests: what logins
//! leave behind, and what a new password must be.

use crate::api::State;
use crate::api::authenticate::required;
use crate::clock::Timestamp;
use crate::cloud::compliance::{Attempts, SecurityCompliance, is_of_another_day};
use crate::cloud::identity::User;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::store::users::NewPassword;
use crate::store::{Tx, logins, users};
use serde_json::{Map, Value};

/// After a wrong password: counts it for a user, or writes as much for nobody.
///
/// # Errors
/// Those of the store.
pub async fn note_failure(state: &State, user: Option<UserId>, now: Timestamp) -> Result<()> {
    let rules = state.identity.settings.security_compliance.clone();
    if !rules.locks() {
        return Ok(());
    }
    state.db.write(move |tx| logins::note_failure(tx, user.as_ref(), &rules, now)).await
}

/// After a right password: forgets the wrong ones, and writes down once a day that the account is in use.
///
/// # Errors
/// `Unauthorized` when wrong passwords that were tried meanwhile have locked the account: a burst of guesses must not get
/// more tries than were allowed.
pub async fn note_success(state: &State, user: &User, attempts: Attempts, now: Timestamp) -> Result<()> {
    let rules = state.identity.settings.security_compliance.clone();
    let is_first_today = is_of_another_day(user.active_at, now);
    let id = user.id.clone();
    let attempts = match rules.locks() {
        true => state.db.read(move |tx| logins::attempts(tx, &id)).await?,
        false => attempts,
    };
    if rules.is_locked(attempts, &user.options, now) {
        return Err(required());
    }
    if !is_first_today && (attempts.count == 0 || !rules.locks()) {
        return Ok(());
    }
    let id = user.id.clone();
    let write = move |tx: &mut Tx| {
        logins::forgive(tx, &id)?;
        if is_first_today { logins::note_activity(tx, &id, now) } else { Ok(()) }
    };
    state.db.write(write).await
}

/// Refuses whose account has lain idle, by whichever method they come.
///
/// # Errors
/// `Unauthorized`.
pub fn check_idle(tx: &mut Tx, rules: &SecurityCompliance, id: &UserId, now: Timestamp) -> Result<()> {
    if rules.disable_user_account_days_inactive == 0 {
        return Ok(());
    }
    match users::get(tx, id)? {
        Some(user) if !rules.is_idle(&user, now) => Ok(()),
        _ => Err(required()),
    }
}

/// A password that an administrator sets, ready to be kept; `None` takes the password away.
///
/// # Errors
/// `BadRequest` for one that is too weak, `Forbidden` for one that is too long.
pub async fn set_by_administrator(
    state: &State,
    password: Option<&str>,
    options: &Map<String, Value>,
) -> Result<NewPassword> {
    let rules = &state.identity.settings.security_compliance;
    rules.check_strength(password)?;
    let Some(password) = password else {
        return Ok(NewPassword { kept: rules.kept_passwords(), ..NewPassword::default() });
    };
    let expires_at = rules.expiry(options, true, state.clock.now());
    made(state, password, false, expires_at).await
}

/// A password that a user chose themselves.
///
/// # Errors
/// As above.
pub async fn chosen(state: &State, password: &str, options: &Map<String, Value>) -> Result<NewPassword> {
    let expires_at = state.identity.settings.security_compliance.expiry(options, false, state.clock.now());
    made(state, password, true, expires_at).await
}

async fn made(
    state: &State,
    password: &str,
    is_self_service: bool,
    expires_at: Option<Timestamp>,
) -> Result<NewPassword> {
    let most = state.identity.settings.max_password_length;
    if password.len() > most {
        // Upstream's words where its passwords are checked strictly; where they are not, it cuts them, which we never do.
        return Err(Error::Forbidden(format!(
            "The password length must be less than or equal to {most}. The server could not comply with the request because the password is invalid."
        )));
    }
    let hash = state.identity.hashing.hash(password.to_owned()).await?;
    let kept = state.identity.settings.security_compliance.kept_passwords();
    Ok(NewPassword { hash: Some(hash), is_self_service, expires_at, kept })
}
