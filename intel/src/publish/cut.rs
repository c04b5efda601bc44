//! Where a snapshot is cut: at its sections, and inside them at every multiple of one size.
//!
//! A table whose entries stay where they are is best cut at fixed places: content-defined cuts find moved bytes again, and nothing moves inside
//! a section but what changes anyway. Measured on consecutive lists: perf/investigations/parts.md. Small parts re-send less and cost 40 bytes of
//! manifest and a file each; so 4 KiB, until that makes more than about 4,096 of them.

use sha2::{Digest as _, Sha256};
use std::ops::Range;
use verdict_tables::layout::{Header, PAGE, Section, SectionEntry};
use verdict_tables::manifest::Part;

/// Parts aimed at, at most; sections that end early make a few more.
const PARTS_AIM: usize = 4096;

/// Ranges of a verified snapshot that follow each other and are the whole.
pub fn cut(bytes: &[u8]) -> Vec<Range<usize>> {
    let step = (bytes.len() / PARTS_AIM).next_power_of_two().max(PAGE);
    let starts: Vec<usize> = sections(bytes).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let mut ranges = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        ranges.extend((*start..end).step_by(step).map(|at| at..end.min(at + step)));
    }
    ranges
}

/// Where the header and each section begin.
fn sections(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let entries = (0..Section::ALL.len()).filter_map(|index| {
        let at = size_of::<Header>() + index * size_of::<SectionEntry>();
        let entry: SectionEntry = bytemuck::pod_read_unaligned(bytes.get(at..at + size_of::<SectionEntry>())?);
        (entry.count != 0).then_some(entry.offset as usize)
    });
    std::iter::once(0).chain(entries)
}

/// How a manifest names it.
pub(super) fn part(content: &[u8]) -> Part {
    Part { sha256: Sha256::digest(content).into(), bytes: content.len() as u64 }
}
