//! What belongs to no service: `GET /`, `GET /healthcheck`, `GET /metrics`.

use super::compute::migration_metrics;
use super::faults::KEYSTONE;
use super::{Call, Row};
use crate::error::{Error, Result};
use crate::http::reply::RawReply;
use crate::http::table::{Service, get};
use crate::store::move_totals;
use http::StatusCode;
use serde_json::json;

pub static SERVICE: Service =
    Service { name: "root", prefix: "", axis: None, dialect: &KEYSTONE, head_as_get: true, names_project: false };

pub fn rows() -> Vec<Row> {
    vec![get("", index).public(), get("/healthcheck", healthcheck).public(), get("/metrics", metrics).public()]
}

/// `GET /`: where the services are.
async fn index(call: Call) -> Result<RawReply> {
    let url = &call.cx.state.public_url;
    let services: Vec<_> = ["identity", "image", "compute", "network", "placement"]
        .iter()
        .map(|name| json!({"name": name, "href": format!("{url}/{name}")}))
        .collect();
    Ok(RawReply::json(
        StatusCode::OK,
        &json!({"name": "gapura", "version": env!("CARGO_PKG_VERSION"), "services": services}),
    ))
}

/// `GET /healthcheck`: 200 `OK` while the database answers, else 503.
async fn healthcheck(call: Call) -> Result<RawReply> {
    let answered = call.cx.state.db.read(|tx| tx.query_one("SELECT 1", &[]).map(drop)).await;
    answered.map_err(|error| Error::unavailable("the database", error))?;
    Ok(RawReply::bytes(StatusCode::OK, "text/plain", "OK"))
}

/// `GET /metrics`: counters for Prometheus, this process's own and, while the database answers, those that all processes
/// have in common. They name no tenant.
async fn metrics(call: Call) -> Result<RawReply> {
    let mut text = call.cx.state.metrics.text();
    match call.cx.state.db.read(move_totals::all).await {
        Ok(totals) => text.extend(migration_metrics(&totals).into_bytes()),
        Err(error) => tracing::warn!(%error, "migrations are missing from the metrics"),
    }
    Ok(RawReply::bytes(StatusCode::OK, "text/plain; version=0.0.4", text))
}
