//! The pieces that SPOP is made of: numbers of 1 to 10 bytes, strings, typed values.
//!
//! ```text
//!  number   < 240: itself │ else 0xF0 + low 4 bits, (n - 240) >> 4 goes on in sevens: 0x80 + low 7 bits while ≥ 128, each time (n - 128) >> 7
//!  string   number of bytes │ bytes
//!  value    type in the low nibble, flags in the high one │ number, 4 or 16 bytes, or string
//! ```
//! HAProxy, doc/SPOE.txt 3.1. A reader gives `None` where the bytes end too early, or are no number; it reads nothing twice and copies nothing.

/// A number takes no more than this; a longer one is refused.
pub const NUMBER_BYTES_MAX: usize = 10;

/// Bytes below this are a number of their own.
const ONE_BYTE: u64 = 240;

/// `true`, in the high nibble.
const TRUE: u8 = 0x10;

/// A typed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// What was to be sent could not be found.
    Null,
    /// A flag.
    Bool(bool),
    /// Any of the four number types; their bits.
    Number(u64),
    /// Network order.
    Ipv4([u8; 4]),
    /// Network order.
    Ipv6([u8; 16]),
    /// Text, of any encoding.
    Text(&'a [u8]),
    /// Bytes.
    Binary(&'a [u8]),
}

mod kind {
    pub const NULL: u8 = 0;
    pub const BOOL: u8 = 1;
    pub const INT32: u8 = 2;
    pub const UINT32: u8 = 3;
    pub const UINT64: u8 = 5;
    pub const IPV4: u8 = 6;
    pub const IPV6: u8 = 7;
    pub const TEXT: u8 = 8;
    pub const BINARY: u8 = 9;
}

/// Reads one piece after another.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// A number; one that does not fit 64 bits is none.
    pub fn number(&mut self) -> Option<u64> {
        let first = u64::from(self.byte()?);
        if first < ONE_BYTE {
            return Some(first);
        }
        let mut number = first;
        for place in 0..NUMBER_BYTES_MAX - 1 {
            let byte = u64::from(self.byte()?);
            let shift = 4 + 7 * place as u32;
            let part = byte.checked_shl(shift).filter(|part| part >> shift == byte)?;
            number = number.checked_add(part)?;
            if byte < 128 {
                return Some(number);
            }
        }
        None
    }

    /// A string.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.bytes(usize::try_from(count).ok()?)
    }

    /// A typed value. Types that the protocol does not know end the reading: nobody could say how long they are.
    pub fn value(&mut self) -> Option<Value<'a>> {
        let head = self.byte()?;
        Some(match head & 0x0F {
            kind::NULL => Value::Null,
            kind::BOOL => Value::Bool(head & TRUE != 0),
            kind::INT32..=kind::UINT64 => Value::Number(self.number()?),
            kind::IPV4 => Value::Ipv4(self.bytes(4)?.try_into().ok()?),
            kind::IPV6 => Value::Ipv6(self.bytes(16)?.try_into().ok()?),
            kind::TEXT => Value::Text(self.text()?),
            kind::BINARY => Value::Binary(self.text()?),
            _ => return None,
        })
    }
}

/// Appends a number.
pub fn put_number(out: &mut Vec<u8>, number: u64) {
    if number < ONE_BYTE {
        return out.push(number as u8);
    }
    out.push(number as u8 | 0xF0);
    let mut rest = (number - ONE_BYTE) >> 4;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest = (rest - 128) >> 7;
    }
    out.push(rest as u8);
}

/// Appends a string.
pub fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Appends a value; numbers as unsigned, of 32 bits where they fit.
pub fn put_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => out.push(kind::NULL),
        Value::Bool(flag) => out.push(kind::BOOL | if flag { TRUE } else { 0 }),
        Value::Number(number) => {
            out.push(if u32::try_from(number).is_ok() { kind::UINT32 } else { kind::UINT64 });
            put_number(out, number);
        }
        Value::Ipv4(octets) => {
            out.push(kind::IPV4);
            out.extend_from_slice(&octets);
        }
        Value::Ipv6(octets) => {
            out.push(kind::IPV6);
            out.extend_from_slice(&octets);
        }
        Value::Text(text) => {
            out.push(kind::TEXT);
            put_text(out, text);
        }
        Value::Binary(bytes) => {
            out.push(kind::BINARY);
            put_text(out, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(number: u64, bytes: &[u8]) {
        let mut out = Vec::new();
        put_number(&mut out, number);
        assert_eq!(out, bytes, "{number}");
        let mut reader = Reader::new(bytes);
        assert_eq!((reader.number(), reader.is_empty()), (Some(number), true), "{number}");
        for end in 0..bytes.len() {
            assert_eq!(Reader::new(&bytes[..end]).number(), None, "{number}, {end} bytes of it");
        }
    }

    #[test]
    fn numbers_change_their_length_where_the_specification_says() {
        check(0, &[0]);
        check(239, &[0xEF]);
        check(240, &[0xF0, 0x00]);
        check(2_287, &[0xFF, 0x7F]);
        check(2_288, &[0xF0, 0x80, 0x00]);
        check(264_431, &[0xFF, 0xFF, 0x7F]);
        check(264_432, &[0xF0, 0x80, 0x80, 0x00]);
        check(33_818_863, &[0xFF, 0xFF, 0xFF, 0x7F]);
        check(4_328_786_159, &[0xFF, 0xFF, 0xFF, 0xFF, 0x7F]);
        check(4_328_786_160, &[0xF0, 0x80, 0x80, 0x80, 0x80, 0x00]);
    }

    #[test]
    fn every_width_of_number_comes_back() {
        for number in (0..64).flat_map(|bits| [1u64 << bits, (1 << bits) - 1, !0 >> bits]) {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert!(out.len() <= NUMBER_BYTES_MAX);
            assert_eq!(Reader::new(&out).number(), Some(number));
        }
    }

    #[test]
    fn refuses_numbers_past_64_bits() {
        assert_eq!(Reader::new(&[0xFF; 32]).number(), None);
        let mut largest = Vec::new();
        put_number(&mut largest, u64::MAX);
        *largest.last_mut().unwrap() += 1;
        assert_eq!(Reader::new(&largest).number(), None);
    }

    #[test]
    fn values_of_every_type_come_back() {
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            Value::Number(7),
            Value::Number(1 << 40),
            Value::Ipv4([192, 0, 2, 1]),
            Value::Ipv6([0x20; 16]),
            Value::Text(b"evil.test"),
            Value::Binary(&[0, 255]),
        ];
        for value in values {
            let mut out = Vec::new();
            put_value(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!((reader.value(), reader.is_empty()), (Some(value), true));
            assert!((0..out.len()).all(|end| Reader::new(&out[..end]).value().is_none()), "{value:?} was read before its end");
        }
    }

    #[test]
    fn refuses_types_that_do_not_exist() {
        for kind in 10..16 {
            assert_eq!(Reader::new(&[kind, 0, 0, 0, 0]).value(), None);
        }
        assert_eq!(Reader::new(&[kind::TEXT, 0xF0, 0xFF]).value(), None, "a text longer than the frame");
    }
}
