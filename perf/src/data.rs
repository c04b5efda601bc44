//! Indicators and benign questions, read from files of real public data, or generated in the same shape.
//!
//! ```text
//! VERDICT_DATA, or ../shared/data beside the workspace
//!   url/openphish_history_*  urlhaus_csv_*  urlhaus_filter_full_norm_*     feeds/maltrail_trails_*  misp-warninglists_*  ip/firehol_*
//!   hashes/malware_hashes_merged                                            benign_url/*  domains/cisco_top20k_*
//! ```
//! These readers know these files and nothing else; they share no code with verdict-intel, whose own reading of feeds is tested there.
//! A row becomes an `Indicator`: the text as the feed spells it, what it is meant to be, and what its source says. Canonical forms are made in `rules`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use verdict_tables::{Class, Vote};

use crate::seed::Rng;

/// What the text of an indicator is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meant {
    /// A URL, with or without scheme: exactly this one.
    Url,
    /// A URL whose path names a directory: all below it too.
    UrlPrefix,
    /// A URL that is listed for the names below its host too.
    UrlEverywhere,
    /// This host only.
    Host,
    /// This host and all names below it.
    HostTree,
    /// An address or a prefix.
    Net,
    /// A file digest in hexadecimal.
    File,
}

/// One row of one source.
#[derive(Clone, Debug)]
pub struct Indicator {
    /// As the source spells it.
    pub text: Box<str>,
    /// How it is to be understood.
    pub meant: Meant,
    /// What the source says.
    pub vote: Vote,
}

/// Everything a workload is made of.
#[derive(Default)]
pub struct Corpus {
    /// Name and licence of each source; votes refer to them by index.
    pub sources: Vec<(String, String)>,
    /// Rows of all sources, in file order.
    pub indicators: Vec<Indicator>,
    /// URLs and hosts that no source here lists on purpose.
    pub benign: Vec<Box<str>>,
    /// Texts that a feed lists as marks of bad URLs, wherever they stand: paths without a host, names of malware families. Lower case, distinct.
    pub patterns: Vec<Box<str>>,
    /// True where the rows are generated and not real.
    pub generated: bool,
}

