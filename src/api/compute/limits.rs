//! Limits and quota sets: what a project may hold and holds.
//!
//! Networks' resources are shown as unlimited as long as Nova showed them; their real limits are the network service's.

use super::common::check_query;
use crate::api::{Call, Row};
use crate::cloud::policy::{Reach, Target};
use crate::cloud::quota::{Limits, UNLIMITED, Usage};
use crate::error::{Error, Result};
use crate::http::json::{FlexibleBool, FlexibleInt, Maybe};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, put};
use crate::ids::ProjectId;
use crate::store::{Tx, quotas};
use crate::versioned;
use serde_json::Value;

pub fn rows() -> Vec<Row> {
    vec![
        get("/limits", limits).rule("os_compute_api:limits").query(&["tenant_id", "reserved"]),
        get("/os-quota-sets/{project_id}", show).rule("os_compute_api:os-quota-sets:show").query(USER),
        get("/os-quota-sets/{project_id}/detail", detail).rule("os_compute_api:os-quota-sets:detail").query(USER),
        get("/os-quota-sets/{project_id}/defaults", defaults).rule("os_compute_api:os-quota-sets:defaults"),
        put("/os-quota-sets/{project_id}", update).rule("os_compute_api:os-quota-sets:update").query(USER),
        delete("/os-quota-sets/{project_id}", reset).rule("os_compute_api:os-quota-sets:delete").query(USER),
    ]
}

const USER: &[&str] = &["user_id"];

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
    let read =
        move |tx: &mut Tx| Ok((quotas::limits_in(tx, region.as_deref(), &project)?, quotas::usage(tx, &project)?));
    let (limits, used) = call.cx.state.db.read(read).await?;
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
        server_groups: 0,
    };
    Ok(Reply::ok(LimitsShown { limits: LimitsView { rate: Vec::new(), absolute } }))
}

macro_rules! quota_set {
    ($name:ident, $shown:ident, $type:ty) => {
        versioned! {
            response $name {
                "id" optional => id: Option<String>,
                "instances" => instances: $type,
                "cores" => cores: $type,
                "ram" => ram: $type,
                "floating_ips" until(36) => floating_ips: $type,
                "fixed_ips" until(36) => fixed_ips: $type,
                "metadata_items" => metadata_items: $type,
                "injected_files" until(57) => injected_files: $type,
                "injected_file_content_bytes" until(57) => injected_file_content_bytes: $type,
                "injected_file_path_bytes" until(57) => injected_file_path_bytes: $type,
                "security_groups" until(36) => security_groups: $type,
                "security_group_rules" until(36) => security_group_rules: $type,
                "key_pairs" => key_pairs: $type,
                "server_groups" => server_groups: $type,
                "server_group_members" => server_group_members: $type,
            }
        }
        versioned! {
            response $shown { "quota_set" => quota_set: $name }
        }

        impl $name {
            fn of(id: Option<String>, value: impl Fn(&str) -> $type) -> $shown {
                let quota_set = Self {
                    id,
                    instances: value("instances"),
                    cores: value("cores"),
                    ram: value("ram"),
                    floating_ips: value("floating_ips"),
                    fixed_ips: value("fixed_ips"),
                    metadata_items: value("metadata_items"),
                    injected_files: value("injected_files"),
                    injected_file_content_bytes: value("injected_file_content_bytes"),
                    injected_file_path_bytes: value("injected_file_path_bytes"),
                    security_groups: value("security_groups"),
                    security_group_rules: value("security_group_rules"),
                    key_pairs: value("key_pairs"),
                    server_groups: value("server_groups"),
                    server_group_members: value("server_group_members"),
                };
                $shown { quota_set }
            }
        }
    };
}

versioned! {
    response InUse { "limit" => limit: i64, "in_use" => in_use: i64, "reserved" => reserved: i64 }
}
quota_set!(QuotaSet, QuotaSetShown, i64);
quota_set!(QuotaDetail, QuotaDetailShown, InUse);

