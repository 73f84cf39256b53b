//! One connection to a host's libvirt, kept for the life of the process and made again when it breaks.
//!
//! Every call of libvirt blocks, and none can be cancelled, only outlived. So calls run on the blocking threads of the
//! runtime, at most [`CALLS`] a host: a host that hangs fills its own eight places, and nothing else waits for it. Who
//! waits longer than [`PATIENCE`] is told that the host is away; the call itself may still end well later, which is
//! why everything asked of a host must bear being asked again. Keep-alive messages end a call to a host that died
//! without a word, but only one: libvirt leaves other calls on that connection waiting (seen with 11.3). So a broken
//! connection keeps the places of its calls, and the next connection has new ones.

use super::libvirt_ffi::{self, Changes, Registration};
use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use virt::connect::Connect;

const CALLS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(90);
/// Seconds between two signs of life, and how many may be missing.
const KEEP_ALIVE: (i32, u32) = (5, 5);
/// Who finds another thread connecting waits so long for it; a connection takes milliseconds, or hangs.
const CONNECTING: Duration = Duration::from_secs(5);
/// A host that was just found away is not tried again for so long.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Why a call failed: libvirt's reason, or one of ours found on the way.
#[derive(Debug)]
pub enum Failure {
    Libvirt(virt::error::Error),
    Ours(Error),
}

