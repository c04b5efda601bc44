//! From what a row says to a vote: how sure, for how long, and whether at all. docs/verdicts.md tells the same to operators.
//!
//! ```text
//! last_seen, else first_seen, else as_of ──► age in days ┐
//! valid_until, else that day + lifetime  ──► expiry      ├─► said · trust · (1 - age / (2 · lifetime)) ──► confidence of this source
//! operator's, row's or format's confidence, trust        ┘                                              └─► with others: corroboration (tables)
//! ```
//! The moment is `as_of`, never the clock: the same feeds give the same bytes tomorrow. Without one nothing ages and nothing expires, and the
//! report says so. All of it is integer arithmetic, rounded down.

use crate::config::{Action, Feed};
use crate::format::{Format, default_score};
use crate::read::{Said, Tlp};
use crate::reason::Reason;
use verdict_tables::{Class, Vote};

const DAY_S: u64 = 86_400;

/// The longest a row may hold without being seen again, in days.
pub const LIFETIME_DAYS_MAX: u16 = 3650;

/// How many days a row of a format holds after it was last seen, unless it or the operator says otherwise. Every kind of source has a number.
///
/// A file never becomes another file; an address is another customer's within weeks; a phishing page is gone within days, and its host is sold.
pub fn lifetime_days(format: Format) -> u16 {
    match format {
        Format::HashList | Format::HashComment | Format::HashTable | Format::MalwarebazaarCsv => LIFETIME_DAYS_MAX,
        Format::AddressList | Format::Netset | Format::FeodoCsv | Format::IpReputation => 90,
        Format::PhishtankCsv | Format::OpenphishTsv => 180,
        _ => 365,
    }
}

/// How sure a source is of a row, 0 to 100: what was said, by how far the source is trusted, less with age, and half of it on its last day.
///
/// ```
/// use verdict_intel::model::confidence;
/// assert_eq!(confidence(90, 100, 0, 365), 90);
/// assert_eq!(confidence(90, 50, 0, 365), 45);
/// assert_eq!(confidence(90, 100, 365, 365), 45);
/// ```
pub fn confidence(said: u8, trust: u8, age_days: u32, lifetime_days: u16) -> u8 {
    let lifetime = u32::from(lifetime_days.max(1));
    let left = 2 * lifetime - age_days.min(lifetime);
    // At most 100 · 100 · 2 · 65535: fits.
    (u32::from(said.min(100)) * u32::from(trust.min(100)) * left / (200 * lifetime)) as u8
}

/// Where a row stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Days since it was last seen.
    pub age_days: u32,
    /// Unix seconds from which it holds no more; 0 where `as_of` is not known.
    pub expires_s: u64,
}

impl Times {
    /// Of a row, at the moment `as_of_s`. A row without any date was seen by whoever sent the feed.
    pub fn new(said: &Said, lifetime_days: u16, as_of_s: u64) -> Self {
        if as_of_s == 0 {
            return Times { age_days: 0, expires_s: said.valid_until_s };
        }
        let today = as_of_s / DAY_S;
        let seen = match said.last_seen_day.max(said.first_seen_day) {
            0 => today,
            day => u64::from(day),
        };
        let expires_s = match said.valid_until_s {
            0 => (seen + u64::from(lifetime_days)).saturating_mul(DAY_S),
            stated => stated,
        };
        Times { age_days: u32::try_from(today.saturating_sub(seen)).unwrap_or(u32::MAX), expires_s }
    }
}

/// What a feed says of a rule at `as_of_s`: the operator's word, then the row's, then the format's. `Err` where nothing is left of it.
pub fn vote_at(feed: &Feed, format: Format, source: u16, said: &Said, as_of_s: u64) -> Result<Vote, Reason> {
    let defaults = format.defaults();
    let lifetime = feed.lifetime_days.unwrap_or(lifetime_days(format));
    let times = Times::new(said, lifetime, as_of_s);
    if as_of_s != 0 && times.expires_s <= as_of_s {
        return Err(Reason::Expired);
    }
    let allow = feed.action == Action::Allow;
    let class = if allow { Class::Clean } else { feed.class.or(said.class).unwrap_or(defaults.class) };
    let score = feed.score.or(said.score).unwrap_or(default_score(class));
    let sure = feed.confidence.or(said.confidence).unwrap_or(defaults.confidence);
    Ok(Vote {
        source,
        class,
        allow,
        overrides: feed.action == Action::Override,
        score: if class == Class::Clean { 0 } else { score },
        confidence: confidence(sure, feed.trust, times.age_days, lifetime),
        categories: if allow { 0 } else { categories(feed.categories, said.categories, defaults.categories) },
        first_seen_day: said.first_seen_day,
        last_seen_day: said.last_seen_day.max(said.first_seen_day),
        ttl_s: ttl(feed.ttl_s.unwrap_or(defaults.ttl_s), times.expires_s, as_of_s),
    })
}

/// The same where no moment is known: nothing ages, nothing expires.
pub fn vote(feed: &Feed, format: Format, source: u16, said: &Said) -> Vote {
    vote_at(feed, format, source, said, 0).unwrap_or_else(|_| unreachable!("without a moment nothing expires"))
}

