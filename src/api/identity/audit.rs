//! CADF events of every change and every login.
//!
//! The rows of the table are what is watched: each that isn't a read is wrapped, so that a row added later is audited
//! without a word about it. A success leaves one event, after its effect. What happened is told from the row (`POST
//! /v3/users` created a user, `PUT /v3/projects/{project_id}/tags/{tag}` updated a project), whom it happened to from the
//! path or the answer; bodies of requests are never told, so neither are secrets. Names of fields and actions are those of
//! Keystone's notifications in their `cadf` format, read with pycadf.

use super::login::{AuthRequest, WantedUser};
use crate::api::identity::tokens::sessions::Session;
use crate::api::{Call, Context, Row, State};
use crate::cloud::identity::Scope;
use crate::error::Error;
use crate::http::call::Head;
use crate::http::reply::{RawBody, RawReply};
use crate::http::table::Incoming;
use crate::ids::UserId;
use crate::store::{application_credentials, users};
use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// What a row does to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `created`, `updated`, `deleted`, `revoked`
    pub verb: &'static str,
    /// `user`, `role_assignment`, …
    pub kind: String,
    /// The parameter of the path that names the target; none: the answer does.
    pub target: Option<&'static str>,
}

/// Things that belong to another one, and are things of their own all the same.
const OWNED: &[(&str, &str)] =
    &[("application_credentials", "application_credential"), ("access_rules", "access_rule"), ("OS-EC2", "credential")];

impl Operation {
    /// What a row does; `None` for rows that only read, and for logins, which tell of themselves.
    pub fn of(method: &Method, path: &'static str) -> Option<Self> {
        if matches!(*method, Method::GET | Method::HEAD) || (method == Method::POST && path == "/v3/auth/tokens") {
            return None;
        }
        let segments: Vec<&'static str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let verb = match *method {
            Method::POST => "created",
            Method::DELETE => "deleted",
            Method::PUT if path.ends_with('}') => "created",
            _ => "updated",
        };
        if path == "/v3/auth/tokens" {
            return Some(Self { verb: "revoked", kind: "token".to_owned(), target: None });
        }
        let is_grant = path.contains("/roles/{role_id}") && (path.contains("/users/") || path.contains("/groups/"));
        if is_grant && !path.starts_with("/v3/OS-TRUST") {
            let verb = if method == Method::DELETE { "deleted" } else { "created" };
            return Some(Self { verb, kind: "role_assignment".to_owned(), target: None });
        }
        if let Some((_, kind)) = OWNED.iter().find(|(collection, _)| segments.contains(collection)) {
            return Some(Self { verb, kind: (*kind).to_owned(), target: segments.last().copied().and_then(parameter) });
        }
        // The first thing that the path names; what follows it is a part of it.
        let named = segments.iter().position(|segment| parameter(segment).is_some());
        match named {
            Some(at) => {
                let kind = kind_of(segments[at - 1], path);
                let verb = if at + 1 == segments.len() { verb } else { "updated" };
                Some(Self { verb, kind, target: parameter(segments[at]) })
            }
            None => Some(Self { verb, kind: kind_of(segments.last()?, path), target: None }),
        }
    }

    fn action(&self) -> String {
        format!("{}.{}", self.verb, self.kind)
    }
}

/// `user_id` of `{user_id}`.
fn parameter(segment: &'static str) -> Option<&'static str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// A thing's name from that of its collection.
fn kind_of(collection: &str, path: &str) -> String {
    let singular = match collection.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => collection.strip_suffix('s').unwrap_or(collection).to_owned(),
    };
    if path.starts_with("/v3/OS-TRUST/") { format!("OS-TRUST:{singular}") } else { singular }
}

/// Keystone's map of its things to CADF's taxonomy.
fn type_of(kind: &str) -> &'static str {
    match kind {
        "group" => "data/security/group",
        "project" => "data/security/project",
        "role" => "data/security/role",
        "user" => "data/security/account/user",
        "domain" => "data/security/domain",
        "region" => "data/security/region",
        "endpoint" => "data/security/endpoint",
        "service" => "data/security/service",
        "policy" => "data/security/policy",
        "OS-TRUST:trust" => "data/security/trust",
        "application_credential" | "credential" => "data/security/credential",
        "role_assignment" => USER,
        _ => "unknown",
    }
}

/// A user as CADF's taxonomy names one who acts.
const USER: &str = "service/security/account/user";

/// The same rows, each change of which leaves an event.
pub fn watched(mut row: Row) -> Row {
    let Some(operation) = Operation::of(&row.method, row.path).filter(|_| row.is_built) else { return row };
    let (operation, handler) = (Arc::new(operation), row.handler.clone());
    row.handler = Arc::new(move |incoming: Incoming<Context>| {
        let (operation, handler) = (operation.clone(), handler.clone());
        Box::pin(async move {
            let (cx, head) = (incoming.cx.clone(), incoming.head.clone());
            let reply = handler(incoming).await?;
            if cx.state.audit.is_on() && reply.status.is_success() {
                changed(&cx, &head, &operation, &reply);
            }
            Ok(reply)
        })
    });
    row
}

