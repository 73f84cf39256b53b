//! `/servers/{server_id}/migrations`: live migrations on their way, how far they are, and what can be asked of them.
//!
//! To end or to hasten one is a word in its record; [`migrate_server`](crate::tasks::migrate_server) looks there while it
//! watches.

use super::server_deed::Deed;
use super::servers::named;
use super::versions;
use crate::api::{Call, Row};
use crate::cloud::moving::Measured;
use crate::cloud::server::Action;
use crate::error::{Error, Kind, Result};
use crate::http::reply::{Empty, Reply};
use crate::http::table::{action, delete, get};
use crate::ids::{ProjectId, ServerId, UserId};
use crate::store::Tx;
use crate::store::server_moves::{self, Move};
use crate::tasks::migrate_server;
use crate::versioned;

pub fn rows() -> Vec<Row> {
    const ONE: &str = "/servers/{server_id}/migrations/{migration_id}";
    const ACTION: &str = "/servers/{server_id}/migrations/{migration_id}/action";
    vec![
        action(ACTION, "force_complete", force_complete)
            .rule("os_compute_api:servers:migrations:force_complete")
            .since(22),
        get("/servers/{server_id}/migrations", index).rule("os_compute_api:servers:migrations:index").since(23),
        get(ONE, show).rule("os_compute_api:servers:migrations:show").since(23),
        delete(ONE, abort).rule("os_compute_api:servers:migrations:delete").since(24),
    ]
}

versioned! {
    response MoveUnderWay {
        "id" => id: i64,
        "uuid" since(59) => uuid: String,
        "server_uuid" => server_id: ServerId,
        "status" => status: String,
        "source_compute" => source_compute: Option<String>,
        "source_node" => source_node: Option<String>,
        "dest_compute" => dest_compute: Option<String>,
        "dest_node" => dest_node: Option<String>,
        "dest_host" => dest_host: Option<String>,
        "memory_total_bytes" => memory_total: Option<u64>,
        "memory_processed_bytes" => memory_processed: Option<u64>,
        "memory_remaining_bytes" => memory_remaining: Option<u64>,
        "disk_total_bytes" => disk_total: Option<u64>,
        "disk_processed_bytes" => disk_processed: Option<u64>,
        "disk_remaining_bytes" => disk_remaining: Option<u64>,
        "project_id" since(80) => project_id: ProjectId,
        "user_id" since(80) => user_id: UserId,
        "created_at" => created_at: String,
        "updated_at" => updated_at: String,
    }
}
versioned! {
    response MovesUnderWay { "migrations" => migrations: Vec<MoveUnderWay> }
}
versioned! {
    response OneMove { "migration" => migration: MoveUnderWay }
}
super::server_actions::without_value!(ForceComplete, "force_complete");

fn view(one: Move, sees_hosts: bool) -> MoveUnderWay {
    let host = |name: &Option<String>| name.clone().filter(|_| sees_hosts);
    let counts = one.counts;
    // Upstream's own schema has no 0 here: what is not there is not counted.
    let bytes = |count: fn(&Measured) -> u64| counts.as_ref().map(count).filter(|bytes| *bytes > 0);
    MoveUnderWay {
        id: one.id,
        uuid: one.uuid,
        server_id: one.server_id,
        status: one.status,
        source_compute: host(&one.source),
        source_node: host(&one.source),
        dest_compute: host(&one.target),
        dest_node: host(&one.target),
        dest_host: host(&one.target),
        memory_total: bytes(|counts| counts.memory.total),
        memory_processed: bytes(|counts| counts.memory.processed),
        memory_remaining: bytes(|counts| counts.memory.remaining),
        disk_total: bytes(|counts| counts.disk.total),
        disk_processed: bytes(|counts| counts.disk.processed),
        disk_remaining: bytes(|counts| counts.disk.remaining),
        project_id: one.project_id,
        user_id: one.user_id,
        created_at: one.created_at.to_micros_naive(),
        updated_at: one.updated_at.to_micros_naive(),
    }
}

