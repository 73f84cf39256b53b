//! The runner: claims tasks, takes their steps, saves what comes next.

use super::{AnyWorkflow, Cx, Fleet, Next, Record, Why, crash_point};
use crate::clock::Clock;
use crate::cloud::placement::Rules;
use crate::error::{Error, Result, with_causes};
use crate::hypervisor::Epoch;
use crate::store::tasks::{self, Claimed, Leave};
use crate::store::{Db, Tx};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long work that is over is remembered, and how often what is older is forgotten.
const REMEMBERED_SECONDS: i64 = 24 * 3600;
const FORGETTING: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, PartialEq)]
pub struct RunnerSettings {
    /// Names the process among those that share a database.
    pub owner: String,
    /// Tasks at once.
    pub at_once: usize,
    /// Steps at once that take much of the machine. Of this process alone, also where several share the database: what is
    /// bounded is this machine's processors, memory and disk, of which another's conversions take nothing.
    pub turns: usize,
    /// How long a claim lasts without being renewed.
    pub lease_seconds: i64,
    /// How long the timer sleeps when nobody wakes it.
    pub idle: Duration,
    /// By what servers get their places.
    pub placement: Arc<Rules>,
}

impl Default for RunnerSettings {
    fn default() -> Self {
        Self {
            owner: format!("gapura-{}", uuid::Uuid::new_v4().simple()),
            at_once: 16,
            turns: 2,
            lease_seconds: 30,
            idle: Duration::from_secs(1),
            placement: Arc::default(),
        }
    }
}

/// Runs tasks. Clones share it.
#[derive(Clone)]
pub struct Runner {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Clock,
    hosts: Fleet,
    workflows: HashMap<&'static str, Box<dyn AnyWorkflow>>,
    settings: RunnerSettings,
    slots: Arc<Semaphore>,
    /// Those of the slots that work may have which may take long.
    long: Arc<Semaphore>,
    long_kinds: Vec<&'static str>,
    turns: Arc<Semaphore>,
    work: Notify,
}

impl Runner {
    pub fn new(
        db: Db,
        clock: Clock,
        hosts: impl Into<Fleet>,
        workflows: Vec<Box<dyn AnyWorkflow>>,
        settings: RunnerSettings,
    ) -> Self {
        let long_kinds = workflows.iter().filter(|work| work.may_take_long()).map(|work| work.kind()).collect();
        let workflows = workflows.into_iter().map(|workflow| (workflow.kind(), workflow)).collect();
        let slots = Arc::new(Semaphore::new(settings.at_once));
        let long = Arc::new(Semaphore::new(settings.at_once.div_ceil(2)));
        let (turns, work) = (Arc::new(Semaphore::new(settings.turns)), Notify::new());
        let hosts = hosts.into();
        Self { inner: Arc::new(Inner { db, clock, hosts, workflows, settings, slots, long, long_kinds, turns, work }) }
    }

    /// Says that there may be work. Carries nothing; the rows say what.
    pub fn wake(&self) {
        self.inner.work.notify_one();
    }

    /// What waits for a retry is due now: a host is back that may have been the reason.
    pub async fn retry_now(&self) {
        let now = self.inner.clock.now();
        if let Err(error) = self.inner.db.write(move |tx| tasks::hasten(tx, now)).await {
            tracing::warn!(error = with_causes(&error), "work waits longer than it must");
        }
        self.wake();
    }

