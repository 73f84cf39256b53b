//! A domain's own configuration: `/v3/domains/{domain_id}/config`, and what holds where there is none.
//!
//! Nothing reads it, as with a Keystone whose operator has not turned domain-specific drivers on. The password rules of
//! the default domain can be read by anybody who has a token, so that a form can show them.

use crate::api::identity::answer::done;
use crate::api::identity::seed;
use crate::api::{Call, Row};
use crate::cloud::domain_config::{self as rules, Config, Place, invalid};
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::Map;
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, put};
use crate::ids::DomainId;
use crate::store::{Tx, domain_config as store, projects};
use http::StatusCode;
use serde_json::{Value, json};

const ALL: &str = "/v3/domains/{domain_id}/config";
const GROUP: &str = "/v3/domains/{domain_id}/config/{group}";
const OPTION: &str = "/v3/domains/{domain_id}/config/{group}/{option}";
/// The one group that everybody may read, and so has rows of its own.
const COMPLIANCE: &str = "/v3/domains/{domain_id}/config/security_compliance";
const COMPLIANCE_OPTION: &str = "/v3/domains/{domain_id}/config/security_compliance/{option}";

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        put(ALL, create).rule("identity:create_domain_config"),
        get(COMPLIANCE, show_compliance).rule("identity:get_security_compliance_domain_config"),
        get(COMPLIANCE_OPTION, show_compliance).rule("identity:get_security_compliance_domain_config"),
        get("/v3/domains/config/default", show_default).rule("identity:get_domain_config_default"),
        get("/v3/domains/config/{group}/default", show_default).rule("identity:get_domain_config_default"),
        get("/v3/domains/config/{group}/{option}/default", show_default).rule("identity:get_domain_config_default"),
    ];
    for path in [ALL, GROUP, OPTION] {
        rows.push(get(path, show).rule("identity:get_domain_config"));
    }
    for path in [ALL, GROUP, OPTION, COMPLIANCE, COMPLIANCE_OPTION] {
        rows.push(patch(path, update).rule("identity:update_domain_config"));
        rows.push(delete(path, remove).rule("identity:delete_domain_config"));
    }
    rows
}

crate::versioned! {
    request ConfigBody open {
        "config" required => config: Map,
    }
}

/// The part of a configuration that the path names.
fn place<B>(call: &Call<B>) -> Place {
    let compliance = call.head.path.contains("/config/security_compliance").then_some("security_compliance");
    let named = |name: &str| call.head.params.get(name);
    Place::of(named("group").or(compliance), named("option"))
}

/// A part of a configuration as it is answered: a lone option without its group.
fn answer(status: StatusCode, place: &Place, config: &Config) -> RawReply {
    let alone = place.option().and_then(|option| {
        let value = config.get(place.group()?)?.get(option)?;
        Some(json!({ option: value }))
    });
    RawReply::json(status, &json!({"config": alone.unwrap_or_else(|| json!(config))}))
}

fn domain_of<B>(call: &Call<B>) -> DomainId {
    DomainId::from(call.path("domain_id"))
}

fn check_domain(tx: &mut Tx, domain: &DomainId) -> Result<()> {
    projects::domain(tx, domain)?.ok_or_else(|| Error::not_found(Kind::Domain, domain)).map(drop)
}

/// What is configured at a place.
///
/// # Errors
/// `NotFound` when nothing is.
fn found(tx: &mut Tx, domain: &DomainId, place: &Place) -> Result<Config> {
    let config = store::get(tx, domain, place)?;
    if config.is_empty() { Err(Error::not_found(Kind::Part, place.missing(domain.as_str()))) } else { Ok(config) }
}

async fn show(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (domain, place) = (domain_of(&call), place(&call));
    rules::check_place(&place)?;
    let asked = place.clone();
    let read = move |tx: &mut Tx| {
        check_domain(tx, &domain)?;
        found(tx, &domain, &asked)
    };
    let config = call.cx.state.db.read(read).await?;
    Ok(answer(StatusCode::OK, &place, &config))
}

async fn create(call: Call<ConfigBody>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let domain = domain_of(&call);
    let config = rules::checked(call.body.config.clone())?;
    rules::check_served(&config, call.cx.state.identity.settings.keep_foreign_domain_config)?;
    let write = move |tx: &mut Tx| {
        check_domain(tx, &domain)?;
        let is_new = store::get(tx, &domain, &Place::All)?.is_empty();
        store::clear(tx, &domain, &Place::All)?;
        store::merge(tx, &domain, &config)?;
        Ok((is_new, found(tx, &domain, &Place::All)?))
    };
    let (is_new, config) = call.cx.state.db.write(write).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, &Place::All, &config))
}

async fn update(call: Call<ConfigBody>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (domain, place) = (domain_of(&call), place(&call));
    let given = match &place {
        // An option comes without its group.
        Place::Option(group, _) => Map::from_iter([(group.clone(), Value::Object(call.body.config.clone()))]),
        Place::All | Place::Group(_) => call.body.config.clone(),
    };
    let config = rules::checked(given)?;
    rules::check_place(&place)?;
    rules::check_within(&config, &place)?;
    rules::check_served(&config, call.cx.state.identity.settings.keep_foreign_domain_config)?;
    let write = move |tx: &mut Tx| {
        check_domain(tx, &domain)?;
        if place != Place::All {
            found(tx, &domain, &place)?;
        }
        store::merge(tx, &domain, &config)?;
        found(tx, &domain, &Place::All)
    };
    let config = call.cx.state.db.write(write).await?;
    Ok(answer(StatusCode::OK, &Place::All, &config))
}

async fn remove(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let (domain, place) = (domain_of(&call), place(&call));
    rules::check_place(&place)?;
    let write = move |tx: &mut Tx| {
        check_domain(tx, &domain)?;
        if place != Place::All {
            found(tx, &domain, &place)?;
        }
        store::clear(tx, &domain, &place)
    };
    call.cx.state.db.write(write).await?;
    Ok(done())
}

async fn show_default(call: Call) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let place = Place::of(call.head.params.get("group"), call.head.params.get("option"));
    rules::check_place(&place)?;
    let mut config = rules::defaults();
    if let Some(group) = place.group() {
        config.retain(|name, _| name == group);
        let has = |option: &str| config.get(group).is_some_and(|options| options.contains_key(option));
        if let Some(option) = place.option().filter(|option| !has(option)) {
            let text = format!("Reading the default for option {option} in group {group} is not supported");
            return Err(invalid(text));
        }
    }
    Ok(answer(StatusCode::OK, &place, &config))
}

async fn show_compliance(call: Call) -> Result<RawReply> {
    let place = place(&call);
    if call.path("domain_id") != seed::DOMAIN {
        return Err(invalid(
            "Reading security compliance information for any domain other than the default domain is not allowed or supported",
        ));
    }
    let readable = call.cx.state.identity.settings.shown_compliance();
    if place.option().is_some_and(|option| !readable.contains_key(option)) {
        return Err(invalid(
            "Reading security compliance values other than password_regex and password_regex_description is not allowed",
        ));
    }
    Ok(answer(StatusCode::OK, &place, &Config::from([("security_compliance".to_owned(), readable)])))
}
