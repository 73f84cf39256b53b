//! Quota sets: what a project, or a user within it, may hold and holds.

use super::common::check_query;
use super::quota_request::{Limit, limits_request};
use crate::api::{Call, Row};
use crate::cloud::policy::{Reach, Target};
use crate::cloud::quota::{self, UNLIMITED, Usage};
use crate::error::{Error, Result};
use crate::http::json::{FlexibleBool, Maybe};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, put};
use crate::ids::{ProjectId, UserId};
use crate::store::{Tx, quotas, server_groups};
use crate::versioned;

const USER: &[&str] = &["user_id"];
const ONE: &str = "/os-quota-sets/{project_id}";

pub fn rows() -> Vec<Row> {
    vec![
        get(ONE, show).rule("os_compute_api:os-quota-sets:show").query(USER),
        get("/os-quota-sets/{project_id}/detail", detail).rule("os_compute_api:os-quota-sets:detail").query(USER),
        get("/os-quota-sets/{project_id}/defaults", defaults).rule("os_compute_api:os-quota-sets:defaults"),
        put(ONE, update).rule("os_compute_api:os-quota-sets:update").query(USER),
        delete(ONE, reset).rule("os_compute_api:os-quota-sets:delete").query(USER),
    ]
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

/// Whose limits are meant: a project's, or a user's within it.
#[derive(Debug, Clone)]
struct Whose {
    project: ProjectId,
    user: Option<UserId>,
    /// The region whose limits of identity hold in place of quotas.
    region: Option<String>,
}

/// Whom the request names, if the rule lets the caller ask about the project, and if there is one.
async fn whose<B>(call: &Call<B>, known: &[&str]) -> Result<Whose> {
    check_query(call, known)?;
    let project = ProjectId::from(call.path("project_id"));
    if !matches!(&call.cx.reach, Reach::Cloud) {
        call.cx.permit(&Target::new().with("project_id", &project))?;
    }
    let asked = project.clone();
    if !call.cx.state.db.read(move |tx| quotas::project_exists(tx, &asked)).await? {
        return Err(Error::bad_request(format!("Project ID {project} is not a valid project.")));
    }
    let user = call.query().get("user_id").filter(|user| !user.is_empty()).map(UserId::from);
    Ok(Whose { project, user, region: call.cx.state.limits_region() })
}

/// What they may hold.
fn limits_of(tx: &mut Tx, whose: &Whose) -> Result<quota::Limits> {
    let mut limits = quotas::limits_in(tx, whose.region.as_deref(), &whose.project)?;
    if let (Some(user), None) = (&whose.user, &whose.region) {
        limits.0.extend(quotas::of_user(tx, &whose.project, user)?);
    }
    Ok(limits)
}

/// What they hold.
#[derive(Debug, Clone, Copy)]
struct Held {
    servers: Usage,
    groups: i64,
}

impl Held {
    fn by(tx: &mut Tx, whose: &Whose) -> Result<Self> {
        let servers = match &whose.user {
            None => quotas::usage(tx, whose.region.as_deref(), &whose.project)?,
            Some(user) => quotas::usage_of_user(tx, &whose.project, user)?,
        };
        Ok(Self { servers, groups: server_groups::count_of(tx, &whose.project, whose.user.as_ref())? })
    }

    /// Of a resource; what is limited for each server or user counts as nothing.
    fn of(&self, name: &str) -> i64 {
        match name {
            "instances" => self.servers.instances,
            "cores" => self.servers.cores,
            "ram" => self.servers.ram,
            "server_groups" => self.groups,
            _ => 0,
        }
    }
}

/// `GET /os-quota-sets/{project_id}`.
async fn show(call: Call) -> Result<Reply<QuotaSetShown>> {
    let whose = whose(&call, USER).await?;
    let id = Some(whose.project.to_string());
    let limits = call.cx.state.db.read(move |tx| limits_of(tx, &whose)).await?;
    Ok(Reply::ok(QuotaSet::of(id, |name| limits.of(name))))
}

/// `GET /os-quota-sets/{project_id}/detail`.
async fn detail(call: Call) -> Result<Reply<QuotaDetailShown>> {
    let whose = whose(&call, USER).await?;
    let id = Some(whose.project.to_string());
    let read = move |tx: &mut Tx| Ok((limits_of(tx, &whose)?, Held::by(tx, &whose)?));
    let (limits, held) = call.cx.state.db.read(read).await?;
    let in_use = |name: &str| InUse { limit: limits.of(name), in_use: held.of(name), reserved: 0 };
    Ok(Reply::ok(QuotaDetail::of(id, in_use)))
}

/// `GET /os-quota-sets/{project_id}/defaults`.
async fn defaults(call: Call) -> Result<Reply<QuotaSetShown>> {
    let Whose { project, region, .. } = whose(&call, USER).await?;
    let limits = match region {
        None => call.cx.state.db.read(quotas::defaults).await?,
        // Nobody's project has a limit of its own.
        region => call.cx.state.db.read(move |tx| quotas::limits_in(tx, region.as_deref(), &"".into())).await?,
    };
    Ok(Reply::ok(QuotaSet::of(Some(project.to_string()), |name| limits.of(name))))
}

limits_request!(NewLimits, networks until(36), "force" => force: Maybe<FlexibleBool>);
versioned! {
    request QuotaUpdate strict { "quota_set" required => quota_set: NewLimits }
}

/// Refused by a cloud whose limits are identity's.
pub fn refuse_unified<B>(call: &Call<B>) -> Result<()> {
    if call.cx.state.unified_limits {
        let text = "Limits of compute are kept by identity here: set them under /v3/limits.";
        return Err(Error::bad_request(text));
    }
    Ok(())
}

/// Between which bounds a limit may be set: a project's not below what is used or given to its users, a user's not below
/// what they use nor above what is left of the project's.
fn check(tx: &mut Tx, whose: &Whose, given: &[(&'static str, i64)]) -> Result<()> {
    let held = Held::by(tx, whose)?;
    let to_users = quotas::given_to_users(tx, &whose.project)?;
    let of_users = |name: &str| to_users.get(name).copied().unwrap_or(0);
    let Some(user) = &whose.user else {
        return given.iter().try_for_each(|(name, limit)| {
            quota::check_settable(name, *limit, of_users(name).max(held.of(name)), UNLIMITED)
        });
    };
    let projects = quotas::limits(tx, &whose.project)?;
    let own: std::collections::BTreeMap<_, _> = quotas::of_user(tx, &whose.project, user)?.into_iter().collect();
    given.iter().try_for_each(|(name, limit)| {
        let most = match projects.of(name) {
            UNLIMITED => UNLIMITED,
            all => (all - of_users(name) + own.get(*name).copied().unwrap_or(0).max(0)).max(0),
        };
        quota::check_settable(name, *limit, held.of(name), most)
    })
}

/// `PUT /os-quota-sets/{project_id}`.
async fn update(call: Call<QuotaUpdate>) -> Result<Reply<QuotaSetShown>> {
    let whose = whose(&call, USER).await?;
    refuse_unified(&call)?;
    let given = call.body.quota_set.given();
    let force = call.body.quota_set.force.as_ref().is_some_and(|force| force.0);
    let write = move |tx: &mut Tx| {
        if !force {
            check(tx, &whose, &given)?;
        }
        for (name, limit) in &given {
            match &whose.user {
                None => quotas::set(tx, &whose.project, name, *limit)?,
                Some(user) => quotas::set_user(tx, &whose.project, user, name, *limit)?,
            }
        }
        limits_of(tx, &whose)
    };
    let limits = call.cx.state.db.write(write).await?;
    Ok(Reply::ok(QuotaSet::of(None, |name| limits.of(name))))
}

/// `DELETE /os-quota-sets/{project_id}`: back to the defaults.
async fn reset(call: Call) -> Result<Empty> {
    check_query(&call, USER)?;
    let project = ProjectId::from(call.path("project_id"));
    let user = call.query().get("user_id").filter(|user| !user.is_empty()).map(UserId::from);
    let write = move |tx: &mut Tx| match &user {
        None => quotas::reset(tx, &project),
        Some(user) => quotas::reset_user(tx, &project, user),
    };
    call.cx.state.db.write(write).await?;
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
