//! Aggregates: hosts that an operator takes together, and the availability zones they make.

use super::common::Name;
use super::host_name::HostName;
use crate::api::{Call, Row};
use crate::cloud::aggregate::{self, Aggregate, Doing, ZONE};
use crate::error::{Error, Kind, Result};
use crate::http::json::{Invalid, Map, Maybe, Parse, Path, Text, python_repr};
use crate::http::microversion::Microversion;
use crate::http::reply::{Empty, Reply};
use crate::http::table::{action, delete, get, post, put};
use crate::store::hosts::{self, HostRow};
use crate::store::servers::Texts;
use crate::store::{Tx, aggregates};
use crate::versioned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PATH: &str = "/os-aggregates/{aggregate_id}";
const ACTION: &str = "/os-aggregates/{aggregate_id}/action";

pub fn rows() -> Vec<Row> {
    vec![
        get("/os-aggregates", index).rule("os_compute_api:os-aggregates:index"),
        post("/os-aggregates", create).rule("os_compute_api:os-aggregates:create"),
        get(PATH, show).rule("os_compute_api:os-aggregates:show"),
        put(PATH, update).rule("os_compute_api:os-aggregates:update"),
        delete(PATH, remove).rule("os_compute_api:os-aggregates:delete"),
        action(ACTION, "add_host", add_host).rule("os_compute_api:os-aggregates:add_host"),
        action(ACTION, "remove_host", remove_host).rule("os_compute_api:os-aggregates:remove_host"),
        action(ACTION, "set_metadata", set_metadata).rule("os_compute_api:os-aggregates:set_metadata"),
    ]
}

versioned! {
    response AggregateView {
        "id" => id: i64,
        "uuid" since(41) => uuid: String,
        "name" => name: String,
        "availability_zone" => availability_zone: Option<String>,
        "created_at" => created_at: String,
        "updated_at" => updated_at: Option<String>,
        "deleted" => deleted: bool,
        "deleted_at" => deleted_at: Option<String>,
        /// Not of one that was just made.
        "hosts" optional => hosts: Option<Vec<String>>,
        "metadata" optional => metadata: Option<Texts>,
    }
}
versioned! {
    response AggregateShown { "aggregate" => aggregate: AggregateView }
}
versioned! {
    response Aggregates { "aggregates" => aggregates: Vec<AggregateView> }
}

fn view(aggregate: Aggregate) -> AggregateView {
    AggregateView {
        id: aggregate.id,
        availability_zone: aggregate.zone().map(str::to_owned),
        uuid: aggregate.uuid,
        name: aggregate.name,
        created_at: aggregate.created_at.to_micros_naive(),
        updated_at: aggregate.updated_at.map(|at| at.to_micros_naive()),
        deleted: false,
        deleted_at: None,
        hosts: Some(aggregate.hosts.into_iter().map(|(_, name)| name).collect()),
        metadata: Some(aggregate.metadata),
    }
}

/// `GET /os-aggregates`.
async fn index(call: Call) -> Result<Reply<Aggregates>> {
    let all = call.cx.state.db.read(aggregates::list).await?;
    Ok(Reply::ok(Aggregates { aggregates: all.into_iter().map(view).collect() }))
}

/// The number that the path names.
fn id<B>(call: &Call<B>) -> Result<i64> {
    call.path("aggregate_id").parse().map_err(|_| Error::bad_request("id must be an integer"))
}

/// `GET /os-aggregates/{aggregate_id}`.
async fn show(call: Call) -> Result<Reply<AggregateShown>> {
    let id = id(&call)?;
    let aggregate = call.cx.state.db.read(move |tx| aggregates::get(tx, id)).await?;
    Ok(Reply::ok(AggregateShown { aggregate: view(aggregate) }))
}

/// A zone's name, which has no colon: an operator's `zone:host` is cut there.
#[derive(Debug, Clone)]
pub struct ZoneName(String);

impl Parse for ZoneName {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let Name(name) = Name::parse(value, path, version)?;
        if name.contains(':') {
            let value = Value::String(name);
            return Err(path.refuse(&value, format!("{} is not a 'az_name'", python_repr(&value))));
        }
        Ok(Self(name))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "string", "format": "az_name", "minLength": 1, "maxLength": 255})
    }
}

