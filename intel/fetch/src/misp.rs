//! A MISP feed (the MISP project's feed format): a directory with `manifest.json` and an event a file, kept as such a directory.
//!
//! ```text
//! GET manifest.json, on conditions ──► 304: nothing to do
//!                                  └─► events that are new or have another timestamp are fetched, the others are linked from the old directory
//!                                      ──► check ──► old and new directory change places in one step
//! ```
//! An event that the manifest names no more is gone with the old directory: that is how a feed withdraws. Names come from a stranger and become
//! names of files, so they are UUIDs or the feed is refused. Checksums of events (`integrity:sha256`) are the reader's to hold.

use crate::Error;
use crate::body::whole;
use crate::client::Asker;
use crate::http::{Check, conditions, validators};
use crate::land::{Landed, unnamed};
use crate::state::State;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use verdict_intel::Feed;
use verdict_intel::config::fetch::Fetch;

const MANIFEST: &str = "manifest.json";
/// The largest public feeds have some thousands.
const EVENTS_MAX: usize = 100_000;
/// Of one feed.
const AT_ONCE: usize = 4;

/// Events by UUID, each with its timestamp as the manifest has it.
type Events = BTreeMap<String, String>;

/// Brings what is new; `None` where nothing is.
pub async fn bring(asker: &Asker, feed: &Feed, fetch: &Fetch, state: &mut State, check: &Check<'_>) -> Result<Option<Landed>, Error> {
    let known = state.matches(&feed.path.join(MANIFEST));
    let request = asker.get(asker.below(MANIFEST));
    let request = if known { conditions(request, state) } else { request };
    let mut response = asker.accepted(request.send().await?)?;
    if response.status() == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let said = validators(response.headers());
    let left = Cell::new(fetch.bytes_max);
    let manifest = spend(&left, fetch, &mut response).await?;
    let events = events(&manifest)?;
    let old = if known { of_file(&feed.path) } else { Events::new() };
    let folder = Folder::beside(&feed.path)?;
    let mut wanted = Vec::new();
    for (uuid, timestamp) in &events {
        let name = format!("{uuid}.json");
        if old.get(uuid) != Some(timestamp) || !folder.keep(&name) {
            wanted.push(name);
        }
    }
    let (folder_of, left_of) = (&folder, &left);
    let transfers = wanted.into_iter().map(|name| async move {
        let event = event(asker, &name, fetch, left_of).await;
        let event = event.map_err(|error| Error::Part { name: name.clone(), error: Box::new(error) })?;
        folder_of.write(&name, &event)
    });
    stream::iter(transfers).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    folder.write(MANIFEST, &manifest)?;
    check(feed, &folder.temporary).map_err(Error::NotAFeed)?;
    folder.name()?;
    [state.etag, state.last_modified] = said;
    let sha256 = Sha256::digest(&manifest).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Landed { bytes: manifest.len() as u64, sha256 }))
}

async fn event(asker: &Asker, name: &str, fetch: &Fetch, left: &Cell<u64>) -> Result<Vec<u8>, Error> {
    let mut response = asker.accepted(asker.get(asker.below(name)).send().await?)?;
    spend(left, fetch, &mut response).await
}

/// A body, out of what is left of `bytes_max`.
async fn spend(left: &Cell<u64>, fetch: &Fetch, response: &mut reqwest::Response) -> Result<Vec<u8>, Error> {
    let (bytes, _) = whole(response, left.get()).await.map_err(|error| match error {
        // What is left is no number that anybody has set.
        Error::TooLarge(_) => Error::TooLarge(fetch.bytes_max),
        other => other,
    })?;
    // Others may have spent some meanwhile.
    let rest = left.get().checked_sub(bytes.len() as u64).ok_or(Error::TooLarge(fetch.bytes_max))?;
    left.set(rest);
    Ok(bytes)
}

fn events(manifest: &[u8]) -> Result<Events, Error> {
    let wrong = |reason: String| Error::NotAFeed(format!("{MANIFEST}: {reason}"));
    let entries: BTreeMap<String, Value> =
        serde_json::from_slice(manifest).map_err(|error| wrong(format!("no object of events: {error}")))?;
    if entries.len() > EVENTS_MAX {
        return Err(wrong(format!("more than {EVENTS_MAX} events")));
    }
    let mut events = Events::new();
    for (uuid, entry) in entries {
        // Old generators write the timestamp alone.
        let timestamp = if entry.is_object() { &entry["timestamp"] } else { &entry };
        let timestamp = match timestamp {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(wrong(format!("{uuid:?} has no timestamp"))),
        };
        if !is_uuid(&uuid) {
            return Err(wrong(format!("{uuid:?} is no UUID")));
        }
        events.insert(uuid, timestamp);
    }
    Ok(events)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What the old directory holds; nothing where that cannot be told.
fn of_file(directory: &Path) -> Events {
    std::fs::read(directory.join(MANIFEST)).ok().and_then(|manifest| events(&manifest).ok()).unwrap_or_default()
}

/// A directory that is not there yet; dropped without `name`, nothing is left of it.
struct Folder {
    path: PathBuf,
    temporary: PathBuf,
}

impl Folder {
    fn beside(path: &Path) -> Result<Self, Error> {
        let temporary = unnamed(path)?;
        std::fs::create_dir_all(&temporary).map_err(Error::file(&temporary))?;
        Ok(Folder { path: path.to_owned(), temporary })
    }

    /// Takes a file of the old directory over; false where there is none.
    fn keep(&self, name: &str) -> bool {
        std::fs::hard_link(self.path.join(name), self.temporary.join(name)).is_ok()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.temporary.join(name);
        std::fs::write(&path, bytes).map_err(Error::file(&path))
    }

    /// All of it on the disk, then its name; what had that name goes.
    fn name(self) -> Result<(), Error> {
        let directory = File::open(&self.temporary).map_err(Error::file(&self.temporary))?;
        syncfs(&directory).map_err(|error| Error::file(&self.temporary)(error.into()))?;
        let failed = |error: rustix::io::Errno| Error::file(&self.path)(error.into());
        if self.path.exists() {
            renameat_with(CWD, &self.temporary, CWD, &self.path, RenameFlags::EXCHANGE).map_err(failed)
        } else {
            std::fs::rename(&self.temporary, &self.path).map_err(Error::file(&self.path))
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What has not got its name, or what had it before.
        let _ = std::fs::remove_dir_all(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_either_shape_names_events_and_nothing_else() {
        let uuid = "5a0f3cb4-1c1c-4f3e-9d3b-8a0d950d210f";
        for manifest in [
            format!("{{\"{uuid}\":{{\"timestamp\":\"1500000000\",\"info\":\"x\"}}}}"),
            format!("{{\"{uuid}\":\"1500000000\"}}"),
            format!("{{\"{uuid}\":1500000000}}"),
        ] {
            assert_eq!(events(manifest.as_bytes()).unwrap(), Events::from([(uuid.to_owned(), "1500000000".to_owned())]));
        }
        for manifest in
            ["[]", "{\"../../etc/passwd\":1}", "{\"5a0f3cb4-1c1c-4f3e-9d3b-8a0d950d21\":1}", "{\"5a0f3cb4/1c1c-4f3e-9d3b-8a0d950d210f\":1}"]
        {
            assert!(events(manifest.as_bytes()).is_err(), "{manifest}");
        }
        assert!(events(format!("{{\"{uuid}\":null}}").as_bytes()).is_err());
    }
}
