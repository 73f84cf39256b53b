//! The pool that hashes passwords: a few at a time, a bounded queue behind them, off the async threads.
//!
//! A hash takes tens of milliseconds and megabytes on purpose, so the bound is what keeps a flood of logins from taking
//! the machine: who finds the queue full is told to come back.
//!
//! Every derivation is counted with what it cost. `/metrics` shows the counts, and they are what proves, without a clock,
//! that each refused login costs the same.

use crate::cloud::password::{Area, Recipe, Verdict};
use crate::error::{Error, Result};
use crate::metrics::PasswordHashes;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Semaphore;

pub struct Hashing {
    recipe: Recipe,
    workers: Semaphore,
    worker_count: usize,
    /// Those at work and those in the queue.
    places: Semaphore,
    done: PasswordHashes,
    place_count: usize,
    /// Memory between two hashes, while others wait for it.
    areas: Mutex<Vec<Area>>,
}

impl Hashing {
    pub fn new(recipe: Recipe, workers: usize, queue: usize, done: PasswordHashes) -> Self {
        let workers = workers.max(1);
        let places = workers + queue;
        Self {
            recipe,
            workers: Semaphore::new(workers),
            worker_count: workers,
            places: Semaphore::new(places),
            place_count: places,
            areas: Mutex::default(),
            done,
        }
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// `Unavailable` when the queue is full, `BadRequest` for a password that is too long.
    pub async fn hash(&self, password: String) -> Result<String> {
        let recipe = self.recipe;
        let hash = self.work(move |area| recipe.hash_in(area, &password)).await?;
        self.done.count("hash", recipe);
        Ok(hash)
    }

    /// Verifies a password; `None` stands for a user who is not there, and costs the same.
    ///
    /// # Errors
    /// `Unavailable` when the queue is full.
    pub async fn verify(&self, password: Arc<str>, hash: Option<String>) -> Result<Verdict> {
        let recipe = self.recipe;
        let hash = hash.unwrap_or_else(|| recipe.nobody());
        let verdict = self.work(move |area| recipe.verify_in(area, &password, &hash)).await?;
        if let Some(cost) = verdict.cost {
            self.done.count("verify", cost);
        }
        Ok(verdict)
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce(&mut Area) -> Result<T> + Send + 'static) -> Result<T> {
        let full = || Error::unavailable("A place in the queue for logins", "all its places are taken");
        let _place = self.places.try_acquire().map_err(|_| full())?;
        let _worker = self.workers.acquire().await.map_err(|_| full())?;
        let mut area = self.areas.lock().pop().unwrap_or_default();
        let done = tokio::task::spawn_blocking(move || (job(&mut area), area)).await;
        let (outcome, area) = done.map_err(|why| Error::internal("a password's hash was not finished", why))?;
        self.pass_on(area);
        outcome
    }

    /// Leaves the area to whoever waits; a process that nobody logs in to keeps none.
    fn pass_on(&self, area: Area) {
        let mut areas = self.areas.lock();
        let waiting = (self.place_count - self.places.available_permits()).saturating_sub(self.worker_count);
        areas.truncate(waiting);
        if areas.len() < waiting {
            areas.push(area);
        }
    }

    /// Leaves no place to others while the answer lives: who then gets a verdict got it without a hash.
    #[cfg(test)]
    pub fn take_every_place(&self) -> tokio::sync::SemaphorePermit<'_> {
        let places = u32::try_from(self.places.available_permits()).unwrap();
        self.places.try_acquire_many(places).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Recipe = Recipe { memory: 64, passes: 1, lanes: 1 };

    #[tokio::test]
    async fn a_full_queue_turns_logins_away() {
        let hashing = Hashing::new(CHEAP, 1, 1, PasswordHashes::new());
        let (_one, _two) = (hashing.places.try_acquire().unwrap(), hashing.places.try_acquire().unwrap());
        let answer = hashing.verify("x".into(), None).await;
        assert!(matches!(answer, Err(Error::Unavailable { .. })), "{answer:?}");
    }

    #[tokio::test]
    async fn no_memory_is_kept_once_nobody_waits_for_a_hash() {
        let hashing = Hashing::new(CHEAP, 2, 62, PasswordHashes::new());
        let many = (0..64).map(|_| hashing.verify("x".into(), None));
        for verdict in futures::future::join_all(many).await {
            assert!(!verdict.unwrap().fits);
        }
        assert!(hashing.areas.lock().is_empty());
    }
}
