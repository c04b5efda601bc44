//! Splits one row into columns.
//!
//! RFC 4180 with two departures: a row ends at its line, whatever its quotes say (a stray quote in a feed of strangers must not
//! swallow the rows below it), and spaces may stand between a delimiter and a quote (ThreatFox writes `", "`).

use crate::limits::COLUMNS_MAX;
use crate::reason::Reason;
use std::borrow::Cow;

/// Columns of `line`, trimmed. Without `quotes`, a quote is a character like others.
pub fn split<'l>(line: &'l [u8], delimiter: u8, quotes: bool, fields: &mut Vec<Cow<'l, [u8]>>) -> Result<(), Reason> {
    fields.clear();
    let mut rest = line;
    loop {
        if fields.len() == COLUMNS_MAX {
            return Err(Reason::TooManyColumns);
        }
        let start = if quotes { skip_blanks(rest, delimiter) } else { rest };
        let (field, after) = if quotes && start.first() == Some(&b'"') { quoted(&start[1..], delimiter)? } else { plain(rest, delimiter) };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(()),
        }
    }
}

/// A field, and what follows the delimiter after it; `None` where the row ends.
type Field<'l> = (Cow<'l, [u8]>, Option<&'l [u8]>);

fn plain(text: &[u8], delimiter: u8) -> Field<'_> {
    match text.iter().position(|&byte| byte == delimiter) {
        Some(end) => (Cow::Borrowed(text[..end].trim_ascii()), Some(&text[end + 1..])),
        None => (Cow::Borrowed(text.trim_ascii()), None),
    }
}

/// `text` begins after the opening quote.
fn quoted(text: &[u8], delimiter: u8) -> Result<Field<'_>, Reason> {
    let mut from = 0;
    let mut unescaped: Vec<u8> = Vec::new();
    loop {
        let end = from + text[from..].iter().position(|&byte| byte == b'"').ok_or(Reason::BadQuotes)?;
        if text.get(end + 1) == Some(&b'"') {
            unescaped.extend_from_slice(&text[from..=end]);
            from = end + 2;
            continue;
        }
        let field = match unescaped.is_empty() {
            true => Cow::Borrowed(&text[from..end]),
            false => {
                unescaped.extend_from_slice(&text[from..end]);
                Cow::Owned(unescaped)
            }
        };
        let after = skip_blanks(&text[end + 1..], delimiter);
        return match after.split_first() {
            None => Ok((field, None)),
            Some((&byte, after)) if byte == delimiter => Ok((field, Some(after))),
            Some(_) => Err(Reason::BadQuotes),
        };
    }
}

fn skip_blanks(text: &[u8], delimiter: u8) -> &[u8] {
    let blank = |byte: &u8| *byte != delimiter && matches!(byte, b' ' | b'\t');
    &text[text.iter().take_while(|byte| blank(byte)).count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, delimiter: u8, quotes: bool, expected: &[&str]) {
        let mut fields = Vec::new();
        split(line.as_bytes(), delimiter, quotes, &mut fields).unwrap();
        let fields: Vec<_> = fields.iter().map(|field| std::str::from_utf8(field).unwrap()).collect();
        assert_eq!(fields, expected, "{line}");
    }

    #[test]
    fn splits_plain_and_quoted_columns() {
        check("", b',', true, &[""]);
        check("a", b',', true, &["a"]);
        check("a,b,", b',', true, &["a", "b", ""]);
        check(" a , b ", b',', true, &["a", "b"]);
        check(r#""a","b,c","""d""""#, b',', true, &["a", "b,c", "\"d\""]);
        check(r#""a", "b", "" "#, b',', true, &["a", "b", ""]);
        check("a\t\"b\tc", b'\t', false, &["a", "\"b", "c"]);
        check("\"a\"\t\"b\"", b'\t', true, &["a", "b"]);
        check("a;b", b';', true, &["a", "b"]);
        check(r#"a"b,c"#, b',', true, &[r#"a"b"#, "c"]);
        check(r#""""""""#, b',', true, &["\"\""]);
    }

    #[test]
    fn a_quote_never_reaches_past_its_line() {
        let mut fields = Vec::new();
        for line in [r#""a"#, r#""a,b"#, r#"a,"b"#, r#""a"b,c"#, r#"""#, r#"""""#] {
            assert_eq!(split(line.as_bytes(), b',', true, &mut fields), Err(Reason::BadQuotes), "{line}");
        }
    }

    #[test]
    fn refuses_endless_columns() {
        let mut fields = Vec::new();
        let widest = ",".repeat(COLUMNS_MAX - 1);
        assert_eq!(split(widest.as_bytes(), b',', true, &mut fields), Ok(()));
        assert_eq!(fields.len(), COLUMNS_MAX);
        let wider = ",".repeat(COLUMNS_MAX);
        assert_eq!(split(wider.as_bytes(), b',', true, &mut fields), Err(Reason::TooManyColumns));
    }
}
