//! Rules about passwords and accounts, as Keystone's `[security_compliance]`: when an account is locked or has lain idle,
//! when a password has run out, and whether one may take another's place.
//!
//! Each rule is off until an operator sets it. A user's own options exempt them from some.

use crate::clock::Timestamp;
use crate::cloud::identity::User;
use crate::error::{Error, Result, with_causes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const DAY: i64 = 86_400;

/// What an operator may demand; 0 and the empty text demand nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityCompliance {
    /// Wrong passwords in a row after which an account is locked.
    pub lockout_failure_attempts: i64,
    /// For how many seconds; 0: until an administrator enables it.
    pub lockout_duration: i64,
    pub password_expires_days: i64,
    /// How many passwords, the present one among them, a new one must differ from.
    pub unique_last_password_count: usize,
    /// Days that a password of the user's own choice must be kept.
    pub minimum_password_age: i64,
    /// What passwords must match, from their beginning.
    pub password_regex: String,
    /// The same for people.
    pub password_regex_description: String,
    /// What an administrator sets must be changed before it logs in.
    pub change_password_upon_first_use: bool,
    /// Days without a login by password after which an account counts as disabled.
    pub disable_user_account_days_inactive: i64,
}

impl Default for SecurityCompliance {
    fn default() -> Self {
        Self {
            lockout_failure_attempts: 0,
            lockout_duration: 1800,
            password_expires_days: 0,
            unique_last_password_count: 0,
            minimum_password_age: 0,
            password_regex: String::new(),
            password_regex_description: String::new(),
            change_password_upon_first_use: false,
            disable_user_account_days_inactive: 0,
        }
    }
}

/// Wrong passwords in a row, and when the last of them came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempts {
    pub count: i64,
    pub last_at: Option<Timestamp>,
}

/// Is one of a user's options set?
pub fn has(options: &Map<String, Value>, option: &str) -> bool {
    options.get(option) == Some(&Value::Bool(true))
}

impl SecurityCompliance {
    /// Refuses what can't be meant.
    ///
    /// # Errors
    /// `BadRequest` with a sentence for the operator.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [
            ("lockout_failure_attempts", self.lockout_failure_attempts),
            ("lockout_duration", self.lockout_duration),
            ("password_expires_days", self.password_expires_days),
            ("minimum_password_age", self.minimum_password_age),
            ("disable_user_account_days_inactive", self.disable_user_account_days_inactive),
        ] {
            // A hundred years of days; longer would leave the calendar.
            if !(0..=36_500 * DAY).contains(&value) || (name.contains("day") && value > 36_500) {
                return Err(Error::bad_request(format!(
                    "identity.security_compliance.{name} = {value} is out of range"
                )));
            }
        }
        self.pattern().map(drop).map_err(|why| {
            Error::bad_request(format!("identity.security_compliance.password_regex can't be read: {why}"))
        })
    }

    pub const fn locks(&self) -> bool {
        self.lockout_failure_attempts > 0
    }

    /// Is the account closed because of wrong passwords?
    pub fn is_locked(&self, attempts: Attempts, options: &Map<String, Value>, now: Timestamp) -> bool {
        let is_over = self.locks() && attempts.count >= self.lockout_failure_attempts;
        is_over && !has(options, "ignore_lockout_failure_attempts") && !self.has_run_out(attempts, now)
    }

    fn has_run_out(&self, attempts: Attempts, now: Timestamp) -> bool {
        self.lockout_duration > 0 && attempts.last_at.is_none_or(|last| last.plus_seconds(self.lockout_duration) <= now)
    }

    /// The count after one more wrong password. Behind a lock that has run out, it begins anew.
    pub fn after_failure(&self, attempts: Attempts, now: Timestamp) -> Attempts {
        let is_anew = attempts.count >= self.lockout_failure_attempts && self.has_run_out(attempts, now);
        Attempts { count: if is_anew { 1 } else { attempts.count + 1 }, last_at: Some(now) }
    }

    /// Has the account lain idle for too long? Days are those of the calendar.
    pub fn is_idle(&self, user: &User, now: Timestamp) -> bool {
        let most = self.disable_user_account_days_inactive;
        most > 0
            && !has(&user.options, "ignore_user_inactivity")
            && user.active_at.is_some_and(|active| day(now) - day(active) >= most)
    }

    /// Until when a password made now logs in. `is_first` says that an administrator sets it.
    pub fn expiry(&self, options: &Map<String, Value>, is_first: bool, now: Timestamp) -> Option<Timestamp> {
        if is_first && self.change_password_upon_first_use && !has(options, "ignore_change_password_upon_first_use") {
            return Some(now);
        }
        if self.password_expires_days == 0 || has(options, "ignore_password_expiry") {
            return None;
        }
        let whole_seconds = Timestamp(now.seconds() * 1_000_000);
        Some(whole_seconds.plus_seconds(self.password_expires_days * DAY))
    }

    /// How many passwords are kept: those that a new one will be compared with, and always the one that logs in.
    pub fn kept_passwords(&self) -> usize {
        self.unique_last_password_count.max(1)
    }

    fn pattern(&self) -> std::result::Result<Option<fancy_regex::Regex>, Box<fancy_regex::Error>> {
        if self.password_regex.is_empty() {
            return Ok(None);
        }
        // Python's re.match begins at the beginning and ends where it likes.
        fancy_regex::Regex::new(&format!(r"\A(?:{})", self.password_regex)).map(Some).map_err(Box::new)
    }

    /// Is the password strong enough? No password is none.
    ///
    /// # Errors
    /// `BadRequest`, in upstream's words.
    pub fn check_strength(&self, password: Option<&str>) -> Result<()> {
        let unusable = |why: Box<fancy_regex::Error>| {
            tracing::error!(error = with_causes(&why), "identity.security_compliance.password_regex can't be used");
            Error::bad_request("Password validation error: Unable to validate password due to invalid configuration.")
        };
        let Some(pattern) = self.pattern().map_err(unusable)? else { return Ok(()) };
        let Some(password) = password else {
            return Err(Error::bad_request("Password validation error: Password must be a string type."));
        };
        if pattern.is_match(password).map_err(|why| unusable(Box::new(why)))? {
            return Ok(());
        }
        let description = &self.password_regex_description;
        Err(Error::bad_request(format!("The password does not match the requirements: {description}.")))
    }

    /// Has a password of the user's own choice been kept long enough?
    ///
    /// # Errors
    /// `BadRequest`, in upstream's words.
    pub fn check_age(&self, made_at: Timestamp, now: Timestamp) -> Result<()> {
        let days = self.minimum_password_age;
        if days == 0 {
            return Ok(());
        }
        let left = made_at.plus_seconds(days * DAY).0 - now.0;
        if left <= 0 {
            return Ok(());
        }
        Err(Error::bad_request(format!(
            "You cannot change your password at this time due to the minimum password age. Once you change your password, it must be used for {days} day(s) before it can be changed. Please try again in {} day(s) or contact your administrator to reset your password.",
            left / (DAY * 1_000_000)
        )))
    }

    /// What a password is told that was in use before.
    pub fn used_before(&self) -> Error {
        Error::bad_request(format!(
            "The new password cannot be identical to a previous password. The total number which includes the new password must be unique is {}.",
            self.unique_last_password_count
        ))
    }
}

