//! What 2.1 once had and Nova has removed: still there to say so, with 410, at every version.
//!
//! Proxies to networks that were removed answer 404 from the version on that ended all of them.

use super::versions::NO_PROXIES;
use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::reply::Reply;
use crate::http::table::{action, row};
use http::Method;
use serde_json::Value;

/// Upstream asks no rule before it says so.
const ANYBODY: &str = "os_compute_api:extensions";

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = GONE.iter().map(|(method, path)| removed(method, path)).collect();
    for row in &mut rows {
        if row.path.starts_with("/os-networks") || row.path.starts_with("/os-tenant-networks") {
            row.lifetime.until = Some(NO_PROXIES.0);
        }
    }
    rows.extend(ACTIONS.iter().map(|(path, key)| {
        action(path, key, |_: Call<Value>| async { gone() }).rule(ANYBODY).until(NO_PROXIES.0).unbuilt()
    }));
    rows
}

fn removed(method: &Method, path: &'static str) -> Row {
    row(method.clone(), path, |_: Call| async { gone() }).rule(ANYBODY).unbuilt()
}

fn gone() -> Result<Reply<Value>> {
    Err(Error::Gone("This resource is no longer available. No forwarding address is given.".to_owned()))
}

const ACTIONS: &[(&str, &str)] = &[
    ("/os-networks/{network_id}/action", "disassociate"),
    ("/os-networks/{network_id}/action", "associate_host"),
    ("/os-networks/{network_id}/action", "disassociate_host"),
    ("/os-networks/{network_id}/action", "disassociate_project"),
    ("/os-fixed-ips/{address}/action", "reserve"),
    ("/os-fixed-ips/{address}/action", "unreserve"),
];

const GONE: &[(Method, &str)] = &[
    (Method::GET, "/os-agents"),
    (Method::POST, "/os-agents"),
    (Method::PUT, "/os-agents/{agent_id}"),
    (Method::DELETE, "/os-agents/{agent_id}"),
    (Method::GET, "/os-cells"),
    (Method::POST, "/os-cells"),
    (Method::GET, "/os-cells/capacities"),
    (Method::GET, "/os-cells/detail"),
    (Method::GET, "/os-cells/info"),
    (Method::POST, "/os-cells/sync_instances"),
    (Method::GET, "/os-cells/{cell_id}"),
    (Method::PUT, "/os-cells/{cell_id}"),
    (Method::DELETE, "/os-cells/{cell_id}"),
    (Method::GET, "/os-cells/{cell_id}/capacities"),
    (Method::POST, "/os-certificates"),
    (Method::GET, "/os-certificates/{certificate_id}"),
    (Method::GET, "/os-cloudpipe"),
    (Method::POST, "/os-cloudpipe"),
    (Method::PUT, "/os-cloudpipe/{cloudpipe_id}"),
    (Method::GET, "/os-fixed-ips/{address}"),
    (Method::GET, "/os-floating-ip-dns"),
    (Method::PUT, "/os-floating-ip-dns/{domain}"),
    (Method::DELETE, "/os-floating-ip-dns/{domain}"),
    (Method::GET, "/os-floating-ip-dns/{domain}/entries/{entry}"),
    (Method::PUT, "/os-floating-ip-dns/{domain}/entries/{entry}"),
    (Method::DELETE, "/os-floating-ip-dns/{domain}/entries/{entry}"),
    (Method::GET, "/os-floating-ips-bulk"),
    (Method::POST, "/os-floating-ips-bulk"),
    (Method::GET, "/os-floating-ips-bulk/{host_name}"),
    (Method::PUT, "/os-floating-ips-bulk/{host_name}"),
    (Method::GET, "/os-fping"),
    (Method::GET, "/os-fping/{server_id}"),
    (Method::POST, "/os-networks"),
    (Method::POST, "/os-networks/add"),
    (Method::DELETE, "/os-networks/{network_id}"),
    (Method::POST, "/os-tenant-networks"),
    (Method::DELETE, "/os-tenant-networks/{network_id}"),
    (Method::GET, "/os-security-group-default-rules"),
    (Method::POST, "/os-security-group-default-rules"),
    (Method::GET, "/os-security-group-default-rules/{rule_id}"),
    (Method::DELETE, "/os-security-group-default-rules/{rule_id}"),
    (Method::GET, "/servers/{server_id}/consoles"),
    (Method::POST, "/servers/{server_id}/consoles"),
    (Method::GET, "/servers/{server_id}/consoles/{console_id}"),
    (Method::DELETE, "/servers/{server_id}/consoles/{console_id}"),
    (Method::GET, "/servers/{server_id}/os-virtual-interfaces"),
];
