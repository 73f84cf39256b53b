//! A token and its catalogue as JSON.

use crate::api::State;
use crate::api::identity::catalog::endpoint_filter;
use crate::api::identity::delegation::access_rules;
use crate::api::identity::tokens::sessions::Session;
use crate::clock::Timestamp;
use crate::cloud::endpoint_url::{self, Values};
use crate::cloud::identity::{
    ApplicationCredentialRef, Caller, DomainRef, Endpoint, RoleRef, Scope, Service, TrustRef,
};
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::store::{Tx, catalog};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What most tokens need without their catalogue.
const BESIDES_CATALOG: usize = 1024;

/// A token as it is shown, but for its catalogue.
#[derive(Serialize)]
struct Token<'a> {
    methods: &'a [String],
    user: User<'a>,
    audit_ids: &'a [String],
    expires_at: String,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<Placed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_domain: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<System>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<Named<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_credential: Option<Value>,
    #[serde(rename = "OS-TRUST:trust", skip_serializing_if = "Option::is_none")]
    trust: Option<Value>,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(flatten)]
    placed: Placed<'a>,
    password_expires_at: Option<String>,
}

/// Something of a domain.
#[derive(Serialize)]
struct Placed<'a> {
    domain: Named<'a>,
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Named<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct System {
    all: bool,
}

/// `{"token": …}`. The catalogue comes as text: it is most of it, and the same for everybody on a project.
pub fn body(session: &Session, catalog: Option<&str>) -> Result<Bytes> {
    let mut text = Vec::with_capacity(BESIDES_CATALOG + catalog.map_or(0, str::len));
    text.extend_from_slice(b"{\"token\":");
    serde_json::to_writer(&mut text, &token(session))
        .map_err(|why| Error::internal("a token could not be written", why))?;
    if let Some(catalog) = catalog {
        // Put in before the brace that ends the token.
        text.pop();
        text.extend_from_slice(b",\"catalog\":");
        text.extend_from_slice(catalog.as_bytes());
        text.push(b'}');
    }
    text.push(b'}');
    Ok(text.into())
}

fn token(session: &Session) -> Token<'_> {
    let Session { claims, caller, .. } = session;
    let (mut project, mut is_domain, mut domain, mut system) = (None, None, None, None);
    match &caller.scope {
        Scope::Unscoped => {}
        Scope::Project { id, name, domain } => {
            project = Some(Placed { domain: named(domain), id: id.as_str(), name });
            is_domain = caller.trust.is_none().then(|| id.0 == domain.id.0);
        }
        Scope::Domain(of) => domain = Some(named(of)),
        Scope::System => system = Some(System { all: true }),
    }
    Token {
        methods: &claims.methods,
        user: User {
            placed: Placed { domain: named(&caller.user_domain), id: caller.user_id.as_str(), name: &caller.user_name },
            password_expires_at: caller.password_expires_at.map(Timestamp::to_micros_naive),
        },
        audit_ids: &claims.audit_ids,
        expires_at: claims.expires_at().to_micros_z(),
        issued_at: claims.issued_at.to_micros_z(),
        project,
        is_domain,
        domain,
        system,
        roles: (caller.scope != Scope::Unscoped).then(|| caller.roles.iter().map(role).collect()),
        application_credential: caller.application_credential.as_ref().map(credential_view),
        trust: caller.trust.as_ref().map(trust_view),
    }
}

fn named(domain: &DomainRef) -> Named<'_> {
    Named { id: domain.id.as_str(), name: &domain.name }
}

fn role(role: &RoleRef) -> Named<'_> {
    Named { id: role.id.as_str(), name: &role.name }
}

fn trust_view(trust: &TrustRef) -> Value {
    json!({
        "id": trust.id,
        "trustor_user": {"id": trust.trustor_user_id},
        "trustee_user": {"id": trust.trustee_user_id},
        "impersonation": trust.impersonation,
    })
}

fn credential_view(credential: &ApplicationCredentialRef) -> Value {
    let mut view = json!({"id": credential.id, "name": credential.name, "restricted": credential.restricted});
    if !credential.access_rules.is_empty() {
        view["access_rules"] = credential.access_rules.iter().map(access_rules::view).map(Value::Object).collect();
    }
    view
}

/// [`catalog_of`] as JSON text, written once for each project of an epoch.
pub async fn catalog_text(state: &State, caller: &Caller, epoch: i64) -> Result<Arc<str>> {
    let (kept, project) = (&state.identity.catalogs, caller.project_id().cloned());
    if let Some(text) = kept.get(epoch, &project) {
        return Ok(text);
    }
    let (catalog, is_personal) = made(state, caller).await?;
    let text: Arc<str> = catalog.to_string().into();
    if !is_personal {
        kept.put(epoch, project, text.clone());
    }
    Ok(text)
}

/// The catalogue as a caller sees it: enabled services with their enabled endpoints.
pub async fn catalog_of(state: &State, caller: &Caller) -> Result<Value> {
    Ok(made(state, caller).await?.0)
}

/// The catalogue, and whether it names the user: then it is nobody else's.
async fn made(state: &State, caller: &Caller) -> Result<(Value, bool)> {
    let project = caller.project_id();
    let narrowed_to = project.cloned();
    let (services, endpoints) = state.db.read(move |tx| rows(tx, narrowed_to.as_ref())).await?;
    let values = Values { public_url: &state.public_url, project, user: &caller.user_id };
    let is_personal = endpoints.iter().any(|endpoint| endpoint.url.contains("(user_id)"));
    let shown = services.iter().filter(|service| service.enabled).map(|service| {
        let own = endpoints.iter().filter(|endpoint| endpoint.enabled && endpoint.service_id == service.id);
        let own: Vec<Value> = own.filter_map(|endpoint| view(endpoint, &values)).collect();
        let name = service.name.clone().unwrap_or_default();
        json!({"endpoints": own, "id": service.id, "type": service.kind, "name": name})
    });
    Ok((Value::Array(shown.collect()), is_personal))
}

/// Services and endpoints, those that the project is to find.
fn rows(tx: &mut Tx, project: Option<&ProjectId>) -> Result<(Vec<Service>, Vec<Endpoint>)> {
    let (mut services, mut endpoints) = (catalog::services(tx)?, catalog::endpoints(tx)?);
    if let Some(project) = project {
        endpoint_filter::narrow(tx, project, &mut services, &mut endpoints)?;
    }
    Ok((services, endpoints))
}

fn view(endpoint: &Endpoint, values: &Values) -> Option<Value> {
    let url = endpoint_url::fill(&endpoint.url, values).ok()??;
    Some(json!({
        "id": endpoint.id,
        "interface": endpoint.interface,
        "region": endpoint.region_id,
        "region_id": endpoint.region_id,
        "url": url,
    }))
}
