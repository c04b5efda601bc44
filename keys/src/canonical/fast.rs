//! The fast path: a URL that is canonical as written, but for port, fragment and an empty path. Offsets only, nothing copied.
//!
//! One classification of the whole URL gives bit masks; everything is found in them:
//! ```text
//!   http://www.example.com:80/a/b.html?q=1#f
//!   slash      .....11..............1.1........       authority ends at the first slash or delimiter
//!   dot        ..........1.......1......1......       adjacent dots, "//" and "/." are a shift and an and
//!   delimiter  ....1.............1.........1..1        : @ ? # [ ]
//! ```
//! Anything doubtful is `None`, and the slow path decides. The two cannot disagree: a property test, a fuzzer and every real URL compare them.

use super::Parts;
use std::net::{IpAddr, Ipv4Addr};
use verdict_simd::{Backend, UrlBlock};

/// Longer URLs take the slow path: masks are 128 bits.
const BYTES_MAX: usize = 128;

/// A canonical URL or host inside the input, with its dots and slashes as masks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fast<'r> {
    pub parts: Parts<'r>,
    /// Bit `i`: `host[i]` is a dot. Zero for an address: it has no suffixes.
    pub dots: u128,
    /// Bit `i`: `path_query[i]` is a slash of the path.
    pub slashes: u128,
}

/// The masks of a whole input.
struct Masks {
    slash: u128,
    dot: u128,
    delimiter: u128,
    upper: u128,
}

impl Masks {
    /// `None` where the input is empty, too long, or holds a byte that needs more than offsets.
    #[inline]
    fn of<B: Backend>(backend: B, raw: &[u8]) -> Option<Self> {
        if raw.is_empty() || raw.len() > BYTES_MAX {
            return None;
        }
        let mut blocks = [UrlBlock::default(); BYTES_MAX / 64];
        backend.classify_url(raw, &mut blocks[..raw.len().div_ceil(64)]);
        let [low, high] = blocks;
        let wide = |low: u64, high: u64| u128::from(low) | u128::from(high) << 64;
        (low.odd | high.odd == 0).then(|| Self {
            slash: wide(low.slash, high.slash),
            dot: wide(low.dot, high.dot),
            delimiter: wide(low.delimiter, high.delimiter),
            upper: wide(low.upper, high.upper),
        })
    }
}

/// Ones below bit `end`.
#[inline]
fn below(end: usize) -> u128 {
    1u128.checked_shl(end as u32).map_or(u128::MAX, |bit| bit - 1)
}

#[inline]
pub(crate) fn url<B: Backend>(backend: B, raw: &[u8]) -> Option<Fast<'_>> {
    let masks = Masks::of(backend, raw)?;
    let start = if raw.starts_with(b"https://") {
        8
    } else if raw.starts_with(b"http://") {
        7
    } else {
        0
    };
    let stop = (((masks.slash | masks.delimiter) & !below(start)).trailing_zeros() as usize).min(raw.len());
    if start == 0 && raw.get(stop) == Some(&b':') && !raw[0].is_ascii_digit() {
        return None; // another scheme, or a host and port that look like one
    }
    let (address, dots) = host(&masks, raw, start, stop)?;
    let path_at = after_port(raw, stop)?;

    let mut marks = masks.delimiter & !below(path_at);
    let (mut query_at, mut end) = (raw.len(), raw.len());
    while marks != 0 {
        let at = marks.trailing_zeros() as usize;
        match raw[at] {
            b'#' => {
                end = at;
                break;
            }
            b'?' => query_at = query_at.min(at),
            _ => {}
        }
        marks &= marks - 1;
    }
    let path_end = query_at.min(end);
    let host = &raw[start..stop];
    if path_at == path_end {
        // `http://host` has the path `/`; `http://host?query` would need a copy.
        let parts = Parts { host, address, path_query: b"/", path_bytes: 1 };
        return (path_end == end).then_some(Fast { parts, dots, slashes: 1 });
    }
    let slashes = (masks.slash & below(path_end)) >> path_at;
    let dots_of_path = (masks.dot & below(path_end)) >> path_at;
    if slashes & (slashes | dots_of_path) >> 1 != 0 {
        return None;
    }
    let end = if query_at + 1 == end { query_at } else { end };
    let parts = Parts { host, address, path_query: &raw[path_at..end], path_bytes: path_end - path_at };
    Some(Fast { parts, dots, slashes })
}

/// A host question that is its own canonical form.
#[inline]
pub(crate) fn host_alone<B: Backend>(backend: B, raw: &[u8]) -> Option<Fast<'_>> {
    let masks = Masks::of(backend, raw)?;
    if (masks.slash | masks.delimiter) != 0 {
        return None;
    }
    let (address, dots) = host(&masks, raw, 0, raw.len())?;
    Some(Fast { parts: Parts { host: raw, address, path_query: &[], path_bytes: 0 }, dots, slashes: 0 })
}

/// Lower case, single dots, none at either end; not a number at the end unless four plain decimal parts.
#[inline]
fn host(masks: &Masks, raw: &[u8], start: usize, stop: usize) -> Option<(Option<IpAddr>, u128)> {
    let within = below(stop) & !below(start);
    if start == stop || masks.upper & within != 0 {
        return None;
    }
    let dots = (masks.dot & within) >> start;
    let ends = 1 | 1 << (stop - start - 1);
    if dots & (ends | dots >> 1) != 0 {
        return None;
    }
    let last_label = start + (u128::BITS - dots.leading_zeros()) as usize;
    if !raw[last_label].is_ascii_digit() {
        return Some((None, dots));
    }
    // The standard library takes decimal parts without leading zeros only: such a text is canonical.
    let address: Ipv4Addr = std::str::from_utf8(&raw[start..stop]).ok()?.parse().ok()?;
    Some((Some(address.into()), 0))
}

/// Where the path begins; `None` where something else than a port, path, query or fragment follows the host.
#[inline]
fn after_port(raw: &[u8], stop: usize) -> Option<usize> {
    let mut at = stop;
    if raw.get(at) == Some(&b':') {
        let mut port = 0u32;
        at += 1;
        while let Some(digit) = raw.get(at).filter(|byte| byte.is_ascii_digit()) {
            port = port * 10 + u32::from(digit - b'0');
            if port > 0xFFFF {
                return None;
            }
            at += 1;
        }
    }
    matches!(raw.get(at), None | Some(b'/' | b'?' | b'#')).then_some(at)
}
