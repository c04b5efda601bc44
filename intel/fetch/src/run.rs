//! All feeds that are due, several at once, in one thread.

use crate::client::Asker;
use crate::http::Check;
use crate::land::Landed;
use crate::state::State;
use crate::{Error, http, misp, schedule, taxii};
use futures_util::{StreamExt, stream};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use verdict_intel::config::fetch::{Fetch, Protocol};
use verdict_intel::{Config, Feed};

/// Transfers at once.
const AT_ONCE: usize = 8;

/// Which feeds are asked.
pub struct Wanted<'a> {
    /// Those of a feeds.toml that have `[feed.fetch]`.
    pub config: &'a Config,
    /// These alone; all where it is empty.
    pub names: &'a [String],
    /// Though they are not due.
    pub now: bool,
    /// Whether a new file is one: `compile` of this feed alone must make rules of it. In words, why not.
    pub check: &'a Check<'a>,
}

/// What became of a feed.
#[derive(Debug)]
pub struct Outcome {
    /// Its name.
    pub feed: String,
    /// What happened.
    pub what: What,
    /// What is remembered of it now.
    pub state: State,
}

/// What happened to a feed.
#[derive(Debug)]
pub enum What {
    /// It was not asked: not before `state.due_s`.
    NotDue,
    /// The server has nothing newer.
    Unchanged,
    /// There is a new file of so many bytes.
    New(u64),
    /// Its last good file stays, if there was one.
    Failed(Error),
}

/// Brings what is due and tells of each feed as it ends; the outcomes are in the order of feeds.toml.
///
/// # Errors
/// Only where nothing could be begun; what goes wrong with a feed is its outcome.
pub fn run(wanted: &Wanted<'_>, tell: &mut dyn FnMut(&Outcome)) -> Result<Vec<Outcome>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let chosen = wanted.config.feeds.iter().filter(|feed| wanted.names.is_empty() || wanted.names.contains(&feed.name));
    let feeds = chosen.filter_map(|feed| Some((feed, feed.fetch.as_ref()?))).enumerate();
    let mut outcomes: Vec<(usize, Outcome)> = runtime.block_on(async {
        let transfers = stream::iter(feeds).map(|(index, (feed, fetch))| async move { (index, bring(feed, fetch, wanted).await) });
        let mut ended = transfers.buffer_unordered(AT_ONCE);
        let mut outcomes = Vec::new();
        while let Some((index, outcome)) = ended.next().await {
            tell(&outcome);
            outcomes.push((index, outcome));
        }
        outcomes
    });
    outcomes.sort_by_key(|(index, _)| *index);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

async fn bring(feed: &Feed, fetch: &Fetch, wanted: &Wanted<'_>) -> Outcome {
    let mut state = State::load(&feed.path, &fetch.url);
    if !wanted.now && now_s() < state.due_s {
        return Outcome { feed: feed.name.clone(), what: What::NotDue, state };
    }
    state.asked_s = now_s();
    let transfer = tokio::time::timeout(Duration::from_secs(fetch.timeout_s), transfer(feed, fetch, &mut state, wanted.check));
    let brought = transfer.await.unwrap_or(Err(Error::TimedOut(fetch.timeout_s)));
    let mut what = note(brought, fetch, &mut state);
    if let Err(error) = state.save(&feed.path) {
        // The file may be new; without its state it is fetched again.
        what = What::Failed(error);
    }
    Outcome { feed: feed.name.clone(), what, state }
}

async fn transfer(feed: &Feed, fetch: &Fetch, state: &mut State, check: &Check<'_>) -> Result<Option<Landed>, Error> {
    let asker = Asker::new(fetch)?;
    match fetch.protocol {
        Protocol::Http => http::bring(&asker, feed, fetch, state, check).await,
        Protocol::Misp => misp::bring(&asker, feed, fetch, state, check).await,
        Protocol::Taxii => taxii::bring(&asker, feed, fetch, state, now_s(), check).await,
    }
}

fn note(brought: Result<Option<Landed>, Error>, fetch: &Fetch, state: &mut State) -> What {
    let mut random = random();
    match brought {
        Ok(landed) => {
            (state.failures, state.error, state.answered_s) = (0, None, now_s());
            state.due_s = schedule::after_success(now_s(), fetch.every_s, &mut random);
            let Some(landed) = landed else { return What::Unchanged };
            let same = landed.sha256 == state.sha256;
            (state.bytes, state.sha256) = (landed.bytes, landed.sha256);
            if same {
                return What::Unchanged;
            }
            state.changed_s = now_s();
            What::New(state.bytes)
        }
        Err(error) => {
            state.failures = state.failures.saturating_add(1);
            state.error = Some(error.to_string());
            state.due_s = schedule::after_failure(now_s(), fetch.every_s, state.failures, &error, &mut random);
            What::Failed(error)
        }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A number below its argument, for jitter.
fn random() -> impl FnMut(u64) -> u64 {
    |bound| RandomState::new().build_hasher().finish() % bound.max(1)
}
