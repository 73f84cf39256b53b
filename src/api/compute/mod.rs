//! Nova's API: servers and what they are made of.

mod allowance;
mod attachments;
mod common;
mod flavors;
mod hosts;
mod instance_actions;
mod keypairs;
mod limits;
mod migrations;
mod root;
mod server_actions;
mod server_admin_actions;
mod server_create;
mod server_diagnostics;
mod server_images;
mod server_list;
mod server_metadata;
mod server_rebuild;
mod server_request;
mod server_rescue;
mod server_resize;
mod server_tags;
mod server_view;
mod servers;
#[cfg(test)]
pub(in crate::api) mod tests;
mod unbuilt;
mod usage;
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
    let resources = [
        attachments::rows,
        flavors::rows,
        hosts::rows,
        instance_actions::rows,
        keypairs::rows,
        limits::rows,
        migrations::rows,
        server_actions::rows,
        server_admin_actions::rows,
        server_create::rows,
        server_diagnostics::rows,
        server_images::rows,
        server_metadata::rows,
        server_rebuild::rows,
        server_rescue::rows,
        server_resize::rows,
        server_tags::rows,
        servers::rows,
        unbuilt::rows,
        usage::rows,
    ];
    rows.extend(resources.into_iter().flat_map(|resource| resource()));
    rows
}
