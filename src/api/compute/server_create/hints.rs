//! Hints to the scheduler: the server group, the servers to be with or apart from, and a refusal of all others.
//!
//! Why a list of what is allowed: Nova takes any hint, since an operator may have added a filter that reads it, and those
//! that it names itself (`query`, `build_near_host_ip` with `cidr`, the cells') fall on deaf ears too unless the operator
//! enabled their filters, which by default are off; cells' hints have none. Its answer is 202, and the server lands
//! anywhere. Here nothing can be added and an answer has its effect, so a hint that nothing heeds is refused: who asked for
//! a near host should not believe that there is one. A hint without content asks for nothing, and passes.

use super::Order;
use crate::cloud::policy::Reach;
use crate::cloud::quota;
use crate::error::{Error, Result};
use crate::http::json::{Map, python_repr};
use crate::ids::{ServerGroupId, ServerId};
use crate::store::{Tx, server_groups};
use serde_json::Value;

/// The hints that a server's place follows.
const HEEDED: &[&str] = &["group", "same_host", "different_host"];

/// # Errors
/// `BadRequest` for hints of the wrong form and for names that are Nova's own (CVE-2026-46448), `NotImplemented` for hints
/// that nothing heeds.
pub fn check(hints: &Map) -> Result<()> {
    for name in ["different_host", "same_host"] {
        check_servers(hints, name)?;
    }
    if hints.keys().any(|name| name.starts_with('_')) {
        return Err(Error::bad_request("Scheduler hints must not begin with an underscore."));
    }
    match hints.iter().find(|(name, value)| !HEEDED.contains(&name.as_str()) && asks(value)) {
        Some((name, _)) => Err(Error::NotImplemented(format!("The scheduler hint {name} is not built yet."))),
        None => Ok(()),
    }
}

fn asks(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// One server's id, or a list of some.
fn check_servers(hints: &Map, name: &str) -> Result<()> {
    let refuse = |field: &str, value: &Value, reason: &str| {
        let shown = python_repr(value);
        let text = format!("Invalid input for field/attribute {field}. Value: {shown}. {shown} {reason}");
        Err(Error::bad_request(text))
    };
    let is_id = |value: &Value| value.as_str().is_some_and(|text| ServerId::parse(text).is_some());
    match hints.get(name) {
        None => Ok(()),
        Some(Value::Array(ids)) => match ids.iter().enumerate().find(|(_, id)| !is_id(id)) {
            Some((at, id)) => refuse(&at.to_string(), id, "is not a 'uuid'"),
            None => Ok(()),
        },
        Some(one) if is_id(one) => Ok(()),
        Some(one) => refuse(name, one, "is not a 'uuid'"),
    }
}

/// The server group that the servers shall be in.
pub fn group_of(hints: &Map) -> Result<Option<ServerGroupId>> {
    let Some(hint) = hints.get("group") else { return Ok(None) };
    let id = hint.as_str().and_then(ServerGroupId::parse).ok_or_else(|| {
        let shown = python_repr(hint);
        Error::bad_request(format!("Invalid input for field/attribute group. Value: {shown}. {shown} is not a 'uuid'"))
    });
    id.map(Some)
}

/// Looks whether the group is the project's and has room for so many more.
pub(super) fn check_group(tx: &mut Tx, order: &Order, limits: &quota::Limits, count: i64) -> Result<()> {
    let Some(group) = order.group else { return Ok(()) };
    server_groups::get(tx, &Reach::Project(order.project.clone()), group)
        .map_err(|error| if error.is_not_found() { Error::bad_request(error.to_string()) } else { error })?;
    let limit = limits.of("server_group_members");
    if limit != quota::UNLIMITED && server_groups::count_members(tx, group, &order.user)? + count > limit {
        return Err(Error::OverQuota("Quota exceeded, too many servers in group".to_owned()));
    }
    Ok(())
}
