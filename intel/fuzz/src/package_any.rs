//! One input of the packages' fuzz target: any bytes as a file that may be gzip, zstd, tar or zip.
//! Shared with intel/tests/corpus.rs, so that what the fuzzer checks and what the test replays cannot part.

use std::io::Read;
use verdict_intel::limits::{DETECT_BYTES, EXPANDED_BYTES_MAX, EXPANSION_FREE_BYTES, EXPANSION_RATIO_MAX};
use verdict_intel::package;

/// Reads every file of the package to its end; how many there are, and how many bytes they have.
pub fn package_any(input: &[u8]) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    let _ = package::from_reader(input, input.len() as u64, &["!skip*".to_owned()], &mut |package, member| {
        assert!(package.meter.bytes() <= input.len() as u64);
        assert!(member.opened.head.len() <= DETECT_BYTES);
        files += 1;
        let mut reader = member.opened.into_reader();
        let mut buffer = [0; 8192];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => bytes += count as u64,
                Err(error) => return Err(error.to_string()),
            }
        }
    });
    let most = EXPANSION_FREE_BYTES.max(input.len() as u64 * EXPANSION_RATIO_MAX).min(EXPANDED_BYTES_MAX);
    assert!(bytes <= most + (1 << 20), "{bytes} bytes out of {}", input.len());
    (files, bytes)
}
