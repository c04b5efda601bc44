//! A JSON document as a stream: containers are walked, one value at a time is held.
//!
//! ```text
//! {"type":"bundle","objects":[ {…}, {…}, … ]}
//!  └ begin_object, next_key ┘ └ begin_array, next_element, value(≤ OBJECT_BYTES_MAX) each
//! ```
//! A bundle of 100 MB costs the memory of its largest object. Whatever is wrong is told with line and column. What is skipped is checked for
//! brackets and strings only; what is taken is parsed by serde_json afterwards, whose errors are placed in the file again by [`Taken::place`].

use crate::limits::{DEPTH_MAX, KEY_BYTES_MAX};
use std::io::{self, BufRead, BufReader, Read};

/// Why a document cannot be read to its end.
#[derive(Debug)]
pub enum Fault {
    /// The file, its compression, or a limit on it.
    Io(u64, io::Error),
    /// Not JSON, or not the document that it was declared to be.
    Malformed {
        /// From 1.
        line: u64,
        /// Bytes, from 1.
        column: u64,
        /// What is wrong.
        why: String,
    },
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    Text,
    /// A number, `true`, `false`, `null`, or nonsense.
    Other,
    /// The document is over.
    End,
}

/// Where a value stands, and whether all of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Of its first byte, from 1.
    pub line: u64,
    /// Of its first byte, from 1.
    pub column: u64,
    /// It has more bytes than were asked for; what was kept is its beginning.
    pub too_large: bool,
}

impl Taken {
    /// An error of serde_json within this value, placed in the file.
    pub fn place(&self, error: &serde_json::Error) -> Fault {
        let (down, right) = (error.line().saturating_sub(1) as u64, error.column() as u64);
        let column = if down == 0 { self.column + right.saturating_sub(1) } else { right.max(1) };
        let told = error.to_string();
        let why = told.split(" at line ").next().unwrap_or(&told).to_owned();
        Fault::Malformed { line: self.line + down, column, why }
    }
}

/// An open container.
struct Open {
    is_object: bool,
    /// It had a member before.
    any: bool,
}

/// Walks through one document, or several in a row.
pub struct Cursor<R> {
    input: BufReader<R>,
    line: u64,
    column: u64,
    open: Vec<Open>,
}

impl<R: Read> Cursor<R> {
    /// At the start of a file; a byte order mark is left aside.
    pub fn new(input: R) -> Self {
        Cursor { input: BufReader::with_capacity(64 * 1024, input), line: 1, column: 1, open: Vec::new() }
    }

    /// Lines begun so far.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// What comes next, after white space.
    pub fn kind(&mut self) -> Result<Kind, Fault> {
        Ok(match self.peek()? {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::Text,
            Some(_) => Kind::Other,
            None => Kind::End,
        })
    }

    /// Into the object that comes next.
    pub fn begin_object(&mut self) -> Result<(), Fault> {
        self.begin(b'{', true)
    }

    /// Into the array that comes next.
    pub fn begin_array(&mut self) -> Result<(), Fault> {
        self.begin(b'[', false)
    }

    fn begin(&mut self, bracket: u8, is_object: bool) -> Result<(), Fault> {
        self.expect(bracket)?;
        if self.open.len() == DEPTH_MAX {
            return Err(self.malformed(format!("deeper than DEPTH_MAX ({DEPTH_MAX})")));
        }
        self.open.push(Open { is_object, any: false });
        Ok(())
    }

