//! Servers: made with a request, changed by the tasks that work on them, kept a while after their end.

mod aside;
mod change;
mod root_tag;
mod seen;

pub use aside::{Aside, BlankChange, Left, Rescue, Resized, Shelved};
pub use change::{Change, update};
pub use root_tag::{root_tag, set_root_tag};

use super::{Json, OrNotFound, Row, Tx, Value, args};
use crate::clock::Timestamp;
use crate::cloud::blank_disks::BlankDisk;
use crate::cloud::boot::Base;
use crate::cloud::flavor::Flavor;
use crate::cloud::policy::Reach;
use crate::cloud::server::{Situation, State, Task};
use crate::error::{Error, Kind, Result};
use crate::ids::{HostId, ImageId, ProjectId, ServerId, UserId};
use seen::Seen;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Text to text, as metadata, hints and image properties are.
pub type Texts = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    pub id: ServerId,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub name: String,
    pub hostname: String,
    pub description: Option<String>,
    pub state: State,
    pub task: Option<Task>,
    /// As the host last said: `running`, `paused`, `shutdown`, `crashed`, `suspended`, or `unknown`.
    pub power: String,
    pub host_id: Option<HostId>,
    /// The host's name and zone; read only.
    pub host: Option<String>,
    pub host_zone: Option<String>,
    pub flavor: Arc<Flavor>,
    pub image_id: Option<ImageId>,
    pub image_properties: Texts,
    /// The image's bytes, as they were when the server was made.
    pub base: Option<Arc<Base>>,
    pub key_name: Option<String>,
    pub public_key: Option<String>,
    pub metadata: Texts,
    /// As the client sent it, in base64.
    pub user_data: Option<String>,
    pub personality: Vec<(String, Vec<u8>)>,
    pub config_drive: bool,
    /// The zone that the request asked for: the server is pinned to it.
    pub availability_zone: Option<String>,
    pub reservation_id: String,
    pub launch_index: i64,
    pub scheduler_hints: serde_json::Value,
    pub access_ip_v4: String,
    pub access_ip_v6: String,
    pub disk_config: String,
    /// `owner` or `admin`.
    pub locked_by: Option<String>,
    pub locked_reason: Option<String>,
    pub progress: i64,
    pub fault: Option<Fault>,
    pub launched_at: Option<Timestamp>,
    pub terminated_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    /// Ids of the certificates that may have signed its image.
    pub trusted_certificates: Option<Vec<String>>,
    pub aside: Aside,
    /// Ephemeral disks and swap, in the order in which the guest finds them.
    pub blank_disks: Vec<BlankDisk>,
}

impl Server {
    /// What the rules of [`crate::cloud::server`] look at.
    pub fn situation(&self) -> Situation {
        Situation {
            state: self.state,
            task: self.task,
            has_launched: self.launched_at.is_some(),
            is_locked: self.locked_by.is_some(),
            is_on_host: self.host_id.is_some(),
        }
    }
}

/// Why the last work on a server failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub code: u16,
    pub message: String,
    pub details: Option<String>,
    pub created: Timestamp,
}

const COLUMNS: &str =
    "s.id, s.project_id, s.user_id, s.name, s.hostname, s.description, s.state, s.task, s.power, s.host_id,
    h.name, h.zone, s.flavor, s.image_id, s.image_properties, s.base, s.key_name,
    s.public_key, s.metadata, s.user_data, s.personality, s.config_drive, s.availability_zone, s.reservation_id,
    s.launch_index, s.scheduler_hints, s.access_ip_v4, s.access_ip_v6, s.disk_config, s.locked_by, s.locked_reason,
    s.progress, s.fault, s.launched_at, s.terminated_at, s.created_at, s.updated_at, s.deleted_at,
    s.trusted_certificates, s.aside, s.blank_disks";

/// With the host's row, where there is one: read once for its name and its zone.
const TABLES: &str = "servers s LEFT JOIN hosts h ON h.id = s.host_id";

fn word<T>(parse: fn(&str) -> Option<T>, text: &str) -> Result<T> {
    parse(text).ok_or_else(|| Error::internal("a server's row holds a word of another program", text.to_owned()))
}

/// What rows of one answer have in common is read once.
#[derive(Default)]
struct Reader {
    flavors: Seen<Flavor>,
    bases: Seen<Base>,
}

