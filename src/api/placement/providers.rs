//! Providers: hosts, each with its generation, its place in a tree of one, and the aggregates it is in.

use super::answer::{Link, answer, of_provider, wants_json};
use super::query::{self, Members, Traits};
use super::versions;
use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::microversion::Microversion;
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::ids::HostId;
use crate::store::Tx;
use crate::store::providers::{self, Provider};
use crate::versioned;

pub const ONE: &str = "/resource_providers/{uuid}";

pub fn rows() -> Vec<Row> {
    vec![
        get("/resource_providers", list).rule("placement:resource_providers:list").query(QUERY),
        get(ONE, show).rule("placement:resource_providers:show"),
        get("/resource_providers/{uuid}/aggregates", aggregates)
            .rule("placement:resource_providers:aggregates:list")
            .since(1),
    ]
}

const QUERY: &[&str] = &["name", "uuid", "member_of", "resources", "in_tree", "required"];
const SINCE: &[(&str, Option<Microversion>)] = &[
    ("name", None),
    ("uuid", None),
    ("member_of", Some(versions::MEMBER_OF)),
    ("resources", Some(versions::BY_RESOURCES)),
    ("in_tree", Some(versions::TREES)),
    ("required", Some(versions::BY_TRAITS)),
];

versioned! {
    /// A host as a provider.
    response Shown {
        "uuid" => uuid: HostId,
        "name" => name: String,
        "generation" => generation: i64,
        "links" => links: Vec<Link>,
        "parent_provider_uuid" since(14) => parent: Option<HostId>,
        "root_provider_uuid" since(14) => root: HostId,
    }
}
versioned! {
    response Listed { "resource_providers" => providers: Vec<Shown> }
}

fn shown(call: &Call, provider: Provider) -> Shown {
    let (version, id) = (call.version(), provider.id);
    let own = format!("{}/resource_providers/{id}", super::SERVICE.prefix);
    let under = [
        ("inventories", None),
        ("usages", None),
        ("aggregates", Some(versions::AGGREGATES)),
        ("traits", Some(versions::TRAITS)),
        ("allocations", Some(versions::ALLOCATIONS_LINK)),
    ];
    let under = under.into_iter().filter(|(_, since)| since.is_none_or(|since| version >= since));
    let mut links: Vec<Link> = under.map(|(rel, _)| Link { rel, href: format!("{own}/{rel}") }).collect();
    links.insert(0, Link { rel: "self", href: own });
    Shown { uuid: id, name: provider.name, generation: provider.generation, links, parent: None, root: id }
}

/// That there is no such provider, as upstream says it.
pub fn missing(name: &str) -> String {
    format!("No resource provider with uuid {name} found")
}

/// `GET /resource_providers`.
async fn list(call: Call) -> Result<Reply<Listed>> {
    wants_json(&call)?;
    query::check_since(&call, SINCE)?;
    let (uuid, in_tree) = (query::uuid(&call, "uuid")?, query::uuid(&call, "in_tree")?);
    let members = Members::of(&call, "member_of")?;
    let required = Traits::of(&call, "required")?;
    let wanted = call.query().get("resources").map(query::resources).transpose()?.unwrap_or_default();
    query::check_classes(&wanted)?;
    if let Some(unknown) = required.unknown() {
        return Err(Error::bad_request(format!("Invalid trait(s) in \"required\" parameter: {unknown}")));
    }
    let read = |tx: &mut Tx| Ok((providers::list(tx)?, providers::aggregates(tx)?));
    let (mut found, aggregates) = call.cx.state.db.read(read).await?;
    let name = call.query().get("name");
    // Each host is a tree by itself.
    let is_named = |id: HostId| [uuid, in_tree].into_iter().flatten().all(|text| query::is_same_uuid(text, id));
    let is_in = |id: HostId| members.suit(aggregates.get(&id).map(Vec::as_slice).unwrap_or_default());
    found.retain(|provider| {
        is_named(provider.id)
            && name.is_none_or(|name| provider.name == name)
            && is_in(provider.id)
            && required.suit(provider)
            && wanted.iter().all(|(class, amount)| provider.stock(class).is_some_and(|stock| stock.has(*amount)))
    });
    let changed = found.iter().map(|provider| provider.updated_at).max();
    let providers = found.into_iter().map(|provider| shown(&call, provider)).collect();
    Ok(answer(&call, Listed { providers }, changed))
}

/// `GET /resource_providers/{uuid}`.
async fn show(call: Call) -> Result<Reply<Shown>> {
    let (provider, ()) = of_provider(&call, missing, |_, _| Ok(())).await?;
    let changed = provider.updated_at;
    let shown = shown(&call, provider);
    Ok(answer(&call, shown, Some(changed)))
}

versioned! {
    response Aggregates {
        "aggregates" => aggregates: Vec<String>,
        "resource_provider_generation" since(19) => generation: i64,
    }
}

/// `GET /resource_providers/{uuid}/aggregates`: compute's, by their UUIDs.
async fn aggregates(call: Call) -> Result<Reply<Aggregates>> {
    let own =
        |tx: &mut Tx, provider: &Provider| Ok(providers::aggregates(tx)?.remove(&provider.id).unwrap_or_default());
    let (provider, aggregates) = of_provider(&call, missing, own).await?;
    Ok(answer(&call, Aggregates { aggregates, generation: provider.generation }, None))
}
