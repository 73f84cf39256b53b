//! Tokens: issue, show, check, revoke.

pub mod offline;
#[cfg(test)]
mod offline_tests;
pub mod own_scopes;
pub mod revocation_events;
#[cfg(test)]
mod revocation_tests;
pub mod scope;
#[cfg(test)]
mod scope_tests;
pub mod sessions;
pub mod standing;
#[cfg(test)]
mod standing_tests;
pub mod token_view;

use super::audit::{self, Ended};
use super::compliance;
use super::login::{self, AuthRequest, Proof};
use crate::api::authenticate::{self, required, resolve};
use crate::api::identity::login::receipts;
use crate::api::identity::tokens::scope::{Chosen, Wanted};
use crate::api::identity::tokens::sessions::{Session, digest};
use crate::api::identity::tokens::standing::Standing;
use crate::api::{Call, Row, State};
use crate::clock::Timestamp;
use crate::cloud::identity::{ApplicationCredentialRef, Caller, Scope};
use crate::cloud::policy::Target;
use crate::cloud::token::{Claims, Told};
use crate::error::{Error, Kind, Result};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, head, post};
use crate::store::revocations::Revoked;
use crate::store::{Tx, epoch, revocations, trusts, users};
use bytes::Bytes;
use http::StatusCode;
use std::sync::{Arc, OnceLock};

pub fn rows() -> Vec<Row> {
    vec![
        post("/v3/auth/tokens", issue).public().query(&["nocatalog"]),
        get("/v3/auth/tokens", show).rule("identity:validate_token").query(&["nocatalog"]),
        head("/v3/auth/tokens", check).rule("identity:check_token"),
        delete("/v3/auth/tokens", revoke).rule("identity:revoke_token").query(&["cascade"]),
    ]
}

/// `POST /v3/auth/tokens`.
async fn issue(call: Call<AuthRequest>) -> Result<RawReply> {
    let outcome = logged_in(&call).await;
    let ended = match &outcome {
        Ok(Made::Token(_, session)) => Ended::In(session),
        Ok(Made::Receipt(_)) => Ended::Pending,
        Err(error) => Ended::Refused(error),
    };
    audit::login(&call, ended).await;
    let (token, session) = match outcome? {
        Made::Token(token, session) => (token, session),
        Made::Receipt(reply) => return Ok(reply),
    };
    let body = written(&call.cx.state, &session, !call.query().has("nocatalog")).await?;
    Ok(RawReply::bytes(StatusCode::CREATED, "application/json", body)
        .header("x-subject-token", &token)
        .header("vary", "X-Auth-Token"))
}

async fn logged_in(call: &Call<AuthRequest>) -> Result<Made> {
    let state = &call.cx.state;
    let wanted = Wanted::of(call.body.auth.scope.as_ref())?;
    let mut proof = login::prove(call).await?;
    if let Some(receipt) = call.head.header(receipts::HEADER) {
        receipts::accept(state, receipt, &mut proof).await?;
    }
    make(state, wanted, proof).await
}

/// What a login comes to.
enum Made {
    Token(String, Arc<Session>),
    /// What was proved is true, and not enough.
    Receipt(RawReply),
}

/// What the transaction of a login finds.
enum Found {
    Enough { epoch: i64, claims: Box<Claims>, standing: Standing },
    Lacking(receipts::Lacking),
}

