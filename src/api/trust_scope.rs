//! What a token got with a trust stands for now.

use super::authenticate::required;
use crate::clock::Timestamp;
use crate::cloud::identity::{RoleRef, Target, Trust, TrustRef};
use crate::cloud::token::Claims;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::store::users::Holder;
use crate::store::{Tx, revocations, roles, trusts, users};

/// A trust in use.
pub struct InUse {
    pub trust: TrustRef,
    /// By whose name the bearer goes.
    pub user_id: UserId,
    pub user: Holder,
    pub roles: Vec<RoleRef>,
}

/// The trust that claims name, with what it comes to now: nothing less than all its roles, which the trustor must hold.
///
/// # Errors
/// `Unauthorized` when it is gone, `Forbidden` when it is there and lets its bearer in no more.
pub fn of(tx: &mut Tx, claims: &Claims, id: &str, trustee: Holder, now: Timestamp) -> Result<InUse> {
    let trust = trusts::alive(tx, id, now)?.ok_or_else(required)?;
    if trust.trustee_user_id != claims.sub || trust.project_id != claims.project_id {
        return Err(forbidden());
    }
    let trustor = users::holder(tx, &trust.trustor_user_id)?.filter(|user| user.is_enabled).ok_or_else(forbidden)?;
    // What takes back the trustor's tokens takes back those that speak for them.
    if revocations::covers(tx, &Claims { sub: trust.trustor_user_id.clone(), ..claims.clone() })? {
        return Err(required());
    }
    let roles = delegated_roles(tx, &trust)?;
    let (user_id, user) = match trust.impersonation {
        true => (trust.trustor_user_id.clone(), trustor),
        false => (trust.trustee_user_id.clone(), trustee),
    };
    let Trust { id, trustor_user_id, trustee_user_id, impersonation, .. } = trust;
    Ok(InUse { trust: TrustRef { id, trustor_user_id, trustee_user_id, impersonation }, user_id, user, roles })
}

fn delegated_roles(tx: &mut Tx, trust: &Trust) -> Result<Vec<RoleRef>> {
    let project = trust.project_id.as_ref().ok_or_else(forbidden)?;
    let held = roles::held_on_project(tx, &trust.trustor_user_id, project)?;
    let wanted = roles::with_implied(tx, &trust.role_ids)?;
    if wanted.is_empty() || wanted.iter().any(|id| !held.contains(id)) {
        return Err(forbidden());
    }
    // A domain's own roles count only by what they imply.
    let target = Target::Project(project.clone());
    let counted = roles::effective(tx, &trust.trustor_user_id, &target)?;
    Ok(counted.into_iter().filter(|role| wanted.contains(&role.id)).collect())
}

fn forbidden() -> Error {
    Error::Forbidden("You are not authorized to perform the requested action.".to_owned())
}
