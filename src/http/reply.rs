//! What a handler answers.

use super::json::{View, to_vec};
use super::microversion::Microversion;
use crate::error::Result;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

/// A view with its status and headers.
#[derive(Debug, Clone)]
pub struct Reply<V> {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub view: V,
}

impl<V> Reply<V> {
    pub fn new(status: StatusCode, view: V) -> Self {
        Self { status, headers: HeaderMap::new(), view }
    }

    pub fn ok(view: V) -> Self {
        Self::new(StatusCode::OK, view)
    }

    pub fn created(view: V) -> Self {
        Self::new(StatusCode::CREATED, view)
    }

    pub fn accepted(view: V) -> Self {
        Self::new(StatusCode::ACCEPTED, view)
    }

    /// Adds a header; a value that is no legal header text is left out.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(HeaderName::from_static(name), value);
        }
        self
    }
}

/// No body.
#[derive(Debug, Clone)]
pub struct Empty(pub StatusCode, pub HeaderMap);

impl Empty {
    /// 200.
    pub fn ok() -> Self {
        Self(StatusCode::OK, HeaderMap::new())
    }

    /// 204.
    pub fn no_content() -> Self {
        Self(StatusCode::NO_CONTENT, HeaderMap::new())
    }

    /// 202.
    pub fn accepted() -> Self {
        Self(StatusCode::ACCEPTED, HeaderMap::new())
    }
}

/// A reply as it goes out.
pub struct RawReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: RawBody,
}

pub enum RawBody {
    Bytes(Bytes),
    Stream(BoxStream<'static, Result<Bytes>>),
}

impl RawReply {
    pub fn bytes(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: RawBody::Bytes(bytes.into()) }
    }

    pub fn json(status: StatusCode, value: &Value) -> Self {
        Self::bytes(status, "application/json", value.to_string())
    }

    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: RawBody::Bytes(Bytes::new()) }
    }

    /// Adds a header; a value that is no legal header text is left out.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(HeaderName::from_static(name), value);
        }
        self
    }
}

/// What a handler may return.
pub trait IntoReply {
    fn into_reply(self, version: Microversion) -> RawReply;

    /// JSON Schema of the body at a version; `None` when it is no JSON.
    fn schema(_version: Microversion) -> Option<Value> {
        None
    }

    fn boundaries(_into: &mut Vec<u16>) {}
}

impl<V: View> IntoReply for Reply<V> {
    fn into_reply(self, version: Microversion) -> RawReply {
        let mut raw = RawReply::bytes(self.status, "application/json", to_vec(&self.view, version));
        raw.headers.extend(self.headers);
        raw
    }

    fn schema(version: Microversion) -> Option<Value> {
        Some(V::schema(version))
    }

    fn boundaries(into: &mut Vec<u16>) {
        V::boundaries(into);
    }
}

impl IntoReply for Empty {
    fn into_reply(self, _: Microversion) -> RawReply {
        RawReply { headers: self.1, ..RawReply::empty(self.0) }
    }
}

impl IntoReply for RawReply {
    fn into_reply(self, _: Microversion) -> RawReply {
        self
    }
}
