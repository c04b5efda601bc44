//! What the explain store and the feed files add: every word on every rule that matches, with its line.
//!
//! Of nested address prefixes the snapshot keeps the winner only; the store has them all, so that each becomes a rule of its own here. A store of
//! another generation adds nothing but a note: its lines may be about other rules.

use super::about::About;
use super::ask::category_names;
use super::reading::{Found, Reading, RuleMatch, Vote};
use crate::exit::Failure;
use crate::{date, text};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use verdict_intel::store::{Store, StoreError, StoredVote, VotesOf, feed_lines};
use verdict_tables::{Class, RuleKind};

/// A line of a feed is shown up to here.
const LINE_COLUMNS_MAX: usize = 160;

/// Adds the votes of the store at `path` to the matches of `reading`.
pub fn gather(reading: &mut Reading, path: &Path) -> Result<(), Failure> {
    let shown = text::path(path);
    let failed = |error: StoreError| match error {
        StoreError::Io(error) => Failure::Input(format!("{shown}: {error}")),
        error => Failure::Data(format!("{shown}: {}", text::visible(error.to_string().as_bytes()))),
    };
    let mut store = Store::open(path).map_err(failed)?;
    let other = reading.sha256.is_some_and(|sha256| sha256 != *store.snapshot_sha256());
    if store.generation() != reading.number || other {
        let (of, served) = (store.generation(), reading.generation.as_deref().unwrap_or("none"));
        reading.store_note = Some(format!("{shown} is of generation {of:016x}, not of {served}: its lines are not told"));
        return Ok(());
    }
    (reading.store, reading.store_note) = (Some(shown.clone()), None);
    let mut votes = Vec::new();
    let matches = std::mem::take(&mut reading.matches);
    for one in matches {
        if let About::Interval { .. } = one.found.about {
            prefixes(reading, &mut store, one, &mut votes).map_err(failed)?;
        } else {
            let found = match one.found.about.rule().map(verdict_tables::fingerprint) {
                Some(Ok(fingerprint)) => store.votes_of(fingerprint).map_err(failed)?,
                _ => VotesOf::default(),
            };
            votes.push(found);
            reading.matches.push(one);
        }
    }
    let texts = lines(&store, &votes);
    for (one, found) in reading.matches.iter_mut().zip(&votes) {
        one.votes_cut = found.more;
        one.votes = tell_votes(&mut store, found, &texts).map_err(failed)?;
        one.note = one.note.take().or_else(|| disagreement(one, found));
    }
    Ok(())
}

/// One address match becomes every prefix that some feed has, the winner first, then from the longest.
fn prefixes(reading: &mut Reading, store: &mut Store, whole: RuleMatch, votes: &mut Vec<VotesOf>) -> Result<(), StoreError> {
    let mut covering = Vec::new();
    for about in address_of(reading).map(About::prefixes_of).unwrap_or_default() {
        let Some(Ok(fingerprint)) = about.rule().map(verdict_tables::fingerprint) else { continue };
        let found = store.votes_of(fingerprint)?;
        if let Some(standing) = highest(&found) {
            covering.push((of_votes(about, &found, standing), found));
        }
    }
    // The highest class wins, among equals the longest prefix; they come longest first, and the sort is stable.
    covering.sort_by_key(|(one, _)| std::cmp::Reverse(one.found.rank()));
    if covering.is_empty() {
        votes.push(VotesOf::default());
        reading.matches.push(RuleMatch { note: Some("the store has no prefix that holds this address".to_owned()), ..whole });
        return Ok(());
    }
    let interval = whole.on.clone();
    for (place, (one, found)) in covering.into_iter().enumerate() {
        votes.push(found);
        if place > 0 {
            reading.matches.push(one);
            continue;
        }
        // The snapshot's own record, on the prefix that it came from.
        let note = (one.found.rank() != whole.found.rank()).then(|| format!("the snapshot says {} here", whole.found.standing()));
        let cut = one.found.about.bounds() != whole.found.about.bounds();
        let note = note.or_else(|| cut.then(|| format!("it answers for {interval}; rules on other prefixes hold around it")));
        reading.matches.push(RuleMatch {
            on: one.on,
            found: one.found,
            note,
            rule: whole.rule,
            class: whole.class,
            score: whole.score,
            confidence: whole.confidence,
            categories: whole.categories.clone(),
            flags: whole.flags.clone(),
            verdict_id: whole.verdict_id,
            sources: whole.sources.clone(),
            ..one
        });
    }
    Ok(())
}

