//! A TAXII 2.1 collection (OASIS, section 5.4: Get Objects), page by page, kept as one STIX bundle with one object a line.
//!
//! ```text
//! GET {collection}objects/?limit=1000&added_after=...            ──► { more, next, objects }, X-TAXII-Date-Added-Last
//!   more, with next      ──► the same question with next
//!   more, without next   ──► added_after = X-TAXII-Date-Added-Last, if that is later
//!   no more              ──► done: what is new replaces what has the same id and is older
//! ```
//! Servers differ: `added_after` may be inclusive, so objects are told apart by id and version, and a page without anything new ends the reading.
//! Deletions are not told, so every `resync` the collection is read as a whole. Dates are passed on as they came, to the microsecond.

use crate::Error;
use crate::body::whole;
use crate::client::Asker;
use crate::http::{Check, checked};
use crate::land::{Landed, Landing};
use crate::state::State;
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Response, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use verdict_intel::Feed;
use verdict_intel::config::fetch::Fetch;

const MEDIA_TYPE: &str = "application/taxii+json;version=2.1";
/// Pages of one reading; at the usual hundred to ten thousand objects a page, more than any feed has.
const PAGES_MAX: usize = 100_000;
/// Objects of a page, asked for.
const LIMIT: &str = "1000";
/// One page, in memory.
const PAGE_BYTES_MAX: u64 = 64 << 20;
const ID_BYTES_MAX: usize = 256;

/// The first line and the last of the file.
const HEAD: &str = "{\"type\":\"bundle\",\"id\":\"bundle--00000000-0000-4000-8000-000000000000\",\"objects\":[\n";
const TAIL: &str = "]}\n";

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    more: bool,
    next: Option<String>,
    #[serde(default)]
    objects: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Identity {
    id: String,
    modified: Option<String>,
    created: Option<String>,
}

/// Objects by id, and which version each is.
type Objects = HashMap<String, (String, Box<RawValue>)>;

/// Brings what is new; `None` where nothing is.
pub async fn bring(
    asker: &Asker,
    feed: &Feed,
    fetch: &Fetch,
    state: &mut State,
    now_s: u64,
    check: &Check<'_>,
) -> Result<Option<Landed>, Error> {
    let whole = !state.matches(&feed.path) || now_s >= state.whole_s.saturating_add(fetch.resync_s);
    let since = state.added_after.clone().filter(|_| !whole);
    let reading = read(asker, fetch, since).await?;
    if reading.objects.is_empty() && !whole {
        return Ok(None);
    }
    let mut landing = Landing::beside(&feed.path, fetch.bytes_max)?;
    write(&mut landing, reading.objects, (!whole).then_some(feed.path.as_path()))?;
    let landed = checked(landing, feed, check)?;
    state.added_after = reading.last;
    if whole {
        state.whole_s = now_s;
    }
    Ok(Some(landed))
}

struct Reading {
    objects: Objects,
    /// `X-TAXII-Date-Added-Last` of the last page that had any object.
    last: Option<String>,
}

async fn read(asker: &Asker, fetch: &Fetch, since: Option<String>) -> Result<Reading, Error> {
    let (mut reading, mut after, mut next) = (Reading { objects: Objects::new(), last: since.clone() }, since, None);
    let mut bytes = 0;
    for page in 1..=PAGES_MAX {
        let wrong = |reason: String| Error::Taxii { page, reason };
        let url = question(asker.url(), after.as_deref(), next.as_deref());
        let mut response = asker.accepted(asker.get(url).header(ACCEPT, MEDIA_TYPE).send().await?)?;
        let (envelope, size) = envelope(&mut response).await.map_err(|error| match error {
            Error::NotAFeed(reason) => wrong(reason),
            Error::TooLarge(bytes) => wrong(format!("more than {bytes} bytes")),
            error => error,
        })?;
        bytes += size;
        if bytes > fetch.bytes_max {
            return Err(Error::TooLarge(fetch.bytes_max));
        }
        let last = date_added_last(response.headers());
        let mut news = 0;
        for object in envelope.objects {
            news += usize::from(take(&mut reading.objects, object).map_err(wrong)?);
        }
        reading.last = last.clone().or(reading.last);
        match (envelope.more, envelope.next) {
            (false, _) => return Ok(reading),
            (true, Some(given)) if next.as_ref() == Some(&given) && news == 0 => {
                return Err(wrong("the same `next` again, and nothing new".into()));
            }
            (true, Some(given)) => next = Some(given),
            // Without `next`, by date. A server to which added_after is inclusive gives the last objects again, and would for ever.
            (true, None) if news == 0 => return Ok(reading),
            (true, None) => match last {
                None => return Err(wrong("`more`, but neither `next` nor X-TAXII-Date-Added-Last".into())),
                last if last == after => return Err(wrong("`more`, but X-TAXII-Date-Added-Last does not advance".into())),
                last => (after, next) = (last, None),
            },
        }
    }
    Err(Error::Taxii { page: PAGES_MAX, reason: "there are still more".into() })
}

/// The same filters with every `next`: changing them is an error.
fn question(collection: &Url, after: Option<&str>, next: Option<&str>) -> Url {
    let mut url = collection.clone();
    let path = format!("{}/objects/", url.path().trim_end_matches('/').trim_end_matches("/objects"));
    url.set_path(&path);
    // A server may need it where `next` is given, and give fewer in any case.
    url.query_pairs_mut().append_pair("limit", LIMIT);
    if let Some(after) = after {
        url.query_pairs_mut().append_pair("added_after", after);
    }
    if let Some(next) = next {
        url.query_pairs_mut().append_pair("next", next);
    }
    url
}

