//! Where a test kills the process: after a step has had its effect, before that is saved.
//!
//! `CRASH_POINT=boot_server:2` in the environment of a debug build makes the runner stand still there, for ever, and say
//! so; the test then sends SIGKILL. Release builds don't look.

use std::sync::atomic::{AtomicUsize, Ordering};

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Stands still when `kind`'s step of the wished number (counted in this process) has just been taken.
pub async fn after_step(kind: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(point) = std::env::var("CRASH_POINT") else {
        return;
    };
    let Some((wished_kind, number)) = point.split_once(':') else {
        return;
    };
    if wished_kind == kind && number.parse() == Ok(TAKEN.fetch_add(1, Ordering::SeqCst)) {
        tracing::error!(kind, number, "standing still at the crash point");
        std::future::pending::<()>().await;
    }
}
