//! From a request to its row: path, method, version, then the action's key; then the gate, then the handler.
//!
//! ```text
//! request ─► path ─► version ─► row ─► Gate::identify ─► (action: body) ─► Gate::admit ─► handler ─► answer
//!              404     400/406    405      401                400 no such action   403/404
//! ```
//! The caller is known before a byte of the body is read, so that strangers can't make the process buffer anything.

use super::call::{BodyStream, Head, JSON_LIMIT, Params};
use super::json::python_repr;
use super::microversion::Microversion;
use super::query::Query;
use super::reply::RawReply;
use super::table::{Access, Incoming, IncomingBody, Row, Service};
use crate::error::{Error, Kind, Result};
use async_trait::async_trait;
use http::{HeaderValue, Method};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Who decides whether a row may be called.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Who asks, as far as the head tells.
    type Caller: Send;
    /// What a handler gets.
    type Context: Send + 'static;

    /// Says who asks. Public rows are called with whatever this answers, or without a token.
    async fn identify(&self, access: Access, head: &Head) -> Result<Self::Caller>;

    /// Lets the caller through to the row, or not.
    async fn admit(&self, caller: Self::Caller, access: Access, head: &Head) -> Result<Self::Context>;
}

/// A request as the router takes it, whatever carried it.
pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: http::HeaderMap,
    pub peer: Option<IpAddr>,
    pub request_id: String,
    pub body: BodyStream,
}

/// A prefix that stands for another one.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    pub prefix: &'static str,
    pub target: &'static str,
    /// What is spoken under it: headers ask for nothing there, and none says so.
    pub version: Option<Microversion>,
}

struct Entry<X> {
    service: &'static Service,
    rows: Vec<Row<X>>,
}

/// Where a request goes, told from its head alone: what is around the router (limits, metrics, headers) goes by it.
pub struct Route<'r, X> {
    /// Whose path it is; of a path that nothing serves, the service with the longest prefix of it.
    pub service: &'static Service,
    /// Image bytes come and go for as long as it takes.
    pub streams: bool,
    path: String,
    /// The project that the path names.
    project: Option<String>,
    version: Result<Microversion>,
    /// Does the path say the version, and no header?
    is_said_by_path: bool,
    found: Option<Found<'r, X>>,
}

/// A path that rows have.
struct Found<'r, X> {
    entry: &'r Entry<X>,
    params: Params,
    /// Those of the method and version; `None` when nothing of the path lives at that version.
    rows: Option<Vec<&'r Row<X>>>,
}

pub struct Router<G: Gate> {
    gate: G,
    paths: matchit::Router<usize>,
    entries: Vec<Entry<G::Context>>,
    /// Services by prefix, longest first: who answers for a path that no row has.
    services: Vec<&'static Service>,
    aliases: &'static [Alias],
}

impl<G: Gate> Router<G> {
    /// A router over services and their rows.
    pub fn new(gate: G, table: Vec<(&'static Service, Vec<Row<G::Context>>)>, aliases: &'static [Alias]) -> Self {
        let mut paths = matchit::Router::new();
        let mut entries: Vec<Entry<G::Context>> = Vec::new();
        let mut by_path: HashMap<String, usize> = HashMap::new();
        let mut services = Vec::new();
        for (service, rows) in table {
            services.push(service);
            for row in rows {
                let path = match format!("{}{}", service.prefix, row.path) {
                    path if path.is_empty() => "/".to_owned(),
                    path => path,
                };
                let index = *by_path.entry(path.clone()).or_insert_with(|| {
                    paths.insert(path, entries.len()).expect("rows of the table don't contradict each other");
                    entries.push(Entry { service, rows: Vec::new() });
                    entries.len() - 1
                });
                entries[index].rows.push(row);
            }
        }
        services.sort_by_key(|service| std::cmp::Reverse(service.prefix.len()));
        Self { gate, paths, entries, services, aliases }
    }

    pub fn gate(&self) -> &G {
        &self.gate
    }

    /// Every row with its service: what tests and `gapura spec` walk over.
    pub fn rows(&self) -> impl Iterator<Item = (&'static Service, &Row<G::Context>)> {
        self.entries.iter().flat_map(|entry| entry.rows.iter().map(|row| (entry.service, row)))
    }

    /// Finds the way of a request without taking it.
    pub fn route(&self, request: &Request) -> Route<'_, G::Context> {
        let (path, said) = self.canonical(&request.path);
        let service = self.service_of(&path);
        let (path, project) = match service.project_of(&path) {
            Some((project, rest)) => (format!("{}{rest}", service.prefix), Some(project.to_owned())),
            None => (path, None),
        };
        let version = match (said, service.axis) {
            (Some(version), _) => Ok(version),
            (None, Some(axis)) => axis.negotiate(&request.headers),
            (None, None) => Ok(Microversion::ANY),
        };
        let found = self.paths.at(&path).ok().map(|matched| {
            let entry = &self.entries[*matched.value];
            let params =
                Params(matched.params.iter().map(|(key, value)| (key.to_owned(), percent_decoded(value))).collect());
            let rows = version.as_ref().ok().and_then(|version| rows_for(entry, &request.method, *version));
            Found { entry, params, rows }
        });
        let row = found.as_ref().and_then(|found| found.rows.as_ref()?.first());
        Route {
            service,
            streams: row.is_some_and(|row| row.streams),
            path,
            project,
            version,
            is_said_by_path: said.is_some(),
            found,
        }
    }