versioned! {
    request NewAggregate strict {
        "name" required => name: Name,
        "availability_zone" => availability_zone: Option<ZoneName>,
    }
}
versioned! {
    request AggregateCreate strict { "aggregate" required => aggregate: NewAggregate }
}

/// `POST /os-aggregates`.
async fn create(call: Call<AggregateCreate>) -> Result<Reply<AggregateShown>> {
    let new = call.body.aggregate.clone();
    let now = call.cx.state.clock.now();
    let write = move |tx: &mut Tx| {
        let zone = new.availability_zone.as_ref().map(|zone| zone.0.as_str());
        let id = aggregates::insert(tx, &new.name.0, zone, now)?;
        aggregates::get(tx, id)
    };
    let made = view(call.cx.state.db.write(write).await?);
    Ok(Reply::ok(AggregateShown { aggregate: AggregateView { hosts: None, metadata: None, ..made } }))
}

/// Changes one aggregate with all of them in sight, sees to the zones, and answers it as it is then.
async fn change<B>(
    call: &Call<B>,
    change: impl Fn(&mut Tx, &[Aggregate], &Aggregate) -> Result<()> + Send + 'static,
) -> Result<Reply<AggregateShown>> {
    let (id, now) = (id(call)?, call.cx.state.clock.now());
    let write = move |tx: &mut Tx| {
        let all = aggregates::list(tx)?;
        let one = all.iter().find(|aggregate| aggregate.id == id);
        let one = one.ok_or_else(|| Error::not_found(Kind::Aggregate, id))?;
        change(tx, &all, one)?;
        aggregates::touch(tx, id, now)?;
        aggregates::settle_hosts(tx)?;
        aggregates::get(tx, id)
    };
    let aggregate = call.cx.state.db.write(write).await?;
    Ok(Reply::ok(AggregateShown { aggregate: view(aggregate) }))
}

/// A name whose white space around is taken away.
#[derive(Debug, Clone)]
pub struct Trimmed(String);

impl Parse for Trimmed {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let Text(text) = Text::<1, 255>::parse(value, path, version)?;
        let Name(name) = Name::parse(Value::String(text.trim().to_owned()), path, version)?;
        Ok(Self(name))
    }

    fn schema(version: Microversion) -> Value {
        Name::schema(version)
    }
}

versioned! {
    request AggregateChanges strict {
        "name" => name: Maybe<Trimmed>,
        "availability_zone" => availability_zone: Maybe<Option<ZoneName>>,
    }
}
versioned! {
    request AggregateUpdate strict { "aggregate" required => aggregate: AggregateChanges }
}

/// `PUT /os-aggregates/{aggregate_id}`.
async fn update(call: Call<AggregateUpdate>) -> Result<Reply<AggregateShown>> {
    let AggregateChanges { name, availability_zone } = call.body.aggregate.clone();
    let (name, zone) = (name.given(), availability_zone.given());
    if name.is_none() && zone.is_none() {
        return Err(Error::bad_request(
            "Invalid input for field/attribute aggregate. Value: {}. {} is not valid under any of the given schemas",
        ));
    }
    change(&call, move |tx, all, one| {
        if let Some(zone) = &zone {
            let zone = zone.as_ref().map(|zone| zone.0.as_str());
            aggregate::check_zone(all, one, zone, &hosts::populations(tx)?, Doing::Update)?;
            aggregates::set_metadata(tx, one.id, ZONE, zone)?;
        }
        match &name {
            Some(name) => aggregates::rename(tx, one.id, &name.0),
            None => Ok(()),
        }
    })
    .await
}

/// `DELETE /os-aggregates/{aggregate_id}`: once no host is in it.
async fn remove(call: Call) -> Result<Empty> {
    let id = id(&call)?;
    let write = move |tx: &mut Tx| {
        if !aggregates::get(tx, id)?.hosts.is_empty() {
            return Err(Error::bad_request(format!(
                "Cannot remove host from aggregate {id}. Reason: Host aggregate is not empty."
            )));
        }
        aggregates::delete(tx, id)
    };
    call.cx.state.db.write(write).await?;
    Ok(Empty(http::StatusCode::OK, http::HeaderMap::new()))
}