/// Signs what was proved, for the scope that was asked for.
async fn make(state: &State, wanted: Wanted, proof: Proof) -> Result<Made> {
    let now = state.clock.now();
    let lifetime = state.identity.settings.token_seconds;
    let base = Claims {
        sub: proof.user_id.clone(),
        iat: now.seconds(),
        exp: proof.not_after.map_or(i64::MAX, |bound| bound.seconds()).min(now.seconds() + lifetime),
        methods: proof.methods.clone(),
        audit_ids: proof.audit_ids.clone(),
        system: None,
        domain_id: None,
        project_id: None,
        application_credential_id: proof.bound_to.as_ref().map(|(id, _)| id.clone()),
        trust_id: None,
        issued_at: now,
    };
    let uses_trust = matches!(wanted, Wanted::Trust(_));
    let rules = state.identity.settings.security_compliance.clone();
    let key = standing::key(&wanted, &proof);
    let known = key.as_ref().and_then(|key| state.identity.standings.latest(key));
    let found_before = known.as_ref().map(|(epoch, _)| *epoch);
    let find = move |tx: &mut Tx| {
        compliance::check_idle(tx, &rules, &proof.user_id, now)?;
        let epoch = epoch::current(tx)?;
        let known = known.as_ref().filter(|(found_at, _)| *found_at == epoch).map(|(_, standing)| standing);
        let options = match known {
            Some(standing) => standing.options.clone(),
            None => Arc::new(users::options(tx, &proof.user_id)?),
        };
        if let Some(lacking) = receipts::lacking(tx, &proof.user_id, &options, &proof.methods)? {
            return Ok(Found::Lacking(lacking));
        }
        wanted.check_allowed(&proof)?;
        if let (Some(standing), Some(target)) = (known, wanted.target()) {
            let claims = scoped(&base, target.into());
            if revocations::covers(tx, &claims)? {
                return Err(required());
            }
            return Ok(Found::Enough { epoch, claims: Box::new(claims), standing: standing.clone() });
        }
        let enough = |claims, caller| {
            let standing = Standing { caller: Arc::new(caller), options: options.clone() };
            Ok(Found::Enough { epoch, claims: Box::new(claims), standing })
        };
        let chosen = wanted.choose(tx, &proof, now)?;
        if let (Wanted::Default, None, Some(project)) = (&wanted, &proof.bound_to, &proof.default_project_id) {
            // A default project that does not work is no reason to refuse: the token is then unscoped.
            let claims = Claims { project_id: Some(project.clone()), ..base.clone() };
            if let Some(caller) = resolved(tx, &claims, now)? {
                return enough(claims, caller);
            }
        }
        let claims = scoped(&base, chosen);
        let caller = resolved(tx, &claims, now)?.ok_or_else(required)?;
        if let Some(trust) = &claims.trust_id
            && !trusts::consume(tx, trust)?
        {
            return Err(required());
        }
        enough(claims, caller)
    };
    let found = if uses_trust { state.db.write(find).await? } else { state.db.read(find).await? };
    let (epoch, claims, standing) = match found {
        Found::Enough { epoch, claims, standing } => (epoch, claims, standing),
        Found::Lacking(lacking) => return Ok(Made::Receipt(receipts::issue(state, lacking, now)?)),
    };
    let caller = standing.caller.clone();
    if let Some(key) = key.filter(|_| found_before != Some(epoch)) {
        state.identity.standings.put(epoch, key, standing);
    }
    let token = state.identity.keys.sign_and_tell(&claims, &Told::of(&caller, epoch), now)?;
    let session = Arc::new(Session { epoch, claims: Arc::new(*claims), caller, rendered: OnceLock::new() });
    state.identity.sessions.put(digest(&token), session.clone(), now);
    Ok(Made::Token(token, session))
}

fn scoped(base: &Claims, chosen: Chosen) -> Claims {
    Claims {
        project_id: chosen.project_id,
        domain_id: chosen.domain_id,
        system: chosen.is_system.then(|| "all".to_owned()),
        trust_id: chosen.trust_id,
        exp: chosen.not_after.map_or(i64::MAX, Timestamp::seconds).min(base.exp),
        ..base.clone()
    }
}