fn from_row(row: Row) -> Result<Server> {
    Reader::default().server(row)
}

fn from_rows(tx: &mut Tx, sql: &str, arguments: &[Value]) -> Result<Vec<Server>> {
    let reader = Reader::default();
    tx.query_map(sql, arguments, |row| reader.server(row))
}

impl Reader {
    fn server(&self, mut row: Row) -> Result<Server> {
        Ok(Server {
            id: row.next()?,
            project_id: row.next()?,
            user_id: row.next()?,
            name: row.next()?,
            hostname: row.next()?,
            description: row.next()?,
            state: word(State::parse, &row.next::<String>()?)?,
            task: row.next::<Option<String>>()?.map(|text| word(Task::parse, &text)).transpose()?,
            power: row.next()?,
            host_id: row.next()?,
            host: row.next()?,
            host_zone: row.next()?,
            flavor: self.flavors.read(&mut row)?,
            image_id: row.next()?,
            image_properties: row.next::<Json<Texts>>()?.0,
            base: self.bases.read_some(&mut row)?,
            key_name: row.next()?,
            public_key: row.next()?,
            metadata: row.next::<Json<Texts>>()?.0,
            user_data: row.next()?,
            personality: row.next::<Option<Json<Vec<(String, Vec<u8>)>>>>()?.map(|json| json.0).unwrap_or_default(),
            config_drive: row.next()?,
            availability_zone: row.next()?,
            reservation_id: row.next()?,
            launch_index: row.next()?,
            scheduler_hints: row.next::<Json<serde_json::Value>>()?.0,
            access_ip_v4: row.next()?,
            access_ip_v6: row.next()?,
            disk_config: row.next()?,
            locked_by: row.next()?,
            locked_reason: row.next()?,
            progress: row.next()?,
            fault: row.next::<Option<Json<Fault>>>()?.map(|json| json.0),
            launched_at: row.next()?,
            terminated_at: row.next()?,
            created_at: row.next()?,
            updated_at: row.next()?,
            deleted_at: row.next()?,
            trusted_certificates: row.next::<Option<Json<Vec<String>>>>()?.map(|json| json.0),
            aside: row.next::<Option<Json<Aside>>>()?.map(|json| json.0).unwrap_or_default(),
            blank_disks: row.next::<Option<Json<Vec<BlankDisk>>>>()?.map(|json| json.0).unwrap_or_default(),
        })
    }
}

/// As the row keeps them: none are no text.
fn kept(disks: &[BlankDisk]) -> Option<Json<Vec<BlankDisk>>> {
    (!disks.is_empty()).then(|| Json(disks.to_vec()))
}

pub fn insert(tx: &mut Tx, server: &Server) -> Result<()> {
    let personality = if server.personality.is_empty() { None } else { Some(Json(server.personality.clone())) };
    tx.execute(
        "INSERT INTO servers (id, project_id, user_id, name, hostname, description, state, task, power, flavor, flavor_id,
                image_id, image_properties, base, key_name, public_key, metadata, user_data, personality, config_drive,
                availability_zone, reservation_id, launch_index, scheduler_hints, access_ip_v4, access_ip_v6, disk_config,
                trusted_certificates, blank_disks, progress, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
                 ?24, ?25, ?26, ?27, ?28, ?29, 0, ?30, ?30)",
        args![
            server.id,
            &server.project_id,
            &server.user_id,
            &server.name,
            &server.hostname,
            &server.description,
            server.state.word(),
            server.task.map(Task::word),
            &server.power,
            Json(&*server.flavor),
            &server.flavor.id,
            server.image_id,
            Json(&server.image_properties),
            server.base.as_deref().map(Json),
            &server.key_name,
            &server.public_key,
            Json(&server.metadata),
            &server.user_data,
            personality,
            server.config_drive,
            &server.availability_zone,
            &server.reservation_id,
            server.launch_index,
            Json(&server.scheduler_hints),
            &server.access_ip_v4,
            &server.access_ip_v6,
            &server.disk_config,
            server.trusted_certificates.as_ref().map(Json),
            kept(&server.blank_disks),
            server.created_at
        ],
    )?;
    Ok(())
}

