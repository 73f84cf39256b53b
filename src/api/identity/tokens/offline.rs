//! For services that verify tokens by themselves: the public keys, and a feed of what no longer holds.
//!
//! A token is signed (ES256; `kid` names the key among `/identity/jwks.json`) and tells the roles held when it was issued.
//! Gapura itself never goes by those. A verifier may, as long as it has read `/identity/revocations.json` within the
//! interval that the feed states and nothing in it fits the token:
//!
//! - an entry of `tokens`: all it names is the token's (`audit_id` its first audit id, `chain_id` its last one), and the
//!   token was issued no later than `issued_before_us`;
//! - an entry of `changes`: it names the token's user, project, one of its domains or roles, and the token's
//!   `gapura_epoch` is lower than `epoch`. That says that something may be less than the token tells, not that
//!   the token is void: a verifier asks Gapura then, or has the user log in again.
//!
//! What was delegated (by a trust or an application credential) tells no roles, so it is always asked about.
//!
//! The feed names users and projects, so it is for services: upstream's rule for revocation events guards it.

use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::policy::Target;
use crate::error::Result;
use crate::http::reply::RawReply;
use crate::http::table::get;
use crate::store::revocations::{self, Event};
use crate::store::{Tx, epoch, identity_changes};
use http::StatusCode;
use serde_json::{Map, Value, json};

pub fn rows() -> Vec<Row> {
    vec![get("/jwks.json", keys).public(), get("/revocations.json", feed).rule("identity:list_revoke_events")]
}

/// A new key signs from the moment it is there, so whoever meets an unknown `kid` reads this again.
async fn keys(call: Call) -> Result<RawReply> {
    let state = &call.cx.state;
    let keys = state.identity.keys.jwks(state.clock.now());
    Ok(RawReply::json(StatusCode::OK, &json!({ "keys": keys })).header("cache-control", "public, max-age=300"))
}

async fn feed(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let state = &call.cx.state;
    let (now, settings) = (state.clock.now(), &state.identity.settings);
    let longest_life = settings.token_seconds;
    let read = move |tx: &mut Tx| {
        Ok((epoch::current(tx)?, revocations::events(tx, Timestamp(0))?, identity_changes::list(tx)?))
    };
    let (epoch, revoked, changes) = state.db.read(read).await?;
    let outlived = now.plus_seconds(-longest_life);
    if changes.iter().any(|change| change.told_at.is_none_or(|told_at| told_at < outlived)) {
        // A change is timed when it is told: stores have no clock, and nobody else asks how old it is.
        state.db.write(move |tx| identity_changes::tell(tx, now, longest_life)).await?;
    }
    let matters = |event: &&Event| event.revoked_at >= outlived;
    let tokens: Vec<Value> = revoked.iter().filter(matters).map(revoked_view).collect();
    let changes: Vec<Value> = changes.iter().map(change_view).collect();
    let body = json!({
        "interval_seconds": settings.feed_seconds,
        "generated_at": now.to_micros_z(),
        "epoch": epoch,
        "tokens": tokens,
        "changes": changes,
    });
    Ok(RawReply::json(StatusCode::OK, &body).header("cache-control", "no-store"))
}

fn revoked_view(revoked: &Event) -> Value {
    let mut view = Map::new();
    for (name, id) in [
        ("audit_id", &revoked.audit_id),
        ("chain_id", &revoked.chain_id),
        ("user_id", &revoked.user_id),
        ("project_id", &revoked.project_id),
    ] {
        if let Some(id) = id {
            view.insert(name.to_owned(), json!(id));
        }
    }
    view.insert("issued_before_us".to_owned(), json!(revoked.issued_before.0));
    Value::Object(view)
}

fn change_view(change: &identity_changes::Change) -> Value {
    json!({ change.kind.as_str(): change.subject, "epoch": change.epoch })
}