/// `GET /servers/{server_id}/migrations`.
async fn index(call: Call) -> Result<Reply<MovesUnderWay>> {
    let server = named(&call).await?.id;
    let sees_hosts = call.cx.may("os_compute_api:servers:migrations:index:host");
    let found = call.cx.state.db.read(move |tx| server_moves::under_way(tx, server)).await?;
    Ok(Reply::ok(MovesUnderWay { migrations: found.into_iter().map(|one| view(one, sees_hosts)).collect() }))
}

/// `GET /servers/{server_id}/migrations/{migration_id}`.
async fn show(call: Call) -> Result<Reply<OneMove>> {
    let server = named(&call).await?.id;
    let text = call.path("migration_id").to_owned();
    let missing = |text: String| Error::not_found(Kind::Part, text);
    let found = match text.parse() {
        Ok(id) => call.cx.state.db.read(move |tx| server_moves::of_server(tx, server, id)).await?,
        Err(_) => None,
    };
    match found {
        None => Err(missing(format!("In-progress live migration {text} is not found for server {server}."))),
        Some(one) if one.kind != "live-migration" => {
            Err(missing(format!("Migration {text} for server {server} is not live-migration.")))
        }
        Some(one) if !one.goes_on() => {
            Err(missing(format!("Live migration {text} for server {server} is not in progress.")))
        }
        Some(one) => Ok(Reply::ok(OneMove { migration: view(one, true) })),
    }
}

/// What the path names, if the server is in a state for it.
fn asked_about(tx: &mut Tx, deed: &Deed, action: Action, text: &str) -> Result<Move> {
    deed.server(tx, action)?;
    let found = match text.parse() {
        Ok(id) => server_moves::of_server(tx, deed.id, id)?,
        Err(_) => None,
    };
    let missing = format!("Migration {text} not found for instance {}", deed.id);
    found.ok_or_else(|| match action {
        Action::ForceComplete => Error::bad_request(missing),
        _ => Error::not_found(Kind::Part, missing),
    })
}

fn wrong_state(one: &Move, method: &str) -> Error {
    Error::bad_request(format!(
        "Migration {} state of instance {} is {}. Cannot {method} while the migration is in this state.",
        one.id, one.server_id, one.status
    ))
}

/// Action `force_complete`: whatever it costs the guest.
async fn force_complete(call: Call<ForceComplete>) -> Result<Empty> {
    let (deed, text) = (Deed::of(&call)?, call.path("migration_id").to_owned());
    let write = move |tx: &mut Tx| {
        let one = asked_about(tx, &deed, Action::ForceComplete, &text)?;
        if one.status != "running" {
            return Err(wrong_state(&one, "force complete"));
        }
        let server = deed.find(tx)?;
        deed.asker.note(tx, &server, Action::ForceComplete.recorded_as())?;
        deed.asker.begins_on(tx, &server, migrate_server::FORCE_EVENT, server.host.as_deref())?;
        server_moves::ask(tx, one.id, "hasten", deed.asker.now)
    };
    call.cx.state.db.write(write).await?;
    Ok(Empty::accepted())
}

/// `DELETE /servers/{server_id}/migrations/{migration_id}`: the server stays where it is.
async fn abort(call: Call) -> Result<Empty> {
    let (deed, text) = (Deed::of(&call)?, call.path("migration_id").to_owned());
    let also_before = call.version() >= versions::QUEUED_MIGRATIONS_CAN_BE_ABORTED;
    let write = move |tx: &mut Tx| {
        let one = asked_about(tx, &deed, Action::AbortMigration, &text)?;
        let may = match one.status.as_str() {
            "running" => true,
            "queued" | "preparing" => also_before,
            _ => false,
        };
        if !may {
            return Err(wrong_state(&one, "abort live migration"));
        }
        let server = deed.find(tx)?;
        deed.asker.note(tx, &server, Action::AbortMigration.recorded_as())?;
        deed.asker.begins_on(tx, &server, migrate_server::ABORT_EVENT, server.host.as_deref())?;
        server_moves::ask(tx, one.id, "abort", deed.asker.now)
    };
    call.cx.state.db.write(write).await?;
    call.cx.state.runner.wake();
    Ok(Empty::accepted())
}