    /// Answers a request; every failure in the dialect of the service whose path it is.
    pub async fn answer(&self, request: Request) -> RawReply {
        let route = self.route(&request);
        self.answer_on(route, request).await
    }

    /// Answers a request on the way that [`Router::route`] found for it.
    pub async fn answer_on(&self, route: Route<'_, G::Context>, request: Request) -> RawReply {
        let Route { service, path, project, version, is_said_by_path, found, .. } = route;
        let request_id = request.request_id.clone();
        let is_head = request.method == Method::HEAD;
        let version = match version {
            Ok(version) => version,
            Err(error) => return fault(service, &error, &request_id, None),
        };
        let answered = self.dispatch(request, (path, project), version, found).await;
        let mut reply = answered.unwrap_or_else(|error| fault(service, &error, &request_id, Some(version)));
        if let Some(axis) = service.axis.filter(|_| !is_said_by_path) {
            axis.echo(version, &mut reply.headers);
        }
        if is_head {
            reply.body = super::reply::RawBody::Bytes(bytes::Bytes::new());
        }
        reply
    }

    /// The path without trailing slashes, aliases resolved, and the version that it says.
    fn canonical(&self, path: &str) -> (String, Option<Microversion>) {
        let path = match path.trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        for alias in self.aliases {
            if let Some(rest) = path.strip_prefix(alias.prefix)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return (format!("{}{rest}", alias.target), alias.version);
            }
        }
        (path.to_owned(), None)
    }

    fn service_of(&self, path: &str) -> &'static Service {
        let owns = |service: &&&'static Service| {
            path.strip_prefix(service.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.services.iter().find(owns).or(self.services.last()).expect("a router has at least one service")
    }

    async fn dispatch(
        &self,
        request: Request,
        (path, project): (String, Option<String>),
        version: Microversion,
        found: Option<Found<'_, G::Context>>,
    ) -> Result<RawReply> {
        let no_such_path = || Error::not_found(Kind::Page, &path);
        let Found { entry, params, rows } = found.ok_or_else(no_such_path)?;
        let rows = rows.ok_or_else(no_such_path)?;
        // Asked before the method: with the slash it is another path, which may be no path at all.
        let strays = request.path.ends_with('/') && entry.rows.iter().any(|row| row.access != Access::Public);
        if strays && !entry.service.dialect.ignores_trailing_slash() {
            return Err(no_such_path());
        }
        let Some(first) = rows.first() else {
            let knows_methods = entry.service.dialect.knows_methods();
            let not_allowed = || Error::MethodNotAllowed(allowed(entry));
            return Err(if knows_methods { not_allowed() } else { no_such_path() });
        };

        let head = Arc::new(Head {
            method: request.method,
            path: path.clone(),
            project,
            query: Query::parse(&request.query),
            headers: request.headers,
            peer: request.peer,
            request_id: request.request_id,
            params,
            version,
            service: entry.service,
        });
        let caller = self.gate.identify(first.access, &head).await?;
        let (row, body) = if first.action.is_some() {
            let bytes = request.body.collect(JSON_LIMIT).await?;
            (row_of_action(&rows, &bytes, &head)?, IncomingBody::Bytes(bytes))
        } else {
            (*first, IncomingBody::Stream(request.body))
        };
        let cx = self.gate.admit(caller, row.access, &head).await?;
        refuse_unknown_queries(row, &head)?;
        (row.handler)(Incoming { cx, head, body }).await
    }
}

