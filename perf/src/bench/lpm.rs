//! Addresses in suite `keys`: batched longest-prefix lookups over full tables, beside two crates and the machine's own limit.
//!
//! ```text
//! ours     │ addresses ─► ids_v4, ids_v6 ─► ids │            what a batch's addresses go through
//! answers  │ batch of 256 address items ─► lookup ─► answers │ the whole way of such a batch
//! crates   │ longest_match, lookup: one address, one value │
//! limit    │ random lines of an array of the table's size │
//! ```

use std::io;
use std::time::Duration;

use memmap2::MmapMut;
use serde::Deserialize;
use verdict_keys::{Batch, Kind};
use verdict_simd::{Backend, Selected, WithBackend};
use verdict_tables::{Scratch, Snapshot, Verdict, lookup};

use super::tables::{Lines, huge};
use super::{Definition, Results, Setting, definition, timed, unexpected};
use crate::prefixes::{Prefixes, traffic, values};
use crate::report::{Figure, How};
use crate::rivals::{POPTRIE, Poptrie, TREEBITMAP, Treebitmap};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    every: usize,
    addresses: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    covered_min: f64,
}

/// Items of one batch, where the whole lookup is measured.
const BATCH: usize = 256;

/// All there is to ask and to ask it of.
struct Bench {
    backend: Selected,
    snapshot: Snapshot,
    values: Vec<u32>,
    v4: Vec<u32>,
    v6: Vec<u128>,
    batches: Vec<Batch>,
    treebitmap: Treebitmap,
    poptrie: Poptrie,
    lines: [Lines<MmapMut>; 2],
}

/// Millions a second, run by run.
#[derive(Default)]
struct Samples {
    ours: [Vec<f64>; 2],
    answers: Vec<f64>,
    treebitmap: [Vec<f64>; 2],
    poptrie: Vec<f64>,
    limit: [Vec<f64>; 2],
}

