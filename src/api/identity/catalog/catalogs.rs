//! The catalogue's JSON, kept for each project under the identity epoch: every login shows it, and few logins change it.
//!
//! Whatever a catalogue is made from must move the epoch when it changes; then nothing older is ever shown.

use crate::ids::ProjectId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Texts kept; each takes some kilobytes.
const MOST: usize = 256;

#[derive(Default)]
pub struct Catalogs {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    epoch: i64,
    /// `None`: the catalogue of tokens that are scoped to no project.
    texts: HashMap<Option<ProjectId>, Arc<str>>,
}

impl Catalogs {
    pub fn get(&self, epoch: i64, project: Option<&ProjectId>) -> Option<Arc<str>> {
        let kept = self.kept.lock();
        if kept.epoch != epoch {
            return None;
        }
        kept.texts.get(&project.cloned()).cloned()
    }

    pub fn put(&self, epoch: i64, project: Option<&ProjectId>, text: Arc<str>) {
        let mut kept = self.kept.lock();
        // One that was made for an earlier epoch comes too late.
        if epoch < kept.epoch {
            return;
        }
        if epoch > kept.epoch || kept.texts.len() >= MOST {
            kept.texts.clear();
        }
        kept.epoch = epoch;
        kept.texts.insert(project.cloned(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_for_its_project_until_the_epoch_moves() {
        let (catalogs, one, other) = (Catalogs::default(), ProjectId::from("1"), ProjectId::from("2"));
        catalogs.put(7, Some(&one), "a".into());
        catalogs.put(7, None, "b".into());
        assert_eq!(catalogs.get(7, Some(&one)).as_deref(), Some("a"));
        assert_eq!(catalogs.get(7, None).as_deref(), Some("b"));
        assert_eq!(catalogs.get(7, Some(&other)), None);
        assert_eq!(catalogs.get(8, Some(&one)), None);
        catalogs.put(8, Some(&one), "c".into());
        catalogs.put(7, Some(&one), "late".into());
        assert_eq!(catalogs.get(8, Some(&one)).as_deref(), Some("c"));
        assert_eq!(catalogs.get(8, None), None, "what an earlier epoch had is gone");
    }

    #[test]
    fn no_more_texts_are_kept_than_their_bound() {
        let catalogs = Catalogs::default();
        for number in 0..3 * MOST {
            catalogs.put(1, Some(&number.to_string().as_str().into()), "x".into());
        }
        assert!(catalogs.kept.lock().texts.len() <= MOST);
    }
}
