//! Gates that ask the final bytes: what must never be blocked, what must not and what must be listed, whole suffixes, the most visited sites.

use super::asking::{Asked, Asker};
use super::lists::{Entry, List};
use super::{Checked, Gate, State, Unasked, percent, share};
use crate::config::Config;
use crate::report::Report;
use crate::store::Store;
use std::collections::BTreeMap;
use verdict_keys::Kind;
use verdict_simd::Backend;
use verdict_tables::{RuleKind, Snapshot};

/// What the world cannot do without, and no feed means: always asked, beside the operator's own list.
const NEVER_BLOCK: &str = include_str!("never_block.txt");
/// Below which strangers have names; a list of public suffixes is asked as well, where one was named.
const SUFFIXES: &str = include_str!("suffixes.txt");
/// Used slots of the exact table among all slots.
const LOAD_MAX: f64 = 0.97;

/// All of them.
pub(super) fn check<B: Backend>(
    asker: &mut Asker<'_, B>,
    config: &Config,
    report: &Report,
    mut store: Option<&mut Store>,
) -> Result<Vec<Checked>, Unasked> {
    Ok(vec![
        never_block(asker, config, store.as_deref_mut())?,
        canary_good(asker, config, store.as_deref_mut())?,
        canary_bad(asker, config),
        breadth(asker, config),
        top_sites(asker, config, store)?,
        kinds(asker.snapshot(), report),
        probe_bound(asker.snapshot()),
    ])
}

/// The list of a gate, or how the gate came out without one.
fn list(config: &Config, gate: Gate) -> Result<List, Checked> {
    if config.gates.off.contains_key(&gate) {
        return Err(Checked::new(gate, State::Off, "off"));
    }
    let Some(path) = config.gates.lists.get(&gate) else {
        let key = gate.key().unwrap_or_default();
        return Err(Checked::new(gate, State::NotRun, format!("no list: name one as {key} in [gates]")));
    };
    List::read(path).map_err(|why| Checked::new(gate, State::Refused, why))
}

fn ask<B: Backend>(asker: &mut Asker<'_, B>, entries: &[Entry]) -> Vec<Asked> {
    asker.ask(entries.iter().map(|entry| (entry.kind, entry.key.as_slice())))
}

fn never_block<B: Backend>(asker: &mut Asker<'_, B>, config: &Config, store: Option<&mut Store>) -> Result<Checked, Unasked> {
    let gates = &config.gates;
    let mut entries = List::of_text("compiled in", NEVER_BLOCK).map_err(Unasked::List)?.entries;
    match list(config, Gate::NeverBlock) {
        Err(told) if told.state != State::NotRun => return Ok(told),
        Err(_) => {}
        Ok(own) => {
            let (count, least) = (own.entries.len() as u64, gates.never_block_entries_min);
            if count < least {
                let told = format!("{} holds {count} entries, and must hold {least} (never_block_entries_min)", own.file);
                return Ok(Checked::new(Gate::NeverBlock, State::Refused, told));
            }
            if let Some(missing) = gates.never_block_sentinels.iter().find(|text| own.entries.iter().all(|entry| entry.text != **text)) {
                return Ok(Checked::new(Gate::NeverBlock, State::Refused, format!("{} lacks its sentinel {missing}", own.file)));
            }
            entries.extend(own.entries);
        }
    }
    none_listed(asker, Gate::NeverBlock, &with_pages(entries), store)
}

/// Of every name and address the page `/` as well: a list of URLs would block that, and the name would still look free.
fn with_pages(entries: Vec<Entry>) -> Vec<Entry> {
    let page = |entry: &Entry| {
        let text = match entry.kind {
            Kind::Host | Kind::Ipv4 => format!("http://{}/", entry.text),
            Kind::Ipv6 => format!("http://[{}]/", entry.text),
            _ => return None,
        };
        Some(Entry { kind: Kind::Url, key: text.clone().into_bytes(), text, line: entry.line })
    };
    let pages: Vec<Entry> = entries.iter().filter_map(page).collect();
    entries.into_iter().chain(pages).collect()
}

fn canary_good<B: Backend>(asker: &mut Asker<'_, B>, config: &Config, store: Option<&mut Store>) -> Result<Checked, Unasked> {
    match list(config, Gate::CanaryGood) {
        Err(told) => Ok(told),
        Ok(list) if list.entries.is_empty() => Ok(Checked::new(Gate::CanaryGood, State::Refused, format!("{} holds no key", list.file))),
        Ok(list) => none_listed(asker, Gate::CanaryGood, &with_pages(list.entries), store),
    }
}

fn none_listed<B: Backend>(
    asker: &mut Asker<'_, B>,
    gate: Gate,
    entries: &[Entry],
    mut store: Option<&mut Store>,
) -> Result<Checked, Unasked> {
    let answers = ask(asker, entries);
    let hits = answers.iter().filter(|asked| asked.listed()).count();
    let mut told = Checked::of(gate, hits == 0, format!("{hits} of {} keys are listed", entries.len()));
    for (entry, asked) in entries.iter().zip(answers).filter(|(_, asked)| asked.listed()) {
        let at = if told.findings.len() < super::FINDINGS_MAX { asker.lines(entry, asked, store.as_deref_mut())? } else { Vec::new() };
        told.find(at, format!("{} is {}", entry.text.escape_debug(), asked.word()));
    }
    Ok(told)
}

