//! The rows of a feed in another order, where each stands for itself.
//!
//! Tables keep their first line, a header or a row like any other. Documents, archives, zone files (where a name's wildcard may stand on the next
//! line) and filter lists with conditions (`!#if` holds until `!#endif`) stay as they are.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::files::Feed;
use crate::seed::Rng;

/// Formats whose lines are rows.
const BY_LINES: [&str; 16] = [
    "list",
    "url-list",
    "host-list",
    "address-list",
    "hash-list",
    "hosts",
    "netset",
    "hash-comment",
    "maltrail-list",
    "adblock",
    "dnsmasq",
    "unbound",
    "bind-zones",
    "protection-list",
    "ids-rules",
    "ip-reputation",
];
/// The same below a header.
const BY_LINES_BELOW_A_HEADER: [&str; 3] = ["csv", "maltrail-tsv", "urlhaus-filter-tsv"];

/// Shuffles the feeds, and the lines of those that may be; returns how many lines were moved.
pub(super) fn shuffle(feeds: &mut [Feed], directory: &Path, rng: &mut Rng) -> io::Result<u64> {
    std::fs::create_dir_all(directory)?;
    let mut moved = 0;
    for feed in feeds.iter_mut() {
        let format = feed.format.as_deref().unwrap_or_default();
        let header = usize::from(BY_LINES_BELOW_A_HEADER.contains(&format));
        if header == 1 || BY_LINES.contains(&format) {
            let mut bytes = Vec::new();
            unpacked(&feed.path)?.read_to_end(&mut bytes)?;
            if has_conditions(&bytes) {
                continue;
            }
            let path = directory.join(&feed.name);
            moved += write(&bytes, header, &mut File::create(&path)?, rng)?;
            feed.path = path;
        }
    }
    order(feeds, rng);
    Ok(moved)
}

fn has_conditions(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"!#if"))
}

fn write(bytes: &[u8], header: usize, into: &mut impl Write, rng: &mut Rng) -> io::Result<u64> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let rows = lines.get_mut(header..).unwrap_or_default();
    order(rows, rng);
    let moved = rows.len() as u64;
    let mut joined = lines.join(&b'\n');
    joined.push(b'\n');
    into.write_all(&joined)?;
    Ok(moved)
}

/// Fisher and Yates.
fn order<T>(of: &mut [T], rng: &mut Rng) {
    for place in (1..of.len()).rev() {
        of.swap(place, rng.below(place + 1));
    }
}

fn unpacked(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = File::open(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_are_there_in_another_order_below_their_header() {
        let rows: Vec<String> = (0..50).map(|row| format!("row-{row}")).collect();
        let text = format!("header\n{}\n", rows.join("\n"));
        let mut out = Vec::new();
        assert_eq!(write(text.as_bytes(), 1, &mut out, &mut Rng::new(1)).unwrap(), 50);
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("header\n") && out != text && out.len() == text.len());
        let mut lines: Vec<&str> = out.lines().skip(1).collect();
        lines.sort_unstable();
        let mut sorted: Vec<&str> = rows.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        assert_eq!(lines, sorted);
        assert!(has_conditions(b"! list\n!#if env_chromium\n||bad.example^\n!#endif\n") && !has_conditions(b"! list\nx !#if\n"));
    }
}
