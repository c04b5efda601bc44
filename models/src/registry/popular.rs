//! Names that many people use: a model needs more to suspect them, and what stands below them.
//!
//! ```text
//! one canonical host a line, `#` begins a remark          names: "example.testsub.example…"   ends: [0, 12, …]   slots: number + 1, by hash
//! a.sub.example.test ─► whole, sub.example.test, example.test: any of them in the list?
//! ```
//! Open addressing, at most half full, exact: a hash alone would let a stranger find a name that passes for a popular one.

use super::MistakeAt;

/// Bytes of a list at most.
pub const LIST_BYTES_MAX: usize = 32 << 20;
/// Names of a list at most.
pub const NAMES_MAX: usize = 1 << 20;
/// Of a host name.
const NAME_BYTES_MAX: usize = 253;

/// A list, ready to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Popular {
    names: Vec<u8>,
    ends: Vec<u32>,
    slots: Vec<u32>,
}

impl Popular {
    /// Reads a list; a mistake is told with its line.
    pub fn read(bytes: &[u8]) -> Result<Self, MistakeAt> {
        if bytes.len() > LIST_BYTES_MAX {
            return Err(MistakeAt { line: 1, what: format!("{} bytes, {LIST_BYTES_MAX} at most", bytes.len()) });
        }
        let mut list = Self { ends: vec![0], ..Self::default() };
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let name = line.strip_suffix(b"\r").unwrap_or(line);
            if name.is_empty() || name[0] == b'#' {
                continue;
            }
            let wrong = |what: &str| MistakeAt { line: index + 1, what: what.to_owned() };
            is_name(name).map_err(wrong)?;
            if list.ends.len() > NAMES_MAX {
                return Err(wrong("more than 1048576 names"));
            }
            list.names.extend_from_slice(name);
            // At most `LIST_BYTES_MAX`.
            list.ends.push(list.names.len() as u32);
        }
        list.fill();
        Ok(list)
    }

    fn fill(&mut self) {
        self.slots = vec![0; (2 * self.ends.len()).next_power_of_two()];
        for number in 0..self.len() {
            let name = self.name(number);
            let (mut at, mask) = (hash(name), self.slots.len() - 1);
            while self.slots[at & mask] != 0 {
                at = at.wrapping_add(1);
            }
            self.slots[at & mask] = number as u32 + 1;
        }
    }

    /// How many names.
    pub fn len(&self) -> usize {
        self.ends.len().saturating_sub(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn name(&self, number: usize) -> &[u8] {
        &self.names[self.ends[number] as usize..self.ends[number + 1] as usize]
    }

    fn has(&self, name: &[u8]) -> bool {
        let (mut at, mask) = (hash(name), self.slots.len() - 1);
        // A free slot ends it: at most half of them are taken.
        while let number @ 1.. = self.slots[at & mask] {
            if self.name(number as usize - 1) == name {
                return true;
            }
            at = at.wrapping_add(1);
        }
        false
    }

    /// Whether a canonical host or a name above it is in the list; an address never is.
    pub fn covers(&self, host: &[u8]) -> bool {
        if self.is_empty() || host.len() > NAME_BYTES_MAX || super::tld(host).is_empty() {
            return false;
        }
        let mut rest = host;
        loop {
            if self.has(rest) {
                return true;
            }
            match rest.iter().position(|&byte| byte == b'.') {
                Some(dot) => rest = &rest[dot + 1..],
                None => return false,
            }
        }
    }
}

/// A canonical host name below a top-level domain.
fn is_name(name: &[u8]) -> Result<(), &'static str> {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    let labels = || name.split(|&byte| byte == b'.');
    if name.len() > NAME_BYTES_MAX || !name.iter().all(plain) || labels().any(|label| label.is_empty() || label.len() > 63) {
        return Err("a host name as the daemon has it: lower-case letters, digits, hyphens and dots, other scripts as xn--");
    }
    if super::tld(name).is_empty() {
        return Err("an address is never popular");
    }
    if labels().count() < 2 { Err("a whole top-level domain is not popular") } else { Ok(()) }
}

fn hash(name: &[u8]) -> usize {
    let mixed = name.iter().fold(0xCBF2_9CE4_8422_2325u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    (mixed ^ mixed >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_what_is_below_it_is_popular() {
        let list = Popular::read(b"# names\nexample.test\r\nsub.other.example\n\nexample.test\n").unwrap();
        assert_eq!(list.len(), 3);
        for host in ["example.test", "a.example.test", "a.b.c.example.test", "sub.other.example", "x.sub.other.example"] {
            assert!(list.covers(host.as_bytes()), "{host}");
        }
        for host in ["test", "notexample.test", "example.test.evil.example", "other.example", "", ".", "192.0.2.1", "[2001:db8::1]"] {
            assert!(!list.covers(host.as_bytes()), "{host}");
        }
        assert!(!Popular::default().covers(b"example.test"));
    }

    #[test]
    fn an_empty_list_covers_nobody() {
        assert!(!Popular::read(b"").unwrap().covers(b"example.test"));
    }

    #[test]
    fn of_many_names_each_is_found_and_its_neighbours_are_not() {
        let text: String = (0..20_000).map(|number| format!("n{number}.example\n")).collect();
        let list = Popular::read(text.as_bytes()).unwrap();
        for number in 0..20_000 {
            assert!(list.covers(format!("w.n{number}.example").as_bytes()));
            assert!(!list.covers(format!("m{number}.example").as_bytes()));
        }
    }

    #[test]
    fn each_mistake_is_told_with_its_line() {
        for (line, why) in [
            ("Example.test", "lower-case"),
            ("1,example.test", "lower-case"),
            ("example.test.", "lower-case"),
            (".example.test", "lower-case"),
            ("192.0.2.1", "an address"),
            ("test", "whole top-level"),
        ] {
            let told = Popular::read(format!("a.test\n{line}\n").as_bytes()).unwrap_err().to_string();
            assert!(told.starts_with("line 2: ") && told.contains(why), "{line}: {told}");
        }
    }
}