/// One server that is not deleted.
///
/// # Errors
/// `NotFound` also for what is beyond the reach.
pub fn get(tx: &mut Tx, reach: &Reach, id: ServerId) -> Result<Server> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE s.id = ?1 AND (s.project_id = ?2 OR ?2 IS NULL) AND s.deleted_at IS NULL"
    );
    tx.query_one(&sql, args![id, reach.project()?])?.or_not_found(Kind::Server, id).and_then(from_row)
}

/// One server, also after its end: instance actions outlive it.
pub fn get_even_deleted(tx: &mut Tx, reach: &Reach, id: ServerId) -> Result<Server> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE s.id = ?1 AND (s.project_id = ?2 OR ?2 IS NULL)");
    tx.query_one(&sql, args![id, reach.project()?])?.or_not_found(Kind::Server, id).and_then(from_row)
}

/// What a list asks of the rows; finer filters look at the rows themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `None`: deleted or not.
    pub deleted: Option<bool>,
    /// With those that are deleted but not for good; `None`: where the deleted are asked for.
    pub soft_deleted: Option<bool>,
    pub changed_since: Option<Timestamp>,
    pub changed_before: Option<Timestamp>,
    /// The newest so many, after a server; only for the default order.
    pub newest: Option<(usize, Option<ServerId>)>,
}

/// Newest first.
pub fn list(tx: &mut Tx, reach: &Reach, filter: &Filter) -> Result<Vec<Server>> {
    let (limit, marker) = filter.newest.unwrap_or((usize::MAX, None));
    let after = match marker {
        None => None,
        Some(id) => {
            let sql = "SELECT created_at FROM servers WHERE id = ?1 AND (project_id = ?2 OR ?2 IS NULL)";
            let row = tx.query_one(sql, args![id, reach.project()?])?;
            let mut row = row.ok_or_else(|| Error::bad_request(format!("marker [{id}] not found")))?;
            Some((row.next::<Timestamp>()?, id))
        }
    };
    let project = reach.project()?;
    // Only what is asked for is in the statement, so that an index leads to the rows: what others have costs nothing.
    let (mut conditions, mut arguments) = (vec!["1 = 1".to_owned()], Vec::new());
    let mut given = |value: Value| {
        arguments.push(value);
        arguments.len()
    };
    if let Some(project) = project {
        conditions.push(format!("s.project_id = ?{}", given(project.into())));
    }
    let soft = filter.soft_deleted.unwrap_or(filter.deleted == Some(true));
    match (filter.deleted, soft) {
        (None, _) => {}
        (Some(false), true) => conditions.push("s.deleted_at IS NULL".to_owned()),
        (Some(false), false) => conditions.push("s.deleted_at IS NULL AND s.state <> 'soft-delete'".to_owned()),
        (Some(true), true) => conditions.push("(s.deleted_at IS NOT NULL OR s.state = 'soft-delete')".to_owned()),
        (Some(true), false) => conditions.push("s.deleted_at IS NOT NULL".to_owned()),
    }
    if let Some(since) = filter.changed_since {
        conditions.push(format!("s.updated_at >= ?{}", given(since.into())));
    }
    if let Some(before) = filter.changed_before {
        conditions.push(format!("s.updated_at <= ?{}", given(before.into())));
    }
    if let Some((at, id)) = after {
        conditions.push(format!("(s.created_at, s.id) < (?{}, ?{})", given(at.into()), given(id.into())));
    }
    let limit = given(i64::try_from(limit).unwrap_or(i64::MAX).into());
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE {} ORDER BY s.created_at DESC, s.id DESC LIMIT ?{limit}",
        conditions.join(" AND ")
    );
    from_rows(tx, &sql, &arguments)
}

/// Sets what a host said of a server's power, unless work on the server goes on; `true` when that changed the row.
pub fn observe_power(tx: &mut Tx, id: ServerId, state: State, power: &str, now: Timestamp) -> Result<bool> {
    let sql = "UPDATE servers SET state = ?2, power = ?3, updated_at = ?4
                WHERE id = ?1 AND deleted_at IS NULL AND task IS NULL AND (state <> ?2 OR power <> ?3)";
    Ok(tx.execute(sql, args![id, state.word(), power, now])? > 0)
}

