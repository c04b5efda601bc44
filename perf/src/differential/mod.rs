//! Ours against two browsers' parsers: a million mutated real URLs, and not one difference that has no name.
//!
//! ```text
//! url ─┬─► fast path ──► keys ┐ equal, or the run fails
//!      ├─► slow path ──► keys ┘──► canonical form, which must be its own
//!      ├─► ada-url  ──► href ──► slow path: the same canonical form, or a class of `judge` explains it
//!      └─► url      ──► href ──► the same
//! ```
//! If two spellings have one href, they have one canonical form, because each has its href's. Where a parser refuses, we refuse, or the leniency
//! is one that docs/canonicalisation.md names. Canaries are canonicalisers with a fault: a run that finds none in one of them proves nothing, and fails.

pub mod judge;
pub mod mutate;
pub mod peers;
pub mod urls;

use std::collections::BTreeMap;
use std::sync::Arc;

use verdict_keys::{Batch, Canonicalizer, Expressions, Form, Kind, Profile, SuffixList, rule};
use verdict_simd::{Backend, HashKey, HashSchedule, Key128, seal};

use crate::seed::Rng;
use judge::{Canonical, Faulty, Judged, canonical};
use peers::Peer;

/// URLs of one batch.
const BATCH: usize = 64;
/// Differences kept word by word.
const SHOWN_MAX: usize = 40;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// URLs asked, mutated ones included.
    pub urls: usize,
    /// How many of them took the fast path.
    pub fast: usize,
    /// How often each explanation was needed, by parser and class.
    pub classes: BTreeMap<(&'static str, &'static str), usize>,
    /// How many differences had no explanation.
    pub unexplained: usize,
    /// The first of them.
    pub shown: Vec<String>,
}

impl Report {
    fn differs(&mut self, who: &str, what: &str, raw: &[u8]) {
        self.unexplained += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(format!("{who}: {what}: {}", raw.escape_ascii()));
        }
    }
}

/// Compares `raws`, all of them, on `backend`.
pub fn run<B: Backend>(backend: B, raws: impl Iterator<Item = Vec<u8>>, peers: &[&dyn Peer]) -> Report {
    let mut run = Run { backend, report: Report::default(), batch: Batch::with_capacity(BATCH), canonicalizer: Canonicalizer::new() };
    let mut chunk = Vec::with_capacity(BATCH);
    for raw in raws {
        run.against_peers(&raw, peers);
        chunk.push(raw);
        if chunk.len() == BATCH {
            run.fast_against_slow(&chunk);
            chunk.clear();
        }
    }
    run.fast_against_slow(&chunk);
    run.report
}

/// The name of the first canary whose fault `raws` does not bring to light; none, if all is well.
pub fn undetected_canary(raws: impl Fn() -> Box<dyn Iterator<Item = Vec<u8>>>, peers: &[&dyn Peer]) -> Option<&'static str> {
    let is_found = |fault: &Faulty, raw: Vec<u8>| {
        let Ok(text) = std::str::from_utf8(&raw) else { return false };
        peers.iter().any(|peer| judge::judge(text, &mut |raw| canonical(&mut Canonicalizer::new(), &fault.apply(raw)), *peer).is_err())
    };
    Faulty::ALL.iter().find(|fault| !raws().any(|raw| is_found(fault, raw))).map(|fault| fault.name)
}

struct Run<B> {
    backend: B,
    report: Report,
    batch: Batch,
    canonicalizer: Canonicalizer,
}

impl<B: Backend> Run<B> {
    fn against_peers(&mut self, raw: &[u8], peers: &[&dyn Peer]) {
        self.report.urls += 1;
        let ours = canonical(&mut self.canonicalizer, raw);
        if let Ok(ours) = &ours
            && canonical(&mut self.canonicalizer, ours.to_string().as_bytes()).as_ref() != Ok(ours)
        {
            self.report.differs("ours", "a canonical form that is not its own", raw);
        }
        let Ok(text) = std::str::from_utf8(raw) else {
            *self.report.classes.entry(("none", "not UTF-8: our two ways only")).or_default() += 1;
            return;
        };
        let verdicts: Vec<Judged> =
            peers.iter().map(|peer| judge::judge(text, &mut |raw| canonical(&mut self.canonicalizer, raw), *peer)).collect();
        let disagree_on = |text: &str| peers.windows(2).any(|pair| pair[0].parse(text) != pair[1].parse(text));
        // Where a text has no scheme, they are asked with one.
        let they_disagree = || disagree_on(text) || disagree_on(&format!("http://{}", text.trim_matches(|character| character <= ' ')));
        let one_agrees = verdicts.iter().any(Result::is_ok);
        for (peer, verdict) in peers.iter().zip(&verdicts) {
            let class = match verdict {
                Ok(class) => class,
                Err(_) if one_agrees && they_disagree() => "the two parsers disagree, and we agree with the other",
                Err(what) => {
                    self.report.differs(peer.name(), what, raw);
                    continue;
                }
            };
            *self.report.classes.entry((peer.name(), class)).or_default() += 1;
        }
    }

