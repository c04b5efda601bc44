//! Adopting a generation, ended or failed at each of its system calls: a daemon that starts afterwards serves the old generation or the new one,
//! complete, comes to the new one by itself, and never goes below the epoch that it had. Likewise an act of an operator, which is in the journal or not.
//!
//! What is swept is the code that adopts (`trust`: read, verify, keep, prune, write down), run by this very program as its own child, in one thread:
//! so the calls are the same each time. Sockets and executors take no part in it.

#[path = "../../tables/tests/common/sweep.rs"]
mod sweep;
#[allow(unused_macros)]
#[macro_use]
mod support;

use std::path::{Path, PathBuf};
use support::Site;
use sweep::{Blow, chosen, copy, distinct, places, scratch, strace_is_there, strike};
use verdict_tables::Class;
use verdict_tables::manifest::Why;
use verdict_wire::Act;
use verdictd::config::SnapshotConfig;
use verdictd::overlay::journal::{self, Journal, Keep, Record};
use verdictd::overlay::{Entry, JOURNAL, Key};
use verdictd::trust::{Look, Trust, TrustError};

const STAGE: &str = "VERDICT_CRASH_STAGE";

fn config(stage: &Path) -> SnapshotConfig {
    SnapshotConfig {
        directory: stage.join("published"),
        keys: vec![stage.join("keys.pub")],
        state: stage.join("state"),
        ..SnapshotConfig::default()
    }
}

fn open(stage: &Path) -> Result<Trust, TrustError> {
    Trust::open(&config(stage), verdict_simd::detect().unwrap())
}

/// The child of a sweep: starts, adopts what is published, and has served long enough. By itself it does nothing.
#[test]
#[ignore = "run by the sweeps below"]
fn adopt() {
    let Some(stage) = std::env::var_os(STAGE) else { return };
    let mut trust = open(Path::new(&stage)).expect("the state directory opens");
    trust.start(None).map(drop).expect("something is served");
    match trust.look() {
        Ok(Look::New(..)) => trust.good(),
        Ok(_) => panic!("the new one was to be adopted"),
        Err(problem) => panic!("{}", problem.text),
    }
}

/// A state directory that has two generations, and a third that is published.
struct Stage {
    site: Site,
    generations: [u64; 2],
    here: PathBuf,
}

impl Stage {
    fn set(name: &str) -> Self {
        let site = Site::new();
        let base = site.path().parent().unwrap().to_owned();
        let here = scratch().join(format!("{}-{name}", base.file_name().unwrap().to_string_lossy()));
        site.publish(1, "marker-one.test", &|_| {});
        let mut trust = open(&base).unwrap();
        trust.start(None).unwrap();
        let old = site.publish(2, "marker-two.test", &|_| {});
        assert!(matches!(trust.look(), Ok(Look::New(..))));
        trust.good();
        drop(trust);
        let new = site.publish(3, "marker-three.test", &|_| {});
        Stage { site, generations: [old, new], here }
    }

    fn fresh(&self) {
        copy(self.site.path().parent().unwrap(), &self.here);
    }

    /// What a daemon serves at its start, and that it comes to the new one.
    fn recovered(&self) -> Result<usize, String> {
        let mut trust = open(&self.here).map_err(|error| error.to_string())?;
        let first = trust.start(None).map_err(|error| error.to_string())?.0.generation();
        let at =
            self.generations.iter().position(|generation| *generation == first).ok_or(format!("generation {first:016x} is neither"))?;
        match trust.look() {
            Ok(Look::New(next, _)) if at == 0 && next.generation() == self.generations[1] => {}
            Ok(Look::Nothing | Look::Renewed(_)) if at == 1 => {}
            Ok(_) => return Err("the new one was not found".into()),
            Err(problem) => return Err(problem.text),
        }
        trust.good();
        drop(trust);
        self.is_above_the_old_epoch()?;
        let left = std::fs::read_dir(self.here.join("state/generations")).unwrap().flatten().map(|entry| entry.path());
        match left.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "partial")) {
            Some(path) if at == 0 => Err(format!("{} is left", path.display())),
            _ => Ok(at),
        }
    }

    /// The first epoch, rightly signed, is refused: no crash makes it forget.
    fn is_above_the_old_epoch(&self) -> Result<(), String> {
        let manifest = self.site.write_parts(1, "marker-one.test");
        std::fs::write(self.here.join("published/manifest"), self.site.sign(&manifest, 1)).unwrap();
        let mut trust = open(&self.here).map_err(|error| error.to_string())?;
        trust.start(None).map_err(|error| error.to_string())?;
        match trust.look() {
            Err(problem) if problem.why == Why::Epoch => Ok(()),
            Err(problem) => Err(problem.text),
            Ok(_) => Err("an older epoch was taken".into()),
        }
    }

    fn sweep(&self, blow: Blow) {
        let program = std::env::current_exe().unwrap();
        let run = [program.to_str().unwrap(), "--exact", "adopt", "--ignored", "--test-threads=1"];
        let environment = [(STAGE, self.here.to_str().unwrap())];
        self.fresh();
        let places = chosen(places(&run, &environment, &self.here.join("keys.pub"), &self.here.join("log")), blow);
        assert!(places.len() > 12, "{} calls", places.len());
        let mut seen = [0usize; 2];
        for place in &places {
            self.fresh();
            let status = strike(&run, &environment, place, blow);
            let at = self.recovered().unwrap_or_else(|why| panic!("{blow:?} at {place:?}, {status}: {why}"));
            seen[at] += 1;
        }
        println!("{blow:?}: {} calls, {} left the old generation and {} the new one", places.len(), seen[0], seen[1]);
        assert!(seen[0] > 0 && seen[1] > 0, "the sweep crosses the moment of change");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.here);
    }
}

