//! A signature beside a file that people write: the same keys as a manifest's, another first word, so that neither is ever taken for the other.
//!
//! ```text
//! models.toml.sig    verdictd-seal models 7 3b1f…c2        what is signed, the line feed included: for what, which sequence, SHA-256 of models.toml
//!                    9f8c61f3b1f4e4c0 5d41…0b              the id of a key and its ed25519 signature, 1 to 4 lines, ids ascending
//! ```
//! A manifest's signed bytes begin with `VDTRUST`, a seal's with `verdictd-seal`. There is one right text for each seal: what is read must be what
//! would be written. The sequence stands in the seal, so that a publisher knows what was sealed before though the file beside it has changed since.

use super::keys::{KeyId, KeySet};
use super::layout::SIGNATURES_MAX;
use super::parse::Signature;
use super::refusal::Refusal;
use super::{hex, unhex};
use sha2::{Digest as _, Sha256};

/// First word.
const WORD: &str = "verdictd-seal";
/// Bytes of a seal at most: its first line has fewer than 128, each signature 146.
pub const SEAL_BYTES_MAX: usize = 1024;

/// What a seal is for: one of these never passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The registry of models.
    Models,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
        }
    }
}

/// What is signed of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// What for.
    pub purpose: Purpose,
    /// Rises with every file of its name.
    pub sequence: u64,
    /// Of the file.
    pub sha256: [u8; 32],
}

/// Why a file is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealRefusal {
    /// No seal, or one that nobody writes.
    #[error("line {line}: {what}")]
    Malformed {
        /// From 1.
        line: usize,
        /// What stood there instead.
        what: &'static str,
    },
    /// Nobody's whom we know.
    #[error("signed by {signed_by}, known are {known}")]
    UnknownKey {
        /// Ids.
        signed_by: String,
        /// Ids.
        known: String,
    },
    /// A key of ours, and not its signature.
    #[error("forged or damaged: the signature of key {key} does not fit its first line")]
    Forged {
        /// Its id.
        key: String,
    },
    /// Good, and for another file.
    #[error("it seals a file with the SHA-256 {sealed}, this one has {got}: changed after it was signed")]
    Another {
        /// Of the seal.
        sealed: String,
        /// Of the file.
        got: String,
    },
}

impl Seal {
    /// Of this file.
    pub fn of(purpose: Purpose, sequence: u64, file: &[u8]) -> Self {
        Self { purpose, sequence, sha256: Sha256::digest(file).into() }
    }

    /// What is to be signed.
    pub fn line(&self) -> String {
        format!("{WORD} {} {} {}\n", self.purpose.name(), self.sequence, hex(&self.sha256))
    }

    /// The text with these signatures.
    pub fn encode(&self, signatures: &[Signature]) -> String {
        let mut lines: Vec<&Signature> = signatures.iter().collect();
        lines.sort_by_key(|signature| signature.key);
        lines.dedup_by_key(|signature| signature.key);
        lines.iter().fold(self.line(), |text, signature| text + &format!("{} {}\n", signature.key, hex(&signature.bytes)))
    }

    /// Signature first: what a key of ours has signed for this purpose, and which key.
    ///
    /// # Errors
    /// Bytes that are no seal; a seal for something else, of nobody we know, or a forged one.
    pub fn verify(purpose: Purpose, seal: &[u8], keys: &KeySet) -> Result<(Self, KeyId), SealRefusal> {
        let (found, signatures) = decode(purpose, seal)?;
        let by = keys.verify(found.line().as_bytes(), &signatures).map_err(|refusal| match refusal {
            Refusal::UnknownKey { signed_by, known } => SealRefusal::UnknownKey { signed_by, known },
            Refusal::Forged { key } => SealRefusal::Forged { key },
            // Nothing else comes of signatures.
            _ => SealRefusal::Malformed { line: 2, what: "signatures cannot be verified" },
        })?;
        Ok((found, by))
    }

    /// The same, and this file is the one.
    ///
    /// # Errors
    /// As `verify`; another file.
    pub fn verify_file(purpose: Purpose, file: &[u8], seal: &[u8], keys: &KeySet) -> Result<(Self, KeyId), SealRefusal> {
        let (found, by) = Self::verify(purpose, seal, keys)?;
        let got: [u8; 32] = Sha256::digest(file).into();
        if got == found.sha256 { Ok((found, by)) } else { Err(SealRefusal::Another { sealed: hex(&found.sha256), got: hex(&got) }) }
    }
}

