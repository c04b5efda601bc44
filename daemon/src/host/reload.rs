//! Who waits for a reload, and what came of it.
//!
//! ```text
//! SIGHUP ──────────────┐
//! `verdictctl reload` ─┴► asked ─► begun: the look at the snapshot starts ─► it and all besides judged ─► ended: whoever waited is told
//! ```
//! Whoever asks while a look is under way is told of the next one, which begins after it: what was put there before asking was seen.

use super::manager::Manager;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// What is served now, or why what is there is not; for people.
pub type Ended = Result<String, String>;

/// Who has asked and was not seen yet.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<Vec<Sender<Ended>>>>);

impl Waiting {
    /// One more; the reload must be asked for afterwards.
    pub fn join(&self) -> Receiver<Ended> {
        let (told, ended) = channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        ended
    }

    fn take(&self) -> Vec<Sender<Ended>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The control loop's account of them.
#[derive(Debug, Default)]
pub struct Reloads {
    manager: Option<Arc<Manager>>,
    /// For the next look.
    asked: Vec<Sender<Ended>>,
    is_asked: bool,
    /// For the one under way.
    begun: Vec<Sender<Ended>>,
    is_begun: bool,
    /// What came of the snapshot, while the rest is still looked at.
    snapshot: Option<Ended>,
}

impl Reloads {
    /// Told to this manager too.
    pub fn new(manager: Option<Arc<Manager>>) -> Self {
        Reloads { manager, ..Reloads::default() }
    }

    /// Somebody has asked.
    pub fn asked(&mut self, waiting: &Waiting) {
        if !self.is_asked && !self.is_begun {
            self.manager.iter().for_each(|manager| manager.reloading());
        }
        self.is_asked = true;
        self.asked.extend(waiting.take());
    }

    /// A look at the snapshot begins; also when the clock alone asked for it.
    pub fn begin(&mut self) {
        self.is_begun |= std::mem::take(&mut self.is_asked);
        self.begun.append(&mut self.asked);
    }

    /// What came of the look.
    pub fn judged(&mut self, snapshot: Ended) {
        if self.is_begun {
            self.snapshot = Some(snapshot);
        }
    }

    /// Once the rest was looked at too: `besides` is what came of models, certificates and rules on trial, of each that has something to say; `status` goes to
    /// the manager. Whatever was refused leaves what was before in its place.
    pub fn end_if_judged(&mut self, besides: impl FnOnce() -> Vec<Ended>, status: impl FnOnce() -> String) {
        let Some(snapshot) = self.snapshot.take() else { return };
        let all: Vec<Ended> = std::iter::once(snapshot).chain(besides()).collect();
        let told = |texts: Vec<&str>| texts.join("; ");
        let refused: Vec<&str> = all.iter().filter_map(|ended| ended.as_ref().err().map(String::as_str)).collect();
        let done: Vec<&str> = all.iter().filter_map(|ended| ended.as_ref().ok().map(String::as_str)).collect();
        let ended = if refused.is_empty() { Ok(told(done)) } else { Err(told([refused, done].concat())) };
        self.is_begun = false;
        if let (false, Some(manager)) = (self.is_asked, &self.manager) {
            manager.ready(&status());
        }
        for waiting in self.begun.drain(..) {
            let _ = waiting.send(ended.clone()); // who has gone is not told
        }
    }

    /// The daemon ends: nobody is left waiting.
    pub fn stop(&mut self, waiting: &Waiting) {
        self.manager.iter().for_each(|manager| manager.stopping());
        self.asked.extend(waiting.take());
        for waiting in self.begun.drain(..).chain(self.asked.drain(..)) {
            let _ = waiting.send(Err("the daemon is ending".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_while_a_look_is_under_way_is_told_of_the_next() {
        let (waiting, mut reloads) = (Waiting::default(), Reloads::default());
        let first = waiting.join();
        reloads.asked(&waiting);
        reloads.begin();
        let second = waiting.join();
        reloads.asked(&waiting);
        reloads.judged(Ok("one".into()));
        reloads.end_if_judged(Vec::new, String::new);
        assert_eq!(first.try_recv(), Ok(Ok("one".into())));
        assert!(second.try_recv().is_err());
        reloads.begin();
        reloads.judged(Ok("two".into()));
        reloads.end_if_judged(Vec::new, String::new);
        assert_eq!(second.try_recv(), Ok(Ok("two".into())));
    }

    #[test]
    fn whatever_is_refused_is_told_and_the_rest_with_it() {
        let (waiting, mut reloads) = (Waiting::default(), Reloads::default());
        let ended = waiting.join();
        reloads.asked(&waiting);
        reloads.begin();
        reloads.judged(Ok("generation 7".into()));
        let besides =
            || vec![Err("models refused: no seal".into()), Ok("on trial: generation 8".into()), Err("certificate: expired".into())];
        reloads.end_if_judged(besides, String::new);
        assert_eq!(ended.try_recv(), Ok(Err("models refused: no seal; certificate: expired; generation 7; on trial: generation 8".into())));
    }

    #[test]
    fn what_came_of_everything_is_told() {
        let (waiting, mut reloads) = (Waiting::default(), Reloads::default());
        let ended = waiting.join();
        reloads.asked(&waiting);
        reloads.begin();
        reloads.judged(Ok("generation 7".into()));
        reloads.end_if_judged(|| vec![Ok("on trial: generation 8".into())], String::new);
        assert_eq!(ended.try_recv(), Ok(Ok("generation 7; on trial: generation 8".into())));
    }

    #[test]
    fn a_look_that_nobody_asked_for_tells_nobody() {
        let mut reloads = Reloads::default();
        reloads.begin();
        reloads.judged(Ok("polled".into()));
        assert!(reloads.snapshot.is_none());
    }

    #[test]
    fn nobody_waits_for_a_daemon_that_ends() {
        let (waiting, mut reloads) = (Waiting::default(), Reloads::default());
        let ended = waiting.join();
        reloads.stop(&waiting);
        assert!(ended.try_recv().unwrap().is_err());
    }
}
