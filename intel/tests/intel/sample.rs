//! The sample intelligence that ships with the house: it compiles without a stray row, and every question of questions.tsv gets its answer.

use sha2::{Digest as _, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use verdict_intel::{Config, Format, Rejected, Report, Sink, compile, compile_to};
use verdict_keys::{Batch, Question};
use verdict_simd::detect;
use verdict_tables::{Scratch, Snapshot, Verdict, lookup};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample").join(name)
}

fn config() -> Config {
    Config::load(&sample("feeds.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Remembers what was rejected.
#[derive(Default)]
struct Rejections(Vec<String>);

impl Sink for Rejections {
    fn rejected(&mut self, rejected: &Rejected<'_>) {
        let file = Path::new(rejected.file).file_name().unwrap().to_string_lossy();
        self.0.push(format!("{file}:{}: {}{}", rejected.line, rejected.reason, if rejected.part { " (part)" } else { "" }));
    }
}

fn build(config: &Config) -> (Vec<u8>, Report) {
    let outcome = compile(detect().unwrap(), config, &mut ()).unwrap_or_else(|refused| panic!("{refused}"));
    (outcome.built.bytes, outcome.report)
}

#[test]
fn only_the_machines_own_names_are_rejected() {
    let mut rejections = Rejections::default();
    let report = compile(detect().unwrap(), &config(), &mut rejections).unwrap_or_else(|refused| panic!("{refused}")).report;
    assert_eq!(rejections.0, ["hosts:2: local-name", "hosts:3: local-name", "hosts:4: local-name"]);
    for feed in &report.feeds {
        assert!(feed.counts.adds_up(), "{feed:?}");
        assert!(feed.counts.kept > 0, "{feed:?}");
    }
    let rules = report.counts.rules;
    assert!(
        [rules.url, rules.host, rules.ipv4, rules.ipv6, rules.sha256, rules.sha1, rules.md5].iter().all(|count| *count > 0),
        "{rules:?}"
    );
}

#[test]
fn every_question_gets_its_answer() {
    let snapshot = Snapshot::from_bytes(&build(&config()).0).unwrap();
    let backend = detect().unwrap();
    let text = std::fs::read_to_string(sample("questions.tsv")).unwrap();
    let mut scratch = Scratch::default();
    let mut asked = 0;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [question, expected, why]: [&str; 3] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let mut batch = Batch::with_capacity(1);
        batch.keep_texts(snapshot.reads_texts());
        let asked_for = Question::detect(question).unwrap_or_else(|error| panic!("{question}: {error}"));
        let (kind, bytes) = asked_for.key().unwrap_or_else(|| panic!("{question} is no question"));
        batch.push(backend, snapshot.schedule(), snapshot.profile(), kind, bytes.as_ref());
        let mut verdicts = [Verdict::default()];
        lookup(backend, &snapshot, &batch, &mut scratch, &mut verdicts);
        let answer = if batch.reason(0).is_some() { "unparseable" } else { verdicts[0].class().unwrap().name() };
        assert_eq!(answer, expected, "{question}: {why}");
        asked += 1;
    }
    assert!(asked >= 16, "{asked}");
}

#[test]
fn order_and_repetition_of_feeds_do_not_show_in_the_bytes() {
    let (bytes, report) = build(&config());
    let mut shuffled = config();
    shuffled.feeds.reverse();
    shuffled.feeds.rotate_left(3);
    let (again, _) = build(&shuffled);
    assert_eq!(Sha256::digest(&bytes), Sha256::digest(&again));
    assert_eq!(report.generation.len(), 16);

    let directory = temporary("order");
    let mut permuted = config();
    for feed in &mut permuted.feeds {
        // Rows of plain lists in another order and twice; tables keep their header where it is.
        let name = feed.path.file_name().unwrap().to_owned();
        let text = std::fs::read_to_string(&feed.path).unwrap();
        let is_list = ["urls.txt", "domains.txt", "hosts", "networks.netset", "hashes.txt", "kits.txt", "allow.txt"]
            .contains(&name.to_str().unwrap());
        let text = if is_list { text.lines().rev().chain(text.lines()).map(|line| format!("{line}\r\n")).collect() } else { text };
        feed.path = directory.join(name);
        std::fs::write(&feed.path, text).unwrap();
    }
    let (permuted, _) = build(&permuted);
    assert_eq!(Sha256::digest(&bytes), Sha256::digest(&permuted));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_refused_feed_leaves_the_old_file_alone() {
    let directory = temporary("refused");
    let output = directory.join("verdicts.snapshot");
    compile_to(detect().unwrap(), &config(), &output, None, &mut ()).unwrap_or_else(|refused| panic!("{refused}"));
    let before = std::fs::read(&output).unwrap();
    assert_eq!(before, build(&config()).0);

    for (name, text, why) in [
        ("page.txt", "<html><body>503</body></html>\n", "HTML or XML"),
        ("empty.txt", "", "no row to tell its format by"),
        ("comments.txt", "# nothing\n", "no row to tell its format by"),
        ("nonsense.txt", "once upon a time\n", "set format"),
    ] {
        let mut broken = config();
        broken.feeds[0].path = directory.join(name);
        std::fs::write(&broken.feeds[0].path, text).unwrap();
        let refused = compile_to(detect().unwrap(), &broken, &output, None, &mut ()).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(refused.report.feeds.len(), broken.feeds.len(), "all feeds are told");
        assert_eq!(std::fs::read(&output).unwrap(), before);
    }

    let mut two = config();
    two.feeds[0].path = directory.join("not-there");
    two.feeds[1].format = Some(Format::HashList);
    let refused = compile_to(detect().unwrap(), &two, &output, None, &mut ()).unwrap_err();
    assert_eq!(refused.errors.len(), 2, "{refused}");
    assert!(refused.errors.iter().any(|error| error.contains("gives no rule") && error.contains("may_be_empty")), "{refused}");
    assert_eq!(std::fs::read(&output).unwrap(), before);
    assert!(std::fs::read_dir(&directory).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().ends_with(".new")));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn an_unreachable_rule_is_told_with_its_line() {
    let directory = temporary("unreachable");
    let path = directory.join("deep.txt");
    std::fs::write(&path, "a.b.c.d.e.f.g.example\nshallow.example\n").unwrap();
    let mut config = Config::from_files(&[path]).unwrap();
    config.snapshot.scheme = verdict_keys::Scheme::GsbV4;
    let mut rejections = Rejections::default();
    let report = compile(detect().unwrap(), &config, &mut rejections).unwrap_or_else(|refused| panic!("{refused}")).report;
    assert_eq!(rejections.0, ["deep.txt:1: unreachable"]);
    assert_eq!((report.counts.kept, report.counts.rejected["unreachable"]), (1, 1));
    std::fs::remove_dir_all(directory).unwrap();
}

/// Remembers how far each feed was read.
#[derive(Default)]
struct Heard {
    formats: Vec<String>,
    progress: Vec<(u64, u64)>,
}

impl Sink for Heard {
    fn format(&mut self, feed: &str, format: Format, because: &str) {
        self.formats.push(format!("{feed}: {format} because {because}"));
    }

    fn progress(&mut self, _feed: &str, bytes: u64, file_bytes: u64) {
        self.progress.push((bytes, file_bytes));
    }
}

#[test]
fn a_gzip_feed_is_told_apart_and_its_progress_heard() {
    let directory = temporary("gzip");
    let path = directory.join("many.txt.gz");
    let mut encoder = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
    for number in 0..20_000 {
        writeln!(encoder, "host-{number}.example").unwrap();
    }
    encoder.finish().unwrap();
    let mut heard = Heard::default();
    let report =
        compile(detect().unwrap(), &Config::from_files(&[path]).unwrap(), &mut heard).unwrap_or_else(|refused| panic!("{refused}")).report;
    assert_eq!(report.counts.kept, 20_000);
    assert_eq!(report.feeds[0].packed, "gzip");
    assert_eq!(heard.formats, ["many.txt: host-list because the first 256 rows hold 256 hosts"]);
    assert!(heard.progress.len() > 2 && heard.progress.is_sorted(), "{:?}", heard.progress);
    let (bytes, file_bytes) = *heard.progress.last().unwrap();
    assert!(bytes == file_bytes && bytes > 0, "{bytes} of {file_bytes}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_feed_that_breaks_half_way_refuses_the_whole() {
    let directory = temporary("broken");
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let whole = gzip(&b"bad.example\n".repeat(50_000));
    let bomb = gzip(&[b"bad.example\n".to_vec(), vec![b'\n'; 32 << 20]].concat());
    for (name, bytes, why) in [("half.gz", &whole[..whole.len() / 2], "line "), ("bomb.gz", &bomb[..], "EXPANSION_RATIO_MAX")] {
        let path = directory.join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut feeds = Config::from_files(&[path]).unwrap();
        feeds.feeds[0].format = Some(Format::HostList);
        let refused = compile(detect().unwrap(), &feeds, &mut ()).err().unwrap_or_else(|| panic!("{name} was accepted"));
        assert!(refused.to_string().contains(why), "{refused}");
        assert!(refused.report.feeds[0].counts.adds_up());
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn columns_that_are_not_there_refuse_the_feed() {
    let directory = temporary("columns");
    std::fs::write(directory.join("feed.csv"), "a,b\nbad.example,x\n").unwrap();
    for (columns, why) in
        [("host = \"name\"", "the header row has no column \"name\" (it has: a, b)"), ("header = \"comment\"\nhost = \"a\"", "no # line")]
    {
        let text = format!("[[feed]]\nname = \"f\"\npath = \"feed.csv\"\n[feed.columns]\n{columns}\n");
        let config = Config::parse(&text, "feeds.toml", &directory).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let refused = compile(detect().unwrap(), &config, &mut ()).err().unwrap();
        assert!(refused.to_string().contains("feed.csv: line 1: ") && refused.to_string().contains(why), "{refused}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

fn temporary(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("verdict-intel-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}
