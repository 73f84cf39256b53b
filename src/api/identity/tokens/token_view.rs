//! A token and its catalogue as JSON.

use crate::api::State;
use crate::api::identity::catalog::endpoint_filter;
use crate::api::identity::delegation::access_rules;
use crate::cloud::endpoint_url::{self, Values};
use crate::cloud::identity::{ApplicationCredentialRef, Caller, Endpoint, RoleRef, Scope, Service};
use crate::error::Result;
use crate::ids::ProjectId;
use crate::store::{Tx, catalog};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// `{"token": …}`, without its catalogue.
pub fn body(caller: &Caller) -> Value {
    let mut token = Map::new();
    let mut set = |key: &str, value: Value| token.insert(key.to_owned(), value);
    set("methods", json!(caller.methods));
    set(
        "user",
        json!({
            "domain": {"id": caller.user_domain.id, "name": caller.user_domain.name},
            "id": caller.user_id,
            "name": caller.user_name,
            "password_expires_at": caller.password_expires_at.map(|at| at.to_micros_naive()),
        }),
    );
    set("audit_ids", json!(caller.audit_ids));
    set("expires_at", json!(caller.expires_at.to_micros_z()));
    set("issued_at", json!(caller.issued_at.to_micros_z()));
    match &caller.scope {
        Scope::Unscoped => {}
        Scope::Project { id, name, domain } => {
            let domain_ref = json!({"id": domain.id, "name": domain.name});
            set("project", json!({"domain": domain_ref, "id": id, "name": name}));
            if caller.trust.is_none() {
                set("is_domain", json!(id.0 == domain.id.0));
            }
        }
        Scope::Domain(domain) => {
            set("domain", json!({"id": domain.id, "name": domain.name}));
        }
        Scope::System => {
            set("system", json!({"all": true}));
        }
    }
    if caller.scope != Scope::Unscoped {
        set("roles", Value::Array(caller.roles.iter().map(role).collect()));
    }
    if let Some(credential) = &caller.application_credential {
        set("application_credential", credential_view(credential));
    }
    if let Some(trust) = &caller.trust {
        set(
            "OS-TRUST:trust",
            json!({
                "id": trust.id,
                "trustor_user": {"id": trust.trustor_user_id},
                "trustee_user": {"id": trust.trustee_user_id},
                "impersonation": trust.impersonation,
            }),
        );
    }
    json!({ "token": token })
}

fn credential_view(credential: &ApplicationCredentialRef) -> Value {
    let mut view = json!({"id": credential.id, "name": credential.name, "restricted": credential.restricted});
    if !credential.access_rules.is_empty() {
        view["access_rules"] = credential.access_rules.iter().map(access_rules::view).map(Value::Object).collect();
    }
    view
}

fn role(role: &RoleRef) -> Value {
    json!({"id": role.id, "name": role.name})
}

/// [`catalog_of`] as JSON text, written once for each project of an epoch.
pub async fn catalog_text(state: &State, caller: &Caller, epoch: i64) -> Result<Arc<str>> {
    let kept = &state.identity.catalogs;
    if let Some(text) = kept.get(epoch, caller.project_id()) {
        return Ok(text);
    }
    let (catalog, is_personal) = made(state, caller).await?;
    let text: Arc<str> = catalog.to_string().into();
    if !is_personal {
        kept.put(epoch, caller.project_id(), text.clone());
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
