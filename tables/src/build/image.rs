//! A finished snapshot, not yet in one piece: a header page and the sections it names, written to memory or to a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use verdict_simd::Bucket;

use super::tree6::Tree;
use super::trie4::Trie;
use crate::layout::{Header, PAGE, Record, SHA256_AT, Section, SectionEntry, SignatureEntry, SourceEntry, VoteEntry};
use crate::snapshot::generation_of;
use crate::verdict::Verdict;

/// All sections by their content.
pub(super) struct Sections {
    pub(super) buckets: Vec<Bucket>,
    pub(super) templates: Vec<Verdict>,
    pub(super) records: Vec<Record>,
    pub(super) votes: Vec<VoteEntry>,
    pub(super) sources: Vec<SourceEntry>,
    pub(super) strings: Vec<u8>,
    pub(super) suffixes: Vec<u8>,
    pub(super) signatures: Vec<SignatureEntry>,
    pub(super) signature_text: Vec<u8>,
    pub(super) v4: Trie,
    pub(super) v6: Tree,
}

impl Sections {
    fn bytes(&self, section: Section) -> &[u8] {
        match section {
            Section::Buckets => bytemuck::cast_slice(&self.buckets),
            Section::Templates => bytemuck::cast_slice(&self.templates),
            Section::Records => bytemuck::cast_slice(&self.records),
            Section::Votes => bytemuck::cast_slice(&self.votes),
            Section::Sources => bytemuck::cast_slice(&self.sources),
            Section::Strings => &self.strings,
            Section::PublicSuffixes => &self.suffixes,
            Section::Signatures => bytemuck::cast_slice(&self.signatures),
            Section::SignatureText => &self.signature_text,
            Section::Root4 => bytemuck::cast_slice(&self.v4.root),
            Section::Nodes4 => bytemuck::cast_slice(&self.v4.nodes),
            Section::Tree6 => bytemuck::cast_slice(&self.v6.nodes),
            Section::Verdicts6 => bytemuck::cast_slice(&self.v6.ids),
            Section::Blocks6 => bytemuck::cast_slice(&self.v6.blocks),
            Section::LongEnds6 => bytemuck::cast_slice(&self.v6.long_ends),
            Section::LongVerdicts6 => bytemuck::cast_slice(&self.v6.long_ids),
        }
    }
}

pub(super) struct Image {
    page: [u8; PAGE],
    sections: Sections,
    pub(super) file_bytes: u64,
    pub(super) generation: u64,
    pub(super) sha256: [u8; 32],
}

impl Image {
    /// Completes the header: sizes, section table, checksums.
    pub(super) fn new(mut header: Header, sections: Sections) -> Self {
        let mut table = Vec::with_capacity(Section::ALL.len());
        let mut offset = PAGE as u64;
        for section in Section::ALL {
            let bytes = sections.bytes(section);
            table.push(SectionEntry {
                kind: section as u32,
                element_bytes: section.element_bytes() as u32,
                offset,
                bytes: bytes.len() as u64,
                count: (bytes.len() / section.element_bytes()) as u64,
                sha256: Sha256::digest(bytes).into(),
            });
            offset += bytes.len().next_multiple_of(PAGE) as u64;
        }
        header.file_bytes = offset;
        header.section_count = Section::ALL.len() as u32;
        let mut page = [0; PAGE];
        page[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
        page[size_of::<Header>()..][..size_of_val(&table[..])].copy_from_slice(bytemuck::cast_slice(&table));
        let sha256: [u8; 32] = Sha256::digest(page).into();
        page[SHA256_AT..SHA256_AT + 32].copy_from_slice(&sha256);
        Self { page, sections, file_bytes: offset, generation: generation_of(&sha256), sha256 }
    }

    pub(super) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.page)?;
        for section in Section::ALL {
            let bytes = self.sections.bytes(section);
            out.write_all(bytes)?;
            out.write_all(&[0; PAGE][..bytes.len().next_multiple_of(PAGE) - bytes.len()])?;
        }
        Ok(())
    }

    /// The whole file, on disk, under a name of its own beside `path`.
    pub(super) fn write_pending(&self, path: &Path) -> io::Result<Pending> {
        let (directory, temporary) = beside(path)?;
        let pending = Pending { temporary, path: path.to_owned(), directory, committed: false };
        self.write_new(&pending.temporary)?;
        Ok(pending)
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create_new(path)?);
        self.write_to(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// A snapshot file that is complete on disk and has not yet its name: until `commit` there is the old file under it, or none.
#[derive(Debug)]
pub struct Pending {
    temporary: PathBuf,
    path: PathBuf,
    directory: PathBuf,
    committed: bool,
}

impl Pending {
    /// Where the bytes are for now, to be read and judged.
    pub fn written_at(&self) -> &Path {
        &self.temporary
    }

    /// Gives it its name, in one step, for good.
    pub fn commit(mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        self.committed = true;
        File::open(&self.directory)?.sync_all()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.committed {
            // What matters is the first error; a leftover file is named so that nobody takes it for a snapshot.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// The directory of `path` and an unused name in it.
fn beside(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    let unused = (0..1000).find_map(|attempt| {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}.partial", std::process::id()));
        let temporary = directory.join(temporary);
        (!temporary.exists()).then_some(temporary)
    });
    let unused = unused.ok_or_else(|| io::Error::new(io::ErrorKind::AlreadyExists, "too many partial files beside it"))?;
    Ok((directory, unused))
}
