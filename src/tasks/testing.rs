//! The proofs that every workflow owes: each step twice gives the same end, and a failure at each step leaves nothing.
//!
//! [`each_step_twice`] repeats every step as a crash between "done" and "saved" would; [`failure_at_each_step`] runs the
//! workflow once per step with that step refused, and hands the world to an assertion after the back-out.

use super::{AnyWorkflow, Cx, Next, Record, Why, Workflow};
use crate::error::{Error, Result};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;

/// Takes each step of the inner workflow twice before going on.
pub struct Twice<W>(pub W);

#[async_trait]
impl<W: Workflow> AnyWorkflow for Twice<W> {
    fn kind(&self) -> &'static str {
        W::KIND
    }

    fn patience(&self) -> u32 {
        W::PATIENCE
    }

    async fn forward(&self, cx: &Cx, step: &str) -> Result<Next<String>> {
        AnyWorkflow::forward(&self.0, cx, step).await?;
        AnyWorkflow::forward(&self.0, cx, step).await
    }

    async fn back_out(&self, cx: &Cx, step: &str, why: &Why) -> Result<Option<Record>> {
        AnyWorkflow::back_out(&self.0, cx, step, why).await?;
        AnyWorkflow::back_out(&self.0, cx, step, why).await
    }
}

/// Takes steps as the inner workflow does, but fails for good after the step of a number (its effect is there, its saving
/// is not), and notes how many steps there were.
pub struct FailAfter<W> {
    pub inner: W,
    pub step: usize,
    pub taken: Arc<Mutex<usize>>,
}

#[async_trait]
impl<W: Workflow> AnyWorkflow for FailAfter<W> {
    fn kind(&self) -> &'static str {
        W::KIND
    }

    fn patience(&self) -> u32 {
        W::PATIENCE
    }

    async fn forward(&self, cx: &Cx, step: &str) -> Result<Next<String>> {
        let next = AnyWorkflow::forward(&self.inner, cx, step).await?;
        let taken = {
            let mut taken = self.taken.lock();
            *taken += 1;
            *taken
        };
        if taken == self.step + 1 { Err(Error::bad_request("made to fail")) } else { Ok(next) }
    }

    async fn back_out(&self, cx: &Cx, step: &str, why: &Why) -> Result<Option<Record>> {
        AnyWorkflow::back_out(&self.inner, cx, step, why).await
    }
}
