//! Domains: `/v3/domains`. A domain is a project that acts as one; disabling it shuts out all that is in it.

use super::answer::{done, extra_of, listed, merged, mutable, permitted, shown, shows_domain, unchanged};
use super::{project_tree, targets};
use crate::api::{Call, Row};
use crate::cloud::identity::Project;
use crate::cloud::policy::Target;
use crate::error::{Error, Kind, Result};
use crate::http::json::{Map, Maybe, Text};
use crate::http::reply::RawReply;
use crate::http::table::{delete, get, patch, post};
use crate::ids::{DomainId, ProjectId};
use crate::store::Tx;
use crate::store::projects::{self, Filter};
use http::StatusCode;
use serde_json::json;

pub fn rows() -> Vec<Row> {
    vec![
        get("/v3/domains", list).rule("identity:list_domains").query(&["enabled", "limit", "name"]),
        post("/v3/domains", create).rule("identity:create_domain"),
        get("/v3/domains/{domain_id}", show).rule("identity:get_domain"),
        patch("/v3/domains/{domain_id}", update).rule("identity:update_domain"),
        delete("/v3/domains/{domain_id}", remove).rule("identity:delete_domain"),
    ]
}

crate::versioned! {
    request DomainCreate open {
        "domain" required => domain: NewDomain,
    }
}

crate::versioned! {
    request NewDomain open {
        "name" required      => name: Text<1, 64>,
        "explicit_domain_id" => explicit_domain_id: Option<Text<1, 64>>,
        "description"        => description: Option<String>,
        "enabled"            => enabled: Maybe<bool>,
        "tags"               => tags: Maybe<Vec<Text<1, 255>>>,
        "options"            => options: Maybe<Map>;
        flatten              => extra
    }
}

crate::versioned! {
    request DomainUpdate open {
        "domain" required => domain: DomainChange,
    }
}

crate::versioned! {
    request DomainChange open {
        "name"        => name: Maybe<Text<1, 64>>,
        "description" => description: Maybe<Option<String>>,
        "enabled"     => enabled: Maybe<bool>,
        "tags"        => tags: Maybe<Vec<Text<1, 255>>>,
        "options"     => options: Maybe<Map>;
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
    let filter = Filter { is_domain: true, ..Filter::default() };
    let found = call.cx.state.db.read(move |tx| projects::list(tx, &filter)).await?;
    let seen = found.iter().filter(|domain| shows_domain(&call, Some(domain.id.as_str())));
    let items = seen.filter(|domain| call.cx.permits(&targets::domain(domain))).map(view).collect();
    Ok(listed(&call, "domains", items, &["enabled", "name"]))
}

async fn show(call: Call) -> Result<RawReply> {
    let domain = of_path(&call).await?;
    Ok(answer(&call, StatusCode::OK, &domain))
}

async fn create(call: Call<DomainCreate>) -> Result<RawReply> {
    call.cx.permit(&Target::new())?;
    let new = call.body.domain.clone();
    let domain = Project {
        id: new.explicit_domain_id.map_or_else(ProjectId::random, |id| ProjectId(id.0)),
        domain_id: None,
        parent_id: None,
        is_domain: true,
        name: new.name.0.trim().to_owned(),
        description: new.description.unwrap_or_default(),
        enabled: new.enabled.given().unwrap_or(true),
        tags: super::project_tags::checked(new.tags.given().unwrap_or_default())?,
        options: merged(Map::new(), new.options.given()),
        extra: extra_of(new.extra),
    };
    let (stored, now) = (domain.clone(), call.cx.state.clock.now());
    call.cx.state.db.write(move |tx| projects::insert(tx, &stored, now)).await?;
    Ok(answer(&call, StatusCode::CREATED, &domain))
}

async fn update(call: Call<DomainUpdate>) -> Result<RawReply> {
    let id = DomainId(of_path(&call).await?.id.0);
    let change = call.body.domain.clone();
    let write = move |tx: &mut Tx| {
        let domain = projects::domain(tx, &id)?.ok_or_else(|| Error::not_found(Kind::Domain, &id))?;
        mutable(&domain.options, Some(change.options.as_ref().unwrap_or(&Map::new())), "domain", &id.0)?;
        let domain = changed(domain, change.clone())?;
        projects::update(tx, &domain)?;
        Ok(domain)
    };
    let domain = call.cx.state.db.write(write).await?;
    Ok(answer(&call, StatusCode::OK, &domain))
}

fn changed(mut domain: Project, change: DomainChange) -> Result<Project> {
    unchanged(change.extra.get("id"), &domain.id.0, "Cannot change domain ID")?;
    if let Some(name) = change.name.given() {
        domain.name = name.0.trim().to_owned();
    }
    if let Some(description) = change.description.given() {
        domain.description = description.unwrap_or_default();
    }
    if let Some(tags) = change.tags.given() {
        domain.tags = super::project_tags::checked(tags)?;
    }
    domain.enabled = change.enabled.given().unwrap_or(domain.enabled);
    domain.options = merged(domain.options, change.options.given());
    domain.extra = merged(domain.extra, Some(extra_of(change.extra)));
    Ok(domain)
}

async fn remove(call: Call) -> Result<RawReply> {
    let domain = of_path(&call).await?;
    mutable(&domain.options, None, "domain", &domain.id.0)?;
    let delete = move |tx: &mut Tx| {
        project_tree::check_removal(tx, &domain)?;
        projects::delete(tx, &domain.id)
    };
    call.cx.state.db.write(delete).await?;
    Ok(done())
}
