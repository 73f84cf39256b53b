//! What was found out at an identity epoch, kept for as long as that epoch lasts.
//!
//! Whatever such a thing is made from must move the epoch when it changes; then nothing older is ever used. Who takes
//! something from here compares its epoch with the one read in the transaction that it is used for.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;

pub struct UnderEpoch<K, V> {
    /// Things kept at most.
    most: usize,
    kept: Mutex<Kept<K, V>>,
}

struct Kept<K, V> {
    epoch: i64,
    things: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> UnderEpoch<K, V> {
    pub fn new(most: usize) -> Self {
        Self { most, kept: Mutex::new(Kept { epoch: 0, things: HashMap::new() }) }
    }

    /// What is known under the key, and the epoch that it was found at.
    pub fn latest(&self, key: &K) -> Option<(i64, V)> {
        let kept = self.kept.lock();
        kept.things.get(key).map(|thing| (kept.epoch, thing.clone()))
    }

    /// What is known under the key at an epoch.
    pub fn get(&self, epoch: i64, key: &K) -> Option<V> {
        self.latest(key).filter(|(found_at, _)| *found_at == epoch).map(|(_, thing)| thing)
    }

    pub fn put(&self, epoch: i64, key: K, thing: V) {
        let mut kept = self.kept.lock();
        // One that was found at an earlier epoch comes too late.
        if epoch < kept.epoch {
            return;
        }
        if epoch > kept.epoch || kept.things.len() >= self.most {
            kept.things.clear();
        }
        kept.epoch = epoch;
        kept.things.insert(key, thing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_kept_until_the_epoch_moves() {
        let kept = UnderEpoch::new(9);
        kept.put(7, "one", 'a');
        kept.put(7, "none", 'b');
        assert_eq!(kept.get(7, &"one"), Some('a'));
        assert_eq!(kept.latest(&"none"), Some((7, 'b')));
        assert_eq!(kept.get(7, &"other"), None);
        assert_eq!(kept.get(8, &"one"), None);
        kept.put(8, "one", 'c');
        kept.put(7, "one", 'l');
        assert_eq!(kept.get(8, &"one"), Some('c'));
        assert_eq!(kept.latest(&"none"), None, "what an earlier epoch had is gone");
    }

    #[test]
    fn no_more_things_are_kept_than_their_bound() {
        let kept = UnderEpoch::new(256);
        for number in 0..3 * 256 {
            kept.put(1, number, ());
        }
        assert!(kept.kept.lock().things.len() <= 256);
    }
}
