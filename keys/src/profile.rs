//! Which expressions a URL is asked by. The snapshot's header stores it, so that compile and query cannot disagree.
//!
//! ```text
//! a.b.c.d.e.f.co.uk/1/2/3/4/5.html?q
//!   Exact   a.b.c.d.e.f.co.uk with /1/2/3/4/5.html?q and /1/2/3/4/5.html: always asked
//!   GsbV4   + c.d.e.f.co.uk? no: five labels at most: d.e.f.co.uk, e.f.co.uk, f.co.uk, co.uk; paths /1/2/3/, /1/2/, /1/, /
//!   GsbV5   + f.co.uk (the registrable name) and up to three longer: e.f.co.uk, d.e.f.co.uk, c.d.e.f.co.uk; paths as v4
//!   Full    + as far as the rules of the snapshot reach
//! ```
//! A host's own name alone (`localhost`) is asked for; a bare last label (`com`) as a suffix never is.

use crate::SuffixList;
use std::sync::Arc;

/// Labels of the longest suffix any profile may ask for; bounds keys per question.
pub const HOST_LABELS_MAX: usize = 16;
/// Path prefixes any profile may ask for; bounds keys per question.
pub const PATH_PREFIXES_MAX: usize = 16;

/// Which expressions a URL is asked by; stored in the snapshot header, so that compile and query agree.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Safe Browsing v4: the exact host and up to four suffixes of its last five labels; exact paths and up to four prefixes.
    GsbV4 = 1,
    /// Every host suffix and every path prefix, as far as the rules of the snapshot reach.
    Full = 2,
    /// Safe Browsing v5: the exact host, the registrable name by the public suffix list and up to three names between; paths as v4.
    GsbV5 = 3,
    /// The exact host; the exact path with its query, and without.
    Exact = 4,
}

impl Scheme {
    /// Every scheme, in the order of its value.
    pub const ALL: [Self; 4] = [Self::GsbV4, Self::Full, Self::GsbV5, Self::Exact];

    /// As `--profile` and feeds.toml write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GsbV4 => "gsb-v4",
            Self::Full => "full",
            Self::GsbV5 => "gsb-v5",
            Self::Exact => "exact",
        }
    }
}

impl TryFrom<u8> for Scheme {
    type Error = u8;

    /// From the value stored in a snapshot header; gives an unknown value back.
    fn try_from(value: u8) -> Result<Self, u8> {
        Self::ALL.into_iter().find(|&scheme| scheme as u8 == value).ok_or(value)
    }
}

/// A scheme with its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Where the bounds come from.
    pub scheme: Scheme,
    /// A suffix of more labels than this is not asked for (the exact host always is). 1..=HOST_LABELS_MAX; 1 for none
    pub host_labels_max: u8,
    /// Path prefixes asked for, the root first. 0..=PATH_PREFIXES_MAX
    pub path_prefixes_max: u8,
    /// Where registrable names begin. Of [`Scheme::GsbV5`] always, of the others never.
    pub suffixes: Option<Arc<SuffixList>>,
}

impl Profile {
    /// Safe Browsing v4.
    pub const GSB_V4: Self = Self { scheme: Scheme::GsbV4, host_labels_max: 5, path_prefixes_max: 4, suffixes: None };

    /// The widest profile there is.
    pub const FULL_MAX: Self =
        Self { scheme: Scheme::Full, host_labels_max: HOST_LABELS_MAX as u8, path_prefixes_max: PATH_PREFIXES_MAX as u8, suffixes: None };

    /// The exact host with the exact path, with and without its query.
    pub const EXACT: Self = Self { scheme: Scheme::Exact, host_labels_max: 1, path_prefixes_max: 0, suffixes: None };

    /// Safe Browsing v5 by this list. No bound on labels of its own: four names at most, and no rule of a list is long.
    pub fn gsb_v5(suffixes: Arc<SuffixList>) -> Self {
        Self { scheme: Scheme::GsbV5, host_labels_max: HOST_LABELS_MAX as u8, path_prefixes_max: 4, suffixes: Some(suffixes) }
    }

    /// A profile that reaches rules with subdomains of up to `host_labels` labels and prefix rules of up to `path_prefixes` slashes, clamped to
    /// what any profile may ask for.
    pub fn full(host_labels: usize, path_prefixes: usize) -> Self {
        Self {
            scheme: Scheme::Full,
            host_labels_max: host_labels.clamp(2, HOST_LABELS_MAX) as u8,
            path_prefixes_max: path_prefixes.clamp(1, PATH_PREFIXES_MAX) as u8,
            suffixes: None,
        }
    }

    /// Whether the bounds are in range and those of the scheme: to be asked of every profile that was read from a file.
    pub fn has_valid_bounds(&self) -> bool {
        let bounds = (self.host_labels_max, self.path_prefixes_max);
        match self.scheme {
            Scheme::GsbV4 => bounds == (5, 4),
            Scheme::GsbV5 => bounds == (HOST_LABELS_MAX as u8, 4),
            Scheme::Exact => bounds == (1, 0),
            Scheme::Full => (2..=HOST_LABELS_MAX).contains(&bounds.0.into()) && (1..=PATH_PREFIXES_MAX).contains(&bounds.1.into()),
        }
    }

    /// Whether the bounds are valid, and a public suffix list is there if and only if the scheme needs one.
    pub fn is_valid(&self) -> bool {
        self.has_valid_bounds() && self.suffixes.is_some() == (self.scheme == Scheme::GsbV5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gsb_v5() -> Profile {
        Profile::gsb_v5(Arc::new(SuffixList::from_normal("example\n").expect("a list")))
    }

    #[test]
    fn a_profile_out_of_bounds_is_not_valid() {
        for profile in [Profile::GSB_V4, Profile::FULL_MAX, Profile::EXACT, gsb_v5(), Profile::full(0, 0), Profile::full(99, 99)] {
            assert!(profile.is_valid(), "{profile:?}");
        }
        assert!(!Profile { host_labels_max: 6, ..Profile::GSB_V4 }.is_valid());
        assert!(!Profile { host_labels_max: 17, ..Profile::FULL_MAX }.is_valid());
        assert!(!Profile { host_labels_max: 1, ..Profile::FULL_MAX }.is_valid());
        assert!(!Profile { path_prefixes_max: 0, ..Profile::FULL_MAX }.is_valid());
        assert!(!Profile { host_labels_max: 2, ..Profile::EXACT }.is_valid());
        assert!(!Profile { path_prefixes_max: 5, ..gsb_v5() }.is_valid());
    }

    #[test]
    fn a_suffix_list_belongs_to_one_scheme() {
        assert!(!Profile { suffixes: None, ..gsb_v5() }.is_valid());
        assert!(!Profile { suffixes: gsb_v5().suffixes, ..Profile::GSB_V4 }.is_valid());
    }

    #[test]
    fn a_scheme_is_read_back_from_its_value() {
        for (index, scheme) in Scheme::ALL.into_iter().enumerate() {
            assert_eq!((Scheme::try_from(scheme as u8), scheme as usize), (Ok(scheme), index + 1));
        }
        assert_eq!((Scheme::try_from(0), Scheme::try_from(5)), (Err(0), Err(5)));
    }
}