fn canary_bad<B: Backend>(asker: &mut Asker<'_, B>, config: &Config) -> Checked {
    let list = match list(config, Gate::CanaryBad) {
        Err(told) => return told,
        Ok(list) => list,
    };
    let answers = ask(asker, &list.entries);
    let hits = answers.iter().filter(|asked| asked.listed()).count() as u64;
    let (share, limit) = (share(hits, answers.len() as u64), u64::from(config.gates.limit(Gate::CanaryBad)));
    let told = format!("{hits} of {} keys are listed, {}; at least {}", answers.len(), percent(share), percent(limit));
    let mut told = Checked::of(Gate::CanaryBad, !answers.is_empty() && share >= limit, told);
    if told.state == State::Refused {
        for (entry, asked) in list.entries.iter().zip(answers).filter(|(_, asked)| !asked.listed()) {
            told.find(vec![format!("{}:{}", list.file, entry.line)], format!("{} is {}", entry.text.escape_debug(), asked.word()));
        }
    }
    told
}

/// A name that nobody has, below everything that strangers share; and how much of all addresses is listed.
fn breadth<B: Backend>(asker: &mut Asker<'_, B>, config: &Config) -> Checked {
    let own = config.snapshot.suffixes.list().map_or(String::new(), |list| list.text().to_owned());
    let suffixes = SUFFIXES.lines().chain(own.lines()).map(|line| line.trim_start_matches(['!', '*', '.'])).filter(|line| !line.is_empty());
    let names: Vec<String> = suffixes.map(|suffix| format!("a-name-that-nobody-has.{suffix}")).collect();
    let answers = asker.ask(names.iter().map(|name| (Kind::Host, name.as_bytes())));
    let limit = u64::from(config.gates.limit(Gate::Breadth));
    let (v4, v6) = listed_addresses(asker.snapshot());
    let wide = answers.iter().filter(|asked| asked.listed()).count();
    let told = format!(
        "{wide} of {} suffixes listed; {} of IPv4 and {} of routed IPv6 addresses, at most {}",
        names.len(),
        percent(v4),
        percent(v6),
        percent(limit)
    );
    let mut told = Checked::of(Gate::Breadth, wide == 0 && v4 <= limit && v6 <= limit, told);
    for (name, asked) in names.iter().zip(answers).filter(|(_, asked)| asked.listed()) {
        told.find(asker.sources(asked).into_iter().map(str::to_owned).collect(), format!("{name} is {}", asked.word()));
    }
    told
}

/// Millionths of the IPv4 addresses, and of the /64s of 2000::/3, that are malicious or suspicious.
fn listed_addresses(snapshot: &Snapshot) -> (u64, u64) {
    let (v4, v6) = snapshot.count_addresses(|verdict| (Asked { verdict: *verdict }).listed());
    (share(v4, 1 << 32), share(v6, 1 << 61))
}

fn top_sites<B: Backend>(asker: &mut Asker<'_, B>, config: &Config, mut store: Option<&mut Store>) -> Result<Checked, Unasked> {
    let list = match list(config, Gate::TopSites) {
        Err(told) => return Ok(told),
        Ok(list) => list,
    };
    let answers = ask(asker, &list.entries);
    let mut by_feed: BTreeMap<&str, u64> = BTreeMap::new();
    for asked in answers.iter().filter(|asked| asked.listed()) {
        asker.sources(*asked).into_iter().for_each(|source| *by_feed.entry(source).or_default() += 1);
    }
    let (count, limit) = (list.entries.len() as u64, u64::from(config.gates.limit(Gate::TopSites)));
    let worst = by_feed.iter().max_by_key(|(_, hits)| **hits).map_or((0, ""), |(feed, hits)| (*hits, *feed));
    let passed = share(worst.0, count) <= limit && count > 0;
    let told = match worst {
        (0, _) => format!("none of {count} sites is listed; at most {} by feed", percent(limit)),
        (hits, feed) => {
            format!("{feed} lists {hits} of {count} sites, {}; at most {} by feed", percent(share(hits, count)), percent(limit))
        }
    };
    let mut told = Checked::of(Gate::TopSites, passed, told);
    for (entry, asked) in list.entries.iter().zip(answers).filter(|(_, asked)| asked.listed()) {
        let at = if told.findings.len() < super::FINDINGS_MAX { asker.lines(entry, asked, store.as_deref_mut())? } else { Vec::new() };
        told.find(at, format!("{} is {}", entry.text.escape_debug(), asked.word()));
    }
    Ok(told)
}

/// A page never becomes its host: the file has no more rules of a kind than the rows gave.
fn kinds(snapshot: &Snapshot, report: &Report) -> Checked {
    let stats = snapshot.stats();
    let of = |kinds: &[RuleKind]| stats.rules.iter().filter(|(kind, _)| kinds.contains(kind)).map(|(_, count)| count).sum::<u64>();
    let given = report.counts.rules;
    use RuleKind::*;
    let addresses = given.ipv4 + given.ipv6 + given.host + report.ipv6_aggregated.votes;
    let mut told = Checked::of(Gate::Kinds, true, "no kind has more rules than rows gave");
    for (name, got, most) in [
        ("host", of(&[Host, HostSubdomains]), given.host),
        ("url", of(&[Url, UrlSubdomains, UrlPrefix, UrlPrefixSubdomains]), given.url),
        ("address", of(&[Ipv4, Ipv6]), addresses),
        ("file", of(&[Sha256, Sha1, Md5]), given.sha256 + given.sha1 + given.md5),
        ("signature", of(&[HostSubstring, UrlSubstring, HostToken, UrlToken]), given.signature),
    ] {
        if got > most {
            told.state = State::Refused;
            told.find(Vec::new(), format!("{got} {name} rules in the file, and {most} in the rows"));
        }
    }
    told
}

fn probe_bound(snapshot: &Snapshot) -> Checked {
    let load = snapshot.stats().load;
    // That every entry is in one of its two buckets is what `verify` has just held the file against.
    Checked::of(Gate::ProbeBound, load <= LOAD_MAX, format!("two lines a key at most; load {load:.3}, at most {LOAD_MAX}"))
}
