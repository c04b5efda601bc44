//! Who waits for a reload, and what came of it.
//!
//! ```text
//! SIGHUP ──────────────┐
//! `verdictctl reload` ─┴► asked ─► begun: the look at the snapshot starts ─► snapshot and models judged ─► ended: whoever waited is told
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
    /// What came of the snapshot, while models are still looked at.
    snapshot: Option<Ended>,
    /// What else was refused meanwhile.
    problems: Vec<String>,
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

    /// Something that is read again besides the snapshot, at once, was refused: what was before goes on.
    pub fn problem(&mut self, text: String) {
        self.problems.push(text);
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

    /// Once models were looked at too: `models` is empty, or says why they were refused; `status` goes to the manager.
    pub fn end_if_judged(&mut self, models: &str, status: impl FnOnce() -> String) {
        let Some(snapshot) = self.snapshot.take() else { return };
        let mut problems = std::mem::take(&mut self.problems);
        problems.extend((!models.is_empty()).then(|| models.trim_end().to_owned()));
        let ended = match (snapshot, problems.is_empty()) {
            (Ok(text), true) => Ok(text),
            (Ok(text), false) => Err(format!("{}; {text}", problems.join("; "))),
            (Err(text), _) => Err([vec![text], problems].concat().join("; ")),
        };
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
        reloads.end_if_judged("", String::new);
        assert_eq!(first.try_recv(), Ok(Ok("one".into())));
        assert!(second.try_recv().is_err());
        reloads.begin();
        reloads.judged(Ok("two".into()));
        reloads.end_if_judged("", String::new);
        assert_eq!(second.try_recv(), Ok(Ok("two".into())));
    }

    #[test]
    fn whatever_is_refused_is_told_and_the_rest_with_it() {
        let (waiting, mut reloads) = (Waiting::default(), Reloads::default());
        let ended = waiting.join();
        reloads.asked(&waiting);
        reloads.problem("certificate: expired".into());
        reloads.begin();
        reloads.judged(Ok("generation 7".into()));
        reloads.end_if_judged("models refused: no seal\n", String::new);
        assert_eq!(ended.try_recv(), Ok(Err("certificate: expired; models refused: no seal; generation 7".into())));
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
