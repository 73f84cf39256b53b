//! What requests of this service have in common: whose the new thing is, one or many, what can't be asked for yet.

use crate::api::{Call, Context};
use crate::error::{Error, Result};
use crate::ids::ProjectId;

/// The project a new thing is for: the one named, else the caller's own. Naming another's takes an administrator.
pub fn project(cx: &Context, project_id: Option<&String>, tenant_id: Option<&String>) -> Result<ProjectId> {
    let named = match (project_id, tenant_id) {
        (Some(project), Some(tenant)) if project != tenant => {
            return Err(Error::bad_request("'project_id' and 'tenant_id' do not match"));
        }
        (one, other) => one.or(other),
    };
    let own = cx.caller()?.project_id();
    match named {
        Some(named) if own.is_some_and(|own| own.as_str() == named) || cx.may("context_is_admin") => {
            Ok(ProjectId(named.clone()))
        }
        Some(_) => Err(Error::bad_request(
            "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges",
        )),
        None => own
            .cloned()
            .ok_or_else(|| Error::bad_request("Running without a project requires that project_id is specified")),
    }
}

/// The things of a body that holds one or a list of them; whether it was a list.
pub fn one_or_many<T>(name: &str, one: Option<T>, many: Option<Vec<T>>) -> Result<(Vec<T>, bool)> {
    match (one, many) {
        (Some(one), None) => Ok((vec![one], false)),
        (None, Some(many)) if !many.is_empty() => Ok((many, true)),
        (None, None) => Err(Error::bad_request(format!("Unable to find '{name}' in request body"))),
        (_, _) => Err(Error::bad_request(format!("Resource body required: '{name}' or a list of them"))),
    }
}

/// Nothing can be switched off yet, so nothing may look as if it were.
pub fn refuse_down(admin_state_up: Option<bool>) -> Result<()> {
    match admin_state_up {
        Some(false) => Err(Error::NotImplemented(
            "Switching networks and ports off is not built in Gapura yet: admin_state_up can only be true.".to_owned(),
        )),
        Some(true) | None => Ok(()),
    }
}

/// Filters against forged addresses, and security groups, are not enforced yet; so they are not claimed either.
pub fn refuse_port_security(enabled: Option<bool>) -> Result<()> {
    match enabled {
        Some(true) => Err(Error::NotImplemented(
            "Port security is not built in Gapura yet: port_security_enabled can only be false.".to_owned(),
        )),
        Some(false) | None => Ok(()),
    }
}

/// An id of a path; text that is no UUID names nothing.
pub fn id<B, I>(call: &Call<B>, parse: fn(&str) -> Option<I>, kind: crate::error::Kind) -> Result<I> {
    let text = call.path("id");
    parse(text).ok_or_else(|| Error::not_found(kind, text))
}

/// What of a thing that is not the caller's to change: refused if they may see it, else not there.
pub fn refused_or_missing<T>(missing: Error, seen: Result<T>, rule: &str) -> Error {
    if missing.is_not_found() && seen.is_ok() { Error::Forbidden(rule.to_owned()) } else { missing }
}
