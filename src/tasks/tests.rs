use super::testing::{Failing, Fault, Twice, When};
use super::*;
use crate::clock::{Clock, Timestamp};
use crate::store::tasks::{Leave, NewTask};
use crate::store::{Db, args};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Builds a wall of three bricks in a set that stands for the world.
#[derive(Clone, Default)]
struct Wall {
    world: Arc<Mutex<std::collections::BTreeSet<u32>>>,
    sulk: Arc<AtomicU32>,
    epochs: Arc<Mutex<Vec<u64>>>,
    refusal: Arc<Mutex<Option<&'static str>>>,
    /// What was laid can't be taken away, unless nobody wants it any more.
    sticks: Arc<AtomicBool>,
    /// What happens during the next step.
    meanwhile: Arc<Mutex<Option<BoxFuture<'static, ()>>>>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Brick {
    Lay(u32),
}

#[async_trait]
impl Workflow for Wall {
    type Step = Brick;
    const KIND: &'static str = "wall";

    async fn forward(&self, cx: &Cx, Brick::Lay(n): &Brick) -> Result<Next<Brick>> {
        let meanwhile = self.meanwhile.lock().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        if let Some(text) = *self.refusal.lock() {
            return Err(Error::conflict(text));
        }
        if self.sulk.load(Ordering::SeqCst) > 0 {
            self.sulk.fetch_sub(1, Ordering::SeqCst);
            return Err(Error::unavailable("the mason", "sulking"));
        }
        self.epochs.lock().push(cx.epoch.0);
        self.world.lock().insert(*n);
        Ok(if *n == 2 { Next::done() } else { Next::step(Brick::Lay(n + 1)) })
    }

    async fn back_out(&self, _: &Cx, Brick::Lay(n): &Brick, why: &Why) -> Result<Option<Record>> {
        if self.sticks.load(Ordering::SeqCst) && *why != Why::Cancelled {
            return Err(Error::unavailable("the mason", "sulking"));
        }
        self.world.lock().retain(|brick| brick > n);
        Ok(None)
    }
}

struct Site {
    db: Db,
    clock: Clock,
}

impl Site {
    async fn new() -> Self {
        Self { db: Db::memory().await, clock: Clock::manual(Timestamp(1_000_000)) }
    }

    fn runner(&self, workflow: Box<dyn AnyWorkflow>) -> Runner {
        Runner::new(self.db.clone(), self.clock.clone(), Hosts::default(), vec![workflow], RunnerSettings::default())
    }

    async fn order(&self) {
        let now = self.clock.now();
        let new =
            move |tx: &mut Tx| insert::<Wall>(tx, &NewTask { subject: "w", request_id: None, now }, &Brick::Lay(0));
        self.db.write(new).await.unwrap();
        self.clock.advance_seconds(1);
    }

    async fn states(&self) -> Vec<String> {
        let query = |tx: &mut Tx| {
            let rows = tx.query("SELECT state FROM tasks ORDER BY created_at", args![])?;
            rows.into_iter().map(|mut row| row.next()).collect::<Result<Vec<String>>>()
        };
        self.db.read(query).await.unwrap()
    }
}

fn bricks(wall: &Wall) -> Vec<u32> {
    wall.world.lock().iter().copied().collect()
}

#[tokio::test]
async fn work_runs_to_its_end_and_each_step_may_run_twice() {
    for twice in [false, true] {
        let (site, wall) = (Site::new().await, Wall::default());
        site.order().await;
        let workflow: Box<dyn AnyWorkflow> =
            if twice { Box::new(Twice::of(wall.clone())) } else { Box::new(wall.clone()) };
        site.runner(workflow).drain().await.unwrap();
        assert_eq!((bricks(&wall), site.states().await), (vec![0, 1, 2], vec!["done".to_owned()]));
    }
}

#[tokio::test]
async fn a_failure_at_any_step_leaves_nothing() {
    for step in 0..3 {
        let (site, wall) = (Site::new().await, Wall::default());
        site.order().await;
        let failing = Failing::new(Box::new(wall.clone()), step, When::After, Fault::ForGood);
        site.runner(Box::new(failing)).drain().await.unwrap();
        assert_eq!((bricks(&wall), site.states().await), (vec![], vec!["failed".to_owned()]), "after step {step}");
    }
}

#[tokio::test]
async fn what_is_away_is_waited_for_but_not_for_ever() {
    let (site, wall) = (Site::new().await, Wall::default());
    site.order().await;
    wall.sulk.store(2, Ordering::SeqCst);
    let runner = site.runner(Box::new(wall.clone()));
    for _ in 0..3 {
        runner.drain().await.unwrap();
        site.clock.advance_seconds(60);
    }
    assert_eq!(site.states().await, ["done"]);

    site.order().await;
    wall.sulk.store(100, Ordering::SeqCst);
    for _ in 0..=Wall::PATIENCE {
        runner.drain().await.unwrap();
        site.clock.advance_seconds(60);
    }
    assert_eq!(site.states().await, ["done", "failed"]);
}