/// Where the data files are: `VERDICT_DATA`, else `../shared/data` relative to the workspace root. None where neither exists.
pub fn directory() -> Option<PathBuf> {
    let candidates = match std::env::var_os("VERDICT_DATA") {
        Some(path) => vec![PathBuf::from(path)],
        None => vec![PathBuf::from("../shared/data"), Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data")],
    };
    candidates.into_iter().find(|path| path.join("url").is_dir())
}

/// The vote of a source that lists `class` with these categories; other fields are plausible and fixed.
pub fn vote(source: u16, class: Class, score: u8, categories: u16) -> Vote {
    Vote {
        source,
        class,
        allow: false,
        overrides: false,
        score,
        confidence: 80,
        categories,
        first_seen_day: 20_000,
        last_seen_day: 20_100,
        ttl_s: 3_600,
    }
}

const MALWARE: u16 = 1 << 0;
const PHISHING: u16 = 1 << 1;
const C2: u16 = 1 << 2;
const SCANNER: u16 = 1 << 5;

impl Corpus {
    /// At most `limit` real indicators, spread over the sources in proportion; all of them where `limit` is 0.
    pub fn real(directory: &Path, limit: usize) -> io::Result<Self> {
        let mut corpus = Corpus::default();
        corpus.openphish(&directory.join("url/openphish_history_20241012_20260531.tsv.gz"))?;
        corpus.urlhaus(&directory.join("url/urlhaus_csv_online_20250421.csv.gz"))?;
        corpus.urlhaus_norm(&directory.join("url/urlhaus_filter_full_norm_2018_2022.tsv.gz"))?;
        corpus.maltrail(&directory.join("feeds/maltrail_trails_20260823.tsv.gz"))?;
        corpus.warninglists(&directory.join("feeds/misp-warninglists_20260820.tar.gz"))?;
        corpus.firehol(&directory.join("feeds/ip/firehol_level1_20210628.netset"))?;
        corpus.hashes(&directory.join("hashes/malware_hashes_merged.tsv.gz"))?;
        corpus.patterns.sort_unstable();
        corpus.patterns.dedup();
        if limit != 0 && corpus.indicators.len() > limit {
            corpus.thin(limit);
        }
        corpus.operator_rules();
        for name in ["kasztp_48k.txt.gz", "maltrail_reference_urls.txt.gz", "debian_homepages.txt.gz", "kagi_smallweb_feeds.txt.gz"] {
            lines(&directory.join("benign_url").join(name), |line| corpus.benign.push(line.into()))?;
        }
        lines(&directory.join("domains/cisco_top20k_history.tsv.gz"), |line| {
            corpus.benign.extend(line.split('\t').nth(3).map(Box::from));
        })?;
        Ok(corpus)
    }

    /// About `count` made-up indicators under reserved names and addresses (RFC 2606, RFC 5737, RFC 3849, and 10.0.0.0/8 for quantity).
    pub fn generated(count: usize, rng: &Rng) -> Self {
        let mut rng = rng.fork("generated corpus");
        let mut corpus = Corpus { generated: true, ..Corpus::default() };
        let (phish, hosts, nets) = (corpus.source("made-up URLs"), corpus.source("made-up hosts"), corpus.source("made-up addresses"));
        let (files, allowed) = (corpus.source("made-up files"), corpus.source("made-up allow list"));
        for _ in 0..count {
            let host = made_up_host(&mut rng);
            let (text, meant, mut vote) = match rng.below(100) {
                0..30 => (made_up_url(&mut rng, &host), Meant::Url, vote(phish, Class::Malicious, 90, PHISHING)),
                30..34 => (made_up_directory(&mut rng, &host), Meant::UrlPrefix, vote(phish, Class::Suspicious, 60, PHISHING)),
                34..36 => (made_up_url(&mut rng, &host), Meant::UrlEverywhere, vote(phish, Class::Malicious, 85, MALWARE)),
                36..56 => (host, Meant::HostTree, vote(hosts, Class::Malicious, 80, C2)),
                56..66 => (host, Meant::Host, vote(hosts, Class::Suspicious, 50, MALWARE)),
                66..82 => (made_up_net(&mut rng), Meant::Net, vote(nets, Class::Malicious, 70, SCANNER)),
                _ => (made_up_digest(&mut rng), Meant::File, vote(files, Class::Malicious, 100, MALWARE)),
            };
            if rng.one_in(50) {
                vote = Vote { source: allowed, class: Class::Clean, allow: true, score: 0, categories: 0, ..vote };
            }
            corpus.indicators.push(Indicator { text: text.into(), meant, vote });
        }
        corpus.patterns = (0..count / 8).map(|_| made_up_pattern(&mut rng).into()).collect();
        corpus.patterns.sort_unstable();
        corpus.patterns.dedup();
        corpus.operator_rules();
        for _ in 0..count / 4 {
            let host = made_up_host(&mut rng);
            corpus.benign.push(made_up_url(&mut rng, &host).into());
        }
        corpus
    }

    /// Real data where it is to be found, else generated; says on standard error which.
    pub fn real_or_generated(limit: usize, rng: &Rng) -> io::Result<Self> {
        match directory() {
            Some(directory) => Self::real(&directory, limit),
            None => {
                let count = if limit == 0 { 1_200_000 } else { limit };
                eprintln!(
                    "data files not found (VERDICT_DATA is where they would be): {count} made-up indicators under reserved names instead"
                );
                Ok(Self::generated(count, rng))
            }
        }
    }

    fn source(&mut self, name: &str) -> u16 {
        self.sources.push((name.to_owned(), "unknown".to_owned()));
        (self.sources.len() - 1) as u16
    }

    fn push(&mut self, text: &str, meant: Meant, vote: Vote) {
        self.indicators.push(Indicator { text: text.into(), meant, vote });
    }

    fn thin(&mut self, limit: usize) {
        let total = self.indicators.len();
        let mut index = 0usize;
        self.indicators.retain(|_| {
            index += 1;
            index * limit / total != (index - 1) * limit / total
        });
    }

    /// Every 4,001st row is overruled by an operator and every 2,003rd allowed by one, so that those precedences meet real rules of every kind.
    fn operator_rules(&mut self) {
        let operator = self.source("operator");
        let mut own = Vec::new();
        for (index, row) in self.indicators.iter().enumerate() {
            let class = [Class::Clean, Class::Malicious, Class::Suspicious][index % 3];
            if index % 4_001 == 0 {
                own.push(Indicator { vote: Vote { overrides: true, ..vote(operator, class, 33, 1 << 11) }, ..row.clone() });
            } else if index % 2_003 == 0 {
                own.push(Indicator { vote: Vote { allow: true, ..vote(operator, Class::Clean, 0, 0) }, ..row.clone() });
            }
        }
        self.indicators.extend(own);
    }

    fn openphish(&mut self, path: &Path) -> io::Result<()> {
        let source = self.source("openphish");
        lines(path, |line| {
            if let Some(url) = line.split('\t').nth(3).filter(|url| *url != "line") {
                self.push(url, Meant::Url, vote(source, Class::Malicious, 90, PHISHING));
            }
        })
    }

    fn urlhaus(&mut self, path: &Path) -> io::Result<()> {
        let source = self.source("urlhaus");
        lines(path, |line| {
            if let Some(url) = line.split("\",\"").nth(2) {
                self.push(url, Meant::Url, vote(source, Class::Malicious, 95, MALWARE));
            }
        })
    }

    fn urlhaus_norm(&mut self, path: &Path) -> io::Result<()> {
        let source = self.source("urlhaus-filter");
        let vote = vote(source, Class::Malicious, 75, MALWARE);
        lines(path, |line| {
            let mut columns = line.split('\t').skip(3);
            let (Some(kind), Some(text)) = (columns.next(), columns.next()) else { return };
            match kind {
                "ipv4" => self.push(text.split(':').next().unwrap_or(text), Meant::Net, vote),
                "host" => self.push(text, Meant::Host, vote),
                "url" if text.ends_with('/') => self.push(text, Meant::UrlPrefix, vote),
                "url" => self.push(text, Meant::Url, vote),
                _ => (),
            }
        })
    }

    fn maltrail(&mut self, path: &Path) -> io::Result<()> {
        let source = self.source("maltrail");
        lines(path, |line| {
            let mut columns = line.split('\t');
            let (Some(class), Some(family), Some(text)) = (columns.next(), columns.next(), columns.next()) else { return };
            let categories = if family.starts_with("apt_") { C2 | MALWARE } else { C2 };
            let vote = match class {
                "malware" | "malicious" => vote(source, Class::Malicious, 85, categories),
                "suspicious" => vote(source, Class::Suspicious, 55, 1 << 6),
                "other" => vote(source, Class::Suspicious, 30, SCANNER),
                _ => return,
            };
            self.patterns.extend([text, family].into_iter().filter(|text| is_pattern(text)).map(|text| text.to_ascii_lowercase().into()));
            // A path without a host is a pattern; a regular expression nothing that tables hold.
            if text.starts_with('/') || text.contains(['\\', '(', '*', '|', ' ', '[']) {
                return;
            }
            let address = text.split_once(':').map_or(text, |(host, _)| host);
            match () {
                () if address.parse::<std::net::Ipv4Addr>().is_ok() || is_prefix(text) => {
                    let text = if is_prefix(text) { text } else { address };
                    self.push(text, Meant::Net, vote);
                }
                () if text.contains("://") => self.push(text, Meant::Url, vote),
                () if text.ends_with('/') && text.len() % 5 == 0 => self.push(text, Meant::UrlEverywhere, vote),
                () if text.ends_with('/') => self.push(text, Meant::UrlPrefix, vote),
                () if text.contains('/') => self.push(text, Meant::Url, vote),
                () => self.push(text, Meant::HostTree, vote),
            }
        })
    }

    fn warninglists(&mut self, path: &Path) -> io::Result<()> {
        let source = self.source("misp-warninglists");
        let allowed = Vote { allow: true, ..vote(source, Class::Clean, 0, 0) };
        let scanner = vote(source, Class::Suspicious, 40, SCANNER);
        for (name, content) in tar_members(&open(path)?)? {
            if !name.ends_with("list.json") {
                continue;
            }
            let list: serde_json::Value = serde_json::from_slice(&content)?;
            let vote = if name.contains("scan") { scanner } else { allowed };
            let kind = list["type"].as_str().unwrap_or("").to_owned();
            for text in list["list"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
                match kind.as_str() {
                    "cidr" => self.push(text, Meant::Net, vote),
                    "hostname" | "string" if text.starts_with('.') => self.push(&text[1..], Meant::HostTree, vote),
                    "hostname" | "string" if text.contains('.') && !text.contains(['/', ' ', '@', ':']) => {
                        self.push(text, Meant::Host, vote)
                    }
                    _ => (),
                }
            }
        }
        Ok(())
    }

    fn firehol(&mut self, path: &Path) -> io::Result<()> {
        let source = self.source("firehol");
        lines(path, |line| {
            if !line.starts_with('#') {
                self.push(line, Meant::Net, vote(source, Class::Malicious, 65, SCANNER));
            }
        })
    }

    fn hashes(&mut self, path: &Path) -> io::Result<()> {
        let source = self.source("malware hashes");
        lines(path, |line| {
            if let Some(text) = line.split('\t').next().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit())) {
                self.push(text, Meant::File, vote(source, Class::Malicious, 99, MALWARE));
            }
        })
    }
}

