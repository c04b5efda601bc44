//! The fast path: a URL that is canonical as written, but for port, fragment and an empty path. Offsets only, nothing copied.
//!
//! One classification of the whole URL gives bit masks; everything is found in them, by arithmetic rather than by branches:
//! ```text
//!   http://www.example.com:80/a/b.html?q=1#f
//!   slash      .....11..............1.1........       authority ends at the first slash or delimiter
//!   dot        ..........1.......1......1......       adjacent dots, "//" and "/." are a shift and an and; "/." is then looked at
//!   delimiter  ....1.............1.............       : @ [ ]
//!   question, hash, percent                           the query, the fragment, escapes: each must be the canonical one
//! ```
//! The host lies in the first 64 bytes, or is found block by block ([`far_host`]: one URL in a hundred); path and query may reach through [`BLOCKS_MAX`]
//! blocks. Anything doubtful is `None`, and the slow path decides. The two cannot disagree: a property test, a fuzzer and every real URL compare them.

use super::{Parts, percent};
use crate::HOST_BYTES_MAX;
use std::net::{IpAddr, Ipv4Addr};
use verdict_simd::{Backend, UrlBlock};

/// Bytes of a mask.
const BLOCK: usize = 64;
/// 512 bytes: of 1,000 real URLs two are longer.
const BLOCKS_MAX: usize = 8;

/// A canonical URL or host inside the input, with its dots and slashes as masks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fast<'r> {
    pub parts: Parts<'r>,
    /// Bit `i`: `host[i]` is a dot. Zero for an address: it has no suffixes.
    pub dots: u64,
    /// Bit `i`: `path_query[i]` is a slash of the path. Of its first 64 bytes.
    pub slashes: u64,
}

/// Ones below bit `end`.
#[inline(always)]
fn below(end: usize) -> u64 {
    if end < BLOCK { (1 << end) - 1 } else { u64::MAX }
}

/// A URL whose host ends in the first block, as most do: all of it is arithmetic on masks, and the result stays in registers.
#[inline(always)]
pub(crate) fn url<B: Backend>(backend: B, raw: &[u8]) -> Option<Fast<'_>> {
    let first = backend.classify_block(raw, 0);
    if raw.len() <= BLOCK {
        return find(raw, &first, &[]);
    }
    let mut blocks = [UrlBlock::default(); BLOCKS_MAX - 1];
    let rest = blocks.get_mut(..raw.len().div_ceil(BLOCK) - 1)?;
    for (index, block) in rest.iter_mut().enumerate() {
        *block = backend.classify_block(raw, (index + 1) * BLOCK);
    }
    find(raw, &first, rest)
}

/// A URL whose host ends in a later block.
#[inline(never)]
pub(crate) fn far_url<B: Backend>(backend: B, raw: &[u8]) -> Option<Parts<'_>> {
    let mut blocks = [UrlBlock::default(); BLOCKS_MAX];
    let blocks = blocks.get_mut(..raw.len().div_ceil(BLOCK)).filter(|blocks| blocks.len() > 1)?;
    for (index, block) in blocks.iter_mut().enumerate() {
        *block = backend.classify_block(raw, index * BLOCK);
    }
    let (first, rest) = blocks.split_first()?;
    let start = scheme_bytes(raw);
    let is_far = stops(first) & !below(start) == 0 && first.odd == 0 && rest.iter().all(|block| block.odd == 0);
    if is_far { far_host(backend, raw, start, first, rest) } else { None }
}

/// Everything but the first block is a loop that short URLs are compiled without.
#[inline(always)]
fn find<'r>(raw: &'r [u8], first: &UrlBlock, rest: &[UrlBlock]) -> Option<Fast<'r>> {
    if rest.iter().fold(first.odd, |odd, block| odd | block.odd) != 0 {
        return None;
    }
    let start = scheme_bytes(raw);
    let stops = stops(first) & u64::MAX << start; // 8 at most
    if !rest.is_empty() && stops == 0 {
        return None;
    }
    let stop = (stops.trailing_zeros() as usize).min(raw.len());
    if start == 0 && raw.get(stop) == Some(&b':') && !raw[0].is_ascii_digit() {
        return None; // another scheme, or a host and port that look like one
    }
    let (address, dots) = host(first, raw, start, stop)?;
    let path_at = after_port(raw, stop)?;
    if !rest.is_empty() && path_at >= BLOCK {
        return None;
    }
    let (path_query, path_bytes, slashes) = tail(raw, path_at, first, rest)?;
    let parts = Parts { host: &raw[start..stop], address, path_query, path_bytes };
    Some(Fast { parts, dots, slashes })
}

/// What ends an authority, or divides it.
#[inline(always)]
fn stops(block: &UrlBlock) -> u64 {
    block.slash | block.question | block.hash | block.delimiter
}

