//! How each service words its failures.
//!
//! ```text
//! Keystone  {"error": {"code": 404, "message": "Could not find project: x.", "title": "Not Found"}}
//! Nova      {"itemNotFound": {"code": 404, "message": "Instance x could not be found."}}
//! Glance    an HTML page whose body ends in the sentence
//! Neutron   {"NeutronError": {"type": "NetworkNotFound", "message": "…", "detail": ""}}
//! Placement {"errors": [{"status": 404, "title": "Not Found", "detail": "…", "request_id": "req-…"}]}
//! ```
//! A fault of ours never says more than that there was one: causes go to the log, with the request id.

use crate::error::{Error, Kind, with_causes};
use crate::http::call::BodyFault;
use crate::http::json::{Invalid, python_repr};
use crate::http::reply::RawReply;
use crate::http::table::Dialect;
use http::StatusCode;
use serde_json::json;

pub static KEYSTONE: Keystone = Keystone;
pub static NOVA: Nova = Nova;
pub static GLANCE: Glance = Glance;
pub static NEUTRON: Neutron = Neutron;

/// The status most services give a kind of failure; dialects change it where theirs differs.
pub(super) fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::BadRequest(_) => StatusCode::BAD_REQUEST,
        Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) | Error::OverQuota(_) => StatusCode::FORBIDDEN,
        Error::NotFound { .. } => StatusCode::NOT_FOUND,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Error::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::RangeNotSatisfiable(_) => StatusCode::RANGE_NOT_SATISFIABLE,
        Error::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
        Error::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
        Error::Gone(_) => StatusCode::GONE,
        Error::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
        Error::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What may be said to the client; what may not goes to the log.
pub(super) fn sentence(error: &Error, request_id: &str) -> String {
    match error {
        Error::Internal { .. } => {
            tracing::error!(%request_id, error = with_causes(error), "a request failed");
            "An unexpected error prevented the server from fulfilling your request.".to_owned()
        }
        Error::Unavailable { .. } => {
            tracing::warn!(%request_id, error = with_causes(error), "something is away");
            error.to_string()
        }
        Error::MethodNotAllowed(_) => "The method is not allowed for the requested URL.".to_owned(),
        other => other.to_string(),
    }
}

/// Headers that belong to a kind of failure, whoever words it.
pub(super) fn with_headers(reply: RawReply, error: &Error) -> RawReply {
    match error {
        Error::Unauthorized(_) => reply.header("www-authenticate", "Keystone uri=\"/identity\""),
        Error::Unavailable { .. } | Error::TooManyRequests(_) => reply.header("retry-after", "5"),
        _ => reply,
    }
}

/// A body that is no JSON, in words that most services share.
pub(super) fn not_json() -> Error {
    Error::bad_request("Malformed request body")
}

pub struct Keystone;

impl Dialect for Keystone {
    fn fault(&self, error: &Error, request_id: &str) -> RawReply {
        let status = status_of(error);
        let message = match error {
            Error::Forbidden(rule) if rule.contains(':') && !rule.contains(' ') => {
                format!("You are not authorized to perform the requested action: {rule}.")
            }
            _ => sentence(error, request_id),
        };
        let body = json!({"error": {"code": status.as_u16(), "message": message, "title": status.canonical_reason()}});
        with_headers(RawReply::json(status, &body), error)
    }

    fn body_fault(&self, fault: &BodyFault) -> Error {
        let no_json = "Expecting to find valid JSON in request body. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.";
        match fault {
            BodyFault::NotJson(_) => Error::bad_request(no_json),
            BodyFault::Invalid(Invalid { path, value, .. }) if path.is_empty() && !value.is_object() => {
                Error::bad_request(no_json)
            }
            BodyFault::Invalid(Invalid { path, value, reason }) => match (path.first(), path.last()) {
                // Logins are looked at by an older hand upstream, which says it in fewer words.
                (Some(first), Some(field)) if first == "auth" => {
                    Error::bad_request(format!("Invalid input for field '{field}': {reason}"))
                }
                (_, Some(field)) => Error::bad_request(format!(
                    "Invalid input for field/attribute {field}. Value: {}. {reason}",
                    shown(field, value)
                )),
                (_, None) => Error::bad_request(reason.clone()),
            },
        }
    }

    fn content_type_fault(&self, content_type: &str) -> Option<Error> {
        let is_json = content_type.is_empty() || content_type == "application/json" || content_type.ends_with("+json");
        let text = "Expecting to find application/json in Content-Type header. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.";
        (!is_json).then(|| Error::bad_request(text))
    }
}

