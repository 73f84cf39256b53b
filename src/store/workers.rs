//! Threads that each own one connection, and the queue that feeds them.
//!
//! Database drivers block, and a synchronous PostgreSQL client even panics when it is dropped on an async thread ("Cannot
//! start a runtime from within a runtime"), so connections live and die on threads of their own. A job whose caller went
//! away is still carried out: what a request recorded must not depend on whether its client waited.

use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use tokio::sync::oneshot;

/// Jobs that may wait. More than that is an overload, which is better said at once than after the client has given up.
const QUEUE: usize = 4096;

type Job<C> = Box<dyn FnOnce(&mut C) + Send>;

/// A queue before one or more threads; each thread has its own `C`. Dropping it ends the threads once the queue is empty.
pub(super) struct Workers<C> {
    jobs: SyncSender<Job<C>>,
}

impl<C: 'static> Workers<C> {
    /// Starts a thread for each state that `make` yields; states are made on their threads and never leave them.
    pub(super) fn start(name: &str, count: usize, make: impl Fn() -> C + Clone + Send + 'static) -> Result<Self> {
        let (jobs, queue) = sync_channel::<Job<C>>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count.max(1) {
            let queue = Arc::clone(&queue);
            let make = make.clone();
            std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || work(&queue, &mut make()))
                .map_err(|cause| Error::unavailable("a thread for the database", cause))?;
        }
        Ok(Self { jobs })
    }

    /// Hands the job to the next free thread and waits for its answer.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut C) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move |state: &mut C| {
            // Nobody waits for the answer any more: the job is done all the same.
            let _ = reply.send(job(state));
        });
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::unavailable("the database", "too many transactions are waiting"),
            TrySendError::Disconnected(_) => Error::unavailable("the database", "its threads are gone"),
        })?;
        answer.await.map_err(|cause| Error::internal("a transaction ended without an answer", cause))?
    }
}

fn work<C>(queue: &Mutex<Receiver<Job<C>>>, state: &mut C) {
    loop {
        // The lock is held while waiting: the others wait for the lock instead of for the channel, to the same end.
        let Ok(job) = queue.lock().recv() else { return };
        if catch_unwind(AssertUnwindSafe(|| job(state))).is_err() {
            tracing::error!("a job panicked on a thread of the store; the thread goes on");
        }
    }
}
