//! OpenStack's nouns and JSON: one folder a service, one file a resource (views, handlers, rows), and the joined table.
//!
//! A handler parses, decides, records and answers. It gets a [`Call`] whose context says who asks ([`Context::caller`])
//! and how far they reach ([`Context::reach`]); it hands the reach to every store query it makes.

mod authenticate;
pub mod compute;
pub mod faults;
mod gate;
pub mod identity;
pub mod image;
pub mod network;
mod root;
mod state;
#[cfg(test)]
#[allow(dead_code, reason = "what one service's tests don't need, another's do")]
pub(crate) mod testing;

pub use gate::{Context, GateKeeper};
pub use identity::{FirstPasswords, Identity, IdentitySettings, seed as seed_identity};
pub use state::State;

use crate::http::router::Router;
use crate::http::table::{Row as TableRow, Service};
use std::sync::Arc;

/// A request admitted to one of our handlers.
pub type Call<B = ()> = crate::http::call::Call<Context, B>;
/// An operation of one of our services.
pub type Row = TableRow<Context>;

/// Every service with its rows.
pub fn table() -> Vec<(&'static Service, Vec<Row>)> {
    vec![
        (&root::SERVICE, root::rows()),
        (&identity::SERVICE, identity::rows()),
        (&image::SERVICE, image::rows()),
        (&network::SERVICE, network::rows()),
        (&compute::VERSIONS, compute::version_rows()),
        (&compute::SERVICE, compute::rows()),
    ]
}

/// The router over the whole table.
pub fn router(state: Arc<State>) -> Router<GateKeeper> {
    Router::new(GateKeeper::new(state), table(), &[("/v3", "/identity/v3")])
}

#[cfg(test)]
mod tests {
    use crate::cloud::policy_rules;
    use crate::http::table::Access;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_public_or_asks_a_rule_that_exists() {
        let known: HashSet<&str> = policy_rules::all().map(|(name, _)| name).collect();
        for (service, rows) in super::table() {
            for row in rows {
                let declared = match row.access {
                    Access::Public => true,
                    Access::Undeclared => false,
                    Access::Rule(rule) => known.contains(rule),
                };
                assert!(declared, "{} {}{} {:?}: {:?}", row.method, service.prefix, row.path, row.action, row.access);
            }
        }
    }
}
