//! What Nova has and Gapura does not yet: lists that are truly empty, and operations that say so.
//!
//! A list is empty here because there is nothing it could hold: nobody can make a server group or an aggregate. Everything else answers 501 with its name, under Nova's own rule and at Nova's own versions, so that a
//! client hears the difference between "not here" and "not yet".

use crate::api::{Call, Row};
use crate::error::{Error, Kind, Result};
use crate::http::reply::Reply;
use crate::http::table::{action, get, row};
use crate::versioned;
use http::Method;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        get("/os-server-groups", server_groups).rule("os_compute_api:os-server-groups:index").query(GROUP_QUERY),
        get("/os-server-groups/{group_id}", no_server_group).rule("os_compute_api:os-server-groups:show"),
        get("/os-aggregates", aggregates).rule("os_compute_api:os-aggregates:index"),
        get("/os-aggregates/{aggregate_id}", no_aggregate).rule("os_compute_api:os-aggregates:show"),
    ];
    rows.extend(OPERATIONS.iter().map(operation));
    rows.extend(ACTIONS.iter().map(server_action));
    rows
}

const GROUP_QUERY: &[&str] = &["all_projects", "limit", "offset"];

versioned! {
    response ServerGroups { "server_groups" => server_groups: Vec<Value> }
}
versioned! {
    response Aggregates { "aggregates" => aggregates: Vec<Value> }
}

/// `GET /os-server-groups`.
async fn server_groups(_: Call) -> Result<Reply<ServerGroups>> {
    Ok(Reply::ok(ServerGroups { server_groups: Vec::new() }))
}

/// `GET /os-server-groups/{group_id}`.
async fn no_server_group(call: Call) -> Result<Reply<ServerGroups>> {
    let id = call.path("group_id");
    Err(Error::not_found(Kind::Part, format!("Instance group {id} could not be found.")))
}

/// `GET /os-aggregates`.
async fn aggregates(_: Call) -> Result<Reply<Aggregates>> {
    Ok(Reply::ok(Aggregates { aggregates: Vec::new() }))
}

/// `GET /os-aggregates/{aggregate_id}`.
async fn no_aggregate(call: Call) -> Result<Reply<Aggregates>> {
    Err(Error::not_found(Kind::Aggregate, call.path("aggregate_id")))
}

