//! The compile side of expressions: a rule's hashes, and whether any question could ever reach it.
//!
//! | rule | is found by | needs |
//! |---|---|---|
//! | exact host, exact URL | the exact host, the exact path | nothing: always asked |
//! | … on names below the host | a suffix of the question's host | 2 labels or more, at most `host_labels_max`, no address; under gsb-v5 a registrable name or up to 3 labels more |
//! | … and paths below the path | a prefix of the question's path | ends in `/`, no query, at most `path_prefixes_max` slashes |
//!
//! A rule that its profile cannot reach is an error of the compiler's input, reported with its line; never a silent entry.

use crate::suffix::GSB_V5_HOSTS;
use crate::{HOST_LABELS_MAX, PATH_PREFIXES_MAX, Profile, Scheme, SuffixList};
use verdict_simd::{Backend, Domain, Hash128, HashSchedule, Key128, seal};

/// Unsealed hash of a canonical host text.
pub fn host_hash<B: Backend>(backend: B, schedule: &HashSchedule, host_text: &str) -> Hash128 {
    backend.hash(schedule, Domain::Host, host_text.as_bytes())
}

/// Table key of a canonical host text.
pub fn host_key<B: Backend>(backend: B, schedule: &HashSchedule, host_text: &str) -> Key128 {
    seal(host_hash(backend, schedule, host_text))
}

/// Unsealed hash of a canonical path, or path and query.
pub fn path_hash<B: Backend>(backend: B, schedule: &HashSchedule, path_query: &str) -> Hash128 {
    backend.hash(schedule, Domain::Path, path_query.as_bytes())
}

/// Table key of one expression: a canonical host text with a canonical path, or path and query.
pub fn expression_key<B: Backend>(backend: B, schedule: &HashSchedule, host_text: &str, path_query: &str) -> Key128 {
    let mut key = [Key128::default()];
    backend.pair(schedule, host_hash(backend, schedule, host_text), &[path_hash(backend, schedule, path_query)], &mut key);
    key[0]
}

/// Why no question can reach a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Nothing is below an address.
    #[error("there are no names below an address")]
    Address,
    /// A bare last label is never asked for as a suffix.
    #[error("names below a single label are never asked for")]
    SingleLabel,
    /// Names below it begin at the next label: it is a public suffix, or all names right below it are.
    #[error("names below a public suffix are never asked for by it")]
    PublicSuffix,
    /// Nothing but exact hosts and paths is ever asked for.
    #[error("only exact hosts and paths are asked for")]
    Exact,
    /// Longer than any suffix that is asked for.
    #[error("{labels} labels, and only suffixes of up to {max} are asked for")]
    Labels {
        /// Of the rule's host.
        labels: usize,
        /// Of the profile, or of all profiles.
        max: usize,
    },
    /// Prefixes end in a slash and have no query.
    #[error("a path prefix must end in / and have no query")]
    NoDirectory,
    /// Deeper than any prefix that is asked for.
    #[error("{depth} path segments deep, and only prefixes of up to {max} are asked for")]
    Depth {
        /// Slashes of the rule's path; the root has one.
        depth: usize,
        /// Of the profile, or of all profiles.
        max: usize,
    },
}

/// Labels of a canonical host name.
pub fn host_labels(host_text: &str) -> usize {
    1 + host_text.bytes().filter(|&byte| byte == b'.').count()
}

/// Slashes of a canonical path; the root has one. The prefix ending in the n-th slash is the n-th that is asked for.
pub fn path_depth(path: &str) -> usize {
    path.bytes().filter(|&byte| byte == b'/').count()
}

/// How far a rule on names below `host_text` makes a full profile reach: its labels.
pub fn subdomains_reach(host_text: &str, is_address: bool) -> Result<usize, Unreachable> {
    let labels = host_labels(host_text);
    match labels {
        _ if is_address => Err(Unreachable::Address),
        1 => Err(Unreachable::SingleLabel),
        _ if labels > HOST_LABELS_MAX => Err(Unreachable::Labels { labels, max: HOST_LABELS_MAX }),
        _ => Ok(labels),
    }
}

/// How far a rule on paths below `path_query` makes a full profile reach: its slashes.
pub fn prefix_reach(path_query: &str) -> Result<usize, Unreachable> {
    let depth = path_depth(path_query);
    if !path_query.ends_with('/') || path_query.contains('?') {
        Err(Unreachable::NoDirectory)
    } else if depth > PATH_PREFIXES_MAX {
        Err(Unreachable::Depth { depth, max: PATH_PREFIXES_MAX })
    } else {
        Ok(depth)
    }
}

