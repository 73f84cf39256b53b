//! Passwords that were verified a moment ago, so that a program that logs in with each call pays for one hash a minute.
//!
//! What is kept is no password but an HMAC under a key that this process drew at its start and never shows, over the user,
//! the version of the password's row and the password. Whoever gives the same password for the same row within
//! [`KEPT`] seconds of a full verification is believed without another hash.
//!
//! What an attacker may learn is written down in `SECURITY.md`; it rests on two rules that are kept here. Only a success
//! is ever fast: a password that is not remembered costs a full hash, whoever it is for and however it ends. And nothing
//! but the hash is saved: whether the user may log in is looked up each time, before this is asked.

use crate::api::State;
use crate::api::identity::login::hashing::Hashing;
use crate::clock::Timestamp;
use crate::cloud::password::{LONGEST, Verdict};
use crate::error::Result;
use crate::ids::UserId;
use crate::store::users::Password;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long a verification is good for, in seconds, however often it is used.
const KEPT: i64 = 60;

/// Between two looks for what is too old.
const PAUSE: Duration = Duration::from_secs(5);

/// The verifications of this process.
pub struct Recall {
    most: usize,
    /// `None` where the system had no randomness to give: then nothing is remembered.
    key: Option<hmac::Key>,
    kept: Mutex<HashMap<UserId, Verified>>,
}

struct Verified {
    tag: hmac::Tag,
    at: Timestamp,
}

impl Verified {
    /// A clock that was set back must not make it last longer.
    fn holds(&self, now: Timestamp) -> bool {
        self.at <= now && now < self.at.plus_seconds(KEPT)
    }
}

/// Whose password is asked about, if they may log in with it at all; for others, nothing is remembered.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    pub user_id: &'a UserId,
    pub stored: &'a Password,
}

impl Recall {
    /// Remembers so many users at most; 0: none.
    pub fn new(most: usize) -> Self {
        let mut key = [0; 32];
        let drawn = aws_lc_rs::rand::fill(&mut key).ok().filter(|()| most > 0);
        Self { most, key: drawn.map(|()| hmac::Key::new(hmac::HMAC_SHA256, &key)), kept: Mutex::default() }
    }

    /// Verifies a password, without a hash if that was done a moment ago. `account` is `None` for whoever is not there or
    /// may not log in: `hash` is then what is verified all the same, so that it costs as much.
    ///
    /// # Errors
    /// `Unavailable` when the queue for hashes is full.
    pub async fn verify(
        &self,
        hashing: &Hashing,
        account: Option<Account<'_>>,
        hash: Option<String>,
        password: Arc<str>,
        now: Timestamp,
    ) -> Result<Verdict> {
        let claim = account.and_then(|account| Some((account.user_id, self.tag(account, &password)?)));
        if let Some((user, tag)) = &claim
            && self.knows(user, tag, now)
        {
            return Ok(Verdict { fits: true, is_stale: false, cost: None });
        }
        let verdict = hashing.verify(password, hash).await?;
        // A stale hash is about to be replaced, and its row's version with it.
        if let (Some((user, tag)), true) = (claim, verdict.fits && !verdict.is_stale) {
            self.keep(user, tag, now);
        }
        Ok(verdict)
    }

    /// Drops what is too old: called every few seconds, so that nothing stays behind where nobody logs in.
    pub fn forget(&self, now: Timestamp) {
        self.kept.lock().retain(|_, verified| verified.holds(now));
    }

    /// What is kept of a password: each part with its length before it, so that no two sets of parts read the same.
    fn tag(&self, account: Account<'_>, password: &str) -> Option<hmac::Tag> {
        if password.len() > LONGEST {
            return None;
        }
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        // A row's id is new with each change of the password, its hash with each change of the recipe.
        for part in [account.user_id.as_str(), &account.stored.id, &account.stored.hash, password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Some(context.sign())
    }

    fn knows(&self, user: &UserId, tag: &hmac::Tag, now: Timestamp) -> bool {
        let is_same = |kept: &hmac::Tag| verify_slices_are_equal(kept.as_ref(), tag.as_ref()).is_ok();
        self.kept.lock().get(user).is_some_and(|one| one.holds(now) && is_same(&one.tag))
    }

    fn keep(&self, user: &UserId, tag: hmac::Tag, now: Timestamp) {
        let mut kept = self.kept.lock();
        if kept.len() >= self.most && !kept.contains_key(user) {
            kept.retain(|_, verified| verified.holds(now));
            // Full of others for at most a minute: this one is hashed again meanwhile.
            if kept.len() >= self.most {
                return;
            }
        }
        kept.insert(user.clone(), Verified { tag, at: now });
    }
}

/// Drops logins that are too old, every few seconds until told to stop.
pub async fn forget_old_logins(state: Arc<State>, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => state.identity.recall.forget(state.clock.now()),
            () = &mut stop => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::password::Recipe;
    use crate::metrics::PasswordHashes;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);
    const CHEAP: Recipe = Recipe { memory: 64, passes: 1, lanes: 1 };