/// Where an API has become strict, in jsonschema's sentence.
fn refuse_unknown_queries<X>(row: &Row<X>, head: &Head) -> Result<()> {
    let is_strict = head.service.axis.is_some_and(|axis| head.version >= axis.strict_queries);
    if !is_strict || head.method != Method::GET || row.access == Access::Public {
        return Ok(());
    }
    let unknown: Vec<String> = head
        .query
        .iter()
        .filter(|(name, _)| !row.query.contains(name))
        .map(|(name, _)| python_repr(&serde_json::Value::String(name.to_owned())))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let verb = if unknown.len() == 1 { "was" } else { "were" };
    Err(Error::bad_request(format!("Additional properties are not allowed ({} {verb} unexpected)", unknown.join(", "))))
}

fn fault(service: &Service, error: &Error, request_id: &str, spoken: Option<Microversion>) -> RawReply {
    let mut reply = service.dialect.fault_at(error, request_id, spoken);
    if let Error::MethodNotAllowed(allowed) = error
        && let Ok(value) = HeaderValue::from_str(allowed)
    {
        reply.headers.insert(http::header::ALLOW, value);
    }
    reply
}

/// The rows that answer a method at a version: none for a method that the path never has; `None` for one that it has at other
/// versions, which upstream's services say is not there.
fn rows_for<'e, X>(entry: &'e Entry<X>, method: &Method, version: Microversion) -> Option<Vec<&'e Row<X>>> {
    let alive: Vec<&Row<X>> = entry.rows.iter().filter(|row| row.lifetime.holds_at(version)).collect();
    let is_action_path = entry.rows.iter().any(|row| row.action.is_some());
    let of =
        |method: &Method| -> Vec<&'e Row<X>> { alive.iter().copied().filter(|row| row.method == *method).collect() };
    let mut rows = of(method);
    let head_as_get = *method == Method::HEAD && entry.service.head_as_get;
    if rows.is_empty() && head_as_get {
        rows = of(&Method::GET);
    }
    if rows.is_empty() && is_action_path && *method == Method::POST {
        // Each action has a lifetime of its own; the path itself has none.
        rows = entry.rows.iter().filter(|row| row.action.is_some()).take(1).collect();
    }
    let is_known = |known: &Row<X>| known.method == *method || (head_as_get && known.method == Method::GET);
    if rows.is_empty() && entry.rows.iter().any(is_known) { None } else { Some(rows) }
}

/// Nova's answers for a body without an action, with two, or with one it does not have.
fn row_of_action<'r, X>(rows: &[&'r Row<X>], bytes: &[u8], head: &Head) -> Result<&'r Row<X>> {
    let body: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|_| Error::bad_request("Malformed request body"))?;
    let keys = body.as_object().ok_or_else(|| Error::bad_request("Malformed request body"))?;
    let alive = |row: &&&'r Row<X>, key: &str| row.action == Some(key) && row.lifetime.holds_at(head.version);
    let mut named = keys.keys().filter_map(|key| rows.iter().find(|row| alive(row, key)));
    match (named.next(), named.next(), keys.keys().next()) {
        (Some(row), None, _) => Ok(row),
        (_, _, Some(key)) => Err(Error::bad_request(format!("There is no such action: {key}"))),
        (_, _, None) => Err(Error::bad_request("There is no such action: None")),
    }
}

/// At whatever version.
fn allowed<X>(entry: &Entry<X>) -> String {
    let mut methods: Vec<&str> = entry.rows.iter().map(|row| row.method.as_str()).collect();
    if entry.service.head_as_get && methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

/// `%2F` and the like; bytes that are no UTF-8 become the replacement character and match nothing.
fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |b: u8| char::from(b).to_digit(16);
        match (bytes[i], bytes.get(i + 1).copied().and_then(hex), bytes.get(i + 2).copied().and_then(hex)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                i += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
