//! Real feeds, read from first to last line: every row accounted for, no panic, and the format told as a person would.
//!
//! The files are not part of this repository. They are looked for in `$VERDICT_DATA`, then in `../shared/data` beside the workspace;
//! without them these tests say so and pass. Where the machine is not x86-64 it is mostly emulated, and only `$VERDICT_DATA` counts. `cargo test -p verdict-intel --test real -- --nocapture` prints the tables.

use crate::common;
use common::data;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use verdict_intel::config::{Feed, Snapshot as SnapshotConfig};
use verdict_intel::detect::detect;
use verdict_intel::judge::Expect;
use verdict_intel::open::open;
use verdict_intel::read::Said;
use verdict_intel::read::table::{Column, Columns, Header, Role};
use verdict_intel::scan::{Visitor, scan};
use verdict_intel::{Config, Counts, Format, Reason, compile, plan};
use verdict_tables::{Rule, Snapshot};

/// Files below `directory`, sorted.
fn files(directory: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() { files(&entry, into) } else { into.push(entry) }
    }
}

/// What each file is, by a part of its path. Files without a line here are read or refused as they come.
const EXPECTED: &[(&str, Result<Format, &str>)] = &[
    ("urlhaus_csv_online", Ok(Format::UrlhausCsv)),
    ("openphish_history", Ok(Format::OpenphishTsv)),
    ("openphish_deltas", Err("unknown columns (time, op, url)")),
    ("urlhaus_filter_full_norm", Ok(Format::UrlhausFilterTsv)),
    ("urlhaus_filter_online_norm", Ok(Format::UrlhausFilterTsv)),
    ("maltrail_trails", Ok(Format::MaltrailTsv)),
    ("malware_hashes_merged", Ok(Format::HashTable)),
    ("signature-base_hash-iocs", Ok(Format::HashComment)),
    ("signature-base_c2-iocs", Ok(Format::HostList)),
    ("romainmarcoux", Ok(Format::HashList)),
    ("talos_emotet_hashes", Ok(Format::HashList)),
    ("MD5-test", Ok(Format::HashList)),
    ("firehol_level1", Ok(Format::Netset)),
    ("urlhaus-filter-hosts", Ok(Format::Hosts)),
    ("urlhaus-filter-domains", Ok(Format::HostList)),
    ("urlhaus-filter-dnscrypt-blocked-ips", Ok(Format::AddressList)),
    ("urlhaus-filter-dnscrypt-blocked-names", Ok(Format::HostList)),
    ("20220314/urlhaus-filter-online.txt", Ok(Format::Adblock)),
    ("20220314/urlhaus-filter.txt", Ok(Format::Adblock)),
    ("adblock/urlhaus-filter-online", Ok(Format::Adblock)),
    ("consecutive_202106", Ok(Format::Adblock)),
    ("tranco100k_202605_as_urls", Err("unknown columns (url, label, source)")),
    ("others_dga", Err("could not be told")),
    ("cloudflare_top100k", Ok(Format::HostList)),
    ("kasztp", Ok(Format::UrlList)),
    ("maltrail_reference_urls", Ok(Format::UrlList)),
    ("debian_homepages", Ok(Format::UrlList)),
    ("iscx-url2016", Ok(Format::UrlList)),
    ("ebbu2017_legitimate", Ok(Format::UrlList)),
    ("ebbu2017_phishing", Ok(Format::List)),
    ("conficker", Ok(Format::HostList)),
    ("cisco_top20k_history", Err("unknown columns (first_seen, last_seen, snapshots, host)")),
    ("prefixes_v4_asn", Err("unknown columns")),
    ("urlhaus-filter-ag-", Ok(Format::Adblock)),
    ("urlhaus-filter-agh", Ok(Format::Adblock)),
    ("urlhaus-filter-vivaldi", Ok(Format::Adblock)),
    ("easylist", Ok(Format::Adblock)),
    ("easyprivacy", Ok(Format::Adblock)),
    ("adblock/filters", Ok(Format::Adblock)),
    ("adblock/badware", Ok(Format::Adblock)),
    ("dnsmasq", Ok(Format::Dnsmasq)),
    ("unbound", Ok(Format::Unbound)),
    ("urlhaus-filter-bind", Ok(Format::BindZones)),
    ("urlhaus-filter-rpz", Ok(Format::Rpz)),
    ("urlhaus-filter-snort", Ok(Format::IdsRules)),
    ("suricata", Ok(Format::IdsRules)),
    (".tpl", Ok(Format::ProtectionList)),
    (".tar.gz", Err("tar archive")),
    ("firepit", Ok(Format::Stix)),
    ("oasis_stix", Ok(Format::Stix)),
    ("pymisp_misp_event_schema", Err("a JSON schema")),
    ("pymisp", Ok(Format::Misp)),
];