/// Networks of warning lists and block lists, each with the name of the file's source.
pub fn networks(directory: &Path) -> io::Result<Vec<(String, String)>> {
    let mut corpus = Corpus::default();
    corpus.warninglists(&directory.join("feeds/misp-warninglists_20260820.tar.gz"))?;
    corpus.firehol(&directory.join("feeds/ip/firehol_level1_20210628.netset"))?;
    let networks = corpus.indicators.iter().filter(|row| row.meant == Meant::Net);
    Ok(networks.map(|row| (row.text.to_string(), corpus.sources[usize::from(row.vote.source)].0.clone())).collect())
}

fn is_prefix(text: &str) -> bool {
    text.split_once('/').is_some_and(|(network, bits)| network.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok())
}

fn open(path: &Path) -> io::Result<Vec<u8>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut content = Vec::new();
    let file = File::open(path).map_err(named)?;
    match path.extension().is_some_and(|ending| ending == "gz") {
        true => MultiGzDecoder::new(file).read_to_end(&mut content),
        false => BufReader::new(file).read_to_end(&mut content),
    }
    .map_err(named)?;
    Ok(content)
}

/// Lines of a plain or gzipped file; lines that are not UTF-8 are passed over, as are empty ones.
pub(crate) fn lines(path: &Path, mut each: impl FnMut(&str)) -> io::Result<()> {
    for line in BufReader::new(open(path)?.as_slice()).split(b'\n') {
        let line = line?;
        if let Ok(text) = std::str::from_utf8(&line) {
            let text = text.trim_end_matches('\r');
            if !text.is_empty() {
                each(text);
            }
        }
    }
    Ok(())
}

