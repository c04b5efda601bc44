//! The table of rows as it is asked: each row begins where cache lines do and takes as few of them as it can.
//!
//! ```text
//! file     56 numbers a row, back to back        six rows of seven lie in two cache lines
//! here     |56 numbers, 8 zeros| ...             16, 32, 64 or 128 a row: one line each, two for the widest
//! ```
//! A text has 146 rows on average, spread over two megabytes: lines are what they cost. The zeros are summed as well, and change nothing.

use super::WIDTH_MAX;

const LINE: usize = 64;

#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
struct Line([i8; LINE]);

/// Rows of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    lines: Vec<Line>,
    rows: usize,
    width: usize,
}

/// Numbers that a row of this width takes.
pub(super) fn stride(width: usize) -> usize {
    width.next_power_of_two().clamp(16, WIDTH_MAX)
}

impl Table {
    /// From rows back to back; the last one, where it is not whole, is dropped.
    pub(super) fn new(numbers: &[i8], width: usize) -> Self {
        let (stride, rows) = (stride(width), numbers.len() / width.max(1));
        let mut lines = vec![Line([0; LINE]); (rows * stride).div_ceil(LINE)];
        let flat: &mut [i8] = bytemuck::cast_slice_mut(&mut lines);
        for (to, from) in flat.chunks_exact_mut(stride).zip(numbers.chunks_exact(width.max(1))) {
            let columns = width.min(stride);
            to[..columns].copy_from_slice(&from[..columns]);
        }
        Self { lines, rows, width }
    }

    /// How many there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of each.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// All of them, `stride(width)` numbers a row.
    #[inline(always)]
    pub(super) fn flat(&self) -> &[i8] {
        bytemuck::cast_slice(&self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_of_at_most_a_line_lies_in_two() {
        for width in [1, 8, 16, 17, 32, 48, 56, 64, 100, 128] {
            let numbers: Vec<i8> = (0..7 * width).map(|number| number as i8).collect();
            let table = Table::new(&numbers, width);
            let stride = stride(width);
            assert!(table.flat().as_ptr().addr().is_multiple_of(LINE) && (LINE.is_multiple_of(stride) || stride.is_multiple_of(LINE)));
            assert_eq!((table.rows(), table.width()), (7, width));
            for (row, from) in table.flat().chunks(stride).zip(numbers.chunks(width)) {
                assert_eq!((&row[..width], row[width..].iter().all(|&number| number == 0)), (from, true), "{width}");
            }
        }
    }
}
