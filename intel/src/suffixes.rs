//! Which names are public suffixes: strangers register below them, so nobody's rule is meant for all of one.
//!
//! ```text
//! --public-suffix-list, or public_suffix_list in feeds.toml ──► Suffixes ──► host rules: refused on a suffix (breadth)
//! else, where the profile is gsb-v5, the distribution's file ─┘         └──► gsb-v5: travels in the snapshot
//! ```

use crate::config::read_at_most;
use std::path::Path;
use std::sync::Arc;
use verdict_keys::{SuffixList, SuffixPart};

/// Where Debian's package `publicsuffix` puts the list.
pub const DISTRIBUTION_FILE: &str = "/usr/share/publicsuffix/public_suffix_list.dat";

/// The published list has a third of a megabyte.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// A public suffix list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suffixes {
    list: Option<Arc<SuffixList>>,
}

impl Suffixes {
    /// The published text in a file; an error says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = read_at_most(path, LIST_BYTES_MAX).map_err(|why| format!("{shown}: {why}"))?;
        let text = String::from_utf8(text).map_err(|_| format!("{shown}: is not UTF-8"))?;
        let list = SuffixList::parse(&text, SuffixPart::All).map_err(|error| format!("{shown}: {error}"))?;
        Ok(Self { list: Some(Arc::new(list)) })
    }

    /// The distribution's.
    pub fn of_distribution() -> Result<Self, String> {
        Self::read(Path::new(DISTRIBUTION_FILE)).map_err(|why| {
            format!("the profile gsb-v5 needs a public suffix list: install the Debian package publicsuffix, or name a file with --public-suffix-list or public_suffix_list ({why})")
        })
    }

    /// The rules for a snapshot, if a list was read.
    pub fn list(&self) -> Option<&Arc<SuffixList>> {
        self.list.as_ref()
    }
}