    /// Every key of the batch is the key of a text of the canonical form.
    fn fast_against_slow(&mut self, raws: &[Vec<u8>]) {
        let schedule = HashSchedule::new(&HashKey { h: *b"a multiplier of ", k: *b"another of those" });
        let profile = self.profile();
        self.batch.clear();
        for raw in raws {
            self.batch.push(self.backend, &schedule, &profile, Kind::Url, raw);
        }
        self.report.fast += self.batch.fast_count();
        for (index, raw) in raws.iter().enumerate() {
            if !self.is_as_spelled(&schedule, &profile, index, raw) {
                self.report.differs("ours", "fast and slow path disagree", raw);
            }
        }
    }

    /// Mostly the widest; now and then one of those that need more than bounds.
    fn profile(&self) -> Profile {
        match self.report.fast / BATCH % 8 {
            0 => Profile::GSB_V4,
            1 => Profile::EXACT,
            2 => SuffixList::from_normal("*.ck\nck\nco.uk\ncom\nde\ngithub.io\nio\nnet\norg\nru\nuk\n")
                .map_or(Profile::FULL_MAX, |list| Profile::gsb_v5(Arc::new(list))),
            _ => Profile::FULL_MAX,
        }
    }

    fn is_as_spelled(&mut self, schedule: &HashSchedule, profile: &Profile, index: usize, raw: &[u8]) -> bool {
        let item = self.batch.items()[index];
        let url = match self.canonicalizer.url(raw) {
            Ok(url) => url,
            Err(reason) => return item.form == Form::Unparseable && self.batch.reason(index) == Some(reason),
        };
        let expressions = Expressions::new(&url, profile);
        let hosts = expressions.hosts.iter().map(|host| rule::host_hash(self.backend, schedule, host));
        let keys: Vec<Key128> = hosts.map(seal).collect();
        let paths = expressions.paths.iter().map(|path| rule::path_hash(self.backend, schedule, path));
        item.form == Form::Web
            && usize::from(item.full_paths) == expressions.full_paths
            && self.batch.keys()[item.hosts.range()] == keys
            && self.batch.paths()[item.paths.range()].iter().copied().eq(paths)
    }
}

/// `count` URLs: as they are, or with up to four mutations. The same seed gives the same ones.
pub fn mutated(originals: Arc<Vec<Box<[u8]>>>, count: usize, rng: &Rng) -> Box<dyn Iterator<Item = Vec<u8>>> {
    let mut rng = rng.fork("mutations");
    Box::new((0..count).map(move |index| {
        // Spread over all files, whatever `count` is.
        let original = &originals[(index as u128 * originals.len() as u128 / count as u128) as usize];
        mutate::mutate(original, &mut rng)
    }))
}

/// One canonical form, as text: for the whole run.
pub type Canonicalise<'a> = dyn FnMut(&[u8]) -> Result<Canonical, verdict_keys::Unparseable> + 'a;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_urls_show_no_difference_and_every_canary_is_found_out() {
        let rng = Rng::new(20_260_701);
        let originals = Arc::new(urls::generated(3_000, &rng));
        let peers = peers::all();
        let peers: Vec<&dyn Peer> = peers.iter().map(Box::as_ref).collect();
        let raws = || mutated(originals.clone(), 30_000, &rng);
        let report = run(verdict_simd::Portable::new(), raws(), &peers);
        assert_eq!((report.unexplained, report.urls), (0, 30_000), "{}", report.shown.join("\n"));
        assert!(report.fast > 1_000, "{} on the fast path", report.fast);
        assert_eq!(undetected_canary(raws, &peers), None);
    }
}