const fn day(time: Timestamp) -> i64 {
    time.seconds().div_euclid(DAY)
}

/// Is a time of another day than now? Activity is written down once a day.
pub fn is_of_another_day(time: Option<Timestamp>, now: Timestamp) -> bool {
    time.is_none_or(|time| day(time) < day(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_795_315_269_123_456);

    fn rules() -> SecurityCompliance {
        SecurityCompliance { lockout_failure_attempts: 3, lockout_duration: 60, ..SecurityCompliance::default() }
    }

    #[test]
    fn an_account_is_locked_by_failures_in_a_row_until_the_time_is_over() {
        let (rules, options) = (rules(), Map::new());
        let mut attempts = Attempts::default();
        for _ in 0..3 {
            assert!(!rules.is_locked(attempts, &options, NOW));
            attempts = rules.after_failure(attempts, NOW);
        }
        assert!(rules.is_locked(attempts, &options, NOW.plus_seconds(59)));
        assert!(!rules.is_locked(attempts, &options, NOW.plus_seconds(60)));
        assert_eq!(rules.after_failure(attempts, NOW.plus_seconds(60)).count, 1, "the count begins anew");
        let exempt = json!({"ignore_lockout_failure_attempts": true}).as_object().unwrap().clone();
        assert!(!rules.is_locked(attempts, &exempt, NOW));
        let for_good = SecurityCompliance { lockout_duration: 0, ..rules };
        assert!(for_good.is_locked(attempts, &options, NOW.plus_seconds(1_000_000)));
        assert!(!SecurityCompliance::default().is_locked(attempts, &options, NOW), "off by default");
    }

    #[test]
    fn a_password_matches_from_its_beginning_with_look_ahead() {
        let rules = SecurityCompliance {
            password_regex: r"^(?=.*\d)(?=.*[a-zA-Z]).{7,}$".to_owned(),
            password_regex_description: "a letter, a digit, seven characters".to_owned(),
            ..SecurityCompliance::default()
        };
        rules.check().unwrap();
        assert!(rules.check_strength(Some("abcdef7")).is_ok());
        for weak in ["abcdefg", "1234567", "a1", ""] {
            let refused = rules.check_strength(Some(weak)).unwrap_err().to_string();
            assert_eq!(refused, "The password does not match the requirements: a letter, a digit, seven characters.");
        }
        assert!(rules.check_strength(None).is_err());
        let begins = SecurityCompliance { password_regex: "b|c".to_owned(), ..SecurityCompliance::default() };
        assert!(begins.check_strength(Some("cab")).is_ok() && begins.check_strength(Some("abc")).is_err());
        let broken = SecurityCompliance { password_regex: "(".to_owned(), ..SecurityCompliance::default() };
        assert!(broken.check().is_err());
    }

    #[test]
    fn an_expiry_is_a_whole_second_and_options_exempt_from_it() {
        let rules = SecurityCompliance {
            password_expires_days: 2,
            change_password_upon_first_use: true,
            ..SecurityCompliance::default()
        };
        let options = |text: Value| text.as_object().unwrap().clone();
        let later = Some(Timestamp(1_795_315_269_000_000).plus_seconds(2 * DAY));
        assert_eq!(rules.expiry(&Map::new(), true, NOW), Some(NOW));
        assert_eq!(rules.expiry(&Map::new(), false, NOW), later);
        assert_eq!(rules.expiry(&options(json!({"ignore_change_password_upon_first_use": true})), true, NOW), later);
        assert_eq!(rules.expiry(&options(json!({"ignore_password_expiry": true})), false, NOW), None);
    }

    #[test]
    fn the_age_of_a_password_is_told_in_days_that_are_left() {
        let rules = SecurityCompliance { minimum_password_age: 3, ..SecurityCompliance::default() };
        let text = rules.check_age(NOW, NOW.plus_seconds(DAY / 2)).unwrap_err().to_string();
        assert!(text.contains("used for 3 day(s)") && text.contains("again in 2 day(s)"), "{text}");
        assert!(rules.check_age(NOW, NOW.plus_seconds(3 * DAY)).is_ok());
    }
}
