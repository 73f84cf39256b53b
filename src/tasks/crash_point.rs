//! Where a test kills the process: after something has had its effect, before that is saved.
//!
//! `CRASH_POINT=boot_server:2` in the environment of a debug build makes whoever gets there stand still, for ever, and say
//! so; the test then sends SIGKILL. The number counts, from 0, how often this process got to the point; several points are
//! separated by commas. Release builds don't look.

use parking_lot::Mutex;
use std::collections::BTreeMap;

static REACHED: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// Stands still where a test wishes it. A workflow's steps are points of its kind's name.
pub async fn reached(point: &str) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(wishes) = std::env::var("CRASH_POINT") else {
        return;
    };
    let wished = wishes.split(',').filter_map(|wish| wish.split_once(':')).find(|(name, _)| *name == point);
    let Some((_, number)) = wished else {
        return;
    };
    let times = {
        let mut reached = REACHED.lock();
        let times = reached.entry(point.to_owned()).or_default();
        *times += 1;
        *times - 1
    };
    if number.parse() == Ok(times) {
        tracing::error!(point, number, "standing still at the crash point");
        std::future::pending::<()>().await;
    }
}
