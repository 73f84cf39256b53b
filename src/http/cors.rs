//! Pages of other origins: whose scripts a browser may let call this service.
//!
//! A dashboard sends image bytes straight here from the browser, so that they don't pass through it; the browser first asks
//! whether it may (a preflight), and hands the script no answer that doesn't name its origin. Who calls is told by a token in
//! a header, never by a cookie, so an origin that is allowed may send any header and no other can borrow a login.

use super::reply::RawReply;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// Methods that a script may call with.
static METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What a script may read of an answer besides its body.
static EXPOSED: HeaderValue = HeaderValue::from_static(
    "content-md5, content-range, location, openstack-api-version, openstack-image-import-methods, \
     openstack-image-store-ids, x-openstack-request-id, x-subject-token",
);
/// How long a browser may remember what it was told, in seconds.
static REMEMBERED: HeaderValue = HeaderValue::from_static("3600");

/// The origins that are allowed: scheme, host and port, as browsers write them.
#[derive(Debug, Clone, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    pub fn new(allowed: &[String]) -> Self {
        Self(allowed.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect())
    }

    /// The origin that asks, if it is allowed.
    pub fn of(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.0.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// Adds to an answer what lets an allowed origin's script read it.
    pub fn open(&self, reply: &mut RawReply, origin: Option<HeaderValue>) {
        if self.0.is_empty() {
            return;
        }
        // Whatever is kept of an answer is not for another origin.
        reply.headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            reply.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            reply.headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED.clone());
        }
    }
}

/// The answer to a browser that asks before it calls, for an origin that is allowed; `None` for any other request.
pub fn preflight(method: &Method, headers: &HeaderMap) -> Option<RawReply> {
    if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut reply = RawReply::empty(StatusCode::OK);
    reply.headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS.clone());
    reply.headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED.clone());
    if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        reply.headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_the_very_origins_that_are_listed_are_allowed() {
        let origins = Origins::new(&["https://dashboard.example/".to_owned()]);
        let of = |origin: &'static str| origins.of(&headers(&[(ORIGIN, origin)]));
        assert_eq!(of("https://dashboard.example").unwrap(), "https://dashboard.example");
        for other in ["http://dashboard.example", "https://dashboard.example:8443", "https://evil.example", "null", ""]
        {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(Origins::default().of(&headers(&[(ORIGIN, "https://dashboard.example")])), None);
    }

    #[test]
    fn an_answer_is_opened_to_its_own_origin_and_varies_by_it() {
        let origins = Origins::new(&["https://dashboard.example".to_owned()]);
        let mut reply = RawReply::empty(StatusCode::OK);
        origins.open(&mut reply, Some(HeaderValue::from_static("https://dashboard.example")));
        assert_eq!(reply.headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://dashboard.example");
        assert_eq!(reply.headers[VARY], "Origin");
        let mut closed = RawReply::empty(StatusCode::OK);
        origins.open(&mut closed, None);
        assert!(!closed.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) && closed.headers.contains_key(VARY));
        let mut untouched = RawReply::empty(StatusCode::OK);
        Origins::default().open(&mut untouched, None);
        assert!(untouched.headers.is_empty(), "where no origin is allowed, answers are as ever");
    }

    #[test]
    fn a_preflight_is_told_from_other_requests_and_gets_the_headers_it_asked_for() {
        let asks = headers(&[(ACCESS_CONTROL_REQUEST_METHOD, "PUT"), (ACCESS_CONTROL_REQUEST_HEADERS, "x-auth-token")]);
        let reply = preflight(&Method::OPTIONS, &asks).unwrap();
        assert_eq!(
            (reply.status, &reply.headers[ACCESS_CONTROL_ALLOW_HEADERS]),
            (StatusCode::OK, &asks[ACCESS_CONTROL_REQUEST_HEADERS])
        );
        assert!(preflight(&Method::PUT, &asks).is_none() && preflight(&Method::OPTIONS, &HeaderMap::new()).is_none());
    }
}
