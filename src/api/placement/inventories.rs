//! Inventories: how much of each class a host has, what is kept back of it, and how often the rest may be promised.

use super::answer::{answer, of_provider};
use crate::api::{Call, Row};
use crate::cloud::placement::resources::Stock;
use crate::error::{Error, Kind, Result};
use crate::http::reply::Reply;
use crate::http::table::get;
use crate::store::providers::Provider;
use crate::versioned;
use std::collections::BTreeMap;

pub const ALL: &str = "/resource_providers/{uuid}/inventories";
pub const ONE: &str = "/resource_providers/{uuid}/inventories/{resource_class}";

pub fn rows() -> Vec<Row> {
    vec![
        get(ALL, list).rule("placement:resource_providers:inventories:list"),
        get(ONE, show).rule("placement:resource_providers:inventories:show"),
    ]
}

versioned! {
    /// What there is of a class.
    response Inventory {
        "total" => total: u64,
        "reserved" => reserved: u64,
        "min_unit" => min_unit: u64,
        "max_unit" => max_unit: u64,
        "step_size" => step_size: u64,
        "allocation_ratio" => allocation_ratio: f64,
        /// Where it is shown by itself.
        "resource_provider_generation" optional => generation: Option<i64>,
    }
}
versioned! {
    response Inventories {
        "inventories" => inventories: BTreeMap<String, Inventory>,
        "resource_provider_generation" => generation: i64,
    }
}

/// One server may have all there really is.
fn inventory(stock: &Stock, generation: Option<i64>) -> Inventory {
    Inventory {
        total: stock.total,
        reserved: stock.reserved,
        min_unit: 1,
        max_unit: stock.total,
        step_size: 1,
        allocation_ratio: stock.ratio,
        generation,
    }
}

/// Upstream says it twice.
fn missing(name: &str) -> String {
    format!("No resource provider with uuid {name} found : No resource provider with uuid {name} found")
}

/// `GET /resource_providers/{uuid}/inventories`.
async fn list(call: Call) -> Result<Reply<Inventories>> {
    let (Provider { stocks, generation, updated_at, .. }, ()) = of_provider(&call, missing, |_, _| Ok(())).await?;
    let inventories = stocks.iter().map(|stock| (stock.class.to_owned(), inventory(stock, None))).collect();
    Ok(answer(&call, Inventories { inventories, generation }, Some(updated_at)))
}

/// `GET /resource_providers/{uuid}/inventories/{resource_class}`.
async fn show(call: Call) -> Result<Reply<Inventory>> {
    let (provider, ()) = of_provider(&call, missing, |_, _| Ok(())).await?;
    let class = call.path("resource_class");
    let none = || Error::not_found(Kind::Part, format!("No inventory of class {class} for {}", call.path("uuid")));
    // A provider that has never changed has no generation to show here.
    let generation = Some(provider.generation).filter(|generation| *generation != 0);
    let shown = inventory(provider.stock(class).ok_or_else(none)?, generation);
    Ok(answer(&call, shown, Some(provider.updated_at)))
}