/// The project that the path names, if the rule lets the caller ask about it, and if there is one.
async fn project<B>(call: &Call<B>, rule: &str) -> Result<ProjectId> {
    check_query(call, USER)?;
    let project = ProjectId::from(call.path("project_id"));
    if !matches!(&call.cx.reach, Reach::Cloud) {
        call.cx.allow_on(rule, &Target::new().with("project_id", &project))?;
    }
    if call.query().has("user_id") {
        return Err(Error::NotImplemented("Quotas of a user within a project are not built.".to_owned()));
    }
    let asked = project.clone();
    if !call.cx.state.db.read(move |tx| quotas::project_exists(tx, &asked)).await? {
        return Err(Error::bad_request(format!("Project ID {project} is not a valid project.")));
    }
    Ok(project)
}

/// `GET /os-quota-sets/{project_id}`.
async fn show(call: Call) -> Result<Reply<QuotaSetShown>> {
    let project = project(&call, "os_compute_api:os-quota-sets:show").await?;
    let id = Some(project.to_string());
    let region = call.cx.state.limits_region();
    let limits = call.cx.state.db.read(move |tx| quotas::limits_in(tx, region.as_deref(), &project)).await?;
    Ok(Reply::ok(QuotaSet::of(id, |name| limits.of(name))))
}

/// `GET /os-quota-sets/{project_id}/detail`.
async fn detail(call: Call) -> Result<Reply<QuotaDetailShown>> {
    let project = project(&call, "os_compute_api:os-quota-sets:detail").await?;
    let id = Some(project.to_string());
    let region = call.cx.state.limits_region();
    let read =
        move |tx: &mut Tx| Ok((quotas::limits_in(tx, region.as_deref(), &project)?, quotas::usage(tx, &project)?));
    let (limits, used) = call.cx.state.db.read(read).await?;
    let in_use = |name: &str| InUse { limit: limits.of(name), in_use: used_of(used, name), reserved: 0 };
    Ok(Reply::ok(QuotaDetail::of(id, in_use)))
}

/// What a project holds of a resource; what is limited for each server or user counts as nothing.
fn used_of(used: Usage, name: &str) -> i64 {
    match name {
        "instances" => used.instances,
        "cores" => used.cores,
        "ram" => used.ram,
        _ => 0,
    }
}

/// `GET /os-quota-sets/{project_id}/defaults`.
async fn defaults(call: Call) -> Result<Reply<QuotaSetShown>> {
    let project = project(&call, "os_compute_api:os-quota-sets:defaults").await?;
    let region = call.cx.state.limits_region();
    let limits = match region {
        None => Limits::with([]),
        // Nobody's project has a limit of its own.
        region => call.cx.state.db.read(move |tx| quotas::limits_in(tx, region.as_deref(), &"".into())).await?,
    };
    Ok(Reply::ok(QuotaSet::of(Some(project.to_string()), |name| limits.of(name))))
}

versioned! {
    request NewLimits strict {
        "instances" => instances: Maybe<FlexibleInt>,
        "cores" => cores: Maybe<FlexibleInt>,
        "ram" => ram: Maybe<FlexibleInt>,
        "floating_ips" until(36) => floating_ips: Maybe<FlexibleInt>,
        "fixed_ips" until(36) => fixed_ips: Maybe<FlexibleInt>,
        "metadata_items" => metadata_items: Maybe<FlexibleInt>,
        "injected_files" until(57) => injected_files: Maybe<FlexibleInt>,
        "injected_file_content_bytes" until(57) => injected_file_content_bytes: Maybe<FlexibleInt>,
        "injected_file_path_bytes" until(57) => injected_file_path_bytes: Maybe<FlexibleInt>,
        "security_groups" until(36) => security_groups: Maybe<FlexibleInt>,
        "security_group_rules" until(36) => security_group_rules: Maybe<FlexibleInt>,
        "key_pairs" => key_pairs: Maybe<FlexibleInt>,
        "server_groups" => server_groups: Maybe<FlexibleInt>,
        "server_group_members" => server_group_members: Maybe<FlexibleInt>,
        "force" => force: Maybe<FlexibleBool>,
    }
}
versioned! {
    request QuotaUpdate strict { "quota_set" required => quota_set: NewLimits }
}

