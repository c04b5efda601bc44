//! Foreign bytes made fit to print.
//!
//! Questions, feed lines and daemon messages are written by strangers: a URL may hold an escape sequence that repaints the operator's
//! terminal, a line break that forges a log line, or a direction mark that turns `gpj.exe` into `exe.jpg`. Everything that is not plainly
//! visible is therefore shown as `\n`, `\t`, `\xNN` (a byte) or `\u{NNNN}` (a character), and a backslash as `\\`, so that the text can be read back.

use std::fmt::Write;

/// Columns that a key may take in a table unless the operator asks for `--wide`.
pub const KEY_COLUMNS_MAX: usize = 64;

/// The bytes as visible text, on one line.
pub fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_visible(&mut text, character);
        }
        for byte in chunk.invalid() {
            push(&mut text, format_args!("\\x{byte:02x}"));
        }
    }
    text
}

/// A path as visible text.
pub fn path(path: &std::path::Path) -> String {
    visible(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

fn push_visible(text: &mut String, character: char) {
    match character {
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\0'..='\x1f' | '\x7f' => push(text, format_args!("\\x{:02x}", u32::from(character))),
        _ if invisible(character) => push(text, format_args!("\\u{{{:04x}}}", u32::from(character))),
        _ => text.push(character),
    }
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(what);
}

/// Characters that change how their neighbours look, or look like nothing: C1 controls, soft hyphen, zero width, direction marks, odd spaces, tags.
fn invisible(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// At most `columns_max` columns: the middle gives way, because both the host and the end of a URL tell something.
pub fn shortened(text: &str, columns_max: usize) -> String {
    let columns = text.chars().count();
    if columns <= columns_max {
        return text.to_owned();
    }
    let kept = columns_max.saturating_sub(1);
    let tail = kept / 3;
    let head = kept - tail;
    text.chars().take(head).chain(['…']).chain(text.chars().skip(columns - tail)).collect()
}

/// A whole number with its thousands apart: `1 234 567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 key`, `3 keys`.
pub fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number as u64))
}

/// A time with three digits and the unit that suits it.
pub fn duration(time: std::time::Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let decimals = if value < 10.0 && unit != "ns" { 1 } else { 0 };
    format!("{value:.decimals$} {unit}")
}

/// Bytes in the unit that suits them, powers of 1024.
pub fn bytes(count: u64) -> String {
    let (value, unit) = match count as f64 {
        n if n < 1024.0 => return format!("{count} B"),
        n if n < 1024.0 * 1024.0 => (n / 1024.0, "KiB"),
        n if n < 1024.0 * 1024.0 * 1024.0 => (n / 1024.0 / 1024.0, "MiB"),
        n => (n / 1024.0 / 1024.0 / 1024.0, "GiB"),
    };
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn shows_an_escape_sequence_instead_of_obeying_it() {
        assert_eq!(visible(b"http://a.test/\x1b[2J"), "http://a.test/\\x1b[2J");
    }

    #[test]
    fn keeps_a_forged_log_line_on_its_own_line() {
        assert_eq!(visible(b"a.test\r\nok  malicious"), "a.test\\r\\nok  malicious");
    }

    #[test]
    fn shows_direction_marks_and_zero_width_characters() {
        assert_eq!(visible("a\u{202e}gpj.exe\u{200b}".as_bytes()), "a\\u{202e}gpj.exe\\u{200b}");
    }

    #[test]
    fn shows_bytes_that_are_no_utf_8_one_by_one() {
        assert_eq!(visible(b"a\xff\xc3b\\"), "a\\xff\\xc3b\\\\");
    }

    #[test]
    fn leaves_letters_of_any_script_alone() {
        assert_eq!(visible("пример.test/ä".as_bytes()), "пример.test/ä");
    }

    #[test]
    fn shortens_in_the_middle_to_exactly_the_columns_given() {
        let short = shortened("http://www.example.test/a/very/long/path/to/file.exe", 21);
        assert_eq!(short, "http://www.exa…le.exe".to_owned());
        assert_eq!(short.chars().count(), 21);
        assert_eq!(shortened("short", 21), "short");
    }

    #[test]
    fn writes_numbers_as_people_read_them() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(counted(1, "key"), "1 key");
        assert_eq!(counted(2_000, "key"), "2 000 keys");
        assert_eq!(duration(Duration::from_nanos(950)), "950 ns");
        assert_eq!(duration(Duration::from_nanos(41_500)), "42 µs");
        assert_eq!(duration(Duration::from_micros(1_250)), "1.2 ms");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(4096), "4.0 KiB");
    }
}
