//! The options of a detection rule: what it asks for, if that is a host and a path and nothing beside.
//!
//! ```text
//! Suricata   http.host; content:"a.example"; startswith; endswith;     the buffer stands before
//! Snort 3    http_header:field host; content:"a.example",nocase;       the buffer stands before, modifiers behind commas
//! Snort 2    content:"/x"; http_uri; nocase;                           the buffer stands behind
//! ```

use crate::reason::Reason;

/// One text that is asked for in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// With `|41 42|` and escapes undone.
    pub text: Vec<u8>,
    /// Nothing may stand before it.
    pub at_start: bool,
    /// A dot was put before the buffer.
    pub dotprefix: bool,
}

/// What a rule asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options<'l> {
    /// In the name of the host.
    pub host: Option<Asked>,
    /// In path and query.
    pub path: Option<Asked>,
    /// `classtype:`
    pub classtype: &'l [u8],
    /// The first `reference:`
    pub reference: &'l [u8],
    /// `sid:`
    pub sid: &'l [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Buffer {
    Host,
    Path,
    Method,
    /// Snort 2: all headers; the word `Host` in them says nothing.
    Headers,
    /// The packet as a whole.
    Raw,
}

struct Content {
    buffer: Buffer,
    asked: Asked,
}

/// Options in their order; an error where one of them is more than a key can say.
pub fn read(body: &[u8]) -> Result<Options<'_>, Reason> {
    let mut options = Options::default();
    let mut contents: Vec<Content> = Vec::new();
    let (mut sticky, mut dotprefix) = (Buffer::Raw, false);
    for option in split(body)? {
        let colon = option.iter().position(|&byte| byte == b':');
        let (name, value) = colon.map_or((option, &b""[..]), |at| (option[..at].trim_ascii(), option[at + 1..].trim_ascii()));
        match (name, value) {
            (b"reference", value) if options.reference.is_empty() => options.reference = value,
            (b"sid", number) => options.sid = number,
            (b"msg" | b"reference" | b"rev" | b"gid" | b"metadata" | b"priority" | b"target" | b"flow" | b"noalert", _) => {}
            (b"fast_pattern" | b"nocase" | b"service" | b"rem" | b"file_meta", _) => {}
            (b"classtype", class) => options.classtype = class,
            (b"threshold", value) if has_word(value, b"limit") => {}
            (b"http.host" | b"http.host.raw" | b"tls.sni" | b"tls_sni" | b"dns.query" | b"dns_query" | b"quic.sni", _) => {
                (sticky, dotprefix) = (Buffer::Host, false);
            }
            (b"http_header", field)
                if field.strip_prefix(b"field").is_some_and(|field| field.trim_ascii().eq_ignore_ascii_case(b"host")) =>
            {
                (sticky, dotprefix) = (Buffer::Host, false);
            }
            (b"http.uri" | b"http.uri.raw", _) => (sticky, dotprefix) = (Buffer::Path, false),
            (b"http.method", _) => (sticky, dotprefix) = (Buffer::Method, false),
            (b"dotprefix", _) if sticky == Buffer::Host => dotprefix = true,
            (b"http_uri" | b"http_raw_uri" | b"http_host" | b"http_raw_host" | b"http_method" | b"http_header", b"") => {
                let buffer = match name {
                    b"http_uri" | b"http_raw_uri" => Buffer::Path,
                    b"http_host" | b"http_raw_host" => Buffer::Host,
                    b"http_method" => Buffer::Method,
                    _ => Buffer::Headers,
                };
                // Snort 2 names the buffer behind the text, Snort 3 before it.
                match contents.last_mut() {
                    Some(last) if last.buffer == Buffer::Raw => last.buffer = buffer,
                    _ => (sticky, dotprefix) = (buffer, false),
                }
            }
            (b"startswith", _) => last(&mut contents)?.asked.at_start = true,
            // A rule for the text itself stands at the end anyway.
            (b"endswith", _) | (b"isdataat", b"!1,relative") => {}
            (b"depth" | b"bsize", number) => pin(last(&mut contents)?, number)?,
            (b"content", value) => contents.push(content(value, sticky, dotprefix)?),
            _ => return Err(Reason::RuleCondition),
        }
    }
    collect(contents, &mut options)?;
    Ok(options)
}

