//! Access rules at the gate: a token got with an application credential that has rules is good for the requests they name.
//!
//! The semantics are keystonemiddleware's. A rule counts for a service only if its type is in the catalogue; a token may
//! always be validated; and a request that carries a service's own token beside the user's was made by that service, not
//! by the user, so its path is not what the user asked for. Operators write paths as the service sees them (`/v2.1/servers`)
//! or as they stand under our one port (`/compute/v2.1/servers`): both fit.

use super::State;
use super::authenticate::{required, session};
use crate::cloud::identity::Caller;
use crate::error::Result;
use crate::http::call::Head;

/// Whoever holds this role speaks for a service.
const SERVICE_ROLE: &str = "service";

/// Refuses what no rule of the caller's credential lets through.
///
/// # Errors
/// `Unauthorized`, as of a token that is no good here.
pub async fn check(state: &State, caller: &Caller, head: &Head) -> Result<()> {
    if allows(caller, head) || is_made_by_a_service(state, caller, head).await {
        return Ok(());
    }
    Err(required())
}

fn allows(caller: &Caller, head: &Head) -> bool {
    let Some(credential) = caller.application_credential.as_ref().filter(|it| !it.access_rules.is_empty()) else {
        return true;
    };
    let service = service_type(head);
    let method = head.method.as_str();
    if service == "identity" && method == "GET" && head.path == "/identity/v3/auth/tokens" {
        return true;
    }
    let within = within_service(head);
    is_in_catalog(caller, service)
        && credential.access_rules.iter().any(|rule| rule.fits(service, method, &[&head.path, within]))
}

async fn is_made_by_a_service(state: &State, caller: &Caller, head: &Head) -> bool {
    let Some(token) = head.header("x-service-token") else { return false };
    is_in_catalog(caller, service_type(head))
        && session(state, token).await.is_ok_and(|session| session.caller.has_role(SERVICE_ROLE))
}

fn is_in_catalog(caller: &Caller, service: &str) -> bool {
    let credential = caller.application_credential.as_ref();
    credential.is_some_and(|credential| credential.service_types.iter().any(|known| known == service))
}

/// The type that the service has in the catalogue; version documents are a table of their own.
fn service_type(head: &Head) -> &'static str {
    head.service.name.strip_suffix("-versions").unwrap_or(head.service.name)
}

/// The path without the folder that the service is mounted at.
fn within_service(head: &Head) -> &str {
    let mount = head.service.prefix.get(1..).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let within = head.path.strip_prefix('/').and_then(|rest| rest.strip_prefix(mount));
    within.filter(|rest| rest.starts_with('/')).unwrap_or(&head.path)
}