/// Regular files of a tar archive (POSIX ustar, pax(1) "ustar interchange format"): 512-byte headers, name at 0, octal size at 124, type at 156.
fn tar_members(archive: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut members = Vec::new();
    let mut at = 0;
    while let Some(header) = archive.get(at..at + 512).filter(|header| header[0] != 0) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned();
        let size = usize::from_str_radix(&text(&header[124..136]), 8).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let content = archive.get(at + 512..at + 512 + size).ok_or(io::ErrorKind::UnexpectedEof)?;
        if matches!(header[156], 0 | b'0') {
            members.push((text(&header[..100]), content.to_vec()));
        }
        at += 512 + size.next_multiple_of(512);
    }
    Ok(members)
}

/// A path or a family that is a literal and a canonical one.
fn is_pattern(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-=?&".contains(&byte);
    let is_path = text.starts_with('/') && !text.contains("//") && !text.contains("/.");
    (is_path || !text.contains(['/', '.'])) && (5..=255).contains(&text.len()) && text.bytes().all(plain)
}

/// Like the marks of kits: `/panel/gate-7f3a.php`.
fn made_up_pattern(rng: &mut Rng) -> String {
    let words = ["panel", "gate", "admin", "loader", "config", "upload", "bot", "verify"];
    let number = rng.below(1 << 20);
    let (one, other) = (*rng.pick(&words), *rng.pick(&words));
    if rng.one_in(4) { format!("{one}_{other}{number:x}") } else { format!("/{one}/{other}-{number:x}.php") }
}