    /// The next key of the innermost object; `None` leaves the object.
    pub fn next_key(&mut self) -> Result<Option<String>, Fault> {
        if !self.next_member(b'}')? {
            return Ok(None);
        }
        if self.peek()? != Some(b'"') {
            return Err(self.malformed("expected a key".into()));
        }
        let mut raw = Vec::new();
        let taken = self.value(&mut raw, KEY_BYTES_MAX)?;
        if taken.too_large {
            return Err(self.malformed(format!("a key of more than KEY_BYTES_MAX ({KEY_BYTES_MAX}) bytes")));
        }
        let key = serde_json::from_slice(&raw).map_err(|error| taken.place(&error))?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    /// Is there a further element in the innermost array? `false` leaves the array.
    pub fn next_element(&mut self) -> Result<bool, Fault> {
        self.next_member(b']')
    }

    fn next_member(&mut self, close: u8) -> Result<bool, Fault> {
        let next = self.peek()?;
        let Some(open) = self.open.last_mut() else { return Err(self.malformed("nothing is open".into())) };
        debug_assert_eq!(open.is_object, close == b'}');
        if next == Some(close) {
            self.open.pop();
            self.bump();
            return Ok(false);
        }
        if open.any {
            self.expect(b',')?;
            if self.peek()? == Some(close) {
                return Err(self.malformed(format!("expected a value after the comma, found {:?}", close as char)));
            }
        } else {
            open.any = true;
        }
        Ok(true)
    }

    /// Takes the value that comes next into `kept`, at most `bytes_max` of it.
    pub fn value(&mut self, kept: &mut Vec<u8>, bytes_max: usize) -> Result<Taken, Fault> {
        kept.clear();
        let first = self.peek()?;
        let (line, column) = (self.line, self.column);
        let mut too_large = false;
        let mut shape = match first {
            Some(b'{' | b'[') => Shape::nested(),
            Some(b'"') => Shape::Text { escaped: false, begun: false },
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Shape::Plain,
            Some(byte) => return Err(self.malformed(format!("expected a value, found {:?}", byte as char))),
            None => return Err(self.malformed("expected a value, found the end of the file".into())),
        };
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) => return Err(Fault::Io(self.line, error)),
            };
            if buffer.is_empty() {
                let is_plain = matches!(shape, Shape::Plain);
                return if is_plain {
                    Ok(Taken { line, column, too_large })
                } else {
                    Err(self.malformed("the file ends within a value".into()))
                };
            }
            let (bytes, ended) = shape.eat(buffer).map_err(|why| Fault::Malformed { line: self.line, column: self.column, why })?;
            let room = bytes_max.saturating_sub(kept.len()).min(bytes);
            kept.extend_from_slice(&buffer[..room]);
            too_large |= room < bytes;
            count(&mut self.line, &mut self.column, &buffer[..bytes]);
            self.input.consume(bytes);
            if ended {
                return Ok(Taken { line, column, too_large });
            }
        }
    }

    /// Leaves the next value aside.
    pub fn skip(&mut self) -> Result<(), Fault> {
        self.value(&mut Vec::new(), 0).map(|_| ())
    }

    /// An error here.
    pub fn malformed(&self, why: String) -> Fault {
        Fault::Malformed { line: self.line, column: self.column, why }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.bump();
                Ok(())
            }
            Some(found) => Err(self.malformed(format!("expected {:?}, found {:?}", byte as char, found as char))),
            None => Err(self.malformed(format!("expected {:?}, found the end of the file", byte as char))),
        }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            let buffer = self.input.fill_buf().map_err(|error| Fault::Io(self.line, error))?;
            if buffer.is_empty() {
                return Ok(None);
            }
            // A byte order mark, before anything else.
            let mark = |at: usize| self.line == 1 && b"\xEF\xBB\xBF".get(self.column as usize + at - 1) == buffer.get(at);
            let marks = if self.open.is_empty() { (0..buffer.len().min(3)).take_while(|&at| mark(at)).count() } else { 0 };
            let blanks = marks + buffer[marks..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            let found = buffer.get(blanks).copied();
            count(&mut self.line, &mut self.column, &buffer[..blanks]);
            self.input.consume(blanks);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Past the byte that `peek` showed, which is no line end.
    fn bump(&mut self) {
        self.input.consume(1);
        self.column += 1;
    }
}

fn count(line: &mut u64, column: &mut u64, bytes: &[u8]) {
    let ends = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
    *line += ends;
    match bytes.iter().rposition(|&byte| byte == b'\n') {
        Some(last) => *column = (bytes.len() - last) as u64,
        None => *column += bytes.len() as u64,
    }
}

/// What is needed to find the end of a value.
enum Shape {
    Nested { depth: usize, in_text: bool, escaped: bool },
    Text { escaped: bool, begun: bool },
    Plain,
}

impl Shape {
    fn nested() -> Self {
        Shape::Nested { depth: 0, in_text: false, escaped: false }
    }

