//! Code without intrinsics, compiled once more with the instructions that a backend has proved.
//!
//! ```text
//! Kernel::run ──inlined──► baseline x86-64 or aarch64        Portable, Neon
//!             └─inlined──► + AVX2, POPCNT, BMI1, BMI2        Avx2, Avx512: 64-bit compares in lanes, popcnt in one instruction
//! ```
//! For loops whose shape is the whole point and which a compiler vectorises well enough: address lookups (tables) lost 10 % against
//! intrinsics and gained that there is one text, safe, the same answers by construction.

use crate::{Backend, WithBackend};

/// Work to be compiled for a backend's instructions: see [`Backend::compiled`](crate::Backend::compiled).
///
/// `run` and all that it calls in its loops are to be `#[inline(always)]`: what stays a call keeps the baseline's instructions.
pub trait Kernel {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

/// The kernel as work that does not ask which backend it is.
pub(crate) struct Alone<K>(pub K);

impl<K: Kernel> WithBackend for Alone<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run<B: Backend>(self, _backend: B) -> K::Output {
        self.0.run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::available;

    struct CountBelow<'a>(&'a [u64], u64);

    impl Kernel for CountBelow<'_> {
        type Output = (u64, u32);

        #[inline(always)]
        fn run(self) -> (u64, u32) {
            let below = self.0.iter().map(|value| u64::from(*value < self.1)).sum();
            (below, self.0.iter().map(|value| value.count_ones()).sum())
        }
    }

    #[test]
    fn a_kernel_says_the_same_on_every_backend() {
        let values: Vec<u64> = (0..1000u64).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        for length in [0, 1, 7, 8, 9, 63, 64, 1000] {
            for bound in [0, 1, 1 << 63, u64::MAX] {
                let expected = CountBelow(&values[..length], bound).run();
                for backend in available() {
                    assert_eq!(backend.compiled(CountBelow(&values[..length], bound)), expected, "{}", backend.name());
                }
            }
        }
    }
}
