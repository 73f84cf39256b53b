//! What every answer of the service has in common.

use super::versions::LAST_MODIFIED;
use crate::api::Call;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::http::json::View;
use crate::http::reply::Reply;
use crate::ids::HostId;
use crate::store::Tx;
use crate::store::providers::{self, Provider};
use crate::versioned;

versioned! {
    response Link {
        "rel" => rel: &'static str,
        "href" => href: String,
    }
}

/// A view with the time of its last change; `None`: what it shows is as it is now.
pub fn answer<V: View>(call: &Call, view: V, changed: Option<Timestamp>) -> Reply<V> {
    let reply = Reply::ok(view);
    if call.version() < LAST_MODIFIED {
        return reply;
    }
    let changed = changed.unwrap_or_else(|| call.cx.state.clock.now());
    reply.header("last-modified", &changed.to_http_date()).header("cache-control", "no-cache")
}

/// Refuses who wants no JSON.
///
/// # Errors
/// `NotAcceptable` in upstream's words.
pub fn wants_json(call: &Call) -> Result<()> {
    let Some(accept) = call.head.header("accept").filter(|text| !text.trim().is_empty()) else { return Ok(()) };
    let takes = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let is_json = matches!(parts.next(), Some("*/*" | "application/*" | "application/json"));
        let is_refused = parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0)));
        is_json && !is_refused
    };
    if accept.split(',').any(takes) {
        return Ok(());
    }
    Err(Error::NotAcceptable("Only application/json is provided".to_owned()))
}

/// The provider that a path names, and what else is asked of the store about it.
///
/// # Errors
/// `NotFound` with the sentence that `missing` makes of the name.
pub async fn of_provider<T: Send + 'static>(
    call: &Call,
    missing: fn(&str) -> String,
    ask: impl Fn(&mut Tx, &Provider) -> Result<T> + Send + Sync + 'static,
) -> Result<(Provider, T)> {
    wants_json(call)?;
    let name = call.path("uuid");
    let not_found = || Error::not_found(Kind::Part, missing(name));
    let id = HostId::parse(name).ok_or_else(not_found)?;
    let found = move |tx: &mut Tx| match providers::get(tx, id)? {
        None => Ok(None),
        Some(provider) => {
            let besides = ask(tx, &provider)?;
            Ok(Some((provider, besides)))
        }
    };
    call.cx.state.db.read(found).await?.ok_or_else(not_found)
}
