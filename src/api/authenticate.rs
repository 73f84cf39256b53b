//! From `X-Auth-Token` to the caller.

use super::State;
use crate::cloud::identity::Caller;
use crate::error::{Error, Result};
use crate::http::call::Head;
use std::sync::Arc;

/// The caller whose token the request carries.
///
/// # Errors
/// `Unauthorized` when there is none, or it is not valid now.
pub async fn authenticate(state: &State, head: &Head) -> Result<Arc<Caller>> {
    let _ = (state, head.header("x-auth-token"));
    Err(required())
}

/// What everyone is told who has no valid token.
pub fn required() -> Error {
    Error::Unauthorized("The request you have made requires authentication.".to_owned())
}
