//! From a canonical URL to the expressions it is asked by: which pieces of host and path, as places, so that strings and hashes agree.
//!
//! ```text
//! hosts  a.b.example.com      lengths  15 13 11      the exact host, then suffixes, longest first; under gsb-v5 from example.com upwards
//! paths  /1/2.html?p          lengths  11 9 3 1      with query, without, then prefixes, longest first
//! ```
//! An expression is one host with one path; equal ones appear once (`/1/` is the exact path or a prefix, not both).

use crate::suffix::GSB_V5_HOSTS;
use crate::{CanonicalUrl, HOST_LABELS_MAX, Host, PATH_PREFIXES_MAX, Profile, SuffixList};
use arrayvec::ArrayVec;
use verdict_simd::{Backend, HASHES};

/// The exact host and its suffixes.
pub(crate) const HOSTS_MAX: usize = HOST_LABELS_MAX + 1;
/// The exact path with and without query, and prefixes.
pub(crate) const PATHS_MAX: usize = PATH_PREFIXES_MAX + 2;

// The kernels have room for either.
const _: () = assert!(HOSTS_MAX <= HASHES - 2 && PATHS_MAX <= HASHES - 2);

/// Bits of a mask of places; what lies further inside is counted byte by byte.
pub(crate) const NEAR: usize = 64;

/// Where suffixes begin: after these dots. The mask of all dots of a host of at most [`NEAR`] bytes; of an address: none.
#[inline(always)]
pub(crate) fn near_suffixes<B: Backend>(backend: B, dots: u64, profile: &Profile) -> u64 {
    let suffixes_max = u32::from(profile.host_labels_max).min(HOST_LABELS_MAX as u32).saturating_sub(1);
    // The last dot begins a single label, which is never asked for.
    backend.highest(without_highest(dots), suffixes_max)
}

/// Where prefixes end: with these slashes. The mask of the slashes among a path's first [`NEAR`] bytes; `None` where there may be more of them.
#[inline(always)]
pub(crate) fn near_prefixes<B: Backend>(backend: B, slashes: u64, path_bytes: usize, profile: &Profile) -> Option<u64> {
    let prefixes_max = u32::from(profile.path_prefixes_max).min(PATH_PREFIXES_MAX as u32);
    // The last byte is the exact path's own business.
    let prefixes = if path_bytes > NEAR { slashes } else { slashes & !(1 << path_bytes.saturating_sub(1)) };
    if path_bytes > NEAR && prefixes.count_ones() < prefixes_max {
        return None;
    }
    Some(backend.lowest(prefixes, prefixes_max))
}

#[inline(always)]
fn without_highest(mask: u64) -> u64 {
    mask & !((1 << 63) >> (mask.leading_zeros() & 63)) // of none: the place of bit 63, which is not set
}

/// How long the host texts are: the exact host, then suffixes.
pub(crate) fn host_lengths(host: &[u8], is_address: bool, profile: &Profile) -> ArrayVec<u32, HOSTS_MAX> {
    let mut lengths = ArrayVec::from_iter([host.len() as u32]);
    if is_address {
        return lengths;
    }
    if let Some(suffixes) = &profile.suffixes {
        push_registrable(host, suffixes, &mut lengths);
        return lengths;
    }
    let suffixes_max = usize::from(profile.host_labels_max).min(HOST_LABELS_MAX).saturating_sub(1);
    let dots = || host.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
    let suffixes = dots().count().saturating_sub(1);
    lengths.extend(dots().take(suffixes).skip(suffixes.saturating_sub(suffixes_max)).map(|at| (host.len() - at - 1) as u32));
    lengths
}

/// The registrable name and up to three longer ones, as Safe Browsing v5 asks; not the exact host, which is there anyway.
fn push_registrable(host: &[u8], suffixes: &SuffixList, lengths: &mut ArrayVec<u32, HOSTS_MAX>) {
    let Some(mut start) = suffixes.registrable_start(host) else { return };
    while start > 0 && lengths.len() <= GSB_V5_HOSTS {
        lengths.push((host.len() - start) as u32);
        start = host[..start - 1].iter().rposition(|&byte| byte == b'.').map_or(0, |dot| dot + 1);
    }
    lengths[1..].reverse();
}

/// How long the path texts are: the exact path with its query, the exact path, prefixes. The second value counts the exact ones.
pub(crate) fn path_lengths(path_query: &[u8], path_bytes: usize, profile: &Profile) -> (ArrayVec<u32, PATHS_MAX>, usize) {
    let mut lengths = ArrayVec::from_iter([path_query.len() as u32]);
    if path_bytes < path_query.len() {
        lengths.push(path_bytes as u32);
    }
    let exact = lengths.len();
    let prefixes_max = usize::from(profile.path_prefixes_max).min(PATH_PREFIXES_MAX);
    let slashes = path_query[..path_bytes - 1].iter().enumerate().filter(|(_, byte)| **byte == b'/');
    lengths.extend(slashes.take(prefixes_max).map(|(at, _)| at as u32 + 1));
    lengths[exact..].reverse();
    (lengths, exact)
}

/// The expressions of a URL as text, for tests and for explaining.
#[derive(Clone, Debug)]
pub struct Expressions<'a> {
    /// The exact host, then its suffixes, longest first.
    pub hosts: ArrayVec<&'a str, HOSTS_MAX>,
    /// The exact path with query, without query, then prefixes, longest first.
    pub paths: ArrayVec<&'a str, PATHS_MAX>,
    /// How many of `paths` are exact.
    pub full_paths: usize,
}

