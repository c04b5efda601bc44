//! What the control thread runs on: tasks, timers and descriptors over one poll(2). No ring, so it runs where io_uring is denied.
//!
//! ```text
//!  ready tasks ─► poll each once ─► poll(2) on what they wait for, until the next timer ─► wake those it concerns ─► again
//! ```
//! A few dozen tasks at most: signals, a watch, timers, the connections of admin. Each turn costs as many entries of poll(2) as tasks wait for
//! descriptors, which is why no shard uses it. Tasks are of this thread; their wakers may be called from any.

pub mod net;
#[cfg(test)]
mod tests;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

thread_local! {
    static HERE: RefCell<Option<Rc<Here>>> = const { RefCell::new(None) };
}

/// The executor's first task, which ends it.
const FIRST: u64 = 0;

/// Of one thread, while it runs.
struct Here {
    door: Arc<Door>,
    spawned: RefCell<Vec<Task>>,
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    interests: RefCell<BTreeMap<u64, Interest>>,
    numbers: Cell<u64>,
}

struct Task {
    number: u64,
    waker: Waker,
    queued: Arc<Queued>,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// Somebody waits until the descriptor is ready for this. The descriptor stays open as long.
struct Interest {
    descriptor: Arc<OwnedFd>,
    flags: PollFlags,
    waker: Waker,
}

/// Where wakers of any thread leave the numbers of tasks.
struct Door {
    ready: Mutex<Vec<u64>>,
    event: OwnedFd,
    thread: ThreadId,
}

struct Queued {
    number: u64,
    is: AtomicBool,
    door: Arc<Door>,
}

impl Wake for Queued {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is.swap(true, Ordering::AcqRel) {
            return;
        }
        self.door.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        if std::thread::current().id() != self.door.thread {
            // An eventfd refuses only when 2^64 wake-ups are already waiting.
            let _ = rustix::io::write(&self.door.event, &1u64.to_ne_bytes());
        }
    }
}

impl Here {
    fn new() -> io::Result<Self> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let door = Door { ready: Mutex::default(), event, thread: std::thread::current().id() };
        Ok(Here {
            door: Arc::new(door),
            spawned: RefCell::default(),
            timers: RefCell::default(),
            interests: RefCell::default(),
            numbers: Cell::new(FIRST + 1),
        })
    }

    fn number(&self) -> u64 {
        self.numbers.replace(self.numbers.get() + 1)
    }

    /// Ready from the beginning.
    fn queued(&self, number: u64) -> (Waker, Arc<Queued>) {
        let queued = Arc::new(Queued { number, is: AtomicBool::new(false), door: self.door.clone() });
        queued.wake_by_ref();
        (queued.clone().into(), queued)
    }

    /// Waits until a waker was called, a descriptor is ready or a timer is due, and wakes whom that concerns.
    fn wait(&self) -> io::Result<()> {
        let timeout = self.patience();
        let ready: Vec<u64> = {
            let interests = self.interests.borrow();
            let mut asked = vec![PollFd::new(&self.door.event, PollFlags::IN)];
            asked.extend(interests.values().map(|interest| PollFd::new(&interest.descriptor, interest.flags)));
            match poll(&mut asked, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let told = asked[1..].iter().zip(interests.keys());
            told.filter(|(asked, _)| !asked.revents().is_empty()).map(|(_, number)| *number).collect()
        };
        let _ = rustix::io::read(&self.door.event, &mut [0u8; 8]);
        for number in ready {
            let interest = self.interests.borrow_mut().remove(&number);
            interest.into_iter().for_each(|interest| interest.waker.wake());
        }
        let now = (Instant::now(), u64::MAX);
        let later = self.timers.borrow_mut().split_off(&now);
        self.timers.replace(later).into_values().for_each(Waker::wake);
        Ok(())
    }

    /// None: for ever.
    fn patience(&self) -> Option<Timespec> {
        if !self.door.ready.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Some(Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        let timers = self.timers.borrow();
        let left = timers.keys().next()?.0.saturating_duration_since(Instant::now());
        Timespec::try_from(left).ok()
    }
}

/// Runs until this future is done; what was spawned meanwhile is dropped then.
///
/// # Errors
/// When the kernel has no descriptor left, or refuses to poll.
pub fn run<T>(first: impl Future<Output = T>) -> io::Result<T> {
    let here = Rc::new(Here::new()?);
    HERE.set(Some(here.clone()));
    let result = run_here(&here, pin!(first));
    HERE.set(None);
    result
}

fn run_here<T>(here: &Rc<Here>, mut first: Pin<&mut impl Future<Output = T>>) -> io::Result<T> {
    let mut tasks: BTreeMap<u64, Task> = BTreeMap::new();
    let (waker, queued) = here.queued(FIRST);
    loop {
        let ready = std::mem::take(&mut *here.door.ready.lock().unwrap_or_else(PoisonError::into_inner));
        for number in ready {
            if number == FIRST {
                queued.is.store(false, Ordering::Release);
                if let Poll::Ready(result) = first.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Ok(result);
                }
            } else if let Some(task) = tasks.get_mut(&number) {
                task.queued.is.store(false, Ordering::Release);
                if task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
                    tasks.remove(&number);
                }
            }
            tasks.extend(here.spawned.take().into_iter().map(|task| (task.number, task)));
        }
        here.wait()?;
    }
}