    /// How many of these bytes belong to the value, and whether it ends with them.
    fn eat(&mut self, bytes: &[u8]) -> Result<(usize, bool), String> {
        match self {
            Shape::Plain => {
                let end = bytes.iter().position(|byte| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n'));
                Ok(end.map_or((bytes.len(), false), |end| (end, true)))
            }
            Shape::Text { escaped, begun } => {
                for (at, &byte) in bytes.iter().enumerate() {
                    match byte {
                        b'"' if !*begun => *begun = true,
                        _ if *escaped => *escaped = false,
                        b'\\' => *escaped = true,
                        b'"' => return Ok((at + 1, true)),
                        _ => {}
                    }
                }
                Ok((bytes.len(), false))
            }
            Shape::Nested { depth, in_text, escaped } => {
                for (at, &byte) in bytes.iter().enumerate() {
                    if *in_text {
                        match byte {
                            _ if *escaped => *escaped = false,
                            b'\\' => *escaped = true,
                            b'"' => *in_text = false,
                            _ => {}
                        }
                        continue;
                    }
                    match byte {
                        b'"' => *in_text = true,
                        b'{' | b'[' => {
                            *depth += 1;
                            if *depth > DEPTH_MAX {
                                return Err(format!("deeper than DEPTH_MAX ({DEPTH_MAX})"));
                            }
                        }
                        b'}' | b']' => {
                            *depth -= 1; // at least 1: the first byte opened the value
                            if *depth == 0 {
                                return Ok((at + 1, true));
                            }
                        }
                        _ => {}
                    }
                }
                Ok((bytes.len(), false))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte a read: nothing may depend on where a buffer ends.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn objects<R: Read>(input: R) -> Result<Vec<(u64, String)>, Fault> {
        let mut cursor = Cursor::new(input);
        let (mut found, mut raw) = (Vec::new(), Vec::new());
        cursor.begin_object()?;
        while let Some(key) = cursor.next_key()? {
            if key != "objects" {
                cursor.skip()?;
                continue;
            }
            cursor.begin_array()?;
            while cursor.next_element()? {
                let taken = cursor.value(&mut raw, 1000)?;
                found.push((taken.line, String::from_utf8(raw.clone()).unwrap()));
            }
        }
        assert_eq!(cursor.kind()?, Kind::End);
        Ok(found)
    }

    #[test]
    fn walks_to_the_objects_however_the_bytes_arrive() {
        let text = "\u{feff}{\"id\": \"}]\\\"\",\n \"x\": [1, {\"objects\": 2}],\r\n\"objects\": [\n{\"a\": \"\\\\\"},\n 17, \"t\\\"\", null, []]\n}\n";
        let expected =
            [(4, "{\"a\": \"\\\\\"}"), (5, "17"), (5, "\"t\\\"\""), (5, "null"), (5, "[]")].map(|(line, text)| (line, text.to_owned()));
        assert_eq!(objects(text.as_bytes()).unwrap(), expected);
        assert_eq!(objects(Drip(text.as_bytes())).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_column() {
        for (text, line, column, part) in [
            ("[1]", 1, 1, "expected '{'"),
            ("{\"objects\": [\n 1,\n ]}", 3, 2, "after the comma"),
            ("{\"objects\": [1 2]}", 1, 16, "expected ','"),
            ("{\"a\" 1}", 1, 6, "expected ':'"),
            ("{a: 1}", 1, 2, "a key"),
            ("{\"a\": }", 1, 7, "expected a value"),
            ("{\"a\": \"x", 1, 9, "ends within a value"),
            ("{\"a\": [1, ", 1, 11, "ends within a value"),
            ("{\"a\": 1", 1, 8, "the end of the file"),
        ] {
            match objects(text.as_bytes()) {
                Err(Fault::Malformed { line: at, column: column_at, why }) => {
                    assert_eq!((at, column_at), (line, column), "{text}: {why}");
                    assert!(why.contains(part), "{text}: {why}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("{{\"a\": {}", "[".repeat(DEPTH_MAX + 1));
        assert!(matches!(objects(deep.as_bytes()), Err(Fault::Malformed { why, .. }) if why.contains("DEPTH_MAX")));
        let long = format!("{{\"{}\": 1}}", "x".repeat(KEY_BYTES_MAX));
        assert!(matches!(objects(long.as_bytes()), Err(Fault::Malformed { why, .. }) if why.contains("KEY_BYTES_MAX")));
        let mut cursor = Cursor::new(&b"[\"xxxxxxxxxxxx\"]"[..]);
        let mut raw = Vec::new();
        let taken = cursor.value(&mut raw, 4).unwrap();
        assert!(taken.too_large && raw == b"[\"xx" && cursor.kind().unwrap() == Kind::End);
    }
}
