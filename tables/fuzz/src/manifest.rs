//! The body of the fuzz target `manifest`, also replayed as a plain test (`tests/manifest.rs`).
//!
//! Any bytes are read as a manifest, as key files, as a seal and as a list of canaries: refused, or understood and written again as the same bytes.

use verdict_tables::manifest::{KeySet, Purpose, Seal, read_canaries, signatures_of, unverified};

/// Whose seal is in the corpus; nobody has its secret half.
const PUBLIC: &str = "verdictd-public-key 88c6ba0f7668d83d 3122f46540c7ac61a115f6590bf2ca8aac7f7589aa502bebbe418789cb085abe";

/// Whether the bytes are a seal of that key: one that was made by `verdictctl models publish`, and no other.
pub fn seal(bytes: &[u8]) -> bool {
    let keys = KeySet::from_texts([("key", PUBLIC)]).expect("one key");
    let verified = Seal::verify(Purpose::Models, bytes, &keys);
    verified.is_ok_and(|(seal, _)| bytes.starts_with(seal.line().as_bytes()))
}

/// Whether the bytes are a manifest.
pub fn manifest(bytes: &[u8]) -> bool {
    let is_seal = seal(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = KeySet::from_texts([("file", text)]);
        for canary in read_canaries(text).unwrap_or_default() {
            assert!(!canary.key.is_empty());
        }
    }
    let Ok(manifest) = unverified(bytes) else { return false };
    assert!(!is_seal, "neither passes for the other");
    let signatures = signatures_of(bytes).expect("they were found before the body was read");
    let body = manifest.encode().expect("what was read can be written");
    assert_eq!(body.len() + 72 * signatures.len(), bytes.len());
    assert!(bytes.starts_with(&body), "one encoding for one manifest");
    assert_eq!(manifest.parts.iter().map(|part| part.bytes).sum::<u64>(), manifest.snapshot_bytes);
    let _ = manifest.is_for_node("node");
    true
}
