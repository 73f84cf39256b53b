//! `os-instance_usage_audit_log`: which hosts have counted their servers' usage for a billing period.
//!
//! Nova's hosts do that only where `instance_usage_audit` is on, which it is not by default; here none does, for usage is
//! read from the servers' own records. So every host is one that has not run it.

use crate::api::{Call, Row};
use crate::clock::Timestamp;
use crate::cloud::audit_period;
use crate::error::{Error, Result};
use crate::http::json::Map;
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::store::hosts;
use crate::versioned;

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-instance_usage_audit_log", index).rule("os_compute_api:os-instance-usage-audit-log:list"),
        get("/os-instance_usage_audit_log/{before}", show).rule("os_compute_api:os-instance-usage-audit-log:show"),
    ]
}

versioned! {
    response AuditLog {
        "period_beginning" => period_beginning: String,
        "period_ending" => period_ending: String,
        "num_hosts" => num_hosts: i64,
        "num_hosts_done" => num_hosts_done: i64,
        "num_hosts_running" => num_hosts_running: i64,
        "num_hosts_not_run" => num_hosts_not_run: i64,
        "hosts_not_run" => hosts_not_run: Vec<String>,
        "total_instances" => total_instances: i64,
        "total_errors" => total_errors: i64,
        "overall_status" => overall_status: String,
        "log" => log: Map,
    }
}
versioned! {
    response AuditLogs { "instance_usage_audit_logs" => logs: AuditLog }
}
versioned! {
    response OneAuditLog { "instance_usage_audit_log" => log: AuditLog }
}

async fn log(call: &Call, before: Timestamp) -> Result<AuditLog> {
    let hosts = call.cx.state.db.read(hosts::list).await?;
    let names: Vec<String> = hosts.into_iter().map(|host| host.name).collect();
    let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
    let (begin, end) = audit_period::last_completed_month(before);
    let done = if count == 0 { "ALL".to_owned() } else { format!("0 of {count}") };
    Ok(AuditLog {
        period_beginning: begin,
        period_ending: end,
        num_hosts: count,
        num_hosts_done: 0,
        num_hosts_running: 0,
        num_hosts_not_run: count,
        hosts_not_run: names,
        total_instances: 0,
        total_errors: 0,
        overall_status: format!("{done} hosts done. 0 errors."),
        log: Map::new(),
    })
}

/// `GET /os-instance_usage_audit_log`.
async fn index(call: Call) -> Result<Reply<AuditLogs>> {
    let now = call.cx.state.clock.now();
    Ok(Reply::ok(AuditLogs { logs: log(&call, now).await? }))
}

/// `GET /os-instance_usage_audit_log/{before}`: the period that was complete then.
async fn show(call: Call) -> Result<Reply<OneAuditLog>> {
    let text = call.path("before");
    // A date, a space and a time of day.
    let before = text.split_once(' ').and_then(|_| Timestamp::parse(text));
    let before = before.ok_or_else(|| Error::bad_request(format!("Invalid timestamp for date {text}")))?;
    Ok(Reply::ok(OneAuditLog { log: log(&call, before).await? }))
}
