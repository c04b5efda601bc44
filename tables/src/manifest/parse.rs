//! A manifest from bytes, and bytes from a manifest.
//!
//! Two steps. `signed` finds the body and its signatures and looks at nothing else; `body` reads what a key of ours has signed. The second still
//! trusts no number: a publisher's defect must end as a message here too.

use super::canary::{Canary, Expected};
use super::keys::{KeyId, KeySet};
use super::layout::{
    CANARIES_MAX, CANARY_BYTES_MAX, CANARY_HEAD_BYTES, Head, MAGIC, MANIFEST_BYTES_MAX, PART_BYTES, PART_BYTES_MAX, PARTS_MAX, ROLLBACK,
    SIGNATURE_BYTES, SIGNATURES_MAX, SNAPSHOT_BYTES_MAX, VERSION,
};
use super::refusal::Refusal;
use crate::layout::PAGE;
use bytemuck::Zeroable;

/// A file of the directory `parts`, named by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Part {
    /// Of its bytes.
    pub sha256: [u8; 32],
    /// How many.
    pub bytes: u64,
}

/// A signature, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Of the key.
    pub key: KeyId,
    /// ed25519.
    pub bytes: [u8; 64],
}

/// What a publisher says about a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Rises with every manifest.
    pub epoch: u64,
    /// Unix seconds.
    pub created_s: u64,
    /// Unix seconds.
    pub expires_s: u64,
    /// An operator put back something older.
    pub rollback: bool,
    /// Of the snapshot.
    pub generation: u64,
    /// The snapshot's SHA-256.
    pub sha256: [u8; 32],
    /// Rules of the snapshot.
    pub rules: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
    /// Snapshot versions of the readers that it is for.
    pub formats: (u32, u32),
    /// Nodes that take it, in percent.
    pub stage: u32,
    /// Draws which.
    pub salt: [u8; 16],
    /// The snapshot, in order.
    pub parts: Vec<Part>,
    /// Questions with known answers.
    pub canaries: Vec<Canary>,
}

/// Whether a file begins as a manifest does.
pub fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Who signed, without asking whether it is true: for people.
pub fn signatures_of(bytes: &[u8]) -> Result<Vec<Signature>, Refusal> {
    signed(bytes).map(|(_, signatures)| signatures)
}

/// A manifest that nobody vouches for: for people, never to serve.
pub fn unverified(bytes: &[u8]) -> Result<Manifest, Refusal> {
    body(signed(bytes)?.0)
}

impl Manifest {
    /// Signature first, then all else.
    pub fn verify(bytes: &[u8], keys: &KeySet) -> Result<(Self, KeyId), Refusal> {
        let (signed_bytes, signatures) = signed(bytes)?;
        let by = keys.verify(signed_bytes, &signatures)?;
        Ok((body(signed_bytes)?, by))
    }

    /// What is to be signed. What a reader would refuse is refused here too, by the reader's own code.
    pub fn encode(&self) -> Result<Vec<u8>, Refusal> {
        let mut canaries = Vec::new();
        for canary in &self.canaries {
            canaries.extend([canary.kind as u8, canary.expected.bits()]);
            canaries.extend((canary.key.len() as u16).to_le_bytes());
            canaries.extend_from_slice(&canary.key);
        }
        let head = Head {
            magic: MAGIC,
            version: VERSION,
            head_bytes: size_of::<Head>() as u32,
            body_bytes: (size_of::<Head>() + self.parts.len() * PART_BYTES + canaries.len()) as u64,
            flags: if self.rollback { ROLLBACK } else { 0 },
            epoch: self.epoch,
            created_s: self.created_s,
            expires_s: self.expires_s,
            generation: self.generation,
            rules: self.rules,
            snapshot_bytes: self.snapshot_bytes,
            format_min: self.formats.0,
            format_max: self.formats.1,
            part_count: self.parts.len() as u32,
            canary_count: self.canaries.len() as u32,
            canary_bytes: canaries.len() as u32,
            stage: self.stage,
            salt: self.salt,
            sha256: self.sha256,
        };
        let mut bytes = bytemuck::bytes_of(&head).to_vec();
        for part in &self.parts {
            bytes.extend_from_slice(&part.sha256);
            bytes.extend_from_slice(&part.bytes.to_le_bytes());
        }
        bytes.extend(canaries);
        body(&bytes)?;
        Ok(bytes)
    }

    /// Whether this node takes it: its name and the salt draw a percentage.
    pub fn is_for_node(&self, node: &str) -> bool {
        use sha2::{Digest as _, Sha256};
        let drawn: [u8; 32] = Sha256::new().chain_update(self.salt).chain_update(node).finalize().into();
        let [a, b, c, d, ..] = drawn;
        u32::from_le_bytes([a, b, c, d]) % 100 < self.stage
    }
}

/// The body of a manifest, once it is signed.
pub(super) fn signed(bytes: &[u8]) -> Result<(&[u8], Vec<Signature>), Refusal> {
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let head = head(bytes)?;
    let body_bytes = usize::try_from(head.body_bytes).ok().filter(|body| (size_of::<Head>()..=bytes.len()).contains(body));
    let Some((body, rest)) = body_bytes.and_then(|at| bytes.split_at_checked(at)) else {
        return Err(Refusal::malformed(16, "a body that ends inside the file"));
    };
    if rest.is_empty() || !rest.len().is_multiple_of(SIGNATURE_BYTES) || rest.len() / SIGNATURE_BYTES > SIGNATURES_MAX {
        return Err(Refusal::malformed(body.len(), "1 to 4 signatures of 72 bytes, and the end of the file"));
    }
    let mut signatures: Vec<Signature> = Vec::new();
    for line in rest.chunks_exact(SIGNATURE_BYTES) {
        let mut signature = Signature { key: KeyId([0; 8]), bytes: [0; 64] };
        signature.key.0.copy_from_slice(&line[..8]);
        signature.bytes.copy_from_slice(&line[8..]);
        if signatures.last().is_some_and(|last| last.key >= signature.key) {
            return Err(Refusal::malformed(body.len(), "signatures by ascending key id"));
        }
        signatures.push(signature);
    }
    Ok((body, signatures))
}