/// Nobody may keep a verdict longer than its row holds.
fn ttl(ttl_s: u32, expires_s: u64, as_of_s: u64) -> u32 {
    if as_of_s == 0 {
        return ttl_s;
    }
    u32::try_from(expires_s.saturating_sub(as_of_s)).map_or(ttl_s, |left| ttl_s.min(left.max(1)))
}

/// The operator's and the row's add up; the format's stand only where neither says any.
fn categories(operator: Option<u16>, row: u16, format: u16) -> u16 {
    match (operator, row) {
        (Some(operator), row) => operator | row,
        (None, 0) => format,
        (None, row) => row,
    }
}

/// Who may hold a row: the stricter of what it says and what the operator says of its feed.
pub fn tlp(feed: &Feed, said: &Said) -> Option<Tlp> {
    feed.tlp.max(said.tlp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AS_OF_S: u64 = 20_000 * DAY_S + 3600;

    fn feed() -> Feed {
        Feed { confidence: Some(80), ttl_s: Some(7200), ..Feed::new("feed", "feed.txt") }
    }

    fn at(said: Said) -> Result<Vote, Reason> {
        vote_at(&Feed { lifetime_days: Some(100), ..feed() }, Format::List, 0, &said, AS_OF_S)
    }

    /// Vectors: docs/verdicts.md has the same.
    #[test]
    fn the_documented_vectors_hold() {
        for (said, trust, age, lifetime, sure) in [
            (90, 100, 0, 365, 90),
            (90, 80, 0, 365, 72),
            (90, 100, 73, 365, 81),
            (90, 100, 365, 365, 45),
            (90, 100, 9999, 365, 45),
            (75, 60, 30, 90, 37),
            (100, 100, 1, 3650, 99),
            (100, 0, 0, 90, 0),
            (1, 100, 1, 90, 0),
        ] {
            assert_eq!(confidence(said, trust, age, lifetime), sure, "{said} {trust} {age} {lifetime}");
        }
    }

    #[test]
    fn confidence_never_falls_with_what_is_said_or_trusted_and_never_rises_with_age() {
        for lifetime in [1, 2, 7, 90, 365, LIFETIME_DAYS_MAX] {
            for said in 0..=100 {
                for trust in [0, 1, 33, 50, 99, 100] {
                    let mut before = u8::MAX;
                    for age in [0, 1, 2, 3, 7, 89, 90, 91, 364, 365, 3650, 40_000] {
                        let now = confidence(said, trust, age, lifetime);
                        assert!(now <= before && now <= said && now <= trust, "{said} {trust} {age} {lifetime}");
                        assert!(said == 100 || confidence(said + 1, trust, age, lifetime) >= now);
                        assert!(trust == 100 || confidence(said, trust + 1, age, lifetime) >= now);
                        before = now;
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_holds_until_its_expiry_and_not_at_it() {
        let seen = |day| Said { last_seen_day: day, ..Said::default() };
        // 100 days after it was seen is a midnight; as_of is an hour past midnight.
        assert_eq!(at(seen(19_900)), Err(Reason::Expired));
        assert!(at(seen(19_901)).is_ok());
        assert_eq!(at(Said { first_seen_day: 19_900, ..Said::default() }), Err(Reason::Expired));
        assert!(at(Said { first_seen_day: 1, last_seen_day: 20_000, ..Said::default() }).is_ok());
        assert!(at(Said::default()).is_ok(), "a row without a date is as old as its feed");
        let until = |valid_until_s| Said { valid_until_s, last_seen_day: 20_000, ..Said::default() };
        assert_eq!(at(until(AS_OF_S)), Err(Reason::Expired));
        assert!(at(until(AS_OF_S + 1)).is_ok());
        // Its own word beats the default in both directions.
        assert!(at(Said { last_seen_day: 1, ..until(AS_OF_S + 1) }).is_ok());
    }

    #[test]
    fn nobody_keeps_a_verdict_past_its_expiry() {
        let until = |valid_until_s| at(Said { valid_until_s, ..Said::default() }).unwrap().ttl_s;
        assert_eq!([until(AS_OF_S + 1), until(AS_OF_S + 7199), until(AS_OF_S + 7201), until(u64::MAX)], [1, 7199, 7200, 7200]);
    }

    #[test]
    fn without_a_moment_nothing_ages_and_nothing_expires() {
        let old = Said { last_seen_day: 1, valid_until_s: 2, ..Said::default() };
        let vote = vote(&feed(), Format::List, 0, &old);
        assert_eq!((vote.confidence, vote.ttl_s), (80, 7200));
    }

    #[test]
    fn the_stricter_of_row_and_operator_says_who_may_hold_it() {
        let of = |feed_tlp, row| tlp(&Feed { tlp: feed_tlp, ..feed() }, &Said { tlp: row, ..Said::default() });
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some(Tlp::Green), None), Some(Tlp::Green));
        assert_eq!(of(Some(Tlp::Green), Some(Tlp::Amber)), Some(Tlp::Amber));
        assert_eq!(of(Some(Tlp::Red), Some(Tlp::Clear)), Some(Tlp::Red));
    }
}