impl NewLimits {
    fn given(&self) -> Result<Vec<(&'static str, i64)>> {
        let networks = [&self.floating_ips, &self.fixed_ips, &self.security_groups, &self.security_group_rules];
        if networks.into_iter().any(|limit| limit.as_ref().is_some_and(|limit| limit.0 != UNLIMITED)) {
            let text = "Quotas of networks are the network service's: set them there.";
            return Err(Error::NotImplemented(text.to_owned()));
        }
        let all = [
            ("instances", &self.instances),
            ("cores", &self.cores),
            ("ram", &self.ram),
            ("metadata_items", &self.metadata_items),
            ("injected_files", &self.injected_files),
            ("injected_file_content_bytes", &self.injected_file_content_bytes),
            ("injected_file_path_bytes", &self.injected_file_path_bytes),
            ("key_pairs", &self.key_pairs),
            ("server_groups", &self.server_groups),
            ("server_group_members", &self.server_group_members),
        ];
        let given: Vec<(&'static str, i64)> =
            all.into_iter().filter_map(|(name, limit)| limit.as_ref().map(|limit| (name, limit.0))).collect();
        if let Some((name, limit)) = given.iter().find(|(_, limit)| !(-1..=0x7FFF_FFFF).contains(limit)) {
            return Err(Error::bad_request(format!(
                "Invalid input for field/attribute {name}. Value: {limit}. {limit} is less than the minimum of -1"
            )));
        }
        Ok(given)
    }
}

/// `PUT /os-quota-sets/{project_id}`.
async fn update(call: Call<QuotaUpdate>) -> Result<Reply<QuotaSetShown>> {
    let project = project(&call, "os_compute_api:os-quota-sets:update").await?;
    if call.cx.state.unified_limits {
        let text = "Limits of compute are kept by identity here: set them under /v3/limits.";
        return Err(Error::bad_request(text));
    }
    let given = call.body.quota_set.given()?;
    let force = call.body.quota_set.force.as_ref().is_some_and(|force| force.0);
    let write = move |tx: &mut Tx| {
        let used = quotas::usage(tx, &project)?;
        for (name, limit) in &given {
            let minimum = used_of(used, name);
            if !force && *limit != UNLIMITED && *limit < minimum {
                return Err(Error::bad_request(format!(
                    "Quota limit {limit} for {name} must be greater than or equal to already used and reserved {minimum}."
                )));
            }
            quotas::set(tx, &project, name, *limit)?;
        }
        quotas::limits(tx, &project)
    };
    let limits = call.cx.state.db.write(write).await?;
    Ok(Reply::ok(QuotaSet::of(None, |name| limits.of(name))))
}

/// `DELETE /os-quota-sets/{project_id}`: back to the defaults.
async fn reset(call: Call) -> Result<Empty> {
    check_query(&call, USER)?;
    let project = ProjectId::from(call.path("project_id"));
    call.cx.state.db.write(move |tx| quotas::reset(tx, &project)).await?;
    Ok(Empty::accepted())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::quota::RESOURCES;
    use crate::http::json::View;
    use crate::http::microversion::Microversion;
    use serde_json::json;

    #[test]
    fn every_limited_resource_is_shown_by_some_version() {
        let schema = QuotaSet::schema(Microversion(1));
        for resource in RESOURCES {
            assert_eq!(schema["properties"][resource.name], json!({"type": "integer"}), "{}", resource.name);
        }
    }
}
