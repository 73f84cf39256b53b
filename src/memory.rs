//! When free memory goes back to the system: in quiet moments, and not in the middle of work.
//!
//! By itself glibc returns large pieces, and the end of its heap, as soon as they are free. A list of a thousand servers
//! makes and frees some of a MiB or two, so that each such request had up to 750 pages taken away and given anew: 2 of
//! 12 ms. So pieces of that size stay ([`keep`]), and all that is free is returned when there is little to do
//! ([`give_back`]).
//!
//! What stays, stays once for each of glibc's arenas, of which it makes eight for each core; the buffers of a crowd of
//! transfers are taken on one thread and given back on another, and come to lie about in all of them. So there are as many
//! arenas as cores: 50 downloads at once then have 131 MiB resident in place of 235. Lists of a thousand pay for it with a
//! twentieth more of a processor's time.
//!
//! A list of a thousand servers or a crowd of uploads leaves pages behind that hold nothing and still count as ours: 10 of
//! 70 MiB after a thousand servers were made and listed. glibc returns only what lies at the end of its heap, so it is
//! told now and then to return the rest, after the database's connections have dropped what they keep of its file (some two MiB
//! each, read again when somebody asks), and, when nobody asked for anything, the statements that they know. That takes a millisecond or two in which others wait for memory, so not while
//! there is much to do.

use crate::metrics::Metrics;
use crate::store::{Db, Rest};
use std::sync::Arc;
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(10);
/// So many requests in a pause are much to do; what they leave is soon used again.
const BUSY: u64 = 1000;

/// Larger pieces than this still go back at once: nothing asks for such often.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 8 << 20;

/// Tells the allocator to keep what is freed until [`give_back`] says otherwise. To be called when the program starts.
#[cfg(target_env = "gnu")]
pub fn keep() {
    let cores = std::thread::available_parallelism().map_or(1, |cores| i32::try_from(cores.get()).unwrap_or(i32::MAX));
    #[expect(unsafe_code, reason = "the allocator's own call")]
    // SAFETY: sets three numbers of the allocator; may be called at any time, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE);
        libc::mallopt(libc::M_ARENA_MAX, cores);
    }
}

#[cfg(not(target_env = "gnu"))]
pub fn keep() {}

/// Gives back what is free in each quiet pause, until told to stop.
pub async fn give_back(metrics: Arc<Metrics>, db: Db, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut answered = metrics.answered_so_far();
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let before = std::mem::replace(&mut answered, metrics.answered_so_far());
        if answered - before < BUSY {
            let rest = if answered == before { Rest::Deep } else { Rest::Light };
            if let Err(error) = db.rest(rest).await {
                tracing::debug!(error = crate::error::with_causes(&error), "the database keeps its memory");
            }
            // Only a panic could fail there, and there is none.
            let _ = tokio::task::spawn_blocking(trim).await;
        }
    }
}

#[cfg(target_env = "gnu")]
fn trim() {
    #[expect(unsafe_code, reason = "the allocator's own call; it takes its locks and touches nothing that is in use")]
    // SAFETY: may be called at any time, by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
#[cfg(target_env = "gnu")]
mod tests {
    use super::*;

    fn resident_kib() -> u64 {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
    }

    #[test]
    fn memory_that_is_free_between_pieces_in_use_is_given_back() {
        // Every other piece stays, so that nothing at the heap's end can be returned by itself.
        let mut pieces: Vec<Option<Vec<u8>>> = (0..4000).map(|_| Some(vec![1; 40_000])).collect();
        pieces.iter_mut().step_by(2).for_each(|piece| drop(piece.take()));
        let before = resident_kib();
        trim();
        let after = resident_kib();
        assert!(after + 40_000 < before, "{before} KiB before, {after} KiB after");
        assert_eq!(pieces.iter().flatten().map(|piece| u64::from(piece[0])).sum::<u64>(), 2000);
    }
}
