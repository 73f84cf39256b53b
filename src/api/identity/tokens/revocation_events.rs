//! What was taken back: `/v3/OS-REVOKE/events`, and `DELETE /v3/users/{id}/tokens`, which takes back all of a user's tokens.
//!
//! Upstream's events name every change that ends a token. Roles, and whether things are enabled or there at all, are looked
//! up here at each use, so they need no event: whoever checks tokens by events alone must ask for the roles as well.

use crate::api::identity::answer::{done, link};
use crate::api::identity::users as user_rows;
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::policy::Target;
use crate::error::{Error, Result};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get};
use crate::store::revocations::{self, Event, Revoked};
use http::StatusCode;
use serde_json::{Map, Value, json};

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/OS-REVOKE/events", events).rule("identity:list_revoke_events").query(&["since"]),
        delete("/v3/users/{user_id}/tokens", revoke_all).rule("identity:revoke_tokens_for_user"),
    ]
}

fn view(event: &Event) -> Value {
    let mut view = Map::new();
    let parts = [
        ("audit_id", &event.audit_id),
        ("audit_chain_id", &event.chain_id),
        ("user_id", &event.user_id),
        ("project_id", &event.project_id),
    ];
    for (key, value) in parts {
        if let Some(value) = value {
            view.insert(key.to_owned(), json!(value));
        }
    }
    view.insert("issued_before".to_owned(), json!(event.issued_before.to_micros_z()));
    view.insert("revoked_at".to_owned(), json!(event.revoked_at.to_micros_z()));
    Value::Object(view)
}

async fn events(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let since = match call.query().get("since") {
        Some(text) => {
            Timestamp::parse(text).ok_or_else(|| Error::bad_request(format!("invalidate date format {text}")))?
        }
        None => Timestamp(0),
    };
    let found = call.cx.state.db.read(move |tx| revocations::events(tx, since)).await?;
    let events: Vec<Value> = found.iter().map(view).collect();
    let links = json!({"next": null, "self": link(&call, "/OS-REVOKE/events"), "previous": null});
    Ok(RawReply::json(StatusCode::OK, &json!({"events": events, "links": links})))
}

async fn revoke_all(call: Call) -> Result<RawReply> {
    let user = user_rows::of_path(&call).await?;
    let state = &call.cx.state;
    let (now, lifetime) = (state.clock.now(), state.identity.settings.token_seconds);
    state.db.write(move |tx| revocations::insert(tx, &Revoked::User(user.id.clone()), now, lifetime)).await?;
    Ok(done())
}
