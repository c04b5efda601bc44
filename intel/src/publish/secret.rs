//! The secret half of a publisher's key.
//!
//! ```text
//! verdictd-secret-key 9f8c61f3b1f4e4c0 9d61b19d...1cae7f60      the only line of its file, mode 0600: id of the public key, 64 hexadecimal digits
//! ```
//! Whoever has it can publish whatever the canaries let pass: keep it on the machine that publishes, and only there.

use super::error::PublishError;
use crate::limits::SECRET_BYTES_MAX;
use ed25519_dalek::{Signer, SigningKey};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use verdict_tables::manifest::{PublicKey, hex, unhex};

const SECRET_WORD: &str = "verdictd-secret-key";

/// Signs manifests.
pub struct SecretKey {
    key: SigningKey,
    public: PublicKey,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SecretKey({})", self.public.id())
    }
}

/// From the kernel.
pub(super) fn random<const N: usize>() -> Result<[u8; N], PublishError> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(PublishError::io(Path::new("random bytes"), std::io::Error::other(error.to_string()))),
    }
}

impl SecretKey {
    /// A new one.
    pub fn generate() -> Result<Self, PublishError> {
        Self::from_seed(&random()?).ok_or(PublishError::NoKey)
    }

    /// The one of these 32 bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        let key = SigningKey::from_bytes(seed);
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes())?;
        Some(Self { key, public })
    }

    /// The half that daemons need.
    pub fn public(&self) -> PublicKey {
        self.public.clone()
    }

    /// Its signature of these bytes.
    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }

    /// Reads the file that `write` wrote.
    pub fn read(path: &Path) -> Result<Self, PublishError> {
        let wrong = |why| PublishError::Key { path: path.to_owned(), why };
        let mut text = String::new();
        let file = File::open(path).map_err(|error| PublishError::io(path, error))?;
        file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| PublishError::io(path, error))?;
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [SECRET_WORD, id, digits] = words[..] else {
            return Err(wrong("not a secret key: verdictd-secret-key, its id, 64 hexadecimal digits"));
        };
        let seed = unhex(digits).ok_or_else(|| wrong("a secret key has 64 hexadecimal digits"))?;
        let key = Self::from_seed(&seed).ok_or_else(|| wrong("no usable key"))?;
        if key.public.id().to_string() == id { Ok(key) } else { Err(wrong("the id is not that of the key: a digit is wrong")) }
    }

    /// Into a new file that only its owner may read. An existing one is never overwritten.
    pub fn write(&self, path: &Path) -> Result<(), PublishError> {
        let line = format!("{SECRET_WORD} {} {}\n", self.public.id(), hex(&self.key.to_bytes()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(line.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| PublishError::io(path, error))
    }
}

/// The body of a manifest, and every key's signature of it behind.
pub fn sign(mut body: Vec<u8>, keys: &[SecretKey]) -> Vec<u8> {
    let mut lines: Vec<_> = keys.iter().map(|key| (key.public.id(), key.sign(&body))).collect();
    lines.sort();
    lines.dedup_by_key(|(id, _)| *id);
    for (id, signature) in lines {
        body.extend(id.0);
        body.extend(signature);
    }
    body
}