impl<'a> Expressions<'a> {
    /// What `url` is asked by under `profile`.
    pub fn new(url: &CanonicalUrl<'a>, profile: &Profile) -> Self {
        let is_address = matches!(url.host, Host::Address(_));
        let hosts = host_lengths(url.host_text.as_bytes(), is_address, profile);
        let (paths, full_paths) = path_lengths(url.path_query.as_bytes(), url.path_bytes, profile);
        Self {
            hosts: hosts.iter().map(|&length| &url.host_text[url.host_text.len() - length as usize..]).collect(),
            paths: paths.iter().map(|&length| &url.path_query[..length as usize]).collect(),
            full_paths,
        }
    }

    /// Every host with every path, hosts outermost.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.hosts.iter().flat_map(|&host| self.paths.iter().map(move |&path| (host, path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canonicalizer;
    use std::sync::Arc;

    fn check(profile: Profile, url: &str, want_hosts: &[&str], want_paths: &[&str], full_paths: usize) {
        let mut canonicalizer = Canonicalizer::new();
        let got = Expressions::new(&canonicalizer.url(url.as_bytes()).expect(url), &profile);
        assert_eq!(&got.hosts[..], want_hosts, "{url}");
        assert_eq!(&got.paths[..], want_paths, "{url}");
        assert_eq!(got.full_paths, full_paths, "{url}");
        assert_eq!(got.iter().count(), want_hosts.len() * want_paths.len());
    }

    #[test]
    fn safe_browsing_asks_for_hosts_of_the_last_five_labels() {
        let gsb = || Profile::GSB_V4;
        check(gsb(), "http://a.b.c.d.e.f.g/", &["a.b.c.d.e.f.g", "c.d.e.f.g", "d.e.f.g", "e.f.g", "f.g"], &["/"], 1);
        check(gsb(), "http://a.b.c.d.e/", &["a.b.c.d.e", "b.c.d.e", "c.d.e", "d.e"], &["/"], 1);
        check(gsb(), "http://b/", &["b"], &["/"], 1);
    }

    #[test]
    fn safe_browsing_asks_for_two_exact_paths_and_four_prefixes() {
        let gsb = || Profile::GSB_V4;
        check(gsb(), "http://a.b/1/2.html?param=1/2", &["a.b"], &["/1/2.html?param=1/2", "/1/2.html", "/1/", "/"], 2);
        check(gsb(), "http://a.b/1/2/3/4/5/", &["a.b"], &["/1/2/3/4/5/", "/1/2/3/", "/1/2/", "/1/", "/"], 1);
        check(gsb(), "http://a.b/1/?q", &["a.b"], &["/1/?q", "/1/", "/"], 2);
        check(gsb(), "http://a.b/?", &["a.b"], &["/"], 1);
        check(gsb(), "http://a.b/?q", &["a.b"], &["/?q", "/"], 2);
    }

    #[test]
    fn safe_browsing_v5_asks_from_the_registrable_name_upwards() {
        let list = SuffixList::from_normal("*.ck\nck\nco.uk\ncom\nuk\n").expect("a list");
        let gsb = &Profile::gsb_v5(Arc::new(list));
        check(gsb.clone(), "http://a.b.c.d.e.f.com/", &["a.b.c.d.e.f.com", "c.d.e.f.com", "d.e.f.com", "e.f.com", "f.com"], &["/"], 1);
        check(gsb.clone(), "http://a.b.c.co.uk/1/?q", &["a.b.c.co.uk", "b.c.co.uk", "c.co.uk"], &["/1/?q", "/1/", "/"], 2);
        check(gsb.clone(), "http://c.co.uk/", &["c.co.uk"], &["/"], 1);
        check(gsb.clone(), "http://co.uk/", &["co.uk"], &["/"], 1);
        check(gsb.clone(), "http://b.a.any.ck/", &["b.a.any.ck", "a.any.ck"], &["/"], 1);
        check(gsb.clone(), "http://www.unlisted/", &["www.unlisted"], &["/"], 1);
        check(gsb.clone(), "http://localhost/", &["localhost"], &["/"], 1);
        check(gsb.clone(), "http://192.0.2.1/", &["192.0.2.1"], &["/"], 1);
    }

    #[test]
    fn the_exact_profile_asks_for_what_is_written_and_nothing_else() {
        check(Profile::EXACT, "http://a.b.example/1/2?q", &["a.b.example"], &["/1/2?q", "/1/2"], 2);
        check(Profile::EXACT, "http://a.b.example/1/", &["a.b.example"], &["/1/"], 1);
    }

    #[test]
    fn an_address_has_no_suffixes() {
        check(Profile::FULL_MAX, "http://192.0.2.1/a", &["192.0.2.1"], &["/a", "/"], 1);
        check(Profile::FULL_MAX, "http://[2001:db8::1]/", &["[2001:db8::1]"], &["/"], 1);
    }

    #[test]
    fn the_full_profile_reaches_as_far_as_its_bounds() {
        check(Profile::full(3, 2), "http://a.b.c.d.e/1/2/3/4", &["a.b.c.d.e", "c.d.e", "d.e"], &["/1/2/3/4", "/1/", "/"], 1);
        let host = "a.".repeat(99) + "b";
        let mut canonicalizer = Canonicalizer::new();
        let url = format!("{host}{}", "/x".repeat(99));
        let got = Expressions::new(&canonicalizer.url(url.as_bytes()).expect("a long URL"), &Profile::FULL_MAX);
        assert_eq!((got.hosts.len(), got.paths.len()), (1 + HOST_LABELS_MAX - 1, 1 + PATH_PREFIXES_MAX));
    }
}