fn head(bytes: &[u8]) -> Result<Head, Refusal> {
    let Some(of_head) = bytes.get(..size_of::<Head>()) else {
        return Err(Refusal::malformed(bytes.len(), "152 bytes of head: the file is shorter"));
    };
    let mut head = Head::zeroed();
    bytemuck::bytes_of_mut(&mut head).copy_from_slice(of_head);
    if head.magic != MAGIC {
        return Err(Refusal::malformed(0, "the magic bytes of a manifest"));
    }
    if head.version != VERSION {
        return Err(Refusal::Version { got: head.version });
    }
    Ok(head)
}

/// Reads what was signed.
fn body(bytes: &[u8]) -> Result<Manifest, Refusal> {
    let head = head(bytes)?;
    check_head(&head, bytes.len())?;
    let parts_end = size_of::<Head>() + head.part_count as usize * PART_BYTES;
    let parts = parts(bytes.get(size_of::<Head>()..parts_end).unwrap_or_default(), &head)?;
    let canaries = canaries(bytes.get(parts_end..).unwrap_or_default(), parts_end, head.canary_count)?;
    Ok(Manifest {
        epoch: head.epoch,
        created_s: head.created_s,
        expires_s: head.expires_s,
        rollback: head.flags & ROLLBACK != 0,
        generation: head.generation,
        sha256: head.sha256,
        rules: head.rules,
        snapshot_bytes: head.snapshot_bytes,
        formats: (head.format_min, head.format_max),
        stage: head.stage,
        salt: head.salt,
        parts,
        canaries,
    })
}

fn check_head(head: &Head, bytes: usize) -> Result<(), Refusal> {
    let (parts, canaries) = (head.part_count as usize, head.canary_count as usize);
    let whole = size_of::<Head>() + parts.min(PARTS_MAX) * PART_BYTES + head.canary_bytes as usize;
    let checks = [
        (12, head.head_bytes as usize == size_of::<Head>(), "a head of 152 bytes"),
        (24, head.flags & !ROLLBACK == 0, "no flags but rollback"),
        (32, head.epoch >= 1, "an epoch of at least 1"),
        (48, head.created_s >= 1 && head.expires_s > head.created_s, "an expiry after its creation"),
        (56, head.generation != 0, "a generation"),
        (64, head.rules >= 1, "at least one rule: an empty snapshot would answer everything unknown"),
        (
            72,
            head.snapshot_bytes.is_multiple_of(PAGE as u64) && (PAGE as u64..=SNAPSHOT_BYTES_MAX).contains(&head.snapshot_bytes),
            "whole pages",
        ),
        (84, head.format_min <= head.format_max, "a range of versions"),
        (88, (1..=PARTS_MAX).contains(&parts), "1 to 65,536 parts"),
        (92, canaries <= CANARIES_MAX, "at most 4,096 canaries"),
        (96, head.canary_bytes as usize <= CANARY_BYTES_MAX, "at most 1 MiB of canaries"),
        (100, (1..=100).contains(&head.stage), "a stage of 1 to 100 percent"),
        (16, head.body_bytes == bytes as u64 && whole == bytes, "a body of its parts and canaries"),
    ];
    match checks.into_iter().find(|(_, holds, _)| !holds) {
        Some((at, _, what)) => Err(Refusal::malformed(at, what)),
        None => Ok(()),
    }
}

fn parts(bytes: &[u8], head: &Head) -> Result<Vec<Part>, Refusal> {
    let mut parts = Vec::with_capacity(head.part_count as usize);
    let mut total = 0u64;
    for (number, line) in bytes.chunks_exact(PART_BYTES).enumerate() {
        let mut part = Part { sha256: [0; 32], bytes: 0 };
        part.sha256.copy_from_slice(&line[..32]);
        let mut size = [0; 8];
        size.copy_from_slice(&line[32..]);
        part.bytes = u64::from_le_bytes(size);
        if !(1..=PART_BYTES_MAX).contains(&part.bytes) {
            return Err(Refusal::malformed(size_of::<Head>() + number * PART_BYTES + 32, "a part of 1 byte to 256 MiB"));
        }
        total += part.bytes;
        parts.push(part);
    }
    if total != head.snapshot_bytes {
        return Err(Refusal::malformed(72, "as many bytes as all parts have"));
    }
    Ok(parts)
}

fn canaries(mut bytes: &[u8], mut at: usize, count: u32) -> Result<Vec<Canary>, Refusal> {
    let mut canaries = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let Some((&[kind, expected, low, high], rest)) = bytes.split_first_chunk::<CANARY_HEAD_BYTES>() else {
            return Err(Refusal::malformed(at, "a canary: the list ends early"));
        };
        let Some((key, rest)) = rest.split_at_checked(u16::from_le_bytes([low, high]).into()) else {
            return Err(Refusal::malformed(at + 2, "a key inside the list of canaries"));
        };
        let canary = Expected::from_bits(expected).and_then(|expected| Canary::new(kind, expected, key));
        canaries.push(canary.ok_or_else(|| Refusal::malformed(at, "a kind of key, its length, and classes"))?);
        (bytes, at) = (rest, at + CANARY_HEAD_BYTES + key.len());
    }
    if bytes.is_empty() { Ok(canaries) } else { Err(Refusal::malformed(at, "the end of the list of canaries")) }
}
