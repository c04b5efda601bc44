//! Lists that gates are asked by: one key a line, as an operator writes it.
//!
//! Kinds are told by their look, as on the command line. Comments begin with `#`, also behind a key; gzip is read as everywhere. A line that is
//! no key is an error with its place: a never-block list of which half was skipped protects half.

use crate::lines::{Line, Lines};
use crate::open::open;
use std::path::Path;
use verdict_keys::{Kind, Question};

/// Keys of one list.
pub const ENTRIES_MAX: usize = 4_000_000;

/// A key, ready to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The key as the batch takes it.
    pub key: Vec<u8>,
    /// As written.
    pub text: String,
    /// Its line.
    pub line: u64,
}

/// Keys in the order of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Where they come from.
    pub file: String,
    /// The keys.
    pub entries: Vec<Entry>,
}

impl List {
    /// Reads a file; an error names file and line.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file = path.display().to_string();
        let opened = open(path).map_err(|error| format!("{file}: {error}"))?;
        let mut lines = Lines::new(opened.into_reader());
        let mut list = List { file, entries: Vec::new() };
        loop {
            match lines.next().map_err(|error| format!("{}: {error}", list.file))? {
                None => return Ok(list),
                Some(Line::TooLong(_)) => return Err(format!("{}:{}: longer than any key", list.file, lines.number())),
                Some(Line::Text(line)) => {
                    let line = line.to_vec();
                    list.push(&line, lines.number())?;
                }
            }
        }
    }

    /// Of a text that is compiled in.
    pub fn of_text(name: &str, text: &str) -> Result<Self, String> {
        let mut list = List { file: name.to_owned(), entries: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            list.push(line.as_bytes(), index as u64 + 1)?;
        }
        Ok(list)
    }

    fn push(&mut self, line: &[u8], number: u64) -> Result<(), String> {
        let place = || format!("{}:{number}", self.file);
        let text = std::str::from_utf8(line).map_err(|_| format!("{}: not UTF-8", place()))?;
        let text = text.split(" #").next().unwrap_or_default().trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        // `rank,name`, as lists of sites are published.
        let text =
            text.split_once(',').filter(|(rank, _)| rank.bytes().all(|byte| byte.is_ascii_digit())).map_or(text, |(_, name)| name.trim());
        let key = Question::detect(text).map_err(|why| format!("{}: not a key: {why}", place()))?;
        let Some((kind, key)) = key.key() else { return Err(format!("{}: a prefix is not one key: name an address of it", place())) };
        if self.entries.len() == ENTRIES_MAX {
            return Err(format!("{}: more than {ENTRIES_MAX} keys", place()));
        }
        let entry = Entry { kind, key: key.as_ref().to_vec(), text: text.to_owned(), line: number };
        self.entries.push(entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_by_their_look_and_what_is_none_has_its_place() {
        let list = List::of_text("x", "# a list\n\nwww.example # a host\n192.0.2.1\nhttp://a.example/x#y\n7,ranked.example\n").unwrap();
        let told: Vec<_> = list.entries.iter().map(|entry| (entry.kind, entry.text.as_str(), entry.line)).collect();
        assert_eq!(
            told,
            [
                (Kind::Host, "www.example", 3),
                (Kind::Ipv4, "192.0.2.1", 4),
                (Kind::Url, "http://a.example/x#y", 5),
                (Kind::Host, "ranked.example", 6)
            ]
        );
        assert!(List::of_text("x", "a.example\n192.0.2.0/24\n").unwrap_err().starts_with("x:2: a prefix"));
        assert!(List::read(Path::new("/nonexistent/list")).unwrap_err().starts_with("/nonexistent/list: "));
    }
}
