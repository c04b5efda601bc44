//! Work on all CPUs of this process; results stand in the order of the jobs, whoever did them.

use crossbeam::channel::unbounded;

/// How many threads pay.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs every job; `progress` hears on this thread, after each, the sum of what they returned.
pub(super) fn each<J: Send>(jobs: Vec<J>, threads: usize, run: impl Fn(J) -> u64 + Sync, progress: &mut dyn FnMut(u64)) {
    let (queue, waiting) = unbounded();
    let (report, reports) = unbounded();
    for job in jobs {
        // The receiver is right here.
        let _ = queue.send(job);
    }
    drop(queue);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (waiting, report, run) = (waiting.clone(), report.clone(), &run);
            scope.spawn(move || {
                for job in waiting {
                    // The receiver outlives the scope.
                    let _ = report.send(run(job));
                }
            });
        }
        drop(report);
        let mut done = 0;
        for part in reports.iter() {
            done += part;
            progress(done);
        }
    });
}

/// `out[i] = map(i)` for all of `out`, in chunks over threads.
pub(super) fn fill<T: Send>(out: &mut [T], threads: usize, map: impl Fn(usize) -> T + Sync, progress: &mut dyn FnMut(u64)) {
    const CHUNK: usize = 1 << 14;
    let jobs: Vec<(usize, &mut [T])> = out.chunks_mut(CHUNK).enumerate().collect();
    each(
        jobs,
        threads,
        |(chunk, out)| {
            for (offset, out) in out.iter_mut().enumerate() {
                *out = map(chunk * CHUNK + offset);
            }
            out.len() as u64
        },
        progress,
    );
}

/// Sorts chunks over threads, then all: the standard stable sort finds the sorted runs and only merges them.
/// Equal elements must not be told apart, as chunks depend on `threads`.
pub(super) fn sort<T: Ord + Send>(items: &mut [T], threads: usize) {
    let chunk = items.len().div_ceil(threads.max(1)).max(1);
    let jobs: Vec<&mut [T]> = items.chunks_mut(chunk).collect();
    each(
        jobs,
        threads,
        |chunk| {
            chunk.sort_unstable();
            0
        },
        &mut |_| (),
    );
    items.sort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_mapped_once_and_progress_reaches_the_end() {
        for threads in [1, 2, 5] {
            let mut out = vec![0; 100_000];
            let mut last = 0;
            fill(&mut out, threads, |index| index * 2, &mut |done| last = done);
            assert!(out.iter().enumerate().all(|(index, value)| *value == index * 2));
            assert_eq!(last, 100_000);
        }
        fill(&mut [0u8; 0], 2, |_| 0, &mut |_| panic!("nothing to report"));
    }

    #[test]
    fn sorting_over_threads_is_sorting() {
        let mut state = 1u64;
        let items: Vec<u64> = (0..10_000)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                state >> 50
            })
            .collect();
        let mut expected = items.clone();
        expected.sort_unstable();
        for threads in [1, 2, 3, 16] {
            let mut sorted = items.clone();
            sort(&mut sorted, threads);
            assert_eq!(sorted, expected);
        }
        sort::<u8>(&mut [], 2);
    }
}
