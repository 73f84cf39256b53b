//! `GET /os-migrations/{migration_id}/measures`: what was counted of a live move, and how much remained when. Upstream has no
//! such thing; it is for operators alone.

use crate::api::{Call, Row};
use crate::cloud::moving::{Amount, Point};
use crate::error::{Error, Kind, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::ServerId;
use crate::store::move_totals::Totals;
use crate::store::server_moves::{self, Move};
use crate::versioned;
use serde_json::Value;
use std::fmt::Write;

pub fn rows() -> Vec<Row> {
    vec![get("/os-migrations/{migration_id}/measures", show).rule("gapura:os-migrations:measures")]
}

versioned! {
    response AmountView {
        "total_bytes" => total: u64,
        "processed_bytes" => processed: u64,
        "remaining_bytes" => remaining: u64,
    }
}
versioned! {
    response PointView { "at_ms" => at_ms: u64, "memory_bytes" => memory: u64, "disk_bytes" => disk: u64 }
}
versioned! {
    /// What is not counted is null, or 0.
    response MeasuresView {
        "id" => id: i64,
        "uuid" => uuid: String,
        "instance_uuid" => instance_uuid: ServerId,
        "status" => status: String,
        "source_compute" => source: Option<String>,
        "dest_compute" => target: Option<String>,
        "total_time_ms" => total_time_ms: u64,
        "downtime_ms" => downtime_ms: Option<u64>,
        "setup_time_ms" => setup_time_ms: Option<u64>,
        "memory" => memory: AmountView,
        "disk" => disk: AmountView,
        "iterations" => iterations: u64,
        "dirty_bytes_per_second" => dirty_rate: u64,
        "memory_bytes_per_second" => memory_speed: u64,
        "disk_bytes_per_second" => disk_speed: u64,
        "throttle_percent" => throttle: u64,
        "postcopy_requests" => postcopy_requests: u64,
        /// What was wished of it; null before it began.
        "limits" => limits: Value,
        "remaining" => remaining: Vec<PointView>,
        "failure" => failure: Option<String>,
        "created_at" => created_at: String,
        "updated_at" => updated_at: String,
    }
}
versioned! {
    response Measures { "measures" => measures: MeasuresView }
}

async fn show(call: Call) -> Result<Reply<Measures>> {
    let text = call.path("migration_id").to_owned();
    let found = match text.parse() {
        Ok(id) => {
            let read = move |tx: &mut crate::store::Tx| Ok((server_moves::get(tx, id)?, server_moves::course(tx, id)?));
            call.cx.state.db.read(read).await?
        }
        Err(_) => (None, (Value::Null, Vec::new())),
    };
    let (Some(moved), (limits, course)) = found else {
        return Err(Error::not_found(Kind::Part, format!("Migration {text} could not be found.")));
    };
    Ok(Reply::ok(Measures { measures: view(moved, limits, &course) }))
}

fn view(moved: Move, limits: Value, course: &[Point]) -> MeasuresView {
    let counts = moved.counts.unwrap_or_default();
    let amount = |of: Amount| AmountView { total: of.total, processed: of.processed, remaining: of.remaining };
    MeasuresView {
        id: moved.id,
        uuid: moved.uuid,
        instance_uuid: moved.server_id,
        status: moved.status,
        source: moved.source,
        target: moved.target,
        total_time_ms: counts.elapsed_ms,
        downtime_ms: counts.downtime_ms,
        setup_time_ms: counts.setup_ms,
        memory: amount(counts.memory),
        disk: amount(counts.disk),
        iterations: counts.iterations,
        dirty_rate: counts.dirty_rate,
        memory_speed: counts.memory_speed,
        disk_speed: counts.disk_speed,
        throttle: counts.throttle,
        postcopy_requests: counts.postcopy_requests,
        limits,
        remaining: course
            .iter()
            .map(|point| PointView { at_ms: point.at_ms, memory: point.memory, disk: point.disk })
            .collect(),
        failure: moved.failure,
        created_at: moved.created_at.to_micros_naive(),
        updated_at: moved.updated_at.to_micros_naive(),
    }
}

/// All moves together, as Prometheus reads them.
pub fn metrics(totals: &[Totals]) -> String {
    type Series = (&'static str, &'static str, fn(&Totals) -> f64);
    const SERIES: [Series; 6] = [
        ("gapura_migrations_total", "Live migrations that are over.", |of| of.moves as f64),
        ("gapura_migration_seconds_total", "How long they took.", |of| of.elapsed_ms as f64 / 1000.0),
        ("gapura_migration_downtime_seconds_total", "How long guests stood still.", |of| {
            of.downtime_ms as f64 / 1000.0
        }),
        ("gapura_migration_memory_bytes_total", "Memory that was sent.", |of| of.memory_bytes as f64),
        ("gapura_migration_disk_bytes_total", "Bytes of disks that were sent.", |of| of.disk_bytes as f64),
        ("gapura_migration_iterations_total", "How often memory was gone through.", |of| of.iterations as f64),
    ];
    let mut text = String::new();
    for (name, help, value) in SERIES.iter().filter(|_| !totals.is_empty()) {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for of in totals {
            let _ = writeln!(text, "{name}{{status=\"{}\"}} {}", of.status, value(of));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_counted_by_how_they_ended() {
        let completed = Totals {
            status: "completed".to_owned(),
            moves: 3,
            elapsed_ms: 4500,
            downtime_ms: 120,
            memory_bytes: 1000,
            disk_bytes: 0,
            iterations: 9,
        };
        let failed = Totals { status: "error".to_owned(), moves: 1, downtime_ms: 0, ..completed.clone() };
        let text = metrics(&[completed, failed]);
        assert!(
            text.contains("# TYPE gapura_migrations_total counter\ngapura_migrations_total{status=\"completed\"} 3\n")
        );
        assert!(text.contains("gapura_migrations_total{status=\"error\"} 1\n"));
        assert!(text.contains("gapura_migration_seconds_total{status=\"completed\"} 4.5\n"));
        assert!(text.contains("gapura_migration_downtime_seconds_total{status=\"completed\"} 0.12\n"));
        assert_eq!(metrics(&[]), "");
    }
}
