//! Dates of feeds as days since 1970-01-01.
//!
//! Feeds write `2026-06-01`, `2026-06-01 12:00:00`, `2026-06-01T12:00:00Z` and `2026-06-01T12:00:00+00:00`. A verdict's age is
//! told in days, so only the date counts. Day 0 means "no date", as in `verdict_tables::Vote`.

/// Days since 1970-01-01 of a text that starts with `YYYY-MM-DD`. `None` when there is no such date, or none between 1970-01-02 and 2149-06-06.
pub fn day(text: &[u8]) -> Option<u16> {
    let date = text.get(..10)?;
    if text.get(10).is_some_and(|&next| !matches!(next, b' ' | b'T' | b't')) {
        return None;
    }
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    if !(1..=12).contains(&month) || day == 0 || day > days_of_month(year, month) {
        return None;
    }
    u16::try_from(days_from_civil(year, month, day)).ok().filter(|&days| days > 0)
}

/// Unix seconds of `2026-06-01`, `2026-06-01T12:30:00.123Z`, `2026-06-01 12:30:00` or `2026-06-01T12:30:00+00:00`: UTC only.
pub fn unix_seconds(text: &str) -> Option<u64> {
    let days = u64::from(day(text.as_bytes())?);
    let clock = text.as_bytes().get(10..).unwrap_or_default();
    if clock.is_empty() {
        return Some(days * 86_400);
    }
    let clock = [&b"Z"[..], b"+00:00", b"+0000", b" UTC"].iter().find_map(|zone| clock[1..].strip_suffix(*zone)).unwrap_or(&clock[1..]);
    let fraction = clock.iter().position(|&byte| byte == b'.').unwrap_or(clock.len());
    if !clock[fraction..].iter().skip(1).all(u8::is_ascii_digit) {
        return None;
    }
    let clock = &clock[..fraction];
    if clock.len() != 8 || clock[2] != b':' || clock[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&clock[..2])?, number(&clock[3..5])?, number(&clock[6..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(days * 86_400 + (hour * 3600 + minute * 60 + second) as u64)
}

/// The day of a moment in unix seconds, 0 where it has none.
pub fn day_of(seconds: u64) -> u16 {
    u16::try_from(seconds / 86_400).unwrap_or(0)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The proleptic Gregorian calendar counted in eras of 400 years (146,097 days), years starting in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_days_from_1970() {
        assert_eq!(day(b"1970-01-02"), Some(1));
        assert_eq!(day(b"2000-02-29 23:59:59"), Some(11_016));
        assert_eq!(day(b"2025-04-21T12:35:06Z"), Some(20_199));
        assert_eq!(day(b"2149-06-06"), Some(u16::MAX));
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "None",
            "2025-04-31",
            "2023-02-29",
            "2025-13-01",
            "2025-00-10",
            "2025-1-1",
            "20250421",
            "2025-04-2x",
            "2149-06-07",
            "1970-01-01",
            "1969-12-31",
            "2025-04-211",
        ] {
            assert_eq!(day(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn reads_unix_seconds() {
        assert_eq!(unix_seconds("2026-06-01"), Some(1_780_272_000));
        assert_eq!(unix_seconds("2026-06-01T01:02:03Z"), Some(1_780_272_000 + 3723));
        assert_eq!(unix_seconds("2026-06-01 01:02:03"), Some(1_780_272_000 + 3723));
        assert_eq!(unix_seconds("2026-06-01T01:02:03.999999Z"), Some(1_780_272_000 + 3723));
        assert_eq!(unix_seconds("2026-06-01T01:02:03+00:00"), Some(1_780_272_000 + 3723));
        assert_eq!(unix_seconds("2026-06-01T01:02:03.9x9Z"), None);
        assert_eq!(unix_seconds("2026-06-01T25:00:00Z"), None);
        assert_eq!(unix_seconds("2026-06-01T01:02:03+02:00"), None);
    }
}