/// The executor of this thread.
fn here() -> Rc<Here> {
    // A defect of ours, found by the first test that gets there: tasks are made by tasks alone.
    HERE.with_borrow(|here| here.clone()).expect("called on a thread that runs no tasks")
}

/// Another task of this thread, until it or the executor ends.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    let here = here();
    let number = here.number();
    let (waker, queued) = here.queued(number);
    here.spawned.borrow_mut().push(Task { number, waker, queued, future: Box::pin(future) });
}

/// A pause.
pub async fn sleep(time: Duration) {
    struct Sleep(Rc<Here>, (Instant, u64));
    impl Future for Sleep {
        type Output = ();
        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if Instant::now() >= self.1.0 {
                return Poll::Ready(());
            }
            self.0.timers.borrow_mut().insert(self.1, context.waker().clone());
            Poll::Pending
        }
    }
    impl Drop for Sleep {
        fn drop(&mut self) {
            self.0.timers.borrow_mut().remove(&self.1);
        }
    }
    let here = here();
    let number = here.number();
    Sleep(here, (Instant::now() + time, number)).await;
}

/// What the future gives; `None` if that takes longer, and the future is dropped.
pub async fn timeout<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    futures_lite::future::or(async { Some(future.await) }, async {
        sleep(time).await;
        None
    })
    .await
}

/// A descriptor that somebody may wait for, once at a time in each direction.
#[derive(Debug)]
pub struct Watched {
    descriptor: Arc<OwnedFd>,
    /// Numbers of the interests, for reading and for writing; 0 is none.
    numbers: [Cell<u64>; 2],
}

impl Watched {
    /// Wants a descriptor that does not block.
    pub fn new(descriptor: impl Into<Arc<OwnedFd>>) -> Self {
        Watched { descriptor: descriptor.into(), numbers: Default::default() }
    }

    /// The descriptor.
    pub fn get(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Waits until there is something to read, if only an end.
    pub async fn readable(&self) {
        let mut asked = [PollFd::new(&*self.descriptor, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut asked, Some(&now)).is_ok_and(|ready| ready > 0) {
            return;
        }
        let mut waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(()); // or something else woke the task: whoever waits tries, and waits again
            }
            self.wake_when(PollFlags::IN, context);
            Poll::Pending
        })
        .await;
    }

    /// Wakes the task, once, when the descriptor is ready for this.
    fn wake_when(&self, flags: PollFlags, context: &Context<'_>) {
        let here = here();
        let kept = &self.numbers[usize::from(flags == PollFlags::OUT)];
        if kept.get() == 0 {
            kept.set(here.number());
        }
        let interest = Interest { descriptor: self.descriptor.clone(), flags, waker: context.waker().clone() };
        here.interests.borrow_mut().insert(kept.get(), interest);
    }

    /// The operation's result, once the kernel does not say that it would block.
    fn poll<T>(
        &self,
        flags: PollFlags,
        context: &Context<'_>,
        mut operation: impl FnMut(&OwnedFd) -> Result<T, Errno>,
    ) -> Poll<io::Result<T>> {
        loop {
            match operation(&self.descriptor) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.wake_when(flags, context);
                    return Poll::Pending;
                }
                result => return Poll::Ready(result.map_err(io::Error::from)),
            }
        }
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Watched {
    /// Whoever waited for it is gone, or waits for nothing.
    fn drop(&mut self) {
        let Ok(Some(here)) = HERE.try_with(|here| here.borrow().clone()) else { return };
        for number in self.numbers.iter().filter(|number| number.get() != 0) {
            here.interests.borrow_mut().remove(&number.get());
        }
    }
}
