//! All keys of the first N URLs of a file: a program to count instructions of. `count-urls FILE N`
//!
//! The whole file is read whatever N is, so that two runs differ by URLs alone.

use std::process::ExitCode;
use verdict_keys::{Batch, Kind, Profile};
use verdict_simd::{Backend, HashKey, HashSchedule, WithBackend, detect};

/// With one backend compiled in, as the daemon has it.
struct Count<'a>(&'a [&'a str]);

impl WithBackend for Count<'_> {
    type Output = Batch;

    #[inline(always)]
    fn run<B: Backend>(self, backend: B) -> Batch {
        let schedule = HashSchedule::new(&HashKey { h: *b"a multiplier of ", k: *b"another of those" });
        let (profile, mut batch) = (Profile::full(5, 5), Batch::with_capacity(1024));
        for url in self.0 {
            batch.push(backend, &schedule, &profile, Kind::Url, url.as_bytes());
        }
        batch
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, count] = &arguments[..] else {
        eprintln!("usage: count-urls FILE N");
        return ExitCode::from(2);
    };
    let (Ok(text), Ok(count), Ok(backend)) = (std::fs::read_to_string(file), count.parse::<usize>(), detect()) else {
        eprintln!("a file that can be read, a number, and a backend that this machine has");
        return ExitCode::FAILURE;
    };
    let urls: Vec<&str> = text.lines().collect();
    let batch = backend.run(Count(&urls[..count.min(urls.len())]));
    println!("{}: {} questions, {} keys", backend.name(), batch.items().len(), batch.keys().len() + batch.paths().len());
    ExitCode::SUCCESS
}
