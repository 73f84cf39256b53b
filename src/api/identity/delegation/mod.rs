//! What a token that was delegated may not do.
//!
//! A delegation is narrower than its user and ends before them; letting it make or read another one, or a secret to log in
//! with, would widen it and make it outlive its end. Decided on how the token came to be, which nothing changes later:
//! never on its scope, and never on the roles it has now (CVE-2020-12689, CVE-2026-33551, CVE-2026-43001).

#[cfg(test)]
pub mod access_rule_tests;
pub mod access_rules;
pub mod application_credentials;
#[cfg(test)]
mod credential_tests;
pub mod credentials;
pub mod ec2_credentials;
pub mod trust_request;
#[cfg(test)]
mod trust_tests;
pub mod trusts;

use super::login::not_allowed;
use crate::api::Call;
use crate::error::{Error, Result};

/// Application credentials and access rules: out of bounds for trusts, which they would outlive.
///
/// # Errors
/// `Forbidden`.
pub fn check_may_see_application_credentials<B>(call: &Call<B>) -> Result<()> {
    let caller = call.cx.caller()?;
    match (&caller.application_credential, caller.is_delegated()) {
        (None, true) => Err(Error::Forbidden("You are not authorized to perform the requested action.".to_owned())),
        _ => Ok(()),
    }
}

/// The same, and a restricted application credential makes or deletes no others.
///
/// # Errors
/// `Forbidden`.
pub fn check_may_manage_application_credentials<B>(call: &Call<B>) -> Result<()> {
    check_may_see_application_credentials(call)?;
    match &call.cx.caller()?.application_credential {
        Some(credential) if credential.restricted => Err(not_allowed(
            "Using method 'application_credential' is not allowed for managing additional application credentials.",
        )),
        _ => Ok(()),
    }
}

/// Trusts: out of bounds for application credentials. A trustee may look at their trust with a token of it.
///
/// # Errors
/// `Forbidden`.
pub fn check_may_see_trusts<B>(call: &Call<B>) -> Result<()> {
    if call.cx.caller()?.uses_delegated_method {
        return Err(not_allowed("Delegated tokens cannot manage trusts."));
    }
    Ok(())
}

/// Credentials are secrets to log in with: out of bounds for whatever was delegated.
///
/// # Errors
/// `Forbidden`.
pub fn check_is_primary<B>(call: &Call<B>) -> Result<()> {
    if call.cx.caller()?.is_delegated() {
        return Err(not_allowed("Delegated tokens cannot access credentials directly."));
    }
    Ok(())
}
