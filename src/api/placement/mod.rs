//! The placement service, to read: what hosts have ([`providers`]), who holds how much of it ([`allocations`],
//! [`usages`]), and where a request would fit ([`candidates`]).
//!
//! Upstream's scheduler keeps its books here, and every compute node writes into them. Gapura's keeps them beside its other
//! rows and claims in the transaction that decides, so that nobody can hold what isn't there: hosts are the providers,
//! servers the consumers, and what would write says that it isn't built ([`unbuilt`]). There are no providers below
//! others: each host is the root of a tree of its own.

mod allocations;
mod answer;
mod candidates;
mod fault;
mod inventories;
mod providers;
mod query;
mod resource_classes;
#[cfg(test)]
mod tests;
mod traits;
mod unbuilt;
mod usages;
mod versions;

use super::{Call, Row};
use crate::error::Result;
use crate::http::json::Map;
use crate::http::reply::Reply;
use crate::http::table::{Service, get};
use crate::versioned;
use answer::{Link, answer};
use versions::AXIS;

pub static SERVICE: Service = Service {
    name: "placement",
    prefix: "/placement",
    axis: Some(AXIS),
    dialect: &fault::PLACEMENT,
    head_as_get: false,
    names_project: false,
};

pub fn rows() -> Vec<Row> {
    let mut rows = vec![get("", root).public()];
    let resources = [
        providers::rows,
        inventories::rows,
        usages::rows,
        traits::rows,
        allocations::rows,
        candidates::rows,
        resource_classes::rows,
        unbuilt::rows,
    ];
    rows.extend(resources.into_iter().flat_map(|resource| resource()));
    rows
}

versioned! {
    response Version {
        "id" => id: String,
        "max_version" => max_version: String,
        "min_version" => min_version: String,
        "status" => status: &'static str,
        "links" => links: Vec<Link>,
    }
}
versioned! {
    response Versions { "versions" => versions: Vec<Version> }
}

/// `GET /placement`: the versions there are, for anybody. Its link is to wherever it was found.
async fn root(call: Call) -> Result<Reply<Versions>> {
    let (min, max) = (AXIS.display(AXIS.min).to_string(), AXIS.display(AXIS.max).to_string());
    let links = vec![Link { rel: "self", href: String::new() }];
    let version = Version { id: format!("v{min}"), max_version: max, min_version: min, status: "CURRENT", links };
    Ok(answer(&call, Versions { versions: vec![version] }, None))
}

/// An object that is shown as it is.
type Object = Map;
