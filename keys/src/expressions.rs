//! From a canonical URL to the expressions it is asked by: which pieces of host and path, as positions, so that strings and hashes agree.
//!
//! ```text
//! hosts  a.b.example.com          starts  0 2 4        the exact host, then suffixes, longest first; under gsb-v5 from example.com upwards
//! paths  /1/2.html?p              ends    11 9 3 1     with query, without, then prefixes, longest first
//! ```
//! An expression is one host with one path; equal ones appear once (`/1/` is the exact path or a prefix, not both).

use crate::suffix::GSB_V5_HOSTS;
use crate::{CanonicalUrl, HOST_LABELS_MAX, Host, PATH_PREFIXES_MAX, Profile, SuffixList};
use arrayvec::ArrayVec;

/// The exact host and its suffixes.
pub(crate) const HOSTS_MAX: usize = HOST_LABELS_MAX + 1;
/// The exact path with and without query, and prefixes.
pub(crate) const PATHS_MAX: usize = PATH_PREFIXES_MAX + 2;

/// Where the host texts begin, rightmost (shortest) first, 0 last: the order in which one pass from the right hashes them.
#[inline]
pub(crate) fn host_starts(host: &[u8], is_address: bool, profile: &Profile) -> ArrayVec<u32, HOSTS_MAX> {
    let mut starts = ArrayVec::new();
    if is_address {
    } else if let Some(suffixes) = &profile.suffixes {
        push_registrable(host, suffixes, &mut starts);
    } else {
        let labels_max = usize::from(profile.host_labels_max).min(HOST_LABELS_MAX);
        let mut labels = 0;
        for (at, &byte) in host.iter().enumerate().rev() {
            if byte == b'.' {
                labels += 1;
                if labels > labels_max {
                    break;
                }
                if labels >= 2 {
                    starts.push(at as u32 + 1);
                }
            }
        }
    }
    starts.push(0);
    starts
}

/// The registrable name and up to three longer ones, as Safe Browsing v5 asks; not the exact host, which follows anyway.
fn push_registrable(host: &[u8], suffixes: &SuffixList, starts: &mut ArrayVec<u32, HOSTS_MAX>) {
    let Some(mut start) = suffixes.registrable_start(host) else { return };
    while start > 0 && starts.len() < GSB_V5_HOSTS {
        starts.push(start as u32);
        start = host[..start - 1].iter().rposition(|&byte| byte == b'.').map_or(0, |dot| dot + 1);
    }
}

/// Where the path texts end, shortest first: prefixes, the exact path, the exact path with its query. The second value counts the exact ones.
#[inline]
pub(crate) fn path_ends(path_query: &[u8], path_bytes: usize, profile: &Profile) -> (ArrayVec<u32, PATHS_MAX>, u8) {
    let mut ends = ArrayVec::new();
    let prefixes_max = usize::from(profile.path_prefixes_max).min(PATH_PREFIXES_MAX);
    // The last byte is the exact path's own business.
    for (at, &byte) in path_query[..path_bytes - 1].iter().enumerate() {
        if byte == b'/' {
            if ends.len() == prefixes_max {
                break;
            }
            ends.push(at as u32 + 1);
        }
    }
    ends.push(path_bytes as u32);
    if path_query.len() == path_bytes {
        return (ends, 1);
    }
    ends.push(path_query.len() as u32);
    (ends, 2)
}

/// As [`host_starts`], from a mask of dots; an address has none.
#[inline]
pub(crate) fn host_starts_of_mask(host: &[u8], mut dots: u128, profile: &Profile) -> ArrayVec<u32, HOSTS_MAX> {
    if profile.suffixes.is_some() {
        return host_starts(host, dots == 0, profile);
    }
    let mut starts = ArrayVec::new();
    let suffixes_max = usize::from(profile.host_labels_max).min(HOST_LABELS_MAX) - 1;
    // The rightmost dot begins a single label, which is never asked for; the next one a suffix of two.
    dots &= !highest_bit(dots);
    while dots != 0 && starts.len() < suffixes_max {
        starts.push(u128::BITS - dots.leading_zeros());
        dots &= !highest_bit(dots);
    }
    starts.push(0);
    starts
}

#[inline]
fn highest_bit(mask: u128) -> u128 {
    if mask == 0 { 0 } else { 1 << (u128::BITS - 1 - mask.leading_zeros()) }
}

/// As [`path_ends`], from a mask of the path's slashes.
#[inline]
pub(crate) fn path_ends_of_mask(slashes: u128, path_query: &[u8], path_bytes: usize, profile: &Profile) -> (ArrayVec<u32, PATHS_MAX>, u8) {
    let mut ends = ArrayVec::new();
    let prefixes_max = usize::from(profile.path_prefixes_max).min(PATH_PREFIXES_MAX);
    let mut inner = slashes & ((1 << (path_bytes - 1)) - 1);
    while inner != 0 && ends.len() < prefixes_max {
        ends.push(inner.trailing_zeros() + 1);
        inner &= inner - 1;
    }
    ends.push(path_bytes as u32);
    if path_query.len() == path_bytes {
        return (ends, 1);
    }
    ends.push(path_query.len() as u32);
    (ends, 2)
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
        let hosts = host_starts(url.host_text.as_bytes(), is_address, profile);
        let (paths, full_paths) = path_ends(url.path_query.as_bytes(), url.path_bytes, profile);
        Self {
            hosts: hosts.iter().rev().map(|&start| &url.host_text[start as usize..]).collect(),
            paths: paths.iter().rev().map(|&end| &url.path_query[..end as usize]).collect(),
            full_paths: full_paths.into(),
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