fn resolved(tx: &mut Tx, claims: &Claims, now: Timestamp) -> Result<Option<Caller>> {
    match resolve(tx, claims, now) {
        Ok(caller) => Ok(Some(caller)),
        Err(Error::Unauthorized(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// A token's JSON.
async fn written(state: &State, session: &Session, with_catalog: bool) -> Result<Bytes> {
    if !with_catalog || session.caller.scope == Scope::Unscoped {
        return token_view::body(session, None);
    }
    let catalog = token_view::catalog_text(state, &session.caller, session.epoch).await?;
    token_view::body(session, Some(&catalog))
}

/// The same for a token that is validated, and so is likely to be validated again: written once for each epoch.
async fn remembered(state: &State, session: &Session, with_catalog: bool) -> Result<Bytes> {
    if !with_catalog {
        return written(state, session, false).await;
    }
    if let Some(made) = session.rendered.get() {
        return Ok(made.clone());
    }
    let made = written(state, session, true).await?;
    Ok(session.rendered.get_or_init(|| made).clone())
}

/// The token that the request is about.
///
/// # Errors
/// `NotFound` when it is not valid, whoever asks: a token can't be guessed, and who had this one revoked is told so.
/// `Forbidden` when the row's rule does not hold for it.
async fn subject(call: &Call) -> Result<(String, Arc<Session>)> {
    let token = call.head.header("x-subject-token").unwrap_or_default().to_owned();
    match authenticate::session(&call.cx.state, &token).await {
        Ok(session) => {
            call.cx.permit(&Target::new().with("target.token.user_id", &session.caller.user_id))?;
            Ok((token, session))
        }
        // Said to everybody who is logged in, as upstream: who holds the token can try it anyway.
        Err(Error::Unauthorized(_)) => Err(Error::not_found(Kind::Token, "")),
        Err(other) => Err(other),
    }
}

/// The first version of the header with which a service says that it heeds access rules.
const FIRST_ACCESS_RULES: f64 = 1.0;

/// A token whose credential has access rules is shown only to whom says that it heeds them.
///
/// # Errors
/// `NotFound` for everybody else: to them it is no token.
fn check_understood(call: &Call, session: &Session) -> Result<()> {
    let has_rules = |credential: &ApplicationCredentialRef| !credential.access_rules.is_empty();
    if !session.caller.application_credential.as_ref().is_some_and(has_rules) {
        return Ok(());
    }
    let heeded = call.head.header("openstack-identity-access-rules").and_then(|text| text.trim().parse::<f64>().ok());
    match heeded {
        Some(heeded) if heeded >= FIRST_ACCESS_RULES => Ok(()),
        _ => Err(Error::not_found(Kind::Token, "")),
    }
}

/// `GET /v3/auth/tokens`.
async fn show(call: Call) -> Result<RawReply> {
    let (token, session) = subject(&call).await?;
    check_understood(&call, &session)?;
    let body = remembered(&call.cx.state, &session, !call.query().has("nocatalog")).await?;
    Ok(RawReply::bytes(StatusCode::OK, "application/json", body)
        .header("x-subject-token", &token)
        .header("vary", "X-Auth-Token"))
}

/// `HEAD /v3/auth/tokens`.
async fn check(call: Call) -> Result<RawReply> {
    let (token, session) = subject(&call).await?;
    check_understood(&call, &session)?;
    Ok(RawReply::empty(StatusCode::OK).header("x-subject-token", &token).header("vary", "X-Auth-Token"))
}

/// `DELETE /v3/auth/tokens`: the token and, unless `cascade=false`, those that were got with it.
async fn revoke(call: Call) -> Result<RawReply> {
    let (_, session) = subject(&call).await?;
    let cascades = !matches!(call.query().get("cascade"), Some("false" | "False" | "0" | "no" | "off"));
    let state = &call.cx.state;
    let (now, lifetime) = (state.clock.now(), state.identity.settings.token_seconds);
    let own = session.claims.audit_ids.first().cloned().ok_or_else(required)?;
    let revoke = move |tx: &mut Tx| {
        revocations::insert(tx, &Revoked::Audit(own.clone()), now, lifetime)?;
        if cascades {
            revocations::insert(tx, &Revoked::Chain(own.clone()), now, lifetime)?;
        }
        Ok(())
    };
    state.db.write(revoke).await?;
    Ok(RawReply::empty(StatusCode::NO_CONTENT))
}
