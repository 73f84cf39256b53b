//! Auth receipts: what a login gets that is right as far as it goes, for a user who has to log in with more than it showed.
//!
//! A receipt says who has proved what, and until when that counts; the next login brings it along and needs only the rest.
//! It is sealed by us and kept nowhere. What takes a user's tokens back takes their receipts back too.

use crate::api::State;
use crate::api::identity::login::Proof;
use crate::clock::Timestamp;
use crate::cloud::identity::DomainRef;
use crate::cloud::multi_factor;
use crate::cloud::token::{Claims, LONGEST};
use crate::error::{Error, Result};
use crate::http::reply::RawReply;
use crate::ids::UserId;
use crate::store::users::Holder;
use crate::store::{Tx, revocations, users};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where it travels, both ways.
pub const HEADER: &str = "openstack-auth-receipt";

const PURPOSE: &str = "auth receipt";

/// What a receipt says.
#[derive(Serialize, Deserialize)]
struct Receipt {
    user_id: UserId,
    methods: Vec<String>,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

/// A login that showed too little.
pub struct Lacking {
    user_id: UserId,
    user_name: String,
    domain: DomainRef,
    methods: Vec<String>,
    /// The rules that it is part of.
    required: Vec<Vec<String>>,
}

/// What the rules among a user's own options still ask for; `None` when nothing.
pub fn lacking(
    tx: &mut Tx,
    user: &UserId,
    options: &Map<String, Value>,
    methods: &[String],
) -> Result<Option<Lacking>> {
    let Some(required) = multi_factor::lacking(options, methods) else { return Ok(None) };
    let Some(Holder { name, domain, .. }) = users::holder(tx, user)? else { return Ok(None) };
    Ok(Some(Lacking { user_id: user.clone(), user_name: name, domain, methods: methods.to_vec(), required }))
}

/// 401, with a receipt for what was proved.
///
/// # Errors
/// `Internal` when it can't be sealed.
pub fn issue(state: &State, lacking: Lacking, now: Timestamp) -> Result<RawReply> {
    let Lacking { user_id, user_name, domain, methods, required } = lacking;
    let expires_at = Timestamp(now.seconds() * 1_000_000).plus_seconds(state.identity.settings.receipt_seconds);
    let body = json!({
        "receipt": {
            "methods": methods,
            "user": {"id": user_id, "name": user_name, "domain": {"id": domain.id, "name": domain.name}},
            "expires_at": expires_at.to_micros_z(),
            "issued_at": now.to_micros_z(),
        },
        "required_auth_methods": required,
    });
    let receipt = Receipt { user_id, methods, issued_at: now, expires_at };
    let text = serde_json::to_string(&receipt).map_err(|why| Error::internal("a receipt could not be written", why))?;
    let sealed = state.identity.vault.seal(PURPOSE, &text, now)?;
    let receipt = format!("{}.{}", sealed.key_id, sealed.text);
    Ok(RawReply::json(StatusCode::UNAUTHORIZED, &body).header(HEADER, &receipt).header("vary", "X-Auth-Token"))
}

/// Adds what a receipt says to what a login has proved, if it is that user's and still good.
///
/// # Errors
/// `Unauthorized` otherwise.
pub async fn accept(state: &State, text: &str, proof: &mut Proof) -> Result<()> {
    let now = state.clock.now();
    let unknown = || Error::Unauthorized(format!("Could not find auth receipt: {text}."));
    if text.len() > LONGEST {
        return Err(Error::Unauthorized("Could not find auth receipt.".to_owned()));
    }
    let (key_id, sealed) = text.split_once('.').ok_or_else(unknown)?;
    let opened = state.identity.vault.open(PURPOSE, key_id, sealed, now).ok_or_else(unknown)?;
    let receipt: Receipt = serde_json::from_str(&opened).map_err(|_| unknown())?;
    if receipt.expires_at <= now || receipt.user_id != proof.user_id {
        return Err(unknown());
    }
    let claims = receipt.as_claims();
    if state.db.read(move |tx| revocations::covers(tx, &claims)).await? {
        return Err(unknown());
    }
    for method in receipt.methods {
        if !proof.methods.contains(&method) {
            proof.methods.push(method);
        }
    }
    Ok(())
}

impl Receipt {
    /// The unscoped token that would have been issued instead: it would be revoked by now if this is.
    fn as_claims(&self) -> Claims {
        Claims {
            sub: self.user_id.clone(),
            iat: self.issued_at.seconds(),
            exp: self.expires_at.seconds(),
            methods: self.methods.clone(),
            audit_ids: Vec::new(),
            system: None,
            domain_id: None,
            project_id: None,
            application_credential_id: None,
            trust_id: None,
            issued_at: self.issued_at,
        }
    }
}
