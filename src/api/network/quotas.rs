//! Quotas: how many networks, subnets and ports a project may have, and has.

use crate::api::{Call, Context, Row};
use crate::error::{Error, Kind, Result};
use crate::http::json::{Between, FlexibleBool};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, put};
use crate::ids::ProjectId;
use crate::store::network_quotas::{self as quotas, Resource};
use crate::store::{OrNotFound, Tx, projects};
use crate::versioned;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v2.0/quotas", list).rule("list_quotas"),
        get("/v2.0/quotas/{project_id}", show).rule("get_quota"),
        put("/v2.0/quotas/{project_id}", update).rule("update_quota"),
        delete("/v2.0/quotas/{project_id}", reset).rule("delete_quota"),
        get("/v2.0/quotas/{project_id}/default", defaults).rule("get_quota"),
        get("/v2.0/quotas/{project_id}/details", details).rule("get_quota"),
    ]
}

type Limit = Between<{ -1 }, { i32::MAX as i64 }>;

versioned! {
    response LimitsView {
        "network" => network: i64,
        "subnet" => subnet: i64,
        "port" => port: i64,
    }
}

versioned! {
    response QuotaView {
        "quota" => quota: LimitsView,
    }
}

versioned! {
    response ProjectLimitsView {
        "project_id" => project_id: ProjectId,
        "tenant_id" => tenant_id: ProjectId,
        "network" => network: i64,
        "subnet" => subnet: i64,
        "port" => port: i64,
    }
}

versioned! {
    response QuotasView {
        "quotas" => quotas: Vec<ProjectLimitsView>,
    }
}

versioned! {
    response DetailView {
        "used" => used: i64,
        "limit" => limit: i64,
        "reserved" => reserved: i64,
    }
}

versioned! {
    response DetailsView {
        "network" => network: DetailView,
        "subnet" => subnet: DetailView,
        "port" => port: DetailView,
    }
}

versioned! {
    response QuotaDetailsView {
        "quota" => quota: DetailsView,
    }
}

versioned! {
    request QuotaUpdates strict {
        "quota" required => quota: QuotaUpdate,
    }
}

versioned! {
    request QuotaUpdate strict {
        "network" => network: Option<Limit>,
        "subnet" => subnet: Option<Limit>,
        "port" => port: Option<Limit>,
        /// Refuse limits below what is used.
        "check_limit" => check_limit: Option<FlexibleBool>,
        /// Take limits below what is used, which is the default too.
        "force" => force: Option<FlexibleBool>,
    }
}

impl QuotaUpdate {
    fn of(&self, resource: Resource) -> Option<i64> {
        let limit = match resource {
            Resource::Network => self.network,
            Resource::Subnet => self.subnet,
            Resource::Port => self.port,
        };
        limit.map(|limit| limit.0)
    }
}

fn limits(tx: &mut Tx, project: &ProjectId) -> Result<LimitsView> {
    Ok(LimitsView {
        network: quotas::limit(tx, project, Resource::Network)?,
        subnet: quotas::limit(tx, project, Resource::Subnet)?,
        port: quotas::limit(tx, project, Resource::Port)?,
    })
}

/// The project of the path, if the caller may look at it.
fn project(cx: &Context, text: &str) -> Result<ProjectId> {
    match cx.reach.project()? {
        Some(own) if own.as_str() != text => {
            Err(Error::Forbidden("Only admin can view or configure quota for other projects".to_owned()))
        }
        _ => Ok(ProjectId(text.to_owned())),
    }
}

/// `GET /v2.0/quotas`: projects whose limits are not the defaults.
async fn list(call: Call) -> Result<Reply<QuotasView>> {
    let quotas = call
        .cx
        .state
        .db
        .read(|tx| {
            let projects = quotas::projects(tx)?;
            projects
                .into_iter()
                .map(|project| {
                    let LimitsView { network, subnet, port } = limits(tx, &project)?;
                    Ok(ProjectLimitsView { tenant_id: project.clone(), project_id: project, network, subnet, port })
                })
                .collect::<Result<Vec<_>>>()
        })
        .await?;
    Ok(Reply::ok(QuotasView { quotas }))
}

async fn show(call: Call) -> Result<Reply<QuotaView>> {
    let project = project(&call.cx, call.path("project_id"))?;
    let quota = call.cx.state.db.read(move |tx| limits(tx, &project)).await?;
    Ok(Reply::ok(QuotaView { quota }))
}

async fn defaults(call: Call) -> Result<Reply<QuotaView>> {
    project(&call.cx, call.path("project_id"))?;
    let of = Resource::default_limit;
    let quota = LimitsView { network: of(Resource::Network), subnet: of(Resource::Subnet), port: of(Resource::Port) };
    Ok(Reply::ok(QuotaView { quota }))
}

async fn details(call: Call) -> Result<Reply<QuotaDetailsView>> {
    let project = project(&call.cx, call.path("project_id"))?;
    let quota = call
        .cx
        .state
        .db
        .read(move |tx| {
            let mut detail = |resource| {
                let (used, limit) = (quotas::used(tx, &project, resource)?, quotas::limit(tx, &project, resource)?);
                // Nothing is ever reserved: what is counted is there in the same transaction.
                Ok(DetailView { used, limit, reserved: 0 })
            };
            Ok(DetailsView {
                network: detail(Resource::Network)?,
                subnet: detail(Resource::Subnet)?,
                port: detail(Resource::Port)?,
            })
        })
        .await?;
    Ok(Reply::ok(QuotaDetailsView { quota }))
}

async fn update(call: Call<QuotaUpdates>) -> Result<Reply<QuotaView>> {
    let project = project(&call.cx, call.path("project_id"))?;
    let wanted = call.body.quota.clone();
    let is_forced = wanted.force.is_some_and(|force| force.0);
    let is_checked = wanted.check_limit.is_some_and(|check| check.0) && !is_forced;
    let quota = call
        .cx
        .state
        .db
        .write(move |tx| {
            projects::get(tx, &project)?.or_not_found(Kind::Project, &project)?;
            for resource in Resource::ALL {
                let Some(maximum) = wanted.of(resource) else { continue };
                if is_checked && maximum >= 0 && quotas::used(tx, &project, resource)? > maximum {
                    let why = format!("Quota limit {maximum} of {} is below what is used.", resource.name());
                    return Err(Error::bad_request(why));
                }
                quotas::set(tx, &project, resource, maximum)?;
            }
            limits(tx, &project)
        })
        .await?;
    Ok(Reply::ok(QuotaView { quota }))
}

/// `DELETE /v2.0/quotas/{project_id}`: the defaults again.
async fn reset(call: Call) -> Result<Empty> {
    let project = project(&call.cx, call.path("project_id"))?;
    let missing = Error::not_found(Kind::Page, &project);
    if call.cx.state.db.write(move |tx| quotas::reset(tx, &project)).await? {
        Ok(Empty::no_content())
    } else {
        // Neutron's TenantQuotaNotFound.
        Err(missing)
    }
}