/// The journal of the overlay: one that is to be compacted at the next start, and one act more, which is confirmed.
struct Acts {
    before: PathBuf,
    here: PathBuf,
}

const ACTS: &str = "VERDICT_CRASH_ACTS";

/// Acts of which the first holds and the others do not: enough of them for a compaction.
const HISTORY: u64 = 12;
const KEEP: Keep = Keep { history: 4, surplus: 4 };

fn act_on(host: &str) -> Entry {
    let key = Key::new(verdict_keys::Kind::Host, host.as_bytes()).unwrap();
    Entry { key, class: Class::Clean, at_ms: 5000, until_ms: 9000, uid: 1, pid: 2, reason: "a test".into() }
}

/// The child of that sweep.
#[test]
#[ignore = "run by the sweeps below"]
fn write_down() {
    let Some(here) = std::env::var_os(ACTS) else { return };
    let mut journal = Journal::open_keeping(Path::new(&here), 5000, KEEP).unwrap();
    journal.append(Act::Unblock, act_on("new.test")).unwrap();
}

impl Acts {
    fn set(name: &str) -> Self {
        let base = scratch().join(format!("verdictd-acts-{}-{name}", std::process::id()));
        let (before, here) = (base.join("before"), base.join("here"));
        let _ = std::fs::remove_dir_all(&base);
        let mut journal = Journal::open_keeping(&before, 5000, KEEP).unwrap();
        journal.append(Act::Unblock, act_on("old.test")).unwrap();
        drop(journal);
        // Many that hold no longer: without waiting for a disk each.
        let path = before.join(JOURNAL);
        let mut bytes = std::fs::read(&path).unwrap();
        for number in 2..=HISTORY {
            let entry = Entry { at_ms: 1000, until_ms: 2000, ..act_on(&format!("h{number}.test")) };
            bytes.extend(journal::encode(&Record { number, act: Act::Unblock, entry }));
        }
        std::fs::write(&path, bytes).unwrap();
        Acts { before, here }
    }

    /// Whether the act is there; everything before it must be.
    fn recovered(&self) -> Result<bool, String> {
        let mut journal = Journal::open_keeping(&self.here, 5000, KEEP).map_err(|error| error.to_string())?;
        let has = |journal: &Journal, host: &str| journal.entries().contains_key(&act_on(host).key);
        if !has(&journal, "old.test") || !has(&journal, &format!("h{HISTORY}.test")) {
            return Err("what was confirmed before is gone".into());
        }
        let new = has(&journal, "new.test");
        journal.append(Act::Unblock, act_on("next.test")).map_err(|error| error.to_string())?;
        Ok(new)
    }

    fn sweep(&self, blow: Blow) {
        let program = std::env::current_exe().unwrap();
        let run = [program.to_str().unwrap(), "--exact", "write_down", "--ignored", "--test-threads=1"];
        let environment = [(ACTS, self.here.to_str().unwrap())];
        copy(&self.before, &self.here);
        let mut places = places(&run, &environment, &self.here.join("overlay.lock"), &self.here.with_file_name("log"));
        if !matches!(blow, Blow::Kill) {
            // The same call failing on the same file shows nothing that its first failure did not show.
            places = distinct(places);
        }
        let places = chosen(places, blow);
        assert!(places.len() > 6, "{} calls", places.len());
        let mut seen = [0usize; 2];
        for place in &places {
            copy(&self.before, &self.here);
            let status = strike(&run, &environment, place, blow);
            let new = self.recovered().unwrap_or_else(|why| panic!("{blow:?} at {place:?}, {status}: {why}"));
            assert!(new || !status.success(), "{blow:?} at {place:?}: it was confirmed, and is gone");
            // A disk that failed and then did not: nothing was confirmed, so nothing may be there.
            assert!(!new || status.success() || matches!(blow, Blow::Kill), "{blow:?} at {place:?}: it was refused, and is there");
            seen[usize::from(new)] += 1;
        }
        println!("{blow:?}: {} calls, {} left the journal without the act and {} with it", places.len(), seen[0], seen[1]);
        assert!(seen[0] > 0, "the sweep crosses the moment of change");
    }
}

impl Drop for Acts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.here.parent().unwrap());
    }
}

#[test]
fn an_act_struck_at_any_call_is_there_or_not_and_never_confirmed_in_vain() {
    if strace_is_there() {
        for (name, blow) in [("kill", Blow::Kill), ("eio", Blow::Eio), ("enospc", Blow::Enospc)] {
            Acts::set(name).sweep(blow);
        }
    }
}

#[test]
fn a_daemon_killed_at_any_call_of_an_adoption_starts_with_the_old_or_the_new() {
    if strace_is_there() {
        Stage::set("kill").sweep(Blow::Kill);
    }
}

#[test]
fn a_failing_disk_leaves_the_old_or_the_new() {
    if strace_is_there() {
        Stage::set("eio").sweep(Blow::Eio);
    }
}

#[test]
fn a_full_disk_leaves_the_old_or_the_new() {
    if strace_is_there() {
        Stage::set("enospc").sweep(Blow::Enospc);
    }
}
