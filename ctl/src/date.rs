//! Days and seconds since 1970 as dates: the proleptic Gregorian calendar, without a clock or a time zone.
//!
//! After Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so that the leap day is the last of its year and
//! the day of the year is a straight line of the month. Reading dates is in `verdict_intel::date`.

/// `2025-04-21` for the days since 1970-01-01.
pub fn from_day(day: u64) -> String {
    let shifted = day + 719_468; // since 0000-03-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

/// `2025-04-21T13:37:00Z` for seconds since 1970.
pub fn from_seconds(seconds: u64) -> String {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    format!("{}T{:02}:{:02}:{:02}Z", from_day(day), second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_dates_whose_days_are_well_known() {
        for (day, date) in [(0, "1970-01-01"), (11_016, "2000-02-29"), (20_148, "2025-03-01"), (65_535, "2149-06-06")] {
            assert_eq!(from_day(day), date);
        }
        assert_eq!(from_seconds(1_000_000_000), "2001-09-09T01:46:40Z");
    }

    #[test]
    fn every_day_that_a_feed_can_name_comes_back() {
        for day in 1..=u16::MAX {
            assert_eq!(verdict_intel::date::day(from_day(day.into()).as_bytes()), Some(day));
        }
    }
}
