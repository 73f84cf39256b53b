//! What Nova has and Gapura does not yet, and that says so.
//!
//! Each answers 501 with its name, under Nova's own rule and at Nova's own versions, so that a client hears the difference
//! between "not here" and "not yet". What isn't built of a server that isn't there is not found, as it will be.

use super::servers::named;
use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::reply::Reply;
use crate::http::table::{action, row};
use http::Method;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    OPERATIONS.iter().map(operation).chain(ACTIONS.iter().map(server_action)).collect()
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
    let mut row: Row = action("/servers/{server_id}/action", key, move |call: Call<Value>| async move {
        named(&call).await?;
        not_built(what)
    });
    row.lifetime = crate::http::microversion::Lifetime::new(*since, *until);
    row.rule(rule).unbuilt()
}

fn not_built(what: &str) -> Result<Reply<Value>> {
    Err(Error::NotImplemented(format!("{what} is not built yet.")))
}

const ACTIONS: &[ServerAction] = &[
    ("addFixedIp", "os_compute_api:os-multinic:add", 0, Some(44), "Adding a fixed address"),
    ("removeFixedIp", "os_compute_api:os-multinic:remove", 0, Some(44), "Removing a fixed address"),
    ("addFloatingIp", "os_compute_api:os-floating-ips:add", 0, Some(44), "Adding a floating address"),
    ("removeFloatingIp", "os_compute_api:os-floating-ips:remove", 0, Some(44), "Removing a floating address"),
    ("os-getVNCConsole", "os_compute_api:os-remote-consoles", 0, Some(6), "Browsers' consoles"),
    ("os-getSPICEConsole", "os_compute_api:os-remote-consoles", 0, Some(6), "Browsers' consoles"),
    ("os-getSerialConsole", "os_compute_api:os-remote-consoles", 0, Some(6), "Browsers' consoles"),
    ("addSecurityGroup", "os_compute_api:os-security-groups:add", 0, None, "Security groups"),
    ("removeSecurityGroup", "os_compute_api:os-security-groups:remove", 0, None, "Security groups"),
];

const OPERATIONS: &[Operation] = &[
    (Method::POST, "/os-aggregates/{aggregate_id}/images", "compute:aggregates:images", 81, None, "Caching images"),
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
