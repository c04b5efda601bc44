//! What is remembered of a feed between two runs: a small JSON file beside it, `FEED.fetch`.
//!
//! It holds no secret and nothing that cannot be made again: without it everything is fetched anew. One that is damaged counts as none.

use crate::Error;
use crate::land::write_whole;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One feed's past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The address that all this is about; another one begins anew.
    pub url: String,
    /// When it is asked next, unix seconds.
    pub due_s: u64,
    /// When it was last asked.
    pub asked_s: u64,
    /// When it last answered, with news or without.
    pub answered_s: u64,
    /// When the file last changed.
    pub changed_s: u64,
    /// Attempts that failed since it last answered.
    pub failures: u32,
    /// Why the last one failed.
    pub error: Option<String>,
    /// Of the file: whoever changes it by hand gets it whole again.
    pub bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// As the server said, word for word.
    pub etag: Option<String>,
    /// As the server said, word for word.
    pub last_modified: Option<String>,
    /// TAXII: `added_after` of the next request, as received: a shorter form would lose or repeat objects.
    pub added_after: Option<String>,
    /// TAXII: when the whole collection was last read.
    pub whole_s: u64,
}

impl State {
    /// Where the state of the feed at `path` is.
    pub fn path(path: &Path) -> PathBuf {
        let mut name = OsString::from(path);
        name.push(".fetch");
        PathBuf::from(name)
    }

    /// What is remembered of the feed at `path`; empty where that is nothing, or about another address.
    pub fn load(path: &Path, url: &str) -> Self {
        let known = std::fs::read(Self::path(path)).ok().and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok());
        let mut state = known.filter(|state| state.url == url).unwrap_or_default();
        state.url = url.to_owned();
        state
    }

    /// Remembers it.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Error> {
        let path = Self::path(path);
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| Error::file(&path)(error.into()))?;
        write_whole(&path, &bytes)
    }

    /// The file is the one that was landed: then "not modified" is an answer.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        !self.sha256.is_empty() && std::fs::metadata(path).is_ok_and(|file| file.len() == self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_address_or_a_damaged_file_begins_anew() {
        let directory = crate::land::tests::directory("state");
        let path = directory.join("feed.csv");
        let state = State { due_s: 7, etag: Some("\"a\"".into()), ..State::load(&path, "https://a.example/") };
        state.save(&path).unwrap();
        assert_eq!(State::load(&path, "https://a.example/"), state);
        assert_eq!(State::load(&path, "https://b.example/").due_s, 0);
        std::fs::write(State::path(&path), "{\"due_s\": 7").unwrap();
        assert_eq!(State::load(&path, "https://a.example/").due_s, 0);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