/// A refused value as Python prints it, without what is secret in it: answers end up in logs.
fn shown(field: &str, value: &serde_json::Value) -> String {
    const SECRET: &[&str] = &["password", "original_password", "secret", "blob", "passcode"];
    match value {
        _ if SECRET.contains(&field) => "***".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Object(map) => {
            let mut map = map.clone();
            for (_, secret) in map.iter_mut().filter(|(key, _)| SECRET.contains(&key.as_str())) {
                *secret = json!("***");
            }
            python_repr(&serde_json::Value::Object(map))
        }
        other => python_repr(other),
    }
}

pub struct Nova;

impl Dialect for Nova {
    fn fault(&self, error: &Error, request_id: &str) -> RawReply {
        let status = status_of(error);
        let name = match error {
            Error::Unauthorized(_) => "unauthorized",
            Error::Forbidden(_) | Error::OverQuota(_) => "forbidden",
            Error::NotFound { .. } => "itemNotFound",
            Error::MethodNotAllowed(_) => "badMethod",
            Error::Conflict(_) => "conflictingRequest",
            Error::TooLarge(_) | Error::TooManyRequests(_) => "overLimit",
            Error::UnsupportedMediaType(_) => "badMediaType",
            Error::NotImplemented(_) => "notImplemented",
            Error::Unavailable { .. } => "serviceUnavailable",
            Error::Gone(_) => "gone",
            Error::NotAcceptable(message) => return not_acceptable(message, request_id),
            Error::Internal { .. } => "computeFault",
            Error::BadRequest(_) | Error::RangeNotSatisfiable(_) => "badRequest",
        };
        let message = match error {
            Error::Forbidden(rule) if rule.contains(':') && !rule.contains(' ') => {
                format!("Policy doesn't allow {rule} to be performed.")
            }
            _ => sentence(error, request_id),
        };
        let body = json!({ name: {"code": status.as_u16(), "message": message} });
        with_headers(RawReply::json(status, &body), error)
    }

    fn body_fault(&self, fault: &BodyFault) -> Error {
        match fault {
            BodyFault::NotJson(_) => not_json(),
            BodyFault::Invalid(Invalid { path, value, reason }) => match path.last() {
                Some(field) => Error::bad_request(format!(
                    "Invalid input for field/attribute {field}. Value: {}. {reason}",
                    match value {
                        serde_json::Value::String(text) => text.clone(),
                        other => python_repr(other),
                    }
                )),
                None => Error::bad_request(reason.clone()),
            },
        }
    }

    fn ignores_trailing_slash(&self) -> bool {
        false
    }

    fn knows_methods(&self) -> bool {
        false
    }

    fn content_type_fault(&self, content_type: &str) -> Option<Error> {
        // Upstream takes `text/plain` for "not said": some HTTP libraries put it there by themselves.
        const TAKEN: &[&str] = &["", "text/plain", "application/json", "application/vnd.openstack.compute+json"];
        (!TAKEN.contains(&content_type)).then(|| Error::UnsupportedMediaType("Unsupported Content-Type".to_owned()))
    }
}

/// Nova's 406 has a shape of its own, the API working group's.
fn not_acceptable(message: &str, request_id: &str) -> RawReply {
    let body = json!({"errors": [{
        "request_id": request_id,
        "code": "nova.microversion-unsupported",
        "status": 406,
        "title": "Requested microversion is unsupported",
        "detail": message,
        "links": [{"rel": "help", "href": "https://docs.openstack.org/api-guide/compute/microversions.html"}],
    }]});
    RawReply::json(StatusCode::NOT_ACCEPTABLE, &body)
}

pub struct Glance;

impl Dialect for Glance {
    fn fault(&self, error: &Error, request_id: &str) -> RawReply {
        let status = match error {
            Error::OverQuota(_) => StatusCode::PAYLOAD_TOO_LARGE,
            other => status_of(other),
        };
        let message = match error {
            Error::Forbidden(rule) if !rule.contains(' ') => {
                "You are not authorized to complete this action.".to_owned()
            }
            _ => sentence(error, request_id),
        };
        let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
        let page = format!(
            "<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n  {}<br /><br />\n\n\n\n </body>\n</html>",
            escaped(&message)
        );
        with_headers(RawReply::bytes(status, "text/html; charset=UTF-8", page), error)
    }

    fn ignores_trailing_slash(&self) -> bool {
        false
    }

