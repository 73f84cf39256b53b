//! Periods that usage is counted for: calendar months, Nova's default.

use crate::clock::Timestamp;

/// The last month that was over at a time: its first moment, and that of the month after it, as Nova writes them.
pub fn last_completed_month(before: Timestamp) -> (String, String) {
    // The year and month stand first in every form of a time.
    let text = before.plus_microseconds(-1).to_seconds_z();
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(1);
    let (year, month) = (number(0, 4), number(5, 7));
    let (begin_year, begin_month) = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
    let first = |year: i64, month: i64| format!("{year:04}-{month:02}-01 00:00:00");
    (first(begin_year, begin_month), first(year, month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_complete_once_it_is_over() {
        let at = |text: &str| last_completed_month(Timestamp::parse(text).unwrap());
        let october = ("2026-10-01 00:00:00".to_owned(), "2026-11-01 00:00:00".to_owned());
        assert_eq!(at("2026-11-26T21:00:00"), october);
        assert_eq!(at("2026-12-01T00:00:00"), october, "at the first moment of a month the one before is not over yet");
        assert_eq!(at("2026-01-15T00:00:00").0, "2025-12-01 00:00:00");
    }
}