versioned! {
    request WhichHost strict { "host" required => host: HostName }
}
versioned! {
    request AddHost strict { "add_host" required => add_host: WhichHost }
}
versioned! {
    request RemoveHost strict { "remove_host" required => remove_host: WhichHost }
}

fn servers_of(tx: &mut Tx, host: &HostRow) -> Result<i64> {
    Ok(hosts::populations(tx)?.get(&host.id).copied().unwrap_or(0))
}

/// Action `add_host`.
async fn add_host(call: Call<AddHost>) -> Result<Reply<AggregateShown>> {
    let name = call.body.add_host.host.0.clone();
    change(&call, move |tx, all, one| {
        let host = hosts::named(tx, &name)?;
        let servers = servers_of(tx, &host)?;
        aggregate::check_join(all, one, host.id, &name, servers)?;
        aggregates::add_host(tx, one.id, host.id)
    })
    .await
}

/// Action `remove_host`.
async fn remove_host(call: Call<RemoveHost>) -> Result<Reply<AggregateShown>> {
    let (name, id) = (call.body.remove_host.host.0.clone(), id(&call)?);
    let missing =
        move |name: &str| Error::not_found(Kind::Part, format!("Cannot remove host {name} in aggregate {id}"));
    let removed = change(&call, move |tx, all, one| {
        let host =
            hosts::named(tx, &name).map_err(|error| if error.is_not_found() { missing(&name) } else { error })?;
        if !one.has(host.id) {
            return Err(missing(&name));
        }
        let servers = servers_of(tx, &host)?;
        aggregate::check_leave(all, one, host.id, servers)?;
        aggregates::remove_host(tx, one.id, host.id)
    });
    removed.await.map_err(|error| match error {
        // An aggregate that isn't there is told in the same words.
        Error::NotFound { kind: Kind::Aggregate, .. } => missing(&call.body.remove_host.host.0),
        other => other,
    })
}

/// Text, or nothing to take a value away.
#[derive(Debug, Clone)]
pub struct MetadataChanges(BTreeMap<String, Option<String>>);

impl Parse for MetadataChanges {
    fn parse(value: Value, path: &Path<'_>, version: Microversion) -> Result<Self, Invalid> {
        let whole = value.clone();
        let mut changes = BTreeMap::new();
        for (key, value) in Map::parse(value, path, version)? {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | ' ');
            if key.is_empty() || key.len() > 255 || !key.chars().all(legal) {
                let unexpected = python_repr(&Value::String(key));
                let reason = format!("Additional properties are not allowed ({unexpected} was unexpected)");
                return Err(path.refuse(&whole, reason));
            }
            let text = Option::<Text<0, 255>>::parse(value, &Path::Key(path, &key), version)?;
            changes.insert(key, text.map(|text| text.0));
        }
        Ok(Self(changes))
    }

    fn schema(_: Microversion) -> Value {
        json!({"type": "object", "patternProperties": {"^[a-zA-Z0-9-_:. ]{1,255}$": {"type": ["string", "null"], "maxLength": 255}}, "additionalProperties": false})
    }
}

versioned! {
    request NewMetadata strict { "metadata" required => metadata: MetadataChanges }
}
versioned! {
    request SetMetadata strict { "set_metadata" required => set_metadata: NewMetadata }
}

/// Action `set_metadata`: what is named is set, or with `null` taken away; the rest stays.
async fn set_metadata(call: Call<SetMetadata>) -> Result<Reply<AggregateShown>> {
    let MetadataChanges(changes) = call.body.set_metadata.metadata.clone();
    change(&call, move |tx, all, one| {
        if let Some(zone) = changes.get(ZONE) {
            aggregate::check_zone(all, one, zone.as_deref(), &hosts::populations(tx)?, Doing::UpdateMetadata)?;
        }
        changes.iter().try_for_each(|(name, value)| aggregates::set_metadata(tx, one.id, name, value.as_deref()))
    })
    .await
}
