//! The other host's end: takes calls from its controller and carries them out.
//!
//! ```text
//! POST /v1/hypervisor, /v1/disks, /v1/fabric   a call of the trait
//! POST /v1/disks/base                          an image's bytes, for the cache
//! POST /v1/disks/copy                          a copy's bytes
//! POST /v1/disks/part, /v1/disks/incoming      a machine's disk, as it leaves this host or comes to it
//! POST /v1/events                              waits until something changes
//! POST /v1/hello, /v1/certificates             what runs there, and certificates before they end
//! ```
//! Each call runs as a task of its own: it goes on when the controller is lost in the middle, as dropping a call to libvirt
//! leaves it running. Until it is done the answer consists of spaces, which JSON ignores, as a sign of life.

use super::calls::{Calls, DisksCall, FabricCall, HypervisorCall, written};
use super::listener::{self, Body};
use super::papers::{Papers, Renewed};
use super::remote::{LONG_POLL, OpenCopy, OpenPart, Seen, Since};
use super::{
    BASE_HEADER, PART_HEADER, PROTOCOL, PROTOCOL_HEADER, Parts, SIGN_OF_LIFE, SIZE_HEADER, VERSION, VERSION_HEADER,
};
use super::{told_to_stop, understands};
use crate::disks::{self, BaseImage};
use crate::error::{BoxError, Error, Result};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

/// A call that is larger is refused: the largest is a network with all its ports, or a config drive.
const LONGEST_CALL: usize = 64 << 20;

/// So much of a body is read for nothing, and for so long: who is still sending when the connection is closed sees it break and
/// never hears why.
const PASSED_OVER: usize = 16 << 20;
const PASSED_OVER_WITHIN: Duration = Duration::from_secs(5);

/// What is left of a body when its taker wants no more.
struct Rest(Arc<Mutex<BoxStream<'static, Result<Bytes>>>>);

impl Rest {
    async fn pass_over(self) {
        let pass = async {
            let (mut bytes, mut passed) = (self.0.lock().await, 0);
            while passed < PASSED_OVER
                && let Some(Ok(piece)) = bytes.next().await
            {
                passed += piece.len();
            }
        };
        // Too slow is like too much.
        let _ = timeout(PASSED_OVER_WITHIN, pass).await;
    }
}

/// The bytes of a request for whoever takes them.
fn bytes_of(request: Request<Incoming>) -> (BoxStream<'static, Result<Bytes>>, Rest) {
    let body = request.into_body().into_data_stream();
    let body = body.map_err(|error| Error::unavailable("the controller", error)).boxed();
    let body = Arc::new(Mutex::new(body));
    let taken = futures::stream::unfold(body.clone(), |body| async move {
        let next = body.lock().await.next().await;
        next.map(|piece| (piece, body))
    });
    (taken.boxed(), Rest(body))
}

struct Node {
    parts: Parts,
    papers: Arc<dyn Papers>,
    /// Tells this run of the program from others.
    run: u64,
    stopped: watch::Receiver<bool>,
}

/// Takes calls until told to stop, then lets those under way finish.
pub async fn serve(
    listener: TcpListener,
    tls: rustls::ServerConfig,
    parts: Parts,
    papers: Arc<dyn Papers>,
    stopped: watch::Receiver<bool>,
) {
    let node = Arc::new(Node { parts, papers, run: rand::random(), stopped: stopped.clone() });
    let respond = move |request, _| {
        let node = node.clone();
        async move { node.respond(request).await }
    };
    listener::serve(listener, tls, stopped, respond).await;
}

impl Node {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        let mut response = self.route(request).await.unwrap_or_else(refusal);
        response.headers_mut().insert(PROTOCOL_HEADER, PROTOCOL.into());
        response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
        response
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        if request.method() != Method::POST {
            return Err(Error::MethodNotAllowed("A host is asked with POST".to_owned()));
        }
        let theirs = request.headers().get(PROTOCOL_HEADER).and_then(|number| number.to_str().ok()?.parse().ok());
        if !theirs.is_some_and(understands) {
            let theirs = theirs.map_or_else(|| "none".to_owned(), |theirs: u32| theirs.to_string());
            return Err(Error::NotAcceptable(format!(
                "This host's gapura speaks protocol {PROTOCOL}, and its controller's {theirs}: bring them closer"
            )));
        }
        let Some(path) = request.uri().path().strip_prefix("/v1/").map(str::to_owned) else {
            return Err(unknown(request.uri().path()));
        };
        let Parts { hypervisor, disks, fabric } = &self.parts;
        match path.as_str() {
            HypervisorCall::PATH => carry_out::<HypervisorCall>(request, hypervisor.clone()).await,
            DisksCall::PATH => carry_out::<DisksCall>(request, disks.clone()).await,
            FabricCall::PATH => carry_out::<FabricCall>(request, fabric.clone()).await,
            "disks/base" => self.take_base(request).await,
            "disks/copy" => self.give_copy(request).await,
            "disks/part" => self.give_part(request).await,
            "disks/incoming" => self.take_part(request).await,
            "events" => self.wait_for_change(request).await,
            "hello" => self.say_hello(request).await,
            "certificates" => self.take_certificates(request).await,
            other => Err(unknown(other)),
        }
    }

    /// The image's bytes go to the cache as they come. Whoever sends them waits for the end, so nothing outlives it.
    async fn take_base(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let said = request.headers().get(BASE_HEADER).map(|base| serde_json::from_slice::<BaseImage>(base.as_bytes()));
        let Some(Ok(base)) = said else {
            return Err(Error::bad_request("It is not said which image the bytes are"));
        };
        let (bytes, rest) = bytes_of(request);
        let outcome = self.parts.disks.fetch_base(&base, bytes).await;
        rest.pass_over().await;
        Ok(whole(StatusCode::OK, written(outcome)))
    }

    async fn give_part(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let OpenPart { server, part } = parsed(&read(request).await?)?;
        let frames = self.parts.disks.open_part(server, part).await?.map_ok(Frame::data).map_err(BoxError::from);
        Ok(Response::new(BodyExt::boxed_unsync(StreamBody::new(frames))))
    }

    /// As [`take_base`](Self::take_base).
    async fn take_part(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let said =
            request.headers().get(PART_HEADER).map(|wish| serde_json::from_slice::<disks::Incoming>(wish.as_bytes()));
        let Some(Ok(wish)) = said else {
            return Err(Error::bad_request("It is not said which disk the bytes are"));
        };
        let (bytes, rest) = bytes_of(request);
        let outcome = self.parts.disks.receive_part(&wish, bytes).await;
        rest.pass_over().await;
        Ok(whole(StatusCode::OK, written(outcome)))
    }

    async fn give_copy(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let OpenCopy { server } = parsed(&read(request).await?)?;
        let copied = self.parts.disks.open_copy(server).await?;
        let frames = copied.bytes.map_ok(Frame::data).map_err(BoxError::from);
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)));
        response.headers_mut().insert(SIZE_HEADER, copied.size.into());
        Ok(response)
    }

    async fn say_hello(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        read(request).await?;
        Ok(whole(StatusCode::OK, written(self.papers.hello())))
    }

    async fn take_certificates(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let renewed: Renewed = parsed(&read(request).await?)?;
        Ok(whole(StatusCode::OK, written(self.papers.take(&renewed))))
    }

    async fn wait_for_change(&self, request: Request<Incoming>) -> Result<Response<Body>> {
        let Since { seen } = parsed(&read(request).await?)?;
        let (run, changes, stopped) = (self.run, self.parts.hypervisor.events(), self.stopped.clone());
        Ok(answer(async move {
            let Some(mut changes) = changes else {
                // This host never signals. Its controller asks again after a while, which tells it that the host is there.
                if seen.is_some() {
                    tokio::select! {
                        () = sleep(LONG_POLL) => {}
                        () = told_to_stop(stopped) => {}
                    }
                }
                return written(Ok(Some(Seen { run, changes: 0 })));
            };
            let is_new = |count: &u64| seen != Some(Seen { run, changes: *count });
            tokio::select! {
                // An error means that the host's driver is gone: then nothing changes any more.
                () = async { drop(changes.wait_for(is_new).await) } => {}
                () = sleep(LONG_POLL) => {}
                () = told_to_stop(stopped) => {}
            }
            let now = *changes.borrow();
            written(Ok(Some(Seen { run, changes: now })))
        }))
    }
}

