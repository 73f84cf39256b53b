//! Traits: their names, and which a host has.

use super::answer::{answer, of_provider, wants_json};
use super::{query, versions};
use crate::api::{Call, Row};
use crate::cloud::placement::traits;
use crate::error::{Error, Kind, Result};
use crate::http::reply::{Empty, Reply};
use crate::http::table::get;
use crate::store::providers;
use crate::versioned;
use http::{HeaderValue, header};

pub const OF_HOST: &str = "/resource_providers/{uuid}/traits";
pub const ONE: &str = "/traits/{name}";

pub fn rows() -> Vec<Row> {
    vec![
        get("/traits", list).rule("placement:traits:list").since(6).query(&["name", "associated"]),
        get(ONE, show).rule("placement:traits:show").since(6),
        get(OF_HOST, of_host).rule("placement:resource_providers:traits:list").since(6),
    ]
}

versioned! {
    response Traits { "traits" => traits: Vec<String> }
}

/// `GET /traits`: all there are, by name, or those that some host has, or none has.
async fn list(call: Call) -> Result<Reply<Traits>> {
    wants_json(&call)?;
    query::check_names(&call, |name| matches!(name, "name" | "associated"))?;
    let mut names: Vec<String> = traits::all().map(str::to_owned).collect();
    if let Some(text) = call.query().get("name") {
        match text.split_once(':') {
            Some(("in", some)) => names.retain(|name| some.split(',').any(|one| one == name)),
            Some(("startswith", beginning)) => names.retain(|name| name.starts_with(beginning)),
            Some(_) => {}
            None => {
                return Err(Error::bad_request(format!(
                    "Badly formatted name parameter. Expected name query string parameter in form: \
                     ?name=[in|startswith]:[name1,name2|prefix]. Got: \"{text}\""
                )));
            }
        }
    }
    if let Some(text) = call.query().get("associated") {
        let is_wanted = match text.to_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                return Err(Error::bad_request(
                    "The query parameter \"associated\" only accepts \"true\" or \"false\"",
                ));
            }
        };
        let used = call.cx.state.db.read(providers::traits_in_use).await?;
        names.retain(|name| used.contains(name) == is_wanted);
    }
    Ok(answer(&call, Traits { traits: names }, None))
}

/// `GET /traits/{name}`: whether there is such a one.
async fn show(call: Call) -> Result<Empty> {
    let name = call.path("name");
    if !traits::is_known(name) {
        return Err(Error::not_found(Kind::Part, format!("No such trait(s): {name}.")));
    }
    let mut found = Empty::no_content();
    if call.version() >= versions::LAST_MODIFIED {
        let now = call.cx.state.clock.now().to_http_date();
        found.1.extend(HeaderValue::from_str(&now).ok().map(|now| (header::LAST_MODIFIED, now)));
        found.1.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    Ok(found)
}

versioned! {
    response HostTraits {
        "traits" => traits: Vec<String>,
        "resource_provider_generation" => generation: i64,
    }
}

fn missing(name: &str) -> String {
    format!("No resource provider with uuid {name} found: No resource provider with uuid {name} found")
}

/// `GET /resource_providers/{uuid}/traits`.
async fn of_host(call: Call) -> Result<Reply<HostTraits>> {
    let (provider, ()) = of_provider(&call, missing, |_, _| Ok(())).await?;
    let changed = provider.updated_at;
    Ok(answer(&call, HostTraits { traits: provider.traits, generation: provider.generation }, Some(changed)))
}