/// Path and query from `path_at` on, in the first block: the text, the bytes of its path, its slashes.
#[inline(always)]
fn tail<'r>(raw: &'r [u8], path_at: usize, first: &UrlBlock, rest: &[UrlBlock]) -> Option<(&'r [u8], usize, u64)> {
    let end = position(first.hash & !below(path_at), rest.iter().map(|block| block.hash)).min(raw.len());
    let query_at = position(first.question & !below(path_at), rest.iter().map(|block| block.question));
    let path_end = query_at.min(end);
    if path_at == path_end {
        // `http://host` has the path `/`; `http://host?query` would need a copy.
        return (path_end == end).then_some((b"/", 1, 1));
    }
    let path_bytes = path_end - path_at;
    let slashes = first.slash & !below(path_at);
    if has_empty_or_dotted_segment(slashes, first.dot, rest, path_end) && !is_resolved(&raw[path_at..path_end]) {
        return None;
    }
    if (first.percent & !below(path_at)) != 0 || rest.iter().any(|block| block.percent != 0) {
        let is_canonical =
            percent::is_escaped_as_written(&raw[path_at..path_end], true) && percent::is_escaped_as_written(&raw[path_end..end], false);
        if !is_canonical {
            return None;
        }
    }
    let from_second = rest.first().map_or(0, |second| second.slash << 1 << (BLOCK - 1 - path_at));
    let slashes = (slashes >> path_at | from_second) & below(path_bytes);
    let end = if query_at + 1 == end { query_at } else { end };
    Some((&raw[path_at..end], path_bytes, slashes))
}

/// A host that begins in the first block and ends in a later one; what follows it is classified anew, so that it begins a block.
fn far_host<'r, B: Backend>(backend: B, raw: &'r [u8], start: usize, first: &UrlBlock, rest: &[UrlBlock]) -> Option<Parts<'r>> {
    let stop = position(0, rest.iter().map(stops)).min(raw.len());
    let unfit = |block: &UrlBlock| block.upper | block.percent;
    let unfit_after =
        rest.iter().enumerate().fold(0, |sum, (index, block)| sum | unfit(block) & below(stop.saturating_sub((index + 1) * BLOCK)));
    let (authority, tail_raw) = raw.split_at(stop);
    let host = &authority[start..];
    if unfit(first) | unfit_after != 0 || host.len() > HOST_BYTES_MAX {
        return None;
    }
    // Labels from the right: none is empty, and the last one is no number, so that this is no address.
    let mut labels = host.rsplit(|byte| *byte == b'.');
    if labels.next()?.first().is_none_or(u8::is_ascii_digit) || labels.any(<[u8]>::is_empty) {
        return None;
    }
    if start == 0 && tail_raw.first() == Some(&b':') && !raw[0].is_ascii_digit() {
        return None; // another scheme, or a host and port that look like one
    }
    let path_at = after_port(tail_raw, 0).filter(|path_at| *path_at < BLOCK)?;
    let mut blocks = [UrlBlock::default(); BLOCKS_MAX];
    let blocks = blocks.get_mut(..tail_raw.len().div_ceil(BLOCK).max(1))?;
    for (index, block) in blocks.iter_mut().enumerate() {
        *block = backend.classify_block(tail_raw, index * BLOCK);
    }
    let (first, rest) = blocks.split_first()?;
    let (path_query, path_bytes, _) = tail(tail_raw, path_at, first, rest)?;
    Some(Parts { host, address: None, path_query, path_bytes })
}

/// A host question that is its own canonical form.
#[inline(always)]
pub(crate) fn host_alone<B: Backend>(backend: B, raw: &[u8]) -> Option<Fast<'_>> {
    if raw.len() > BLOCK {
        return None;
    }
    let block = backend.classify_block(raw, 0);
    if (block.slash | block.question | block.hash | block.delimiter | block.odd) != 0 {
        return None;
    }
    let (address, dots) = host(&block, raw, 0, raw.len())?;
    Some(Fast { parts: Parts { host: raw, address, path_query: &[], path_bytes: 0 }, dots, slashes: 0 })
}

/// 8, 7 or 0, without a branch: which of the two it is nobody can predict.
#[inline(always)]
fn scheme_bytes(raw: &[u8]) -> usize {
    let Some(first) = raw.first_chunk().copied().map(u64::from_le_bytes) else { return 0 };
    let https = first == u64::from_le_bytes(*b"https://");
    let http = first << 8 == u64::from_le_bytes(*b"http://\0") << 8;
    8 * usize::from(https) + 7 * usize::from(http)
}

/// The first bit of blocks that follow each other; past the end if there is none.
#[inline(always)]
fn position(first: u64, rest: impl Iterator<Item = u64>) -> usize {
    let mut at = 0;
    let mut mask = first;
    for next in rest {
        if mask != 0 {
            break;
        }
        (at, mask) = (at + BLOCK, next);
    }
    at + mask.trailing_zeros() as usize
}

