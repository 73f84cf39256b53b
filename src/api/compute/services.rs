//! Services: the `nova-compute` of each host, which an operator lets work, keeps new servers from, calls dead or forgets; and,
//! to look at, those of the process itself.

use super::common::check_query;
use super::host_name::HostName;
use super::hosts::{BINARY, NumberOrUuid, Seen, all, named};
use super::inner_services::{self, InnerService};
use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::http::json::{FlexibleBool, Maybe, OneOf, Text, Words};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{delete, get, put};
use crate::store::hosts;
use crate::store::{Tx, aggregates};
use crate::tasks::network_change;
use crate::versioned;

const ONE: &str = "/os-services/{service_id}";

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-services", services).rule("os_compute_api:os-services:list").query(&["host", "binary"]),
        // What is now the service's id was the name of the action.
        put(ONE, act).rule("os_compute_api:os-services:update").until(53),
        put(ONE, update_service).rule("os_compute_api:os-services:update").since(53),
        delete(ONE, forget).rule("os_compute_api:os-services:delete"),
    ]
}

versioned! {
    response ServiceView {
        "id" => id: NumberOrUuid,
        "binary" => binary: &'static str,
        "host" => host: String,
        "zone" => zone: String,
        "status" => status: &'static str,
        "state" => state: &'static str,
        "updated_at" => updated_at: Option<String>,
        "disabled_reason" => disabled_reason: Option<String>,
        "forced_down" since(11) => forced_down: bool,
    }
}
versioned! {
    response Services { "services" => services: Vec<ServiceView> }
}
versioned! {
    response OneService { "service" => service: ServiceView }
}

fn service(seen: Seen) -> ServiceView {
    ServiceView {
        id: seen.id(),
        binary: BINARY,
        status: seen.status(),
        state: seen.state(),
        updated_at: seen.host.last_seen_at.map(Timestamp::to_micros_naive),
        forced_down: seen.host.forced_down,
        host: seen.host.name,
        zone: seen.host.zone,
        disabled_reason: seen.host.disabled_reason,
    }
}

fn inner(service: InnerService, now: Timestamp) -> ServiceView {
    ServiceView {
        id: service.id(),
        binary: service.binary,
        host: service.host,
        zone: inner_services::ZONE.to_owned(),
        status: "enabled",
        state: "up",
        updated_at: Some(now.to_micros_naive()),
        disabled_reason: None,
        forced_down: false,
    }
}

/// `GET /os-services`: hosts', then the process's own.
async fn services(call: Call) -> Result<Reply<Services>> {
    check_query(&call, &["host", "binary"])?;
    let now = call.cx.state.clock.now();
    let of_hosts = all(&call).await?.into_iter().map(service);
    let of_process = inner_services::all(&call).into_iter().map(|service| inner(service, now));
    let asked = |name: &str| call.query().get(name).filter(|text| !text.is_empty());
    let (host, binary) = (asked("host"), asked("binary"));
    let is_meant = |service: &ServiceView| {
        host.is_none_or(|host| service.host == host) && binary.is_none_or(|binary| service.binary == binary)
    };
    Ok(Reply::ok(Services { services: of_hosts.chain(of_process).filter(is_meant).collect() }))
}

#[derive(Debug, Clone)]
pub struct Statuses;

impl Words for Statuses {
    const WORDS: &'static [&'static str] = &["enabled", "disabled"];
}

versioned! {
    request ServiceUpdate strict {
        "status" => status: Maybe<OneOf<Statuses>>,
        "disabled_reason" => disabled_reason: Maybe<Text<1, 255>>,
        "forced_down" => forced_down: Maybe<FlexibleBool>,
    }
}

