//! Takes connections over TLS and answers what comes over them: for a host's calls, and for those who want to join.

use super::told_to_stop;
use crate::error::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long calls under way may take once the process is told to stop.
const FAREWELL: Duration = Duration::from_secs(20);

pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Answers until told to stop, then lets what is under way finish.
pub async fn serve<F, Answer>(
    listener: TcpListener,
    tls: rustls::ServerConfig,
    stopped: watch::Receiver<bool>,
    respond: F,
) where
    F: Fn(Request<Incoming>, SocketAddr) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = Response<Body>> + Send + 'static,
{
    let tls = TlsAcceptor::from(Arc::new(tls));
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    // Out of file descriptors, most likely: let some close.
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = told_to_stop(stopped.clone()) => break,
        };
        let _ = stream.set_nodelay(true);
        let (respond, tls, watcher) = (respond.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let stream = match timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::warn!(%peer, %error, "refused a connection"),
                Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
            };
            let service = hyper::service::service_fn(move |request| {
                let answer = respond(request, peer);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).keep_alive(true);
            if let Err(error) = watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await {
                tracing::debug!(%peer, %error, "a connection ended early");
            }
        });
    }
    drop(listener);
    if timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::warn!("some calls did not finish in time and were cut off");
    }
}
