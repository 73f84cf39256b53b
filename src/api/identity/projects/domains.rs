//! Domains: `/v3/domains`. A domain is a project that acts as one; disabling it shuts out all that is in it.

use crate::api::identity::answer::{Change, done, extra_of, merged, mutable, permitted, shown, unchanged};
use crate::api::identity::fields::{Name, NonEmpty, Options, TagList};
use crate::api::identity::pages::{self, Attribute};
use crate::api::identity::projects::project_tree;
use crate::api::identity::targets;
use crate::api::{Call, Row};
use crate::cloud::identity::Project;
use crate::cloud::listing::Test;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::ids::{DomainId, ProjectId};
use crate::store::Tx;
use crate::store::projects::{self, Tags};
use http::StatusCode;
use serde_json::json;

/// What `GET /v3/domains` may be asked for.
const ATTRIBUTES: &[Attribute] = &[Attribute::Name(64), Attribute::Truth("enabled")];

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/domains", list).rule("identity:list_domains").query(&["enabled", "limit", "marker", "name"]),
        post("/v3/domains", create).rule("identity:create_domain"),
        get("/v3/domains/{domain_id}", show).rule("identity:get_domain"),
        patch("/v3/domains/{domain_id}", update).rule("identity:update_domain"),
        delete("/v3/domains/{domain_id}", remove).rule("identity:delete_domain"),
    ]
}

crate::versioned! {
    request DomainCreate strict {
        "domain" required => domain: NewDomain,
    }
}

crate::versioned! {
    request NewDomain open {
        "name" required      => name: Name<64>,
        "explicit_domain_id" => explicit_domain_id: Option<String>,
        "description"        => description: Option<Text<0, 255>>,
        "enabled"            => enabled: Maybe<bool>,
        "tags"               => tags: Maybe<TagList>,
        "options"            => options: Maybe<Options>;
        flatten              => extra
    }
}

crate::versioned! {
    request DomainUpdate strict {
        "domain" required => domain: NonEmpty<DomainChange>,
    }
}

crate::versioned! {
    request DomainChange open {
        "name"        => name: Maybe<Name<64>>,
        "description" => description: Maybe<Option<Text<0, 255>>>,
        "enabled"     => enabled: Maybe<bool>,
        "tags"        => tags: Maybe<TagList>,
        "options"     => options: Maybe<Options>;
        flatten       => extra
    }
}

pub fn view(domain: &Project) -> Map {
    let mut view = domain.extra.clone();
    view.insert("id".to_owned(), json!(domain.id));
    view.insert("name".to_owned(), json!(domain.name));
    view.insert("description".to_owned(), json!(domain.description));
    view.insert("enabled".to_owned(), json!(domain.enabled));
    view.insert("tags".to_owned(), json!(domain.tags));
    view.insert("options".to_owned(), json!(domain.options));
    view
}

fn answer<B>(call: &Call<B>, status: StatusCode, domain: &Project) -> RawReply {
    shown(call, status, "domain", &format!("/domains/{}", domain.id), view(domain))
}

async fn of_path<B>(call: &Call<B>) -> Result<Project> {
    let id = DomainId::from(call.path("domain_id"));
    let wanted = id.clone();
    permitted(call, Kind::Domain, &id.0, move |tx| projects::domain(tx, &wanted), targets::domain).await
}

async fn list(call: Call) -> Result<RawReply> {
    let listing = pages::in_own_domain(&call, pages::asked(&call, ATTRIBUTES)?, "id");
    let listing = listing.with("is_domain", Test::Truth(true));
    let wanted = listing.clone();
    let found = call.cx.state.db.read(move |tx| projects::page(tx, &wanted, &Tags::default())).await?;
    let items = found.items.iter().filter(|domain| call.cx.permits(&targets::domain(domain))).map(view).collect();
    Ok(pages::page(&call, "domains", items, pages::next(&call, &found, &listing, |domain| domain.id.as_str())))
}

async fn show(call: Call) -> Result<RawReply> {
    let domain = of_path(&call).await?;
    Ok(answer(&call, StatusCode::OK, &domain))
}

/// # Errors
/// `BadRequest` for an id of the operator's choice that is not of the form we choose ours in.
fn explicit_id(id: &str) -> Result<ProjectId> {
    let is_plain = |id: &str| uuid::Uuid::try_parse(id).is_ok_and(|parsed| parsed.simple().to_string() == id);
    if is_plain(id) {
        return Ok(ProjectId(id.to_owned()));
    }
    Err(Error::bad_request("Domain ID does not conform to required UUID format."))
}

async fn create(call: Call<DomainCreate>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let new = call.body.domain.clone();
    let id = match &new.explicit_domain_id {
        Some(id) => explicit_id(id)?,
        None => ProjectId::random(),
    };
    let domain = Project {
        id,
        domain_id: None,
        parent_id: None,
        is_domain: true,
        name: new.name.trimmed(),
        description: new.description.map(|text| text.0).unwrap_or_default(),
        enabled: new.enabled.given().unwrap_or(true),
        tags: new.tags.given().unwrap_or_default().0,
        options: merged(Map::new(), new.options.given().map(|options| options.0)),
        extra: extra_of(new.extra),
    };
    let (stored, now) = (domain.clone(), call.cx.state.clock.now());
    call.cx.state.db.write(move |tx| projects::insert(tx, &stored, now)).await?;
    Ok(answer(&call, StatusCode::CREATED, &domain))
}

async fn update(call: Call<DomainUpdate>) -> Result<RawReply> {
    let id = DomainId(of_path(&call).await?.id.0);
    let change = call.body.domain.0.clone();
    let write = move |tx: &mut Tx| {
        let domain = projects::domain(tx, &id)?.ok_or_else(|| Error::not_found(Kind::Domain, &id))?;
        mutable(&domain.options, change.kind(), "domain", &id.0)?;
        let domain = changed(domain, change.clone())?;
        projects::update(tx, &domain)?;
        Ok(domain)
    };
    let domain = call.cx.state.db.write(write).await?;
    Ok(answer(&call, StatusCode::OK, &domain))
}

impl DomainChange {
    fn kind(&self) -> Change {
        let Self { name, description, enabled, tags, options, extra } = self;
        let gives_more = name.as_ref().is_some()
            || description.as_ref().is_some()
            || enabled.as_ref().is_some()
            || tags.as_ref().is_some()
            || !extra.is_empty();
        Change::of(options.as_ref().map(|options| &options.0), gives_more)
    }
}

fn changed(mut domain: Project, change: DomainChange) -> Result<Project> {
    unchanged(change.extra.get("id"), Some(&domain.id.0), "Cannot change ID")?;
    unchanged(change.extra.get("domain_id"), None, "Cannot change Domain ID")?;
    if let Some(name) = change.name.given() {
        domain.name = name.trimmed();
    }
    if let Some(description) = change.description.given() {
        domain.description = description.map(|text| text.0).unwrap_or_default();
    }
    if let Some(tags) = change.tags.given() {
        domain.tags = tags.0;
    }
    domain.enabled = change.enabled.given().unwrap_or(domain.enabled);
    domain.options = merged(domain.options, change.options.given().map(|options| options.0));
    domain.extra = merged(domain.extra, Some(extra_of(change.extra)));
    Ok(domain)
}

async fn remove(call: Call) -> Result<RawReply> {
    let id = of_path(&call).await?.id;
    call.cx.state.db.write(move |tx| project_tree::remove(tx, &id)).await?;
    Ok(done())
}
