//! The daemon's threads: one for each shard, pinned, with the executor that its driver needs, and one for control, where the kernel likes.
//!
//! ```text
//!  ring, streams, epoll   shard ── glommio's executor, three rings and 64 KiB of registered memory
//!  plain                  shard ── nothing: its future is never pending
//!  always                 control ── tasks/mod.rs
//! ```

use crate::driver::Kind;
use crate::tasks;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use rustix::thread::CpuSet;
use std::thread::{Builder, JoinHandle};

/// One that runs.
pub enum Thread {
    /// With the executor on a ring.
    Executor(ExecutorJoinHandle<()>),
    /// Without.
    Plain(JoinHandle<()>),
}

impl Thread {
    /// A shard's, on this CPU.
    ///
    /// # Errors
    /// What the kernel or the executor says.
    pub fn shard<F: Future<Output = ()> + 'static>(
        driver: Kind,
        cpu: usize,
        name: &str,
        task: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self, String> {
        if driver != Kind::Plain {
            // The data plane reads no files: the executor's default of 10 MiB registered memory would exceed the usual memlock limit.
            let builder = LocalExecutorBuilder::new(Placement::Fixed(cpu)).name(name).io_memory(64 << 10);
            return builder.spawn(task).map(Thread::Executor).map_err(|error| error.to_string());
        }
        let (pinned, outcome) = std::sync::mpsc::channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            let mut own = CpuSet::new();
            own.set(cpu);
            let result = rustix::thread::sched_setaffinity(None, &own);
            let refused = result.is_err();
            let _ = pinned.send(result);
            if !refused {
                futures_lite::future::block_on(task());
            }
        });
        let thread = thread.map_err(|error| error.to_string())?;
        match outcome.recv() {
            Ok(Ok(())) => Ok(Thread::Plain(thread)),
            Ok(Err(error)) => Err(format!("{name} cannot be pinned to CPU {cpu}: {error}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Control's.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn control<F: Future<Output = ()>>(task: impl FnOnce() -> F + Send + 'static) -> Result<Self, String> {
        let run = move || {
            if let Err(error) = tasks::run(async move { task().await }) {
                tracing::error!("the control thread ended, the shards serve on: {error}");
            }
        };
        Builder::new().name("control".into()).spawn(run).map(Thread::Plain).map_err(|error| error.to_string())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// That it panicked, or what the executor says.
    pub fn join(self) -> Result<(), String> {
        match self {
            Thread::Executor(thread) => thread.join().map_err(|error| error.to_string()),
            Thread::Plain(thread) => thread.join().map_err(|_| "a thread panicked: a defect, please report it".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_shard_is_pinned_and_a_cpu_that_is_not_there_is_named() {
        let allowed = rustix::thread::sched_getaffinity(None).unwrap();
        let cpu = (0..CpuSet::MAX_CPU).rfind(|cpu| allowed.is_set(*cpu)).unwrap();
        let seen = move || async move {
            let own = rustix::thread::sched_getaffinity(None).unwrap();
            assert!(own.count() == 1 && own.is_set(cpu));
        };
        Thread::shard(Kind::Plain, cpu, "shard-0", seen).unwrap().join().unwrap();
        let error = Thread::shard(Kind::Plain, CpuSet::MAX_CPU - 1, "shard-1", || async {}).err().unwrap();
        assert!(error.contains("shard-1 cannot be pinned"), "{error}");
    }

    #[test]
    fn a_thread_that_panics_is_an_error() {
        let thread = Thread::control(|| async { panic!("on purpose") }).unwrap();
        assert!(thread.join().unwrap_err().contains("defect"));
    }
}
