//! Nova's API: servers and what they are made of.

mod aggregates;
mod allowance;
mod attachments;
mod block_devices;
mod common;
mod extensions;
mod external_events;
mod flavors;
mod host_name;
mod hosts;
mod hypervisors;
mod inner_services;
mod instance_actions;
mod keypairs;
mod limits;
mod migration_measures;
mod migrations;
mod older_block_devices;
mod older_hosts;
mod placement;
mod proxied_image_metadata;
mod proxied_images;
mod proxied_networks;
mod quota_classes;
mod quota_request;
mod quota_sets;
mod removed;
mod root;
mod server_actions;
mod server_admin_actions;
mod server_checks;
mod server_create;
mod server_deed;
mod server_diagnostics;
mod server_evacuate;
mod server_groups;
mod server_images;
mod server_list;
mod server_metadata;
mod server_migrate;
mod server_migrations;
mod server_rebuild;
mod server_request;
mod server_rescue;
mod server_resize;
mod server_shelve;
mod server_tags;
mod server_view;
mod servers;
mod services;
#[cfg(test)]
pub(in crate::api) mod tests;
mod unbuilt;
mod usage;
mod usage_audit;
pub mod versions;
mod volumes_boot;
mod x509_key;
mod zones;

pub use migration_measures::metrics as migration_metrics;

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
    names_project: true,
};

pub fn rows() -> Vec<Row> {
    let mut rows = vec![get("", root::one).public()];
    let resources = [
        aggregates::rows,
        attachments::rows,
        extensions::rows,
        external_events::rows,
        flavors::rows,
        hypervisors::rows,
        instance_actions::rows,
        keypairs::rows,
        limits::rows,
        migrations::rows,
        migration_measures::rows,
        older_hosts::rows,
        placement::rows,
        proxied_image_metadata::rows,
        proxied_images::rows,
        proxied_networks::rows,
        quota_classes::rows,
        quota_sets::rows,
        removed::rows,
        server_actions::rows,
        server_admin_actions::rows,
        server_create::rows,
        server_diagnostics::rows,
        server_images::rows,
        server_groups::rows,
        server_metadata::rows,
        server_evacuate::rows,
        server_migrate::rows,
        server_migrations::rows,
        server_rebuild::rows,
        server_rescue::rows,
        server_resize::rows,
        server_shelve::rows,
        server_tags::rows,
        servers::rows,
        services::rows,
        unbuilt::rows,
        usage::rows,
        usage_audit::rows,
        zones::rows,
    ];
    rows.extend(resources.into_iter().flat_map(|resource| resource()));
    let again = volumes_boot::rows(&rows);
    rows.extend(again);
    rows
}
