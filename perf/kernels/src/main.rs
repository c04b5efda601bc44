//! Every hot kernel under a name, for whoever counts, profiles or reads it: `verdict-kernels [--rounds N | --seconds S] [--entries N] [--cache DIRECTORY] NAME...`
//!
//! ```text
//! made-up inputs ─► one round to warm up ─► measured(|| N rounds of the kernel) ─► "probe neon 6400 keys"
//! ```
//! What stands between entry and return of `measured` is the kernel and nothing else: callgrind collects there, the trace of the emulator is
//! cut there. Inputs are the same in every run and on every machine, so that counts are too. Each kernel is a function of its own and of one
//! backend, as in the daemon; so its symbol leads to all of its code.

#![forbid(unsafe_code)]

mod inputs;

use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use inputs::{Inputs, Size};
use verdict_keys::Kind;
use verdict_simd::{Backend, Domain, Selected, WithBackend, detect};
use verdict_tables::lookup;

/// A kernel: one round of its work, the number of its operations.
struct Entry<B> {
    name: &'static str,
    /// What one operation is.
    of: &'static str,
    round: fn(B, &mut Inputs) -> usize,
}

#[rustfmt::skip]
fn entries<B: Backend>() -> [Entry<B>; 13] {
    [
        Entry { name: "classify",      of: "block",   round: classify },
        Entry { name: "hash",          of: "text",    round: hash },
        Entry { name: "suffixes",      of: "host",    round: suffixes },
        Entry { name: "prefixes",      of: "path",    round: prefixes },
        Entry { name: "pair",          of: "key",     round: pair },
        Entry { name: "probe",         of: "key",     round: probe },
        Entry { name: "keys",          of: "url",     round: keys },
        Entry { name: "canonicalise",  of: "url",     round: canonicalise },
        Entry { name: "lookup_hashed", of: "key",     round: lookup_hashed },
        Entry { name: "lookup_urls",   of: "url",     round: lookup_urls },
        Entry { name: "lpm4",          of: "address", round: lpm4 },
        Entry { name: "lpm6",          of: "address", round: lpm6 },
        Entry { name: "sieve",         of: "text",    round: sieve },
    ]
}

/// Work with the backend's own instructions around a kernel that is called in a loop, as its callers have it.
struct With<'a, F>(&'a mut Inputs, F);

impl<F: Loop> WithBackend for With<'_, F> {
    type Output = usize;

    #[inline(always)]
    fn run<B: Backend>(self, backend: B) -> usize {
        self.1.go(backend, self.0)
    }
}

trait Loop {
    fn go<B: Backend>(self, backend: B, inputs: &mut Inputs) -> usize;
}

macro_rules! in_loop {
    ($name:ident, $kernel:ident, |$backend:ident, $inputs:ident| $body:block) => {
        struct $kernel;
        impl Loop for $kernel {
            #[inline(always)]
            fn go<B: Backend>(self, $backend: B, $inputs: &mut Inputs) -> usize $body
        }
        #[inline(never)]
        fn $name<B: Backend>(backend: B, inputs: &mut Inputs) -> usize {
            backend.run(With(inputs, $kernel))
        }
    };
}

in_loop!(classify, Classify, |backend, inputs| {
    for at in (0..inputs.stream.len()).step_by(64) {
        black_box(backend.classify_block(&inputs.stream, at));
    }
    inputs.stream.len().div_ceil(64)
});

in_loop!(hash, Hash, |backend, inputs| {
    for url in &inputs.urls {
        black_box(backend.hash(&inputs.schedule, Domain::Path, url));
    }
    inputs.urls.len()
});

in_loop!(suffixes, Suffixes, |backend, inputs| {
    for (host, dots) in &inputs.hosts {
        backend.hash_suffixes(&inputs.schedule, host, *dots, &mut inputs.hashes);
        black_box(&inputs.hashes);
    }
    inputs.hosts.len()
});

in_loop!(prefixes, Prefixes, |backend, inputs| {
    for path in &inputs.paths {
        backend.hash_prefixes(&inputs.schedule, Domain::Path, &path.text, path.exact, path.slashes, &mut inputs.hashes);
        black_box(&inputs.hashes);
    }
    inputs.paths.len()
});

in_loop!(pair, Pair, |backend, inputs| {
    for host in &inputs.paired {
        backend.pair(&inputs.schedule, *host, &inputs.paired, &mut inputs.keys);
        black_box(&inputs.keys);
    }
    inputs.paired.len() * inputs.paired.len()
});