/// `PUT /os-services/{service_id}`: lets new servers onto a host or keeps them away, or says that it is down.
async fn update_service(call: Call<ServiceUpdate>) -> Result<Reply<OneService>> {
    inner_services::refuse(&call, call.path("service_id"), "Updating", "updated")?;
    let seen = named(&call, call.path("service_id"), Kind::ComputeService).await?;
    let enabled = call.body.status.as_ref().map(|status| status.0 == "enabled");
    let reason = call.body.disabled_reason.as_ref().map(|text| text.0.clone());
    let forced_down = call.body.forced_down.as_ref().map(|truth| truth.0);
    if enabled.is_none() && forced_down.is_none() {
        return Err(Error::bad_request(
            "No updates were requested. Fields 'status' or 'forced_down' should be specified.",
        ));
    }
    if enabled == Some(true) && reason.is_some() {
        return Err(Error::bad_request("Specifying 'disabled_reason' with status 'enabled' is invalid."));
    }
    let (id, now) = (seen.host.id, call.cx.state.clock.now());
    let write = move |tx: &mut Tx| hosts::set_service(tx, id, enabled, reason.as_deref(), forced_down, now);
    call.cx.state.db.write(write).await?;
    let seen = named(&call, call.path("service_id"), Kind::ComputeService).await?;
    Ok(Reply::ok(OneService { service: service(seen) }))
}

versioned! {
    request ServiceAction strict {
        "host" required => host: HostName,
        "binary" required => binary: Text<1, 255>,
        "disabled_reason" => disabled_reason: Maybe<Text<1, 255>>,
        "forced_down" since(11) => forced_down: Maybe<FlexibleBool>,
    }
}
versioned! {
    response Acted {
        "host" => host: String,
        "binary" => binary: String,
        "status" optional => status: Option<&'static str>,
        "disabled_reason" optional => disabled_reason: Option<String>,
        "forced_down" optional => forced_down: Option<bool>,
    }
}
versioned! {
    response ServiceActed { "service" => service: Acted }
}

/// `PUT /os-services/{enable|disable|disable-log-reason|force-down}`: names the service by its host.
async fn act(call: Call<ServiceAction>) -> Result<Reply<ServiceActed>> {
    let given = call.body.disabled_reason.as_ref().map(|text| text.0.clone());
    let (enabled, reason, forced_down) = match call.path("service_id") {
        "enable" => (Some(true), None, None),
        "disable" => (Some(false), None, None),
        "disable-log-reason" => {
            let reason = given.ok_or_else(|| Error::bad_request("Missing disabled reason field"))?;
            (Some(false), Some(reason), None)
        }
        "force-down" if call.version() >= super::versions::SERVICES_CAN_BE_FORCED_DOWN => {
            let down = call.body.forced_down.as_ref().ok_or_else(|| Error::bad_request("Missing forced_down field"))?;
            (None, None, Some(down.0))
        }
        _ => return Err(Error::not_found(Kind::Part, "Unknown action")),
    };
    let (host, binary) = (call.body.host.0.clone(), call.body.binary.0.clone());
    if binary != BINARY {
        return Err(inner_services::unsupported(&binary, "Updating", "updated"));
    }
    let now = call.cx.state.clock.now();
    let (name, kept) = (host.clone(), reason.clone());
    let write = move |tx: &mut Tx| {
        let missing = || Error::not_found(Kind::Part, format!("Host '{name}' is not mapped to any cell"));
        let found = hosts::named(tx, &name).map_err(|error| if error.is_not_found() { missing() } else { error })?;
        hosts::set_service(tx, found.id, enabled, kept.as_deref(), forced_down, now)
    };
    call.cx.state.db.write(write).await?;
    let status = enabled.map(|enabled| if enabled { "enabled" } else { "disabled" });
    Ok(Reply::ok(ServiceActed { service: Acted { host, binary, status, disabled_reason: reason, forced_down } }))
}

/// `DELETE /os-services/{service_id}`: forgets a host that runs nothing. One that is still connected is found again at the
/// next look, as new.
async fn forget(call: Call) -> Result<Empty> {
    inner_services::refuse(&call, call.path("service_id"), "Deleting", "deleted")?;
    let seen = named(&call, call.path("service_id"), Kind::ComputeService).await.map_err(|error| match error {
        Error::NotFound { id, .. } => Error::not_found(Kind::Part, format!("Service {id} not found.")),
        other => other,
    })?;
    let (id, now) = (seen.host.id, call.cx.state.clock.now());
    let write = move |tx: &mut Tx| {
        if hosts::is_used(tx, id)? {
            return Err(Error::conflict(
                "Unable to delete compute service that is hosting instances. Migrate or delete the instances first.",
            ));
        }
        network_change::host_leaves(tx, id, now)?;
        hosts::delete(tx, id)?;
        aggregates::settle_hosts(tx)
    };
    call.cx.state.db.write(write).await?;
    Ok(Empty::no_content())
}
