//! Time as a value: the program reads it from a [`Clock`], tests set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970 in UTC; what the store keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0 + seconds * 1_000_000)
    }

    pub const fn plus_microseconds(self, microseconds: i64) -> Self {
        Self(self.0 + microseconds)
    }

    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    fn date_time(self) -> time::OffsetDateTime {
        time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    }

    /// `2026-11-22T02:41:09Z`: Nova's, Glance's and Neutron's form.
    pub fn to_seconds_z(self) -> String {
        let mut text = self.to_the_second();
        text.push('Z');
        text
    }

    /// `2026-11-22T02:41:09.000000Z`: Keystone's form.
    pub fn to_micros_z(self) -> String {
        let mut text = self.to_micros_naive();
        text.push('Z');
        text
    }

    /// `2026-11-22T02:41:09.000000`: Nova's form in `OS-SRV-USG:launched_at` and in lists of services and migrations.
    pub fn to_micros_naive(self) -> String {
        let mut text = self.to_the_second();
        text.push('.');
        push_digits(&mut text, self.date_time().microsecond(), 100_000);
        text
    }

    /// `Sun, 22 Nov 2026 02:41:09 GMT`: headers' form.
    pub fn to_http_date(self) -> String {
        let form = time::macros::format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        self.date_time().format(&form).unwrap_or_default()
    }

    /// Digit by digit: a list of a thousand servers shows three thousand times, and `format!` takes several times as long.
    fn to_the_second(self) -> String {
        let at = self.date_time();
        let mut text = String::with_capacity("2026-11-22T02:41:09.000000Z".len());
        push_digits(&mut text, u32::try_from(at.year()).unwrap_or_default(), 1_000);
        let parts =
            [('-', u8::from(at.month())), ('-', at.day()), ('T', at.hour()), (':', at.minute()), (':', at.second())];
        for (before, part) in parts {
            text.push(before);
            push_digits(&mut text, u32::from(part), 10);
        }
        text
    }

    /// Reads ISO 8601 with or without a zone (none means UTC), fraction or time of day.
    pub fn parse(text: &str) -> Option<Self> {
        use time::format_description::well_known::Iso8601;
        let text = text.trim().replacen(' ', "T", 1);
        let nanos = if let Ok(t) = time::OffsetDateTime::parse(&text, &Iso8601::PARSING) {
            t.unix_timestamp_nanos()
        } else if let Ok(t) = time::PrimitiveDateTime::parse(&text, &Iso8601::PARSING) {
            t.assume_utc().unix_timestamp_nanos()
        } else {
            time::Date::parse(&text, &Iso8601::PARSING).ok()?.midnight().assume_utc().unix_timestamp_nanos()
        };
        i64::try_from(nanos / 1_000).ok().map(Self)
    }
}

/// Writes a number from the place of its highest digit on, zeros too.
fn push_digits(text: &mut String, number: u32, mut place: u32) {
    while place > 0 {
        text.push(char::from_digit(number / place % 10, 10).unwrap_or('0'));
        place /= 10;
    }
}

/// Where the time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    System,
    /// Stands still until a test moves it.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.0)))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Self::Manual(now) => Timestamp(now.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the system's clock can't be moved.
    pub fn advance_seconds(&self, seconds: i64) {
        if let Self::Manual(now) = self {
            now.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_read_back_from_each_form_it_is_written_in() {
        let t = Timestamp(1_795_315_269_123_456);
        assert_eq!(Timestamp::parse(&t.to_micros_z()), Some(t));
        assert_eq!(Timestamp::parse(&t.to_micros_naive()), Some(t));
        assert_eq!(Timestamp::parse(&t.to_seconds_z()), Some(Timestamp(1_795_315_269_000_000)));
        assert_eq!(
            Timestamp::parse("2026-11-22T03:41:09+01:00").map(|t| t.to_seconds_z()).as_deref(),
            Some("2026-11-22T02:41:09Z")
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(t.to_http_date(), "Sun, 22 Nov 2026 02:41:09 GMT");
    }
}
