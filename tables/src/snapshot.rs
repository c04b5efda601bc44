//! A snapshot in memory of our own: what is served cannot be changed or truncated by anybody any more.
//!
//! ```text
//! file ──read──► anonymous memory, in huge pages ──verify the copy──► read-only ──► shared by the shards, a copy for each memory node
//! ```
//!
//! A mapped file would be shorter to write and a SIGBUS to serve: whoever truncates it kills the process.
//! Which pages there are: `memory`; nothing here depends on it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use memmap2::{Mmap, MmapMut};
use verdict_keys::Profile;
use verdict_simd::{HashKey, HashSchedule};

use crate::error::Error;
use crate::layout::PAGE;
use crate::memory::Memory;
use crate::signatures::Signatures;
use crate::switch::Switched;
use crate::verify::{Verified, verify, verify_header};
use crate::view::View;

/// A verified snapshot in memory of our own.
pub struct Snapshot {
    memory: Arc<Memory<Mmap>>,
    verified: Arc<Verified>,
    schedule: HashSchedule,
    signatures: Option<Arc<Signatures>>,
    /// While something is off.
    switched: Option<Arc<Switched>>,
}

impl Snapshot {
    /// Reads and verifies a file. What happens to the file afterwards does not matter.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Error::corrupt("file", 0, "a regular file", "something else"));
        }
        let mut page = [0; PAGE];
        let got = read_up_to(&mut file, &mut page)?;
        if got < PAGE {
            return Err(Error::corrupt("header", got as u64, format!("{PAGE} bytes"), format!("{got} bytes")));
        }
        // The header vouches for the length before that much memory is asked for.
        let file_bytes = verify_header(&page, metadata.len())?.header.file_bytes as usize;
        let mut memory = Memory::new(file_bytes)?;
        memory[..PAGE].copy_from_slice(&page);
        let got = PAGE + read_up_to(&mut file, &mut memory[PAGE..])?;
        if got < file_bytes {
            return Err(Error::corrupt("file", got as u64, format!("{file_bytes} bytes"), format!("{got} bytes")));
        }
        Self::of_memory(memory)
    }

    /// Copies and verifies.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let Some(page) = bytes.first_chunk::<PAGE>() else {
            return Err(Error::corrupt("header", bytes.len() as u64, format!("{PAGE} bytes"), format!("{} bytes", bytes.len())));
        };
        verify_header(page, bytes.len() as u64)?;
        let mut memory = Memory::new(bytes.len())?;
        memory.copy_from_slice(bytes);
        Self::of_memory(memory)
    }

    /// Memory of its own, filled by somebody else and then verified like a file.
    pub(crate) fn filled<E: From<Error>>(bytes: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut memory = Memory::new(bytes).map_err(Error::from)?;
        fill(&mut memory)?;
        Ok(Self::of_memory(memory)?)
    }

    /// The same in other memory: near the CPU that calls, where memory is nearer to some CPUs than to others, for the kernel takes a page from
    /// whoever writes to it first.
    pub fn copy(&self) -> Result<Self, Error> {
        let mut memory = Memory::new(self.memory.len())?;
        for (to, from) in memory.chunks_mut(READ_BYTES).zip(self.memory.chunks(READ_BYTES)) {
            to.copy_from_slice(from);
        }
        let (memory, verified) = (Arc::new(memory.make_read_only()?), self.verified.clone());
        let signatures = Signatures::new(&View::new(&memory, &verified))?.map(Arc::new);
        Ok(Self { memory, verified, schedule: self.schedule.clone(), signatures, switched: self.switched.clone() })
    }

    /// The same memory with other answers, or with its own.
    pub(crate) fn with(&self, switched: Option<Arc<Switched>>) -> Self {
        let (memory, verified, signatures) = (self.memory.clone(), self.verified.clone(), self.signatures.clone());
        Self { memory, verified, schedule: self.schedule.clone(), signatures, switched }
    }

    pub(crate) fn answers(&self) -> Option<&Switched> {
        self.switched.as_deref()
    }

    fn of_memory(memory: Memory<MmapMut>) -> Result<Self, Error> {
        let memory = memory.make_read_only()?;
        let verified = verify(&memory)?;
        let schedule = HashSchedule::new(&verified.header.hash_key);
        let signatures = Signatures::new(&View::new(&memory, &verified))?.map(Arc::new);
        Ok(Self { memory: Arc::new(memory), verified: Arc::new(verified), schedule, signatures, switched: None })
    }

    /// Names the contents: first 8 bytes of the header's SHA-256, never 0.
    pub fn generation(&self) -> u64 {
        generation_of(&self.verified.header.sha256)
    }

    /// SHA-256 that covers every byte of the file.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.verified.header.sha256
    }

    /// Unix seconds the data describes; 0 if unknown.
    pub fn as_of_s(&self) -> u64 {
        self.verified.header.as_of_s
    }

    /// Which expressions questions must be asked by.
    pub fn profile(&self) -> &Profile {
        &self.verified.profile
    }

    /// Whether rules look into the text of questions: then a batch must keep it (`Batch::keep_texts`).
    pub fn reads_texts(&self) -> bool {
        self.signatures.is_some()
    }

    /// Whether the sieve lets a text through to the automaton, for benches.
    #[doc(hidden)]
    pub fn sieve_admits(&self, text: &verdict_keys::Text<'_>) -> bool {
        self.signatures().is_some_and(|signatures| signatures.admits(text))
    }

    /// The text of a signature, as `On::Signature` numbers them.
    pub fn signature(&self, index: u32) -> Option<&str> {
        let view = self.view();
        let entry = view.signatures.get(index as usize)?;
        str::from_utf8(view.signature_text(entry)).ok()
    }

    /// For hashing questions.
    pub fn schedule(&self) -> &HashSchedule {
        &self.schedule
    }

    /// For clients that hash by themselves.
    pub fn hash_key(&self) -> &HashKey {
        &self.verified.header.hash_key
    }

    /// The verified bytes, as the file has them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.memory
    }

    /// What lookups see.
    pub(crate) fn view(&self) -> View<'_> {
        let view = self.as_compiled();
        match &self.switched {
            Some(switched) => View { templates: &switched.templates, ..view },
            None => view,
        }
    }

    /// As the file has it, whatever is off.
    pub(crate) fn as_compiled(&self) -> View<'_> {
        View::new(&self.memory, &self.verified)
    }

    pub(crate) fn signatures(&self) -> Option<&Signatures> {
        self.signatures.as_deref()
    }

    pub(crate) fn verified(&self) -> &Verified {
        &self.verified
    }
}

/// One `read`: on a kernel without preemption a call that copies a gigabyte keeps the CPU from whoever wants it.
const READ_BYTES: usize = 256 << 10;

/// Fills `out` unless the file ends first; says how far it came.
fn read_up_to(file: &mut File, out: &mut [u8]) -> Result<usize, Error> {
    let mut got = 0;
    while got < out.len() {
        let end = out.len().min(got + READ_BYTES);
        match file.read(&mut out[got..end]) {
            Ok(0) => break,
            Ok(bytes) => got += bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(got)
}

/// First 8 bytes of a header's SHA-256, little-endian; 1 in place of 0, which means "no snapshot" elsewhere.
pub(crate) fn generation_of(sha256: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *sha256;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}
