//! Allocations: what each server holds, and who holds something of a host.

use super::answer::{answer, of_provider, wants_json};
use super::usages::SERVER;
use crate::api::{Call, Row};
use crate::cloud::placement::resources;
use crate::error::Result;
use crate::http::json::View;
use crate::http::microversion::Microversion;
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::ServerId;
use crate::store::Tx;
use crate::store::providers::{self, Holding, Provider};
use crate::versioned;
use serde_json::Value;
use std::collections::BTreeMap;

pub const OF_CONSUMER: &str = "/allocations/{consumer_uuid}";

pub fn rows() -> Vec<Row> {
    vec![
        get("/resource_providers/{uuid}/allocations", of_host).rule("placement:resource_providers:allocations:list"),
        get(OF_CONSUMER, of_server).rule("placement:allocations:list"),
    ]
}

type Amounts = BTreeMap<String, u64>;

fn amounts(holding: &Holding) -> Amounts {
    resources::amounts(holding.held).map(|(class, amount)| (class.to_owned(), amount)).collect()
}

versioned! {
    response Held {
        "resources" => resources: Amounts,
        "consumer_generation" since(28) => generation: i64,
    }
}
versioned! {
    response HostAllocations {
        "allocations" => allocations: BTreeMap<String, Held>,
        "resource_provider_generation" => generation: i64,
    }
}

fn missing(name: &str) -> String {
    format!("Resource provider '{name}' not found: No resource provider with uuid {name} found")
}

/// `GET /resource_providers/{uuid}/allocations`.
async fn of_host(call: Call) -> Result<Reply<HostAllocations>> {
    let held = |tx: &mut Tx, provider: &Provider| providers::held_of(tx, provider.id);
    let (provider, held) = of_provider(&call, missing, held).await?;
    let changed = held.iter().map(|holding| holding.since).max();
    let one = |holding: &Holding| Held { resources: amounts(holding), generation: holding.server_generation };
    let allocations = held.iter().map(|holding| (holding.server.to_string(), one(holding))).collect();
    Ok(answer(&call, HostAllocations { allocations, generation: provider.generation }, changed))
}

versioned! {
    response HeldOfHost {
        "resources" => resources: Amounts,
        "generation" => generation: i64,
    }
}

/// A value that is left out where nothing is held.
#[derive(Debug, Clone)]
pub struct IfHeld<V>(Option<V>);

impl<V: View> View for IfHeld<V> {
    fn view<S: serde::Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.view(version, serializer)
    }

    fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    fn schema(version: Microversion) -> Value {
        V::schema(version)
    }
}

versioned! {
    response Allocations {
        "allocations" => allocations: BTreeMap<String, HeldOfHost>,
        "project_id" since(12) optional => project_id: IfHeld<String>,
        "user_id" since(12) optional => user_id: IfHeld<String>,
        "consumer_generation" since(28) optional => generation: IfHeld<i64>,
        "consumer_type" since(38) optional => kind: IfHeld<&'static str>,
    }
}

/// `GET /allocations/{consumer_uuid}`: whoever is no server holds nothing.
async fn of_server(call: Call) -> Result<Reply<Allocations>> {
    wants_json(&call)?;
    let held = match ServerId::parse(call.path("consumer_uuid")) {
        None => Vec::new(),
        Some(id) => call.cx.state.db.read(move |tx| providers::held_by(tx, id)).await?,
    };
    let changed = held.iter().map(|holding| holding.since).max();
    let one = |holding: &Holding| HeldOfHost { resources: amounts(holding), generation: holding.host_generation };
    let first = held.first();
    let shown = Allocations {
        allocations: held.iter().map(|holding| (holding.host.to_string(), one(holding))).collect(),
        project_id: IfHeld(first.map(|holding| holding.project_id.to_string())),
        user_id: IfHeld(first.map(|holding| holding.user_id.to_string())),
        generation: IfHeld(first.map(|holding| holding.server_generation)),
        kind: IfHeld(first.map(|_| SERVER)),
    };
    Ok(answer(&call, shown, changed))
}