    fn body_fault(&self, fault: &BodyFault) -> Error {
        match fault {
            BodyFault::NotJson(_) => not_json(),
            BodyFault::Invalid(invalid) => {
                Error::bad_request(format!("Provided object does not match schema 'image': {}", invalid.reason))
            }
        }
    }
}

/// Text inside a page: what a client sent must not become markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub struct Neutron;

impl Dialect for Neutron {
    fn fault(&self, error: &Error, request_id: &str) -> RawReply {
        let status = match error {
            Error::OverQuota(_) => StatusCode::CONFLICT,
            other => status_of(other),
        };
        let kind = match error {
            Error::NotFound { kind: Kind::Network, .. } => "NetworkNotFound",
            Error::NotFound { kind: Kind::Subnet, .. } => "SubnetNotFound",
            Error::NotFound { kind: Kind::Port, .. } => "PortNotFound",
            Error::NotFound { .. } => "HTTPNotFound",
            Error::Unauthorized(_) => "HTTPUnauthorized",
            Error::Forbidden(_) => "PolicyNotAuthorized",
            Error::OverQuota(_) => "OverQuota",
            Error::BadRequest(text) => neutron_type(text).unwrap_or("HTTPBadRequest"),
            Error::Conflict(text) => neutron_type(text).unwrap_or("Conflict"),
            Error::NotImplemented(_) => "NotImplemented",
            Error::Unavailable { .. } => "ServiceUnavailable",
            _ => "HTTPInternalServerError",
        };
        let message = match error {
            Error::Forbidden(rule) if !rule.contains(' ') => format!("(rule:{rule}) is disallowed by policy"),
            _ => sentence(error, request_id),
        };
        let body = json!({"NeutronError": {"type": kind, "message": message, "detail": ""}});
        with_headers(RawReply::json(status, &body), error)
    }

    fn body_fault(&self, fault: &BodyFault) -> Error {
        match fault {
            BodyFault::NotJson(_) => not_json(),
            BodyFault::Invalid(Invalid { path, reason, .. }) => Error::bad_request(neutron_reason(path, reason)),
        }
    }
}

/// Neutron's own sentences for attributes that are missing or not known, around jsonschema's reasons.
fn neutron_reason(path: &[String], reason: &str) -> String {
    let unknown = reason
        .strip_prefix("Additional properties are not allowed (")
        .and_then(|rest| rest.strip_suffix(" was unexpected)").or_else(|| rest.strip_suffix(" were unexpected)")));
    let missing = reason.strip_suffix(" is a required property");
    match (unknown, missing, path.last()) {
        (Some(names), _, _) => format!("Unrecognized attribute(s) {names}"),
        (_, Some(name), None) => format!("Unable to find {name} in request body"),
        (_, Some(name), Some(_)) => format!("Failed to parse request. Required attribute {name} not specified"),
        (_, _, Some(field)) => format!("Invalid input for {field}. Reason: {reason}."),
        (_, _, None) => reason.to_owned(),
    }
}

/// Neutron names each of its sentences, and clients go by the name. A sentence is known by how it begins or goes on.
fn neutron_type(sentence: &str) -> Option<&'static str> {
    const TYPES: &[(&str, &str, &str)] = &[
        ("Unable to complete operation on network ", "still in use on the network", "NetworkInUse"),
        ("Unable to complete operation on subnet ", "", "SubnetInUse"),
        ("Unable to complete operation on port ", "already has an attached device", "PortInUse"),
        ("Unable to complete operation for network ", "The mac address", "MacAddressInUse"),
        ("Unable to generate unique mac", "", "MacAddressGenerationFailure"),
        ("Unable to reconfigure sharing settings", "", "InvalidSharedSetting"),
        ("IP address ", "already allocated in subnet", "IpAddressAlreadyAllocated"),
        ("No more IP addresses available", "", "IpAddressGenerationFailure"),
        ("Found overlapping allocation pools", "", "OverlappingAllocationPools"),
        ("The allocation pool ", "spans beyond", "OutOfBoundsAllocationPool"),
        ("The allocation pool ", "is not valid", "InvalidAllocationPool"),
        ("Gateway ip ", "conflicts with allocation pool", "GatewayConflictWithAllocationPools"),
        ("Current gateway ip ", "already in use by port", "GatewayIpInUse"),
        ("Bad subnets request", "", "BadRequest"),
        ("Invalid input for operation", "", "InvalidInput"),
    ];
    let named = |(beginning, part, _): &&(&str, &str, &str)| sentence.starts_with(beginning) && sentence.contains(part);
    TYPES.iter().find(named).map(|(_, _, name)| *name)
}
