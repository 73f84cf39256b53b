//! The proofs that every workflow owes: each step twice gives the same end, and trouble at any step leaves the world whole.
//!
//! [`prove`] runs a [`Case`] again and again, each time in a new world: once with each step taken twice, as a crash between
//! "done" and "saved" would; and for each of its steps, with the step failing before or after it has had its effect, for
//! good or for a moment. The case says how the world must be in the end. [`missing`] compares cases
//! with the list of workflows that the program has, so that none can be left out.

use super::{AnyWorkflow, Cx, Next, Record, Runner, Why};
use crate::error::{Error, Result};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What clients are told of a failure made here.
pub const MADE_TO_FAIL: &str = "made to fail";

/// A piece of work by which a workflow is shown to be right.
#[async_trait]
pub trait Case: Send + Sync {
    /// Of the workflow that it shows.
    fn kind(&self) -> &'static str;

    fn name(&self) -> String;

    /// A world in which the work has just been asked for, and nothing done yet.
    async fn begin(&self) -> Box<dyn World>;
}

#[async_trait]
pub trait World: Send + Sync {
    /// Every workflow, as the program runs them here.
    fn workflows(&self) -> Vec<Box<dyn AnyWorkflow>>;

    fn runner(&self, workflows: Vec<Box<dyn AnyWorkflow>>) -> Runner;

    /// Lets the pause after a failure pass. False when no task is open any more.
    async fn wait(&self) -> bool;

    /// The work is done, and everything is as it says.
    async fn is_as_wished(&self);

    /// The work was given up: clients see why, nothing is half done, and what can be asked next succeeds.
    async fn is_whole(&self);
}

/// Takes each step of the inner workflow twice before going on.
pub struct Twice {
    pub inner: Box<dyn AnyWorkflow>,
    /// How many steps there were.
    pub taken: Arc<AtomicUsize>,
}

impl Twice {
    pub fn of(inner: impl AnyWorkflow + 'static) -> Self {
        Self { inner: Box::new(inner), taken: Arc::default() }
    }
}

#[async_trait]
impl AnyWorkflow for Twice {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn may_take_long(&self) -> bool {
        self.inner.may_take_long()
    }

    fn takes_turn(&self, step: &str) -> Result<bool> {
        self.inner.takes_turn(step)
    }

    fn patience(&self) -> u32 {
        self.inner.patience()
    }

    async fn forward(&self, cx: &Cx, step: &str) -> Result<Next<String>> {
        self.inner.forward(cx, step).await?;
        self.taken.fetch_add(1, Ordering::SeqCst);
        self.inner.forward(cx, step).await
    }

    async fn back_out(&self, cx: &Cx, step: &str, why: &Why) -> Result<Option<Record>> {
        self.inner.back_out(cx, step, why).await?;
        self.inner.back_out(cx, step, why).await
    }
}

/// When a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It has had no effect.
    Before,
    /// It has had its effect, and nobody knows.
    After,
}

/// How a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No retry mends it.
    ForGood,
    /// The next try succeeds.
    ForAMoment,
}

impl Fault {
    fn error(self) -> Error {
        match self {
            Self::ForGood => Error::bad_request(MADE_TO_FAIL),
            Self::ForAMoment => Error::unavailable("the host", MADE_TO_FAIL),
        }
    }
}

/// Takes steps as the inner workflow does, of which one fails.
pub struct Failing {
    pub inner: Box<dyn AnyWorkflow>,
    /// Counted from 0 over all tasks of the kind.
    pub step: usize,
    pub when: When,
    pub fault: Fault,
    pub taken: AtomicUsize,
}

