//! Snapshots of up to hundreds of millions of pre-hashed keys: made once, kept under `target/bench`, reused while the parameters are the same.
//!
//! ```text
//! index ──SplitMix64──► word ──┬─► MD5 digest = word, mix(word)     index < entries: listed; others: not
//!                              └─► one of 16,384 verdicts           what the file says, and how surely
//! ```
//! SplitMix64 is a bijection, so no two indices share a word, and nobody has to keep a hundred million keys to ask for one of them.
//!
//! How many verdicts: not one, whose template would never leave L1, and not one for each entry, which no feed has: verdicts are interned. 2,048
//! days by 8 opinions are 16,384 verdicts, 128 KiB of templates.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use verdict_keys::{Digest, Scheme};
use verdict_simd::{Backend, HashSchedule, Key128, seal};
use verdict_tables::{Builder, Class, Rule, Source, Vote, layout::VERSION};

use crate::seed::mix;

/// Of what follows from an index. A change makes other files.
const GENERATOR: u32 = 1;
/// Odd: SplitMix64's step (the golden ratio).
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// Distinct days of first sight.
const DAYS: u64 = 2_048;
/// Distinct opinions: score and category.
const OPINIONS: u64 = 8;

/// A snapshot file and what is in it.
#[derive(Clone, Debug)]
pub struct Large {
    /// The file.
    pub path: PathBuf,
    /// Rules in it.
    pub entries: u64,
}

/// Called with the step's name, how much is done, and of how much.
pub type Progress = Box<dyn FnMut(&str, u64, u64) + Send>;

impl Large {
    /// The file of so many entries; made if it is not there yet, which takes about a second per million.
    pub fn get<B: Backend>(backend: B, entries: u64) -> io::Result<Self> {
        let directory = directory();
        std::fs::create_dir_all(&directory)?;
        let path = directory.join(format!("files-{entries}-v{VERSION}.{GENERATOR}.snapshot"));
        if !path.exists() {
            eprintln!("building {} ({entries} entries) ...", path.display());
            let began = Instant::now();
            Self::build(backend, entries, &path, Box::new(|_, _, _| ()))?;
            eprintln!("... {:.1} s", began.elapsed().as_secs_f64());
        }
        Ok(Large { path, entries })
    }

    /// Makes the file, there or not.
    pub fn build<B: Backend>(backend: B, entries: u64, path: &Path, mut progress: Progress) -> io::Result<u64> {
        let mut builder = Builder::new(Scheme::Full, b"verdict-perf", 0);
        let source = builder.source(Source { name: "made-up files", licence: "none" });
        for index in 0..entries {
            builder.add(Rule::File(digest(index)), opinion(source, index)).map_err(io::Error::other)?;
        }
        builder.on_progress(Box::new(move |phase, done, total| progress(phase.name(), done, total)));
        builder.build_to(backend, path).map_err(io::Error::other)
    }

    /// The key of one of its entries, `index` below `entries`; of others the key of something that is not listed.
    pub fn key<B: Backend>(backend: B, schedule: &HashSchedule, index: u64) -> Key128 {
        seal(digest(index).hash(backend, schedule))
    }
}

/// What stands for this index, here and, as a name, in other people's tables.
pub fn word(index: u64) -> u64 {
    mix(index.wrapping_add(1).wrapping_mul(STEP))
}

/// The file of this index.
pub fn digest(index: u64) -> Digest {
    let word = word(index);
    Digest::Md5((u128::from(mix(!word)) << 64 | u128::from(word)).to_le_bytes())
}

fn opinion(source: u16, index: u64) -> Vote {
    let pick = mix(word(index) ^ STEP);
    let (day, opinion) = ((pick % DAYS) as u16, (pick / DAYS % OPINIONS) as u8);
    Vote {
        source,
        class: Class::Malicious,
        allow: false,
        overrides: false,
        score: 60 + 5 * opinion,
        confidence: 80,
        categories: 1 << (opinion % 4),
        first_seen_day: 18_000 + day,
        last_seen_day: 20_100,
        ttl_s: 3_600,
    }
}

/// `target/bench` of the build that this program belongs to: cargo marks its target directory with a file. Elsewhere a temporary place.
fn directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().skip(1).find(|directory| directory.join("CACHEDIR.TAG").exists());
    target.map_or_else(|| std::env::temp_dir().join("verdict-bench"), |target| target.join("bench"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict_keys::Batch;
    use verdict_tables::{Scratch, Snapshot, Verdict, lookup};

    #[test]
    fn listed_keys_are_known_others_are_not_and_the_file_is_made_once() {
        let backend = verdict_simd::detect().unwrap();
        let large = Large::get(backend, 3_000).unwrap();
        let made = std::fs::metadata(&large.path).unwrap().modified().unwrap();
        let again = Large::get(backend, 3_000).unwrap();
        assert_eq!(std::fs::metadata(&again.path).unwrap().modified().unwrap(), made);
        let snapshot = Snapshot::load(&large.path).unwrap();
        let mut batch = Batch::default();
        for index in (0..3_000).chain(1 << 40..(1 << 40) + 3_000) {
            batch.push_hashed(Large::key(backend, snapshot.schedule(), index), false, false);
        }
        let mut verdicts = vec![Verdict::default(); 6_000];
        lookup(backend, &snapshot, &batch, &mut Scratch::default(), &mut verdicts);
        assert!(verdicts[..3_000].iter().all(|verdict| verdict.score >= 60));
        assert!(verdicts[3_000..].iter().all(|verdict| *verdict == Verdict::default()));
        let distinct: std::collections::BTreeSet<[u8; 3]> = verdicts[..3_000].iter().map(|verdict| verdict.id).collect();
        assert!(distinct.len() > 2_000, "{} verdicts", distinct.len());
    }
}
