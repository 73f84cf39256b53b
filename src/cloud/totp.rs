//! Passcodes that change every 30 seconds (RFC 6238 with HMAC-SHA-1 and six digits, as Keystone and phones take it).

use aws_lc_rs::{constant_time, hmac};

/// Seconds that a passcode is for.
const PERIOD: i64 = 30;

/// The window of a passcode that fits the secret now or in one of the windows before, newest first, as long as it is later
/// than `after`. The secret is base32, with or without its padding; what is none fits nothing.
pub fn window_of(secret: &str, passcode: &str, now_seconds: i64, previous_windows: u32, after: i64) -> Option<i64> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base32(secret)?);
    let newest = now_seconds.div_euclid(PERIOD);
    let windows = (0..=i64::from(previous_windows)).map(|back| newest - back);
    // Each is compared, whichever fits: how long it takes tells nothing.
    let mut found = None;
    for window in windows {
        let fits = constant_time::verify_slices_are_equal(passcode_at(&key, window).as_bytes(), passcode.as_bytes());
        if fits.is_ok() && window > after && found.is_none() {
            found = Some(window);
        }
    }
    found
}

fn passcode_at(key: &hmac::Key, window: i64) -> String {
    let tag = hmac::sign(key, &window.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 0x0f);
    let number = u32::from_be_bytes([tag[offset] & 0x7f, tag[offset + 1], tag[offset + 2], tag[offset + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// Upper-case base32 of whole bytes.
fn base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut count) = (0_u32, 0);
    for character in text.trim_end_matches('=').bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'2'..=b'7' => character - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5) | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap_or_default());
            bits &= (1 << count) - 1;
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// The passcode of a moment: for tests that log in.
#[cfg(test)]
pub fn passcode(secret: &str, now_seconds: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &base32(secret).expect("base32"));
    passcode_at(&key, now_seconds.div_euclid(PERIOD))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `12345678901234567890` in base32: the secret of RFC 6238's own table.
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn the_table_of_rfc_6238_is_ours() {
        for (seconds, digits) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(passcode(SECRET, seconds), digits);
            assert_eq!(window_of(SECRET, digits, seconds, 0, 0), Some(seconds / 30));
        }
    }

    #[test]
    fn a_passcode_is_good_for_its_window_and_as_many_more_as_are_asked_for() {
        let code = passcode(SECRET, 3000);
        assert_eq!(window_of(SECRET, &code, 3029, 0, 0), Some(100));
        assert_eq!(window_of(SECRET, &code, 3030, 0, 0), None);
        assert_eq!(window_of(SECRET, &code, 3059, 1, 0), Some(100));
        assert_eq!(window_of(SECRET, &code, 3060, 1, 0), None);
        assert_eq!(window_of(SECRET, &code, 2999, 1, 0), None, "it is of the future");
        assert_eq!(window_of(SECRET, &code, 3000, 1, 100), None, "it was taken already");
    }

    #[test]
    fn what_is_no_base32_and_what_is_no_passcode_fits_nothing() {
        for secret in ["", "=", "A", "gezdgnbv", "GEZD GNBV", "1", "ß"] {
            assert_eq!(window_of(secret, "000000", 0, 1, -10), None, "{secret}");
        }
        for code in ["", "28708", "2870820", " 287082", "28708a"] {
            assert_eq!(window_of(SECRET, code, 59, 1, 0), None, "{code}");
        }
    }

    #[test]
    fn padding_makes_no_difference() {
        assert_eq!(base32("MZXW6==="), Some(b"foo".to_vec()));
        assert_eq!(base32("MZXW6"), Some(b"foo".to_vec()));
    }
}