impl Failing {
    pub fn new(inner: Box<dyn AnyWorkflow>, step: usize, when: When, fault: Fault) -> Self {
        Self { inner, step, when, fault, taken: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl AnyWorkflow for Failing {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn may_take_long(&self) -> bool {
        self.inner.may_take_long()
    }

    fn takes_turn(&self, step: &str) -> Result<bool> {
        self.inner.takes_turn(step)
    }

    fn patience(&self) -> u32 {
        self.inner.patience()
    }

    async fn forward(&self, cx: &Cx, step: &str) -> Result<Next<String>> {
        let is_the_one = self.taken.fetch_add(1, Ordering::SeqCst) == self.step;
        if is_the_one && self.when == When::Before {
            return Err(self.fault.error());
        }
        let next = self.inner.forward(cx, step).await?;
        if is_the_one { Err(self.fault.error()) } else { Ok(next) }
    }

    async fn back_out(&self, cx: &Cx, step: &str, why: &Why) -> Result<Option<Record>> {
        self.inner.back_out(cx, step, why).await
    }
}

/// Takes steps as the inner workflow does, and has something happen just before or after one of them.
pub struct Meanwhile<F> {
    pub inner: Box<dyn AnyWorkflow>,
    /// Counted from 0 over all tasks of the kind.
    pub step: usize,
    pub when: When,
    pub happens: F,
    pub taken: AtomicUsize,
}

#[async_trait]
impl<F> AnyWorkflow for Meanwhile<F>
where
    F: Fn() -> futures::future::BoxFuture<'static, ()> + Send + Sync,
{
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn may_take_long(&self) -> bool {
        self.inner.may_take_long()
    }

    fn takes_turn(&self, step: &str) -> Result<bool> {
        self.inner.takes_turn(step)
    }

    fn patience(&self) -> u32 {
        self.inner.patience()
    }

    async fn forward(&self, cx: &Cx, step: &str) -> Result<Next<String>> {
        let is_the_one = self.taken.fetch_add(1, Ordering::SeqCst) == self.step;
        if is_the_one && self.when == When::Before {
            (self.happens)().await;
        }
        let next = self.inner.forward(cx, step).await;
        if is_the_one && self.when == When::After {
            (self.happens)().await;
        }
        next
    }

    async fn back_out(&self, cx: &Cx, step: &str, why: &Why) -> Result<Option<Record>> {
        self.inner.back_out(cx, step, why).await
    }
}

/// Runs a world's work to its end, with the workflow of a kind changed.
pub async fn run(world: &dyn World, kind: &str, change: impl FnOnce(Box<dyn AnyWorkflow>) -> Box<dyn AnyWorkflow>) {
    let mut workflows = world.workflows();
    let place = workflows.iter().position(|workflow| workflow.kind() == kind).expect("the program has the workflow");
    let inner = workflows.swap_remove(place);
    workflows.push(change(inner));
    let runner = world.runner(workflows);
    for _ in 0..20 {
        runner.drain().await.unwrap();
        if !world.wait().await {
            return;
        }
    }
    panic!("work of the kind {kind} does not come to an end");
}

/// Each step twice, and trouble of every sort at each step.
pub async fn prove(case: &dyn Case) {
    let (kind, name) = (case.kind(), case.name());
    let world = case.begin().await;
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    eprintln!("{kind}, {name}: each step twice");
    run(&*world, kind, |inner| Box::new(Twice { inner, taken: counted })).await;
    world.is_as_wished().await;
    let steps = taken.load(Ordering::SeqCst);
    assert!(steps > 0, "{kind}, {name}: no step was taken");
    for step in 0..steps {
        for when in [When::Before, When::After] {
            for fault in [Fault::ForGood, Fault::ForAMoment] {
                eprintln!("{kind}, {name}: step {step} of {steps} fails {fault:?}, {when:?} its effect");
                let world = case.begin().await;
                run(&*world, kind, |inner| Box::new(Failing::new(inner, step, when, fault))).await;
                match fault {
                    Fault::ForGood => world.is_whole().await,
                    Fault::ForAMoment => world.is_as_wished().await,
                }
            }
        }
    }
}

/// The workflows for which there is no case.
pub fn missing(workflows: &[Box<dyn AnyWorkflow>], cases: &[Box<dyn Case>]) -> Vec<&'static str> {
    let kinds = workflows.iter().map(|workflow| workflow.kind());
    kinds.filter(|kind| cases.iter().all(|case| case.kind() != *kind)).collect()
}
