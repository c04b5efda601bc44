//! Memory of our own for a snapshot, in the largest pages that the machine has for it.
//!
//! ```text
//! /sys/kernel/mm/hugepages/hugepages-1048576kB, -2048kB ...    reserved by the operator, free: the largest that waste little
//! else anonymous memory, MADV_HUGEPAGE                          the kernel makes of it what it can
//! ```
//! Sizes are read, never assumed: 2 MiB and 1 GiB on x86-64; 64 KiB, 2 MiB, 32 MiB and more on ARM, by the size of its small pages.
//! Reserved pages belong to the mapping from `mmap` on: there is none to be missed at a later fault. Where somebody else was quicker, `mmap`
//! fails, and the next smaller ones are tried.

use std::io;
use std::path::Path;

use memmap2::{Advice, Mmap, MmapMut, MmapOptions};

/// Less is no matter for TLBs, and not worth the look.
const LEAST: u64 = 1 << 20;
/// What may be wasted at the end of the last page, as a part of the bytes asked for.
const WASTE: u64 = 8;

/// Bytes; they begin at a page, so sections are aligned for their elements.
pub(crate) struct Memory<M> {
    /// In whole pages, of whatever size.
    pages: M,
    bytes: usize,
}

impl Memory<MmapMut> {
    /// All zero. A kernel without huge pages refuses them; a snapshot is served all the same, with more TLB misses.
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        for size in reserved(Path::new("/sys/kernel/mm/hugepages"), bytes as u64) {
            let whole = (bytes as u64).next_multiple_of(size) as usize;
            if let Ok(pages) = MmapOptions::new().len(whole).huge(Some(size.trailing_zeros() as u8)).map_anon() {
                return Ok(Self { pages, bytes });
            }
        }
        let pages = MmapOptions::new().len(bytes).map_anon()?;
        let _ = pages.advise(Advice::HugePage);
        Ok(Self { pages, bytes })
    }

    pub(crate) fn make_read_only(self) -> io::Result<Memory<Mmap>> {
        Ok(Memory { pages: self.pages.make_read_only()?, bytes: self.bytes })
    }
}

impl<M: std::ops::Deref<Target = [u8]>> std::ops::Deref for Memory<M> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages[..self.bytes]
    }
}

impl std::ops::DerefMut for Memory<MmapMut> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.pages[..self.bytes]
    }
}

/// Sizes of pages of which enough are free, largest first. `root` holds a directory for each size, `hugepages-<KiB>kB`.
fn reserved(root: &Path, bytes: u64) -> Vec<u64> {
    if bytes < LEAST {
        return Vec::new();
    }
    let directories = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut sizes: Vec<u64> = directories.filter_map(|entry| fitting(&entry.path(), bytes)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}

/// The size that this directory is about, if so many bytes fit.
fn fitting(directory: &Path, bytes: u64) -> Option<u64> {
    let name = directory.file_name()?.to_str()?;
    let size = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024)?;
    let free: u64 = std::fs::read_to_string(directory.join("free_hugepages")).ok()?.trim().parse().ok()?;
    let pages = bytes.div_ceil(if size.is_power_of_two() { size } else { return None });
    (pages <= free && pages * size - bytes <= bytes / WASTE).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_pages_that_are_free_and_waste_little_come_first() {
        let root = std::env::temp_dir().join(format!("verdict-hugepages-{}", std::process::id()));
        for (name, free) in
            [("hugepages-1048576kB", "2\n"), ("hugepages-2048kB", "700"), ("hugepages-64kB", "0"), ("hugepages-3kB", "9"), ("other", "9")]
        {
            std::fs::create_dir_all(root.join(name)).unwrap();
            std::fs::write(root.join(name).join("free_hugepages"), free).unwrap();
        }
        let (mib, gib) = (1 << 20, 1 << 30);
        assert_eq!(reserved(&root, 2 * gib - mib), [gib], "700 pages of 2 MiB are 1400 MiB");
        assert_eq!(reserved(&root, gib), [gib, 2 * mib]);
        assert_eq!(reserved(&root, gib + 100 * mib), [2 * mib], "a GiB for nothing is too much");
        assert_eq!(reserved(&root, 2 * gib + 1), []);
        assert_eq!(reserved(&root, mib), [], "half a page is too much for one MiB");
        assert_eq!(reserved(&root, 0), []);
        assert_eq!(reserved(&root, 2 * mib), [2 * mib]);
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(reserved(&root, gib), [], "a kernel without them");
    }

    #[test]
    fn memory_is_as_long_as_asked_for_zero_and_ours() {
        for bytes in [1, 4096, (5 << 20) + 1] {
            let mut memory = Memory::new(bytes).unwrap();
            assert!(memory.len() == bytes && memory.iter().all(|byte| *byte == 0));
            memory[bytes - 1] = 7;
            let memory = memory.make_read_only().unwrap();
            assert!(memory.len() == bytes && memory[bytes - 1] == 7 && memory.as_ptr().addr().is_multiple_of(4096));
        }
    }
}
