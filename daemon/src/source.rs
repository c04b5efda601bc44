//! Where the next snapshot comes from, and how old what is served may become.
//!
//! | configured | looked at | checked | kept for the next start |
//! |---|---|---|---|
//! | `snapshot.path` | at SIGHUP | checksums, structure | – |
//! | `snapshot.directory` | when it changes, at SIGHUP, and now and then | signature, epoch, expiry, checksums, structure, canaries | three generations |

use crate::nodes::{Copies, Nodes};
use crate::switches::{Pin, Which};
use crate::trust::{Look, Terms, Trust};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use verdict_tables::manifest::{Refusal, Why};
use verdict_tables::{Error, Snapshot};
use verdict_wire::Outcome;

/// A file, or a directory that somebody publishes to.
#[derive(Clone)]
pub enum Source {
    /// Nobody signs it.
    File(PathBuf),
    /// One look at a time.
    Directory(Arc<Mutex<Trust>>),
}

/// What there is.
pub enum Found<S = Box<Snapshot>> {
    /// What is served.
    Same,
    /// What is served, under a newer manifest.
    Renewed(Terms),
    /// For other nodes first.
    NotOurStage,
    /// To be served.
    New(S, Option<Terms>),
}

impl Found {
    /// With a copy for each node. Takes as long as that takes.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn copied(self, nodes: &Nodes) -> Result<Found<Copies>, Refused> {
        Ok(match self {
            Found::Same => Found::Same,
            Found::Renewed(terms) => Found::Renewed(terms),
            Found::NotOurStage => Found::NotOurStage,
            Found::New(next, terms) => Found::New(nodes.copies(*next).map_err(refused)?, terms),
        })
    }
}

/// Why it is not served.
#[derive(Debug)]
pub struct Refused {
    /// Its kind, for the metric.
    pub why: Why,
    /// For people.
    pub text: String,
    /// Told before, word for word: it need not be logged again.
    pub again: bool,
}

impl Source {
    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Directory(trust) => lock(trust).path().display().to_string(),
        }
    }

    /// Reads and verifies what is there. Takes as long as that takes.
    ///
    /// # Errors
    /// Why it must not be served.
    pub fn look(&self, serving: u64) -> Result<Found, Refused> {
        match self {
            Source::File(path) => match Snapshot::load(path) {
                Ok(next) if next.generation() == serving => Ok(Found::Same),
                Ok(next) => Ok(Found::New(Box::new(next), None)),
                Err(error) => Err(refused(error)),
            },
            Source::Directory(trust) => match lock(trust).look() {
                Ok(Look::Nothing) => Ok(Found::Same),
                Ok(Look::Renewed(terms)) => Ok(Found::Renewed(terms)),
                Ok(Look::NotOurStage) => Ok(Found::NotOurStage),
                Ok(Look::New(next, terms)) => Ok(Found::New(next, Some(terms))),
                Err(problem) => Err(Refused { why: problem.why, text: problem.text, again: problem.again }),
            },
        }
    }

    /// One of the kept generations. Takes as long as verifying it does.
    ///
    /// # Errors
    /// There is no such one, or it must not be served.
    pub fn kept(&self, which: Which) -> Result<(Found, Pin), (Outcome, String)> {
        let Source::Directory(trust) = self else {
            let why =
                "nothing is kept of a snapshot that nobody signs: put the earlier file in its place and reload, or see snapshot.directory";
            return Err((Outcome::Refused, why.to_owned()));
        };
        Ok(match lock(trust).kept(which)? {
            (Look::New(next, terms), pin) => (Found::New(next, Some(terms)), pin),
            (_, pin) => (Found::Same, pin),
        })
    }

    /// What was found is not served after all: this is.
    pub fn serves(&self, sha256: &[u8; 32]) {
        if let Source::Directory(trust) = self {
            lock(trust).serves(sha256);
        }
    }

    /// The generation in use is a good one.
    pub fn good(&self) {
        if let Source::Directory(trust) = self {
            lock(trust).good();
        }
    }

    /// Snapshots that are never taken again.
    pub fn quarantined(&self) -> u64 {
        match self {
            Source::File(_) => 0,
            Source::Directory(trust) => lock(trust).quarantined(),
        }
    }
}

fn refused(error: Error) -> Refused {
    let refusal = Refusal::from(error);
    Refused { why: refusal.why(), text: refusal.to_string(), again: false }
}

/// A look that panicked changed nothing that the next one relies on: all of it is read from disk.
fn lock(trust: &Mutex<Trust>) -> std::sync::MutexGuard<'_, Trust> {
    trust.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When answers become stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Unix seconds.
    pub stale_from_s: u64,
}

impl Freshness {
    /// Of a snapshot that was loaded now: by its manifest's expiry, and by the operator's bound on its age.
    pub fn of(terms: Option<&Terms>, as_of_s: u64, stale_after_s: u64, now_s: u64) -> Self {
        let expires_s = terms.map_or(u64::MAX, |terms| terms.expires_s.saturating_add(1));
        let since_s = match terms {
            Some(terms) => terms.created_s,
            None if as_of_s != 0 => as_of_s,
            None => now_s,
        };
        let too_old_s = if stale_after_s == 0 { u64::MAX } else { since_s.saturating_add(stale_after_s) };
        Freshness { stale_from_s: expires_s.min(too_old_s) }
    }

    /// At this time.
    pub fn is_stale(self, now_s: u64) -> bool {
        now_s >= self.stale_from_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_stale_after_expiry_or_when_the_operator_says_so() {
        let terms = Terms { epoch: 1, created_s: 1000, expires_s: 2000, rollback: false };
        let check = |terms: Option<&Terms>, as_of_s, stale_after_s, from| {
            let freshness = Freshness::of(terms, as_of_s, stale_after_s, 5000);
            assert_eq!(freshness.stale_from_s, from);
            assert!(freshness.is_stale(from) && !freshness.is_stale(from - 1));
        };
        check(Some(&terms), 7, 0, 2001);
        check(Some(&terms), 7, 300, 1300);
        check(Some(&terms), 7, 30_000, 2001);
        check(None, 4000, 300, 4300);
        check(None, 0, 300, 5300);
        assert!(!Freshness::of(None, 0, 0, 5000).is_stale(u64::MAX - 1), "without either, never");
    }
}
