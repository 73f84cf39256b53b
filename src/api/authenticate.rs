//! From `X-Auth-Token` to the caller.
//!
//! The token says who and for what; whether that still holds is looked up: revocations, the user, the project or domain,
//! and the roles held now, in one read. The result is kept under the identity epoch, which every request reads; so a
//! change made by any process is seen by the next request in all of them.

use super::State;
use super::identity::sessions::{Session, digest};
use super::trust_scope;
use crate::clock::Timestamp;
use crate::cloud::identity::{ApplicationCredentialRef, Caller, DomainRef, Scope, Target, is_delegating};
use crate::cloud::token::{Claims, LONGEST};
use crate::error::{Error, Result};
use crate::http::call::Head;
use crate::ids::DomainId;
use crate::store::application_credentials::ApplicationCredential;
use crate::store::{Tx, application_credentials, catalog, epoch, projects, revocations, roles, users};
use std::sync::{Arc, OnceLock};

/// The caller whose token the request carries.
///
/// # Errors
/// `Unauthorized` when there is none, or it is not valid now.
pub async fn authenticate(state: &State, head: &Head) -> Result<Arc<Caller>> {
    let token = head.header("x-auth-token").ok_or_else(required)?;
    Ok(session(state, token).await?.caller.clone())
}

/// What a token stands for now.
///
/// # Errors
/// `Unauthorized` when it is not valid now.
pub async fn session(state: &State, token: &str) -> Result<Arc<Session>> {
    if token.is_empty() || token.len() > LONGEST {
        return Err(required());
    }
    let identity = &state.identity;
    let now = state.clock.now();
    let digest = digest(token);
    let kept = identity.sessions.get(&digest);
    let claims = match &kept {
        Some(session) => session.claims.clone(),
        None => Arc::new(identity.keys.verify(token, now)?),
    };
    if claims.expires_at() <= now {
        identity.sessions.forget(&digest);
        return Err(required());
    }
    let known = kept.as_ref().map(|session| session.epoch);
    let asked = claims.clone();
    let fresh = state
        .db
        .read(move |tx| {
            let epoch = epoch::current(tx)?;
            if known == Some(epoch) {
                return Ok(None);
            }
            let caller = resolve(tx, &asked, now).map_err(|error| match error {
                // A login may hear that a trust lets nobody in any more; a token of it is just no good.
                Error::Forbidden(_) => required(),
                other => other,
            })?;
            Ok(Some((epoch, caller)))
        })
        .await?;
    match (fresh, kept) {
        (None, Some(session)) => Ok(session),
        (Some((epoch, caller)), _) => {
            let session = Arc::new(Session { epoch, claims, caller: Arc::new(caller), rendered: OnceLock::new() });
            // Credentials and trusts that run out bound the lives of their tokens, so what was found holds for the epoch.
            identity.sessions.put(digest, session.clone(), now);
            Ok(session)
        }
        (None, None) => Err(required()),
    }
}

/// The caller that claims stand for, as of now.
///
/// # Errors
/// `Unauthorized` when the token was revoked, something it names is gone or disabled, or no role is left on its scope;
/// `Forbidden` when a trust is there and lets its bearer in no more.
pub fn resolve(tx: &mut Tx, claims: &Claims, now: Timestamp) -> Result<Caller> {
    if revocations::covers(tx, claims)? {
        return Err(required());
    }
    let mut user = users::holder(tx, &claims.sub)?.filter(|user| user.is_enabled).ok_or_else(required)?;
    let mut user_id = claims.sub.clone();
    let (scope, target) = scope(tx, claims)?;
    let (mut trust, mut application_credential) = (None, None);
    let mut roles = match (&claims.trust_id, &target) {
        (Some(id), _) => {
            let used = trust_scope::of(tx, claims, id, user, now)?;
            (user_id, user, trust) = (used.user_id, used.user, Some(used.trust));
            used.roles
        }
        (None, Some(target)) => roles::effective(tx, &claims.sub, target)?,
        (None, None) => Vec::new(),
    };
    if let Some(id) = &claims.application_credential_id {
        let credential = application_credentials::get(tx, &claims.sub, id)?.ok_or_else(required)?;
        let is_over = credential.expires_at.is_some_and(|expires_at| expires_at <= now);
        if is_over || claims.project_id.as_ref() != Some(&credential.project_id) {
            return Err(required());
        }
        roles.retain(|role| credential.role_ids.contains(&role.id));
        application_credential = Some(named(tx, credential)?);
    }
    if target.is_some() && roles.is_empty() {
        return Err(required());
    }
    Ok(Caller {
        user_id,
        user_name: user.name,
        user_domain: user.domain,
        password_expires_at: user.password_expires_at,
        uses_delegated_method: application_credential.is_some() || is_delegating(&claims.methods),
        application_credential,
        trust,
        scope,
        roles,
    })
}

/// The credential as tokens name it.
fn named(tx: &mut Tx, credential: ApplicationCredential) -> Result<ApplicationCredentialRef> {
    let services = if credential.access_rules.is_empty() { Vec::new() } else { catalog::services(tx)? };
    Ok(ApplicationCredentialRef {
        id: credential.id,
        name: credential.name,
        restricted: !credential.unrestricted,
        access_rules: credential.access_rules,
        service_types: services.into_iter().filter(|service| service.enabled).map(|service| service.kind).collect(),
    })
}

fn scope(tx: &mut Tx, claims: &Claims) -> Result<(Scope, Option<Target>)> {
    if let Some(id) = &claims.project_id {
        let (name, domain, is_enabled) = projects::place(tx, id)?.ok_or_else(required)?;
        if !is_enabled {
            return Err(required());
        }
        return Ok((Scope::Project { id: id.clone(), name, domain }, Some(Target::Project(id.clone()))));
    }
    if let Some(id) = &claims.domain_id {
        return Ok((Scope::Domain(enabled_domain(tx, id)?), Some(Target::Domain(id.clone()))));
    }
    Ok(if claims.system.is_some() { (Scope::System, Some(Target::System)) } else { (Scope::Unscoped, None) })
}

fn enabled_domain(tx: &mut Tx, id: &DomainId) -> Result<DomainRef> {
    let (domain, is_enabled) = projects::domain_ref(tx, id)?.ok_or_else(required)?;
    if is_enabled { Ok(domain) } else { Err(required()) }
}

/// What everyone is told who has no valid token.
pub fn required() -> Error {
    Error::Unauthorized("The request you have made requires authentication.".to_owned())
}