/// `//` or `/.` before `end`.
#[inline(always)]
fn has_empty_or_dotted_segment(slashes: u64, dots: u64, rest: &[UrlBlock], end: usize) -> bool {
    let mut within = below(end);
    let mut found = slashes & (slashes | dots) >> 1 & within >> 1;
    let mut border = slashes >> 63;
    for (index, block) in rest.iter().enumerate() {
        within = below(end.saturating_sub((index + 1) * BLOCK));
        let (slashes, both) = (block.slash & within, (block.slash | block.dot) & within);
        found |= slashes & both >> 1 | border & both;
        border = slashes >> 63;
    }
    found != 0
}

/// No segment is empty, `.` or `..`, nor may it become that by unescaping: `/.well-known/` stays what it is.
#[cold]
fn is_resolved(path: &[u8]) -> bool {
    let mut segments = path[1..].split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.is_empty() && !is_last || matches!(segment, b"." | b"..") || segment.starts_with(b".") && segment.contains(&b'%') {
            return false;
        }
    }
    true
}

/// Lower case, single dots, none at either end; not a number at the end unless four plain decimal parts.
#[inline(always)]
fn host(first: &UrlBlock, raw: &[u8], start: usize, stop: usize) -> Option<(Option<IpAddr>, u64)> {
    let within = below(stop) & u64::MAX << start;
    if start >= stop || (first.upper | first.percent) & within != 0 {
        return None;
    }
    let dots = (first.dot & within) >> start;
    let ends = 1 | 1 << (stop - start - 1);
    if dots & (ends | dots >> 1) != 0 {
        return None;
    }
    let last_label = start + (u64::BITS - dots.leading_zeros()) as usize;
    if !raw[last_label].is_ascii_digit() {
        return Some((None, dots));
    }
    Some((Some(plain_ipv4(&raw[start..stop], dots)?.into()), 0))
}

/// Four decimal parts without leading zeros: such a text is canonical. One pass without a branch that digits decide: the standard library's
/// parser took 4 % of all the daemon's time in the URL case of the suite `peers`.
#[inline(always)]
fn plain_ipv4(host: &[u8], dots: u64) -> Option<Ipv4Addr> {
    if dots.count_ones() != 3 || host.len() > "255.255.255.255".len() {
        return None;
    }
    let (mut address, mut part, mut digits, mut wrong) = (0u32, 0u32, 0u32, false);
    for byte in host {
        let dot = *byte == b'.';
        let digit = u32::from(byte.wrapping_sub(b'0'));
        wrong |= !dot & (digit > 9 || digits != 0 && part == 0);
        address = if dot { address << 8 | part } else { address };
        digits = if dot { 0 } else { digits + 1 };
        part = if dot { 0 } else { part.wrapping_mul(10).wrapping_add(digit) };
        wrong |= part > 255;
    }
    (!wrong).then(|| Ipv4Addr::from_bits(address << 8 | part))
}

/// Where the path begins; `None` where something else than a port, path, query or fragment follows the host.
#[inline(always)]
fn after_port(raw: &[u8], stop: usize) -> Option<usize> {
    match raw.get(stop) {
        None | Some(b'/' | b'?' | b'#') => Some(stop),
        Some(b':') => after_digits(raw, stop + 1),
        Some(_) => None,
    }
}

fn after_digits(raw: &[u8], mut at: usize) -> Option<usize> {
    let mut port = 0u32;
    while let Some(digit) = raw.get(at).filter(|byte| byte.is_ascii_digit()) {
        port = port * 10 + u32::from(digit - b'0');
        if port > 0xFFFF {
            return None;
        }
        at += 1;
    }
    matches!(raw.get(at), None | Some(b'/' | b'?' | b'#')).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every part of one to three digits in every place, and all short texts of digits and dots, against the standard library.
    #[test]
    fn plain_ipv4_reads_what_the_standard_library_reads() {
        let check = |text: &str| {
            let dots = text.bytes().enumerate().fold(0, |dots, (at, byte)| dots | u64::from(byte == b'.') << at);
            let fits = !text.starts_with('.') && !text.ends_with('.') && !text.contains(".."); // `host` has looked
            if fits {
                assert_eq!(plain_ipv4(text.as_bytes(), dots), text.parse().ok(), "{text}");
            }
        };
        for place in 0..4 {
            for part in 0..1000 {
                for shown in [format!("{part}"), format!("{part:02}"), format!("{part:03}"), format!("{part}x"), format!("-{part}")] {
                    let mut parts = ["1", "20", "255", "0"];
                    parts[place] = &shown;
                    check(&parts.join("."));
                }
            }
        }
        for number in 0..4u32.pow(9) {
            let text: String = (0..9).map(|at| ['0', '1', '9', '.'][(number >> (2 * at) & 3) as usize]).collect();
            check(&text);
        }
        check("1.2.3.4.5");
        check("1.2.3");
        check("255.255.255.2555");
    }
}