/// How a host says that it doesn't know a call; what it can't do for other reasons is said otherwise. Older hosts say it so.
pub(super) const UNKNOWN: &str = "This host does not know ";

fn unknown(what: &str) -> Error {
    Error::NotImplemented(format!("{UNKNOWN}{what}: it is older or newer than its controller"))
}

async fn carry_out<C: Calls>(request: Request<Incoming>, host: Arc<C::Host>) -> Result<Response<Body>> {
    let call: C = parse_call(&read(request).await?)?;
    Ok(answer(call.carry_out(host)))
}

/// Reads a call; one whose name is unknown is told from one that is malformed.
fn parse_call<C: Calls>(bytes: &[u8]) -> Result<C> {
    let call: serde_json::Value = parsed(bytes)?;
    let name = match &call {
        serde_json::Value::String(name) => Some(name.as_str()),
        serde_json::Value::Object(fields) => fields.keys().next().map(String::as_str),
        _ => None,
    };
    if let Some(name) = name.filter(|name| !C::NAMES.contains(name)) {
        return Err(unknown(&format!("{}.{name}", C::PATH)));
    }
    serde_json::from_value(call).map_err(|error| Error::bad_request(format!("A call that nobody understands: {error}")))
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::bad_request(format!("A call that nobody understands: {error}")))
}

async fn read(request: Request<Incoming>) -> Result<Bytes> {
    let read = Limited::new(request.into_body(), LONGEST_CALL).collect().await;
    read.map(http_body_util::Collected::to_bytes)
        .map_err(|error| Error::TooLarge(format!("The call can't be read: {error}")))
}

/// The answer of work that goes on whether or not somebody waits for it.
fn answer(work: impl Future<Output = Vec<u8>> + Send + 'static) -> Response<Body> {
    let work = tokio::spawn(work);
    let pieces = futures::stream::unfold(Some(work), |work| async move {
        let mut work = work?;
        tokio::select! {
            done = &mut work => {
                let failed = |error| written::<()>(Err(Error::internal("a call broke off", error)));
                Some((Bytes::from(done.unwrap_or_else(failed)), None))
            }
            () = sleep(SIGN_OF_LIFE) => Some((Bytes::from_static(b" "), Some(work))),
        }
    });
    Response::new(BodyExt::boxed_unsync(StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece))))))
}

pub(crate) fn refusal(error: Error) -> Response<Body> {
    whole(StatusCode::UNPROCESSABLE_ENTITY, written::<()>(Err(error)))
}

pub(crate) fn whole(status: StatusCode, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(BodyExt::boxed_unsync(Full::new(bytes.into()).map_err(|never| match never {})));
    *response.status_mut() = status;
    response
}