impl From<virt::error::Error> for Failure {
    fn from(error: virt::error::Error) -> Self {
        Self::Libvirt(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

pub struct Connection {
    uri: String,
    state: Arc<Mutex<State>>,
    /// Of the newest connection. Apart from the state, which is locked while connecting.
    places: Arc<Mutex<Arc<Semaphore>>>,
    changes: Arc<Changes>,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    last_failure: Option<(Instant, String)>,
}

impl Connection {
    pub fn new(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            state: Arc::default(),
            places: Arc::new(Mutex::new(Arc::new(Semaphore::new(CALLS)))),
            changes: Arc::new(watch::Sender::new(0)),
        }
    }

    pub fn uri(&self) -> &str {
        &self.uri
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Runs `work` with an open connection, off the async threads. `context` says for the log what was tried.
    pub async fn call<T, F>(&self, context: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connect) -> Result<T, Failure> + Send + 'static,
    {
        let (places, state) = (self.places.clone(), self.state.clone());
        let (uri, changes) = (self.uri.clone(), self.changes.clone());
        let answer = async move {
            let newest = places.lock().clone();
            // Closed while we waited: the connection broke under the calls before us.
            let place = newest.acquire_owned().await.map_err(|error| Error::unavailable("hypervisor", error))?;
            // The place goes with the call, so a call that is outlived still counts.
            tokio::task::spawn_blocking(move || {
                let _place = place;
                let link = link(&state, &places, &uri, &changes)?;
                work(link.connect()).map_err(|failure| explain(context, failure, link.connect()))
            })
            .await
            .map_err(|error| Error::internal(context, error))?
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(Error::unavailable("hypervisor", elapsed)),
        }
    }
}

impl Connection {
    /// Runs `work` on a thread of its own for as long as it takes: no other call waits for it, and nobody here. Its end is
    /// news.
    pub async fn apart<F>(&self, thread: &str, work: F) -> Result<()>
    where
        F: FnOnce(&Connect) + Send + 'static,
    {
        let (places, state) = (self.places.clone(), self.state.clone());
        let (uri, changes) = (self.uri.clone(), self.changes.clone());
        let news = changes.clone();
        let link = tokio::task::spawn_blocking(move || link(&state, &places, &uri, &changes)).await;
        let link = link.map_err(|error| Error::internal("connecting to a hypervisor", error))??;
        let run = move || {
            work(link.connect());
            news.send_modify(|count| *count += 1);
        };
        let begun = std::thread::Builder::new().name(thread.to_owned()).spawn(run);
        begun.map(drop).map_err(|error| Error::unavailable("a thread", error))
    }
}

/// The connection as it is, or a new one where there is none or it broke. One thread connects; the others wait for it.
fn link(state: &Mutex<State>, places: &Mutex<Arc<Semaphore>>, uri: &str, changes: &Arc<Changes>) -> Result<Arc<Link>> {
    let Some(mut state) = state.try_lock_for(CONNECTING) else {
        return Err(Error::unavailable("hypervisor", "it accepts connections and says nothing"));
    };
    if let Some(link) = &state.link {
        if link.connect().is_alive().unwrap_or(false) {
            return Ok(link.clone());
        }
        tracing::warn!(uri, "the connection to the hypervisor broke");
        state.link = None;
        // Whoever watches looks, finds the host away, and looks until it is back.
        changes.send_modify(|count| *count += 1);
        std::mem::replace(&mut *places.lock(), Arc::new(Semaphore::new(CALLS))).close();
    }
    if let Some((when, reason)) = &state.last_failure
        && when.elapsed() < RETRY_AFTER
    {
        return Err(Error::unavailable("hypervisor", reason.clone()));
    }
    match Link::open(uri, changes) {
        Ok(link) => {
            let link = Arc::new(link);
            *state = State { link: Some(link.clone()), last_failure: None };
            drop(state);
            // Whatever happened while nobody listened is news now.
            changes.send_modify(|count| *count += 1);
            Ok(link)
        }
        Err(error) => {
            state.last_failure = Some((Instant::now(), error.to_string()));
            Err(Error::unavailable("hypervisor", error))
        }
    }
}

/// A failed call on a connection that is now dead says that the host is away; on a live one, that the call was wrong.
fn explain(context: &'static str, failure: Failure, connect: &Connect) -> Error {
    match failure {
        Failure::Ours(error) => error,
        Failure::Libvirt(error) if !connect.is_alive().unwrap_or(false) || is_momentary(&error) => {
            Error::unavailable("hypervisor", error)
        }
        Failure::Libvirt(error) => Error::internal(context, error),
    }
}

/// Another call holds the domain's lock, or the host can't take more.
fn is_momentary(error: &virt::error::Error) -> bool {
    use virt_sys::{VIR_ERR_NO_CONNECT, VIR_ERR_OPERATION_TIMEOUT, VIR_ERR_RESOURCE_BUSY};
    [VIR_ERR_NO_CONNECT, VIR_ERR_OPERATION_TIMEOUT, VIR_ERR_RESOURCE_BUSY].contains(&error.code().to_raw())
}

/// An open connection and its registration for events, which go together.
struct Link {
    /// `None` only while being dropped.
    connect: Option<Connect>,
    registration: Option<Registration>,
}

impl Link {
    fn open(uri: &str, changes: &Arc<Changes>) -> Result<Self, virt::error::Error> {
        start_event_loop();
        let connect = Connect::open(Some(uri))?;
        // Drivers within the process have nobody to keep alive, and say so.
        let (interval, count) = KEEP_ALIVE;
        if let Err(error) = connect.set_keep_alive(interval, count) {
            tracing::debug!(uri, %error, "no keep-alive on this connection");
        }
        let registration = match libvirt_ffi::watch_domains(&connect, changes.clone()) {
            Ok(registration) => Some(registration),
            Err(error) => {
                tracing::warn!(uri, %error, "no events from this hypervisor: changes are found by looking only");
                None
            }
        };
        Ok(Self { connect: Some(connect), registration })
    }

    fn connect(&self) -> &Connect {
        self.connect.as_ref().expect("taken only by drop")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(connect) = self.connect.take() else { return };
        if let Some(registration) = &self.registration {
            libvirt_ffi::unwatch_domains(&connect, registration);
        }
        // `Connect` panics where closing fails, as it may on a broken connection; that must not take a caller along.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(connect)));
    }
}

/// Starts the thread that reads events and sends keep-alives. libvirt wants it registered before the first connection.
fn start_event_loop() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Errors are returned to callers; libvirt would print each to stderr as well.
        virt::error::clear_error_callback();
        if let Err(error) = virt::event::event_register_default_impl() {
            tracing::error!(%error, "libvirt's event loop can't be registered: no events, no keep-alive");
            return;
        }
        let run = || loop {
            let turn = catch_unwind(AssertUnwindSafe(virt::event::event_run_default_impl));
            if !matches!(turn, Ok(Ok(()))) {
                tracing::error!("libvirt's event loop failed once");
                std::thread::park_timeout(Duration::from_secs(1));
            }
        };
        if let Err(error) = std::thread::Builder::new().name("libvirt-events".to_owned()).spawn(run) {
            tracing::error!(%error, "no thread for libvirt's event loop: no events, no keep-alive");
        }
    });
}