pub fn tags(tx: &mut Tx, id: ServerId) -> Result<Vec<String>> {
    tx.query("SELECT tag FROM server_tags WHERE server_id = ?1 ORDER BY tag", args![id])?
        .into_iter()
        .map(|mut row| row.next())
        .collect()
}

/// Those of several servers.
pub fn tags_of(tx: &mut Tx, ids: &[ServerId]) -> Result<HashMap<ServerId, Vec<String>>> {
    let mut found: HashMap<ServerId, Vec<String>> = HashMap::new();
    // Engines bound the number of parameters.
    for some in ids.chunks(500) {
        let numbers: Vec<String> = (1..=some.len()).map(|n| format!("?{n}")).collect();
        let sql =
            format!("SELECT server_id, tag FROM server_tags WHERE server_id IN ({}) ORDER BY tag", numbers.join(", "));
        let arguments: Vec<Value> = some.iter().map(Value::from).collect();
        for mut row in tx.query(&sql, &arguments)? {
            found.entry(row.next()?).or_default().push(row.next()?);
        }
    }
    Ok(found)
}

/// Adds a tag; `false` when it was there.
pub fn add_tag(tx: &mut Tx, id: ServerId, tag: &str) -> Result<bool> {
    let sql = "INSERT INTO server_tags (server_id, tag) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, args![id, tag])? > 0)
}

/// Removes a tag; `false` when it was not there.
pub fn remove_tag(tx: &mut Tx, id: ServerId, tag: &str) -> Result<bool> {
    Ok(tx.execute("DELETE FROM server_tags WHERE server_id = ?1 AND tag = ?2", args![id, tag])? > 0)
}

pub fn clear_tags(tx: &mut Tx, id: ServerId) -> Result<()> {
    tx.execute("DELETE FROM server_tags WHERE server_id = ?1", args![id])?;
    Ok(())
}

/// Servers, deleted or not, that ran at some time in a period: what usage is counted from.
pub fn ran_between(tx: &mut Tx, project: Option<&ProjectId>, from: Timestamp, until: Timestamp) -> Result<Vec<Server>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES}
          WHERE (s.project_id = ?1 OR ?1 IS NULL) AND s.launched_at IS NOT NULL AND s.launched_at < ?3
            AND (s.terminated_at IS NULL OR s.terminated_at > ?2)
          ORDER BY s.project_id, s.created_at, s.id"
    );
    from_rows(tx, &sql, args![project, from, until])
}

/// A server that a host should have: as much of it as is held against what the host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub id: ServerId,
    pub state: State,
    pub power: String,
    /// It ran once, and nobody works on it.
    pub is_settled: bool,
}

/// Every server that a host should have. Asked again and again, so little of each.
pub fn expected_on(tx: &mut Tx, host: HostId) -> Result<Vec<Expected>> {
    let sql = "SELECT id, state, power, CASE WHEN task IS NULL AND launched_at IS NOT NULL THEN 1 ELSE 0 END
                 FROM servers WHERE host_id = ?1 AND deleted_at IS NULL";
    tx.query_map(sql, args![host], |mut row| {
        let (id, state) = (row.next()?, word(State::parse, &row.next::<String>()?)?);
        Ok(Expected { id, state, power: row.next()?, is_settled: row.next()? })
    })
}

/// Servers at rest in a state in which they wait for somebody, or for time to pass.
pub fn waiting(tx: &mut Tx, state: State) -> Result<Vec<Server>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE s.state = ?1 AND s.task IS NULL AND s.deleted_at IS NULL
          ORDER BY s.created_at, s.id"
    );
    from_rows(tx, &sql, args![state.word()])
}

/// Where each of these servers is, as far as they are there: on a host, or on none yet.
pub fn places(tx: &mut Tx, ids: &[ServerId]) -> Result<HashMap<ServerId, Option<HostId>>> {
    let mut found = HashMap::new();
    // Engines bound the number of parameters.
    for some in ids.chunks(500) {
        let numbers: Vec<String> = (1..=some.len()).map(|n| format!("?{n}")).collect();
        let sql =
            format!("SELECT id, host_id FROM servers WHERE deleted_at IS NULL AND id IN ({})", numbers.join(", "));
        let arguments: Vec<Value> = some.iter().map(Value::from).collect();
        for mut row in tx.query(&sql, &arguments)? {
            found.insert(row.next()?, row.next()?);
        }
    }
    Ok(found)
}
