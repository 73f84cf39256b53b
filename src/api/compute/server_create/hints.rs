//! Hints to the scheduler: the server group, and what is refused because nothing would heed it.

use super::Order;
use crate::cloud::policy::Reach;
use crate::cloud::quota;
use crate::error::{Error, Result};
use crate::http::json::{Map, python_repr};
use crate::ids::{ServerGroupId, ServerId};
use crate::store::{Tx, server_groups};
use serde_json::Value;

/// Hints that no scheduler of ours reads change nothing; those that would have to are refused.
pub(super) fn check(hints: &Map) -> Result<()> {
    for name in ["different_host", "same_host"] {
        check_servers(hints, name)?;
    }
    let known = ["query", "target_cell", "different_cell", "build_near_host_ip", "cidr"];
    match hints.keys().find(|name| known.contains(&name.as_str())) {
        Some(name) => Err(Error::NotImplemented(format!("The scheduler hint {name} is not built yet."))),
        None if hints.keys().any(|name| name.starts_with('_')) => {
            Err(Error::bad_request("Scheduler hints must not begin with an underscore."))
        }
        None => Ok(()),
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
pub(super) fn group_of(hints: &Map) -> Result<Option<ServerGroupId>> {
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
