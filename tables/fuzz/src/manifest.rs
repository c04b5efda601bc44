//! The body of the fuzz target `manifest`, also replayed as a plain test (`tests/manifest.rs`).
//!
//! Any bytes are read as a manifest, as key files and as a list of canaries: refused, or understood and written again as the same bytes.

use verdict_tables::manifest::{KeySet, read_canaries, signatures_of, unverified};

/// Whether the bytes are a manifest.
pub fn manifest(bytes: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = KeySet::from_texts([("file", text)]);
        for canary in read_canaries(text).unwrap_or_default() {
            assert!(!canary.key.is_empty());
        }
    }
    let Ok(manifest) = unverified(bytes) else { return false };
    let signatures = signatures_of(bytes).expect("they were found before the body was read");
    let body = manifest.encode().expect("what was read can be written");
    assert_eq!(body.len() + 72 * signatures.len(), bytes.len());
    assert!(bytes.starts_with(&body), "one encoding for one manifest");
    assert_eq!(manifest.parts.iter().map(|part| part.bytes).sum::<u64>(), manifest.snapshot_bytes);
    let _ = manifest.is_for_node("node");
    true
}