/// Method, path, rule, first version, version after the last, what it is.
type Operation = (Method, &'static str, &'static str, u16, Option<u16>, &'static str);

fn operation(operation: &'static Operation) -> Row {
    let (method, path, rule, since, until, what) = operation;
    let mut row: Row = row(method.clone(), path, move |_: Call| async move { not_built(what) });
    row.lifetime = crate::http::microversion::Lifetime::new(*since, *until);
    row.rule(rule).unbuilt()
}

/// Key, rule, first version, version after the last, what it is.
type ServerAction = (&'static str, &'static str, u16, Option<u16>, &'static str);

fn server_action(of: &'static ServerAction) -> Row {
    let (key, rule, since, until, what) = of;
    let mut row: Row = action("/servers/{server_id}/action", key, move |_: Call<Value>| async move { not_built(what) });
    row.lifetime = crate::http::microversion::Lifetime::new(*since, *until);
    row.rule(rule).unbuilt()
}

fn not_built(what: &str) -> Result<Reply<Value>> {
    Err(Error::NotImplemented(format!("{what} is not built yet.")))
}

const ACTIONS: &[ServerAction] = &[
    ("evacuate", "os_compute_api:os-evacuate", 0, None, "Evacuating"),
    ("migrate", "os_compute_api:os-migrate-server:migrate", 0, None, "Migrating"),
    ("os-migrateLive", "os_compute_api:os-migrate-server:migrate_live", 0, None, "Live migration"),
    ("addFixedIp", "os_compute_api:os-multinic:add", 0, Some(44), "Adding a fixed address"),
    ("removeFixedIp", "os_compute_api:os-multinic:remove", 0, Some(44), "Removing a fixed address"),
    ("addFloatingIp", "os_compute_api:os-floating-ips:add", 0, Some(44), "Adding a floating address"),
    ("removeFloatingIp", "os_compute_api:os-floating-ips:remove", 0, Some(44), "Removing a floating address"),
    ("os-getVNCConsole", "os_compute_api:os-remote-consoles", 0, Some(6), "Browsers' consoles"),
    ("os-getSPICEConsole", "os_compute_api:os-remote-consoles", 0, Some(6), "Browsers' consoles"),
    ("os-getSerialConsole", "os_compute_api:os-remote-consoles", 0, Some(6), "Browsers' consoles"),
    ("addSecurityGroup", "os_compute_api:os-security-groups:add", 0, None, "Security groups"),
    ("removeSecurityGroup", "os_compute_api:os-security-groups:remove", 0, None, "Security groups"),
    ("shelve", "os_compute_api:os-shelve:shelve", 0, None, "Shelving"),
    ("shelveOffload", "os_compute_api:os-shelve:shelve_offload", 0, None, "Shelving"),
    ("unshelve", "os_compute_api:os-shelve:unshelve", 0, None, "Shelving"),
];

const OPERATIONS: &[Operation] = &[
    (Method::POST, "/os-server-groups", "os_compute_api:os-server-groups:create", 0, None, "Making a server group"),
    (
        Method::DELETE,
        "/os-server-groups/{group_id}",
        "os_compute_api:os-server-groups:delete",
        0,
        None,
        "Deleting a server group",
    ),
    (Method::POST, "/os-aggregates", "os_compute_api:os-aggregates:create", 0, None, "Making an aggregate"),
    (
        Method::PUT,
        "/os-aggregates/{aggregate_id}",
        "os_compute_api:os-aggregates:update",
        0,
        None,
        "Changing an aggregate",
    ),
    (
        Method::DELETE,
        "/os-aggregates/{aggregate_id}",
        "os_compute_api:os-aggregates:delete",
        0,
        None,
        "Deleting an aggregate",
    ),
    (Method::POST, "/os-aggregates/{aggregate_id}/images", "compute:aggregates:images", 81, None, "Caching images"),
    (
        Method::POST,
        "/os-server-external-events",
        "os_compute_api:os-server-external-events:create",
        0,
        None,
        "Taking other services' events",
    ),
    (
        Method::GET,
        "/os-instance_usage_audit_log",
        "os_compute_api:os-instance-usage-audit-log:list",
        0,
        None,
        "The usage audit log",
    ),
    (
        Method::GET,
        "/os-instance_usage_audit_log/{before}",
        "os_compute_api:os-instance-usage-audit-log:show",
        0,
        None,
        "The usage audit log",
    ),
    (
        Method::GET,
        "/os-quota-class-sets/{class_id}",
        "os_compute_api:os-quota-class-sets:show",
        0,
        None,
        "Quota classes",
    ),
    (
        Method::PUT,
        "/os-quota-class-sets/{class_id}",
        "os_compute_api:os-quota-class-sets:update",
        0,
        None,
        "Quota classes",
    ),
    (Method::DELETE, "/os-services/{service_id}", "os_compute_api:os-services:delete", 0, None, "Removing a host"),
    (
        Method::GET,
        "/os-hypervisors/{hypervisor_id}/uptime",
        "os_compute_api:os-hypervisors:uptime",
        0,
        Some(88),
        "A host's uptime",
    ),
    (
        Method::GET,
        "/os-hypervisors/{hypervisor_id}/search",
        "os_compute_api:os-hypervisors:search",
        0,
        Some(53),
        "Searching hypervisors in this form",
    ),
    (
        Method::GET,
        "/os-hypervisors/{hypervisor_id}/servers",
        "os_compute_api:os-hypervisors:servers",
        0,
        Some(53),
        "Listing a hypervisor's servers in this form",
    ),
    (Method::GET, "/os-hosts", "os_compute_api:os-hosts:list", 0, Some(43), "The older list of hosts"),
    (Method::GET, "/extensions", "os_compute_api:extensions", 0, None, "The list of extensions"),
    (Method::GET, "/extensions/{alias}", "os_compute_api:extensions", 0, None, "The list of extensions"),
    (
        Method::GET,
        "/os-console-auth-tokens/{console_token}",
        "os_compute_api:os-console-auth-tokens",
        0,
        None,
        "Browsers' consoles",
    ),
    (
        Method::POST,
        "/servers/{server_id}/remote-consoles",
        "os_compute_api:os-remote-consoles",
        6,
        None,
        "Browsers' consoles",
    ),
    (
        Method::POST,
        "/servers/{server_id}/os-interface",
        "os_compute_api:os-attach-interfaces:create",
        0,
        None,
        "Adding an interface to a server",
    ),
    (
        Method::DELETE,
        "/servers/{server_id}/os-interface/{port_id}",
        "os_compute_api:os-attach-interfaces:delete",
        0,
        None,
        "Taking an interface from a server",
    ),
    (
        Method::POST,
        "/servers/{server_id}/os-volume_attachments",
        "os_compute_api:os-volumes-attachments:create",
        0,
        None,
        "Attaching volumes",
    ),
    (
        Method::GET,
        "/servers/{server_id}/os-volume_attachments/{volume_id}",
        "os_compute_api:os-volumes-attachments:show",
        0,
        None,
        "Attaching volumes",
    ),
    (
        Method::PUT,
        "/servers/{server_id}/os-volume_attachments/{volume_id}",
        "os_compute_api:os-volumes-attachments:update",
        0,
        None,
        "Attaching volumes",
    ),
    (
        Method::DELETE,
        "/servers/{server_id}/os-volume_attachments/{volume_id}",
        "os_compute_api:os-volumes-attachments:delete",
        0,
        None,
        "Attaching volumes",
    ),
    (Method::GET, "/servers/{server_id}/shares", "os_compute_api:os-server-shares:index", 97, None, "Shares"),
    (Method::POST, "/servers/{server_id}/shares", "os_compute_api:os-server-shares:create", 97, None, "Shares"),
    // What other services have, and Nova passed on to them up to 2.35: ask those services.
    (Method::GET, "/images", "os_compute_api:servers:index", 0, Some(36), "Passing on to the image service"),
    (Method::GET, "/images/detail", "os_compute_api:servers:index", 0, Some(36), "Passing on to the image service"),
    (Method::GET, "/images/{image_id}", "os_compute_api:servers:index", 0, Some(36), "Passing on to the image service"),
    (Method::GET, "/os-networks", "os_compute_api:os-networks:list", 0, Some(36), "Passing on to the network service"),
    (
        Method::GET,
        "/os-networks/{network_id}",
        "os_compute_api:os-networks:show",
        0,
        Some(36),
        "Passing on to the network service",
    ),
    (
        Method::GET,
        "/os-tenant-networks",
        "os_compute_api:os-tenant-networks:list",
        0,
        Some(36),
        "Passing on to the network service",
    ),
    (
        Method::GET,
        "/os-security-groups",
        "os_compute_api:os-security-groups:get",
        0,
        Some(36),
        "Passing on to the network service",
    ),
    (
        Method::POST,
        "/os-security-groups",
        "os_compute_api:os-security-groups:create",
        0,
        Some(36),
        "Passing on to the network service",
    ),
    (
        Method::GET,
        "/os-floating-ips",
        "os_compute_api:os-floating-ips:list",
        0,
        Some(36),
        "Passing on to the network service",
    ),
    (
        Method::POST,
        "/os-floating-ips",
        "os_compute_api:os-floating-ips:create",
        0,
        Some(36),
        "Passing on to the network service",
    ),
    (
        Method::GET,
        "/os-floating-ip-pools",
        "os_compute_api:os-floating-ip-pools",
        0,
        Some(36),
        "Passing on to the network service",
    ),
    (Method::GET, "/os-volumes", "os_compute_api:os-volumes:list", 0, Some(36), "Passing on to the volume service"),
    (
        Method::GET,
        "/os-volumes/detail",
        "os_compute_api:os-volumes:detail",
        0,
        Some(36),
        "Passing on to the volume service",
    ),
    (Method::POST, "/os-volumes", "os_compute_api:os-volumes:create", 0, Some(36), "Passing on to the volume service"),
    (
        Method::GET,
        "/os-snapshots",
        "os_compute_api:os-volumes:snapshots:list",
        0,
        Some(36),
        "Passing on to the volume service",
    ),
];
