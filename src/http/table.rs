//! The table: every operation is a row, and a row is data.
//!
//! What reads the rows: the router, the policy gate, the version gate, [`openapi`](super::openapi), the sweep that tries
//! every row without permission, the compatibility table of the README. So an operation is declared once:
//!
//! ```ignore
//! get("/servers/{server_id}", show).rule("os_compute_api:servers:show"),
//! action("/servers/{server_id}/action", "os-start", start).rule("os_compute_api:servers:start"),
//! ```

use super::call::{BodyFault, BodyStream, Call, FromBody, Head};
use super::microversion::{Axis, Lifetime, Microversion};
use super::reply::{IntoReply, RawReply};
use crate::error::{Error, Result};
use futures::future::BoxFuture;
use http::Method;
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;

/// One API: where it is mounted, which versions it speaks, how its errors look.
pub struct Service {
    /// `compute`, `identity`, …: the catalogue's type.
    pub name: &'static str,
    /// The path before every row's own: `/compute/v2.1`.
    pub prefix: &'static str,
    pub axis: Option<Axis>,
    pub dialect: &'static dyn Dialect,
    /// Does HEAD stand for every GET? (Keystone: yes. Glance and Nova: no.)
    pub head_as_get: bool,
    /// May a project's id stand between the prefix and a row's own path? (Nova: yes, in hexadecimal digits and dashes.)
    pub names_project: bool,
}