in_loop!(probe, Probe, |backend, inputs| {
    let asked = inputs.at.as_chunks().0.iter().zip(inputs.tags.as_chunks().0);
    for ((at, tags), (hits, words)) in asked.zip(inputs.hits.as_chunks_mut().0.iter_mut().zip(inputs.words.as_chunks_mut().0)) {
        backend.probe(&inputs.buckets, at, tags, hits, words);
    }
    black_box(backend.settle(&inputs.tags, &inputs.hits, &mut inputs.words));
    black_box(&inputs.words);
    inputs.at.len()
});

/// URLs to keys, as the daemon does it: canonical as written, most of them.
#[inline(never)]
fn keys<B: Backend>(backend: B, inputs: &mut Inputs) -> usize {
    inputs.batch.clear();
    let questions = inputs.urls.iter().map(|url| (Some(Kind::Url), &url[..]));
    inputs.batch.push_all(backend, inputs.snapshot.schedule(), inputs.snapshot.profile(), questions);
    inputs.batch.items().len()
}

/// The slow path: a canonical copy.
#[inline(never)]
fn canonicalise<B: Backend>(_: B, inputs: &mut Inputs) -> usize {
    for url in &inputs.urls {
        let _ = black_box(inputs.canonicalizer.url(url));
    }
    inputs.urls.len()
}

macro_rules! lookup_of {
    ($name:ident, $batch:ident) => {
        #[inline(never)]
        fn $name<B: Backend>(backend: B, inputs: &mut Inputs) -> usize {
            let count = inputs.$batch.items().len();
            lookup(backend, &inputs.snapshot, &inputs.$batch, &mut inputs.scratch, &mut inputs.verdicts[..count]);
            count
        }
    };
}

lookup_of!(lookup_hashed, hashed);
lookup_of!(lookup_urls, web);
lookup_of!(lpm4, addresses4);
lookup_of!(lpm6, addresses6);

/// The sieve alone, over texts that hold no signature.
#[inline(never)]
fn sieve<B: Backend>(_: B, inputs: &mut Inputs) -> usize {
    for text in inputs.texts.texts().iter() {
        black_box(inputs.signed.sieve_admits(&text));
    }
    inputs.texts.texts().len()
}

/// Entry and return are where counting begins and ends.
#[inline(never)]
fn measured(work: &mut dyn FnMut() -> usize) -> usize {
    black_box(work())
}

/// How long.
#[derive(Clone, Copy)]
enum Until {
    Rounds(usize),
    Elapsed(Duration),
}

struct Drive<'a> {
    names: &'a [String],
    until: Until,
    inputs: Inputs,
}

impl WithBackend for Drive<'_> {
    type Output = ();

    #[inline(never)]
    fn run<B: Backend>(mut self, backend: B) {
        // Whoever attaches to this process begins now.
        println!("ready {}", std::process::id());
        for Entry { name, of, round } in entries::<B>() {
            if !self.names.is_empty() && self.names.iter().all(|wanted| wanted != name) {
                continue;
            }
            black_box(round(backend, &mut self.inputs));
            let begun = Instant::now();
            let mut done = 0;
            while match self.until {
                Until::Rounds(_) => done == 0,
                Until::Elapsed(time) => begun.elapsed() < time,
            } {
                let rounds = if let Until::Rounds(rounds) = self.until { rounds } else { 64 };
                done += measured(&mut || (0..rounds).map(|_| round(backend, &mut self.inputs)).sum());
            }
            println!("{name} {} {done} {of}", backend.name());
        }
    }
}

fn main() -> ExitCode {
    let (mut until, mut size, mut cache, mut names) = (Until::Rounds(1), Size::SMALL, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--cache" {
            cache = arguments.next().map(PathBuf::from);
            continue;
        }
        let mut number = || arguments.next().and_then(|number| number.parse::<usize>().ok());
        match argument.as_str() {
            "--rounds" => until = Until::Rounds(number().unwrap_or(1)),
            "--seconds" => until = Until::Elapsed(Duration::from_secs(number().unwrap_or(1) as u64)),
            "--entries" => size = Size { entries: number().unwrap_or(size.entries) },
            "--list" => {
                entries::<Selected>().iter().for_each(|entry| println!("{} {}", entry.name, entry.of));
                return ExitCode::SUCCESS;
            }
            name => names.push(name.to_owned()),
        }
    }
    if let Some(unknown) = names.iter().find(|name| entries::<Selected>().iter().all(|entry| entry.name != name.as_str())) {
        eprintln!("no kernel is called {unknown}: --list");
        return ExitCode::from(2);
    }
    match detect() {
        Ok(backend) => backend.run(Drive { names: &names, until, inputs: Inputs::new(backend, size, cache.as_deref()) }),
        Err(unavailable) => {
            eprintln!("{unavailable}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
