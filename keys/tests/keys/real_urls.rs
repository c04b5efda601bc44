//! Every URL of the shared files: no panic, one canonical form, and a report of what is unparseable and why.

use crate::check;
use crate::common;
use std::collections::BTreeMap;
use std::path::Path;
use verdict_keys::{Batch, Canonicalizer, Kind, Profile, Unparseable};
use verdict_simd::available;

/// File, the column that holds the URL (tab-separated, or quoted CSV), least share that must be canonical.
const FILES: [(&str, Column, f64); 18] = [
    ("url/ebbu2017_legitimate.txt.gz", Column::Line, 0.999),
    ("url/ebbu2017_phishing.txt.gz", Column::Line, 0.99),
    ("url/hannousse2020_userbait_unlabelled.txt.gz", Column::Line, 0.99),
    ("url/openphish_history_20241012_20260531.tsv.gz", Column::Tab(3), 0.999),
    ("url/urlhaus_csv_online_20250421.csv.gz", Column::Quoted(2), 0.999),
    ("url/urlhaus_filter_full_norm_2018_2022.tsv.gz", Column::Tab(4), 0.999),
    ("url/urlhaus_filter_online_norm_2019_2022.tsv.gz", Column::Tab(4), 0.999),
    ("url/iscx-url2016/Benign_list_big_final.csv.gz", Column::Line, 0.99),
    ("url/iscx-url2016/Malware_dataset.csv.gz", Column::Line, 0.99),
    ("url/iscx-url2016/phishing_dataset.csv.gz", Column::Line, 0.99),
    ("url/iscx-url2016/spam_dataset.csv.gz", Column::Line, 0.99),
    ("benign_url/citizenlab_test_lists.csv.gz", Column::Comma(1), 0.99),
    ("benign_url/debian_homepages.txt.gz", Column::Line, 0.99),
    ("benign_url/kagi_smallweb_feeds.txt.gz", Column::Line, 0.999),
    ("benign_url/kasztp_48k.txt.gz", Column::Line, 0.999),
    ("benign_url/maltrail_reference_urls.txt.gz", Column::Line, 0.99),
    ("benign_url/scoop_main_download_urls.tsv.gz", Column::Tab(2), 0.999),
    ("benign_url/simple_icons_brand_source_urls.txt.gz", Column::Line, 0.999),
];

/// Elsewhere these tests mostly run emulated: every eighth line.
const STRIDE: usize = if cfg!(target_arch = "x86_64") { 1 } else { 8 };

#[derive(Clone, Copy)]
enum Column {
    Line,
    Tab(usize),
    Comma(usize),
    Quoted(usize),
}

impl Column {
    fn of(self, line: &[u8]) -> &[u8] {
        let nth = |separator: u8, index: usize| line.split(move |&byte| byte == separator).nth(index).unwrap_or_default();
        match self {
            Self::Line => line,
            Self::Tab(index) => nth(b'\t', index),
            Self::Comma(index) => nth(b',', index),
            // "a","b","c": every other piece between quotes is a comma.
            Self::Quoted(index) => nth(b'"', 2 * index + 1),
        }
    }
}

#[derive(Default)]
struct Report {
    canonical: usize,
    refused: BTreeMap<Unparseable, (usize, String)>,
}

impl Report {
    fn read(path: &Path, column: Column) -> Self {
        let mut report = Self::default();
        let (mut first, mut second) = (Canonicalizer::new(), Canonicalizer::new());
        for line in common::gzip_lines(path).step_by(STRIDE) {
            let raw = column.of(&line);
            match first.url(raw) {
                Ok(url) => {
                    report.canonical += 1;
                    assert_eq!(second.url(url.to_string().as_bytes()), Ok(url), "{}", String::from_utf8_lossy(raw));
                }
                Err(reason) => {
                    let entry = report.refused.entry(reason).or_default();
                    entry.0 += 1;
                    entry.1 = String::from_utf8_lossy(raw).into_owned();
                }
            }
        }
        report
    }

    fn lines(&self) -> usize {
        self.canonical + self.refused.values().map(|(count, _)| count).sum::<usize>()
    }
}

#[test]
fn every_real_url_has_one_canonical_form_or_a_reason() {
    let mut total = Report::default();
    for (file, column, least) in FILES {
        let Some(path) = common::data(file) else { continue };
        let report = Report::read(&path, column);
        let share = report.canonical as f64 / report.lines() as f64;
        println!("{file}: {} lines, {:.3} % canonical", report.lines(), 100.0 * share);
        for (reason, (count, last)) in &report.refused {
            println!("    {count} {}: last {last:.90}", reason.name());
            total.refused.entry(*reason).or_default().0 += count;
        }
        total.canonical += report.canonical;
        assert!(share >= least, "{file}: {share}");
    }
    for (reason, (count, _)) in &total.refused {
        println!("total {} {count} of {}", reason.name(), total.lines());
    }
}

#[test]
fn fast_and_slow_path_agree_on_real_urls_and_on_mutated_ones() {
    let schedule = common::schedule();
    let mut batch = Batch::default();
    let (mut fast, mut asked, mut random) = (0, 0, 0x9E37_79B9_7F4A_7C15u64);
    for (file, column, _) in FILES {
        let Some(path) = common::data(file) else { continue };
        for (number, line) in common::gzip_lines(&path).step_by(STRIDE).enumerate() {
            let raw = column.of(&line);
            batch.push(available()[0], &schedule, &Profile::FULL_MAX, Kind::Url, raw);
            if number % 8 == 0 {
                let mutated = mutate(raw, &mut random);
                for profile in [Profile::GSB_V4, Profile::FULL_MAX] {
                    check::batch_holds_the_hashes_of_the_strings(available()[0], &schedule, &profile, &[raw, &mutated]);
                }
                check::canonical_form_is_its_own(&mutated);
            }
            if batch.items().len() == 4096 {
                (fast, asked) = (fast + batch.fast_count(), asked + batch.items().len());
                batch.clear();
            }
        }
    }
    println!("{fast} of {asked} real URLs take the fast path ({:.1} %)", 100.0 * fast as f64 / asked.max(1) as f64);
}

/// One to four pieces of trouble at random places: inserted, or written over what stood there.
fn mutate(raw: &[u8], random: &mut u64) -> Vec<u8> {
    const PIECES: [&[u8]; 32] = [
        b"/",
        b"//",
        b"\\",
        b".",
        b"..",
        b"/../",
        b"/./",
        b"%2e",
        b"%2F",
        b"%5c",
        b"%25",
        b"%3f",
        b"%23",
        b"%",
        b"@",
        b":",
        b":80",
        b":99999",
        b"?",
        b"#",
        b"[",
        b"]",
        b" ",
        b"\t",
        b"\x00",
        b"\xff",
        b"\xe3\x80\x82",
        b"\xef\xbc\x91",
        b"\xc2\xad",
        b"0x7f",
        b"A",
        b".1",
    ];
    let mut below = |bound: usize| {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        (*random % bound as u64) as usize
    };
    let mut out = raw.to_vec();
    for _ in 0..=below(4) {
        let (piece, at) = (PIECES[below(PIECES.len())], below(out.len() + 1));
        let end = if below(2) == 0 { at } else { out.len().min(at + piece.len()) };
        out.splice(at..end, piece.iter().copied());
    }
    out
}
