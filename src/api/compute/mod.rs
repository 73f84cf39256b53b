//! Nova's API: servers and what they are made of.

mod common;
mod flavors;
mod keypairs;
mod root;
mod server_actions;
mod server_create;
mod server_list;
mod server_request;
mod server_view;
mod servers;
#[cfg(test)]
mod tests;
pub mod versions;

use super::Row;
use super::faults::NOVA;
use crate::http::table::{Service, get};

/// Version documents of the service, for anybody.
pub use root::{SERVICE as VERSIONS, rows as version_rows};

pub static SERVICE: Service = Service {
    name: "compute",
    prefix: "/compute/v2.1",
    axis: Some(versions::AXIS),
    dialect: &NOVA,
    head_as_get: false,
};

pub fn rows() -> Vec<Row> {
    let mut rows = vec![get("", root::one).public()];
    for resource in [flavors::rows, keypairs::rows, servers::rows, server_create::rows, server_actions::rows] {
        rows.extend(resource());
    }
    rows
}
