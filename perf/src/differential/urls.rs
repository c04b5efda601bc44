//! Real URLs of every file at hand, or made-up ones under reserved names.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::data::Corpus;
use crate::seed::Rng;

/// Where a URL stands in a line.
#[derive(Clone, Copy)]
enum Column {
    Line,
    Tab(usize),
    Comma(usize),
    /// `"a","b"`: every other piece between quotes is a comma.
    Quoted(usize),
}

#[rustfmt::skip]
const FILES: [(&str, Column); 20] = [
    ("url/ebbu2017_legitimate.txt.gz", Column::Line),
    ("url/ebbu2017_phishing.txt.gz", Column::Line),
    ("url/hannousse2020_userbait_unlabelled.txt.gz", Column::Line),
    ("url/openphish_history_20241012_20260531.tsv.gz", Column::Tab(3)),
    ("url/urlhaus_csv_online_20250421.csv.gz", Column::Quoted(2)),
    ("url/urlhaus_filter_full_norm_2018_2022.tsv.gz", Column::Tab(4)),
    ("url/urlhaus_filter_online_norm_2019_2022.tsv.gz", Column::Tab(4)),
    ("url/iscx-url2016/Benign_list_big_final.csv.gz", Column::Line),
    ("url/iscx-url2016/Malware_dataset.csv.gz", Column::Line),
    ("url/iscx-url2016/phishing_dataset.csv.gz", Column::Line),
    ("url/iscx-url2016/spam_dataset.csv.gz", Column::Line),
    ("benign_url/citizenlab_test_lists.csv.gz", Column::Comma(1)),
    ("benign_url/debian_homepages.txt.gz", Column::Line),
    ("benign_url/kagi_smallweb_feeds.txt.gz", Column::Line),
    ("benign_url/kasztp_48k.txt.gz", Column::Line),
    ("benign_url/maigret_site_profile_urls.tsv.gz", Column::Tab(1)),
    ("benign_url/maltrail_reference_urls.txt.gz", Column::Line),
    ("benign_url/node_files_file_urls.txt.gz", Column::Line),
    ("benign_url/scoop_main_download_urls.tsv.gz", Column::Tab(2)),
    ("benign_url/simple_icons_brand_source_urls.txt.gz", Column::Line),
];

impl Column {
    fn of(self, line: &[u8]) -> &[u8] {
        let nth = |separator: u8, index: usize| line.split(move |&byte| byte == separator).nth(index).unwrap_or_default();
        match self {
            Self::Line => line,
            Self::Tab(index) => nth(b'\t', index),
            Self::Comma(index) => nth(b',', index),
            Self::Quoted(index) => nth(b'"', 2 * index + 1),
        }
    }
}

/// Every URL of every file under `directory`; a file that is not there is named on standard error.
pub fn real(directory: &Path) -> io::Result<Vec<Box<[u8]>>> {
    let mut urls = Vec::new();
    for (file, column) in FILES {
        let path = directory.join(file);
        if !path.exists() {
            eprintln!("{file} is not there, and left out");
            continue;
        }
        for line in BufReader::new(MultiGzDecoder::new(File::open(path)?)).split(b'\n') {
            urls.push(column.of(&line?).into());
        }
    }
    Ok(urls)
}

/// Made-up ones, in the shapes of real ones.
pub fn generated(count: usize, rng: &Rng) -> Vec<Box<[u8]>> {
    let corpus = Corpus::generated(count, rng);
    let listed = corpus.indicators.iter().map(|row| &row.text).filter(|text| text.contains('.'));
    listed.chain(&corpus.benign).map(|text| text.as_bytes().into()).collect()
}