#[derive(Default)]
struct Nothing;

impl Visitor for Nothing {
    fn rule(&mut self, _line: u64, rule: Rule<'_>, _said: &Said, _reference: Option<&[u8]>) -> Result<(), Reason> {
        std::hint::black_box(rule);
        Ok(())
    }
}

fn print_row(name: &str, format: &str, counts: &Counts) {
    let rejected: Vec<String> = counts.rejected.iter().map(|(code, count)| format!("{code} {count}")).collect();
    println!("{name:<58} {format:<18} {:>9} {:>9}  {}", counts.rows, counts.kept, rejected.join(", "));
}

#[test]
fn every_real_file_is_read_or_refused_with_a_reason() {
    let Some(data) = data() else { return };
    let mut paths = Vec::new();
    for room in ["url", "benign_url", "domains", "dga", "hashes", "feeds", "bgp"] {
        files(&data.join(room), &mut paths);
    }
    println!("{:<58} {:<18} {:>9} {:>9}  rejected", "file", "format", "rows", "kept");
    let (mut total, mut read) = (Counts::default(), 0);
    for path in &paths {
        let name = path.strip_prefix(&data).unwrap().display().to_string();
        let opened = open(path).unwrap();
        let detected = detect(&name, &opened.head, opened.whole);
        if let Some((_, expected)) = EXPECTED.iter().find(|(part, _)| name.contains(part)) {
            match (expected, &detected) {
                (Ok(format), Ok(detected)) => assert_eq!(*format, detected.format, "{name}: {}", detected.because),
                (Err(why), Err(undecided)) => assert!(undecided.to_string().contains(why), "{name}: {undecided}"),
                (expected, detected) => panic!("{name}: expected {expected:?}, got {detected:?}"),
            }
        }
        match detected {
            Err(undecided) => println!("{name:<58} {undecided:.100}"),
            Ok(detected) => {
                let feed = Feed::new("real", path);
                let (counts, outcome) = scan(plan(&feed, detected.format), opened.into_reader(), &mut Nothing);
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(counts.adds_up(), "{name}: {counts:?}");
                // file:// URLs are nobody's address: a list of them is read, and every row rejected.
                // Observations and events without an attribute for detection hold no indicator.
                let is_context = ["node_files", "firepit", "pymisp_misp_event", "c2-ip-address"].iter().any(|part| name.contains(part));
                assert!(counts.kept > 0 || is_context, "{name}: {counts:?}");
                print_row(&name, detected.format.name(), &counts);
                total.add(&counts);
                read += 1;
            }
        }
    }
    print_row(&format!("{read} files"), "", &total);
    assert!(read >= 60, "{read}");
    assert!(total.rules.total() > 3_000_000, "{total:?}");
}

/// Columns by number, 0 for none.
fn numbered(delimiter: u8, header: Header, roles: &[(usize, Role)]) -> Columns {
    Columns {
        delimiter,
        quotes: delimiter != b'\t',
        header,
        roles: roles.iter().map(|(number, role)| (Column::Number(*number), *role)).collect(),
    }
}