#[tokio::test]
async fn work_that_waits_for_a_host_goes_on_as_soon_as_it_is_back() {
    let (site, wall) = (Site::new().await, Wall::default());
    site.order().await;
    wall.sulk.store(1, Ordering::SeqCst);
    let runner = site.runner(Box::new(wall.clone()));
    runner.drain().await.unwrap();
    assert_eq!(site.states().await, ["ready"], "no time passes, so the pause does not end");
    runner.retry_now().await;
    runner.drain().await.unwrap();
    assert_eq!(site.states().await, ["done"]);
}

#[tokio::test]
async fn a_cancelled_task_is_undone_and_tasks_of_one_subject_run_in_order() {
    let (site, wall) = (Site::new().await, Wall::default());
    site.order().await;
    let now = site.clock.now();
    site.db.write(move |tx| crate::store::tasks::cancel_all(tx, "w", now)).await.unwrap();
    site.order().await;
    let runner = site.runner(Box::new(wall.clone()));
    runner.drain().await.unwrap();
    assert_eq!((bricks(&wall), site.states().await), (vec![0, 1, 2], vec!["cancelled".to_owned(), "done".to_owned()]));
}

#[tokio::test]
async fn what_waits_for_a_retry_is_called_off_at_once_also_while_it_is_undone() {
    for sticks in [false, true] {
        let (site, wall) = (Site::new().await, Wall::default());
        site.order().await;
        let runner = site.runner(Box::new(wall.clone()));
        if sticks {
            wall.sticks.store(true, Ordering::SeqCst);
            *wall.refusal.lock() = Some("no");
        } else {
            wall.sulk.store(1, Ordering::SeqCst);
        }
        runner.drain().await.unwrap();
        assert_eq!(site.states().await, [if sticks { "undoing" } else { "ready" }]);
        *wall.refusal.lock() = None;
        let now = site.clock.now();
        site.db.write(move |tx| crate::store::tasks::cancel_all(tx, "w", now)).await.unwrap();
        site.order().await;
        runner.drain().await.unwrap();
        assert_eq!(site.states().await, ["cancelled", "done"], "what comes after it does not wait");
    }
}

#[tokio::test]
async fn a_failure_that_reads_like_a_cancellation_is_a_failure() {
    let (site, wall) = (Site::new().await, Wall::default());
    site.order().await;
    *wall.refusal.lock() = Some("cancelled");
    site.runner(Box::new(wall.clone())).drain().await.unwrap();
    assert_eq!((bricks(&wall), site.states().await), (vec![], vec!["failed".to_owned()]));
}

#[tokio::test]
async fn a_task_cancelled_while_its_step_fails_is_cancelled_at_once() {
    let (site, wall) = (Site::new().await, Wall::default());
    site.order().await;
    let now = site.clock.now();
    let db = site.db.clone();
    *wall.meanwhile.lock() = Some(Box::pin(async move {
        db.write(move |tx| crate::store::tasks::cancel_all(tx, "w", now)).await.unwrap();
    }));
    wall.sulk.store(1, Ordering::SeqCst);
    site.runner(Box::new(wall.clone())).drain().await.unwrap();
    assert_eq!(site.states().await, ["cancelled"], "without waiting for a retry");
}

#[tokio::test]
async fn a_task_whose_process_died_is_taken_over_with_a_newer_epoch_and_the_dead_can_save_nothing() {
    let (site, wall) = (Site::new().await, Wall::default());
    site.order().await;
    let now = site.clock.now();
    let claim = move |tx: &mut Tx| crate::store::tasks::claim(tx, "dead", now, now.plus_seconds(30), &Leave::default());
    let held = site.db.write(claim).await.unwrap().unwrap();
    let runner = site.runner(Box::new(wall.clone()));
    runner.drain().await.unwrap();
    assert_eq!(site.states().await, ["ready"], "a lease that runs is respected");
    site.clock.advance_seconds(31);
    runner.drain().await.unwrap();
    assert_eq!(site.states().await, ["done"]);
    assert!(wall.epochs.lock().iter().all(|epoch| i64::try_from(*epoch).unwrap() > held.epoch));
    let late = site.db.write(move |tx| crate::store::tasks::save_step(tx, held.id, held.epoch, "{}", now)).await;
    assert!(matches!(late, Err(Error::Conflict(_))));
}

/// Work that goes on for as long as somebody likes.
struct Drip(Arc<tokio::sync::Semaphore>, Arc<AtomicU32>);

#[async_trait]
impl Workflow for Drip {
    type Step = ();
    const KIND: &'static str = "drip";
    const MAY_TAKE_LONG: bool = true;

    async fn forward(&self, _: &Cx, (): &()) -> Result<Next<()>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let _end = self.0.acquire().await;
        Ok(Next::done())
    }

    async fn back_out(&self, _: &Cx, (): &(), _: &Why) -> Result<Option<Record>> {
        Ok(None)
    }
}

