//! Percent-unescaping until nothing changes, and the one way of escaping.
//!
//! "Unescape repeatedly until there are no more escapes" reads like a loop with a cap. It needs none: two escapes never
//! overlap (a `%` is no hex digit) and each rewriting shortens the text, so the final form is unique, whatever the order. One pass with
//! the output as a stack finds it: push a byte; while the top three bytes are an escape, replace them by their byte.
//! ```text
//! %25%32%35   push % 2 5 → %   push % 3 2 → %2   push % 3 5 → %25 → %
//! ```
//! Linear in the input, in place, for any depth of nesting.

/// Value of a hexadecimal digit.
pub(crate) fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Replaces `text` by its final unescaped form. Escapes that are none (`%`, `%2`, `%zz`) stay as they are.
pub(super) fn unescape(text: &mut Vec<u8>) {
    let Some(first) = text.iter().position(|&byte| byte == b'%') else { return };
    let mut top = first;
    for at in first..text.len() {
        text[top] = text[at];
        top += 1;
        while let Some(byte) = escape_at_end(&text[..top]) {
            top -= 2;
            text[top - 1] = byte;
        }
    }
    text.truncate(top);
}

fn escape_at_end(text: &[u8]) -> Option<u8> {
    match *text {
        [.., b'%', high, low] => Some(hex(high)? << 4 | hex(low)?),
        _ => None,
    }
}

/// Whether a canonical text may hold this byte as it is. `#` and `%` may not: they would change their meaning when read again.
pub(super) fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E) && byte != b'#' && byte != b'%'
}

/// Whether unescaping and escaping `text` gives `text`: every `%` begins an escape as this file writes them, of a byte that is escaped. Such a byte
/// is no hexadecimal digit, so it completes no other escape; `%25` would give a `%` that may begin one, and is left to those who unescape.
pub(super) fn is_escaped_as_written(text: &[u8], in_path: bool) -> bool {
    let digit = |digit: u8| hex(digit).filter(|_| !digit.is_ascii_lowercase());
    (0..text.len()).filter(|&at| text[at] == b'%').all(|at| {
        let Some(&[high, low]) = text[at + 1..].first_chunk() else { return false };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else { return false };
        let byte = high << 4 | low;
        byte != b'%' && (!is_plain(byte) || in_path && byte == b'?')
    })
}

/// Appends `byte`, escaped with upper-case digits.
pub(super) fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unescaped(text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        unescape(&mut text);
        text
    }

    /// The specification's words, as a loop: the oracle.
    fn unescaped_by_rounds(text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        loop {
            let mut next = Vec::new();
            let mut at = 0;
            while at < text.len() {
                let escape = text.get(at..at + 3).and_then(escape_at_end);
                next.push(escape.unwrap_or(text[at]));
                at += if escape.is_some() { 3 } else { 1 };
            }
            if next == text {
                return text;
            }
            text = next;
        }
    }

    #[test]
    fn nested_escapes_unfold_completely() {
        assert_eq!(unescaped(b"%25%32%35"), b"%");
        assert_eq!(unescaped(b"%2525252525252525"), b"%");
        assert_eq!(unescaped(b"%%%25%32%35asd%%"), b"%%%asd%%");
        assert_eq!(unescaped(b"%257Ea%2521b"), b"~a!b");
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in [&b"%"[..], b"%2", b"%zz", b"100%", b"%2%", b"a%g1b"] {
            assert_eq!(unescaped(text), text);
        }
    }

    #[test]
    fn a_decoded_byte_may_complete_an_earlier_escape() {
        assert_eq!(unescaped(b"%4%31"), b"A");
        assert_eq!(unescaped(b"%%341"), b"A");
    }

    proptest! {
        #[test]
        fn one_pass_equals_rounds_until_stable(text in proptest::collection::vec(proptest::sample::select(&b"%%%%012345678abcdefAF/x"[..]), 0..60)) {
            prop_assert_eq!(unescaped(&text), unescaped_by_rounds(&text));
        }
    }
}
