//! Any bytes as a file: a program whose every field is what the bytes at its offset say, or a reason that fits a line, or nothing.
//! Shared with ctl/tests/cli/files.rs, so that what the fuzzer checks and what the test replays cannot part.

use super::pe::{Looked, look};

/// Offsets and bytes of the DOS header's fields; those of the other two follow from `e_lfanew`. By the specification of the format, in the order of pe-1.
const DOS: [(u64, u64); 16] = [
    (2, 2),
    (4, 2),
    (6, 2),
    (8, 2),
    (10, 2),
    (12, 2),
    (14, 2),
    (16, 2),
    (18, 2),
    (20, 2),
    (22, 2),
    (24, 2),
    (26, 2),
    (36, 2),
    (38, 2),
    (60, 4),
];
const FILE: [(u64, u64); 4] = [(6, 2), (12, 4), (16, 4), (20, 2)];
const OPTIONAL_32: [(u64, u64); 27] = [
    (0, 2),
    (2, 1),
    (3, 1),
    (4, 4),
    (8, 4),
    (12, 4),
    (16, 4),
    (20, 4),
    (28, 4),
    (32, 4),
    (36, 4),
    (40, 2),
    (42, 2),
    (44, 2),
    (46, 2),
    (48, 2),
    (50, 2),
    (60, 4),
    (64, 4),
    (56, 4),
    (68, 2),
    (72, 4),
    (76, 4),
    (80, 4),
    (84, 4),
    (88, 4),
    (92, 4),
];
const OPTIONAL_64: [(u64, u64); 27] = [
    (0, 2),
    (2, 1),
    (3, 1),
    (4, 4),
    (8, 4),
    (12, 4),
    (16, 4),
    (20, 4),
    (24, 8),
    (32, 4),
    (36, 4),
    (40, 2),
    (42, 2),
    (44, 2),
    (46, 2),
    (48, 2),
    (50, 2),
    (60, 4),
    (64, 4),
    (56, 4),
    (68, 2),
    (72, 8),
    (80, 8),
    (88, 8),
    (96, 8),
    (104, 4),
    (108, 4),
];

/// As `pread` of a file with these bytes.
fn read_at(bytes: &[u8], at: u64, buffer: &mut [u8]) -> usize {
    let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let got = rest.len().min(buffer.len());
    buffer[..got].copy_from_slice(&rest[..got]);
    got
}

/// A number of so many bytes, or none where the file ends before.
fn number(bytes: &[u8], (at, count): (u64, u64)) -> Option<u64> {
    (0..count).rev().try_fold(0, |number, byte| Some(number << 8 | u64::from(*bytes.get(usize::try_from(at + byte).ok()?)?)))
}

/// Looks at one file.
pub fn pe_any(bytes: &[u8]) -> Looked {
    let looked = look(|at, buffer| Ok(read_at(bytes, at, buffer))).expect("memory can be read");
    match &looked {
        Looked::Other => assert!(!bytes.starts_with(b"MZ")),
        Looked::Broken(why) => {
            assert!(bytes.starts_with(b"MZ") && why.len() < 300 && !why.contains(|character: char| character.is_control()))
        }
        Looked::Program(fields) => {
            let nt = number(bytes, (60, 4)).expect("a DOS header");
            assert_eq!(number(bytes, (nt, 4)), Some(0x4550));
            let optional = match number(bytes, (nt + 24, 2)) {
                Some(0x10B) => OPTIONAL_32,
                Some(0x20B) => OPTIONAL_64,
                other => panic!("no magic: {other:?}"),
            };
            let places = DOS.into_iter().chain(FILE.map(|(at, count)| (nt + at, count)));
            let places = places.chain(optional.map(|(at, count)| (nt + 24 + at, count))).chain([(nt + 22, 2), (nt + 24 + 70, 2)]);
            assert_eq!(fields.len(), places.clone().count());
            for ((name, value), place) in fields.iter().zip(places) {
                let said = number(bytes, place).unwrap_or_else(|| panic!("{name} lies behind the end"));
                assert_eq!(*value, if said > 1 << 62 { -1 } else { said as i64 }, "{name}");
            }
        }
    }
    looked
}
