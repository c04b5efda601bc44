//! The fuzz corpus replayed, and a hundred thousand mutations of every vector and sample: any bytes in any format, no panic, counts that add up.

#[path = "../../fuzz/src/read_any.rs"]
mod read_any;

#[path = "../../fuzz/src/package_any.rs"]
mod package_any;

use package_any::package_any;
use read_any::read_any;
use std::path::{Path, PathBuf};
use verdict_intel::{Config, Format};

/// Other architectures are mostly emulated, and there a twentieth shows as much.
const SHARE: usize = if cfg!(target_arch = "x86_64") { 1 } else { 20 };

fn files(directory: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() { files(&entry, into) } else { into.push(entry) }
    }
}

/// Every vector and sample, and the choice byte of its own format (a mixed list where the directory names none).
fn inputs() -> Vec<(u8, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    files(&root.join("vectors"), &mut paths);
    files(&root.join("sample"), &mut paths);
    let choice = |path: &Path| {
        let directory = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        Format::ALL.iter().position(|format| format.name() == directory).unwrap_or(0) as u8 * 4
    };
    paths.iter().map(|path| (choice(path), std::fs::read(path).unwrap())).collect()
}

/// SplitMix64: enough randomness, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

#[test]
fn the_corpus_holds() {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/read"), &mut paths);
    assert!(!paths.is_empty());
    for path in paths {
        read_any(&std::fs::read(path).unwrap());
    }
}

#[test]
fn the_corpus_of_packages_holds_and_so_do_its_mutations() {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/package"), &mut paths);
    let (mut random, mut files) = (Random(0x7a12), 0);
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let (found, _) = package_any(&bytes);
        assert!(found > 0, "{}", path.display());
        for _ in 0..400 / SHARE {
            let mut bytes = bytes[..bytes.len().min(8192)].to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes[at] = random.next() as u8,
                    _ => bytes[at] ^= 1 << random.below(8),
                }
            }
            files += package_any(&bytes).0;
        }
    }
    assert!(files > 100 / SHARE as u64, "mutations that give nothing test nothing: {files}");
}

#[test]
fn every_input_is_read_in_every_format() {
    for (_, input) in inputs() {
        // Every third: each format has four choices.
        for choice in (0..=255u8).step_by(3 * SHARE) {
            let mut bytes = vec![choice];
            bytes.extend_from_slice(&input);
            read_any(&bytes);
        }
    }
}

#[test]
fn mutated_feeds_never_panic_and_always_add_up() {
    const PIECES: [&[u8]; 36] = [
        b"\n",
        b"\r\n",
        b"\0",
        b"\"",
        b",",
        b"\t",
        b";",
        b"#",
        b"://",
        b"/*",
        b"[.]",
        b"[",
        b"]",
        b"\xef\xbb\xbf",
        b"\xff",
        b"0x",
        b"%25",
        b"::ffff:",
        b"xn--",
        b"*.",
        b"{",
        b"}",
        b"(",
        b")",
        b"'",
        b"\\",
        b"|",
        b"$",
        b" AND ",
        b" OR ",
        b"||",
        b"@@",
        b" CNAME ",
        b"null",
        b"\\u0000",
        b"17",
    ];
    let seed = 0x5eed;
    println!("seed {seed:#x}");
    let (mut random, inputs) = (Random(seed), inputs());
    let mut kept = 0;
    for _ in 0..100_000 / SHARE {
        let (own, input) = &inputs[random.below(inputs.len())];
        let from = random.below(2) * random.below(input.len());
        let mut bytes = vec![if random.below(2) == 0 { *own } else { random.next() as u8 }];
        bytes.extend_from_slice(&input[from..(from + random.below(400)).min(input.len())]);
        for _ in 0..random.below(6) {
            let at = 1 + random.below(bytes.len());
            match random.below(4) {
                0 => bytes.truncate(at.max(1)),
                1 => drop(bytes.splice(at.min(bytes.len()).., std::iter::empty::<u8>())),
                2 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
                _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
                _ => bytes.push(random.next() as u8),
            }
        }
        kept += read_any(&bytes).kept;
    }
    assert!(kept > 10_000 / SHARE as u64, "mutations that give nothing test nothing: {kept}");
}

#[test]
fn mutated_configurations_never_panic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("sample/feeds.toml")).unwrap();
    let mut random = Random(0xfeed);
    for _ in 0..3_000 / SHARE {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=random.below(8) {
            let at = random.below(bytes.len());
            bytes[at] = b"\n\"'[]{}=#.,0-azT\\"[random.below(17)];
        }
        if let Err(mistakes) = Config::parse(&String::from_utf8_lossy(&bytes), "feeds.toml", &root.join("sample")) {
            assert!(!mistakes.mistakes.is_empty());
        }
    }
    assert!(Format::ALL.len() <= 64, "the fuzz target chooses among all formats by six bits");
}
