//! Limits: what a project may hold and holds, as everybody may ask of their own.
//!
//! Networks' resources are shown as unlimited as long as Nova showed them; their real limits are the network service's.

use super::common::check_query;
use crate::api::{Call, Row};
use crate::cloud::quota::UNLIMITED;
use crate::error::Result;
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::ProjectId;
use crate::store::{Tx, quotas, server_groups};
use crate::versioned;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    vec![get("/limits", limits).rule("os_compute_api:limits").query(&["tenant_id", "reserved"])]
}

versioned! {
    response Absolute {
        "maxTotalRAMSize" => max_ram: i64,
        "maxTotalInstances" => max_instances: i64,
        "maxTotalCores" => max_cores: i64,
        "maxTotalKeypairs" => max_key_pairs: i64,
        "maxTotalFloatingIps" until(36) => max_floating_ips: i64,
        "maxServerMeta" => max_metadata: i64,
        "maxImageMeta" until(39) => max_image_metadata: i64,
        "maxPersonality" until(57) => max_files: i64,
        "maxPersonalitySize" until(57) => max_file_bytes: i64,
        "maxSecurityGroups" until(36) => max_security_groups: i64,
        "maxSecurityGroupRules" until(36) => max_security_group_rules: i64,
        "maxServerGroups" => max_server_groups: i64,
        "maxServerGroupMembers" => max_server_group_members: i64,
        "totalRAMUsed" => ram: i64,
        "totalCoresUsed" => cores: i64,
        "totalInstancesUsed" => instances: i64,
        "totalFloatingIpsUsed" until(36) => floating_ips: i64,
        "totalSecurityGroupsUsed" until(36) => security_groups: i64,
        "totalServerGroupsUsed" => server_groups: i64,
    }
}
versioned! {
    response LimitsView { "rate" => rate: Vec<Value>, "absolute" => absolute: Absolute }
}
versioned! {
    response LimitsShown { "limits" => limits: LimitsView }
}

/// `GET /limits`.
async fn limits(call: Call) -> Result<Reply<LimitsShown>> {
    check_query(&call, &["tenant_id", "reserved"])?;
    let project = match call.query().get("tenant_id") {
        Some(other) => {
            call.cx.allow("os_compute_api:limits:other_project")?;
            ProjectId::from(other)
        }
        None => call.cx.project_id()?.clone(),
    };
    let region = call.cx.state.limits_region();
    let read = move |tx: &mut Tx| {
        let limits = quotas::limits_in(tx, region.as_deref(), &project)?;
        Ok((limits, quotas::usage(tx, region.as_deref(), &project)?, server_groups::count(tx, &project)?))
    };
    let (limits, used, groups) = call.cx.state.db.read(read).await?;
    let absolute = Absolute {
        max_ram: limits.of("ram"),
        max_instances: limits.of("instances"),
        max_cores: limits.of("cores"),
        max_key_pairs: limits.of("key_pairs"),
        max_floating_ips: UNLIMITED,
        max_metadata: limits.of("metadata_items"),
        max_image_metadata: limits.of("metadata_items"),
        max_files: limits.of("injected_files"),
        max_file_bytes: limits.of("injected_file_content_bytes"),
        max_security_groups: UNLIMITED,
        max_security_group_rules: UNLIMITED,
        max_server_groups: limits.of("server_groups"),
        max_server_group_members: limits.of("server_group_members"),
        ram: used.ram,
        cores: used.cores,
        instances: used.instances,
        floating_ips: 0,
        security_groups: 0,
        server_groups: groups,
    };
    Ok(Reply::ok(LimitsShown { limits: LimitsView { rate: Vec::new(), absolute } }))
}