/// One text for each buffer, and none that only a packet or another method has.
fn collect(contents: Vec<Content>, options: &mut Options<'_>) -> Result<(), Reason> {
    let in_headers = contents.iter().any(|content| content.buffer == Buffer::Headers);
    for content in contents {
        let slot = match content.buffer {
            Buffer::Method if content.asked.text == b"GET" => continue,
            Buffer::Headers if content.asked.text.eq_ignore_ascii_case(b"Host") => continue,
            // Snort 2: a text anywhere in a request that has a Host header; a request for that host is one of them.
            Buffer::Raw if in_headers => &mut options.host,
            Buffer::Host => &mut options.host,
            Buffer::Path => &mut options.path,
            Buffer::Method | Buffer::Headers | Buffer::Raw => return Err(Reason::RuleCondition),
        };
        if slot.replace(content.asked).is_some() {
            return Err(Reason::RuleSeveral);
        }
    }
    Ok(())
}

fn last(contents: &mut [Content]) -> Result<&mut Content, Reason> {
    contents.last_mut().ok_or(Reason::RuleCondition)
}

/// `depth` or `bsize` of exactly the text's length: nothing before it, or nothing around it.
fn pin(content: &mut Content, number: &[u8]) -> Result<(), Reason> {
    let number = std::str::from_utf8(number).ok().and_then(|number| number.trim().parse::<usize>().ok());
    if number != Some(content.asked.text.len()) {
        return Err(Reason::RuleCondition);
    }
    content.asked.at_start = true;
    Ok(())
}

/// `"text"`, and the modifiers that Snort 3 writes behind it.
fn content(value: &[u8], buffer: Buffer, dotprefix: bool) -> Result<Content, Reason> {
    let quoted = value.strip_prefix(b"\"").ok_or(Reason::RuleCondition)?; // `!"…"` too
    let end = end_of_quoted(quoted).ok_or(Reason::ListFormat)?;
    let modifiers = quoted[end + 1..].split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    if !modifiers.into_iter().all(|modifier| matches!(modifier, b"" | b"nocase" | b"fast_pattern")) {
        return Err(Reason::RuleCondition);
    }
    let text = unescape(&quoted[..end])?;
    Ok(Content { buffer, asked: Asked { text, at_start: false, dotprefix } })
}

fn end_of_quoted(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// `|2e 65|` is `.e`; a backslash stands before `;`, `"`, `:` and itself.
fn unescape(text: &[u8]) -> Result<Vec<u8>, Reason> {
    let mut out = Vec::with_capacity(text.len());
    let (mut in_hex, mut half) = (false, None);
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match (byte, in_hex) {
            (b'|', _) if half.is_none() => in_hex = !in_hex,
            (b' ', true) if half.is_none() => {}
            (digit, true) => {
                let value = (digit as char).to_digit(16).ok_or(Reason::ListFormat)? as u8;
                match half.take() {
                    Some(high) => out.push(high << 4 | value),
                    None => half = Some(value),
                }
            }
            (b'\\', false) => out.push(*bytes.next().ok_or(Reason::ListFormat)?),
            (byte, false) => out.push(byte),
        }
    }
    if in_hex { Err(Reason::ListFormat) } else { Ok(out) }
}

fn has_word(text: &[u8], word: &[u8]) -> bool {
    text.split(|byte| byte.is_ascii_whitespace() || *byte == b',').any(|found| found == word)
}

/// Between semicolons that are neither quoted nor escaped.
fn split(body: &[u8]) -> Result<Vec<&[u8]>, Reason> {
    let (mut options, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, &byte) in body.iter().enumerate() {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b';' if !escaped && !quoted => {
                options.push(body[start..at].trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    let rest_is_empty = body[start..].trim_ascii().is_empty();
    if quoted || !rest_is_empty { Err(Reason::ListFormat) } else { Ok(options) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_escapes_and_hexadecimal() {
        assert_eq!(unescape(b"a|2e 62|c\\;").unwrap(), b"a.bc;");
        for text in [&b"|2"[..], b"|2|", b"a\\", b"|zz|"] {
            assert_eq!(unescape(text), Err(Reason::ListFormat), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn splits_at_bare_semicolons_only() {
        assert_eq!(split(b"msg:\"a;b\\\"c\"; x\\;y; sid:1;").unwrap(), [&b"msg:\"a;b\\\"c\""[..], b"x\\;y", b"sid:1"]);
        assert_eq!(split(b"msg:\"a; sid:1;"), Err(Reason::ListFormat));
        assert_eq!(split(b"sid:1"), Err(Reason::ListFormat));
    }
}
