//! Which names are public suffixes: strangers register below them, so nobody's rule is meant for all of one.
//!
//! ```text
//! --public-suffix-list, or public_suffix_list in feeds.toml ──┐
//! else, where the profile is gsb-v5, the distribution's file ─┼─► Suffixes ─┬─► host rules: refused on a suffix (breadth)
//! else, for host rules, the list compiled into `psl`  ────────┘             └─► gsb-v5: travels in the snapshot
//! ```
//! The list has two parts. Of registries (`co.uk`), where the name itself is nobody's site; and of companies that let strangers have names below one
//! of theirs (`github.io`), which is a site too.

use crate::config::read_at_most;
use psl::Psl;
use std::path::Path;
use std::sync::Arc;
use verdict_keys::{SuffixList, SuffixPart};

/// Whose suffix a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// `co.uk`: names below are sold by a registry.
    Registry,
    /// `github.io`: names below are given away by a company.
    Company,
}

/// Where Debian's package `publicsuffix` puts the list.
pub const DISTRIBUTION_FILE: &str = "/usr/share/publicsuffix/public_suffix_list.dat";

/// The published list has a third of a megabyte.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// A public suffix list: of a file, or the one compiled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suffixes {
    of_file: Option<OfFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct OfFile {
    all: Arc<SuffixList>,
    registries: Arc<SuffixList>,
}

static COMPILED_IN: Suffixes = Suffixes { of_file: None };

impl Suffixes {
    /// The published text in a file; an error says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = read_at_most(path, LIST_BYTES_MAX).map_err(|why| format!("{shown}: {why}"))?;
        let text = String::from_utf8(text).map_err(|_| format!("{shown}: is not UTF-8"))?;
        let part = |part| SuffixList::parse(&text, part).map(Arc::new).map_err(|error| format!("{shown}: {error}"));
        Ok(Self { of_file: Some(OfFile { all: part(SuffixPart::All)?, registries: part(SuffixPart::Icann)? }) })
    }

    /// The distribution's.
    pub fn of_distribution() -> Result<Self, String> {
        Self::read(Path::new(DISTRIBUTION_FILE)).map_err(|why| {
            format!("the profile gsb-v5 needs a public suffix list: install the Debian package publicsuffix, or name a file with --public-suffix-list or public_suffix_list ({why})")
        })
    }

    /// The one that needs no file.
    pub fn compiled_in() -> &'static Self {
        &COMPILED_IN
    }

    /// The rules for a snapshot, if a list was read.
    pub fn list(&self) -> Option<&Arc<SuffixList>> {
        self.of_file.as_ref().map(|of_file| &of_file.all)
    }

    /// Whose public suffix a canonical host name of at least two labels is, if it is one.
    pub fn owner(&self, name: &str) -> Option<Owner> {
        match &self.of_file {
            Some(lists) if lists.registries.is_suffix(name) => Some(Owner::Registry),
            Some(lists) => lists.all.is_suffix(name).then_some(Owner::Company),
            None => {
                let found = psl::List.find(name.rsplit('.').map(str::as_bytes));
                let owner = if found.typ? == psl::Type::Icann { Owner::Registry } else { Owner::Company };
                (found.len == name.len()).then_some(owner)
            }
        }
    }

    /// Whether names one label below `name` are public suffixes, whatever the label: the rules that begin with `*.`.
    pub fn all_below(&self, name: &str) -> bool {
        // A label that no list holds stands for any.
        self.owner(&format!("!.{name}")).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "// ===BEGIN ICANN DOMAINS===\nuk\nco.uk\n*.ck\n!www.ck\nio\n*.kawasaki.jp\n// ===END ICANN DOMAINS===\n\
                             // ===BEGIN PRIVATE DOMAINS===\ngithub.io\n// ===END PRIVATE DOMAINS===\n";

    fn both(check: impl Fn(&Suffixes)) {
        let path = std::env::temp_dir().join(format!("verdict-intel-suffixes-{}-{:?}", std::process::id(), std::thread::current().id()));
        std::fs::write(&path, PUBLISHED).unwrap();
        check(&Suffixes::read(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        check(Suffixes::compiled_in());
    }

    #[test]
    fn a_file_and_the_compiled_list_tell_whose_a_suffix_is() {
        both(|suffixes| {
            assert_eq!(suffixes.owner("co.uk"), Some(Owner::Registry));
            assert_eq!(suffixes.owner("any.ck"), Some(Owner::Registry));
            assert_eq!(suffixes.owner("github.io"), Some(Owner::Company));
            for name in ["www.ck", "example.co.uk", "a.github.io", "example.unlisted", "kawasaki.jp"] {
                assert_eq!(suffixes.owner(name), None, "{name}");
            }
            assert!(suffixes.all_below("kawasaki.jp") && !suffixes.all_below("example.co.uk") && !suffixes.all_below("github.io"));
        });
    }

    #[test]
    fn a_file_that_is_no_list_is_refused_by_name() {
        let path = std::env::temp_dir().join(format!("verdict-intel-no-suffixes-{}", std::process::id()));
        std::fs::write(&path, "// nothing\n").unwrap();
        assert!(Suffixes::read(&path).unwrap_err().ends_with("no rules"));
        std::fs::write(&path, "com\nA B\n!x\n").unwrap();
        assert!(Suffixes::read(&path).unwrap_err().ends_with("line 3: not a public suffix rule"));
        std::fs::remove_file(&path).unwrap();
        assert!(Suffixes::read(&path).is_err());
    }
}
