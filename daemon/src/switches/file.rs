//! The file that holds the switches: a few lines that people can read, and their sum. FORMAT.md, "The switches".
//!
//! ```text
//! verdictd-switches 1
//! off ⇥ feed openphish ⇥ 1780315200999 ⇥ 0 ⇥ 4711 ⇥ it lists our own login page      part, when (ms since 1970), uid, pid, why
//! pin ⇥ 5b1e…(64 digits) ⇥ 17 ⇥ 1780315300000 ⇥ 0 ⇥ 4712 ⇥ epoch 18 blocks a third of all traffic
//! sum 9f86…(64 digits)                                                                SHA-256 of all lines before
//! ```
//! It is written whole, beside itself, synced and renamed, before what it says holds. A file that is damaged refuses the start and says where: whatever
//! was off must not come back on in silence.

use super::{FILE, Mark, PARTS_MAX, Part, Pin, Switches};
use crate::trust::{sync_directory, write_atomically};
use sha2::{Digest as _, Sha256};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use verdict_tables::manifest::{hex, unhex};
use verdict_wire::{PART_BYTES_MAX, REASON_BYTES_MAX};

/// A longer file is none of ours: a line has at most some 750 bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
const _: () = assert!(PARTS_MAX * (PART_BYTES_MAX + REASON_BYTES_MAX + 100) < FILE_BYTES_MAX as usize);

/// Why the switches cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SwitchesError {
    /// What the disk says.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its error.
        error: io::Error,
    },
    /// It is not as it was written.
    #[error("{}: line {line}: {what}; nothing of it is used, and nothing is served as if all were on. Look at what it says, move it away, start again, and switch off what must be off", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

/// What the file says; nothing is off where there is none.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub fn read(directory: &Path) -> Result<Switches, SwitchesError> {
    let path = directory.join(FILE);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text));
    match read {
        Ok(_) => decode(&text).map_err(|(line, what)| SwitchesError::Damaged { path, line, what }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Switches::default()),
        Err(error) => Err(SwitchesError::Io { path, error }),
    }
}

/// The old file or this one, on disk.
///
/// # Errors
/// What the disk says: then it is the old one.
pub fn write(directory: &Path, switches: &Switches) -> io::Result<()> {
    write_atomically(&directory.join(FILE), encode(switches).as_bytes())?;
    sync_directory(directory)
}

/// The text of the file.
pub fn encode(switches: &Switches) -> String {
    let mut body = "verdictd-switches 1".to_owned();
    let mut line = |what: &str, Mark { at_ms, uid, pid, reason }: &Mark| {
        let _ = write!(body, "\n{what}\t{at_ms}\t{uid}\t{pid}\t{reason}"); // to a String it cannot fail
    };
    for (part, mark) in &switches.off {
        line(&format!("off\t{part}"), mark);
    }
    if let Some((pin, mark)) = &switches.pin {
        line(&format!("pin\t{}\t{}", hex(&pin.sha256), pin.epoch), mark);
    }
    let sum = hex(&Sha256::digest(body.as_bytes()));
    format!("{body}\nsum {sum}\n")
}

/// What the text says.
///
/// # Errors
/// The line that is wrong, from 1, and what is wrong with it.
pub fn decode(text: &[u8]) -> Result<Switches, (usize, String)> {
    let wrong = |line: usize, what: &str| (line, what.to_owned());
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(1, "longer than a file of switches can be"));
    }
    let lines_to = |end: usize| text[..end].iter().filter(|byte| **byte == b'\n').count() + 1;
    let text = std::str::from_utf8(text).map_err(|error| wrong(lines_to(error.valid_up_to()), "not UTF-8"))?;
    let last = text.lines().count().max(1);
    let ended = text.strip_suffix('\n').and_then(|text| text.rsplit_once("\nsum "));
    let (body, sum) = ended.ok_or_else(|| wrong(last, "it ends before its sum: a part of it is missing"))?;
    let mut lines = body.split('\n').enumerate().map(|(place, line)| (place + 1, line));
    if lines.next().is_none_or(|(_, line)| line != "verdictd-switches 1") {
        return Err(wrong(1, "not the head of a file of switches of version 1"));
    }
    let mut switches = Switches::default();
    for (number, line) in lines {
        take(line, &mut switches).map_err(|what| (number, what))?;
    }
    // Whoever has edited a line is told which one is wrong before that the sum is.
    if sum != hex(&Sha256::digest(body.as_bytes())) {
        return Err(wrong(last, "the sum is not that of the lines before: they were changed, or are not whole"));
    }
    Ok(switches)
}