#[tokio::test]
async fn work_that_drips_for_ever_leaves_half_of_the_slots_to_other_work() {
    let (site, wall) = (Site::new().await, Wall::default());
    let (end, begun) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let now = site.clock.now();
    for number in 0..6 {
        let subject = format!("drip {number}");
        let new = move |tx: &mut Tx| insert::<Drip>(tx, &NewTask { subject: &subject, request_id: None, now }, &());
        site.db.write(new).await.unwrap();
    }
    site.order().await;
    let workflows: Vec<Box<dyn AnyWorkflow>> = vec![Box::new(wall.clone()), Box::new(Drip(end.clone(), begun.clone()))];
    let settings =
        RunnerSettings { at_once: 4, idle: std::time::Duration::from_millis(5), ..RunnerSettings::default() };
    let runner = Runner::new(site.db.clone(), site.clock.clone(), Hosts::default(), workflows, settings);
    let running = tokio::spawn(runner.run(std::future::pending()));
    while bricks(&wall) != [0, 1, 2] {
        assert!(!running.is_finished());
        tokio::task::yield_now().await;
    }
    assert_eq!(begun.load(Ordering::SeqCst), 2, "half of four");
    end.add_permits(6);
    while site.states().await.iter().any(|state| state != "done") {
        tokio::task::yield_now().await;
    }
    running.abort();
}

/// Work that takes much of the machine for as long as somebody likes.
struct Mill {
    /// Given one by one.
    grain: Arc<tokio::sync::Semaphore>,
    /// The subjects that have begun, in this order.
    begun: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Workflow for Mill {
    type Step = bool;
    const KIND: &'static str = "mill";

    fn takes_turn(grinds: &bool) -> bool {
        *grinds
    }

    async fn forward(&self, cx: &Cx, grinds: &bool) -> Result<Next<bool>> {
        if !grinds {
            return Ok(Next::step(true));
        }
        self.begun.lock().push(cx.subject.clone());
        self.grain.acquire().await.unwrap().forget();
        Ok(Next::done())
    }

    async fn back_out(&self, _: &Cx, _: &bool, _: &Why) -> Result<Option<Record>> {
        Ok(None)
    }
}

#[tokio::test]
async fn who_waits_for_a_turn_keeps_no_slot_from_others_and_leaves_the_line_at_once_when_cancelled() {
    let (site, wall) = (Site::new().await, Wall::default());
    let mill = Mill { grain: Arc::new(tokio::sync::Semaphore::new(0)), begun: Arc::default() };
    let (grain, begun) = (mill.grain.clone(), mill.begun.clone());
    for number in 0..4 {
        let (subject, now) = (format!("sack {number}"), site.clock.now());
        let new = move |tx: &mut Tx| insert::<Mill>(tx, &NewTask { subject: &subject, request_id: None, now }, &false);
        site.db.write(new).await.unwrap();
        site.clock.advance_seconds(1);
    }
    site.order().await;
    let workflows: Vec<Box<dyn AnyWorkflow>> = vec![Box::new(wall.clone()), Box::new(mill)];
    let idle = std::time::Duration::from_millis(5);
    let settings = RunnerSettings { at_once: 2, turns: 1, idle, ..RunnerSettings::default() };
    let runner = Runner::new(site.db.clone(), site.clock.clone(), Hosts::default(), workflows, settings);
    let running = tokio::spawn(runner.run(std::future::pending()));
    while site.states().await.last().unwrap() != "done" {
        assert!(!running.is_finished());
        tokio::task::yield_now().await;
    }
    // Two looked at once, and the turn was for who was ready first.
    assert_eq!(begun.lock().len(), 1, "one at a time, and the wall was built meanwhile");

    let now = site.clock.now();
    site.db.write(move |tx| crate::store::tasks::cancel_all(tx, "sack 2", now)).await.unwrap();
    while site.states().await[2] != "cancelled" {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.states().await, ["ready", "ready", "cancelled", "ready", "done"], "while the first still runs");
    for turns in [2, 3] {
        grain.add_permits(1);
        while begun.lock().len() < turns {
            tokio::task::yield_now().await;
        }
    }
    grain.add_permits(1);
    while site.states().await.iter().any(|state| state == "ready") {
        tokio::task::yield_now().await;
    }
    begun.lock().sort();
    assert_eq!(*begun.lock(), ["sack 0", "sack 1", "sack 3"], "each once, and never the one that was called off");
    running.abort();
}

#[tokio::test]
async fn work_that_was_over_a_day_ago_is_forgotten_and_open_work_is_not() {
    let (site, wall) = (Site::new().await, Wall::default());
    site.order().await;
    site.runner(Box::new(wall.clone())).drain().await.unwrap();
    wall.sulk.store(u32::MAX, Ordering::SeqCst);
    site.order().await;
    site.clock.advance_seconds(2 * 24 * 3600);
    let running = tokio::spawn(site.runner(Box::new(wall)).run(std::future::pending()));
    while site.states().await.iter().any(|state| state == "done") {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert_eq!(site.states().await.len(), 1);
}