impl Service {
    /// The API it is a part of, for metrics and headers: `compute` of both `/compute` and `/compute/v2.1`.
    pub fn api(&self) -> &'static str {
        self.prefix.split('/').nth(1).unwrap_or(self.name)
    }

    /// The project that a path names before all else, and what follows it.
    pub fn project_of<'p>(&self, path: &'p str) -> Option<(&'p str, &'p str)> {
        let rest = path.strip_prefix(self.prefix).filter(|_| self.names_project)?.strip_prefix('/')?;
        let (first, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_id = !first.is_empty() && first.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        is_id.then_some((first, rest))
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// How a service words its failures.
pub trait Dialect: Send + Sync {
    /// The answer for a failure.
    fn fault(&self, error: &Error, request_id: &str) -> RawReply;

    /// The same, where the answer's form depends on the version that was spoken; `None`: none could be agreed on.
    fn fault_at(&self, error: &Error, request_id: &str, _spoken: Option<Microversion>) -> RawReply {
        self.fault(error, request_id)
    }

    /// The sentence for a body of the wrong shape or no JSON at all.
    fn body_fault(&self, fault: &BodyFault) -> Error;

    /// Does `…/images/` name what `…/images` names? (Glance and Nova: no, there it names an image without an id.)
    fn ignores_trailing_slash(&self) -> bool {
        true
    }

    /// Is a path that has other methods told from one that is none? (Nova: no, both are not found.)
    fn knows_methods(&self) -> bool {
        true
    }

    /// Refuses a JSON body that the request says is something else, where the service does.
    fn content_type_fault(&self, _content_type: &str) -> Option<Error> {
        None
    }
}

/// Who may call a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Public,
    /// Whoever the policy rule of this name lets in.
    Rule(&'static str),
    /// Not said yet: a row of the table may not stay so, and a test looks.
    Undeclared,
}

/// What is asked of a handler, erased: the context, the request's head, the stream of its body or, for actions, the
/// value under the action's key.
pub struct Incoming<X> {
    pub cx: X,
    pub head: Arc<Head>,
    pub body: IncomingBody,
}

pub enum IncomingBody {
    Stream(BodyStream),
    /// An action's whole body, read already to find its key.
    Bytes(Vec<u8>),
}

type Handler<X> = Arc<dyn Fn(Incoming<X>) -> BoxFuture<'static, Result<RawReply>> + Send + Sync>;
type SchemaAt = fn(Microversion) -> Option<Value>;
type Boundaries = fn(&mut Vec<u16>);

/// An operation.
#[derive(Clone)]
pub struct Row<X> {
    pub method: Method,
    /// Under the service's prefix, with names in braces.
    pub path: &'static str,
    /// The one key of the body that selects this row among those of the same path.
    pub action: Option<&'static str>,
    pub access: Access,
    pub lifetime: Lifetime,
    /// Query parameters it reads.
    pub query: &'static [&'static str],
    /// Its body is a stream of bytes of any length, and may take any time.
    pub streams: bool,
    /// False of an operation that upstream has and we only answer 501 for: documents and sweeps leave it out.
    pub is_built: bool,
    pub handler: Handler<X>,
    pub request: SchemaAt,
    pub request_boundaries: Boundaries,
    pub response: SchemaAt,
    pub response_boundaries: Boundaries,
}

impl<X> Row<X> {
    pub fn rule(mut self, name: &'static str) -> Self {
        self.access = Access::Rule(name);
        self
    }

    pub fn public(mut self) -> Self {
        self.access = Access::Public;
        self
    }

    pub fn since(mut self, version: u16) -> Self {
        self.lifetime.since = version;
        self
    }

    pub fn until(mut self, version: u16) -> Self {
        self.lifetime.until = Some(version);
        self
    }

    pub fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    pub fn streams(mut self) -> Self {
        self.streams = true;
        self
    }

    pub fn unbuilt(mut self) -> Self {
        self.is_built = false;
        self
    }
}

/// A row out of a handler; the types of its body and reply stay on it as schemas.
pub fn row<X, B, R, F, Fut>(method: Method, path: &'static str, handler: F) -> Row<X>
where
    X: Send + 'static,
    B: FromBody + 'static,
    R: IntoReply + 'static,
    F: Fn(Call<X, B>) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    let erased: Handler<X> = Arc::new(move |incoming: Incoming<X>| {
        let handler = handler.clone();
        Box::pin(async move {
            let Incoming { cx, head, body } = incoming;
            let version = head.version;
            let body = read_body::<B>(body, &head).await?;
            Ok(handler(Call { cx, head, body }).await?.into_reply(version))
        })
    });
    Row {
        method,
        path,
        action: None,
        access: Access::Undeclared,
        lifetime: Lifetime::ALWAYS,
        query: &[],
        streams: false,
        is_built: true,
        handler: erased,
        request: B::schema,
        request_boundaries: B::boundaries,
        response: R::schema,
        response_boundaries: R::boundaries,
    }
}

/// A media type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

async fn read_body<B: FromBody>(body: IncomingBody, head: &Head) -> Result<B> {
    let body = match body {
        IncomingBody::Stream(stream) => match B::from_stream(stream) {
            Ok(body) => return Ok(body),
            Err(stream) => IncomingBody::Stream(stream),
        },
        gathered @ IncomingBody::Bytes(_) => gathered,
    };
    let bytes = gather(body, B::LIMIT, B::IS_JSON, head).await?;
    B::from_bytes(&bytes, head.version).map_err(|fault| head.service.dialect.body_fault(&fault))
}

/// The bytes of a body that is wanted whole. One function for all handlers' bodies, of which there are hundreds.
async fn gather(body: IncomingBody, limit: usize, is_json: bool, head: &Head) -> Result<Vec<u8>> {
    let bytes = match body {
        IncomingBody::Bytes(bytes) => bytes,
        IncomingBody::Stream(_) if limit == 0 => Vec::new(),
        IncomingBody::Stream(stream) => stream.collect(limit).await?,
    };
    if is_json
        && !bytes.is_empty()
        && let Some(content_type) = head.header("content-type")
        && let Some(fault) = head.service.dialect.content_type_fault(essence(content_type))
    {
        return Err(fault);
    }
    Ok(bytes)
}

macro_rules! method_rows {
    ($($name:ident $method:ident;)*) => {$(
        pub fn $name<X, B, R, F, Fut>(path: &'static str, handler: F) -> Row<X>
        where
            X: Send + 'static,
            B: FromBody + 'static,
            R: IntoReply + 'static,
            F: Fn(Call<X, B>) -> Fut + Send + Sync + Clone + 'static,
            Fut: Future<Output = Result<R>> + Send + 'static,
        {
            row(Method::$method, path, handler)
        }
    )*};
}

method_rows! {
    get GET;
    head HEAD;
    post POST;
    put PUT;
    patch PATCH;
    delete DELETE;
}

/// A row that the body's one key selects: Nova's `POST …/action`. The handler's body is the whole object, key included.
pub fn action<X, B, R, F, Fut>(path: &'static str, key: &'static str, handler: F) -> Row<X>
where
    X: Send + 'static,
    B: FromBody + 'static,
    R: IntoReply + 'static,
    F: Fn(Call<X, B>) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    Row { action: Some(key), ..row(Method::POST, path, handler) }
}
