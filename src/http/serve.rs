//! Listening: connections to requests, requests to the router, with what every request gets around it.
//!
//! From the outside in: request id, access log, other origins ([`cors`]), panic guard, time limit, then the router, which says
//! of each request whose it is and whether it streams. Bodies are bounded where they are read, since an image's has no bound. On shutdown the listener closes first; requests under way may finish.

use super::call::BodyStream;
use super::cors::{self, Origins};
use super::reply::{RawBody, RawReply};
use super::router::{Gate, Request, Router};
use super::table::Service;
use crate::error::{Error, Result};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// How long a request may take that does not stream bytes.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// How long requests under way may take to finish once the process is told to stop.
const FAREWELL: Duration = Duration::from_secs(20);

/// How much a connection keeps of what was read and not yet taken, or answered and not yet sent. hyper's own is 400 KiB, which
/// fifty uploads at once show, and makes one no faster.
const CONNECTION_BUFFER: usize = 256 << 10;

type Body = UnsyncBoxBody<Bytes, crate::error::BoxError>;

/// Told of every answer; `/metrics` counts them.
pub trait Observer: Send + Sync + 'static {
    fn answered(&self, service: &'static str, status: StatusCode, took: Duration);
}

/// Serves connections until `stop` resolves, then lets requests under way finish.
pub async fn serve<G: Gate, O: Observer>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Arc<Router<G>>,
    observer: Arc<O>,
    origins: Arc<Origins>,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .max_buf_size(CONNECTION_BUFFER)
        .keep_alive(true);
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    // Out of file descriptors, most likely: let some close.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let _ = stream.set_nodelay(true);
        let (router, observer, origins) = (router.clone(), observer.clone(), origins.clone());
        let service = hyper::service::service_fn(move |request| {
            let (router, observer, origins) = (router.clone(), observer.clone(), origins.clone());
            async move { Ok::<_, Infallible>(respond(&router, &*observer, &origins, request, peer).await) }
        });
        let (builder, watcher, tls) = (builder.clone(), graceful.watcher(), tls.clone());
        tokio::spawn(async move {
            let ended = match tls {
                None => watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned()).await,
                Some(tls) => match tokio::time::timeout(Duration::from_secs(10), tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned()).await
                    }
                    Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
                    Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
                },
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, error, "connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
}

async fn respond<G: Gate, O: Observer>(
    router: &Arc<Router<G>>,
    observer: &O,
    origins: &Origins,
    request: http::Request<Incoming>,
    peer: SocketAddr,
) -> Response<Body> {
    let started = Instant::now();
    let request_id = format!("req-{}", uuid::Uuid::new_v4());
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    let path = parts.uri.path().to_owned();
    let origin = origins.of(&parts.headers);
    let preflight = origin.as_ref().and_then(|_| cors::preflight(&parts.method, &parts.headers));
    let request = Request {
        method: parts.method,
        path: path.clone(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        peer: Some(peer.ip()),
        request_id: request_id.clone(),
        body: body_stream(body),
    };
    let route = router.route(&request);
    let (service, streams) = (route.service, route.streams);
    let answer = async {
        match preflight {
            Some(reply) => reply,
            None => router.answer_on(route, request).await,
        }
    };
    let guarded = AssertUnwindSafe(answer).catch_unwind();
    let outcome = if streams { Ok(guarded.await) } else { tokio::time::timeout(TIME_LIMIT, guarded).await };
    let mut reply = match outcome {
        Ok(Ok(reply)) => reply,
        Ok(Err(_panic)) => {
            tracing::error!(%request_id, %method, path, "a handler panicked");
            plain_fault(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(_elapsed) => {
            tracing::error!(%request_id, %method, path, "a request took too long and was given up");
            plain_fault(StatusCode::GATEWAY_TIMEOUT)
        }
    };
    origins.open(&mut reply, origin);
    let took = started.elapsed();
    observer.answered(service.api(), reply.status, took);
    tracing::info!(
        target: "access", %request_id, %method, path, status = reply.status.as_u16(), peer = %peer.ip(),
        ms = took.as_secs_f64() * 1_000.0
    );
    into_response(reply, service, &request_id)
}

fn plain_fault(status: StatusCode) -> RawReply {
    let code = status.as_u16();
    let message = "The server could not complete the request.";
    RawReply::json(
        status,
        &serde_json::json!({"error": {"code": code, "title": status.canonical_reason(), "message": message}}),
    )
}

fn body_stream(body: Incoming) -> BodyStream {
    use hyper::body::Body as _;
    let length = body.size_hint().exact();
    let pieces =
        body.into_data_stream().map_err(|error| Error::BadRequest(format!("The request body ended early: {error}")));
    BodyStream::new(pieces.boxed(), length)
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");
static COMPUTE_REQUEST_ID: HeaderName = HeaderName::from_static("x-compute-request-id");

fn into_response(reply: RawReply, service: &Service, request_id: &str) -> Response<Body> {
    let body: Body = match reply.body {
        RawBody::Bytes(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
        RawBody::Stream(stream) => {
            let frames = stream.map_ok(Frame::data).map_err(|error: Error| crate::error::BoxError::from(error));
            BodyExt::boxed_unsync(StreamBody::new(frames))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    if let Ok(value) = HeaderValue::from_str(request_id) {
        if service.api() == "compute" {
            response.headers_mut().insert(COMPUTE_REQUEST_ID.clone(), value.clone());
        }
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    response
}

/// Where to listen; TLS is demanded off loopback by whoever calls.
///
/// # Errors
/// `Unavailable` when the address is taken or not ours.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| Error::unavailable("the address to listen on", error))
}

/// Is the address one that only this machine reaches?
pub fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}
