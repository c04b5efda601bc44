//! Which expressions a URL is asked by. The snapshot's header stores it, so that compile and query cannot disagree.
//!
//! ```text
//! a.b.c.d.e.f/1/2/3/4/5.html?q                      GsbV4: 5 labels, 4 prefixes
//!   hosts  a.b.c.d.e.f (always), b.c.d.e.f, c.d.e.f, d.e.f, e.f
//!   paths  /1/2/3/4/5.html?q, /1/2/3/4/5.html (always); /1/2/3/, /1/2/, /1/, /
//! ```
//! A host's own name alone (`localhost`) is asked for; a bare last label (`com`) as a suffix never is.

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
}

impl TryFrom<u8> for Scheme {
    type Error = u8;

    /// From the value stored in a snapshot header; gives an unknown value back.
    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            1 => Ok(Self::GsbV4),
            2 => Ok(Self::Full),
            other => Err(other),
        }
    }
}

/// A scheme with its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Where the bounds come from.
    pub scheme: Scheme,
    /// A suffix of more labels than this is not asked for (the exact host always is). 2..=HOST_LABELS_MAX
    pub host_labels_max: u8,
    /// Path prefixes asked for, the root first. 1..=PATH_PREFIXES_MAX
    pub path_prefixes_max: u8,
}

impl Profile {
    /// Safe Browsing v4.
    pub const GSB_V4: Self = Self { scheme: Scheme::GsbV4, host_labels_max: 5, path_prefixes_max: 4 };

    /// The widest profile there is.
    pub const FULL_MAX: Self =
        Self { scheme: Scheme::Full, host_labels_max: HOST_LABELS_MAX as u8, path_prefixes_max: PATH_PREFIXES_MAX as u8 };

    /// A profile that reaches rules with subdomains of up to `host_labels` labels and prefix rules of up to `path_prefixes` slashes, clamped to
    /// what any profile may ask for.
    pub fn full(host_labels: usize, path_prefixes: usize) -> Self {
        Self {
            scheme: Scheme::Full,
            host_labels_max: host_labels.clamp(2, HOST_LABELS_MAX) as u8,
            path_prefixes_max: path_prefixes.clamp(1, PATH_PREFIXES_MAX) as u8,
        }
    }

    /// Whether the bounds are in range and those of the scheme: to be asked of every profile that was read from a file.
    pub fn is_valid(&self) -> bool {
        match self.scheme {
            Scheme::GsbV4 => *self == Self::GSB_V4,
            Scheme::Full => {
                (2..=HOST_LABELS_MAX).contains(&self.host_labels_max.into())
                    && (1..=PATH_PREFIXES_MAX).contains(&self.path_prefixes_max.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_out_of_bounds_is_not_valid() {
        assert!(
            Profile::GSB_V4.is_valid()
                && Profile::FULL_MAX.is_valid()
                && Profile::full(0, 0).is_valid()
                && Profile::full(99, 99).is_valid()
        );
        assert!(!Profile { host_labels_max: 6, ..Profile::GSB_V4 }.is_valid());
        assert!(!Profile { host_labels_max: 17, ..Profile::FULL_MAX }.is_valid());
        assert!(!Profile { host_labels_max: 1, ..Profile::FULL_MAX }.is_valid());
        assert!(!Profile { path_prefixes_max: 0, ..Profile::FULL_MAX }.is_valid());
    }

    #[test]
    fn a_scheme_is_read_back_from_its_value() {
        assert_eq!(Scheme::try_from(Scheme::GsbV4 as u8), Ok(Scheme::GsbV4));
        assert_eq!(Scheme::try_from(Scheme::Full as u8), Ok(Scheme::Full));
        assert_eq!(Scheme::try_from(0), Err(0));
    }
}
