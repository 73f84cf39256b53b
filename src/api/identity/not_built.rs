//! What Keystone has and Gapura has not yet: each says so. The lists of limits are empty because none can be made.

use super::answer::{here, listed};
use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post, put};
use http::StatusCode;
use serde_json::json;

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        get("/v3/limits/model", limit_model).rule("identity:get_limit_model"),
        get("/v3/limits", no_limits).rule("identity:list_limits").query(&["domain_id", "project_id", "service_id"]),
        post("/v3/limits", unbuilt).rule("identity:create_limits").unbuilt(),
        get("/v3/registered_limits", no_registered_limits).rule("identity:list_registered_limits"),
        post("/v3/registered_limits", unbuilt).rule("identity:create_registered_limits").unbuilt(),
        get("/v3/policies", unbuilt).rule("identity:list_policies").unbuilt(),
        post("/v3/policies", unbuilt).rule("identity:create_policy").unbuilt(),
        get("/v3/OS-EP-FILTER/endpoint_groups", unbuilt).rule("identity:list_endpoint_groups").unbuilt(),
        post("/v3/OS-EP-FILTER/endpoint_groups", unbuilt).rule("identity:create_endpoint_group").unbuilt(),
    ];
    rows.extend([
        get("/v3/domains/{domain_id}/config", unbuilt).rule("identity:get_domain_config").unbuilt(),
        put("/v3/domains/{domain_id}/config", unbuilt).rule("identity:create_domain_config").unbuilt(),
        patch("/v3/domains/{domain_id}/config", unbuilt).rule("identity:update_domain_config").unbuilt(),
        delete("/v3/domains/{domain_id}/config", unbuilt).rule("identity:delete_domain_config").unbuilt(),
    ]);
    rows
}

async fn unbuilt(call: Call) -> Result<RawReply> {
    Err(Error::NotImplemented(format!("Gapura does not answer {} {} yet.", call.head.method, call.head.path)))
}

async fn limit_model(call: Call) -> Result<RawReply> {
    let model = json!({
        "name": "flat",
        "description": "Limit enforcement and validation does not take project hierarchy into consideration.",
    });
    Ok(RawReply::json(StatusCode::OK, &json!({"model": model, "links": {"self": here(&call)}})))
}

async fn no_limits(call: Call) -> Result<RawReply> {
    Ok(listed(&call, "limits", Vec::new(), &[]))
}

async fn no_registered_limits(call: Call) -> Result<RawReply> {
    Ok(listed(&call, "registered_limits", Vec::new(), &[]))
}
