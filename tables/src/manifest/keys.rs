//! Whose manifests are believed: a set of ed25519 public keys, any one of which suffices.
//!
//! ```text
//! verdictd-public-key 9f8c61f3b1f4e4c0 d75a9801...f707511a  office, 2026       a line a key: id, 64 hexadecimal digits, a remark
//! ```
//! The set has two keys while one replaces the other: add the new one everywhere, sign with the new one, take the old one away.
//! Verification is the strict one of ed25519-dalek: no small-order keys, no second encoding of a signature.

use super::layout::SIGNATURES_MAX;
use super::parse::Signature;
use super::refusal::Refusal;
use super::{hex, unhex};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};

/// First word of a public key's line.
pub const PUBLIC_WORD: &str = "verdictd-public-key";
/// Keys of a set at most: two, and room for a mistake.
const KEYS_MAX: usize = 16;

/// First 8 bytes of the SHA-256 of a public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, out)
    }
}

/// One key that may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    id: KeyId,
}

impl PublicKey {
    /// From 32 bytes; `None` where they are no key, or one that anybody could sign for.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak())?;
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Some(Self { key, id: KeyId([a, b, c, d, e, f, g, h]) })
    }

    /// Its short name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The line that stands for it in a file.
    pub fn line(&self, remark: &str) -> String {
        format!("{PUBLIC_WORD} {} {} {remark}", self.id, hex(self.key.as_bytes())).trim_end().to_owned()
    }

    fn from_line(line: &str) -> Result<Self, &'static str> {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some(PUBLIC_WORD) {
            return Err("not a public key: a line begins with verdictd-public-key");
        }
        let id = words.next().ok_or("the key's id is missing")?;
        let bytes = words.next().and_then(unhex).ok_or("a public key has 64 hexadecimal digits")?;
        let key = Self::from_bytes(&bytes).ok_or("these digits are no ed25519 public key")?;
        if key.id.to_string() == id { Ok(key) } else { Err("the id is not that of the key: a digit is wrong") }
    }
}

/// Keys that are believed; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

impl KeySet {
    /// Of at least one key.
    pub fn new(mut keys: Vec<PublicKey>) -> Option<Self> {
        keys.sort_by_key(PublicKey::id);
        keys.dedup();
        (1..=KEYS_MAX).contains(&keys.len()).then_some(Self { keys })
    }

    /// Reads the lines of one or more files, each given with its name. Empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// `name:line: why`.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (name, text) in texts {
            for (number, line) in text.lines().enumerate() {
                if !line.trim().is_empty() && !line.starts_with('#') {
                    keys.push(PublicKey::from_line(line).map_err(|why| format!("{name}:{}: {why}", number + 1))?);
                }
            }
        }
        let count = keys.len();
        Self::new(keys).ok_or_else(|| match count {
            0 => "no public key in these files".to_owned(),
            _ => format!("more than {KEYS_MAX} public keys"),
        })
    }

    /// The keys' ids, ascending.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(PublicKey::id)
    }

    /// Whose signature holds. One that does not, by a key of ours, refuses the whole, though another might hold: nobody publishes that.
    pub(super) fn verify(&self, body: &[u8], signatures: &[Signature]) -> Result<KeyId, Refusal> {
        debug_assert!(signatures.len() <= SIGNATURES_MAX);
        let mut by = None;
        for signature in signatures {
            let Some(known) = self.keys.iter().find(|key| key.id == signature.key) else { continue };
            let bytes = ed25519_dalek::Signature::from_bytes(&signature.bytes);
            known.key.verify_strict(body, &bytes).map_err(|_| Refusal::Forged { key: known.id.to_string() })?;
            by = by.or(Some(known.id));
        }
        by.ok_or_else(|| Refusal::UnknownKey { signed_by: list(signatures.iter().map(|signature| signature.key)), known: list(self.ids()) })
    }
}

fn list(ids: impl Iterator<Item = KeyId>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}
