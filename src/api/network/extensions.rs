//! Extensions: what of Neutron is served beyond its core.
//!
//! Clients ask this list what they may use, so it names only what works whole. `port-security`, `external-net` and their
//! like are absent although their fields are shown with the one value that is true.

use crate::api::{Call, Row};
use crate::error::{Error, Kind, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::versioned;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v2.0/extensions", list).rule("get_extension"),
        get("/v2.0/extensions/{alias}", show).rule("get_extension"),
    ]
}

/// Alias, name, what it is.
const EXTENSIONS: &[(&str, &str, &str)] = &[
    ("binding", "Port Binding", "Expose port bindings of a virtual port to administrators."),
    (
        "empty-string-filtering",
        "Empty String Filtering Extension",
        "Allow filtering by attributes with empty string value",
    ),
    ("filter-validation", "Filter parameters validation", "Provides validation on filter parameters."),
    ("net-mtu", "Network MTU", "Provides MTU attribute for a network resource."),
    ("net-mtu-writable", "Network MTU (writable)", "Provides a writable MTU attribute for a network resource."),
    ("pagination", "Pagination support", "Extension that indicates that pagination is enabled."),
    ("project-id", "project_id field enabled", "Extension that indicates that project_id field is enabled."),
    ("provider", "Provider Network", "Expose mapping of virtual networks to physical networks"),
    ("quota_details", "Quota details management support", "Expose functions for quotas usage statistics per project"),
    ("quotas", "Quota management support", "Expose functions for quotas management per project"),
    ("sorting", "Sorting support", "Extension that indicates that sorting is enabled."),
    ("standard-attr-description", "standard-attr-description", "Extension to add descriptions to standard attributes"),
    (
        "standard-attr-revisions",
        "Resource revision numbers",
        "This extension will display the revision number of neutron resources.",
    ),
    (
        "standard-attr-tag",
        "Tag support for resources with standard attribute: port, subnet, network",
        "Enables to set tag on resources with standard attribute.",
    ),
    (
        "standard-attr-timestamp",
        "Resource timestamps",
        "Adds created_at and updated_at fields to all Neutron resources that have Neutron standard attributes.",
    ),
    ("tag-ports-during-bulk-creation", "Tag Ports During Bulk Creation", "Allow to tag ports during bulk creation"),
];

versioned! {
    response ExtensionView {
        "alias" => alias: &'static str,
        "name" => name: &'static str,
        "description" => description: &'static str,
        "updated" => updated: &'static str,
        "links" => links: Vec<Value>,
    }
}

versioned! {
    response ExtensionsView {
        "extensions" => extensions: Vec<ExtensionView>,
    }
}

versioned! {
    response OneExtensionView {
        "extension" => extension: ExtensionView,
    }
}

fn view(&(alias, name, description): &(&'static str, &'static str, &'static str)) -> ExtensionView {
    ExtensionView { alias, name, description, updated: "2026-11-22T00:00:00-00:00", links: Vec::new() }
}

async fn list(_: Call) -> Result<Reply<ExtensionsView>> {
    Ok(Reply::ok(ExtensionsView { extensions: EXTENSIONS.iter().map(view).collect() }))
}

async fn show(call: Call) -> Result<Reply<OneExtensionView>> {
    let alias = call.path("alias");
    let found = EXTENSIONS.iter().find(|extension| extension.0 == alias);
    let extension = found.map(view).ok_or_else(|| Error::not_found(Kind::Page, alias))?;
    Ok(Reply::ok(OneExtensionView { extension }))
}
