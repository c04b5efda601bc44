//! The wire format of protocol buffers, read in place: what an ONNX file is written in.
//!
//! ```text
//! key = field << 3 | wire      0: varint      1: 8 bytes      2: length, then as many bytes      5: 4 bytes
//! ```
//! A cursor of a hundred lines instead of a library: a message struct per element costs a hundred bytes for two of the file, and no library tells
//! *where* a file is wrong. Here nothing is copied, and each mistake has its offset.

use crate::error::Refusal;

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'m> {
    /// Integers of any width, enums, booleans.
    Varint(u64),
    /// `double`, `fixed64`.
    Eight([u8; 8]),
    /// Strings, bytes, messages, packed numbers.
    Bytes(Message<'m>),
    /// `float`, `fixed32`.
    Four([u8; 4]),
}

/// Bytes of a message, and where they stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    bytes: &'m [u8],
    at: usize,
}

/// Its fields, in the order of the file.
#[derive(Clone, Debug)]
pub struct Fields<'m> {
    rest: Message<'m>,
}

/// A field's number, its value, and where it begins.
pub type Field<'m> = (u32, Value<'m>, usize);

impl<'m> Message<'m> {
    /// A whole file.
    pub fn new(bytes: &'m [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Its bytes.
    pub fn bytes(self) -> &'m [u8] {
        self.bytes
    }

    /// Where it begins in the file.
    pub fn at(self) -> usize {
        self.at
    }

    /// Its fields.
    pub fn fields(self) -> Fields<'m> {
        Fields { rest: self }
    }

    /// It as text.
    pub fn text(self) -> Result<&'m str, Refusal> {
        std::str::from_utf8(self.bytes).map_err(|_| Refusal::malformed(self.at, "a name that is not UTF-8"))
    }

    /// Packed varints, or as many as `most`.
    pub fn varints(self, most: usize) -> Result<Vec<u64>, Refusal> {
        let (mut rest, mut values) = (self, Vec::new());
        while !rest.bytes.is_empty() {
            if values.len() == most {
                return Err(Refusal::large(rest.at, format!("more than {most} numbers in a list")));
            }
            values.push(rest.varint()?);
        }
        Ok(values)
    }

    fn varint(&mut self) -> Result<u64, Refusal> {
        let mut value = 0u64;
        for (index, &byte) in self.bytes.iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.skip(index + 1);
                return Ok(value);
            }
        }
        Err(Refusal::malformed(self.at, "a number without an end"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let array = self.bytes.first_chunk().copied().ok_or_else(|| Refusal::malformed(self.at, "the file ends within a number"))?;
        self.skip(N);
        Ok(array)
    }

    /// No more than there are: the callers have seen them.
    fn skip(&mut self, count: usize) {
        self.bytes = self.bytes.get(count..).unwrap_or_default();
        self.at += count;
    }

    fn field(&mut self) -> Result<Field<'m>, Refusal> {
        let begin = self.at;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| Refusal::malformed(begin, "no field has such a number"))?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Eight(self.array()?),
            2 => {
                let length = self.varint()?;
                let bytes = usize::try_from(length).ok().and_then(|length| self.bytes.get(..length));
                let bytes = bytes
                    .ok_or_else(|| Refusal::malformed(begin, format!("a field of {length} bytes, where {} are left", self.bytes.len())))?;
                let value = Message { bytes, at: self.at };
                self.skip(bytes.len());
                Value::Bytes(value)
            }
            5 => Value::Four(self.array()?),
            other => return Err(Refusal::malformed(begin, format!("a field of wire type {other}"))),
        };
        Ok((number, value, begin))
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<Field<'m>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.bytes.is_empty() {
            return None;
        }
        let field = self.rest.field();
        if field.is_err() {
            // One mistake is enough.
            self.rest.bytes = &[];
        }
        Some(field)
    }
}

impl<'m> Value<'m> {
    /// A message, text, bytes or packed list.
    pub fn message(self, at: usize) -> Result<Message<'m>, Refusal> {
        match self {
            Self::Bytes(message) => Ok(message),
            _ => Err(Refusal::malformed(at, "a number where bytes belong")),
        }
    }

    /// Text.
    pub fn text(self, at: usize) -> Result<&'m str, Refusal> {
        self.message(at)?.text()
    }

    /// An integer; negative ones are written as their two's complement.
    pub fn integer(self, at: usize) -> Result<i64, Refusal> {
        match self {
            Self::Varint(value) => Ok(value as i64),
            _ => Err(Refusal::malformed(at, "something else where an integer belongs")),
        }
    }

    /// A float.
    pub fn float(self, at: usize) -> Result<f32, Refusal> {
        match self {
            Self::Four(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(Refusal::malformed(at, "something else where a float belongs")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<Field<'_>>, Refusal> {
        Message::new(bytes).fields().collect()
    }

    #[test]
    fn each_wire_type_is_read_with_its_place() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 0, 0, 0x80, 0x3f, 0x21, 1, 0, 0, 0, 0, 0, 0, 0];
        let found = fields(&bytes).unwrap();
        assert_eq!(found[0], (1, Value::Varint(150), 0));
        assert_eq!((found[1].0, found[1].1.text(3).unwrap(), found[1].2), (2, "hi", 3));
        assert_eq!(found[2].1.float(7).unwrap(), 1.0);
        assert_eq!(found[3].1, Value::Eight([1, 0, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn a_negative_integer_has_ten_bytes() {
        let bytes = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(fields(&bytes).unwrap()[0].1.integer(0).unwrap(), -1);
    }

    #[test]
    fn what_is_cut_or_never_ends_is_refused_with_its_offset() {
        let cases: [(&[u8], usize); 6] = [
            (&[0x08], 1),
            (&[0x08, 0x80], 1),
            (&[0x08, 0x01, 0x12, 5, b'x'], 2),
            (&[0x0b], 0),
            (&[0x00, 0x00], 0),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], 1),
        ];
        for (bytes, at) in cases {
            assert_eq!(fields(bytes).unwrap_err().at, Some(at), "{bytes:?}");
        }
    }
}
