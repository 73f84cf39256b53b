//! What would write into placement's books. Here they follow from what hosts say, from aggregates and from servers, and
//! there is nothing that a client could put into them: each answers 501 under upstream's rule, and not as if it were done.

use super::{allocations, inventories, providers, resource_classes, traits};
use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::microversion::Lifetime;
use crate::http::reply::Empty;
use crate::http::table::row;
use http::Method;

/// Method, path, rule, first version, and what it is.
type Operation = (Method, &'static str, &'static str, u16, &'static str);

const AGGREGATES: &str = "/resource_providers/{uuid}/aggregates";

const OPERATIONS: &[Operation] = &[
    (Method::POST, "/resource_providers", "placement:resource_providers:create", 0, "Making resource providers"),
    (Method::PUT, providers::ONE, "placement:resource_providers:update", 0, "Changing resource providers"),
    (Method::DELETE, providers::ONE, "placement:resource_providers:delete", 0, "Deleting resource providers"),
    (Method::POST, inventories::ALL, "placement:resource_providers:inventories:create", 0, "Making inventories"),
    (Method::PUT, inventories::ALL, "placement:resource_providers:inventories:update", 0, "Changing inventories"),
    (Method::DELETE, inventories::ALL, "placement:resource_providers:inventories:delete", 5, "Deleting inventories"),
    (Method::PUT, inventories::ONE, "placement:resource_providers:inventories:update", 0, "Changing inventories"),
    (Method::DELETE, inventories::ONE, "placement:resource_providers:inventories:delete", 0, "Deleting inventories"),
    (Method::PUT, AGGREGATES, "placement:resource_providers:aggregates:update", 1, "Aggregates other than compute's"),
    (Method::PUT, traits::OF_HOST, "placement:resource_providers:traits:update", 6, "Setting traits"),
    (Method::DELETE, traits::OF_HOST, "placement:resource_providers:traits:delete", 6, "Deleting traits"),
    (Method::PUT, traits::ONE, "placement:traits:update", 6, "Making traits"),
    (Method::DELETE, traits::ONE, "placement:traits:delete", 6, "Deleting traits"),
    (Method::POST, "/resource_classes", "placement:resource_classes:create", 2, "Making resource classes"),
    (Method::PUT, resource_classes::ONE, "placement:resource_classes:update", 2, "Changing resource classes"),
    (Method::DELETE, resource_classes::ONE, "placement:resource_classes:delete", 2, "Deleting resource classes"),
    (Method::POST, "/allocations", "placement:allocations:manage", 13, "Making allocations by hand"),
    (Method::PUT, allocations::OF_CONSUMER, "placement:allocations:update", 0, "Changing allocations by hand"),
    (Method::DELETE, allocations::OF_CONSUMER, "placement:allocations:delete", 0, "Deleting allocations by hand"),
    (Method::POST, "/reshaper", "placement:reshaper:reshape", 30, "Reshaping providers"),
];

pub fn rows() -> Vec<Row> {
    let row = |(method, path, rule, since, what): &'static Operation| {
        let refuse = move |_: Call| std::future::ready(refused(what));
        let row: Row = row(method.clone(), path, refuse);
        Row { lifetime: Lifetime::new(*since, None), ..row }.rule(rule).unbuilt()
    };
    OPERATIONS.iter().map(row).collect()
}

fn refused(what: &str) -> Result<Empty> {
    Err(Error::NotImplemented(format!("{what} is not built yet.")))
}