fn take(line: &str, switches: &mut Switches) -> Result<(), String> {
    if line.chars().any(|letter| letter.is_control() && letter != '\t') {
        return Err("a control character".to_owned());
    }
    let fields: Vec<&str> = line.split('\t').collect();
    match fields[..] {
        ["off", part, at_ms, uid, pid, reason] => {
            let (part, mark) = (Part::parse(part)?, mark([at_ms, uid, pid], reason)?);
            if switches.off.insert(part, mark).is_some() {
                return Err("it is off already by a line before".to_owned());
            }
            if switches.off.len() > PARTS_MAX {
                return Err(format!("more than {PARTS_MAX} parts are off"));
            }
            Ok(())
        }
        ["pin", sha256, epoch, at_ms, uid, pid, reason] => {
            let sha256 = unhex(sha256).ok_or("a SHA-256 has 64 hexadecimal digits")?;
            let pin = Pin { sha256, epoch: epoch.parse().map_err(|_| "an epoch is a number")? };
            match switches.pin.replace((pin, mark([at_ms, uid, pid], reason)?)) {
                None => Ok(()),
                Some(_) => Err("it is pinned already by a line before".to_owned()),
            }
        }
        _ => Err("neither `off` nor `pin` with their fields".to_owned()),
    }
}

fn mark([at_ms, uid, pid]: [&str; 3], reason: &str) -> Result<Mark, String> {
    let number = |_| "when, uid and pid are numbers".to_owned();
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(format!("a reason has 1 to {REASON_BYTES_MAX} bytes"));
    }
    Ok(Mark {
        at_ms: at_ms.parse().map_err(number)?,
        uid: uid.parse().map_err(number)?,
        pid: pid.parse().map_err(number)?,
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict_tables::RuleKind;

    fn some() -> Switches {
        let mark = |reason: &str| Mark { at_ms: 1_780_315_200_999, uid: 7, pid: 0, reason: reason.to_owned() };
        let parts = [
            Part::Feed("open phish, größer".to_owned()),
            Part::Rule(RuleKind::UrlPrefixSubdomains),
            Part::Model("url-1".to_owned()),
            Part::Overlay,
            Part::Enforcement,
            Part::Updates,
        ];
        let off = parts.into_iter().map(|part| (part, mark("it lists our login page"))).collect();
        Switches { off, pin: Some((Pin { sha256: [0xab; 32], epoch: 17 }, mark("18 blocks too much"))) }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for switches in [Switches::default(), some()] {
            assert_eq!(decode(encode(&switches).as_bytes()), Ok(switches));
        }
    }

    #[test]
    fn whatever_byte_is_cut_off_added_or_changed_is_found_out() {
        let good = encode(&some());
        for end in 0..good.len() {
            let (line, what) = decode(&good.as_bytes()[..end]).expect_err("a part of it");
            assert!(line <= good.lines().count() && !what.is_empty(), "{end} bytes");
        }
        for at in 0..good.len() {
            for flip in [1, 0x20, 0x80] {
                let mut bytes = good.clone().into_bytes();
                bytes[at] ^= flip;
                assert!(decode(&bytes).is_err(), "byte {at}, by {flip}");
            }
        }
        assert!(decode(format!("{good}\n").as_bytes()).is_err() && decode(b"").is_err());
    }

    #[test]
    fn a_line_that_says_nothing_is_named() {
        let check = |line: &str, what: &str| {
            let body = format!("verdictd-switches 1\noff\toverlay\t1\t0\t0\twhy\n{line}");
            let text = format!("{body}\nsum {}\n", hex(&Sha256::digest(body.as_bytes())));
            let (number, told) = decode(text.as_bytes()).unwrap_err();
            assert!(number == 3 && told.contains(what), "{line}: {number}, {told}");
        };
        check("off\toverlay\t2\t0\t0\tagain", "off already");
        check("off\tfeed\t1\t0\t0\twhy", "no part");
        check("off\trule hosts\t1\t0\t0\twhy", "no kind of rules");
        check("off\toverlay\t1\t0\twhy", "neither");
        check("off\tupdates\tx\t0\t0\twhy", "numbers");
        check("off\tupdates\t1\t0\t0\t ", "a reason");
        check("pin\tabc\t1\t1\t0\t0\twhy", "64 hexadecimal");
        check("on\toverlay\t1\t0\t0\twhy", "neither");
        check("off\tfeed a\u{7}b\t1\t0\t0\twhy", "control character");
    }

    #[test]
    fn a_directory_without_the_file_has_everything_on_and_one_with_it_keeps_it() {
        let directory = std::env::temp_dir().join(format!("verdictd-switches-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        assert_eq!(read(&directory).unwrap(), Switches::default());
        write(&directory, &some()).unwrap();
        assert_eq!(read(&directory).unwrap(), some());
        std::fs::write(directory.join(FILE), "verdictd-switches 1\n").unwrap();
        let told = read(&directory).unwrap_err().to_string();
        assert!(told.contains("switches: line 1: ") && told.contains("nothing of it is used"), "{told}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
