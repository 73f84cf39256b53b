//! OpenStack's nouns and JSON: one folder a service, one file a resource (views, handlers, rows), and the joined table.
//!
//! A handler parses, decides, records and answers. It gets a [`Call`] whose context says who asks ([`Context::caller`])
//! and how far they reach ([`Context::reach`]); it hands the reach to every store query it makes.

mod access_rules;
mod authenticate;
pub mod compute;
pub mod faults;
mod gate;
pub mod identity;
pub mod image;
pub mod network;
pub mod openapi;
pub mod placement;
mod root;
mod state;
#[cfg(test)]
#[allow(dead_code, reason = "what one service's tests don't need, another's do")]
pub(crate) mod testing;

mod trust_scope;

pub use gate::{Context, GateKeeper};
pub use identity::{FirstPasswords, Identity, IdentitySettings, reseal_credentials, seed as seed_identity};
pub use image::ImageSettings;
pub use state::State;

use crate::http::router::{Alias, Router};
use crate::http::table::{Row as TableRow, Service};
use std::sync::Arc;

/// A request admitted to one of our handlers.
pub type Call<B = ()> = crate::http::call::Call<Context, B>;
/// An operation of one of our services.
pub type Row = TableRow<Context>;

/// Every service with its rows.
pub fn table() -> Vec<(&'static Service, Vec<Row>)> {
    vec![
        (&root::SERVICE, [root::rows(), openapi::rows()].concat()),
        (&identity::SERVICE, identity::rows()),
        (&image::SERVICE, image::rows()),
        (&network::SERVICE, network::rows()),
        (&compute::VERSIONS, compute::version_rows()),
        (&compute::SERVICE, compute::rows()),
        (&placement::SERVICE, placement::rows()),
    ]
}

/// Where identity and compute can be found besides.
const ALIASES: &[Alias] =
    &[Alias { prefix: "/v3", target: "/identity/v3", version: None }, compute::versions::LEGACY_ALIAS];

/// The router over the whole table.
pub fn router(state: Arc<State>) -> Router<GateKeeper> {
    Router::new(GateKeeper::new(state), table(), ALIASES)
}

#[cfg(test)]
mod tests {
    use super::testing::Cloud;
    use crate::cloud::policy_rules;
    use crate::http::call::BodyStream;
    use crate::http::router::Request;
    use crate::http::table::Access;
    use http::{HeaderMap, HeaderValue, Method};
    use std::collections::HashSet;

    /// Whose a request is, and whether it may take any time.
    fn route(cloud: &Cloud, method: Method, path: &str, content_type: &'static str) -> (&'static str, bool) {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        let request = Request {
            method,
            path: path.to_owned(),
            query: String::new(),
            headers,
            peer: None,
            request_id: String::new(),
            body: BodyStream::new(Box::pin(futures::stream::empty()), Some(0)),
        };
        let route = cloud.router.route(&request);
        (route.service.api(), route.streams)
    }

    #[tokio::test]
    async fn the_row_alone_says_whose_a_request_is_and_whether_it_has_no_time_limit() {
        const OCTETS: &str = "application/octet-stream";
        let cloud = Cloud::new().await;
        let of = |method, path, content_type| route(&cloud, method, path, content_type);
        for (method, path) in [(Method::PUT, "/image/v2/images/x/file"), (Method::GET, "/image/v2/images/x/file/")] {
            assert_eq!(of(method, path, "text/plain"), ("image", true), "{path}");
        }
        assert_eq!(of(Method::PUT, "/image/v2/images/x/stage", OCTETS), ("image", true));
        // Neither a media type nor how a path ends buys time.
        assert_eq!(of(Method::POST, "/v3/auth/tokens", OCTETS), ("identity", false));
        assert_eq!(of(Method::DELETE, "/image/v2/images/x/file", OCTETS), ("image", false));
        assert_eq!(of(Method::GET, "/compute/v2.1/servers/file", OCTETS), ("compute", false));
        assert_eq!(of(Method::PUT, "/network/no/such/file", OCTETS), ("network", false));
        assert_eq!(of(Method::PUT, "/no/such/file", OCTETS), ("root", false));
        for (path, name) in [("/compute", "compute"), ("/identity", "identity"), ("/healthcheck", "root")] {
            assert_eq!(of(Method::GET, path, ""), (name, false), "{path}");
        }
    }

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