fn decode(purpose: Purpose, bytes: &[u8]) -> Result<(Seal, Vec<Signature>), SealRefusal> {
    let wrong = |line, what| SealRefusal::Malformed { line, what };
    if bytes.len() > SEAL_BYTES_MAX {
        return Err(wrong(1, "more bytes than a seal has"));
    }
    let text = str::from_utf8(bytes).map_err(|_| wrong(1, "no seal: not text"))?;
    let mut lines = text.lines();
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [WORD, what_for, sequence, sha256] = words[..] else {
        return Err(wrong(1, "no seal: verdictd-seal, what for, the sequence, 64 hexadecimal digits"));
    };
    if what_for != purpose.name() {
        return Err(wrong(1, "a seal for something else"));
    }
    let sequence = sequence.parse().map_err(|_| wrong(1, "a sequence is a number"))?;
    let sha256 = unhex(sha256).ok_or_else(|| wrong(1, "a SHA-256 has 64 hexadecimal digits"))?;
    let mut signatures: Vec<Signature> = Vec::new();
    for (index, line) in lines.enumerate() {
        let signature = line.split_once(' ').and_then(|(id, digits)| Some(Signature { key: KeyId(unhex(id)?), bytes: unhex(digits)? }));
        let signature = signature.ok_or_else(|| wrong(index + 2, "a signature is the id of its key and 128 hexadecimal digits"))?;
        if signatures.len() == SIGNATURES_MAX || signatures.last().is_some_and(|before| before.key >= signature.key) {
            return Err(wrong(index + 2, "at most 4 signatures, ids ascending"));
        }
        signatures.push(signature);
    }
    let seal = Seal { purpose, sequence, sha256 };
    match signatures.is_empty() {
        true => Err(wrong(2, "a signature is missing")),
        false if seal.encode(&signatures).as_bytes() != bytes => Err(wrong(1, "not the one right text of this seal")),
        false => Ok((seal, signatures)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::PublicKey;
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    const FILE: &[u8] = b"# a file\n";

    fn key(seed: u8) -> (SigningKey, PublicKey) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes()).unwrap();
        (key, public)
    }

    fn sealed(seal: &Seal, seeds: &[u8]) -> String {
        let sign = |&seed: &u8| {
            let (key, public) = key(seed);
            Signature { key: public.id(), bytes: key.sign(seal.line().as_bytes()).to_bytes() }
        };
        seal.encode(&seeds.iter().map(sign).collect::<Vec<_>>())
    }

    fn known(seeds: &[u8]) -> KeySet {
        KeySet::new(seeds.iter().map(|&seed| key(seed).1).collect()).unwrap()
    }

    #[test]
    fn a_file_is_believed_by_any_key_of_ours() {
        let seal = Seal::of(Purpose::Models, 7, FILE);
        for (signers, keys) in [(&[1u8][..], &[1u8][..]), (&[1, 2], &[2]), (&[2], &[1, 2])] {
            let (found, by) = Seal::verify_file(Purpose::Models, FILE, sealed(&seal, signers).as_bytes(), &known(keys)).unwrap();
            assert_eq!((found, known(keys).ids().any(|id| id == by)), (seal, true));
        }
    }

    #[test]
    fn another_file_or_an_unknown_or_forging_key_is_refused() {
        let seal = Seal::of(Purpose::Models, 7, FILE);
        let verify = |file: &[u8], text: &str, keys: &[u8]| {
            Seal::verify_file(Purpose::Models, file, text.as_bytes(), &known(keys)).unwrap_err().to_string()
        };
        let text = sealed(&seal, &[1]);
        assert!(verify(b"# another\n", &text, &[1]).contains("changed after it was signed"));
        assert!(verify(FILE, &text, &[2]).starts_with("signed by "));
        assert!(verify(FILE, &text.replace(" models 7 ", " models 8 "), &[1]).starts_with("forged or damaged"));
    }

    #[test]
    fn every_changed_byte_of_a_seal_refuses_it() {
        let text = sealed(&Seal::of(Purpose::Models, 7, FILE), &[1]);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(Seal::verify(Purpose::Models, &bytes, &known(&[1, 2])).is_err(), "byte {at}");
        }
        let text = sealed(&Seal::of(Purpose::Models, 7, FILE), &[1, 2]);
        for cut in 0..text.len() {
            let is_whole = cut == text.len() - 146;
            assert_eq!(Seal::verify(Purpose::Models, &text.as_bytes()[..cut], &known(&[1, 2])).is_ok(), is_whole, "cut at {cut}");
        }
        assert!(Seal::verify(Purpose::Models, (text + "\n").as_bytes(), &known(&[1])).is_err());
    }

    #[test]
    fn what_is_signed_is_never_a_manifests() {
        assert!(!Seal::of(Purpose::Models, 1, FILE).line().as_bytes().starts_with(&super::super::layout::MAGIC));
    }
}