    /// Runs until `stop` resolves; tasks under way keep their lease and are taken up by the next process.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let owner = self.inner.settings.owner.clone();
        if let Err(error) = self.inner.db.write(move |tx| tasks::release_all(tx, &owner)).await {
            tracing::warn!(error = with_causes(&error), "could not give back the tasks of an earlier run");
        }
        let mut stop = std::pin::pin!(stop);
        let mut forgetting = tokio::time::interval(FORGETTING);
        loop {
            tokio::select! {
                () = self.claim_all() => {}
                () = &mut stop => return,
            }
            tokio::select! {
                () = self.inner.work.notified() => {}
                () = tokio::time::sleep(self.inner.settings.idle) => {}
                _ = forgetting.tick() => self.forget().await,
                () = &mut stop => return,
            }
        }
    }

    /// Runs everything that is due, to its end; for tests, and for `gapura` commands that wait.
    pub async fn drain(&self) -> Result<()> {
        while let Some((claimed, turn)) = self.claim(&[]).await? {
            self.work_on(claimed, turn).await;
        }
        Ok(())
    }

    /// Forgets work that was over long ago: nothing asks for it any more.
    async fn forget(&self) {
        let before = self.inner.clock.now().plus_seconds(-REMEMBERED_SECONDS);
        if let Err(error) = self.inner.db.write(move |tx| tasks::purge(tx, before)).await {
            tracing::warn!(error = with_causes(&error), "work that is over is remembered longer than it must be");
        }
    }

    async fn claim_all(&self) {
        loop {
            let slot = self.inner.slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            let long = self.inner.long.clone().try_acquire_owned().ok();
            let but = if long.is_some() { &[] } else { self.inner.long_kinds.as_slice() };
            match self.claim(but).await {
                Ok(Some((claimed, turn))) => {
                    let runner = self.clone();
                    let long = long.filter(|_| self.inner.long_kinds.contains(&claimed.kind.as_str()));
                    tokio::spawn(async move {
                        runner.work_on(claimed, turn).await;
                        drop((slot, long));
                        runner.wake();
                    });
                }
                Ok(None) => return,
                Err(error) => return tracing::warn!(error = with_causes(&error), "could not look for tasks"),
            }
        }
    }

    /// The next task, but none of these kinds, and with the turn that it waited for, if it did.
    async fn claim(&self, but: &[&'static str]) -> Result<Option<(Claimed, Option<Turn>)>> {
        let inner = &self.inner;
        let turn = inner.turns.clone().try_acquire_owned().ok();
        let leave = Leave { kinds: but.to_vec(), turns: turn.is_none() };
        let (owner, now) = (inner.settings.owner.clone(), inner.clock.now());
        let lease_until = now.plus_seconds(inner.settings.lease_seconds);
        // Looking costs nothing to others; claiming takes the writer.
        let claimed = inner.db.write(move |tx| tasks::claim(tx, &owner, now, lease_until, &leave)).await?;
        Ok(claimed.map(|claimed| {
            let turn = turn.filter(|_| claimed.awaits_turn);
            (claimed, turn)
        }))
    }

    async fn work_on(&self, claimed: Claimed, turn: Option<Turn>) {
        let (id, kind) = (claimed.id, claimed.kind.clone());
        let keep = self.keep_lease(&claimed);
        let outcome = tokio::select! {
            outcome = self.advance(claimed, turn) => outcome,
            () = keep => Err(Error::conflict("the task's lease was lost")),
        };
        if let Err(error) = outcome {
            tracing::warn!(task = %id, kind, error = with_causes(&error), "left a task where it is");
        }
    }

    /// Renews the lease until it is lost.
    fn keep_lease(&self, claimed: &Claimed) -> impl Future<Output = ()> + use<> {
        let (inner, id, epoch) = (self.inner.clone(), claimed.id, claimed.epoch);
        let pause = Duration::from_secs(u64::try_from(inner.settings.lease_seconds / 3).unwrap_or(1).max(1));
        async move {
            loop {
                tokio::time::sleep(pause).await;
                let until = inner.clock.now().plus_seconds(inner.settings.lease_seconds);
                match inner.db.write(move |tx| tasks::renew(tx, id, epoch, until)).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    // The lease still has two thirds to go: the next try may do.
                    Err(error) => tracing::warn!(task = %id, error = with_causes(&error), "could not renew a lease"),
                }
            }
        }
    }

    /// Takes steps until the task is over or has to wait.
    async fn advance(&self, mut claimed: Claimed, mut turn: Option<Turn>) -> Result<()> {
        let inner = &self.inner;
        let Some(workflow) = inner.workflows.get(claimed.kind.as_str()) else {
            tracing::error!(task = %claimed.id, kind = claimed.kind, "this version of the program does not know this kind of task");
            return self.postpone(&claimed, 60).await;
        };
        let cx = self.cx(&claimed);
        loop {
            // Also what was being undone for another reason: from now on somebody else says what becomes of the subject.
            if claimed.undoing != Some(Why::Cancelled) && cx.is_cancelled().await? {
                self.turn_back(&mut claimed, Why::Cancelled).await?;
            }
            if let Some(why) = &claimed.undoing {
                return self.undo(&**workflow, &cx, &claimed, why).await;
            }
            if !workflow.takes_turn(&claimed.step)? {
                self.end_turn(&mut turn);
            } else if turn.is_none() {
                turn = inner.turns.clone().try_acquire_owned().ok();
                if turn.is_none() {
                    return self.line_up(&claimed).await;
                }
            }
            let outcome = workflow.forward(&cx, &claimed.step).await;
            crash_point::reached(&claimed.kind).await;
            match outcome {
                Ok(Next::Step(step, record)) => {
                    self.save(&claimed, record, Saved::Step(step.clone())).await?;
                    claimed.step = step;
                    claimed.attempts = 0;
                }
                Ok(Next::Done(record)) => return self.save(&claimed, record, Saved::Over("done")).await,
                // Whatever it was: who wants the work stopped neither waits for retries nor hears of a failure.
                Err(error) if cx.is_cancelled().await? => {
                    tracing::info!(task = %claimed.id, kind = claimed.kind, error = with_causes(&error), "a step ended early");
                }
                Err(error) if error.is_transient() && claimed.attempts < workflow.patience() => {
                    tracing::warn!(task = %claimed.id, kind = claimed.kind, error = with_causes(&error), "a step will be tried again");
                    return self.postpone(&claimed, pause_after(claimed.attempts)).await;
                }
                Err(error) => {
                    tracing::warn!(task = %claimed.id, kind = claimed.kind, error = with_causes(&error), "a step failed");
                    self.turn_back(&mut claimed, Why::Failed(error.to_string())).await?;
                }
            }
        }
    }

    async fn undo(&self, workflow: &dyn AnyWorkflow, cx: &Cx, claimed: &Claimed, why: &Why) -> Result<()> {
        match workflow.back_out(cx, &claimed.step, why).await {
            Ok(record) => self.save(claimed, record, Saved::Over(why.end())).await,
            // What is gone has nothing left of the work, and will never say so in another way.
            Err(Error::NotFound { id, .. }) if id == claimed.subject => {
                tracing::info!(task = %claimed.id, kind = claimed.kind, subject = id, "ends with what it was about");
                let task = claimed.id;
                let forget: Record = Box::new(move |tx| tasks::forget_step(tx, task));
                self.save(claimed, Some(forget), Saved::Over(why.end())).await
            }
            // Whatever it was: what was promised to be undone is tried until it is.
            Err(error) => {
                tracing::error!(task = %claimed.id, kind = claimed.kind, error = with_causes(&error), "could not back out; will try again");
                self.postpone(claimed, pause_after(claimed.attempts)).await
            }
        }
    }

    async fn turn_back(&self, claimed: &mut Claimed, why: Why) -> Result<()> {
        let (id, epoch, now, saved) = (claimed.id, claimed.epoch, self.inner.clock.now(), why.clone());
        self.inner.db.write(move |tx| tasks::turn_back(tx, id, epoch, &saved, now)).await?;
        claimed.undoing = Some(why);
        claimed.attempts = 0;
        Ok(())
    }

    /// Somebody else's, from now on.
    fn end_turn(&self, turn: &mut Option<Turn>) {
        if turn.take().is_some() {
            self.wake();
        }
    }

    async fn line_up(&self, claimed: &Claimed) -> Result<()> {
        let (id, epoch, now) = (claimed.id, claimed.epoch, self.inner.clock.now());
        self.inner.db.write(move |tx| tasks::line_up(tx, id, epoch, now)).await
    }

    async fn postpone(&self, claimed: &Claimed, seconds: i64) -> Result<()> {
        let (id, epoch, now) = (claimed.id, claimed.epoch, self.inner.clock.now());
        self.inner.db.write(move |tx| tasks::postpone(tx, id, epoch, now.plus_seconds(seconds), now)).await
    }

    async fn save(&self, claimed: &Claimed, record: Option<Record>, saved: Saved) -> Result<()> {
        let (id, epoch, now) = (claimed.id, claimed.epoch, self.inner.clock.now());
        self.inner
            .db
            .write(move |tx: &mut Tx| {
                match &saved {
                    Saved::Step(step) => tasks::save_step(tx, id, epoch, step, now)?,
                    Saved::Over(state) => tasks::finish(tx, id, epoch, state, now)?,
                }
                record.as_ref().map_or(Ok(()), |record| record(tx))
            })
            .await
    }

    fn cx(&self, claimed: &Claimed) -> Cx {
        Cx {
            db: self.inner.db.clone(),
            clock: self.inner.clock.clone(),
            hosts: self.inner.hosts.now(),
            task_id: claimed.id,
            subject: claimed.subject.clone(),
            epoch: Epoch(u64::try_from(claimed.epoch).unwrap_or(0)),
            request_id: claimed.request_id.clone(),
            placement: self.inner.settings.placement.clone(),
        }
    }
}

/// One of the few steps at once that take much of the machine.
type Turn = OwnedSemaphorePermit;

enum Saved {
    Step(String),
    Over(&'static str),
}

/// 1, 2, 4, … up to 10 seconds: who waits for a boot should not wait for a pause long after the host is back.
fn pause_after(attempts: u32) -> i64 {
    (1_i64 << attempts.min(4)).min(10)
}
