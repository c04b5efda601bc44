//! Paths and queries. A path is resolved twice, because two parties resolve it.
//!
//! 1. The browser, on the text as written: segments end at `/` or `\`, `.` and `..` (also as `%2e`) are resolved, an empty
//!    segment counts as one. `/a//../b` is fetched as `/a/b`.
//! 2. Safe Browsing, and many a server, on the unescaped text: slash runs collapse, then dots resolve. `/a%2f%2f../b` is `/b`.
//!
//! Only the first would let `%2f..%2f` hide a path; only the second would let `//../` do so. A `?` that was escaped stays part of the path
//! and is written `%3F`, so that `/%3F/..%2fx` cannot pose as a query. The query is unescaped and escaped again, nothing more.

use super::percent::{is_plain, push_escaped, unescape};

/// Appends the canonical form of `raw` (empty, or beginning with a slash or backslash; no query) to `out`, which must be empty.
pub(super) fn push_path(raw: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    debug_assert!(out.is_empty());
    if is_canonical(raw) {
        out.extend_from_slice(raw);
        return;
    }
    scratch.clear();
    resolve_as_browsers_do(raw, scratch);
    unescape(scratch);
    resolve_and_escape(scratch, out);
}

/// Appends `?` and the canonical query, or nothing where the query is empty.
pub(super) fn push_query(raw: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    if raw.is_empty() {
        return;
    }
    out.push(b'?');
    if raw.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(raw);
        return;
    }
    scratch.clear();
    scratch.extend_from_slice(raw);
    unescape(scratch);
    for &byte in scratch.iter() {
        push_byte(byte, is_plain(byte), out);
    }
}

/// Nothing to resolve, unescape or escape: begins with a slash, no `//`, no segment beginning with a dot, plain bytes only.
fn is_canonical(path: &[u8]) -> bool {
    path.first() == Some(&b'/')
        && path.iter().all(|&byte| is_plain(byte) && byte != b'\\')
        && !path.windows(2).any(|pair| matches!(pair, [b'/', b'/' | b'.']))
}

fn is_slash(byte: &u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// WHATWG URL, "path state", for special schemes.
fn resolve_as_browsers_do(raw: &[u8], out: &mut Vec<u8>) {
    let mut segments = raw.split(is_slash).peekable();
    segments.next(); // what stands before the first slash: nothing
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match dots(segment) {
            0 => {
                out.push(b'/');
                out.extend_from_slice(segment);
                continue;
            }
            1 => {}
            _ => pop_segment(out),
        }
        if is_last {
            out.push(b'/');
        }
    }
}

/// 1 or 2 where the segment is that many dots, any of them written `%2e`; else 0.
fn dots(mut segment: &[u8]) -> usize {
    let mut count = 0;
    loop {
        segment = match segment {
            [] => return if count <= 2 { count } else { 0 },
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return 0,
        };
        count += 1;
    }
}

fn pop_segment(out: &mut Vec<u8>) {
    let end = out.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    out.truncate(end);
}

/// Safe Browsing's path rules on unescaped text: empty segments vanish, dots resolve, unsafe bytes are escaped.
fn resolve_and_escape(text: &[u8], out: &mut Vec<u8>) {
    let mut ends_in_slash = true;
    for segment in text.split(is_slash) {
        ends_in_slash = true;
        match segment {
            b"" | b"." => {}
            b".." => pop_segment(out),
            _ => {
                ends_in_slash = false;
                out.push(b'/');
                for &byte in segment {
                    push_byte(byte, is_plain(byte) && byte != b'?', out);
                }
            }
        }
    }
    if ends_in_slash {
        out.push(b'/');
    }
}

fn push_byte(byte: u8, plain: bool, out: &mut Vec<u8>) {
    if plain {
        out.push(byte);
    } else {
        push_escaped(out, byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, want: &str) {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        push_path(raw.as_bytes(), &mut scratch, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), want, "{raw}");
    }

    #[test]
    fn dots_and_slash_runs_resolve() {
        check("", "/");
        check("/foo/.././bar/./../foo.html", "/foo.html");
        check("//a//b///c////", "/a/b/c/");
        check("/foo/bar/..", "/foo/");
        check("/foo/.", "/foo/");
        check("/foo/../../..", "/");
        check("/foo/..bar", "/foo/..bar");
        check("/...", "/...");
        check("/.git/config", "/.git/config");
    }

    #[test]
    fn escaped_dots_and_slashes_resolve_too() {
        check("/foo/%2e./%2E%2e/.%2e/%2e.bar", "/..bar");
        check("/a/%2e%2e%2fb", "/b");
        check("/a/%252e%252e/b", "/b");
        check("/a%5C..%5Cb", "/b");
    }

    #[test]
    fn an_empty_segment_counts_for_the_browser_and_not_for_the_server() {
        check("/evil//../page", "/evil/page");
        check("/a/%2f../b", "/b");
    }

    #[test]
    fn an_escaped_question_mark_stays_in_the_path() {
        check("/%3F/..%2fevil", "/evil");
        check("/x%3fy", "/x%3Fy");
    }

    #[test]
    fn backslashes_are_slashes() {
        check("\\a\\..\\b\\", "/b/");
    }

    #[test]
    fn unsafe_bytes_are_escaped_in_upper_case() {
        check("/%1b%7f%80 %23%25", "/%1B%7F%80%20%23%25");
    }

    #[test]
    fn a_query_is_never_resolved() {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        push_query(b"a//../b?c\\d%2541%20%c3", &mut scratch, &mut out);
        assert_eq!(out, b"?a//../b?c\\dA%20%C3");
    }
}