/// Labels of the longest suffix that some name right below `host_text` is asked by under gsb-v5.
fn suffix_labels_max(suffixes: &SuffixList, host_text: &str) -> Result<usize, Unreachable> {
    let below = format!("!.{host_text}"); // a label that no list can hold: it stands for any name that the list does not hold
    match suffixes.registrable_start(below.as_bytes()) {
        None | Some(0) => Err(Unreachable::PublicSuffix),
        Some(start) => Ok(host_labels(&below[start..]) + GSB_V5_HOSTS - 1),
    }
}

impl Profile {
    /// Whether questions under this profile reach a rule on names below `host_text`.
    pub fn reaches_subdomains(&self, host_text: &str, is_address: bool) -> Result<(), Unreachable> {
        let labels = subdomains_reach(host_text, is_address)?;
        let max = match (self.scheme, &self.suffixes) {
            (Scheme::Exact, _) => return Err(Unreachable::Exact),
            (_, Some(suffixes)) => suffix_labels_max(suffixes, host_text)?,
            (_, None) => self.host_labels_max.into(),
        };
        if labels > max { Err(Unreachable::Labels { labels, max }) } else { Ok(()) }
    }

    /// Whether questions under this profile reach a rule on paths below `path_query`.
    pub fn reaches_prefix(&self, path_query: &str) -> Result<(), Unreachable> {
        let (depth, max) = (prefix_reach(path_query)?, self.path_prefixes_max.into());
        if self.scheme == Scheme::Exact {
            return Err(Unreachable::Exact);
        }
        if depth > max { Err(Unreachable::Depth { depth, max }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Canonicalizer, Expressions};
    use std::sync::Arc;

    #[test]
    fn rules_out_of_reach_say_why() {
        let gsb = Profile::GSB_V4;
        assert_eq!(gsb.reaches_subdomains("b.c.d.e.f", false), Ok(()));
        assert_eq!(gsb.reaches_subdomains("a.b.c.d.e.f", false), Err(Unreachable::Labels { labels: 6, max: 5 }));
        assert_eq!(gsb.reaches_subdomains("com", false), Err(Unreachable::SingleLabel));
        assert_eq!(gsb.reaches_subdomains("192.0.2.1", true), Err(Unreachable::Address));
        assert_eq!(gsb.reaches_prefix("/1/2/3/"), Ok(()));
        assert_eq!(gsb.reaches_prefix("/1/2/3/4/"), Err(Unreachable::Depth { depth: 5, max: 4 }));
        assert_eq!(gsb.reaches_prefix("/1"), Err(Unreachable::NoDirectory));
        assert_eq!(gsb.reaches_prefix("/?q=/"), Err(Unreachable::NoDirectory));
    }

    fn gsb_v5() -> Profile {
        Profile::gsb_v5(Arc::new(SuffixList::from_normal("!www.ck\n*.ck\nck\nco.uk\nuk\n").expect("a list")))
    }

    #[test]
    fn rules_below_public_suffixes_are_out_of_reach_by_the_list() {
        let check = |host: &str, want| assert_eq!(gsb_v5().reaches_subdomains(host, false), want, "{host}");
        check("co.uk", Err(Unreachable::PublicSuffix));
        check("any.ck", Err(Unreachable::PublicSuffix));
        check("www.ck", Ok(()));
        check("a.any.ck", Ok(()));
        check("a.co.uk", Ok(()));
        check("d.c.b.a.co.uk", Ok(()));
        check("e.d.c.b.a.co.uk", Err(Unreachable::Labels { labels: 7, max: 6 }));
        check("uk", Err(Unreachable::SingleLabel));
    }

    #[test]
    fn only_exact_rules_are_in_reach_of_the_exact_profile() {
        assert_eq!(Profile::EXACT.reaches_subdomains("a.b", false), Err(Unreachable::Exact));
        assert_eq!(Profile::EXACT.reaches_prefix("/"), Err(Unreachable::Exact));
        assert_eq!(Profile::EXACT.reaches_prefix("/x"), Err(Unreachable::NoDirectory));
    }

    #[test]
    fn reach_agrees_with_the_expressions_that_are_asked() {
        let mut canonicalizer = Canonicalizer::new();
        let url = "http://x.".to_owned() + &"h.".repeat(20) + "co.uk" + &"/p".repeat(20);
        for profile in [Profile::GSB_V4, Profile::FULL_MAX, Profile::full(2, 1), Profile::full(7, 9), Profile::EXACT, gsb_v5()] {
            let url = canonicalizer.url(url.as_bytes()).expect("a URL");
            let asked = Expressions::new(&url, &profile);
            for (at, _) in url.host_text.match_indices('.') {
                let host = &url.host_text[at + 1..];
                assert_eq!(profile.reaches_subdomains(host, false).is_ok(), asked.hosts.contains(&host), "{host} {profile:?}");
            }
            for (at, _) in url.path_query.match_indices('/') {
                let path = &url.path_query[..at + 1];
                assert_eq!(profile.reaches_prefix(path).is_ok(), asked.paths.contains(&path), "{path} {profile:?}");
            }
        }
    }
}
