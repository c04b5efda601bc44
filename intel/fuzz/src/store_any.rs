//! Any bytes as an explain store. Most bytes fail a checksum, so the first byte may ask for the checksums to be put right before they are read.

use verdict_intel::limits::REFERENCE_BYTES_MAX;
use verdict_intel::store::{Store, VOTES_OF_RULE_MAX, reseal};

/// Reads `input` as a store, verifies it, and asks for rules: no panic, bounded answers, every vote of a feed that is there.
pub fn store_any(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if choice & 1 == 1 {
        reseal(&mut bytes);
    }
    let Ok(mut store) = Store::from_bytes(bytes.clone()) else { return };
    let feeds = store.feeds().len();
    let verified = store.verify().is_ok();
    let wanted = bytes.chunks_exact(16).take(2000).map(|chunk| u64::from_le_bytes(*chunk.first_chunk().expect("16 bytes")));
    for fingerprint in wanted.chain([0, u64::MAX]) {
        let Ok(found) = store.votes_of(fingerprint) else {
            assert!(!verified, "a store that verifies cannot fail later");
            continue;
        };
        assert!(found.votes.len() <= VOTES_OF_RULE_MAX && (!found.more || found.votes.len() == VOTES_OF_RULE_MAX));
        for vote in &found.votes {
            assert!(vote.feed < feeds && vote.score <= 100 && vote.confidence <= 100);
            match store.reference_of(vote) {
                Ok(reference) => assert!(reference.is_none_or(|text| text.len() <= REFERENCE_BYTES_MAX + 3 + 20)),
                Err(_) => assert!(!verified, "a store that verifies cannot fail later"),
            }
        }
    }
}
