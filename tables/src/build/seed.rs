//! The hash key comes from the rules themselves and the operator's secret, so that
//! the same inputs give the same bytes, and no single feed's author can know the key while choosing entries.
//!
//! ```text
//! root = SHA-256("verdictd hash key 1" 0x00, secret bytes u64, secret, rules u64, sorted distinct SHA-256(rule encoding)...)
//! h|k  = SHA-256(root, salt u32)
//! ```
//!
//! or, where an update should re-send little (`Builder::steady_hash_key`): root = SHA-256("verdictd hash key 2" 0x00, secret bytes u64, secret)
//!
//! `salt` counts from 0 and moves only when a layout fails or two different rules meet in one 128-bit key.

use sha2::{Digest as _, Sha256};
use verdict_simd::HashKey;

/// SHA-256 of a rule's canonical encoding: its identity, and the order of everything in the build.
pub(super) type RuleDigest = [u8; 32];

pub(super) fn rule_digest(encoding: &[u8]) -> RuleDigest {
    Sha256::digest(encoding).into()
}

/// Root of all randomness of one snapshot. `distinct` is sorted.
pub(super) fn root<'a>(secret: &[u8], count: u64, distinct: impl Iterator<Item = &'a RuleDigest>) -> RuleDigest {
    let mut hasher = Sha256::new();
    hasher.update(b"verdictd hash key 1\0");
    hasher.update((secret.len() as u64).to_le_bytes());
    hasher.update(secret);
    hasher.update(count.to_le_bytes());
    distinct.for_each(|digest| hasher.update(digest));
    hasher.finalize().into()
}

/// Root of a key that stays while the secret does: small changes of the rules are then small changes of the file.
pub(super) fn steady_root(secret: &[u8]) -> RuleDigest {
    let mut hasher = Sha256::new();
    hasher.update(b"verdictd hash key 2\0");
    hasher.update((secret.len() as u64).to_le_bytes());
    hasher.update(secret);
    hasher.finalize().into()
}

/// The hash key of one try.
pub(super) fn hash_key(root: &RuleDigest, salt: u32) -> HashKey {
    let mut hasher = Sha256::new();
    hasher.update(root);
    hasher.update(salt.to_le_bytes());
    let derived: [u8; 32] = hasher.finalize().into();
    let mut key = HashKey { h: [0; 16], k: [0; 16] };
    key.h.copy_from_slice(&derived[..16]);
    key.k.copy_from_slice(&derived[16..]);
    // Zero would make all hashes equal. It comes once in 2^128 snapshots; the format forbids it all the same.
    if key.h == [0; 16] {
        key.h[0] = 1;
    }
    if key.k == [0; 16] {
        key.k[0] = 1;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_secret_rules_and_salt() {
        let one = rule_digest(b"one");
        let two = rule_digest(b"two");
        let roots = [root(b"", 0, [].iter()), root(b"secret", 0, [].iter()), root(b"", 1, [one].iter()), root(b"", 2, [one, two].iter())];
        for (index, root) in roots.iter().enumerate() {
            assert_eq!(hash_key(root, 0), hash_key(root, 0));
            assert_ne!(hash_key(root, 0), hash_key(root, 1));
            assert!(!roots[..index].contains(root));
        }
    }
}