fn made_up_host(rng: &mut Rng) -> String {
    let endings: [&str; 6] = ["example", "example.com", "example.net", "example.org", "test", "invalid"];
    let mut host = String::new();
    for _ in 0..1 + rng.below(3) {
        host.push_str(&word(rng));
        host.push('.');
    }
    host + *rng.pick(&endings)
}

fn word(rng: &mut Rng) -> String {
    let length = 3 + rng.below(9);
    (0..length).map(|_| char::from(*rng.pick(b"abcdefghijklmnopqrstuvwxyz0123456789"))).collect()
}

fn made_up_directory(rng: &mut Rng, host: &str) -> String {
    let mut url = format!("{}{host}/", rng.pick(&["http://", "https://"]));
    for _ in 0..rng.below(4) {
        url.push_str(&word(rng));
        url.push('/');
    }
    url
}

fn made_up_url(rng: &mut Rng, host: &str) -> String {
    let mut url = made_up_directory(rng, host);
    if rng.below(2) == 0 {
        url.push_str(&word(rng));
        let endings: &[&str] = &["", ".php", ".html", ".exe"];
        let ending = *rng.pick(endings);
        url.push_str(ending);
    }
    if rng.one_in(4) {
        url = format!("{url}?{}={}", word(rng), word(rng));
    }
    url
}

fn made_up_net(rng: &mut Rng) -> String {
    let bits = rng.bits();
    match rng.below(4) {
        0 => format!("10.{}.{}.0/{}", bits as u8, (bits >> 8) as u8, 16 + rng.below(9)),
        1 => format!("2001:db8:{:x}:{:x}::/{}", bits as u16, (bits >> 16) as u8, 32 + rng.below(33)),
        2 => format!("2001:db8:{:x}::{:x}", bits as u16, (bits >> 16) as u16),
        _ => format!("10.{}.{}.{}", bits as u8, (bits >> 8) as u8, (bits >> 16) as u8),
    }
}

fn made_up_digest(rng: &mut Rng) -> String {
    let bytes = *rng.pick(&[16usize, 20, 32]);
    (0..bytes).map(|_| format!("{:02x}", rng.bits() as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_rows_are_of_all_kinds_and_repeatable() {
        let rng = Rng::new(3);
        let (one, two) = (Corpus::generated(3_000, &rng), Corpus::generated(3_000, &rng));
        assert!(one.indicators.iter().zip(&two.indicators).all(|(a, b)| a.text == b.text && a.vote == b.vote));
        for meant in [Meant::Url, Meant::UrlPrefix, Meant::UrlEverywhere, Meant::Host, Meant::HostTree, Meant::Net, Meant::File] {
            assert!(one.indicators.iter().any(|row| row.meant == meant), "{meant:?}");
        }
        assert!(one.indicators.iter().any(|row| row.vote.overrides) && one.indicators.iter().any(|row| row.vote.allow));
    }

    #[test]
    fn tar_members_are_read_and_directories_passed_over() {
        let mut archive = vec![0u8; 512];
        archive[..5].copy_from_slice(b"a.txt");
        archive[124..135].copy_from_slice(b"00000000003");
        archive[156] = b'0';
        archive.extend(b"abc");
        archive.resize(1024, 0);
        let mut folder = archive[..512].to_vec();
        folder[124..135].copy_from_slice(b"00000000000");
        folder[156] = b'5';
        let whole: Vec<u8> = [folder, archive, vec![0; 1024]].concat();
        assert_eq!(tar_members(&whole).unwrap(), vec![("a.txt".to_owned(), b"abc".to_vec())]);
        assert!(tar_members(&whole[..1025]).is_err(), "a cut archive is an error");
    }

    #[test]
    fn thinning_keeps_the_asked_number() {
        let mut corpus = Corpus::generated(1_000, &Rng::new(1));
        corpus.indicators.truncate(1_000);
        corpus.thin(137);
        assert_eq!(corpus.indicators.len(), 137);
    }
}
