//! Asking for a cache line before it is needed. Safe, because nothing is read: a prefetch cannot fault.

use crate::Bucket;

/// Asks for the cache line of `slice[index]`, to be read; out of range is ignored.
///
/// `prefetcht0` on x86-64; `prfm pldl1keep` on aarch64, through `asm!` because the intrinsic is not stable; nothing elsewhere.
#[inline(always)]
pub fn prefetch<T>(slice: &[T], index: usize) {
    let Some(element) = slice.get(index) else { return };
    ask(std::ptr::from_ref(element).cast());
}

/// Asks for the bucket at a byte offset; asking for what is no bucket of these has no effect but the time that it takes.
#[inline(always)]
pub fn prefetch_bucket(buckets: &[Bucket], at: u64) {
    ask(buckets.as_ptr().cast::<i8>().wrapping_add(at as usize));
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn ask(line: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: SSE is part of the x86-64 baseline, and a prefetch reads nothing: it cannot fault, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
#[inline(always)]
fn ask(line: *const i8) {
    // SAFETY: PRFM is part of the base instruction set and is a hint: it cannot fault and changes no register, flag or memory.
    unsafe { std::arch::asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, preserves_flags, readonly)) };
}

#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[inline(always)]
fn ask(_line: *const i8) {}
