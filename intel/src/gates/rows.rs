//! Gates over what became of the rows: a feed that is nearly everything, and rows that nobody could read.

use super::{Checked, Gate, State, percent, share};
use crate::config::gates::Gates;
use crate::config::{Action, Config};
use crate::report::{FeedReport, Report};

/// Below so many rules in all, one feed may be nearly everything.
const SHARE_FROM: u64 = 10_000;
/// So many rows of a feed may be unreadable, whatever its length.
const UNKNOWN_SLACK: u64 = 100;
/// Rows whose shape is not the format's: a new record type, a new column, a page of HTML. Rows that were understood and refused are none of them.
const UNKNOWN: [&str; 12] = [
    "unknown-type",
    "unknown-class",
    "missing-column",
    "too-many-columns",
    "bad-quotes",
    "line-too-long",
    "nul-byte",
    "not-a-hosts-line",
    "several-words",
    "list-format",
    "missing-field",
    "too-large",
];

/// Both.
pub(super) fn check(gates: &Gates, config: &Config, report: &Report) -> Vec<Checked> {
    vec![feed_share(gates, config, report), unknown_rows(gates, report)]
}

fn feed_share(gates: &Gates, config: &Config, report: &Report) -> Checked {
    let blocks = |told: &&FeedReport| {
        told.counts.rules.total() > 0 && config.feeds.iter().any(|feed| feed.name == told.name && feed.action == Action::Block)
    };
    let feeds: Vec<&FeedReport> = report.feeds.iter().filter(blocks).collect();
    let total: u64 = feeds.iter().map(|feed| feed.counts.rules.total()).sum();
    if feeds.len() < 2 || total < SHARE_FROM {
        return Checked::new(
            Gate::FeedShare,
            State::NotRun,
            format!("{} feeds of {total} rules: asked from two feeds and {SHARE_FROM} rules", feeds.len()),
        );
    }
    let limit = u64::from(gates.limit(Gate::FeedShare));
    let largest = feeds.iter().max_by_key(|feed| feed.counts.rules.total()).map_or((0, ""), |feed| (feed.counts.rules.total(), &feed.name));
    let share = share(largest.0, total);
    Checked::of(
        Gate::FeedShare,
        share <= limit,
        format!("{} gives {} of {total} rules, {}; at most {}", largest.1, largest.0, percent(share), percent(limit)),
    )
}

fn unknown_rows(gates: &Gates, report: &Report) -> Checked {
    let limit = u64::from(gates.limit(Gate::UnknownRows));
    let mut told = Checked::of(Gate::UnknownRows, true, String::new());
    // Of feeds that are refused the one with the largest share; else of all.
    let mut worst = (false, 0, "no feed");
    for feed in &report.feeds {
        let unknown: u64 = UNKNOWN.iter().filter_map(|code| feed.counts.rejected.get(code)).sum();
        let rows = feed.counts.kept + feed.counts.rejected_rows();
        let refused = unknown > UNKNOWN_SLACK && share(unknown, rows) > limit;
        worst = worst.max((refused, share(unknown, rows), &feed.name));
        if refused {
            told.state = State::Refused;
            told.find(vec![feed.file.clone()], format!("{unknown} of {rows} rows could not be read: {}", percent(share(unknown, rows))));
        }
    }
    told.told = format!("{} has {} unreadable rows; at most {}, or {UNKNOWN_SLACK} rows", worst.2, percent(worst.1), percent(limit));
    told
}