#[test]
fn real_tables_are_read_by_declared_columns() {
    let Some(data) = data() else { return };
    let url = Role::Indicator(Expect::Url);
    let host = Role::Indicator(Expect::Host);
    let address = Role::Indicator(Expect::Address);
    let cases = [
        ("benign_url/citizenlab_test_lists.csv.gz", numbered(b',', Header::Row, &[(2, url), (5, Role::FirstSeen)])),
        ("domains/tranco100k_202605_as_urls.csv.gz", numbered(b',', Header::Row, &[(1, url)])),
        ("domains/cisco_top20k_history.tsv.gz", numbered(b'\t', Header::Row, &[(1, Role::FirstSeen), (2, Role::LastSeen), (4, host)])),
        ("url/openphish_deltas_20241012_20260531.tsv.gz", numbered(b'\t', Header::Row, &[(1, Role::FirstSeen), (3, url)])),
        ("dga/andrewaeva_2017/dds-malicious-domains.csv.gz", numbered(b',', Header::None, &[(1, host), (2, Role::Tags)])),
        ("dga/baderj_example_domains.tsv.gz", numbered(b'\t', Header::Row, &[(3, host)])),
        ("bgp/prefixes_v4_asn_derived.txt.gz", numbered(b'\t', Header::None, &[(1, address)])),
        ("feeds/misc/jayp232_IPC2s-30day.csv", numbered(b',', Header::Comment, &[(1, address)])),
        ("feeds/misc/jayp232_threatfox.csv.gz", numbered(b',', Header::Row, &[(1, host)])),
    ];
    for (name, columns) in cases {
        let feed = Feed { columns: Some(columns), ..Feed::new("real", data.join(name)) };
        let (counts, outcome) = scan(plan(&feed, Format::Csv), open(&feed.path).unwrap().into_reader(), &mut Nothing);
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(counts.adds_up(), "{name}");
        print_row(name, "csv", &counts);
        assert!(counts.rows > 1000 && counts.kept * 100 >= counts.rows * 98, "{name}: {counts:?}");
    }
}

#[test]
fn a_million_real_indicators_of_all_kinds_compile() {
    let Some(data) = data() else { return };
    let names = [
        "url/openphish_history_20241012_20260531.tsv.gz",
        "url/urlhaus_csv_online_20250421.csv.gz",
        "url/urlhaus_filter_online_norm_2019_2022.tsv.gz",
        "feeds/urlhaus-filter/20210601/urlhaus-filter-hosts.txt.gz",
        "feeds/urlhaus-filter/20220314/urlhaus-filter.txt.gz",
        "feeds/ip/firehol_level1_20210628.netset",
        "feeds/maltrail_trails_20260823.tsv.gz",
        "hashes/malware_hashes_merged.tsv.gz",
        "hashes/signature-base_hash-iocs.txt.gz",
        "hashes/signature-base_c2-iocs.txt",
    ];
    let feeds: Vec<Feed> = names.iter().map(|name| Feed::new(name.rsplit('/').next().unwrap(), data.join(name))).collect();
    let config =
        Config { snapshot: SnapshotConfig { secret: b"a million".to_vec(), ..SnapshotConfig::default() }, feeds, ..Config::default() };
    let backend = verdict_simd::detect().unwrap();
    let started = Instant::now();
    let outcome = compile(backend, &config, &mut ()).unwrap_or_else(|refused| panic!("{refused}"));
    let seconds = started.elapsed().as_secs_f64();
    let (report, rules) = (&outcome.report, outcome.report.counts.rules);
    println!("{:<58} {:<18} {:>9} {:>9}  rejected", "file", "format", "rows", "kept");
    for feed in &report.feeds {
        print_row(&feed.name, feed.format.unwrap().name(), &feed.counts);
        assert!(feed.counts.adds_up());
    }
    print_row("all", "", &report.counts);
    println!("indicators: {rules:?}, {} in all", rules.total());
    println!(
        "{seconds:.2} s ({:.2} s of it building): {:.0} indicators/s, snapshot {} bytes, {:.1} bytes/indicator (this build's optimisation level)",
        report.build_seconds,
        rules.total() as f64 / seconds,
        report.snapshot_bytes,
        report.snapshot_bytes as f64 / rules.total() as f64
    );
    assert!(rules.total() >= 1_000_000);
    assert!(
        [rules.url, rules.host, rules.ipv4, rules.ipv6, rules.sha256, rules.sha1, rules.md5].iter().all(|count| *count > 100),
        "{rules:?}"
    );
    let snapshot = Snapshot::from_bytes(&outcome.built.bytes).unwrap();
    assert_eq!(snapshot.generation(), outcome.built.generation);
    let by_reason: BTreeMap<_, _> = report.counts.rejected.iter().collect();
    println!("rejected by reason: {by_reason:?}");
}