async fn envelope(response: &mut Response) -> Result<(Envelope, u64), Error> {
    let (body, came) = whole(response, PAGE_BYTES_MAX).await?;
    // An empty body is what some servers mean by "nothing".
    if body.trim_ascii().is_empty() {
        return Ok((Envelope { more: false, next: None, objects: Vec::new() }, came));
    }
    let envelope = serde_json::from_slice(&body).map_err(|error| Error::NotAFeed(format!("no TAXII envelope: {error}")))?;
    Ok((envelope, came))
}

/// Of a page with a single object some say only the first date.
fn date_added_last(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-taxii-date-added-last").or_else(|| headers.get("x-taxii-date-added-first"))?.to_str().ok()?;
    (value.len() <= 64).then(|| value.to_owned())
}

/// Takes an object unless it is there already, as new or newer.
fn take(objects: &mut Objects, object: Box<RawValue>) -> Result<bool, String> {
    let (id, version) = identify(&object)?;
    match objects.get(&id) {
        Some((there, _)) if *there >= version => Ok(false),
        _ => {
            objects.insert(id, (version, object));
            Ok(true)
        }
    }
}

/// Its id, and its version in a form that sorts by time: of two timestamps the one with more digits is the later of a second.
fn identify(object: &RawValue) -> Result<(String, String), String> {
    let Identity { id, modified, created } =
        serde_json::from_str(object.get()).map_err(|error| format!("an object without an id: {error}"))?;
    if id.len() > ID_BYTES_MAX {
        return Err(format!("an id of {} bytes", id.len()));
    }
    let version = modified.or(created).unwrap_or_default();
    Ok((id, version.trim_end_matches('Z').to_owned()))
}

/// Old objects that nothing new replaces, then the new ones, by id: the same collection gives the same file, however it came.
fn write(landing: &mut Landing, mut objects: Objects, old: Option<&Path>) -> Result<(), Error> {
    if let Some(old) = old {
        let file = File::open(old).map_err(Error::file(old))?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(Error::file(old))?;
            let text = line.trim_end_matches(',');
            // The first line and the last are no objects; anything else is a line of ours, since the file is the one that was landed.
            if let Ok(object) = RawValue::from_string(text.to_owned()) {
                let _ = take(&mut objects, object);
            }
        }
    }
    let mut objects: Vec<_> = objects.into_iter().collect();
    objects.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    landing.write(HEAD.as_bytes())?;
    let count = objects.len();
    for (index, (_, (_, object))) in objects.iter().enumerate() {
        // No line end stands inside a JSON text: those between its tokens are as good as spaces.
        let line: String = object.get().chars().map(|character| if matches!(character, '\n' | '\r') { ' ' } else { character }).collect();
        landing.write(line.as_bytes())?;
        landing.write(if index + 1 < count { b",\n" } else { b"\n" })?;
    }
    landing.write(TAIL.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn the_latest_version_of_an_object_stays() {
        let mut objects = Objects::new();
        let of = |modified: &str| object(&format!("{{\"id\":\"indicator--1\",\"modified\":\"{modified}\"}}"));
        assert_eq!(take(&mut objects, of("2026-01-01T00:00:00Z")), Ok(true));
        assert_eq!(take(&mut objects, of("2026-01-01T00:00:00Z")), Ok(false));
        assert_eq!(take(&mut objects, of("2026-01-01T00:00:00.5Z")), Ok(true));
        assert_eq!(take(&mut objects, of("2025-12-31T23:59:59.999Z")), Ok(false));
        assert!(take(&mut objects, object("{}")).is_err());
        assert!(take(&mut objects, object("3")).is_err());
    }

    #[test]
    fn what_is_written_is_read_again_line_by_line() {
        let directory = crate::land::tests::directory("taxii");
        let path = directory.join("feed.json");
        let land = |objects: Objects, old: Option<&Path>| {
            let mut landing = Landing::beside(&path, 1 << 20).unwrap();
            write(&mut landing, objects, old).unwrap();
            landing.name().unwrap();
            serde_json::from_slice::<serde_json::Value>(&std::fs::read(&path).unwrap()).unwrap()
        };
        let mut objects = Objects::new();
        take(&mut objects, object("{\"id\":\"b\",\n \"modified\":\"1\",\"note\":\"},\\n\"}")).unwrap();
        take(&mut objects, object("{\"id\":\"a\",\"modified\":\"1\"}")).unwrap();
        assert_eq!(land(objects, None)["objects"].as_array().unwrap().len(), 2);
        let mut objects = Objects::new();
        take(&mut objects, object("{\"id\":\"b\",\"modified\":\"2\"}")).unwrap();
        take(&mut objects, object("{\"id\":\"c\",\"modified\":\"0\"}")).unwrap();
        let bundle = land(objects, Some(&path));
        let ids: Vec<_> =
            bundle["objects"].as_array().unwrap().iter().map(|object| (object["id"].clone(), object["modified"].clone())).collect();
        assert_eq!(ids, [("a", "1"), ("b", "2"), ("c", "0")].map(|(id, modified)| (id.into(), modified.into())));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn every_spelling_of_a_collection_asks_for_its_objects() {
        for collection in
            ["https://t.example/api/collections/1", "https://t.example/api/collections/1/", "https://t.example/api/collections/1/objects/"]
        {
            let url = question(&Url::parse(collection).unwrap(), Some("2026-01-01T00:00:00.000001Z"), Some("a b"));
            assert_eq!(
                url.as_str(),
                "https://t.example/api/collections/1/objects/?limit=1000&added_after=2026-01-01T00%3A00%3A00.000001Z&next=a+b"
            );
        }
    }
}