/// The address that the question is, or whose host is one.
fn address_of(reading: &Reading) -> Option<IpAddr> {
    let text = reading.hosts.first().or(reading.canonical.as_ref())?;
    text.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// A rule that only the store knows, from what was said of it.
fn of_votes(about: About, found: &VotesOf, standing: (bool, bool, Class)) -> RuleMatch {
    let winners = || left(found).filter(|vote| vote.standing() == standing);
    let (overrides, allow, class) = standing;
    let flags = [(allow, "allowlisted"), (overrides, "overridden")];
    let is_v4 = matches!(about, About::Prefix { network: IpAddr::V4(_), .. });
    RuleMatch {
        wins: false,
        off: false,
        why: String::new(),
        on: about.text(),
        rule: if is_v4 { RuleKind::Ipv4.name() } else { RuleKind::Ipv6.name() },
        class: class.name(),
        score: winners().map(|vote| vote.score).max().unwrap_or(0),
        confidence: together(winners()),
        categories: category_names(winners().fold(0, |all, vote| all | vote.categories)),
        flags: flags.iter().filter(|(set, _)| *set).map(|&(_, name)| name).collect(),
        verdict_id: None,
        sources: Vec::new(),
        votes: Vec::new(),
        votes_cut: false,
        note: None,
        found: Found { about, class, allow, overrides, overlay: false },
    }
}

/// The votes that their feeds did not take back.
fn left(found: &VotesOf) -> impl Iterator<Item = &StoredVote> {
    found.votes.iter().filter(|vote| !vote.revoked)
}

fn highest(found: &VotesOf) -> Option<(bool, bool, Class)> {
    left(found).map(StoredVote::standing).max()
}

/// How sure these votes are together: each feed by the surest of its own.
fn together<'v>(votes: impl Iterator<Item = &'v StoredVote>) -> u8 {
    let mut by_feed: BTreeMap<usize, u8> = BTreeMap::new();
    for vote in votes {
        let surest = by_feed.entry(vote.feed).or_default();
        *surest = vote.confidence.max(*surest);
    }
    verdict_tables::corroboration(&mut by_feed.into_values().collect::<Vec<u8>>())
}

/// The text of every line that is named, or why there is none; one pass over each file.
type Texts = BTreeMap<usize, Result<BTreeMap<u64, Vec<u8>>, String>>;

fn lines(store: &Store, votes: &[VotesOf]) -> Texts {
    let mut wanted: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for vote in votes.iter().flat_map(|found| &found.votes) {
        wanted.entry(vote.feed).or_default().insert(vote.line);
    }
    let read = |(feed, lines): (usize, BTreeSet<u64>)| {
        let text = feed_lines(&store.feeds()[feed], &lines).map_err(|error| text::visible(error.to_string().as_bytes()));
        (feed, text)
    };
    wanted.into_iter().map(read).collect()
}

fn tell_votes(store: &mut Store, found: &VotesOf, texts: &Texts) -> Result<Vec<Vote>, StoreError> {
    let highest = highest(found).unwrap_or((false, false, Class::Unknown));
    let told = found.votes.iter().map(|vote| -> Result<Vote, StoreError> {
        let reference = store.reference_of(vote)?.map(|text| text::visible(&text));
        Ok(Vote { reference, ..tell_vote(store, vote, highest, texts) })
    });
    let mut votes = told.collect::<Result<Vec<_>, _>>()?;
    votes.sort_by_key(|vote| !vote.counts);
    Ok(votes)
}

fn tell_vote(store: &Store, vote: &StoredVote, highest: (bool, bool, Class), texts: &Texts) -> Vote {
    let feed = &store.feeds()[vote.feed];
    let counts = !vote.revoked && vote.standing() == highest;
    let (says, strongest) = (standing_name(vote.standing()), standing_name(highest));
    let why = match (counts, says == strongest) {
        _ if vote.revoked && vote.class == Class::Unknown => "takes back what its feed says".to_owned(),
        _ if vote.revoked => "taken back by its feed".to_owned(),
        (true, _) => "counts".to_owned(),
        (false, true) => format!("overruled: {strongest} of a higher class"),
        (false, false) => format!("overruled: {strongest} beats {says}"),
    };
    let (text, text_note) = match texts.get(&vote.feed) {
        Some(Ok(lines)) => match lines.get(&vote.line) {
            Some(line) => (Some(text::shortened(&text::visible(line), LINE_COLUMNS_MAX)), None),
            None => (None, Some("the file has no such line".to_owned())),
        },
        Some(Err(reason)) => (None, Some(reason.clone())),
        None => (None, None),
    };
    Vote {
        counts,
        why,
        feed: text::visible(feed.name.as_bytes()),
        file: text::visible(feed.file.as_bytes()),
        line: vote.line,
        says,
        class: vote.class.name(),
        score: vote.score,
        confidence: vote.confidence,
        categories: category_names(vote.categories),
        first_seen: day(vote.first_seen_day),
        last_seen: day(vote.last_seen_day),
        ttl_s: vote.ttl_s,
        reference: None,
        text,
        text_note,
    }
}

fn day(day: u16) -> Option<String> {
    (day != 0).then(|| date::from_day(day.into()))
}

fn standing_name((overrides, allow, class): (bool, bool, Class)) -> &'static str {
    match (overrides, allow) {
        (true, _) => "override",
        (_, true) => "allow",
        _ => class.name(),
    }
}

/// What the votes come to must be what the snapshot says: a fingerprint that two rules share would show here.
fn disagreement(one: &RuleMatch, found: &VotesOf) -> Option<String> {
    let Some(highest) = highest(found) else {
        return Some("the store has no line for this rule".to_owned());
    };
    if found.more {
        return None;
    }
    let score = left(found).filter(|vote| vote.standing() == highest).map(|vote| vote.score).max().unwrap_or(0);
    let said = (one.found.overrides, one.found.allow, one.found.class);
    (highest != said || score != one.score).then(|| {
        let says = standing_name(highest);
        format!("these lines come to {says}, score {score}, and the snapshot says otherwise: some of them may be about another rule")
    })
}
