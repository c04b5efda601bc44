//! A look at the candidate that somebody has asked for, and waits for: on the control thread, one at a time.
//!
//! ```text
//!  asked ─► loaded and verified in the background, with a tenth of a CPU where nobody leaves idle time ─► the thread takes or refuses it ─► told
//! ```
//! The thread has idle time alone, and may have none for long: whoever waits is told so after `TAKEN_WITHIN` instead.

use super::{Order, Shared};
use crate::background::Background;
use crate::control::{Requests, State};
use crate::host::reload::Ended;
use crate::tasks;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};
use verdict_tables::Snapshot;

/// A thread that gets any time at all takes what is verified at once.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// Looks once more, or once more after the look that is under way.
pub fn ask(shared: &Arc<Shared>, background: &Background, state: &Rc<State>) {
    state.trial_asked.set(true);
    if !state.trial_looking.replace(true) {
        tasks::spawn(look(shared.clone(), background.clone(), state.clone()));
    }
}

async fn look(shared: Arc<Shared>, background: Background, state: Rc<State>) {
    while state.trial_asked.replace(false) {
        let ended = once(&shared, &background).await;
        state.trial.replace(Some(ended));
    }
    state.trial_looking.set(false);
    state.wake.get().into_iter().for_each(Requests::wake);
}

async fn once(shared: &Shared, background: &Background) -> Ended {
    let (path, (done, loaded)) = (shared.settings.snapshot.clone(), channel());
    let no_thread = |error: std::io::Error| format!("rules on trial: no thread to look at them: {error}");
    background.start(move || Snapshot::load(&path), move |loaded| drop(done.send(loaded))).map_err(no_thread)?;
    let loaded = told(&loaded, None).await.ok_or("rules on trial: the look at them has ended, a defect: please report it")?;
    let loaded = loaded.map_err(no_thread)?;
    let sound = loaded.as_ref().map(Snapshot::generation).ok();
    let (asked, taken) = channel();
    let _ = shared.orders.send(Order::Judge(Box::new(loaded), asked)); // whoever has ended needs no orders, and says nothing
    match (told(&taken, Some(Instant::now() + TAKEN_WITHIN)).await, taken.try_recv()) {
        (Some(ended), _) | (None, Ok(ended)) => ended,
        (None, Err(TryRecvError::Disconnected)) => Err("rules are on trial no more: see the log".into()),
        (None, Err(TryRecvError::Empty)) => match sound {
            Some(generation) => {
                Ok(format!("on trial: generation {generation:016x} is verified, and taken as soon as this machine has idle time"))
            }
            None => Err("rules on trial refused: see the log, as soon as this machine has idle time".into()),
        },
    }
}

/// What is sent; none when nothing will be, or nothing was by then.
async fn told<T>(from: &Receiver<T>, until: Option<Instant>) -> Option<T> {
    loop {
        match from.try_recv() {
            Ok(told) => return Some(told),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if until.is_some_and(|until| Instant::now() >= until) => return None,
            Err(TryRecvError::Empty) => tasks::sleep(POLL).await,
        }
    }
}
