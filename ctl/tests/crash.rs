//! `verdictctl publish` ended or failed at each of its system calls: what is published is the old snapshot or the new one, complete, and the next run succeeds.
//! The same for `verdictctl compile` over a snapshot and its explain store.

#[path = "../../tables/tests/common/sweep.rs"]
mod sweep;

use std::path::{Path, PathBuf};
use std::process::Command;
use sweep::{Blow, chosen, copy, places, strace_is_there, strike};
use verdict_simd::Portable;
use verdict_tables::manifest::{Directory, KeySet, Manifest, check_canaries};

const PROGRAM: &str = env!("CARGO_BIN_EXE_verdictctl");

fn run(arguments: &[&str]) -> bool {
    let ran = Command::new(PROGRAM).args(arguments).output().unwrap();
    if !ran.status.success() {
        println!("{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    ran.status.success()
}

/// A key, two snapshots, canaries, and a directory where the first was published twice under different canaries.
struct Stage {
    directory: PathBuf,
    keys: KeySet,
}

impl Stage {
    fn set(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let stage = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        for (name, lines) in [("old", "botnet.test\nold.test\n"), ("new", "botnet.test\nnew.test\nnewer.test\n")] {
            std::fs::write(stage(&format!("{name}.txt")), lines).unwrap();
            let (feed, snapshot) = (stage(&format!("{name}.txt")), stage(&format!("{name}.snap")));
            assert!(run(&["compile", &feed, "-o", &snapshot, "--format", "host-list", "--no-store"]));
        }
        std::fs::write(stage("canaries.tsv"), "botnet.test\tmalicious\nwww.example.org\tunknown\n").unwrap();
        assert!(run(&["keygen", "--to", &stage("a")]));
        let keys = KeySet::from_texts([("a.pub", std::fs::read_to_string(stage("a.pub")).unwrap().as_str())]).unwrap();
        for _ in 0..2 {
            assert!(run(&["publish", &stage("old.snap"), "--key", &stage("a.key"), "--to", &stage("base"), "--keep", "1"]));
        }
        Stage { directory, keys }
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().unwrap().to_owned()
    }

    fn publish(&self) -> Vec<String> {
        let words = ["publish", "new.snap", "--key", "a.key", "--to", "site", "--keep", "1", "--canaries", "canaries.tsv"];
        let word =
            |word: &&str| if word.starts_with("--") || *word == "publish" || *word == "1" { (*word).to_owned() } else { self.path(word) };
        words.iter().map(word).collect()
    }

    /// Its epoch, if every byte and answer is as it should be.
    fn published(&self) -> Result<u64, String> {
        let directory = Directory::new(self.directory.join("site"));
        let bytes = directory.read_manifest().map_err(|refusal| refusal.to_string())?;
        let (manifest, _) = Manifest::verify(&bytes, &self.keys).map_err(|refusal| refusal.to_string())?;
        let snapshot = directory.assemble(&manifest).map_err(|refusal| refusal.to_string())?;
        check_canaries(Portable::new(), &snapshot, &manifest.canaries).map_err(|refusal| refusal.to_string())?;
        Ok(manifest.epoch)
    }

    fn sweep(&self, blow: Blow) {
        let publish = self.publish();
        let program: Vec<&str> = std::iter::once(PROGRAM).chain(publish.iter().map(String::as_str)).collect();
        copy(&self.directory.join("base"), &self.directory.join("site"));
        let places = chosen(places(&program, &[], &self.directory.join("a.key"), &self.directory.join("log")), blow);
        assert!(places.len() > 12, "{} calls", places.len());
        let mut seen = [0usize; 2];
        for place in &places {
            copy(&self.directory.join("base"), &self.directory.join("site"));
            let status = strike(&program, &[], place, blow);
            let epoch = self.published().unwrap_or_else(|why| panic!("{blow:?} at {place:?}: {why}"));
            assert!((2..=3).contains(&epoch), "{blow:?} at {place:?}: epoch {epoch}");
            // Whoever is told that it was published finds it so.
            assert!(!status.success() || epoch == 3, "{blow:?} at {place:?}: success, and the old one is there");
            seen[epoch as usize - 2] += 1;
            let again: Vec<&str> = publish.iter().map(String::as_str).collect();
            assert!(run(&again), "{blow:?} at {place:?}: the next run failed");
            assert_eq!(self.published(), Ok(epoch + 1), "{blow:?} at {place:?}");
            let left = std::fs::read_dir(self.directory.join("site/parts")).unwrap().flatten();
            assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')), "{blow:?} at {place:?}");
        }
        println!("{blow:?}: {} calls, {} left the old snapshot and {} the new one", places.len(), seen[0], seen[1]);
        assert!(seen[0] > 0 && seen[1] > 0, "the sweep crosses the moment of change");
    }
}

/// Bytes of a snapshot and of the store beside it.
type Files = (Vec<u8>, Vec<u8>);

/// What is compiled over what, and the bytes of both.
fn compiled(stage: &Stage) -> (Vec<String>, [Files; 2]) {
    let words = |feed: &str| {
        let words = ["compile", feed, "-o", "now/v.snap", "--format", "host-list"];
        words.map(|word| if word.contains('.') { stage.path(word) } else { word.to_owned() }).to_vec()
    };
    let both = ["old.txt", "new.txt"].map(|feed| {
        // One name, as it stands in the bytes.
        std::fs::copy(stage.path(feed), stage.path("feed.txt")).unwrap();
        copy(&stage.directory.join("nothing"), &stage.directory.join("now"));
        assert!(run(&words("feed.txt").iter().map(String::as_str).collect::<Vec<_>>()));
        let read = |name: &str| std::fs::read(stage.path(name)).unwrap();
        if feed == "old.txt" {
            copy(&stage.directory.join("now"), &stage.directory.join("was"));
        }
        (read("now/v.snap"), read("now/v.snap.explain"))
    });
    (words("feed.txt"), both)
}

fn sweep_compile(stage: &Stage, blow: Blow) {
    std::fs::create_dir(stage.directory.join("nothing")).unwrap();
    let (words, [old, new]) = compiled(stage);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let program: Vec<&str> = std::iter::once(PROGRAM).chain(words.iter().copied()).collect();
    let (was, now) = (stage.directory.join("was"), stage.directory.join("now"));
    copy(&was, &now);
    let places = chosen(places(&program, &[], &stage.directory.join("feed.txt"), &stage.directory.join("log")), blow);
    assert!(places.len() > 5, "{} calls", places.len());
    let mut seen = [0usize; 2];
    for place in &places {
        copy(&was, &now);
        let status = strike(&program, &[], place, blow);
        let (snapshot, store) = (std::fs::read(now.join("v.snap")).unwrap(), std::fs::read(now.join("v.snap.explain")).unwrap());
        // The snapshot gets its name first: between the two a store of another snapshot explains nothing, and is known by its digest.
        let at = [(&old.0, &old.1), (&new.0, &old.1), (&new.0, &new.1)].iter().position(|files| *files == (&snapshot, &store));
        let at = at.unwrap_or_else(|| panic!("{blow:?} at {place:?}: neither the old nor the new"));
        assert!(!status.success() || at == 2, "{blow:?} at {place:?}: success, and the old one is there");
        seen[usize::from(at > 0)] += 1;
        assert!(run(&words), "{blow:?} at {place:?}: the next run failed");
        assert_eq!(std::fs::read(now.join("v.snap")).unwrap(), new.0, "{blow:?} at {place:?}");
        assert_eq!(std::fs::read(now.join("v.snap.explain")).unwrap(), new.1, "{blow:?} at {place:?}");
    }
    println!("{blow:?}: {} calls, {} left the old snapshot and {} the new one", places.len(), seen[0], seen[1]);
    assert!(seen[0] > 0, "the sweep begins before the moment of change");
}

#[test]
fn a_compilation_killed_or_out_of_room_at_any_call_leaves_the_old_or_the_new() {
    if strace_is_there() {
        for (name, blow) in [("compile-kill", Blow::Kill), ("compile-enospc", Blow::Enospc)] {
            sweep_compile(&Stage::set(name), blow);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_publisher_killed_at_any_call_leaves_the_old_or_the_new() {
    if strace_is_there() {
        Stage::set("kill").sweep(Blow::Kill);
    }
}

#[test]
fn a_publisher_on_a_failing_disk_leaves_the_old_or_the_new() {
    if strace_is_there() {
        Stage::set("eio").sweep(Blow::Eio);
    }
}

#[test]
fn a_publisher_on_a_full_disk_leaves_the_old_or_the_new() {
    if strace_is_there() {
        Stage::set("enospc").sweep(Blow::Enospc);
    }
}
