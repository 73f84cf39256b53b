//! How placement words its failures: a list with one error, whose detail begins with what its HTTP library says of the status.

use super::versions::{AXIS, ERROR_CODES};
use crate::api::faults::{not_json, sentence, status_of, with_headers};
use crate::error::Error;
use crate::http::call::BodyFault;
use crate::http::microversion::Microversion;
use crate::http::reply::RawReply;
use crate::http::table::Dialect;
use http::StatusCode;
use serde_json::json;

pub static PLACEMENT: Placement = Placement;

pub struct Placement;

/// Codes that clients go by, of sentences that begin so; all others have none.
const CODES: &[(&str, &str)] = &[
    ("There must be at least one resources", "placement.query.missing_value"),
    ("Resourceless suffixed group request", "placement.query.bad_value"),
    ("Real suffixes should be specified", "placement.query.bad_value"),
    ("Empty string (unsuffixed group)", "placement.query.bad_value"),
    ("Conflicting required and forbidden traits found in root_required", "placement.query.bad_value"),
    ("Query parameter 'root_required'", "placement.query.duplicate_key"),
];

/// What comes before every sentence of a status. A client shows what follows the last line feed.
fn explanation(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => {
            "The server could not comply with the request since it is either malformed or otherwise incorrect. "
        }
        StatusCode::FORBIDDEN => "Access was denied to this resource.",
        StatusCode::NOT_FOUND => "The resource could not be found.",
        StatusCode::NOT_ACCEPTABLE => "The resource could not be generated that was acceptable to your browser.",
        StatusCode::CONFLICT => "There was a conflict when trying to complete your request.",
        StatusCode::PAYLOAD_TOO_LARGE => "The body of your request was too large for this server.",
        _ => status.canonical_reason().unwrap_or_default(),
    }
}

impl Dialect for Placement {
    fn fault(&self, error: &Error, request_id: &str) -> RawReply {
        self.fault_at(error, request_id, None)
    }

    fn fault_at(&self, error: &Error, request_id: &str, spoken: Option<Microversion>) -> RawReply {
        let status = status_of(error);
        // Who asks is found out before upstream's service is asked anything, by what stands before every service.
        if status == StatusCode::UNAUTHORIZED {
            let message = "The request you have made requires authentication.";
            let body = json!({"error": {"code": 401, "title": "Unauthorized", "message": message}});
            return with_headers(RawReply::json(status, &body), error);
        }
        let message = match error {
            Error::Forbidden(rule) if !rule.contains(' ') => format!("Policy does not allow {rule} to be performed."),
            Error::NotFound { kind: crate::error::Kind::Page, .. } => String::new(),
            Error::MethodNotAllowed(_) => "The method specified is not allowed for this resource.".to_owned(),
            _ => sentence(error, request_id),
        };
        let mut said = json!({
            "status": status.as_u16(),
            "title": status.canonical_reason(),
            "detail": format!("{}\n\n {message}  ", explanation(status)),
        });
        if spoken.is_some_and(|version| version >= ERROR_CODES) {
            let code = CODES.iter().find(|(beginning, _)| message.starts_with(beginning)).map(|(_, code)| *code);
            said["code"] = json!(code.unwrap_or("placement.undefined_code"));
        }
        said["request_id"] = json!(request_id);
        if status == StatusCode::NOT_ACCEPTABLE && spoken.is_none() {
            said["max_version"] = json!(AXIS.display(AXIS.max).to_string());
            said["min_version"] = json!(AXIS.display(AXIS.min).to_string());
        }
        with_headers(RawReply::json(status, &json!({ "errors": [said] })), error)
    }

    fn body_fault(&self, fault: &BodyFault) -> Error {
        match fault {
            BodyFault::NotJson(_) => not_json(),
            BodyFault::Invalid(invalid) => Error::bad_request(format!("JSON does not validate: {}", invalid.reason)),
        }
    }
}
