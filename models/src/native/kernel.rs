//! The arithmetic, in plain loops whose shape the compiler turns into vectors: compiled once per backend by [`verdict_simd::Backend::compiled`].
//!
//! ```text
//! sum     a row of 32 numbers is one 32-byte load, widened to i16, added; 255 rows cannot overflow i16
//! dense   u8 as i16 times i16, summed in pairs into i32: one multiply-add instruction for 16 products on AVX2, two for 8 on NEON
//! ```

use super::Dense;

/// Rows that i16 can sum: 255 × 128 = 32,640.
const STRIPE: usize = 255;

/// The sums of the rows of `ids`, of a table of rows of `D`. A number that is no row counts as row 0, which is all zero.
#[inline(always)]
pub fn sum<const D: usize>(table: &[i8], ids: &[u32], sums: &mut [i32]) {
    let (table, _) = table.as_chunks::<D>();
    let Some(sums) = sums.first_chunk_mut::<D>() else { return };
    *sums = [0; D];
    for stripe in ids.chunks(STRIPE) {
        let mut narrow = [0i16; D];
        for &id in stripe {
            let Some(row) = table.get(id as usize) else { continue };
            for column in 0..D {
                narrow[column] += i16::from(row[column]);
            }
        }
        for column in 0..D {
            sums[column] += i32::from(narrow[column]);
        }
    }
}

/// `u8(round_half_even(f32(sum + bias) * scale))`, below 0 is 0, above 255 is 255. As i16, for the multiplication that follows.
#[inline(always)]
pub fn narrow(sums: &[i32], bias: &[i32], scale: &[f32], bytes: &mut [i16]) {
    /// Adding it to a small number leaves its nearest integer, ties to even, in the lowest bits: that is where f32 rounds.
    const ROUND: f32 = 12_582_912.0;
    for ((byte, &sum), (&bias, &scale)) in bytes.iter_mut().zip(sums).zip(bias.iter().zip(scale)) {
        // Both ends are integers, so that what is cut before rounding is what is cut after it.
        let value = ((sum + bias) as f32 * scale).clamp(0.0, 255.0);
        *byte = ((value + ROUND).to_bits() & 0xff) as i16;
    }
}

/// Products of bytes and weights, summed; without the bias.
#[inline(always)]
pub fn dense(layer: &Dense, bytes: &[i16], sums: &mut [i32]) {
    for (sum, weights) in sums.iter_mut().zip(layer.weights.chunks_exact(layer.inputs)) {
        *sum = bytes.iter().zip(weights).map(|(&byte, &weight)| i32::from(byte) * i32::from(weight)).sum();
    }
}

/// The same where the number of inputs is known.
#[inline(always)]
pub fn dense_of<const D: usize>(layer: &Dense, bytes: &[i16], sums: &mut [i32]) {
    let Some(bytes) = bytes.first_chunk::<D>() else { return };
    for (sum, weights) in sums.iter_mut().zip(layer.weights.as_chunks::<D>().0) {
        let mut total = 0;
        for at in 0..D {
            total += i32::from(bytes[at]) * i32::from(weights[at]);
        }
        *sum = total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_to_even_and_cut_at_both_ends() {
        let cases = [
            (1, 0.5, 0),
            (3, 0.5, 2),
            (5, 0.5, 2),
            (7, 0.5, 4),
            (-9, 1.0, 0),
            (300, 1.0, 255),
            (509, 0.5, 254),
            (511, 0.5, 255),
            (2, 0.49, 1),
        ];
        for (sum, scale, expected) in cases {
            let mut bytes = [0; 1];
            narrow(&[sum], &[0], &[scale], &mut bytes);
            assert_eq!(bytes[0], expected, "{sum} x {scale}");
            let naive = (sum as f32 * scale).round_ties_even().clamp(0.0, 255.0) as i16;
            assert_eq!(bytes[0], naive, "{sum} x {scale}");
        }
    }

    #[test]
    fn a_thousand_of_the_largest_rows_do_not_overflow() {
        let table = [[0i8; 8], [-128; 8], [127; 8]].concat();
        let mut wide = [0; 8];
        for (id, number) in [(1, -128), (2, 127), (0, 0), (9, 0)] {
            let ids = [id; 1000];
            sum::<8>(&table, &ids, &mut wide);
            assert_eq!(wide, [1000 * number; 8]);
        }
    }
}
