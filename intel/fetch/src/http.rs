//! One document: a conditional GET (RFC 9110, section 13), stored as it comes.
//!
//! ```text
//! If-None-Match, If-Modified-Since ──► 304: nothing to do
//!                                  └─► 200: bytes ─► beside the file ─► check ─► its name
//! ```
//! What a server says of a file that somebody changed here is not asked for: the conditions go along only while the file is the one that was landed.

use crate::Error;
use crate::client::Asker;
use crate::land::{Landed, Landing, looks_like_a_feed};
use crate::state::State;
use reqwest::header::{CONTENT_ENCODING, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{RequestBuilder, StatusCode};
use std::path::Path;
use verdict_intel::Feed;
use verdict_intel::config::fetch::Fetch;

/// A validator of a server may be so long; a longer one is not kept.
const VALIDATOR_BYTES_MAX: usize = 1024;

/// Whether a new file is a feed: by a reader of ours.
pub type Check<'a> = dyn Fn(&Feed, &Path) -> Result<(), String> + 'a;

/// Brings the document; `None` where it has not changed. The state gets what the server says of it.
pub async fn bring(asker: &Asker, feed: &Feed, fetch: &Fetch, state: &mut State, check: &Check<'_>) -> Result<Option<Landed>, Error> {
    let request = asker.get(asker.url().clone());
    let request = if state.matches(&feed.path) { conditions(request, state) } else { request };
    let mut response = asker.accepted(request.send().await?)?;
    if response.status() == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let coding = response.headers().get(CONTENT_ENCODING).map(|coding| String::from_utf8_lossy(coding.as_bytes()).into_owned());
    if let Some(coding) = coding.filter(|coding| !["gzip", "x-gzip", "identity", ""].contains(&coding.as_str())) {
        return Err(Error::NotAFeed(format!("it comes in the content coding {coding:?}, which was not asked for")));
    }
    if response.content_length().is_some_and(|bytes| bytes > fetch.bytes_max) {
        return Err(Error::TooLarge(fetch.bytes_max));
    }
    let said = validators(response.headers());
    let mut landing = Landing::beside(&feed.path, fetch.bytes_max)?;
    while let Some(bytes) = response.chunk().await? {
        landing.write(&bytes)?;
    }
    let landed = checked(landing, feed, check)?;
    [state.etag, state.last_modified] = said;
    Ok(Some(landed))
}

/// Gives the file its name, if it is a feed.
pub fn checked(landing: Landing, feed: &Feed, check: &Check<'_>) -> Result<Landed, Error> {
    looks_like_a_feed(landing.temporary(), feed.may_be_empty)?;
    check(feed, landing.temporary()).map_err(Error::NotAFeed)?;
    landing.name()
}

/// Only if it is not what is here.
pub fn conditions(mut request: RequestBuilder, state: &State) -> RequestBuilder {
    for (name, value) in [(IF_NONE_MATCH, &state.etag), (IF_MODIFIED_SINCE, &state.last_modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    request
}

/// What the server says of this version, to be said back to it.
pub fn validators(headers: &HeaderMap) -> [Option<String>; 2] {
    [validator(headers, ETAG), validator(headers, LAST_MODIFIED)]
}

fn validator(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= VALIDATOR_BYTES_MAX).then(|| value.to_owned())
}
