//! Logging in with an application credential: as its user, on its project, with no more than its roles.

use crate::api::State;
use crate::api::authenticate::required;
use crate::api::identity::login::{CredentialMethod, Proof, WantedUser, expecting};
use crate::cloud::token::audit_id;
use crate::error::Result;
use crate::store::application_credentials;
use std::net::IpAddr;

/// # Errors
/// `Unauthorized` without a word about why.
pub async fn by_credential(state: &State, given: &CredentialMethod, peer: Option<IpAddr>) -> Result<Proof> {
    let now = state.clock.now();
    let identity = &state.identity;
    let (id, name) = (given.id.clone(), given.name.clone());
    let user = match (&id, &given.user) {
        (Some(_), _) => None,
        (None, Some(user)) => Some(WantedUser::of(user.id.as_ref(), user.name.as_ref(), &user.domain)?),
        (None, None) => return Err(expecting("user", "application_credential")),
    };
    let counted_as = match (&id, &user, &name) {
        (Some(id), _, _) => format!("application credential {id}"),
        (None, Some(user), Some(name)) => format!("application credential {name} of {}", user.counted_as()),
        _ => return Err(expecting("id or name", "application_credential")),
    };
    identity.failures.check(&counted_as, peer, now)?;
    let found = state
        .db
        .read(move |tx| match (&id, &user, &name) {
            (Some(id), _, _) => application_credentials::by_id(tx, id),
            (None, Some(user), Some(name)) => match user.find(tx)? {
                Some(user) => application_credentials::by_name(tx, &user.id, name),
                None => Ok(None),
            },
            _ => Ok(None),
        })
        .await?;
    let hash = found.as_ref().map(|credential| credential.secret_hash.clone());
    let verdict = identity.hashing.verify(given.secret.as_str().into(), hash).await?;
    match found {
        Some(credential) if verdict.fits && credential.expires_at.is_none_or(|expires_at| expires_at > now) => {
            Ok(Proof {
                user_id: credential.user_id,
                methods: vec!["application_credential".to_owned()],
                audit_ids: vec![audit_id()],
                not_after: credential.expires_at,
                default_project_id: None,
                bound_to: Some((credential.id, credential.project_id)),
                parent_scope: None,
            })
        }
        _ => {
            identity.failures.count(&counted_as, peer, now);
            Err(required())
        }
    }
}
