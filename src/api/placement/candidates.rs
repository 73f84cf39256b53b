//! Allocation candidates: where a request would fit, and what those providers have.
//!
//! A request comes in groups, each of which one provider must satisfy. Every host being a tree by itself, all groups of a
//! candidate are satisfied by one host together, so it must have room for the sum of them, and what keeps groups on
//! different providers (`group_policy=isolate`) leaves none. The groups are read in [`group`].

mod group;

use super::answer::{answer, wants_json};
use super::query::Traits;
use super::versions;
use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::json::View;
use crate::http::microversion::Microversion;
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::HostId;
use crate::store::Tx;
use crate::store::providers::{self, Provider};
use crate::versioned;
use group::Groups;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub fn rows() -> Vec<Row> {
    vec![get("/allocation_candidates", list).rule("placement:allocation_candidates:list").since(10).query(&[
        "resources",
        "required",
        "member_of",
        "in_tree",
        "limit",
        "group_policy",
        "root_required",
        "same_subtree",
    ])]
}

type Amounts = BTreeMap<String, u64>;

versioned! {
    response Capacity {
        "capacity" => capacity: u64,
        "used" => used: u64,
    }
}
versioned! {
    response Summary {
        "resources" => resources: BTreeMap<String, Capacity>,
        "traits" since(17) => traits: Vec<String>,
        "parent_provider_uuid" since(29) => parent: Option<HostId>,
        "root_provider_uuid" since(29) => root: HostId,
    }
}
versioned! {
    response Candidate {
        "allocations" => allocations: FromOneHost,
        "mappings" since(34) => mappings: BTreeMap<String, Vec<HostId>>,
    }
}
versioned! {
    response Candidates {
        "allocation_requests" => requests: Vec<Candidate>,
        "provider_summaries" => summaries: BTreeMap<String, Summary>,
    }
}

/// So much of one host, in the form in which this version would take it back.
#[derive(Debug, Clone)]
pub struct FromOneHost {
    host: HostId,
    resources: Amounts,
}

impl View for FromOneHost {
    fn view<S: serde::Serializer>(&self, version: Microversion, serializer: S) -> Result<S::Ok, S::Error> {
        let (host, resources) = (self.host.to_string(), json!(self.resources));
        let shown = if version < versions::ALLOCATIONS_BY_PROVIDER {
            json!([{"resource_provider": {"uuid": host}, "resources": resources}])
        } else {
            json!({ host: {"resources": resources} })
        };
        shown.view(version, serializer)
    }

    fn schema(version: Microversion) -> Value {
        let resources = Amounts::schema(version);
        if version >= versions::ALLOCATIONS_BY_PROVIDER {
            let of_host = json!({"type": "object", "properties": {"resources": resources}});
            return json!({"type": "object", "additionalProperties": of_host});
        }
        let provider = json!({"type": "object", "properties": {"uuid": {"type": "string", "format": "uuid"}}});
        json!({"type": "array", "items": {"type": "object", "properties": {"resource_provider": provider, "resources": resources}}})
    }

    fn boundaries(into: &mut Vec<u16>) {
        into.push(versions::ALLOCATIONS_BY_PROVIDER.0);
    }
}

/// `GET /allocation_candidates`.
async fn list(call: Call) -> Result<Reply<Candidates>> {
    wants_json(&call)?;
    let groups = Groups::of(&call)?;
    let root = root_required(&call)?;
    let limit = call.query().all("limit").next().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let read = |tx: &mut Tx| Ok((providers::list(tx)?, providers::aggregates(tx)?));
    let (found, aggregates) = call.cx.state.db.read(read).await?;
    let wanted = groups.sum();
    let suits = |provider: &Provider| {
        let own = aggregates.get(&provider.id).map(Vec::as_slice).unwrap_or_default();
        let has = |class: &str, amount: u64| provider.stock(class).is_some_and(|stock| stock.has(amount));
        root.suit(provider) && groups.suit(provider, own) && wanted.iter().all(|(class, amount)| has(class, *amount))
    };
    let shows_all = call.version() >= versions::ALL_CLASSES;
    let (mut requests, mut summaries) = (Vec::new(), BTreeMap::new());
    for provider in found.into_iter().filter(suits).take(limit) {
        let mappings = groups.names().map(|name| (name.to_owned(), vec![provider.id])).collect();
        let allocations = FromOneHost { host: provider.id, resources: wanted.clone() };
        requests.push(Candidate { allocations, mappings });
        summaries.insert(provider.id.to_string(), summary(provider, |class| shows_all || wanted.contains_key(class)));
    }
    Ok(answer(&call, Candidates { requests, summaries }, None))
}

fn summary(provider: Provider, is_shown: impl Fn(&str) -> bool) -> Summary {
    let stocks = provider.stocks.iter().filter(|stock| is_shown(stock.class));
    let resources =
        stocks.map(|stock| (stock.class.to_owned(), Capacity { capacity: stock.capacity, used: stock.used })).collect();
    Summary { resources, traits: provider.traits, parent: None, root: provider.id }
}

/// What the root of a candidate's tree must be able to do: here, the host.
fn root_required(call: &Call) -> Result<Traits> {
    let mut values = call.query().all("root_required");
    let Some(value) = values.next() else { return Ok(Traits::default()) };
    if values.next().is_some() {
        return Err(Error::bad_request("Query parameter 'root_required' may be specified only once."));
    }
    let traits = Traits::of_root(value)?;
    let both: Vec<&str> =
        traits.any.iter().flatten().filter(|name| traits.none.contains(name)).map(String::as_str).collect();
    if !both.is_empty() {
        let text = format!("Conflicting required and forbidden traits found in root_required: {}", both.join(", "));
        return Err(Error::bad_request(text));
    }
    traits.unknown().map_or(Ok(traits), |unknown| Err(Error::bad_request(unknown)))
}
