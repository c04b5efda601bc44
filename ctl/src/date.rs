//! Days and dates of the proleptic Gregorian calendar, without a clock or a time zone.
//!
//! After Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so that the leap day is the last of its year and
//! the day of the year is a straight line of the month.

/// `2025-04-21` for the days since 1970-01-01.
pub fn from_day(day: i64) -> String {
    let shifted = day + 719_468; // since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

/// Days since 1970-01-01 of `YYYY-MM-DD`; none for a date that does not exist.
pub fn to_day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        (part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<i64>().ok())?
    };
    let (year, month, day_of_month) = (number(4)?, number(2)?, number(2)?);
    let month_from_march = (month + 9) % 12;
    let year_from_march = year - i64::from(month <= 2);
    let era = year_from_march.div_euclid(400);
    let year_of_era = year_from_march.rem_euclid(400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day_of_month - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let day = era * 146_097 + day_of_era - 719_468;
    // A month 13 or a 30 February comes back as another date.
    (from_day(day) == text).then_some(day)
}

/// `2025-04-21T13:37:00Z` for seconds since 1970.
pub fn from_seconds(seconds: u64) -> String {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    format!("{}T{:02}:{:02}:{:02}Z", from_day(day as i64), second / 3_600, second / 60 % 60, second % 60)
}

/// Seconds since 1970 of `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SSZ`.
pub fn to_seconds(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let day = u64::try_from(to_day(date)?).ok()?;
    let time: Vec<u64> =
        time.strip_suffix('Z')?.split(':').map(|part| (part.len() == 2).then(|| part.parse().ok())?).collect::<Option<_>>()?;
    let [hour @ 0..24, minute @ 0..60, second @ 0..60] = time[..] else { return None };
    Some(day * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_dates_whose_days_are_well_known() {
        for (day, date) in [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (20_148, "2025-03-01"), (65_535, "2149-06-06")] {
            assert_eq!(from_day(day), date);
            assert_eq!(to_day(date), Some(day));
        }
    }

    #[test]
    fn every_day_of_two_centuries_comes_back() {
        (0..73_000).for_each(|day| assert_eq!(to_day(&from_day(day)), Some(day)));
    }

    #[test]
    fn refuses_dates_that_do_not_exist() {
        for text in ["2025-02-29", "2025-13-01", "2025-00-10", "2025-04-31", "2025-4-1", "20250401", "", "2025-04-01-", "+025-04-01"] {
            assert_eq!(to_day(text), None, "{text}");
        }
    }

    #[test]
    fn reads_a_moment_of_a_day() {
        assert_eq!(to_seconds("1970-01-02"), Some(86_400));
        assert_eq!(to_seconds("2001-09-09T01:46:40Z"), Some(1_000_000_000));
        assert_eq!(from_seconds(1_000_000_000), "2001-09-09T01:46:40Z");
        for text in ["1969-12-31", "2001-09-09T25:00:00Z", "2001-09-09T01:46:40", "2001-09-09T01:46Z", "now"] {
            assert_eq!(to_seconds(text), None, "{text}");
        }
    }
}