fn changed(cx: &Context, head: &Head, operation: &Operation, reply: &RawReply) {
    let ids = target_ids(cx, head, operation, reply);
    let target = ids.first().map_or("unknown", String::as_str);
    let mut details = Map::new();
    details.insert("resource_info".to_owned(), if ids.len() > 1 { json!(ids) } else { json!(target) });
    for (name, value) in &head.params.0 {
        if Some(name.as_str()) != operation.target {
            details.insert(name.strip_suffix("_id").unwrap_or(name).to_owned(), json!(value));
        }
    }
    if operation.kind == "role_assignment" {
        let is_inherited = head.path.ends_with("/inherited_to_projects");
        details.insert("inherited_to_projects".to_owned(), json!(is_inherited));
    }
    let action = operation.action();
    let target = Target { type_uri: type_of(&operation.kind), id: target };
    write(&cx.state, Told { action: &action, outcome: "success", initiator: initiator(cx, head), target, details });
}

/// Whom it happened to: from the path, the token that was taken back, or what was made.
fn target_ids(cx: &Context, head: &Head, operation: &Operation, reply: &RawReply) -> Vec<String> {
    if let Some(name) = operation.target {
        return head.params.get(name).map(str::to_owned).into_iter().collect();
    }
    if operation.kind == "token" {
        let token = head.header("x-subject-token").unwrap_or_default();
        let claims = cx.state.identity.keys.verify(token, cx.state.clock.now());
        return claims.ok().and_then(|claims| claims.audit_ids.into_iter().next()).into_iter().collect();
    }
    if operation.kind == "role_assignment" {
        let actor = head.params.get("user_id").or(head.params.get("group_id"));
        return actor.map(str::to_owned).into_iter().collect();
    }
    let RawBody::Bytes(bytes) = &reply.body else { return Vec::new() };
    let Ok(Value::Object(body)) = serde_json::from_slice(bytes) else { return Vec::new() };
    // An EC2 credential is known by its access key.
    let id = |made: &Value| made.get("id").or(made.get("access")).and_then(Value::as_str).map(str::to_owned);
    body.values()
        .flat_map(|made| match made {
            Value::Array(all) => all.iter().filter_map(id).collect(),
            made => id(made).into_iter().collect::<Vec<_>>(),
        })
        .collect()
}

/// An event: what its teller says of it, between what every event says.
#[derive(Serialize)]
struct Event<'a, D> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    #[serde(rename = "eventType")]
    event_type: &'static str,
    id: Uuid,
    #[serde(rename = "eventTime")]
    event_time: String,
    observer: Target<'a>,
    #[serde(flatten)]
    told: Told<'a, D>,
}

#[derive(Serialize)]
struct Told<'a, D> {
    action: &'a str,
    outcome: &'static str,
    initiator: Initiator<'a>,
    target: Target<'a>,
    #[serde(flatten)]
    details: D,
}

/// A thing in CADF's taxonomy.
#[derive(Serialize)]
struct Target<'a> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    id: &'a str,
}

/// Who acts. What isn't known is left out, but for the id.
#[derive(Serialize)]
struct Initiator<'a> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    host: Host<'a>,
    request_id: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_id: Option<&'a str>,
}

/// Where a request came from.
#[derive(Serialize)]
struct Host<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
}

impl<'a> Initiator<'a> {
    /// Somebody of whom only the id is known.
    fn of(head: &'a Head, id: &'a str) -> Self {
        let agent = head.header("user-agent").map(|agent| agent.get(..255).unwrap_or(agent));
        Self {
            type_uri: USER,
            host: Host { address: head.peer, agent },
            request_id: &head.request_id,
            id,
            user_id: None,
            name: None,
            username: None,
            project_id: None,
            domain_id: None,
        }
    }

    fn known(self, id: &'a str, name: &'a str) -> Self {
        Self { id, user_id: Some(id), name: Some(name), username: Some(name), ..self }
    }

    fn on(self, scope: &'a Scope) -> Self {
        match scope {
            Scope::Project { id, .. } => Self { project_id: Some(id.as_str()), ..self },
            Scope::Domain(domain) => Self { domain_id: Some(domain.id.as_str()), ..self },
            Scope::Unscoped | Scope::System => self,
        }
    }
}

fn write(state: &State, told: Told<'_, impl Serialize>) {
    state.audit.write(&Event {
        type_uri: "http://schemas.dmtf.org/cloud/audit/1.0/event",
        event_type: "activity",
        id: Uuid::new_v4(),
        event_time: format!("{}+0000", state.clock.now().to_micros_naive()),
        observer: Target { type_uri: "service/security", id: &state.audit.observer },
        told,
    });
}

/// Who did it. A change of one's own password comes without a token: then it is whom the path names.
fn initiator<'a>(cx: &'a Context, head: &'a Head) -> Initiator<'a> {
    match cx.caller() {
        Ok(caller) => Initiator::of(head, "").known(caller.user_id.as_str(), &caller.user_name).on(&caller.scope),
        Err(_) => {
            let id = head.params.get("user_id").unwrap_or("unknown");
            Initiator { user_id: Some(id), ..Initiator::of(head, id) }
        }
    }
}