/// All figures.
pub fn run(setting: &Setting) -> io::Result<Results> {
    let definition: Definition<Size, Expected> = definition(include_str!("../../definitions/lpm.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let prefixes = Prefixes::real_or_generated(size.every, &setting.rng)?;
    let bench = Bench::new(&prefixes, setting, size.addresses)?;
    let mut samples = Samples::default();
    for _ in 0..setting.runs.unwrap_or(size.runs) {
        let covered = bench.run(&mut samples)?;
        if covered < definition.expected.covered_min {
            return Err(unexpected("the covered share", covered));
        }
    }
    let mut notes = vec![format!("{} IPv4 and {} IPv6 prefixes", prefixes.v4.len(), prefixes.v6.len())];
    if prefixes.generated {
        notes.push("made-up prefixes: the data files are not at hand".to_owned());
    }
    let figures = figures(samples, &bench, &prefixes);
    Ok(Results { name: definition.name, bias: definition.bias, figures, notes })
}

/// Bytes of the IPv4 and of the IPv6 sections.
fn bytes(snapshot: &Snapshot) -> [usize; 2] {
    let of = |family: &str| {
        snapshot.stats().sections.iter().filter(|(name, _)| name.starts_with(family)).map(|(_, bytes)| *bytes as usize).sum()
    };
    [of("ipv4"), of("ipv6")]
}

fn figures(samples: Samples, bench: &Bench, prefixes: &Prefixes) -> Vec<Figure> {
    let figure = |name, peer, samples| Figure::new(name, "M addresses/s", How::Measured, peer, samples);
    let [ours4, ours6] = samples.ours;
    let (ours4, ours6) = (figure("lpm_v4_mps", "", ours4), figure("lpm_v6_mps", "", ours6));
    let [tree4, tree6] = samples.treebitmap;
    let (tree4, tree6) = (figure("treebitmap_v4_mps", TREEBITMAP, tree4), figure("treebitmap_v6_mps", TREEBITMAP, tree6));
    let poptrie = figure("poptrie_v4_mps", POPTRIE, samples.poptrie);
    let [limit4, limit6] = samples.limit;
    let (limit4, limit6) = (figure("lpm_v4_line_limit", "random lines", limit4), figure("lpm_v6_line_limit", "random lines", limit6));
    let (best4, name4) = if tree4.median >= poptrie.median { (&tree4, TREEBITMAP) } else { (&poptrie, POPTRIE) };
    let v4_vs = Figure::ratio("lpm_v4_vs_best_crate", name4, &ours4, best4);
    let v6_vs = Figure::ratio("lpm_v6_vs_best_crate", TREEBITMAP, &ours6, &tree6);
    // The family that gains less speaks for both.
    let worse = if v4_vs.median <= v6_vs.median { &v4_vs } else { &v6_vs };
    let per_prefix = |name, peer, bytes: usize, prefixes: usize| {
        Figure::new(name, "bytes/prefix", How::Counted, peer, vec![bytes as f64 / prefixes.max(1) as f64])
    };
    let (ours, theirs) = (bytes(&bench.snapshot), bench.treebitmap.bytes());
    vec![
        Figure { name: "lpm_vs_best_crate".to_owned(), ..worse.clone() },
        per_prefix("lpm_v4_bytes", "", ours[0], prefixes.v4.len()),
        per_prefix("lpm_v6_bytes", "", ours[1], prefixes.v6.len()),
        per_prefix("treebitmap_v4_bytes", TREEBITMAP, theirs[0], prefixes.v4.len()),
        per_prefix("treebitmap_v6_bytes", TREEBITMAP, theirs[1], prefixes.v6.len()),
        Figure::ratio("lpm_v4_vs_limit", "random lines", &ours4, &limit4),
        Figure::ratio("lpm_v6_vs_limit", "random lines", &ours6, &limit6),
        v4_vs,
        v6_vs,
        ours4,
        ours6,
        figure("lpm_answers_v4_mps", "", samples.answers),
        tree4,
        tree6,
        poptrie,
        limit4,
        limit6,
    ]
}

impl Bench {
    fn new(prefixes: &Prefixes, setting: &Setting, count: usize) -> io::Result<Self> {
        let backend = verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))?;
        let snapshot = prefixes.snapshot(backend)?;
        let mut rng = setting.rng.fork("lpm");
        let v4: Vec<u32> = traffic(&prefixes.v4, 32, count, &mut rng).into_iter().map(|address| address as u32).collect();
        let [bytes4, bytes6] = bytes(&snapshot);
        Ok(Self {
            backend,
            values: values(&snapshot),
            batches: v4.chunks(BATCH).map(|addresses| batch_of(backend, &snapshot, addresses)).collect(),
            v6: traffic(&prefixes.v6, 128, count, &mut rng),
            v4,
            treebitmap: Treebitmap::new(prefixes),
            poptrie: Poptrie::new(prefixes),
            lines: [Lines::new(huge(bytes4)?, &mut rng, count), Lines::new(huge(bytes6)?, &mut rng, count)],
            snapshot,
        })
    }

    /// Everybody once, by turns; all answers compared. The covered share of the IPv4 addresses.
    fn run(&self, samples: &mut Samples) -> io::Result<f64> {
        let count = self.v4.len();
        let rate = |elapsed: Duration| count as f64 / elapsed.as_secs_f64() / 1e6;
        // Written once before the clock runs: fresh memory is not there yet.
        let (mut ours, mut theirs) = (vec![u32::MAX; count], vec![u32::MAX; count]);
        let ((), elapsed) = timed(|| self.snapshot.ids_v4(self.backend, &self.v4, &mut ours));
        samples.ours[0].push(rate(elapsed));
        ours.iter_mut().for_each(|id| *id = self.values[*id as usize]);
        samples.treebitmap[0].push(rate(timed(|| self.treebitmap.values4(&self.v4, &mut theirs)).1));
        self.equal(&ours, &theirs, TREEBITMAP)?;
        samples.poptrie.push(rate(timed(|| self.poptrie.values4(&self.v4, &mut theirs)).1));
        self.equal(&ours, &theirs, POPTRIE)?;
        samples.limit[0].push(rate(timed(|| self.lines[0].read_all()).1));
        let (answers, elapsed) = answers(self.backend, &self.snapshot, &self.batches);
        samples.answers.push(rate(elapsed));
        let covered = ours.iter().filter(|value| **value != 0).count();
        if answers != covered {
            return Err(io::Error::other(format!("{answers} answers of {covered} covered addresses")));
        }
        let ((), elapsed) = timed(|| self.snapshot.ids_v6(self.backend, &self.v6, &mut ours));
        samples.ours[1].push(rate(elapsed));
        ours.iter_mut().for_each(|id| *id = self.values[*id as usize]);
        samples.treebitmap[1].push(rate(timed(|| self.treebitmap.values6(&self.v6, &mut theirs)).1));
        self.equal(&ours, &theirs, TREEBITMAP)?;
        samples.limit[1].push(rate(timed(|| self.lines[1].read_all()).1));
        Ok(covered as f64 / count as f64)
    }

    fn equal(&self, ours: &[u32], theirs: &[u32], whose: &str) -> io::Result<()> {
        match ours.iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).count() {
            0 => Ok(()),
            differences => Err(io::Error::other(format!("{differences} answers differ from those of {whose}"))),
        }
    }
}

fn batch_of(backend: Selected, snapshot: &Snapshot, addresses: &[u32]) -> Batch {
    let mut batch = Batch::with_capacity(addresses.len());
    for address in addresses {
        batch.push(backend, snapshot.schedule(), snapshot.profile(), Kind::Ipv4, &address.to_be_bytes());
    }
    batch
}

/// How many answers name a verdict, and how long they took.
fn answers(backend: Selected, snapshot: &Snapshot, batches: &[Batch]) -> (usize, Duration) {
    struct Work<'a>(&'a Snapshot, &'a [Batch]);
    impl WithBackend for Work<'_> {
        type Output = (usize, Duration);
        fn run<B: Backend>(self, backend: B) -> (usize, Duration) {
            let mut scratch = Scratch::default();
            let mut verdicts = vec![Verdict::default(); BATCH];
            timed(|| {
                let mut known = 0;
                for batch in self.1 {
                    let verdicts = &mut verdicts[..batch.items().len()];
                    lookup(backend, self.0, batch, &mut scratch, verdicts);
                    known += verdicts.iter().filter(|verdict| verdict.verdict_id() != 0).count();
                }
                known
            })
        }
    }
    backend.run(Work(snapshot, batches))
}
