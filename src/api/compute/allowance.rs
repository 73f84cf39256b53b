//! Do quotas leave room for what a server shall hold more? Asked in the transaction that takes it.

use crate::cloud::quota::Usage;
use crate::error::Result;
use crate::store::Tx;
use crate::store::quotas::{self, Wanted};
use crate::store::servers::Server;

/// # Errors
/// `OverQuota`, in the words of whoever keeps the limits: compute itself, or identity's in `region`.
pub fn allowance(tx: &mut Tx, region: Option<&str>, server: &Server, more: Usage) -> Result<()> {
    let (project, user) = (&server.project_id, &server.user_id);
    quotas::room(tx, &Wanted { region, project, user, each: more, min: 1, max: 1 }).map(drop)
}
