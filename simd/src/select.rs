//! Which backend runs: chosen once at start, then one branch per coarse kernel call, or none inside [`Backend::run`].

#[cfg(target_arch = "aarch64")]
use crate::Neon;
#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};
use crate::{Backend, Bucket, CHUNK, Domain, GROUP, HASHES, Hash128, HashSchedule, Key128, Portable, UrlBlock};

/// The backend chosen at start: one branch per coarse kernel call. [`detect`] makes it.
#[derive(Clone, Copy, Debug)]
pub enum Selected {
    /// NEON with PMULL.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// AVX-512 with VBMI and VPCLMULQDQ.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// AVX2 with PCLMULQDQ.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// Integer arithmetic.
    Portable(Portable),
}

/// Work to be compiled once for each backend, without a branch per kernel call: see [`Backend::run`].
pub trait WithBackend {
    /// What the work returns.
    type Output;
    /// Does the work with a concrete backend.
    fn run<B: Backend>(self, backend: B) -> Self::Output;
}

/// Runs an expression with the concrete backend inside.
macro_rules! each {
    ($selected:expr, $backend:ident => $call:expr) => {
        match $selected {
            #[cfg(target_arch = "aarch64")]
            Selected::Neon($backend) => $call,
            #[cfg(target_arch = "x86_64")]
            Selected::Avx512($backend) => $call,
            #[cfg(target_arch = "x86_64")]
            Selected::Avx2($backend) => $call,
            Selected::Portable($backend) => $call,
        }
    };
}

impl Backend for Selected {
    #[inline]
    fn name(self) -> &'static str {
        each!(self, backend => backend.name())
    }

    #[inline]
    fn run<W: WithBackend>(self, work: W) -> W::Output {
        each!(self, backend => backend.run(work))
    }

    #[inline]
    fn classify_block(self, bytes: &[u8], at: usize) -> UrlBlock {
        each!(self, backend => backend.classify_block(bytes, at))
    }

    #[inline]
    fn hash(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128 {
        each!(self, backend => backend.hash(schedule, domain, bytes))
    }

    #[inline]
    fn hash_suffixes(self, schedule: &HashSchedule, host: &[u8], dots: u64, hashes: &mut [Hash128; HASHES]) {
        each!(self, backend => backend.hash_suffixes(schedule, host, dots, hashes))
    }

    #[inline]
    fn hash_prefixes(
        self,
        schedule: &HashSchedule,
        domain: Domain,
        text: &[u8],
        exact: usize,
        slashes: u64,
        hashes: &mut [Hash128; HASHES],
    ) {
        each!(self, backend => backend.hash_prefixes(schedule, domain, text, exact, slashes, hashes))
    }

    #[inline]
    fn hash_lengths(self, schedule: &HashSchedule, domain: Domain, text: &[u8], lengths: &[u32], hashes: &mut [Hash128; HASHES]) {
        each!(self, backend => backend.hash_lengths(schedule, domain, text, lengths, hashes))
    }

    #[inline]
    fn pair(self, schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]) {
        each!(self, backend => backend.pair(schedule, host, paths, keys))
    }

    #[inline]
    fn seal_all(self, hashes: &[Hash128], keys: &mut [Key128]) {
        each!(self, backend => backend.seal_all(hashes, keys))
    }

    #[inline(always)]
    fn lowest(self, mask: u64, most: u32) -> u64 {
        each!(self, backend => backend.lowest(mask, most))
    }

    #[inline(always)]
    fn highest(self, mask: u64, most: u32) -> u64 {
        each!(self, backend => backend.highest(mask, most))
    }

    #[inline]
    fn halves(self, keys: &[Key128; GROUP]) -> [[u64; GROUP]; 2] {
        each!(self, backend => backend.halves(keys))
    }

    #[inline]
    fn probe(self, buckets: &[Bucket], at: &[u64; GROUP], tags: &[u64; GROUP], hits: &mut [u8; GROUP], words: &mut [u32; GROUP]) {
        each!(self, backend => backend.probe(buckets, at, tags, hits, words))
    }

    #[inline]
    fn settle(self, tags: &[u64], hits: &[u8], words: &mut [u32]) -> u64 {
        each!(self, backend => backend.settle(tags, hits, words))
    }

    #[inline]
    fn pick<T: bytemuck::Pod>(self, from: &[T], at: &[u32; CHUNK], to: &mut [T; CHUNK]) {
        each!(self, backend => backend.pick(from, at, to))
    }

    #[inline]
    fn places(self, bits: u64) -> [u8; CHUNK] {
        each!(self, backend => backend.places(bits))
    }
}

/// Every backend that this machine can run, best first; the last is always `portable`.
pub fn available() -> Vec<Selected> {
    let portable = Some(Selected::Portable(Portable::new()));
    #[cfg(target_arch = "aarch64")]
    let all = [Neon::detect().map(Selected::Neon), portable];
    #[cfg(target_arch = "x86_64")]
    let all = [Avx512::detect().map(Selected::Avx512), Avx2::detect().map(Selected::Avx2), portable];
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    let all = [portable];
    all.into_iter().flatten().collect()
}

/// The best backend of this machine, or the one that `VERDICT_BACKEND` names.
pub fn detect() -> Result<Selected, BackendUnavailable> {
    match std::env::var_os("VERDICT_BACKEND") {
        Some(name) if !name.is_empty() => choose(available(), Some(&name.to_string_lossy())),
        _ => choose(available(), None),
    }
}

/// The first, or the one of that name.
fn choose(available: Vec<Selected>, name: Option<&str>) -> Result<Selected, BackendUnavailable> {
    let fits = |backend: &&Selected| name.is_none_or(|name| name == backend.name());
    available.iter().find(fits).copied().ok_or_else(|| BackendUnavailable {
        asked: name.unwrap_or_default().to_owned(),
        available: available.iter().map(|backend| backend.name()).collect(),
    })
}

/// `VERDICT_BACKEND` names a backend that does not exist or that this machine cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendUnavailable {
    /// What was asked for.
    pub asked: String,
    /// What could be had.
    pub available: Vec<&'static str>,
}

impl std::fmt::Display for BackendUnavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VERDICT_BACKEND={} cannot run on this machine; available: {}", self.asked, self.available.join(", "))
    }
}

impl std::error::Error for BackendUnavailable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portable_can_always_be_chosen() {
        assert_eq!(choose(available(), Some("portable")).unwrap().name(), "portable");
    }

    #[test]
    fn without_a_name_the_first_is_chosen() {
        assert_eq!(choose(available(), None).unwrap().name(), available()[0].name());
    }

    #[test]
    fn an_unknown_name_is_refused_with_what_there_is() {
        let refusal = choose(available(), Some("altivec")).unwrap_err();
        assert_eq!(refusal.asked, "altivec");
        assert_eq!(refusal.available.last(), Some(&"portable"));
        assert!(refusal.to_string().contains("altivec"));
    }

    #[test]
    fn run_does_the_work_for_the_chosen_backend() {
        struct Name;
        impl WithBackend for Name {
            type Output = &'static str;
            fn run<B: Backend>(self, backend: B) -> &'static str {
                backend.name()
            }
        }
        for backend in available() {
            assert_eq!(backend.run(Name), backend.name());
        }
    }
}