/// How a login ended.
#[derive(Clone, Copy)]
pub enum Ended<'a> {
    In(&'a Session),
    /// What was proved is true, and not enough: another method is asked for.
    Pending,
    Refused(&'a Error),
}

/// Tells how a login ended. Who tried is looked up, and never taken from what was typed: people type passwords where
/// names belong. A body that can't be a login is none.
pub async fn login(call: &Call<AuthRequest>, ended: Ended<'_>) {
    let state = &call.cx.state;
    if !state.audit.is_on() || matches!(ended, Ended::Refused(Error::BadRequest(_))) {
        return;
    }
    let outcome = match ended {
        Ended::In(_) => "success",
        Ended::Pending => "pending",
        Ended::Refused(_) => "failure",
    };
    let who = Initiator::of(&call.head, "unknown");
    let found = match ended {
        Ended::In(_) => None,
        Ended::Pending | Ended::Refused(_) => who_tried(call).await,
    };
    let initiator = match (ended, &found) {
        (Ended::In(session), _) => {
            let caller = &session.caller;
            who.known(caller.user_id.as_str(), &caller.user_name).on(&caller.scope)
        }
        (_, Some((id, name))) => who.known(id.as_str(), name),
        (_, None) => who,
    };
    let reason = match ended {
        Ended::Refused(error) => {
            let status = call.head.service.dialect.fault(error, &call.head.request_id).status;
            Some(json!({"reasonType": error.to_string(), "reasonCode": status.as_str()}))
        }
        _ => None,
    };
    let target = Target { type_uri: USER, id: initiator.id };
    write(state, Told { action: "authenticate", outcome, initiator, target, details: Reason { reason } });
}

/// Why a login was refused.
#[derive(Serialize)]
struct Reason {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Value>,
}

/// The user whom a failed login was about, if there is one.
async fn who_tried(call: &Call<AuthRequest>) -> Option<(UserId, String)> {
    let state = &call.cx.state;
    let methods = &call.body.auth.identity;
    let wanted = methods.password.as_ref().and_then(|given| {
        let user = &given.user;
        let (id, name) = (user.id.as_ref().map(|id| &id.0), user.name.as_ref().map(|name| &name.0));
        WantedUser::of(id, name, &user.domain).ok()
    });
    let by_token =
        methods.token.as_ref().and_then(|given| state.identity.keys.verify(&given.id, state.clock.now()).ok());
    let credential = methods.application_credential.as_ref().and_then(|given| given.id.clone());
    let look = move |tx: &mut crate::store::Tx| {
        if let Some(wanted) = &wanted {
            return wanted.find(tx);
        }
        let of_credential = match &credential {
            Some(id) => application_credentials::by_id(tx, id)?.map(|found| found.user_id),
            None => None,
        };
        match by_token.as_ref().map(|claims| claims.sub.clone()).or(of_credential) {
            Some(id) => users::get(tx, &id),
            None => Ok(None),
        }
    };
    state.db.read(look).await.ok().flatten().map(|user| (user.id, user.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_it_does() {
        for (method, path, action, target) in [
            (Method::POST, "/v3/users", "created.user", None),
            (Method::PATCH, "/v3/users/{user_id}", "updated.user", Some("user_id")),
            (Method::POST, "/v3/users/{user_id}/password", "updated.user", Some("user_id")),
            (Method::DELETE, "/v3/policies/{policy_id}", "deleted.policy", Some("policy_id")),
            (Method::PUT, "/v3/regions/{region_id}", "created.region", Some("region_id")),
            (Method::PUT, "/v3/projects/{project_id}/tags/{tag}", "updated.project", Some("project_id")),
            (Method::DELETE, "/v3/groups/{group_id}/users/{user_id}", "updated.group", Some("group_id")),
            (Method::PUT, "/v3/system/users/{user_id}/roles/{role_id}", "created.role_assignment", None),
            (
                Method::DELETE,
                "/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
                "deleted.role_assignment",
                None,
            ),
            (
                Method::DELETE,
                "/v3/users/{user_id}/application_credentials/{application_credential_id}",
                "deleted.application_credential",
                Some("application_credential_id"),
            ),
            (Method::POST, "/v3/users/{user_id}/application_credentials", "created.application_credential", None),
            (Method::POST, "/v3/users/{user_id}/credentials/OS-EC2", "created.credential", None),
            (Method::POST, "/v3/OS-TRUST/trusts", "created.OS-TRUST:trust", None),
            (Method::DELETE, "/v3/OS-TRUST/trusts/{trust_id}", "deleted.OS-TRUST:trust", Some("trust_id")),
            (
                Method::PUT,
                "/v3/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}",
                "updated.project",
                Some("project_id"),
            ),
            (Method::DELETE, "/v3/auth/tokens", "revoked.token", None),
        ] {
            let operation = Operation::of(&method, path).unwrap();
            assert_eq!((operation.action().as_str(), operation.target), (action, target), "{method} {path}");
        }
        assert_eq!(Operation::of(&Method::GET, "/v3/users"), None);
        assert_eq!(Operation::of(&Method::POST, "/v3/auth/tokens"), None);
    }
}