    fn row(id: &str) -> Password {
        let hash = CHEAP.hash("right").unwrap();
        Password { id: id.to_owned(), hash, expires_at: None, is_self_service: false, made_at: NOW }
    }

    /// Whether the answer came without a hash: a pool without a free place has none to give.
    async fn is_recalled(recall: &Recall, user: &str, row: &Password, password: &str, now: Timestamp) -> bool {
        let (hashing, user) = (Hashing::new(CHEAP, 1, 0, PasswordHashes::new()), UserId::from(user));
        let _taken = hashing.take_every_place();
        let account = Some(Account { user_id: &user, stored: row });
        match recall.verify(&hashing, account, Some(row.hash.clone()), password.into(), now).await {
            Ok(verdict) => verdict.fits,
            Err(_) => false,
        }
    }

    async fn verify(recall: &Recall, user: &str, row: &Password, password: &str) -> bool {
        let (hashing, user) = (Hashing::new(CHEAP, 1, 0, PasswordHashes::new()), UserId::from(user));
        let account = Some(Account { user_id: &user, stored: row });
        recall.verify(&hashing, account, Some(row.hash.clone()), password.into(), NOW).await.unwrap().fits
    }

    #[tokio::test]
    async fn a_verified_password_needs_no_hash_for_a_minute_however_often_it_is_used() {
        let (recall, row) = (Recall::new(8), row("1"));
        assert!(!is_recalled(&recall, "alice", &row, "right", NOW).await, "never verified yet");
        assert!(verify(&recall, "alice", &row, "right").await);
        for second in [0, 30, 59] {
            assert!(is_recalled(&recall, "alice", &row, "right", NOW.plus_seconds(second)).await, "{second}");
        }
        assert!(!is_recalled(&recall, "alice", &row, "right", NOW.plus_seconds(60)).await);
        assert!(!is_recalled(&recall, "alice", &row, "right", NOW.plus_seconds(-1)).await, "the clock was set back");
    }

    #[tokio::test]
    async fn what_is_not_the_same_in_every_part_is_hashed() {
        let (recall, first) = (Recall::new(8), row("1"));
        assert!(verify(&recall, "alice", &first, "right").await);
        assert!(!is_recalled(&recall, "alice", &first, "wrong", NOW).await);
        assert!(!is_recalled(&recall, "bob", &first, "right", NOW).await);
        let set_again = Password { id: "2".to_owned(), ..first.clone() };
        assert!(!is_recalled(&recall, "alice", &set_again, "right", NOW).await, "a new row");
        let rehashed = Password { hash: CHEAP.hash("right").unwrap(), ..first.clone() };
        assert!(!is_recalled(&recall, "alice", &rehashed, "right", NOW).await, "the same row under another hash");
        assert!(is_recalled(&recall, "alice", &first, "right", NOW).await, "the failures took nothing away");
    }

    #[tokio::test]
    async fn a_wrong_password_and_a_user_who_may_not_log_in_are_not_remembered() {
        let (recall, row) = (Recall::new(8), row("1"));
        assert!(!verify(&recall, "alice", &row, "wrong").await);
        let hashing = Hashing::new(CHEAP, 1, 0, PasswordHashes::new());
        let verdict = recall.verify(&hashing, None, Some(row.hash.clone()), "right".into(), NOW).await.unwrap();
        assert!(verdict.fits);
        assert!(recall.kept.lock().is_empty());
    }

    #[tokio::test]
    async fn no_more_users_are_remembered_than_was_set() {
        let (recall, row) = (Recall::new(2), row("1"));
        for user in ["alice", "bob", "carol"] {
            assert!(verify(&recall, user, &row, "right").await);
        }
        assert!(is_recalled(&recall, "alice", &row, "right", NOW).await);
        assert!(!is_recalled(&recall, "carol", &row, "right", NOW).await);
        assert_eq!(recall.kept.lock().len(), 2);
    }

    #[tokio::test]
    async fn none_are_remembered_when_it_is_switched_off() {
        let (recall, row) = (Recall::new(0), row("1"));
        assert!(verify(&recall, "alice", &row, "right").await);
        assert!(!is_recalled(&recall, "alice", &row, "right", NOW).await);
        assert!(recall.kept.lock().is_empty());
    }

    #[tokio::test]
    async fn what_is_too_old_goes_without_another_login() {
        let (recall, row) = (Recall::new(8), row("1"));
        assert!(verify(&recall, "alice", &row, "right").await);
        recall.forget(NOW.plus_seconds(59));
        assert_eq!(recall.kept.lock().len(), 1);
        recall.forget(NOW.plus_seconds(60));
        assert!(recall.kept.lock().is_empty());
    }

    #[tokio::test]
    async fn what_one_process_remembers_means_nothing_to_another() {
        let (one, other, row, user) = (Recall::new(8), Recall::new(8), row("1"), UserId::from("alice"));
        assert!(verify(&one, "alice", &row, "right").await);
        other.kept.lock().insert(user.clone(), one.kept.lock().remove(&user).unwrap());
        assert!(!is_recalled(&other, "alice", &row, "right", NOW).await);
    }
}
