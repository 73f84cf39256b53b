//! What a handler is given: who asks, in which version, for what, with which body.

use super::json::{Invalid, Parse};
use super::microversion::Microversion;
use super::query::Query;
use super::table::Service;
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use http::{HeaderMap, Method};
use serde_json::Value;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The largest JSON body, in bytes: oslo.middleware's default.
pub const JSON_LIMIT: usize = 114_688;

/// Everything of a request but its body.
#[derive(Debug, Clone)]
pub struct Head {
    pub method: Method,
    /// As asked, aliases resolved, without a trailing slash.
    pub path: String,
    /// The project that the path named before all else, where the service's paths may.
    pub project: Option<String>,
    pub query: Query,
    pub headers: HeaderMap,
    /// Who is at the other end of the connection; `None` for calls made in process.
    pub peer: Option<IpAddr>,
    /// `req-` and a UUID, in the answer, the log and every error.
    pub request_id: String,
    pub params: Params,
    pub version: Microversion,
    pub service: &'static Service,
}

impl Head {
    /// A header's text; `None` when absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What the braces of a row's path matched, percent-decoded.
#[derive(Debug, Clone, Default)]
pub struct Params(pub Vec<(String, String)>);

impl Params {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A request, admitted and parsed. `X` is what the gate made of it (the caller, what they may reach, the program's state).
pub struct Call<X, B = ()> {
    pub cx: X,
    pub head: Arc<Head>,
    pub body: B,
}

impl<X, B> Call<X, B> {
    /// What a brace of the row's path matched. Only for names that the row has.
    pub fn path(&self, name: &str) -> &str {
        self.head.params.get(name).expect("a handler asks for the parameters of its own row")
    }

    pub fn query(&self) -> &Query {
        &self.head.query
    }

    pub fn version(&self) -> Microversion {
        self.head.version
    }

    /// The call with another body; for handlers that share their beginning.
    pub fn with_body<C>(self, body: C) -> Call<X, C> {
        Call { cx: self.cx, head: self.head, body }
    }
}

/// Why a body was refused.
#[derive(Debug)]
pub enum BodyFault {
    NotJson(String),
    Invalid(Invalid),
}

/// A body that a handler can take.
pub trait FromBody: Sized + Send {
    /// Bytes read at most; `0` means that the body is not read.
    const LIMIT: usize;

    /// Is it JSON? Then services look at what the request says of its body's type.
    const IS_JSON: bool = true;

    /// Reads the collected bytes.
    fn from_bytes(bytes: &[u8], version: Microversion) -> Result<Self, BodyFault>;

    /// Takes the stream itself, for handlers that don't want it collected.
    fn from_stream(stream: BodyStream) -> Result<Self, BodyStream> {
        Err(stream)
    }

    /// JSON Schema at a version; `None` when the body is no JSON.
    fn schema(_version: Microversion) -> Option<Value> {
        None
    }

    fn boundaries(_into: &mut Vec<u16>) {}
}

/// No body is wanted; one that comes is ignored, as upstream does.
impl FromBody for () {
    const LIMIT: usize = 0;
    const IS_JSON: bool = false;

    fn from_bytes(_: &[u8], _: Microversion) -> Result<Self, BodyFault> {
        Ok(())
    }
}

/// Any JSON value.
impl FromBody for Value {
    const LIMIT: usize = JSON_LIMIT;

    fn from_bytes(bytes: &[u8], version: Microversion) -> Result<Self, BodyFault> {
        parse_json(bytes, version)
    }

    fn schema(_: Microversion) -> Option<Value> {
        Some(serde_json::json!({}))
    }
}

/// The bytes as they came.
impl FromBody for Bytes {
    const LIMIT: usize = JSON_LIMIT;
    const IS_JSON: bool = false;

    fn from_bytes(bytes: &[u8], _: Microversion) -> Result<Self, BodyFault> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}

impl FromBody for BodyStream {
    const LIMIT: usize = 0;
    const IS_JSON: bool = false;

    fn from_bytes(_: &[u8], _: Microversion) -> Result<Self, BodyFault> {
        Ok(Self::empty())
    }

    fn from_stream(stream: BodyStream) -> Result<Self, BodyStream> {
        Ok(stream)
    }
}

/// Reads a JSON body; used by `versioned!`.
pub fn parse_json<T: Parse>(bytes: &[u8], version: Microversion) -> Result<T, BodyFault> {
    match super::json::from_slice(bytes, version) {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(invalid)) => Err(BodyFault::Invalid(invalid)),
        Err(error) => Err(BodyFault::NotJson(error.to_string())),
    }
}

/// A body as it arrives, piece by piece.
pub struct BodyStream {
    inner: BoxStream<'static, Result<Bytes>>,
    /// `Content-Length`, when the client said.
    pub length: Option<u64>,
}

impl BodyStream {
    pub fn new(inner: BoxStream<'static, Result<Bytes>>, length: Option<u64>) -> Self {
        Self { inner, length }
    }

    pub fn empty() -> Self {
        Self { inner: Box::pin(futures::stream::empty()), length: Some(0) }
    }

    /// All of it, unless it is longer than `limit`.
    pub async fn collect(mut self, limit: usize) -> Result<Vec<u8>> {
        use futures::StreamExt;
        let too_large = || Error::TooLarge("Request is too large.".to_owned());
        if self.length.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut all = Vec::with_capacity(usize::try_from(self.length.unwrap_or(0)).unwrap_or(0));
        while let Some(piece) = self.inner.next().await {
            let piece = piece?;
            if all.len() + piece.len() > limit {
                return Err(too_large());
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

impl Stream for BodyStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(cx)
    }
}
