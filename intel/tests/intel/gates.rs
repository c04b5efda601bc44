//! What is refused before it gets its name: each gate by a compilation that it must stop, and by one that it must let pass.

use std::path::{Path, PathBuf};
use verdict_intel::gates::{Checked, Gate, State};
use verdict_intel::store::beside;
use verdict_intel::{Against, Config, Report, Target, compile_into};
use verdict_simd::detect;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("verdict-gates-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn output(&self) -> PathBuf {
        self.0.join("out.snap")
    }

    fn compile(&self, toml: &str) -> Result<Report, Box<(Vec<String>, Report)>> {
        let config = Config::parse(toml, "feeds.toml", &self.0).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let (path, store) = (self.output(), beside(&self.output()));
        let target = Target { path: &path, store: Some(&store), against: Against::Replaced, replay: None, dry_run: false };
        compile_into(detect().unwrap(), &config, target, &mut ()).map_err(|refused| Box::new((refused.errors, refused.report)))
    }

    /// Compiles and must be refused by exactly this gate; returns what is told on standard error.
    fn refused(&self, toml: &str, gate: Gate) -> String {
        let before = std::fs::read(self.output()).ok();
        let (errors, report) = *self.compile(toml).expect_err("the gate must refuse");
        let refusing: Vec<Gate> = report.gates.gates.iter().filter(|one| one.state == State::Refused).map(|one| one.gate).collect();
        assert_eq!(refusing, [gate], "{errors:?}");
        assert!(before == std::fs::read(self.output()).ok(), "nothing is written");
        let left =
            std::fs::read_dir(&self.0).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".partial"));
        assert_eq!(left.count(), 0);
        errors.join("\n").replace(&format!("{}/", self.0.display()), "")
    }

    fn passes(&self, toml: &str) -> Report {
        self.compile(toml).unwrap_or_else(|refused| panic!("{:?}", refused.0))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn one(report: &Report, gate: Gate) -> &Checked {
    report.gates.gates.iter().find(|one| one.gate == gate).unwrap()
}

fn hosts(prefix: &str, count: usize) -> String {
    (0..count).map(|number| format!("{prefix}{number}.example\n")).collect()
}

const FEED: &str = "[[feed]]\nname = \"bad\"\npath = \"bad.txt\"\nformat = \"host-list\"\n";
const OFF: &str = "{ off = true, reason = \"not here\" }";

/// `[gates]` with some lists; all others off.
fn gates(lines: &str) -> String {
    let lists = ["never_block", "canary_good", "canary_bad", "top_sites"];
    let off: String = lists.iter().filter(|key| !lines.contains(&format!("{key} ="))).map(|key| format!("{key} = {OFF}\n")).collect();
    format!("[gates]\n{off}{lines}\n{FEED}")
}

#[test]
fn what_the_world_needs_is_never_blocked_and_the_line_is_named() {
    let scratch = Scratch::new("never");
    scratch.write("bad.txt", "a.example\ngoogle.com\n");
    let told = scratch.refused(FEED, Gate::NeverBlock);
    assert!(told.starts_with("bad.txt:2: never-block: google.com is malicious\n"), "{told}");
    scratch.write("bad.txt", "http://www.debian.org/\nhttp://8.8.8.8/\n");
    let told = scratch.refused(&FEED.replace("host-list", "url-list"), Gate::NeverBlock);
    assert!(
        told.contains("bad.txt:1: never-block: http://www.debian.org/ is") && told.contains("bad.txt:2: never-block: http://8.8.8.8/"),
        "{told}"
    );
    scratch.write("bad.txt", "8.8.0.0/16\n2001:4860::/32\n");
    assert!(scratch.refused(&FEED.replace("host-list", "netset"), Gate::NeverBlock).contains("bad.txt:1: never-block: 8.8.8.8 is"));
    // What wins is asked: an operator who allows it may have the rest of the feed.
    scratch.write("bad.txt", "a.example\ngoogle.com\n");
    scratch.write("allow.txt", "google.com\nwww.google.com\nmail.google.com\naccounts.google.com\nclients3.google.com\ntime.google.com\n");
    scratch.passes(&format!("{FEED}[[feed]]\nname = \"own\"\npath = \"allow.txt\"\nformat = \"host-list\"\naction = \"allow\"\n"));
}

#[test]
fn an_own_never_block_list_must_be_there_whole() {
    let scratch = Scratch::new("list");
    scratch.write("bad.txt", "a.example\nours.example\n");
    let toml = |more: &str| gates(&format!("never_block = \"never.txt\"\nnever_block_entries_min = 3\n{more}"));
    assert!(scratch.refused(&toml(""), Gate::NeverBlock).contains("never.txt: No such file"));
    scratch.write("never.txt", "x.example\n");
    assert!(scratch.refused(&toml(""), Gate::NeverBlock).contains("holds 1 entries, and must hold 3"));
    scratch.write("never.txt", "x.example\ny.example\nz.example\n");
    let sentinel = "never_block_sentinels = [\"x.example\", \"w.example\"]";
    assert!(scratch.refused(&toml(sentinel), Gate::NeverBlock).contains("lacks its sentinel w.example"));
    scratch.write("never.txt", "x.example\nw.example\n192.0.2.0/24\n");
    assert!(scratch.refused(&toml(sentinel), Gate::NeverBlock).contains("never.txt:3: a prefix"));
    scratch.write("never.txt", "x.example\nw.example\nours.example\n");
    assert!(scratch.refused(&toml(sentinel), Gate::NeverBlock).starts_with("bad.txt:2: never-block: ours.example is malicious"));
    scratch.write("bad.txt", "a.example\n");
    scratch.passes(&toml(sentinel));
}

#[test]
fn canaries_good_and_bad() {
    let scratch = Scratch::new("canaries");
    scratch.write("bad.txt", &hosts("h", 200));
    scratch.write("good.txt", "good.example\nh7.example\n");
    assert!(scratch.refused(&gates("canary_good = \"good.txt\""), Gate::CanaryGood).starts_with("bad.txt:8: canary-good: h7.example"));
    scratch.write("good.txt", "# none\n");
    assert!(scratch.refused(&gates("canary_good = \"good.txt\""), Gate::CanaryGood).contains("holds no key"));
    scratch.write("known.txt", &hosts("h", 198));
    scratch.passes(&gates("canary_bad = \"known.txt\""));
    scratch.write("known.txt", &format!("{}x.example\ny.example\nz.example\n", hosts("h", 197)));
    let told = scratch.refused(&gates("canary_bad = \"known.txt\""), Gate::CanaryBad);
    assert!(
        told.contains("known.txt:198: canary-bad: x.example is unknown") && told.contains("197 of 200 keys are listed, 98.5 %"),
        "{told}"
    );
    let report = scratch.passes(&gates("canary_bad = { file = \"known.txt\", limit = \"98%\", reason = \"it is old\" }"));
    assert_eq!(one(&report, Gate::CanaryBad).reason.as_deref(), Some("it is old"));
    assert_eq!(one(&report, Gate::TopSites).state, State::Off);
    assert_eq!(one(&report, Gate::TopSites).reason.as_deref(), Some("not here"));
}

#[test]
fn a_feed_that_lists_visited_sites_is_named() {
    let scratch = Scratch::new("top");
    scratch.write("bad.txt", &hosts("h", 300));
    let sites: String = (0..10_000).map(|rank| format!("{},{}{rank}.example\n", rank + 1, if rank < 1 { "h" } else { "s" })).collect();
    scratch.write("top.txt", &sites);
    scratch.passes(&gates("top_sites = \"top.txt\""));
    scratch.write("top.txt", &sites.replace("s1.", "h1."));
    let told = scratch.refused(&gates("top_sites = \"top.txt\""), Gate::TopSites);
    assert!(told.starts_with("bad.txt:1: top-sites: h0.example") && told.contains("bad lists 2 of 10000 sites, 0.02 %"), "{told}");
}

#[test]
fn too_much_of_all_addresses_is_too_wide() {
    let scratch = Scratch::new("breadth");
    let networks: String =
        (130..201).filter(|first| ![149, 169, 172, 192, 198, 193].contains(first)).map(|first| format!("{first}.0.0.0/8\n")).collect();
    scratch.write("bad.txt", &networks);
    let told = scratch.refused(&FEED.replace("host-list", "netset"), Gate::Breadth);
    assert!(told.contains("25.3906 % of IPv4"), "{told}");
}

#[test]
fn shrink_and_growth_are_measured_by_the_file_that_is_replaced() {
    let scratch = Scratch::new("delta");
    let two = format!("{FEED}[[feed]]\nname = \"other\"\npath = \"other.txt\"\nformat = \"host-list\"\n");
    scratch.write("other.txt", &hosts("o", 4000));
    scratch.write("bad.txt", &hosts("h", 1000));
    let first = scratch.passes(&two);
    assert_eq!(one(&first, Gate::Shrink).state, State::NotRun);
    scratch.write("bad.txt", &hosts("h", 600));
    scratch.passes(&two); // 40 % of one feed, but 300 and 100 rules are allowed
    scratch.write("bad.txt", &hosts("h", 1000));
    scratch.passes(&two);
    scratch.write("bad.txt", &hosts("h", 599));
    assert!(scratch.refused(&two, Gate::Shrink).starts_with("shrink: bad: 1000 rules before, 599 now\n"));
    scratch.write("bad.txt", &hosts("h", 2101));
    assert!(scratch.refused(&two, Gate::Growth).starts_with("growth: bad: 1000 rules before, 2101 now\n"));
    let limits = "growth_max = { limit = \"200%\", reason = \"a new source of theirs\" }";
    let report = scratch.passes(&gates(limits).replace(FEED, &two));
    let blast = report.gates.blast.unwrap();
    assert_eq!((blast.rules_before, blast.rules_after), (5000, 6101));
    let diff = blast.diff.unwrap();
    assert_eq!((diff.total.added, diff.total.removed, diff.by_feed["bad"].added, diff.by_feed["other"].added), (1101, 0, 1101, 0));
    assert_eq!(diff.by_kind["host+subdomains"].new, 6101);
}

#[test]
fn one_feed_that_is_nearly_everything_and_rows_of_another_shape_are_refused() {
    let scratch = Scratch::new("rows");
    let two = format!("{FEED}[[feed]]\nname = \"other\"\npath = \"other.txt\"\nformat = \"host-list\"\n");
    scratch.write("bad.txt", &hosts("h", 9000));
    scratch.write("other.txt", &hosts("o", 2000));
    assert!(scratch.refused(&two, Gate::FeedShare).contains("bad gives 9000 of 11000 rules, 81.8181 %"));
    scratch.write("other.txt", &hosts("o", 2500));
    scratch.passes(&two);
    std::fs::remove_file(scratch.output()).unwrap();
    let odd: String = (0..200).map(|number| format!("<td>row {number}</td> of a page\n")).collect();
    scratch.write("bad.txt", &format!("{}{odd}", hosts("h", 3000)));
    let told = scratch.refused(FEED, Gate::UnknownRows);
    assert!(told.contains("unknown-rows: 200 of 3200 rows could not be read: 6.25 %"), "{told}");
}

#[test]
fn a_page_never_becomes_its_host_however_many_are_listed() {
    let scratch = Scratch::new("pages");
    let pages: String = (0..5000).map(|number| format!("http://shared.example/user{number}/x\n")).collect();
    scratch.write("bad.txt", &pages);
    scratch.passes(&FEED.replace("host-list", "url-list"));
    let snapshot = verdict_tables::Snapshot::load(&scratch.output()).unwrap();
    let mut asker = verdict_intel::gates::Asker::new(detect().unwrap(), &snapshot);
    let keys = ["shared.example", "http://shared.example/", "http://shared.example/user7/", "http://shared.example/user7/x"];
    let kind = |key: &str| if key.contains('/') { verdict_keys::Kind::Url } else { verdict_keys::Kind::Host };
    let listed: Vec<bool> = asker.ask(keys.iter().map(|key| (kind(key), key.as_bytes()))).iter().map(|asked| asked.listed()).collect();
    assert_eq!(listed, [false, false, false, true]);
}

#[test]
fn recorded_questions_are_replayed_and_a_dry_run_writes_nothing() {
    let scratch = Scratch::new("replay");
    scratch.write("bad.txt", "a.example\nb.example\n");
    scratch.passes(FEED);
    let before = std::fs::read(scratch.output()).unwrap();
    scratch.write("bad.txt", "b.example\nc.example\n");
    scratch.write("asked.txt", "a.example\nhttp://b.example/x\nc.example\nd.example\n");
    let config = Config::parse(FEED, "feeds.toml", &scratch.0).unwrap();
    let (path, replay) = (scratch.output(), scratch.0.join("asked.txt"));
    let target = Target { path: &path, store: None, against: Against::Replaced, replay: Some(&replay), dry_run: true };
    let report = compile_into(detect().unwrap(), &config, target, &mut ()).unwrap();
    let replayed = report.gates.blast.unwrap().replay.unwrap();
    assert_eq!((replayed.questions, replayed.same), (4, 2));
    assert_eq!(replayed.examples, [("a.example".to_owned(), "malicious", "unknown"), ("c.example".to_owned(), "unknown", "malicious")]);
    assert!(!report.written && std::fs::read(&path).unwrap() == before);
}

#[test]
fn a_deployment_holds_what_its_profile_allows_and_tells_the_rest() {
    let scratch = Scratch::new("deployment");
    scratch.write("open.csv", "what;colour\na.example;\nb.example;TLP:RED\n");
    scratch.write("closed.txt", "c.example\n");
    let toml = "[deployment]\nprofile = \"here\"\n[profile.here]\ntlp_max = \"amber\"\nlicences = [\"CC0-1.0\"]\n\
        [[feed]]\nname = \"open\"\npath = \"open.csv\"\ntlp = \"green\"\nlicence = \"CC0-1.0\"\n[feed.columns]\ndelimiter = \";\"\nhost = \"what\"\ntlp = \"colour\"\n\
        [[feed]]\nname = \"closed\"\npath = \"closed.txt\"\ntlp = \"green\"\nlicence = \"proprietary\"\n";
    let report = scratch.passes(toml);
    assert_eq!(report.feeds[0].withheld.as_deref(), Some("its licence \"proprietary\" is not one of CC0-1.0"));
    assert_eq!((report.counts.rejected["withheld"], report.counts.rules.total()), (1, 1));
    let (errors, _) = *scratch.compile(&toml.replace("CC0-1.0\"]", "MIT\"]")).unwrap_err();
    assert_eq!(errors, ["[profile.here] withholds every feed: there is nothing to compile"]);
}

/// Lines in another order, feeds in another order, and lines twice: the same snapshot.
#[test]
fn the_order_of_lines_and_feeds_cannot_show_in_the_bytes() {
    let scratch = Scratch::new("order");
    let mut lines: Vec<String> =
        (0..500).map(|number| format!("h{}.example;2026-05-{:02};{}", number % 400, 1 + number % 28, number % 9 == 0)).collect();
    let table = |lines: &[String]| format!("what;seen;gone\n{}\n", lines.join("\n"));
    let feed = |name: &str| {
        format!(
            "[[feed]]\nname = \"{name}\"\npath = \"{name}.csv\"\ntrust = 70\n[feed.columns]\ndelimiter = \";\"\nhost = \"what\"\nlast_seen = \"seen\"\nrevoked = \"gone\"\n"
        )
    };
    let head = "[snapshot]\nas_of = 2026-06-01\n";
    scratch.write("one.csv", &table(&lines));
    scratch.write("two.csv", &table(&lines[100..]));
    scratch.passes(&format!("{head}{}{}", feed("one"), feed("two")));
    let first = std::fs::read(scratch.output()).unwrap();
    scratch.passes(&format!("{head}{}{}", feed("one"), feed("two")));
    assert!(first == std::fs::read(scratch.output()).unwrap(), "compiled twice");
    scratch.write("two.csv", &table(&lines[100..].iter().rev().cloned().collect::<Vec<_>>()));
    lines.rotate_left(123);
    lines.swap(3, 300);
    lines.push(lines[7].clone());
    scratch.write("one.csv", &table(&lines));
    scratch.passes(&format!("{head}{}{}", feed("two"), feed("one")));
    assert!(first == std::fs::read(scratch.output()).unwrap(), "in another order");
}

/// Thirty lists of real life, each held against the one before.
#[test]
fn thirty_consecutive_lists_pass_and_halves_of_them_do_not() {
    let beside_checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data =
        std::env::var_os("VERDICT_DATA").map(PathBuf::from).unwrap_or(beside_checkout).join("feeds/urlhaus-filter/consecutive_202106");
    if !data.is_dir() || !cfg!(target_arch = "x86_64") {
        return println!("SKIPPED: the consecutive lists are not here (set VERDICT_DATA)");
    }
    let scratch = Scratch::new("thirty");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    println!("{:<22} {:>7} {:>7} {:>7}", "list", "rules", "added", "removed");
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let toml = |path: &str| {
            format!("[snapshot]\nas_of = {}\n[[feed]]\nname = \"urlhaus\"\npath = \"{path}\"\nformat = \"host-list\"\n", &name[3..13])
        };
        let report = scratch.passes(&toml(&file.display().to_string()));
        let total = report.gates.blast.as_ref().and_then(|blast| blast.diff.as_ref()).map(|diff| diff.total).unwrap_or_default();
        println!("{name:<22} {:>7} {:>7} {:>7}", report.counts.rules.total(), total.added, total.removed);
    }
    assert_eq!(files.len(), 30);
    let last = verdict_intel::open::open(files.last().unwrap()).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut last.into_reader(), &mut text).unwrap();
    let half: String = text.lines().take(text.lines().count() / 2).map(|line| format!("{line}\n")).collect();
    scratch.write("half.txt", &half);
    scratch.refused("[[feed]]\nname = \"urlhaus\"\npath = \"half.txt\"\nformat = \"host-list\"\n", Gate::Shrink);
}
